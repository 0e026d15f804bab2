"""What `credssp policy check` says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from credssp.errors import LocalProtocolError
from credssp.policy import (
    CredentialSource,
    DelegationList,
    DelegationPolicy,
    ListState,
    SPNPattern,
    check,
    explain,
    load_policy,
)
from credssp.server_authentication import ServerAuthentication

POLICY = DelegationPolicy(
    allow_fresh_credentials=DelegationList.enabled("WSMAN/*"),
    allow_fresh_credentials_when_ntlm_only=DelegationList.enabled(concatenate_defaults=False),
    deny_fresh_credentials=DelegationList(ListState.DISABLED, (SPNPattern("WSMAN/x"),)),
)


def test_explanation_in_text() -> None:
    assert check(POLICY, "WSMAN/a", level="ntlm", source="fresh").text.splitlines() == [
        "WSMAN/a: refused (SEC_E_POLICY_NLTM_ONLY 0x8009035F)",
        "  fresh credentials, server authentication ntlm-only, mode plain",
        "  the server at 'WSMAN/a' was authenticated by NTLM alone. AllowFreshCredentials lists it (WSMAN/*), "
        "AllowFreshCredentialsWhenNTLMOnly does not: use Kerberos or a certificate that you trust, or add the target "
        'to AllowFreshCredentialsWhenNTLMOnly ("Allow delegating fresh credentials with NTLM-only server '
        'authentication")',
        "    DenyFreshCredentials (disabled): no server (1 listed, not in force): does not match",
        "    AllowFreshCredentials (enabled): WSMAN/*, TERMSRV/*: matches by WSMAN/*",
        "  * AllowFreshCredentialsWhenNTLMOnly (enabled): no server: does not match",
    ]


def test_explanation_as_data() -> None:
    data = json.loads(json.dumps(check(POLICY, "WSMAN/a", level="kerberos").to_dict()))
    lists = data.pop("lists")
    assert data.pop("reason")
    assert data.pop("status")["name"] == "SEC_E_OK"
    assert data == {
        "target": "WSMAN/a",
        "source": "fresh",
        "level": "strong",
        "mode": "plain",
        "allowed": True,
        "setting": "AllowFreshCredentials",
        "pattern": "WSMAN/*",
    }
    assert [entry["role"] for entry in lists] == ["deny", "allow", "allow-ntlm-only"]
    assert lists[1] == {
        "setting": "AllowFreshCredentials",
        "title": "Allow delegating fresh credentials",
        "role": "allow",
        "state": "enabled",
        "listed": ["WSMAN/*"],
        "in_force": ["WSMAN/*", "TERMSRV/*"],
        "matched": "WSMAN/*",
        "decisive": True,
    }


@pytest.mark.parametrize("level", ["cert", "kerberos", "ntlm", "none"])
@pytest.mark.parametrize("source", ["default", "fresh", "saved"])
@pytest.mark.parametrize("mode", ["plain", "restricted-admin", "remote-guard", "none"])
def test_every_word_of_the_command_line_is_taken(level: str, source: str, mode: str) -> None:
    explanation = check(POLICY, "WSMAN/a", level=level, source=source, mode=mode)
    assert explanation.source.value == source
    assert explanation.mode.value == mode
    assert explanation.text.startswith(
        "WSMAN/a: allowed (SEC_E_OK 0x00000000)" if explanation.decision else "WSMAN/a: refused (SEC_E_"
    )


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ({"level": "strong"}, "'strong' is not a level of server authentication: cert, kerberos, ntlm, none"),
        ({"source": "old"}, "'old' is not a source of credentials: default, fresh, saved"),
        ({"mode": "x"}, "'x' is not a mode of delegation: plain, restricted-admin, remote-guard, none"),
    ],
)
def test_unknown_word_is_named_with_those_that_are_known(word: dict[str, str], message: str) -> None:
    with pytest.raises(LocalProtocolError, match=message):
        check(POLICY, "WSMAN/a", **word)


def test_explanation_without_a_target_and_after_a_smart_card_logon() -> None:
    server = ServerAuthentication.CERTIFICATE
    nameless = explain(POLICY, None, source=CredentialSource.FRESH, server=server)
    assert nameless.text.startswith("no target: refused (SEC_E_DELEGATION_POLICY")
    assert not any(entry.matched or entry.decisive for entry in nameless.lists)
    card = explain(POLICY, "TERMSRV/a", source=CredentialSource.SAVED, server=server, smart_card_logon=True)
    assert "smart card" in card.text


def test_examples_of_the_manual_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Path(__file__).parents[2] / "docs" / "how-to" / "delegation-policy.md"
    text = page.read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    reference = (page.parents[1] / "reference" / "policy.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```toml\n(.*?)```", reference, re.DOTALL)
    Path("policy.toml").write_text(example, encoding="utf-8")
    Path("policy.reg").write_text("Windows Registry Editor Version 5.00\n", encoding="utf-16")
    printed: list[str] = []
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    for block in blocks:
        exec(compile(block, str(page), "exec"), {"print": lambda value: printed.append(str(value))})  # noqa: S102
    assert len(blocks) == 6
    assert printed[:3] == ["False", "SEC_E_DELEGATION_POLICY", "AllowFreshCredentialsWhenNTLMOnly"]
    assert f"```text\n{printed[-1]}\n```" in text
    assert load_policy("copy.toml") == load_policy("policy.toml")

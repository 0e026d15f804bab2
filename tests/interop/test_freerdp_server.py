"""``credssp login`` against FreeRDP's shadow server (Debian's freerdp-shadow-cli 2).

It takes bare NTLMSSP only, which is what our client sends to a host without Kerberos. It says nothing after a good
login, and closes without errorCode after a bad one.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from credssp.nt_hash import nt_hash
from tests.interop import freerdp, x11
from tests.peers import require_program

pytestmark = pytest.mark.interop


@pytest.fixture(scope="module")
def shadow(display: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a shadow server whose SAM file knows LABDOM\\alice."""
    with freerdp.shadow(2, display, tmp_path_factory.mktemp("shadow")) as port:
        yield port


def test_winpr_hash_agrees_about_the_nt_hash() -> None:
    made = x11.run([require_program("winpr-hash"), *("-u", "a", "-d", "D", "-p", freerdp.PASSWORD)], environment={})
    assert made.output.strip() == nt_hash(freerdp.PASSWORD).hex()


def test_a_right_password_is_accepted(shadow: int) -> None:
    code, facts = freerdp.login(shadow, "-u", "alice", "-d", "LABDOM")
    assert code == 0, facts
    assert facts["accepted"] is True
    assert facts["rdp"]["selected_protocol"] == "HYBRID"
    assert facts["rdp"]["answer"] == "session"
    assert facts["mechanism"] == "ntlm"
    assert facts["credssp"] == {"version": 6, "peer_version": 6}
    assert facts["delegated"] is True
    assert facts["early_user_authorization"] is None
    assert facts["tls"]["version"] in ("TLSv1.2", "TLSv1.3")


def test_a_right_hash_is_accepted(shadow: int, tmp_path: Path) -> None:
    file = tmp_path / "hash"
    file.write_text(nt_hash(freerdp.PASSWORD).hex())
    file.chmod(0o600)  # or there is a warning on standard error
    code, facts = freerdp.login(shadow, "-u", "LABDOM\\alice", "--hash-file", str(file))
    assert code == 0, facts
    assert facts["delegated"] is False


@pytest.mark.parametrize("user", ["alice", "nobody"])
def test_a_wrong_password_and_an_unknown_user_are_refused(shadow: int, user: str) -> None:
    code, facts = freerdp.login(shadow, "-u", user, "-d", "LABDOM", password="wrong")
    assert code == 1, facts
    assert facts["accepted"] is False
    assert facts["mechanism"] == "ntlm"
    assert facts["status"]["name"] == "SEC_E_LOGON_DENIED"
    assert "without an errorCode" in facts["status"]["text"]
    assert facts["delegated"] is False


def test_spnego_is_refused_by_this_server(shadow: int) -> None:
    code, facts = freerdp.login(shadow, "-u", "alice", "-d", "LABDOM", "--mechanism", "negotiate")
    assert code in (1, 3), facts
    assert facts["accepted"] is False
    assert facts["mechanism"] == "ntlm"


def test_its_certificate_is_not_the_pinned_one(shadow: int) -> None:
    code, facts = freerdp.login(shadow, "-u", "alice", "-d", "LABDOM", "--fingerprint", "00" * 32)
    assert code == 4, facts
    assert facts["delegated"] is False
    assert facts["tls"]["certificate"]["sha256"] in facts["status"]["text"]


def test_probe_says_what_it_offers(shadow: int) -> None:
    outcome = x11.run(
        [sys.executable, "-m", "credssp", "probe", f"127.0.0.1:{shadow}", "--json"], environment={}, timeout=60
    )
    assert outcome.code == 0, outcome.output
    facts = json.loads(outcome.output)
    assert facts["protocols"]["HYBRID"] == "accepted"
    assert facts["credssp"]["version"] == 6
    assert facts["credssp"]["mechanisms"] == ["ntlm"]
    assert facts["ntlm"]["MsvAvNbComputerName"]

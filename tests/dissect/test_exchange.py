"""Messages that do not fit: what `open_login` and `judge` say of logins that were made to be wrong."""

from __future__ import annotations

import dataclasses
import hashlib
import io
from pathlib import Path
from typing import Any

import pytest

from credssp import binding
from credssp.binding import subject_public_key
from credssp.dissect.certificate import server_key
from credssp.dissect.dissector import dissect
from credssp.dissect.judgement import Remark, judge
from credssp.dissect.model import Conversation, Event, TLSInfo, recorded_login
from credssp.dissect.tls.keylog import Secrets
from credssp.exchange.binding_check import Key
from credssp.exchange.opening import LogonSecrets, Opened, open_login
from credssp.exchange.recorded_login import Sender
from credssp.kerberos.view import kerberos_fields, kerberos_name
from credssp.ntlm.session import NTLMSession
from credssp.secret import Secret
from credssp.tls.certificate import process_certificate
from credssp.tls.certificate_facts import read_certificate
from credssp.wire.ts_credentials import TSCredentials, TSCspDataDetail, TSPasswordCreds, TSSmartCardCreds
from credssp.wire.ts_remote_guard import TSRemoteGuardCreds, TSRemoteGuardPackageCred
from credssp.wire.ts_request import TSRequest
from tests.dissect.captures import Connection, pcap
from tests.dissect.logins import PASSWORD, certificate, log_on

LOGON = LogonSecrets((Secret(PASSWORD),))
SENDERS: tuple[Sender, ...] = ("client", "server")


def conversation_of(*messages: tuple[Sender, TSRequest | bytes]) -> Conversation:
    conversation = Conversation("c", "s", "rdp")
    for sender, message in messages:
        data = message if isinstance(message, bytes) else message.encode()
        conversation.add(Event(sender, "tsrequest", len(data), None, "TSRequest", data, pieces=1))
    return conversation


def login(mechanism: str = "ntlm", version: int = 6) -> list[tuple[Sender, TSRequest]]:
    requests = log_on(mechanism=mechanism, version=version).requests
    # The observer saw the messages of the client only.
    return [(SENDERS[index % 2], TSRequest.decode(data)) for index, data in enumerate(requests)]


@dataclasses.dataclass
class Case:
    """A login whose session is known, so that its last messages can be made anew."""

    messages: list[tuple[Sender, TSRequest]]
    key: bytes
    client: NTLMSession
    server: NTLMSession

    def judge(self, *, key: Key | None = None, logon: LogonSecrets = LOGON, **changes: Any) -> list[str]:
        conversation = conversation_of(*self.messages)
        for name, value in changes.items():
            setattr(conversation, name, value)
        recorded = recorded_login(conversation)
        self.opened = open_login(recorded, logon, key or Key(self.key, "the key"))
        return [f"{each.level} {each.topic}: {each.text}" for each in judge(conversation, recorded, self.opened)]

    def change(self, leg: int, **changes: Any) -> Case:
        sender, message = self.messages[leg - 1]
        self.messages[leg - 1] = sender, dataclasses.replace(message, **changes)
        return self


def case(version: int = 6) -> Case:
    messages = login(version=version)
    recorded = recorded_login(conversation_of(*messages))
    key = subject_public_key(certificate().der)
    session_key = open_login(recorded, LOGON, Key(key, "the key")).session_key
    assert session_key is not None
    sessions = [NTLMSession(session_key.reveal(), role=role) for role in ("initiator", "acceptor")]  # type: ignore[arg-type]
    return Case(messages, key, *sessions)


def test_nothing_is_wrong_with_a_login_as_it_should_be() -> None:
    said = case().judge()
    assert not [text for text in said if text.startswith(("danger", "warning"))]


def test_another_key_is_a_man_in_the_middle() -> None:
    said = case().judge(key=Key(b"another key", "the key"))
    assert sum(text.startswith("danger binding") for text in said) == 2
    assert any("man in the middle" in text for text in said)
    said = case(version=2).judge(key=Key(b"another key", "the key"))
    assert any("holds another key" in text for text in said)


def test_without_the_key_nothing_is_checked_and_it_is_said() -> None:
    said = case().judge(key=Key(b"", "no certificate"))
    assert any("not checked: no certificate" in text for text in said)


def test_the_form_of_another_version() -> None:
    wrong = case()
    wrong.change(3, pub_key_auth=wrong.client.wrap(wrong.key))
    assert any("has the form of versions 2 to 4, although" in text for text in wrong.judge())
    wrong = case(version=2)
    nonce = bytes(range(32))
    value = binding.client_value(6, nonce, wrong.key)
    wrong.change(3, pub_key_auth=wrong.client.wrap(value), client_nonce=nonce)
    assert any("has the form of versions 5 and 6, although" in text for text in wrong.judge())


def test_reflections_are_found() -> None:
    wrong = case()
    mine = wrong.messages[2][1]
    wrong.change(4, pub_key_auth=mine.pub_key_auth)
    assert any("the server sent the client's pubKeyAuth back" in text for text in wrong.judge())
    wrong = case()
    value = binding.client_value(6, wrong.messages[2][1].client_nonce or b"", wrong.key)
    wrong.change(4, pub_key_auth=wrong.server.wrap(value))
    assert any("a reflection" in text for text in wrong.judge())


def test_a_key_that_was_sent_back_and_then_answered_is_a_server_that_took_it_late() -> None:
    late = case()
    client, server = late.messages[2:4]
    echo = dataclasses.replace(server[1], pub_key_auth=client[1].pub_key_auth)
    again = dataclasses.replace(client[1], nego_tokens=None)
    late.messages[3:4] = [("server", echo), ("client", again), server]
    said = late.judge()
    assert any(text.startswith("note binding: the server sent the client's pubKeyAuth back, and") for text in said)
    assert not [text for text in said if text.startswith(("danger", "warning"))]
    assert {check.verdict for check in late.opened.checks} == {"ok"}
    assert sum(check.name.startswith("pubKeyAuth") for check in late.opened.checks) == 2


def test_a_refusal_with_the_clients_key_in_it_is_not_an_attack() -> None:
    refused = case()
    del refused.messages[4:]
    mine = refused.messages[2][1].pub_key_auth
    said = refused.change(4, nego_tokens=None, pub_key_auth=mine, error_code=0xC000006D).judge()
    assert any(text.startswith("note binding: the server sent the client's pubKeyAuth back in its") for text in said)
    assert not any("danger" in text for text in said)


@pytest.mark.parametrize(("nonce", "what"), [(None, "without clientNonce"), (b"short", "has 5 bytes")])
def test_the_nonce_is_looked_at(nonce: bytes | None, what: str) -> None:
    assert any(what in text for text in case().change(3, client_nonce=nonce).judge())


def test_auth_info_too_early() -> None:
    wrong = case()
    del wrong.messages[3]
    assert any(text.startswith("danger binding: the client sent authInfo before") for text in wrong.judge())
    assert any(
        text.startswith("warning binding: the client sent authInfo before") for text in wrong.judge(problems=["gap"])
    )


def test_auth_info_of_a_server_and_of_nobody() -> None:
    wrong = case().change(4, auth_info=b"x" * 40)
    assert any("a server sends no authInfo" in text for text in wrong.judge())
    wrong = case().change(5, auth_info=b"x" * 40)
    wrong.judge()
    assert [check.verdict for check in wrong.opened.checks if check.name == "authInfo"] == ["failed"]


def test_auth_info_with_something_else_inside() -> None:
    wrong = case()
    wrong.client.wrap(bytes(32))
    # The key stream is where it is after pubKeyAuth.
    wrong.change(5, auth_info=wrong.client.wrap(b"no TSCredentials"))
    assert any("holds no TSCredentials" in text for text in wrong.judge())


CREDENTIALS = {
    "an empty set of credentials": TSPasswordCreds("", "", Secret("")),
    "received the password": TSPasswordCreds("LAB", "alice", Secret("x")),
    "received the smart-card PIN": TSSmartCardCreds(pin=Secret("1234"), csp_data=TSCspDataDetail(key_spec=1)),
    "Remote Credential Guard": TSRemoteGuardCreds(TSRemoteGuardPackageCred("Kerberos", Secret(b"x"))),
}


@pytest.mark.parametrize("what", CREDENTIALS)
def test_what_was_delegated_is_judged(what: str) -> None:
    made = case()
    made.client.wrap(bytes(32))
    made.change(5, auth_info=made.client.wrap(TSCredentials(CREDENTIALS[what]).encode()))
    said = made.judge(restricted_admin=True)
    assert any(what in text for text in said)
    assert any("asked for Restricted Admin" in text for text in said) == (what != "an empty set of credentials")
    assert any("delegation to" in text for text in said) == (what != "an empty set of credentials")


def test_versions_are_judged() -> None:
    wrong = case().change(3, version=5)
    assert any("the client changes its version (5, 6)" in text for text in wrong.judge())
    wrong = case().change(1, version=1)
    assert any("says version 1, which does not exist" in text for text in wrong.judge())
    old = case(version=2)
    for leg in (1, 3, 5):
        old.change(leg, version=2)
    said = old.judge()
    assert any("refuses this client of version 2" in text for text in said)
    assert any("only a client at 'Vulnerable'" in text for text in said)
    one_sided = Case(old.messages[:1], old.key, old.client, old.server)
    assert any("v2 binding at best" in text for text in one_sided.judge())


def test_the_end_without_an_answer() -> None:
    cut = case()
    del cut.messages[3:]
    assert any("ends after leg 3 of the client" in text for text in cut.judge())


def test_fragments_and_deviations_are_told() -> None:
    made = case()
    conversation = conversation_of(*made.messages[:1], ("server", bytes.fromhex("3081_05a003020106".replace("_", ""))))
    conversation.events[0] = dataclasses.replace(conversation.events[0], pieces=2)
    said = [f.text for f in judge(conversation, recorded_login(conversation), Opened())]
    assert any("in 2 TLS records" in text for text in said)
    assert any("leg 2 (server): TSRequest" in text for text in said)


def test_tls_is_judged() -> None:
    tls = [TLSInfo(version=0x0301, suite=0x2F), TLSInfo(version=0x0303, suite=0x2F), TLSInfo()]
    said = case().judge(tls=tls)
    assert any("TLS 1.0 is no longer safe" in text for text in said)
    assert any("RSA key exchange" in text for text in said)


def ntlm_token(made: Case, leg: int) -> bytes:
    tokens = made.messages[leg - 1][1].nego_tokens
    assert tokens is not None
    return tokens[0]


def test_ntlm_is_judged() -> None:
    made = case()
    token = bytearray(ntlm_token(made, 3))
    token[60] &= 0xEF  # no SIGN
    said = made.change(3, nego_tokens=(bytes(token),)).judge()
    assert any("not negotiated: SIGN" in text for text in said)
    assert any("MIC: the MIC does not match" in text for text in said)
    made = case()
    token = bytearray(ntlm_token(made, 3))
    token[20:22] = b"\x18\0"  # the response is 24 bytes: NTLMv1
    said = made.change(3, nego_tokens=(bytes(token),)).judge()
    assert any("danger ntlm: NTLMv1" in text for text in said)
    assert made.opened.checks[0].text.startswith("there is none")
    assert any("AUTHENTICATE has no MIC" in text for text in said)
    token[20:22] = b"\0\0"
    assert "an anonymous login" in case_checks(case().change(3, nego_tokens=(bytes(token),)))


def case_checks(made: Case, **options: Any) -> str:
    made.judge(**options)
    return " ".join(check.text for check in made.opened.checks)


def test_a_mic_without_negotiate_is_not_verified() -> None:
    made = case().change(1, nego_tokens=None)
    assert "NEGOTIATE is not in the capture" in case_checks(made)
    key = LogonSecrets(session_keys=(Secret(made.client.exported_session_key),))
    assert "NEGOTIATE is not in the capture" in case_checks(made, logon=key)


def test_a_session_without_key_exchange() -> None:
    made = case()
    token = bytearray(ntlm_token(made, 3))
    token[63] &= 0xBF
    assert "no session without" in case_checks(made.change(3, nego_tokens=(bytes(token),)))


def test_what_is_no_token_is_passed_over() -> None:
    made = case().change(1, nego_tokens=(b"NTLMSSP\0\xff", b"\xa1\x03junk", b"", b"what")).change(2, nego_tokens=())
    assert "CHALLENGE is not in the capture" in case_checks(made)
    nothing = Case([("client", TSRequest(6))], b"", made.client, made.server)
    assert nothing.judge(logon=LogonSecrets()) == [
        "warning outcome: the exchange ends after leg 1 of the client, without authInfo or errorCode"
    ]


def test_challenges_without_timestamp() -> None:
    from credssp.ntlm.av_pairs import AV_TIMESTAMP

    made = case()
    token = ntlm_token(made, 2)
    at = token.find(AV_TIMESTAMP.to_bytes(2, "little") + b"\x08\0")
    token = token[:at] + b"\x08\x00" + token[at + 2 :]
    assert any("no timestamp" in text for text in made.change(2, nego_tokens=(token,)).judge())


@pytest.mark.parametrize(
    ("conversation", "source"),
    [
        (Conversation("", "", "rdp"), "not in the part of the capture that could be decrypted"),
        (Conversation("", "", "transcript"), "the transcript does not have"),
        (Conversation("", "", "transcript", public_key=b"k"), "the server's key in the transcript"),
        (Conversation("", "", "rdp", tls=[TLSInfo(certificate=b"junk")]), "does not decode"),
    ],
)
def test_where_the_key_comes_from(conversation: Conversation, source: str) -> None:
    assert source in server_key(conversation).source


def test_certificates_that_do_not_parse_are_shown_by_their_hash() -> None:
    # The version is 5, which `cryptography` does not call a ValueError.
    odd = process_certificate().der.replace(bytes.fromhex("a003020102"), bytes.fromhex("a003020105"))
    for der in (b"junk", odd):
        facts = read_certificate(der).to_dict()
        assert (facts["sha256"], facts["subject"]) == (hashlib.sha256(der).hexdigest(), None)


def test_kerberos_tokens_tell_what_they_can() -> None:
    pytest.importorskip("pyasn1")
    # KRB-ERROR, error 37 (skew), service HTTP/srv@LAB.TEST
    members = (
        "a003020105"
        "a10302011e"
        "a411180f32303236303130313030303030305a"
        "a505020300ffff"
        "a603020125"
        "a90a1b084c41422e54455354"
        "aa163014a003020102a10d300b1b04485454501b03737276"
    )
    body = bytes.fromhex(members)
    sequence = b"\x30" + bytes((len(body),)) + body
    error = b"\x7e" + bytes((len(sequence),)) + sequence
    assert kerberos_name(error) == "Kerberos KRB-ERROR"
    expected = {"errorCode": "KRB_AP_ERR_SKEW (37)", "service": "HTTP/srv@LAB.TEST"}
    assert kerberos_fields(error) == expected
    framed = bytes.fromhex("06092a864886f712010202") + b"\x03\x00" + error
    framed = b"\x60" + bytes((len(framed),)) + framed
    assert kerberos_name(framed) == "Kerberos KRB-ERROR"
    assert kerberos_fields(framed) == expected
    assert kerberos_fields(b"\x6e\x05junk!") == {"remark": "the token does not decode"}
    assert kerberos_fields(b"\x60\x03abc") == {}
    assert kerberos_name(b"\x60\x03abc") == ""
    assert kerberos_name(b"") == ""


def test_findings_are_plain_data() -> None:
    assert dataclasses.asdict(Remark("ok", "tls", "x")) == {"level": "ok", "topic": "tls", "text": "x", "section": ""}


def test_the_server_is_known_by_the_ticket_for_it() -> None:
    folder = Path(__file__).parents[2] / "fixtures"
    (conversation,) = dissect(folder / "pypsrp-0.9.1-http-kerberos")["conversations"]
    assert conversation["negotiated"]["target_name"] == "HTTP/localhost"
    (policy,) = [each["text"] for each in conversation["judgement"] if each["topic"] == "policy"]
    assert policy.startswith("delegation to WSMAN/localhost, authenticated by kerberos")
    (conversation,) = dissect(folder / "asyauth-0.0.23-spnego-good")["conversations"]
    assert conversation["negotiated"]["target_name"] is None
    assert any("do not name the server" in each["text"] for each in conversation["judgement"])


def test_the_outcome_of_a_fixture_with_packets_is_shown() -> None:
    folder = Path(__file__).parents[2] / "fixtures" / "pywinrm-0.5.0-https-capture"
    (conversation,) = dissect(folder)["conversations"]
    assert conversation["recorded_outcome"] == "accepted"
    assert [each["opened"] for each in conversation["tls"]] == [True, True]
    assert {check["verdict"] for check in conversation["checks"]} == {"ok"}


def test_an_end_that_may_be_in_what_was_not_opened_is_no_certain_end() -> None:
    recorded = log_on()
    # Without the secrets of the client there are two messages of the server, and the exchange did not end with them.
    half = b"\n".join(line for line in recorded.keylog.splitlines() if not line.startswith(b"CLIENT_"))
    secrets = Secrets()
    secrets.add_log(half.splitlines())
    report = dissect(io.BytesIO(pcap(Connection().packets(recorded.rdp()))), tls=secrets)
    outcomes = [each["text"] for each in report["conversations"][0]["judgement"] if each["topic"] == "outcome"]
    assert outcomes[0].endswith("or they are in a part that could not be decrypted")

"""Captures of pywinrm, pypsrp and pyspnego over HTTP, replayed: headers, bodies, and the answers of the responder.

The TSRequests in them are replayed by `tests/test_fixtures.py`; what is TLS cannot be: its keys are gone.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from credssp import NTStatus, PasswordCredentials
from credssp.exchange.fixture import Fixture, load_all
from credssp.identity import Identity
from credssp.testing.wsman import WSManResponder
from credssp.tls.record import measure_record
from credssp.winrm import WinRMRequest
from credssp.winrm.encryption import encrypted_parts, is_encrypted_type, trailer_length
from credssp.winrm.header import challenge_token, request_token
from credssp.wire.ts_request import TSRequest

FIXTURES = [
    fixture
    for fixture in load_all(Path(__file__).parents[2] / "fixtures")
    if fixture.manifest["make"]["command"] == "python -m fixtures.make_winrm"
]
ACCEPTED = [fixture for fixture in FIXTURES if fixture.manifest["outcome"] == "accepted"]
PYTHON_CLIENTS = [fixture for fixture in ACCEPTED if fixture.name.startswith(("pywinrm", "pypsrp"))]


def names(fixtures: list[Fixture]) -> list[str]:
    return [fixture.name for fixture in fixtures]


class HTTP:
    """One captured HTTP message."""

    def __init__(self, sender: str, data: bytes) -> None:
        head, _, self.body = data.partition(b"\r\n\r\n")
        self.sender = sender
        self.line, *lines = head.decode("latin-1").split("\r\n")
        self.headers = [(name.lower(), value) for name, _, value in (line.partition(": ") for line in lines)]

    def values(self, name: str) -> list[str]:
        return [value for found, value in self.headers if found == name]

    @property
    def content_type(self) -> str:
        return "".join(self.values("content-type"))

    @property
    def token(self) -> bytes | None:
        if self.sender == "client":
            return request_token(self.values("authorization"))
        return challenge_token(self.values("www-authenticate"))


def http(fixture: Fixture) -> list[HTTP]:
    return [HTTP(m.sender, m.data) for m in fixture.messages if m.layer == "http"]


def application(fixture: Fixture, sender: str) -> Iterator[bytes]:
    return iter([m.data for m in fixture.messages if m.layer == "application" and m.sender == sender])


def test_there_is_a_capture_of_every_peer_in_both_tls_versions() -> None:
    found = {(f.name.partition("-")[0], f.manifest["exchange"]["tls"]) for f in ACCEPTED}
    peers = ("pywinrm", "pypsrp", "pyspnego")
    assert found == {(peer, tls) for peer in peers for tls in ("TLSv1.2", "TLSv1.3")}
    assert {f.name.partition("-")[0] for f in FIXTURES if f not in ACCEPTED} == {"pywinrm", "pypsrp"}


@pytest.mark.parametrize("fixture", FIXTURES, ids=names(FIXTURES))
def test_every_leg_is_read(fixture: Fixture) -> None:
    tokens = [(message.sender, message.token) for message in http(fixture) if message.token is not None]
    # The offer, then token and answer in turn. A session ticket makes even the last TLS 1.3 flight have an answer.
    assert tokens[0] == ("server", b"")
    for number, (sender, token) in enumerate(tokens[1:]):
        assert sender == ("server" if number % 2 else "client")
        assert token
        position = 0
        while position < len(token):
            position += measure_record(token, position)
        assert position == len(token)


@pytest.mark.parametrize("fixture", ACCEPTED, ids=names(ACCEPTED))
def test_every_body_is_walked_and_its_lengths_are_true(fixture: Fixture) -> None:
    exchange = fixture.manifest["exchange"]
    plain = {"client": application(fixture, "client"), "server": application(fixture, "server")}
    large = set()
    for message in http(fixture):
        if not is_encrypted_type(message.content_type):
            assert not message.body
            continue
        parts = list(encrypted_parts(message.content_type, message.body))
        assert sum(part.length for part in parts) == len(next(plain[message.sender]))
        assert message.content_type.startswith("multipart/x-multi-encrypted") == (len(parts) > 1)
        large.add((message.sender, len(parts) > 1))
        if fixture.manifest["programs"][message.sender].startswith("credssp "):
            cipher = {"TLSv1.2": "ECDHE-RSA-AES256-GCM-SHA384", "TLSv1.3": "TLS_AES_256_GCM_SHA384"}[exchange["tls"]]
            for part in parts:
                expected = trailer_length(part.records, part.length, exchange["tls"], cipher)
                assert expected == (17 if exchange["tls"] == "TLSv1.3" else 16)
                at = message.body.index(part.records)
                assert int.from_bytes(message.body[at - 4 : at], "little") == expected
    assert large == {("client", False), ("client", True), ("server", False), ("server", True)}
    assert next(plain["client"], None) is None


@pytest.mark.parametrize("fixture", PYTHON_CLIENTS, ids=names(PYTHON_CLIENTS))
def test_the_responder_answers_octet_for_octet(fixture: Fixture) -> None:
    ids = iter(fixture.manifest["randomness"]["ids"])
    responder = WSManResponder(hostname="srv", new_id=lambda: str(next(ids)))
    account = fixture.manifest["account"]
    who = Identity(username=account["username"], domain=account["domain"], mechanism="ntlm")
    credentials = PasswordCredentials(account["username"], account["password"], domain=account["domain"])
    answers = application(fixture, "server")
    for data in application(fixture, "client"):
        assert responder(WinRMRequest(who, credentials, data, client=("127.0.0.1", 1))).data == next(answers)
    assert next(ids, None) is None
    assert len(responder) == 0


@pytest.mark.parametrize("fixture", [f for f in FIXTURES if f not in ACCEPTED], ids=lambda fixture: fixture.name)
def test_a_refusal_says_why_with_401(fixture: Fixture) -> None:
    last = http(fixture)[-1]
    assert last.line == "HTTP/1.1 401"
    assert last.token
    assert TSRequest.decode(fixture.requests("server")[-1]).error_code == NTStatus.STATUS_LOGON_FAILURE

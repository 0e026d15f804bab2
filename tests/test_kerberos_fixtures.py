"""Captured logins over Kerberos, opened from the outside with the service's key, without any Kerberos library.

Ticket, authenticator, AP-REP, then every wrapped message (RFC 4120, RFC 4121): what the peers sent, and not only what
we believe they did.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from impacket.krb5.asn1 import AP_REP, AP_REQ, Authenticator, EncAPRepPart, EncTicketPart, Ticket
from pyasn1.codec.ber import decoder as ber

from credssp import binding
from credssp.credentials import PasswordCredentials, RemoteGuardCredentials, from_wire
from credssp.exchange.fixture import Fixture, load_all
from credssp.kerberos.cred import EncKrbCredPart
from credssp.kerberos.crypto import KeyUsage, decrypt
from credssp.kerberos.remote_guard_buffers import KerbRPCEncryptionKey, KerbTicketLogon
from credssp.protocol_version import effective_version
from credssp.secret import Secret
from credssp.spnego import NegTokenInit, NegTokenResp
from credssp.wire.der import Tag
from credssp.wire.ts_credentials import TSCredentials
from credssp.wire.ts_request import TSRequest

FIXTURES = [
    fixture
    for fixture in load_all(Path(__file__).parent.parent / "fixtures")
    if fixture.manifest["exchange"]["mechanism"] == "kerberos" and fixture.manifest["outcome"] == "accepted"
]

Key = tuple[int, Secret[bytes]]

AP_REP_PART = 12
ACCEPTOR_SEAL, INITIATOR_SEAL = 22, 24


def key_in(structure: Any) -> Key:
    return int(structure["keytype"]), Secret(bytes(structure["keyvalue"]))


def unframed(token: bytes) -> bytes:
    """Return the Kerberos message in the framing of GSS-API; rdesktop's lengths are no DER."""
    tag, at = token[0], 2 + (token[1] & 0x7F if token[1] & 0x80 else 0)
    assert (tag, token[at]) == (Tag.APPLICATION_0, Tag.OBJECT_IDENTIFIER)
    return token[at + 2 + token[at + 1] + 2 :]


class Keys:
    """All keys of one exchange, from that of the service."""

    def __init__(self, fixture: Fixture) -> None:
        self.requests = [
            (message.sender, TSRequest.decode(message.data))
            for message in fixture.messages
            if message.layer == "tsrequest"
        ]
        table = fixture.manifest["kerberos"]
        tokens = {"client": b"", "server": b""}
        for sender, request in self.requests:
            if request.nego_tokens and not tokens[sender]:
                tokens[sender] = request.nego_tokens[0]
        if fixture.manifest["exchange"]["wire_form"] == "spnego":
            tokens["client"] = NegTokenInit.decode(tokens["client"]).mech_token or b""
            tokens["server"] = NegTokenResp.decode(tokens["server"]).response_token or b""
        ap_req = ber.decode(unframed(tokens["client"]), asn1Spec=AP_REQ())[0]
        ticket = self.open(
            (table["etype"], Secret(bytes.fromhex(table["key"]))),
            KeyUsage.TICKET,
            ap_req["ticket"]["enc-part"],
            EncTicketPart(),
        )
        self.session = key_in(ticket["key"])
        authenticator = self.open(self.session, KeyUsage.AP_REQ_AUTHENTICATOR, ap_req["authenticator"], Authenticator())
        ap_rep = ber.decode(unframed(tokens["server"]), asn1Spec=AP_REP())[0]
        part = self.open(self.session, AP_REP_PART, ap_rep["enc-part"], EncAPRepPart())
        self.initiator = key_in(authenticator["subkey"])
        self.acceptor = key_in(part["subkey"]) if part["subkey"].hasValue() else self.initiator

    @staticmethod
    def open(key: Key, usage: int, sealed: Any, spec: Any) -> Any:
        return ber.decode(decrypt(key[0], key[1], usage, bytes(sealed["cipher"])), asn1Spec=spec)[0]

    def unwrap(self, sender: str, sealed: bytes) -> bytes:
        """Open a Wrap token (RFC 4121 4.2.6.2)."""
        header, body = sealed[:16], sealed[16:]
        assert header[:2] == b"\x05\x04"
        flags, filler, rotation = header[2], int.from_bytes(header[4:6], "big"), int.from_bytes(header[6:8], "big")
        assert bool(flags & 1) == (sender == "server")
        assert flags & 2
        etype, key = self.acceptor if flags & 4 else self.initiator
        rotation %= len(body)
        body = body[rotation:] + body[:rotation]
        plain = decrypt(etype, key, ACCEPTOR_SEAL if flags & 1 else INITIATOR_SEAL, body)
        assert plain[-16:-8] == header[:6] + b"\0\0"
        return plain[: len(plain) - 16 - filler]


@pytest.mark.parametrize("fixture", FIXTURES, ids=[fixture.name for fixture in FIXTURES])
def test_everything_opens_and_is_what_the_manifest_says(fixture: Fixture) -> None:
    keys = Keys(fixture)
    exchange = fixture.manifest["exchange"]
    version = effective_version(exchange["client_version"], exchange["server_version"])
    nonce = next((request.client_nonce for _, request in keys.requests if request.client_nonce), b"")
    seen = set()
    for sender, request in keys.requests:
        if request.pub_key_auth is not None:
            value = binding.client_value if sender == "client" else binding.server_value
            assert keys.unwrap(sender, request.pub_key_auth) == value(version, nonce, fixture.public_key)
            seen.add((sender, "pubKeyAuth"))
        if request.auth_info is not None:
            check_credentials(fixture, keys, keys.unwrap(sender, request.auth_info))
            seen.add((sender, "authInfo"))
    assert seen == {("client", "pubKeyAuth"), ("server", "pubKeyAuth"), ("client", "authInfo")}


def check_credentials(fixture: Fixture, keys: Keys, data: bytes) -> None:
    message = TSCredentials.decode(data)
    delegated = fixture.manifest["delegated"]
    credentials = from_wire(message)
    if delegated["type"] == "password":
        assert isinstance(credentials, PasswordCredentials)
        wanted = {name: delegated[name].removesuffix("\0") for name in ("username", "domain", "password")}
        assert (credentials.username, credentials.domain) == (wanted["username"], wanted["domain"])
        assert credentials.password.reveal() == wanted["password"]
        return
    assert isinstance(credentials, RemoteGuardCredentials)
    assert credentials.package_name == delegated["package"]
    logon = KerbTicketLogon.decode(credentials.buffer.reveal())
    cred = logon.krb_cred()
    assert cred is not None
    table = fixture.manifest["kerberos"]
    host = table["etype"], Secret(bytes.fromhex(table["host_key"]))
    ticket = ber.decode(logon.service_ticket.reveal(), asn1Spec=Ticket())[0]
    key = key_in(keys.open(host, KeyUsage.TICKET, ticket["enc-part"], EncTicketPart())["key"])
    part = EncKrbCredPart.decode(decrypt(*key, KeyUsage.KRB_CRED, cred.enc_part.cipher))
    (info,) = part.ticket_info
    assert (str(info.sname), str(info.pname)) == (f"krbtgt/{table['realm']}", "alice")
    assert len(KerbRPCEncryptionKey.decode(info.key.reveal()).handle.reveal()) == 16  # no AES-256 key, but a handle


def test_rdesktop_speaks_version_2_and_no_der() -> None:
    (fixture,) = [each for each in FIXTURES if each.name.startswith("rdesktop")]
    client = [TSRequest.decode(data) for data in fixture.requests("client")]
    assert {request.version for request in client} == {2}
    assert any(request.deviations for request in client)

"""AP-REQs made by hand, right but for what a test changes: with a client's own session key, or with a service's key."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from credssp.conformance.kerberos.forging import forged_ticket
from credssp.kerberos import crypto
from credssp.kerberos.ap import (
    AP_REQ,
    APReq,
    Authenticator,
    Checksum,
    frame,
    unframe,
)
from credssp.kerberos.cred import EncKrbCredPart, KrbCred, KrbCredInfo
from credssp.kerberos.crypto import KeyUsage
from credssp.kerberos.tickets import ServiceKey, ServiceTicket
from credssp.kerberos.values import (
    EncryptedData,
    EncryptionKey,
    Principal,
)
from credssp.secret import Secret

DELEG, MUTUAL, REPLAY, SEQUENCE, CONF, INTEG = (1 << n for n in range(6))
DCE_STYLE = 0x1000
USUAL = MUTUAL | REPLAY | SEQUENCE | CONF | INTEG

Change = Callable[[bytes], bytes]


def same(data: bytes) -> bytes:
    return data


def seal(key: EncryptionKey, usage: int, plain: bytes) -> EncryptedData:
    return EncryptedData(key.etype, crypto.encrypt(key.etype, key.value, usage, plain))


def gss_checksum(flags: int = USUAL, *, bindings: bytes = bytes(16), rest: bytes = b"") -> bytes:
    return (16).to_bytes(4, "little") + bindings + flags.to_bytes(4, "little") + rest


def delegation(cred: bytes) -> bytes:
    """DlgOpt, Dlgth, Deleg."""
    return b"\1\0" + len(cred).to_bytes(2, "little") + cred


@dataclass(frozen=True)
class Client:
    """A client with a ticket for a service, and one that it may forward."""

    ticket: ServiceTicket
    forwardable: ServiceTicket | None = None

    def krb_cred(
        self, *infos: KrbCredInfo, tickets: int | None = None, change: Change = same, etype: int = 18
    ) -> bytes:
        """KRB-CRED with the service ticket itself: whose it is and for what is what these tests are about."""
        count = len(infos) if tickets is None else tickets
        plain = change(EncKrbCredPart(infos).encode())
        sealed = seal(self.ticket.key, KeyUsage.KRB_CRED, plain) if etype else EncryptedData(0, plain)
        return KrbCred((self.ticket.ticket.encoded,) * count, sealed).encode()

    def info(self, **changes: Any) -> KrbCredInfo:
        now = datetime.now(UTC).replace(microsecond=0)
        right = KrbCredInfo(
            key_type=18,
            key=Secret(b"k" * 32),
            prealm=self.ticket.realm,
            pname=Principal(1, tuple(self.ticket.client.split("/"))),
            flags=0x40000000,
            authtime=now,
            starttime=now,
            endtime=now + timedelta(hours=1),
            srealm=self.ticket.ticket.realm,
            sname=self.ticket.ticket.sname,
        )
        return replace(right, **changes)

    def token(
        self,
        checksum: bytes | None = None,
        *,
        kind: int = Checksum.GSS_API,
        options: int = APReq.MUTUAL_REQUIRED,
        change: Change = same,
        framed: bool = True,
        subkey: bool = True,
    ) -> bytes:
        key = self.ticket.key
        now = datetime.now(UTC)
        authenticator = Authenticator(
            crealm=self.ticket.realm,
            cname=Principal(1, tuple(self.ticket.client.split("/"))),
            ctime=now,
            cusec=int.from_bytes(os.urandom(2), "big"),
            checksum=Checksum(kind, gss_checksum() if checksum is None else checksum),
            subkey=EncryptionKey(18, Secret(os.urandom(32))) if subkey else None,
            seq_number=1,
        )
        sealed = seal(key, KeyUsage.AP_REQ_AUTHENTICATOR, change(authenticator.encode()))
        message = APReq(options, self.ticket.ticket.encoded, sealed).encode()
        return frame(AP_REQ, message) if framed else message


def forged(
    key: ServiceKey,
    *,
    cname: Sequence[str] = ("alice",),
    crealm: str = "EXAMPLE.TEST",
    flags: int = 0,
    start: int = -60,
    end: int = 3600,
    realm: str | None = None,
    service: str | None = None,
    change: Change = same,
    authorization: bytes | Callable[[datetime], bytes] | None = None,
) -> Client:
    """A ticket as only the KDC, or whoever has the service's key, can make it; times are seconds from now."""
    ticket = forged_ticket(
        key,
        cname=cname,
        crealm=crealm,
        flags=flags,
        start=start,
        end=end,
        realm=realm,
        service=service,
        change=change,
        authorization=authorization,
    )
    return Client(ticket)


def opened_request(token: bytes) -> APReq:
    return APReq.decode(unframe(token)[1])

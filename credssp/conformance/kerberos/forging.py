"""Tickets as only a KDC makes them, or a program that has the key of the service (RFC 4120 5.3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from credssp.conformance.chance import octets
from credssp.conformance.kerberos import pacs
from credssp.kerberos import crypto as crypto
from credssp.kerberos.ap import Ticket
from credssp.kerberos.crypto import KeyUsage
from credssp.kerberos.tickets import ServiceKey, ServiceTicket
from credssp.kerberos.values import (
    EncryptedData,
    EncryptionKey,
    Principal,
    write_flags,
    write_key,
    write_realm,
    write_time,
)
from credssp.secret import Secret
from credssp.wire.der import write_explicit, write_integer, write_octet_string, write_sequence, write_tlv

__all__ = ["forged_ticket", "ticket_with_pac"]

_AES256 = 18


def forged_ticket(
    key: ServiceKey,
    *,
    cname: Sequence[str],
    crealm: str,
    flags: int = 0,
    start: int = -60,
    end: int = 3600,
    realm: str | None = None,
    service: str | None = None,
    change: Callable[[bytes], bytes] = bytes,
    authorization: bytes | Callable[[datetime], bytes] | None = None,
) -> ServiceTicket:
    """Return a ticket with a session key of its own.

    Args:
        key: the key of the service.
        cname: components of the client's name.
        crealm: its realm.
        flags: TicketFlags.
        start: seconds from now when it becomes valid, which is when the client logged on, too.
        end: seconds from now when it expires.
        realm: realm of the service, None for that of the key.
        service: another service than that of the key.
        change: what becomes of EncTicketPart before it is encrypted.
        authorization: AuthorizationData, or what makes it for the time at which the client logged on.
    """
    now = datetime.now(UTC).replace(microsecond=0)
    session = EncryptionKey(_AES256, Secret(octets(32)))
    if callable(authorization):
        authorization = authorization(now + timedelta(seconds=start))
    client = Principal(1, tuple(cname))
    times = [write_time(now + timedelta(seconds=seconds)) or b"" for seconds in (start, start, end)]
    transited = write_sequence(write_explicit(0, write_integer(1)), write_explicit(1, write_octet_string(b"")))
    plain = write_tlv(
        0x63,
        write_sequence(
            write_explicit(0, write_flags(flags)),
            write_explicit(1, write_key(session)),
            write_explicit(2, write_realm(crealm) or b""),
            write_explicit(3, client.encode()),
            write_explicit(4, transited),
            write_explicit(5, times[0]),
            write_explicit(6, times[1]),
            write_explicit(7, times[2]),
            *(() if authorization is None else (write_explicit(10, authorization),)),
        ),
    )
    cipher = crypto.encrypt(key.key.etype, key.key.value, KeyUsage.TICKET, change(plain))
    name = Principal(2, tuple((service or key.service).split("/")))
    data = write_tlv(
        0x61,
        write_sequence(
            write_explicit(0, write_integer(5)),
            write_explicit(1, write_realm(realm or key.realm) or b""),
            write_explicit(2, name.encode()),
            write_explicit(3, EncryptedData(key.key.etype, cipher, kvno=key.kvno).encode()),
        ),
    )
    return ServiceTicket(Ticket.decode(data), session, "/".join(cname), crealm, b"")


def ticket_with_pac(
    key: ServiceKey,
    client: str,
    *,
    account: str = "",
    named: str = "",
    late: int = 0,
    change: Callable[[bytes], bytes] = bytes,
) -> ServiceTicket:
    """Return a ticket whose PAC is right but for what is given.

    Args:
        key: the key of the service.
        client: the client's name in the ticket; its realm is that of the service.
        account: whose account it was by the PAC; empty for the same name.
        named: the client by PAC_CLIENT_INFO; empty for the same name.
        late: seconds by which the PAC's time of logon is another than the ticket's.
        change: what becomes of the PAC after it was signed.
    """

    def authorization(authtime: datetime) -> bytes:
        info = pacs.client_info(named or client, authtime + timedelta(seconds=late))
        made = pacs.signed(key.key, pacs.logon_info(account or client), client=info, authtime=authtime)
        return pacs.authorization(change(made))

    return forged_ticket(key, cname=(client,), crealm=key.realm, authorization=authorization)

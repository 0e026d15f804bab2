"""Who a client is, by the PAC of its ticket ([MS-PAC]).

The name in a ticket is what the client asked for: ``kinit ALICE`` gives ALICE, and where there is a machine account
``root$``, ``kinit root`` gives a ticket for ``root``. The KDC says in the PAC whose account it was. So a server of a
domain takes account, domain, SID and groups from there.

What is read: the buffers, KERB_VALIDATION_INFO, PAC_CLIENT_INFO and the server's signature, which proves that the KDC
wrote all of it. The signatures of the KDC are for KDCs.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from credssp.errors import DecodeError, LimitExceededError, RemoteProtocolError
from credssp.kerberos import crypto
from credssp.kerberos.ndr import NDRReader
from credssp.kerberos.values import EncryptionKey
from credssp.sid import grants
from credssp.status import SecurityStatus

__all__ = ["LogonInfo", "read_buffers", "read_logon_info", "vouched"]

_LOGON_INFO: Final = 1
_SERVER_CHECKSUM: Final = 6
_KDC_CHECKSUM: Final = 7
_CLIENT_INFO: Final = 10

_MAX_BUFFERS: Final = 32
"""Windows writes some ten, each kind once ([MS-PAC] 2.4)."""
_MAX_GROUPS: Final = 4096
"""Of each of three lists; a token of Windows has 1,024 groups at most."""

_HEADER: Final = 8
_ENTRY: Final = 16
_LOGON_EXTRA_SIDS: Final = 0x20
_LOGON_RESOURCE_GROUPS: Final = 0x200

_CHECKSUMS: Final = {17: 15, 18: 16, 19: 19, 20: 20, crypto.RC4_HMAC: 0xFFFFFF76}
"""By encryption type of the key, the type of its checksum ([MS-PAC] 2.8.1; RFC 8009 7)."""

_EPOCH: Final = datetime(1601, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class LogonInfo:
    """What of KERB_VALIDATION_INFO ([MS-PAC] 2.5) says who it is.

    Attributes:
        username: EffectiveName: the account's name.
        domain: LogonDomainName: NetBIOS name of its domain.
        sid: LogonDomainId and UserId.
        groups: the SIDs of all groups that grant something, sorted, each once.
    """

    username: str
    domain: str
    sid: str
    groups: tuple[str, ...]


def vouched(pac: bytes, key: EncryptionKey, *, client: str, authtime: datetime) -> LogonInfo | None:
    """Return who a ticket's client is, or None where the PAC does not say it (MIT Kerberos without a domain).

    Args:
        pac: the PAC of the ticket.
        key: what the ticket was encrypted with; the KDC signed the PAC with it.
        client: the client's name in the ticket, without the realm.
        authtime: of the ticket.

    Raises:
        DecodeError, LimitExceededError: it does not decode.
        RemoteProtocolError: its signature does not match, or it is the PAC of another ticket.
    """
    buffers = read_buffers(pac)
    span = buffers.get(_LOGON_INFO)
    if span is None:
        return None
    _verify(pac, buffers, key)
    _check_client(pac, buffers, client, authtime)
    return read_logon_info(pac[slice(*span)])


def read_buffers(pac: bytes) -> Mapping[int, tuple[int, int]]:
    """Return start and end of each buffer of a PAC ([MS-PAC] 2.3), by type. Raises DecodeError, LimitExceededError."""
    count = int.from_bytes(pac[:4], "little")
    if len(pac) < _HEADER or int.from_bytes(pac[4:8], "little"):
        raise _error("does not begin with a count and version 0")
    if count > _MAX_BUFFERS:
        raise LimitExceededError(f"PAC: {count} buffers, at most {_MAX_BUFFERS} are read", section="[MS-PAC] 2.3")
    head = _HEADER + _ENTRY * count
    found: dict[int, tuple[int, int]] = {}
    for at in range(_HEADER, head, _ENTRY):
        entry = pac[at : at + _ENTRY]
        kind, size = int.from_bytes(entry[:4], "little"), int.from_bytes(entry[4:8], "little")
        start = int.from_bytes(entry[8:], "little")
        if len(entry) < _ENTRY or start % 8 or start < head or start + size > len(pac):
            raise _error("a buffer is outside, or not aligned", at)
        if kind in found:
            raise _error(f"two buffers of type {kind}", at)
        found[kind] = start, start + size
    return found


def read_logon_info(buffer: bytes) -> LogonInfo:
    """Read KERB_VALIDATION_INFO ([MS-PAC] 2.5). Raises DecodeError."""
    ndr = NDRReader(buffer, "PAC.KERB_VALIDATION_INFO")
    ndr.raw(48)  # six times
    texts = [ndr.text() for _ in range(6)]
    ndr.raw(4, 2)  # LogonCount, BadPasswordCount
    user, primary, group_count, groups_follow, flags = (ndr.u32() for _ in range(5))
    ndr.raw(16)  # UserSessionKey
    server, domain = ndr.text(), ndr.text()
    domain_follows = ndr.u32()
    ndr.raw(40, 4)  # Reserved1, UserAccountControl, SubAuthStatus, two times, FailedILogonCount, Reserved3
    extra_count, extra_follow, resource_domain_follows, resource_count, resource_follow = (ndr.u32() for _ in range(5))

    username, *_ = [ndr.text_body(text) for text in texts]
    members = _memberships(ndr, group_count, groups_follow)  # relative to LogonDomainId, which follows
    ndr.text_body(server)
    domain_name = ndr.text_body(domain)
    if not domain_follows:
        raise ndr.error("has no LogonDomainId")
    domain_sid = ndr.sid()
    extra = _extra_sids(ndr, extra_count, extra_follow)
    resource_domain = ndr.sid() if resource_domain_follows else ""
    resource = _memberships(ndr, resource_count, resource_follow)
    if resource and not resource_domain:
        raise ndr.error("has resource groups without a domain")
    ndr.end()

    held = [(f"{domain_sid}-{rid}", attributes) for rid, attributes in ((primary, 0), *members)]
    if flags & _LOGON_EXTRA_SIDS:
        held += extra
    if flags & _LOGON_RESOURCE_GROUPS:
        held += [(f"{resource_domain}-{rid}", attributes) for rid, attributes in resource]
    groups = {sid for sid, attributes in held if grants(sid, attributes)}
    return LogonInfo(username, domain_name, f"{domain_sid}-{user}", tuple(sorted(groups)))


def _memberships(ndr: NDRReader, count: int, follow: int) -> list[tuple[int, int]]:
    """Read GROUP_MEMBERSHIPs ([MS-PAC] 2.2.2): RID and attributes."""
    if not follow:
        if count:
            raise ndr.error(f"announces {count} groups and has none")
        return []
    return [(ndr.u32(), ndr.u32()) for _ in range(ndr.count(count, _MAX_GROUPS))]


def _extra_sids(ndr: NDRReader, count: int, follow: int) -> list[tuple[str, int]]:
    """Read KERB_SID_AND_ATTRIBUTES ([MS-PAC] 2.2.1): SID and attributes."""
    if not follow:
        if count:
            raise ndr.error(f"announces {count} SIDs and has none")
        return []
    heads = [(ndr.u32(), ndr.u32()) for _ in range(ndr.count(count, _MAX_GROUPS))]
    if not all(pointer for pointer, _ in heads):
        raise ndr.error("has a null pointer among its SIDs")
    return [(ndr.sid(), attributes) for _, attributes in heads]


def _verify(pac: bytes, buffers: Mapping[int, tuple[int, int]], key: EncryptionKey) -> None:
    """Check the server's signature: over all of the PAC, with the two signatures as zeros ([MS-PAC] 2.8.2)."""
    covered = bytearray(pac)
    received = b""
    for kind in (_SERVER_CHECKSUM, _KDC_CHECKSUM):
        if kind not in buffers:
            raise _forged(f"has no signature of type {kind}")
        start, end = buffers[kind]
        signature_type = int.from_bytes(pac[start : start + 4], "little")
        size = _SIZES.get(signature_type, 0)
        if not size or end - start < 4 + size:
            raise _forged(f"has a signature of type 0x{signature_type:X} that is not known here")
        if kind == _SERVER_CHECKSUM:
            if signature_type != _CHECKSUMS.get(key.etype):
                raise _forged(f"is signed with type 0x{signature_type:X}, and the key is of type {key.etype}")
            received = pac[start + 4 : start + 4 + size]
        covered[start + 4 : start + 4 + size] = bytes(size)
    expected = crypto.checksum(key.etype, key.value, crypto.KeyUsage.PAC, bytes(covered))
    if not hmac.compare_digest(received, expected):
        raise _forged("has a signature that does not match")


_SIZES: Final = {15: 12, 16: 12, 19: 16, 20: 24, 0xFFFFFF76: 16}
"""Bytes of a signature, by its type."""


def _check_client(pac: bytes, buffers: Mapping[int, tuple[int, int]], client: str, authtime: datetime) -> None:
    """Check that the PAC was made for this ticket ([MS-PAC] 2.7)."""
    if _CLIENT_INFO not in buffers:
        raise _forged("has no PAC_CLIENT_INFO")
    info = pac[slice(*buffers[_CLIENT_INFO])]
    seconds = (authtime - _EPOCH).total_seconds()
    when, size, name = int.from_bytes(info[:8], "little"), int.from_bytes(info[8:10], "little"), info[10:]
    if len(info) < 10 or size > len(name) or when != int(seconds) * 10_000_000:
        raise _forged("is of another ticket")
    if name[:size].decode("utf-16-le", "replace") != client:
        raise _forged("is for another name than the ticket")


def _error(what: str, offset: int = 0) -> DecodeError:
    return DecodeError(what, field="PAC", offset=offset, section="[MS-PAC] 2.3")


def _forged(what: str) -> RemoteProtocolError:
    return RemoteProtocolError(
        f"the PAC of the client's ticket {what}", status=SecurityStatus.SEC_E_MESSAGE_ALTERED, section="[MS-PAC] 2.8"
    )

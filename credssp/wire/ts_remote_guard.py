"""Credentials of Remote Credential Guard ([MS-CSSP] 2.2.1.2.3)::

    TSRemoteGuardCreds ::= SEQUENCE {
        logonCred         [0] TSRemoteGuardPackageCred,
        supplementalCreds [1] SEQUENCE OF TSRemoteGuardPackageCred OPTIONAL }

    TSRemoteGuardPackageCred ::= SEQUENCE {
        packageName [0] OCTET STRING,
        credBuffer  [1] OCTET STRING }

What is in credBuffer belongs to the package (KERB_TICKET_LOGON, NTLM_REMOTE_SUPPLEMENTAL_CREDENTIAL) and is not
looked into.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from credssp.errors import DecodeError
from credssp.secret import Secret
from credssp.wire._show import show
from credssp.wire._text import read_text, write_text
from credssp.wire.der import Reader, Span, Tag, write_explicit, write_octet_string, write_sequence
from credssp.wire.tolerant import MAX_MESSAGE_SIZE, Deviation, TolerantReader, check_size

__all__ = ["MAX_SUPPLEMENTAL_CREDS", "TSRemoteGuardCreds", "TSRemoteGuardPackageCred"]

MAX_SUPPLEMENTAL_CREDS: Final = 16
"""Limit of supplementalCreds. Windows sends one, for NTLM; there are not many packages that could join it."""

_SECTION: Final = "[MS-CSSP] 2.2.1.2.3"
_CREDS: Final = "TSRemoteGuardCreds"


@dataclass(frozen=True, slots=True, repr=False)
class TSRemoteGuardPackageCred:
    """Credentials for one security package ([MS-CSSP] 2.2.1.2.3.1).

    Attributes:
        package_name: packageName, such as ``Kerberos`` or ``NTLM``.
        cred_buffer: credBuffer, in the package's own form.
    """

    package_name: str
    cred_buffer: Secret[bytes]

    def __repr__(self) -> str:
        return show(self)

    def encode(self) -> bytes:
        """Write it as DER."""
        return write_sequence(
            write_explicit(0, write_text(self.package_name)),
            write_explicit(1, write_octet_string(self.cred_buffer.reveal())),
        )


@dataclass(frozen=True, slots=True, repr=False)
class TSRemoteGuardCreds:
    """Credentials that stay on the client: what is in them works only through redirected calls.

    Attributes:
        logon_cred: logonCred, for the logon itself.
        supplemental_creds: supplementalCreds, for further packages; an empty list is not the same as None.
        deviations: what `decode` had to forgive; does not count in comparisons and is not written.
    """

    logon_cred: TSRemoteGuardPackageCred
    supplemental_creds: tuple[TSRemoteGuardPackageCred, ...] | None = None
    deviations: tuple[Deviation, ...] = field(default=(), compare=False, kw_only=True)

    def __repr__(self) -> str:
        return show(self)

    def encode(self) -> bytes:
        """Write it as DER."""
        members = [write_explicit(0, self.logon_cred.encode())]
        if self.supplemental_creds is not None:
            members.append(write_explicit(1, write_sequence(*(cred.encode() for cred in self.supplemental_creds))))
        return write_sequence(*members)

    @classmethod
    def decode(cls, data: bytes, *, max_size: int = MAX_MESSAGE_SIZE, origin: int = 0) -> TSRemoteGuardCreds:
        """Read it.

        Args:
            data: the bytes.
            max_size: how many bytes there may be.
            origin: added to the offsets in errors and deviations.

        Raises:
            DecodeError: this is something else.
            LimitExceededError: there is too much of it.
        """
        check_size(data, max_size, _CREDS, _SECTION)
        octets = bytes(data)
        try:
            return _read(Reader(octets, _SECTION, origin=origin))
        except DecodeError:
            reader = TolerantReader(octets, _SECTION, origin=origin)
        return _read(reader)


_MEMBERS: Final = ((f"{_CREDS}.logonCred", Tag.SEQUENCE), (f"{_CREDS}.supplementalCreds", Tag.SEQUENCE))


def _read(reader: Reader) -> TSRemoteGuardCreds:
    logon, supplemental = reader.members(reader.only(reader.whole, Tag.SEQUENCE, _CREDS), _MEMBERS, _CREDS)
    path = f"{_CREDS}.logonCred"
    logon_cred = _read_package(reader, reader.required(logon, path), path)
    creds = None
    if supplemental is not None:
        path = f"{_CREDS}.supplementalCreds"
        items = reader.elements(supplemental, Tag.SEQUENCE, path, limit=MAX_SUPPLEMENTAL_CREDS)
        creds = tuple(_read_package(reader, item, f"{path}[{number}]") for number, item in enumerate(items))
    return TSRemoteGuardCreds(logon_cred, creds, deviations=reader.deviations)


def _read_package(reader: Reader, span: Span, path: str) -> TSRemoteGuardPackageCred:
    kinds = ((f"{path}.packageName", Tag.OCTET_STRING), (f"{path}.credBuffer", Tag.OCTET_STRING))
    name, buffer = reader.members(span, kinds, path)
    text = read_text(reader, name, f"{path}.packageName")
    start, stop = reader.required(buffer, f"{path}.credBuffer")
    return TSRemoteGuardPackageCred(text, Secret(reader.data[start:stop]))

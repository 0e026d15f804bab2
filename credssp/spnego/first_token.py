"""The client's first token tells what it speaks.

======================================= ================================================================
first bytes                            what it is
======================================= ================================================================
``NTLMSSP\\0``                           NTLM without SPNEGO (Windows when it has no Kerberos, FreeRDP 2)
``60 len`` SPNEGO's OID, or ``a0``      SPNEGO; ``a0`` where a client leaves the GSS-API framing away
``60 len`` Kerberos' OID                Kerberos without SPNEGO (rdesktop)
======================================= ================================================================

A client is answered in the form it chose. Lengths in the GSS-API framing are read in any form here, since rdesktop
writes them longer than need be; the mechanism itself judges the rest.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, TypeAlias

from credssp.errors import AuthenticationError, LocalProtocolError, RemoteProtocolError
from credssp.mechanism import Mechanism, SpnegoMechanism
from credssp.mechanism_name import MechanismName
from credssp.security_context import OuterContext
from credssp.spnego.acceptor import SpnegoAcceptor
from credssp.spnego.candidate import Candidate
from credssp.spnego.mech_types import OID
from credssp.status import SecurityStatus
from credssp.wire.der import write_oid

__all__ = ["FirstTokenAcceptor", "create_acceptor_of"]

_Acceptor: TypeAlias = SpnegoAcceptor | SpnegoMechanism

_NTLMSSP: Final = b"NTLMSSP\0"
_SPNEGO: Final = write_oid(OID.SPNEGO)
_KERBEROS: Final = (write_oid(OID.KERBEROS), write_oid(OID.MS_KERBEROS))


def create_acceptor_of(candidates: Collection[Candidate], *, require_mic: bool = True) -> Mechanism:
    """Make the inner authentication of a server out of the caller's mechanisms, best first."""
    return FirstTokenAcceptor(tuple(candidates), require_mic=require_mic, kerberos_missing=None)


class FirstTokenAcceptor(OuterContext):
    """Makes the acceptor that the first token asks for, and passes everything on to it."""

    def __init__(self, candidates: tuple[Candidate, ...], *, require_mic: bool, kerberos_missing: str | None) -> None:
        super().__init__()
        self._candidates = candidates
        self._require_mic = require_mic
        self._kerberos_missing = kerberos_missing
        self._acceptor: _Acceptor | None = None

    def _chosen(self) -> _Acceptor:
        if self._acceptor is None:
            raise LocalProtocolError("no token has come yet")
        return self._acceptor

    def _step(self, token: bytes | None) -> bytes | None:
        if token is None:
            raise LocalProtocolError("an acceptor needs the client's token")
        acceptor = self._acceptor
        if acceptor is None:
            acceptor = self._acceptor = self._dispatch(bytes(token))
            self.wire_form = acceptor.wire_form
        reply = acceptor.step(token)
        self.name = acceptor.name
        self.complete, self.can_wrap = acceptor.complete, acceptor.can_wrap
        self.identity = acceptor.identity
        self.server_authentication = acceptor.server_authentication
        return reply

    def _dispatch(self, token: bytes) -> _Acceptor:
        if token.startswith(_NTLMSSP):
            return self._bare("ntlm")
        if token[:1] == b"\x60":
            oid_at = 2 + (token[1] & 0x7F if len(token) > 1 and token[1] & 0x80 else 0)
            if token.startswith(_SPNEGO, oid_at):
                return self._spnego()
            if token.startswith(_KERBEROS, oid_at):
                return self._bare("kerberos")
            raise RemoteProtocolError(
                "the first token has the GSS-API framing of a mechanism that is neither SPNEGO nor Kerberos",
                section="[MS-CSSP] 2.2.1.1",
            )
        if token[:1] == b"\xa0":
            return self._spnego()
        seen = f"begins with 0x{token[0]:02X}" if token else "is empty"
        raise RemoteProtocolError(
            f"the first token {seen}; SPNEGO begins with 0x60 or 0xA0, NTLM with NTLMSSP, Kerberos with 0x60",
            section="[MS-CSSP] 2.2.1.1",
        )

    def _spnego(self) -> SpnegoAcceptor:
        return SpnegoAcceptor(self._candidates, require_mic=self._require_mic)

    def _bare(self, name: MechanismName) -> SpnegoMechanism:
        why = self._kerberos_missing if name == "kerberos" and self._kerberos_missing else "it is not accepted here"
        for candidate in self._candidates:
            if candidate.name == name:
                obstacle = candidate.obstacle()
                if obstacle is None:
                    return candidate.make()
                why = obstacle.message
        raise AuthenticationError(
            f"the client speaks {name} without SPNEGO: {why}", status=SecurityStatus.SEC_E_SECPKG_NOT_FOUND
        )

    def __repr__(self) -> str:
        return f"Acceptor({self.wire_form or 'not started'}, complete={self.complete}, failed={self._failed})"

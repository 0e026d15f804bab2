"""The inner authentication of a server: the client's first token tells what it speaks.

======================================= ================================================================
first octets                            what it is
======================================= ================================================================
``NTLMSSP\\0``                           NTLM without SPNEGO (Windows when it has no Kerberos, FreeRDP 2)
``60 len`` SPNEGO's OID, or ``a0``      SPNEGO; ``a0`` where a client leaves the GSS-API framing away
``60 len`` Kerberos' OID                Kerberos without SPNEGO (rdesktop)
======================================= ================================================================

A client is answered in the form it chose. Lengths in the GSS-API framing are read in any form here, since rdesktop
writes them longer than need be; the mechanism itself judges the rest.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable
from typing import Final

from credssp.account import AccountStore
from credssp.errors import AuthenticationError, LocalProtocolError, RemoteProtocolError
from credssp.nego import pyspnego
from credssp.nego.base import SecurityContext
from credssp.nego.kerberos import KerberosAcceptor
from credssp.nego.mechanism import Mechanism, MechanismName, SpnegoMechanism
from credssp.nego.ntlm.acceptor import NTLMAcceptor
from credssp.nego.ntlm.target import NTLMTarget
from credssp.nego.spnego import OID, Candidate, SpnegoAcceptor
from credssp.status import SecurityStatus
from credssp.wire.der import write_oid

__all__ = ["create_acceptor", "create_acceptor_of"]

_NTLMSSP: Final = b"NTLMSSP\0"
_SPNEGO: Final = write_oid(OID.SPNEGO)
_KERBEROS: Final = (write_oid(OID.KERBEROS), write_oid(OID.MS_KERBEROS))
_OIDS: Final[dict[str, str]] = {"ntlm": OID.NTLM, "kerberos": OID.KERBEROS}


def create_acceptor(
    accounts: AccountStore,
    *,
    mechanisms: Collection[MechanismName] = ("kerberos", "ntlm"),
    target: NTLMTarget | None = None,
    spn: str | Iterable[str] | None = None,
    keytab: str | None = None,
    service_principal: str | None = None,
    channel_bindings: bytes | None = None,
    require_mic: bool = True,
    max_clock_skew: float | None = None,
    clock: Callable[[], int] = time.time_ns,
    random: Callable[[int], bytes] = os.urandom,
) -> Mechanism:
    """Make the inner authentication of a server; it serves one login.

    Args:
        accounts: who may log on with NTLM.
        mechanisms: what to accept, best first. Kerberos is left out where its libraries are not installed.
        target: the names in NTLM's CHALLENGE; by default those of this host.
        spn: the SPN, or those, of which a client must name one. With Kerberos the keys of these are taken; without any,
            every key of the keytab.
        keytab: Kerberos keytab as ``TYPE:residual`` or a path; None for the default one of the process.
        service_principal: the one principal (``TERMSRV/host@REALM``) whose key is taken, in place of those of `spn`.
        channel_bindings: application data of the channel bindings that clients must use, or None.
        require_mic: refuse NTLM without MIC, and NTLM in SPNEGO without mechListMIC; see `NTLMAcceptor` and
            `SpnegoAcceptor`.
        max_clock_skew: see `NTLMAcceptor`.
        clock: nanoseconds since 1970, as `time.time_ns`.
        random: n random octets, as `os.urandom`.

    Raises:
        LocalProtocolError: an unknown mechanism, or none that is available.
    """
    names = tuple(spn) if spn is not None and not isinstance(spn, str) else spn
    services = (names,) if isinstance(names, str) else names or ()
    if service_principal is not None:
        services = (service_principal,)

    def make_ntlm() -> NTLMAcceptor:
        return NTLMAcceptor(
            accounts,
            target=target,
            spn=names,
            channel_bindings=channel_bindings,
            require_mic=require_mic,
            max_clock_skew=max_clock_skew,
            clock=clock,
            random=random,
        )

    def make_kerberos() -> KerberosAcceptor:
        return KerberosAcceptor(names=services, keytab=keytab, channel_bindings=channel_bindings)

    if not set(mechanisms) <= set(_OIDS):
        raise LocalProtocolError("mechanisms are ntlm and kerberos")
    makers: dict[str, Callable[[], SpnegoMechanism]] = {"ntlm": make_ntlm, "kerberos": make_kerberos}
    missing = pyspnego.kerberos_missing() if "kerberos" in mechanisms else None
    candidates = tuple(
        Candidate(name, _OIDS[name], makers[name]) for name in mechanisms if name != "kerberos" or missing is None
    )
    if not candidates:
        raise LocalProtocolError(missing or "no mechanism to accept", status=SecurityStatus.SEC_E_SECPKG_NOT_FOUND)
    return _Dispatcher(candidates, require_mic=require_mic, kerberos_missing=missing)


def create_acceptor_of(candidates: Collection[Candidate], *, require_mic: bool = True) -> Mechanism:
    """Make the inner authentication of a server out of the caller's mechanisms, best first; see `create_acceptor`."""
    return _Dispatcher(tuple(candidates), require_mic=require_mic, kerberos_missing=None)


class _Dispatcher(SecurityContext):
    """Makes the acceptor that the first token asks for, and stands in front of it."""

    def __init__(self, candidates: tuple[Candidate, ...], *, require_mic: bool, kerberos_missing: str | None) -> None:
        super().__init__()
        self._candidates = candidates
        self._require_mic = require_mic
        self._kerberos_missing = kerberos_missing
        self._acceptor: Mechanism | None = None

    @property
    def session_key(self) -> bytes:
        """The session key of the mechanism."""
        self._check_can_wrap()
        return self._chosen().session_key

    def _chosen(self) -> Mechanism:
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

    def _dispatch(self, token: bytes) -> Mechanism:
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

    def _spnego(self) -> Mechanism:
        return SpnegoAcceptor(self._candidates, require_mic=self._require_mic)

    def _bare(self, name: MechanismName) -> Mechanism:
        for candidate in self._candidates:
            if candidate.name == name:
                return candidate.make()
        why = self._kerberos_missing if name == "kerberos" and self._kerberos_missing else "it is not accepted here"
        raise AuthenticationError(
            f"the client speaks {name} without SPNEGO: {why}", status=SecurityStatus.SEC_E_SECPKG_NOT_FOUND
        )

    def _sign(self, data: bytes) -> bytes:
        acceptor = self._chosen()
        assert isinstance(acceptor, SecurityContext)  # noqa: S101  # _dispatch makes no other
        return acceptor.sign(data)

    def _verify(self, data: bytes, signature: bytes) -> None:
        acceptor = self._chosen()
        assert isinstance(acceptor, SecurityContext)  # noqa: S101
        acceptor.verify(data, signature)

    def _wrap(self, data: bytes) -> bytes:
        return self._chosen().wrap(data)

    def _unwrap(self, data: bytes) -> bytes:
        return self._chosen().unwrap(data)

    def __repr__(self) -> str:
        return f"Acceptor({self.wire_form or 'not started'}, complete={self.complete}, failed={self._failed})"

"""The inner authentication of a server: the mechanisms it accepts, put together."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable
from typing import Final

from credssp.account import AccountStore
from credssp.errors import LocalProtocolError
from credssp.kerberos import pyspnego
from credssp.kerberos.contexts import KerberosAcceptor
from credssp.mechanism import Mechanism, SpnegoMechanism
from credssp.mechanism_name import MechanismName
from credssp.ntlm.acceptor import NTLMAcceptor
from credssp.ntlm.challenge import NTLMTarget
from credssp.spnego import OID, Candidate
from credssp.spnego.first_token import FirstTokenAcceptor
from credssp.status import SecurityStatus

__all__ = ["create_acceptor"]

_DEFAULT: Final[tuple[MechanismName, ...]] = ("kerberos", "ntlm")
_OIDS: Final[dict[str, str]] = {"ntlm": OID.NTLM, "kerberos": OID.KERBEROS}


def create_acceptor(
    accounts: AccountStore,
    *,
    mechanisms: Collection[MechanismName] | None = None,
    target: NTLMTarget | None = None,
    spn: str | Iterable[str] | None = None,
    keytab: str | None = None,
    service_principal: str | None = None,
    channel_bindings: bytes | None = None,
    accept_forwarded: bool = False,
    accept_anonymous: bool = False,
    require_mic: bool = True,
    max_clock_skew: float | None = None,
    clock: Callable[[], int] = time.time_ns,
    random: Callable[[int], bytes] = os.urandom,
) -> Mechanism:
    """Make the inner authentication of a server; it serves one login.

    Args:
        accounts: who may log on with NTLM.
        mechanisms: what to accept, best first; None for Kerberos, then NTLM. Kerberos is left out where its libraries
            are not installed; with None also where neither `keytab` is given nor the default one has a key.
        target: the names in NTLM's CHALLENGE; by default those of this host.
        spn: the SPN, or those, of which a client must name one. With Kerberos the keys of these are taken; without any,
            every key of the keytab.
        keytab: Kerberos keytab as ``TYPE:residual`` or a path; None for the default one of the process.
        service_principal: the one principal (``TERMSRV/host@REALM``) whose key is taken, in place of those of `spn`.
        channel_bindings: application data of the channel bindings that clients must use, or None.
        accept_forwarded: see `KerberosAcceptor`.
        accept_anonymous: see `KerberosAcceptor`.
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
        return KerberosAcceptor(
            names=services,
            keytab=keytab,
            channel_bindings=channel_bindings,
            accept_forwarded=accept_forwarded,
            accept_anonymous=accept_anonymous,
        )

    # Who names a keytab or a mechanism wants it, and has to hear that it does not work.
    by_chance = mechanisms is None and keytab is None
    mechanisms = _DEFAULT if mechanisms is None else mechanisms
    if not set(mechanisms) <= set(_OIDS):
        raise LocalProtocolError("mechanisms are ntlm and kerberos")
    makers: dict[str, Callable[[], SpnegoMechanism]] = {"ntlm": make_ntlm, "kerberos": make_kerberos}
    missing = pyspnego.kerberos_missing() if "kerberos" in mechanisms else None
    candidates = tuple(
        Candidate(
            name,
            _OIDS[name],
            makers[name],
            (lambda: make_kerberos().obstacle()) if by_chance and name == "kerberos" else lambda: None,
        )
        for name in mechanisms
        if name != "kerberos" or missing is None
    )
    if not candidates:
        raise LocalProtocolError(missing or "no mechanism to accept", status=SecurityStatus.SEC_E_SECPKG_NOT_FOUND)
    return FirstTokenAcceptor(candidates, require_mic=require_mic, kerberos_missing=missing)

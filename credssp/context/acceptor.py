"""The inner authentication of a server: the mechanisms it accepts, put together."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final, Unpack

from credssp.account import AccountStore
from credssp.config import ServerConfig, ServerOptions, server_config
from credssp.errors import LocalProtocolError, LocalRestrictionError
from credssp.kerberos import pyspnego
from credssp.kerberos.contexts import KerberosAcceptor
from credssp.mechanism import Mechanism, SpnegoMechanism
from credssp.mechanism_name import MechanismName
from credssp.ntlm import crypto
from credssp.ntlm.acceptor import NTLMAcceptor
from credssp.spnego import OID, Candidate, SpnegoAcceptor
from credssp.status import SecurityStatus

__all__ = ["create_acceptor", "kerberos_acceptor", "ntlm_acceptor"]

_DEFAULT: Final[tuple[MechanismName, ...]] = ("kerberos", "ntlm")
_OIDS: Final[dict[str, str]] = {"ntlm": OID.NTLM, "kerberos": OID.KERBEROS}


def create_acceptor(
    accounts: AccountStore | None = None,
    /,
    *,
    config: ServerConfig | None = None,
    **options: Unpack[ServerOptions],
) -> Mechanism:
    """Make the inner authentication of a server; it serves one login.

    Args:
        accounts: who may log on with NTLM; None for those of `config`, or else no accounts.
        config: the options: mechanisms, target, spn, keytab, ...; None for the defaults.
        options: fields of `credssp.ServerConfig`, in place of those of `config`.

    Raises:
        LocalProtocolError: an unknown mechanism, or none that is available.
        LocalRestrictionError: NTLM is wanted, and there is no MD5.
    """
    if accounts is not None:
        options["accounts"] = accounts
    settings = server_config("create_acceptor", ServerOptions, config, options)

    def make_kerberos() -> KerberosAcceptor:
        return kerberos_acceptor(settings)

    # Who names a keytab or a mechanism wants it, and has to hear that it does not work.
    by_chance = settings.mechanisms is None and settings.keytab is None
    mechanisms = _DEFAULT if settings.mechanisms is None else settings.mechanisms
    makers: dict[str, Callable[[], SpnegoMechanism]] = {
        "ntlm": lambda: ntlm_acceptor(settings),
        "kerberos": make_kerberos,
    }
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
    if any(each.name == "ntlm" for each in candidates):
        try:
            crypto.check_md5()
        except LocalRestrictionError:
            # Who names accounts or mechanisms wants NTLM, as above.
            if settings.mechanisms is not None or settings.accounts is not None or len(candidates) == 1:
                raise
            candidates = tuple(each for each in candidates if each.name != "ntlm")
    if not candidates:
        raise LocalProtocolError(missing or "no mechanism to accept", status=SecurityStatus.SEC_E_SECPKG_NOT_FOUND)
    return SpnegoAcceptor(candidates, require_mic=settings.require_mic, bare=_DEFAULT, kerberos_missing=missing)


def ntlm_acceptor(config: ServerConfig) -> NTLMAcceptor:
    """Make NTLM's part of it, without SPNEGO."""
    spn = config.spn
    return NTLMAcceptor(
        config.accounts,
        authority=config.authority,
        target=config.target,
        spn=spn if spn is None or isinstance(spn, str) else tuple(spn),
        channel_bindings=config.demanded_bindings,
        cbt_hardening=config.cbt_hardening or "strict",
        require_mic=config.require_mic,
        tell_lockout=config.tell_lockout,
        reveal_lockout=config.reveal_lockout,
        allow_empty_password=config.allow_empty_password,
        max_clock_skew=config.max_clock_skew,
        clock=config.clock,
        random=config.random,
    )


def kerberos_acceptor(config: ServerConfig) -> KerberosAcceptor:
    """Make Kerberos' part of it, without SPNEGO."""
    spn, keytab = config.spn, config.keytab
    services = (spn,) if isinstance(spn, str) else tuple(spn or ())
    return KerberosAcceptor(
        names=services if config.service_principal is None else (),
        principal=config.service_principal,
        keytab=os.fspath(keytab) if isinstance(keytab, os.PathLike) else keytab,
        channel_bindings=config.demanded_bindings,
        cbt_hardening=config.cbt_hardening or "strict",
        accept_forwarded=config.accept_forwarded,
        accept_anonymous=config.accept_anonymous,
        require_pac=config.pac_required,
    )

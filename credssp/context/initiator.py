"""Which inner authentication a client uses, as Windows chooses it ([MS-CSSP] <1>, <3>; [MS-SPNG] <8>).

============= ====================================================== ==========================================
mechanism     Kerberos can start                                     it cannot
============= ====================================================== ==========================================
``auto``      SPNEGO that offers Kerberos, then NTLM                 NTLM without SPNEGO
``negotiate`` SPNEGO that offers Kerberos, then NTLM                 SPNEGO that offers NTLM
``kerberos``  SPNEGO that offers Kerberos                            AuthenticationError
``ntlm``      NTLM without SPNEGO                                    NTLM without SPNEGO
============= ====================================================== ==========================================

Kerberos "can start" when its libraries are installed and a ticket for the target was got with these credentials. That
is tried in the first `step`, which may ask a KDC; it is not even tried with an NT hash, for an IP address, or for a
user whose domain is not a realm (`credssp.kerberos.logon.realm_obstacle`; ``kerberos`` tries that).
`SpnegoInitiator.skipped` says why it was not used.
"""

from __future__ import annotations

import functools
from collections.abc import Collection
from typing import Final, Unpack

from credssp.config import ClientConfig, ClientOptions, client_config
from credssp.credentials import (
    AgentCredentials,
    LogonCredentials,
    NTHashCredentials,
    PasswordCredentials,
    needs_a_driver,
)
from credssp.errors import LocalProtocolError
from credssp.kerberos.contexts import KerberosInitiator
from credssp.kerberos.logon import kerberos_obstacle, realm_obstacle
from credssp.mechanism import Mechanism
from credssp.mechanism_name import MechanismName
from credssp.ntlm.initiator import NTLMInitiator
from credssp.policy.configured import decide
from credssp.server_authentication import ServerAuthentication
from credssp.spnego import OID, Candidate, SkippedCandidate, SpnegoInitiator
from credssp.status import SecurityStatus
from credssp.target import Target

__all__ = ["create_initiator"]

# What stands in the SPN of NTLM and Kerberos where the caller names no target, as pyspnego has it.
_UNSPECIFIED: Final = "host/unspecified"

_BARE: Final[frozenset[MechanismName]] = frozenset({"ntlm"})


def create_initiator(
    credentials: LogonCredentials | None = None,
    *,
    config: ClientConfig | None = None,
    transport_authentication: ServerAuthentication | None = None,
    allowed: Collection[MechanismName] = ("kerberos", "ntlm"),
    **options: Unpack[ClientOptions],
) -> Mechanism:
    """Make the inner authentication of a client.

    Args:
        credentials: who logs on; None for those of `config`, or else the Kerberos tickets of this user's credential
            cache. With tickets or a keytab there is no NTLM.
        config: the options: target_name, mechanism (the table above), wire_form, channel_bindings; None for the
            defaults.
        transport_authentication: what TLS proved about the server, or None where that is not known yet. NTLM is not
            offered where the policy would refuse what it proves in addition.
        allowed: what SPNEGO may offer of the two, for ``auto`` and ``negotiate``.
        options: fields of `credssp.ClientConfig`, in place of those of `config`.

    Raises:
        PolicyError: NTLM is all there is, and would be refused in the end.
        LocalProtocolError: arguments that make no sense.
    """
    config = client_config("create_initiator", ClientOptions, config, options, credentials)
    if isinstance(config.credentials, AgentCredentials):
        raise needs_a_driver()
    credentials, mechanism, channel_bindings = config.credentials, config.mechanism, config.channel_bindings
    target = Target.parse(config.target_name or _UNSPECIFIED)
    make_kerberos = functools.partial(
        KerberosInitiator,
        credentials,
        target,
        channel_bindings=channel_bindings,
        dns_canonicalize=config.dns_canonicalize,
        workstation=config.workstation,
    )
    if config.wire_form == "kerberos":
        return make_kerberos()
    kerberos = Candidate("kerberos", OID.KERBEROS, make_kerberos)
    if mechanism == "kerberos":
        return SpnegoInitiator([kerberos])
    if not isinstance(credentials, PasswordCredentials | NTHashCredentials):
        if mechanism == "ntlm":
            raise LocalProtocolError(
                "NTLM needs a user name and a password or NT hash", status=SecurityStatus.SEC_E_NO_CREDENTIALS
            )
        return SpnegoInitiator([kerberos])
    make_ntlm = functools.partial(
        NTLMInitiator,
        credentials,
        target,
        channel_bindings=channel_bindings,
        workstation=config.workstation,
        random=config.random,
    )
    refusal = None
    if transport_authentication is not None:
        decision = decide(config, transport_authentication | ServerAuthentication.NTLM)
        refusal = None if decision else decision.error(config.policy_name)
    if mechanism == "ntlm":
        if refusal is not None:
            raise refusal
        return make_ntlm()
    skipped: list[SkippedCandidate] = []
    candidates: list[Candidate] = []
    if "ntlm" not in allowed:
        pass
    elif refusal is None:
        candidates.append(Candidate("ntlm", OID.NTLM, make_ntlm))
    else:
        skipped.append(SkippedCandidate("ntlm", refusal))
    obstacle = kerberos_obstacle(credentials, target) or realm_obstacle(credentials)
    if "kerberos" not in allowed:
        pass
    elif obstacle is None:
        candidates.insert(0, kerberos)
    else:
        skipped.append(SkippedCandidate("kerberos", obstacle))
    return SpnegoInitiator(
        candidates,
        skipped=skipped,
        bare=() if mechanism == "negotiate" else _BARE,
        follow=config.allow_ntlm_downgrade,
    )

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
user whose domain is not a realm (`credssp.kerberos.contexts.realm_obstacle`; ``kerberos`` tries that).
`SpnegoInitiator.skipped` says why it was not used.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Final, Literal

from credssp.credentials import LogonCredentials, NTHashCredentials, PasswordCredentials
from credssp.errors import LocalProtocolError
from credssp.kerberos.contexts import KerberosInitiator, kerberos_obstacle, realm_obstacle
from credssp.mechanism import Mechanism
from credssp.mechanism_name import MechanismChoice, MechanismName
from credssp.ntlm.initiator import NTLMInitiator
from credssp.spnego import OID, Candidate, SkippedCandidate, SpnegoInitiator
from credssp.status import SecurityStatus
from credssp.target import Target

__all__ = ["create_initiator"]

_BARE: Final[frozenset[MechanismName]] = frozenset({"ntlm"})


def create_initiator(
    credentials: LogonCredentials | None,
    *,
    target_name: str,
    mechanism: MechanismChoice = "auto",
    wire_form: Literal["spnego", "kerberos"] = "spnego",
    channel_bindings: bytes | None = None,
    workstation: str = "",
    random: Callable[[int], bytes] | None = None,
) -> Mechanism:
    """Make the inner authentication of a client.

    Args:
        credentials: who logs on; None takes the Kerberos tickets of this user's credential cache. With tickets or a
            keytab there is no NTLM.
        target_name: the SPN of the server (``TERMSRV/host``), or its host name.
        mechanism: see the table above.
        wire_form: ``kerberos`` sends Kerberos tokens without SPNEGO, with ``mechanism="kerberos"`` only. Windows
            clients never do ([MS-CSSP] <7>), rdesktop does.
        channel_bindings: application data of channel bindings, or None; CredSSP has none.
        workstation: the name of this machine that NTLM tells the server; empty tells none.
        random: n random octets for NTLM, by default `os.urandom`.

    Raises:
        LocalProtocolError: arguments that make no sense.
    """
    target = Target.parse(target_name)
    if wire_form != "spnego" and mechanism != "kerberos":
        raise LocalProtocolError('wire_form="kerberos" goes with mechanism="kerberos" only')
    make_kerberos = functools.partial(KerberosInitiator, credentials, target, channel_bindings=channel_bindings)
    if mechanism == "kerberos" and wire_form == "kerberos":
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
        NTLMInitiator, credentials, target, channel_bindings=channel_bindings, workstation=workstation, random=random
    )
    if mechanism == "ntlm":
        return make_ntlm()
    candidates = [Candidate("ntlm", OID.NTLM, make_ntlm)]
    obstacle = kerberos_obstacle(credentials, target) or realm_obstacle(credentials)
    if obstacle is None:
        candidates.insert(0, kerberos)
    skipped = [] if obstacle is None else [SkippedCandidate("kerberos", obstacle)]
    if mechanism == "negotiate":
        return SpnegoInitiator(candidates, skipped=skipped)
    if mechanism == "auto":
        return SpnegoInitiator(candidates, skipped=skipped, bare=_BARE)
    raise LocalProtocolError("mechanism is one of auto, negotiate, ntlm, kerberos")

"""Negotiate: SPNEGO, with Kerberos where it can start and NTLM otherwise."""

from __future__ import annotations

from typing import ClassVar, Final

from credssp.config import ServerConfig
from credssp.context.acceptor import create_acceptor
from credssp.context.initiator import create_initiator
from credssp.mechanism import Mechanism
from credssp.mechanism_name import MechanismChoice
from credssp.ntlm.initiator import NTLMInitiator
from credssp.spnego import OID, Candidate, SpnegoInitiator
from credssp.spnego.tokens import NegState, NegTokenResp
from credssp.sspi import constants as c
from credssp.sspi.packages.identities import Logon
from credssp.sspi.packages.inner import InnerContext, InnerPackage
from credssp.sspi.packages.inner_info import NEGOTIATE
from credssp.sspi.packages.inner_messages import InnerMessages
from credssp.sspi.packages.kdc_proxy import KdcProxySettings
from credssp.sspi.packages.lsa_mode import lsa_mode_entry
from credssp.sspi.packages.user_mode import user_mode_entry
from credssp.sspi.tables import SecPkgInfo

__all__ = ["kerberos_sized", "sp_lsa_mode_initialize", "sp_user_mode_initialize"]

_KERBEROS_SIGNATURE: Final = 64
"""Room for a GSS_GetMIC token: 28 bytes with AES (RFC 4121 4.2.6.1), more with older encryption types."""
_KERBEROS_TRAILER: Final = 96
"""Room for the header of GSS_Wrap: 60 bytes with AES (RFC 4121 4.2.6.2, RFC 3962)."""


class NegotiatePackage(KdcProxySettings, InnerPackage):
    """The LSA-mode half."""

    info: ClassVar[SecPkgInfo] = NEGOTIATE

    isc_flags: ClassVar[int] = InnerPackage.isc_flags | c.ISC_REQ_UNVERIFIED_TARGET_NAME
    asc_flags: ClassVar[int] = InnerPackage.asc_flags | c.ASC_REQ_EXTENDED_ERROR

    def refusal(self, context: InnerContext) -> bytes:
        """Return NegTokenResp with negState reject, of a server (RFC 4178 4.2.2)."""
        if context.client or context.mechanism.wire_form != "spnego":
            return b""
        return NegTokenResp(NegState.REJECT).encode()

    def initiator(self, logon: Logon, target: str) -> Mechanism:
        """Return the mechanism of a client; a credential for one mechanism alone offers nothing else."""
        choice: MechanismChoice = "negotiate" if logon.mechanism == "auto" else logon.mechanism
        mechanism = create_initiator(
            logon.credentials, config=self.support.machine.client, target_name=target, mechanism=choice
        )
        if isinstance(mechanism, NTLMInitiator) and not logon.chosen.bare:
            return SpnegoInitiator([Candidate("ntlm", OID.NTLM, lambda: mechanism)])
        return mechanism

    def acceptor(self, config: ServerConfig) -> Mechanism:
        """Return the mechanism of a server, which also takes NTLM and Kerberos without SPNEGO, as Windows does."""
        return create_acceptor(config=config)


def kerberos_sized(info: SecPkgInfo) -> InnerMessages:
    """Return a user-mode half with the sizes of Kerberos."""
    return InnerMessages(info, signature=_KERBEROS_SIGNATURE, trailer=_KERBEROS_TRAILER, block=1)


sp_lsa_mode_initialize = lsa_mode_entry(NegotiatePackage)
sp_user_mode_initialize = user_mode_entry(lambda: kerberos_sized(NEGOTIATE))

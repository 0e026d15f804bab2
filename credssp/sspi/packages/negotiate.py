"""Negotiate: SPNEGO, with Kerberos where it can start and NTLM otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from credssp.account import AccountStore
from credssp.context.acceptor import create_acceptor
from credssp.context.initiator import create_initiator
from credssp.mechanism import Mechanism
from credssp.mechanism_name import MechanismChoice
from credssp.sspi.attributes import SecPkgContext_Sizes
from credssp.sspi.packages.inner import InnerCredential, InnerPackage
from credssp.sspi.packages.inner_info import NEGOTIATE
from credssp.sspi.packages.inner_messages import InnerMessages
from credssp.sspi.tables import INTERFACE_VERSION, SecpkgFunctionTable, SecPkgInfo, SecpkgUserFunctionTable

__all__ = ["KERBEROS_SIGNATURE", "KERBEROS_TRAILER", "sp_lsa_mode_initialize", "sp_user_mode_initialize"]

KERBEROS_SIGNATURE: Final = 64
"""Room for a GSS_GetMIC token: 28 octets with AES (RFC 4121 4.2.6.1), more with older encryption types."""
KERBEROS_TRAILER: Final = 96
"""Room for the header of GSS_Wrap: 60 octets with AES (RFC 4121 4.2.6.2, RFC 3962)."""


class NegotiatePackage(InnerPackage):
    """The LSA-mode half."""

    info: ClassVar[SecPkgInfo] = NEGOTIATE

    def initiator(self, credential: InnerCredential, target: str) -> Mechanism:
        """Return the mechanism of a client; a credential for Kerberos alone offers nothing else."""
        logon = credential.logon
        choice: MechanismChoice = "kerberos" if logon.mechanism == "kerberos" else "negotiate"
        return create_initiator(logon.credentials, target_name=target, mechanism=choice)

    def acceptor(self, accounts: AccountStore) -> Mechanism:
        """Return the mechanism of a server, which also takes NTLM and Kerberos without SPNEGO, as Windows does."""
        return create_acceptor(accounts, keytab=self.support.machine.keytab)


def sp_lsa_mode_initialize(lsa_version: int) -> tuple[int, Sequence[SecpkgFunctionTable]]:  # noqa: ARG001
    """SpLsaModeInitialize."""
    return INTERFACE_VERSION, (NegotiatePackage().table(),)


def sp_user_mode_initialize(lsa_version: int) -> tuple[int, Sequence[SecpkgUserFunctionTable]]:  # noqa: ARG001
    """SpUserModeInitialize. The sizes are those of the larger mechanism, Kerberos, as Windows has it."""
    sizes = SecPkgContext_Sizes(NEGOTIATE.max_token, KERBEROS_SIGNATURE, 1, KERBEROS_TRAILER)
    return INTERFACE_VERSION, (InnerMessages(sizes).table(),)

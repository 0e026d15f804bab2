"""Kerberos without SPNEGO, through GSS-API; not there where its libraries are not installed."""

from __future__ import annotations

from typing import ClassVar

from credssp.config import ServerConfig
from credssp.context.acceptor import kerberos_acceptor
from credssp.context.initiator import create_initiator
from credssp.kerberos.pyspnego import kerberos_missing
from credssp.mechanism import Mechanism
from credssp.next_step import NextStep
from credssp.sspi.errors import SSPIError
from credssp.sspi.packages.identities import Logon
from credssp.sspi.packages.inner import InnerPackage
from credssp.sspi.packages.inner_info import KERBEROS
from credssp.sspi.packages.kdc_proxy import KdcProxySettings
from credssp.sspi.packages.lsa_mode import lsa_mode_entry
from credssp.sspi.packages.negotiate import kerberos_sized
from credssp.sspi.packages.user_mode import user_mode_entry
from credssp.sspi.support import LsaSupport
from credssp.sspi.tables import Parameters, SecPkgInfo
from credssp.status import SecurityStatus

__all__ = ["sp_lsa_mode_initialize", "sp_user_mode_initialize"]


class KerberosPackage(KdcProxySettings, InnerPackage):
    """The LSA-mode half."""

    info: ClassVar[SecPkgInfo] = KERBEROS

    def initialize(self, package_id: int, parameters: Parameters, support: LsaSupport) -> None:
        """SpInitialize. Raises SSPIError: SEC_E_SECPKG_NOT_FOUND, GSS-API is not installed."""
        missing = kerberos_missing()
        if missing is not None:
            raise SSPIError(missing, status=SecurityStatus.SEC_E_SECPKG_NOT_FOUND, advice=NextStep.KERBEROS_LIBRARY)
        super().initialize(package_id, parameters, support)

    def initiator(self, logon: Logon, target: str) -> Mechanism:
        """Return the mechanism of a client."""
        return create_initiator(
            logon.credentials,
            config=self.support.machine.client,
            target_name=target,
            mechanism="kerberos",
            wire_form="kerberos",
        )

    def acceptor(self, config: ServerConfig) -> Mechanism:
        """Return the mechanism of a server with these options; the keytab says who may log on."""
        return kerberos_acceptor(config)


sp_lsa_mode_initialize = lsa_mode_entry(KerberosPackage)
sp_user_mode_initialize = user_mode_entry(lambda: kerberos_sized(KERBEROS))

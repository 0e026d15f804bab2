"""SECPKG_CRED_ATTR_KDC_PROXY_SETTINGS, for the packages with Kerberos."""

from __future__ import annotations

from credssp.sspi.attributes import SECPKG_CRED_ATTR_KDC_PROXY_SETTINGS, unknown
from credssp.sspi.errors import refuse, unsupported
from credssp.sspi.packages.lsa_mode import Credential
from credssp.sspi.structures import SecPkgCredentials_KdcProxySettings
from credssp.status import SecurityStatus

__all__ = ["KdcProxySettings"]


class KdcProxySettings:
    """What a package with Kerberos adds to its table."""

    def set_credentials_attributes(self, credential: Credential, attribute: int, value: object) -> None:  # noqa: ARG002
        """SpSetCredentialsAttributes: settings without a proxy are what holds here, all others are refused.

        libkrb5 takes its proxies from krb5.conf alone, for the whole process. Settings that are taken and not followed
        would send passwords' proofs over a way that the program has ruled out.
        """
        if attribute != SECPKG_CRED_ATTR_KDC_PROXY_SETTINGS:
            raise unknown(f"{attribute:#x}" if isinstance(attribute, int) else repr(attribute))
        if not isinstance(value, SecPkgCredentials_KdcProxySettings) or value.version != 1:
            raise refuse(
                "pBuffer", "a SecPkgCredentials_KdcProxySettings of version 1", SecurityStatus.SEC_E_INVALID_PARAMETER
            )
        if value.proxy_server or value.flags:
            raise unsupported(
                "pBuffer",
                "libkrb5 takes its KDC proxies from krb5.conf: there, under [realms], "
                "kdc = https://proxy.example/KdcProxy",
            )

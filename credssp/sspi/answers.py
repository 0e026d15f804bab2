"""What contexts answer to attributes that are put together from several facts (`credssp.sspi.attributes`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from credssp.security_context import SecurityContext
from credssp.sspi import constants as c
from credssp.sspi.errors import unsupported
from credssp.sspi.packages.inner_info import PACKAGE_INFO
from credssp.sspi.structures import (
    SecPkgContext_Authority,
    SecPkgContext_DceInfo,
    SecPkgContext_NativeNames,
    SecPkgContext_NegotiationInfo,
)

if TYPE_CHECKING:
    from credssp.sspi.packages.inner import InnerContext
    from credssp.sspi.packages.lsa_mode import LsaContext

__all__ = ["authority", "dce_info", "native_names", "negotiation_info"]

_RPC_C_AUTHZ_NAME: Final = 1


def native_names(context: InnerContext) -> SecPkgContext_NativeNames:
    """Return the principals of both ends.

    Raises:
        SSPIError: SEC_E_UNSUPPORTED_FUNCTION, NTLM has none.
    """
    if context.mechanism_name != "kerberos":
        raise unsupported("ulAttribute", "SECPKG_ATTR_NATIVE_NAMES: NTLM has no native names, Kerberos has")
    identity = context.identity
    if identity is None:
        mechanism = context.mechanism
        client = mechanism.client_name if isinstance(mechanism, SecurityContext) else ""
        return SecPkgContext_NativeNames(client or context.user_name, context.opening.target or "")
    client = f"{identity.username}@{identity.domain}" if identity.domain else identity.username
    return SecPkgContext_NativeNames(client, identity.target_name or "")


def authority(context: LsaContext) -> SecPkgContext_Authority:
    """Return who vouches for the client: its domain, or the realm of its principal."""
    if context.identity is not None:
        return SecPkgContext_Authority(context.identity.domain)
    domain, backslash, user = context.user_name.rpartition("\\")
    return SecPkgContext_Authority(domain if backslash else user.rpartition("@")[2] if "@" in user else "")


def dce_info(context: LsaContext) -> SecPkgContext_DceInfo:
    """Return the client's name, for servers of DCE RPC."""
    return SecPkgContext_DceInfo(_RPC_C_AUTHZ_NAME, context.user_name)


def negotiation_info(context: InnerContext) -> SecPkgContext_NegotiationInfo:
    """Return the package that was chosen, and how far the choice is."""
    chosen = PACKAGE_INFO.get(context.mechanism_name)
    if context.complete and chosen is not None:
        return SecPkgContext_NegotiationInfo(chosen, c.SECPKG_NEGOTIATION_COMPLETE)
    return SecPkgContext_NegotiationInfo(context.opening.info, c.SECPKG_NEGOTIATION_IN_PROGRESS)

"""Attributes of contexts and credentials as `sspilib.raw` has them: asked for by the class of the answer."""

from __future__ import annotations

import enum
from typing import Any, ClassVar, Final, TypeVar

import credssp.sspi as sspi
from credssp.secret import Secret
from credssp.sspi.compat.failures import argument
from credssp.sspi.compat.families import enumeration
from credssp.sspi.compat.raw.context import CtxtHandle
from credssp.sspi.compat.raw.credential import CredHandle
from credssp.sspi.compat.raw.package import SecurityPackageCapability
from credssp.sspi.compat.raw.results import windows_errors

__all__ = [
    "KdcProxySettingsFlags",
    "SecPkgContext",
    "SecPkgContextNames",
    "SecPkgContextPackageInfo",
    "SecPkgContextSessionKey",
    "SecPkgContextSizes",
    "SecPkgCred",
    "SecPkgCredKdcProxySettings",
    "query_context_attributes",
    "set_credentials_attributes",
]


class SecPkgContext:
    """What the answers of `query_context_attributes` are derived from.

    Attributes:
        attribute: the number to ask for.
    """

    attribute: ClassVar[int] = -1

    def __init__(self) -> None:
        """Make one that says nothing yet, as a C program declares the structure."""

    def fill(self, answer: Any) -> None:
        """Take over what `credssp.sspi.query_context_attributes` returned."""
        raise NotImplementedError

    def __repr__(self) -> str:
        fields = ", ".join(f"{name.lstrip('_')}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({fields})"


class SecPkgContextNames(SecPkgContext):
    """SECPKG_ATTR_NAMES.

    Attributes:
        username: who the context is for.
    """

    attribute: ClassVar[int] = sspi.SECPKG_ATTR_NAMES

    def __init__(self) -> None:
        self.username = ""

    def fill(self, answer: sspi.SecPkgContext_Names) -> None:
        """Take over the answer."""
        self.username = answer.user_name


class SecPkgContextPackageInfo(SecPkgContext):
    """SECPKG_ATTR_PACKAGE_INFO.

    Attributes:
        capabilities: `SecurityPackageCapability`.
        version: wVersion.
        rpcid: wRPCID.
        max_token: cbMaxToken, bytes.
        name: the package's name.
        comment: what it is.
    """

    attribute: ClassVar[int] = sspi.SECPKG_ATTR_PACKAGE_INFO

    def __init__(self) -> None:
        self.capabilities: enum.IntFlag = SecurityPackageCapability(0)
        self.version = self.rpcid = self.max_token = 0
        self.name = self.comment = ""

    def fill(self, answer: sspi.SecPkgContext_PackageInfo) -> None:
        """Take over the answer."""
        info = answer.package_info
        self.capabilities = SecurityPackageCapability(info.capabilities)
        self.version, self.rpcid, self.max_token = info.version, info.rpc_id, info.max_token
        self.name, self.comment = info.name, info.comment


class SecPkgContextSessionKey(SecPkgContext):
    """SECPKG_ATTR_SESSION_KEY."""

    attribute: ClassVar[int] = sspi.SECPKG_ATTR_SESSION_KEY

    def __init__(self) -> None:
        self._session_key = Secret(b"")

    def fill(self, answer: sspi.SecPkgContext_SessionKey) -> None:
        """Take over the answer, and wipe it."""
        self._session_key = Secret(bytes(answer.session_key))
        sspi.free_context_buffer(answer.session_key)

    @property
    def session_key(self) -> bytes:
        """The session key."""
        return self._session_key.reveal()


class SecPkgContextSizes(SecPkgContext):
    """SECPKG_ATTR_SIZES; all sizes are in bytes.

    Attributes:
        max_token: cbMaxToken.
        max_signature: cbMaxSignature.
        block_size: cbBlockSize.
        security_trailer: cbSecurityTrailer.
    """

    attribute: ClassVar[int] = sspi.SECPKG_ATTR_SIZES

    def __init__(self) -> None:
        self.max_token = self.max_signature = self.block_size = self.security_trailer = 0

    def fill(self, answer: sspi.SecPkgContext_Sizes) -> None:
        """Take over the answer."""
        self.max_token, self.max_signature = answer.max_token, answer.max_signature
        self.block_size, self.security_trailer = answer.block_size, answer.security_trailer


A = TypeVar("A", bound=SecPkgContext)


@windows_errors
def query_context_attributes(context: CtxtHandle, attribute: type[A]) -> A:
    """QueryContextAttributes.

    Args:
        context: the context.
        attribute: the class of the answer, such as `SecPkgContextSizes`.

    Raises:
        WindowsError: the call failed.
    """
    if not (isinstance(attribute, type) and issubclass(attribute, SecPkgContext)):
        raise TypeError("attribute must be a class derived from SecPkgContext")
    answer = attribute()
    answer.fill(sspi.query_context_attributes(argument("context", context, CtxtHandle).native, attribute.attribute))
    return answer


KdcProxySettingsFlags: Final = enumeration(
    "KdcProxySettingsFlags",
    __name__,
    # The X of the first is sspilib's.
    {"KDX_PROXY_SETTINGS_FLAGS_NONE": 0, "KDC_PROXY_SETTINGS_FLAGS_FORCEPROXY": 1},
)
"""Flags of SecPkgCredentials_KdcProxySettings."""


class SecPkgCred:
    """What the values of `set_credentials_attributes` are derived from.

    Attributes:
        attribute: the number to set.
    """

    attribute: ClassVar[int] = -1

    def native(self) -> object:
        """Return the value, as `credssp.sspi.set_credentials_attributes` takes it."""
        return None


class SecPkgCredKdcProxySettings(SecPkgCred):
    """SECPKG_CRED_ATTR_KDC_PROXY_SETTINGS: the proxy through which Kerberos reaches its KDC.

    Args:
        flags: `KdcProxySettingsFlags`.
        proxy_server: ``hostname:port:path``, or None.
    """

    attribute: ClassVar[int] = sspi.SECPKG_CRED_ATTR_KDC_PROXY_SETTINGS

    def __init__(self, *, flags: int = 0, proxy_server: str | None = None) -> None:
        self._flags, self.proxy_server = int(flags), proxy_server

    @property
    def version(self) -> int:
        """Version of the structure."""
        return 1

    @property
    def flags(self) -> enum.IntEnum:
        """The flags."""
        return KdcProxySettingsFlags(self._flags)

    def native(self) -> sspi.SecPkgCredentials_KdcProxySettings:
        """Return the value, as `credssp.sspi.set_credentials_attributes` takes it."""
        return sspi.SecPkgCredentials_KdcProxySettings(self.proxy_server or "", self._flags)

    def __repr__(self) -> str:
        return f"SecPkgCredKdcProxySettings(flags={self._flags}, proxy_server={self.proxy_server!r})"


@windows_errors
def set_credentials_attributes(credential: CredHandle, attribute: SecPkgCred) -> None:
    """SetCredentialsAttributes.

    Args:
        credential: the credential.
        attribute: the value, such as `SecPkgCredKdcProxySettings`.

    Raises:
        WindowsError: the call failed.
    """
    value = argument("attribute", attribute, SecPkgCred)
    sspi.set_credentials_attributes(
        argument("credential", credential, CredHandle).native, value.attribute, value.native()
    )

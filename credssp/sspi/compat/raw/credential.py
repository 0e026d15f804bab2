"""Credentials as `sspilib.raw` has them."""

from __future__ import annotations

import contextlib
import enum
import uuid
from typing import Final, NamedTuple

import credssp.sspi as sspi
from credssp.credentials import KeytabCredentials
from credssp.memory_file import named_file
from credssp.secret import Secret
from credssp.sspi import constants
from credssp.sspi.compat.families import flags, numbers
from credssp.sspi.compat.raw.results import windows_errors
from credssp.sspi.errors import bad_auth_data

__all__ = [
    "AcquireCredentialsResult",
    "AuthIdentity",
    "CredHandle",
    "CredentialUse",
    "WinNTAuthCredentialType",
    "WinNTAuthFlags",
    "WinNTAuthIdentity",
    "WinNTAuthIdentityPackedCredential",
    "acquire_credentials_handle",
]

CredentialUse: Final = flags(
    "CredentialUse",
    __name__,
    {name: number for name, number in numbers("SECPKG_CRED_", constants).items() if name != "SECPKG_CRED_DEFAULT"},
)
"""fCredentialUse."""

_IDENTITY: Final = "SEC_WINNT_AUTH_IDENTITY_"
WinNTAuthFlags: Final = flags(
    "WinNTAuthFlags",
    __name__,
    {
        _IDENTITY + "ANSI": 0x1,
        _IDENTITY + "UNICODE": 0x2,
        _IDENTITY + "MARSHALLED": 0x4,
        _IDENTITY + "ONLY": 0x8,
        _IDENTITY + "FLAGS_PROCESS_ENCRYPTED": 0x10,
        _IDENTITY + "FLAGS_SYSTEM_PROTECTED": 0x20,
        _IDENTITY + "FLAGS_USER_PROTECTED": 0x40,
        _IDENTITY + "FLAGS_SYSTEM_ENCRYPTED": 0x80,
        _IDENTITY + "FLAGS_RESERVED": 0x10000,
        _IDENTITY + "FLAGS_NULL_USER": 0x20000,
        _IDENTITY + "FLAGS_NULL_DOMAIN": 0x40000,
        _IDENTITY + "FLAGS_ID_PROVIDER": 0x80000,
    },
)
"""Flags of SEC_WINNT_AUTH_IDENTITY (sspi.h)."""
_UNICODE: Final = 0x2


class WinNTAuthCredentialType:
    """What a packed credential is (the GUIDs of sspi.h)."""

    SEC_WINNT_AUTH_DATA_TYPE_PASSWORD = uuid.UUID("28bfc32f-10f6-4738-98d1-1ac061df716a")
    SEC_WINNT_AUTH_DATA_TYPE_CERT = uuid.UUID("235f69ad-73fb-4dbc-8203-0629e739339b")
    SEC_WINNT_AUTH_DATA_TYPE_CREDMAN_CERT = uuid.UUID("7cb72412-1016-491a-8c87-4d2aa1b7dd3a")
    SEC_WINNT_AUTH_DATA_TYPE_NGC = uuid.UUID("10a47879-5ebf-4b85-bd8d-c21bb4f49c8a")
    SEC_WINNT_AUTH_DATA_TYPE_FIDO = uuid.UUID("32e8f8d7-7871-4bcc-83c5-460f66c6135c")
    SEC_WINNT_AUTH_DATA_TYPE_KEYTAB = uuid.UUID("d587aae8-f78f-4455-a112-c934beee7ce1")
    SEC_WINNT_AUTH_DATA_TYPE_DELEGATION_TOKEN = uuid.UUID("12e52e0f-6f9b-4f83-9020-9de42b226267")
    SEC_WINNT_AUTH_DATA_TYPE_CSP_DATA = uuid.UUID("68fd9879-079c-4dfe-8281-578aadc1c100")
    SEC_WINNT_AUTH_DATA_TYPE_SMARTCARD_CONTEXTS = uuid.UUID("b86c4ff3-49d7-4dc4-b560-b1163685b236")


class CredHandle:
    """A credential; it is freed when the last reference to it is gone.

    Attributes:
        native: the handle, as `credssp.sspi` knows it.
        until: what lives as long as the credential.
    """

    native: sspi.CredHandle
    until: contextlib.ExitStack

    def __new__(cls, *args: object, **kwargs: object) -> CredHandle:  # noqa: ARG004 - subclasses may have any
        """Make one; classes derived from it need not call its constructor."""
        self = super().__new__(cls)
        self.native, self.until = sspi.CredHandle(), contextlib.ExitStack()
        return self

    def __del__(self) -> None:
        if self.native.is_valid:
            # In a finalizer there is no caller to tell.
            with contextlib.suppress(sspi.SSPIError):
                sspi.free_credentials_handle(self.native)
        self.until.close()


class AuthIdentity:
    """What an identity is derived from."""

    def auth_data(self, until: contextlib.ExitStack) -> object:  # noqa: ARG002
        """Return the pAuthData of `credssp.sspi.acquire_credentials_handle`.

        Args:
            until: is closed when the credential is freed; takes what has to live as long.
        """
        return None


def _name(domain: str | None, username: str | None) -> str | None:
    return f"{domain}\\{username}" if domain else username


class WinNTAuthIdentity(AuthIdentity):
    """User name, domain and password.

    Args:
        username: ``user``, or ``user@DOMAIN.COM`` without a domain; None for the default credentials.
        domain: the domain.
        password: the password.
        flags: `WinNTAuthFlags`.
        package_list: which packages Negotiate may use, separated by commas; ``!`` forbids one.
    """

    __slots__ = ("_flags", "_password", "domain", "package_list", "username")

    def __init__(
        self,
        username: str | None = None,
        domain: str | None = None,
        password: str | None = None,
        *,
        flags: int = 0,
        package_list: str | None = None,
    ) -> None:
        self.username, self.domain, self.package_list = username, domain, package_list
        self._password = None if password is None else Secret(password)
        self._flags = int(flags) | _UNICODE

    @property
    def password(self) -> str | None:
        """The password."""
        return None if self._password is None else self._password.reveal()

    @property
    def flags(self) -> enum.IntFlag:
        """The flags."""
        return WinNTAuthFlags(self._flags)

    def auth_data(self, until: contextlib.ExitStack) -> sspi.SecWinntAuthIdentity | None:  # noqa: ARG002
        """Return the identity; None for the default credentials of all packages."""
        if self.username is None and self.domain is None and self._password is None and not self.package_list:
            return None
        return sspi.SecWinntAuthIdentity(
            self.username, self.domain or "", self._password or "", self.package_list or ""
        )

    def __str__(self) -> str:
        return str(_name(self.domain, self.username))

    def __repr__(self) -> str:
        return (
            f"WinNTAuthIdentity(username={self.username!r}, domain={self.domain!r}, password={self._password!r}, "
            f"flags={self._flags}, package_list={self.package_list!r})"
        )


class WinNTAuthIdentityPackedCredential(AuthIdentity):
    """A credential of another kind, such as a keytab.

    Args:
        credential_type: one of `WinNTAuthCredentialType`.
        credential: the credential, packed as its type wants it.
        username: whose it is.
        domain: the domain.
        flags: `WinNTAuthFlags`.
        package_list: as for `WinNTAuthIdentity`.
    """

    __slots__ = ("_credential", "_flags", "credential_type", "domain", "package_list", "username")

    def __init__(
        self,
        credential_type: uuid.UUID,
        credential: bytes | bytearray | memoryview,
        *,
        username: str | None = None,
        domain: str | None = None,
        flags: int = 0,
        package_list: str | None = None,
    ) -> None:
        self.credential_type = credential_type
        self._credential = Secret(bytes(credential))
        self.username, self.domain, self.package_list = username, domain, package_list
        self._flags = int(flags) | _UNICODE

    @property
    def credential(self) -> bytes:
        """The packed credential."""
        return self._credential.reveal()

    @property
    def flags(self) -> enum.IntFlag:
        """The flags."""
        return WinNTAuthFlags(self._flags)

    def auth_data(self, until: contextlib.ExitStack) -> KeytabCredentials | sspi.SecWinntAuthIdentity:
        """Return a password (UTF-16, little-endian), or a keytab, which libkrb5 reads from a file in memory.

        Raises:
            SSPIError: SEC_E_UNKNOWN_CREDENTIALS, a credential of another type, or not a password.
        """
        if self.credential_type == WinNTAuthCredentialType.SEC_WINNT_AUTH_DATA_TYPE_PASSWORD:
            try:
                password = Secret(self.credential.decode("utf-16-le"))
            except UnicodeDecodeError:
                raise bad_auth_data("a packed password is UTF-16, little-endian") from None
            return sspi.SecWinntAuthIdentity(self.username, self.domain or "", password, self.package_list or "")
        if self.credential_type != WinNTAuthCredentialType.SEC_WINNT_AUTH_DATA_TYPE_KEYTAB:
            raise bad_auth_data(
                f"a packed credential of type {self.credential_type}: only passwords and keytabs can be used"
            )
        principal = self.username
        if principal and self.domain:
            principal = f"{principal}@{self.domain}"
        return KeytabCredentials(f"FILE:{until.enter_context(named_file(self.credential))}", principal or None)

    def __str__(self) -> str:
        who = _name(self.domain, self.username)
        return f"WinNTAuthIdentityPackedCredential {self.credential_type}{f' for {who}' if who else ''}"

    def __repr__(self) -> str:
        return (
            f"WinNTAuthIdentityPackedCredential(credential_type={self.credential_type!r}, "
            f"credential={self._credential!r}, username={self.username!r}, domain={self.domain!r}, "
            f"flags={self._flags}, package_list={self.package_list!r})"
        )


class AcquireCredentialsResult(NamedTuple):
    """A credential and when it ends.

    Attributes:
        credential: the credential.
        expiry: a TimeStamp, 100 ns since 1601.
    """

    credential: CredHandle
    expiry: int


@windows_errors
def acquire_credentials_handle(
    principal: str | None, package: str, credential_use: int, *, auth_data: AuthIdentity | None = None
) -> AcquireCredentialsResult:
    """AcquireCredentialsHandle.

    Args:
        principal: whose credentials, or None.
        package: name of the package.
        credential_use: `CredentialUse`.
        auth_data: who logs on; None for the default credentials.

    Raises:
        WindowsError: the call failed.
    """
    if auth_data is not None and not isinstance(auth_data, AuthIdentity):
        raise TypeError(f"auth_data is a {type(auth_data).__name__}, not an AuthIdentity")
    credential = CredHandle()
    result = sspi.acquire_credentials_handle(
        principal,
        package,
        int(credential_use),
        None,
        None if auth_data is None else auth_data.auth_data(credential.until),
        None,
        None,
        credential.native,
    )
    return AcquireCredentialsResult(credential, result.expiry)


def _replace_cred_handle(src: CredHandle, dst: CredHandle) -> None:
    """Hand a credential over to another object; sspilib's own classes do it."""
    dst.native, src.native = src.native, sspi.CredHandle()
    dst.until, src.until = src.until, contextlib.ExitStack()

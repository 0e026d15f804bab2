"""The SSPI of pywin32's `win32security`, on `credssp.sspi`: enough for its `sspi.ClientAuth` and `ServerAuth`.

Names, arguments, results and exceptions are pywin32's. What `win32security` offers beyond SSPI (tokens, accounts,
security descriptors) is a matter of Windows and not here.
"""

from __future__ import annotations

import contextlib
from datetime import datetime
from typing import Final, NoReturn, TypeAlias

import credssp.sspi as sspi
from credssp.secret import Secret
from credssp.sspi.compat.failures import argument, raising, signed, statement, text_of
from credssp.sspi.compat.pywintypes import error as error
from credssp.sspi.compat.pywintypes import time_of
from credssp.sspi.compat.win32_answers import CONTEXT_ANSWERS, CREDENTIAL_ANSWERS, package_info
from credssp.sspi.compat.win32_buffers import PySecBufferDescType as PySecBufferDescType
from credssp.sspi.compat.win32_buffers import PySecBufferType as PySecBufferType
from credssp.status import SecurityStatus

__all__ = [
    "AcceptSecurityContext",
    "AcquireCredentialsHandle",
    "EnumerateSecurityPackages",
    "InitializeSecurityContext",
    "PyCredHandleType",
    "PyCtxtHandleType",
    "PySecBufferDescType",
    "PySecBufferType",
    "QuerySecurityPackageInfo",
    "error",
]

_api: Final = raising(lambda name, failure: error(signed(failure.status), name, text_of(failure)))

LegAnswer: TypeAlias = tuple[int, int, datetime]


def __getattr__(name: str) -> NoReturn:
    raise AttributeError(
        f"module {__name__!r} has no attribute {name!r}: it has the SSPI of pywin32's win32security, and nothing else"
    )


def _check(status: SecurityStatus, function: str) -> None:
    """Raise the status of a message that is not SEC_E_OK."""
    if status is not SecurityStatus.SEC_E_OK:
        raise error(signed(status), function, statement(status))


class PyCredHandleType:
    """A credential; it is freed when the last reference to it is gone.

    Attributes:
        native: the handle, as `credssp.sspi` knows it.
    """

    __slots__ = ("native",)

    def __init__(self) -> None:
        self.native = sspi.CredHandle()

    @_api
    def FreeCredentialsHandle(self) -> None:  # noqa: N802 - pywin32's names, here and below
        """Free it."""
        native, self.native = self.native, sspi.CredHandle()
        sspi.free_credentials_handle(native)

    @_api
    def QueryCredentialsAttributes(self, Attribute: int) -> object:  # noqa: N802, N803
        """Ask for an attribute: SECPKG_CRED_ATTR_NAMES."""
        if Attribute not in CREDENTIAL_ANSWERS:
            raise NotImplementedError(f"Attribute {Attribute} is not supported")
        return CREDENTIAL_ANSWERS[Attribute](sspi.query_credentials_attributes(self.native, Attribute))

    def __del__(self) -> None:
        if self.native.is_valid:
            # In a finalizer there is no caller to tell.
            with contextlib.suppress(sspi.SSPIError):
                sspi.free_credentials_handle(self.native)


class PyCtxtHandleType:
    """A security context; it is deleted when the last reference to it is gone.

    Attributes:
        native: the handle, as `credssp.sspi` knows it.
    """

    __slots__ = ("native",)

    def __init__(self) -> None:
        self.native = sspi.CtxtHandle()

    @_api
    def QueryContextAttributes(self, Attribute: int) -> object:  # noqa: N802, N803
        """Ask for an attribute: sizes as a dictionary, names as text, and so on, as in pywin32."""
        if Attribute not in CONTEXT_ANSWERS:
            raise NotImplementedError(f"Attribute {Attribute} is not supported")
        return CONTEXT_ANSWERS[Attribute](sspi.query_context_attributes(self.native, Attribute))

    @_api
    def DeleteSecurityContext(self) -> None:  # noqa: N802
        """Delete it."""
        native, self.native = self.native, sspi.CtxtHandle()
        sspi.delete_security_context(native)

    @_api
    def CompleteAuthToken(self, Token: PySecBufferDescType) -> None:  # noqa: N802, N803
        """Finish a token; no package here asks for it."""
        sspi.complete_auth_token(self.native, _desc("Token", Token))

    @_api
    def MakeSignature(self, fqop: int, Message: PySecBufferDescType, MessageSeqNo: int) -> None:  # noqa: N802, N803
        """Sign DATA into TOKEN."""
        sspi.make_signature(self.native, fqop & 0xFFFFFFFF, _desc("Message", Message), MessageSeqNo)

    @_api
    def VerifySignature(self, Message: PySecBufferDescType, MessageSeqNo: int) -> int:  # noqa: N802, N803
        """Check the signature in TOKEN over DATA; returns the quality of protection."""
        return sspi.verify_signature(self.native, _desc("Message", Message), MessageSeqNo).qop

    @_api
    def EncryptMessage(self, fqop: int, Message: PySecBufferDescType, MessageSeqNo: int) -> None:  # noqa: N802, N803
        """Encrypt DATA in place."""
        _check(
            sspi.encrypt_message(self.native, fqop & 0xFFFFFFFF, _desc("Message", Message), MessageSeqNo),
            "EncryptMessage",
        )

    @_api
    def DecryptMessage(self, Message: PySecBufferDescType, MessageSeqNo: int) -> int:  # noqa: N802, N803
        """Decrypt DATA in place; returns the quality of protection, signed as in `sspicon`."""
        result = sspi.decrypt_message(self.native, _desc("Message", Message), MessageSeqNo)
        _check(result.status, "DecryptMessage")
        return signed(result.qop)

    @_api
    def ImpersonateSecurityContext(self) -> None:  # noqa: N802
        """Refused: there are no tokens off Windows."""
        sspi.impersonate_security_context(self.native)

    @_api
    def RevertSecurityContext(self) -> None:  # noqa: N802
        """Refused: there are no tokens off Windows."""
        sspi.revert_security_context(self.native)

    @_api
    def QuerySecurityContextToken(self) -> object:  # noqa: N802
        """Refused: there are no tokens off Windows."""
        return sspi.query_security_context_token(self.native)

    def __del__(self) -> None:
        if self.native.is_valid:
            # In a finalizer there is no caller to tell.
            with contextlib.suppress(sspi.SSPIError):
                sspi.delete_security_context(self.native)


@_api
def EnumerateSecurityPackages() -> tuple[dict[str, object], ...]:  # noqa: N802
    """Describe all packages."""
    return tuple(map(package_info, sspi.enumerate_security_packages()))


@_api
def QuerySecurityPackageInfo(PackageName: str) -> dict[str, object]:  # noqa: N802, N803
    """Describe one package."""
    return package_info(sspi.query_security_package_info(PackageName))


@_api
def AcquireCredentialsHandle(  # noqa: N802
    Principal: str | None,  # noqa: N803
    Package: str,  # noqa: N803
    CredentialUse: int,  # noqa: N803
    LogonID: int | None,  # noqa: N803
    AuthData: object,  # noqa: N803
) -> tuple[PyCredHandleType, datetime]:
    """Refer to credentials.

    Args:
        Principal: whose, or None.
        Package: name of the package.
        CredentialUse: ``SECPKG_CRED_...``.
        LogonID: None.
        AuthData: user name, domain and password as a tuple; None for the default credentials; or a pAuthData of
            `credssp.sspi`, for packages that take more.

    Returns:
        The credential and when it ends.
    """
    credential = PyCredHandleType()
    result = sspi.acquire_credentials_handle(
        Principal, Package, CredentialUse, LogonID, _auth_data(AuthData), None, None, credential.native
    )
    return credential, time_of(result.expiry)


def _auth_data(data: object) -> object:
    if not isinstance(data, tuple):
        return data
    if len(data) != 3 or not all(part is None or isinstance(part, str) for part in data):
        raise TypeError("AuthData is a tuple of user name, domain and password, each a str or None")
    user, domain, password = data
    return None if data == (None, None, None) else sspi.SecWinntAuthIdentity(user, domain or "", Secret(password or ""))


def _desc(name: str, buffers: PySecBufferDescType) -> sspi.SecBufferDesc:
    """Return the buffers of an argument. Raises TypeError: it is something else."""
    return argument(name, buffers, PySecBufferDescType).native


def _credential(credential: PyCredHandleType | None) -> sspi.CredHandle | None:
    return None if credential is None else argument("Credential", credential, PyCredHandleType).native


def _context(context: PyCtxtHandleType | None) -> sspi.CtxtHandle | None:
    return None if context is None else argument("Context", context, PyCtxtHandleType).native


def _leg(result: sspi.ContextResult, function: str) -> LegAnswer:
    """Return what a leg came to; pywin32 raises for every status that is a failure."""
    if result.status >> 31:
        raise error(signed(result.status), function, statement(result.status))
    return int(result.status), result.attributes, time_of(result.expiry)


@_api
def InitializeSecurityContext(  # noqa: N802
    Credential: PyCredHandleType | None,  # noqa: N803
    Context: PyCtxtHandleType | None,  # noqa: N803
    TargetName: str | None,  # noqa: N803
    ContextReq: int,  # noqa: N803
    TargetDataRep: int,  # noqa: N803
    pInput: PySecBufferDescType | None,  # noqa: N803
    NewContext: PyCtxtHandleType,  # noqa: N803
    pOutput: PySecBufferDescType | None,  # noqa: N803
) -> LegAnswer:
    """Make one leg of a client.

    Args:
        Credential: the credential.
        Context: None on the first call, then the context.
        TargetName: such as ``HTTP/server``.
        ContextReq: ``ISC_REQ_...``.
        TargetDataRep: ``SECURITY_NATIVE_DREP`` or ``SECURITY_NETWORK_DREP``.
        pInput: TOKEN from the server; None at first.
        NewContext: filled in on the first call.
        pOutput: TOKEN.

    Returns:
        The status, the attributes (``ISC_RET_...``) and when the context ends.

    Raises:
        error: the call failed.
    """
    result = sspi.initialize_security_context(
        _credential(Credential),
        _context(Context),
        TargetName,
        ContextReq & 0xFFFFFFFF,
        0,
        TargetDataRep,
        None if pInput is None else _desc("pInput", pInput),
        0,
        argument("NewContext", NewContext, PyCtxtHandleType).native,
        None if pOutput is None else _desc("pOutput", pOutput),
    )
    return _leg(result, "InitializeSecurityContext")


@_api
def AcceptSecurityContext(  # noqa: N802
    Credential: PyCredHandleType | None,  # noqa: N803
    Context: PyCtxtHandleType | None,  # noqa: N803
    pInput: PySecBufferDescType | None,  # noqa: N803
    ContextReq: int,  # noqa: N803
    TargetDataRep: int,  # noqa: N803
    NewContext: PyCtxtHandleType,  # noqa: N803
    pOutput: PySecBufferDescType | None,  # noqa: N803
) -> LegAnswer:
    """Make one leg of a server.

    Args:
        Credential: the credential.
        Context: None on the first call, then the context.
        pInput: TOKEN from the client.
        ContextReq: ``ASC_REQ_...``.
        TargetDataRep: ``SECURITY_NATIVE_DREP`` or ``SECURITY_NETWORK_DREP``.
        NewContext: filled in on the first call.
        pOutput: TOKEN.

    Returns:
        The status, the attributes (``ASC_RET_...``) and when the context ends.

    Raises:
        error: the call failed.
    """
    result = sspi.accept_security_context(
        _credential(Credential),
        _context(Context),
        None if pInput is None else _desc("pInput", pInput),
        ContextReq & 0xFFFFFFFF,
        TargetDataRep,
        argument("NewContext", NewContext, PyCtxtHandleType).native,
        None if pOutput is None else _desc("pOutput", pOutput),
    )
    return _leg(result, "AcceptSecurityContext")

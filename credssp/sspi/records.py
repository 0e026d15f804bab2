"""What the dispatcher keeps of a credential and of a context, and what its calls return."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from credssp.sspi import constants as c
from credssp.sspi.buffers import ContextBuffer
from credssp.sspi.errors import SSPIError, bad_handle, check_done, check_value, normalise, refuse
from credssp.sspi.handles import CredHandle, CtxtHandle, Turns
from credssp.sspi.registry import LoadedPackage
from credssp.sspi.tables import LegResult
from credssp.status import SecurityStatus

__all__ = [
    "COMPLETE",
    "DEAD",
    "HALF_BUILT",
    "AcquireResult",
    "ContextRecord",
    "ContextResult",
    "CredentialRecord",
    "DecryptResult",
    "acquired",
    "call_package",
    "call_status",
    "call_value",
    "exported",
    "opened",
    "verified",
]

_S = SecurityStatus

HALF_BUILT: Final = "half-built"
COMPLETE: Final = "complete"
DEAD: Final = "dead"


class AcquireResult(NamedTuple):
    """What AcquireCredentialsHandle and AddCredentials return.

    Attributes:
        status: SEC_E_OK.
        expiry: ptsExpiry, a TimeStamp (100 ns since 1601, local time).
        credential: the handle.
    """

    status: SecurityStatus
    expiry: int
    credential: CredHandle


class ContextResult(NamedTuple):
    """What InitializeSecurityContext and AcceptSecurityContext return.

    Attributes:
        status: SEC_E_OK, a ``SEC_I_...`` status, or SEC_E_INCOMPLETE_MESSAGE; every other failure is raised.
        attributes: pfContextAttr, ``ISC_RET_...`` or ``ASC_RET_...`` bits; about security they mean something with
            SEC_E_OK.
        expiry: ptsExpiry, a TimeStamp; with SEC_E_OK.
        context: the handle. It is still invalid if the first call needs more input (SEC_E_INCOMPLETE_MESSAGE): then
            that call is repeated.
        token: the bytes for the peer, which are also in pOutput; may be empty.
    """

    status: SecurityStatus
    attributes: int
    expiry: int
    context: CtxtHandle
    token: bytes

    def __repr__(self) -> str:
        return (
            f"ContextResult(status={self.status!r}, attributes={self.attributes:#x}, expiry={self.expiry}, "
            f"context={self.context!r}, token=<{len(self.token)} bytes>)"
        )


class DecryptResult(NamedTuple):
    """What DecryptMessage and VerifySignature return beside the buffers.

    Attributes:
        status: SEC_E_OK, SEC_I_CONTEXT_EXPIRED (the peer said goodbye), SEC_I_RENEGOTIATE or
            SEC_E_INCOMPLETE_MESSAGE; every other failure is raised.
        qop: pfQOP.
    """

    status: SecurityStatus
    qop: int


@dataclass(slots=True, eq=False)
class CredentialRecord:
    """A credential, as the dispatcher sees it.

    Attributes:
        package: whose it is.
        credential: the package's own object.
    """

    package: LoadedPackage
    credential: object


class ContextRecord:
    """A context as the dispatcher sees it."""

    __slots__ = (
        "asked",
        "completing",
        "context",
        "credential",
        "failure",
        "member",
        "package",
        "state",
        "turns",
        "undelivered",
        "user",
    )

    def __init__(self, package: LoadedPackage, credential: CredentialRecord | None = None) -> None:
        self.package = package
        # The member of the package's table that makes its legs, which says the role; None for an imported context.
        self.member: str | None = None
        # That of the exchange under way, or of the last one; None for an imported context.
        self.credential = credential
        # Whether the last leg asked for another one (SEC_I_INCOMPLETE_CREDENTIALS).
        self.asked = False
        self.context: object = None
        self.state = HALF_BUILT
        self.failure: SSPIError | None = None
        self.turns = Turns()
        # A leg whose token did not fit: what it was given, and what it came to.
        self.undelivered: tuple[bytes, LegResult] | None = None
        self.user: int | None = None
        # Whether CompleteAuthToken is all that is missing (SEC_I_COMPLETE_NEEDED).
        self.completing = False

    def check_role(self, member: str) -> None:
        """Raise SEC_E_INVALID_HANDLE if it is a context of the other role."""
        if self.member not in (None, member):
            raise bad_handle("phContext", "this context belongs to the other role")

    def take_credential(self, given: CredentialRecord) -> None:
        """Take the credential of a call: that of the exchange, or another one where a new exchange begins with it.

        Raises:
            SSPIError: SEC_E_INVALID_HANDLE, it is one of another package; SEC_E_WRONG_CREDENTIAL_HANDLE, the exchange
                began with another one.
        """
        if given is self.credential:
            return
        if given.package is not self.package:
            raise bad_handle(
                "phCredential", f"a credential of {given.package.info.name} with a context of {self.package.info.name}"
            )
        if not self.asked and (self.state is not COMPLETE or self.undelivered is not None):
            raise refuse(
                "phCredential",
                "another one than before; it may change after SEC_I_INCOMPLETE_CREDENTIALS, or to authenticate again",
                _S.SEC_E_WRONG_CREDENTIAL_HANDLE,
            )

    def check_alive(self) -> None:
        """Raise SEC_E_INVALID_HANDLE if the context has failed."""
        if self.state is DEAD:
            why = self.failure.message if self.failure else "it was shut down"
            raise bad_handle("phContext", f"this context has failed, delete it: {why}") from self.failure

    def check_complete(self) -> None:
        """Raise SEC_E_INVALID_HANDLE if the context has failed or its exchange is not over."""
        self.check_alive()
        if self.state is not COMPLETE:
            raise bad_handle("phContext", "the exchange on this context is not over")


def call_package(function: Callable[..., Any], *args: object) -> Any:
    """Call into a package; whatever it raises comes out as SSPIError."""
    try:
        return function(*args)
    except Exception as error:  # noqa: BLE001 - whatever a package raises becomes a status
        failure = normalise(error)
        raise failure from failure.__cause__


def call_status(function: Callable[..., object], *args: object) -> SecurityStatus:
    """Call a function of a package that returns a status and nothing else.

    Returns:
        SEC_E_OK, or another status that is not a failure.

    Raises:
        SSPIError: it raised, or returned a failure: a SECURITY_STATUS or an NTSTATUS.
    """
    return call_package(lambda: check_done(function(*args)))  # type: ignore[no-any-return]


def call_value(function: Callable[..., object], *args: object) -> Any:
    """Call a function of a package that returns a result, or a status in its place where it fails.

    Raises:
        SSPIError: it raised, or returned a failure: a SECURITY_STATUS or an NTSTATUS.
    """
    return call_package(lambda: check_value(function(*args)))


def acquired(answer: object) -> tuple[object, int]:
    """Return the credential and the expiry that SpAcquireCredentialsHandle came to.

    Raises:
        TypeError, ValueError: it is not a pair.
    """
    if not isinstance(answer, tuple):
        raise TypeError(f"a {type(answer).__name__} is not a credential and an expiry")
    credential, expiry = answer
    return credential, expiry


def exported(answer: object) -> ContextBuffer:
    """Return the packed context that SpExportSecurityContext came to.

    Raises:
        TypeError: it is not bytes.
    """
    if not isinstance(answer, bytes | bytearray | memoryview):
        raise TypeError(f"a {type(answer).__name__} is not a packed context")
    return ContextBuffer(answer)


def opened(answer: object) -> DecryptResult:
    """Return what SpUnsealMessage came to: a pair of status and pfQOP, or a status alone.

    Raises:
        SSPIError: the status is a failure.
        TypeError, ValueError: it is neither.
    """
    status, qop = answer if isinstance(answer, tuple) else (answer, 0)
    return DecryptResult(check_done(status), _number(qop))


def verified(answer: object) -> DecryptResult:
    """Return what SpVerifySignature came to: pfQOP, or None for 0.

    Raises:
        SSPIError: it is a failure: the signature was not verified.
        TypeError: it is something else. False is.
    """
    qop = 0 if answer is None else _number(answer)
    if qop != c.SECQOP_WRAP_NO_ENCRYPT:  # the one pfQOP that looks like an NTSTATUS
        check_value(qop)
    return DecryptResult(_S.SEC_E_OK, qop)


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"a {type(value).__name__} that is not pfQOP")
    return value

"""Everything this library raises, sorted by whose fault it is.

Input from a peer, whatever it holds, leaves the library as one of these or as an event; anything else is a bug.
Each error knows its SECURITY_STATUS, the NTSTATUS where there is one, the section of the specification it leans
on, and the bytes that must still go to the peer. Texts never hold peer data beyond numbers and field names, and
errors of other libraries are not chained where their text could hold secrets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias, TypeVar

from credssp.next_step import NextStep
from credssp.status import NTStatus, SecurityStatus, describe, security_status_from_ntstatus

__all__ = [
    "AuthenticationError",
    "BindingError",
    "CertificateError",
    "Claim",
    "CredSSPError",
    "DecodeError",
    "LimitExceededError",
    "LocalProtocolError",
    "LocalRestrictionError",
    "PeerClosedError",
    "PeerRefusedError",
    "PolicyError",
    "RemoteProtocolError",
    "TLSAlertError",
    "TLSError",
    "VersionError",
]


E = TypeVar("E", bound="CredSSPError")


def _restore(cls: type[E], args: tuple[object, ...], attributes: dict[str, object]) -> E:
    error = cls.__new__(cls, *args)
    error.__dict__.update(attributes)
    return error


Wrong: TypeAlias = Literal["", "name", "password", "account"]
"""What was wrong with a login; see `Claim.wrong`."""


@dataclass(frozen=True, slots=True, repr=False)  # names of users are not for error trackers
class Claim:
    """Who a client said to be, in a login that failed; nothing of it is proved.

    Attributes:
        domain: the domain, as sent.
        username: the user name, as sent.
        workstation: the name of the client's machine, as sent.
        mechanism: the mechanism.
        wrong: for the server's owner, never for the client: ``name``, there is no such account; ``password``;
            ``account``, its state does not let it log on (locked, disabled, expired, an empty password); or an empty
            string where none of them is to blame or it is not known.
    """

    domain: str
    username: str
    workstation: str
    mechanism: str
    wrong: Wrong = ""


class CredSSPError(Exception):
    """The root: catch this to catch all.

    Attributes:
        status: the SECURITY_STATUS that SSPI would return for it.
        ntstatus: the NTSTATUS of the logon, or None where none applies. For an error of our own server this is what
            its errorCode says; for a client it is what the server said.
        section: where the broken rule is, such as ``[MS-CSSP] 2.2.1``; None where no text applies.
        token: bytes that must still be sent to the peer (a TSRequest with errorCode, a TLS alert); may be empty.
        claim: on a server, who the client said to be, where that is known. Not part of the text.
        refused: on a client, whether it was the server that said no to the login, as opposed to a check of ours, a KDC,
            a broken protocol or a lost connection.
        mechanism: ``ntlm`` or ``kerberos`` where the login was that far, else an empty string.
    """

    claim: Claim | None = None
    refused: bool = False
    mechanism: str = ""
    # None: the number is a verdict, and the table of statuses has its text.
    default_advice: ClassVar[str | None] = NextStep.ANY
    default_status: ClassVar[SecurityStatus] = SecurityStatus.SEC_E_INTERNAL_ERROR
    default_ntstatus: ClassVar[int | None] = None

    def __init__(
        self,
        message: str,
        *,
        status: SecurityStatus | None = None,
        ntstatus: int | None = None,
        section: str | None = None,
        token: bytes = b"",
        advice: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = self.default_status if status is None else status
        self.ntstatus = self.default_ntstatus if ntstatus is None else ntstatus
        self.section = section
        self.token = token
        self._advice = self.default_advice if advice is None else advice

    @property
    def advice(self) -> str:
        """What to do about it: the next step, one sentence or two, by the situation (`credssp.next_step`)."""
        return str(describe(self.error_code).advice if self._advice is None else self._advice)

    @advice.setter
    def advice(self, text: str) -> None:
        self._advice = text

    @property
    def error_code(self) -> int:
        """What a server puts into TSRequest.errorCode for this: the NTSTATUS, else the SECURITY_STATUS.

        Windows servers send both kinds (0xC000006D and 0x80090308, say).
        """
        return int(self.status) if self.ntstatus is None else self.ntstatus

    def as_status(self) -> dict[str, Any]:
        """Return number, name, text and advice for JSON: the text is `message` without advice at its end."""
        text = self.message.removesuffix(self.advice).rstrip()
        return describe(self.error_code).to_dict(text=text or self.message, advice=self.advice)

    def __reduce__(self) -> tuple[object, ...]:
        # The constructors take keywords, which Exception's own way of copying and pickling does not know.
        return _restore, (type(self), self.args, self.__dict__)

    def __str__(self) -> str:
        parts = [describe(self.error_code).summary]
        if self.section:
            parts.append(self.section)
        return f"{self.message} [{'; '.join(parts)}]"


class LocalProtocolError(CredSSPError):
    """You called something out of turn or with arguments that make no sense; the peer is not to blame."""

    default_status = SecurityStatus.SEC_E_INVALID_PARAMETER
    default_advice = NextStep.CALL


class LocalRestrictionError(LocalProtocolError):
    """This machine does not allow an algorithm or a TLS version that is needed; the peer is not to blame.

    Attributes:
        restriction: what does not allow it, such as ``security level 3``, ``MinProtocol`` or ``MD5``.
    """

    default_status = SecurityStatus.SEC_E_ALGORITHM_MISMATCH
    default_advice = NextStep.RESTRICTION

    def __init__(self, message: str, *, restriction: str, advice: str | None = None) -> None:
        super().__init__(message, advice=advice)
        self.restriction = restriction


class RemoteProtocolError(CredSSPError):
    """The peer broke the protocol."""

    default_status = SecurityStatus.SEC_E_INVALID_TOKEN
    default_advice = NextStep.PROTOCOL


class DecodeError(RemoteProtocolError):
    """A message does not decode.

    Attributes:
        field: the path of the field, such as ``TSRequest.negoTokens[0]``.
        offset: where in the message, in bytes from its start.
    """

    def __init__(self, message: str, *, field: str, offset: int = 0, section: str | None = None) -> None:
        super().__init__(f"{field} at byte {offset}: {message}", section=section)
        self.field = field
        self.offset = offset


class LimitExceededError(RemoteProtocolError):
    """The peer sent more than we are willing to hold; refused before it was read."""

    default_status = SecurityStatus.SEC_E_INSUFFICIENT_MEMORY
    default_advice = NextStep.LIMIT


class PeerClosedError(RemoteProtocolError):
    """The peer closed the TLS channel (close_notify) before the exchange was over."""

    default_status = SecurityStatus.SEC_E_CONTEXT_EXPIRED
    default_advice = NextStep.CLOSED


class TLSError(RemoteProtocolError):
    """The TLS layer failed: a handshake that does not work out, a record that does not decrypt.

    Attributes:
        reason: OpenSSL's short name for it, such as ``DECRYPTION_FAILED_OR_BAD_RECORD_MAC``, or an empty string.
    """

    default_status = SecurityStatus.SEC_E_ILLEGAL_MESSAGE
    default_advice = NextStep.TLS

    def __init__(
        self, message: str, *, reason: str = "", status: SecurityStatus | None = None, advice: str | None = None
    ) -> None:
        super().__init__(message, status=status, advice=advice)
        self.reason = reason


class TLSAlertError(TLSError):
    """The peer ended the TLS channel with a fatal alert.

    Attributes:
        alert: its name as in RFC 8446 section 6, such as ``access_denied``.
        description: its number, such as 49, or None if OpenSSL did not tell.
    """

    def __init__(
        self,
        message: str,
        *,
        alert: str,
        description: int | None,
        reason: str,
        status: SecurityStatus,
        advice: str | None = None,
    ) -> None:
        super().__init__(message, reason=reason, status=status, advice=advice)
        self.alert = alert
        self.description = description
        self.refused = alert == "access_denied"  # how servers without errorCode say no


class PeerRefusedError(CredSSPError):
    """The server refused the login and said why in TSRequest.errorCode ([MS-CSSP] 2.2.1), which is `ntstatus`."""

    ntstatus: int

    default_status = SecurityStatus.SEC_E_LOGON_DENIED
    default_advice = None
    refused = True

    def __init__(self, ntstatus: int) -> None:
        info = describe(ntstatus)
        status = security_status_from_ntstatus(ntstatus)
        super().__init__(
            f"the server refused the login: {info.meaning} {info.advice}",
            # An errorCode that is a success (bit 31 clear) is a refusal nevertheless, and must not look like a success.
            status=status if status >> 31 else self.default_status,
            ntstatus=ntstatus,
            section="[MS-CSSP] 2.2.1 errorCode",
        )


class AuthenticationError(CredSSPError):
    """The inner authentication (SPNEGO, NTLM, Kerberos) failed.

    A server raises the same text and the same NTSTATUS for an unknown user and for a wrong password.

    Attributes:
        judged: whether a KDC has judged the password: another attempt, by NTLM too, counts against the account.
        locked: on a server, whether the account is locked, which the client is not told.
    """

    judged = False
    locked = False

    default_status = SecurityStatus.SEC_E_LOGON_DENIED
    default_advice = None
    default_ntstatus = NTStatus.STATUS_LOGON_FAILURE


class BindingError(CredSSPError):
    """pubKeyAuth does not match the TLS key: a man in the middle, or a peer that binds to something else."""

    default_status = SecurityStatus.SEC_E_MESSAGE_ALTERED
    default_advice = NextStep.BINDING


class CertificateError(CredSSPError):
    """The server's certificate did not pass the check that the caller asked for."""

    default_status = SecurityStatus.SEC_E_UNTRUSTED_ROOT
    default_advice = NextStep.CERTIFICATE_ROOT


class PolicyError(CredSSPError):
    """Our own policy forbids to go on; nothing was delegated.

    Attributes:
        spn: the target the decision was about, or None.
        setting: the name of the setting that decided, such as ``AllowFreshCredentials``.
    """

    default_status = SecurityStatus.SEC_E_DELEGATION_POLICY
    default_advice = NextStep.POLICY

    def __init__(
        self,
        message: str,
        *,
        status: SecurityStatus,
        spn: str | None = None,
        setting: str | None = None,
        advice: str | None = None,
    ) -> None:
        super().__init__(message, status=status, advice=advice)
        self.spn = spn
        self.setting = setting


class VersionError(CredSSPError):
    """The peer's CredSSP version is below what we accept (CVE-2018-0886), or changed in the middle."""

    default_status = SecurityStatus.SEC_E_UNSUPPORTED_FUNCTION
    default_advice = NextStep.VERSION_WRONG
    default_ntstatus = NTStatus.STATUS_NOT_SUPPORTED

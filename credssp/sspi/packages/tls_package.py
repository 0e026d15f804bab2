"""What CREDSSP and Schannel share in LSA mode: an exchange of TLS records, cut at their borders.

The inner context (`credssp.ClientContext` and the like) would take bytes in any portion and keep what is left. SSPI
wants it otherwise: what belongs to the application must stay with the caller (SECBUFFER_EXTRA), and a record that is
not whole must change nothing (SEC_E_INCOMPLETE_MESSAGE, SECBUFFER_MISSING). So whole records are given to the inner
context one by one, until it is complete or there is no further whole one.

A server's wish for a client certificate is seen before its flight is finished (`credssp.tls.certificate_request`). If
the credential has none, or one of an authority that the server does not name, the leg ends there, with
SEC_I_INCOMPLETE_CREDENTIALS. The caller repeats the call with **the same input**, as with Schannel, and another
credential, or with the old one to go on as it is.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final, TypeVar

from credssp.errors import CertificateError, CredSSPError
from credssp.sspi import constants as c
from credssp.sspi.buffers import SECBUFFER_TOKEN, SecBuffer
from credssp.sspi.errors import SSPIError, bad_handle, bad_token, refuse, unsupported
from credssp.sspi.packages.control_tokens import read_control_token
from credssp.sspi.packages.inputs import token_and_empty
from credssp.sspi.packages.lsa_mode import LsaModePackage, Opening
from credssp.sspi.packages.stream_messages import StreamSession
from credssp.sspi.packages.tls_context import TLSContext, TLSPackageCredential
from credssp.sspi.structures import SCHANNEL_ALERT_TOKEN
from credssp.sspi.tables import LegResult
from credssp.status import SecurityStatus
from credssp.tls.certificate_request import find_in_clear
from credssp.tls.record import HEADER_SIZE, end_of_records, measure_record

__all__ = ["STREAM_ASC", "STREAM_ISC", "TLSPackage"]

_S = SecurityStatus

STREAM_ISC: Final = (
    c.ISC_REQ_REPLAY_DETECT
    | c.ISC_REQ_SEQUENCE_DETECT
    | c.ISC_REQ_CONFIDENTIALITY
    | c.ISC_REQ_INTEGRITY
    | c.ISC_REQ_ALLOCATE_MEMORY
    | c.ISC_REQ_CONNECTION
    | c.ISC_REQ_EXTENDED_ERROR
    | c.ISC_REQ_STREAM
    | c.ISC_REQ_MANUAL_CRED_VALIDATION
    | c.ISC_REQ_USE_SUPPLIED_CREDS
    | c.ISC_REQ_MUTUAL_AUTH
)
STREAM_ASC: Final = (
    c.ASC_REQ_REPLAY_DETECT
    | c.ASC_REQ_SEQUENCE_DETECT
    | c.ASC_REQ_CONFIDENTIALITY
    | c.ASC_REQ_INTEGRITY
    | c.ASC_REQ_ALLOCATE_MEMORY
    | c.ASC_REQ_CONNECTION
    | c.ASC_REQ_EXTENDED_ERROR
    | c.ASC_REQ_STREAM
    | c.ASC_REQ_MUTUAL_AUTH
)
_HANDSHAKE: Final = 22
_APPLICATION_DATA: Final = 23
"""Types of TLS records; in TLS 1.3 everything encrypted says it is application data."""

_NO_ROOM_FOR_REQUEST: Final = 40
"""A record of this size holds EncryptedExtensions, but no CertificateRequest after it: header 5, content type and tag
17, and the two messages have at least 6 and 15 bytes."""

_DETECT: Final = c.ISC_REQ_REPLAY_DETECT | c.ISC_REQ_SEQUENCE_DETECT

K = TypeVar("K", bound=TLSPackageCredential)


class TLSPackage(LsaModePackage[K, TLSContext]):
    """SECPKG_FUNCTION_TABLE of a package that speaks TLS."""

    ends_with_handshake: ClassVar[bool] = False
    isc_flags: ClassVar[int] = STREAM_ISC
    asc_flags: ClassVar[int] = STREAM_ASC
    isc_kinds: ClassVar[int] = c.ISC_REQ_STREAM | c.ISC_REQ_CONNECTION
    asc_kinds: ClassVar[int] = c.ASC_REQ_STREAM | c.ASC_REQ_CONNECTION
    context: ClassVar[type[TLSContext]] = TLSContext

    @abstractmethod
    def make_client(self, opening: Opening[K]) -> Any:
        """Return the inner context of a client."""

    @abstractmethod
    def make_server(self, opening: Opening[K]) -> Any:
        """Return the inner context of a server."""

    @abstractmethod
    def restart(self, inner: Any, opening: Opening[K]) -> None:
        """Begin another exchange of an inner context that is complete.

        Raises:
            CredSSPError: not possible here, or not any more; nothing has changed.
        """

    def free_credentials_handle(self, credential: K) -> None:
        """SpFreeCredentialsHandle: contexts made from it live on, its TLS sessions do not."""
        credential.resumable.clear()

    # Legs

    def start_client(self, opening: Opening[K]) -> LegResult:
        """Make a context and the ClientHello."""
        return self._consume(self.context(opening, self.make_client(opening)), b"", 0)

    def start_server(self, opening: Opening[K], inputs: Sequence[SecBuffer]) -> LegResult:
        """Make a context and answer the ClientHello."""
        data = token_and_empty(inputs)
        missing = _missing(data)
        if missing:
            return LegResult(status=_S.SEC_E_INCOMPLETE_MESSAGE, missing=missing)
        return self._consume(self.context(opening, self.make_server(opening)), data, 0)

    def go_on(self, context: TLSContext, credential: K | None, inputs: Sequence[SecBuffer]) -> LegResult:
        """Consume further records, or return the alert that ends the context."""
        if context.alert is not None:
            return self._alerted(context, context.alert)
        if context.session is not None and context.session.unsent:
            return self._result(context, context.session.take_unsent(), 0)
        data = token_and_empty(inputs)
        if context.held is not None:
            return self._consume(context, *self._take_up(context, context.held, credential, data))
        return self._consume(context, data, 0)

    def after_end(self, context: TLSContext, inputs: Sequence[SecBuffer], again: Callable[[], Opening[K]]) -> LegResult:
        """Return close_notify after SCHANNEL_SHUTDOWN, or what TLS has to send, or begin another exchange."""
        if context.alert is not None:
            return self._alerted(context, context.alert)
        closing = context.closing
        if closing is not None:
            context.closing = None
            with closing.lock:
                closing.send_closed = True
                return self._result(context, context.inner.shutdown(), 0)
        if context.session is not None and context.session.unsent:
            return self._result(context, context.session.take_unsent(), 0)
        return self._reauthenticate(context, inputs, again)

    @staticmethod
    def _take_up(context: TLSContext, held: tuple[bytes, int], credential: K | None, data: bytes) -> tuple[bytes, int]:
        """Go on after SEC_I_INCOMPLETE_CREDENTIALS, perhaps with another credential."""
        before, at = held
        if data and not data.startswith(before):
            raise bad_token("pInput", "after SEC_I_INCOMPLETE_CREDENTIALS the same input is due again")
        if credential is not None and credential is not context.credential:
            certificate = credential.tls.certificate
            if certificate is None:
                raise refuse("phCredential", "this one has no certificate either", _S.SEC_E_NO_CREDENTIALS)
            context.inner.use_client_certificate(certificate)
            context.credential = credential
            # Another one that does not fit is another occasion to ask.
            context.asked = context.issuers is None or context.issuers.takes(certificate.authorities)
        return (data or before), at

    def _reauthenticate(
        self, context: TLSContext, inputs: Sequence[SecBuffer], again: Callable[[], Opening[K]]
    ) -> LegResult:
        """Begin another exchange on a context that is complete."""
        data = token_and_empty(inputs) if inputs else b""
        if context.client and data:
            raise bad_token("pInput", "the context is complete; re-authentication begins without a TOKEN")
        if not context.client:
            missing = _missing(data)
            if missing:
                return LegResult(status=_S.SEC_E_INCOMPLETE_MESSAGE, context=context, missing=missing)
        opening = again()
        try:
            self.restart(context.inner, opening)
        except CredSSPError as error:
            if isinstance(error, SSPIError) and error.parameter is not None:
                raise
            # Not possible here, or not any more: the context is as it was.
            what = "pszTargetName" if isinstance(error, CertificateError) else "phContext"
            raise SSPIError(error.message, status=error.status, parameter=what, advice=error.advice) from None
        context.restart(opening)
        return self._consume(context, data, 0)

    def _consume(self, context: TLSContext, data: bytes, at: int) -> LegResult:
        """Give whole records to the inner context until it is complete."""
        inner = context.inner
        token = b""
        size = len(data)
        try:
            if not data and context.silent:
                context.silent = False
                return self._result(context, inner.step().token, 0)
            end = self._next_piece(context, data, at)
            if end == at and context.held is None:
                return LegResult(status=_S.SEC_E_INCOMPLETE_MESSAGE, context=context, missing=_missing(data))
            context.held = None
            while end > at:
                if not context.asked and not inner.handshake_complete and self._must_ask(context, data, at):
                    context.held = data, at
                    return LegResult(
                        status=_S.SEC_I_INCOMPLETE_CREDENTIALS,
                        context=context,
                        token=token,
                        attributes=context.granted,
                    )
                token += inner.step(data if not at and end == size else data[at:end]).token
                if not context.client:
                    token += self.answer(context)
                at = end
                if at == size or inner.complete:
                    break
                end = self._next_piece(context, data, at)
        except CredSSPError as error:
            failure = context.failure(error, token)
            raise failure from failure.__cause__
        return self._result(context, token, size - at)

    def answer(self, context: TLSContext) -> bytes:  # noqa: ARG002 - for packages that log users on
        """Answer what the inner context asks, if anything, and return what it has to send then."""
        return b""

    def _next_piece(self, context: TLSContext, data: bytes, at: int) -> int:
        """Return the end of what the inner context gets next; `at` if no record is whole.

        One record, since nothing after the last one may be touched. A handshake after which the exchange goes on
        cannot end it, and goes in as a whole; but where a client may still be asked for a certificate, it is cut
        around the place in which the server asks: the record after EncryptedExtensions (RFC 8446 section 4.3.2).
        """
        if self.ends_with_handshake or context.inner.handshake_complete:
            return end_of_records(data, at, at_most=1)
        if context.asked or not context.client or context.inner.certificate_settled:
            return end_of_records(data, at)
        end = at
        while (following := end_of_records(data, end, at_most=1)) > end:
            encrypted = data[end] == _APPLICATION_DATA and following - end > _NO_ROOM_FOR_REQUEST
            end = following
            if encrypted:
                break
        return end

    @staticmethod
    def _must_ask(context: TLSContext, data: bytes, at: int) -> bool:
        """Whether the server wants a certificate that the client does not have; then it will not be asked again."""
        inner = context.inner
        wish = context.issuers or inner.certificate_request()
        if wish is None and data[at] == _HANDSHAKE:
            wish = find_in_clear(data[at:])
        context.issuers = wish
        context.asked = wish is not None
        certificate = context.credential.tls.certificate
        return wish is not None and (certificate is None or not wish.takes(certificate.authorities))

    def _result(self, context: TLSContext, token: bytes, extra: int) -> LegResult:
        inner = context.inner
        if inner.complete:
            context.note_end()
        result = LegResult(
            status=_S.SEC_I_CONTINUE_NEEDED, context=context, token=token, extra=extra, attributes=context.granted
        )
        if not inner.complete:
            return result
        result.status = _S.SEC_E_OK
        result.expiry = context.expiry
        if context.session is None:
            detect = bool(context.request & _DETECT)
            stream = c.ISC_REQ_STREAM if context.client else c.ASC_REQ_STREAM
            context.session = StreamSession(
                inner,
                formats=bool(context.request & stream),
                detect=detect,
                max_token=self.info.max_token,
                unread=inner.unused_data,
            )
            result.mapped = True
            result.context_data = self.support.share(context.session)
            if context.client and context.credential.tls.lifespan:
                context.credential.remember(context.opening.target, inner.tls_session)
        elif context.reauthentication:
            context.session.unread += inner.unused_data
        return result

    # Everything else

    def delete_context(self, context: TLSContext) -> None:
        """SpDeleteContext."""
        context.inner = context.session = context.received = None

    def apply_control_token(self, context: TLSContext, inputs: Sequence[SecBuffer]) -> None:
        """SpApplyControlToken: the next ISC or ASC returns close_notify, or a fatal alert that ends the context."""
        data = inputs[0].octets("pInput") if len(inputs) == 1 and inputs[0].kind == SECBUFFER_TOKEN else b""
        token = read_control_token(data)
        if isinstance(token, SCHANNEL_ALERT_TOKEN) and token.alert_number != c.TLS1_ALERT_CLOSE_NOTIFY:
            if token.alert_type != c.TLS1_ALERT_FATAL:
                raise unsupported("pInput", "OpenSSL sends no warning but close_notify: TLS1_ALERT_FATAL, or SHUTDOWN")
            context.alert = token.alert_number
            return
        if context.session is None or not context.inner.complete:
            raise bad_handle("phContext", "the exchange is not over; send a fatal alert, or delete the context")
        context.closing = context.session

    def _alerted(self, context: TLSContext, description: int) -> LegResult:
        """Return a fatal alert, the last token of a context."""
        return LegResult(
            status=_S.SEC_E_OK,
            context=context,
            token=context.inner.alert(description),
            attributes=context.granted,
            ended=f"it sent a fatal alert ({description}), as ApplyControlToken told it",
        )


def _missing(data: bytes) -> int:
    """Return how many bytes, about, make the first record whole; 0 if it is.

    Raises:
        SSPIError: SEC_E_INVALID_TOKEN, the data is not TLS.
    """
    size = measure_record(data)
    return max((size or HEADER_SIZE) - len(data), 0)

"""What CREDSSP and Schannel share in LSA mode: an exchange of TLS records, cut at their borders.

The inner context (`credssp.ClientContext` and the like) would take octets in any portion and keep what is left. SSPI
wants it otherwise: what belongs to the application must stay with the caller (SECBUFFER_EXTRA), and a record that is
not whole must change nothing (SEC_E_INCOMPLETE_MESSAGE, SECBUFFER_MISSING). So whole records are given to the inner
context one by one, until it is complete or there is no further whole one.

A server's wish for a client certificate is seen before its flight is finished (`credssp.tls.certificate_request`); the
leg ends with SEC_I_INCOMPLETE_CREDENTIALS there. The caller repeats the call with **the same input**, as with Schannel,
and a credential with a certificate, or the old one to go on without.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Final

from credssp.errors import CredSSPError
from credssp.sspi import attributes as a
from credssp.sspi import constants as c
from credssp.sspi.buffers import SecBuffer
from credssp.sspi.errors import SSPIError, normalise, refuse
from credssp.sspi.packages.connection_info import connection_info
from credssp.sspi.packages.inputs import check_flags, split_params, token_and_empty
from credssp.sspi.packages.shipped import ShippedPackage
from credssp.sspi.packages.stream_messages import StreamSession
from credssp.sspi.packages.tls_context import TLSContext, TLSPackageCredential
from credssp.sspi.tables import NO_EXPIRY, LegResult, SecpkgFunctionTable
from credssp.sspi.timestamps import timestamp
from credssp.status import SecurityStatus
from credssp.tls.certificate_request import find_in_clear
from credssp.tls.record import HEADER_SIZE, end_of_records, measure_record
from credssp.tls.trust import expiry_of

__all__ = ["TLSPackage"]

_S = SecurityStatus

_ISC_ALWAYS: Final = (
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
_ASC_ALWAYS: Final = (
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
"""A record of this size holds EncryptedExtensions, but no CertificateRequest behind it: header 5, content type and tag
17, and the two messages have at least 6 and 15 octets."""

_ISC_KIND: Final = c.ISC_REQ_STREAM | c.ISC_REQ_CONNECTION
_ASC_KIND: Final = c.ASC_REQ_STREAM | c.ASC_REQ_CONNECTION
_DETECT: Final = c.ISC_REQ_REPLAY_DETECT | c.ISC_REQ_SEQUENCE_DETECT
# Granted at the end only, when it is known whether they hold.
_EARNED: Final = c.ISC_RET_MUTUAL_AUTH | c.ISC_RET_DELEGATE


class TLSPackage(ShippedPackage, ABC):
    """SECPKG_FUNCTION_TABLE of a package that speaks TLS."""

    ends_with_handshake: ClassVar[bool] = False
    isc_flags: ClassVar[int] = _ISC_ALWAYS
    asc_flags: ClassVar[int] = _ASC_ALWAYS

    def table(self) -> SecpkgFunctionTable:
        """Return the table."""
        return SecpkgFunctionTable(
            initialize=self.initialize,
            shutdown=self.shutdown,
            get_info=self.get_info,
            acquire_credentials_handle=self.acquire_credentials_handle,
            query_credentials_attributes=self.query_credentials_attributes,
            free_credentials_handle=self.free_credentials_handle,
            init_lsa_mode_context=self.init_lsa_mode_context,
            accept_lsa_mode_context=self.accept_lsa_mode_context,
            delete_context=self.delete_context,
            apply_control_token=self.apply_control_token,
            get_extended_information=self.get_extended_information,
            query_context_attributes=self.query_context_attributes,
        )

    def get_extended_information(self, information_class: str) -> object:
        """SpGetExtendedInformation: every attribute but the sizes is answered here (ContextThunks)."""
        if information_class == "ContextThunks":
            return _THUNKS
        raise SSPIError(f"no information of class {information_class}", status=_S.SEC_E_UNSUPPORTED_FUNCTION)

    @abstractmethod
    def acquire_credentials_handle(
        self, principal: str | None, use: int, logon_id: Any, auth_data: Any, get_key_fn: Any, get_key_argument: Any
    ) -> tuple[object, int]:
        """SpAcquireCredentialsHandle."""

    @abstractmethod
    def make_client(self, context: TLSContext, credential: Any, supplied: bytes | None) -> Any:
        """Return the inner context of a client."""

    @abstractmethod
    def make_server(self, context: TLSContext, credential: Any) -> Any:
        """Return the inner context of a server."""

    def query_credentials_attributes(self, credential: TLSPackageCredential, attribute: int) -> object:
        """SpQueryCredentialsAttributes."""
        certificate = credential.tls.certificate
        if attribute == a.SECPKG_CRED_ATTR_NAMES:
            return a.SecPkgCredentials_Names(self.user_name(credential))
        if attribute == a.SECPKG_CRED_ATTR_CERT and certificate is not None:
            return a.CertContext(certificate.der)
        raise refuse("ulAttribute", f"{attribute!r} is not known here", _S.SEC_E_UNSUPPORTED_FUNCTION)

    def user_name(self, credential: Any) -> str:  # noqa: ARG002 - TLS knows no users
        """Return the name that a credential stands for."""
        return ""

    def free_credentials_handle(self, credential: TLSPackageCredential) -> None:
        """SpFreeCredentialsHandle: contexts made from it live on, its sessions do not."""
        credential.sessions.clear()

    # Legs

    def init_lsa_mode_context(
        self,
        credential: Any,
        context: TLSContext | None,
        target_name: str | None,
        context_req: int,
        data_rep: int,  # noqa: ARG002 - TLS has one representation
        inputs: Sequence[SecBuffer],
    ) -> LegResult:
        """SpInitLsaModeContext."""
        if context_req & ~self.isc_flags or not context_req & _ISC_KIND:
            check_flags(context_req, self.isc_flags, need_one_of=_ISC_KIND)
        supplied = None
        if len(inputs) != 2:  # nothing, or with SECBUFFER_PKG_PARAMS
            inputs, supplied = split_params(inputs, wanted=bool(context_req & c.ISC_REQ_USE_SUPPLIED_CREDS))
        if context is not None:
            return self._go_on(context, credential, client=True, inputs=inputs)
        if not credential.use & c.SECPKG_CRED_OUTBOUND:
            raise refuse("phCredential", "made for inbound use", _S.SEC_E_NO_CREDENTIALS)
        if inputs and token_and_empty(inputs):
            raise refuse("pInput", "the client speaks first: no TOKEN yet", _S.SEC_E_INVALID_TOKEN)
        context = TLSContext(None, client=True, credential=credential, target=target_name, request=context_req)
        context.supplied = supplied is not None
        context.inner = self.make_client(context, credential, supplied)
        return self._consume(context, b"", 0)

    def accept_lsa_mode_context(
        self,
        credential: Any,
        context: TLSContext | None,
        inputs: Sequence[SecBuffer],
        context_req: int,
        data_rep: int,  # noqa: ARG002
    ) -> LegResult:
        """SpAcceptLsaModeContext."""
        check_flags(context_req, self.asc_flags, need_one_of=c.ASC_REQ_STREAM | c.ASC_REQ_CONNECTION, family="ASC_REQ")
        if context is not None:
            return self._go_on(context, credential, client=False, inputs=inputs)
        if not credential.use & c.SECPKG_CRED_INBOUND:
            raise refuse("phCredential", "made for outbound use", _S.SEC_E_NO_CREDENTIALS)
        data = token_and_empty(inputs)
        context = TLSContext(None, client=False, credential=credential, target=None, request=context_req)
        missing = _missing(data)
        if missing:
            return LegResult(status=_S.SEC_E_INCOMPLETE_MESSAGE, missing=missing)
        context.inner = self.make_server(context, credential)
        return self._consume(context, data, 0)

    def _go_on(self, context: TLSContext, credential: Any, *, client: bool, inputs: Sequence[SecBuffer]) -> LegResult:
        if context.client is not client:
            raise refuse("phContext", "this context belongs to the other role", _S.SEC_E_INVALID_HANDLE)
        session = context.session
        if context.closing:
            context.closing = False
            assert session is not None  # noqa: S101  # apply_control_token saw to it
            with session.lock:
                session.send_closed = True
                return self._result(context, context.inner.shutdown(), 0)
        if session is not None and session.unsent:
            with session.lock:
                token, session.unsent = session.unsent, b""
            return self._result(context, token, 0)
        if context.inner.complete:
            return self._reauthenticate(context, inputs)
        data = token_and_empty(inputs)
        start = 0
        if context.held is not None:
            data, start = self._take_up(context, credential, data)
        elif credential is not None and credential is not context.credential:
            raise refuse(
                "phCredential",
                "another one than before; it may change after SEC_I_INCOMPLETE_CREDENTIALS only",
                _S.SEC_E_WRONG_CREDENTIAL_HANDLE,
            )
        return self._consume(context, data, start)

    def _take_up(self, context: TLSContext, credential: Any, data: bytes) -> tuple[bytes, int]:
        """Go on after SEC_I_INCOMPLETE_CREDENTIALS, perhaps with another credential."""
        held = context.held
        assert held is not None  # noqa: S101  # by the caller
        if data and not data.startswith(held):
            raise refuse(
                "pInput", "after SEC_I_INCOMPLETE_CREDENTIALS the same input is due again", _S.SEC_E_INVALID_TOKEN
            )
        if credential is not None and credential is not context.credential:
            certificate = credential.tls.certificate
            if certificate is None:
                raise refuse("phCredential", "this one has no certificate either", _S.SEC_E_NO_CREDENTIALS)
            context.inner.use_client_certificate(certificate)
            context.credential = credential
        return (data or held), context.held_at

    def _reauthenticate(self, context: TLSContext, inputs: Sequence[SecBuffer]) -> LegResult:
        """Begin another exchange on a context that is complete."""
        data = token_and_empty(inputs) if inputs else b""
        if context.client and data:
            raise refuse(
                "pInput", "the context is complete; re-authentication begins without a TOKEN", _S.SEC_E_INVALID_TOKEN
            )
        if not context.client:
            missing = _missing(data)
            if missing:
                return LegResult(status=_S.SEC_E_INCOMPLETE_MESSAGE, context=context, missing=missing)
        try:
            context.inner.restart()
        except CredSSPError as error:
            # Not possible here, or not any more: the context is as it was.
            raise SSPIError(error.message, status=error.status, parameter="phContext") from None
        context.reauthentication = True
        context.opening = context.client
        context.granted = 0
        return self._consume(context, data, 0)

    def _consume(self, context: TLSContext, data: bytes, at: int) -> LegResult:
        """Give whole records to the inner context until it is complete.

        Without EXTENDED_ERROR the peer is not told what went wrong.
        """
        inner = context.inner
        token = b""
        size = len(data)
        try:
            if not data and context.opening:
                context.opening = False
                return self._result(context, inner.step().token, 0)
            end = self._next_piece(context, data, at)
            if end == at and context.held is None:
                return LegResult(status=_S.SEC_E_INCOMPLETE_MESSAGE, context=context, missing=_missing(data))
            context.held = None
            while end > at:
                if not context.asked and not inner.handshake_complete and self._is_asked(context, data, at):
                    context.held, context.held_at = data, at
                    return LegResult(
                        status=_S.SEC_I_INCOMPLETE_CREDENTIALS,
                        context=context,
                        token=token,
                        attributes=self._attributes(context),
                    )
                token += inner.step(data if not at and end == size else data[at:end]).token
                at = end
                if at == size or inner.complete:
                    break
                end = self._next_piece(context, data, at)
        except CredSSPError as error:
            tell = c.ISC_REQ_EXTENDED_ERROR if context.client else c.ASC_REQ_EXTENDED_ERROR
            failure = normalise(error)
            failure.token = token + failure.token if context.request & tell else b""
            raise failure from failure.__cause__
        return self._result(context, token, size - at)

    def _next_piece(self, context: TLSContext, data: bytes, at: int) -> int:
        """Return the end of what the inner context gets next; `at` if no record is whole.

        One record, since nothing behind the last one may be touched. A handshake after which the exchange goes on
        cannot end it, and goes in as a whole; but where a client may still be asked for a certificate, it is cut
        around the place in which the server asks: the record behind EncryptedExtensions (RFC 8446 section 4.3.2).
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
    def _is_asked(context: TLSContext, data: bytes, at: int) -> bool:
        """Whether the server wants a certificate of a client that has none; then it will not be asked again."""
        inner = context.inner
        context.issuers = inner.certificate_request()
        if context.issuers is None and data[at] == _HANDSHAKE:
            context.issuers = find_in_clear(data[at:])
        context.asked = context.issuers is not None
        return context.asked

    def _result(self, context: TLSContext, token: bytes, extra: int) -> LegResult:
        inner = context.inner
        result = LegResult(
            status=_S.SEC_I_CONTINUE_NEEDED,
            context=context,
            token=token,
            extra=extra,
            attributes=self._attributes(context),
        )
        if not inner.complete:
            return result
        result.status = _S.SEC_E_OK
        result.expiry = self.expiry(context)
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
            self.completed(context)
        elif context.reauthentication:
            context.session.unread += inner.unused_data
        return result

    def completed(self, context: TLSContext) -> None:
        """Remember the TLS session of a client, if that is asked for."""
        if context.client and context.credential.tls.lifespan:
            credential = context.credential
            credential.sessions.put(
                context.target or "",
                context.inner.tls_session,
                logon_id=credential.logon_id,
                credential=id(credential),
            )

    def session_for(self, context: TLSContext) -> Any:
        """Return the TLS session to resume, or None."""
        credential = context.credential
        return credential.sessions.get(context.target or "", logon_id=credential.logon_id, credential=id(credential))

    def _attributes(self, context: TLSContext) -> int:
        """Return what is granted: what was asked for, and of the things that must be earned what was."""
        granted = context.granted
        if not granted:
            granted = context.request & ~_EARNED & ~c.ISC_REQ_USE_SUPPLIED_CREDS
            if context.client:
                if context.supplied:
                    granted |= c.ISC_RET_USED_SUPPLIED_CREDS
                if context.reauthentication:
                    granted |= c.ISC_RET_REAUTHENTICATION
            context.granted = granted
        if context.inner.complete:
            granted |= context.request & self.earned(context)
        return granted

    def earned(self, context: TLSContext) -> int:
        """Return which of MUTUAL_AUTH and DELEGATE hold, in a context that is complete."""
        if context.client:
            return c.ISC_RET_MUTUAL_AUTH if context.inner.certificate_trust.trusted else 0
        return c.ASC_RET_MUTUAL_AUTH if context.inner.client_certificate else 0

    def expiry(self, context: TLSContext) -> int:
        """Return when the context ends: with the server's certificate, seen by the client."""
        if not context.client:
            return NO_EXPIRY
        certificate = context.inner.server_certificate
        return _expiry(certificate) if certificate else NO_EXPIRY

    # Everything else

    def delete_context(self, context: TLSContext) -> None:
        """SpDeleteContext."""
        context.inner = None
        context.session = None

    def apply_control_token(self, context: TLSContext, inputs: Sequence[SecBuffer]) -> None:
        """SpApplyControlToken: SCHANNEL_SHUTDOWN; the next ISC or ASC returns close_notify."""
        data = inputs[0].data if len(inputs) == 1 else b""
        if len(data) != 4 or inputs[0].buffer_type != 2:
            raise refuse("pInput", "one TOKEN with a DWORD (SCHANNEL_SHUTDOWN)", _S.SEC_E_INVALID_TOKEN)
        if int.from_bytes(data, "little") != c.SCHANNEL_SHUTDOWN:
            raise refuse("pInput", "SCHANNEL_SHUTDOWN is the only control token", _S.SEC_E_UNSUPPORTED_FUNCTION)
        if context.session is None or not context.inner.complete:
            raise refuse("phContext", "the exchange is not over; delete the context instead", _S.SEC_E_INVALID_HANDLE)
        context.closing = True

    def query_context_attributes(self, context: TLSContext, attribute: int) -> object:
        """SpQueryContextAttributes."""
        inner = context.inner
        if attribute == a.SECPKG_ATTR_ISSUER_LIST_EX:
            if context.issuers is None:
                raise refuse(
                    "ulAttribute", "the server has not asked for a client certificate", _S.SEC_E_UNSUPPORTED_FUNCTION
                )
            return a.SecPkgContext_IssuerListInfoEx(context.issuers.issuers)
        if attribute == a.SECPKG_ATTR_PACKAGE_INFO:
            return a.SecPkgContext_PackageInfo(self.info)
        if not inner.complete:
            raise refuse("phContext", "the exchange on this context is not over", _S.SEC_E_INVALID_HANDLE)
        if attribute == a.SECPKG_ATTR_FLAGS:
            return a.SecPkgContext_Flags(self._attributes(context))
        if attribute == a.SECPKG_ATTR_LIFESPAN:
            return a.SecPkgContext_Lifespan(timestamp(context.started), self.expiry(context))
        if attribute == a.SECPKG_ATTR_CONNECTION_INFO:
            return connection_info(inner.tls_version, inner.tls_cipher, inner.tls_bits, client=context.client)
        if attribute == a.SECPKG_ATTR_REMOTE_CERT_CONTEXT:
            return self._certificate(inner.server_certificate if context.client else inner.client_certificate)
        if attribute == a.SECPKG_ATTR_LOCAL_CERT_CONTEXT:
            tls = context.credential.tls
            own = tls.certificate if context.client else tls.server_certificate
            return self._certificate(None if own is None else own.der)
        if attribute == a.SECPKG_ATTR_CERT_TRUST_STATUS and context.client:
            trust = inner.certificate_trust
            return a.CERT_TRUST_STATUS(trust.errors, trust.info)
        return self.query_more(context, attribute)

    def query_more(self, context: TLSContext, attribute: int) -> object:  # noqa: ARG002
        """Answer what a package knows beyond TLS."""
        raise refuse("ulAttribute", f"{attribute:#x} is not known here", _S.SEC_E_UNSUPPORTED_FUNCTION)

    @staticmethod
    def _certificate(der: bytes | None) -> a.CertContext:
        if der is None:
            raise refuse("ulAttribute", "there is no such certificate", _S.SEC_E_NO_CREDENTIALS)
        return a.CertContext(der)


# Every attribute that is asked for goes to the LSA-mode half, but for the two sizes.
_THUNKS: Final = tuple(
    number
    for name, number in vars(a).items()
    if name.startswith("SECPKG_ATTR_")
    and number not in (a.SECPKG_ATTR_SIZES, a.SECPKG_ATTR_STREAM_SIZES, a.SECPKG_ATTR_THUNK_ALL)
)


@functools.lru_cache(maxsize=256)
def _expiry(certificate: bytes) -> int:
    return timestamp(expiry_of(certificate))


def _missing(data: bytes) -> int:
    """Return how many octets, about, make the first record whole; 0 if it is.

    Raises:
        SSPIError: SEC_E_INVALID_TOKEN, that is no TLS.
    """
    size = measure_record(data)
    return max((size or HEADER_SIZE) - len(data), 0)

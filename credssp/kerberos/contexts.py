"""Kerberos, initiator and acceptor, over GSS-API or SSPI through pyspnego (RFC 4121, [MS-KILE] 3.4.5.4).

Both ends demand confidentiality, integrity and mutual authentication: CredSSP sends a password through the context.
Making the initiator and its first step may ask a KDC, and so may block.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Final

from credssp.channel_bindings import BindingDemand, ChannelBindings
from credssp.config import CbtHardening
from credssp.credentials import (
    CCacheCredentials,
    CertificateCredentials,
    KerberosCredentials,
    KeytabCredentials,
    LogonCredentials,
    PasswordCredentials,
)
from credssp.errors import AuthenticationError, DecodeError, LocalProtocolError, RemoteProtocolError
from credssp.identity import Identity
from credssp.kerberos import gss_errors, pyspnego, tickets
from credssp.kerberos.acceptor_key import AcceptorKeys
from credssp.kerberos.admission import Admission, admit, admit_last_leg
from credssp.kerberos.ap import AP_REP, KRB_ERROR, unframe
from credssp.kerberos.gss_errors import failure
from credssp.kerberos.logon import TICKET, client_of, obtain, usable
from credssp.message_parts import MessagePart, OpenedMessage, SealedMessage, cut
from credssp.next_step import NextStep
from credssp.security_context import SecurityContext
from credssp.server_authentication import ServerAuthentication
from credssp.status import NTStatus, SecurityStatus
from credssp.target import Target
from credssp.watched_file import WatchedFile

if TYPE_CHECKING:
    import spnego

    from credssp.kerberos.watched_keytab import MemoryKeytab

__all__ = [
    "KERBEROS_CONTEXT",
    "KerberosAcceptor",
    "KerberosInitiator",
    "UnpackedKerberos",
]

# Values of spnego.ContextReq, which are those of GSS-API (RFC 2744 3.9.5).
_REQUIRED: Final = {0x02: "mutual authentication", 0x10: "confidentiality", 0x20: "integrity"}


_DOING: Final = {KRB_ERROR: gss_errors.KRB_ERROR, AP_REP: gss_errors.PROOF}


class _KerberosContext(SecurityContext):
    """What both roles share; a `credssp.mechanism.SpnegoMechanism`."""

    def __init__(self) -> None:
        super().__init__()
        self.name = "kerberos"
        self.wire_form = "kerberos"
        self._context: spnego.ContextProxy | None = None

    def _open(self) -> spnego.ContextProxy:
        raise NotImplementedError

    @property
    def session_key(self) -> bytes:
        """The key of the context as GSS-API tells it; the subkey where there is one."""
        self._check_can_wrap()
        context = self._established()
        return pyspnego.call("asking for the Kerberos session key", lambda: context.session_key)

    @property
    def mech_list_mic_required(self) -> bool:
        """False: with Kerberos as first choice of both, the mechListMIC is exchanged only on demand (RFC 4178 5)."""
        return False

    def make_mech_list_mic(self, mech_types: bytes) -> bytes:
        """Sign SPNEGO's MechTypeList (GSS_GetMIC)."""
        return self._run(self._call, "signing with Kerberos", self._established().sign, mech_types)

    def verify_mech_list_mic(self, mech_types: bytes, mic: bytes) -> None:
        """Check the peer's signature over it (GSS_VerifyMIC)."""
        self._run(self._call, gss_errors.VERIFY, self._established().verify, mech_types, mic)

    def _established(self) -> spnego.ContextProxy:
        if self._context is None or not self.complete:
            raise LocalProtocolError("the Kerberos context is not complete")
        return self._context

    @staticmethod
    def _call(doing: str, function: Callable[..., object], *args: object) -> bytes:
        result = pyspnego.call(doing, function, *args)
        return result if isinstance(result, bytes) else b""

    def _step(self, token: bytes | None) -> bytes | None:
        if self._context is None:
            self._context = self._open()
        context = self._context
        reply: bytes | None = pyspnego.call(self._doing(token), pyspnego.kerberos_step, context, token)
        if context.complete:
            self._check_flags(int(context.context_attr))
            self._establish(context)
        elif not reply:
            raise RemoteProtocolError("Kerberos waits for a token but has none to send", section="RFC 4121 4")
        return reply or None

    def _doing(self, token: bytes | None) -> str:  # noqa: ARG002 - the initiator wants it
        return gss_errors.TOKEN

    def _check_flags(self, granted: int) -> None:
        missing = [what for flag, what in _REQUIRED.items() if not granted & flag]
        if missing:
            raise RemoteProtocolError(
                f"the Kerberos context is without {', '.join(missing)}, which CredSSP needs",
                status=SecurityStatus.SEC_E_UNSUPPORTED_FUNCTION,
                section="RFC 4121 4.1.1.1",
                advice=NextStep.KERBEROS,
            )

    def _establish(self, context: spnego.ContextProxy) -> None:  # noqa: ARG002 - the acceptor wants it
        self.complete = self.can_wrap = True
        self.server_authentication = ServerAuthentication.KERBEROS

    def _sign(self, data: bytes) -> bytes:
        return self._call("signing with Kerberos", self._established().sign, data)

    def _verify(self, data: bytes, signature: bytes) -> None:
        self._call(gss_errors.VERIFY, self._established().verify, data, signature)

    def _wrap(self, data: bytes) -> bytes:
        context = self._established()
        if context.iov_available():
            # Header, then data, as SSPI does it: some peers refuse the plain gss_wrap token (RRC 0) where they
            # expect a security trailer in front ([MS-KILE] 3.4.5.4.1).
            sealed = pyspnego.call("wrapping with Kerberos", context.wrap_winrm, data)
            return sealed.header + sealed.data
        return pyspnego.call("wrapping with Kerberos", context.wrap, data).data

    def _wrap_parts(self, parts: Sequence[MessagePart], encrypt: bool) -> SealedMessage:
        context = self._established()
        if not context.iov_available():
            return super()._wrap_parts(parts, encrypt)
        return pyspnego.call("wrapping with Kerberos", pyspnego.wrap_parts, context, parts, encrypt=encrypt)

    def _unwrap_parts(self, signature: bytes, parts: Sequence[MessagePart], padding: bytes) -> OpenedMessage:
        context = self._established()
        if context.iov_available() and not all(part.sealed for part in parts):
            return pyspnego.call(gss_errors.UNWRAP, pyspnego.unwrap_parts, context, signature, parts, padding)
        # Taken as one token, since header and trailer of a peer may be turned in another way than ours.
        token = b"".join((signature, *(part.data for part in parts), padding))
        result = pyspnego.call(gss_errors.UNWRAP, context.unwrap, token)
        return OpenedMessage(cut(result.data, parts), result.encrypted)

    def _unwrap(self, data: bytes) -> bytes:
        result = pyspnego.call(gss_errors.UNWRAP, self._established().unwrap, data)
        if not result.encrypted:
            raise RemoteProtocolError(
                "a Kerberos message that is signed but not encrypted",
                status=SecurityStatus.SEC_E_MESSAGE_ALTERED,
                section="RFC 4121 4.2.4",
            )
        return result.data


class KerberosInitiator(_KerberosContext):
    """Logs on with Kerberos.

    Args:
        credentials: a password or a keytab, to get a ticket with, or a credential cache that has one; None takes the
            tickets of the default credential cache.
        target: the service to get a ticket for.
        channel_bindings: application data of channel bindings, or None; CredSSP has none.
        dns_canonicalize: see `credssp.ClientConfig`.
        workstation: name of this machine for the KDC, which may allow an account on some machines alone; or empty.
    """

    def __init__(
        self,
        credentials: LogonCredentials | None,
        target: Target,
        *,
        channel_bindings: bytes | None = None,
        dns_canonicalize: bool = False,
        workstation: str = "",
    ) -> None:
        super().__init__()
        self._workstation = workstation
        self._dns_canonicalize = dns_canonicalize
        self._credentials = credentials
        self._target = target
        self._bindings = ChannelBindings.of(channel_bindings)
        self._tickets: tickets.MemoryTickets | None = None

    def bind(self, bindings: ChannelBindings | None, *, demand: BindingDemand = "match") -> None:  # noqa: ARG002
        """Send these channel bindings in AP-REQ."""
        if self._context is not None or self._failed:
            raise LocalProtocolError("AP-REQ is made: it is too late for channel bindings")
        self._bindings = bindings

    def _open(self) -> spnego.ContextProxy:
        credentials = usable(self._credentials, self._target)
        principal = ""
        if isinstance(credentials, PasswordCredentials | CertificateCredentials):
            principal = client_of(credentials).principal
        if sys.platform != "win32":  # SSPI has a cache of its own for each logon
            credentials = self._get_tickets(credentials)
        bindings = self._bindings
        context = pyspnego.call(
            self._ticket(),
            pyspnego.kerberos_client,
            credentials,
            principal,
            service=self._target.service,
            host=self._target.host,
            bindings=bindings,
        )
        if sys.platform != "win32" and not self._dns_canonicalize:  # SSPI takes names as they are
            pyspnego.call(
                "naming the server", lambda: pyspnego.ask_for(context, tickets.service_name(self._target), bindings)
            )
        return context

    def _get_tickets(self, credentials: KerberosCredentials | None) -> CCacheCredentials | None:
        """Have the KDC turn credentials into tickets, for this login alone; those of a cache are used as they are."""
        if credentials is None or isinstance(credentials, CCacheCredentials):
            pyspnego.call(self._ticket(), tickets.check_cache, credentials)
            if credentials is not None and credentials.principal is not None:
                return pyspnego.call(self._ticket(), tickets.in_spelling_of_cache, credentials)
            return credentials
        self._tickets = pyspnego.call(self._ticket(), obtain, credentials, self._workstation)
        return self._tickets

    def _ticket(self) -> str:
        """Say what is under way, with the file and the name that it needs."""
        match self._credentials:
            case CCacheCredentials(ccache, principal):
                source = f"the credential cache {ccache}"
            case KeytabCredentials(keytab, principal):
                source = f"the keytab {keytab}"
            case None:
                source, principal = "the default credential cache", None
            case _:
                return TICKET
        return f"{TICKET} with {source}{f' as {principal}' if principal else ''}"

    def _doing(self, token: bytes | None) -> str:
        if token is None:
            return self._ticket()
        try:
            kind = unframe(token)[0]
        except DecodeError:
            return gss_errors.TOKEN
        return _DOING.get(kind, gss_errors.TOKEN)

    def _establish(self, context: spnego.ContextProxy) -> None:
        super()._establish(context)
        self.client_name = pyspnego.call("asking for the client's name", pyspnego.client_name, context)
        self._forget_tickets()

    def _fail(self) -> None:
        super()._fail()
        self._forget_tickets()

    def _pack(self) -> bytes:
        return KERBEROS_CONTEXT + pyspnego.call("packing a Kerberos context", pyspnego.exported, self._established())

    def _forget_tickets(self) -> None:
        """Destroy what was got for this login: an established context has its keys, and needs no ticket."""
        if self._tickets is not None:
            self._tickets.close()
            self._tickets = None


KERBEROS_CONTEXT: Final = b"\x02"
"""First byte of a packed context."""


class UnpackedKerberos(_KerberosContext):
    """An initiator's context that another process has established, from what `SecurityContext.pack` returned.

    Raises:
        DecodeError: it is something else.
        AuthenticationError: GSS-API does not take it.
    """

    def __init__(self, packed: bytes) -> None:
        super().__init__()
        if packed[:1] != KERBEROS_CONTEXT:
            raise DecodeError("not a packed Kerberos context", field="packed context")
        missing = pyspnego.kerberos_missing()
        if missing:
            raise pyspnego.kerberos_unavailable(missing)
        self._context = pyspnego.call("unpacking a Kerberos context", pyspnego.imported, packed[1:])
        self._establish(self._context)

    def _step(self, token: bytes | None) -> bytes | None:  # noqa: ARG002
        raise self._out_of_turn()


_REPAIRABLE: Final[dict[SecurityStatus, int | None]] = {
    SecurityStatus.SEC_E_TIME_SKEW: NTStatus.STATUS_TIME_DIFFERENCE_AT_DC,
    SecurityStatus.SEC_E_CONTEXT_EXPIRED: None,
}
"""What a client is told about its ticket, since it can repair that: its clock, and a ticket that has expired."""


class KerberosAcceptor(_KerberosContext):
    """Accepts a Kerberos login with a key of a keytab.

    What is wrong with a client's token, or with the keytab, is in the error's `status` and text. The client learns
    less of it (`error_code`): which services the keytab has keys for does not concern it, so whatever does not
    open, does not fit or came before is STATUS_LOGON_FAILURE.

    Args:
        names: the services of which the client must have asked for one (``TERMSRV/host``, ``TERMSRV/host@REALM``), or
            none for any; see `credssp.kerberos.services`.
        principal: whose key is taken, whatever the client asked for; None for those that fit `names`.
        keytab: ``TYPE:residual`` or a path, or a keytab that is watched; None for the default keytab of the process
            (``KRB5_KTNAME``).
        channel_bindings: application data of the channel bindings that the client must use, or None. A client that
            uses none is refused as well.
        accept_forwarded: whether the tickets that a client forwards are kept, in `Identity.forwarded`. Otherwise they
            are examined and then dropped.
        accept_anonymous: whether clients may be anonymous (RFC 8062).
        require_pac: whether a ticket must have a PAC that says who the client is.
    """

    def __init__(
        self,
        *,
        names: Collection[str] = (),
        principal: str | None = None,
        keytab: str | WatchedFile[MemoryKeytab] | None = None,
        channel_bindings: bytes | None = None,
        cbt_hardening: CbtHardening = "strict",
        accept_forwarded: bool = False,
        accept_anonymous: bool = False,
        require_pac: bool = False,
    ) -> None:
        super().__init__()
        self._names = tuple(names)
        self._owners = self._names if principal is None else (principal,)
        self._keytab = keytab
        self._bindings = ChannelBindings.of(channel_bindings)
        self._demand: BindingDemand = "match_if_sent" if cbt_hardening == "relaxed" else "match"
        self._accept_forwarded = accept_forwarded
        self._accept_anonymous = accept_anonymous
        self._require_pac = require_pac
        self._admission: Admission | None = None

    def bind(self, bindings: ChannelBindings | None, *, demand: BindingDemand = "match") -> None:
        """Demand these channel bindings of AP-REQ."""
        if self._context is not None or self._failed:
            raise LocalProtocolError("AP-REQ was taken: it is too late for channel bindings")
        self._bindings, self._demand = bindings, demand

    def _read_keys(self) -> AcceptorKeys | None:
        """Read the keytab; None on Windows, which keeps its keys to itself."""
        missing = pyspnego.kerberos_missing()
        if missing:
            raise pyspnego.kerberos_unavailable(missing)
        if sys.platform == "win32":
            if self._keytab is not None:
                raise LocalProtocolError(
                    "Windows has no keytabs: it takes the keys of the account that runs the server"
                )
            return None
        if isinstance(self._keytab, WatchedFile):
            kept = self._keytab.current()  # held here while its keys are copied
            location: str | None = kept.name
        else:
            location = self._keytab
        try:
            return pyspnego.call("opening the Kerberos keytab", AcceptorKeys, location, self._owners)
        except AuthenticationError as error:
            # A file that is missing, or is not a keytab: there is no key in either case.
            if error.status in (SecurityStatus.SEC_E_NO_CREDENTIALS, SecurityStatus.SEC_E_INTERNAL_ERROR):
                error.status = SecurityStatus.SEC_E_NO_KERB_KEY
            raise

    def obstacle(self) -> AuthenticationError | None:
        """Return why no client can log on, or None where there is a key."""
        try:
            self._read_keys()
        except AuthenticationError as error:
            return error
        return None

    def _start(self, token: bytes | None) -> None:
        """Judge the first token, before GSS-API has it, and make the context."""
        keys = self._read_keys()
        if token is None:
            raise LocalProtocolError("an acceptor needs the client's token")
        if keys is not None:
            self._admission = admit(
                token,
                keys.keys,
                services=self._names,
                channel_bindings=self._bindings,
                demand=self._demand,
                accept_forwarded=self._accept_forwarded,
                accept_anonymous=self._accept_anonymous,
                require_pac=self._require_pac,
            )
        self._context = pyspnego.call(
            "opening the Kerberos keytab", pyspnego.kerberos_server, self._owners, self._bindings, keys
        )

    def _step(self, token: bytes | None) -> bytes | None:
        try:
            if self._context is None:
                self._start(token)
            elif self._admission is not None:
                admit_last_leg(token or b"", self._admission)
            return super()._step(token)
        except AuthenticationError as error:
            # The text ends with what the client is told, so the true status goes in here.
            told = _REPAIRABLE.get(error.status, NTStatus.STATUS_LOGON_FAILURE)
            raise failure(f"{error.message} ({error.status.name})", error.status, told) from None

    def _establish(self, context: spnego.ContextProxy) -> None:
        super()._establish(context)
        self.identity = _identity_by_sspi(context) if self._admission is None else self._admission.identity

    def _fail(self) -> None:
        super()._fail()
        self._admission = None


def _identity_by_sspi(context: spnego.ContextProxy) -> Identity:
    """Return who SSPI says logged on, as ``DOMAIN\\user`` or ``user@REALM``; Windows has judged the ticket itself."""
    principal = pyspnego.call("asking for the Kerberos principal", lambda: context.client_principal) or ""
    domain, backslash, user = principal.partition("\\")
    if not backslash:
        user, _, domain = principal.rpartition("@") if "@" in principal else (principal, "", "")
    if not user or not principal.isprintable():
        raise failure("SSPI names no user for the client", SecurityStatus.SEC_E_LOGON_DENIED)
    return Identity(username=user, domain=domain, mechanism="kerberos", sent_username=user, sent_domain=domain)

"""With a service's key out of a keytab: ticket, authenticator, AP-REP, pubKeyAuth and authInfo of a recorded login.

The ticket is opened with the service's key and holds the session key; with that, the authenticator and AP-REP, which
may each hold a subkey; the messages are sealed with the last of these keys (RFC 4120 5.3, 5.5; RFC 4121 2). All of it
is read strictly and bounded, as a server reads it (`credssp.kerberos.admission`), but old tickets are opened too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from credssp.errors import CredSSPError
from credssp.exchange.binding_check import Key
from credssp.exchange.recorded_login import RecordedLogin, Request, Sender, inner_token
from credssp.exchange.sealed import Opened, SealedReader, not_opened
from credssp.kerberos import crypto
from credssp.kerberos.admission import open_ticket
from credssp.kerberos.ap import (
    AP_REP,
    AP_REQ,
    APRep,
    APReq,
    Authenticator,
    EncAPRepPart,
    EncTicketPart,
    Ticket,
    unframe,
)
from credssp.kerberos.crypto import KeyUsage
from credssp.kerberos.session import KerberosSession
from credssp.kerberos.tickets import ServiceKey
from credssp.kerberos.values import EncryptedData, EncryptionKey

__all__ = ["open_kerberos"]

_USE_SESSION_KEY: Final = 0x40000000
_FORWARDED_AT: Final = 20
_DELEG_FLAG: Final = 0x01


@dataclass(frozen=True, slots=True)
class _Token:
    """A Kerberos message of the login."""

    leg: int
    message: bytes = field(repr=False)


def open_kerberos(login: RecordedLogin, keys: Sequence[ServiceKey], key: Key) -> Opened:
    """Open what can be opened.

    Args:
        login: the messages.
        keys: of services.
        key: the server's TLS key, to check pubKeyAuth against.
    """
    result = Opened()
    try:
        _Opener(login, key, result).open(keys)
    except _ClosedError as closed:
        result.checks += not_opened(login, str(closed))
    return result


class _ClosedError(Exception):
    """What follows cannot be opened; the text says why."""


class _Opener(SealedReader):
    _client_subkey: EncryptionKey | None = None

    def open(self, keys: Sequence[ServiceKey]) -> None:
        """Open everything, in the order of the messages. Raises _ClosedError."""
        request = self._find("client", AP_REQ)
        if request is None:
            raise _ClosedError("no AP-REQ is in the capture")
        ticket = self._open_ap_req(request, keys)
        reply = self._find("server", AP_REP)
        part = None if reply is None else self._open_ap_rep(reply, ticket.key)
        if part is not None and part.subkey is not None:
            context, acceptor_subkey = part.subkey, True
        else:
            context, acceptor_subkey = self._client_subkey or ticket.key, False
        self._result.session_key = context.value
        if context.etype == crypto.RC4_HMAC:
            raise _ClosedError("messages that are sealed with RC4 (RFC 4757) are not read here")
        sessions: dict[Sender, KerberosSession] = {
            # Each reads what the other side wrote.
            "client": KerberosSession(context, role="acceptor", acceptor_subkey=acceptor_subkey, send=0, receive=None),
            "server": KerberosSession(context, role="initiator", acceptor_subkey=acceptor_subkey, send=0, receive=None),
        }
        for each in self._login.requests:
            if each.mech_list_mic is not None:
                self._check_mech_list_mic(each, each.mech_list_mic, sessions[each.sender])
            if each.message is not None:
                self._open_message(each, each.message, sessions[each.sender])

    def _find(self, sender: Sender, kind: bytes) -> _Token | None:
        """Return the first Kerberos message of a kind."""
        for request in self._login.requests:
            for token in (request.message and request.message.nego_tokens) or ():
                try:
                    found, message = unframe(inner_token(token))
                except CredSSPError:
                    continue
                if request.sender == sender and found == kind:
                    return _Token(request.leg, message)
        return None

    def _open_ap_req(self, token: _Token, keys: Sequence[ServiceKey]) -> EncTicketPart:
        try:
            request = APReq.decode(token.message)
            sealed = Ticket.decode(request.ticket)
        except CredSSPError as error:
            raise _ClosedError(f"AP-REQ cannot be read: {error.message}") from None
        name = f"{sealed.service}@{sealed.realm}"
        if request.options & _USE_SESSION_KEY:
            raise _ClosedError("user-to-user: the ticket is sealed with a session key of the server, not with a key")
        try:
            ticket = open_ticket(sealed, keys)
        except CredSSPError as error:
            self._note("ticket", "unknown", f"for {name}, not opened: {error.message}", token.leg)
            raise _ClosedError("no key of the keytab opens the ticket") from None
        client = f"{ticket.cname}@{ticket.crealm}"
        self._note("ticket", "ok", f"of {client} for {name}, until {ticket.endtime:%Y-%m-%d %H:%M:%S} UTC", token.leg)
        tree = self._result.tokens[token.leg] = {"type": "AP-REQ", "ticket": _ticket_tree(ticket)}
        try:
            authenticator = Authenticator.decode(
                _decrypt(request.authenticator, ticket.key, KeyUsage.AP_REQ_AUTHENTICATOR)
            )
        except CredSSPError as error:
            self._note("authenticator", "failed", error.message, token.leg)
            return ticket
        tree["authenticator"] = _authenticator_tree(authenticator)
        self._client_subkey = authenticator.subkey
        if (authenticator.cname, authenticator.crealm) != (ticket.cname, ticket.crealm):
            who = f"{authenticator.cname}@{authenticator.crealm}"
            self._note("authenticator", "failed", f"is of {who}, and the ticket of {client}", token.leg)
        else:
            text = f"the client has the session key of the ticket; its clock was {_moment(authenticator)}"
            self._note("authenticator", "ok", text, token.leg)
        return ticket

    def _open_ap_rep(self, token: _Token, key: EncryptionKey) -> EncAPRepPart:
        try:
            part = EncAPRepPart.decode(_decrypt(APRep.decode(token.message).enc_part, key, KeyUsage.AP_REP))
        except CredSSPError as error:
            self._note("AP-REP", "failed", error.message, token.leg)
            raise _ClosedError("AP-REP, which may hold the key of the messages, does not open") from None
        self._result.tokens[token.leg] = {"type": "AP-REP", "subkey": _key_tree(part.subkey)}
        self._note("AP-REP", "ok", "the server has the session key of the ticket", token.leg)
        return part

    def _check_mech_list_mic(self, request: Request, mic: bytes, session: KerberosSession) -> None:
        name = f"mechListMIC of the {request.sender}"
        try:
            session.verify_mech_list_mic(self._login.mech_types, mic)
        except CredSSPError as error:
            self._note(name, "failed", error.message, request.leg)
        else:
            self._note(name, "ok", "the client's list of mechanisms was not changed", request.leg)


def _decrypt(sealed: EncryptedData, key: EncryptionKey, usage: int) -> bytes:
    return crypto.decrypt(sealed.etype, key.value, usage, sealed.cipher)


def _moment(authenticator: Authenticator) -> str:
    return f"{authenticator.ctime:%Y-%m-%d %H:%M:%S}.{authenticator.cusec:06d} UTC"


def _key_tree(key: EncryptionKey | None) -> dict[str, Any] | None:
    return None if key is None else {"type": f"encryption type {key.etype}", "value": key.value}


def _ticket_tree(ticket: EncTicketPart) -> dict[str, Any]:
    return {
        "type": "EncTicketPart",
        "client": f"{ticket.cname}@{ticket.crealm}",
        "flags": f"0x{ticket.flags:08X}",
        "authTime": ticket.authtime.isoformat(),
        "endTime": ticket.endtime.isoformat(),
        "key": _key_tree(ticket.key),
    }


def _authenticator_tree(authenticator: Authenticator) -> dict[str, Any]:
    checksum = authenticator.checksum
    forwards = (
        checksum is not None
        and len(checksum.value) > _FORWARDED_AT
        and bool(checksum.value[_FORWARDED_AT] & _DELEG_FLAG)
    )
    return {
        "type": "Authenticator",
        "client": f"{authenticator.cname}@{authenticator.crealm}",
        "time": _moment(authenticator),
        "subkey": _key_tree(authenticator.subkey),
        "sequenceNumber": authenticator.seq_number,
        "forwardsTickets": forwards,
    }

"""The report: one tree of plain data, from which the text, the JSON and the HTML are made.

Secrets are masked here or nowhere: what leaves this module may be shown as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from credssp.dissect.certificate import server_key
from credssp.dissect.judgement import judge
from credssp.dissect.model import Conversation, Event, TLSInfo, recorded_login
from credssp.dissect.tls.handshake import version_name
from credssp.dissect.tls.suites import suite_name
from credssp.dissect.views import Views, fields_of
from credssp.exchange.opening import LogonSecrets, Opened, open_login
from credssp.exchange.recorded_login import RecordedLogin, Request
from credssp.ntlm.session import SIGNATURE_SIZE
from credssp.secret import MASK, Secret
from credssp.tls.certificate_facts import read_certificate

__all__ = ["FORMAT", "conversation_tree", "not_opened_tree"]

FORMAT: Final = 2
"""Number of the form of the report; grows when a member changes its meaning or goes away. 1 had `user_name`, and
other members of certificates."""

_NS: Final = 1_000_000_000
_PROTOCOLS: Final = {
    "rdp": "RDP (network level authentication)",
    "winrm": "WinRM (HTTP)",
    "tls": "TLS",
    "transcript": "transcript",
}

Tree = dict[str, Any]


def conversation_tree(number: int, conversation: Conversation, secrets: LogonSecrets, *, reveal: bool) -> Tree:
    """Return what there is to say about one conversation."""
    login = recorded_login(conversation)
    opened = open_login(login, secrets, server_key(conversation))
    first = next((event.time for event in conversation.events if event.time is not None), None)
    return {
        "number": number,
        "transport": conversation.transport,
        "protocol": _PROTOCOLS[conversation.transport],
        "client": conversation.client,
        "server": conversation.server,
        "proxies": conversation.proxies,
        "started": _moment(first),
        "recorded_outcome": conversation.outcome or None,
        "tls": [_tls_tree(info) for info in conversation.tls] or _transcript_tls(conversation),
        "negotiated": _negotiated(login),
        "timeline": _timeline(conversation, login, opened, first, reveal=reveal),
        "checks": [asdict(check) for check in opened.checks],
        "session_key": _session_key(opened, reveal=reveal),
        "judgement": [asdict(remark) for remark in judge(conversation, login, opened)],
        "problems": [*conversation.problems, *(text for info in conversation.tls for text in info.problems)],
    }


def not_opened_tree(conversations: Sequence[Conversation]) -> list[Tree]:
    """Return what is known of TLS connections that could not be decrypted to look for CredSSP."""
    return [
        {
            "client": each.client,
            "server": each.server,
            "started": _moment(next((event.time for event in each.events if event.time is not None), None)),
            "tls": [_tls_tree(info) for info in each.tls],
            "problems": [*each.problems, *(text for info in each.tls for text in info.problems)],
        }
        for each in conversations
    ]


def _moment(time: int | None) -> str | None:
    """Return a time in ISO form, or None; what no calendar has counts as no time."""
    if time is None:
        return None
    try:
        return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time // 1000)).isoformat()
    except OverflowError:
        return None


def _tls_tree(info: TLSInfo) -> Tree:
    return {
        "place": info.place or None,
        "version": version_name(info.version) if info.version else None,
        "cipher": suite_name(info.suite) if info.version else None,
        "server_name": info.server_name or None,
        "client_random": info.client_random.hex() or None,
        "opened": info.opened,
        "certificate": None if info.certificate is None else read_certificate(info.certificate).to_dict(),
    }


def _transcript_tls(conversation: Conversation) -> list[Tree]:
    if not conversation.tls_version:
        return []
    certificate = conversation.server_certificate
    return [
        {
            "place": None,
            "version": conversation.tls_version,
            "cipher": None,
            "server_name": None,
            "client_random": None,
            "opened": True,
            "certificate": None if certificate is None else read_certificate(certificate).to_dict(),
        }
    ]


def _negotiated(login: RecordedLogin) -> Tree:
    message = login.ntlm.authenticate_message
    return {
        "client_version": login.version_of("client"),
        "server_version": login.version_of("server"),
        "version": login.version,
        "mechanism": login.mechanism or None,
        "wire_form": login.wire_form or None,
        "domain": None if message is None else message.domain,
        "user": None if message is None else message.username,
        "workstation": None if message is None else message.workstation,
        "target_name": login.target_name,
    }


def _session_key(opened: Opened, *, reveal: bool) -> str | None:
    if opened.session_key is None:
        return None
    return opened.session_key.reveal().hex() if reveal else MASK


def _timeline(
    conversation: Conversation, login: RecordedLogin, opened: Opened, first: int | None, *, reveal: bool
) -> list[Tree]:
    by_event = {id(event): request for event, request in zip(conversation.requests, login.requests, strict=True)}
    views = Views(reveal=reveal)
    return [_entry(event, by_event.get(id(event)), opened, views, first) for event in conversation.events]


def _entry(event: Event, request: Request | None, opened: Opened, views: Views, first: int | None) -> Tree:
    seconds = None if event.time is None or first is None else round((event.time - first) / _NS, 6)
    tree: Tree = {
        "time": seconds,
        "sender": event.sender,
        "layer": event.layer,
        "octets": event.size,
        "leg": None if request is None else request.leg,
        "summary": event.summary,
        "error": event.error or None,
    }
    if request is None:
        return tree
    if request.message is None:
        tree["summary"] = "TSRequest that cannot be read"
        return tree
    tree["summary"] = "; ".join(fields_of(request.message)) or "nothing but the version"
    tree["message"] = _open(views.ts_request(request.message, event.size), request.leg, opened, views)
    if views.reveal:
        tree["data"] = event.data.hex()
    return tree


def _open(tree: Tree, leg: int, opened: Opened, views: Views) -> Tree:
    """Put what was opened beside what is encrypted."""
    if leg in opened.tokens:
        tree["kerberos"] = _shown(opened.tokens[leg], reveal=views.reveal)
    if leg in opened.bindings:
        plain = opened.bindings[leg]
        # A public key, or a hash over one: nothing that needs a mask.
        tree["pubKeyAuth"] |= {"opened": {"type": "key binding", "octets": len(plain), "value": plain.hex()}}
    if leg in opened.credentials:
        credentials = opened.credentials[leg]
        tree["authInfo"] |= {"opened": views.ts_credentials(credentials, tree["authInfo"]["octets"] - SIGNATURE_SIZE)}
    return tree


def _shown(value: Any, *, reveal: bool) -> Any:
    """Return a tree with its secrets masked, or in hexadecimal."""
    if isinstance(value, Secret):
        return value.reveal().hex() if reveal else MASK
    if isinstance(value, dict):
        return {name: _shown(each, reveal=reveal) for name, each in value.items()}
    return value

"""What follows from an exchange: is the binding safe, which policy allows this, what went wrong.

Each remark names its section. ``danger`` is what an attacker can use, ``warning`` what breaks a rule or a peer,
``note`` what one should know, ``ok`` what was found to be as it should.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from credssp.binding import NONCE_SIZE
from credssp.dissect.credssp_layer import EARLY_RESULT
from credssp.dissect.model import Conversation
from credssp.dissect.tls.handshake import version_name
from credssp.dissect.tls.suites import find_suite
from credssp.exchange.opening import Opened
from credssp.exchange.recorded_login import RecordedLogin
from credssp.ntlm.flags import flag_names
from credssp.ntlm.session import SESSION_FLAGS
from credssp.policy import CredentialSource, DelegationPolicy, EncryptionOracle
from credssp.protocol_version import LOWEST_VERSION, has_hashed_binding
from credssp.server_authentication import ServerAuthentication
from credssp.status import describe
from credssp.wire.ts_credentials import TSPasswordCreds
from credssp.wire.ts_remote_guard import TSRemoteGuardCreds

__all__ = ["Remark", "judge"]

Level = Literal["danger", "warning", "note", "ok"]

_MAX_PLAINTEXT: Final = 16384
_MIC: Final = "[MS-NLMP] 3.1.5.1.2"
_LEVELS: Final[dict[str, Level]] = {"ok": "ok", "failed": "danger", "unknown": "note"}


@dataclass(frozen=True, slots=True)
class Remark:
    """One line of the judgement.

    Attributes:
        level: how serious.
        topic: ``version``, ``binding``, ``policy``, ``ntlm``, ``kerberos``, ``tls``, ``protocol`` or ``outcome``.
        text: one sentence.
        section: what it leans on, or an empty string.
    """

    level: Level
    topic: str
    text: str
    section: str = ""


@dataclass(frozen=True, slots=True)
class _Seen:
    """What there is to judge."""

    conversation: Conversation
    login: RecordedLogin
    opened: Opened

    @property
    def is_incomplete(self) -> bool:
        """Whether messages may be missing in what was read."""
        conversation = self.conversation
        gap = any(event.layer == "gap" for event in conversation.events)
        return gap or bool(conversation.problems) or any(info.problems for info in conversation.tls)


def judge(conversation: Conversation, login: RecordedLogin, opened: Opened) -> list[Remark]:
    """Return the remarks, in the order in which a reader wants them."""
    parts: tuple[Callable[[_Seen], Iterator[Remark]], ...] = (
        _outcome,
        _version,
        _binding,
        _policy,
        _ntlm,
        _protocol,
        _tls,
    )
    seen = _Seen(conversation, login, opened)
    return [remark for part in parts for remark in part(seen)]


def _outcome(seen: _Seen) -> Iterator[Remark]:
    error = seen.login.with_field("error_code")
    if error is not None and error.message is not None and error.message.error_code is not None:
        info = describe(error.message.error_code)
        yield Remark(
            "note", "outcome", f"the server refused: {info.summary}: {info.meaning}", "[MS-CSSP] 2.2.1 errorCode"
        )
    elif seen.login.with_field("auth_info", "client") is not None:
        yield Remark("note", "outcome", "the login reached authInfo: the client delegated its credentials")
    elif seen.login.requests:
        last = seen.login.requests[-1]
        yield Remark(
            "warning",
            "outcome",
            f"the exchange ends after leg {last.leg} of the {last.sender}, without authInfo or errorCode"
            + (", or they are in a part that could not be decrypted" if seen.is_incomplete else ""),
        )
    if any(event.summary == f"{EARLY_RESULT}: access denied" for event in seen.conversation.events):
        text = (
            "the server refused: AUTHZ_ACCESS_DENIED 5: the user was authenticated and may not log on there; usually "
            "the user is not in Remote Desktop Users, or lacks the right to log on through Remote Desktop"
        )
        yield Remark("note", "outcome", text, "[MS-RDPBCGR] 2.2.10.2")
    fatal = [event for event in seen.conversation.events if event.layer == "tls" and "fatal alert" in event.summary]
    for event in fatal:
        hint = "; RDP servers report bad credentials this way" if "access_denied" in event.summary else ""
        yield Remark(
            "warning", "outcome", f"the {event.sender} ended TLS: {event.summary}{hint}", "[MS-RDPBCGR] 5.4.5.2.2"
        )


def _version(seen: _Seen) -> Iterator[Remark]:
    for sender in ("client", "server"):
        said = {r.message.version for r in seen.login.requests if r.sender == sender and r.message is not None}
        if len(said) > 1:
            numbers = ", ".join(map(str, sorted(said)))
            yield Remark("warning", "version", f"the {sender} changes its version ({numbers})", "[MS-CSSP] 2.2.1")
        if said and min(said) < LOWEST_VERSION:
            yield Remark("warning", "version", f"the {sender} says version {min(said)}, which does not exist")
    client, server = seen.login.version_of("client"), seen.login.version_of("server")
    version = seen.login.version
    if version is None:
        known = client if client is not None else server
        if known is not None and not has_hashed_binding(known):
            yield Remark("danger", "version", f"v{known} binding at best: open to CVE-2018-0886", "[MS-CSSP] 2.2.1")
        return
    said_both = f"client {client}, server {server}"
    if has_hashed_binding(version):
        yield Remark(
            "ok", "version", f"v{version} binding ({said_both}): hashes over a nonce and the key", "[MS-CSSP] 3.1.5"
        )
    else:
        yield Remark(
            "danger",
            "version",
            f"v{version} binding: open to CVE-2018-0886 ({said_both}): pubKeyAuth carries the key itself, which a "
            "rogue server can choose",
            "[MS-CSSP] 3.1.5; CVE-2018-0886",
        )


def _binding(seen: _Seen) -> Iterator[Remark]:
    client, server, echo = seen.login.with_field("pub_key_auth", "client"), seen.login.server_key, seen.login.echo
    credentials = seen.login.with_field("auth_info", "client")
    if credentials is not None and (server is None or server.leg > credentials.leg):
        gap = seen.is_incomplete
        yield Remark(
            "warning" if gap else "danger",
            "binding",
            "the client sent authInfo before the server proved that it holds the TLS key"
            + (", or that message is missing in the capture" if gap else ""),
            "[MS-CSSP] 3.1.5 step 5",
        )
    if echo is not None and echo.message is not None:
        answered = server is not None and server.leg > echo.leg
        refuses = echo.message.error_code is not None
        where = " in its refusal" if refuses else ", and answered it when it came again" if answered else ""
        yield Remark(
            "note" if refuses or answered else "danger",
            "binding",
            f"the server sent the client's pubKeyAuth back{where}" + (" (as FreeRDP 3 does)" if where else ""),
            "[MS-CSSP] 3.1.5 step 4",
        )
    version, nonce = seen.login.version, seen.login.nonce
    if client is not None and version is not None and has_hashed_binding(version):
        if nonce is None:
            yield Remark("danger", "binding", f"version {version} without clientNonce", "[MS-CSSP] 2.2.1 clientNonce")
        elif len(nonce) != NONCE_SIZE:
            text = f"clientNonce has {len(nonce)} bytes, {NONCE_SIZE} are required"
            yield Remark("warning", "binding", text, "[MS-CSSP] 2.2.1 clientNonce")
    for check in seen.opened.checks:
        if check.name.startswith("pubKeyAuth"):
            yield Remark(_LEVELS[check.verdict], "binding", f"{check.name}: {check.text}", "[MS-CSSP] 3.1.5")


def _policy(seen: _Seen) -> Iterator[Remark]:
    client, server = seen.login.version_of("client"), seen.login.version_of("server")
    if server is not None and not has_hashed_binding(server):
        yield Remark(
            "note",
            "policy",
            f"encryption oracle remediation: only a client at '{EncryptionOracle.VULNERABLE.title}' continues with "
            f"this server of version {server}",
            "KB4093492",
        )
    if client is not None and not has_hashed_binding(client):
        title = EncryptionOracle.FORCE_UPDATED_CLIENTS.title
        text = f"encryption oracle remediation: a server at '{title}' refuses this client of version {client}"
        yield Remark("note", "policy", text, "KB4093492")
    yield from _delegated(seen)
    if seen.login.with_field("auth_info", "client") is not None and not _nothing_delegated(seen):
        yield from _delegation(seen)


def _nothing_delegated(seen: _Seen) -> bool:
    found = [each.credentials for each in seen.opened.credentials.values()]
    return bool(found) and all(isinstance(each, TSPasswordCreds) and not _any_text(each) for each in found)


def _any_text(creds: TSPasswordCreds) -> bool:
    return bool(creds.domain_name or creds.user_name or creds.password)


def _delegated(seen: _Seen) -> Iterator[Remark]:
    for credentials in seen.opened.credentials.values():
        creds = credentials.credentials
        if isinstance(creds, TSPasswordCreds) and not _any_text(creds):
            text = "an empty set of credentials was delegated (Restricted Admin, or no delegation)"
            yield Remark("ok", "policy", text, "[MS-CSSP] 3.1.5")
        elif isinstance(creds, TSRemoteGuardCreds):
            yield Remark("ok", "policy", "Remote Credential Guard: the password itself was not delegated")
        else:
            what = "password" if isinstance(creds, TSPasswordCreds) else "smart-card PIN"
            yield Remark("note", "policy", f"the server received the {what} and can use it elsewhere", "[MS-CSSP] 5.1")


def _delegation(seen: _Seen) -> Iterator[Remark]:
    """What Windows as installed says about delegating to this server."""
    target = _target(seen)
    if target is None:
        text = "the messages do not name the server, so the lists of Windows' delegation policy cannot be checked"
        yield Remark("note", "policy", text, "[MS-CSSP] 3.1.1")
        return
    server = ServerAuthentication.KERBEROS if seen.login.mechanism == "kerberos" else ServerAuthentication.NTLM
    decision = DelegationPolicy.windows_defaults().decide(target, source=CredentialSource.FRESH, server=server)
    answer = "allows" if decision.allowed else "refuses"
    yield Remark(
        "note",
        "policy",
        f"delegation to {target}, authenticated by {seen.login.mechanism or 'nothing'} "
        f"(the certificate may add to that): Windows by default {answer} fresh credentials; {decision.reason}",
        "[MS-CSSP] 3.1.1",
    )


def _target(seen: _Seen) -> str | None:
    service, slash, host = (seen.login.target_name or "").partition("/")
    if slash and (seen.conversation.transport == "winrm" or service.upper() == "HTTP"):
        # Clients authenticate to HTTP/host; what Windows asks its policy about is WSMAN/host.
        return f"WSMAN/{host}"
    return seen.login.target_name


def _ntlm(seen: _Seen) -> Iterator[Remark]:
    message, challenge = seen.login.ntlm.authenticate_message, seen.login.ntlm.challenge_message
    if message is not None:
        if message.ntlmv2 is None and message.nt_response:
            yield Remark("danger", "ntlm", "NTLMv1: its keys can be computed from the capture", "[MS-NLMP] 3.3.1")
        if message.mic is None:
            yield Remark(
                "warning", "ntlm", "AUTHENTICATE has no MIC: a relay could remove flags", "[MS-NLMP] 3.1.5.1.2"
            )
        agreed = message.flags & (challenge.flags if challenge is not None else message.flags)
        if lacking := SESSION_FLAGS & ~agreed:
            yield Remark("warning", "ntlm", f"not negotiated: {', '.join(flag_names(lacking))}", "[MS-NLMP] 2.2.2.5")
    if challenge is not None and (challenge.target_info is None or challenge.target_info.timestamp is None):
        yield Remark(
            "note", "ntlm", "CHALLENGE has no timestamp, so clients need not send a MIC", "[MS-NLMP] 3.1.5.1.2"
        )
    for check in seen.opened.checks:
        if check.verdict == "failed" and not check.name.startswith(("pubKeyAuth", "authInfo")):
            kerberos = seen.login.mechanism == "kerberos"
            topic, section = ("kerberos", "RFC 4120 3.2") if kerberos else ("ntlm", "[MS-NLMP] 3.2.5.1.2")
            yield Remark("warning", topic, f"{check.name}: {check.text}", section)


def _protocol(seen: _Seen) -> Iterator[Remark]:
    for request, event in zip(seen.login.requests, seen.conversation.requests, strict=True):
        where = f"leg {request.leg} ({request.sender})"
        if request.message is None:
            yield Remark("warning", "protocol", f"{where}: {event.error}", "[MS-CSSP] 2.2.1")
            continue
        for each in request.message.deviations:
            yield Remark(
                "note", "protocol", f"{where}: {each.field} at byte {each.offset}: {each.what}", "[MS-CSSP] 2.2.1"
            )
        if event.pieces > 1 and event.size <= _MAX_PLAINTEXT:
            text = f"{where}: in {event.pieces} TLS records; Windows servers do not accept fragments"
            yield Remark("warning", "protocol", text, "[MS-CSSP] 3.1.5, note <8>")
        if request.message.auth_info is not None and request.sender == "server":
            yield Remark("warning", "protocol", f"{where}: a server sends no authInfo", "[MS-CSSP] 3.1.5 step 5")
    for check in seen.opened.checks:
        if check.name == "authInfo" and check.verdict == "failed":
            yield Remark("warning", "protocol", f"authInfo: {check.text}", "[MS-CSSP] 2.2.1.2")
    if seen.conversation.restricted_admin and seen.opened.credentials and not _nothing_delegated(seen):
        text = "the client asked for Restricted Admin mode and delegated credentials anyway"
        yield Remark("warning", "protocol", text, "[MS-RDPBCGR] 5.4.2.2.1")


def _tls(seen: _Seen) -> Iterator[Remark]:
    for info in seen.conversation.tls:
        if not info.version:
            continue
        suite = find_suite(info.suite)
        if info.version < 0x0303:
            yield Remark("warning", "tls", f"{version_name(info.version)} is no longer safe", "RFC 8996")
        elif suite is not None and suite.exchange == "RSA":
            text = "RSA key exchange: anyone who gets the server's key can decrypt the recording"
            yield Remark("warning", "tls", text, "RFC 9325 4.1")

"""For every rule a peer that breaks it, beside those of `tests.conformance.mutants`: what the suite must notice.

A rule about something that a peer may take or refuse is broken by one that does neither: it crashes there, or waits.
"""

from __future__ import annotations

import dataclasses
import functools
import ssl
import struct
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from credssp.conformance import mutate
from credssp.conformance.http import HttpAnswer, HttpRequest
from credssp.conformance.links import Link, MemoryPeer
from credssp.conformance.ntlm import NTLM_FLAGS, NTLMClient
from credssp.conformance.rule import Case
from credssp.conformance.scripted_client import ScriptedClient
from credssp.conformance.scripted_server import ScriptedServer
from credssp.conformance.setup import RdpAnswer, Setup
from credssp.errors import CredSSPError
from credssp.exchange.recorded_login import RecordedLogin
from credssp.ntlm.messages import Challenge
from credssp.rdp.negotiation import NegotiationFailure, NegotiationRequest, NegotiationResponse, Protocol
from credssp.rdp.x224 import ConnectionConfirm, ConnectionRequest
from credssp.spnego import OID, NegTokenInit, NegTokenResp
from credssp.tls.certificate import process_certificate
from credssp.tls.settings import ClientTLS
from credssp.winrm.encryption import is_encrypted_type
from credssp.winrm.header import format_token
from credssp.wire.ts_credentials import TSPasswordCreds
from credssp.wire.ts_request import TSRequest
from tests.conformance import mutants as m
from tests.conformance import scripted, test_whole_suite
from tests.conformance import test_form_mutants as forms
from tests.conformance.http_peers import MemoryWinRMClientTarget
from tests.conformance.mutants import Make
from tests.conformance.ntlm_service import ntlm
from tests.conformance.peers import ODD, own_rdp_client, own_rdp_server, own_relayed_client, own_session_server

SEAL_FLAG, LARGEST = 0x20, 16000


def needs_a_kdc(case: Case) -> bool:
    """Whether a rule can only be tried with Kerberos."""
    return case.rule.area == "KRB" or "kerberos" in case.needs


# What a peer stumbles over


def odd(_: object, message: TSRequest) -> bool:
    """A message that is not DER, or not in order."""
    return bool(message.deviations)


def delegated_user(server: ScriptedServer) -> str:
    """Who the credentials name."""
    inside = None if server.delegated is None else server.delegated.credentials
    return inside.user_name if isinstance(inside, TSPasswordCreds) else ""


def two_tokens(_: object, message: TSRequest) -> bool:
    return len(message.nego_tokens or ()) > 1


def pieces(peer: ScriptedServer | ScriptedClient, _: TSRequest) -> bool:
    """A message in more than one TLS record."""
    return peer.connection.messages[-1][1] > 1


def large(peer: ScriptedServer | ScriptedClient, _: TSRequest) -> bool:
    return len(peer.connection.messages[-1][0]) > LARGEST


def long_token(_: object, message: TSRequest) -> bool:
    return any(len(token) > 4096 for token in message.nego_tokens or ())


def other_user(server: ScriptedServer, _: TSRequest) -> bool:
    inside = None if server.delegated is None else server.delegated.credentials
    return isinstance(inside, TSPasswordCreds) and inside.user_name == "bob"


def lone_token(server: ScriptedServer, message: TSRequest) -> bool:
    """The last token without pubKeyAuth."""
    return len(server.requests) > 1 and message.pub_key_auth is None and message.auth_info is None


def later_member(message: TSRequest) -> bool:
    return 0xA9 in forms.tags(message)


def later_kerberos(message: TSRequest) -> bool:
    token = (message.nego_tokens or (b"",))[0]
    return token[:1] == b"\xa1" and NegTokenResp.decode(token).supported_mech == OID.KERBEROS


def after_a_ticket(client: ScriptedClient, _: TSRequest) -> bool:
    """TLS 1.3 has a session once a ticket has come, TLS 1.2 from the handshake on."""
    channel = client.connection.channel
    return channel.protocol == "TLSv1.3" and channel.session is not None


class Wrapping:
    """A peer around another one."""

    def __init__(self, peer: Any) -> None:
        self.peer = peer
        self.refusals = peer.refusals

    @property
    def complete(self) -> bool:
        return bool(self.peer.complete)

    @property
    def ended(self) -> bool:
        return bool(self.peer.ended)

    def start(self) -> bytes:
        return bytes(self.peer.start())

    def step(self, data: bytes) -> bytes:
        return bytes(self.peer.step(data))

    def eof(self) -> None:
        self.peer.eof()


def raises_at(target: Any, wrong: Callable[[bytes], bool]) -> Any:
    """Crash where the peer's first bytes are like these."""
    make = target.make

    class Stumbling(Wrapping):
        begun = False

        def step(self, data: bytes) -> bytes:
            begun, self.begun = self.begun, True
            if not begun and wrong(data):
                raise ZeroDivisionError
            return super().step(data)

    target.make = lambda setup: Stumbling(make(setup))
    return target


def patient(target: Any) -> Any:
    """A peer that waits for ever, and says that it has a deadline."""
    target.features = frozenset({*target.features, "clock"})
    return target


class Impatient(Wrapping):
    """A peer that gives up where the other one is silent."""

    gave_up = False

    @property
    def ended(self) -> bool:
        return self.gave_up or super().ended

    def idle(self) -> bytes:
        self.gave_up = True
        return b""


def impatient(target: Any) -> Any:
    make = target.make
    target.make = lambda setup: Impatient(make(setup))
    return patient(target)


# Messages that are wrong


def with_extra(_: object, message: TSRequest) -> bytes:
    return mutate.with_extra(message)


def beside_key(**members: Any) -> Callable[[object, TSRequest], TSRequest]:
    return lambda _, message: mutate.replaced(message, **members)


def not_offered(token: bytes) -> bytes:
    if token.startswith(b"NTLMSSP"):
        return token
    return dataclasses.replace(NegTokenResp.decode(token), supported_mech=OID.NEGOEX).encode()


def spoilt(_: object, data: bytes) -> bytes:
    return data[:5] + bytes((data[5] ^ 1,)) + data[6:]


def without_timestamp(challenge: bytes) -> bytes:
    """Rename MsvAvTimestamp, which has 8 bytes."""
    return challenge.replace(b"\x07\0\x08\0", b"\x0b\0\x08\0")


def other_flags(challenge: bytes) -> bytes:
    """Without ALWAYS_SIGN."""
    return forms.flags(challenge, clear=0x8000)


def reserved(challenge: bytes) -> bytes:
    return challenge[:32] + b"\1" + challenge[33:]


@functools.cache
def asking() -> ssl.SSLContext:
    """A TLS context of a server that asks for a certificate of the client, and does without."""
    certificate = process_certificate()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        chain, key = Path(folder, "chain.pem"), Path(folder, "key.pem")
        chain.write_bytes(certificate.chain)
        key.write_bytes(certificate.private_key.reveal())
        context.load_cert_chain(chain, key)
        context.load_verify_locations(chain)
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


# RDP


def confirming(**other: NegotiationResponse | NegotiationFailure | None) -> Callable[[bytes], bytes]:
    """Answer Connection Requests as `scripted.confirm`, but for ``ssl``, ``ex`` or ``all`` protocols."""

    def answer(frame: bytes) -> bytes:
        asked = ConnectionRequest.decode(frame[4:]).negotiation
        names = {1: "ssl", 8: "ex", 11: "all"}
        name = names.get(int(asked.protocols), "") if asked is not None else ""
        return ConnectionConfirm(other[name]).encode() if name in other else scripted.confirm(frame)

    return answer


def no_cookies(frame: bytes) -> bytes:
    return b"" if b"Cookie" in frame else scripted.confirm(frame)


def guarded(frame: bytes) -> bytes:
    """Crash at the flag of Remote Credential Guard."""
    asked = ConnectionRequest.decode(frame[4:]).negotiation
    if asked is not None and int(asked.flags) & 2:
        raise ZeroDivisionError
    return scripted.confirm(frame)


def rdp_server(**options: Any) -> Any:
    return scripted.server(**{"rdp": scripted.confirm} | options)


def rdp_client(request: ConnectionRequest | bytes = scripted.REQUEST, **options: Any) -> Any:
    return scripted.client(rdp=request if isinstance(request, bytes) else request.encode(), **options)


def only_hybrid_ex() -> Any:
    """Selects HYBRID_EX whatever is asked for; the suite's good logins ask for all."""
    target = rdp_server(rdp=lambda _: ConnectionConfirm(NegotiationResponse(Protocol.HYBRID_EX)).encode())
    target.protocols = 0xB
    return target


def staying_open() -> Any:
    target = own_rdp_server()
    make = target.make
    target.make = lambda setup: forms.Open(make(setup))
    target.accepted = lambda link: True  # type: ignore[method-assign]
    return target


def loses_data() -> Any:
    target = own_rdp_client()
    make = target.make

    class Losing(Wrapping):
        unused_data = b""

    target.make = lambda setup: Losing(make(setup))
    return target


def delegates_in_restricted_admin_mode() -> Any:
    target = own_rdp_client()
    make: Callable[[Setup], MemoryPeer] = target.make
    target.make = lambda setup: make(dataclasses.replace(setup, restricted_admin=False))
    return target


def result_after_a_refusal(message: TSRequest, version: int, status: int) -> bytes:
    return scripted.error_code(message, version, status) + scripted.AUTHORIZED


def in_init(change: Callable[[NegTokenInit], bytes]) -> Any:
    return scripted.client(first=forms.init_as(change))


def crashing(target: Any) -> Any:
    """Turns every refusal into an exception that nobody meant."""
    make = target.make

    class Peer(Wrapping):
        def step(self, data: bytes) -> bytes:
            try:
                return super().step(data)
            except CredSSPError:
                raise ZeroDivisionError from None

    target.make = lambda setup: Peer(make(setup))
    return target


# WinRM


def other_scheme(request: HttpRequest) -> HttpRequest:
    return dataclasses.replace(request, authorization=request.authorization.replace("CredSSP", "credssp"))


def other_type(request: HttpRequest) -> HttpRequest:
    return dataclasses.replace(request, content_type=request.content_type.replace("Encrypted", "Another"))


def other_trailer(request: HttpRequest) -> HttpRequest:
    head, mark, rest = request.body.partition(b"octet-stream\r\n")
    return dataclasses.replace(request, body=head + mark + b"\x63" + rest[1:]) if mark else request


def untidy(request: HttpRequest) -> HttpRequest:
    return dataclasses.replace(request, body=request.body.replace(b"\tOriginalContent", b"OriginalContent"))


def first_token(request: HttpRequest) -> HttpRequest:
    return dataclasses.replace(request, authorization=request.authorization or "CredSSP")


def winrm(
    change: Callable[[HttpRequest], HttpRequest] = lambda request: request,
    *,
    set_up: Mapping[str, bool] | None = None,
    again: bool = False,
) -> Any:
    """Return a client whose requests are changed, or whose set-up is not what was asked for.

    Args:
        change: what becomes of a request.
        set_up: fields of the set-up that it insists on.
        again: send a token where it has nothing to send.
    """

    class Wrong(MemoryWinRMClientTarget):
        def start(self, setup: Setup, answer: RdpAnswer) -> Link:
            link: Any = super().start(dataclasses.replace(setup, **set_up or {}), answer)
            following = link.source.next

            def changed(timeout: float) -> HttpRequest | None:
                request = following(timeout)
                if request is None:
                    return HttpRequest(format_token(b"\x16\3\1\0\1\1")) if again else None
                return change(request)

            link.source.next = changed
            return link  # type: ignore[no-any-return]

    return Wrong()


def crashes_at_500() -> Any:
    class Crashing(MemoryWinRMClientTarget):
        def start(self, setup: Setup, answer: RdpAnswer) -> Link:
            link: Any = super().start(setup, answer)
            take = link.source.answer

            def answered(given: HttpAnswer) -> None:
                if given.status == 500:
                    link.source.crash = "ZeroDivisionError in the peer"
                take(given)

            link.source.answer = answered
            return link  # type: ignore[no-any-return]

    return Crashing()


def raising_in_guard_mode(error: Exception) -> Any:
    """A server that takes no password in Remote Credential Guard mode, and says so with this."""
    target = own_rdp_server()
    make = target.make

    class Peer(Wrapping):
        complete = False

        def step(self, data: bytes) -> bytes:
            output = super().step(data)
            if self.peer.complete:
                raise error
            return output

    target.make = lambda setup: Peer(make(setup)) if setup.remote_guard else make(setup)
    return target


def takes_any_answer() -> Any:
    class Careless(MemoryWinRMClientTarget):
        def start(self, setup: Setup, answer: RdpAnswer) -> Link:
            link: Any = super().start(setup, answer)
            take = link.source.answer

            def careless(given: HttpAnswer) -> None:
                if not is_encrypted_type(given.content_type):
                    take(given)

            link.source.answer = careless
            return link  # type: ignore[no-any-return]

    return Careless()


EMPTY_TOKEN = beside_key(nego_tokens=(b"",))
REFERENCED = scripted.REQUEST.encode()[:8] + b"\1" + scripted.REQUEST.encode()[9:]
HYBRID_ALONE = ConnectionRequest(negotiation=NegotiationRequest(Protocol.HYBRID))
TLS_12 = ClientTLS(maximum="1.2")
RESUMING = ClientTLS(maximum="1.2", resumption=True)
FAILURE = NegotiationFailure(1)


# NTLM without Version, names, channel bindings

VERSION_FLAG = 0x02000000
WRONG_BINDINGS = b"\xb1" * 16


def stale_version(challenge: bytes) -> bytes:
    """Version although the flag is not there."""
    return forms.flags(challenge, clear=VERSION_FLAG)


def on_odd_offset(challenge: bytes) -> bytes:
    """One byte in front of TargetName."""
    size, offset = struct.unpack_from("<H2xI", challenge, 12)
    out = bytearray(challenge + b"\0" + challenge[offset : offset + size])
    struct.pack_into("<I", out, 16, len(challenge) + 1)
    return bytes(out)


def offsets(message: TSRequest, kind: int) -> tuple[int, ...]:
    """Offsets of the payload of an NTLM message of this type; empty for others."""
    token = (message.nego_tokens or (b"",))[0]
    if token[8:9] != bytes((kind,)):
        return ()
    places = {2: (16, 44), 3: (16, 24, 32, 40, 48, 56)}[kind]
    return tuple(int.from_bytes(token[at : at + 4], "little") for at in places)


def no_room(kind: int) -> Callable[[object, TSRequest], bool]:
    """Stumble over an NTLM message without the bytes of Version."""
    fixed = {2: 56, 3: 88}[kind]
    return lambda _, message: 0 < min(offsets(message, kind) or (0,)) < fixed


class MicBehindFlags(NTLMClient):
    """Leaves the bytes of Version out where there is no flag, as pyspnego 0.12."""

    def answer(self, token: bytes) -> bytes:
        if not Challenge.decode(token).flags & VERSION_FLAG:
            self.version = "absent"
        return super().answer(token)


def mic_behind_flags(peer: ScriptedClient) -> NTLMClient:
    return MicBehindFlags(account=peer.account, target_name=peer.target_name)


def in_ntlm(kind: int, change: Callable[[bytes, int], bytes]) -> Callable[[bytes], bytes]:
    """Change the NTLM message of this type in a TSRequest; gets the bytes and where it begins."""

    def edit(data: bytes) -> bytes:
        at = data.find(b"NTLMSSP\0" + bytes((kind,)))
        return data if at < 0 else change(data, at)

    return edit


def without_the_flag(data: bytes, at: int) -> bytes:
    return data[: at + 15] + bytes((data[at + 15] & ~0x02,)) + data[at + 16 :]


def odd_user(data: bytes, at: int) -> bytes:
    return data[: at + 40] + bytes((data[at + 40] + 1,)) + data[at + 41 :]


def names_a_workstation(data: bytes, at: int) -> bytes:
    return data[: at + 24] + b"\4" + data[at + 25 :]


# WinRM, the conduct


class Insisting(MemoryWinRMClientTarget):
    """A client that begins another login where the server refuses one, or sends its message again.

    Attributes:
        whenever: whether to, by the status and whether the message was sent.
    """

    whenever: Callable[[int, bool], bool] = staticmethod(lambda status, sent: False)

    def start(self, setup: Setup, answer: RdpAnswer) -> Link:
        link: Any = super().start(setup, answer)
        source, take = link.source, link.source.answer
        sent = False

        def answered(given: HttpAnswer) -> None:
            nonlocal sent
            sent = sent or is_encrypted_type(source.last.content_type)
            if (
                self.whenever(given.status, sent)
                and not given.token
                and source.last.authorization + source.last.content_type
            ):
                fresh: Any = MemoryWinRMClientTarget.start(self, setup, answer)
                source._session, source._exchange, source._next = (
                    fresh.source._session, fresh.source._exchange, fresh.source._next
                )  # fmt: skip
                sent = False
                return
            take(given)

        following = source.next

        def noted(timeout: float) -> HttpRequest | None:
            request = following(timeout)
            if request is not None:
                source.last = request
            return request  # type: ignore[no-any-return]

        source.next, source.answer = noted, answered
        return link  # type: ignore[no-any-return]


def insisting(whenever: Callable[[int, bool], bool]) -> Insisting:
    target = Insisting()
    target.whenever = whenever  # type: ignore[method-assign]
    return target


def body_in_clear(request: HttpRequest) -> HttpRequest:
    return dataclasses.replace(request, body=request.body or b"<soap/>")


def login_for_the_message(request: HttpRequest) -> HttpRequest:
    return HttpRequest(format_token(b"\x16\3\1\0\1\1")) if is_encrypted_type(request.content_type) else request


SERVERS: list[tuple[str, Make, str]] = [
    (
        "waits after errors",
        lambda: m.server(peer=m.Hanging),
        "CRED-11 CRED-18 ERR-14 ERR-15 PKA56-08 PKA56-12 PKA56-24 SPNEGO-05 SPNEGO-06 SPNEGO-08 SPNEGO-12 SPNEGO-15 "
        "SPNEGO-19 SPNEGO-21 SPNEGO-22 SPNEGO-23 SPNEGO-44 SPNEGO-45 TLS-05 TSREQ-07 TSREQ-08 TSREQ-10 TSREQ-11 "
        "TSREQ-14 TSREQ-15 TSREQ-20 TSREQ-22 TSREQ-25 VER-08 VER-12",
    ),
    (
        "answers with the client's hash",
        lambda: scripted.server(key_value=m.client_hash),
        "CRED-12 CRED-13 CRED-14 CRED-15 PKA24-07 PKA24-08 PKA56-21 SPNEGO-01 SPNEGO-02 SPNEGO-04 SPNEGO-16 SPNEGO-17 "
        "SPNEGO-28 SPNEGO-29 SPNEGO-30 SPNEGO-43 SPNEGO-46 SPNEGO-47 TSREQ-23 VER-04 VER-06",
    ),
    ("crashes after errors, RDP", lambda: crashing(own_rdp_server()), "CRED-20 NEG-12 NEG-14 NEG-21"),
    ("crashes in guard mode", lambda: raising_in_guard_mode(ZeroDivisionError()), "CRED-17"),
    ("stumbles over a token alone", lambda: scripted.server(stumbles=lone_token), "SPNEGO-11"),
    ("stumbles over what is not DER", lambda: scripted.server(stumbles=odd), "TSREQ-04 TSREQ-05 TSREQ-06 TSREQ-09"),
    ("stumbles over two tokens", lambda: scripted.server(stumbles=two_tokens), "TSREQ-12"),
    ("stumbles over messages in pieces", lambda: scripted.server(stumbles=pieces), "TSREQ-17"),
    ("stumbles over large messages", lambda: scripted.server(stumbles=large), "TLS-09"),
    ("waits for ever", lambda: patient(scripted.server()), "TSREQ-19 ERR-18"),
    ("a member of later versions", lambda: scripted.server(challenge=with_extra), "TSREQ-02"),
    ("stumbles over another user", lambda: scripted.server(stumbles=other_user), "CRED-10"),
    ("authInfo beside pubKeyAuth", lambda: scripted.server(key=beside_key(auth_info=b"x")), "PKA56-20"),
    ("an empty token beside pubKeyAuth", lambda: scripted.server(key=beside_key(nego_tokens=(b"",))), "PKA56-20"),
    ("a pubKeyAuth that does not verify", lambda: scripted.server(key_octets=spoilt), "SPNEGO-07 VER-05"),
    ("a mechanism that was not offered", lambda: scripted.server(challenge_token=not_offered), "SPNEGO-14 SPNEGO-34"),
    ("no timestamp", lambda: scripted.server(mechanisms=ntlm(challenge=without_timestamp)), "SPNEGO-24"),
    ("other flags", lambda: scripted.server(mechanisms=ntlm(challenge=other_flags)), "SPNEGO-41"),
    ("reserved bytes", lambda: scripted.server(mechanisms=ntlm(challenge=reserved)), "SPNEGO-42"),
    ("asks for a certificate", lambda: scripted.server(context=asking), "TLS-01"),
    ("selects what it has", only_hybrid_ex, "NEG-02"),
    ("HYBRID for HYBRID_EX", lambda: rdp_server(rdp=confirming(ex=NegotiationResponse(Protocol.HYBRID))), "NEG-04"),
    ("TLS for all", lambda: rdp_server(rdp=confirming(all=NegotiationResponse(Protocol.SSL))), "NEG-05"),
    ("another failure", lambda: rdp_server(rdp=confirming(ssl=FAILURE)), "NEG-03"),
    ("stumbles over the guard", lambda: rdp_server(rdp=guarded), "NEG-09"),
    ("stumbles over TLS", lambda: raises_at(rdp_server(), lambda data: data[:1] == b"\x16"), "NEG-11"),
    ("stays open", staying_open, "NEG-15"),
    ("stumbles over cookies", lambda: rdp_server(rdp=no_cookies), "NEG-17 NEG-18"),
    ("a result for everybody", lambda: rdp_server(result=lambda *_: scripted.AUTHORIZED), "EUA-06"),
    ("no result", lambda: rdp_server(result=lambda *_: b""), "EUA-07 EUA-09"),
    ("a result after a refusal", lambda: rdp_server(refusal=result_after_a_refusal), "EUA-08"),
    ("Version without its flag", lambda: scripted.server(mechanisms=ntlm(challenge=stale_version)), "SPNEGO-50"),
    ("the MIC right after the flags", lambda: scripted.server(mechanisms=ntlm(mic_behind_flags=True)), "SPNEGO-51"),
    ("stumbles where there is no Version", lambda: scripted.server(stumbles=no_room(3)), "SPNEGO-52"),
    (
        "the full upper case of Unicode",
        lambda: scripted.server(account=ODD, mechanisms=ntlm(account=ODD, upper=str.upper)),
        "SPNEGO-55",
    ),
    ("refuses workstations beyond ASCII", lambda: scripted.server(mechanisms=ntlm(workstations=False)), "SPNEGO-57"),
    ("a name on an odd offset", lambda: scripted.server(mechanisms=ntlm(challenge=on_odd_offset)), "SPNEGO-58"),
    ("refuses channel bindings", lambda: scripted.server(mechanisms=ntlm(bindings=False)), "SPNEGO-60"),
    ("believes the credentials", lambda: scripted.server(who=delegated_user), "CRED-21"),
    ("takes any choice", lambda: own_session_server(checks=False), "NEG-22"),
    ("repeats another request", lambda: own_session_server(changed=1), "NEG-23"),
]  # fmt: skip

CLIENTS: list[tuple[str, Make, str]] = [
    (
        "crashes after errors",
        lambda: m.client(peer=m.Crashing),
        "ERR-07 ERR-09 ERR-10 ERR-11 ERR-12 ERR-13 PKA24-07 PKA56-09 PKA56-18 PKA56-24 SPNEGO-05 SPNEGO-06 SPNEGO-13 "
        "SPNEGO-19 SPNEGO-25 SPNEGO-26 SPNEGO-27 SPNEGO-36 TLS-05 TLS-08 TSREQ-07 TSREQ-08 TSREQ-10 TSREQ-11 TSREQ-13 "
        "TSREQ-14 TSREQ-15 TSREQ-16 TSREQ-20 TSREQ-21 TSREQ-22 TSREQ-24 TSREQ-25 VER-08 VER-12",
    ),
    ("crashes after errors, RDP", lambda: crashing(own_rdp_client()), "NEG-10"),
    ("binds to something else", lambda: scripted.client(key_value=m.other_key), "PKA24-08 VER-04 VER-05"),
    ("refuses a later mechanism", lambda: forms.client_refusing(later_kerberos), "SPNEGO-31"),
    ("another scheme", lambda: winrm(other_scheme), "WINRM-02"),
    ("another Content-Type", lambda: winrm(other_type), "WINRM-05"),
    ("a wrong trailer", lambda: winrm(other_trailer), "WINRM-06"),
    ("one message however large", lambda: winrm(set_up={"large_message": False}), "WINRM-07"),
    ("takes any answer", takes_any_answer, "WINRM-08"),
    ("crashes at 500", crashes_at_500, "WINRM-04"),
    ("a token that was not asked for", lambda: winrm(again=True), "WINRM-09"),
    ("no policy, WinRM", lambda: winrm(set_up={"deny": False}), "WINRM-11"),
    ("a token to begin with", lambda: winrm(first_token), "WINRM-16"),
    ("lines that are not as they should be", lambda: winrm(untidy), "WINRM-17"),
    ("stumbles over what is not DER", lambda: scripted.client(stumbles=odd), "TSREQ-04 TSREQ-05 TSREQ-06 TSREQ-09"),
    ("stumbles over two tokens", lambda: scripted.client(stumbles=two_tokens), "TSREQ-12"),
    ("stumbles over messages in pieces", lambda: scripted.client(stumbles=pieces), "TSREQ-17"),
    ("stumbles over large messages", lambda: scripted.client(stumbles=large), "TLS-09"),
    ("stumbles over long tokens", lambda: scripted.client(stumbles=long_token), "TSREQ-23"),
    ("waits for ever", lambda: patient(scripted.client()), "TSREQ-19"),
    ("a member of later versions", lambda: scripted.client(first=with_extra), "TSREQ-02"),
    ("version 7", lambda: scripted.client(version=7), "VER-01"),
    ("a version that changes", lambda: scripted.client(auth_version=5), "VER-02"),
    ("refuses its nonce", lambda: forms.client_refusing(lambda each: each.client_nonce is not None), "PKA56-15"),
    (
        "refuses a token beside pubKeyAuth",
        lambda: forms.client_refusing(lambda each: each.pub_key_auth is not None and each.nego_tokens is not None),
        "PKA56-19",
    ),
    ("a pubKeyAuth that does not verify", lambda: scripted.client(auth_octets=lambda d: spoilt(None, d)), "SPNEGO-07"),
    ("an empty token beside pubKeyAuth", lambda: scripted.client(separate_key=True, key=EMPTY_TOKEN), "SPNEGO-10"),
    ("no target", lambda: scripted.client(target={"target_name": ""}), "SPNEGO-18"),
    ("refuses members of later versions", lambda: forms.client_refusing(later_member), "SPNEGO-28"),
    ("no mechListMIC", lambda: scripted.client(mic="none"), "SPNEGO-32"),
    ("no framing", lambda: in_init(lambda token: dataclasses.replace(token, framed=False).encode()), "SPNEGO-33"),
    ("reqFlags", lambda: in_init(lambda token: mutate.spnego_init(token, bytes.fromhex("a10403020640"))), "SPNEGO-35"),
    ("no MIC", lambda: scripted.client(ntlm={"mic": "none"}), "SPNEGO-37"),
    ("its own time", lambda: scripted.client(ntlm={"timestamp": bytes(8)}), "SPNEGO-39"),
    ("an unused flag", lambda: scripted.client(ntlm={"flags": NTLM_FLAGS | 0x100}), "SPNEGO-49"),
    ("resumes its session", lambda: scripted.client(tls=RESUMING), "TLS-02"),
    ("TLS 1.2 only", lambda: scripted.client(tls=TLS_12), "TLS-03"),
    ("stumbles over session tickets", lambda: scripted.client(stumbles=after_a_ticket), "TLS-04"),
    ("HYBRID alone", lambda: rdp_client(HYBRID_ALONE), "NEG-01"),
    ("references that are not zero", lambda: rdp_client(REFERENCED), "NEG-16"),
    ("looks at the reserved flag", lambda: rdp_client(confirmed=no_reserved_flag), "NEG-19"),
    ("takes any Connection Confirm", lambda: rdp_client(confirmed=lambda _: True), "NEG-06 NEG-13 NEG-20"),
    ("never content", lambda: rdp_client(content=False), "EUA-01"),
    ("ignores the result", rdp_client, "EUA-02 EUA-03 EUA-04"),
    ("loses what follows the result", loses_data, "EUA-05"),
    ("delegates in Restricted Admin mode", delegates_in_restricted_admin_mode, "CRED-05 NEG-08"),
    ("the MIC right after the flags", lambda: scripted.client(inner=mic_behind_flags), "SPNEGO-53"),
    ("stumbles where there is no Version", lambda: scripted.client(stumbles=no_room(2)), "SPNEGO-54"),
    ("the full upper case of Unicode", lambda: scripted.client(account=ODD, ntlm={"upper": str.upper}), "SPNEGO-56"),
    ("other channel bindings", lambda: scripted.client(ntlm={"bindings": WRONG_BINDINGS}), "SPNEGO-63"),
    ("takes any request", lambda: own_relayed_client(checks=False), "NEG-24"),
    ("another login for its message", lambda: winrm(login_for_the_message), "WINRM-03"),
    ("TLS 1.2 only, WinRM", lambda: MemoryWinRMClientTarget(tls=TLS_12), "WINRM-10"),
    ("another proof after a refusal", lambda: insisting(lambda status, sent: status == 401 and not sent), "WINRM-19"),
    ("its message again after an error", lambda: insisting(lambda status, sent: status >= 500 and sent), "WINRM-20"),
    ("never gives up", lambda: insisting(lambda status, sent: status == 401 and sent), "WINRM-21"),
    ("a message with every token", lambda: winrm(body_in_clear), "WINRM-22"),
]  # fmt: skip


def no_reserved_flag(frame: bytes) -> bool:
    chosen = ConnectionConfirm.decode(frame[4:]).negotiation
    return isinstance(chosen, NegotiationResponse) and not int(chosen.flags) & 4


def core_data(protocol: int) -> RecordedLogin:
    return RecordedLogin((), client_application=test_whole_suite.core_data(protocol))


def without_sealing(data: bytes) -> bytes:
    at = data.find(b"NTLMSSP\0\1\0\0\0")
    return data if at < 0 else data[: at + 12] + bytes((data[at + 12] & ~SEAL_FLAG,)) + data[at + 13 :]


def lm_response(data: bytes) -> bytes:
    at = data.find(b"NTLMSSP\0\3")
    if at < 0:
        return data
    at += int.from_bytes(data[at + 16 : at + 20], "little")
    return data[:at] + b"x" * 24 + data[at + 24 :]


RECORDED: list[tuple[str, Callable[[], RecordedLogin], str]] = [
    ("NTLM without sealing", lambda: forms.recorded(without_sealing), "SPNEGO-20"),
    ("an LM response", lambda: forms.recorded(lm_response), "SPNEGO-38"),
    ("another protocol in the Client Core Data", lambda: core_data(1), "NEG-07"),
    ("Version without its flag", lambda: forms.recorded(in_ntlm(1, without_the_flag)), "SPNEGO-50"),
    ("a name on an odd offset", lambda: forms.recorded(in_ntlm(3, odd_user)), "SPNEGO-58"),
    ("a workstation beside Version", lambda: forms.recorded(in_ntlm(1, names_a_workstation)), "SPNEGO-59"),
]
"""Clients' logins that are recorded, for rules that only look: the suite would not complete a login with these."""

LENIENT_SERVERS: list[tuple[str, Make, str]] = [
    ("takes a response of any age", m.server, "SPNEGO-48"),
    ("compares no channel bindings", m.server, "SPNEGO-61"),
]
"""What breaks a rule that calls it lenient."""

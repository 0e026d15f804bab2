"""A recorded exchange, opened as far as the account's secret allows: what passive rules look at.

From the octets alone come the TSRequests and the tokens in them. With the password the NTLM session key follows from
CHALLENGE and AUTHENTICATE ([MS-NLMP] 3.2.5.1.2), and with it pubKeyAuth and authInfo. Live runs and fixtures go through
the same code: a live run is recorded first.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Final

from credssp.conformance.ntlm import Account
from credssp.conformance.rule import MESSAGE_LIMIT, Role, Skipped
from credssp.errors import CredSSPError
from credssp.kerberos.ap import AP_REQ, APReq, unframe
from credssp.nt_hash import nt_hash
from credssp.ntlm import crypto
from credssp.ntlm.messages import Authenticate, Challenge, Negotiate
from credssp.ntlm.proof import check_response
from credssp.ntlm.session import NTLMSession
from credssp.spnego import NegTokenInit, NegTokenResp, decode
from credssp.wire.ts_request import TSRequest

__all__ = ["Exchange", "Observation", "Opened", "inner_token"]

_NTLMSSP: Final = b"NTLMSSP\0"


def inner_token(token: bytes) -> bytes:
    """Return the mechanism's own token, out of SPNEGO if it is in there; the token itself where it is not."""
    try:
        parsed = decode(token)
    except CredSSPError:
        return token
    return (parsed.mech_token if isinstance(parsed, NegTokenInit) else parsed.response_token) or b""


@dataclass(frozen=True, slots=True)
class Opened:
    """What the session key opens.

    Attributes:
        client_key: plaintext of the client's pubKeyAuth, or None.
        server_key: that of the server's, or None.
        auth_info: that of authInfo, or None.
        problems: what did not open, by field.
    """

    client_key: bytes | None
    server_key: bytes | None
    auth_info: bytes | None
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Exchange:
    """One login.

    Attributes:
        messages: (sender, TSRequest octets), in order.
        public_key: SubjectPublicKey of the server, or empty where nobody knows.
        account: whose login it was, or None: then nothing is opened.
        records: TLS records of each message of the side under test, where they were counted.
        name: where it comes from, for reports.
        outcome: ``accepted``, ``refused`` or ``failed``.
        target_name: the SPN, or empty.
        tls: TLS version, or empty.
        client_application: what the client sent behind the login, as far as it was recorded.
        plain: what was sealed, where the suite itself sealed and opened it.
    """

    messages: tuple[tuple[str, bytes], ...]
    public_key: bytes = b""
    account: Account | None = None
    records: tuple[int, ...] = ()
    name: str = ""
    outcome: str = "accepted"
    target_name: str = ""
    tls: str = field(default="", compare=False)
    client_application: bytes = field(default=b"", repr=False)
    plain: Opened | None = field(default=None, repr=False)

    @functools.cached_property
    def requests(self) -> tuple[tuple[str, TSRequest | None], ...]:
        """(sender, TSRequest), None for what does not decode."""
        return tuple((sender, _decoded(data)) for sender, data in self.messages)

    def of(self, side: str) -> list[TSRequest]:
        """The TSRequests of one side that decode."""
        return [request for sender, request in self.requests if sender == side and request is not None]

    def octets(self, side: str) -> list[bytes]:
        """The messages of one side."""
        return [data for sender, data in self.messages if sender == side]

    def tokens(self, side: str) -> list[bytes]:
        """The first negoToken of every message of one side that has one."""
        return [request.nego_tokens[0] for request in self.of(side) if request.nego_tokens]

    @property
    def effective(self) -> int | None:
        """The negotiated version, or None where one side said nothing."""
        client, server = self.of("client"), self.of("server")
        return min(client[0].version, server[0].version, 6) if client and server else None

    @property
    def nonce(self) -> bytes | None:
        """clientNonce of the message with pubKeyAuth, else of an earlier one."""
        found = [r.client_nonce for r in self.of("client") if r.client_nonce is not None]
        with_key = [r.client_nonce for r in self.of("client") if r.pub_key_auth is not None and r.client_nonce]
        return with_key[0] if with_key else found[0] if found else None

    def ntlm(self) -> tuple[bytes, bytes, bytes] | None:
        """NEGOTIATE, CHALLENGE and AUTHENTICATE as they went over, or None where this is not (all of) NTLM."""
        client = [inner_token(token) for token in self.tokens("client")]
        server = [inner_token(token) for token in self.tokens("server")]
        found = (
            next((t for t in client if t[:12] == _NTLMSSP + b"\1\0\0\0"), None),
            next((t for t in server if t[:12] == _NTLMSSP + b"\2\0\0\0"), None),
            next((t for t in client if t[:12] == _NTLMSSP + b"\3\0\0\0"), None),
        )
        return None if None in found else found  # type: ignore[return-value]

    def ap_req(self) -> APReq | None:
        """The client's AP-REQ, or None where this is not Kerberos."""
        for token in self.tokens("client")[:2]:
            try:
                kind, message = unframe(inner_token(token))
                if kind == AP_REQ:
                    return APReq.decode(message)
            except CredSSPError:
                continue
        return None

    @property
    def is_spnego(self) -> bool:
        """Whether the first token is SPNEGO's."""
        tokens = self.tokens("client")
        return bool(tokens) and tokens[0][:1] in (b"\x60", b"\xa0") and b"\x2b\x06\x01\x05\x05\x02" in tokens[0][:24]

    @functools.cached_property
    def session_key(self) -> bytes | None:
        """ExportedSessionKey, or None where the account is not known, or not the one that logged on."""
        ntlm = self.ntlm()
        if ntlm is None or self.account is None:
            return None
        try:
            challenge, message = Challenge.decode(ntlm[1]), Authenticate.decode(ntlm[2])
        except CredSSPError:
            return None
        if message.ntlmv2 is None:
            return None
        hashed = nt_hash(self.account.password.reveal())
        proved = check_response(message, challenge.server_challenge, hashed)
        return None if proved is None else crypto.rc4(proved.session_base_key, message.encrypted_session_key)

    @functools.cached_property
    def opened(self) -> Opened:
        """What the session key opens.

        Raises:
            Skipped: there is no session key to be had.
        """
        if self.plain is not None:
            return self.plain
        if self.session_key is None:
            raise Skipped("the session key cannot be derived: not NTLM, or the account is not known")
        to_server = NTLMSession(self.session_key, role="acceptor")
        to_client = NTLMSession(self.session_key, role="initiator")
        problems: list[str] = []
        mech_types = _mech_types(self.tokens("client"))
        found: dict[str, bytes] = {}
        for sender, request in self.requests:
            if request is None:
                continue
            session = to_server if sender == "client" else to_client
            mic = _mech_list_mic(request)
            if mic is not None and mech_types:
                _try(
                    problems,
                    f"mechListMIC of the {sender}",
                    lambda s=session, m=mic: s.verify_mech_list_mic(mech_types, m),
                )
            for name, data in (("pubKeyAuth", request.pub_key_auth), ("authInfo", request.auth_info)):
                if data is not None:
                    plain = _try(problems, f"{name} of the {sender}", lambda s=session, d=data: s.unwrap(d))
                    if plain is not None:
                        found.setdefault(f"{name} {sender}", plain)
        return Opened(
            found.get("pubKeyAuth client"),
            found.get("pubKeyAuth server"),
            found.get("authInfo client"),
            tuple(problems),
        )

    def negotiate_flags(self) -> tuple[int, int, int] | None:
        """NegotiateFlags of the three messages, or None."""
        ntlm = self.ntlm()
        if ntlm is None:
            return None
        try:
            return Negotiate.decode(ntlm[0]).flags, Challenge.decode(ntlm[1]).flags, Authenticate.decode(ntlm[2]).flags
        except CredSSPError:
            return None


@dataclass(frozen=True, slots=True)
class Observation:
    """What a passive case gets.

    Attributes:
        exchange: the login to look at.
        side: the side to judge.
    """

    exchange: Exchange
    side: Role

    @property
    def who(self) -> str:
        """``client`` or ``server``."""
        return self.side.value

    @property
    def requests(self) -> list[TSRequest]:
        """The TSRequests of the side.

        Raises:
            Skipped: it sent none.
        """
        found = self.exchange.of(self.who)
        if not found:
            raise Skipped(f"the {self.who} sent no TSRequest that decodes")
        return found


def _decoded(data: bytes) -> TSRequest | None:
    try:
        return TSRequest.decode(data, max_size=MESSAGE_LIMIT)
    except CredSSPError:
        return None


def _mech_types(tokens: list[bytes]) -> bytes:
    try:
        return NegTokenInit.decode(tokens[0]).mech_types_der if tokens else b""
    except CredSSPError:
        return b""


def _mech_list_mic(request: TSRequest) -> bytes | None:
    if not request.nego_tokens:
        return None
    try:
        return NegTokenResp.decode(request.nego_tokens[0]).effective_mic()
    except CredSSPError:
        return None


def _try(problems: list[str], what: str, function: object) -> bytes | None:
    try:
        return function()  # type: ignore[operator,no-any-return]
    except CredSSPError as error:
        problems.append(f"{what}: {getattr(error, 'message', error)}")
        return None

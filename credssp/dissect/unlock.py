"""With a password, an NT hash or the session key: NTLM's proof and MIC, pubKeyAuth and authInfo.

Everything is verified over the octets as they were captured ([MS-NLMP] 3.2.5.1.2; `credssp.ntlm`). Each direction
has its own NTLM session here, fed in the order of the messages, since NTLM counts and its key stream goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from credssp.dissect.binding_check import Key, check_binding
from credssp.dissect.exchange import Exchange, Request
from credssp.dissect.model import Sender
from credssp.errors import AuthenticationError, CredSSPError
from credssp.nt_hash import nt_hash
from credssp.ntlm import crypto
from credssp.ntlm.flags import NTLMSSP_NEGOTIATE_KEY_EXCH
from credssp.ntlm.proof import check_response, verify_mic
from credssp.ntlm.session import NTLMSession
from credssp.secret import Secret
from credssp.wire.ts_credentials import TSCredentials

__all__ = ["Check", "LogonSecrets", "Unlocked", "unlock"]

Verdict = Literal["ok", "failed", "unknown"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was verified, or why it could not be.

    Attributes:
        name: what: ``NTProofStr``, ``MIC``, ``mechListMIC of the client``, ``pubKeyAuth of the client``, ``authInfo``.
        verdict: ``ok``, ``failed``, or ``unknown`` where it could not be verified.
        text: one sentence.
        leg: the TSRequest it is about, or None.
    """

    name: str
    verdict: Verdict
    text: str
    leg: int | None = None


@dataclass(frozen=True, slots=True)
class LogonSecrets:
    """What was given to open the inner authentication with; all of them are tried.

    Attributes:
        passwords: passwords.
        hashes: NT hashes, 16 octets.
        session_keys: NTLM's ExportedSessionKey, 16 octets.
    """

    passwords: tuple[Secret[str], ...] = field(default=(), hash=False)
    hashes: tuple[Secret[bytes], ...] = field(default=(), hash=False)
    session_keys: tuple[Secret[bytes], ...] = field(default=(), hash=False)

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.passwords or self.hashes or self.session_keys)

    def nt_hashes(self) -> Iterator[bytes]:
        """Yield the NT hashes, those of the passwords included."""
        for password in self.passwords:
            yield nt_hash(password.reveal())
        for each in self.hashes:
            yield each.reveal()


@dataclass(slots=True)
class Unlocked:
    """What came of it.

    Attributes:
        checks: what was verified, in order.
        session_key: ExportedSessionKey, or None.
        derived: whether it follows from a proof, and so is right for sure.
        mic_fits: whether the MIC of AUTHENTICATE was made with it.
        bindings: by leg, what pubKeyAuth holds.
        credentials: by leg, what authInfo holds.
    """

    checks: list[Check] = field(default_factory=list)
    session_key: Secret[bytes] | None = None
    derived: bool = False
    mic_fits: bool = False
    bindings: dict[int, bytes] = field(default_factory=dict)
    credentials: dict[int, TSCredentials] = field(default_factory=dict)


def unlock(exchange: Exchange, secrets: LogonSecrets, key: Key) -> Unlocked:
    """Open what can be opened.

    Args:
        exchange: the messages.
        secrets: what was given.
        key: the server's key, to check pubKeyAuth against.
    """
    result = Unlocked()
    reason = _obstacle(exchange, secrets)
    candidates = [] if reason else list(_session_keys(exchange, secrets, result))
    if not candidates:
        result.checks += _not_opened(exchange, reason or "no session key could be derived")
        return result
    # A session key that was given is right if something opens with it; one that was derived is known to be right.
    first: Unlocked | None = None
    for candidate in candidates:
        attempt = Unlocked(list(result.checks), Secret(candidate))
        _open_all(exchange, candidate, key, attempt)
        if attempt.bindings or attempt.credentials or attempt.mic_fits:
            return attempt
        first = first or attempt
    if result.derived and first is not None:
        return first
    why = "none of the session keys given opens anything of this login"
    result.checks += [Check("session key", "unknown", why), *_not_opened(exchange, why)]
    return result


def _obstacle(exchange: Exchange, secrets: LogonSecrets) -> str:
    """Return why nothing can be opened, or an empty string."""
    if exchange.mechanism == "kerberos":
        return "Kerberos was used; its session keys cannot be derived from a password and the messages of CredSSP alone"
    if exchange.mechanism != "ntlm":
        return "no NTLM message is in the capture"
    ntlm = exchange.ntlm
    if ntlm.authenticate_message is None or ntlm.challenge_message is None:
        lost = "AUTHENTICATE" if ntlm.authenticate_message is None else "CHALLENGE"
        return f"NTLM's {lost} is not in the capture, or does not decode"
    return "" if secrets else "encrypted with NTLM's session key; give --password, --hash or --session-key"


def _not_opened(exchange: Exchange, why: str) -> Iterator[Check]:
    for request in exchange.requests:
        for name in _encrypted_fields(request):
            yield Check(name, "unknown", f"not opened: {why}", request.leg)


def _encrypted_fields(request: Request) -> Iterator[str]:
    if request.message is not None and request.message.pub_key_auth is not None:
        yield f"pubKeyAuth of the {request.sender}"
    if request.message is not None and request.message.auth_info is not None:
        yield "authInfo"


def _session_keys(exchange: Exchange, secrets: LogonSecrets, result: Unlocked) -> Iterator[bytes]:
    """Yield the ExportedSessionKeys to try: the one that follows from a proof, and those that were given."""
    message = exchange.ntlm.authenticate_message
    assert message is not None  # noqa: S101  # _obstacle
    if secrets.passwords or secrets.hashes:
        base_key = _prove(exchange, secrets, result)
        if base_key is not None:
            result.derived = True
            if message.flags & NTLMSSP_NEGOTIATE_KEY_EXCH and len(message.encrypted_session_key) == 16:
                yield crypto.rc4(base_key, message.encrypted_session_key)
            else:
                yield base_key
    for each in secrets.session_keys:
        yield each.reveal()


def _prove(exchange: Exchange, secrets: LogonSecrets, result: Unlocked) -> bytes | None:
    """Find the hash that NTProofStr was made with and return SessionBaseKey ([MS-NLMP] 3.3.2)."""
    message, challenge = exchange.ntlm.authenticate_message, exchange.ntlm.challenge_message
    assert message is not None and challenge is not None  # noqa: S101, PT018  # _obstacle
    account = f"{message.domain}\\{message.username}" if message.domain else message.username
    if message.ntlmv2 is None:
        what = "an anonymous login" if not message.nt_response else "NTLMv1, or LM"
        result.checks.append(Check("NTProofStr", "unknown", f"there is none: this is {what}, which is not opened"))
        return None
    for hashed in secrets.nt_hashes():
        proved = check_response(message, challenge.server_challenge, hashed)
        if proved is not None:
            note = "" if proved.domain == message.domain else ", made with an empty domain"
            text = f"the client knows the secret of {account} that was given{note}"
            result.checks.append(Check("NTProofStr", "ok", text))
            return proved.session_base_key
    result.checks.append(
        Check("NTProofStr", "failed", f"was not made with what was given: the secret of {account} is another")
    )
    return None


def _open_all(exchange: Exchange, session_key: bytes, key: Key, result: Unlocked) -> None:
    _check_mic(exchange, session_key, result)
    ntlm = exchange.ntlm
    assert ntlm.authenticate_message is not None and ntlm.challenge_message is not None  # noqa: S101, PT018
    flags = ntlm.authenticate_message.flags & ntlm.challenge_message.flags
    try:
        sessions: dict[Sender, NTLMSession] = {
            # Each reads what the other side wrote.
            "client": NTLMSession(session_key, flags, role="acceptor"),
            "server": NTLMSession(session_key, flags, role="initiator"),
        }
    except CredSSPError as error:
        result.checks += _not_opened(exchange, error.message)
        return
    for request in exchange.requests:
        session = sessions[request.sender]
        if request.mech_list_mic is not None:
            session = sessions[request.sender] = _check_mech_list_mic(exchange, request, session, result)
        if request.message is not None:
            _open_request(exchange, request, session, key, result)


def _check_mic(exchange: Exchange, session_key: bytes, result: Unlocked) -> None:
    """The MIC of AUTHENTICATE ([MS-NLMP] 3.1.5.1.2)."""
    ntlm = exchange.ntlm
    assert ntlm.authenticate_message is not None  # noqa: S101
    if ntlm.authenticate_message.mic is None:
        result.checks.append(Check("MIC", "unknown", "AUTHENTICATE has none: nothing protects NEGOTIATE and CHALLENGE"))
    elif not ntlm.negotiate:
        result.checks.append(Check("MIC", "unknown", "not verified: NEGOTIATE is not in the capture"))
    else:
        try:
            offset = ntlm.authenticate_message.mic_offset
            verify_mic(session_key, ntlm.negotiate, ntlm.challenge, ntlm.authenticate, offset)
        except CredSSPError as error:
            result.checks.append(Check("MIC", "failed", error.message))
        else:
            result.mic_fits = True
            result.checks.append(Check("MIC", "ok", "covers NEGOTIATE, CHALLENGE and AUTHENTICATE as captured"))


def _check_mech_list_mic(exchange: Exchange, request: Request, session: NTLMSession, result: Unlocked) -> NTLMSession:
    """The mechListMIC, which counts as the first message of its direction ([MS-SPNG] 3.2.5.1)."""
    name = f"mechListMIC of the {request.sender}"
    try:
        session.verify_mech_list_mic(exchange.mech_types, request.mech_list_mic or b"")
    except CredSSPError as error:
        result.checks.append(Check(name, "failed", error.message, request.leg))
        # Go on as if it had been right: what follows has the next number whatever this one was worth.
        writes: Literal["initiator", "acceptor"] = "initiator" if request.sender == "client" else "acceptor"
        reads: Literal["initiator", "acceptor"] = "acceptor" if request.sender == "client" else "initiator"
        fresh = NTLMSession(session.exported_session_key, session.flags, role=reads)
        own = NTLMSession(session.exported_session_key, session.flags, role=writes).make_mech_list_mic(b"")
        fresh.verify_mech_list_mic(b"", own)
        return fresh
    result.checks.append(Check(name, "ok", "nobody changed the client's list of mechanisms", request.leg))
    return session


def _open_request(exchange: Exchange, request: Request, session: NTLMSession, key: Key, result: Unlocked) -> None:
    message = request.message
    assert message is not None  # noqa: S101
    if message.pub_key_auth is not None:
        name = f"pubKeyAuth of the {request.sender}"
        plain = _unwrap(session, message.pub_key_auth, name, request, result)
        if plain is not None:
            result.bindings[request.leg] = plain
            verdict, text = check_binding(exchange, request.sender, plain, key)
            result.checks.append(Check(name, verdict, text, request.leg))
    if message.auth_info is not None:
        plain = _unwrap(session, message.auth_info, "authInfo", request, result)
        if plain is not None:
            _read_credentials(plain, request, result)


def _unwrap(session: NTLMSession, data: bytes, name: str, request: Request, result: Unlocked) -> bytes | None:
    try:
        return session.unwrap(data)
    except (CredSSPError, AuthenticationError) as error:
        result.checks.append(Check(name, "failed", f"does not open: {error.message}", request.leg))
        return None


def _read_credentials(plain: bytes, request: Request, result: Unlocked) -> None:
    try:
        credentials = TSCredentials.decode(plain, max_size=max(len(plain), 1))
    except CredSSPError as error:
        result.checks.append(Check("authInfo", "failed", f"opens, but holds no TSCredentials: {error}", request.leg))
        return
    result.credentials[request.leg] = credentials
    kind = type(credentials.credentials).__name__
    result.checks.append(Check("authInfo", "ok", f"opened: {kind}", request.leg))

"""With a password, an NT hash or the session key: NTLM's proof and MICs, pubKeyAuth and authInfo of a recorded login.

Everything is verified over the octets as they were captured ([MS-NLMP] 3.2.5.1.2; `credssp.ntlm`). Each direction
has its own NTLM session here, fed in the order of the messages, since NTLM counts and its key stream goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from credssp.errors import CredSSPError
from credssp.exchange.binding_check import Key, check_binding
from credssp.exchange.recorded_login import RecordedLogin, Request, Sender
from credssp.nt_hash import nt_hash
from credssp.ntlm import crypto
from credssp.ntlm.flags import NTLMSSP_NEGOTIATE_KEY_EXCH
from credssp.ntlm.proof import check_response, verify_mic
from credssp.ntlm.session import NTLMSession
from credssp.secret import Secret
from credssp.wire.ts_credentials import TSCredentials

__all__ = ["Check", "LogonSecrets", "Opened", "open_login"]

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
class Opened:
    """What came of it.

    Attributes:
        checks: what was verified, in order.
        session_key: ExportedSessionKey, or None.
        derived: whether it follows from a proof, and so is right for sure.
        mic_fits: whether the MIC of AUTHENTICATE was made with it.
        bindings: by leg, what pubKeyAuth holds.
        auth_info: by leg, what authInfo holds.
        credentials: by leg, the TSCredentials in it.
    """

    checks: list[Check] = field(default_factory=list)
    session_key: Secret[bytes] | None = None
    derived: bool = False
    mic_fits: bool = False
    bindings: dict[int, bytes] = field(default_factory=dict, repr=False)
    auth_info: dict[int, bytes] = field(default_factory=dict, repr=False)
    credentials: dict[int, TSCredentials] = field(default_factory=dict)


def open_login(login: RecordedLogin, secrets: LogonSecrets, key: Key, *, flags: int | None = None) -> Opened:
    """Open what can be opened.

    Args:
        login: the messages.
        secrets: what was given.
        key: the server's key, to check pubKeyAuth against.
        flags: NegotiateFlags of the session; None for those that CHALLENGE and AUTHENTICATE have in common.
    """
    result = Opened()
    reason = _obstacle(login, secrets)
    candidates = [] if reason else list(_session_keys(login, secrets, result))
    if not candidates:
        result.checks += _not_opened(login, reason or "no session key could be derived")
        return result
    # A session key that was given is right if something opens with it; one that was derived is known to be right.
    first: Opened | None = None
    for candidate in candidates:
        attempt = Opened(list(result.checks), Secret(candidate))
        _open_all(login, candidate, key, attempt, flags)
        if attempt.bindings or attempt.credentials or attempt.mic_fits:
            return attempt
        first = first or attempt
    if result.derived and first is not None:
        return first
    why = "none of the session keys given opens anything of this login"
    result.checks += [Check("session key", "unknown", why), *_not_opened(login, why)]
    return result


def _obstacle(login: RecordedLogin, secrets: LogonSecrets) -> str:
    """Return why nothing can be opened, or an empty string."""
    if login.mechanism == "kerberos":
        return "Kerberos was used; its session keys cannot be derived from a password and the messages of CredSSP alone"
    if login.mechanism != "ntlm":
        return "no NTLM message is in the capture"
    ntlm = login.ntlm
    if ntlm.authenticate_message is None or ntlm.challenge_message is None:
        lost = "AUTHENTICATE" if ntlm.authenticate_message is None else "CHALLENGE"
        return f"NTLM's {lost} is not in the capture, or does not decode"
    return "" if secrets else "encrypted with NTLM's session key; give --password, --hash or --session-key"


def _not_opened(login: RecordedLogin, why: str) -> Iterator[Check]:
    for request in login.requests:
        for name in _encrypted_fields(request):
            yield Check(name, "unknown", f"not opened: {why}", request.leg)


def _encrypted_fields(request: Request) -> Iterator[str]:
    if request.message is not None and request.message.pub_key_auth is not None:
        yield f"pubKeyAuth of the {request.sender}"
    if request.message is not None and request.message.auth_info is not None:
        yield "authInfo"


def _session_keys(login: RecordedLogin, secrets: LogonSecrets, result: Opened) -> Iterator[bytes]:
    """Yield the ExportedSessionKeys to try: the one that follows from a proof, and those that were given."""
    message = login.ntlm.authenticate_message
    assert message is not None  # noqa: S101  # _obstacle
    if secrets.passwords or secrets.hashes:
        base_key = _prove(login, secrets, result)
        if base_key is not None:
            result.derived = True
            if message.flags & NTLMSSP_NEGOTIATE_KEY_EXCH and len(message.encrypted_session_key) == 16:
                yield crypto.rc4(base_key, message.encrypted_session_key)
            else:
                yield base_key
    for each in secrets.session_keys:
        yield each.reveal()


def _prove(login: RecordedLogin, secrets: LogonSecrets, result: Opened) -> bytes | None:
    """Find the hash that NTProofStr was made with and return SessionBaseKey ([MS-NLMP] 3.3.2)."""
    message, challenge = login.ntlm.authenticate_message, login.ntlm.challenge_message
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


def _open_all(login: RecordedLogin, session_key: bytes, key: Key, result: Opened, flags: int | None) -> None:
    _check_mic(login, session_key, result)
    ntlm = login.ntlm
    assert ntlm.authenticate_message is not None and ntlm.challenge_message is not None  # noqa: S101, PT018
    if flags is None:
        flags = ntlm.authenticate_message.flags & ntlm.challenge_message.flags
    try:
        sessions: dict[Sender, NTLMSession] = {
            # Each reads what the other side wrote.
            "client": NTLMSession(session_key, flags, role="acceptor"),
            "server": NTLMSession(session_key, flags, role="initiator"),
        }
    except CredSSPError as error:
        result.checks += _not_opened(login, error.message)
        return
    for request in login.requests:
        session = sessions[request.sender]
        if request.mech_list_mic is not None:
            session = sessions[request.sender] = _check_mech_list_mic(login, request, session, result)
        if request.message is not None:
            _open_request(login, request, session, key, result)


def _check_mic(login: RecordedLogin, session_key: bytes, result: Opened) -> None:
    """The MIC of AUTHENTICATE ([MS-NLMP] 3.1.5.1.2)."""
    ntlm = login.ntlm
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


def _check_mech_list_mic(login: RecordedLogin, request: Request, session: NTLMSession, result: Opened) -> NTLMSession:
    """The mechListMIC, which counts as the first message of its direction ([MS-SPNG] 3.2.5.1)."""
    name = f"mechListMIC of the {request.sender}"
    try:
        session.verify_mech_list_mic(login.mech_types, request.mech_list_mic or b"")
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


def _open_request(login: RecordedLogin, request: Request, session: NTLMSession, key: Key, result: Opened) -> None:
    message = request.message
    assert message is not None  # noqa: S101
    if message.pub_key_auth is not None:
        name = f"pubKeyAuth of the {request.sender}"
        plain = _unwrap(session, message.pub_key_auth, name, request, result)
        if plain is not None:
            result.bindings[request.leg] = plain
            verdict, text = check_binding(login, request.sender, plain, key)
            result.checks.append(Check(name, verdict, text, request.leg))
    if message.auth_info is not None:
        plain = _unwrap(session, message.auth_info, "authInfo", request, result)
        if plain is not None:
            result.auth_info[request.leg] = plain
            _read_credentials(plain, request, result)


def _unwrap(session: NTLMSession, data: bytes, name: str, request: Request, result: Opened) -> bytes | None:
    try:
        return session.unwrap(data)
    except CredSSPError as error:
        result.checks.append(Check(name, "failed", f"does not open: {error.message}", request.leg))
        return None


def _read_credentials(plain: bytes, request: Request, result: Opened) -> None:
    try:
        credentials = TSCredentials.decode(plain, max_size=max(len(plain), 1))
    except CredSSPError as error:
        result.checks.append(Check("authInfo", "failed", f"opens, but holds no TSCredentials: {error}", request.leg))
        return
    result.credentials[request.leg] = credentials
    kind = type(credentials.credentials).__name__
    result.checks.append(Check("authInfo", "ok", f"opened: {kind}", request.leg))

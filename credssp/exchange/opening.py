"""With a password, an NT hash or the session key: NTLM's proof and MICs, pubKeyAuth and authInfo of a recorded login.

Everything is verified over the bytes as they were captured ([MS-NLMP] 3.2.5.1.2; `credssp.ntlm`). Each direction
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
from credssp.ntlm.messages import Authenticate, Challenge
from credssp.ntlm.proof import check_response, verify_mic
from credssp.ntlm.session import NTLMSession
from credssp.secret import Secret
from credssp.wire.ts_credentials import TSCredentials
from credssp.wire.ts_request import TSRequest

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
        hashes: NT hashes, 16 bytes.
        session_keys: NTLM's ExportedSessionKey, 16 bytes.
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
        mic_fits: whether the MIC of AUTHENTICATE was made with it.
        bindings: by leg, what pubKeyAuth holds.
        auth_info: by leg, what authInfo holds.
        credentials: by leg, the TSCredentials in it.
    """

    checks: list[Check] = field(default_factory=list)
    session_key: Secret[bytes] | None = None
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
    message, challenge = login.ntlm.authenticate_message, login.ntlm.challenge_message
    reason = _obstacle(login, secrets)
    if reason or message is None or challenge is None:
        return Opened(list(_not_opened(login, reason)))
    base_key, proof = _prove(message, challenge, secrets)
    candidates = [each.reveal() for each in secrets.session_keys]
    if base_key is not None:
        has_key = message.flags & NTLMSSP_NEGOTIATE_KEY_EXCH and len(message.encrypted_session_key) == 16
        candidates.insert(0, crypto.rc4(base_key, message.encrypted_session_key) if has_key else base_key)
    # A session key that was given is right if something opens with it; one that was derived is known to be right.
    agreed = message.flags & challenge.flags if flags is None else flags
    tried = []
    for candidate in candidates:
        attempt = Opened(list(proof), Secret(candidate))
        _Opener(login, message, key, attempt).open(candidate, agreed)
        if attempt.bindings or attempt.credentials or attempt.mic_fits:
            return attempt
        tried.append(attempt)
    if base_key is not None:
        return tried[0]
    if not tried:
        return Opened([*proof, *_not_opened(login, "no session key could be derived")])
    why = "none of the session keys given opens anything of this login"
    return Opened([*proof, Check("session key", "unknown", why), *_not_opened(login, why)])


def _obstacle(login: RecordedLogin, secrets: LogonSecrets) -> str:
    """Return why nothing can be opened, or an empty string."""
    if login.mechanism == "kerberos":
        return "Kerberos was used; its session keys cannot be derived from a password and the messages of CredSSP alone"
    if login.mechanism != "ntlm":
        return "no NTLM message is in the capture"
    if login.ntlm.authenticate_message is None or login.ntlm.challenge_message is None:
        lost = "AUTHENTICATE" if login.ntlm.authenticate_message is None else "CHALLENGE"
        return f"NTLM's {lost} is not in the capture, or does not decode"
    return "" if secrets else "encrypted with NTLM's session key; give --password, --hash or --session-key"


def _not_opened(login: RecordedLogin, why: str) -> Iterator[Check]:
    for request in login.requests:
        if request.message is not None and request.message.pub_key_auth is not None:
            yield Check(f"pubKeyAuth of the {request.sender}", "unknown", f"not opened: {why}", request.leg)
        if request.message is not None and request.message.auth_info is not None:
            yield Check("authInfo", "unknown", f"not opened: {why}", request.leg)


def _prove(message: Authenticate, challenge: Challenge, secrets: LogonSecrets) -> tuple[bytes | None, list[Check]]:
    """Find the hash that NTProofStr was made with; returns SessionBaseKey ([MS-NLMP] 3.3.2) and what was checked."""
    if not secrets.passwords and not secrets.hashes:
        return None, []
    account = f"{message.domain}\\{message.username}" if message.domain else message.username
    if message.ntlmv2 is None:
        what = "an anonymous login" if not message.nt_response else "NTLMv1, or LM"
        return None, [Check("NTProofStr", "unknown", f"there is none: this is {what}, which is not opened")]
    for hashed in secrets.nt_hashes():
        proved = check_response(message, challenge.server_challenge, hashed)
        if proved is not None:
            note = "" if proved.domain == message.domain else ", made with an empty domain"
            text = f"the client knows the secret of {account} that was given{note}"
            return proved.session_base_key, [Check("NTProofStr", "ok", text)]
    text = f"was not made with what was given: the secret of {account} is another"
    return None, [Check("NTProofStr", "failed", text)]


class _Opener:
    """Opens a login with one session key."""

    def __init__(self, login: RecordedLogin, message: Authenticate, key: Key, result: Opened) -> None:
        self._login = login
        self._message = message
        self._key = key
        self._result = result

    def open(self, session_key: bytes, flags: int) -> None:
        """Verify and decrypt, in the order of the messages."""
        self._check_mic(session_key)
        try:
            sessions: dict[Sender, NTLMSession] = {
                # Each reads what the other side wrote.
                "client": NTLMSession(session_key, flags, role="acceptor"),
                "server": NTLMSession(session_key, flags, role="initiator"),
            }
        except CredSSPError as error:
            self._result.checks += _not_opened(self._login, error.message)
            return
        for request in self._login.requests:
            session = sessions[request.sender]
            if request.mech_list_mic is not None:
                session = sessions[request.sender] = self._check_mech_list_mic(request, request.mech_list_mic, session)
            if request.message is not None:
                self._open_message(request, request.message, session)

    def _note(self, name: str, verdict: Verdict, text: str, leg: int | None = None) -> None:
        self._result.checks.append(Check(name, verdict, text, leg))

    def _check_mic(self, session_key: bytes) -> None:
        """The MIC of AUTHENTICATE ([MS-NLMP] 3.1.5.1.2)."""
        ntlm = self._login.ntlm
        if self._message.mic is None:
            self._note("MIC", "unknown", "AUTHENTICATE has none: nothing protects NEGOTIATE and CHALLENGE")
        elif not ntlm.negotiate:
            self._note("MIC", "unknown", "not verified: NEGOTIATE is not in the capture")
        else:
            try:
                verify_mic(session_key, ntlm.negotiate, ntlm.challenge, ntlm.authenticate, self._message.mic_offset)
            except CredSSPError as error:
                self._note("MIC", "failed", error.message)
            else:
                self._result.mic_fits = True
                self._note("MIC", "ok", "covers NEGOTIATE, CHALLENGE and AUTHENTICATE as captured")

    def _check_mech_list_mic(self, request: Request, mic: bytes, session: NTLMSession) -> NTLMSession:
        """The mechListMIC, which counts as the first message of its direction ([MS-SPNG] 3.2.5.1)."""
        name = f"mechListMIC of the {request.sender}"
        try:
            session.verify_mech_list_mic(self._login.mech_types, mic)
        except CredSSPError as error:
            self._note(name, "failed", error.message, request.leg)
            # Go on as if it had been right: what follows has the next number whatever this one was worth.
            writes: Literal["initiator", "acceptor"] = "initiator" if request.sender == "client" else "acceptor"
            reads: Literal["initiator", "acceptor"] = "acceptor" if request.sender == "client" else "initiator"
            fresh = NTLMSession(session.exported_session_key, session.flags, role=reads)
            own = NTLMSession(session.exported_session_key, session.flags, role=writes).make_mech_list_mic(b"")
            fresh.verify_mech_list_mic(b"", own)
            return fresh
        self._note(name, "ok", "the client's list of mechanisms was not changed", request.leg)
        return session

    def _open_message(self, request: Request, message: TSRequest, session: NTLMSession) -> None:
        name = f"pubKeyAuth of the {request.sender}"
        # What repeats the client's was opened there; a session reads every message once.
        key = None if request.repeats is not None else message.pub_key_auth
        plain = self._unwrap(session, key, name, request.leg)
        if plain is not None:
            self._result.bindings[request.leg] = plain
            self._note(name, *check_binding(self._login, request.sender, plain, self._key), request.leg)
        plain = self._unwrap(session, message.auth_info, "authInfo", request.leg)
        if plain is not None:
            self._result.auth_info[request.leg] = plain
            self._read_credentials(plain, request.leg)

    def _unwrap(self, session: NTLMSession, data: bytes | None, name: str, leg: int) -> bytes | None:
        try:
            return None if data is None else session.unwrap(data)
        except CredSSPError as error:
            self._note(name, "failed", f"does not open: {error.message}", leg)
            return None

    def _read_credentials(self, plain: bytes, leg: int) -> None:
        try:
            credentials = TSCredentials.decode(plain, max_size=max(len(plain), 1))
        except CredSSPError as error:
            self._note("authInfo", "failed", f"opens, but holds no TSCredentials: {error}", leg)
            return
        self._result.credentials[leg] = credentials
        self._note("authInfo", "ok", f"opened: {type(credentials.credentials).__name__}", leg)

"""With a password, an NT hash or the session key: NTLM's proof and MICs, pubKeyAuth and authInfo of a recorded login.

Everything is verified over the bytes as they were captured ([MS-NLMP] 3.2.5.1.2; `credssp.ntlm`). Each direction
has its own NTLM session here, fed in the order of the messages, since NTLM counts and its key stream goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from credssp.errors import CredSSPError
from credssp.exchange.binding_check import Key
from credssp.exchange.kerberos_opening import open_kerberos
from credssp.exchange.recorded_login import RecordedLogin, Request, Sender
from credssp.exchange.sealed import Check, Opened, SealedReader, not_opened
from credssp.kerberos.tickets import ServiceKey
from credssp.nt_hash import nt_hash
from credssp.ntlm import crypto
from credssp.ntlm.flags import NTLMSSP_NEGOTIATE_KEY_EXCH
from credssp.ntlm.messages import Authenticate, Challenge
from credssp.ntlm.proof import check_response, verify_mic
from credssp.ntlm.session import NTLMSession
from credssp.secret import Secret

__all__ = ["Check", "LogonSecrets", "Opened", "open_login"]


@dataclass(frozen=True, slots=True)
class LogonSecrets:
    """What was given to open the inner authentication with; all of them are tried.

    Attributes:
        passwords: passwords.
        hashes: NT hashes, 16 bytes.
        session_keys: NTLM's ExportedSessionKey, 16 bytes.
        service_keys: keys of services, out of keytabs: they open Kerberos.
    """

    passwords: tuple[Secret[str], ...] = field(default=(), hash=False)
    hashes: tuple[Secret[bytes], ...] = field(default=(), hash=False)
    session_keys: tuple[Secret[bytes], ...] = field(default=(), hash=False)
    service_keys: tuple[ServiceKey, ...] = field(default=(), hash=False)

    def __bool__(self) -> bool:
        """Whether there is any."""
        return self.for_ntlm or bool(self.service_keys)

    @property
    def for_ntlm(self) -> bool:
        """Whether there is any that opens NTLM."""
        return bool(self.passwords or self.hashes or self.session_keys)

    def nt_hashes(self) -> Iterator[bytes]:
        """Yield the NT hashes, those of the passwords included."""
        for password in self.passwords:
            yield nt_hash(password.reveal())
        for each in self.hashes:
            yield each.reveal()


def open_login(login: RecordedLogin, secrets: LogonSecrets, key: Key, *, flags: int | None = None) -> Opened:
    """Open what can be opened.

    Args:
        login: the messages.
        secrets: what was given.
        key: the server's key, to check pubKeyAuth against.
        flags: NegotiateFlags of the session; None for those that CHALLENGE and AUTHENTICATE have in common.
    """
    if login.mechanism == "kerberos" and secrets.service_keys:
        return open_kerberos(login, secrets.service_keys, key)
    message, challenge = login.ntlm.authenticate_message, login.ntlm.challenge_message
    reason = _obstacle(login, secrets)
    if reason or message is None or challenge is None:
        return Opened(list(not_opened(login, reason)))
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
        return Opened([*proof, *not_opened(login, "no session key could be derived")])
    why = "none of the session keys given opens anything of this login"
    return Opened([*proof, Check("session key", "unknown", why), *not_opened(login, why)])


def _obstacle(login: RecordedLogin, secrets: LogonSecrets) -> str:
    """Return why nothing can be opened, or an empty string."""
    if login.mechanism == "kerberos":
        return "Kerberos was used; a keytab with the key of the service opens it (--keytab)"
    if login.mechanism != "ntlm":
        return "no NTLM message is in the capture"
    if login.ntlm.authenticate_message is None or login.ntlm.challenge_message is None:
        lost = "AUTHENTICATE" if login.ntlm.authenticate_message is None else "CHALLENGE"
        return f"NTLM's {lost} is not in the capture, or does not decode"
    return "" if secrets.for_ntlm else "encrypted with NTLM's session key; give --password, --hash or --session-key"


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


class _Opener(SealedReader):
    """Opens a login with one session key."""

    def __init__(self, login: RecordedLogin, message: Authenticate, key: Key, result: Opened) -> None:
        super().__init__(login, key, result)
        self._message = message

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
            self._result.checks += not_opened(self._login, error.message)
            return
        for request in self._login.requests:
            session = sessions[request.sender]
            if request.mech_list_mic is not None:
                session = sessions[request.sender] = self._check_mech_list_mic(request, request.mech_list_mic, session)
            if request.message is not None:
                self._open_message(request, request.message, session)

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

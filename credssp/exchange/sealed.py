"""What comes of opening a recorded login, whatever mechanism sealed it: pubKeyAuth compared, authInfo read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from credssp.errors import CredSSPError
from credssp.exchange.binding_check import Key, check_binding
from credssp.exchange.recorded_login import RecordedLogin, Request
from credssp.secret import Secret
from credssp.wire.ts_credentials import TSCredentials
from credssp.wire.ts_request import TSRequest

__all__ = ["Check", "Opened", "SealedReader", "Unwrapping", "Verdict", "not_opened"]

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


@dataclass(slots=True)
class Opened:
    """What came of it.

    Attributes:
        checks: what was verified, in order.
        session_key: ExportedSessionKey of NTLM, the key of a Kerberos context, or None.
        mic_fits: whether the MIC of AUTHENTICATE was made with it.
        bindings: by leg, what pubKeyAuth holds.
        auth_info: by leg, what authInfo holds.
        credentials: by leg, the TSCredentials in it.
        tokens: by leg, what Kerberos' AP-REQ or AP-REP hold, as trees for reports; keys are `Secret`.
    """

    checks: list[Check] = field(default_factory=list)
    session_key: Secret[bytes] | None = None
    mic_fits: bool = False
    bindings: dict[int, bytes] = field(default_factory=dict, repr=False)
    auth_info: dict[int, bytes] = field(default_factory=dict, repr=False)
    credentials: dict[int, TSCredentials] = field(default_factory=dict)
    tokens: dict[int, dict[str, Any]] = field(default_factory=dict)


class Unwrapping(Protocol):
    """A session that opens what one side sealed."""

    def unwrap(self, data: bytes, /) -> bytes:
        """Open the next message. Raises CredSSPError."""


def not_opened(login: RecordedLogin, why: str) -> Iterator[Check]:
    """Yield a check for everything that stays closed."""
    for request in login.requests:
        if request.message is not None and request.message.pub_key_auth is not None:
            yield Check(f"pubKeyAuth of the {request.sender}", "unknown", f"not opened: {why}", request.leg)
        if request.message is not None and request.message.auth_info is not None:
            yield Check("authInfo", "unknown", f"not opened: {why}", request.leg)


class SealedReader:
    """Opens the sealed fields of messages, in their order, and notes what was found."""

    def __init__(self, login: RecordedLogin, key: Key, result: Opened) -> None:
        self._login = login
        self._key = key
        self._result = result

    def _note(self, name: str, verdict: Verdict, text: str, leg: int | None = None) -> None:
        self._result.checks.append(Check(name, verdict, text, leg))

    def _open_message(self, request: Request, message: TSRequest, session: Unwrapping) -> None:
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

    def _unwrap(self, session: Unwrapping, data: bytes | None, name: str, leg: int) -> bytes | None:
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

"""The agent's credentials, and the rules that say which login may use which.

The rules, in this order: the name exists and the caller's user may use it (one answer for both, or the agent would tell
strangers what it holds), the agent is not locked, the credential has not expired, the target fits, the mechanism fits,
and a person says yes where one is to be asked.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from credssp.credentials import LogonCredentials
from credssp.errors import LocalProtocolError
from credssp.lsa.caller import Caller
from credssp.lsa.confirmation import Confirm, Question
from credssp.lsa.opened import AgentRefusedError, CertificateRule, DelegateRule, OpenedCredential, Reason
from credssp.lsa.settings import CredentialSettings
from credssp.lsa.sources import SpentSource
from credssp.mechanism_name import MechanismName
from credssp.policy.spn import target_parts
from credssp.secret import Secret, private_methods

__all__ = ["CredentialInfo", "CredentialStore"]

MAX_CREDENTIALS: Final = 1000

Origin: TypeAlias = Literal["file", "added"]
"""Where a credential came from: the configuration, or ``credssp agent add``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialInfo:
    """What is told of a credential; never a secret.

    Attributes:
        name: its name.
        user: who logs on; empty where the keytab or the cache decides.
        source: the kind of its source.
        place: where the source is; empty for a password that was typed.
        targets: patterns of the servers.
        mechanisms: with which it may log on.
        delegate: what servers are given.
        certificate: what NTLM demands of a certificate: a fingerprint, or the file of the authorities; or empty.
        uids: the users whose programs may use it.
        confirm: whether a person is asked.
        expires: seconds that are left, 0 once it has expired; None for no limit.
        origin: where it came from.
    """

    name: str
    user: str
    source: str
    place: str
    targets: tuple[str, ...]
    mechanisms: tuple[MechanismName, ...]
    delegate: DelegateRule
    certificate: str
    uids: tuple[int, ...]
    confirm: bool
    expires: float | None
    origin: Origin


@dataclass(frozen=True, slots=True)
class _Entry:
    settings: CredentialSettings
    uids: frozenset[int]
    origin: Origin
    credentials: LogonCredentials | None  # None: expired
    ends: float | None


@dataclass(frozen=True, slots=True)
class _Lock:
    """A pass phrase, as what it is compared by."""

    salt: bytes = field(repr=False)
    digest: bytes = field(repr=False)

    @classmethod
    def of(cls, phrase: Secret[str]) -> _Lock:
        salt = os.urandom(16)
        return cls(salt, _digest(phrase, salt))

    def fits(self, phrase: Secret[str]) -> bool:
        return hmac.compare_digest(_digest(phrase, self.salt), self.digest)


def _digest(phrase: Secret[str], salt: bytes) -> bytes:
    return hashlib.scrypt(phrase.reveal().encode("utf-8", "surrogatepass"), salt=salt, n=1 << 14, r=8, p=1)


def _now() -> float:
    """Seconds, with those that the machine was asleep where the system counts them: lifetimes are for real time."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


@private_methods()
class CredentialStore:
    """The credentials of an agent. Threads: may be shared."""

    def __init__(self, *, confirm: Confirm | None = None, clock: Callable[[], float] = _now) -> None:
        """Make an empty one, of the user of this process.

        Args:
            confirm: asks a person; None where there is no way to ask, so that every question is answered with no.
            clock: seconds, for lifetimes.
        """
        self._confirm = confirm
        self._clock = clock
        self._owner = os.geteuid()
        self._entries: dict[str, _Entry] = {}
        self._lock: _Lock | None = None
        self._guard = threading.Lock()

    @property
    def owner(self) -> int:
        """The user who may add, list and remove."""
        return self._owner

    @property
    def is_locked(self) -> bool:
        """Whether every login is refused until `unlock`."""
        return self._lock is not None

    def user_of(self, name: str) -> str:
        """Return who a credential logs on, or an empty string."""
        with self._guard:
            entry = self._entries.get(name)
        return "" if entry is None else entry.settings.user or ""

    def configure(self, settings: Sequence[CredentialSettings]) -> None:
        """Take the credentials of the configuration in place of those that it had before; added ones stay.

        The sources are read, and lifetimes begin.

        Raises:
            LocalProtocolError: a source cannot be read, or there are too many; then everything stays as it was.
        """
        fresh = {each.name: self._load(each, "file") for each in settings}
        with self._guard:
            added = {name: entry for name, entry in self._entries.items() if entry.origin == "added"}
            self._put(added | fresh)

    def add(self, settings: CredentialSettings) -> None:
        """Add a credential, or replace one that was added under this name.

        Raises:
            LocalProtocolError: its source cannot be read, it belongs to the configuration, or there are too many.
            AgentRefusedError: the agent is locked.
        """
        self._check_unlocked()
        entry = self._load(settings, "added")
        with self._guard:
            known = self._entries.get(settings.name)
            if known is not None and known.origin == "file":
                raise LocalProtocolError(f"the credential {settings.name} is in the configuration: change it there")
            self._put(self._entries | {settings.name: entry})

    def remove(self, name: str) -> None:
        """Drop a credential and its secret.

        Raises:
            AgentRefusedError: there is none, or the agent is locked.
        """
        self._check_unlocked()
        with self._guard:
            if self._entries.pop(name, None) is None:
                raise _unknown()

    def clear(self) -> None:
        """Drop everything."""
        with self._guard:
            self._entries.clear()

    def list(self) -> list[CredentialInfo]:
        """Return what there is, by name.

        Raises:
            AgentRefusedError: the agent is locked.
        """
        self._check_unlocked()
        self.expire()
        with self._guard:
            entries = dict(self._entries)
        now = self._clock()
        return [_info(entries[name], now) for name in sorted(entries)]

    def expire(self) -> float | None:
        """Let go of the secrets of expired credentials; returns the seconds until the next one expires, or None.

        Their names stay, so that a program learns why it is refused.
        """
        now = self._clock()
        with self._guard:
            for name, entry in self._entries.items():
                if entry.ends is not None and entry.ends <= now and entry.credentials is not None:
                    self._entries[name] = dataclasses.replace(entry, credentials=None)
            waiting = [each.ends for each in self._entries.values() if each.ends is not None and each.credentials]
        return min(waiting) - now if waiting else None

    def lock(self, phrase: Secret[str]) -> None:
        """Refuse every login, and every change, until `unlock` is given the same pass phrase.

        Raises:
            AgentRefusedError: it is locked already.
            LocalProtocolError: the pass phrase is empty.
        """
        if not phrase:
            raise LocalProtocolError("the pass phrase is empty")
        made = _Lock.of(phrase)
        with self._guard:
            if self._lock is not None:
                raise _locked()
            self._lock = made

    def unlock(self, phrase: Secret[str]) -> None:
        """End `lock`; each guess costs as much time and memory as scrypt takes.

        Raises:
            AgentRefusedError: the pass phrase is another one.
            LocalProtocolError: the agent is not locked.
        """
        lock = self._lock
        if lock is None:
            raise LocalProtocolError("the agent is not locked")
        if not lock.fits(phrase):
            raise AgentRefusedError(Reason.LOCKED, "the agent stays locked: the pass phrase is not the one it has")
        self._lock = None

    def open(self, name: str, *, caller: Caller, target: str, mechanism: str = "auto") -> OpenedCredential:
        """Open a credential for one login. May block, because a person is asked.

        Args:
            name: what the program asks for.
            caller: the program.
            target: SPN of the server.
            mechanism: what it wants to log on with; ``auto`` and ``negotiate`` leave it to the credential.

        Raises:
            AgentRefusedError: a rule says no.
        """
        with self._guard:
            entry = self._entries.get(name)
        if entry is None or caller.uid not in entry.uids:
            raise _unknown()
        self._check_unlocked()
        settings = entry.settings
        self._check_live(entry)
        parts = target_parts(target)
        if parts is None or not any(pattern.means(parts) for pattern in settings.targets):
            raise AgentRefusedError(Reason.TARGET, f"the credential {name} is not for {target!r}")
        mechanisms = _chosen(settings, mechanism)
        if settings.confirm:
            self._ask(Question(name, settings.user or "", target, caller))
            self._check_unlocked()
        # A person may have taken longer than the lifetime, or the credential was removed or replaced meanwhile.
        with self._guard:
            if self._entries.get(name) is not entry:
                entry = self._entries.get(name)
                if entry is None or entry.settings != settings:
                    raise _unknown()
        credentials = self._check_live(entry)
        return OpenedCredential(
            name=name,
            credentials=credentials,
            mechanisms=mechanisms,
            certificate=_certificate(settings) if "ntlm" in mechanisms else None,
            delegate=settings.delegate,
        )

    def _load(self, settings: CredentialSettings, origin: Origin) -> _Entry:
        try:
            credentials = settings.source.load(settings.user)
        except LocalProtocolError as error:
            raise LocalProtocolError(f"credential {settings.name}: {error.message}") from None
        # What is kept for `list` has no secret in it: it outlives the lifetime.
        settings = dataclasses.replace(settings, source=SpentSource(settings.source.kind, settings.source.place))
        ends = None if settings.lifetime is None else self._clock() + settings.lifetime
        return _Entry(settings, settings.uids or frozenset({self._owner}), origin, credentials, ends)

    def _put(self, entries: dict[str, _Entry]) -> None:
        if len(entries) > MAX_CREDENTIALS:
            raise LocalProtocolError(f"an agent holds at most {MAX_CREDENTIALS} credentials")
        self._entries = entries

    def _check_unlocked(self) -> None:
        if self._lock is not None:
            raise _locked()

    def _check_live(self, entry: _Entry) -> LogonCredentials:
        if entry.credentials is None or (entry.ends is not None and entry.ends <= self._clock()):
            self.expire()
            raise AgentRefusedError(Reason.EXPIRED, f"the lifetime of the credential {entry.settings.name} is over")
        return entry.credentials

    def _ask(self, question: Question) -> None:
        if self._confirm is None or not self._confirm(question):
            raise AgentRefusedError(Reason.DECLINED, f"the login with {question.credential} was not confirmed")


def _unknown() -> AgentRefusedError:
    return AgentRefusedError(Reason.UNKNOWN, "the agent has no credential of this name for this user")


def _locked() -> AgentRefusedError:
    return AgentRefusedError(Reason.LOCKED, "the agent is locked")


def _chosen(settings: CredentialSettings, choice: str) -> tuple[MechanismName, ...]:
    if choice in ("auto", "negotiate"):
        return settings.mechanisms
    chosen = tuple(name for name in settings.mechanisms if name == choice)
    if not chosen:
        raise AgentRefusedError(Reason.MECHANISM, f"the credential {settings.name} does not log on with {choice}")
    return chosen


def _certificate(settings: CredentialSettings) -> CertificateRule | None:
    try:
        return settings.certificate()
    except LocalProtocolError as error:
        raise AgentRefusedError(Reason.SOURCE, error.message) from None


def _info(entry: _Entry, now: float) -> CredentialInfo:
    settings = entry.settings
    return CredentialInfo(
        name=settings.name,
        user=settings.user or "",
        source=settings.source.kind,
        place=settings.source.place,
        targets=tuple(pattern.text for pattern in settings.targets),
        mechanisms=settings.mechanisms,
        delegate=settings.delegate,
        certificate=settings.fingerprint or settings.cacert or "",
        uids=tuple(sorted(entry.uids)),
        confirm=settings.confirm,
        expires=None if entry.ends is None else max(0.0, entry.ends - now),
        origin=entry.origin,
    )

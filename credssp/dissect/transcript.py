"""Transcripts: exchanges that were written down in plaintext, where no capture is needed to read them.

A transcript is a text file with one JSON object a line. The messages have the form of a fixture's ``messages.jsonl``
(`credssp.conformance.fixture`), with the time::

    {"credssp_transcript": 1, "role": "client", "program": "credssp 0.1.0", "peer": "srv.lab.test:3389"}
    {"exchange": 1, "public_key": "<hex>"}
    {"exchange": 1, "from": "client", "layer": "tsrequest", "data": "<hex>", "time": 1767225600.25}
    {"tls": "TLSv1.3", "certificate": "<hex>", "public_key": "<hex>"}
    {"outcome": "accepted"}

Every line but the first may be absent, and unknown members are passed over. Lines with the same ``exchange`` belong
together; lines without one and without ``from`` are about all of them. A transcript holds what was encrypted by
TLS only: NTLM proofs, against which passwords can be guessed, and authInfo, which opens with the password. It is
written for its owner's eyes alone.
"""

from __future__ import annotations

import itertools
import json
import os
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, Literal

from credssp.binding import subject_public_key
from credssp.dissect.errors import CaptureError
from credssp.dissect.model import Conversation, Event, Layer, Sender, other
from credssp.engine.events import Direction, Observer
from credssp.errors import CredSSPError, LocalProtocolError
from credssp.secret import Secret
from credssp.wire.ts_request import TSRequest

__all__ = ["MAX_SIZE", "Account", "TranscriptWriter", "is_transcript", "read_fixture", "read_transcript"]

FORMAT: Final = 1
MAX_SIZE: Final = 16 << 20
"""Octets of a transcript; an exchange with the largest TSRequests has a tenth of it."""

MAX_EXCHANGES: Final = 10_000
"""Logins in one transcript."""

_MARK: Final = b'{"credssp_transcript"'
_LAYERS: Final = frozenset(("tsrequest", "x224", "http", "application"))
_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Account:
    """The account of a fixture, whose secrets were made up for it.

    Attributes:
        username: user name.
        domain: domain.
        password: password.
    """

    username: str
    domain: str
    password: Secret[str] = field(hash=False)


class TranscriptWriter:
    """Writes a transcript while exchanges run; give it to a context, an endpoint or a server as ``observer=``.

    It is an `credssp.engine.ExchangeObserver`, so that the logins of a server stay apart. The file is made for its
    owner alone, and nothing is overwritten that was not a transcript before. Every line is written at once and whole,
    so that what was exchanged is there even if the program ends in the middle, and workers can share the file.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        role: Literal["client", "server"],
        program: str,
        peer: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Open the file and write the first line.

        Args:
            path: where to write.
            role: which side we are.
            program: what we are, such as ``credssp 0.1.0``.
            peer: the other side, such as ``srv.lab.test:3389``.
            clock: seconds since 1970, as `time.time`.

        Raises:
            LocalProtocolError: the file cannot be written, or exists and is no transcript.
        """
        self._role: Sender = role
        self._clock = clock
        self._process = os.getpid()
        self._count = itertools.count(1)
        try:
            self._file = _create(Path(path))
        except OSError as error:
            raise LocalProtocolError(f"the transcript cannot be written: {error.strerror}") from None
        self._write({"credssp_transcript": FORMAT, "role": role, "program": program, "peer": peer})

    def __call__(self, direction: Direction, message: TSRequest, data: bytes) -> None:
        """Write down a TSRequest of an exchange that is not told apart from others (`credssp.engine.Observer`)."""
        self._message(direction, message, data, {})

    def for_exchange(self, public_key: bytes) -> Observer:
        """Return an observer for one exchange; the server's key, if it is known already, goes before its messages."""
        number: int | str = next(self._count)
        if os.getpid() != self._process:
            number = f"{os.getpid()}.{number}"  # a worker that was forked counts for itself
        mark = {"exchange": number}
        # Not written now: a server makes engines that never see a message.
        pending = [mark | {"public_key": public_key.hex()}] if public_key else []

        def observe(direction: Direction, message: TSRequest, data: bytes) -> None:
            while pending:
                self._write(pending.pop())
            self._message(direction, message, data, mark)

        return observe

    def tls(self, version: str, certificate: bytes | None) -> None:
        """Write down what TLS negotiated: OpenSSL's name of the version, and the server's certificate, DER."""
        line: dict[str, Any] = {"tls": version}
        if certificate is not None:
            line |= {"certificate": certificate.hex(), "public_key": subject_public_key(certificate).hex()}
        self._write(line)

    def outcome(self, outcome: str) -> None:
        """Write down what came of it: ``accepted``, or why not."""
        self._write({"outcome": outcome})

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> TranscriptWriter:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _message(self, direction: Direction, _: TSRequest, data: bytes, mark: dict[str, Any]) -> None:
        own = direction is Direction.SENT
        sender = self._role if own else other(self._role)
        line = {"from": sender, "layer": "tsrequest", "data": data.hex(), "time": round(self._clock(), 6)}
        self._write(mark | line)

    def _write(self, line: dict[str, Any]) -> None:
        # Unbuffered and appending: one write, one line, whoever else writes.
        self._file.write(json.dumps(line).encode() + b"\n")


def _create(path: Path) -> IO[bytes]:
    """Open a file for its owner alone, new or in place of an older transcript."""
    if path.exists():
        with path.open("rb") as old:
            if old.read(len(_MARK)) not in (_MARK, b""):
                raise LocalProtocolError("the transcript cannot be written: the file exists and is something else")
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    return os.fdopen(handle, "wb", buffering=0)


def is_transcript(head: bytes) -> bool:
    """Tell from the first octets."""
    return head.startswith(_MARK)


def read_transcript(text: str) -> list[Conversation]:
    """Read a transcript, one conversation for each exchange; lines that are damaged or cut off are said to be so.

    Raises:
        CaptureError: the first line does not say that this is one, in a format known here.
    """
    lines = text.splitlines()
    head = _load(lines[0]) if lines else None
    if head is None or head.get("credssp_transcript") != FORMAT:
        raise CaptureError(f"this is no transcript of format {FORMAT}")
    own, peer = _text(head, "program") or "unknown program", _text(head, "peer") or "unknown peer"
    names = (peer, own) if head.get("role") == "server" else (own, peer)
    exchanges: dict[str, Conversation] = {}
    whole: list[dict[str, Any]] = []
    damaged: list[int] = []
    for number, line in enumerate(lines[1:], 2):
        entry = _load(line)
        if entry is not None and "exchange" not in entry and "from" not in entry:
            whole.append(entry)  # about the file, and so about all exchanges in it
            continue
        name = "" if entry is None else str(entry.get("exchange", ""))
        if entry is None or (name not in exchanges and len(exchanges) >= MAX_EXCHANGES):
            damaged.append(number)
            continue
        conversation = exchanges.setdefault(name, Conversation(*names, transport="transcript"))
        if not _take_line(conversation, entry):
            damaged.append(number)
    conversations = list(exchanges.values()) or [Conversation(*names, transport="transcript")]
    for conversation in conversations:
        for entry in whole:
            if not _take_line(conversation, entry):
                conversation.note("a line about the whole transcript cannot be read")
    if damaged:
        shown = ", ".join(map(str, damaged[:10])) + (", ..." if len(damaged) > 10 else "")
        conversations[-1].note(f"lines of the transcript that cannot be read: {shown}")
    return conversations


def _load(line: str) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _text(entry: dict[str, Any], name: str) -> str:
    value = entry.get(name)
    return value if isinstance(value, str) else ""


def _take_line(conversation: Conversation, entry: dict[str, Any]) -> bool:
    if "from" in entry:
        return _take_message(conversation, entry)
    conversation.outcome = _text(entry, "outcome") or conversation.outcome
    conversation.tls_version = _text(entry, "tls") or conversation.tls_version
    try:
        certificate = bytes.fromhex(_text(entry, "certificate"))
        conversation.public_key = bytes.fromhex(_text(entry, "public_key")) or conversation.public_key
        if certificate:
            conversation.server_certificate = certificate
            conversation.public_key = conversation.public_key or subject_public_key(certificate)
    except (ValueError, CredSSPError):
        return False
    return True


def _take_message(conversation: Conversation, entry: dict[str, Any]) -> bool:
    sender, layer = entry["from"], entry.get("layer", "tsrequest")
    try:
        data = bytes.fromhex(_text(entry, "data"))
    except ValueError:
        return False
    if sender not in ("client", "server") or layer not in _LAYERS or not data:
        return False
    conversation.add(_event(sender, layer, data, _time(entry.get("time"))))
    return True


def _time(seconds: object) -> int | None:
    """Return nanoseconds; None for what is no time in this age (JSON has NaN and infinity, too)."""
    return int(seconds * _NS) if isinstance(seconds, int | float) and 0 <= seconds < 1 << 36 else None


def _event(sender: Sender, layer: Layer, data: bytes, moment: int | None) -> Event:
    if layer == "tsrequest":
        error = ""
        try:
            TSRequest.decode(data, max_size=max(len(data), 1))
        except CredSSPError as problem:
            error = str(problem)
        return Event(sender, layer, len(data), moment, "TSRequest", data, error)
    summary = {"x224": "X.224", "http": "HTTP", "application": "application data"}[layer]
    return Event(sender, layer, len(data), moment, summary, data if layer == "x224" else b"")


def read_fixture(folder: Path) -> tuple[Conversation, Account | None]:
    """Read a fixture's folder (`credssp.conformance.fixture` says what is in it) and the account in its manifest.

    Raises:
        CaptureError: it is none.
    """
    try:
        manifest = tomllib.loads(_read(folder / "manifest.toml"))
        messages = _read(folder / "messages.jsonl")
    except (OSError, ValueError, RecursionError) as error:
        missing = isinstance(error, FileNotFoundError)
        what = "manifest.toml or messages.jsonl is missing" if missing else type(error).__name__
        raise CaptureError(f"the folder is no fixture that can be read ({what})") from None
    programs, exchange, server = (_table(manifest, name) for name in ("programs", "exchange", "server"))
    conversation = Conversation(_text(programs, "client") or "client", _text(programs, "server") or "server")
    conversation.transport = "transcript"
    conversation.outcome = _text(manifest, "outcome")
    conversation.tls_version = _text(exchange, "tls")
    for number, line in enumerate(messages.splitlines(), 1):
        entry = _load(line)
        if entry is None or "from" not in entry or not _take_message(conversation, entry):
            conversation.note(f"line {number} of messages.jsonl cannot be read")
    try:
        conversation.public_key = bytes.fromhex(_text(server, "public_key"))
    except ValueError:
        conversation.note("the public key in the manifest is not hexadecimal")
    return conversation, read_account(manifest)


def read_account(manifest: dict[str, Any]) -> Account | None:
    """Return the account in a manifest, or None."""
    account = _table(manifest, "account")
    if not _text(account, "password"):
        return None
    return Account(_text(account, "username"), _text(account, "domain"), Secret(_text(account, "password")))


def _table(manifest: dict[str, Any], name: str) -> dict[str, Any]:
    value = manifest.get(name)
    return value if isinstance(value, dict) else {}


def _read(path: Path) -> str:
    if path.stat().st_size > MAX_SIZE:
        raise ValueError("too large")
    return path.read_text(encoding="utf-8")

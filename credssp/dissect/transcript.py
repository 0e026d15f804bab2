"""Transcripts: exchanges that were written down in plaintext, where no capture is needed to read them.

A transcript is a text file with one JSON object a line. The messages have the form of a fixture's ``messages.jsonl``
(`credssp.exchange.fixture`), with the time::

    {"credssp_transcript": 1, "role": "client", "program": "credssp 0.1.0", "peer": "srv.lab.test:3389"}
    {"exchange": 1, "public_key": "<hex>"}
    {"exchange": 1, "from": "client", "layer": "tsrequest", "data": "<hex>", "time": 1767225600.25}
    {"tls": "TLSv1.3", "certificate": "<hex>", "public_key": "<hex>"}
    {"outcome": "accepted"}

Every line but the first may be absent, and unknown members are ignored. Lines with the same ``exchange`` belong
together; lines without one and without ``from`` are about all of them. A transcript holds what was encrypted by
TLS only: NTLM proofs, against which passwords can be guessed, and authInfo, which opens with the password. It is
written for its owner's eyes alone.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Final, Literal

from credssp.binding import subject_public_key
from credssp.dissect.errors import CaptureError
from credssp.dissect.model import Conversation, Event, other
from credssp.engine.events import Direction, Observer
from credssp.errors import CredSSPError, LocalProtocolError
from credssp.exchange.account import LogonAccount
from credssp.exchange.fixture import FixtureError, Message, account_of, load_line, message_of, read_folder, text_of
from credssp.exchange.recorded_login import Sender
from credssp.wire.ts_request import TSRequest

__all__ = ["TranscriptWriter", "is_transcript", "read_fixture", "read_transcript"]

_log = logging.getLogger("credssp.dissect")

FORMAT: Final = 1
MAX_EXCHANGES: Final = 10_000
"""Logins in one transcript."""

_MARK: Final = b'{"credssp_transcript"'
_FACTS: Final = ("outcome", "tls", "certificate", "public_key")
_NS: Final = 1_000_000_000


class TranscriptWriter:
    """Writes a transcript while exchanges run; give it to a context, an endpoint or a server as ``observer=``.

    It is an `credssp.engine.ExchangeObserver`, so that the logins of a server stay apart. The file is made for its
    owner alone, and nothing is overwritten that was not a transcript before. Every line is written at once and whole,
    so that what was exchanged is there even if the program ends in the middle, and workers can share the file. When a
    line cannot be written (a full disk), that is logged once, and the exchange goes on without it.
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
            LocalProtocolError: the file cannot be written, or exists and is not a transcript.
        """
        self._role: Sender = role
        self._clock = clock
        self._process = os.getpid()
        self._count = itertools.count(1)
        self._cut = self._complained = False
        try:
            self._file = _create(Path(path))
        except OSError as error:
            raise LocalProtocolError(f"the transcript {path} cannot be written: {error.strerror}") from None
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
        # Unbuffered and appending: one write, one line, whoever else writes. After a line that was cut off, a new one.
        data = b"\n" * self._cut + json.dumps(line).encode() + b"\n"
        try:
            written = self._file.write(data)
        except OSError as error:
            why = error.strerror or type(error).__name__
        else:
            self._cut = 0 < written < len(data)
            if written == len(data):
                self._complained = False
                return
            why = "the disk is full"
        if not self._complained:
            self._complained = True
            _log.error("the transcript is incomplete: %s; logins continue without it", why)


def _create(path: Path) -> IO[bytes]:
    """Open a file for its owner alone, new or in place of an older transcript."""
    if path.exists():
        with path.open("rb") as old:
            if old.read(len(_MARK)) not in (_MARK, b""):
                raise LocalProtocolError(
                    f"the transcript {path} cannot be written: the file exists and is not a transcript"
                )
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    return os.fdopen(handle, "wb", buffering=0)


def is_transcript(head: bytes) -> bool:
    """Tell from the first bytes."""
    return head.startswith(_MARK)


def read_transcript(text: str) -> list[Conversation]:
    """Read a transcript, one conversation for each exchange; lines that are damaged or cut off are said to be so.

    Raises:
        CaptureError: the first line does not say that this is one, in a format known here.
    """
    lines = text.splitlines()
    head = load_line(lines[0]) if lines else None
    if head is None or head.get("credssp_transcript") != FORMAT:
        raise CaptureError(f"this is not a transcript of format {FORMAT}")
    own, peer = text_of(head, "program") or "unknown program", text_of(head, "peer") or "unknown peer"
    names = (peer, own) if head.get("role") == "server" else (own, peer)
    exchanges: dict[str, Conversation] = {}
    whole: dict[str, Any] = {}
    damaged: list[int] = []
    whole_damaged = False
    for number, line in enumerate(lines[1:], 2):
        entry = load_line(line)
        if entry is not None and "exchange" not in entry and "from" not in entry:
            # About the file, and so about all exchanges in it. Only the last word counts, so that many such lines and
            # many exchanges do not multiply.
            if _take_line(Conversation(*names), entry):
                whole |= {name: text for name in _FACTS if (text := text_of(entry, name))}
            else:
                whole_damaged = True
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
        _take_line(conversation, whole)
        if whole_damaged:
            conversation.note("a line about the whole transcript cannot be read")
    if damaged:
        shown = ", ".join(map(str, damaged[:10])) + (", ..." if len(damaged) > 10 else "")
        conversations[-1].note(f"lines of the transcript that cannot be read: {shown}")
    return conversations


def _take_line(conversation: Conversation, entry: dict[str, Any]) -> bool:
    if "from" in entry:
        return _take_message(conversation, entry)
    conversation.outcome = text_of(entry, "outcome") or conversation.outcome
    conversation.tls_version = text_of(entry, "tls") or conversation.tls_version
    try:
        certificate = bytes.fromhex(text_of(entry, "certificate"))
        conversation.public_key = bytes.fromhex(text_of(entry, "public_key")) or conversation.public_key
        if certificate:
            conversation.server_certificate = certificate
            conversation.public_key = conversation.public_key or subject_public_key(certificate)
    except (ValueError, CredSSPError):
        return False
    return True


def _take_message(conversation: Conversation, entry: dict[str, Any] | None) -> bool:
    message = message_of(entry)
    if entry is None or message is None:
        return False
    conversation.add(_event(message, _time(entry.get("time"))))
    return True


def _time(seconds: object) -> int | None:
    """Return nanoseconds; None for anything else: another type, negative, NaN, infinity, or after the year 4100."""
    return int(seconds * _NS) if isinstance(seconds, int | float) and 0 <= seconds < 1 << 36 else None


def _event(message: Message, moment: int | None) -> Event:
    sender, layer, data = message.sender, message.layer, message.data
    if layer == "tsrequest":
        error = ""
        try:
            TSRequest.decode(data, max_size=len(data))
        except CredSSPError as problem:
            error = str(problem)
        return Event(sender, layer, len(data), moment, "TSRequest", data, error)
    summary = {"x224": "X.224", "http": "HTTP", "application": "application data"}[layer]
    return Event(sender, layer, len(data), moment, summary, data if layer == "x224" else b"")


def read_fixture(folder: Path) -> tuple[Conversation, LogonAccount | None]:
    """Read a fixture's folder (`credssp.exchange.fixture` says what is in it) and the account in its manifest.

    What is damaged in it is noted, and the rest is shown.

    Raises:
        CaptureError: a file is missing or cannot be read.
    """
    try:
        manifest, messages = read_folder(folder)
    except FixtureError as error:
        raise CaptureError(f"the folder is not a readable fixture ({error.message})") from None
    programs, exchange, server = (_table(manifest, name) for name in ("programs", "exchange", "server"))
    conversation = Conversation(text_of(programs, "client") or "client", text_of(programs, "server") or "server")
    conversation.transport = "transcript"
    conversation.outcome = text_of(manifest, "outcome")
    conversation.tls_version = text_of(exchange, "tls")
    for number, message in enumerate(messages, 1):
        if message is None:
            conversation.note(f"line {number} of messages.jsonl cannot be read")
        else:
            conversation.add(_event(message, None))
    try:
        conversation.public_key = bytes.fromhex(text_of(server, "public_key"))
    except ValueError:
        conversation.note("the public key in the manifest is not hexadecimal")
    return conversation, account_of(manifest)


def _table(manifest: dict[str, Any], name: str) -> dict[str, Any]:
    value = manifest.get(name)
    return value if isinstance(value, dict) else {}

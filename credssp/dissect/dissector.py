"""``credssp dissect`` as a function: a file in, a report out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from credssp.dissect.connections import Connections
from credssp.dissect.container import Capture, Peekable, Readable, is_capture
from credssp.dissect.errors import CaptureError
from credssp.dissect.model import Conversation
from credssp.dissect.packet import find_ip, find_segment
from credssp.dissect.report import FORMAT, conversation_tree, not_opened_tree
from credssp.dissect.tls.keylog import Secrets
from credssp.dissect.transcript import MAX_SIZE, Account, is_transcript, read_fixture, read_transcript
from credssp.dissect.unlock import LogonSecrets

__all__ = ["MAX_CONVERSATIONS", "MAX_NOT_OPENED", "Found", "dissect", "read", "read_stream"]

MAX_CONVERSATIONS: Final = 10_000
"""Conversations of one report."""

MAX_NOT_OPENED: Final = 100
"""TLS connections that could not be looked into and are listed; the rest is counted."""


@dataclass(slots=True)
class Found:
    """What a file holds.

    Attributes:
        kind: ``capture``, ``transcript`` or ``fixture``.
        conversations: those with CredSSP, by their beginning.
        not_opened: TLS connections that may be CredSSP (direct approach, WinRM over HTTPS) and could not be opened.
        not_opened_more: how many more of them there are.
        packets: packets read.
        octets: octets of these packets.
        problems: what is wrong with the file as a whole.
        account: account of a fixture.
    """

    kind: str
    conversations: list[Conversation] = field(default_factory=list)
    not_opened: list[Conversation] = field(default_factory=list)
    not_opened_more: int = 0
    packets: int = 0
    octets: int = 0
    problems: list[str] = field(default_factory=list)
    account: Account | None = None

    def take(self, conversation: Conversation) -> None:
        """Sort in a conversation that is over."""
        if conversation.is_credssp:
            if len(self.conversations) < MAX_CONVERSATIONS:
                self.conversations.append(conversation)
            elif len(self.conversations) == MAX_CONVERSATIONS:
                self.note(f"more than {MAX_CONVERSATIONS} conversations; the rest is not shown")
        elif conversation.tls and not conversation.tls[0].opened:
            if len(self.not_opened) < MAX_NOT_OPENED:
                self.not_opened.append(conversation)
            else:
                self.not_opened_more += 1

    def note(self, problem: str) -> None:
        """Add a problem, once."""
        if problem not in self.problems:
            self.problems.append(problem)


def read(path: Path, secrets: Secrets | None = None) -> Found:
    """Read a capture, a transcript or the folder of a fixture.

    Args:
        path: the file, or the folder.
        secrets: for TLS; those that a capture holds itself are added.

    Raises:
        CaptureError: it cannot be read or is none of these.
    """
    secrets = secrets or Secrets()
    try:
        if path.is_dir():
            return _read_folder(path, secrets)
        with path.open("rb") as stream:
            return read_stream(stream, secrets)
    except OSError as error:
        raise CaptureError(f"the file cannot be read: {error.strerror}") from None


def _read_folder(folder: Path, secrets: Secrets) -> Found:
    """A fixture: its capture, which has more to tell, or else its messages."""
    capture = folder / "capture.pcapng"
    conversation, account = read_fixture(folder)
    if not capture.is_file():
        return Found("fixture", [conversation], account=account)
    keys = folder / "keys.log"
    if keys.is_file():
        with keys.open("rb") as lines:
            secrets.add_log(lines)
    found = read(capture, secrets)
    found.kind, found.account = "fixture", account
    return found


def read_stream(stream: Readable, secrets: Secrets) -> Found:
    """Read a capture or a transcript from a binary stream that need not be seekable.

    Raises:
        CaptureError: it is neither.
    """
    buffered = Peekable(stream)
    head = buffered.peek(32)
    if is_transcript(head):
        data = buffered.read(MAX_SIZE + 1)
        if len(data) > MAX_SIZE:
            raise CaptureError(f"a transcript of more than {MAX_SIZE} octets")
        return Found("transcript", read_transcript(data.decode("utf-8", "replace")))
    if not is_capture(head) and head:
        raise CaptureError(f"neither pcap, pcapng nor a transcript of credssp begins with {head[:4].hex()}")
    return _read_capture(Capture(buffered), secrets)


def _read_capture(capture: Capture, secrets: Secrets) -> Found:
    found = Found("capture")
    connections = Connections(secrets, found.take)
    feed = connections.feed
    fragments = foreign = 0
    for time, link_type, data in capture:
        if capture.secrets:
            _add_secrets(capture, secrets)
        found.packets += 1
        found.octets += len(data)
        start = find_ip(link_type, data)
        if start < 0:
            foreign += 1
            continue
        try:
            segment = find_segment(data, start)
        except ValueError:
            fragments += 1
            continue
        if segment is not None:
            feed(segment, time)
    _add_secrets(capture, secrets)
    connections.finish()
    found.conversations.sort(key=_beginning)
    if capture.problem:
        found.note(f"the capture is {capture.problem}")
    if fragments:
        found.note(f"{fragments} fragments of IP packets were passed over")
    if foreign and foreign == found.packets:
        found.note("no packet holds IP, or the link layer is not known here")
    return found


def _add_secrets(capture: Capture, secrets: Secrets) -> None:
    for log in capture.secrets:
        secrets.add_log(log.splitlines())
    capture.secrets.clear()


def _beginning(conversation: Conversation) -> int:
    return min((event.time for event in conversation.events if event.time is not None), default=0)


def dissect(
    path: Path | Readable,
    *,
    tls: Secrets | None = None,
    logon: LogonSecrets | None = None,
    reveal: bool = False,
    name: str = "",
) -> dict[str, Any]:
    """Take a file apart and return the report, plain data that `json` can write.

    Args:
        path: a capture, a transcript, the folder of a fixture, or an open binary stream.
        tls: what opens TLS; the key log in a pcapng or a fixture's folder is added.
        logon: what opens NTLM; the account of a fixture is added.
        reveal: whether secrets are shown.
        name: what to call the file in the report; by default its name without the folders.

    Raises:
        CaptureError: the file cannot be read or is none of these.
    """
    secrets = tls or Secrets()
    found = read(path, secrets) if isinstance(path, Path) else read_stream(path, secrets)
    logon = _with_account(logon or LogonSecrets(), found.account)
    return {
        "format": FORMAT,
        "file": name or (path.name if isinstance(path, Path) else "-"),
        "kind": found.kind,
        "packets": found.packets,
        "octets": found.octets,
        "tls_secrets": secrets.count,
        "problems": [*found.problems, *_about_keys(secrets)],
        "conversations": [
            conversation_tree(number, conversation, logon, reveal=reveal)
            for number, conversation in enumerate(found.conversations, 1)
        ],
        "not_opened": not_opened_tree(found.not_opened),
        "not_opened_more": found.not_opened_more,
    }


def _with_account(logon: LogonSecrets, account: Account | None) -> LogonSecrets:
    if account is None:
        return logon
    return LogonSecrets((*logon.passwords, account.password), logon.hashes, logon.session_keys)


def _about_keys(secrets: Secrets) -> Iterable[str]:
    if secrets.lines_ignored:
        yield f"{secrets.lines_ignored} lines of the key log are none, and were passed over"
    if secrets.overflow:
        yield "the key log has more connections than are kept; some secrets were dropped"

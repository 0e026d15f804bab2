"""``credssp dissect`` as a function: a file in, a report out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, overload

from credssp.dissect.connections import TCPConnections
from credssp.dissect.container import Capture, Peekable, Readable, is_capture
from credssp.dissect.errors import CaptureError
from credssp.dissect.model import Conversation
from credssp.dissect.packet import Segment, find_ip, find_segment
from credssp.dissect.report import FORMAT, conversation_tree, not_opened_tree
from credssp.dissect.tls.keylog import Secrets
from credssp.dissect.transcript import is_transcript, read_fixture, read_transcript
from credssp.dissect.tunnel import MAX_DEPTH, find_tunnel, ip_under_labels, protocol_name
from credssp.exchange.account import LogonAccount
from credssp.exchange.fixture import MAX_SIZE
from credssp.exchange.opening import LogonSecrets

__all__ = ["MAX_CONVERSATIONS", "MAX_NOT_OPENED", "Found", "Trees", "dissect", "examine", "read", "read_stream"]

MAX_CONVERSATIONS: Final = 10_000
"""Conversations of one report."""

_MAX_KINDS: Final = 5
"""Protocols that are named where a capture has no TCP."""
_CONVERT: Final = "editcap -F pcapng FILE NEW converts it"
_UNPACK: Final = "unpack it first"
_OTHER_FORMATS: Final = (
    (b"\x34\xcd\xb2\xa1", "a pcap with additions of others", _CONVERT),
    (b"\xa1\xb2\xcd\x34", "a pcap with additions of others", _CONVERT),
    (b"snoop\0", "Solaris snoop", _CONVERT),
    (b"GMBU", "Microsoft Network Monitor", _CONVERT),
    (b"RTSS", "Microsoft Network Monitor", _CONVERT),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", _UNPACK),
    (b"\x04\x22\x4d\x18", "compressed with lz4", _UNPACK),
    (b"\xfd7zXZ", "compressed with xz", _UNPACK),
    (b"BZh", "compressed with bzip2", _UNPACK),
    (b"PK\3\4", "a zip archive", _UNPACK),
)

MAX_PROXIES: Final = 10
"""Connections that a proxy refused and that are listed."""

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
        size: bytes of these packets.
        problems: what is wrong with the file as a whole.
        account: account of a fixture.
        proxies_more: connections that a proxy refused; the first `MAX_PROXIES` are among the problems.
    """

    kind: str
    conversations: list[Conversation] = field(default_factory=list)
    not_opened: list[Conversation] = field(default_factory=list)
    not_opened_more: int = 0
    packets: int = 0
    size: int = 0
    problems: list[str] = field(default_factory=list)
    account: LogonAccount | None = None
    proxies_more: int = 0

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
        elif conversation.proxies and conversation.problems:
            self._note_proxy(conversation)

    def _note_proxy(self, conversation: Conversation) -> None:
        """A proxy that let nothing through, which may be what the user is looking for."""
        self.proxies_more += 1
        if self.proxies_more <= MAX_PROXIES:
            self.note(f"{conversation.client} -> {conversation.server}: {conversation.problems[0]}")

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
        CaptureError: it cannot be read or is something else; the text names it.
    """
    secrets = secrets or Secrets()
    try:
        if path.is_dir():
            return _read_folder(path, secrets)
        with path.open("rb") as stream:
            return read_stream(stream, secrets)
    except OSError as error:
        raise CaptureError(f"{path} cannot be read: {error.strerror or error}") from None
    except CaptureError as error:
        raise CaptureError(f"{path}: {error.message}") from None


def _read_folder(folder: Path, secrets: Secrets) -> Found:
    """A fixture: its capture, which has more to tell, or else its messages."""
    capture = folder / "capture.pcapng"
    conversation, account = read_fixture(folder)
    if not capture.is_file():
        return Found("fixture", [conversation], account=account)
    keys = folder / "keys.log"
    if keys.is_file():
        with keys.open("rb") as lines:
            secrets.add_file(lines)
    found = read(capture, secrets)
    found.kind, found.account = "fixture", account
    for each in found.conversations:
        each.outcome = conversation.outcome
    return found


def read_stream(stream: Readable, secrets: Secrets) -> Found:
    """Read a capture or a transcript from a binary stream that need not be seekable.

    Raises:
        CaptureError: it is neither.
    """
    buffered = Peekable(stream)
    head = buffered.peek(32)
    if is_transcript(head):
        data = buffered.read(MAX_SIZE)
        found = Found("transcript")
        if buffered.peek(1):
            found.note(f"the transcript has more than {MAX_SIZE} bytes; what follows them is not shown")
            data = data[: data.rfind(b"\n") + 1]
        found.conversations = read_transcript(data.decode("utf-8", "replace"))
        return found
    if not is_capture(head) and head:
        raise CaptureError(
            f"neither pcap, pcapng nor a transcript of credssp begins with {head[:4].hex()}{_other_format(head)}"
        )
    return _read_capture(Capture(buffered), secrets)


def _read_capture(capture: Capture, secrets: Secrets) -> Found:
    found = Found("capture")
    connections = TCPConnections(secrets, found.take)
    feed = connections.feed
    fragments = foreign = cut = 0
    tunnels: Counter[str] = Counter()
    others: Counter[str] = Counter()
    link_type = segments = 0
    for time, link_type, data in capture:
        if capture.secrets:
            _add_secrets(capture, secrets)
        found.packets += 1
        found.size += len(data)
        start = find_ip(link_type, data)
        if start < 0:
            start = ip_under_labels(link_type, data)
            if start < 0:
                foreign += 1
                continue
            tunnels["MPLS"] += 1
        try:
            segment = find_segment(data, start) or _in_tunnel(data, start, tunnels, others)
        except ValueError:
            fragments += 1
            continue
        if segment is not None:
            segments += 1
            cut += segment.lost > 0
            feed(segment, time)
    _add_secrets(capture, secrets)
    connections.finish()
    found.conversations.sort(key=_beginning)
    if capture.problem:
        found.note(f"the capture is {capture.problem}")
    if fragments:
        found.note(f"{fragments} fragments of IP packets were ignored")
    if tunnels:
        found.note("in tunnels: " + ", ".join(f"{count} packets in {name}" for name, count in tunnels.items()))
    if others and not segments:
        kinds = ", ".join(f"{count} packets of {name}" for name, count in others.most_common(_MAX_KINDS))
        found.note(f"no packet contains TCP, which logins use: {kinds}")
    if foreign and foreign == found.packets:
        found.note(f"no packet contains IP, or the link layer is not supported (LINKTYPE {link_type})")
    if cut:
        found.note(
            f"{cut} packets were cut off when they were captured (snapshot length), and what they carried cannot be "
            "opened; record whole packets (tcpdump -s 0)"
        )
    return found


def _in_tunnel(data: bytes, start: int, tunnels: Counter[str], others: Counter[str]) -> Segment | None:
    """Return the TCP segment that a packet carries inside a tunnel, and count it. Raises ValueError: a fragment.

    Args:
        data: a packet without TCP.
        start: where its IP header begins.
        tunnels: counts the tunnels, by name.
        others: counts what is neither a tunnel nor TCP.
    """
    for _ in range(MAX_DEPTH):
        tunnel = find_tunnel(data, start)
        if tunnel is None:
            others[protocol_name(data, start)] += 1
            return None
        if tunnel.link_type < 0:
            tunnels[f"{tunnel.name} (not opened)"] += 1
            return None
        tunnels[tunnel.name] += 1
        data = data[tunnel.at :]
        start = find_ip(tunnel.link_type, data)
        if start < 0:
            others[f"{tunnel.name} without IP"] += 1
            return None
        if (segment := find_segment(data, start)) is not None:
            return segment
    tunnels[f"more than {MAX_DEPTH} tunnels in one another (not opened)"] += 1
    return None


def _other_format(head: bytes) -> str:
    """Return what to do about a file that others can read, or an empty string."""
    for start, name, advice in _OTHER_FORMATS:
        if head.startswith(start):
            return f" ({name}; {advice})"
    return ""


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

    Everything is in memory then: 100 KiB for each login. `examine` is for files with thousands of them.

    Args:
        path: a capture, a transcript, the folder of a fixture, or an open binary stream.
        tls: what opens TLS; the key log in a pcapng or a fixture's folder is added.
        logon: what opens NTLM; the account of a fixture is added.
        reveal: whether secrets are shown.
        name: what to call the file in the report; by default its name without the folders.

    Raises:
        CaptureError: the file cannot be read or is something else.
    """
    report = examine(path, tls=tls, logon=logon, reveal=reveal, name=name)
    return report | {"conversations": list(report["conversations"])}


class Trees(Sequence[Mapping[str, Any]]):
    """The conversations of a report, each made when it is asked for, and not kept.

    A tree takes ten times the memory of the messages it is made from.
    """

    def __init__(self, conversations: Sequence[Conversation], logon: LogonSecrets, *, reveal: bool) -> None:
        self._conversations = conversations
        self._logon = logon
        self._reveal = reveal

    def __len__(self) -> int:
        return len(self._conversations)

    @overload
    def __getitem__(self, index: int) -> Mapping[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Mapping[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> Mapping[str, Any] | Sequence[Mapping[str, Any]]:
        """Make one, or several."""
        if isinstance(index, slice):
            return [self[number] for number in range(len(self))[index]]
        place = range(len(self))[index]
        return conversation_tree(place + 1, self._conversations[place], self._logon, reveal=self._reveal)


def examine(
    path: Path | Readable,
    *,
    tls: Secrets | None = None,
    logon: LogonSecrets | None = None,
    reveal: bool = False,
    name: str = "",
) -> dict[str, Any]:
    """Take a file apart as `dissect` does; the conversations of the report are `Trees`, to be shown one by one."""
    secrets = tls or Secrets()
    found = read(path, secrets) if isinstance(path, Path) else read_stream(path, secrets)
    logon = _with_account(logon or LogonSecrets(), found.account)
    return {
        "format": FORMAT,
        "file": name or (path.name if isinstance(path, Path) else "-"),
        "kind": found.kind,
        "packets": found.packets,
        "octets": found.size,
        "tls_secrets": secrets.count,
        "revealed": reveal,
        "problems": [*found.problems, *_about_keys(secrets)],
        "conversations": Trees(found.conversations, logon, reveal=reveal),
        "not_opened": not_opened_tree(found.not_opened),
        "not_opened_more": found.not_opened_more,
    }


def _with_account(logon: LogonSecrets, account: LogonAccount | None) -> LogonSecrets:
    if account is None:
        return logon
    return LogonSecrets((*logon.passwords, account.password), logon.hashes, logon.session_keys, logon.service_keys)


def _named(files: Sequence[str]) -> str:
    return f" {', '.join(files)}" if files else ""


def _about_keys(secrets: Secrets) -> Iterable[str]:
    if secrets.lines_ignored:
        yield f"{secrets.lines_ignored} lines of the key log{_named(secrets.odd)} are not valid and were ignored"
    if secrets.empty:
        yield f"there are no secrets in the key log{_named(secrets.empty)}"
    if secrets.overflow:
        yield "the key log has more connections than are kept; some secrets were dropped"

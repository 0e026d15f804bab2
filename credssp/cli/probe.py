"""``credssp probe``: what servers offer, without credentials."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from credssp.cli import _legs, _ways
from credssp.cli._arguments import count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from credssp.cli._targets import TargetURL

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = (
        "Exit codes: 0 at least one server offers CredSSP; 1 none does; 2 wrong usage; 3 no server answered. "
        "With --json, one JSON object per line and server, in the order in which they are done."
    )
    parser.add_argument("targets", metavar="TARGET", nargs="*", help="HOST, HOST:PORT, rdp://HOST:PORT or a CIDR range")
    parser.add_argument(
        "--file", metavar="LIST", help="file with a target per line; # begins a comment; - for standard input"
    )
    parser.add_argument("--port", type=int, metavar="N", help="port for targets without one")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON object per line")
    form.add_argument("--csv", action="store_true", help="print comma-separated values")
    _legs.add_argument(parser)
    parser.add_argument(
        "--concurrency", type=count(4096), default=64, metavar="N", help="servers at once (default: 64)"
    )
    parser.add_argument("--timeout", type=float, default=5.0, metavar="S", help="for each answer (default: 5)")
    _ways.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Probe and print."""
    import asyncio

    from credssp.errors import LocalProtocolError
    from credssp.fleet.probing import ProbeRequest
    from credssp.fleet.run import probe_all

    try:
        targets = list(_targets(arguments))
        if not targets:
            empty = f"{arguments.file} has no target" if arguments.file else "give a host, a range, or --file"
            raise LocalProtocolError(f"nothing to probe: {empty}")
        if not 0 < arguments.timeout < 3600:
            raise LocalProtocolError("--timeout is a positive number of seconds")
        way = _ways.way_of(arguments)
        for each in targets:
            way.options(each.target)  # what is wrong with the environment, before there are connections
    except LocalProtocolError as error:
        print(f"credssp probe: {error.message}", file=sys.stderr)
        return 2
    total = sum(len(each) for each in targets)
    printer = _printer(arguments)
    if arguments.verbose:
        _legs.show_probe_legs()
    answered = with_credssp = 0
    with _progress(total) as advance:

        def done(facts: dict[str, Any]) -> None:
            nonlocal answered, with_credssp
            answered += facts["answered"]
            with_credssp += facts["credssp"] is not None
            printer(facts)
            advance()

        asyncio.run(
            probe_all(
                (target for each in targets for target in each),
                concurrency=arguments.concurrency,
                request=ProbeRequest(arguments.timeout, way),
                done=done,
            )
        )
    if with_credssp:
        return 0
    return 1 if answered else 3


def _targets(arguments: argparse.Namespace) -> Iterator[_Range]:
    for text in arguments.targets:
        yield _Range(text, arguments.port)
    if arguments.file is None:
        return
    from credssp.errors import LocalProtocolError

    try:
        stream = sys.stdin if arguments.file == "-" else open(arguments.file, encoding="utf-8")  # noqa: SIM115, PTH123
        with stream:
            for number, line in enumerate(stream, 1):
                text = line.partition("#")[0].strip()
                if not text:
                    continue
                try:
                    target = _Range(text, arguments.port)
                except LocalProtocolError as error:
                    raise LocalProtocolError(f"{arguments.file}, line {number}: {error.message}") from None
                yield target
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise LocalProtocolError(f"--file {arguments.file} cannot be read: {why}") from None


class _Range:
    """One argument: a server, or a range of addresses that is not spelled out before it is its turn."""

    def __init__(self, text: str, port: int | None) -> None:
        import dataclasses
        import ipaddress

        from credssp.cli._targets import parse_target
        from credssp.errors import LocalProtocolError

        self._network: Any = None
        address, slash, _ = text.partition("/")
        if slash and "//" not in text:
            try:
                self._network = ipaddress.ip_network(text, strict=False)
            except ValueError:
                raise LocalProtocolError(f"{text!r} is not a range of addresses such as 192.0.2.0/24") from None
            if self._network.num_addresses > 1 << 24:
                raise LocalProtocolError(f"{text!r} has more than 16 million addresses")
            text = f"[{address}]" if ":" in address else address
        target = parse_target(text)
        if port is not None and not text.rpartition("]")[2].rpartition("//")[2].partition(":")[1]:
            if not 0 < port < 65536:
                raise LocalProtocolError(f"{port} is not a TCP port: use 1 to 65535")
            target = dataclasses.replace(target, port=port)
        self.target = target

    def __len__(self) -> int:
        return 1 if self._network is None else int(self._network.num_addresses)

    def __iter__(self) -> Iterator[TargetURL]:
        if self._network is None:
            yield self.target
            return
        import dataclasses

        for address in self._network:
            yield dataclasses.replace(self.target, host=str(address))


def _printer(arguments: argparse.Namespace) -> Any:
    from credssp.cli import _probe_print

    if arguments.json:
        return _probe_print.print_json_line
    return _probe_print.CSVPrinter() if arguments.csv else _probe_print.print_text


class _progress:  # noqa: N801  # used like a function
    """A progress bar on standard error, if a terminal looks on and there is something to wait for."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._shown = total > 1 and sys.stderr.isatty()

    def __enter__(self) -> Any:
        self._draw()
        return self._advance

    def _advance(self) -> None:
        self._done += 1
        self._draw()

    def _draw(self) -> None:
        if self._shown:
            filled = 30 * self._done // self._total
            sys.stderr.write(f"\r[{'#' * filled}{'.' * (30 - filled)}] {self._done}/{self._total} ")
            sys.stderr.flush()

    def __exit__(self, *exception: object) -> None:
        if self._shown:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()

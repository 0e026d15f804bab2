"""Many captures and transcripts, taken apart by the workers of any executor."""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from credssp.dissect.dissector import examine
from credssp.dissect.errors import CaptureError
from credssp.dissect.tls.keylog import Secrets
from credssp.errors import LocalProtocolError
from credssp.exchange.opening import LogonSecrets
from credssp.fleet.spread import Lost, check_sendable, spread
from credssp.kerberos.keytab_file import MAX_SIZE, read_keytab_file
from credssp.kerberos.tickets import ServiceKey
from credssp.secret import Secret

__all__ = ["KeyFiles", "Tree", "dissect_files", "merged"]

_MAX_KEY: Final = 1 << 20
"""Bytes of a private key in PEM, with all the text that may be around it."""

Tree: TypeAlias = dict[str, Any]
"""A report as plain data (docs/reference/dissect.md)."""


@dataclass(frozen=True, slots=True)
class KeyFiles:
    """Files with keys. Each worker reads them itself: their names are sent to it, and not what they hold.

    Attributes:
        keylogs: key logs (SSLKEYLOGFILE).
        rsa_key: PEM of the server's RSA key, or None.
        keytabs: keytabs with the keys of services.
    """

    keylogs: tuple[str, ...] = ()
    rsa_key: str | None = None
    keytabs: tuple[str, ...] = ()

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> KeyFiles:
        """Return those that the command line names."""
        return cls(tuple(arguments.keylog), arguments.rsa_key, tuple(arguments.keytab))

    def service_keys(self) -> tuple[ServiceKey, ...]:
        """Read the keytabs. Raises CaptureError."""
        keys: list[ServiceKey] = []
        for path in self.keytabs:
            try:
                with Path(path.removeprefix("FILE:")).open("rb") as stream:
                    keys += read_keytab_file(stream.read(MAX_SIZE + 1))
            except OSError as error:
                raise CaptureError(f"the keytab {path} cannot be read: {error.strerror}") from None
            except LocalProtocolError as error:
                raise CaptureError(f"{path}: {error.message}") from None
        return tuple(keys)

    def tls_secrets(self) -> Secrets:
        """Read key logs and RSA key. Raises CaptureError."""
        secrets = Secrets()
        path = ""
        try:
            for path in self.keylogs:
                with Path(path).open("rb") as lines:
                    secrets.add_file(lines)
            if self.rsa_key is not None:
                path = self.rsa_key
                with Path(path).open("rb") as pem:
                    secrets.load_rsa_key(Secret(pem.read(_MAX_KEY)))
        except OSError as error:
            raise CaptureError(f"the key file {path} cannot be read: {error.strerror}") from None
        except CaptureError as error:
            raise CaptureError(f"{path}: {error.message}") from None
        return secrets


def dissect_files(
    files: Iterable[str],
    *,
    executor: concurrent.futures.Executor | None = None,
    keys: KeyFiles | None = None,
    logon: LogonSecrets | None = None,
    reveal: bool = False,
    ahead: int = 16,
) -> Iterator[tuple[str, Tree | CaptureError]]:
    """Yield the name of each file with its report, or with what is wrong with it, as they are done.

    Args:
        files: paths, which every worker has to see.
        executor: what reads them; None for this thread, in their order.
        keys: files with keys.
        logon: passwords, hashes and keys of sessions. They do not leave this process: with them, the executor has
            to be one of threads.
        reveal: whether reports show secrets.
        ahead: files that are out at a time.

    Raises:
        LocalProtocolError: there are secrets, and the executor is one of processes or machines.
        CaptureError: a file of keys cannot be read here.
    """
    keys = keys or KeyFiles()
    keys.tls_secrets(), keys.service_keys()  # one fault, and not one for each file
    work = functools.partial(_dissect_file, keys=keys, logon=logon, reveal=reveal)
    if executor is None:
        for path in files:
            yield path, _told(work(path))
        return
    check_sendable(executor, work, "what opens the captures")
    for path, result in spread(files, work, executor, ahead=ahead):
        if isinstance(result, Lost):
            yield path, CaptureError(f"{path}: every worker was lost that read it: {type(result.error).__name__}")
        else:
            yield path, _told(result)


def _dissect_file(path: str, *, keys: KeyFiles, logon: LogonSecrets | None, reveal: bool) -> Tree | str:
    """What a worker does; returns the report, or what is wrong with the file."""
    try:
        logon = dataclasses.replace(logon or LogonSecrets(), service_keys=keys.service_keys())
        report = examine(Path(path), tls=keys.tls_secrets(), logon=logon, reveal=reveal)
        return report | {"conversations": list(report["conversations"])}
    except CaptureError as error:
        return error.message


def _told(result: Tree | str) -> Tree | CaptureError:
    return CaptureError(result) if isinstance(result, str) else result


def merged(reports: Iterable[Tree]) -> Tree:
    """Return one report about several files, for a page: conversations are numbered anew, and begin with their file."""
    reports = list(reports)
    conversations: list[Tree] = []
    for report in reports:
        for tree in report["conversations"]:
            named = f"{report['file']}: {tree['protocol']}"
            conversations.append(tree | {"number": len(conversations) + 1, "protocol": named})
    return {
        "file": f"{len(reports)} files",
        "kind": "captures",
        "packets": sum(report["packets"] or 0 for report in reports),
        "octets": sum(report["octets"] or 0 for report in reports),
        "tls_secrets": sum(report["tls_secrets"] for report in reports),
        "revealed": any(report["revealed"] for report in reports),
        "problems": [f"{report['file']}: {text}" for report in reports for text in report["problems"]],
        "conversations": conversations,
        "not_opened": [tree for report in reports for tree in report["not_opened"]],
        "not_opened_more": sum(report["not_opened_more"] for report in reports),
    }

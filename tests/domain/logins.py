"""Servers and clients on the member."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

from credssp import ClientContext, CredSSPError, PasswordCredentials, rdp
from credssp.drivers import blocking
from credssp.status import describe
from tests.domain.lab import MEMBER, MEMBER_ADDRESS, Domain

__all__ = ["CREDSSP", "Login", "Server", "log_on", "run_login", "serving"]

CREDSSP = [sys.executable, "-m", "credssp"]


@dataclass(frozen=True)
class Server:
    """``credssp serve rdp`` on the member.

    Attributes:
        port: where it listens.
        lines: its events, one JSON object per line.
    """

    port: int
    lines: IO[str]

    @property
    def url(self) -> str:
        """The target for ``credssp login``."""
        return f"rdp://{MEMBER}:{self.port}"

    def event(self, *names: str) -> dict[str, Any]:
        """Wait for the next event with one of these names."""
        for line in self.lines:
            event: dict[str, Any] = json.loads(line)
            if event["event"] in names:
                return event
        raise AssertionError(f"the server ended without {' or '.join(names)}")


@contextmanager
def serving(domain: Domain, *options: str) -> Iterator[Server]:
    """Run ``credssp serve rdp`` with these options on a free port of the member, and stop it."""
    command = [*CREDSSP, "serve", "rdp", "--listen", f"{MEMBER_ADDRESS}:0", *options]
    with domain.popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            port = json.loads(process.stdout.readline())["address"].rpartition(":")[2]
            yield Server(int(port), process.stdout)
        finally:
            process.terminate()


@dataclass(frozen=True)
class Login:
    """What came of a login.

    Attributes:
        context: the client's, as far as it came.
        error: why there was no login, or None.
    """

    context: ClientContext
    error: CredSSPError | None

    @property
    def status(self) -> str:
        """The name of the status that a user is shown; empty for a login that was accepted."""
        return "" if self.error is None else describe(self.error.error_code).name


def log_on(domain: Domain, server: Server, user: str, password: str, **options: Any) -> Login:
    """Log on from the member, in this process; ``DOMAIN\\name`` is taken apart as the command line does."""
    prefix, _, name = user.rpartition("\\")
    credentials = PasswordCredentials(name, password, domain=prefix)

    def connect() -> Login:
        client = rdp.NLAClient(host=MEMBER, credentials=credentials, **options)
        timeouts = client.context.config.timeouts
        connection = blocking.open_socket(MEMBER, server.port, timeouts=timeouts)
        try:
            with blocking.log_on(connection, client, timeouts=timeouts):
                return Login(client.context, None)
        except CredSSPError as error:
            return Login(client.context, error)
        finally:
            connection.close()

    return domain.call(connect)


def run_login(
    domain: Domain,
    url: str,
    user: str,
    password: str,
    *options: str,
    env: Mapping[str, str] | None = None,
    before: Sequence[str] = (),
) -> dict[str, Any]:
    """Run ``credssp login`` on the member and return its report.

    Args:
        domain: the domain.
        url: the target.
        user: who logs on, as typed.
        password: the password; it goes in through standard input.
        options: further options.
        env: variables to set.
        before: a program to run it with, such as faketime.
    """
    command = [*before, *CREDSSP, "login", url, "-u", user, "--password-file", "-", "--json", *options]
    done = domain.run(command, check=False, input=f"{password}\n", env=env or {})
    assert done.stdout, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report

"""A double hop: what is delegated to one test server is used against a second one.

::

    with DoubleHop({("LAB", "alice"): "secret"}) as hop:
        my_client.run(hop.first.url, "hostname", user="LAB\\\\alice", password="secret")
        hop.assert_double_hop(username="alice", domain="LAB")

Here the first server itself makes the second hop, with this library's client: a command that comes to a WinRM server is
run on the second one, as ``winrs`` does, and a login at an RDP server is followed by one at the second. For a program
of your own on the first server, use the test servers with `assert_double_hop`, and in the program `use_delegated`, or
`password_of` and any other client. `credssp.pytest_plugin` makes a fixture of it.
"""

from __future__ import annotations

import base64
import contextlib
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any, ClassVar, Final, Literal, Protocol, Self, TypeAlias, Unpack

from credssp.config import ClientConfig, ClientOptions, client_config
from credssp.credentials import (
    DelegatedCredentials,
    PasswordCredentials,
    RemoteGuardCredentials,
    SmartCardCredentials,
)
from credssp.drivers.rdp import connect
from credssp.drivers.rdp_service import Client, Delegated, OnEvent, ServerEvent
from credssp.errors import CredSSPError, LocalProtocolError
from credssp.identity import Identity
from credssp.next_step import NextStep
from credssp.status import NTStatus, SecurityStatus
from credssp.testing.answers import CommandCall, CommandOutput
from credssp.testing.command_lines import script_of
from credssp.testing.delegations import PATIENCE
from credssp.testing.failure_texts import account_name
from credssp.testing.rdp import DEFAULT_ACCOUNTS, RDPServer
from credssp.testing.winrm import WinRMServer
from credssp.testing.winrm_shell import run_command
from credssp.tls.settings import ClientTLS

__all__ = [
    "DoubleHop",
    "Kind",
    "NothingDelegatedError",
    "assert_double_hop",
    "assert_no_double_hop",
    "hop_options",
    "password_of",
    "use_delegated",
]

Kind: TypeAlias = Literal["rdp", "winrm"]

_ACCESS_DENIED: Final = 5  # winerror.h: ERROR_ACCESS_DENIED
_LOGON_FAILURE: Final = 1326  # ERROR_LOGON_FAILURE
_GENERAL_FAILURE: Final = 1


class NothingDelegatedError(CredSSPError):
    """What was delegated logs on to no other server: an empty set, a smart card, Remote Credential Guard."""

    default_status: ClassVar[SecurityStatus] = SecurityStatus.SEC_E_NO_CREDENTIALS
    default_advice = NextStep.NOTHING_DELEGATED


class _Holder(Protocol):
    @property
    def credentials(self) -> DelegatedCredentials | None: ...


def _obstacle(credentials: DelegatedCredentials | None) -> str:
    """Return why credentials do not log on to a second server; empty where they do."""
    if isinstance(credentials, PasswordCredentials):
        if not credentials.is_empty:
            return ""
        return (
            "the client delegated an empty set, as without delegation, in Restricted Admin mode, and after a login "
            "with a hash, a ticket or a keytab"
        )
    if isinstance(credentials, SmartCardCredentials):
        return "the client delegated a smart card, which works where the session redirects the card, and nowhere else"
    if isinstance(credentials, RemoteGuardCredentials):
        return (
            "the client used Remote Credential Guard: it delegated tickets whose session key it keeps, and a second "
            "server needs that key"
        )
    return "nothing was delegated"


def password_of(delegated: DelegatedCredentials | _Holder) -> PasswordCredentials:
    """Return user name and password that were delegated, for any client of the next server.

    Args:
        delegated: the credentials, or what has them: a `CommandCall`, a `WinRMRequest`, a `Delegation`, a `Login`.

    Raises:
        NothingDelegatedError: these credentials do not log on to another server.
        LocalProtocolError: the client delegated a name that no account can have.
    """
    credentials = delegated if isinstance(delegated, DelegatedCredentials) else delegated.credentials
    obstacle = _obstacle(credentials)
    if obstacle or not isinstance(credentials, PasswordCredentials):
        raise NothingDelegatedError(f"there is nothing to log on to the next server with: {obstacle}")
    # Made again: a name that came from a peer may hold the domain, too.
    return PasswordCredentials(credentials.username, credentials.password, domain=credentials.domain)


def use_delegated(
    delegated: DelegatedCredentials | _Holder,
    server: RDPServer | WinRMServer,
    *,
    command: str = "whoami",
    stdin: str | bytes = b"",
    config: ClientConfig | None = None,
    **options: Unpack[ClientOptions],
) -> CommandOutput:
    """Log on to a test server with credentials that were delegated to another, as a program there does.

    Args:
        delegated: the credentials, or what has them, as for `password_of`.
        server: the next server.
        command: WinRM: what to run there.
        stdin: WinRM: its standard input; text is sent as UTF-8.
        config: how to log on; its credentials do not count.
        options: fields of `credssp.ClientConfig`, in place of those of `config`, such as ``delegate=False``.

    Returns:
        What the command printed; nothing for RDP.

    Raises:
        NothingDelegatedError: these credentials do not log on anywhere; no connection was made.
        CredSSPError: the next server refused them, or there is no connection.
    """
    config = client_config("use_delegated", ClientOptions, config, options, password_of(delegated))
    if isinstance(server, RDPServer):
        connect(*server.address, config=config).close()
        return CommandOutput()
    https = None if server.certificate is None else ClientTLS(cafile=str(server.certificate))
    data = stdin.encode() if isinstance(stdin, str) else stdin
    return run_command(server.host, server.port, command, stdin=data, config=config, https=https)


def _same(identity: Identity, delegated: PasswordCredentials) -> bool:
    """Whether a login is that of the delegated user; a DNS domain and a NetBIOS domain cannot be compared."""
    name, _, realm = delegated.username.partition("@")
    domains = identity.domain.casefold(), (delegated.domain or realm).casefold()
    comparable = all(domains) and len({"." in domain for domain in domains}) == 1
    return identity.username.casefold() == name.casefold() and (not comparable or domains[0] == domains[1])


def assert_double_hop(
    first: RDPServer | WinRMServer,
    second: RDPServer | WinRMServer,
    *,
    username: str | None = None,
    domain: str | None = None,
    password: str | None = None,
    timeout: float = PATIENCE,
) -> None:
    """Assert that a client delegated credentials to the first server, and that its user logged on to the second.

    Args:
        first: where the client logged on.
        second: where the program on the first server logged on.
        username: the delegated user name, if it matters.
        domain: the delegated domain, if it matters.
        password: the delegated password, if it matters; never shown in a failure.
        timeout: seconds to wait for each of the logins.

    Raises:
        AssertionError: it was otherwise; the text says which hop failed and what happened instead.
    """
    __tracebackhide__ = True
    delegated = _first_hop(first, timeout, username=username, domain=domain, password=password)
    obstacle = _obstacle(delegated)
    if obstacle or not isinstance(delegated, PasswordCredentials):
        raise AssertionError(f"no second hop is possible: {obstacle}; at the second server {second.happened()}")
    try:
        found = second.assert_delegated(several=True, timeout=timeout)
    except AssertionError as error:
        raise AssertionError(
            f"second hop: {error}; delegated was {account_name(delegated.domain, delegated.username)}"
        ) from None
    identity = found.identity
    if identity is not None and not _same(identity, delegated):
        raise AssertionError(
            f"second hop: {account_name(identity.domain, identity.username)} logged on, and "
            f"{account_name(delegated.domain, delegated.username)} was delegated to the first server, where the "
            "program uses other credentials"
        )


def assert_no_double_hop(
    first: RDPServer | WinRMServer,
    second: RDPServer | WinRMServer,
    *,
    username: str | None = None,
    timeout: float = PATIENCE,
) -> None:
    """Assert that a client logged on to the first server, and that there was no login at the second.

    Call it after the program on the first server has ended: it does not wait for logins at the second server.

    Args:
        first: where the client logged on.
        second: where no one logged on; refused logins there are none.
        username: the user name that was delegated, if it matters; empty for none.
        timeout: seconds to wait for the login at the first server.

    Raises:
        AssertionError: it was otherwise.
    """
    __tracebackhide__ = True
    _first_hop(first, timeout, username=username)
    if second.delegations:
        raise AssertionError(f"second hop: expected no login, and {second.happened()}")


def _first_hop(
    first: RDPServer | WinRMServer,
    timeout: float,
    *,
    username: str | None = None,
    domain: str | None = None,
    password: str | None = None,
) -> DelegatedCredentials | None:
    try:
        found: _Holder = first.assert_delegated(
            username=username, domain=domain, password=password, several=True, timeout=timeout
        )
    except AssertionError as error:
        raise AssertionError(f"first hop: {error}") from None
    return found.credentials


class DoubleHop:
    """Two test servers: what is delegated to the first one logs on to the second one. Use it in a ``with`` block.

    A WinRM server as the first runs every command on the second, if that is WinRM too; at an RDP server it logs on, and
    prints nothing. Without credentials the command prints ``Access is denied.`` on standard error and ends with exit
    code 5, as on Windows; where the second server refuses the login, the exit code is 1326. After the text of Windows
    comes the reason, which Windows does not tell. An RDP server as the first logs on to the second after each login.

    Attributes:
        first: where the client under test logs on.
        second: where the delegated credentials are used.
        failures: why second hops failed, in their order.
    """

    def __init__(
        self,
        who: Mapping[tuple[str, str], Any] | None = None,
        /,
        *,
        first: Kind = "winrm",
        second: Kind = "winrm",
        first_options: Mapping[str, Any] | None = None,
        second_options: Mapping[str, Any] | None = None,
        config: ClientConfig | None = None,
    ) -> None:
        """Prepare; `start` or ``with`` starts both servers.

        Args:
            who: accounts of both servers; by default `DEFAULT_ACCOUNTS`.
            first: which kind of server the first is.
            second: and the second.
            first_options: keywords of the first server.
            second_options: keywords of the second, such as ``commands``; ``accounts`` in place of the same ones.
            config: how the first server logs on to the second; its credentials do not count.

        Raises:
            LocalProtocolError, TypeError: arguments that make no sense.
        """
        who = DEFAULT_ACCOUNTS if who is None else who
        self.failures: list[CredSSPError] = []
        self._config = config
        self._running = contextlib.ExitStack()
        self._threads: list[threading.Thread] = []
        mine, theirs = dict(first_options or {}), dict(second_options or {})
        self._listen: OnEvent | None = None
        if first == "rdp":
            self._listen = mine.get("on_event")
            mine["on_event"] = self._event
        elif not mine.keys() & {"commands", "handler"}:
            mine["commands"] = self._command
        self.second = _made("second", second, who, theirs)
        self.first = _made("first", first, who, mine)

    def start(self) -> Self:
        """Start both servers; returns when they listen. Raises what keeps them from listening."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.second)
            stack.callback(self._finish)
            stack.enter_context(self.first)
            self._running = stack.pop_all()
        return self

    def stop(self) -> None:
        """Stop both, and wait for second hops that are under way. Calling it again does nothing."""
        self._running.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def assert_double_hop(
        self,
        *,
        username: str | None = None,
        domain: str | None = None,
        password: str | None = None,
        timeout: float = PATIENCE,
    ) -> None:
        """Assert that the client delegated credentials, and that they logged on to the second server.

        Args:
            username, domain, password, timeout: as for the function `assert_double_hop`.

        Raises:
            AssertionError: it was otherwise; the text says which hop failed and what happened instead.
        """
        __tracebackhide__ = True
        try:
            assert_double_hop(
                self.first, self.second, username=username, domain=domain, password=password, timeout=timeout
            )
        except AssertionError as error:
            if not self.failures:
                raise
            raise AssertionError(f"{error}; the program on the first server got: {self.failures[-1]}") from None

    def assert_no_double_hop(self, *, username: str | None = None, timeout: float = PATIENCE) -> None:
        """Assert that the client logged on to the first server, and that there was no login at the second.

        It waits for second hops that are under way.

        Args:
            username, timeout: as for the function `assert_no_double_hop`.

        Raises:
            AssertionError: it was otherwise.
        """
        __tracebackhide__ = True
        _first_hop(self.first, timeout)
        self._finish()
        assert_no_double_hop(self.first, self.second, username=username, timeout=timeout)

    def _finish(self) -> None:
        while self._threads:
            self._threads.pop().join()

    # The program on the first server

    def _command(self, call: CommandCall) -> CommandOutput:
        try:
            return use_delegated(call, self.second, command=_line(call), stdin=call.stdin, config=self._config)
        except CredSSPError as error:
            self.failures.append(error)
            words, code = _as_windows(error)
            return CommandOutput(stderr=f"{words}\r\n{error}\r\n", exit_code=code)

    def _event(self, client: Client, event: ServerEvent) -> None:
        if self._listen is not None:
            self._listen(client, event)
        if isinstance(event, Delegated):
            thread = threading.Thread(target=self._log_on, args=(event,), name="second hop")
            self._threads.append(thread)
            thread.start()

    def _log_on(self, event: Delegated) -> None:
        try:
            use_delegated(event, self.second, config=self._config)
        except CredSSPError as error:
            self.failures.append(error)


def hop_options(chosen: str | Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the keywords of a `DoubleHop`.

    Args:
        chosen: ``KIND-to-KIND``, or the keywords themselves; None for none.

    Raises:
        LocalProtocolError: a text of another form.
    """
    if not isinstance(chosen, str):
        return dict(chosen or {})
    first, _, second = chosen.partition("-to-")
    if not {first, second} <= {"rdp", "winrm"}:
        raise LocalProtocolError(f"double hop {chosen!r}: use rdp or winrm, -to-, and rdp or winrm")
    return {"first": first, "second": second}


def _line(call: CommandCall) -> str:
    """Return the command line of the second hop: PowerShell with the script where a pipeline of its remoting came."""
    if not call.script or script_of(call.command):
        return call.command
    script = base64.b64encode(call.script.encode("utf-16-le")).decode("ascii")
    return f"powershell -NoProfile -OutputFormat Text -EncodedCommand {script}"


def _as_windows(error: CredSSPError) -> tuple[str, int]:
    """Return the text and the number of winerror.h."""
    if isinstance(error, NothingDelegatedError):
        return "Access is denied.", _ACCESS_DENIED
    if error.ntstatus == NTStatus.STATUS_LOGON_FAILURE:
        return "The user name or password is incorrect.", _LOGON_FAILURE
    return "The next server could not be used.", _GENERAL_FAILURE


def _made(
    place: str, kind: Kind, who: Mapping[tuple[str, str], Any], options: dict[str, Any]
) -> RDPServer | WinRMServer:
    """Make a server; accounts among its options replace those of both."""
    accounts = None if options.get("accounts") is not None or options.get("config") is not None else who
    if kind == "winrm":
        return WinRMServer(accounts, **({"hostname": place} | options))
    if kind == "rdp":
        return RDPServer(accounts, **options)
    raise LocalProtocolError(f"{place}={kind!r}: not rdp or winrm")

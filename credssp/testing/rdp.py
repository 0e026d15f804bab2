"""Endpoints for the tests of CredSSP clients: a server in a thread that remembers who logged on and with what.

::

    with RDPServer({("LAB", "alice"): "secret"}) as server:
        my_client.connect(*server.address, user="LAB\\\\alice", password="secret")
        server.assert_delegated(username="alice", domain="LAB", password="secret")

`credssp.pytest_plugin` makes fixtures of it. Everything listens on loopback only.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self, Unpack

from credssp.accounts import MemoryAccounts
from credssp.config import RDPServiceOptions, ServerConfig, server_config
from credssp.credentials import DelegatedCredentials, PasswordCredentials
from credssp.drivers.aio import AsyncSession
from credssp.drivers.audit import wrong_of
from credssp.drivers.gate import Place
from credssp.drivers.rdp_asyncio import AsyncServer
from credssp.drivers.rdp_service import Client, Closed, Delegated, Refused, ServerEvent
from credssp.errors import CredSSPError, LocalProtocolError, Wrong
from credssp.identity import Identity
from credssp.rdp.events import Negotiated
from credssp.rdp.server import NLAServer
from credssp.testing.delegations import PATIENCE, Delegations, check_loopback
from credssp.testing.faulty_rdp import start_faulty_server
from credssp.testing.rdp_session.modes import Desktop, SessionMode, session_mode
from credssp.testing.rdp_session.report import SessionReport
from credssp.testing.rdp_sessions import conduct
from credssp.testing.server_faults import RDP_LEGS, ServerFaults
from credssp.tls.settings import ServerTLS

__all__ = ["DEFAULT_ACCOUNTS", "Delegation", "RDPServer", "Refusal"]

DEFAULT_ACCOUNTS: Final[Mapping[tuple[str, str], str]] = {("LAB", "alice"): "correct horse battery staple"}
"""Who may log on unless a test says otherwise."""

_DESKTOP: Final = Desktop()


@dataclass(frozen=True, slots=True)
class Delegation:
    """A login.

    Attributes:
        identity: who logged on.
        credentials: what was delegated; secrets show with `.reveal()` only.
        mechanism: ``ntlm`` or ``kerberos``.
        version: the CredSSP version that was used.
        peer_version: the version that the client says it has.
        negotiated: what was negotiated: protocol, the client's Connection Request.
        received: what the client sent after the login, up to 64 KiB. It grows until the connection is closed.
        session: what became of the session after the login. It changes until the connection is closed.
    """

    identity: Identity
    credentials: DelegatedCredentials
    mechanism: str
    version: int
    peer_version: int
    negotiated: Negotiated
    received: bytearray
    session: SessionReport = field(default_factory=SessionReport)

    @property
    def username(self) -> str:
        """The delegated user name; empty for an empty set, a smart card or Remote Credential Guard."""
        return self.credentials.username if isinstance(self.credentials, PasswordCredentials) else ""

    @property
    def domain(self) -> str:
        """The delegated domain, as `username`."""
        return self.credentials.domain if isinstance(self.credentials, PasswordCredentials) else ""

    @property
    def is_empty(self) -> bool:
        """Whether an empty set was delegated (no delegation, Restricted Admin)."""
        return isinstance(self.credentials, PasswordCredentials) and self.credentials.is_empty


@dataclass(frozen=True, slots=True)
class Refusal:
    """A connection without a login.

    Attributes:
        error: why.
        locked: whether the account was locked.
        silent: whether the connection ended before the client's first byte.
    """

    error: CredSSPError
    locked: bool = False
    silent: bool = False

    @property
    def username(self) -> str:
        """The user that the client said to be; empty where it did not come so far."""
        return "" if self.error.claim is None else self.error.claim.username

    @property
    def domain(self) -> str:
        """The domain that came with it."""
        return "" if self.error.claim is None else self.error.claim.domain

    @property
    def wrong(self) -> Wrong:
        """Which of name, password and state of the account was wrong, where one was (`credssp.errors.Claim.wrong`)."""
        return wrong_of(self.error, locked=self.locked)

    @property
    def ntstatus(self) -> int | None:
        """What the client was told where its version can be told; None if it was not a logon failure."""
        return self.error.ntstatus


class RDPServer(Delegations[Delegation, Refusal]):
    """An RDP endpoint with network level authentication, for tests.

    After the login the client gets a session, by default a screen of one colour for a second, so that it ends well
    (`credssp.testing.Desktop`, `Disconnect`, `NoSession`). A client that sends anything else is only read,
    for `hold` seconds. A login counts once the client has its screen, has said nothing for `hold` seconds, or has its
    connection closed.

    Attributes:
        config: the options.
        faults: what it does wrong.
    """

    def __init__(
        self,
        who: Mapping[tuple[str, str], Any] | None = None,
        /,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        session: SessionMode | str = _DESKTOP,
        hold: float = 0.2,
        faults: ServerFaults | None = None,
        config: ServerConfig | None = None,
        **options: Unpack[RDPServiceOptions],
    ) -> None:
        """Prepare; `start` or ``with`` starts it.

        Args:
            who: accounts, as `credssp.MemoryAccounts` takes them; by default `DEFAULT_ACCOUNTS`.
            host: a loopback address of IPv4.
            port: TCP port; 0 for any that is free.
            session: what the client gets after the login: a mode, or its text as in ``credssp serve rdp --session``.
            hold: seconds to read a client that does not have a session.
            faults: what it does wrong, to see what the client does then.
            config: as in `credssp.rdp.serve`.
            options: as in `credssp.rdp.serve`: `accounts` in place of `who`, `protocols`, `min_version`, ...

        Raises:
            LocalProtocolError, TypeError: arguments that make no sense.
        """
        config = server_config("RDPServer", RDPServiceOptions, config, options)
        if who is not None or config.accounts is None:
            config = replace(config, accounts=MemoryAccounts(DEFAULT_ACCOUNTS if who is None else who))
        super().__init__()
        self._host = check_loopback(host)
        self._port = port
        self._session = session_mode(session) if isinstance(session, str) else session
        self._hold = hold
        self.faults = faults or ServerFaults()
        self.faults.check_legs(RDP_LEGS)
        self._listen = config.on_event
        self.config = replace(config, on_event=self._note, tls=replace(config.tls or ServerTLS(), key_log=True))
        self._over: set[tuple[str, int]] = set()
        self._server: AsyncServer | None = None
        self._served: dict[NLAServer, Delegation] = {}
        self._uncounted: dict[NLAServer, Delegation] = {}
        self._address: tuple[str, int] | None = None
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="credssp test server", daemon=True)

    def _begun(self) -> Sequence[Place]:
        # The books of the server say later than its events that a login is over.
        places = () if self._server is None else self._server.half_open
        return [place for place in places if place.address not in self._over]

    def _sessions(self) -> Sequence[Delegation]:
        return list(self._uncounted.values())

    def _idle(self) -> str:
        if self._thread.ident is None:
            return "the server was not started"
        return "" if self._thread.is_alive() else "the server was stopped"

    # Running

    def start(self) -> Self:
        """Start it; returns when it listens. Raises what keeps it from listening."""
        self._thread.start()
        listening = self._await(lambda: self._address or self._failure, PATIENCE)
        if self._failure is not None:
            raise self._failure
        if not listening:  # pragma: no cover  # a machine that stands still
            raise LocalProtocolError("the test server did not start in time")
        return self

    def stop(self) -> None:
        """Stop it and close what is open. Calling it again does nothing."""
        loop, stop = self._loop, self._stop
        if loop is not None and stop is not None and self._thread.is_alive():
            loop.call_soon_threadsafe(stop.set)
        if self._thread.ident is not None:
            self._thread.join(PATIENCE)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        if self._address is None:
            raise LocalProtocolError("the test server was not started")
        return self._address

    @property
    def url(self) -> str:
        """The same as a URL, as ``credssp login`` takes it."""
        return f"rdp://{self.host}:{self.port}"

    @property
    def host(self) -> str:
        """The address alone."""
        return self.address[0]

    @property
    def port(self) -> int:
        """The port alone."""
        return self.address[1]

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001  # it belongs to whoever called start()
            with self._changed:
                self._failure = error
                self._changed.notify_all()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        async with await start_faulty_server(
            self.faults, self._handle, self._host, self._port, config=self.config
        ) as server:
            with self._changed:
                self._server = server
                self._address = server.address
                self._changed.notify_all()
            await self._stop.wait()

    async def _handle(self, session: AsyncSession[NLAServer]) -> None:
        endpoint = session.endpoint
        delegation = self._served[endpoint]  # it is there before the handler is called
        await conduct(
            session,
            self._session,
            hold=self._hold,
            report=delegation.session,
            received=delegation.received,
            settled=lambda: self._count(endpoint),
        )

    def _count(self, endpoint: NLAServer) -> None:
        """Let a login count, unless it did or was refused."""
        with self._changed:
            delegation = self._uncounted.pop(endpoint, None)
            if delegation is not None:
                self.delegations.append(delegation)
                self._changed.notify_all()

    def _note(self, client: Client, event: ServerEvent) -> None:
        endpoint = client.endpoint
        with self._changed:
            if isinstance(event, Refused | Closed):
                self._over.add(client.address)
            else:
                self._over.discard(client.address)
            if isinstance(event, Delegated):
                self._served[endpoint] = self._uncounted[endpoint] = _delegation(endpoint, event)
            elif isinstance(event, Refused):
                self._uncounted.pop(endpoint, None)
                self.refusals.append(Refusal(event.error, event.locked, client.silent))
            elif isinstance(event, Closed):
                self._count(endpoint)
                self._served.pop(endpoint, None)
            self._changed.notify_all()
        if self._listen is not None:
            self._listen(client, event)


def _delegation(endpoint: NLAServer, event: Delegated) -> Delegation:
    context, negotiated = endpoint.context, endpoint.negotiated
    assert context is not None  # noqa: S101  # for type checkers: both are there before the event
    assert negotiated is not None  # noqa: S101
    return Delegation(
        event.identity,
        event.credentials,
        context.mechanism,
        context.version or 0,
        context.peer_version or 0,
        negotiated,
        bytearray(),
    )

"""The gateway: it listens, authenticates, chooses a target, connects to it, and relays.

One connection: the client's Connection Request says what it wants and how to route it; NLA says who it is; the target
is chosen and logged on to; only then does the client hear that it may come in, so that a refusal there is one here
(AUTHZ_ACCESS_DENIED with HYBRID_EX). Without NLA in front the token alone chooses. Credentials are dropped once the
relay begins, which writes them into the Client Info PDU, if that is where they go.

A client without NLA whose own password a server with NLA needs (``credentials = "client-info"``) makes two connections:
on the first it names its password and is sent back with a ticket (`credssp.gateway.pickup`), on the second the ticket
stands for the password.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Final

from credssp.accounts.file import FileAccounts
from credssp.config import ServerConfig
from credssp.credentials import PasswordCredentials
from credssp.drivers.aio import AsyncSession
from credssp.drivers.faults import fault
from credssp.drivers.gate import Place, host_and_port
from credssp.drivers.rdp_asyncio import AsyncServer, RDPLogin
from credssp.drivers.rdp_service import Client, Closed, ServerSettings
from credssp.drivers.relay import Filter, RelayEnd, relay
from credssp.drivers.winbind import WinbindAuthority
from credssp.errors import CredSSPError, LimitExceededError, LocalProtocolError, PeerClosedError, TLSAlertError
from credssp.gateway import back
from credssp.gateway.events import Connected, Ended, PickedUp, SessionStarted
from credssp.gateway.groups import with_group_sids
from credssp.gateway.listen import Front
from credssp.gateway.pickup import pick_up, send_back
from credssp.gateway.rules import NoRuleError, NotRelayedError, candidates, choose, user_name
from credssp.gateway.settings import GatewaySettings
from credssp.gateway.target import TargetSettings
from credssp.gateway.tickets import LIFETIME, PickupTicket, Tickets
from credssp.identity import Identity
from credssp.kerberos.watched_keytab import watch_keytab
from credssp.mechanism_name import MechanismName
from credssp.next_step import NextStep
from credssp.rdp.early_user_authorization import AuthorizationDeniedError, EarlyUserAuthorization
from credssp.rdp.events import AuthorizationRequired
from credssp.rdp.front import ConnectionRequested, FrontServer
from credssp.rdp.negotiation import Protocol, RequestFlags, ResponseFlags, protocol_names
from credssp.rdp.relayed import FromClient, FromServer
from credssp.tls.certificate import watch_certificate

__all__ = ["Gateway", "OnGatewayEvent", "server_config_of"]

OnGatewayEvent = Callable[[Client, Any], None]

logger = logging.getLogger("credssp.gateway")

_RELAYED_FLAGS: Final = ResponseFlags.EXTENDED_CLIENT_DATA_SUPPORTED | ResponseFlags.DYNVC_GFX_PROTOCOL_SUPPORTED
"""What a server may offer its clients through a relay; the other flags are about the login."""


_MODES: Final = (
    (RequestFlags.RESTRICTED_ADMIN_MODE_REQUIRED, "Restricted Admin mode"),
    (RequestFlags.REDIRECTED_AUTHENTICATION_MODE_REQUIRED, "Remote Credential Guard"),
)

_QUESTIONS: Final = 2
"""Names that winbindd is asked about at one time, in threads of their own: it may take its time."""


def server_config_of(settings: GatewaySettings) -> ServerConfig:
    """Return what the front needs.

    Raises:
        LocalProtocolError: a file cannot be used, or there is no domain to ask.
    """
    listen = settings.listen
    return ServerConfig(
        authority=WinbindAuthority() if listen.winbind else None,
        accounts=None if listen.users_file is None else FileAccounts(listen.users_file, watch=True),
        keytab=None if listen.keytab is None else watch_keytab(listen.keytab),
        mechanisms=_mechanisms(settings),
        certificate=watch_certificate(listen.certificate, listen.key),
        limits=settings.limits,
        restricted_admin=False,  # clients that ask are told that there is no such mode, and say so to their users
        direct=False,
    )


def _mechanisms(settings: GatewaySettings) -> list[MechanismName]:
    names: list[MechanismName] = []
    if settings.listen.keytab is not None:
        names.append("kerberos")
    if settings.listen.users_file is not None or settings.listen.winbind or not names:
        names.append("ntlm")
    return names


class _Settings(ServerSettings):
    """What the connections of a gateway have in common."""

    def endpoint(self) -> Any:
        """Return our side of a new connection."""
        return FrontServer(config=self._guarded)


class Gateway(AsyncServer):
    """A gateway on asyncio.

    Attributes:
        current: the configuration of new connections; `reload` replaces it.
        tickets: credentials that were picked up, until their clients are back.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        *,
        config: ServerConfig | None = None,
        on_event: OnGatewayEvent | None = None,
    ) -> None:
        """Prepare; `start` begins to listen. Blocks while a domain is asked for the groups of the rules.

        Args:
            settings: the configuration.
            config: what `server_config_of` has made of it, for several gateways with one configuration, or None.
            on_event: told the events of each connection.

        Raises:
            LocalProtocolError: a file cannot be used, or a group is not known.
        """
        config = server_config_of(settings) if config is None else config
        super().__init__(_Settings(replace(config, on_event=on_event)), None)
        self._find_group: Callable[[str], str] | None = getattr(config.authority, "group_sid", None)
        self._find_user: Callable[[str], str] | None = getattr(config.authority, "user_sid", None)
        self._names = ThreadPoolExecutor(_QUESTIONS, thread_name_prefix="credssp names")
        self._reloading = asyncio.Lock()
        self.current = with_group_sids(settings, self._find_group)
        self.tickets = Tickets()
        self._sessions: Counter[str] = Counter()
        self._flags: dict[str, ResponseFlags] = {}

    def make_login(self, place: Place) -> RDPLogin:
        """Make our side of a connection."""
        return _Connection(self, place)

    async def reload(self, settings: GatewaySettings) -> None:
        """Use another configuration for new connections; where it listens and who may log on stays.

        Raises:
            LocalProtocolError: it differs in what only a restart can change, or a group is not known.
        """
        if settings.listen != self.current.listen or settings.limits != self.current.limits:
            raise LocalProtocolError("[listen] and the limits before the login change with a restart only")
        async with self._reloading:
            self.current = await asyncio.get_running_loop().run_in_executor(
                self._names, with_group_sids, settings, self._find_group
            )

    async def drain(self, seconds: float) -> None:
        """Accept no more clients, give sessions so long to end, and close."""
        if self._listener is not None:
            self._listener.close()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds if self._sessions else 0)
        await self.close()

    async def close(self) -> None:
        """Stop listening, close all connections, and let go of credentials that were picked up."""
        await super().close()
        self.tickets.clear()
        self._names.shutdown(wait=False, cancel_futures=True)

    async def check_user(self, identity: Identity, credentials: PasswordCredentials) -> None:
        """Check that delegated credentials name the user who logged on; the domain is asked for other names of it.

        Raises:
            LocalProtocolError: they are another user's.
        """
        if back.are_of(identity, credentials):
            return
        if self._find_user is not None and identity.sid:
            with contextlib.suppress(LocalProtocolError, TimeoutError):
                async with asyncio.timeout(self.settings.config.limits.answer_deadline):
                    asked = asyncio.get_running_loop().run_in_executor(self._names, self._find_user, _name(credentials))
                    if await asked == identity.sid:
                        return
        raise NotRelayedError("another user was delegated than the one who logged on", advice=NextStep.RDP_OTHER_USER)

    def flags(self, token: str) -> ResponseFlags:
        """Return RDP_NEG_RSP.flags: what every server that this token may lead to has said, as far as it is known."""
        known = [self._flags.get(target.name) for target in self.current.targets if _fits_token(target, token)]
        offered = _RELAYED_FLAGS if known else ResponseFlags.EXTENDED_CLIENT_DATA_SUPPORTED
        for flags in known:
            offered &= ResponseFlags.EXTENDED_CLIENT_DATA_SUPPORTED if flags is None else flags
        return offered

    def learn(self, target: TargetSettings, flags: ResponseFlags) -> None:
        """Remember what a server offers."""
        self._flags[target.name] = flags & _RELAYED_FLAGS

    def enter(self, user: str) -> None:
        """Count a session of a user. Raises LimitExceededError for one too many."""
        limit = self.current.sessions.sessions_per_user
        if user and limit and self._sessions[user.casefold()] >= limit:
            raise LimitExceededError(f"the user has {limit} sessions already")
        self._sessions[user.casefold()] += 1

    def leave_session(self, user: str) -> None:
        """Say that a session of a user is over."""
        key = user.casefold()
        self._sessions[key] -= 1
        if self._sessions[key] <= 0:
            del self._sessions[key]


def _fits_token(target: TargetSettings, token: str) -> bool:
    """Whether a target fits a token, for any user."""
    return candidates([target], user=None, token=token)[0].token


class _Connection(RDPLogin):
    """One client, until its session is relayed."""

    def __init__(self, gateway: Gateway, place: Place) -> None:
        super().__init__(gateway, place)
        self._gateway = gateway
        self._settings = gateway.current
        self._requested: ConnectionRequested | None = None
        self._target: TargetSettings | None = None
        self._server: AsyncSession[Any] | None = None
        self._credentials: PasswordCredentials | None = None
        self._ticket: PickupTicket | None = None
        self._redirected = False
        self._mode = ""  # what the client asked for that cannot be relayed
        self._user = ""
        self._counted = False
        self._reached = False
        self._why: CredSSPError | None = None

    # The front

    def _take(self, events: Sequence[object]) -> None:
        for event in events:
            if isinstance(event, ConnectionRequested):
                self._requested = event
                super()._take(self._select(event))
            else:
                super()._take([event])

    def _select(self, event: ConnectionRequested) -> Sequence[object]:
        if not self._settings.listen.allows(self.client.address[0]):
            raise NoRuleError("the client's address is not in allow_from")
        if self._settings.listen.security == "tls":
            self._ticket = self._gateway.tickets.redeem(event.token, self.client.address[0])
        allowed = Front[self._settings.listen.security]
        request = event.request.negotiation
        asked = RequestFlags.NONE if request is None else request.flags
        self._mode = next((name for flag, name in _MODES if asked & flag), "")
        return self._front().select(allowed, flags=self._gateway.flags(self._token))

    def _front(self) -> FrontServer:
        front: Any = self.endpoint
        assert isinstance(front, FrontServer)  # noqa: S101  # of _Settings.endpoint
        return front

    @property
    def _front_is_nla(self) -> bool:
        return self._front().selected_protocol is not Protocol.SSL

    def _authorize(self, event: AuthorizationRequired) -> None:
        self.wait()
        self._gateway.spawn(self._authorize_later(self._reach(event)))

    async def _reach(self, event: AuthorizationRequired) -> EarlyUserAuthorization:
        """Choose a target for a user and log on there."""
        try:
            if self._mode:
                raise self._mode_refused()
            user = user_name(event.identity)
            target = self._choose(user, getattr(event.identity, "groups", ()))
            self._credentials = back.credentials_for(target, event.credentials)
            if target.credentials == "delegated" and not target.other_user and self._credentials is not None:
                await self._gateway.check_user(event.identity, self._credentials)
            await self._connect(user)
        except CredSSPError as error:
            self._why = error
            return EarlyUserAuthorization.AUTHZ_ACCESS_DENIED
        return EarlyUserAuthorization.AUTHZ_SUCCESS

    @property
    def _token(self) -> str:
        """What the client gave to route by, before it was given a ticket."""
        if self._ticket is not None:
            return self._ticket.token
        return "" if self._requested is None else self._requested.token

    def _choose(self, user: str | None, groups: Sequence[str] = ()) -> TargetSettings:
        self._target = choose(self._settings.targets, user=user, groups=groups, token=self._token)
        return self._target

    async def _connect(self, user: str) -> None:
        target = self._target
        assert target is not None  # noqa: S101  # _choose comes first
        self._gateway.enter(user)
        self._user, self._counted = user, True
        try:
            self._server = server = await back.connect(target, self._credentials)
        except CredSSPError as error:
            raise back.blamed(target, error) from error
        self._reached = True
        negotiated = server.endpoint.negotiated
        if negotiated is not None:
            self._gateway.learn(target, negotiated.flags)
        check = getattr(server.endpoint, "certificate_check", None)
        if check is None:
            check = server.endpoint.context.certificate_check
        self._tell(
            Connected(
                target.name,
                target.address,
                protocol_names(server.endpoint.selected_protocol),
                "" if target.security == "rdp" else check.value,
                "" if self._credentials is None else _name(self._credentials),
                "" if self._ticket is None else self._ticket.connection,
            )
        )

    def _tell(self, event: Any) -> None:
        self._gateway.settings.tell(self.client, event)

    def _refused(self, error: Exception) -> None:
        if isinstance(error, AuthorizationDeniedError) and self._why is not None:
            error = self._why
        if self._mode and isinstance(error, PeerClosedError | TLSAlertError | OSError):
            error = self._mode_refused()  # it was told that there is no such mode, and went away
        self._drop_server()
        super()._refused(error)

    def _mode_refused(self) -> NotRelayedError:
        return NotRelayedError(
            f"the client wants {self._mode}, which cannot be relayed", advice=NextStep.RDP_NOT_RELAYED
        )

    def _drop_server(self) -> None:
        server, self._server, self._credentials, self._ticket = self._server, None, None, None
        if server is not None:
            server.abort()
        if self._counted:
            self._counted = False
            self._gateway.leave_session(self._user)

    # The session

    def _keeps_stream(self) -> bool:
        return True

    def _logged_on(self, session: AsyncSession[Any]) -> None:
        if self._front_is_nla:  # nothing is known about others before they begin a session
            self._gateway.settings.gate.opened(self._place)
        began = time.monotonic()
        end: list[RelayEnd] = []
        client, place, gateway = self.client, self._place, self._gateway

        def over(task: asyncio.Future[None]) -> None:
            error = None if task.cancelled() else task.exception()
            if error is not None and not isinstance(error, CredSSPError | OSError):
                logger.error("the session of connection %d failed %s", client.number, fault(error))
            if self._transport is not None:
                self._transport.abort()
            self._drop_server()
            self._closed = True
            gateway.left(place)
            if not (self._reached or self._redirected):  # without NLA in front, this is what became of the client
                gateway.settings.refused(client, error or LocalProtocolError("the gateway is shutting down"))
            gateway.settings.tell(client, self._outcome(end[0] if end else None, error, time.monotonic() - began))

        gateway.spawn(self._relay(session, end)).add_done_callback(over)

    def _outcome(self, end: RelayEnd | None, error: BaseException | None, seconds: float) -> Closed:
        target = "" if self._target is None else self._target.name
        if end is None:
            why = str(error) if error is not None else "redirected" if self._redirected else ""
            return Ended(target, "relay", why, 0, 0, round(seconds, 3))
        why = "" if end.error is None else str(end.error)
        if end.first == "relay" and not why:
            why = "idle" if end.idle else "total"
        return Ended(target, end.first, why, end.sent, end.received, round(seconds, 3))

    async def _relay(self, session: AsyncSession[Any], end: list[RelayEnd]) -> None:
        if self._requested is None:
            raise LocalProtocolError("there is no Connection Request")
        if not self._front_is_nla:  # nobody has said who they are: the token alone chooses
            chosen = self._choose(None)
            if chosen.credentials == "client-info" and self._ticket is None:
                await self._pick_up(session, chosen, self._requested.requested)
                return
            picked_up = None if self._ticket is None else self._ticket.credentials
            self._credentials = back.credentials_for(chosen, picked_up)
            del picked_up
            await self._connect("")
            self._ticket = None
        joined = self._join(session)
        del session  # it ends with the login; the relay has what is left of it
        end.append(await joined)

    def _join(self, session: AsyncSession[Any]) -> Coroutine[Any, Any, RelayEnd]:
        """Return the relay of a client that may come in, and let go of what it is logged on with."""
        server, target, requested = self._server, self._target, self._requested
        if server is None or target is None or requested is None:
            raise LocalProtocolError("there is no server to relay to")
        change = back.info_for(target, self._credentials, front_is_nla=self._front_is_nla)
        self._front().forget_credentials()
        self._credentials = None
        way_back = FromServer(requested.requested, asked=server.endpoint.requested_protocols)
        way = FromClient(
            server.endpoint.selected_protocol,
            negotiated=self._front().selected_protocol,
            rewrite=change,
            deny_channels=target.deny_channels,
            io_channel=lambda: None if way_back.response is None else way_back.response.io_channel,
        )
        del change
        told = False

        def from_client(data: bytes) -> bytes:
            nonlocal told
            out = way.feed(data)
            if not told and way.free:
                told = True
                self._gateway.settings.gate.opened(self._place)
                initial, way.initial = way.initial, None
                if initial is not None:
                    self._tell(
                        SessionStarted(
                            target.name, initial.client_name, initial.client_build, initial.desktop, initial.channels
                        )
                    )
            return out

        limits = self._settings.sessions
        self._server = None  # the relay closes it
        return relay(
            session,
            server,
            from_client=Filter(from_client, lambda: way.free),
            from_server=Filter(way_back.feed, lambda: way_back.unchanged, way_back.look),
            idle=limits.idle or None,
            total=limits.total or None,
            begin=self._gateway.settings.config.limits.timeouts.login,
            begun=lambda: way.free,
        )

    async def _pick_up(self, session: AsyncSession[Any], target: TargetSettings, requested: Protocol) -> None:
        """Hear from a client which user it wants to be, and send it back with a ticket."""
        gateway, host = self._gateway, self.client.address[0]
        start, credentials = await pick_up(
            session,
            requested,
            selected=self._front().selected_protocol,
            timeouts=gateway.settings.config.limits.timeouts,
        )
        ticket = gateway.tickets.issue(host, credentials, token=self._token, connection=self.client.id)
        asyncio.get_running_loop().call_later(LIFETIME, gateway.tickets.expire)
        self._tell(PickedUp(target.name, _name(credentials)))
        del credentials
        self._redirected = True
        await send_back(session, start, ticket=ticket, host=self._local_host())

    def _local_host(self) -> str:
        """Return the address that the client is connected to."""
        transport = self._transport
        name = None if transport is None else transport.get_extra_info("sockname")
        return host_and_port(name)[0].removeprefix("::ffff:")


def _name(credentials: PasswordCredentials) -> str:
    return f"{credentials.domain}\\{credentials.username}" if credentials.domain else credentials.username

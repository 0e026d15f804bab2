"""The side of a gateway towards the server: connect, log on, and what the user is logged on with there."""

from __future__ import annotations

import asyncio
import functools
import socket
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from credssp.config import ClientConfig, Timeouts
from credssp.credentials import DelegatedCredentials, PasswordCredentials
from credssp.drivers.aio import AsyncSession
from credssp.drivers.audit import TargetError
from credssp.drivers.blocking import reason
from credssp.drivers.handshake import ConnectError
from credssp.drivers.rdp import log_on, may_block
from credssp.drivers.reading import loop_queues
from credssp.errors import CredSSPError
from credssp.gateway.rules import NotRelayedError
from credssp.gateway.target import TargetSettings
from credssp.identity import Identity
from credssp.next_step import NextStep
from credssp.rdp.client import NLAClient
from credssp.rdp.client_info import ClientInfo
from credssp.rdp.negotiation import Protocol
from credssp.rdp.transport import TransportClient
from credssp.tls.settings import ClientTLS

__all__ = ["are_of", "blamed", "connect", "credentials_for", "info_for", "look"]

TIMEOUTS: Final = Timeouts(connect=5.0, leg=10.0, login=20.0)
"""Less than clients wait for the gateway."""

Rewrite: TypeAlias = Callable[[ClientInfo], ClientInfo | None]

_BROUGHT: Final = ("delegated", "client-info")
"""Modes in which the credentials are the client's."""

_PROTOCOLS: Final = {"tls": Protocol.SSL, "rdp": Protocol.RDP}


def credentials_for(target: TargetSettings, delegated: DelegatedCredentials | None) -> PasswordCredentials | None:
    """Return what the user is logged on with at the server, or None for nothing.

    Raises:
        NotRelayedError: what was delegated cannot be passed on.
    """
    if target.credentials == "mapped":
        return target.mapped
    if target.credentials == "none":
        return None
    if not isinstance(delegated, PasswordCredentials):
        raise NotRelayedError(
            f"{_kind(delegated)} cannot be passed on: the server needs a password", advice=NextStep.RDP_NOT_RELAYED
        )
    if delegated.is_empty:
        raise NotRelayedError(
            "the client delegated nothing (Restricted Admin), and the server needs a password",
            advice=NextStep.RDP_NOT_RELAYED,
        )
    return delegated


def _kind(delegated: DelegatedCredentials | None) -> str:
    names = {"SmartCardCredentials": "a smart card", "RemoteGuardCredentials": "Remote Credential Guard"}
    return names.get(type(delegated).__name__, "what was delegated")


def are_of(identity: Identity, delegated: PasswordCredentials) -> bool:
    r"""Whether delegated credentials are those of the user who logged on.

    A client delegates the name that it has sent for the login, or the one that the authority knows; the domain may be
    left out, or be the NetBIOS name of one that is known by its DNS name, whose first label that is. OTHER\alice is not
    LAB\alice: it is the latter that the rules let in.
    """
    domain, user = _parts(delegated.domain, delegated.username)
    known = (
        _parts(identity.domain, identity.username),
        _parts(identity.sent_domain, identity.sent_username),
        _parts(identity.domain, identity.sent_username),
    )
    return any(user == name and domain in ("", place, place.partition(".")[0]) for place, name in known)


def _parts(domain: str, user: str) -> tuple[str, str]:
    r"""Return domain and user of a name, which may be ``DOMAIN\user`` or ``user@domain``, without case."""
    before, _, user = user.rpartition("\\")
    user, _, after = user.partition("@")
    return (before or domain or after).casefold(), user.casefold()


async def connect(target: TargetSettings, credentials: PasswordCredentials | None) -> AsyncSession[Any]:
    """Connect to a target, and log on where it has NLA.

    Raises:
        ConnectError: there is no connection.
        CredSSPError: its certificate is not the right one, it refused, or it took too long.
    """
    sock = await _unix(target.path) if target.path else None
    host = _host(target)
    if target.security == "nla":
        config = ClientConfig(
            credentials=credentials,
            mechanism=target.mechanism,
            tls=target.tls,
            timeouts=TIMEOUTS,
            target_name=f"TERMSRV/{host}",
        )
        with loop_queues():
            client = NLAClient(host=host, config=config)
        in_thread = may_block(client)
        session = await log_on(client, target.host, target.port, timeouts=TIMEOUTS, in_thread=in_thread, sock=sock)
        client.forget_credentials()
        return session
    transport = TransportClient(host=host, protocol=_PROTOCOLS[target.security], config=_plain(target.tls))
    return await log_on(transport, target.host, target.port, timeouts=TIMEOUTS, in_thread=False, sock=sock)


def blamed(target: TargetSettings, error: CredSSPError) -> CredSSPError:
    """Return the error of a connection to a target as the refusal of the client.

    A client is to blame where the server has refused credentials that the client brought: that may be a guess, and
    counts as one. For anything else, such as a password of the gateway's own, its address is not to be locked out.
    """
    if error.refused and target.credentials in _BROUGHT:
        return error
    text = f"the target {target.name}: {error.message}"
    return TargetError(text, status=error.status, section=error.section, advice=error.advice)


async def look(target: TargetSettings) -> str:
    """Contact a target without logging on; returns the SHA-256 fingerprint of its certificate, empty without TLS.

    Raises:
        ConnectError: there is no connection.
        CredSSPError: it speaks something else, or its certificate is not the right one.
    """
    protocol = Protocol.HYBRID if target.security == "nla" else _PROTOCOLS[target.security]
    client = TransportClient(host=_host(target), protocol=protocol, config=_plain(target.tls))
    sock = await _unix(target.path) if target.path else None
    session = await log_on(client, target.host, target.port, timeouts=TIMEOUTS, in_thread=False, sock=sock)
    session.abort()
    return client.fingerprint


@functools.lru_cache(256)
def _plain(tls: ClientTLS) -> ClientConfig:
    """Return the options of a connection without a login; those to one target share them."""
    return ClientConfig(tls=tls, timeouts=TIMEOUTS)


def _host(target: TargetSettings) -> str:
    """Return the name that the certificate and the SPN have."""
    return target.tls.server_hostname or target.host or "localhost"


async def _unix(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.setblocking(False)  # as socket has it
    try:
        async with asyncio.timeout(TIMEOUTS.connect):
            await asyncio.get_running_loop().sock_connect(connection, path)
    except OSError as error:  # TimeoutError is one
        connection.close()
        raise ConnectError(f"no connection to {path}: {reason(error)}") from None
    except BaseException:
        connection.close()
        raise
    return connection


def info_for(target: TargetSettings, credentials: PasswordCredentials | None, *, front_is_nla: bool) -> Rewrite:
    """Return what changes the Client Info PDU.

    Where the user logged on here, the PDU may hold the password for the gateway, and never passes as it came. A server
    with NLA has the password already, so it gets the name alone.
    """
    if credentials is not None:
        return functools.partial(_with, credentials, target.security != "nla")
    return ClientInfo.without_credentials if front_is_nla else _as_it_came


def _as_it_came(info: ClientInfo) -> None:  # noqa: ARG001  # as FromClient calls it
    return None


def _with(credentials: PasswordCredentials, password: bool, info: ClientInfo) -> ClientInfo:
    return info.with_credentials(credentials, password=password)

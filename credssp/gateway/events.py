"""What a gateway tells of a connection, beside the events of every RDP server (`credssp.drivers.rdp_service`)."""

from __future__ import annotations

from dataclasses import dataclass

from credssp.drivers.rdp_service import Closed

__all__ = ["Connected", "Ended", "PickedUp", "SessionStarted"]


@dataclass(frozen=True, slots=True)
class Connected:
    """The server was reached, and the user is logged on there if it has NLA.

    Attributes:
        target: name of the target.
        address: where it is.
        protocol: what it speaks.
        certificate: what is known about its certificate: ``pinned`` or ``trusted``; empty without TLS.
        user: who is logged on there, as ``DOMAIN\\user``; empty if no user is.
        came_from: id of the connection that the credentials were picked up on; empty for others.
    """

    target: str
    address: str
    protocol: str
    certificate: str
    user: str
    came_from: str = ""


@dataclass(frozen=True, slots=True)
class PickedUp:
    """A client without NLA has named user and password; it is sent back to the gateway with a ticket.

    Attributes:
        target: name of the target that it is meant for.
        user: the user, as ``DOMAIN\\user``.
    """

    target: str
    user: str


@dataclass(frozen=True, slots=True)
class SessionStarted:
    """The client has sent its settings and its user name; from now on every byte passes.

    Attributes:
        target: name of the target.
        client: what the client calls its machine.
        build: its build number.
        desktop: width and height in pixels.
        channels: static virtual channels that it asked for.
    """

    target: str
    client: str
    build: int
    desktop: tuple[int, int]
    channels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ended(Closed):
    """A relayed connection is over.

    Attributes:
        target: name of the target.
        by: who ended it: ``client``, ``server`` or ``relay``.
        why: what failed, ``idle``, ``total`` or ``redirected``; empty where a peer closed.
        sent: bytes from the client to the server.
        received: bytes from the server to the client.
        seconds: how long it lasted.
    """

    target: str = ""
    by: str = ""
    why: str = ""
    sent: int = 0
    received: int = 0
    seconds: float = 0.0

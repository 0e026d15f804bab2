"""Many sessions at once through a gateway, with every kind of end: each has its own bytes, and all of them."""

from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from credssp.drivers.reading import loop_queues
from credssp.errors import CredSSPError
from credssp.gateway.events import Ended
from credssp.rdp.session_pdus import FrameBuffer
from tests.gateway.test_gateway import NLA, PINNED, Scene, Server, as_selected, nla_client
from tests.rdp import session as pdus

SESSIONS = 24
LIMITS = f"[limits]\nsessions_per_user = {SESSIONS}\n"


@dataclass(slots=True)
class Plan:
    """What a session does; both of its ends know it.

    Attributes:
        up: what the client sends.
        down: what the server sends.
        ender: who ends it.
        how: `close`, `half` (closes its direction, and reads on) or `abort`, once it has all; `cut`, on the way.
        slow: who reads slowly.
        got: what arrived.
    """

    up: bytes
    down: bytes
    ender: str
    how: str
    slow: str
    got: dict[str, bytearray] = field(default_factory=dict)

    @classmethod
    def make(cls, chance: random.Random) -> Plan:
        sizes = 1, 5000, chance.randrange(1 << 18), chance.randrange(1 << 20)
        down = b""  # the gateway looks for redirections in the server's frames
        for _ in range(chance.choice(sizes) // 8000 + 1):
            down += pdus.fast_path(chance.randbytes(chance.choice((1, 100, 16_000))))
        ender, how = chance.choice(("client", "server")), chance.choice(("close", "half", "abort", "cut"))
        return cls(chance.randbytes(chance.choice(sizes)), down, ender, how, chance.choice(("", "client", "server")))


async def talk(session: Any, plan: Plan, name: str, seed: int) -> None:
    """Send and read until the plan's end."""
    chance = random.Random(seed)
    out, expected = (plan.up, plan.down) if name == "client" else (plan.down, plan.up)
    ends = plan.ender == name
    got = plan.got[name] = bytearray()

    async def send() -> None:
        at = 0
        while at < len(out):
            size = chance.choice((1, 100, 16_384, 16_385, 200_000, 1 << 20))
            session.write(out[at : at + size])
            at += size
            await session.drain()
            if ends and plan.how == "cut" and at > len(out) // 2:
                session.abort()

    async def read(size: int | None) -> None:
        while size is None or len(got) < size:
            data = await session.read(chance.choice((1000, 65_536, 1 << 20)))
            if not data:
                return
            got.extend(data)
            if plan.slow == name:
                await asyncio.sleep(0.001)

    sending = asyncio.create_task(send())
    try:
        await read(len(expected) if ends and plan.how != "cut" else None)
        if ends and plan.how != "cut":
            await sending
            if plan.how == "half":
                session._transport.write(session.endpoint.shutdown())
                session._transport.write_eof()
                await read(None)
            elif plan.how == "abort":
                session.abort()
    except (OSError, CredSSPError):
        pass  # the peer has reset it
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        session.close()
        await session.wait_closed()


class Talker(Server):
    """A server that learns from the client which plan is theirs."""

    def __init__(self, security: str, plans: list[Plan]) -> None:
        super().__init__(security)
        self._plans = plans

    async def _talk(self, session: Any) -> None:
        with contextlib.suppress(CredSSPError, OSError):  # a cut that overtakes the number
            await self._begin(session)

    async def _begin(self, session: Any) -> None:
        frames, seen = FrameBuffer(), 0
        while seen < 4:  # Connect Initial, Erect Domain, Attach User, Client Info
            frames.feed(await session.readexactly(1))
            while frames.next_frame() is not None:
                seen += 1
                if seen == 1:
                    session.write(self.response_to(session))
        session.write(self._desktop)
        number = (await session.readexactly(1))[0]
        await talk(session, self._plans[number], "server", number)


async def client(scene: Scene, plan: Plan, number: int) -> None:
    session = await nla_client(scene)
    session.write(as_selected(session))
    await session.readexactly(len(pdus.connect_response()))
    assert await session.readexactly(9) == pdus.fast_path(b"desktop")
    session.write(bytes((number,)))
    await talk(session, plan, "client", ~number)


@pytest.mark.parametrize("security", ["tls", "nla", "rdp"])
def test_each_session_has_all_of_its_own_bytes_and_no_others(tmp_path: Path, security: str) -> None:
    chance = random.Random(security)
    plans = [Plan.make(chance) for _ in range(SESSIONS)]
    mechanism = 'mechanism = "ntlm"\n' if security == "nla" else f'security = "{security}"\n'
    pin = "" if security == "rdp" else PINNED
    scene = Scene(tmp_path, NLA, mechanism + pin, server=Talker(security, plans), limits=LIMITS)

    async def main() -> None:
        async with asyncio.timeout(120), scene:
            await asyncio.gather(*(client(scene, plan, number) for number, plan in enumerate(plans)))
            while len(scene.of(Ended)) < SESSIONS:
                await asyncio.sleep(0.01)
            queues = loop_queues()
            assert queues.owner is None
            assert queues.incoming.pending == queues.outgoing.pending == 0

    asyncio.run(main())
    assert {plan.how for plan in plans} == {"close", "half", "abort", "cut"}
    for plan in plans:
        for name, expected in (("client", plan.down), ("server", plan.up)):
            got = bytes(plan.got.get(name, b""))
            # A reset may overtake what is on its way.
            assert got == expected if plan.how in ("close", "half") else expected.startswith(got)

"""What a case against a client gets: logins at the suite, and the words to judge them with."""

from __future__ import annotations

import dataclasses
from typing import Any

from credssp import binding
from credssp.conformance.exchange import Observation
from credssp.conformance.links import Link
from credssp.conformance.play import Play, Script, certificate_of
from credssp.conformance.rule import Evidence, Outcome, Role, Skipped, Verdict, failed, passed
from credssp.conformance.run import describe_end, judge_refusal
from credssp.conformance.setup import ClientTarget, Front, Setup
from credssp.conformance.wire import End, Wire
from credssp.tls.channel import TLSChannel
from credssp.tls.settings import server_context

__all__ = ["ClientRun"]


class ClientRun:
    """Plays a server against a client; one for each case.

    Attributes:
        target: the client.
        last: the last connection.
    """

    def __init__(self, target: ClientTarget, known: dict[tuple[Any, ...], Play]) -> None:
        self.target = target
        self.last: Wire | None = None
        self._known = known
        self._open: list[Link] = []

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """What went over in the last connection."""
        return tuple(self.last.evidence) if self.last is not None else ()

    def close(self) -> None:
        """Close all connections."""
        for link in self._open:
            link.close()

    def start(self, setup: Setup | None = None, front: Front | None = None) -> Link:
        """Let the client begin a login."""
        link = self.target.start(setup or Setup(), front or Front())
        self._open.append(link)
        return link

    def connect(self, setup: Setup | None = None, script: Script | None = None) -> Wire:
        """Let the client begin a login, and put TLS on it; the handshake is still to be done."""
        script = script or Script()
        link = self.start(setup, script.front)
        # Over HTTP every leg wants an answer; clients built on pyspnego take one without octets for a refusal.
        tls = dataclasses.replace(script.tls, tickets=True) if "http" in self.target.features else script.tls
        channel = TLSChannel(server_context(tls, certificate_of(script.key_type)), server_side=True)
        self.last = Wire(link, channel, side="server", timeout=self.target.timeout)
        return self.last

    def serve(self, setup: Setup | None = None, **script: Any) -> Play:
        """Serve one login; the arguments beyond are those of `Script`.

        Raises:
            Skipped: a good login with this version or form does not work, so nothing can be learnt.
        """
        plan = Script(**script)
        self.baseline(setup, min(plan.version, 6))
        return self.try_serve(setup, **script)

    def try_serve(self, setup: Setup | None = None, **script: Any) -> Play:
        """Serve one login whatever came of a good one."""
        plan = Script(**script)
        wire = self.connect(setup, plan)
        end = wire.handshake()
        key = binding.subject_public_key(certificate_of(plan.key_type).der)
        play = Play(
            wire,
            plan,
            self.target.account,
            public_key=key,
            target_name=self.target.target_name,
            service_keys=getattr(self.target, "service_keys", ()),
        )
        if end is not None:
            play.end = end
        else:
            play.run()
        return play

    def baseline(self, setup: Setup | None = None, version: int = 6) -> Play:
        """Return a good login.

        Raises:
            Skipped: the client does not complete it.
        """
        key = version, setup or Setup()
        if key not in self._known:
            self._known[key] = self.try_serve(setup, version=version)
        play = self._known[key]
        if not play.delegated_something:
            told = "" if play.report is None else f", and told its caller: {play.report}"
            raise Skipped(
                f"the client does not complete a good login with version {version}: "
                f"{describe_end(play.end)} {play.stage}{told}"
            )
        return play

    def observation(self, version: int = 6, setup: Setup | None = None) -> Observation:
        """Return a good login as a recorded exchange, judged as the client's."""
        return Observation(self.baseline(setup, version).exchange(), Role.CLIENT)

    # Judgements

    def stopped(self, play: Play, what: str) -> Outcome:
        """Judge a client that must not send authInfo."""
        if play.delegated_something:
            return failed(f"{what}: the client sent its credentials")
        return self._ended(play, what)

    def stopped_early(self, play: Play, what: str) -> Outcome:
        """Judge a client that must not answer the server's first token."""
        if play.answers:
            return failed(f"{what}: the client went on")
        return self._ended(play, what)

    def _ended(self, play: Play, what: str) -> Outcome:
        return judge_refusal(play.end, play.crash, accepted=failed(f"{what}: the client went on"))

    def completed(self, play: Play, what: str) -> Outcome:
        """Judge a client that must complete the login."""
        if play.crash:
            return Outcome(Verdict.CRASH, play.crash)
        if play.delegated_something:
            return passed()
        if play.end is not None and play.end.end is End.SILENT:
            return Outcome(Verdict.HANG, f"{what}: neither an answer nor a close")
        return failed(f"{what}: the client gave up ({describe_end(play.end)})")

    def either(self, play: Play, what: str, *, at_first: bool = True) -> Outcome:
        """Judge a client that may go on or stop, but not hang."""
        if play.crash:
            return Outcome(Verdict.CRASH, play.crash)
        went_on = play.answers > 0 if at_first else play.delegated_something
        if not went_on and play.end is not None and play.end.end is End.SILENT:
            return Outcome(Verdict.HANG, f"{what}: neither an answer nor a close")
        return passed("went on" if went_on else f"stopped: {describe_end(play.end)}")

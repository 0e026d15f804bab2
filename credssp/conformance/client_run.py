"""What a case against a client gets: logins at the suite, and the words to judge them with."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeAlias

from credssp import binding
from credssp.conformance.connection import Connection, End
from credssp.conformance.http import HttpServerLink
from credssp.conformance.links import Link, without_notes
from credssp.conformance.observation import Observation
from credssp.conformance.rule import Evidence, Outcome, Skipped, Verdict, failed, lenient, passed
from credssp.conformance.run import Run, describe_end, judge_refusal
from credssp.conformance.scripted_server import ScriptedServer, ServerScript, certificate_of
from credssp.conformance.setup import ClientTarget, RdpAnswer, Setup
from credssp.conformance.x224 import confirm
from credssp.protocol_version import HIGHEST_VERSION
from credssp.tls.channel import TLSChannel
from credssp.tls.settings import server_context

__all__ = ["ClientRun", "KnownLogins"]

KnownLogins: TypeAlias = dict[tuple[int, Setup], ScriptedServer]
"""Good logins of a client, by version and set-up."""


class ClientRun(Run):
    """Serves a client; one for each case.

    Attributes:
        target: the client.
        request: its last Connection Request, for clients that send one.
    """

    def __init__(self, target: ClientTarget, known: KnownLogins) -> None:
        super().__init__()
        self.target = target
        self.request = b""
        self._known = known

    def start(self, setup: Setup | None = None, rdp: RdpAnswer | None = None) -> Link:
        """Let the client begin a login."""
        answer = rdp or RdpAnswer()
        link = self._keep(self.target.start(setup or Setup(), answer))
        if isinstance(link, HttpServerLink):
            self.last, self.notes = None, []
            link.note = self.note
            return link
        before = []
        if "x224" in self.target.features:
            self.request = self.target.request(link)
            before = [Evidence("client", self.request, "before TLS"), Evidence("server", confirm(answer), "before TLS")]
        return self._noted(link, "server", *(each for each in before if each.data))

    def connect(self, setup: Setup | None = None, script: ServerScript | None = None) -> Connection:
        """Let the client begin a login, and put TLS on it; the handshake is still to be done."""
        script = script or ServerScript()
        return self._secure(self.start(setup, script.rdp), script)

    def _secure(self, link: Link, script: ServerScript) -> Connection:
        # Over HTTP every leg wants an answer; clients built on pyspnego take one without bytes for a refusal.
        tls = dataclasses.replace(script.tls, tickets=True) if "http" in self.target.features else script.tls
        channel = TLSChannel(
            server_context(dataclasses.replace(tls, key_log=True), certificate_of(script.key_type)), server_side=True
        )
        self.last = Connection(without_notes(link), channel, side="server", timeout=self.target.timeout)
        return self.last

    def serve(self, setup: Setup | None = None, **script: Any) -> ScriptedServer:
        """Serve one login; the arguments beyond are those of `ServerScript`.

        Raises:
            Skipped: a good login with this version or form does not work, so nothing can be learnt.
        """
        wanted = ServerScript(**script)
        self.baseline(setup, min(wanted.version, HIGHEST_VERSION))
        return self._serve(setup, wanted)

    def try_serve(self, setup: Setup | None = None, **script: Any) -> ScriptedServer:
        """Serve one login whatever came of a good one."""
        return self._serve(setup, ServerScript(**script))

    def serve_again(self, link: Link, **script: Any) -> ScriptedServer:
        """Serve a further login of the same client, over the connection of one that is over (HTTP)."""
        wanted = ServerScript(**script)
        return self._serve_on(self._secure(link, wanted), wanted)

    def _serve(self, setup: Setup | None, script: ServerScript) -> ScriptedServer:
        return self._serve_on(self.connect(setup, script), script)

    def _serve_on(self, connection: Connection, script: ServerScript) -> ScriptedServer:
        end = connection.handshake()
        served = ScriptedServer(
            connection,
            script,
            self.target.account,
            public_key=binding.subject_public_key(certificate_of(script.key_type).der),
            service_keys=self.target.service_keys,
        )
        if end is not None:
            served.end = end
        else:
            served.run()
        return served

    def baseline(self, setup: Setup | None = None, version: int = HIGHEST_VERSION) -> ScriptedServer:
        """Return a good login.

        Raises:
            Skipped: the client does not complete it.
        """
        key = version, setup or Setup()
        if key not in self._known:
            self._known[key] = self.try_serve(setup, version=version)
        served = self._known[key]
        if not served.delegated_something:
            told = "" if served.report is None else f", and told its caller: {served.report}"
            raise Skipped(
                f"the client does not complete a good login with version {version}: "
                f"{describe_end(served.end)} {served.stage}{told}"
            )
        self.looked_at = served.connection
        return served

    def observation(self, version: int = HIGHEST_VERSION, setup: Setup | None = None) -> Observation:
        """Return a good login as a recorded exchange, judged as the client's."""
        return self.baseline(setup, version).observed()

    # Judgements

    def stopped(self, served: ScriptedServer, what: str) -> Outcome:
        """Judge a client that must not send authInfo."""
        if served.delegated_something:
            return failed(f"{what}: the client sent its credentials")
        return self._ended(served, what)

    def stopped_early(self, served: ScriptedServer, what: str) -> Outcome:
        """Judge a client that must not answer the server's first token."""
        if served.answers:
            return failed(f"{what}: the client continued")
        return self._ended(served, what)

    def stopped_or_lenient(self, served: ScriptedServer, what: str) -> Outcome:
        """Judge a client that should not send authInfo, and may."""
        return lenient(f"{what} was taken") if served.delegated_something else self.stopped(served, what)

    def completed_rightly(self, served: ScriptedServer, what: str) -> Outcome:
        """Judge a client that must complete the login, and bind in the form of the version to the right key."""
        if served.key_message is not None and served.client_key is None:
            return failed(f"{what}: {describe_end(served.end)}")
        if served.key_message is not None and not served.client_key_right:
            return failed(f"{what}: the client's pubKeyAuth is not what version {served.effective} wants")
        return self.completed(served, what)

    def _ended(self, served: ScriptedServer, what: str) -> Outcome:
        return judge_refusal(served.end, served.crash, accepted=failed(f"{what}: the client continued"))

    def completed(self, served: ScriptedServer, what: str) -> Outcome:
        """Judge a client that must complete the login."""
        if served.crash:
            return Outcome(Verdict.CRASH, served.crash)
        if served.delegated_something:
            return passed()
        if served.end is not None and served.end.end is End.SILENT:
            return Outcome(Verdict.HANG, f"{what}: neither an answer nor a close")
        return failed(f"{what}: the client gave up ({describe_end(served.end)})")

    def either(self, served: ScriptedServer, what: str, *, at_first: bool = True) -> Outcome:
        """Judge a client that may continue or stop, but not hang."""
        if served.crash:
            return Outcome(Verdict.CRASH, served.crash)
        went_on = served.answers > 0 if at_first else served.delegated_something
        if not went_on and served.end is not None and served.end.end is End.SILENT:
            return Outcome(Verdict.HANG, f"{what}: neither an answer nor a close")
        return passed("continued" if went_on else f"stopped: {describe_end(served.end)}")

"""What a case against a server gets: connections, logins, and the words to judge them with."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeAlias

from credssp import binding
from credssp.account import upper_case
from credssp.conformance.connection import Connection, End, Reply
from credssp.conformance.http import HttpClientLink
from credssp.conformance.http_messages import HttpEvidence
from credssp.conformance.links import Link, NotedLink, without_notes
from credssp.conformance.observation import Observation
from credssp.conformance.rule import Evidence, Outcome, Skipped, Verdict, failed, lenient, passed
from credssp.conformance.scripted_client import ClientScript, ScriptedClient
from credssp.conformance.setup import FORMS, ServerTarget, Setup, WireForm
from credssp.errors import CredSSPError
from credssp.exchange.recorded_login import Sender
from credssp.kerberos.tickets import ServiceTicket
from credssp.protocol_version import HIGHEST_VERSION
from credssp.tls.channel import TLSChannel, TLSSession
from credssp.tls.settings import ClientTLS, client_context

__all__ = ["KnownLogins", "Run", "ServerRun", "describe_end", "judge_refusal"]

KnownLogins: TypeAlias = dict[tuple[WireForm, int, Setup], ScriptedClient]
"""Good logins at a server, by form, version and set-up."""


def outer_certificate(connection: Connection) -> bytes | None:
    """Return the server's certificate of the outermost TLS: of https, or else of the login's own."""
    link = connection.link
    if isinstance(link, HttpClientLink):
        return link.connection.certificate
    return connection.channel.peer_certificate


def describe_end(reply: Reply | None) -> str:
    """Say how the peer ended it."""
    return "the exchange continued" if reply is None else str(reply)


def judge_refusal(reply: Reply | None, crash: str, *, accepted: Outcome) -> Outcome:
    """Judge what should have been refused.

    Args:
        reply: how the peer ended it; None where it went along.
        crash: how it crashed, or an empty string.
        accepted: what it comes to if the peer went along.
    """
    if crash:
        return Outcome(Verdict.CRASH, crash)
    if reply is None:
        return accepted
    if reply.end is End.SILENT:
        return Outcome(Verdict.HANG, "neither an answer nor a close")
    if reply.refused:
        return passed(str(reply))
    return accepted if reply.end is End.MESSAGE else passed(str(reply))


class Run:
    """The connections of one case.

    Attributes:
        last: the last connection with TLS, or None where a link came after it.
        notes: what went over the last link before TLS.
        looked_at: the connection of the good login that was asked for last.
    """

    def __init__(self) -> None:
        self.last: Connection | None = None
        self.notes: list[Evidence] = []
        self.looked_at: Connection | None = None
        self._open: list[Link] = []

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """What went over in the last connection, or in the good login where a case only looks at that."""
        if self.last is None:
            return tuple(self.notes or ([] if self.looked_at is None else self.looked_at.evidence))
        if any(item.data and not isinstance(item, HttpEvidence) for item in self.last.evidence):
            return tuple(self.last.evidence)
        return (*self.notes, *self.last.evidence_with_handshake)

    def note(self, item: Evidence) -> None:
        """Take note of what went over outside the login, such as an HTTP message."""
        (self.notes if self.last is None else self.last.evidence).append(item)

    def close(self) -> None:
        """Close all connections."""
        for link in self._open:
            link.close()

    def _keep(self, link: Link) -> Link:
        self._open.append(link)
        return link

    def _noted(self, link: Link, side: Sender, *before: Evidence) -> Link:
        """Begin to note what goes over a link."""
        self.last, self.notes = None, list(before)
        return NotedLink(link, side, self.notes)

    @property
    def any_ended(self) -> bool:
        """Whether the peer ended one of the connections, as one that dies does."""
        return any(getattr(link, "ended", True) for link in self._open)


class ServerRun(Run):
    """Logs on to a server; one for each case.

    Attributes:
        target: the server.
    """

    def __init__(self, target: ServerTarget, known: KnownLogins) -> None:
        super().__init__()
        self.target = target
        self._known = known

    def _make_room(self) -> None:
        """Close what is open: some servers (FreeRDP's) take no connection while another one waits for its login."""
        if "http" not in self.target.features:  # two rules need two connections there
            self.close()

    # Connections

    def connect(
        self, setup: Setup | None = None, *, tls: ClientTLS | None = None, session: TLSSession | None = None
    ) -> Connection:
        """Open a connection; the TLS handshake is still to be done."""
        self._make_room()
        self.notes = []
        return self.wrap(self._opened(self.target.open(setup or Setup())), tls=tls, session=session)

    def _opened(self, link: Link) -> Link:
        if isinstance(link, HttpClientLink):
            link.connection.note = self.note
        return self._keep(link)

    def _first(self, link: Link) -> Link:
        link = self._opened(link)
        return link if "http" in self.target.features else self._noted(link, "client")

    def raw(self, setup: Setup | None = None) -> Link:
        """Open a connection before anything was said."""
        self._make_room()
        return self._first(self.target.open_raw(setup or Setup()))

    def raw_at_tls(self, setup: Setup | None = None) -> Link:
        """Open a connection at the point where TLS begins, without a TLS of ours."""
        self._make_room()
        return self._first(self.target.open(setup or Setup()))

    def wrap(self, link: Link, *, tls: ClientTLS | None = None, session: TLSSession | None = None) -> Connection:
        """Put TLS on a link."""
        host = self.target.target_name.rpartition("/")[2] or None
        channel = TLSChannel(
            client_context(tls or ClientTLS()), server_side=False, server_hostname=host, session=session
        )
        self.last = Connection(without_notes(link), channel, side="client", timeout=self.target.timeout)
        return self.last

    # Logins

    def login(
        self,
        setup: Setup | None = None,
        *,
        tls: ClientTLS | None = None,
        connection: Connection | None = None,
        **script: Any,
    ) -> ScriptedClient:
        """Try a login; the arguments beyond are those of `ClientScript`.

        Raises:
            Skipped: a good login with this version or form is refused as well, so nothing can be learnt.
        """
        setup = setup or Setup()
        wanted = self._with_form(ClientScript(**script))
        good = self.baseline(wanted.form, min(wanted.version, HIGHEST_VERSION), setup)
        wanted = dataclasses.replace(
            wanted,
            separate_key=wanted.separate_key or good.script.separate_key,
            bound=wanted.bound or good.script.bound,
            full_capitals=wanted.full_capitals or good.script.full_capitals,
        )
        return self._attempt(wanted, setup, tls=tls, connection=connection)

    def kerberos_login(self, **script: Any) -> ScriptedClient:
        """Try a login with Kerberos, as `login`."""
        return self.login(form=self._first_form(self.kerberos_forms), **script)

    def patient_login(self, **script: Any) -> ScriptedClient:
        """Try a login as `login`, and wait for each answer as long as `patience` says."""
        self.baseline()  # before the connection: some servers have room for one
        connection = self.connect()
        connection.timeout = self.patience
        return self.login(connection=connection, **script)

    @property
    def patience(self) -> float:
        """Seconds in which a server must have closed a connection on which nothing more comes."""
        return max(self.target.timeout, getattr(self.target, "silence", 0.0))

    def try_login(self, setup: Setup | None = None, *, tls: ClientTLS | None = None, **script: Any) -> ScriptedClient:
        """Try a login whatever came of a good one."""
        return self._attempt(self._with_form(ClientScript(**script)), setup or Setup(), tls=tls)

    def _with_form(self, script: ClientScript) -> ClientScript:
        """Give a script the form that the server takes, of those in which it makes sense."""
        if script.form:
            return script
        if script.kerberos:
            return dataclasses.replace(script, form=self._first_form(self.kerberos_forms))
        if script.ntlm or script.password is not None or script.username is not None:
            # With Kerberos a KDC judges names and passwords, and nothing is left for the server to refuse.
            return dataclasses.replace(script, form=self._first_form(self.ntlm_forms))
        return dataclasses.replace(script, form=self.form)

    def baseline(
        self, form: WireForm = "", version: int = HIGHEST_VERSION, setup: Setup | None = None
    ) -> ScriptedClient:
        """Return a good login.

        Raises:
            Skipped: the server does not take it.
        """
        setup = setup or Setup()
        key = form or self.form, max(version, 0), setup
        if key not in self._known:
            self._known[key] = self._good(key[0], key[1], setup)
        login = self._known[key]
        if not login.key_answered or login.accepted is False:
            raise Skipped(
                f"a good login with {FORMS[key[0]]} and version {version} is not taken: {describe_end(login.end)}"
            )
        self.looked_at = login.connection
        return login

    @property
    def form(self) -> WireForm:
        """What the server takes: bare NTLM, else NTLM in SPNEGO, else Kerberos if there are tickets."""
        return next((form for form in self.forms if self._takes(form)), "ntlm")

    @property
    def forms(self) -> tuple[WireForm, ...]:
        """What can be tried on this server."""
        return self.ntlm_forms + self.kerberos_forms

    @property
    def ntlm_forms(self) -> tuple[WireForm, ...]:
        """The forms with NTLM."""
        return ("ntlm", "spnego")

    @property
    def kerberos_forms(self) -> tuple[WireForm, ...]:
        """The forms with Kerberos, if there are tickets."""
        return ("spnego-kerberos", "kerberos") if "kerberos" in self.target.features else ()

    @property
    def ntlm_form(self) -> WireForm:
        """The form with NTLM that the server takes. Raises Skipped where it takes none."""
        return self._first_form(self.ntlm_forms)

    def _first_form(self, forms: tuple[WireForm, ...]) -> WireForm:
        for form in forms:
            if self._takes(form):
                return form
        wanted = " nor ".join(FORMS[form] for form in forms) or "Kerberos, for which there are no tickets"
        raise Skipped(f"the server takes neither {wanted}" if forms else f"this needs {wanted}")

    def _takes(self, form: WireForm) -> bool:
        key = form, HIGHEST_VERSION, Setup()
        if key not in self._known:
            self._known[key] = self._good(form, HIGHEST_VERSION, Setup())
        return self._known[key].key_answered

    def _good(self, form: WireForm, version: int, setup: Setup) -> ScriptedClient:
        """Log on well; with pubKeyAuth in a message of its own where the server takes it in SPNEGO only so.

        [MS-CSSP] 3.1.5 step 3 puts it beside the last token, and CSSP-SPNEGO-01 says so of a server that does not
        take it there (FreeRDP 3's). The other rules are about other things.
        """
        script = ClientScript(form=form, version=version)
        login = self._good_in_other_ways(script, setup)
        if login.key_answered or not script.in_spnego or login.stage != "key":
            return login
        later = self._attempt(dataclasses.replace(script, separate_key=True), setup)
        return later if later.key_answered else login

    def _good_in_other_ways(self, script: ClientScript, setup: Setup) -> ScriptedClient:
        """Log on well, as some servers want it: with channel bindings over https, with other capitals in the name."""
        login = self._attempt(script, setup)
        name, ways = self.target.account.username, []
        if self.is_https:
            ways.append(dataclasses.replace(script, bound=True))
        if not script.is_kerberos and upper_case(name) != name.upper():
            ways.append(dataclasses.replace(script, full_capitals=True))
        for way in ways:
            if login.key_answered or login.stage != "key":
                break
            other = self._attempt(way, setup)
            login = other if other.key_answered else login
        return login

    @property
    def is_https(self) -> bool:
        """Whether there is another TLS around the login's own."""
        return "http" in self.target.features and self.target.name.startswith("https:")

    def ticket(self) -> ServiceTicket:
        """Return a Kerberos ticket for the server.

        Raises:
            Skipped: there is none to be had.
        """
        source = self.target.tickets
        if source is None:
            raise Skipped("there are no Kerberos tickets for this server")
        try:
            return source(self.target.target_name)
        except CredSSPError as error:
            raise Skipped(f"no Kerberos ticket: {error.message}") from None

    def _attempt(
        self, script: ClientScript, setup: Setup, *, tls: ClientTLS | None = None, connection: Connection | None = None
    ) -> ScriptedClient:
        if connection is None:
            connection = self.connect(setup, tls=tls)
        self.last = connection
        end = None if connection.channel.handshake_complete else connection.handshake()
        certificate = connection.channel.peer_certificate
        key = binding.subject_public_key(certificate) if certificate is not None else b""
        login = ScriptedClient(
            connection,
            script,
            self.target.account,
            public_key=key,
            target_name=self.target.target_name,
            ticket=self.ticket() if script.is_kerberos else None,
            certificate=outer_certificate(connection) or b"",
        )
        if end is not None:
            login.end = end
            return login
        login.run()
        if login.stage == "done":
            self._settle(login)
        return login

    def _settle(self, login: ScriptedClient) -> None:
        """Find out whether the server took the credentials."""
        connection = login.connection
        login.accepted = self.target.accepted(connection.link)
        settle = self.target.settle
        if login.accepted is None and settle is not None:
            # RDP: a server that took them waits for MCS, or sends the Early User Authorization Result.
            reply = connection.receive(settle)
            script = login.script
            good = script == ClientScript(
                form=script.form,
                version=script.version,
                separate_key=script.separate_key,
                bound=script.bound,
                full_capitals=script.full_capitals,
            )
            if reply.end is End.CLOSED and (good or self._closes_after_a_login()):
                # A test endpoint that is content with the login: a close says nothing there.
                return
            login.accepted = reply.end is End.SILENT or reply.end is End.OTHER
            if reply.end is End.OTHER:
                connection.unread(reply.data)
            elif not login.accepted:
                login.end = reply
        elif login.accepted is False or connection.link.crash:
            login.end = connection.receive(0.05)

    def _closes_after_a_login(self) -> bool:
        return any(known.stage == "done" and known.accepted is None for known in self._known.values())

    def observation(self, form: WireForm = "", version: int = HIGHEST_VERSION) -> Observation:
        """Return a good login as a recorded exchange, judged as the server's."""
        return self.baseline(form, version).observed()

    # Judgements

    def refused(self, login: ScriptedClient, what: str, *, or_lenient: bool = False) -> Outcome:
        """Judge a login that must not get a pubKeyAuth of the server, or must not be taken after authInfo."""
        taken = login.accepted is not False if login.stage == "done" and login.end is None else login.key_answered
        verdict = lenient(f"{what} was taken") if or_lenient else failed(f"{what} was taken")
        if login.stage == "done" and login.accepted is None and login.end is None:
            raise Skipped("this server does not show whether it took the credentials")
        if taken and login.end is None:
            return Outcome(Verdict.CRASH, login.crash) if login.crash else verdict
        return judge_refusal(login.end, login.crash, accepted=verdict)

    def refused_or_lenient(self, login: ScriptedClient, what: str) -> Outcome:
        """Judge a login that should be refused as `refused` has it, and may be taken."""
        return self.refused(login, what, or_lenient=True)

    def key_refused_or_lenient(self, login: ScriptedClient, what: str) -> Outcome:
        """Judge a login that should not get a pubKeyAuth of the server, and may."""
        return lenient(f"{what} was taken") if login.key_answered else self.key_refused(login, what)

    def key_refused(self, login: ScriptedClient, what: str) -> Outcome:
        """Judge a login that must not get a pubKeyAuth of the server."""
        if login.key_answered:
            return failed(f"{what} was answered with the server's pubKeyAuth")
        return judge_refusal(login.end, login.crash, accepted=failed(f"{what} was taken"))

    def taken(self, login: ScriptedClient, what: str) -> Outcome:
        """Judge a login that must be taken."""
        if login.crash:
            return Outcome(Verdict.CRASH, login.crash)
        if login.accepted is None and login.script.credentials is not None and login.stage == "done":
            raise Skipped("this server does not show whether it took the credentials")
        if login.key_answered and login.accepted is not False:
            return passed() if login.server_is_right else failed(f"{what}: taken, but the server's pubKeyAuth is wrong")
        if login.end is not None and login.end.end is End.SILENT and not login.echoed:
            return Outcome(Verdict.HANG, f"{what}: neither an answer nor a close")
        return failed(f"{what} was refused: {describe_end(login.end)}")

    def taken_like(self, login: ScriptedClient, what: str, *, control: bytes) -> Outcome:
        """Judge a login whose credentials must be taken because of their form, as `taken`.

        What is delegated is made up. A server that uses it, such as a gateway that logs on with it elsewhere, refuses
        it whatever its form, and that says nothing about the form.

        Args:
            login: the login.
            what: what was tried, in words.
            control: TSCredentials in the most common form that are wrong in the same way.

        Raises:
            Skipped: the server refuses `control` as well, or does not show what it makes of credentials.
        """
        outcome = self.taken(login, what)
        if outcome.verdict is Verdict.FAIL and login.stage == "done" and login.accepted is False:
            usual = self.login(credentials=control)
            if usual.stage == "done" and usual.accepted is False:
                raise Skipped("the server checks the credentials that it is given: it refuses made-up ones in any form")
            self.last = login.connection
        return outcome

    def either(self, login: ScriptedClient, what: str) -> Outcome:
        """Judge a login that may be taken or refused, but not left hanging."""
        if login.crash:
            return Outcome(Verdict.CRASH, login.crash)
        if login.end is not None and login.end.end is End.SILENT:
            return Outcome(Verdict.HANG, f"{what}: neither an answer nor a close")
        return passed("taken" if login.key_answered else f"refused: {describe_end(login.end)}")

"""What a case against a server gets: connections, logins, and the words to judge them with."""

from __future__ import annotations

import dataclasses
from typing import Any

from credssp import binding
from credssp.conformance.attempt import Attempt, Plan
from credssp.conformance.exchange import Exchange, Observation
from credssp.conformance.links import Link
from credssp.conformance.rule import Evidence, Outcome, Role, Skipped, Verdict, failed, lenient, passed
from credssp.conformance.setup import FORMS, ServerTarget, Setup, WireForm
from credssp.conformance.wire import End, Reply, Wire
from credssp.errors import CredSSPError
from credssp.kerberos.tickets import ServiceTicket
from credssp.tls.channel import TLSChannel, TLSSession
from credssp.tls.settings import ClientTLS, client_context

__all__ = ["ServerRun", "describe_end", "judge_refusal"]


def describe_end(reply: Reply | None) -> str:
    """Say how the peer ended it."""
    return "the exchange went on" if reply is None else str(reply)


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


class ServerRun:
    """Plays a client against a server; one for each case.

    Attributes:
        target: the server.
        evidence: what went over in the last connection.
    """

    def __init__(self, target: ServerTarget, known: dict[tuple[str, int, Setup], Attempt]) -> None:
        self.target = target
        self._known = known
        self._open: list[Link] = []
        self.last: Wire | None = None

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """What went over in the last connection."""
        return tuple(self.last.evidence) if self.last is not None else ()

    def close(self) -> None:
        """Close all connections."""
        for link in self._open:
            link.close()

    # Connections

    def connect(
        self, setup: Setup | None = None, *, tls: ClientTLS | None = None, session: TLSSession | None = None
    ) -> Wire:
        """Open a connection; the TLS handshake is still to be done."""
        return self.wrap(self._keep(self.target.open(setup or Setup())), tls=tls, session=session)

    def raw(self, setup: Setup | None = None) -> Link:
        """Open a connection before anything was said."""
        return self._keep(self.target.open_raw(setup or Setup()))

    def raw_at_tls(self, setup: Setup | None = None) -> Link:
        """Open a connection at the point where TLS begins, without a TLS of ours."""
        return self._keep(self.target.open(setup or Setup()))

    def wrap(self, link: Link, *, tls: ClientTLS | None = None, session: TLSSession | None = None) -> Wire:
        """Put TLS on a link."""
        host = self.target.target_name.rpartition("/")[2] or None
        channel = TLSChannel(
            client_context(tls or ClientTLS()), server_side=False, server_hostname=host, session=session
        )
        self.last = Wire(link, channel, side="client", timeout=self.target.timeout)
        return self.last

    def _keep(self, link: Link) -> Link:
        self._open.append(link)
        return link

    # Logins

    def login(
        self, setup: Setup | None = None, *, tls: ClientTLS | None = None, wire: Wire | None = None, **plan: Any
    ) -> Attempt:
        """Try a login; the arguments beyond are those of `Plan`.

        Raises:
            Skipped: a good login with this version or form is refused as well, so nothing can be learnt.
        """
        setup = setup or Setup()
        wanted = self._with_form(Plan(**plan))
        self.baseline(wanted.form, min(wanted.version, 6), setup)
        return self._attempt(wanted, setup, tls=tls, wire=wire)

    def kerberos_login(self, **plan: Any) -> Attempt:
        """Try a login with Kerberos, as `login`."""
        return self.login(form=self._first_form(self.kerberos_forms), **plan)

    def try_login(self, setup: Setup | None = None, *, tls: ClientTLS | None = None, **plan: Any) -> Attempt:
        """Try a login whatever came of a good one."""
        return self._attempt(self._with_form(Plan(**plan)), setup or Setup(), tls=tls)

    def _with_form(self, plan: Plan) -> Plan:
        """Give a plan the form that the server takes, of those in which it makes sense."""
        if plan.form:
            return plan
        if plan.kerberos:
            return dataclasses.replace(plan, form=self._first_form(self.kerberos_forms))
        if plan.ntlm or plan.password is not None or plan.username is not None:
            # With Kerberos a KDC judges names and passwords, and nothing is left for the server to refuse.
            return dataclasses.replace(plan, form=self._first_form(self.ntlm_forms))
        return dataclasses.replace(plan, form=self.form)

    def baseline(self, form: WireForm = "", version: int = 6, setup: Setup | None = None) -> Attempt:
        """Return a good login.

        Raises:
            Skipped: the server does not take it.
        """
        setup = setup or Setup()
        key = form or self.form, max(version, 0), setup
        if key not in self._known:
            self._known[key] = self._attempt(Plan(form=key[0], version=key[1]), setup)
        attempt = self._known[key]
        if not attempt.key_answered or attempt.accepted is False:
            raise Skipped(
                f"a good login with {FORMS[key[0]]} and version {version} is not taken: {describe_end(attempt.end)}"
            )
        return attempt

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

    def _first_form(self, forms: tuple[WireForm, ...]) -> WireForm:
        for form in forms:
            if self._takes(form):
                return form
        wanted = " nor ".join(FORMS[form] for form in forms) or "Kerberos, for which there are no tickets"
        raise Skipped(f"the server takes neither {wanted}" if forms else f"this needs {wanted}")

    def _takes(self, form: WireForm) -> bool:
        key = form, 6, Setup()
        if key not in self._known:
            self._known[key] = self._attempt(Plan(form=form), Setup())
        return self._known[key].key_answered

    def ticket(self) -> ServiceTicket:
        """Return a Kerberos ticket for the server.

        Raises:
            Skipped: there is none to be had.
        """
        source = getattr(self.target, "tickets", None)
        if source is None:
            raise Skipped("there are no Kerberos tickets for this server")
        try:
            found: ServiceTicket = source(self.target.target_name)
        except CredSSPError as error:
            raise Skipped(f"no Kerberos ticket: {getattr(error, 'message', error)}") from None
        return found

    def _attempt(self, plan: Plan, setup: Setup, *, tls: ClientTLS | None = None, wire: Wire | None = None) -> Attempt:
        if wire is None:
            wire = self.connect(setup, tls=tls)
        self.last = wire
        end = None if wire.channel.handshake_complete else wire.handshake()
        certificate = wire.channel.peer_certificate
        key = binding.subject_public_key(certificate) if certificate is not None else b""
        attempt = Attempt(
            wire,
            plan,
            self.target.account,
            public_key=key,
            target_name=self.target.target_name,
            ticket=self.ticket() if plan.is_kerberos else None,
        )
        if end is not None:
            attempt.end = end
            return attempt
        attempt.run()
        if attempt.stage == "done":
            self._settle(attempt)
        return attempt

    def _settle(self, attempt: Attempt) -> None:
        """Find out whether the server took the credentials."""
        wire = attempt.wire
        attempt.accepted = self.target.accepted(wire.link)
        settle = getattr(self.target, "settle", None)
        if attempt.accepted is None and settle is not None:
            # RDP: a server that took them waits for MCS, or sends the Early User Authorization Result.
            reply = wire.receive(settle)
            plan = attempt.plan
            good = plan == Plan(form=plan.form, version=plan.version)
            if reply.end is End.CLOSED and (good or self._closes_after_a_login()):
                # A test endpoint that is content with the login: a close says nothing there.
                return
            attempt.accepted = reply.end is End.SILENT or reply.end is End.OTHER
            if reply.end is End.OTHER:
                wire.unread(reply.data)
            elif not attempt.accepted:
                attempt.end = reply
        elif attempt.accepted is False or wire.link.crash:
            attempt.end = wire.receive(0.05)

    def _closes_after_a_login(self) -> bool:
        return any(known.stage == "done" and known.accepted is None for known in self._known.values())

    def observation(self, form: WireForm = "", version: int = 6) -> Observation:
        """Return a good login as a recorded exchange, judged as the server's."""
        exchange: Exchange = self.baseline(form, version).exchange()
        return Observation(exchange, Role.SERVER)

    # Judgements

    def refused(self, attempt: Attempt, what: str, *, or_lenient: bool = False) -> Outcome:
        """Judge a login that must not get a pubKeyAuth of the server, or must not be taken after authInfo."""
        taken = (
            attempt.accepted is not False if attempt.stage == "done" and attempt.end is None else attempt.key_answered
        )
        verdict = lenient(f"{what} was taken") if or_lenient else failed(f"{what} was taken")
        if attempt.stage == "done" and attempt.accepted is None and attempt.end is None:
            raise Skipped("this server does not show whether it took the credentials")
        if taken and attempt.end is None:
            return Outcome(Verdict.CRASH, attempt.crash) if attempt.crash else verdict
        return judge_refusal(attempt.end, attempt.crash, accepted=verdict)

    def key_refused(self, attempt: Attempt, what: str) -> Outcome:
        """Judge a login that must not get a pubKeyAuth of the server."""
        if attempt.key_answered:
            return failed(f"{what} was answered with the server's pubKeyAuth")
        return judge_refusal(attempt.end, attempt.crash, accepted=failed(f"{what} was taken"))

    def taken(self, attempt: Attempt, what: str) -> Outcome:
        """Judge a login that must be taken."""
        if attempt.crash:
            return Outcome(Verdict.CRASH, attempt.crash)
        if attempt.accepted is None and attempt.plan.credentials is not None and attempt.stage == "done":
            raise Skipped("this server does not show whether it took the credentials")
        if attempt.key_answered and attempt.accepted is not False:
            return (
                passed() if attempt.server_is_right else failed(f"{what}: taken, but the server's pubKeyAuth is wrong")
            )
        if attempt.end is not None and attempt.end.end is End.SILENT:
            return Outcome(Verdict.HANG, f"{what}: neither an answer nor a close")
        return failed(f"{what} was refused: {describe_end(attempt.end)}")

    def either(self, attempt: Attempt, what: str) -> Outcome:
        """Judge a login that may be taken or refused, but not left hanging."""
        if attempt.crash:
            return Outcome(Verdict.CRASH, attempt.crash)
        if attempt.end is not None and attempt.end.end is End.SILENT:
            return Outcome(Verdict.HANG, f"{what}: neither an answer nor a close")
        return passed("taken" if attempt.key_answered else f"refused: {describe_end(attempt.end)}")

"""Kerberos peers that are wrong in one way each, made from the suite's own Kerberos: what the rules must notice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from unittest import mock

from credssp.conformance import Account
from credssp.conformance.kerberos import KerberosClient, KerberosServer, KerberosSession, TicketSource, WrapToken
from credssp.conformance.links import MemoryPeer
from credssp.conformance.memory import MemoryClientTarget, MemoryServerTarget
from credssp.conformance.scripted_server import certificate_of
from credssp.conformance.setup import Setup
from credssp.context import ClientContext, ServerContext
from credssp.credentials import PasswordCredentials
from credssp.errors import CredSSPError
from credssp.kerberos.tickets import ServiceKey
from credssp.mechanism import Mechanism
from credssp.security_context import SecurityContext
from credssp.server_authentication import ServerAuthentication
from credssp.spnego import OID, Candidate, NegTokenResp, SpnegoAcceptor, SpnegoInitiator
from credssp.spnego.first_token import create_acceptor_of
from tests.conformance.mutants import Peer


class Session(KerberosSession):
    """A session of which one thing is changed."""

    def __init__(self, session: KerberosSession, change: str) -> None:
        self.__dict__.update(session.__dict__)
        self.change = change

    def wrap(self, data: bytes, **options: Any) -> bytes:
        if self.change == "wrong flags" or (self.change == "always a subkey" and not self._base_flags):
            options["flip_flags"] = 0x04
        return super().wrap(data, **options)

    def unwrap(self, token: bytes) -> bytes:
        header = WrapToken.decode(token)
        if self.change == "takes only Windows' turn" and (header.rrc, header.ec) != (28, 0):
            raise CredSSPError("another turn")
        try:
            return super().unwrap(token)
        except CredSSPError:
            if self.change != "takes its own":
                raise
        theirs: Any = "initiator" if self._acceptor else "acceptor"
        mirror = KerberosSession(self.key, role=theirs, acceptor_subkey=bool(self._base_flags), send=0, receive=None)
        return mirror.unwrap(token)


class Service(KerberosServer):
    """The suite's service, which looks neither at names nor at clocks, with a changed session."""

    def __init__(self, keys: Sequence[ServiceKey], change: str, **options: Any) -> None:
        super().__init__(keys, **options)
        self.change = change

    def verify_mech_list_mic(self, mech_types: bytes, mic: bytes) -> None:
        if self.change != "any mechListMIC":
            super().verify_mech_list_mic(mech_types, mic)
        elif self.session is not None and self.session.expected is not None:
            self.session.expected += 1

    def _step(self, token: bytes | None) -> bytes | None:
        reply = super()._step(token)
        if self.session is not None:
            self.session = Session(self.session, self.change)
            if self.change == "no sequence":
                self.session.expected = None
        return reply


class CarelessSpnego(SpnegoAcceptor):
    """Asks for a mechListMIC, and goes on without one."""

    def _answer(self, mechanism: Any, token: bytes | None, mic: bytes | None, **options: Any) -> NegTokenResp:
        self._mic_received = self._mic_sent
        return super()._answer(mechanism, token, mic, **options)


def server(
    account: Account, keys: Sequence[ServiceKey], tickets: TicketSource, target_name: str,
    *, change: str = "", spnego: type[SpnegoAcceptor] | None = None, peer: type[Peer] = Peer, **options: Any,
) -> MemoryServerTarget:  # fmt: skip
    def acceptor(*_: Any, **__: Any) -> Mechanism:
        candidates = [Candidate("kerberos", OID.KERBEROS, lambda: Service(keys, change, **options))]
        return create_acceptor_of(candidates) if spnego is None else spnego(candidates)

    def make(setup: Setup) -> MemoryPeer:
        with mock.patch("credssp.context.server.create_acceptor", acceptor):
            context = ServerContext(certificate=certificate_of(setup.key_type), min_version=setup.min_version)
        return peer(context, None, speaks_first=False)

    return MemoryServerTarget(
        "mutant", make, account=account, features=frozenset({"report", "kerberos"}), target_name=target_name,
        tickets=tickets,
    )  # fmt: skip


class HandInitiator(SecurityContext):
    """The suite's client as the inner authentication of a context."""

    def __init__(self, client: KerberosClient, change: str) -> None:
        super().__init__()
        self.name = "kerberos"
        self.wire_form = "kerberos"
        self.change = change
        self.client = client
        self._started = False

    @property
    def session_key(self) -> bytes:
        raise NotImplementedError

    @property
    def mech_list_mic_required(self) -> bool:
        return False

    def make_mech_list_mic(self, mech_types: bytes) -> bytes:
        return self._session().sign(mech_types)

    def verify_mech_list_mic(self, mech_types: bytes, mic: bytes) -> None:
        self._session().verify(mech_types, mic)

    def _session(self) -> KerberosSession:
        assert self.client.session
        return self.client.session

    def _step(self, token: bytes | None) -> bytes | None:
        if not self._started:
            self._started = True
            return self.client.start()
        try:
            self.client.finish(token or b"")
        except CredSSPError:
            if self.change != "no matter what":
                raise
            self.client.establish()
        if not self.client.mutual_proof and self.change not in ("takes any time", "no matter what"):
            raise CredSSPError("no proof")
        self._done()
        return None

    def _done(self) -> None:
        session = self.client.session = Session(self._session(), self.change)
        if self.change == "no sequence":
            session.expected = None
        self.complete = self.can_wrap = True
        self.server_authentication = ServerAuthentication.KERBEROS

    def _wrap(self, data: bytes) -> bytes:
        return self._session().wrap(data)

    def _unwrap(self, data: bytes) -> bytes:
        return self._session().unwrap(data)


def client(
    account: Account, keys: Sequence[ServiceKey], tickets: TicketSource, target_name: str,
    *, change: str = "", spnego: bool = False, **faults: Any,
) -> MemoryClientTarget:  # fmt: skip
    def initiator(*_: Any, **__: Any) -> SecurityContext:
        def make() -> HandInitiator:
            return HandInitiator(KerberosClient(ticket=tickets(target_name), **faults), change)

        return SpnegoInitiator([Candidate("kerberos", OID.KERBEROS, make)]) if spnego else make()

    def make(setup: Setup) -> MemoryPeer:
        credentials = PasswordCredentials(account.username, account.password, domain=account.domain)
        context = ClientContext(credentials, target_name=target_name, min_version=setup.min_version)
        start = context._start

        def with_initiator() -> Any:
            with mock.patch("credssp.context.client.create_initiator", initiator):
                return start()

        context._start = with_initiator
        return Peer(context, None, speaks_first=True)

    return MemoryClientTarget(
        "mutant", make, account=account, features=frozenset({"report", "kerberos"}), target_name=target_name,
        service_keys=tuple(keys),
    )  # fmt: skip

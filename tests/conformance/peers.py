"""This project's own contexts and RDP ends as targets, without sockets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from credssp.accounts import MemoryAccounts
from credssp.conformance.kerberos import TicketSource, read_service_keys
from credssp.conformance.links import MemoryPeer
from credssp.conformance.memory import TARGET_NAME, TEST_ACCOUNT, MemoryClientTarget, MemoryServerTarget
from credssp.conformance.rule import Skipped
from credssp.conformance.scripted_server import NTLM_ONLY, certificate_of
from credssp.conformance.setup import Setup
from credssp.context import ClientContext, ServerContext
from credssp.errors import CredSSPError
from credssp.exchange.account import LogonAccount
from credssp.kerberos.tickets import ServiceKey
from credssp.policy import DelegationPolicy
from credssp.rdp.client import NLAClient
from credssp.rdp.early_user_authorization import EarlyUserAuthorization
from credssp.rdp.events import AuthorizationRequired
from credssp.rdp.mcs import connect_initial
from credssp.rdp.negotiation import Protocol
from credssp.rdp.relayed import FromServer
from credssp.rdp.server import NLAServer
from credssp.rdp.session_start import SessionStart
from tests.rdp.session import ERECT_DOMAIN

__all__ = [
    "ODD",
    "ContextPeer",
    "EndpointPeer",
    "own_client",
    "own_kerberos_client",
    "own_kerberos_server",
    "own_rdp_client",
    "own_rdp_server",
    "own_relayed_client",
    "own_server",
    "own_session_server",
]


ODD = LogonAccount("Strauß-ŉǰ", "made up for conformance", "LAB")
"""A user whose name has letters that have no capital of one unit."""


class ContextPeer:
    """`ClientContext` or `ServerContext` as a `MemoryPeer`."""

    refusals: Sequence[type[BaseException]] = (CredSSPError,)

    ended = False

    def __init__(self, context: ClientContext | ServerContext) -> None:
        self.context = context

    @property
    def complete(self) -> bool:
        """Whether the login is over and went well."""
        return self.context.complete

    @property
    def identity(self) -> str:
        """Who has logged on."""
        found = self.context.identity if isinstance(self.context, ServerContext) else None
        return "" if found is None else f"{found.domain}\\{found.username}"

    def start(self) -> bytes:
        """Begin."""
        return self.context.step().token if isinstance(self.context, ClientContext) else b""

    def step(self, data: bytes) -> bytes:
        """Take bytes."""
        return self.context.step(data).token

    def eof(self) -> None:
        """Take the end."""
        self.context.receive_eof()


class EndpointPeer:
    """`NLAClient` or `NLAServer` as a `MemoryPeer`."""

    refusals: Sequence[type[BaseException]] = (CredSSPError,)
    ended = False

    def __init__(self, endpoint: NLAClient | NLAServer, *, authorized: bool = True) -> None:
        self._endpoint = endpoint
        self._authorized = authorized

    @property
    def complete(self) -> bool:
        """Whether the login is over and went well."""
        return self._endpoint.complete

    @property
    def unused_data(self) -> bytes:
        """What is kept for the application."""
        return self._endpoint.unused_data

    def start(self) -> bytes:
        """Begin."""
        self._endpoint.start()
        return self._endpoint.data_to_send()

    def step(self, data: bytes) -> bytes:
        """Take bytes."""
        endpoint = self._endpoint
        if endpoint.complete:
            endpoint.unused_data += endpoint.unwrap(data)
            return b""
        for event in endpoint.receive(data):
            if isinstance(event, AuthorizationRequired) and isinstance(endpoint, NLAServer):
                verdict = EarlyUserAuthorization.AUTHZ_SUCCESS
                endpoint.authorize(verdict if self._authorized else EarlyUserAuthorization.AUTHZ_ACCESS_DENIED)
        return endpoint.data_to_send()

    def eof(self) -> None:
        """Take the end."""
        self._endpoint.receive_eof()


class SessionPeer(EndpointPeer):
    """`NLAServer`, and the beginning of a session after the login (`credssp.rdp.session_start`)."""

    start_of: SessionStart | None = None

    def __init__(self, endpoint: NLAServer, *, checks: bool = True, changed: int = 0) -> None:
        """Take whether it checks the client's word, and what it changes in its own."""
        super().__init__(endpoint)
        self._server, self._checks, self._changed = endpoint, checks, changed

    def step(self, data: bytes) -> bytes:
        """Take bytes."""
        server = self._server
        if not server.complete:
            return super().step(data)
        if self.start_of is None:
            asked = server.request.negotiation if server.request is not None else None
            requested = Protocol.RDP if asked is None else asked.protocols
            selected = server.selected_protocol if self._checks else None
            self.start_of = SessionStart(requested ^ Protocol(self._changed), selected=selected)
        return server.wrap(self.start_of.feed(server.unwrap(data)))


class RelayedPeer(EndpointPeer):
    """`NLAClient` as the gateway's own end of a server: MCS Connect Initial after the login, and what is answered."""

    def __init__(self, endpoint: NLAClient, *, checks: bool = True) -> None:
        """Take whether it checks the server's word."""
        super().__init__(endpoint)
        self._client = endpoint
        asked = endpoint.requested_protocols
        self._way = FromServer(asked, asked=asked if checks else None)

    def step(self, data: bytes) -> bytes:
        """Take bytes."""
        client = self._client
        if client.complete:
            return client.wrap(ERECT_DOMAIN) if self._way.feed(client.unwrap(data)) else b""
        output = super().step(data)
        return output + client.wrap(connect_initial(client.selected_protocol)) if client.complete else output


def _accounts(account: LogonAccount) -> MemoryAccounts:
    return MemoryAccounts({(account.domain, account.username): account.password})


def _policy(setup: Setup) -> DelegationPolicy | None:
    return DelegationPolicy.deny_all() if setup.deny else None


def _mechanism(setup: Setup) -> Literal["negotiate", "ntlm"]:
    return "negotiate" if setup.form == "spnego" else "ntlm"


def own_server(account: LogonAccount = TEST_ACCOUNT, **options: Any) -> MemoryServerTarget:
    """Return `credssp.ServerContext` as a target, with these of its options."""

    def make(setup: Setup) -> MemoryPeer:
        context = ServerContext(
            accounts=_accounts(account),
            certificate=certificate_of(setup.key_type),
            mechanisms=NTLM_ONLY,
            min_version=setup.min_version,
            **options,
        )
        return ContextPeer(context)

    return MemoryServerTarget("credssp.ServerContext", make, account, frozenset({"report", "identity"}))


def own_client(account: LogonAccount = TEST_ACCOUNT) -> MemoryClientTarget:
    """Return `credssp.ClientContext` as a target."""

    def make(setup: Setup) -> MemoryPeer:
        if setup.restricted_admin:
            raise Skipped("Restricted Admin mode belongs to RDP")
        context = ClientContext(
            account.credentials,
            target_name=TARGET_NAME,
            mechanism=_mechanism(setup),
            min_version=setup.min_version,
            policy=_policy(setup),
        )
        return ContextPeer(context)

    return MemoryClientTarget("credssp.ClientContext", make, account)


def own_kerberos_server(
    account: LogonAccount, *, keytab: str, tickets: TicketSource, target_name: str, **options: Any
) -> MemoryServerTarget:
    """Return `credssp.ServerContext` with a keytab as a target.

    Args:
        account: for NTLM, beside it.
        keytab: with the key of the service.
        tickets: for a client of it.
        target_name: the service.
        options: further options of the context.
    """

    def make(setup: Setup) -> MemoryPeer:
        certificate = certificate_of(setup.key_type)
        context = ServerContext(
            accounts=_accounts(account),
            certificate=certificate,
            keytab=keytab,
            min_version=setup.min_version,
            **options,
        )
        return ContextPeer(context)

    features = frozenset({"report", "kerberos", "service-keys", "identity"})
    name = "credssp.ServerContext, Kerberos"
    keys = read_service_keys(keytab)
    return MemoryServerTarget(
        name, make, account, features, target_name=target_name, tickets=tickets, service_keys=keys
    )


def own_kerberos_client(
    account: LogonAccount, *, service_keys: Sequence[ServiceKey], target_name: str, bare: bool = False
) -> MemoryClientTarget:
    """Return `credssp.ClientContext` with Kerberos as a target.

    Args:
        account: who logs on; the domain is the realm.
        service_keys: keys of the service.
        target_name: the service.
        bare: without SPNEGO.
    """

    def make(setup: Setup) -> MemoryPeer:
        if setup.restricted_admin or setup.form:
            raise Skipped("this client logs on with Kerberos")
        context = ClientContext(
            account.credentials,
            target_name=target_name,
            mechanism="kerberos" if bare else "negotiate",
            wire_form="kerberos" if bare else "spnego",
            allow_ntlm_downgrade=not bare,  # CSSP-KRB-37 looks at how NTLM is followed
            min_version=setup.min_version,
            policy=_policy(setup),
        )
        return ContextPeer(context)

    features = frozenset({"report", "kerberos"})
    name = f"credssp.ClientContext, {'bare ' if bare else ''}Kerberos"
    return MemoryClientTarget(name, make, account, features, target_name=target_name, service_keys=tuple(service_keys))


def own_rdp_server() -> MemoryServerTarget:
    """Return `credssp.rdp.NLAServer` as a target."""

    def make(setup: Setup) -> MemoryPeer:
        endpoint = NLAServer(
            accounts=_accounts(TEST_ACCOUNT),
            certificate=certificate_of(setup.key_type),
            mechanisms=NTLM_ONLY,
            min_version=setup.min_version,
            remote_guard=setup.remote_guard,
        )
        return EndpointPeer(endpoint, authorized=setup.authorized)

    return MemoryServerTarget("credssp.rdp.NLAServer", make, features=frozenset({"x224", "report"}), rdp=True)


def own_session_server(**options: Any) -> MemoryServerTarget:
    """Return `credssp.rdp.NLAServer` with a session after it; options as of `SessionPeer`."""

    def make(setup: Setup) -> MemoryPeer:
        endpoint = NLAServer(
            accounts=_accounts(TEST_ACCOUNT),
            certificate=certificate_of(setup.key_type),
            mechanisms=NTLM_ONLY,
            min_version=setup.min_version,
        )
        return SessionPeer(endpoint, **options)

    features = frozenset({"x224", "report"})
    return MemoryServerTarget("credssp.rdp.session_start.SessionStart", make, features=features, rdp=True)


def own_relayed_client(**options: Any) -> MemoryClientTarget:
    """Return `credssp.rdp.NLAClient` as a relay has it; options as of `RelayedPeer`."""

    def make(setup: Setup) -> MemoryPeer:
        endpoint = NLAClient(
            TEST_ACCOUNT.credentials, host="srv.lab.test", mechanism=_mechanism(setup), min_version=setup.min_version
        )
        return RelayedPeer(endpoint, **options)

    features = frozenset({"x224", "report"})
    return MemoryClientTarget("credssp.rdp.relayed.FromServer", make, features=features, rdp=True)


def own_rdp_client() -> MemoryClientTarget:
    """Return `credssp.rdp.NLAClient` as a target."""

    def make(setup: Setup) -> MemoryPeer:
        endpoint = NLAClient(
            TEST_ACCOUNT.credentials,
            host="srv.lab.test",
            mechanism=_mechanism(setup),
            restricted_admin=setup.restricted_admin,
            min_version=setup.min_version,
            policy=_policy(setup),
        )
        return EndpointPeer(endpoint)

    return MemoryClientTarget("credssp.rdp.NLAClient", make, features=frozenset({"x224", "report"}), rdp=True)

"""This project's WinRM client, driven without sockets."""

from __future__ import annotations

from dataclasses import dataclass

from credssp.conformance.http import HttpAnswer, HttpRequest, HttpServerLink
from credssp.conformance.links import Link
from credssp.conformance.memory import TEST_ACCOUNT
from credssp.conformance.rule import Skipped
from credssp.conformance.setup import RdpAnswer, Setup
from credssp.errors import CredSSPError
from credssp.exchange.account import LogonAccount
from credssp.kerberos.tickets import ServiceKey
from credssp.policy import DelegationPolicy
from credssp.tls.settings import ClientTLS
from credssp.winrm.client import ClientSettings
from credssp.winrm.encryption import is_encrypted_type
from credssp.winrm.session import ClientSession, Exchange, Incoming, Outgoing

__all__ = ["MemoryWinRMClientTarget", "own_winrm_client"]


class _Session:
    """Requests of a `ClientSession`."""

    crash = ""

    def __init__(self, session: ClientSession, body: bytes) -> None:
        self.report: BaseException | None = None
        self.over = False
        self._session = session
        self._exchange: Exchange = session.send(body, "application/soap+xml;charset=UTF-8")
        self._next: Outgoing | None = next(self._exchange)

    def next(self, timeout: float) -> HttpRequest | None:  # nothing waits
        """Return what the session wants sent."""
        outgoing, self._next = self._next, None
        if outgoing is None:
            return None
        return HttpRequest(outgoing.authorization or "", outgoing.content_type or "", outgoing.body)

    def answer(self, answer: HttpAnswer) -> None:
        """Tell the session."""
        try:
            try:
                self._next = self._exchange.send(Incoming(answer.status, answer.challenges, 1))
            except StopIteration as end:
                self.over = True
                if is_encrypted_type(answer.content_type):
                    self._session.open(end.value, answer.content_type, answer.body)
        except CredSSPError as error:
            self.report = error
            self.over = True

    def close(self) -> None:
        """Forget the session."""
        self._exchange.close()
        self.over = True


@dataclass
class MemoryWinRMClientTarget:
    """`credssp.winrm.ClientSession` as a target; attributes as `MemoryClientTarget`.

    Attributes:
        encrypt: whether it encrypts messages, as over http it must.
        tls: its TLS settings.
    """

    name: str = "credssp.winrm.ClientSession"
    account: LogonAccount = TEST_ACCOUNT
    features: frozenset[str] = frozenset({"http", "report"})
    timeout: float = 1.0
    target_name: str = "HTTP/srv.lab.test"
    service_keys: tuple[ServiceKey, ...] = ()
    encrypt: bool = True
    tls: ClientTLS | None = None

    def start(self, setup: Setup, answer: RdpAnswer) -> Link:
        """Start a login with an encrypted message behind it."""
        if answer != RdpAnswer() or setup.restricted_admin:
            raise Skipped("this belongs to RDP")
        settings = ClientSettings(
            credentials=TEST_ACCOUNT.credentials,
            mechanism="negotiate" if setup.form == "spnego" else "ntlm",
            min_version=setup.min_version,
            policy=DelegationPolicy.deny_all() if setup.deny else None,
            tls=self.tls,
        )
        session = ClientSession(settings, "srv.lab.test", encrypt=self.encrypt)
        return HttpServerLink(_Session(session, b"<soap/>" + b" " * (40_000 if setup.large_message else 0)))

    def request(self, link: Link) -> bytes:  # nothing stands in front
        """Return nothing."""
        return b""


def own_winrm_client() -> MemoryWinRMClientTarget:
    """Return the target."""
    return MemoryWinRMClientTarget()

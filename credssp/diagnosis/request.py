"""What to examine, and how."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from credssp.config import Timeouts

if TYPE_CHECKING:
    from credssp.credentials import CCacheCredentials
    from credssp.policy import PolicySettings
    from credssp.proxy import Proxy

__all__ = ["DiagnosisRequest"]

_SERVICES: Final = {"rdp": "TERMSRV", "http": "HTTP", "https": "HTTP"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DiagnosisRequest:
    """What to examine.

    Attributes:
        url: as the user wrote it, for people and for the next command.
        scheme: ``rdp``, ``http`` or ``https``.
        host: name or address.
        port: TCP port.
        path: of the URL, for WinRM.
        timeout: seconds for each answer, of the server and of a KDC.
        proxy: a proxy on the way, or None.
        routing_token: a load balancer's token for RDP, or None.
        cookie: the name in RDP's cookie; None or empty for none.
        cacert: PEM file of the authorities to trust; None judges by the system's, without demanding it.
        fingerprint: SHA-256 of the certificate that is expected, or None.
        realm: the Kerberos realm, or None for what krb5.conf says.
        tickets: the credential cache, or None for the default one.
        keytab: a server's keytab to look at, or None.
        policy: delegation policy to ask, or None.
    """

    url: str
    scheme: str
    host: str
    port: int
    path: str = ""
    timeout: float = 5.0
    proxy: Proxy | None = None
    routing_token: bytes | None = field(default=None, repr=False)
    cookie: str | None = None
    cacert: str | None = None
    fingerprint: str | None = None
    realm: str | None = None
    tickets: CCacheCredentials | None = None
    keytab: str | None = None
    policy: PolicySettings | None = None

    @property
    def where(self) -> str:
        """Host and port, for people."""
        return f"{self.host} port {self.port}"

    @property
    def spn(self) -> str:
        """The service principal that a ticket is asked for."""
        return f"{_SERVICES[self.scheme]}/{self.host}"

    @property
    def timeouts(self) -> Timeouts:
        """Those of all connections: a probe has 15 at most, each with a few answers."""
        return Timeouts(connect=self.timeout, leg=self.timeout, login=10 * self.timeout)

    @property
    def needs_kerberos(self) -> bool:
        """Whether something was given that is about Kerberos alone."""
        return self.realm is not None or self.tickets is not None or self.keytab is not None

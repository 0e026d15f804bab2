"""What a test server does wrong on purpose, so that a client under test shows what it does then.

::

    with RDPServer(faults=ServerFaults(wrong_key=True)) as server: ...

A fault is plain data here. `credssp.testing.faulty_context`, `faulty_rdp` and `faulty_winrm` act on it, with classes
derived from those of the production servers, which know nothing of faults.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias, get_args

from credssp.config import Limits, ServerConfig
from credssp.errors import LocalProtocolError, PeerClosedError
from credssp.testing.wrong_certificates import CertificateKind, check_kind, wrong_certificate
from credssp.tls.settings import ServerTLS

__all__ = ["RDP_LEGS", "WINRM_LEGS", "ClosedOnPurposeError", "LegName", "ServerFaults", "without_strength"]

LegName: TypeAlias = Literal["negotiation", "offer", "tls", "authentication", "key", "credentials"]
"""A leg by its name: ``negotiation``, the Connection Request of RDP. ``offer``, the first request of WinRM, which asks
for an offer of CredSSP. ``tls``, the ClientHello. ``authentication``, the first negoTokens. ``key``, pubKeyAuth.
``credentials``, authInfo. The last five are those of `credssp.winrm.Leg`."""

RDP_LEGS: Final[tuple[LegName, ...]] = ("negotiation", "tls", "authentication", "key", "credentials")
"""Those of RDP, in their order."""
WINRM_LEGS: Final[tuple[LegName, ...]] = ("offer", "tls", "authentication", "key", "credentials")
"""Those of WinRM, in their order."""

_LEGS: Final = get_args(LegName)
_ANSWERS: Final = 10
"""Answers of a server in a login, at most, each of which may be late."""


class ClosedOnPurposeError(PeerClosedError):
    """The test server closed the connection in place of an answer, as `ServerFaults.close_at` wants it."""

    def __init__(self, leg: str | int) -> None:
        where = f"leg {leg}" if isinstance(leg, int) else f"the leg {leg!r}"
        super().__init__(f"the test server closed the connection in place of its answer to {where}, as it was told to")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFaults:
    """What a test server does wrong.

    Attributes:
        close_at: the leg of the client in place of whose answer the server closes the connection: a name, or the number
            that ``credssp login -v`` shows for the client's TSRequest, or for the answer that is not to come (1 and 2
            are ``authentication``, 3 and 4 ``key``, 5 ``credentials``, unless the mechanism takes more legs). The
            connection ends without a word: no errorCode, no close_notify. None closes nowhere.
        delay: seconds before every answer. The limits of the server become longer by as much.
        wrong_key: bind the server's pubKeyAuth to another key than that of TLS, as somebody in the middle would have
            to. Everything else is right, so that a client that does not verify it delegates.
        certificate: ``good``, ``expired``, ``weak`` or ``other-name`` (`credssp.testing.wrong_certificates`); None for
            the server's own.

    Raises:
        LocalProtocolError: there is no such leg or certificate, or a delay is negative.
    """

    close_at: LegName | int | None = None
    delay: float = 0.0
    wrong_key: bool = False
    certificate: CertificateKind | None = None

    def __post_init__(self) -> None:
        leg = self.close_at
        if isinstance(leg, str) and leg not in _LEGS:
            raise LocalProtocolError(f"close_at {leg!r}: not one of {', '.join(_LEGS)}, or a number")
        if isinstance(leg, int) and leg < 1:
            raise LocalProtocolError(f"close_at {leg}: legs are counted from 1")
        if not 0 <= self.delay < float("inf"):
            raise LocalProtocolError(f"delay {self.delay:g}: the seconds before every answer, not below 0")
        if self.certificate is not None:
            check_kind(self.certificate)

    def check_legs(self, legs: tuple[LegName, ...]) -> None:
        """Raise LocalProtocolError where a protocol with these legs has no such leg."""
        if isinstance(self.close_at, str) and self.close_at not in legs:
            raise LocalProtocolError(f"close_at {self.close_at!r}: not one of {', '.join(legs)}, or a number")

    @property
    def authority(self) -> bytes:
        """The certificate (PEM) of the authority that clients have to trust; empty where there is no `certificate`."""
        return b"" if self.certificate is None else wrong_certificate(self.certificate).authority

    def prepare(self, config: ServerConfig) -> ServerConfig:
        """Return a configuration with the certificate, and with time for the delays."""
        if self.certificate is not None:
            config = replace(config, certificate=wrong_certificate(self.certificate).certificate)
            if self.certificate == "weak":
                tls = config.tls or ServerTLS()
                config = replace(config, tls=replace(tls, ciphers=without_strength(tls.ciphers)))
        if self.delay:
            config = replace(config, limits=_longer(config.limits, self.delay))
        return config


def without_strength(ciphers: str | None = None) -> str:
    """Return a cipher string with which OpenSSL serves a certificate of 1024 bits."""
    return f"{ciphers or 'DEFAULT'}:@SECLEVEL=1"


def _longer(limits: Limits, delay: float) -> Limits:
    return replace(
        limits,
        leg=limits.leg + delay,
        deadline=limits.deadline + _ANSWERS * delay,
        keep_alive_before_login=limits.keep_alive_before_login + int(delay) + 1,
    )

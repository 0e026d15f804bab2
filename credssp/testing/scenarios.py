"""Servers that try one property of a client each, by name: the settings that the manual lists for tests.

::

    @pytest.mark.parametrize("credssp_rdp_server", ["tls-1.2", "hybrid-only"], indirect=True)
    def test_login(credssp_rdp_server): ...
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from credssp.account import Account
from credssp.errors import LocalProtocolError
from credssp.nt_hash import nt_hash
from credssp.rdp import Protocol
from credssp.status import NTStatus
from credssp.testing.server_faults import ServerFaults
from credssp.testing.wrong_certificates import CertificateKind
from credssp.tls.settings import ServerTLS

__all__ = ["RDP_SCENARIOS", "WINRM_SCENARIOS", "Scenario", "scenario_options"]

_Accounts = Mapping[tuple[str, str], Any]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A server to try a client with.

    Attributes:
        question: what it finds out about the client.
        options: keywords of the test server.
        status: a status that every account has, or None.
        refusal: the NTSTATUS that the server refuses the right password with, or None where the login succeeds.
        error: the class name of the error with which a client that is right gives up by itself, or an empty string.
    """

    question: str
    options: Mapping[str, Any] = field(default_factory=dict)
    status: int | None = None
    refusal: int | None = None
    error: str = ""

    def arguments(self, accounts: _Accounts) -> tuple[_Accounts, dict[str, Any]]:
        """Return the accounts and the keywords of the test server."""
        if self.status is None:
            return accounts, dict(self.options)
        return {name: _with_status(name, value, self.status) for name, value in accounts.items()}, dict(self.options)


def _with_status(name: tuple[str, str], value: Any, status: int) -> Account:
    if isinstance(value, Account):
        return Account(value.domain, value.username, value.nt_hash, status, sid=value.sid, groups=value.groups)
    return Account(*name, nt_hash(value) if isinstance(value, str) else value, status)


def _fault(question: str, error: str = "", **faults: Any) -> Scenario:
    return Scenario(question, {"faults": ServerFaults(**faults)}, error=error)


def _certificates(weak: str, **options: Any) -> dict[str, Scenario]:
    """Return the scenarios of certificates: `weak` is the error where the key is, `options` those of the server."""

    def of(kind: CertificateKind, question: str, error: str = "") -> Scenario:
        return Scenario(question, {"faults": ServerFaults(certificate=kind), **options}, error=error)

    return {
        "good-certificate": of("good", "takes a certificate of an authority that it trusts"),
        "expired-certificate": of("expired", "refuses an expired certificate", "CertificateError"),
        "weak-certificate": of("weak", "refuses an RSA key of 1024 bits", weak),
        "other-name": of("other-name", "refuses the certificate of another host", "CertificateError"),
    }


def _deny(*_: object) -> bool:
    return False


_BOTH: Final[Mapping[str, Scenario]] = {
    "tls-1.2": Scenario("works with TLS 1.2", {"tls": ServerTLS(maximum="1.2")}),
    "tls-1.3": Scenario("works with TLS 1.3", {"tls": ServerTLS(minimum="1.3")}),
    "ntlm-without-spnego": Scenario("works where the server speaks NTLM alone", {"mechanisms": ("ntlm",)}),
    "version-5": Scenario("works with version 5", {"max_version": 5}),
    "version-4": Scenario(
        "refuses versions that are vulnerable to CVE-2018-0886",
        {"max_version": 4, "min_version": 4},
        error="VersionError",
    ),
    "locked-account": Scenario(
        "reports a locked account as locked",
        {"tell_lockout": True},
        status=NTStatus.STATUS_ACCOUNT_LOCKED_OUT,
        refusal=NTStatus.STATUS_ACCOUNT_LOCKED_OUT,
    ),
    "disabled-account": Scenario(
        "reports a disabled account",
        status=NTStatus.STATUS_ACCOUNT_DISABLED,
        refusal=NTStatus.STATUS_ACCOUNT_DISABLED,
    ),
    "expired-password": Scenario(
        "reports a password that has expired",
        status=NTStatus.STATUS_PASSWORD_EXPIRED,
        refusal=NTStatus.STATUS_PASSWORD_EXPIRED,
    ),
    "closed-at-authentication": _fault(
        "reports a connection that ends before its proof, and does not call the password wrong",
        "PeerClosedError",
        close_at="authentication",
    ),
    "wrong-key": _fault(
        "verifies the server's pubKeyAuth, and delegates nothing where it is wrong", "BindingError", wrong_key=True
    ),
    "slow-server": _fault("waits for a server that takes a second for each answer", delay=1.0),
}

RDP_SCENARIOS: Final[Mapping[str, Scenario]] = {
    **_BOTH,
    **_certificates("LocalRestrictionError"),
    "hybrid-only": Scenario("works without HYBRID_EX", {"protocols": Protocol.HYBRID}),
    "not-authorized": Scenario("notices AUTHZ_ACCESS_DENIED", {"authorize": _deny}),
}
"""By name, for `credssp.testing.RDPServer`."""

WINRM_SCENARIOS: Final[Mapping[str, Scenario]] = {
    **_BOTH,
    **_certificates("CertificateError", https=True),
    "https": Scenario("works with https, and trusts its certificate", {"https": True}),
    "always-encrypted": Scenario("encrypts messages over https, too", {"https": True, "encryption": "always"}),
    "not-authorized": Scenario("notices that the user may not use the service (403)", {"authorize": _deny}),
}
"""By name, for `credssp.testing.winrm.WinRMServer`."""


def scenario_options(
    scenarios: Mapping[str, Scenario], chosen: str | Scenario | Mapping[str, Any] | None, accounts: _Accounts
) -> tuple[_Accounts, dict[str, Any]]:
    """Return the accounts and the keywords of a test server.

    Args:
        scenarios: those that have names.
        chosen: a name, a scenario, or the keywords themselves; None for none.
        accounts: who may log on.

    Raises:
        LocalProtocolError: there is none of this name.
    """
    if chosen is None:
        return accounts, {}
    if isinstance(chosen, str):
        if chosen not in scenarios:
            raise LocalProtocolError(f"scenario {chosen!r}: not one of {', '.join(scenarios)}")
        chosen = scenarios[chosen]
    return chosen.arguments(accounts) if isinstance(chosen, Scenario) else (accounts, dict(chosen))

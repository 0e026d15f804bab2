"""This machine: OpenSSL, the algorithms of NTLM, and the delegation policy."""

from __future__ import annotations

from collections.abc import Iterator

from credssp.diagnosis.request import DiagnosisRequest
from credssp.finding import Finding, Severity
from credssp.ntlm.check import check_algorithms
from credssp.tls.check import check_openssl, check_peers

__all__ = ["check_libraries", "check_policy"]


def check_libraries() -> Iterator[Finding]:
    """Look at OpenSSL and the algorithms of NTLM."""
    yield from check_openssl()
    yield from check_peers()
    yield from check_algorithms()


def check_policy(request: DiagnosisRequest, *, by_kerberos: bool) -> Finding:
    """Ask the delegation policy about the server.

    Args:
        request: with the policy.
        by_kerberos: whether Kerberos would prove which server it is, or NTLM alone.
    """
    from credssp.policy import check

    if request.policy is None:
        return Finding("policy", Severity.OK, "no --policy was given: credentials may go to any server that is named")
    level = "kerberos" if by_kerberos else "ntlm"
    explanation = check(request.policy.delegation, request.spn, level=level)
    decision = explanation.decision
    status = f"{decision.status.name}, 0x{decision.status:08X}"
    if decision.allowed:
        return Finding("policy", Severity.OK, f"the policy lets fresh credentials go to {request.spn} ({status})")
    return Finding(
        "policy",
        Severity.BAD,
        f"the policy keeps fresh credentials from {request.spn}, which is known by {level} ({status}: "
        f"{decision.setting or 'no setting allows it'})",
        f"credssp policy check {request.spn} --level {level} explains it; allow the server in the setting that it "
        "names, if it shall have these credentials",
        id="policy-refuses",
    )

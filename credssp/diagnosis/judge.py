"""What the report of a probe comes to: findings, the most important ones first."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from credssp.context.probing import ProbeReport
from credssp.diagnosis.catalogue import finding, rank
from credssp.diagnosis.certificate import judge_certificate
from credssp.diagnosis.way import way_finding
from credssp.finding import ServerFinding
from credssp.rdp.negotiation import FailureCode, ResponseFlags
from credssp.tls.certificate_facts import read_certificate
from credssp.winrm.probe import WinRMReport

__all__ = ["MAX_SKEW", "judge_rdp", "judge_winrm"]

MAX_SKEW: Final = 300
"""Seconds that clocks may differ (RFC 4120 5.2.3 recommends it, Windows and MIT krb5 have it)."""

_NLA: Final = ("HYBRID", "HYBRID_EX")


def judge_rdp(report: ProbeReport, *, now: datetime | None = None) -> list[ServerFinding]:
    """Judge the report of an RDP server.

    Args:
        report: what `credssp.drivers.rdp_probe` found out.
        now: the time to judge certificates by; by default now.
    """
    found: list[ServerFinding] = []
    where = f"{report.host} port {report.port}"
    accepted = {name for name, answer in report.protocols.items() if answer == "accepted"}
    if report.error is not None:
        found.append(way_finding(report.error, where, wanted="RDP", greeting=report.greeting))
    elif report.protocols and set(report.protocols.values()) == {"closed"}:
        found.append(finding("closed-early", f"{where} closes without an answer, whatever is asked for."))
    else:
        found += _negotiation(report, accepted)
    found += _tls(report, offered=bool(accepted - {"RDP"}))
    found += _credssp(report, offered=bool(accepted & set(_NLA)))
    found += _certificate(report.certificate, report, now)
    return sorted(found, key=rank)


def judge_winrm(report: WinRMReport, *, https: bool, now: datetime | None = None) -> list[ServerFinding]:
    """Judge the report of a WinRM server.

    Args:
        report: what `credssp.drivers.winrm_probe` found out.
        https: whether it was reached over https.
        now: the time to judge certificates by; by default now.
    """
    found: list[ServerFinding] = []
    where = f"{report.host} port {report.port}"
    schemes = {name.lower() for name, answer in report.protocols.items() if answer == "accepted"}
    if report.error is not None and not report.protocols:
        wanted = "WinRM over https" if https else "WinRM"
        found.append(_http_error(report, where) or way_finding(report.error, where, wanted=wanted))
    if report.protocols and "credssp" not in schemes:
        offered = ", ".join(name for name, answer in report.protocols.items() if answer == "accepted") or "no scheme"
        found.append(finding("winrm-credssp-off", f"{where} offers {offered}, and not CredSSP."))
    if "basic" in schemes:
        kind, how = ("winrm-basic", "https") if https else ("winrm-basic-http", "http")
        found.append(finding(kind, f"The server offers Basic authentication over {how}."))
    if report.protocols and not https:
        found.append(finding("winrm-http", "The server answers over http, without TLS around it."))
    found += _tls(report, offered="credssp" in schemes)
    found += _credssp(report, offered="credssp" in schemes)
    found += _old_tls(report.https_old, report.https_weak_cipher, "https takes")
    # Clients see the certificate of https; the one inside CredSSP is made by WinRM itself and never verified.
    found += _certificate(report.https_certificate, report, now)
    return sorted(found, key=rank)


def _http_error(report: WinRMReport, where: str) -> ServerFinding | None:
    """Return what an HTTP status means that no WinRM server has for a request without credentials."""
    if not report.http_status or report.error is None:
        return None
    status = f"HTTP {report.http_status} ({http.client.responses.get(report.http_status, 'which has no name')})"
    return finding("other-protocol", f"{where} answers {status}, where WinRM asks for a login with 401.")


def _negotiation(report: ProbeReport, accepted: set[str]) -> Iterator[ServerFinding]:
    others = [name for name in ("RDP", "SSL") if name in accepted]
    if not accepted & set(_NLA):
        yield finding("nla-missing", f"The server takes {_listed(accepted)}, and not CredSSP ({_refusal(report)}).")
    elif others:
        yield finding("nla-not-enforced", f"Besides CredSSP the server takes {_listed(set(others))}.")
    if "RDP" in accepted:
        yield finding("standard-rdp-security", "The server takes standard RDP security (PROTOCOL_RDP, 0).")
    flags = ResponseFlags(report.negotiation_flags or 0)
    if ResponseFlags.RESTRICTED_ADMIN_MODE_SUPPORTED in flags:
        yield finding("restricted-admin-offered", "The server says RESTRICTED_ADMIN_MODE_SUPPORTED (0x08).")


def _listed(accepted: set[str]) -> str:
    shown = [text for name, text in (("SSL", "TLS"), ("RDP", "standard RDP security")) if name in accepted]
    shown += sorted(accepted - {"SSL", "RDP"})
    return " and ".join(shown) or "nothing that was asked for"


def _refusal(report: ProbeReport) -> str:
    """Return the answer to a request for CredSSP, with number, name and meaning where it is a failure code."""
    from credssp.rdp.negotiation import NegotiationFailure

    answer = report.protocols.get("HYBRID", "not asked")
    code = FailureCode.__members__.get(answer)
    return f"HYBRID: {answer if code is None else NegotiationFailure(code).summary}"


def _tls(report: ProbeReport, *, offered: bool) -> Iterator[ServerFinding]:
    if offered and not report.tls:
        why = report.tls_error or "no handshake came about"
        yield finding("tls-failed", f"The server takes neither TLS 1.2 nor TLS 1.3: {why.rstrip('.')}.")
    yield from _old_tls(report.old_tls, report.weak_cipher, "the server takes")


def _old_tls(versions: dict[str, str], weak: str, who: str) -> Iterator[ServerFinding]:
    if versions:
        shown = ", ".join(f"{version} with {cipher}" for version, cipher in sorted(versions.items()))
        yield finding("tls-old", f"{who[0].upper()}{who[1:]} {shown}.")
    if weak:
        yield finding("tls-weak-cipher", f"Offered weak ciphers alone, {who} {weak}.")


def _credssp(report: ProbeReport, *, offered: bool) -> Iterator[ServerFinding]:
    version = report.credssp_version
    if version is None:
        if offered and report.tls:
            why = report.credssp_error or "nothing came"
            yield finding("credssp-failed", f"The server takes CredSSP and does not answer in it: {why.rstrip('.')}.")
        return
    if version < 5:
        yield finding("credssp-old", f"The server has CredSSP version {version}, to which CVE-2018-0886 applies.")
    if not report.mechanisms:
        why = f": {report.credssp_error.rstrip('.')}" if report.credssp_error else ""
        yield finding("no-mechanism", f"The server accepts neither NTLM nor Kerberos{why}.")
    if report.clock_skew is not None and abs(report.clock_skew) > MAX_SKEW:
        ahead = "ahead of" if report.clock_skew > 0 else "slower than"
        yield finding("clock-skew", f"The server's clock is {_duration(report.clock_skew)} {ahead} this one.")


def _duration(seconds: float) -> str:
    seconds = abs(round(seconds))
    if seconds < 7200:
        return f"{seconds} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min" if seconds < 172_800 else f"{seconds // 86_400} days"


def _certificate(certificate: bytes | None, report: ProbeReport, now: datetime | None) -> Iterator[ServerFinding]:
    if certificate is None:
        return
    also = [report.ntlm.get(name, "") for name in ("MsvAvDnsComputerName", "MsvAvNbComputerName")]
    yield from judge_certificate(read_certificate(certificate), report.host, also=also, now=now)

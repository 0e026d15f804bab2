"""The steps of a login that a server shows without credentials, from the report of a probe."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Iterator
from typing import Final

from credssp.context.probing import ProbeReport
from credssp.diagnosis.catalogue import finding
from credssp.diagnosis.judge import judge_rdp, judge_winrm
from credssp.diagnosis.network import what_answers
from credssp.diagnosis.request import DiagnosisRequest
from credssp.diagnosis.step import DiagnosisStep, StepState
from credssp.drivers import rdp_probe, winrm_probe
from credssp.drivers.winrm import WinRMConnection
from credssp.errors import CertificateError, CredSSPError
from credssp.finding import ServerFinding
from credssp.rdp.negotiation import ResponseFlags
from credssp.tls.certificate_facts import read_certificate
from credssp.tls.settings import ClientTLS
from credssp.tls.trust import TrustError, judge, roots_of
from credssp.winrm.probe import WinRMReport

__all__ = ["look_at_server"]

_WSMAN: Final = "/wsman"

_ON_THE_WAY: Final = frozenset(
    {"name-unknown", "port-closed", "no-answer", "unreachable", "no-connection", "other-protocol", "silent"}
    | {"closed-early", "openssl-restricted", "tls-failed"}
)
_NEGOTIATION: Final = frozenset({"standard-rdp-security", "restricted-admin-offered", "winrm-credssp-off"}) | {
    "winrm-basic-http",
    "winrm-basic",
    "winrm-http",
}
_NLA: Final = frozenset({"nla-missing", "nla-not-enforced"})
_TLS: Final = frozenset({"tls-failed", "tls-old", "tls-weak-cipher"})
_CREDSSP: Final = frozenset({"credssp-failed", "credssp-old", "no-mechanism"})


def look_at_server(request: DiagnosisRequest) -> tuple[list[DiagnosisStep], list[ServerFinding], ProbeReport]:
    """Probe the server and tell it step by step; returns the steps, all findings, and the report."""
    begin = time.monotonic()
    rdp = request.scheme == "rdp"
    report = _probe_rdp(request) if rdp else _probe_winrm(request)
    found = judge_rdp(report) if rdp else _winrm_findings(request, report)
    found = _named(request, report, found)
    lost = [each for each in found if each.id in _ON_THE_WAY]
    seconds = report.times.get("negotiation", time.monotonic() - begin)
    if lost and not report.protocols:
        return [DiagnosisStep.judged("answer", lost[0].seen, lost, time.monotonic() - begin)], found, report
    name = f" ({report.server})" if isinstance(report, WinRMReport) and report.server else ""
    kind = f"{'RDP' if rdp else 'WinRM'}{name}"
    steps = [DiagnosisStep.judged("answer", f"{kind} answers", lost), *_negotiation(report, found, seconds, rdp=rdp)]
    steps += _tls(report, found)
    trust = list(_trust(request, report))
    found += trust
    certificate = report.certificate if rdp else _outer(report)
    steps += _certificate(request, certificate, [each for each in found if each.id.startswith("cert-")])
    steps += _credssp(report, found)
    return steps, found, report


def _probe_rdp(request: DiagnosisRequest) -> ProbeReport:
    return asyncio.run(
        rdp_probe.probe(
            request.host,
            request.port,
            timeouts=request.timeouts,
            proxy=request.proxy,
            cookie=request.cookie,
            routing_token=request.routing_token,
        )
    )


def _probe_winrm(request: DiagnosisRequest) -> WinRMReport:
    return winrm_probe.probe(
        request.host,
        request.port,
        path=request.path or _WSMAN,
        https=request.scheme == "https",
        timeouts=request.timeouts,
        proxy=request.proxy,
    )


def _winrm_findings(request: DiagnosisRequest, report: ProbeReport) -> list[ServerFinding]:
    return judge_winrm(report, https=request.scheme == "https") if isinstance(report, WinRMReport) else []


def _named(request: DiagnosisRequest, report: ProbeReport, found: list[ServerFinding]) -> list[ServerFinding]:
    """Name the protocol that answers in place of the one that was asked for, where a question or two can tell."""
    wanted = "RDP" if request.scheme == "rdp" else "TLS" if request.scheme == "https" else "HTTP"
    if report.protocols:  # it is what was asked for, whatever came later
        return found
    unclear = {"other-protocol", "silent", "closed-early", "no-connection", "tls-failed"}
    if not any(each.id in unclear for each in found):
        return found
    if any(each.id == "other-protocol" and " speaks " in each.seen for each in found):
        return found
    other = what_answers(request, asked=wanted)
    if not other or other == wanted:
        return found
    named = finding("other-protocol", f"{request.where} speaks {other}, not {_service(request.scheme)}.")
    return [named, *(each for each in found if each.id not in unclear)]


def _service(scheme: str) -> str:
    return {"rdp": "RDP", "http": "WinRM over http", "https": "WinRM over https"}[scheme]


def _negotiation(
    report: ProbeReport, found: list[ServerFinding], seconds: float, *, rdp: bool
) -> Iterator[DiagnosisStep]:
    accepted = [name for name, answer in report.protocols.items() if answer == "accepted"]
    text = f"the server takes {', '.join(accepted) or 'nothing that was asked for'}"
    if report.negotiation_flags is not None:
        flags = ResponseFlags(report.negotiation_flags)
        names = [flag.name or "" for flag in ResponseFlags if flag and flag in flags]
        text += f"; flags 0x{report.negotiation_flags:02X}{f' ({chr(44).join(names)})' if names else ''}"
    yield DiagnosisStep.judged("negotiation", text, [each for each in found if each.id in _NEGOTIATION], seconds)
    if not rdp:
        return
    nla = [each for each in found if each.id in _NLA]
    enforced = "network level authentication is offered and enforced"
    yield DiagnosisStep.judged("nla", nla[0].seen.rstrip(".") if nla else enforced, nla)


def _tls(report: ProbeReport, found: list[ServerFinding]) -> Iterator[DiagnosisStep]:
    about = [each for each in found if each.id in _TLS]
    seconds = report.times.get("tls", 0.0) + report.times.get("old tls", 0.0)
    if not report.tls and not about:
        yield DiagnosisStep("tls", StepState.SKIPPED, "the server takes no protocol with TLS")
        return
    text = ", ".join(f"{version} with {cipher}" for version, cipher in report.tls.items()) or "no handshake succeeds"
    yield DiagnosisStep.judged("tls", text, about, seconds)


def _outer(report: ProbeReport) -> bytes | None:
    return report.https_certificate if isinstance(report, WinRMReport) else None


def _certificate(
    request: DiagnosisRequest, certificate: bytes | None, about: list[ServerFinding]
) -> Iterator[DiagnosisStep]:
    if certificate is None:
        why = "http has no certificate" if request.scheme == "http" else "the server showed no certificate"
        yield DiagnosisStep("certificate", StepState.SKIPPED, why)
        return
    facts = read_certificate(certificate)
    text = f"{facts.subject}, {facts.key_type}, until {(facts.not_after or 'an unknown day')[:10]}, "
    yield DiagnosisStep.judged("certificate", f"{text}SHA-256 {facts.sha256}", about)


def _trust(request: DiagnosisRequest, report: ProbeReport) -> Iterator[ServerFinding]:
    """Compare with what was given to trust; without that a certificate need not chain to anything (CredSSP pins it)."""
    certificate = _outer(report) if request.scheme != "rdp" else report.certificate
    if certificate is None:
        return
    if request.fingerprint is not None:
        seen = hashlib.sha256(certificate).hexdigest()
        if seen != ClientTLS(fingerprint=request.fingerprint).pinned:
            yield finding("cert-untrusted", f"The certificate has SHA-256 {seen}, which is not the expected one.")
    if request.cacert is None:
        return
    if request.scheme == "rdp":
        chain = report.chain or (certificate,)
        errors = judge(chain, request.host, roots_of(request.cacert, None)).errors & ~TrustError.IS_NOT_TIME_VALID
        if errors:
            names = ", ".join(f"CERT_TRUST_{flag.name}" for flag in TrustError if flag and flag in errors)
            what = "does not chain to" if errors != TrustError.INVALID_EXTENSION else "breaks the rules of RFC 5280 for"
            yield finding("cert-untrusted", f"The certificate {what} {request.cacert} (0x{int(errors):X}: {names}).")
        return
    if why := _https_refusal(request):
        yield finding("cert-untrusted", f"The certificate does not chain to {request.cacert}: {why}")


def _https_refusal(request: DiagnosisRequest) -> str:
    settings = ClientTLS(cafile=request.cacert, verify_name=False)
    try:
        with WinRMConnection(
            request.host, request.port, path=_WSMAN, https=settings, timeouts=request.timeouts, proxy=request.proxy
        ) as connection:
            connection.connect()
    except CertificateError as error:
        return f"{error.message.rpartition(': ')[2]}." if "expired" not in error.message else ""
    except CredSSPError:
        return ""  # the steps before tell about it
    return ""


def _credssp(report: ProbeReport, found: list[ServerFinding]) -> Iterator[DiagnosisStep]:
    about = [each for each in found if each.id in _CREDSSP]
    seconds = report.times.get("credssp", 0.0)
    if report.credssp_version is None and not about:
        yield DiagnosisStep("credssp", StepState.SKIPPED, "the server does not take CredSSP, or no TLS came about")
        return
    mechanisms = ", ".join(report.mechanisms) or "no mechanism"
    text = f"version {report.credssp_version}; {mechanisms}" if report.credssp_version else about[0].seen.rstrip(".")
    yield DiagnosisStep.judged("credssp", text, about, seconds)
    if report.ntlm:
        names = report.ntlm.get("MsvAvDnsComputerName") or report.ntlm.get("MsvAvNbComputerName") or "no name"
        domain = report.ntlm.get("MsvAvDnsDomainName") or report.ntlm.get("MsvAvNbDomainName") or "no domain"
        system = f", version {report.ntlm['Version']}" if "Version" in report.ntlm else ""
        yield DiagnosisStep("names", StepState.OK, f"NTLM says {names} of {domain}{system}")
    if report.clock_skew is None:
        yield DiagnosisStep("clock", StepState.SKIPPED, "the server does not tell its time")
        return
    skewed = [each for each in found if each.id == "clock-skew"]
    yield DiagnosisStep.judged("clock", f"the server's clock differs by {abs(report.clock_skew):.0f} s", skewed)

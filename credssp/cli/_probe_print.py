"""How ``credssp probe`` prints a report: for people, as a JSON line, as a CSV row."""

from __future__ import annotations

import csv
import json
import sys
from typing import Any, Final

from credssp.cli._output import print_facts, printable

__all__ = ["CSVPrinter", "print_json_line", "print_text"]

_COLUMNS: Final = (
    "target",
    "protocols",
    "tls",
    "certificate_subject",
    "certificate_sha256",
    "credssp_version",
    "mechanisms",
    "computer",
    "domain",
    "dns_computer",
    "os_version",
    "error",
)


def print_json_line(facts: dict[str, Any]) -> None:
    """Print one line."""
    print(json.dumps(facts), flush=True)


def print_text(facts: dict[str, Any]) -> None:
    """Print a block."""
    shown: dict[str, str] = {}
    if error := facts.get("error"):
        shown["error"] = f"{error['text']} ({error['name']})"
    if protocols := facts.get("protocols"):
        shown["takes"] = ", ".join(name for name, answer in protocols.items() if answer == "accepted") or "nothing"
        refused = {name: answer for name, answer in protocols.items() if answer != "accepted"}
        if refused:
            shown["refuses"] = ", ".join(f"{name} ({answer})" for name, answer in refused.items())
    if facts.get("tls"):
        shown["TLS"] = ", ".join(f"{version} {cipher}" for version, cipher in facts["tls"].items())
    elif error := facts.get("tls_error"):
        shown["TLS"] = f"none: {error}"
    if certificate := facts.get("certificate"):
        shown["certificate"] = f"{certificate['subject']}, {certificate['key_type']}"
        shown["  valid"] = f"{certificate['not_before']} to {certificate['not_after']}"
        shown["  SHA-256"] = certificate["sha256"]
    if credssp := facts.get("credssp"):
        shown["CredSSP"] = f"version {credssp['version']}; {', '.join(credssp['mechanisms']) or 'no mechanism'}"
    elif error := facts.get("credssp_error"):
        shown["CredSSP"] = f"none: {error}"
    for name, value in (facts.get("ntlm") or {}).items():
        shown[f"NTLM {name}"] = value
    print_facts(facts["target"], shown)
    sys.stdout.flush()


class CSVPrinter:
    """Prints a heading, then a row for each server."""

    def __init__(self) -> None:
        self._writer = csv.writer(sys.stdout)
        self._writer.writerow(_COLUMNS)

    def __call__(self, facts: dict[str, Any]) -> None:
        """Print a row."""
        certificate = facts.get("certificate") or {}
        credssp = facts.get("credssp") or {}
        ntlm = facts.get("ntlm") or {}
        row = (
            facts["target"],
            " ".join(name for name, answer in (facts.get("protocols") or {}).items() if answer == "accepted"),
            " ".join(facts.get("tls") or ()),
            certificate.get("subject", ""),
            certificate.get("sha256", ""),
            credssp.get("version", ""),
            " ".join(credssp.get("mechanisms", ())),
            ntlm.get("MsvAvNbComputerName", ""),
            ntlm.get("MsvAvNbDomainName", ""),
            ntlm.get("MsvAvDnsComputerName", ""),
            ntlm.get("Version", ""),
            (facts.get("error") or {}).get("text") or facts.get("tls_error") or facts.get("credssp_error") or "",
        )
        self._writer.writerow([_harmless(str(cell)) for cell in row])
        sys.stdout.flush()


def _harmless(text: str) -> str:
    """Keep a spreadsheet from taking a name that a server made up for a formula."""
    text = printable(text)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text

"""How ``credssp probe`` prints what it found out about one server, for people."""

from __future__ import annotations

import sys
from typing import Any

from credssp.cli._output import print_facts, printable

__all__ = ["print_text"]


def print_text(facts: dict[str, Any]) -> None:
    """Print a block."""
    shown: dict[str, str] = {}
    if error := facts.get("error"):
        shown["error"] = f"{error['text']} ({error['name']})"
        shown["  advice"] = error.get("advice", "")
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
        # Saved runs of older versions know less.
        if sha1 := certificate.get("sha1"):
            shown["  SHA-1"] = f"{sha1} (the thumbprint that Windows shows)"
        shown["  issuer"] = f"{certificate['issuer']}, serial {certificate.get('serial') or 'unknown'}"
        if names := certificate.get("names"):
            shown["  names"] = ", ".join(names)
    if credssp := facts.get("credssp"):
        shown["CredSSP"] = f"version {credssp['version']}; {', '.join(credssp['mechanisms']) or 'no mechanism'}"
    elif error := facts.get("credssp_error"):
        shown["CredSSP"] = f"none: {error}"
    if flags := facts.get("negotiation_flags"):
        shown["flags"] = f"0x{flags['value']:02X} {', '.join(flags['names'])}".rstrip()
    for name, value in (facts.get("ntlm") or {}).items():
        shown[f"NTLM {name}"] = value
    print_facts(facts["target"], shown)
    for found in facts.get("findings") or ():
        print(f"  {found['severity']:<7}  {found['id']}: {printable(found['seen'])}")
        if found["severity"] != "note":
            print(f"  {'':<7}  {printable(found['why'])}")
            # Runs that were saved before have "do".
            print(f"  {'':<7}  -> {printable(found.get('advice') or found['do'])}")
    sys.stdout.flush()

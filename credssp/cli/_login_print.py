"""How ``credssp login`` prints what came of one login, for people."""

from __future__ import annotations

from typing import IO, Final

from credssp.cli._output import print_facts, printable
from credssp.fleet.logins.totals import OUTCOMES, outcome_of
from credssp.fleet.record import Facts

__all__ = ["print_login", "print_why"]

_SESSION: Final = {
    "session": "the server answered",
    "closed": "the server closed the connection when it was to begin",
    "none": "no answer, and no refusal either",
}
"""What came of the RDP session with HYBRID, which shows whether the login was accepted."""

_BY: Final = {"server": "refused by the server", "kdc": "refused by the KDC", "card": "refused by the card"}


def print_login(facts: Facts, verdict: str | None = None) -> None:
    """Print a block.

    Args:
        facts: what came of it.
        verdict: the same in a few words; None for what the facts say.
    """
    shown: dict[str, str] = {}
    shown["user"] = facts["user"]
    if (rdp := facts.get("rdp")) and rdp["selected_protocol"]:
        shown["protocol"] = rdp["selected_protocol"]
    if winrm := facts.get("winrm"):
        if https := winrm["https"]:
            shown["https"] = f"{https['version']}, {https['certificate']['key_type']}"
            shown["  certificate"] = f"{https['certificate']['sha256']} ({https['certificate_check']})"
        if winrm["leg"]:
            shown["failed at"] = f"{winrm['leg']}, HTTP {winrm['http_status']}"
        if winrm["identity"]:
            shown["service"] = ", ".join(winrm["identity"].values())
    if tls := facts.get("tls"):
        shown["TLS"] = f"{tls['version']}, {tls['cipher']}, {tls['certificate']['key_type']}"
        shown["certificate"] = f"{tls['certificate']['sha256']} ({tls['certificate_check']})"
    if version := facts.get("credssp"):
        shown["CredSSP"] = f"version {version['version']} (the server says {version['peer_version']})"
    if facts.get("mechanism"):
        shown["mechanism"] = facts["mechanism"]
    if facts.get("principal"):
        shown["principal"] = facts["principal"]
    for skip in facts.get("skipped") or ():
        shown["not used"] = f"{skip['mechanism']}: {skip['status']['text']}"
    if facts["accepted"]:
        proved = ", ".join(facts["server_authentication"]) or "nothing"
        shown["server proved by"] = proved if facts["server_authenticated"] else f"{proved} (not which server it is)"
        shown["delegated"] = "yes" if facts["delegated"] else "an empty set"
        if facts.get("early_user_authorization"):
            shown["authorization"] = facts["early_user_authorization"]
        elif rdp:
            shown["session"] = _SESSION[rdp["answer"]]
    if (seconds := facts.get("seconds")) is not None:
        shown["time"] = f"{seconds:.3f} s"
    outcome = outcome_of(facts)
    words = _BY.get(facts["refused_by"] or "", OUTCOMES[outcome]) if outcome == "refused" else OUTCOMES[outcome]
    print_facts(f"{verdict or words}: {facts['target']}", shown)


def print_why(facts: Facts, stream: IO[str], *, name: str = "") -> None:
    """Print why there was no login, and what to do; nothing where there was one.

    Args:
        facts: what came of it.
        stream: standard output or standard error.
        name: what is in front of the first line.
    """
    if facts["accepted"]:
        return
    status = facts["status"]
    if status is None:
        print(f"  {name}{printable(facts['reason'])}", file=stream)
        return
    advice = "" if status["advice"] in status["text"] else f": {status['advice']}"
    print(f"{name or '  '}{printable(status['text'])}", file=stream)
    print(f"  {status['name']} {status['hex']}{advice}", file=stream)

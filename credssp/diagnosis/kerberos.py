"""Kerberos as a login needs it: the libraries, the realm, its KDCs and their time, tickets, and the server's SPN.

Whether a fault here matters is the caller's question: a machine without a realm logs on by NTLM, and the krb5.conf of a
distribution names realms of others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from credssp.context.initiator import create_initiator
from credssp.credentials import CCacheCredentials
from credssp.diagnosis.judge import MAX_SKEW
from credssp.drivers.kdc import ask
from credssp.errors import CredSSPError
from credssp.finding import Finding, Severity
from credssp.kerberos import check, krb5_conf, pyspnego
from credssp.kerberos.krb5_conf import Krb5Conf
from credssp.status import SecurityStatus
from credssp.target import Target

__all__ = ["check_kerberos", "without_need"]

_AREA: Final = "kerberos"
_WRONG_REALM: Final = 68
"""KDC_ERR_WRONG_REALM (RFC 4120 7.5.9)."""

_BY_STATUS: Final = {
    SecurityStatus.SEC_E_TARGET_UNKNOWN: "spn-missing",
    SecurityStatus.SEC_E_NO_AUTHENTICATING_AUTHORITY: "realm-unknown",
    SecurityStatus.SEC_E_NO_CREDENTIALS: "no-ticket",
    SecurityStatus.SEC_E_TIME_SKEW: "kdc-clock-skew",
}


def check_kerberos(
    target: Target | None,
    *,
    realm: str | None = None,
    tickets: CCacheCredentials | None = None,
    keytab: str | None = None,
    timeout: float = 5.0,
    needed: bool = True,
) -> Iterator[Finding]:
    """Look at everything that a login by Kerberos needs; nothing is proved to the server, a KDC is asked for a ticket.

    Args:
        target: the service, or None to look at this machine alone.
        realm: whose KDCs to ask; None for the server's by [domain_realm], or the default one.
        tickets: the credential cache, or None for the default one.
        keytab: a server's keytab to look at, or None.
        timeout: seconds for each answer of a KDC.
        needed: whether a KDC is to be asked although there are no tickets and no realm was given.
    """
    libraries = check.check_libraries()
    missing = pyspnego.kerberos_missing() is not None
    yield libraries if not missing else replace(libraries, id="kerberos-library")
    conf = krb5_conf.load()
    yield from _configuration(conf)
    # Without the libraries no program here asks a KDC, and a krb5.conf may name some that do not exist.
    asked = realm or (_realm(conf, target) if not missing else None)
    found = [] if missing else list(check.check_tickets(tickets))
    yield from (_ticket_finding(each, given=tickets is not None) for each in found)
    reached = True
    if asked is not None and (needed or _has_tickets(found)):
        # Of the default realm, the configuration was looked at above.
        about = list(_kdcs(conf, asked, timeout, asked=realm is not None or asked != check.default_realm(conf)))
        yield from about
        reached = not about or any(each.severity is not Severity.BAD for each in about)
    if target is not None:
        yield from check.check_spn(target, conf)
    if missing:
        yield from _not_looked_at(tickets, keytab)
        return
    if target is not None and not target.is_address and reached:
        yield _ticket_for(target, tickets, asked) if _has_tickets(found) else _not_asked(target)
    if keytab is not None:
        yield from check.check_keytab(keytab, target)


def without_need(found: Finding) -> Finding:
    """Return a fault of Kerberos as what it is to a login that does not need Kerberos: a note."""
    if found.severity is not Severity.BAD:
        return found
    return replace(found, severity=Severity.NOTE, advice=f"logins by NTLM do not need it; {found.advice}")


def _realm(conf: Krb5Conf, target: Target | None) -> str | None:
    return (conf.realm_of(target.host) if target is not None else "") or check.default_realm(conf)


def _ticket_finding(found: Finding, *, given: bool) -> Finding:
    """A cache that was named and has nothing is a fault; the default one may be empty."""
    if given and found.text.startswith("there are no tickets"):
        return replace(found, severity=Severity.BAD, id="no-ticket")
    return replace(found, id="no-ticket") if found.severity is Severity.BAD else found


def _has_tickets(found: list[Finding]) -> bool:
    return bool(found) and found[0].severity is Severity.OK and all(f.severity is not Severity.BAD for f in found)


def _not_asked(target: Target) -> Finding:
    name = f"{target.service}/{target.host}"
    text = f"no ticket was asked for {name}, since there is none to ask with"
    return Finding(_AREA, Severity.NOTE, text, "run kinit, and this program again, to see whether the KDC knows it")


def _configuration(conf: Krb5Conf) -> Iterator[Finding]:
    for found in check.check_configuration(conf):
        yield replace(found, id="realm-unknown") if found.severity is Severity.BAD else found


def _kdcs(conf: Krb5Conf, realm: str, timeout: float, *, asked: bool) -> Iterator[Finding]:
    """Ask every KDC that is configured for its time."""
    kdcs = conf.kdcs.get(realm, [])
    if not kdcs and not conf.flag("dns_lookup_kdc", default=True):
        if asked:
            yield Finding(
                _AREA,
                Severity.BAD,
                f"no KDC of the realm {realm} is known: krb5.conf names none, and dns_lookup_kdc is off",
                f"use the realm of the server's domain, in capitals; krb5.conf has {_listed(conf)}",
                id="realm-unknown",
            )
        return
    if asked and not kdcs:
        yield Finding(
            "clock",
            Severity.NOTE,
            f"krb5.conf names no KDC of {realm}, so none was asked for its time",
            "libkrb5 also finds KDCs through DNS; add the realm to [realms] to compare its clock",
        )
    for kdc in kdcs:
        yield _kdc(kdc, realm, timeout)


def _listed(conf: Krb5Conf) -> str:
    return ", ".join(sorted(conf.realms)) or "no realm"


def _kdc(kdc: str, realm: str, timeout: float) -> Finding:
    host, _, port = kdc.rpartition(":") if kdc.rpartition(":")[2].isdecimal() else (kdc, "", "88")
    try:
        answer = ask(host.strip("[]"), int(port), realm, timeout=timeout)
    except CredSSPError as error:
        return Finding(
            "clock",
            Severity.BAD,
            f"the KDC {kdc} does not answer: {error.message}",
            "see kdc in [realms] of krb5.conf; is port 88 open for TCP?",
            id="kdc-unreachable",
        )
    if answer.code == _WRONG_REALM:
        return Finding(
            _AREA,
            Severity.BAD,
            f"the KDC {kdc} is not of the realm {realm} (KDC_ERR_WRONG_REALM, {_WRONG_REALM}: wrong realm)",
            "use the realm of the server's domain, in capitals",
            id="realm-unknown",
        )
    if answer.time is None:
        return Finding("clock", Severity.OK, f"the KDC {kdc} answers")
    skew = (datetime.now(UTC) - answer.time).total_seconds()
    text = f"this clock is {abs(int(skew))} s {'ahead of' if skew > 0 else 'behind'} that of the KDC {kdc}"
    if abs(skew) <= MAX_SKEW:
        return Finding("clock", Severity.OK, text)
    advice = "the limit is five minutes: synchronise both (chrony, w32tm)"
    return Finding("clock", Severity.BAD, text, advice, id="kdc-clock-skew")


def _not_looked_at(tickets: CCacheCredentials | None, keytab: str | None) -> Iterator[Finding]:
    """Say what was asked about and cannot be told without the libraries."""
    for what, name in (("credential cache", None if tickets is None else tickets.ccache), ("keytab", keytab)):
        if name is not None:
            yield Finding(
                _AREA,
                Severity.BAD,
                f"the {what} {name} was not checked: the libraries that read it are missing",
                "install Kerberos for Python, see above",
                id="kerberos-library",
            )


def _ticket_for(target: Target, tickets: CCacheCredentials | None, realm: str | None) -> Finding:
    """Get a ticket, which is what the login will do first."""
    name = f"{target.service}/{target.host}"
    try:
        create_initiator(tickets, target_name=name, mechanism="kerberos").step(None)
    except CredSSPError as error:
        kind = _BY_STATUS.get(error.status, "ticket-refused")
        of = f" in {realm}" if realm else ""
        status = f"{error.status.name}, 0x{error.status:08X}"
        return Finding(
            _AREA,
            Severity.BAD,
            f"no ticket for {name}{of}: {error.message} ({status})",
            "until then logins there use NTLM",
            id=kind,
        )
    return Finding(_AREA, Severity.OK, f"there is a ticket for {name}")

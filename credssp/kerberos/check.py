"""Is Kerberos fit to log on with? Looks at the libraries, the configuration, tickets and keytabs; sends nothing."""

from __future__ import annotations

import time
from typing import Any, Final

from credssp.credentials import CCacheCredentials
from credssp.errors import CredSSPError
from credssp.finding import Finding, Severity
from credssp.kerberos import pyspnego
from credssp.kerberos.krb5_conf import Krb5Conf
from credssp.kerberos.private_file import open_to_others
from credssp.kerberos.services import is_computer, is_one_of, keys_for
from credssp.target import Target

__all__ = ["check_configuration", "check_keytab", "check_libraries", "check_spn", "check_tickets", "default_realm"]

_AREA: Final = "kerberos"
_OLD_TYPES: Final = {1: "DES", 3: "DES", 16: "3DES", 23: "RC4", 24: "RC4"}
_FALSE: Final = ("false", "f", "no", "n", "off", "0")
_LIKE_HOST: Final = ("HTTP",)
"""What a domain controller takes ``host/`` for, of the services that are looked for here (sPNMappings)."""
_ADD_SPN: Final = (
    "Samba: net ads keytab add_update_ads {service}, since 4.21: net ads setspn add {spn} and net ads keytab create; "
    "adcli: adcli join --service-name={service}; "
    "Windows: setspn -S {spn} COMPUTER (setspn -Q {spn} shows who has it)"
)
_FORWARDABLE: Final = 1 << 1  # krb5.TicketFlags.forwardable


def _ok(text: str) -> Finding:
    return Finding(_AREA, Severity.OK, text)


def _note(text: str, advice: str) -> Finding:
    return Finding(_AREA, Severity.NOTE, text, advice)


def _bad(text: str, advice: str) -> Finding:
    return Finding(_AREA, Severity.BAD, text, advice)


def check_libraries() -> Finding:
    """Say whether Python can speak Kerberos at all."""
    missing = pyspnego.kerberos_missing()
    if missing is None:
        return _ok("gssapi and krb5 are installed")
    return _note(
        "Kerberos is not installed for Python, so logins use NTLM",
        "pip install 'credssp[kerberos]' (in a clone: '.[kerberos]'); without a wheel it needs gcc and libkrb5-dev",
    )


def default_realm(conf: Krb5Conf) -> str | None:
    """Return the default realm, or None."""
    return conf.libdefaults.get("default_realm")


def check_configuration(conf: Krb5Conf) -> list[Finding]:
    """Look at krb5.conf."""
    findings = []
    if conf.files:
        findings.append(_ok(f"configuration is read from {', '.join(conf.files)}"))
    else:
        findings.append(
            _note(
                f"there is no Kerberos configuration ({', '.join(conf.missing)})",
                "DNS alone is enough if every user name has the realm; else write a krb5.conf with default_realm",
            )
        )
    realm = default_realm(conf)
    if realm is None:
        findings.append(
            _note("there is no default realm", "write users as NAME@REALM, or set default_realm in [libdefaults]")
        )
    else:
        findings.append(_ok(f"the default realm is {realm}"))
        if realm != realm.upper():
            findings.append(
                _note(
                    f"the realm {realm} has lower-case letters",
                    "realms of Active Directory are upper case, and case matters",
                )
            )
        if realm not in conf.kdcs and not conf.flag("dns_lookup_kdc", default=True):
            findings.append(
                _bad(
                    f"no KDC of {realm} is configured, and dns_lookup_kdc is off",
                    f"name one in [realms]: {realm} = {{ kdc = dc.example.com }}, or set dns_lookup_kdc = true",
                )
            )
    if conf.libdefaults.get("dns_canonicalize_hostname", "true").lower() not in _FALSE:
        findings.append(
            _note(
                "the configuration lets DNS choose the host of a ticket, so that forged DNS leads programs elsewhere "
                "(this library only with dns_canonicalize)",
                "set dns_canonicalize_hostname = false and rdns = false in [libdefaults]",
            )
        )
    return findings


def check_tickets(tickets: CCacheCredentials | None, *, now: float | None = None) -> list[Finding]:
    """Look into a credential cache; None is the default one."""
    try:
        return pyspnego.call("reading the credential cache", _tickets, tickets, time.time() if now is None else now)
    except CredSSPError:
        where = "the default cache" if tickets is None else tickets.ccache
        return [
            _note(f"there are no tickets in {where}", "run kinit, or log on with a password (it gets its own tickets)")
        ]


def _tickets(tickets: CCacheCredentials | None, now: float) -> list[Finding]:
    import krb5

    context = krb5.init_context()
    cache: Any = krb5.cc_default(context) if tickets is None else krb5.cc_resolve(context, tickets.ccache.encode())
    where = f"{cache.cache_type.decode()}:{cache.name.decode()}"
    granting = [each for each in cache if str(each.server).startswith("krbtgt/")]
    findings = [_ok(f"tickets of {cache.principal} are in {where}"), *_others("credential cache", where)]
    left = max((each.times.endtime for each in granting), default=0) - now
    if left <= 0:
        findings.append(_bad("its ticket-granting ticket has expired, or there is none", "run kinit"))
        return findings
    findings.append(_ok(f"its ticket-granting ticket is good for {int(left // 60)} minutes"))
    if not any(each.ticket_flags & _FORWARDABLE for each in granting):
        findings.append(_note("it cannot be forwarded", "Remote Credential Guard needs one that can: kinit -f"))
    return findings


def check_keytab(keytab: str, target: Target | None) -> list[Finding]:
    """Look into a server's keytab, for the keys of a target if there is one."""
    try:
        entries = pyspnego.call("reading the keytab", _entries, keytab)
    except CredSSPError as error:
        advice = "create it on the KDC (ktadd, ktpass or adcli) and make it readable"
        return [_bad(f"the keytab {keytab}: {error.message}", advice)]
    if not entries:
        return [_bad(f"the keytab {keytab} is empty", "export the keys of the service to it")]
    names = sorted({principal for principal, _, _ in entries})
    findings = [_ok(f"the keytab has keys for {', '.join(names)}"), *_others("keytab", keytab)]
    old = sorted({_OLD_TYPES[etype] for _, _, etype in entries if etype in _OLD_TYPES})
    if all(etype in _OLD_TYPES for _, _, etype in entries):
        findings.append(
            _bad(f"all its keys are {' and '.join(old)}", "export AES keys: KDCs of today do not use the old ones")
        )
    findings += _services(names, target)
    return findings


def _services(names: list[str], target: Target | None) -> list[Finding]:
    """Say whether clients of a service get tickets that these keys open."""
    if target is None:
        # Nothing was asked about, but it is a computer's: of the services here, a join makes no TERMSRV.
        hosts = [name.rpartition("@")[0].partition("/")[2] for name in names if is_computer(name.rpartition("@")[0])]
        if not any(hosts) or any(name.upper().startswith("TERMSRV/") for name in names):
            return []
        target = Target("TERMSRV", next(filter(None, hosts)))
    spn = f"{target.service}/{target.host}"
    usable = keys_for([spn], names)
    if not usable:
        return [_bad(f"it has no key for {spn}", "clients ask for that name: add it, or its alias")]
    if any(is_one_of(name, [spn]) for name in usable) or target.service.upper() in _LIKE_HOST:
        return []
    return [
        _note(
            f"it has the keys of a computer that joined a domain, which open tickets for {spn} too; but a join does "
            f"not register {target.service}, and without an SPN clients get no ticket",
            _ADD_SPN.format(service=target.service, spn=spn),
        )
    ]


def _others(what: str, location: str) -> list[Finding]:
    path, how = open_to_others(location)
    if not how:
        return []
    judge = _bad if how == "written" else _note
    return [judge(f"the {what} {path} can be {how} by every user of this machine", f"chmod o-rw {path}")]


def _entries(keytab: str) -> list[tuple[str, int, int]]:
    import krb5

    context = krb5.init_context()
    source = krb5.kt_resolve(context, keytab.encode())
    return [(str(entry.principal), entry.kvno, entry.key.enctype) for entry in source]


def check_spn(target: Target, conf: Krb5Conf) -> list[Finding]:
    """Say which service principal a ticket will be asked for."""
    if target.is_address:
        return [
            _note(
                f"{target.host} is an address, and Kerberos knows hosts by name: such logins use NTLM",
                "use the server's DNS name",
            )
        ]
    host = target.in_domain(conf.libdefaults.get("qualify_shortname", "")).host
    findings = [_ok(f"a ticket is asked for {target.service}/{host}; DNS is not asked for another name")]
    if "." not in host and host != "localhost":
        findings.append(
            _note(
                f"{host} is a short name",
                "SPNs mostly have the full name: use host.example.com, or set qualify_shortname in [libdefaults]",
            )
        )
    return findings

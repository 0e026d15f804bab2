"""KRB and CRED, who it is: what the KDC or the account store vouches for, and never what the client says of itself.

The name in a ticket is what the client asked for. In a domain the KDC says in the PAC whose account it was ([MS-PAC]),
and signs that with the key of the service. So these rules need that key, or a server that tells who has logged on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from credssp.conformance.catalogue._base import CATALOGUE, ROBUSTNESS, SECURITY, SERVER
from credssp.conformance.catalogue.krb import NEEDS
from credssp.conformance.kerberos.forging import ticket_with_pac
from credssp.conformance.rule import Outcome, Skipped, Verdict, failed, first_fault, lenient, passed
from credssp.conformance.run import ServerRun, describe_end
from credssp.conformance.scripted_client import ScriptedClient
from credssp.credentials import PasswordCredentials
from credssp.kerberos.tickets import ServiceKey, ServiceTicket

# fmt: off
CATALOGUE.declare(
    ("CSSP-KRB-43", "a PAC that was changed", SECURITY, SERVER, "[MS-PAC] 2.8",
     "a ticket whose PAC had one bit of KERB_VALIDATION_INFO flipped after it was signed",
     "refused (or taken by a server that takes nothing from it: lenient)"),
    ("CSSP-KRB-44", "the PAC of another ticket", SECURITY, SERVER, "[MS-PAC] 2.7",
     "tickets whose PAC_CLIENT_INFO names another client, and another time of logon",
     "refused (or taken by a server that takes nothing from it: lenient)"),
    ("CSSP-KRB-45", "PACs that do not decode", ROBUSTNESS, SERVER, "[MS-PAC] 2.3, 2.4",
     "PACs with too many buffers, with a buffer that lies outside, cut short, and empty",
     "refused (or taken by a server that takes nothing from it: lenient); no hang, no crash"),
    ("CSSP-KRB-46", "the user is whose account the PAC names", SECURITY, SERVER, "[MS-PAC] 2.5 EffectiveName",
     "a right PAC that names another account than the ticket, and a third user in the credentials",
     "the account in the PAC has logged on (or the ticket's client, without a domain: lenient)"),
    ("CSSP-CRED-21", "the credentials do not say who has logged on", SECURITY, SERVER, "3.1.5 step 5; 5.1",
     "a good login, and the credentials of another user",
     "the user who proved the password has logged on, or the login is refused"),
)
# fmt: on

KEYS = "service-keys"
IDENTITY = "identity"
_TYPED, _ACCOUNT, _DELEGATED = "typed", "effective", "delegated"


def _key(run: ServerRun) -> ServiceKey:
    """Return the key of the server's own service, with which tickets can be made that it takes."""
    service = run.target.target_name
    keys: list[ServiceKey] = [each for each in getattr(run.target, "service_keys", ()) if each.service == service]
    if not keys:
        raise Skipped(f"the keytab has no key of {service}")
    key = keys[-1]
    good = _login(run, ticket_with_pac(key, run.target.account.username))
    if not good.key_answered:
        raise Skipped(f"a ticket with a PAC is not taken: {describe_end(good.end)}")
    return key


def _login(run: ServerRun, ticket: ServiceTicket) -> ScriptedClient:
    return run.kerberos_login(kerberos={"ticket": ticket})


def _who(run: ServerRun, login: ScriptedClient) -> str:
    """Return the user that the server says has logged on, without a domain; empty where it does not say."""
    told = getattr(run.target, "identity", lambda _: "")(login.connection.link)
    return str(told).rpartition("\\")[2]


def _refused(run: ServerRun, ticket: ServiceTicket, what: str) -> Outcome:
    """Judge a ticket whose PAC must not count."""
    login = _login(run, ticket)
    if login.key_answered and _who(run, login) == _ACCOUNT:
        return failed(f"{what}: {_ACCOUNT} has logged on, who is in that PAC alone")
    return run.key_refused_or_lenient(login, what)


def _flipped(data: bytes) -> bytes:
    at = data.index(_ACCOUNT.encode("utf-16-le")) + 2 * len(_ACCOUNT) - 1
    return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]


@CATALOGUE.server("CSSP-KRB-43", NEEDS, KEYS)
def _changed(run: ServerRun) -> Outcome:
    ticket = ticket_with_pac(_key(run), run.target.account.username, account=_ACCOUNT, change=_flipped)
    return _refused(run, ticket, "a PAC that was changed")


@CATALOGUE.server("CSSP-KRB-44", NEEDS, KEYS)
def _of_another(run: ServerRun) -> Outcome:
    key, name = _key(run), run.target.account.username
    tickets = {
        "the PAC of another client": ticket_with_pac(key, name, account=_ACCOUNT, named=_TYPED),
        "the PAC of another login": ticket_with_pac(key, name, account=_ACCOUNT, late=3600),
    }
    return first_fault(_refused(run, ticket, what) for what, ticket in tickets.items())


_DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "a PAC with too many buffers": lambda data: b"\xff\xff\xff\x7f" + data[4:],
    "a PAC with a buffer outside": lambda data: data[:12] + b"\xff\xff\xff\x7f" + data[16:],
    "a PAC cut short": lambda data: data[: len(data) // 2],
    "an empty PAC": lambda _: b"",
}


@CATALOGUE.server("CSSP-KRB-45", NEEDS, KEYS)
def _damaged(run: ServerRun) -> Outcome:
    key, name = _key(run), run.target.account.username
    return first_fault(
        _refused(run, ticket_with_pac(key, name, account=_ACCOUNT, change=damage), what)
        for what, damage in _DAMAGES.items()
    )


def _as_another(**script: Any) -> dict[str, Any]:
    """Return a login that delegates another user's credentials."""
    return {"credentials": PasswordCredentials(_DELEGATED, "made up", domain="LAB").to_wire().encode()} | script


@CATALOGUE.server("CSSP-KRB-46", NEEDS, KEYS, IDENTITY)
def _by_the_pac(run: ServerRun) -> Outcome:
    ticket = ticket_with_pac(_key(run), _TYPED, account=_ACCOUNT)
    login = run.kerberos_login(**_as_another(kerberos={"ticket": ticket}))
    who = _who(run, login)
    if not login.key_answered:
        return run.taken(login, "a ticket with a PAC that names another account")
    if who == _ACCOUNT:
        return passed(who)
    return (
        lenient("the name in the ticket counts, not the PAC")
        if who == _TYPED
        else failed(f"{who or 'no user'} has logged on")
    )


@CATALOGUE.server("CSSP-CRED-21", IDENTITY)
def _by_the_proof(run: ServerRun) -> Outcome:
    login = run.login(**_as_another())
    who, name = _who(run, login), run.target.account.username
    if not login.key_answered or not who:
        outcome = run.either(login, "credentials of another user")
        return outcome if outcome.verdict is not Verdict.PASS else passed("refused")
    return (
        passed(who) if who.upper() == name.upper() else failed(f"{who} has logged on, and {name} proved the password")
    )

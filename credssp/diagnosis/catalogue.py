"""Every finding about a server as data: how much it matters, why, and what to do.

The order is that of a login: of several errors, the first one here is the one to begin with. No advice lowers security.
docs/reference/findings.md is made from this table (docs/_ext/findings_docs.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from credssp.finding import FindingLevel, ServerFinding

__all__ = ["KINDS", "Kind", "finding", "rank"]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of finding.

    Attributes:
        id: its name; it does not change between versions.
        level: how much it matters.
        title: what it is, in a few words.
        why: why it matters.
        advice: what to do.
        command: what to run next, with ``{host}``, ``{port}`` and ``{url}``.
        place: where the fault is: ``way`` (no server of this protocol is reached), ``server``, ``kerberos`` or
            ``here`` (this machine).
    """

    id: str
    level: FindingLevel
    title: str
    why: str
    advice: str
    command: str = "credssp probe {url}"
    place: str = "server"


_E, _W, _N = FindingLevel.ERROR, FindingLevel.WARNING, FindingLevel.NOTE

_ALL: Final = (
    # The way there
    Kind(
        "name-unknown",
        _E,
        "the name is not known",
        "Without an address there is no connection.",
        "Compare the spelling with the server's own name, and look at the DNS servers and search domains of this "
        "machine.",
        "getent hosts {host}",
        "way",
    ),
    Kind(
        "port-closed",
        _E,
        "the port is closed",
        "The machine is there and answered that no program listens on this port.",
        "Start the service (Windows: TermService or WinRM), or use the port on which it listens; 3389 is RDP's, 5985 "
        "and 5986 are WinRM's.",
        "nmap -Pn -p 3389,5985,5986,{port} {host}",
        "way",
    ),
    Kind(
        "no-answer",
        _E,
        "packets are lost",
        "A firewall that drops packets, a wrong address and a machine that is off look the same from here.",
        "Check that the machine is on and has this address, then the firewalls in between and its own one.",
        "traceroute -n -T -p {port} {host}",
        "way",
    ),
    Kind(
        "unreachable",
        _E,
        "there is no way to the address",
        "A router, or this machine itself, said that the address cannot be reached.",
        "Check routes, VPN and the network of the server.",
        "ip route get {host}",
        "way",
    ),
    Kind(
        "no-connection",
        _E,
        "there is no connection",
        "Nothing of the server was seen.",
        "Look at the text: it says what failed on the way, such as a proxy.",
        "credssp probe -v {url}",
        "way",
    ),
    Kind(
        "other-protocol",
        _E,
        "another protocol answers",
        "The program on this port is not the service that was asked for.",
        "Use the port of the service: 3389 is RDP's, 5985 is WinRM's over http, 5986 over https.",
        "nmap -Pn -sV -p {port} {host}",
        "way",
    ),
    Kind(
        "silent",
        _E,
        "nothing answers",
        "The connection is taken and then stays silent: an overloaded server, or another kind of program.",
        "Check the port, then the load and the log of the server.",
        "nmap -Pn -sV -p {port} {host}",
        "way",
    ),
    Kind(
        "closed-early",
        _E,
        "the server closes without an answer",
        "It may limit or ban this address, or its service is not able to start a session.",
        "Look at the log of the server and of what is in front of it, for the address of this machine.",
        "credssp probe -v {url}",
        "way",
    ),
    # RDP's negotiation
    Kind(
        "nla-missing",
        _E,
        "no network level authentication",
        "Every machine on the network reaches the logon screen and the code before it, and the password is typed "
        "into a session whose server has proved nothing.",
        "Turn on network level authentication: on Windows in the properties of the system, under Remote, or by the "
        "group policy 'Require user authentication for remote connections by using Network Level Authentication'. A "
        "server that has none, such as xrdp, can be put into a network of its own, with `credssp gateway` in front.",
    ),
    Kind(
        "standard-rdp-security",
        _E,
        "standard RDP security is accepted",
        "It authenticates no server, and its RC4 encryption can be opened by a machine in the middle.",
        "Set the security layer to SSL (SecurityLayer = 2) and require network level authentication.",
    ),
    Kind(
        "nla-not-enforced",
        _W,
        "network level authentication is not enforced",
        "A client that does not ask for NLA reaches the logon screen without it, and with it the code before a logon.",
        "Require network level authentication (UserAuthentication = 1).",
    ),
    Kind(
        "restricted-admin-offered",
        _N,
        "Restricted Admin mode is offered",
        "Nothing is delegated in this mode, which is good for the user; but an attacker who has an NT hash of an "
        "administrator needs no password to log on by it.",
        "Keep it where administrators use it; else set DisableRestrictedAdmin to 1.",
    ),
    # WinRM's offer
    Kind(
        "winrm-credssp-off",
        _E,
        "WinRM does not offer CredSSP",
        "Logins with CredSSP fail; other schemes may work.",
        "Turn it on where delegation is wanted: Enable-WSManCredSSP -Role Server.",
    ),
    Kind(
        "winrm-basic-http",
        _E,
        "Basic authentication is offered over http",
        "A client that chooses Basic sends its password in clear text.",
        "Set it to false: Set-Item WSMan:\\localhost\\Service\\Auth\\Basic $false.",
    ),
    Kind(
        "winrm-basic",
        _W,
        "Basic authentication is offered",
        "The password itself is sent to any server that has a certificate which the client accepts.",
        "Set it to false where no client needs it: Set-Item WSMan:\\localhost\\Service\\Auth\\Basic $false.",
    ),
    Kind(
        "winrm-http",
        _N,
        "WinRM over http",
        "Messages are encrypted inside http only if both sides do so (AllowUnencrypted = false); `credssp login` "
        "checks that.",
        "Prefer https (port 5986) with a certificate that clients verify.",
        "credssp login {url}",
    ),
    # TLS
    Kind(
        "tls-failed",
        _E,
        "TLS does not work",
        "CredSSP runs inside TLS 1.2 or 1.3; none of them came about.",
        "Look at the server's log about TLS; often its certificate or key cannot be used, or it is too old for TLS "
        "1.2 and needs an update.",
    ),
    Kind(
        "tls-old",
        _W,
        "TLS 1.0 or 1.1 is accepted",
        "Both are withdrawn (RFC 8996): they rest on MD5 and SHA-1.",
        "Turn off TLS 1.0 and 1.1 on the server (SCHANNEL\\Protocols in the registry of Windows).",
    ),
    Kind(
        "tls-weak-cipher",
        _W,
        "weak ciphers are accepted",
        "RC4, DES, 3DES, export and NULL ciphers, and those without authentication, can be broken.",
        "Remove them from the server's cipher suites, and leave those with ECDHE and AES-GCM.",
    ),
    # The certificate
    Kind(
        "cert-unreadable",
        _W,
        "the certificate cannot be read",
        "It breaks the rules of X.509, so that neither its dates nor its names could be checked.",
        "Issue another one.",
    ),
    Kind(
        "cert-expired",
        _E,
        "the certificate has expired",
        "Clients warn or refuse, and users learn to click warnings away.",
        "Renew it on the server. Windows makes a new self-signed one when its Remote Desktop service restarts.",
    ),
    Kind(
        "cert-not-yet-valid",
        _E,
        "the certificate is not valid yet",
        "Clients refuse it; mostly a clock is wrong.",
        "Compare the clocks of this machine, of the server and of its authority.",
    ),
    Kind(
        "cert-untrusted",
        _E,
        "the certificate does not chain to the authority that was given",
        "What answers may not be the server.",
        "Compare its SHA-256 with the certificate on the server itself; if they differ, look for a machine in the "
        "middle.",
    ),
    Kind(
        "cert-weak-key",
        _E,
        "the certificate's key is weak",
        "CredSSP is bound to this key: an attacker who has computed it can take the server's place.",
        "Issue a certificate with RSA of 2048 bits or more, or with P-256 or P-384.",
    ),
    Kind(
        "cert-weak-signature",
        _W,
        "the certificate is signed with MD5 or SHA-1",
        "Signatures over these hashes can be forged.",
        "Issue a certificate with SHA-256 or better.",
    ),
    Kind(
        "cert-expiring",
        _W,
        "the certificate will expire soon",
        "After that, clients warn or refuse.",
        "Renew it.",
    ),
    Kind(
        "cert-name",
        _W,
        "the certificate is not for this name",
        "A client cannot tell this server from another one that has a certificate of the same authority.",
        "Connect by a name that is in it, or issue one whose subjectAltName has the name that clients use.",
    ),
    Kind(
        "cert-default-rdp",
        _N,
        "the certificate is the one that Windows made for RDP",
        "It is self-signed and changes twice a year, so that clients can neither verify it nor keep a pin for long.",
        "Issue one by an authority that clients trust, and name it in the policy 'Server authentication certificate "
        "template'.",
    ),
    Kind(
        "cert-self-signed",
        _N,
        "the certificate is self-signed",
        "Clients can only pin it.",
        "Issue one by an authority that clients trust, or give clients its SHA-256 as --fingerprint.",
    ),
    # CredSSP and the clock
    Kind(
        "credssp-failed",
        _E,
        "CredSSP does not answer",
        "TLS works, and the login ends with the first message inside.",
        "Look at the server's log: it says why it ended the login before any proof was sent.",
    ),
    Kind(
        "credssp-old",
        _E,
        "CredSSP below version 5",
        "Before version 5 a machine in the middle can relay the login and run commands (CVE-2018-0886); updated "
        "clients refuse such servers.",
        "Update the server (Windows: the updates of May 2018 and later have version 6).",
    ),
    Kind(
        "no-mechanism",
        _E,
        "no mechanism is accepted",
        "Neither NTLM nor Kerberos can begin.",
        "Look at the server's log, and at the policies that restrict NTLM.",
    ),
    Kind(
        "clock-skew",
        _E,
        "the clocks differ by more than five minutes",
        "Kerberos allows five minutes (RFC 4120), certificates and logs are judged by these clocks, and NTLMv2 of some "
        "servers refuses old answers.",
        "Synchronise both machines (chrony, w32tm /resync).",
        "date -u",
    ),
    # Kerberos
    Kind(
        "realm-unknown",
        _E,
        "the realm is wrong",
        "No KDC of that realm is known, so there is no ticket.",
        "Use the realm of the server's domain, in capitals, and name its KDCs in [realms] of krb5.conf or in DNS.",
        "dig +short SRV _kerberos._tcp.{realm}",
        "kerberos",
    ),
    Kind(
        "kdc-unreachable",
        _E,
        "the KDC does not answer",
        "Tickets come from it.",
        "Check kdc in [realms] of krb5.conf, and that port 88 is open for TCP.",
        "credssp doctor --realm {realm}",
        "kerberos",
    ),
    Kind(
        "kdc-clock-skew",
        _E,
        "this clock differs from the KDC's by more than five minutes",
        "A KDC and servers refuse tickets then (RFC 4120).",
        "Synchronise both (chrony, w32tm /resync).",
        "date -u",
        "kerberos",
    ),
    Kind(
        "kerberos-library",
        _E,
        "Kerberos is not installed for Python",
        "Without gssapi and krb5 there is no ticket.",
        "pip install 'credssp[kerberos]' (in a clone: '.[kerberos]'); without a wheel it needs gcc and libkrb5-dev.",
        "credssp doctor",
        "kerberos",
    ),
    Kind(
        "no-ticket",
        _E,
        "there is no ticket to log on with",
        "Kerberos begins with a ticket-granting ticket.",
        "Run kinit, or log on with a password, which gets its own.",
        "kinit",
        "kerberos",
    ),
    Kind(
        "spn-missing",
        _E,
        "the KDC does not know the service principal",
        "Without its SPN there is no ticket for the server, and logins fall back to NTLM or fail.",
        "Connect by the server's full name, or register the SPN for the server's account (setspn -S).",
        "kvno {spn}",
        "kerberos",
    ),
    Kind(
        "ticket-refused",
        _E,
        "the KDC gives no ticket for the server",
        "Logins by Kerberos fail before the server is asked.",
        "Look at the text, which is the KDC's.",
        "kvno {spn}",
        "kerberos",
    ),
    # This machine
    Kind(
        "policy-refuses",
        _E,
        "the delegation policy refuses this server",
        "The login ends before credentials are handed over.",
        "Allow this server in the setting that the text names, if it shall have these credentials.",
        "credssp policy check {spn}",
        "here",
    ),
    Kind(
        "openssl-restricted",
        _E,
        "OpenSSL on this machine does not allow what the server needs",
        "The TLS handshake fails on this side.",
        "See the lines about openssl, which name the setting.",
        "credssp doctor",
        "here",
    ),
)

KINDS: Final[dict[str, Kind]] = {kind.id: kind for kind in _ALL}
"""By id, in the order of a login."""

_RANK: Final = {name: number for number, name in enumerate(KINDS)}


def rank(found: ServerFinding) -> tuple[int, int]:
    """Return what sorts findings: errors first, then the way of a login."""
    return list(FindingLevel).index(found.level), _RANK[found.id]


def finding(name: str, seen: str) -> ServerFinding:
    """Return a finding of a kind.

    Args:
        name: a key of `KINDS`.
        seen: what was seen, in one sentence with a full stop.
    """
    kind = KINDS[name]
    return ServerFinding(kind.id, kind.level, seen, kind.why, kind.advice)

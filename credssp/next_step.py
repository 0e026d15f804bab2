"""What to do about a failure, by situation.

A SECURITY_STATUS is used for many situations: SEC_E_UNSUPPORTED_FUNCTION is an RDP server without network level
authentication, one without Restricted Admin mode, one with TLS 1.1, and one with an old CredSSP. So the place that
raises an error names the situation by a member of `NextStep`, and `credssp.CredSSPError.advice` is its text. The table
of `credssp.status` is asked only where the number itself is the verdict: an errorCode, or what a KDC or an account
store says.

No text suggests to lower security, unless a version is the cause (`ABOUT_VERSIONS`); a test goes over all of them.
"""

from __future__ import annotations

import enum
from typing import Final

__all__ = ["ABOUT_VERSIONS", "NextStep"]


class NextStep(enum.StrEnum):
    """A situation, and the next step in it."""

    # Of the kinds of errors, where nothing more is known
    ANY = "Look at the log of the side that failed."
    CALL = "Correct the call, option or file that the text names."
    PROTOCOL = "Check that host and port are the right ones; --transcript and `credssp dissect` show the messages."
    LIMIT = "Check that the service on that port is the right one: it sends more than a login needs."
    MEMORY = "Free memory on this machine, or raise the limit of this process, and log on again."
    CLOSED = "Look at the log of the other side, which closed the connection without giving a reason."
    RESTRICTION = "Run `credssp doctor`, which says what this machine does not allow and which setting that is."
    KERBEROS = "Run `credssp doctor`, which looks at tickets, clocks, names and libraries of Kerberos."

    # No connection, or none any more
    CONNECT = (
        "Check name and port, whether the service runs there (3389 is RDP's port, 5985 and 5986 are WinRM's), and the "
        "firewalls in between."
    )
    DEADLINE = "Check that port and protocol are the right ones, and give it more time if the server is slow."
    LISTEN = "Choose another address or port, or stop what listens there."
    PROXY = "Check the proxy's URL, and whether it may connect to this host and port: many allow port 443 only."
    KDC = "Check the KDCs in [realms] of krb5.conf or in DNS, and that port 88 is open for TCP."

    AGENT = "Start an agent (`credssp agent run`) or give its socket in CREDSSP_AGENT_SOCK; its log says why it ended."
    AGENT_UNKNOWN = (
        "Compare the name with those of `credssp agent list`, which the owner of the agent can run, and "
        "CREDSSP_AGENT_SOCK with the socket of the agent that holds it."
    )
    AGENT_TARGET = (
        "If this is the server that was meant, add the credential with a --target that fits: RDP logs on to "
        "TERMSRV/host, WinRM to HTTP/host."
    )
    AGENT_MECHANISM = "Ask for a mechanism that `credssp agent list` shows for the credential, or for none."
    AGENT_EXPIRED = "Add the credential again; one of the configuration is read again when the agent gets SIGHUP."
    AGENT_DECLINED = (
        "Say yes within a minute; the agent asks by the program that CREDSSP_ASKPASS or SSH_ASKPASS named at its start."
    )
    AGENT_LOCKED = "Run `credssp agent unlock`."
    AGENT_SOURCE = "Look at the file, keytab, cache or card of the credential, which the agent has to be able to read."
    AGENT_CERTIFICATE = (
        "Check the server's certificate with `credssp probe`, then add the credential with its --fingerprint, or with "
        "--cacert of its authority."
    )
    AGENT_MISUSED = "Begin a new login: this is an error of the program, not of the agent or the server."
    AGENT_LIMIT = "End logins that are under way on this connection, or use another one."

    # TLS
    TLS = "Check the port, and look at the log of the other side about TLS."
    TLS_VERSION = "Enable TLS 1.2 or later on the side that lacks it; this library speaks 1.2 and 1.3 by default."
    TLS_OLD_SERVER = (
        "Enable TLS 1.2 on the server. Only if that cannot be done, --legacy-tls or ClientTLS(legacy=True) admits old "
        "versions for this one host, at a risk: an attacker on the network may then read and change what is sent."
    )
    TLS_CIPHER = (
        "Enable a cipher suite with ECDHE and AES-GCM on the other side; `credssp doctor` says what this side can do."
    )
    TLS_NONE = "Check the port: what answers there does not speak TLS."
    TLS_DAMAGED = "Connect without a proxy or TLS inspection in between: bytes were changed or lost on the way."
    TLS_CLIENT_CERTIFICATE = (
        "Give the TLS client certificate that the server demands (`ClientTLS.client_certificate`); CredSSP needs none."
    )
    TLS_REJECTED_CERTIFICATE = "Give this side a certificate that the other side accepts; its log says what is wrong."
    TLS_RESUMED = "Have the client begin with a full TLS handshake ([MS-CSSP] 3.1.5)."

    # Checks of ours
    CERTIFICATE_NAME = (
        "Connect by a name that is in the certificate, or pin its fingerprint after comparing it on the server itself."
    )
    CERTIFICATE_TIME = "Renew the certificate on the server, and compare the clocks of both machines."
    CERTIFICATE_ROOT = (
        "Give the authority that issued the certificate (--cacert, `ClientTLS.cafile`), or pin its fingerprint "
        "(--fingerprint) after comparing it on the server itself."
    )
    CERTIFICATE_PIN = "Compare it with the certificate on the server itself; pin the new one if it was renewed."
    CERTIFICATE_MISSING = "Give the server a certificate: CredSSP is bound to its key."
    BINDING = (
        "Compare the certificate that this side sees with the server's own, and take any TLS inspection out of the "
        "path: there may be a machine in the middle."
    )
    POLICY = "Allow this target in the setting that the text names, if the server shall have these credentials."
    POLICY_NTLM_ONLY = "Use Kerberos, or a certificate that can be checked, so that the server proves which one it is."
    DOWNGRADE = (
        "Give the server its Kerberos key (SPN, keytab); if it has one, look for a machine in the middle that wants a "
        "proof of the password."
    )
    VERSION_OLD = (
        "Update the older side to CredSSP 5 or 6 (CVE-2018-0886). Until then a lower minimum (--min-version, "
        "`min_version`, AllowEncryptionOracle = 2) admits it, at a risk."
    )
    VERSION_WRONG = "Update the other side: a CredSSP version like that breaks the protocol."
    NTLM_SERVER = "Update the server: it must offer NTLMv2 with 128-bit keys, signing, sealing and its own name."
    NTLM_CLIENT = "Update the client or its settings: NTLMv2 with signing, sealing and 128-bit keys is expected."

    CLOCKS = "Synchronise the clocks of both machines: five minutes are the usual limit."
    SERVER_NAME = "Have clients connect by a name of this server, or add that name (--spn, `spn`)."

    # Kerberos before a server is asked
    KERBEROS_LIBRARY = "Install what is missing: pip install 'credssp[kerberos]' (in a clone: '.[kerberos]')."
    KERBEROS_NAME = "Use the full host name of the server: Kerberos knows services by name."
    KERBEROS_SPN = (
        "Check which account has the SPN (setspn -Q), and that the server runs as it; else it is another server."
    )
    KERBEROS_KEYTAB = "Compare the keytab (klist -ke) with the service the client asked for, and export it anew."
    KERBEROS_CLIENT = "Look at what the client sends: a ticket of a named user, for this service."
    KERBEROS_USER = "Give user name and password of an account of the realm, as NAME@REALM, or run kinit."

    # The server's refusals
    REFUSED = "Check user name, domain and password, then the server's log (on Windows: security event 4625)."
    REFUSED_CREDENTIALS = (
        "Look at the server's log for the reason: the right to log on, the state of the account, or what was delegated."
    )
    DENIED_EARLY = "Look at the server's log: it ended TLS with access_denied before any proof of a password was sent."
    NOT_AUTHORIZED = (
        "Add the user to the group Remote Desktop Users, or grant the right to log on through Remote Desktop Services."
    )
    MECHANISM_REJECTED = "Look at the server's log, and at the mechanisms it offers (`credssp probe`)."
    MECHANISM_MISSING = "Have both sides offer a mechanism in common: NTLM, or Kerberos with a keytab on the server."

    # RDP's negotiation
    RDP_OTHER = "Check host and port: the other side does not speak RDP, whose port is 3389."
    RDP_NO_ANSWER = (
        "Check the port, and whether the server limits or bans this address: it closed without an answer to the RDP "
        "Connection Request."
    )
    RDP_BEFORE_PROOF = (
        "Look at the server's log: it closed before any proof was sent. Often its certificate or key cannot be used."
    )
    RDP_NO_NLA = (
        "Turn on network level authentication on the server. One that has none, such as xrdp, asks for the password "
        "inside the session."
    )
    RDP_STANDARD_SECURITY = "Set the server's security layer to Negotiate, and turn on network level authentication."
    RDP_NO_CERTIFICATE = (
        "Give the server a certificate whose key it can read; a new one is made when its service restarts."
    )
    RDP_APPROACH = "Use the other approach (`Approach.NEGOTIATED`): this server does not take TLS first."
    RDP_HYBRID_REQUIRED = "Request HYBRID or HYBRID_EX (`protocols`), which the server demands."
    RDP_CLIENT_CERTIFICATE = (
        "Use a client that logs on with a TLS client certificate: this server does not take CredSSP."
    )
    RDP_ENTRA = "Use a client that logs on with Microsoft Entra ID (RDSAAD): this server does not take CredSSP."
    RDP_FAILURE = "Look at the server's log: its failure code has no name."
    RDP_UNASKED = "Update the server: it selected a protocol that was not requested."
    RDP_RESTRICTED_ADMIN = (
        "Enable Restricted Admin mode on the server, where it has that (Windows: DisableRestrictedAdmin = 0 in "
        "HKLM\\System\\CurrentControlSet\\Control\\Lsa)."
    )
    RDP_REMOTE_GUARD = (
        "Enable Remote Credential Guard on the server, where it has that (Windows Server 2016 and later, in a domain)."
    )
    RDP_CLIENT = "Connect with a client that does network level authentication (mstsc, xfreerdp /sec:nla)."

    RDP_RELAYED = (
        "Set the server to TLS; one on the same machine may also use no encryption at all (xrdp: crypt_level=none)."
    )

    RDP_NOT_RELAYED = "Connect with user name and password, without Restricted Admin mode and Remote Credential Guard."

    NOTHING_DELEGATED = (
        "Let the client delegate user name and password: log on with a password, and without Restricted Admin mode and "
        "Remote Credential Guard."
    )

    RDP_OTHER_USER = (
        "Log on with the same user at both, or allow it in the target's rule (other_user = true), where that is meant."
    )

    RDP_REDIRECTED = (
        "Let the gateway have a target for the server that the client is sent to, with a token, and connect there; or "
        "take the server out of its session broker's farm."
    )

    # WinRM
    HTTP_MOVED = (
        "Use the URL that the answer names in Location: a login counts for one connection and does not follow. A proxy "
        "may redirect as well, to a login page, say."
    )
    HTTP_400 = "Check the URL: the server may not speak CredSSP there, or it lost the state of this connection."
    HTTP_403 = "Let the account use the service: see its authorisation (winrm configSDDL, RootSDDL)."
    HTTP_403_EARLY = (
        "Check the URL, and what is in between: the request was forbidden before it named a user, by an address filter "
        "or a proxy, say."
    )
    HTTP_404 = "Check the path, which is usually /wsman: there is no WS-Management at this URL."
    HTTP_407 = "Put the proxy's user name and password into its URL (http://USER:PASSWORD@HOST:PORT), or go around it."
    HTTP_413 = "Send smaller messages, or let the server take larger ones (MaxEnvelopeSizekb)."
    HTTP_431 = (
        "Use an account in fewer groups, whose Kerberos ticket is smaller, or let the server take larger headers "
        "(MaxFieldLength and MaxRequestBytes of http.sys); a proxy in between may have limits too."
    )
    HTTP_500 = "Look at the server's log: it failed before it named what it takes."
    HTTP_502 = "Check whether the proxy reaches the server; it must also keep one connection for each client."
    HTTP_503 = "Try again later: the server, or the proxy in front of it, is not ready."
    HTTP_OTHER = "Check the URL and its port: WinRM answers at /wsman, on 5985 (http) and 5986 (https)."
    HTTP_NO_LOGIN = (
        "If another auth object is logged on over the same connection, take a session or client for each; else check "
        "the URL."
    )
    WINRM_NOT_OFFERED = "Turn CredSSP on there: Enable-WSManCredSSP -Role Server."
    WINRM_OFFERS_NOTHING = (
        "Check the URL: WinRM names the schemes it takes, at /wsman. CredSSP is turned on there by Enable-WSManCredSSP "
        "-Role Server."
    )
    WINRM_NO_TOKEN = "Check the URL, and what is between: the server did not continue CredSSP on this connection."
    WINRM_ONE_CONNECTION = (
        "Let the proxy or load balancer in between keep one connection to the server for each client (keep-alive), or "
        "connect past it; a tunnel (CONNECT) does that too."
    )
    WINRM_DELEGATION = (
        "Check that the account may use the service (Remote Management Users), and that the server receives delegated "
        "credentials (Enable-WSManCredSSP -Role Server)."
    )
    WINRM_SEND_AGAIN = "Log on and send it again."

    # SSPI
    SSPI_ARGUMENT = "Correct the argument that the text names."
    SSPI_UNSUPPORTED = "Use another package or call: the text names what this package does not do."
    SSPI_PACKAGE = "Check the package's name and its installation: the text says what failed."
    SSPI_STREAM = "Begin a new connection with a new context."
    SSPI_ORDER = "Give every record once, in the order in which it was received."
    SSPI_INSIDE = "Look at the exception of the package in the log, and report it to its author."


ABOUT_VERSIONS: Final = frozenset({NextStep.VERSION_OLD, NextStep.TLS_VERSION, NextStep.TLS_OLD_SERVER})
"""The situations whose cause is a version: only these may name a setting that lowers security."""

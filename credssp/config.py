"""Every option of the library, declared once: `ClientConfig`, `ServerConfig`, and their `Limits` and `Timeouts`.

Everything that logs on or lets clients log on takes its options in two ways, and both mean the same::

    config = ClientConfig(target_name="TERMSRV/srv.lab.test", mutual_auth=True)
    ClientContext(credentials, config=config)
    ClientContext(credentials, target_name="TERMSRV/srv.lab.test", mutual_auth=True)

Options that are given beside ``config=`` replace its fields. A configuration is passed on whole, from the driver down
to the engine; each part reads the fields that concern it, and ignores the others. As keywords, each part takes only
what it reads: the `TypedDict` classes at the end of this module say which, for type checkers and at run time alike.
"""

from __future__ import annotations

import functools
import math
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, TypedDict, get_args

from credssp.credentials import (
    AgentCredentials,
    CertificateCredentials,
    CredentialSource,
    DelegatedCredentials,
    LogonCredentials,
    PasswordCredentials,
    check_name,
)
from credssp.errors import LocalProtocolError
from credssp.mechanism import MAX_LEGS
from credssp.mechanism_name import MechanismChoice, MechanismName
from credssp.protocol_version import HIGHEST_VERSION, LOWEST_VERSION
from credssp.status import SecurityStatus
from credssp.target import Target
from credssp.wire.tolerant import MAX_MESSAGE_SIZE

if TYPE_CHECKING:
    # Types of the layers above: the names alone, nothing of them is imported when the program runs.
    from os import PathLike

    from credssp.account import AccountStore
    from credssp.authority import LogonAuthority
    from credssp.drivers.authorization import Authorize
    from credssp.drivers.rdp_service import OnEvent
    from credssp.drivers.winrm_asgi import CloseObserver, LoginObserver
    from credssp.engine.driven import OpenEngine
    from credssp.engine.events import Observer
    from credssp.ntlm.challenge import NTLMTarget
    from credssp.policy import DelegationPolicy, PolicySettings
    from credssp.proxy import Proxy
    from credssp.rdp.events import Approach
    from credssp.rdp.negotiation import Protocol, ResponseFlags
    from credssp.tls.certificate import ServerCertificate
    from credssp.tls.channel import TLSSession
    from credssp.tls.settings import ClientTLS, ServerTLS
    from credssp.watched_file import WatchedFile

__all__ = [
    "Carrier",
    "CbtHardening",
    "CertificateSource",
    "ClientConfig",
    "ClientOptions",
    "CommonConfig",
    "ContextOptions",
    "Encryption",
    "KerberosForm",
    "LimitOptions",
    "Limits",
    "Lockout",
    "RDPClientOptions",
    "RDPConnectOptions",
    "RDPServerOptions",
    "RDPServiceOptions",
    "ServerConfig",
    "ServerLimits",
    "ServerOptions",
    "ServiceLimitOptions",
    "Timeouts",
    "WinRMClientOptions",
    "WinRMConnectionOptions",
    "WinRMServiceOptions",
    "check_port",
    "client_config",
    "server_config",
]

Carrier: TypeAlias = Literal["stream", "tokens"]
"""What carries the exchange: a stream of bytes (RDP), or one token at a time, each answered (HTTP)."""

KerberosForm: TypeAlias = Literal["spnego", "kerberos"]
"""How a client's Kerberos tokens travel: in SPNEGO, or bare as rdesktop sends them."""

CertificateSource: TypeAlias = (
    "str | PathLike[str] | tuple[bytes, bytes] | ServerCertificate | WatchedFile[ServerCertificate]"
)
"""Where a server's certificate comes from; see `ServerConfig.certificate`."""

CbtHardening: TypeAlias = Literal["none", "relaxed", "strict"]
"""Whether clients prove the channel bindings of an outer TLS channel, by the names of WinRM's CbtHardeningLevel."""

Encryption: TypeAlias = Literal["auto", "always", "never"]
"""Whether WinRM messages are encrypted: ``auto`` over http and not over https, as in pywinrm and pypsrp."""

Lockout: TypeAlias = Callable[[str, str], bool]
"""Whether the account with this domain and user name is locked."""

_CHOICES: Final = get_args(MechanismChoice)
_FORMS: Final = get_args(KerberosForm)
_CARRIERS: Final = get_args(Carrier)
_ENCRYPTIONS: Final = get_args(Encryption)
_MECHANISMS: Final = frozenset(get_args(MechanismName)) - {""}


def check_port(port: object, *, lowest: int = 1) -> int:
    """Return a TCP port.

    Raises:
        LocalProtocolError: it is not an integer from `lowest` to 65535.
    """
    # Some resolvers take it modulo 65536.
    if not isinstance(port, int) or isinstance(port, bool) or not lowest <= port < 65536:
        raise LocalProtocolError(f"port is an integer from {lowest} to 65535, not {port!r}")
    return port


def drawn(random: Callable[[int], bytes], size: int) -> bytes:
    """Return random bytes from the option `random`.

    Raises:
        LocalProtocolError: it returned something else.
    """
    found: Any = random(size)
    if not isinstance(found, bytes) or len(found) != size:
        what = f"{len(found)} bytes" if isinstance(found, bytes) else type(found).__name__
        raise LocalProtocolError(f"random was asked for {size} bytes and returned {what}")
    return found


def asked(clock: Callable[[], int]) -> int:
    """Return the time from the option `clock`, in nanoseconds since 1970.

    Raises:
        LocalProtocolError: it returned something else.
    """
    found: Any = clock()
    if not isinstance(found, int) or found < 0:
        raise LocalProtocolError(f"clock returns nanoseconds since 1970 as an int, as time.time_ns; not {found!r}")
    return found


def _check_choice(name: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        raise LocalProtocolError(f"{name} is one of {', '.join(known)}; not {value!r}")


def _check_seconds(name: str, value: object) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < math.inf:
        raise LocalProtocolError(f"{name} is a positive number of seconds, not {value!r}")


def _wrong(name: str, wanted: str, value: object) -> LocalProtocolError:
    # By its kind alone: what was meant to be credentials may hold a password.
    return LocalProtocolError(f"{name} takes {wanted}, not a {type(value).__name__}")


# What is called, by its annotation; and what may be several things, and is checked where it is used or below.
_CALLED: Final = (
    *("Callable", "Observer", "Authorize", "OnEvent", "Lockout", "LoginObserver", "CloseObserver", "OpenEngine"),
)
_CHECKED_APART: Final = frozenset(
    (
        *(
            "accounts",
            "authority",
            "carrier",
            "cbt_hardening",
            "certificate",
            "credentials",
            "delegated_credentials",
            "encryption",
        ),
        *("keytab", "limits", "max_version", "mechanism", "mechanisms", "min_version", "policy", "policy_target"),
        *("spn", "target_name", "timeouts", "wire_form"),
    )
)


@functools.cache
def _checked(kind: Any) -> tuple[tuple[str, object, str], ...]:
    options = (option for option in fields(kind) if option.name not in _CHECKED_APART)
    return tuple((option.name, option.default, str(option.type)) for option in options)


def _check_kinds(config: object) -> None:
    # By the names of the classes, since those of the layers above are not imported here. Most options are as they were,
    # and cost nothing.
    kind: Any = type(config)
    for name, default, wanted in _checked(kind):
        value = getattr(config, name)
        if value is default:
            continue
        known = {base.__name__ for base in type(value).__mro__}
        if value is None:
            known = {"None"}
        elif isinstance(value, bool):
            known = {"bool"}
        elif isinstance(value, int):
            known.add("float")
        if wanted.startswith(_CALLED):
            wanted, legal = "callable", callable(value) or (value is None and wanted.endswith("None"))
        else:
            legal = not known.isdisjoint(wanted.split(" | "))
        if not legal:
            raise _wrong(name, "a " + wanted.removesuffix(" | None").replace(" | ", " or "), value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long a client waits, in seconds.

    Attributes:
        connect: for the TCP connection.
        leg: for the peer's next bytes, whenever it is its turn.
        login: for the whole login from the first byte on, however busy the peer keeps us.

    Raises:
        LocalProtocolError: one of them is not a positive number.
    """

    connect: float = 10.0
    leg: float = 15.0
    login: float = 30.0

    def __post_init__(self) -> None:
        for name in ("connect", "leg", "login"):
            _check_seconds(f"timeouts: {name}", getattr(self, name))


_WITHIN: Final = (
    ("half_open", "connections"),
    ("connections_per_source", "connections"),
    ("half_open_per_source", "half_open"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a peer may cost. Sizes are in bytes, times in seconds.

    Attributes:
        max_legs: messages of CredSSP to take from a peer in one login. NTLM needs three, Kerberos in SPNEGO two or
            three. (All contexts and engines.)
        max_message_size: size of one TSRequest: what FreeRDP reads at most, and well above Kerberos tokens with large
            PACs. (All.)
        max_body: size of one HTTP body: eight times what a WinRM envelope may have by default
            (MaxEnvelopeSizekb, 500). (WinRM, both roles.)
        connections: connections in all, at most 24 fewer than the process may have descriptors. Sessions of a busy
            host are a few hundred. (RDP and WinRM servers; for each worker, as everything here.)
        connections_per_source: those from one address: a terminal server or a NAT has many users. (The same.)
        ipv4_prefix: how many bits of an IPv4 address make it a source of its own. (The same.)
        ipv6_prefix: the same for IPv6, where a customer has 2**64 addresses at least. (The same.)
        max_body_before_login: of a body, what is kept before the connection is logged on: a body may come with the last
            leg of a login, and those of clients that do that are small. (WinRM servers.)
        max_discard: what is read of such a body in all, and forgotten, so that the client gets an answer; the default
            is what a WinRM envelope may have. A longer one closes the connection. (WinRM servers.)
        max_memory: all bodies that are held at one time, of all connections; headers that are not complete get a
            quarter of it. (WinRM servers.)
        half_open: connections whose login is not over. One more, and another of them is closed, of those that have not
            sent anything first; refusing the new one would let a client that opens this many and waits lock out all
            others until the deadline. Above three quarters that begins by chance. 512 of them hold less than 32 MiB,
            even inside TLS; at most three quarters of the connections that are possible. (RDP and WinRM servers.)
        half_open_per_source: those from one source; one more takes the place of another of the same. Half of all: a
            management host may log on a few hundred times at once. (The same.)
        source_failures: wrong user names or passwords from one source, after which its next connections wait, half a
            second at first and twice as long after each more. A NAT may hide many users who mistype. (The same.)
        source_delay: the longest of these times, below what clients wait for an answer. (The same.)
        account_failures: wrong passwords for one account, after which it is locked, half a second at first and twice
            as long after each more; Windows locks after 10 by default, for 10 minutes. A right password resets it.
            (The same, with NTLM; a KDC has a lockout of its own.)
        account_delay: the longest of these times: long enough to make guessing pointless, short enough that somebody
            who is locked out by others gets in between. (The same.)
        failure_window: time after which failures are forgotten. (The same.)
        answer_deadline: time for the answer of a logon authority, then it is STATUS_NO_LOGON_SERVERS: shorter than
            what clients wait, and longer than a domain controller takes to fail over. (RDP and WinRM servers.)
        answers: questions that are put to the authority at one time, each in a thread of its own. winbindd takes them
            one by one for each domain. (The same.)
        waiting_answers: questions that wait for such a thread; one more is answered with STATUS_NO_LOGON_SERVERS. (The
            same.)
        deadline: time for a whole login; one takes less than a second, or a few where a KDC is slow. (RDP and WinRM
            servers.)
        leg: time to wait for a client's next bytes. (RDP servers.)
        linger: time that a client has to take our errorCode and close; a round trip around the world takes a third of
            a second. (RDP servers.)
        max_early_data: bytes that wait for the authorization. A client continues with one MCS Connect Initial at most,
            some 500 bytes, and needs an answer before it can say more ([MS-RDPBCGR] 1.3.1.1). (RDP servers.)
        failures: failed logins on one connection, after which it is closed: a user may mistype twice. (WinRM servers.)
        body_timeout: time for the body of one request. (WinRM servers.)
        header_timeout: time for the headers of one. (WinRM servers.)
        handlers: handlers that run in threads at one time, where they are plain functions; further messages wait, and
            logins do not. (WinRM servers.)
        keep_alive: whole seconds between requests. A connection that is closed costs a login, and shells are mostly
            idle. (WinRM servers.)
        keep_alive_before_login: the same while no login is under way, where a client sends one request after the other;
            between the legs of a login only `deadline` counts. (WinRM servers.)
        tls_handshake: time for the TLS handshake of https. (WinRM servers.)

    Raises:
        LocalProtocolError: a size or count below 1, a time that is not positive, a bound beyond one that contains it.
    """

    max_legs: int = MAX_LEGS
    max_message_size: int = MAX_MESSAGE_SIZE
    max_body: int = 4 * 1024 * 1024
    max_body_before_login: int = 4096
    max_discard: int = 512 * 1024
    max_memory: int = 64 * 1024 * 1024
    connections: int = 4096
    connections_per_source: int = 1024
    ipv4_prefix: int = 32
    ipv6_prefix: int = 64
    half_open: int = 512
    half_open_per_source: int = 256
    source_failures: int = 20
    source_delay: float = 8.0
    account_failures: int = 10
    account_delay: float = 60.0
    failure_window: float = 900.0
    answer_deadline: float = 10.0
    answers: int = 8
    waiting_answers: int = 256
    deadline: float = 20.0
    leg: float = 10.0
    linger: float = 2.0
    max_early_data: int = 64 * 1024
    failures: int = 3
    body_timeout: float = 30.0
    header_timeout: float = 10.0
    handlers: int = 32
    keep_alive: int = 180
    keep_alive_before_login: int = 5
    tls_handshake: float = 10.0

    def __post_init__(self) -> None:
        for bound in fields(Limits):
            value = getattr(self, bound.name)
            if isinstance(bound.default, float):
                _check_seconds(bound.name, value)
            elif not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise LocalProtocolError(f"{bound.name} is an integer of 1 or more, not {value!r}")
        # Of bounds that contain one another, only one that was set is wrong: a small `connections` needs no others.
        defaults = {each.name: each.default for each in fields(Limits)}
        for inner, outer in _WITHIN:
            count, most = getattr(self, inner), getattr(self, outer)
            if count > most and count != defaults[inner]:
                raise LocalProtocolError(f"{inner} is {count}, more than {outer}, which is {most}")
        if self.ipv4_prefix > 32 or self.ipv6_prefix > 128:
            raise LocalProtocolError("ipv4_prefix is at most 32, ipv6_prefix at most 128")

    @property
    def max_tokens(self) -> int:
        """Tokens of one login over HTTP: beside `max_legs`, two flights of TLS, and two of a side without an answer."""
        return self.max_legs + 4

    @property
    def timeouts(self) -> Timeouts:
        """The times of a server among them, as the drivers take them."""
        return Timeouts(leg=self.leg, login=self.deadline)


class ServerLimits(Limits):
    """`Limits` by the names of release 0.1.0 as well: ``legs``, ``message_size`` and ``body_size``."""

    __slots__ = ()

    def __init__(self, **bounds: Any) -> None:
        """Take `Limits`' fields by their old or new names."""
        super().__init__(**{_OLD_LIMITS.get(name, name): value for name, value in bounds.items()})


_OLD_LIMITS: Final = {"legs": "max_legs", "message_size": "max_message_size", "body_size": "max_body"}
_LIMITS: Final = Limits()
_TIMEOUTS: Final = Timeouts()


@dataclass(frozen=True, kw_only=True)
class CommonConfig:
    """Options of both roles; see `ClientConfig` and `ServerConfig`.

    Attributes:
        min_version: lowest CredSSP version to accept; None takes the encryption-oracle level of `policy`, and 5 without
            one (below it, pubKeyAuth is open to CVE-2018-0886).
        max_version: the version to say we have.
        channel_bindings: application data of the channel bindings of an outer TLS channel
            (``tls-server-end-point:`` and the hash, say), which a client proves and a server demands; None for none.
            CredSSP itself has none.
        limits: what the peer may cost.
        random: source of random bytes: clientNonce, NTLM's challenges and keys.
        observer: sees every TSRequest; see `credssp.engine.Observer`.
    """

    min_version: int | None = None
    max_version: int = HIGHEST_VERSION
    channel_bindings: bytes | None = field(default=None, repr=False)
    limits: Limits = _LIMITS
    random: Callable[[int], bytes] = field(default=os.urandom, repr=False)
    observer: Observer | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        _check_kinds(self)
        lowest = LOWEST_VERSION if self.min_version is None else self.min_version
        try:
            legal = LOWEST_VERSION <= lowest <= self.max_version <= HIGHEST_VERSION
        except TypeError:
            legal = False
        if not legal:
            raise LocalProtocolError(
                f"versions go from {LOWEST_VERSION} to {HIGHEST_VERSION}; min_version {lowest!r} and max_version "
                f"{self.max_version!r} were given"
            )
        if not isinstance(self.limits, Limits):
            raise _wrong("limits", "credssp.config.Limits", self.limits)


@dataclass(frozen=True, kw_only=True)
class ClientConfig(CommonConfig):
    r"""How a client logs on and what it delegates.

    Attributes:
        credentials: what to authenticate with; None for the user's Kerberos credential cache. Those that cannot be
            delegated (an NT hash, tickets, a keytab) send an empty set, unless `delegated_credentials` are given.
        target_name: SPN of the server, ``TERMSRV/host`` for RDP and ``HTTP/host`` for WinRM, which make it from the
            host where it is None. The host part is also the name for TLS. A context without a name (None) gives
            credentials to no server: set ``delegate=False``.
        policy_target: SPN that the policy is asked about; None for `target_name`. Windows authenticates WinRM as
            ``HTTP/host`` and asks its policy about ``WSMAN/host``.
        mechanism: ``auto`` as Windows does it (SPNEGO when Kerberos is possible, else bare NTLM), ``negotiate``
            (always SPNEGO), ``ntlm`` (bare) or ``kerberos`` (nothing else).
        dns_canonicalize: let libkrb5 look the host up in DNS for Kerberos, as krb5.conf says. False asks for a ticket
            for the very name that the policy and TLS are asked about. With True, DNS answers, which nothing protects,
            choose the host that the credentials go to (RFC 4120 1.3).
        short_name_domain: domain that completes a host without a dot, for Kerberos, TLS and policy alike; None for
            qualify_shortname of krb5.conf where Kerberos may be used, empty for none. (Contexts and what uses them.)
        allow_ntlm_downgrade: follow a server that selects NTLM although a Kerberos ticket for it was obtained. A man in
            the middle can do that, and with any machine account of the domain have NTLM's session key from a domain
            controller, and so the delegated password. False ends the login (SEC_E_DOWNGRADE_DETECTED) without a proof.
        allow_empty_password: an empty password is meant, to log on with or to delegate.
        wire_form: ``kerberos``, with `mechanism` ``kerberos``, sends its tokens without SPNEGO, as rdesktop does.
        carrier: ``stream``, or ``tokens`` where every token travels alone and is answered, as over HTTP: then the last
            flight of the TLS 1.3 handshake is a token of its own, as servers that take whole tokens expect it.
            RDP and WinRM know their own.
        delegate: whether credentials go to the server at all; False sends an empty set.
        delegated_credentials: credentials to delegate in place of those to authenticate with. With
            `RemoteGuardCredentials`, an RDP client asks for Remote Credential Guard.
        policy: who may be given the credentials; None for exactly this target, whatever authenticated it.
        source: where the credentials come from, for the policy.
        agent: runs the exchange where `credentials` are `AgentCredentials`: a `credssp.lsa.remote.Agent`; None for the
            one that the drivers make. Its rules count in addition to those here.
        workstation: name of this machine that NTLM tells the server, and Kerberos the KDC: an account may be allowed on
            some machines alone. Empty for none.
        mutual_auth: fail unless the server is authenticated by its certificate or by Kerberos.
        tls: settings of the TLS channel inside; None checks no certificate. (The one of https belongs to the HTTP
            library.)
        tls_session: a session to resume, from `ClientContext.tls_session` of an earlier context with the same settings.
        timeouts: how long to wait (drivers).
        proxy: RDP: a proxy to connect through; None for none. See `credssp.proxy.Proxy.parse` and
            `credssp.proxy.proxy_from_environment`. (WinRM clients take those of their HTTP library.)
        protocols: RDP: requestedProtocols, which must hold HYBRID or HYBRID_EX; None for what mstsc asks for.
        approach: RDP: how the connection begins; None for `Approach.NEGOTIATED`.
        restricted_admin: RDP: ask for Restricted Admin mode: authenticate, and delegate an empty set. A server that
            does not echo the mode gets nothing.
        cookie: RDP: IDENTIFIER of the cookie; None for the user name, cut as Windows does; empty for none.
        routing_token: RDP: a load balancer's token in place of the cookie.
        correlation_id: RDP: 16 bytes under which the connection shows in the server's log.
        outer_certificate: certificate (DER) of the outer TLS channel that `channel_bindings` come from: an agent makes
            them itself, and accepts it in place of the one inside. WinRM clients set it. (Contexts.)
        bind_https: WinRM: prove to the server which certificate its https has (``tls-server-end-point`` of RFC 5929),
            unless `channel_bindings` are given. False where https ends at a proxy that has another one.
        encryption: WinRM: ``auto`` encrypts messages over http, ``always``, or ``never``. A body that the caller has
            encrypted already is left as it is.
        service: WinRM: service class of the SPN to authenticate.
        spn_host: WinRM: host of the SPN, where it is not the host of the URL (an address, an alias, a tunnel).
        policy_service: WinRM: service class of the SPN that the policy is asked about.

    Raises:
        LocalProtocolError: an argument that makes no sense; the text names it.
    """

    credentials: LogonCredentials | None = None
    target_name: str | None = None
    policy_target: str | None = None
    mechanism: MechanismChoice = "auto"
    dns_canonicalize: bool = False
    short_name_domain: str | None = None
    allow_ntlm_downgrade: bool = False
    allow_empty_password: bool = False
    wire_form: KerberosForm = "spnego"
    carrier: Carrier = "stream"
    delegate: bool = True
    delegated_credentials: DelegatedCredentials | None = None
    policy: DelegationPolicy | PolicySettings | None = None
    source: CredentialSource = CredentialSource.FRESH
    agent: OpenEngine | None = field(default=None, repr=False)
    workstation: str = ""
    mutual_auth: bool = False
    tls: ClientTLS | None = None
    tls_session: TLSSession | None = None
    timeouts: Timeouts = _TIMEOUTS
    proxy: Proxy | None = None
    protocols: Protocol | None = None
    approach: Approach | None = None
    restricted_admin: bool = False
    cookie: str | None = None
    routing_token: bytes | None = field(default=None, repr=False)
    correlation_id: bytes | None = field(default=None, repr=False)
    outer_certificate: bytes | None = field(default=None, repr=False)
    bind_https: bool = True
    encryption: Encryption = "auto"
    service: str = "HTTP"
    spn_host: str | None = None
    policy_service: str = "WSMAN"

    def __post_init__(self) -> None:
        CommonConfig.__post_init__(self)
        credentials, delegated = self.credentials, self.delegated_credentials
        if credentials is not None and not isinstance(credentials, LogonCredentials):
            raise _wrong("credentials", "PasswordCredentials(user, password) or another kind that logs on", credentials)
        if isinstance(credentials, PasswordCredentials) and not credentials.username:
            raise LocalProtocolError("credentials: the user name is empty", status=SecurityStatus.SEC_E_NO_CREDENTIALS)
        for given in (credentials, delegated):
            if self.allow_empty_password or not isinstance(given, PasswordCredentials):
                continue
            if given.username and not given.password:
                raise LocalProtocolError(
                    "the password is empty: set allow_empty_password if that is meant",
                    status=SecurityStatus.SEC_E_NO_CREDENTIALS,
                )
        if delegated is not None and not hasattr(delegated, "to_wire"):
            raise _wrong(
                "delegated_credentials", "PasswordCredentials or another kind that can be delegated", delegated
            )
        if delegated is not None and isinstance(credentials, AgentCredentials):
            raise LocalProtocolError("delegated_credentials: what the server is given is the agent's decision")
        for name in ("target_name", "policy_target"):
            target = getattr(self, name)
            if target is not None:
                if not isinstance(target, str) or not target:
                    raise LocalProtocolError(f"{name} is the SPN of the server, such as TERMSRV/host")
                object.__setattr__(self, name, str(Target.of_a_host(target)))
        check_name("workstation", self.workstation)
        _check_choice("mechanism", self.mechanism, _CHOICES)
        _check_choice("wire_form", self.wire_form, _FORMS)
        _check_choice("carrier", self.carrier, _CARRIERS)
        _check_choice("encryption", self.encryption, _ENCRYPTIONS)
        if self.wire_form != "spnego" and self.mechanism != "kerberos":
            raise LocalProtocolError('wire_form="kerberos" goes with mechanism="kerberos" only')
        if not isinstance(self.timeouts, Timeouts):
            raise _wrong("timeouts", "credssp.config.Timeouts", self.timeouts)

    @property
    def policy_name(self) -> str | None:
        """The SPN that the policy is asked about."""
        return self.target_name if self.policy_target is None else self.policy_target

    @property
    def delegation(self) -> DelegatedCredentials:
        """What goes to the server: `delegated_credentials`, or the password or card that logs on; else nothing.

        "Nothing" is the empty set: three empty strings.
        """
        if self.delegate and not self.restricted_admin:
            if self.delegated_credentials is not None:
                return self.delegated_credentials
            if isinstance(self.credentials, PasswordCredentials):
                return self.credentials
            if isinstance(self.credentials, CertificateCredentials):
                return self.credentials.card or _EMPTY
        return _EMPTY

    @property
    def delegates(self) -> bool:
        """Whether `delegation` holds anything; for `AgentCredentials`, whether the agent may give anything."""
        if isinstance(self.credentials, AgentCredentials):
            return self.delegate and not self.restricted_admin
        delegation = self.delegation
        return not (isinstance(delegation, PasswordCredentials) and delegation.is_empty)


@dataclass(frozen=True, kw_only=True)
class ServerConfig(CommonConfig):
    """Whom a server lets log on, and with what.

    Attributes:
        accounts: who may log on with NTLM, an account store such as `credssp.MemoryAccounts`; None for no accounts.
        authority: who judges NTLM responses of a domain, such as `credssp.drivers.winbind.WinbindAuthority`; asked
            before `accounts`, which are next where its answer is not authoritative. Names of this machine itself
            (``.\\bob``, ``MEMBER\\bob``) are those of `accounts` and are not asked about. A context stops for it
            (`ServerContext.question`); the servers ask in threads of their own.
        certificate: path of a PEM file with chain and key, a pair of PEM bytes (chain, key), or loaded; or watched by
            `credssp.tls.certificate.watch_certificate`, then it may change while the server runs; None for an RSA-2048
            certificate that is made once per process.
        mechanisms: what to accept, best first; None for Kerberos, then NTLM. Kerberos is left out where its libraries
            are not installed; with None also where neither `keytab` is given nor the default keytab has a key.
        spn: names that a client may believe it talks to; None to accept any. With Kerberos, the keys of these names are
            taken, or else those of the computer's account.
        keytab: Kerberos keytab: a path or ``TYPE:residual``, read in every login; or watched by
            `credssp.kerberos.watched_keytab.watch_keytab`; None for the one of the process (``KRB5_KTNAME``).
        service_principal: the Kerberos principal whose key is taken (``TERMSRV/host@REALM``, ``SRV$@REALM``), whatever
            service a client asked for; None for those that fit `spn`, and every one of the keytab without it.
        accept_forwarded: keep the Kerberos tickets that a client forwards, as `Identity.forwarded`.
        accept_anonymous: let clients with an anonymous Kerberos ticket log on.
        require_pac: take Kerberos tickets only with a PAC, in which a domain says who the user is. Otherwise a ticket
            without one is for whom it names (`Identity.authority` is ``realm``). None is True where an
            `authority` is given, and False elsewhere: users of one server should be those of one domain.
        allow_empty_password: let accounts with an empty password log on with NTLM. Otherwise they are refused as for a
            wrong password: Windows says STATUS_ACCOUNT_RESTRICTION, but every stranger can prove an empty password.
        require_mic: refuse NTLM clients that send no MIC, and NTLM in SPNEGO without mechListMIC; False for old ones.
        tell_lockout: tell a client that knows the password of a locked account that it is locked: for tests of
            clients. By default the password of a locked account is not judged, and the answer is that of a wrong one.
        reveal_lockout: tell any client that the authority says that an account is locked, although it says so without
            a right password. By default the answer is that of a wrong one, so that names cannot be tried out.
        max_clock_skew: seconds that the time in an NTLMv2 response may differ from ours; None for any.
        target: the names that NTLM tells the client; None for those of the authority, which go with no others, or of
            this host.
        clock: nanoseconds since 1970, for NTLM's timestamps.
        policy: taken for its encryption-oracle level only.
        tls: TLS settings; None for the defaults.
        protocols: RDP: HYBRID, HYBRID_EX or both (None). A server that takes anything else as well decides that with
            `credssp.rdp.choose_protocol` before.
        restricted_admin: RDP: tell clients that ask that Restricted Admin mode is supported. They then delegate an
            empty set, as any client may without asking.
        remote_guard: RDP: the same for Remote Credential Guard. Its buffers are refused where the mode was not agreed
            on, and by every server after a login that was not with Kerberos.
        direct: RDP: take clients that begin with TLS.
        response_flags: RDP: further RDP_NEG_RSP.flags, which are about the session after the login; None for
            EXTENDED_CLIENT_DATA_SUPPORTED.
        authorize: RDP and WinRM servers: called with a `credssp.drivers.authorization.AuthorizationRequest`, or with
            identity and credentials if it takes two arguments; returns whether the user may log on. On asyncio it may
            be a coroutine function. Whatever is not plainly a yes, or raises, is a no. None lets everybody in who can
            authenticate.
        lockout: RDP and WinRM servers: asked with domain and user name of an account, before its password is judged,
            whether it is locked. The client gets the answer of a wrong password. None for what `Limits` says alone.
        on_event: RDP servers: is told what happens on each connection.
        reuse_port: RDP servers: let other processes listen on the same port (SO_REUSEPORT).
        path: WinRM servers: where the service is.
        encryption: WinRM servers: ``auto`` demands encrypted messages over http and not over https, ``always`` over
            both, ``never`` over none (AllowUnencrypted). An encrypted message is always taken, and answered encrypted.
        allow_proxies: WinRM servers: take requests that came through a proxy, by their headers Via, Forwarded or
            ``X-Forwarded-*``. A login counts for a TCP connection, so that a proxy that sends requests of several
            clients over one of its own gives all of them the login of one.
        cbt_hardening: whether clients prove the `channel_bindings`: ``strict``, all of them; ``relaxed``, those that
            send some, and others get in without; ``none``, no one. None is ``strict`` for bindings that are given,
            and ``relaxed`` for those that a WinRM server takes from its certificate of https.
        on_login: WinRM servers: is told of every login that is over, and of connections that ended without one.
        on_close: WinRM servers: is told of every connection that is closed, after its logins.

    Raises:
        LocalProtocolError: an argument that makes no sense; the text names it.
    """

    accounts: AccountStore | None = None
    authority: LogonAuthority | None = None
    certificate: CertificateSource | None = None
    mechanisms: Collection[MechanismName] | None = None
    spn: str | Collection[str] | None = None
    keytab: str | PathLike[str] | WatchedFile[Any] | None = None
    service_principal: str | None = None
    accept_forwarded: bool = False
    accept_anonymous: bool = False
    require_pac: bool | None = None
    allow_empty_password: bool = False
    require_mic: bool = True
    tell_lockout: bool = False
    reveal_lockout: bool = False
    max_clock_skew: float | None = None
    target: NTLMTarget | None = None
    clock: Callable[[], int] = field(default=time.time_ns, repr=False)
    policy: DelegationPolicy | PolicySettings | None = None
    tls: ServerTLS | None = None
    protocols: Protocol | None = None
    restricted_admin: bool = True
    remote_guard: bool = False
    direct: bool = True
    response_flags: ResponseFlags | None = None
    authorize: Authorize | None = field(default=None, repr=False)
    lockout: Lockout | None = field(default=None, repr=False)
    on_event: OnEvent | None = field(default=None, repr=False)
    reuse_port: bool = False
    cbt_hardening: CbtHardening | None = None
    path: str = "/wsman"
    encryption: Encryption = "auto"
    allow_proxies: bool = False
    on_login: LoginObserver | None = field(default=None, repr=False)
    on_close: CloseObserver | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        CommonConfig.__post_init__(self)
        store: Any = self.accounts
        if store is not None and (isinstance(store, str) or not hasattr(store, "find")):
            raise _wrong("accounts", "an account store such as MemoryAccounts({('LAB', 'alice'): ...})", self.accounts)
        authority: Any = self.authority
        if authority is not None:
            if not hasattr(authority, "verify") or not hasattr(authority, "target"):
                raise _wrong("authority", "a logon authority such as WinbindAuthority()", authority)
            if self.target is not None and self.target is not authority.target:
                raise LocalProtocolError(
                    "target: the authority brings the names that its domain controllers expect; leave it out"
                )
        mechanisms = self.mechanisms
        if mechanisms is not None and (isinstance(mechanisms, str) or not _MECHANISMS.issuperset(mechanisms)):
            raise LocalProtocolError("mechanisms is a list of ntlm and kerberos, best first")
        names: Any = [self.spn] if isinstance(self.spn, str) else self.spn or ()
        if isinstance(names, Iterator):  # can be read once, and many logins read it
            names = tuple(names)
            object.__setattr__(self, "spn", names)
        if not isinstance(names, Collection) or not all(isinstance(name, str) for name in names):
            raise LocalProtocolError("spn takes a str or a list of them, such as TERMSRV/host")
        if not isinstance(self.keytab, str | os.PathLike | None) and not hasattr(self.keytab, "current"):
            raise _wrong("keytab", "a path or TYPE:residual", self.keytab)
        _check_choice("encryption", self.encryption, _ENCRYPTIONS)
        policy: Any = self.policy
        if policy is not None and not hasattr(policy, "decide") and not hasattr(policy, "delegation"):
            raise _wrong("policy", "a DelegationPolicy or PolicySettings", policy)
        if self.max_clock_skew is not None and not self.max_clock_skew >= 0:
            raise LocalProtocolError(f"max_clock_skew is a number of seconds, 0 or more, not {self.max_clock_skew!r}")
        if not self.path.startswith("/"):
            raise LocalProtocolError(f"path begins with a slash, such as /wsman, not {self.path!r}")
        if self.cbt_hardening is not None:
            _check_choice("cbt_hardening", self.cbt_hardening, get_args(CbtHardening))

    @property
    def pac_required(self) -> bool:
        """Whether a Kerberos ticket needs a PAC."""
        return self.authority is not None if self.require_pac is None else self.require_pac

    @property
    def demanded_bindings(self) -> bytes | None:
        """The channel bindings that clients prove, or None where they need not."""
        return None if self.cbt_hardening == "none" else self.channel_bindings


_EMPTY: Final = PasswordCredentials.empty()


# The same names once more, for keywords: which part takes which. What a dataclass says about its fields cannot be
# asked for by a type checker, so that tests/test_config.py holds the two together.


class LimitOptions(TypedDict, total=False):
    """Limits of every exchange."""

    limits: Limits
    max_legs: int
    max_message_size: int


class ServiceLimitOptions(TypedDict, total=False):
    """Limits of the RDP and WinRM servers."""

    connections: int
    connections_per_source: int
    ipv4_prefix: int
    ipv6_prefix: int
    half_open: int
    half_open_per_source: int
    source_failures: int
    source_delay: float
    account_failures: int
    account_delay: float
    failure_window: float
    answer_deadline: float
    answers: int
    waiting_answers: int
    lockout: Lockout | None
    deadline: float


class _Options(LimitOptions, total=False):
    min_version: int | None
    max_version: int
    channel_bindings: bytes | None
    policy: DelegationPolicy | PolicySettings | None
    random: Callable[[int], bytes]
    observer: Observer | None


class ClientOptions(_Options, total=False):
    """Keywords of everything that logs on."""

    target_name: str | None
    policy_target: str | None
    mechanism: MechanismChoice
    dns_canonicalize: bool
    short_name_domain: str | None
    allow_ntlm_downgrade: bool
    allow_empty_password: bool
    wire_form: KerberosForm
    delegate: bool
    delegated_credentials: DelegatedCredentials | None
    source: CredentialSource
    agent: OpenEngine | None
    workstation: str
    mutual_auth: bool
    tls: ClientTLS | None
    tls_session: TLSSession | None


class ContextOptions(ClientOptions, total=False):
    """Keywords of `credssp.ClientContext`."""

    carrier: Carrier
    outer_certificate: bytes | None


class RDPClientOptions(ClientOptions, total=False):
    """Keywords of `credssp.rdp.NLAClient`."""

    protocols: Protocol | None
    approach: Approach | None
    restricted_admin: bool
    cookie: str | None
    routing_token: bytes | None
    correlation_id: bytes | None


class RDPConnectOptions(RDPClientOptions, total=False):
    """Keywords of `credssp.rdp.connect` and `open_connection`."""

    proxy: Proxy | None
    timeouts: Timeouts


class WinRMClientOptions(ClientOptions, total=False):
    """Keywords of the WinRM clients."""

    bind_https: bool
    encryption: Encryption
    service: str
    spn_host: str | None
    policy_service: str
    max_body: int


class ServerOptions(_Options, total=False):
    """Keywords of everything that lets clients log on, such as `credssp.ServerContext`."""

    accounts: AccountStore | None
    authority: LogonAuthority | None
    certificate: CertificateSource | None
    mechanisms: Collection[MechanismName] | None
    spn: str | Collection[str] | None
    keytab: str | PathLike[str] | WatchedFile[Any] | None
    service_principal: str | None
    cbt_hardening: CbtHardening | None
    accept_forwarded: bool
    accept_anonymous: bool
    require_pac: bool | None
    allow_empty_password: bool
    require_mic: bool
    tell_lockout: bool
    reveal_lockout: bool
    max_clock_skew: float | None
    target: NTLMTarget | None
    clock: Callable[[], int]
    tls: ServerTLS | None


class RDPServerOptions(ServerOptions, total=False):
    """Keywords of `credssp.rdp.NLAServer`."""

    protocols: Protocol | None
    restricted_admin: bool
    remote_guard: bool
    direct: bool
    response_flags: ResponseFlags | None
    max_early_data: int


class RDPServiceOptions(RDPServerOptions, ServiceLimitOptions, total=False):
    """Keywords of `credssp.rdp.serve`, `start_server` and `credssp.testing.RDPServer`."""

    authorize: Authorize | None
    on_event: OnEvent | None
    reuse_port: bool
    leg: float
    linger: float


class WinRMConnectionOptions(ServerOptions, total=False):
    """Keywords of `credssp.winrm.ServerConnection`."""

    max_body: int


class WinRMServiceOptions(WinRMConnectionOptions, ServiceLimitOptions, total=False):
    """Keywords of `credssp.drivers.winrm_asgi.WinRMApplication` and `credssp.testing.winrm.WinRMServer`."""

    authorize: Authorize | None
    path: str
    encryption: Encryption
    on_login: LoginObserver | None
    on_close: CloseObserver | None
    allow_proxies: bool
    max_body_before_login: int
    max_discard: int
    max_memory: int
    keep_alive_before_login: int
    tls_handshake: float
    failures: int
    body_timeout: float
    header_timeout: float
    handlers: int
    keep_alive: int


_LIMIT_NAMES: Final = frozenset(limit.name for limit in fields(Limits))


def client_config(
    caller: str,
    accepted: Any,
    config: ClientConfig | None,
    options: Mapping[str, object],
    credentials: LogonCredentials | None = None,
) -> ClientConfig:
    """Return a configuration with the options that were given beside it.

    Args:
        caller: what takes the options, for texts.
        accepted: its TypedDict.
        config: the configuration, or None for the defaults.
        options: what replaces its fields.
        credentials: what logs on, if it was given; None leaves what `config` says.

    Raises:
        TypeError: `caller` has no such option.
        LocalProtocolError: a value that makes no sense.
    """
    if not options and credentials is None and type(config) is ClientConfig:
        return config
    _check_names(caller, accepted, options)
    if credentials is not None:
        options = {**options, "credentials": credentials}
    combined: ClientConfig = _combined(ClientConfig, caller, config, options)
    return combined


def server_config(
    caller: str, accepted: Any, config: ServerConfig | None, options: Mapping[str, object]
) -> ServerConfig:
    """Return a configuration with the options that were given beside it; arguments and errors as `client_config`."""
    if not options and type(config) is ServerConfig:
        return config
    _check_names(caller, accepted, options)
    combined: ServerConfig = _combined(ServerConfig, caller, config, options)
    return combined


def _check_names(caller: str, accepted: Any, options: Mapping[str, object]) -> None:
    unknown = options.keys() - accepted.__optional_keys__
    if unknown:
        raise TypeError(f"{caller}() has no option {min(unknown)!r}")


def _combined(kind: type[Any], caller: str, config: Any, options: Mapping[str, object]) -> Any:
    if config is not None and not isinstance(config, kind):
        raise LocalProtocolError(f"{caller}(config=...) takes a {kind.__name__}, not a {type(config).__name__}")
    bounds = {name: options[name] for name in options.keys() & _LIMIT_NAMES}
    if bounds:
        limits: Any = options.get("limits", _LIMITS if config is None else config.limits)
        rest = {name: value for name, value in options.items() if name not in bounds}
        options = {**rest, "limits": replace(limits, **bounds)}
    # As dataclasses.replace, without an assignment per field, each of which costs a frozen class 0.1 us: every login
    # of a client makes a configuration.
    made = object.__new__(kind)
    vars(made).update(_DEFAULTS[kind] if config is None else vars(config), **options)
    made.__post_init__()
    return made


_DEFAULTS: Final = {kind: vars(kind()) for kind in (ClientConfig, ServerConfig)}

"""What a caller may choose about TLS, and the SSLContexts made from it (cached: one costs a third of a login)."""

from __future__ import annotations

import binascii
import enum
import functools
import hashlib
import hmac
import logging
import re
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from typing import Final, Literal

from credssp.errors import CertificateError, LocalProtocolError, LocalRestrictionError
from credssp.next_step import NextStep
from credssp.status import SecurityStatus
from credssp.tls.authorities import name_authorities
from credssp.tls.certificate import ServerCertificate
from credssp.tls.certificate_request import watch_requests
from credssp.tls.key_log import key_log_path, log_keys
from credssp.tls.restrictions import base_context, certificate_refused, check_memory
from credssp.tls.trust import read_roots, stamp_of, system_signature

__all__ = [
    "CertificateCheck",
    "ClientTLS",
    "ServerTLS",
    "client_context",
    "level_of",
    "server_context",
    "sessionless_context",
]

logger = logging.getLogger("credssp.tls")

TLSVersionName = Literal["1.2", "1.3"]

_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}

_SHA256: Final = re.compile("[0-9a-f]{64}")

# Schannel takes no compression, and neither renegotiation nor resumption belongs to CredSSP ([MS-CSSP] 3.1.5 step 1).
_LEGACY_SERVER_CONNECT: Final = 0x4
"""ssl.OP_LEGACY_SERVER_CONNECT, which Python names since 3.12: servers without RFC 5746."""

_OPTIONS: Final = ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET


# As OpenSSL, FreeRDP and OpenSSH write in front of one.
_DIGEST: Final = re.compile("sha-?256(?: fingerprint)?[:=]", re.IGNORECASE)
_BASE64: Final = re.compile("[A-Za-z0-9+/]{43}=?")


def _plain(fingerprint: str) -> str:
    """Return a fingerprint in plain hexadecimal, however it was copied; whether it is one is judged later.

    Windows' dialogs put an invisible mark (U+200E) in front, .NET dashes between; OpenSSH writes base64.
    """
    text = "".join(filter(str.isprintable, fingerprint)).strip()
    digest = _DIGEST.match(text)
    text = text[digest.end() :].strip() if digest else text
    if digest and _BASE64.fullmatch(text):
        return binascii.a2b_base64(text.rstrip("=") + "=").hex()
    return re.sub("[ :-]", "", text).lower()


class CertificateCheck(enum.Enum):
    """What became of the server's certificate on the client."""

    NOT_CHECKED = "not checked"
    """No check was asked for; pubKeyAuth alone binds the login to the key."""
    TRUSTED = "trusted"
    """It chains to a trusted root and names the host."""
    PINNED = "pinned"
    """Its SHA-256 fingerprint is the one the caller gave."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientTLS:
    """TLS settings of a client.

    By default nothing about the certificate is checked, as in the protocol: pubKeyAuth proves that the server
    holds the key of the certificate, no matter who signed it. Giving a CA or a fingerprint turns the check on.

    Attributes:
        verify: check chain and host name against `cafile`, `cadata` or the system's trust store.
        verify_name: with `verify`, whether the certificate must name the host too. Without it any server that has a
            certificate of a trusted authority can answer for the host; pubKeyAuth binds the login to its key alone.
        cafile: PEM file with trusted roots; implies `verify`.
        cadata: the same as PEM text; implies `verify`.
        fingerprint: SHA-256 of the server's certificate (DER): 64 hexadecimal digits, as certmgr, FreeRDP or
            OpenSSL show them (colons, blanks, dashes, prefix), or base64 after ``SHA256:``; checked on its own.
            LocalProtocolError if it cannot be one.
        server_hostname: name for SNI and the certificate check; by default the host part of the target name.
        minimum: lowest TLS version, ``1.2`` or ``1.3``.
        maximum: highest TLS version.
        ciphers: OpenSSL cipher string for TLS 1.2, or None for OpenSSL's default.
        client_certificate: chain and key for servers that ask for one, as the path of a PEM file or loaded; or None.
        judge: judge chain and name as `verify` does, but let the handshake go on whatever comes out; `cafile` and
            `cadata` then say what to trust and no longer turn the refusal on. See `credssp.tls.trust`.
        resumption: let sessions be resumed. Off by default: [MS-CSSP] 3.1.5 does not support it.
        watch: note a server's CertificateRequest; see `TLSChannel.certificate_request`.
        legacy: allow TLS 1.0 and 1.1, old ciphers and short keys, for one old host. An attacker on the network may then
            read and change what is sent, delegated credentials included; a warning says so.
        key_log: write the keys to the file that SSLKEYLOGFILE names; see `credssp.tls.key_log`.
    """

    verify: bool = False
    verify_name: bool = True
    cafile: str | PathLike[str] | None = None
    cadata: str | None = None
    fingerprint: str | None = None
    server_hostname: str | None = None
    minimum: TLSVersionName = "1.2"
    maximum: TLSVersionName = "1.3"
    ciphers: str | None = None
    client_certificate: str | PathLike[str] | ServerCertificate | None = None
    judge: bool = False
    resumption: bool = False
    watch: bool = False
    legacy: bool = False
    key_log: bool = True

    def __post_init__(self) -> None:
        if self.legacy and self.minimum != "1.2":
            raise LocalProtocolError(f"legacy allows TLS 1.0 and 1.1, which minimum={self.minimum!r} forbids")
        if self.fingerprint is not None and not _SHA256.fullmatch(_plain(self.fingerprint)):
            raise LocalProtocolError(
                "a SHA-256 fingerprint has 64 hexadecimal digits; the thumbprint that Windows shows, with 40, is SHA-1"
            )

    @property
    def pinned(self) -> str | None:
        """The fingerprint as 64 hexadecimal digits in lower case, however it was written."""
        return None if self.fingerprint is None else _plain(self.fingerprint)

    @property
    def verifies_chain(self) -> bool:
        """Whether the certificate must chain to a trusted root and name the host, else the handshake fails."""
        return not self.judge and (self.verify or self.cafile is not None or self.cadata is not None)

    def check(self, certificate: bytes) -> CertificateCheck:
        """Judge the leaf certificate (DER) of a finished handshake.

        Raises:
            CertificateError: it is not the pinned one.
        """
        if self.fingerprint is not None:
            wanted = _plain(self.fingerprint)
            found = hashlib.sha256(certificate).hexdigest()
            if not hmac.compare_digest(wanted.encode("ascii"), found.encode("ascii")):
                raise CertificateError(
                    f"the server's certificate is not the pinned one; its SHA-256 fingerprint is {found}",
                    status=SecurityStatus.SEC_E_WRONG_PRINCIPAL,
                    advice=NextStep.CERTIFICATE_PIN,
                )
            return CertificateCheck.PINNED
        return CertificateCheck.TRUSTED if self.verifies_chain and self.verify_name else CertificateCheck.NOT_CHECKED


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTLS:
    """TLS settings of a server.

    Attributes:
        minimum: lowest TLS version, ``1.2`` or ``1.3``.
        maximum: highest TLS version.
        ciphers: OpenSSL cipher string for TLS 1.2, or None for OpenSSL's default.
        client_ca: demand a client certificate that chains to these roots (PEM text), which clients are told by name;
            None asks for none.
        resumption: let clients resume sessions. Off by default: [MS-CSSP] 3.1.5 does not support it.
        tickets: send session tickets although no client can resume with them, for clients that wait for an answer to
            their last flight of TLS 1.3.
        key_log: write the keys to the file that SSLKEYLOGFILE names: for test endpoints only.
    """

    minimum: TLSVersionName = "1.2"
    maximum: TLSVersionName = "1.3"
    ciphers: str | None = None
    client_ca: str | None = None
    resumption: bool = False
    tickets: bool = False
    key_log: bool = False


def _base(protocol: int, settings: ClientTLS | ServerTLS) -> ssl.SSLContext:
    context = base_context(protocol)
    context.options |= _OPTIONS
    if settings.resumption or (isinstance(settings, ServerTLS) and settings.tickets):
        context.options &= ~ssl.OP_NO_TICKET
    try:
        _set_versions(context, _VERSIONS[settings.minimum], _VERSIONS[settings.maximum])
        ciphers = settings.ciphers
        if isinstance(settings, ClientTLS) and settings.legacy:
            # TLSv1 by its name is deprecated, with a warning about our code that a user can do nothing about.
            context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
            context.options |= _LEGACY_SERVER_CONNECT
            ciphers = f"{ciphers or 'ALL:!ADH:!AECDH'}:@SECLEVEL=0"
        if ciphers is not None:
            context.set_ciphers(ciphers)
    except KeyError as error:
        raise LocalProtocolError(f"unknown TLS version {error.args[0]!r}: 1.2 or 1.3") from None
    except (ssl.SSLError, ValueError) as error:
        check_memory(error, during="TLS setup")
        raise LocalProtocolError("OpenSSL knows none of the ciphers asked for") from None
    if settings.key_log:
        log_keys(context)
    return context


def _set_versions(context: ssl.SSLContext, minimum: ssl.TLSVersion, maximum: ssl.TLSVersion) -> None:
    """Set what was asked for, within what the system allows."""
    lowest, highest = int(context.minimum_version), int(context.maximum_version)
    if highest < 0:  # MAXIMUM_SUPPORTED
        highest = int(maximum)
    if maximum < lowest or minimum > highest:
        low = maximum < lowest
        asked, allowed, setting = (maximum, lowest, "MinProtocol") if low else (minimum, highest, "MaxProtocol")
        raise LocalRestrictionError(
            f"{_name(asked)} or {'lower' if low else 'higher'} was asked for, and OpenSSL takes {_name(allowed)} or "
            f"{'higher' if low else 'lower'} on this machine ({setting} in openssl.cnf)",
            restriction=setting,
            advice=f"Ask for a TLS version that this machine allows, or change {setting}.",
        )
    context.minimum_version = ssl.TLSVersion(max(minimum, lowest))
    context.maximum_version = ssl.TLSVersion(min(maximum, highest))


def _name(version: int) -> str:
    return ssl.TLSVersion(version).name.replace("TLSv", "TLS ").replace("_", ".")


def client_context(settings: ClientTLS) -> ssl.SSLContext:
    """Return the SSLContext for these settings, and for what the files that they name hold now.

    Raises:
        LocalProtocolError: a file cannot be read or a setting makes no sense.
    """
    own = settings.client_certificate
    own_stamp = None if own is None or isinstance(own, ServerCertificate) else stamp_of(own)
    log = key_log_path() if settings.key_log else ""
    if settings.verifies_chain:
        return _client_context(settings, read_roots(settings.cafile), (log, system_signature(), own_stamp))
    return _client_context(settings, "", (log, own_stamp))


@functools.lru_cache(maxsize=64)
def _client_context(settings: ClientTLS, roots: str, files: object) -> ssl.SSLContext:  # noqa: ARG001  # for the cache
    context = _base(ssl.PROTOCOL_TLS_CLIENT, settings)
    try:
        if settings.verifies_chain:
            context.check_hostname = settings.verify_name
            if settings.cafile is None and settings.cadata is None:
                context.load_default_certs(ssl.Purpose.SERVER_AUTH)
            else:
                context.load_verify_locations(cadata=f"{roots}\n{settings.cadata or ''}")
        else:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if isinstance(settings.client_certificate, ServerCertificate):
            settings.client_certificate.load_into(context)
        elif settings.client_certificate is not None:
            context.load_cert_chain(settings.client_certificate)
    except (ssl.SSLError, OSError) as error:
        check_memory(error, during="TLS setup")
        refused = certificate_refused(
            getattr(error, "reason", None) or "", context.security_level, whose="the client certificate"
        )
        if refused is not None:
            raise refused from None
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
        raise LocalProtocolError(f"the TLS settings cannot be used: {reason}") from None
    if settings.watch:
        watch_requests(context)
    if settings.legacy:
        logger.warning(
            "TLS 1.0 and 1.1, old ciphers and short keys are allowed (legacy): an attacker on the network may read and "
            "change what is sent, delegated credentials included"
        )
    return context


def server_context(settings: ServerTLS, certificate: ServerCertificate) -> ssl.SSLContext:
    """Return the SSLContext for these settings and this certificate; ask for it anew for each connection.

    OpenSSL keeps a session of every login with TLS 1.2 (1.3 KB each, 20,480 of them), although none can be resumed, and
    Python's ssl cannot tell it not to. So there is a new context after `_LOGINS` of them; the old one ends with its
    last connection.

    Raises:
        LocalProtocolError: the certificate cannot be used or a setting makes no sense.
    """
    current = _current(settings, certificate, key_log_path() if settings.key_log else "")
    with current.lock:
        if current.context is None or (current.logins >= _LOGINS and not settings.resumption):
            context = _server_base(settings)
            certificate.load_into(context)
            current.context, current.logins = context, 0
        current.logins += 1
        return current.context


_LOGINS: Final = 1000
"""Logins with one SSLContext: 1.3 MB of sessions at most, and to make a context is not felt once in a thousand."""


class _Current:
    """The context in use."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.context: ssl.SSLContext | None = None
        self.logins = 0


@functools.lru_cache(maxsize=64)
def _current(settings: ServerTLS, certificate: ServerCertificate, log: str) -> _Current:  # noqa: ARG001  # the key
    return _Current()


@functools.lru_cache(maxsize=64)
def level_of(settings: ServerTLS) -> int:
    """Return OpenSSL's security level with these settings."""
    return _server_base(settings).security_level


def sessionless_context(settings: ServerTLS) -> Callable[[], ssl.SSLContext] | None:
    """Return what makes a context without sessions and without a certificate; None where resumption is welcome.

    For `credssp.tls.channel.TLSChannel`, which needs one where a client tries to resume.
    """
    return None if settings.resumption else functools.partial(_server_base, settings)


def _server_base(settings: ServerTLS) -> ssl.SSLContext:
    context = _base(ssl.PROTOCOL_TLS_SERVER, settings)
    if not (settings.resumption or settings.tickets):
        # No resumption, so no tickets; they would also need a leg of their own over HTTP.
        context.num_tickets = 0
    if settings.client_ca is not None:
        try:
            context.load_verify_locations(cadata=settings.client_ca)
        except (ssl.SSLError, ValueError) as error:
            check_memory(error, during="TLS setup")
            raise LocalProtocolError("client_ca holds no certificates in PEM") from None
        context.verify_mode = ssl.CERT_REQUIRED
        name_authorities(context)
    return context

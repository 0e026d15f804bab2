"""The target's service principal name (SPN), taken apart once: the policy, TLS, NTLM and Kerberos all use the result.

``service/host[:port][/rest]``. A host has one canonical form: small letters, no final dot, an IP address as Python
writes it. Two names that differ in nothing else are the same server to all who ask.
"""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import re
import string
import unicodedata
from dataclasses import dataclass
from typing import Final

from credssp.errors import LocalProtocolError

__all__ = ["Target", "split_name"]

# Control characters, lone surrogates, and what separates a realm from a name or quotes that separator.
_FORBIDDEN: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff@\\\\]")

# DNS has no empty label, and longer ones than 63 bytes neither (RFC 1035 2.3.4).
_NOT_A_HOST: Final = re.compile(r"\s|\.\.|^\.|[^.]{64}")

# ASCII alone: str.lower() turns U+212A, the Kelvin sign, into k.
_LOWER: Final = {ord(capital): capital.lower() for capital in string.ascii_uppercase}


@dataclass(frozen=True, slots=True)
class Target:
    """A target name such as ``TERMSRV/host``.

    Attributes:
        service: the service class.
        name: everything after the first slash; NTLM puts ``service/name`` into MsvAvTargetName as it is.
    """

    service: str
    name: str

    @classmethod
    @functools.lru_cache(maxsize=128)
    def parse(cls, target_name: str) -> Target:
        """Split at the first slash and make the host canonical; a name without a slash is that of a host.

        Raises:
            LocalProtocolError: there is no service or host; the name holds control characters, lone surrogates, ``@``,
                a backslash, or a character that IDNA takes for an ASCII one; its host has several colons and is not an
                IP address.
        """
        match = _FORBIDDEN.search(target_name)
        if wrong := match[0] if match else _look_alike(target_name):
            raise LocalProtocolError(f"a target name must not hold {wrong!r}: write TERMSRV/server.example.test")
        service, slash, name = target_name.strip(" ").partition("/")
        if not slash:
            service, name = "host", service
        host, port, rest = split_name(name)
        if not service or not host:
            raise LocalProtocolError("a target name looks like TERMSRV/server.example.test, or is a host name")
        if ":" in host and not _is_address(host):
            raise LocalProtocolError(f"the host of the target name {target_name!r} is not an IP address")
        shown = f"[{host}]:{port}" if port and ":" in host else f"{host}:{port}" if port else host
        return cls(service, f"{shown}/{rest}" if rest else shown)

    @classmethod
    @functools.lru_cache(maxsize=128)
    def of_a_host(cls, target_name: str) -> Target:
        """Do the same for the name of a server to log on to, which has to be one that a host can have.

        Raises:
            LocalProtocolError: as `parse`; brackets that are not around an IPv6 address, a host that is not a name (a
                space, an empty label, more than DNS can hold), a port that is a number but not one of 1 to 65535.
        """
        target = cls.parse(target_name)
        host, port, _ = split_name(target.name)
        _, slash, name = target_name.strip(" ").partition("/")
        if not _has_good_brackets(name if slash else target_name):
            raise LocalProtocolError(f"the host of the target name {target_name!r} is not an IP address")
        if _NOT_A_HOST.search(host) or not _fits_dns(host):
            raise LocalProtocolError(f"the host of the target name {target_name!r} is not a host name")
        if port.isdecimal() and not 0 < int(port[:6]) < 65536:  # another word is an instance
            raise LocalProtocolError(f"the port of the target name {target_name!r} is not one of 1 to 65535")
        return target

    def __str__(self) -> str:
        return f"{self.service}/{self.name}"

    @property
    def host(self) -> str:
        """The host alone, without instance, port or the third part of an SPN."""
        return split_name(self.name)[0]

    @property
    def is_address(self) -> bool:
        """Whether the host is given by its IP address, for which no Kerberos principal exists."""
        return _is_address(self.host)

    @property
    def is_short(self) -> bool:
        """Whether the host is a name without a dot, other than ``localhost``."""
        host = self.host
        return "." not in host and ":" not in host and host != "localhost"

    def in_domain(self, domain: str) -> Target:
        """Return the target with its host completed by a domain, if it is a short name and there is a domain."""
        domain = domain.strip(".").translate(_LOWER)
        if not domain or not self.is_short:
            return self
        host, _, _ = split_name(self.name)
        return Target(self.service, f"{host}.{domain}{self.name[len(host) :]}")


@functools.lru_cache(maxsize=128)
def split_name(name: str) -> tuple[str, str, str]:
    """Return canonical host, port or instance, and the rest of ``host[:port][/rest]``; each may be empty.

    An IPv6 address may be in brackets, and has to be where a port follows. Its zone (``%eth0``) is about this machine's
    interfaces, and no part of the name (RFC 6874 4).
    """
    host, _, rest = name.partition("/")
    port = ""
    if host.startswith("["):
        host, _, port = host[1:].partition("]")
        port = port.removeprefix(":")
    elif host.count(":") == 1:
        host, _, port = host.partition(":")
    if ":" in host:
        host = host.partition("%")[0]
    # The root of DNS; a host with a second dot at its end does not exist.
    host = host.translate(_LOWER).rstrip(".")
    with contextlib.suppress(ValueError):
        host = str(ipaddress.ip_address(host))
    return host, port, rest


def _fits_dns(host: str) -> bool:
    """Whether a host's name can be asked for in DNS: IDNA has a form for it, of at most 253 bytes (RFC 1035 2.3.4)."""
    try:
        return len(host.encode("idna")) <= 253
    except UnicodeError:
        return False


def _has_good_brackets(name: str) -> bool:
    """Whether brackets, if there are some, are around an IPv6 address and nothing but a port follows."""
    host, _, _ = name.partition("/")
    if not set(host) & {"[", "]"}:
        return True
    address, closing, port = host.removeprefix("[").partition("]")
    return (
        bool(host.startswith("[") and closing) and ":" in address and (not port or (len(port) > 1 and port[0] == ":"))
    )


def _look_alike(text: str) -> str:
    """Return the first character that DNS and TLS take for an ASCII one (IDNA, RFC 3490 3.1 and RFC 3491)."""
    if text.isascii():
        return ""
    return next((c for c in text if c == "\u3002" or (c > "\x7f" and unicodedata.normalize("NFKC", c).isascii())), "")


@functools.lru_cache(maxsize=128)
def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True

"""The target's service principal name, taken apart for those who want it in pieces."""

from __future__ import annotations

import functools
import ipaddress
from dataclasses import dataclass

from credssp.errors import LocalProtocolError

__all__ = ["Target"]


@dataclass(frozen=True, slots=True)
class Target:
    """A target name such as ``TERMSRV/host``.

    Attributes:
        service: the service class.
        name: all the rest; NTLM puts ``service/name`` into MsvAvTargetName as it is.
    """

    service: str
    name: str

    @classmethod
    def parse(cls, target_name: str) -> Target:
        """Split at the first slash; a name without any is taken as that of a host.

        ``LDAP/dc.example.test/EXAMPLE.TEST`` keeps everything behind its first slash in `name`.

        Raises:
            LocalProtocolError: one half is empty, or the name holds a NUL.
        """
        service, slash, name = target_name.partition("/")
        if not slash:
            service, name = "host", target_name
        if not service or not name.strip("/") or "\0" in target_name:
            raise LocalProtocolError("a target name looks like TERMSRV/server.example.test, or is a host name")
        return cls(service, name)

    @property
    def host(self) -> str:
        """The host alone, without instance, port or the third part of an SPN."""
        host = self.name.partition("/")[0]
        if host.startswith("["):
            return host[1:].partition("]")[0]
        return host if host.count(":") > 1 else host.partition(":")[0]

    @property
    def is_address(self) -> bool:
        """Whether the host is given by its IP address, for which no Kerberos principal exists."""
        return _is_address(self.host)


@functools.lru_cache(maxsize=128)
def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True

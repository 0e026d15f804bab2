"""The domain of `credssp.testing.domain`, and what is skipped without it."""

from __future__ import annotations

from credssp.testing.domain import (
    ADMINISTRATOR,
    DC,
    DOMAIN,
    MEMBER,
    MEMBER_ADDRESS,
    REALM,
    Domain,
    obstacle,
    password,
)
from credssp.testing.domain.namespaces import network_of, processes_of
from tests.peers import missing

__all__ = [
    "ADMINISTRATOR",
    "DC",
    "DOMAIN",
    "MEMBER",
    "MEMBER_ADDRESS",
    "REALM",
    "Domain",
    "network_of",
    "password",
    "processes_of",
    "require_domain",
]


def require_domain() -> None:
    """Skip where there can be no domain, or fail where there must be one."""
    why = obstacle()
    if why:
        missing(why)

"""Which services a key is for, and which a client may ask for.

A key says little about it. In Active Directory all services of an account share its key: with the keytab of a join,
which has ``host/srv`` and ``SRV$``, a server opens tickets for ``TERMSRV/srv`` too, and those for ``HTTP/srv``. The
name of the service in a ticket is not protected either: a client can write another one on a ticket that it has. So what
is compared here keeps mistakes apart, not attackers (in a realm of MIT, where each service has a key of its own, the
keys do).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

__all__ = ["is_computer", "is_one_of", "keys_for"]

_COMPUTER: Final = ("host", "restrictedkrbhost")


def is_computer(service: str) -> bool:
    """Whether a name is one that a join makes for a computer: ``host/srv`` in any case, or ``SRV$``."""
    head, slash, host = service.partition("/")
    return head.casefold() in _COMPUTER and "/" not in host if slash else head.endswith("$")


def is_one_of(principal: str, names: Collection[str]) -> bool:
    """Whether ``class/host@REALM`` is one of the names, which may be without realm. SPNs are written in any case."""
    wanted = {name.casefold() for name in names}
    principal = principal.casefold()
    return principal in wanted or principal.rpartition("@")[0] in wanted


def keys_for(names: Collection[str], principals: Collection[str]) -> set[str]:
    """Return the principals of a keytab whose keys a server takes.

    Args:
        names: services that a client may ask for, with or without realm; none for all.
        principals: of the keytab, with their realms.

    Returns:
        Those of the names. For a name that the keytab lacks, the host's own: ``host/`` of the same host, and ``SRV$``.
        Its account may have the service, and then it has the same key.
    """
    if not names:
        return set(principals)
    chosen: set[str] = set()
    for name in names:
        chosen.update(
            [each for each in principals if is_one_of(each, (name,))]
            or [each for each in principals if _is_of_same_host(each, name)]
        )
    return chosen


def _is_of_same_host(principal: str, name: str) -> bool:
    service, _, realm = principal.rpartition("@")
    wanted, _, wanted_realm = name.partition("@")
    if not is_computer(service) or (wanted_realm and wanted_realm.casefold() != realm.casefold()):
        return False
    _, slash, host = service.partition("/")
    return not slash or host.casefold() == wanted.partition("/")[2].casefold()

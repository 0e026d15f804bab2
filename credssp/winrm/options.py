"""What is passed on to the server's context; `credssp.ServerContext` says what each means.

The RDP server has the same list (`credssp.rdp.options`); the two packages may not import one another.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from os import PathLike
from typing import TypedDict

from credssp.account import AccountStore
from credssp.engine.events import Observer
from credssp.nego.mechanism import MechanismName
from credssp.nego.ntlm.target import NTLMTarget
from credssp.policy import DelegationPolicy, PolicySettings
from credssp.tls.certificate import ServerCertificate
from credssp.tls.settings import ServerTLS

__all__ = ["ServerOptions"]


class ServerOptions(TypedDict, total=False):
    """Keywords of `credssp.ServerContext`."""

    accounts: AccountStore | None
    certificate: str | PathLike[str] | tuple[bytes, bytes] | ServerCertificate | None
    mechanisms: Collection[MechanismName]
    spn: str | Collection[str] | None
    keytab: str | PathLike[str] | None
    service_principal: str | None
    require_mic: bool
    target: NTLMTarget | None
    policy: DelegationPolicy | PolicySettings | None
    min_version: int | None
    max_version: int
    tls: ServerTLS | None
    max_message_size: int
    max_legs: int
    random: Callable[[int], bytes]
    clock: Callable[[], int]
    observer: Observer | None

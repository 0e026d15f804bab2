"""What is passed on to the contexts; `credssp.ClientContext` and `credssp.ServerContext` say what each means."""

from __future__ import annotations

from collections.abc import Callable, Collection
from os import PathLike
from typing import TypedDict

from credssp.account import AccountStore
from credssp.credentials import DelegatedCredentials
from credssp.engine.events import Observer
from credssp.mechanism_name import MechanismChoice, MechanismName
from credssp.ntlm.challenge import NTLMTarget
from credssp.policy import CredentialSource, DelegationPolicy, PolicySettings
from credssp.tls.certificate import ServerCertificate
from credssp.tls.settings import ClientTLS, ServerTLS

__all__ = ["ClientOptions", "ServerOptions"]


class ClientOptions(TypedDict, total=False):
    """Keywords of `credssp.ClientContext`."""

    policy_target: str | None
    mechanism: MechanismChoice
    delegate: bool
    delegated_credentials: DelegatedCredentials | None
    policy: DelegationPolicy | PolicySettings | None
    source: CredentialSource
    workstation: str
    mutual_auth: bool
    min_version: int | None
    max_version: int
    tls: ClientTLS | None
    max_message_size: int
    max_legs: int
    random: Callable[[int], bytes]


class ServerOptions(TypedDict, total=False):
    """Keywords of `credssp.ServerContext`."""

    accounts: AccountStore | None
    certificate: str | PathLike[str] | tuple[bytes, bytes] | ServerCertificate | None
    mechanisms: Collection[MechanismName] | None
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

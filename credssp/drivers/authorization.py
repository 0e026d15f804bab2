r"""Who of those that can authenticate may log on: the question that servers put to `ServerConfig.authorize`.

::

    config = ServerConfig(authority=WinbindAuthority(), authorize=allow_groups("LAB\\RDP Users"))

An `authorize` function gets one `AuthorizationRequest`. The form of release 0.1.0, with identity and credentials, works
as before: what takes two arguments is called with two.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from credssp.credentials import DelegatedCredentials
from credssp.drivers.faults import fault
from credssp.errors import LocalProtocolError
from credssp.identity import Identity
from credssp.rdp.early_user_authorization import EarlyUserAuthorization
from credssp.rdp.x224 import ConnectionRequest
from credssp.sid import is_sid

__all__ = ["AuthorizationRequest", "Authorize", "Authorizer", "Verdict", "all_of", "allow_groups", "denied"]

logger = logging.getLogger("credssp.drivers")

_THREADS: Final = 16
"""For functions that block. PAM waits for two seconds after a wrong password, and a login has a deadline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationRequest:
    """A user who has authenticated, and what is known about the login.

    Attributes:
        identity: who it is, and who says so.
        credentials: what the client delegated.
        request: RDP: the client's Connection Request, or None in the direct approach.
        peer: the client's address and port, or None where a server does not know it.
    """

    identity: Identity
    credentials: DelegatedCredentials
    request: ConnectionRequest | None = None
    peer: tuple[str, int] | None = None

    @property
    def groups(self) -> tuple[str, ...]:
        """The SIDs of the user's groups (`Identity.groups`)."""
        return self.identity.groups


Verdict: TypeAlias = EarlyUserAuthorization | bool
Authorize: TypeAlias = (
    Callable[[AuthorizationRequest], Verdict | Awaitable[Verdict]]
    | Callable[[Identity, DelegatedCredentials], Verdict | Awaitable[Verdict]]
)


class Authorizer:
    """Calls an `authorize` function, whichever form it has; whatever is not plainly a yes, or raises, is a no.

    Args:
        authorize: the function, or None to let everybody in. One with an attribute `blocking` that is true runs in a
            thread.
    """

    def __init__(self, authorize: Authorize | None) -> None:
        self._call = None if authorize is None else _whole(authorize)
        self._threads = ThreadPoolExecutor(_THREADS, "credssp authorize") if _blocks(authorize) else None

    def decide(self, request: AuthorizationRequest) -> EarlyUserAuthorization:
        """Ask and wait: for servers whose connections have threads of their own."""
        if self._call is None:
            return EarlyUserAuthorization.AUTHZ_SUCCESS
        try:
            return _result(_at_once(self._call(request), "an authorize coroutine needs start_server"))
        except BaseException as error:  # noqa: BLE001  # whatever it is, it is no yes
            return denied(error)

    def ask(self, request: AuthorizationRequest) -> EarlyUserAuthorization | Awaitable[EarlyUserAuthorization]:
        """Ask without waiting: returns the result, or what to await for it."""
        if self._call is None:
            return EarlyUserAuthorization.AUTHZ_SUCCESS
        try:
            if self._threads is not None:
                return self._later(asyncio.get_running_loop().run_in_executor(self._threads, self._call, request))
            verdict = self._call(request)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  # as above
            return denied(error)
        return self._later(verdict) if inspect.isawaitable(verdict) else _result(verdict)

    async def _later(self, verdict: Awaitable[object]) -> EarlyUserAuthorization:
        try:
            return _result(await verdict)
        except (Exception, asyncio.CancelledError) as error:
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                raise
            return denied(error)


def _whole(authorize: Authorize) -> Callable[[AuthorizationRequest], object]:
    call: Any = authorize
    try:
        signature = inspect.signature(call)
        signature.bind(None)
        one = all(each.kind is not inspect.Parameter.VAR_POSITIONAL for each in signature.parameters.values())
    except (TypeError, ValueError):  # two arguments at least, or a function in C
        one = False
    return call if one else lambda request: call(request.identity, request.credentials)


def _blocks(authorize: object) -> bool:
    return bool(getattr(authorize, "blocking", False))


def _at_once(verdict: object, otherwise: str) -> object:
    if inspect.isawaitable(verdict):
        if inspect.iscoroutine(verdict):
            verdict.close()
        raise LocalProtocolError(otherwise)
    return verdict


def _result(verdict: object) -> EarlyUserAuthorization:
    if verdict is True or verdict is EarlyUserAuthorization.AUTHZ_SUCCESS:
        return EarlyUserAuthorization.AUTHZ_SUCCESS
    return EarlyUserAuthorization.AUTHZ_ACCESS_DENIED


def denied(error: BaseException) -> EarlyUserAuthorization:
    """Log that what decides failed, without the text of its error, and say no."""
    logger.error("the authorize callback failed %s; the login is denied", fault(error))
    return EarlyUserAuthorization.AUTHZ_ACCESS_DENIED


# Ready-made


def allow_groups(*groups: str, find: Callable[[str], str] | None = None) -> Callable[[AuthorizationRequest], bool]:
    r"""Return an `authorize` function that lets members of any of some groups log on.

    Args:
        groups: SIDs (``S-1-5-21-...-1116``), or names (``LAB\RDP Users``) whose SIDs are looked up here and now.
        find: returns the SID of a name; None asks winbindd (`WinbindAuthority.group_sid`).

    Raises:
        LocalProtocolError: no group, a name without a group, or winbindd cannot be asked.
    """
    if not groups:
        raise LocalProtocolError("allow_groups: name one group at least")
    sids = set()
    for group in groups:
        if not isinstance(group, str):
            raise LocalProtocolError(f"allow_groups takes names and SIDs, not a {type(group).__name__}")
        if not is_sid(group):
            if find is None:
                from credssp.drivers.winbind import WinbindAuthority

                find = WinbindAuthority().group_sid
            group = find(group)
        sids.add(group)
    allowed = frozenset(sids)
    return lambda request: not allowed.isdisjoint(request.groups)


class _AllOf:
    def __init__(self, authorizers: tuple[Authorize, ...]) -> None:
        self._calls = [_whole(each) for each in authorizers]
        self.blocking = any(map(_blocks, authorizers))

    def __call__(self, request: AuthorizationRequest) -> EarlyUserAuthorization:
        for call in self._calls:
            result = _result(_at_once(call(request), "all_of takes functions, not coroutine functions"))
            if result is not EarlyUserAuthorization.AUTHZ_SUCCESS:
                return result
        return EarlyUserAuthorization.AUTHZ_SUCCESS


def all_of(*authorizers: Authorize) -> Callable[[AuthorizationRequest], EarlyUserAuthorization]:
    """Return an `authorize` function that says yes where all of some others do; they are asked in this order."""
    return _AllOf(authorizers)

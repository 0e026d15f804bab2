r"""A domain by way of winbindd: who a user of it is, and whether a response to an NTLM challenge is right.

::

    from credssp.drivers.winbind import WinbindAuthority

    authority = WinbindAuthority()
    with credssp.rdp.serve(handle, authority=authority) as server:
        server.serve_forever()

winbindd is the daemon of Samba on a machine that has joined a domain (``net ads join``). Its library, libwbclient, is
called here directly; there is no program to start and no text to parse. Responses are judged over the privileged pipe,
which root and the members of the group winbindd_priv may open.
"""

from __future__ import annotations

import ctypes as c
import os
import threading
from dataclasses import dataclass
from typing import Any, Final

from credssp.authority import NO_LOGON_SERVERS, LogonAnswer, LogonQuestion, LogonRefusal, LogonVerdict
from credssp.drivers import _wbclient as wbc
from credssp.errors import LocalProtocolError
from credssp.ntlm.challenge import NTLMTarget
from credssp.secret import Secret, private
from credssp.sid import grants
from credssp.status import NTStatus, describe

__all__ = ["DomainUser", "WinbindAuthority", "may_ask"]

_CONTROL: Final = 0x20 | 0x800
"""MSV1_0_ALLOW_SERVER_TRUST_ACCOUNT and MSV1_0_ALLOW_WORKSTATION_TRUST_ACCOUNT ([MS-NRPC] 2.2.1.4.15): machines log on
as well, and `allow_groups` decides whether they may."""

_AUTH_ERROR: Final = 10
"""WBC_ERR_AUTH_ERROR of wbclient.h."""

_MAX_SIDS: Final = 4096
"""A token of Windows has 1,024 groups at most."""

_SID_TYPES: Final = frozenset({2, 4, 5})
"""WBC_SID_NAME_DOM_GRP, ALIAS and WKN_GRP: what can be a member's group."""

_SID_USER: Final = 1
"""WBC_SID_NAME_USER."""

_PRIVILEGED: Final = "the privileged pipe of winbindd is for root and the group winbindd_priv"


_GROUP: Final = "winbindd_priv"


def may_ask(*groups: int) -> bool:
    """Whether a user in these groups (by number), who is not root, may open winbindd's privileged pipe."""
    import grp

    try:
        return grp.getgrnam(_GROUP).gr_gid in groups
    except KeyError:
        return False


@dataclass(frozen=True, slots=True)
class DomainUser:
    """A user as the domain knows it.

    Attributes:
        domain: NetBIOS name of the user's domain.
        username: the account's name (sAMAccountName).
        sid: its SID.
        groups: the SIDs of its groups, of groups in groups too, sorted.
    """

    domain: str
    username: str
    sid: str
    groups: tuple[str, ...]


class _Context:
    """A connection to winbindd, which is freed with this object."""

    def __init__(self) -> None:
        self.library = wbc.load()
        self.process = os.getpid()
        self.pointer = self.library.wbcCtxCreate()
        if not self.pointer:
            raise MemoryError

    def __del__(self) -> None:
        # That of the parent of a fork stays open: to close it would end the parent's.
        if getattr(self, "pointer", None) and self.process == os.getpid():
            self.library.wbcCtxFree(self.pointer)


class WinbindAuthority:
    """The domain that this machine has joined; a `credssp.authority.LogonAuthority`.

    Threads: any number may ask; each has a connection of its own, since a connection takes one question at a time, and
    to open one for each question would wait for seconds where winbindd is busy.

    Attributes:
        domain: NetBIOS name of the domain.
        dns_domain: its DNS name.
        target: the names that NTLM tells a client: those of the member as it was joined.
    """

    def __init__(self) -> None:
        """Ask winbindd which domain this machine has joined.

        Raises:
            LocalProtocolError: libwbclient is missing, winbindd is not running, or the machine has not joined a domain;
                the text says what to do.
        """
        self._local = threading.local()
        context = _Context()  # not kept: a process that forks must not share it with its children
        details = c.POINTER(wbc.InterfaceDetails)()
        code = context.library.wbcCtxInterfaceDetails(context.pointer, c.byref(details))
        if code:
            raise LocalProtocolError(
                f"winbindd does not answer ({_error(context, code)}): it runs once the machine has joined a "
                "domain (net ads join, then systemctl start winbind); its log says more"
            )
        try:
            found = details[0]
            name, self.domain = _text(found.netbios_name), _text(found.netbios_domain)
            self.dns_domain = _text(found.dns_domain).lower()
        finally:
            context.library.wbcFreeMemory(details)
        if not self.dns_domain:
            raise LocalProtocolError(
                f"{name} is in the workgroup {self.domain} and has not joined a domain: net ads join, then start "
                "winbindd again"
            )
        self._check_pipe(name)
        self._check_trust(context)
        self.target = NTLMTarget(
            name,
            self.domain,
            f"{name.lower()}.{self.dns_domain}",
            self.dns_domain,
            is_domain=True,
        )

    def _check_pipe(self, own_name: str) -> None:
        """Check that this process may ask, with a question that winbindd answers alone: about a user of the machine."""
        self._ask(
            _Context(),
            LogonQuestion(
                domain=own_name, username="no user", workstation="", server_challenge=bytes(8), nt_response=bytes(44)
            ),
            refused=LocalProtocolError(f"{_PRIVILEGED}: run this program as one of them"),
        )

    def _check_trust(self, context: _Context) -> None:
        """Check that the account of the machine works, as far as the domain says something now."""
        error = c.POINTER(wbc.AuthError)()
        code = context.library.wbcCtxCheckTrustCredentials(context.pointer, self.domain.encode(), c.byref(error))
        status = error[0].nt_status if error else 0
        if error:
            context.library.wbcFreeMemory(error)
        if code and status in _NOT_JOINED:
            raise LocalProtocolError(
                f"the domain {self.domain} does not accept the account of this machine "
                f"({describe(status).name}): join it again with net ads join"
            )

    @private
    def verify(self, question: LogonQuestion) -> LogonAnswer:
        """Pass a response on to a domain controller. Blocks while winbindd does."""
        answer = self._ask(self._context(), question)
        if answer is NO_LOGON_SERVERS:
            self._local.context = None  # a new connection for the next question
        return answer

    def _ask(
        self, context: _Context, question: LogonQuestion, *, refused: LocalProtocolError | None = None
    ) -> LogonAnswer:
        domain = question.domain
        if not domain and "@" in question.username:
            # winbindd looks such a suffix up among the domains, and knows nothing of those that are no domain.
            domain = self.domain
        try:
            parameters = wbc.AuthParams(
                _bytes(question.username),
                _bytes(domain),
                _bytes(question.workstation),
                0,
                _CONTROL,
                wbc.LEVEL_RESPONSE,
            )
        except ValueError:  # a null character, which no name of an account has
            return LogonRefusal(NTStatus.STATUS_NO_SUCH_USER)
        response = parameters.password.response
        response.challenge[:] = question.server_challenge
        response.nt_length, response.nt_data = len(question.nt_response), question.nt_response
        info, error = c.POINTER(wbc.AuthInfo)(), c.POINTER(wbc.AuthError)()
        try:
            code = context.library.wbcCtxAuthenticateUserEx(
                context.pointer, c.byref(parameters), c.byref(info), c.byref(error)
            )
            if not code and info:
                return _verdict(info[0])
            if code == _AUTH_ERROR and error:
                return LogonRefusal(error[0].nt_status, authoritative=bool(error[0].authoritative))
        finally:
            for memory in (info, error):
                if memory:
                    context.library.wbcFreeMemory(memory)
        if refused is not None:
            raise refused
        return NO_LOGON_SERVERS

    def _context(self) -> _Context:
        context: _Context | None = getattr(self._local, "context", None)
        if context is None or context.process != os.getpid():
            context = self._local.context = _Context()
        return context

    def group_sid(self, name: str) -> str:
        r"""Return the SID of a group.

        Args:
            name: ``LAB\RDP Users``, or without a domain for the one that was joined.

        Raises:
            LocalProtocolError: winbindd knows no such group.
        """
        sid, kind = self._look_up(_Context(), name, "group")
        if kind not in _SID_TYPES:
            raise LocalProtocolError(f"{name!r} is not a group")
        return str(sid)

    def user_sid(self, name: str) -> str:
        r"""Return the SID of a user.

        Args:
            name: ``LAB\\alice``, ``alice@lab.test``, or without a domain for the one that was joined.

        Raises:
            LocalProtocolError: winbindd knows no such user.
        """
        return str(self._user_sid(_Context(), name))

    def find_user(self, name: str) -> DomainUser:
        r"""Return what the domain knows of a user, without a login.

        Args:
            name: ``LAB\alice``, ``alice@lab.test``, or without a domain for the one that was joined.

        Raises:
            LocalProtocolError: winbindd knows no such user, or does not find its groups.
        """
        context = _Context()
        sid = self._user_sid(context, name)
        texts, count, found = (c.c_void_p(), c.c_void_p()), c.c_uint32(), c.POINTER(wbc.Sid)()
        try:
            code = context.library.wbcCtxLookupSid(context.pointer, sid, *map(c.byref, texts), c.byref(c.c_int()))
            if not code:
                code = context.library.wbcCtxLookupUserSids(context.pointer, sid, False, c.byref(count), c.byref(found))
            if code:
                raise LocalProtocolError(f"winbindd does not find the groups of {name!r} ({_error(context, code)})")
            if count.value > _MAX_SIDS:
                raise LocalProtocolError(f"winbindd tells {count.value} SIDs of {name!r}")
            domain, username = (_text(c.cast(text, c.c_char_p).value) for text in texts)
            sids = {str(found[number]) for number in range(count.value)}
        finally:
            for memory in (*texts, found):
                if memory:
                    context.library.wbcFreeMemory(memory)
        own = str(sid)
        return DomainUser(
            domain, username, own, tuple(sorted(each for each in sids if each != own and grants(each, 0)))
        )

    def _user_sid(self, context: _Context, name: str) -> wbc.Sid:
        sid, kind = self._look_up(context, name, "user")
        if kind != _SID_USER:
            raise LocalProtocolError(f"{name!r} is not a user")
        return sid

    def _look_up(self, context: _Context, name: str, what: str) -> tuple[wbc.Sid, int]:
        """Return the SID of a name, and its kind. Raises LocalProtocolError."""
        domain, backslash, account = name.rpartition("\\")
        # winbindd looks the suffix of a UPN up among the domains, and does not find one that is no domain; the domain
        # controller does.
        domains = [domain] if backslash else ["", self.domain] if "@" in account else [self.domain]
        sid, kind, code = wbc.Sid(), c.c_int(), 0
        for each in domains:
            try:
                names = _bytes(each), _bytes(account)
            except ValueError:
                raise LocalProtocolError(f"{name!r} is not a name of a {what}") from None
            code = context.library.wbcCtxLookupName(context.pointer, *names, c.byref(sid), c.byref(kind))
            if not code:
                break
        if code:
            raise LocalProtocolError(f"winbindd does not find the {what} {name!r} ({_error(context, code)})")
        return sid, kind.value

    def __repr__(self) -> str:
        return f"WinbindAuthority({self.domain!r})"


_NOT_JOINED: Final = frozenset(
    {
        NTStatus.STATUS_NO_TRUST_LSA_SECRET,
        NTStatus.STATUS_NO_TRUST_SAM_ACCOUNT,
        NTStatus.STATUS_TRUSTED_RELATIONSHIP_FAILURE,
        NTStatus.STATUS_ACCESS_DENIED,
    }
)


@private
def _verdict(info: wbc.AuthInfo) -> LogonVerdict:
    count = info.num_sids
    if not 1 <= count <= _MAX_SIDS:
        raise LocalProtocolError(f"winbindd tells {count} SIDs of a user")
    sids = [(str(info.sids[number].sid), info.sids[number].attributes) for number in range(count)]
    return LogonVerdict(
        domain=_text(info.domain),
        username=_text(info.account),
        session_base_key=Secret(bytes(info.session_key)),
        sid=sids[0][0],
        groups=tuple(sid for sid, attributes in sids[1:] if grants(sid, attributes)),
        upn=_text(info.upn),
    )


def _bytes(text: str) -> bytes:
    """Return a name for C. Raises ValueError."""
    data = text.encode("utf-8", "strict")
    if b"\0" in data:
        raise ValueError
    return data


def _text(value: Any) -> str:
    return (value or b"").decode("utf-8", "replace")


def _error(context: _Context, code: int) -> str:
    return _text(context.library.wbcErrorString(code))

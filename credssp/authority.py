"""Who can judge an NTLM response without handing out a hash: the question, the answer, and who is asked.

A member of a domain has no hashes. It passes the client's response on to a domain controller, which says whether it is
right, who that is, and which key the session has ([MS-APDS] 3.1.5). That takes time, so no acceptor asks by itself: it
stops with a question, and the owner of the exchange brings the answer (docs/adr/0020-a-question-between-two-steps.md).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from credssp.errors import LocalProtocolError
from credssp.secret import Secret, private, private_methods
from credssp.sid import is_sid
from credssp.status import NTStatus

if TYPE_CHECKING:
    from credssp.ntlm.challenge import NTLMTarget

__all__ = [
    "NO_LOGON_SERVERS",
    "LogonAnswer",
    "LogonAuthority",
    "LogonQuestion",
    "LogonRefusal",
    "LogonVerdict",
    "ask",
    "is_plain_name",
]

_log = logging.getLogger("credssp.authority")

_KEY_SIZE: Final = 16
_CUTS: Final = frozenset("/\\@")


def is_plain_name(text: object) -> bool:
    r"""Whether a part of a name reads as one part of one name, wherever it is shown; without ``/``, ``\`` and ``@``."""
    return (
        isinstance(text, str) and bool(text) and text.isprintable() and text == text.strip() and not set(text) & _CUTS
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LogonQuestion:
    """A network logon ([MS-NRPC] 2.2.1.4.5 NETLOGON_NETWORK_INFO): is this response right, and whose is it?

    Attributes:
        domain: the domain as the client sent it; may be empty.
        username: the user name as the client sent it; may be a UPN, then the domain is mostly empty.
        workstation: what the client calls its machine; accounts may be restricted to some.
        server_challenge: ServerChallenge, 8 bytes.
        nt_response: NtChallengeResponse, an NTLMv2 response as received.
    """

    domain: str
    username: str
    workstation: str
    server_challenge: bytes = field(repr=False)
    nt_response: bytes = field(repr=False)


@private_methods("__init__")
@dataclass(frozen=True, slots=True, kw_only=True)
class LogonVerdict:
    """Yes: who it is, and the key of the session.

    Attributes:
        domain: NetBIOS name of the account's domain.
        username: the account's name (sAMAccountName).
        session_base_key: SessionBaseKey ([MS-NLMP] 3.3.2), 16 bytes.
        sid: the account's SID.
        groups: the SIDs of its groups, in any order.
        upn: its user principal name, or an empty string.

    Raises:
        LocalProtocolError: a key of another size, or something that is not a name or a SID.
    """

    domain: str
    username: str
    session_base_key: Secret[bytes]
    sid: str = ""
    groups: tuple[str, ...] = ()
    upn: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.session_base_key, Secret) or len(self.session_base_key.reveal()) != _KEY_SIZE:
            raise LocalProtocolError(f"session_base_key is a Secret of {_KEY_SIZE} bytes")
        if not is_plain_name(self.username) or not (self.domain == "" or is_plain_name(self.domain)):
            raise LocalProtocolError("username and domain of a verdict are plain names")
        if not all(map(is_sid, (*self.groups, *((self.sid,) if self.sid else ())))):
            raise LocalProtocolError("sid and groups of a verdict are SIDs such as S-1-5-21-1-2-3-1104")


@dataclass(frozen=True, slots=True)
class LogonRefusal:
    """No.

    Attributes:
        ntstatus: why; STATUS_NO_LOGON_SERVERS where the response could not be judged.
        authoritative: False where this authority does not know the domain, or could not judge: the accounts of the
            server are asked next.
    """

    ntstatus: int
    authoritative: bool = True


LogonAnswer: TypeAlias = LogonVerdict | LogonRefusal

NO_LOGON_SERVERS: Final = LogonRefusal(NTStatus.STATUS_NO_LOGON_SERVERS, authoritative=False)
"""The answer where there is none."""


class LogonAuthority(Protocol):
    """Judges NTLM responses, for a domain. Threads: `verify` is called in several at once."""

    @property
    def target(self) -> NTLMTarget:
        """The names that CHALLENGE must carry: a domain controller compares them with those of the member that asks."""

    def verify(self, question: LogonQuestion) -> LogonAnswer:
        """Judge a response. It may take its time: the servers call it in a thread, and wait no longer than they like.

        Whatever it raises counts as `NO_LOGON_SERVERS`.
        """


@private
def ask(authority: LogonAuthority, question: LogonQuestion) -> LogonAnswer:
    """Ask an authority, here and now. What goes wrong in there is an answer too; only its kind is logged."""
    try:
        answer: object = authority.verify(question)
    except Exception as error:  # noqa: BLE001  # it may be anything, and its text may hold anything
        _log.error("the logon authority failed (%s); the login is refused", type(error).__name__)
        return NO_LOGON_SERVERS
    if not isinstance(answer, LogonVerdict | LogonRefusal):
        _log.error("the logon authority answered with a %s; the login is refused", type(answer).__name__)
        return NO_LOGON_SERVERS
    return answer

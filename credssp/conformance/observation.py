"""What a passive case gets: a recorded login, live or a fixture's, and the side to judge.

Live runs and fixtures go through the same code: a live run is recorded first.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

from credssp.conformance.rule import Role, Skipped
from credssp.exchange.binding_check import Key
from credssp.exchange.opening import LogonSecrets, open_login
from credssp.exchange.recorded_login import RecordedLogin, Sender
from credssp.ntlm.session import SESSION_FLAGS
from credssp.wire.ts_request import TSRequest

__all__ = ["KnownPlaintext", "Observation"]


@dataclass(frozen=True, slots=True)
class KnownPlaintext:
    """What was encrypted.

    Attributes:
        client_key: plaintext of the client's pubKeyAuth, or None.
        server_key: that of the server's, or None.
        auth_info: that of authInfo, or None.
        problems: what did not open, by side.
    """

    client_key: bytes | None
    server_key: bytes | None
    auth_info: bytes | None
    problems: tuple[tuple[Sender, str], ...] = ()

    @classmethod
    def of(cls, login: RecordedLogin) -> KnownPlaintext | None:
        """Open a login with its account's password; returns None where there is no session key to be had."""
        secrets = LogonSecrets(() if login.account is None else (login.account.password,))
        # The suite's peers seal whatever was negotiated, and a rule is about peers that do.
        opened = open_login(login, secrets, Key(b"", ""), flags=SESSION_FLAGS)
        if opened.session_key is None:
            return None
        senders = {request.leg: request.sender for request in login.requests}
        bindings = {senders[leg]: plain for leg, plain in reversed(opened.bindings.items())}
        failed = [
            check for check in opened.checks if check.verdict == "failed" and check.leg not in (None, *opened.auth_info)
        ]
        return cls(
            bindings.get("client"),
            bindings.get("server"),
            next((plain for leg, plain in opened.auth_info.items() if senders[leg] == "client"), None),
            tuple((senders[check.leg or 0], f"{check.name}: {check.text}") for check in failed),
        )


@dataclass(frozen=True)
class Observation:
    """What a passive case gets.

    Attributes:
        login: the login to look at.
        side: the side to judge.
        known: what was encrypted, where the suite itself encrypted and opened it.
    """

    login: RecordedLogin
    side: Role
    known: KnownPlaintext | None = field(default=None, repr=False)

    @property
    def who(self) -> Sender:
        """``client`` or ``server``."""
        return "client" if self.side is Role.CLIENT else "server"

    @property
    def requests(self) -> list[TSRequest]:
        """The TSRequests of the side.

        Raises:
            Skipped: it sent none.
        """
        found = self.login.of(self.who)
        if not found:
            raise Skipped(f"the {self.who} sent no TSRequest that decodes")
        return found

    @functools.cached_property
    def plain(self) -> KnownPlaintext:
        """What was encrypted.

        Raises:
            Skipped: there is no session key to be had.
        """
        found = self.known or KnownPlaintext.of(self.login)
        if found is None:
            raise Skipped("the session key cannot be derived: not NTLM, or the account is not known")
        return found

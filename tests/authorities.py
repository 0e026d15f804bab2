"""Logon authorities that need no domain."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from credssp.authority import LogonAnswer, LogonQuestion, LogonRefusal, LogonVerdict
from credssp.nt_hash import nt_hash
from credssp.ntlm import proof
from credssp.ntlm.challenge import NTLMTarget
from credssp.secret import Secret
from credssp.status import NTStatus

__all__ = ["GROUPS", "SID", "Authority"]

SID = "S-1-5-21-1-2-3-1104"
GROUPS = ("S-1-5-21-1-2-3-513", "S-1-5-21-1-2-3-1116")


class Authority:
    """Judges responses as a domain controller does.

    Args:
        passwords: by user name in lower case, which may be a UPN.
        edit: makes another answer of the right one.

    Attributes:
        asked: the questions.
        release: what a question waits for, if it was cleared.
    """

    target = NTLMTarget("MEMBER", "LAB", "member.lab.test", "lab.test", is_domain=True)

    def __init__(
        self, passwords: dict[str, str] | None = None, edit: Callable[[Any], Any] = lambda answer: answer
    ) -> None:
        self.passwords = {"alice": "secret"} if passwords is None else passwords
        self.edit = edit
        self.asked: list[LogonQuestion] = []
        self.release = threading.Event()
        self.release.set()

    def verify(self, question: LogonQuestion) -> LogonAnswer:
        self.asked.append(question)
        assert self.release.wait(30)
        answer: LogonAnswer = self.edit(self._judge(question))
        return answer

    def _judge(self, question: LogonQuestion) -> LogonAnswer:
        password = self.passwords.get(question.username.lower())
        if password is None:
            return LogonRefusal(NTStatus.STATUS_NO_SUCH_USER)
        message: Any = SimpleNamespace(**{f.name: getattr(question, f.name) for f in dataclasses.fields(question)})
        proved = proof.check_response(message, question.server_challenge, nt_hash(password))
        if proved is None:
            return LogonRefusal(NTStatus.STATUS_WRONG_PASSWORD)
        return LogonVerdict(
            domain="LAB",
            username=question.username.lower().partition("@")[0],
            session_base_key=Secret(proved.session_base_key),
            sid=SID,
            groups=GROUPS,
        )

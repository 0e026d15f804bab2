"""Explains a decision: every setting that was asked, what it lists, what matched, and what to change.

For ``credssp policy check TARGET --level ntlm --source fresh``: `check` takes the words of the command line, and its
answer turns into text (`Explanation.text`) or plain data for JSON (`Explanation.to_dict`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from credssp.errors import LocalProtocolError
from credssp.policy.decision import PolicyDecision
from credssp.policy.delegation import DelegationPolicy
from credssp.policy.lists import SETTINGS_OF, ListSetting, ListState
from credssp.policy.terms import AuthenticationLevel, CredentialSource, DelegationMode
from credssp.server_authentication import ServerAuthentication
from credssp.status import describe

__all__ = ["LEVELS", "ConsultedList", "Explanation", "check", "explain"]

LEVELS: Final = {
    "cert": ServerAuthentication.CERTIFICATE,
    "kerberos": ServerAuthentication.KERBEROS,
    "ntlm": ServerAuthentication.NTLM,
    "none": ServerAuthentication.NONE,
}
"""The words for the authentication of the server."""


@dataclass(frozen=True, slots=True)
class ConsultedList:
    """One of the lists that bear on a decision.

    Attributes:
        setting: its name.
        title: what the policy editor shows.
        role: ``deny``, ``allow`` or ``allow-ntlm-only``.
        state: whether an administrator touched it.
        listed: the patterns written in the setting.
        in_force: the patterns that count, those of the operating system included.
        matched: the one that means the target, or None.
        decisive: whether this list decided.
    """

    setting: str
    title: str
    role: str
    state: ListState
    listed: tuple[str, ...]
    in_force: tuple[str, ...]
    matched: str | None
    decisive: bool

    @property
    def text(self) -> str:
        """One line for people."""
        state = "not configured" if self.state is ListState.UNSET else self.state.value
        unused = "" if self.in_force or not self.listed else f" ({len(self.listed)} listed, not in force)"
        servers = ", ".join(self.in_force) or "no server"
        result = f"matches by {self.matched}" if self.matched else "does not match"
        mark = "*" if self.decisive else " "
        return f"{mark} {self.setting} ({state}): {servers}{unused}: {result}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "setting": self.setting,
            "title": self.title,
            "role": self.role,
            "state": self.state.value,
            "listed": list(self.listed),
            "in_force": list(self.in_force),
            "matched": self.matched,
            "decisive": self.decisive,
        }


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision with everything it rests on.

    Attributes:
        target: what was asked about.
        source: where the credentials come from.
        level: how well the server is known.
        mode: what would be handed over.
        decision: the answer, from `DelegationPolicy.decide`.
        lists: the lists that bear on it, in the order in which they are asked.
    """

    target: str | None
    source: CredentialSource
    level: AuthenticationLevel
    mode: DelegationMode
    decision: PolicyDecision
    lists: tuple[ConsultedList, ...]

    @property
    def text(self) -> str:
        """Several lines for people, without a line end after the last."""
        status = self.decision.status
        verdict = "allowed" if self.decision.allowed else "refused"
        return "\n".join(
            [
                f"{self.target or 'no target'}: {verdict} ({status.name} 0x{status:08X})",
                f"  {self.source.value} credentials, server authentication {self.level.value}, mode {self.mode.value}",
                f"  {self.decision.reason}",
                *(f"  {entry.text}" for entry in self.lists),
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, fit for JSON."""
        decision = self.decision
        return {
            "target": self.target,
            "source": self.source.value,
            "level": self.level.value,
            "mode": self.mode.value,
            "allowed": decision.allowed,
            "status": describe(decision.status).to_dict(),
            "reason": decision.reason,
            "setting": decision.setting,
            "pattern": decision.pattern,
            "lists": [entry.to_dict() for entry in self.lists],
        }


def explain(
    policy: DelegationPolicy,
    target: str | None,
    *,
    source: CredentialSource,
    server: ServerAuthentication,
    mode: DelegationMode = DelegationMode.PLAIN,
    smart_card_logon: bool = False,
) -> Explanation:
    """Decide as `DelegationPolicy.decide` does, and keep what the decision rests on."""
    decision = policy.decide(target, source=source, server=server, mode=mode, smart_card_logon=smart_card_logon)
    settings = SETTINGS_OF[source]
    asked = (
        ("deny", settings.deny),
        ("allow", settings.allow),
        ("allow-ntlm-only", settings.allow_when_ntlm_only),
    )
    lists = tuple(_consulted(policy, setting, role, target, decision) for role, setting in asked)
    return Explanation(target, source, AuthenticationLevel.of(server), mode, decision, lists)


def check(
    policy: DelegationPolicy, target: str, *, level: str = "ntlm", source: str = "fresh", mode: str = "plain"
) -> Explanation:
    """Explain a decision asked for with the words of a command line.

    Args:
        policy: what to ask.
        target: the service principal name.
        level: one of `LEVELS`.
        source: ``default``, ``fresh`` or ``saved``.
        mode: ``plain``, ``restricted-admin``, ``remote-guard`` or ``none``.

    Raises:
        LocalProtocolError: if one of the words is not known.
    """
    if level not in LEVELS:
        raise LocalProtocolError(f"{level!r} is not a level of server authentication: {', '.join(LEVELS)}")
    sources = {member.value: member for member in CredentialSource}
    if source not in sources:
        raise LocalProtocolError(f"{source!r} is not a source of credentials: {', '.join(sources)}")
    modes = {member.value: member for member in DelegationMode}
    if mode not in modes:
        raise LocalProtocolError(f"{mode!r} is not a mode of delegation: {', '.join(modes)}")
    return explain(policy, target, source=sources[source], server=LEVELS[level], mode=modes[mode])


def _consulted(
    policy: DelegationPolicy, setting: ListSetting, role: str, target: str | None, decision: PolicyDecision
) -> ConsultedList:
    entry = policy.list_of(setting)
    matched = policy.match(setting, target)
    return ConsultedList(
        setting=setting.name,
        title=setting.title,
        role=role,
        state=entry.state,
        listed=tuple(pattern.text for pattern in entry.servers),
        in_force=tuple(pattern.text for pattern in policy.effective(setting)),
        matched=matched.text if matched else None,
        decisive=decision.setting == setting.name,
    )

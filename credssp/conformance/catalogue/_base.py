"""The catalogue that all areas declare into, short names for what they write, and rows: cases that are data.

Most cases try one or several logins and judge them all in the same way. Such a case is a row of `logins` (a server is
judged) or `serves` (a client is), which begin with the judgement: the rule, and what is tried. Others are functions.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Final

from credssp.conformance.client_run import ClientRun
from credssp.conformance.rule import CaseFunction, Catalogue, Level, Outcome, Role, Skipped, first_fault, need, passed
from credssp.conformance.run import ServerRun
from credssp.conformance.scripted_client import ScriptedClient
from credssp.conformance.scripted_server import ScriptedServer
from credssp.protocol_version import VERSIONS, has_hashed_binding

__all__ = [
    "BOTH",
    "CATALOGUE",
    "CLIENT",
    "HASHED",
    "MAY",
    "MUST",
    "PLAIN",
    "ROBUSTNESS",
    "SECURITY",
    "SERVER",
    "SHOULD",
    "Try",
    "in_versions",
    "logins",
    "serves",
    "stopped_in_each_form",
    "with_client_hashes",
    "with_hashes",
]

CATALOGUE: Final = Catalogue()

MUST, SHOULD, MAY = Level.MUST, Level.SHOULD, Level.MAY
ROBUSTNESS, SECURITY = Level.ROBUSTNESS, Level.SECURITY
CLIENT, SERVER, BOTH = Role.CLIENT, Role.SERVER, Role.BOTH

HASHED: Final = tuple(version for version in reversed(VERSIONS) if has_hashed_binding(version))
"""The versions that bind with hashes, the highest first."""
PLAIN: Final = tuple(version for version in reversed(VERSIONS) if not has_hashed_binding(version))
"""Those that bind with the key itself."""


class Try:
    """One login to be judged.

    Args:
        what: what is tried, in words.
        script: arguments of the login: those of a script, and the set-up.
    """

    def __init__(self, what: str, **script: Any) -> None:
        self.what = what
        self.script = script


def in_versions(versions: tuple[int, ...], what: str, **script: Any) -> tuple[Try, ...]:
    """Return the same try in several versions."""
    return tuple(Try(f"{what} in version {version}", version=version, **script) for version in versions)


def logins(
    judge: Callable[[ServerRun, ScriptedClient, str], Outcome],
    *rows: tuple[str, *tuple[Try, ...]],
    via: Callable[..., ScriptedClient] = ServerRun.login,
    before: Callable[[ServerRun], object] | None = None,
    needs: Collection[str] = (),
) -> None:
    """Declare cases against servers that try logins and judge them alike; the first that is not a pass counts.

    Args:
        judge: how to judge them.
        rows: id of the rule, and what is tried.
        via: the method of `ServerRun` that logs on.
        before: what has to work first; may raise Skipped.
        needs: what the peer's transport must offer.
    """
    for rule_id, *tries in rows:
        CATALOGUE.server(rule_id, *needs)(_trying(judge, tries, via, before))


def serves(
    judge: Callable[[ClientRun, ScriptedServer, str], Outcome],
    *rows: tuple[str, *tuple[Try, ...]],
    via: Callable[..., ScriptedServer] = ClientRun.serve,
    before: Callable[[ClientRun], object] | None = None,
    needs: Collection[str] = (),
) -> None:
    """Declare cases against clients, as `logins`."""
    for rule_id, *tries in rows:
        CATALOGUE.client(rule_id, *needs)(_trying(judge, tries, via, before))


def _trying(
    judge: Callable[[Any, Any, str], Outcome],
    tries: list[Try],
    via: Callable[..., Any],
    before: Callable[[Any], object] | None,
) -> CaseFunction:
    def case(run: Any) -> Outcome:
        if before is not None:
            before(run)
        return first_fault(judge(run, via(run, **each.script), each.what) for each in tries)

    return case


def with_hashes(run: ServerRun) -> None:
    """Skip servers that know versions 2 to 4 only: they have no hashes to get wrong, and CSSP-VER-15 says so."""
    version = run.baseline().server_version
    if version is not None and not has_hashed_binding(version):
        raise Skipped(f"the server speaks version {version}, which has no hashes (CSSP-VER-15)")


def with_client_hashes(run: ClientRun) -> None:
    """Skip clients that know versions 2 to 4 only: with them the suite's server has no hash to get wrong."""
    version = run.baseline().requests[0].version
    if not has_hashed_binding(version):
        raise Skipped(f"the client speaks version {version}")


def stopped_in_each_form(run: ClientRun, what: str, **script: Any) -> Outcome:
    """Judge a client that must stop in either form of the binding, of those in which a good login works."""
    tried = False
    for version in (HASHED[0], PLAIN[0]):
        try:
            served = run.serve(version=version, **script)
        except Skipped:
            continue
        tried = True
        need(run.stopped(served, f"version {version}: {what}"))
    if not tried:
        raise Skipped("no good login works")
    return passed()

"""Several reports about one peer made into one: the worst verdict of each rule, and all of them where they vary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from credssp.conformance.result import ORDER, Report, Result

__all__ = ["merged"]


def merged(reports: Sequence[Report]) -> Report:
    """Return one report for runs of the same cases on the same peer; it has `Result.verdicts` where there are several.

    A run that could not judge the peer at all (`Report.trouble`) counts: the peer is not reliable.
    """
    if len(reports) == 1:
        return reports[0]
    by_case: dict[tuple[str, str], list[Result]] = {}
    for report in reports:
        seen: dict[str, int] = {}
        for result in report.results:  # a rule may have several cases for one role
            seen[result.rule.id] = seen.get(result.rule.id, 0) + 1
            by_case.setdefault((result.rule.id, str(seen[result.rule.id])), []).append(result)
    longest = max(reports, key=lambda report: len(report.results))
    troubles = [report.trouble for report in reports if report.trouble]
    results = []
    for found in by_case.values():
        worst = max(found, key=lambda result: ORDER.index(result.verdict))
        results.append(replace(worst, verdicts=tuple(result.verdict for result in found)))
    facts = longest.facts | {"runs": str(len(reports))}
    trouble = troubles[0] if troubles else ""
    if 0 < len(troubles) < len(reports):
        trouble = f"in {len(troubles)} of {len(reports)} runs: {trouble}"
    return Report(longest.peer, longest.side, tuple(results), trouble, facts)

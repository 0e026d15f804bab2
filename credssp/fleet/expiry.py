"""When certificates end: counts by month, drawn as a timeline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

__all__ = ["Expiry"]

_BEFORE, _AFTER = 12, 48
"""Months that are shown one by one; what ends earlier or later is at the ends of the timeline."""
_SOON: Final = 30
"""Days; who renews manually has to begin then."""
_WIDTH, _HEIGHT, _LEFT = 900, 150, 10


class Expiry:
    """Takes the end of each certificate.

    Args:
        now: the time of the report.
    """

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._months: Counter[int] = Counter()
        self.expired = self.soon = self.later = 0

    def add(self, facts: dict[str, Any]) -> None:
        """Count the certificate of a server, if it has one with a date that is one."""
        certificate = facts.get("certificate")
        try:
            end = datetime.fromisoformat(certificate["not_after"])  # type: ignore[index]
            left = (end.replace(tzinfo=end.tzinfo or UTC) - self._now).total_seconds()
        except (TypeError, KeyError, ValueError, OverflowError):
            return
        self.expired += left < 0
        self.soon += 0 <= left < _SOON * 86400
        self.later += left >= _SOON * 86400
        months = (end.year - self._now.year) * 12 + end.month - self._now.month
        self._months[max(-_BEFORE - 1, min(_AFTER + 1, months))] += 1

    @property
    def sentence(self) -> str:
        """The same in words."""
        return f"{self.expired:,} expired, {self.soon:,} end within {_SOON} days, {self.later:,} later."

    def svg(self, escape: Callable[[object], str]) -> str:
        """Return the timeline, or an empty string where there are no certificates."""
        if not self._months:
            return ""
        step = (_WIDTH - 2 * _LEFT) / (_BEFORE + _AFTER + 3)
        highest = max(self._months.values())
        parts = [
            f'<svg class="expiry" role="img" aria-label="{escape(self.sentence)}" '
            f'viewBox="0 0 {_WIDTH} {_HEIGHT + 34}" xmlns="http://www.w3.org/2000/svg">'
        ]
        for month, count in sorted(self._months.items()):
            height = max(3.0, (_HEIGHT - 22) * count / highest)
            x = _LEFT + step * (month + _BEFORE + 1)
            y = _HEIGHT - height
            kind = "past" if month < 0 else "now" if month <= 1 else "later"
            parts.append(
                f'<g class="{kind}"><title>{escape(self._name(month))}: {count:,}</title>'
                f'<rect x="{x + 1:.1f}" y="{y:.1f}" width="{step - 2:.1f}" height="{height:.1f}" rx="2"/>'
                f'<text x="{x + step / 2:.1f}" y="{y - 4:.1f}">{count:,}</text></g>'
            )
        parts.append(f'<path class="axis" d="M{_LEFT} {_HEIGHT}H{_WIDTH - _LEFT}"/>')
        for month in range(-_BEFORE, _AFTER + 1, 12):
            x = _LEFT + step * (month + _BEFORE + 1.5)
            name = "this month" if month == 0 else self._name(month)
            parts.append(f'<text class="tick" x="{x:.1f}" y="{_HEIGHT + 18}">{escape(name)}</text>')
        parts.append("</svg>")
        return "".join(parts)

    def _name(self, month: int) -> str:
        if month < -_BEFORE:
            return "earlier"
        if month > _AFTER:
            return "later"
        number = self._now.year * 12 + self._now.month - 1 + month
        return f"{number // 12}-{number % 12 + 1:02}"

"""Messages as trees of plain data, for ``credssp decode`` and ``credssp demo``: those of `credssp.dissect.views`."""

from __future__ import annotations

from credssp.dissect.views import Views, fields_of, token_name

__all__ = ["Views", "fields_of", "token_name"]

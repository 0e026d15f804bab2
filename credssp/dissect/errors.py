"""What can be wrong with the input as a whole; everything smaller becomes a line of the report."""

from __future__ import annotations

from credssp.errors import LocalProtocolError

__all__ = ["MISSING", "CaptureError"]

MISSING = "{} is missing, which reads {}: pip install 'credssp[dissect]' (in a clone: '.[dissect]')"
"""What to install; takes the module and what it reads."""


class CaptureError(LocalProtocolError):
    """The file is not a capture or cannot be read, or a given key is not valid."""

"""What can be wrong with the input as a whole; everything smaller becomes a line of the report."""

from __future__ import annotations

from credssp.errors import LocalProtocolError

__all__ = ["CaptureError"]


class CaptureError(LocalProtocolError):
    """The file is no capture, cannot be read, or a key that was given is none."""

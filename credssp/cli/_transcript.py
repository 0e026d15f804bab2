"""``--transcript FILE`` of ``credssp login``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from credssp.dissect.transcript import TranscriptWriter
    from credssp.fleet.logins.outcome import LoginOutcome

__all__ = ["record", "recording"]


@contextlib.contextmanager
def recording(path: str | None, peer: str) -> Iterator[TranscriptWriter | None]:
    """Open a transcript, if one is wanted. Raises LocalProtocolError where it cannot be written."""
    if path is None:
        yield None
        return
    from credssp.__about__ import __version__
    from credssp.dissect.transcript import TranscriptWriter

    with TranscriptWriter(path, role="client", program=f"credssp {__version__}", peer=peer) as writer:
        yield writer


def record(transcript: TranscriptWriter | None, outcome: LoginOutcome) -> None:
    """Write down what is known at the end."""
    if transcript is not None:
        tls = outcome.facts["tls"]
        transcript.tls("" if tls is None else tls["version"], outcome.certificate)
        transcript.outcome("accepted" if outcome.error is None else outcome.error.message)

"""The inner authentication of the suite's client, NTLM or Kerberos, as one small interface."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Inner", "KeyedSession"]


class KeyedSession(Protocol):
    """What protects the messages of one login."""

    def wrap(self, data: bytes, /) -> bytes:
        """Encrypt."""

    def unwrap(self, token: bytes, /) -> bytes:
        """Decrypt. Raises CredSSPError."""

    def make_mech_list_mic(self, mech_types: bytes, /) -> bytes:
        """Sign SPNEGO's MechTypeList."""

    def verify_mech_list_mic(self, mech_types: bytes, mic: bytes, /) -> None:
        """Check the server's signature over it. Raises CredSSPError."""


class Inner(Protocol):
    """One login."""

    @property
    def mech_types(self) -> tuple[str, ...]:
        """What SPNEGO offers unless a script says otherwise."""

    @property
    def session(self) -> KeyedSession:
        """What protects messages, after `answer`."""

    def first(self) -> bytes:
        """Return the first token."""

    def answer(self, token: bytes) -> bytes | None:
        """Take the server's token and return the last one, or None where there is no further. Raises CredSSPError."""

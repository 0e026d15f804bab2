"""The inner authentication of the suite's client, NTLM or Kerberos, behind one small interface."""

from __future__ import annotations

from typing import Protocol

from credssp.conformance.kerberos import KerberosClient, KerberosSession
from credssp.conformance.ntlm import NTLMClient
from credssp.ntlm.session import NTLMSession
from credssp.spnego import OID

__all__ = ["Inner", "KerberosInner", "NTLMInner"]


class Inner(Protocol):
    """One login.

    Attributes:
        mech_types: what SPNEGO offers unless a plan says otherwise.
    """

    mech_types: tuple[str, ...]

    def first(self) -> bytes:
        """Return the first token."""

    def answer(self, token: bytes) -> bytes | None:
        """Take the server's token and return the last one, or None where there is no further. Raises CredSSPError."""

    def wrap(self, data: bytes) -> bytes:
        """Encrypt."""

    def unwrap(self, data: bytes) -> bytes:
        """Decrypt. Raises CredSSPError."""

    def make_mech_list_mic(self, mech_types: bytes) -> bytes:
        """Sign SPNEGO's MechTypeList."""

    def verify_mech_list_mic(self, mech_types: bytes, mic: bytes) -> None:
        """Check the server's signature over it. Raises CredSSPError."""


class NTLMInner:
    """NTLM."""

    mech_types: tuple[str, ...] = (OID.NTLM,)

    def __init__(self, client: NTLMClient) -> None:
        self.client = client

    @property
    def _session(self) -> NTLMSession:
        assert self.client.session is not None  # noqa: S101  # made by AUTHENTICATE
        return self.client.session

    def first(self) -> bytes:
        """Return NEGOTIATE."""
        return self.client.negotiate()

    def answer(self, token: bytes) -> bytes | None:
        """Take CHALLENGE, return AUTHENTICATE."""
        return self.client.authenticate(token)

    def wrap(self, data: bytes) -> bytes:
        """Seal."""
        return self._session.wrap(data)

    def unwrap(self, data: bytes) -> bytes:
        """Unseal."""
        return self._session.unwrap(data)

    def make_mech_list_mic(self, mech_types: bytes) -> bytes:
        """Sign."""
        return self._session.make_mech_list_mic(mech_types)

    def verify_mech_list_mic(self, mech_types: bytes, mic: bytes) -> None:
        """Verify."""
        self._session.verify_mech_list_mic(mech_types, mic)


class KerberosInner:
    """Kerberos; the server's one token is AP-REP, which no token of ours follows."""

    mech_types: tuple[str, ...] = (OID.KERBEROS,)

    def __init__(self, client: KerberosClient) -> None:
        self.client = client

    @property
    def session(self) -> KerberosSession:
        """What protects messages."""
        assert self.client.session is not None  # noqa: S101  # made by AP-REP
        return self.client.session

    def first(self) -> bytes:
        """Return AP-REQ."""
        return self.client.start()

    def answer(self, token: bytes) -> bytes | None:
        """Take AP-REP."""
        self.client.finish(token)
        return None

    def wrap(self, data: bytes) -> bytes:
        """Make a Wrap token."""
        return self.session.wrap(data)

    def unwrap(self, data: bytes) -> bytes:
        """Open one."""
        return self.session.unwrap(data)

    def make_mech_list_mic(self, mech_types: bytes) -> bytes:
        """Make a MIC token."""
        return self.session.sign(mech_types)

    def verify_mech_list_mic(self, mech_types: bytes, mic: bytes) -> None:
        """Check one."""
        self.session.verify(mech_types, mic)

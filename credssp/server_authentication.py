"""How far the client knows which server it talks to."""

from __future__ import annotations

import enum

__all__ = ["ServerAuthentication"]


class ServerAuthentication(enum.Flag):
    """What proved the server's identity to the client; several may hold at once.

    One value feeds ISC_REQ_MUTUAL_AUTH, SECPKG_ATTR_SERVER_AUTH_FLAGS and the delegation policy
    (win32 "CredSSP Group Policy Settings": a trusted certificate or Kerberos is strong, NTLM alone is not).
    """

    __hash__ = object.__hash__  # Enum's own is a function in Python

    NONE = 0
    NTLM = 1
    """NTLM proved only that the server (or somebody it asks) knows the account's secret, not which server it is."""
    CERTIFICATE = 2
    """The TLS certificate chains to a trusted root, or matches a pinned fingerprint, and names the target."""
    KERBEROS = 4
    """Kerberos mutual authentication with the target's service principal."""

    @property
    def is_strong(self) -> bool:
        """Whether the server's identity was proved by its certificate or by Kerberos."""
        return bool(self & (ServerAuthentication.CERTIFICATE | ServerAuthentication.KERBEROS))

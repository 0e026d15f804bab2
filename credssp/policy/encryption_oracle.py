"""Encryption oracle remediation: the lowest version each side accepts (KB4093492, CVE-2018-0886).

Versions 2 to 4 bind the TLS key in a form that a man in the middle can use; 5 and 6 do not. The setting says whether
we speak to a peer that was never updated.
"""

from __future__ import annotations

import enum
from typing import Final

from credssp.protocol_version import LOWEST_VERSION, UPDATED_VERSION

__all__ = ["DEFAULT_ENCRYPTION_ORACLE", "EncryptionOracle"]


class EncryptionOracle(enum.IntEnum):
    """AllowEncryptionOracle, with the numbers of the registry."""

    FORCE_UPDATED_CLIENTS = 0
    """Both sides insist on an updated peer."""
    MITIGATED = 1
    """The client insists, the server does not: the default of Windows since 8 May 2018."""
    VULNERABLE = 2
    """Neither insists: the default of Windows from 13 March 2018 until then. Exposes the credentials."""

    @property
    def client_min_version(self) -> int:
        """The lowest version that a client accepts from its server."""
        return LOWEST_VERSION if self is EncryptionOracle.VULNERABLE else UPDATED_VERSION

    @property
    def server_min_version(self) -> int:
        """The lowest version that a server accepts from its client."""
        return UPDATED_VERSION if self is EncryptionOracle.FORCE_UPDATED_CLIENTS else LOWEST_VERSION

    @property
    def title(self) -> str:
        """The name that the policy editor shows."""
        return self.name.replace("_", " ").title()


DEFAULT_ENCRYPTION_ORACLE: Final = EncryptionOracle.FORCE_UPDATED_CLIENTS
"""What this library does unless told otherwise: version 5 or later, for both roles.

Stricter than Windows, whose servers still accept old clients (Mitigated). Every client updated since March 2018 speaks
version 5 or 6; a server that must serve older ones says so.
"""

"""CredSSP protocol versions and what each of them changes ([MS-CSSP] 1.7, 2.2.1).

No message negotiates the version: each side puts its own highest version into every TSRequest, and both use the lower
one.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "HIGHEST_VERSION",
    "LOWEST_VERSION",
    "UPDATED_VERSION",
    "VERSIONS",
    "effective_version",
    "has_error_code",
    "has_hashed_binding",
]

LOWEST_VERSION: Final = 2
"""The first version that exists; 0 and 1 are not valid."""

HIGHEST_VERSION: Final = 6
"""The highest version we implement; a peer that says more is treated as if it said this ([MS-CSSP] 2.2.1)."""

VERSIONS: Final = range(LOWEST_VERSION, HIGHEST_VERSION + 1)
"""All of them."""

UPDATED_VERSION: Final = 5
"""The first version with the update for CVE-2018-0886: pubKeyAuth carries hashes, and not the key itself."""

# The errorCode field came with version 3; version 5 is the CVE-2018-0886 update of the version-2 line, which has none
# ([MS-CSSP] 2.2.1). FreeRDP and pyspnego draw the line in the same place.
_WITH_ERROR_CODE: Final = frozenset({3, 4, 6})


def effective_version(own: int, peer: int) -> int:
    """Return the version both sides use: the lower of the two, never above `HIGHEST_VERSION`."""
    return min(own, peer, HIGHEST_VERSION)


def has_error_code(version: int) -> bool:
    """Whether a peer of this effective version may be sent TSRequest.errorCode."""
    return version in _WITH_ERROR_CODE


def has_hashed_binding(version: int) -> bool:
    """Whether pubKeyAuth carries SHA-256 hashes over clientNonce (5, 6) instead of the key itself (2 to 4)."""
    return version >= UPDATED_VERSION

"""Encryption oracle remediation (KB4093492)."""

from __future__ import annotations

import pytest

from credssp.policy import DEFAULT_ENCRYPTION_ORACLE, EncryptionOracle
from credssp.protocol_version import effective_version


@pytest.mark.parametrize(
    ("number", "title", "client", "server"),
    [(0, "Force Updated Clients", 5, 5), (1, "Mitigated", 5, 2), (2, "Vulnerable", 2, 2)],
)
def test_level_sets_the_lowest_version_of_each_role(number: int, title: str, client: int, server: int) -> None:
    level = EncryptionOracle(number)
    assert (level.title, level.client_min_version, level.server_min_version) == (title, client, server)


def test_library_insists_on_version_5_for_both_roles() -> None:
    assert DEFAULT_ENCRYPTION_ORACLE.client_min_version == 5
    assert DEFAULT_ENCRYPTION_ORACLE.server_min_version == 5


@pytest.mark.parametrize(
    ("client", "server", "works"),
    [
        # rows and columns of the KB's matrix; None is a machine without the update
        (None, None, True),
        (None, 0, False),
        (None, 1, True),
        (None, 2, True),
        (0, None, False),
        (0, 0, True),
        (0, 1, True),
        (0, 2, True),
        (1, None, False),
        (1, 0, True),
        (1, 1, True),
        (1, 2, True),
        (2, None, True),
        (2, 0, True),
        (2, 1, True),
        (2, 2, True),
    ],
)
def test_levels_give_the_matrix_of_the_kb(client: int | None, server: int | None, works: bool) -> None:
    version = effective_version(4 if client is None else 6, 4 if server is None else 6)
    client_min = 2 if client is None else EncryptionOracle(client).client_min_version
    server_min = 2 if server is None else EncryptionOracle(server).server_min_version
    assert (version >= client_min and version >= server_min) is works

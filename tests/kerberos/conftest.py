"""One realm for all tests of this folder; see `tests.kdc`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conformance.recording import hold_against_examples
from tests.kdc import Realm
from tests.peers import require_module

__all__ = ["PASSWORD", "Lab", "hold_against_examples", "lab"]

PASSWORD = "Made-up for these tests 1"


@dataclass(frozen=True)
class Lab:
    """The realm with what most tests want of it."""

    realm: Realm
    keytab: Path
    ccache: str


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    require_module("gssapi", extra="kerberos")
    require_module("krb5", extra="kerberos")
    with Realm(tmp_path_factory.mktemp("realm")) as realm:
        realm.add("alice", password=PASSWORD)
        services = [f"{service}/localhost" for service in ("TERMSRV", "HTTP", "WSMAN", "host")]
        for service in services:
            realm.add(service)
        yield Lab(realm, realm.keytab("server.keytab", *services), realm.kinit("alice", PASSWORD))


@pytest.fixture(autouse=True)
def _live_in_the_realm(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Point libkrb5 to the realm. The keytab and the cache of the environment do not exist: nobody may lean on them."""
    if "lab" in request.fixturenames:
        for name, value in request.getfixturevalue("lab").realm.environment.items():
            monkeypatch.setenv(name, value)

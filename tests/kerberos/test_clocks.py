"""Clocks that differ, and tickets whose time is over or has not come: with a wrong clock in the process that judges."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from credssp import CCacheCredentials, CredSSPError, PasswordCredentials
from credssp.context.initiator import create_initiator
from tests.kdc import REALM, Realm
from tests.kerberos.conftest import PASSWORD, Lab
from tests.kerberos.exchange import TARGET, first_token
from tests.peers import require_program

pytestmark = pytest.mark.interop

HOUR = 3600


@pytest.fixture(scope="session")
def wrong_clock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = tmp_path_factory.mktemp("clock") / "wrong_clock.so"
    source = Path(__file__).with_name("wrong_clock.c")
    subprocess.run([require_program("gcc"), "-shared", "-fPIC", "-o", library, source], check=True, timeout=60)
    return library


def at(library: Path, offset: int, *arguments: str) -> dict[str, object]:
    """Run one side with a clock that is off by so many seconds."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.kerberos.process", *arguments],
        env=os.environ | {"LD_PRELOAD": str(library), "CLOCK_OFFSET": str(offset)},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


@pytest.mark.parametrize(
    ("offset", "status", "told"),
    [
        (0, None, None),
        (HOUR, "SEC_E_TIME_SKEW", 0xC0000133),
        (-HOUR, "SEC_E_TIME_SKEW", 0xC0000133),
        (12 * HOUR, "SEC_E_CONTEXT_EXPIRED", 0x80090317),
    ],
    ids=["same", "an hour ahead", "an hour behind", "after the ticket"],
)
def test_server_compares_clocks(lab: Lab, wrong_clock: Path, offset: int, status: str, told: int) -> None:
    token = first_token(CCacheCredentials(lab.ccache))
    assert at(wrong_clock, offset, "accept", str(lab.keytab), token.hex()) == {"status": status, "told": told}


def test_client_whose_clock_is_not_the_kdcs(lab: Lab, wrong_clock: Path, tmp_path: Path) -> None:
    clock = {"LD_PRELOAD": str(wrong_clock), "CLOCK_OFFSET": str(-2 * HOUR)}
    with Realm(tmp_path, kdc_environment=clock, timesync=False) as realm, pytest.MonkeyPatch.context() as environment:
        realm.add("alice", password=PASSWORD)
        for name, value in realm.environment.items():
            environment.setenv(name, value)
        credentials = PasswordCredentials("alice", PASSWORD, domain=REALM)
        with pytest.raises(CredSSPError, match="compare the clocks") as caught:
            create_initiator(credentials, target_name=TARGET, mechanism="kerberos").step(None)
    assert caught.value.status.name == "SEC_E_TIME_SKEW"


def test_ticket_granting_ticket_that_has_expired(lab: Lab, wrong_clock: Path) -> None:
    assert at(wrong_clock, 12 * HOUR, "initiate", lab.ccache) == {"status": "SEC_E_CONTEXT_EXPIRED", "told": None}

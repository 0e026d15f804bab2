"""`credssp serve rdp --allow-no-mic` takes clients without NTLM's MIC and SPNEGO's, and says so in its event."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.interop.test_impacket_rdp_check import rdp_check
from tests.peers import require_module

pytestmark = pytest.mark.interop

ASYAUTH = Path(__file__).parents[2] / "fixtures" / "asyauth_client.py"


@contextmanager
def serving(*options: str) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """Run the server; its port, and the events once the block has ended."""
    command = [sys.executable, "-m", "credssp", "serve", "rdp", "--listen", "127.0.0.1:0", "--json", *options]
    events: list[dict[str, Any]] = []
    with subprocess.Popen([*command, "--user", "LAB\\alice:secret"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(json.loads(process.stdout.readline())["address"].rpartition(":")[2])
        try:
            yield port, events
            time.sleep(0.3)
        finally:
            process.terminate()
            events += [json.loads(line) for line in process.stdout.read().splitlines()]


def told(events: list[dict[str, Any]], *members: str) -> list[Any]:
    return [[event.get(name) for name in members] for event in events if event["event"] in ("delegated", "refused")]


def test_rdp_check_with_bare_ntlm(tmp_path: Path) -> None:
    with serving("--allow-no-mic", "--min-version", "2") as (port, events):
        output = rdp_check(SimpleNamespace(port=port), tmp_path, "LAB/alice:secret@127.0.0.1")  # type: ignore[arg-type]
    assert "Access Granted" in output
    assert told(events, "event", "ntlm_mic", "mech_list_mic", "version") == [["delegated", False, None, 2]]


@pytest.mark.parametrize("allowed", [True, False])
def test_asyauth_with_ntlm_in_spnego(allowed: bool) -> None:
    require_module("asyauth")
    with serving(*(["--allow-no-mic"] if allowed else [])) as (port, events):
        subprocess.run(
            [sys.executable, str(ASYAUTH), "127.0.0.1", str(port), "LAB", "alice", "secret"],
            capture_output=True,
            timeout=60,
            check=False,
        )
    if allowed:
        assert told(events, "event", "ntlm_mic", "mech_list_mic") == [["delegated", False, True]]
    else:
        ((event, status),) = told(events, "event", "status")
        assert event == "refused"
        assert "no MIC" in status["text"]

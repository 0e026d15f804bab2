"""Work that executors do, and workers that are lost with it."""

from __future__ import annotations

import concurrent.futures
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from credssp.errors import LocalProtocolError
from credssp.fleet.probing import ProbeRequest
from credssp.fleet.run import probe_over
from credssp.fleet.spread import Lost, in_batches, spread
from credssp.fleet.targets import parse_range
from credssp.fleet.way import Way
from credssp.proxy import Proxy
from credssp.testing import RDPServer
from tests.peers import require_module


def double(number: int) -> int:
    return 2 * number


def end_the_first_worker(job: tuple[int, str]) -> int:
    """Kill the process that gets the number 5, once: a file says that it was done."""
    number, flag = job
    if number == 5:
        try:
            os.close(os.open(flag, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            pass
        else:
            os.kill(os.getpid(), signal.SIGKILL)
    return 2 * number


def test_results_come_as_they_are_done_and_no_more_is_out_than_was_said() -> None:
    out = most = 0
    lock = threading.Lock()

    def work(number: int) -> int:
        nonlocal out, most
        with lock:
            out += 1
            most = max(most, out)
        time.sleep(0.2 if number == 0 else 0.001)
        with lock:
            out -= 1
        return number

    taken = 0

    def pieces() -> Iterator[int]:
        nonlocal taken
        for number in range(50):
            taken += 1
            yield number

    with concurrent.futures.ThreadPoolExecutor(20) as executor:
        results = spread(pieces(), work, executor, ahead=4)
        first = next(results)
        assert first[0] != 0
        assert taken <= 5
        found = [first, *results]
    assert sorted(found) == [(number, number) for number in range(50)]  # type: ignore[type-var]
    assert most <= 4


def test_what_fails_again_and_again_is_lost_and_the_rest_is_done() -> None:
    tries: list[int] = []

    def work(number: int) -> int:
        if number == 3:
            tries.append(number)
            raise ValueError("no")
        return number

    with concurrent.futures.ThreadPoolExecutor(2) as executor:
        found = dict(spread(range(6), work, executor, ahead=2, retries=2))
    assert len(tries) == 3
    lost = found.pop(3)
    assert isinstance(lost, Lost)
    assert isinstance(lost.error, ValueError)
    assert found == {number: number for number in range(6) if number != 3}


def test_a_pool_whose_process_was_killed_loses_nothing(tmp_path: Path) -> None:
    jobs = [(number, str(tmp_path / "killed")) for number in range(20)]
    with concurrent.futures.ProcessPoolExecutor(2) as executor:
        found = dict(spread(jobs, end_the_first_worker, executor, ahead=4))
    assert (tmp_path / "killed").exists()
    assert found == {job: 2 * job[0] for job in jobs}


def test_batches() -> None:
    assert list(in_batches(range(5), 2)) == [(0, 1), (2, 3), (4,)]
    assert list(in_batches([], 2)) == []


@pytest.mark.parametrize("kind", [concurrent.futures.ThreadPoolExecutor, concurrent.futures.ProcessPoolExecutor])
def test_any_executor_probes(kind: Any) -> None:
    found: list[dict[str, Any]] = []
    with RDPServer({("LAB", "alice"): "x"}) as server, kind(2) as executor:
        targets = parse_range(f"127.0.0.1-20:{server.port}")
        probe_over(executor, targets, request=ProbeRequest(), done=found.append, rate=2000, batch=3, ahead=4)
    assert {each["target"] for each in found} == {f"rdp://127.0.0.{n}:{server.port}" for n in range(1, 21)}
    assert [each["credssp"]["version"] for each in found if each["credssp"]] == [6]


def test_a_secret_does_not_leave_the_process() -> None:
    way = Way(Proxy.parse("http://alice:hunter2@127.0.0.1:1"))
    targets = parse_range("127.0.0.1:1")
    with concurrent.futures.ProcessPoolExecutor(1) as executor, pytest.raises(LocalProtocolError) as caught:
        probe_over(executor, targets, request=ProbeRequest(way=way), done=print)
    assert "cannot be sent to another process" in caught.value.message
    assert "hunter2" not in str(caught.value)
    with concurrent.futures.ThreadPoolExecutor(1) as executor, pytest.raises(LocalProtocolError, match="rate"):
        probe_over(executor, targets, request=ProbeRequest(pace=lambda: 0.0), done=print)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    distributed = require_module("distributed", extra="dask")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
    ) as running:
        yield running


@pytest.mark.interop
def test_a_cluster_whose_worker_is_killed_in_the_middle_loses_no_target(cluster: Any) -> None:
    from credssp.fleet.dask_cluster import dask_executor

    victim = next(iter(cluster.workers.values())).pid
    found: list[dict[str, Any]] = []

    def done(facts: dict[str, Any]) -> None:
        found.append(facts)
        if len(found) == 50:
            os.kill(victim, signal.SIGKILL)

    with RDPServer({("LAB", "alice"): "x"}) as server:
        targets = parse_range(f"127.0.0.0/23:{server.port}")
        with dask_executor(cluster.scheduler_address) as (executor, ahead):
            probe_over(executor, targets, request=ProbeRequest(timeout=20), done=done, rate=400, batch=10, ahead=ahead)
    with pytest.raises(ProcessLookupError):
        os.kill(victim, 0)
    names = [each["target"] for each in found]
    assert len(names) == len(set(names)) == 512
    assert [each["target"] for each in found if each["credssp"]] == [f"rdp://127.0.0.1:{server.port}"]
    assert {each["error"]["name"] for each in found if each["error"]} == {"SEC_E_TARGET_UNKNOWN"}


@pytest.mark.interop
def test_the_command_probes_with_a_cluster(cluster: Any, capsys: pytest.CaptureFixture[str]) -> None:
    from credssp.cli import main

    with RDPServer({("LAB", "alice"): "x"}) as server:
        code = main(["probe", f"127.0.0.1-9:{server.port}", "--csv", "--dask", cluster.scheduler_address])
    assert code == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 10
    assert "9 targets in " in err


@pytest.mark.interop
def test_no_scheduler(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    require_module("distributed", extra="dask")
    from credssp.cli import main

    monkeypatch.setattr("credssp.fleet.dask_cluster._CONNECT", 1)
    assert main(["probe", "127.0.0.1:1", "--dask", "tcp://127.0.0.1:1"]) == 2
    assert "no Dask scheduler answers at tcp://127.0.0.1:1" in capsys.readouterr().err

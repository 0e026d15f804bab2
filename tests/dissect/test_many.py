"""Many files at a time: in this thread, by executors, by a cluster."""

from __future__ import annotations

import concurrent.futures
import json
from pathlib import Path
from typing import Any

import pytest

from credssp.cli import main
from credssp.dissect.dissector import examine
from credssp.dissect.errors import CaptureError
from credssp.errors import LocalProtocolError
from credssp.exchange.opening import LogonSecrets
from credssp.fleet.captures import KeyFiles, dissect_files
from credssp.secret import Secret
from tests.dissect.captures import Connection, pcap
from tests.dissect.logins import PASSWORD, log_on
from tests.peers import require_module


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], str]:
    """Return three captures, one file that is none, and the key log of all."""
    folder = tmp_path_factory.mktemp("captures")
    logins = [log_on(mechanism="negotiate"), log_on(password="wrong"), log_on(version=5)]
    for number, login in enumerate(logins):
        (folder / f"{number}.pcap").write_bytes(pcap(Connection().packets(login.rdp())))
    (folder / "odd.pcap").write_text("not a capture")
    (folder / "keys.log").write_bytes(b"".join(login.keylog for login in logins))
    return [str(folder / name) for name in ("0.pcap", "1.pcap", "odd.pcap", "2.pcap")], str(folder / "keys.log")


def check(found: dict[str, Any], files: tuple[list[str], str]) -> None:
    names, keylog = files
    assert set(found) == set(names)
    for name in names:
        if name.endswith("odd.pcap"):
            assert isinstance(found[name], CaptureError)
            continue
        alone = examine(Path(name), tls=KeyFiles((keylog,)).tls_secrets())
        assert found[name]["conversations"] == list(alone["conversations"])
        assert found[name]["conversations"][0]["timeline"]


@pytest.mark.parametrize("kind", [None, concurrent.futures.ThreadPoolExecutor, concurrent.futures.ProcessPoolExecutor])
def test_any_executor_finds_what_one_thread_finds(kind: Any, files: tuple[list[str], str]) -> None:
    keys = KeyFiles((files[1],))
    if kind is None:
        found = list(dissect_files(files[0], keys=keys))
        assert [name for name, _ in found] == files[0]
    else:
        with kind(2) as executor:
            found = list(dissect_files(files[0], executor=executor, keys=keys, ahead=2))
    check(dict(found), files)


def test_secrets_stay_in_this_process(files: tuple[list[str], str]) -> None:
    logon = LogonSecrets((Secret(PASSWORD),))
    with (
        concurrent.futures.ProcessPoolExecutor(1) as executor,
        pytest.raises(LocalProtocolError, match="cannot be sent to another process"),
    ):
        next(dissect_files(files[0], executor=executor, logon=logon))
    with concurrent.futures.ThreadPoolExecutor(1) as threads:
        found = dict(dissect_files(files[0][:1], executor=threads, logon=logon, keys=KeyFiles((files[1],))))
    (report,) = found.values()
    assert isinstance(report, dict)
    assert "opened" in json.dumps(report)


def test_a_file_of_keys_that_is_not_there_is_told_once() -> None:
    with pytest.raises(CaptureError, match="the key file /nowhere cannot be read"):
        next(dissect_files(["a", "b"], keys=KeyFiles(("/nowhere",))))


def test_the_command_shows_all_files_and_one_page(
    files: tuple[list[str], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names, keylog = files
    html, text = tmp_path / "all.html", tmp_path / "all.txt"
    assert main(["dissect", *names, "--keylog", keylog, "--html", str(html), "-o", str(text)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "odd.pcap" in err
    assert [name in text.read_text() for name in ("0.pcap", "1.pcap", "2.pcap")] == [True] * 3
    page = html.read_text()
    assert "CredSSP: 3 files" in page
    assert "<h2>3. 2.pcap: RDP" in page
    assert main(["dissect", names[0], names[1], "--keylog", keylog, "--json"]) == 0
    reports = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [report["file"] for report in reports] == ["0.pcap", "1.pcap"]
    assert main(["dissect", names[0], names[1], "--html"]) == 0
    assert capsys.readouterr().out.endswith("</body></html>\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-", "x.pcap"], "- is for one capture"),
        (["-", "--dask", "tcp://127.0.0.1:1"], "- is for one capture"),
        (["x.pcap", "--dask", "tcp://127.0.0.1:1", "--password", "hunter2"], "not sent to a cluster"),
    ],
)
def test_what_makes_no_sense(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dissect", *words]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert "hunter2" not in err


@pytest.mark.interop
def test_a_cluster_reads_captures(files: tuple[list[str], str], capsys: pytest.CaptureFixture[str]) -> None:
    distributed = require_module("distributed", extra="dask")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=True, dashboard_address=None, host="127.0.0.1"
    ) as cluster:
        words = ["--keylog", files[1], "--json", "--dask", cluster.scheduler_address]
        assert main(["dissect", *files[0], *words]) == 1
    out, err = capsys.readouterr()
    assert {json.loads(line)["file"] for line in out.splitlines()} == {"0.pcap", "1.pcap", "2.pcap"}
    assert "odd.pcap" in err

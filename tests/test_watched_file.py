"""Files that are read again: changes of every kind are seen, and nonsense never replaces what was good."""

from __future__ import annotations

import os
import weakref
from pathlib import Path

import pytest

from credssp import watched_file
from credssp.accounts import FileAccounts
from credssp.errors import LocalProtocolError
from credssp.tls.certificate import generate_certificate, load_certificate, watch_certificate
from credssp.watched_file import WatchedFile, reload_all


def number(data: bytes) -> int:
    return int(data)


def replace(path: Path, text: str) -> None:
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What other tests of this process watched has no part in these."""
    monkeypatch.setattr(watched_file, "_all", weakref.WeakSet())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_text("1")
    return path


def test_a_file_that_was_written_again_is_read_again(path: Path) -> None:
    file = WatchedFile(path, load=number, interval=0)
    for value in range(2, 9):  # the same size, and as fast as the clock of the file system has no time for
        path.write_text(str(value))
        assert file.current() == value


def test_a_file_that_was_replaced_is_read_again(path: Path) -> None:
    file = WatchedFile(path, load=number, interval=0)
    replace(path, "22")
    assert file.current() == 22


def test_a_directory_that_was_replaced_as_kubernetes_does_is_seen(tmp_path: Path) -> None:
    for version in ("1", "2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "file").write_text(version)
        os.utime(tmp_path / version / "file", (1_700_000_000, 1_700_000_000))
    (tmp_path / "..data").symlink_to("1")
    (tmp_path / "file").symlink_to("..data/file")
    file = WatchedFile(tmp_path / "file", load=number, interval=0)
    assert file.current() == 1
    (tmp_path / "..new").symlink_to("2")
    (tmp_path / "..new").replace(tmp_path / "..data")
    assert file.current() == 2


@pytest.mark.parametrize("damage", ["nonsense", "gone", "unreadable"])
def test_the_last_good_state_stays_and_the_problem_is_told_once(
    path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    file = WatchedFile(path, load=number, interval=0, what="number")
    if damage == "nonsense":
        path.write_text("secret")
    else:
        path.unlink()
        if damage == "unreadable":
            path.mkdir()
    assert [file.current() for _ in range(3)] == [1, 1, 1]
    assert file.problem
    assert not file.reload()
    assert len(caplog.records) == 1
    assert f"number {path}" in caplog.text
    assert "secret" not in caplog.text
    if path.is_dir():
        path.rmdir()
    path.write_text("3")
    assert file.current() == 3
    assert file.problem == ""


def test_the_same_content_is_not_loaded_again(path: Path) -> None:
    loaded: list[bytes] = []
    file = WatchedFile(path, load=loaded.append, interval=0)
    path.touch()
    file.current()
    os.utime(path, (1_700_000_000, 1_700_000_000))
    file.current()
    assert loaded == [b"1"]


def test_between_two_looks_nothing_is_read_but_reload_looks_at_once(path: Path) -> None:
    file = WatchedFile(path, load=number, interval=3600)
    path.write_text("2")
    assert file.current() == 1
    assert reload_all()
    assert file.current() == 2


def test_the_first_reading_raises(path: Path, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        WatchedFile(tmp_path / "none", load=number)
    path.write_text("x")
    with pytest.raises(ValueError, match="invalid literal"):
        WatchedFile(path, load=number)


def test_accounts_are_read_again_where_asked_for(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.write_text("LAB:alice:secret\n")
    watched, read_once = FileAccounts(path, watch=True), FileAccounts(path)
    path.write_text("LAB:alice:secret\nLAB:bob:hunter2\n")
    assert reload_all()
    assert len(watched.find("LAB", "bob")) == 1
    path.write_text("LAB:alice\n")
    assert not reload_all()
    assert ": line 1: fewer than three fields" in caplog.text
    assert len(watched.find("LAB", "bob")) == 1
    assert len(read_once) == 2  # reloaded because it was told so, not because time passed


def test_certificate_and_key_change_together(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    old, new = generate_certificate("p256"), generate_certificate("p256")
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    chain.write_bytes(old.chain)
    key.write_bytes(old.private_key.reveal())
    watched = watch_certificate(chain, key)
    chain.write_bytes(new.chain)
    assert not watched.reload()
    assert "belong together" in caplog.text
    assert load_certificate(watched).chain == old.chain
    key.write_bytes(new.private_key.reveal())
    assert watched.reload()
    assert load_certificate(watched).chain == new.chain
    assert load_certificate(watched).private_key == new.private_key


def test_a_certificate_that_cannot_be_watched_is_named(tmp_path: Path) -> None:
    path = tmp_path / "chain.pem"
    with pytest.raises(LocalProtocolError, match="cannot be read: No such file"):
        watch_certificate(path)
    path.write_bytes(generate_certificate("p256").chain)
    with pytest.raises(LocalProtocolError, match="holds no private key"):
        watch_certificate(path)

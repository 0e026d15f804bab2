"""A Unix-domain socket takes the place of a dead one, and of nothing else."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest

from credssp.drivers.handshake import ConnectError
from credssp.drivers.unix_socket import listening_on


def test_it_has_its_mode_and_is_removed_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with listening_on(str(path), mode=0o620) as listener:
        assert stat.S_IMODE(path.stat().st_mode) == 0o620
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            listener.accept()[0].close()
    assert not path.exists()
    assert listener.fileno() == -1


def test_a_socket_of_a_killed_process_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    old = path.stat().st_ino, path.stat().st_mtime_ns
    with listening_on(str(path), mode=0o600):
        assert (path.stat().st_ino, path.stat().st_mtime_ns) != old
    assert not path.exists()


def test_a_socket_on_which_a_process_listens_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with listening_on(str(path), mode=0o600), socket.socket(socket.AF_UNIX) as client:
        with pytest.raises(ConnectError, match="Address already in use"), listening_on(str(path), mode=0o600):
            pass
        client.connect(str(path))


def test_so_is_one_whose_queue_is_full(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as client:
        busy.bind(str(path))
        busy.listen(0)
        client.connect(str(path))
        with pytest.raises(ConnectError, match="Address already in use"), listening_on(str(path), mode=0o600):
            pass
        assert path.exists()


@pytest.mark.parametrize("kind", ["file", "link", "folder"])
def test_everything_else_is_left_alone(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "s"
    if kind == "file":
        path.write_text("mine")
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConnectError, match="a file that is not a socket"), listening_on(str(path), mode=0o600):
        pass
    assert path.is_symlink() or path.exists()


def test_the_socket_of_a_successor_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with listening_on(str(path), mode=0o600):
        path.rename(tmp_path / "moved")  # the number of its inode is not free for the next one
        with socket.socket(socket.AF_UNIX) as successor:
            successor.bind(str(path))
    assert path.exists()


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConnectError, match="none/s: No such file"), listening_on(str(tmp_path / "none/s"), mode=0o600):
        pass

"""The agent's socket: modes, what it replaces and what it leaves alone, and systemd's."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from credssp.errors import LocalProtocolError

if sys.platform == "win32":
    pytest.skip("the agent needs Unix-domain sockets", allow_module_level=True)

from credssp.lsa.socket import bind, from_systemd


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A short one: the path of a socket has 107 bytes."""
    made = tmp_path / "f"
    before = os.umask(0o027)
    yield made
    os.umask(before)


def answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(os.fspath(path)) == 0


def test_a_private_socket_in_a_private_folder(folder: Path) -> None:
    bound = bind(folder / "s")
    assert (mode(folder), mode(folder / "s")) == (0o700, 0o600)
    assert answers(folder / "s")
    bound.close()
    assert not (folder / "s").exists()


def test_a_socket_for_other_users_is_in_a_folder_that_they_can_enter_and_not_write(folder: Path) -> None:
    bound = bind(folder / "s", audience="others")
    assert (mode(folder), mode(folder / "s")) == (0o755, 0o666)
    bound.close()


@pytest.mark.parametrize(
    ("bits", "audience", "message"),
    [
        (0o755, "owner", "other users can enter the folder"),
        (0o770, "others", "other users can write to the folder"),
        (0o1777, "others", "other users can write to the folder"),
    ],
)
def test_a_folder_of_other_users_is_refused(folder: Path, bits: int, audience: str, message: str) -> None:
    folder.mkdir()
    folder.chmod(bits)
    with pytest.raises(LocalProtocolError, match=message):
        bind(folder / "s", audience=audience)  # type: ignore[arg-type]
    assert list(folder.iterdir()) == []


def test_a_folder_that_every_user_can_rename_is_refused(folder: Path) -> None:
    (folder / "inner").mkdir(parents=True, mode=0o700)
    folder.chmod(0o777)
    with pytest.raises(LocalProtocolError, match="every user can rename what is in"):
        bind(folder / "inner" / "s")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs another user")
def test_a_folder_that_belongs_to_another_user_is_refused(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    os.chown(folder, 1, 1)
    with pytest.raises(LocalProtocolError, match="belongs to another user"):
        bind(folder / "s")


def test_a_socket_that_a_killed_agent_left_is_replaced(folder: Path) -> None:
    left = bind(folder / "s")
    left.socket.close()
    assert not answers(folder / "s")
    bound = bind(folder / "s")
    assert answers(folder / "s")
    left.close()  # it is not this one's any more
    assert answers(folder / "s")
    bound.close()


def test_an_agent_that_runs_is_left_alone(folder: Path) -> None:
    bound = bind(folder / "s")
    with pytest.raises(LocalProtocolError, match="an agent listens on .* already"):
        bind(folder / "s")
    assert answers(folder / "s")
    bound.close()


def test_an_agent_with_a_full_queue_is_left_alone(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as busy:
        busy.bind(os.fspath(folder / "s"))
        busy.listen(0)
        waiting = [socket.socket(socket.AF_UNIX) for _ in range(3)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(os.fspath(folder / "s"))
        with pytest.raises(LocalProtocolError, match="an agent listens on .* already"):
            bind(folder / "s")
        for each in waiting:
            each.close()


@pytest.mark.parametrize("kind", ["file", "link", "folder"])
def test_what_is_not_a_socket_is_left_alone(folder: Path, kind: str, tmp_path: Path) -> None:
    folder.mkdir(mode=0o700)
    target = tmp_path / "precious"
    target.write_text("data")
    place = folder / "s"
    if kind == "file":
        place.write_text("data")
    elif kind == "link":
        place.symlink_to(target)
    else:
        place.mkdir()
    with pytest.raises(LocalProtocolError, match="is not a socket; it is left alone"):
        bind(place)
    assert place.exists()
    assert target.read_text() == "data"


def test_of_many_agents_that_start_at_once_one_listens(folder: Path) -> None:
    bind(folder / "s").socket.close()  # left by a killed one, so that all want to replace it
    program = (
        "import sys, pathlib\nfrom credssp.errors import LocalProtocolError\nfrom credssp.lsa.socket import bind\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "try: bound = bind(pathlib.Path(sys.argv[1]))\n"
        "except LocalProtocolError as error: print('no', error.message, flush=True)\n"
        "else: print('yes', flush=True)\n"
        "sys.stdin.readline()\n"
    )
    agents = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(folder / "s")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    try:
        for each in agents:
            assert each.stdout is not None
            assert each.stdout.readline() == "ready\n"
        for each in agents:
            assert each.stdin is not None
            each.stdin.write("\n")
            each.stdin.flush()
        said = [each.stdout.readline() for each in agents if each.stdout]
        assert sorted(line.split()[0] for line in said) == ["no", "no", "no", "yes"]
        assert all("listens on" in line for line in said if line.startswith("no"))
        assert answers(folder / "s")
    finally:
        for each in agents:
            each.communicate("\n", timeout=60)


def test_nobody_finds_the_name_before_somebody_listens(folder: Path) -> None:
    """Clients that try all the time get through or find no file, never a socket that refuses them."""
    seen: set[str] = set()
    stop = threading.Event()

    def knock() -> None:
        while not stop.is_set():
            with socket.socket(socket.AF_UNIX) as client:
                client.setblocking(False)  # the queues fill up
                try:
                    client.connect(os.fspath(folder / "s"))
                except OSError as error:
                    seen.add(type(error).__name__)

    folder.mkdir(mode=0o700)
    thread = threading.Thread(target=knock)
    thread.start()
    bound = []
    try:
        for _ in range(50):
            bound.append(bind(folder / "s"))
            bound[-1].path.unlink()
    finally:
        stop.set()
        thread.join()
        for each in bound:
            each.close()
    assert seen <= {"FileNotFoundError", "BlockingIOError"}


def test_a_path_that_is_too_long_is_named(tmp_path: Path) -> None:
    with pytest.raises(LocalProtocolError, match="at most 107 bytes"):
        bind(tmp_path / ("x" * 120))


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(LocalProtocolError, match="the folder .*a does not exist"):
        bind(tmp_path / "a" / "b" / "s")


ACTIVATED = """
import os, socket, sys
from credssp.errors import LocalProtocolError
from credssp.lsa.socket import from_systemd
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS=sys.argv[2], LISTEN_PID=sys.argv[3] or str(os.getpid()), LISTEN_FDNAMES="x")
try:
    bound = from_systemd()
except LocalProtocolError as error:
    print(error.message)
else:
    print(None if bound is None else (str(bound.path), bound.inode, os.get_inheritable(3)))
print(sorted(name for name in os.environ if name.startswith("LISTEN_")))
"""


def activated(passed: socket.socket, *, count: str = "1", pid: str = "") -> list[str]:
    os.set_inheritable(passed.fileno(), True)
    command = [sys.executable, "-c", ACTIVATED, str(passed.fileno()), count, pid]
    done = subprocess.run(command, pass_fds=[passed.fileno()], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.splitlines()


def test_the_socket_that_systemd_passes_is_used(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as passed:
        passed.bind(os.fspath(tmp_path / "s"))
        passed.listen()
        assert activated(passed) == [f"('{tmp_path / 's'}', None, False)", "[]"]
        assert activated(passed, pid="1") == ["None", "[]"]
        assert activated(passed, count="0") == ["None", "[]"]
        assert "systemd passed 2 sockets" in activated(passed, count="2")[0]


def test_a_socket_of_another_kind_is_refused(tmp_path: Path) -> None:
    with socket.socket() as passed:
        passed.bind(("127.0.0.1", 0))
        passed.listen()
        assert "of another kind" in activated(passed)[0]
    with socket.socket(socket.AF_UNIX) as passed:
        passed.bind(os.fspath(tmp_path / "s"))
        assert "of another kind" in activated(passed)[0]
    with (tmp_path / "file").open("w") as file:
        assert "is not a socket" in activated(file)[0]  # type: ignore[arg-type]


def test_without_systemd_there_is_none() -> None:
    assert from_systemd({}) is None

"""Samba's file server on a port of loopback, with files and accounts of its own; it needs neither root nor a domain."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.interop import x11
from tests.kdc import free_port
from tests.peers import require_program

__all__ = ["FileServer", "file_server"]

_CONFIGURATION = """\
[global]
workgroup = LAB
netbios name = SECOND
server role = standalone
interfaces = 127.0.0.1/8
bind interfaces only = yes
smb ports = {port}
disable netbios = yes
passdb backend = tdbsam:{folder}/private/passdb.tdb
username map = {folder}/users
private dir = {folder}/private
lock directory = {folder}/lock
state directory = {folder}/state
cache directory = {folder}/cache
pid directory = {folder}/pid
ncalrpc dir = {folder}/ncalrpc
map to guest = never
restrict anonymous = 2
load printers = no
disable spoolss = yes
[work]
path = {folder}/work
read only = yes
"""


@dataclass(frozen=True)
class FileServer:
    """A server that runs.

    Attributes:
        port: its TCP port on 127.0.0.1.
        work: the folder that is shared as ``work``.
    """

    port: int
    work: Path


@contextmanager
def file_server(folder: Path, user: str, password: str) -> Iterator[FileServer]:
    """Run a server that one user may log on to, of whatever domain."""
    for name, mode in (("private", 0o700), ("ncalrpc", 0o755), ("work", 0o755)):
        (folder / name).mkdir(mode=mode)
    for name in ("lock", "state", "cache", "pid"):
        (folder / name).mkdir()
    port = free_port()
    configuration = folder / "smb.conf"
    configuration.write_text(_CONFIGURATION.format(port=port, folder=folder))
    account = getpass.getuser()  # of this machine, and a server that is not root can be its own user alone
    (folder / "users").write_text(f"{account} = {user}\n")
    added = x11.run(
        [require_program("pdbedit"), f"--configfile={configuration}", "-a", "-t", "-u", account],
        environment={},
        text=f"{password}\n{password}\n",
    )
    assert added.code == 0, added.output
    # In a process group of its own, to all of which it sends SIGTERM when it ends.
    command = [require_program("smbd"), "-F", f"--configfile={configuration}", "--debug-stdout"]
    with x11.running(command, environment={}) as log:
        x11.wait_for_port(port, log, seconds=30)
        yield FileServer(port, folder / "work")

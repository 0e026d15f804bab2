"""xrdp with its session manager and a user of its own, in namespaces that nothing else sees.

The network has nothing but a loopback, so that the fixed port of sesman is free. A user with a password is in files
that are mounted over /etc/passwd and its kin. The first process reads from a pipe that this process holds: when the
pipe is closed, the kernel ends all of them.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from credssp.tls.certificate import ServerCertificate, generate_certificate
from tests.peers import missing, require_program

__all__ = ["PASSWORD", "USER", "Xrdp", "xrdp"]

USER, PASSWORD = "deskuser", "Desk-Pa55"

_XRDP = """\
[Globals]
ini_version=1
port={port}
security_layer={layer}
crypt_level=none
allow_channels=true
certificate={folder}/cert.pem
key_file={folder}/key.pem
ssl_protocols=TLSv1.2, TLSv1.3
autorun=Xvnc
[Logging]
LogFile={folder}/xrdp.log
LogLevel=INFO
EnableSyslog=false
[Channels]
[Xvnc]
name=Xvnc
lib=libvnc.so
username=ask
password=ask
ip=127.0.0.1
port=-1
"""
_SESMAN = """\
[Globals]
ListenAddress=127.0.0.1
ListenPort=3350
EnableUserWindowManager=false
DefaultWindowManager=/bin/true
[Security]
AllowRootLogin=false
MaxLoginRetry=4
[Sessions]
X11DisplayOffset=70
MaxSessions=10
Policy=Default
[Logging]
LogFile={folder}/sesman.log
LogLevel=INFO
EnableSyslog=false
[Xvnc]
param=Xvnc
param=-bs
param=-nolisten
param=tcp
param=-localhost
"""
_SCRIPT = """
set -e
ip link set lo up
for name in passwd group shadow; do mount --bind "$1/$name" "/etc/$name"; done
mkdir -p /run/xrdp
mount -t tmpfs -o mode=1777 tmpfs /run/xrdp
mkdir -p /tmp/.X11-unix
mount -t tmpfs -o mode=1777 tmpfs /tmp/.X11-unix
mkdir -p /run/xrdp/sockdir
chmod 1777 /run/xrdp/sockdir
xrdp-sesman --nodaemon --config "$1/sesman.ini" >"$1/sesman.out" 2>&1 &
xrdp --nodaemon --config "$1/xrdp.ini" >"$1/xrdp.out" 2>&1 &
echo ready
exec cat
"""


@dataclass(frozen=True)
class Xrdp:
    """A running xrdp.

    Attributes:
        folder: with its logs and the Unix socket.
        certificate: its certificate.
        prefix: what runs a command in its network.
        address: of it, for a gateway.
    """

    folder: Path
    certificate: ServerCertificate
    prefix: list[str]
    address: str

    def sessions(self) -> int:
        """How often the user was logged on, by sesman's log."""
        log = self.folder / "sesman.log"
        text = log.read_text(errors="replace") if log.exists() else ""
        return text.count(f"for user {USER}") + text.count(f"reconnected session: username {USER}")

    def wait_for_session(self, before: int) -> bool:
        """Wait until the user was logged on once more."""
        end = time.monotonic() + 20
        while time.monotonic() < end:
            if self.sessions() > before:
                return True
            time.sleep(0.05)
        return False


@contextmanager
def xrdp(folder: Path, *, layer: str = "tls", unix: bool = False) -> Iterator[Xrdp]:
    """Run xrdp.

    Args:
        folder: where everything goes.
        layer: security_layer: ``tls``, or ``rdp`` for nothing around the stream.
        unix: whether it listens on a Unix-domain socket.
    """
    for program in ("xrdp", "xrdp-sesman", "Xvnc", "unshare", "nsenter", "ip"):
        require_program(program)
    if os.geteuid():
        missing("xrdp logs users on as root only")
    _write_users(folder)
    certificate = generate_certificate(common_name="xrdp.lab.test")
    (folder / "cert.pem").write_bytes(certificate.chain)
    (folder / "key.pem").write_bytes(certificate.private_key.reveal())
    socket_path = folder / "xrdp.sock"
    port = f"unix://.{socket_path}" if unix else "tcp://127.0.0.1:3390"
    (folder / "xrdp.ini").write_text(_XRDP.format(port=port, layer=layer, folder=folder))
    (folder / "sesman.ini").write_text(_SESMAN.format(folder=folder))
    folder.chmod(0o755)
    world = subprocess.Popen(
        ["unshare", "-n", "-m", "-p", "-f", "--kill-child", "--mount-proc", "sh", "-c", _SCRIPT, "sh", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert world.stdin is not None
    assert world.stdout is not None
    try:
        if world.stdout.readline() != b"ready\n":
            raise RuntimeError("the namespaces of xrdp could not be made")
        children = Path(f"/proc/{world.pid}/task/{world.pid}/children").read_text().split()
        prefix = ["nsenter", "-t", children[0], "-n", "--"]
        _wait(folder, prefix, socket_path if unix else None)
        yield Xrdp(folder, certificate, prefix, f"unix:{socket_path}" if unix else "127.0.0.1:3390")
    finally:
        world.stdin.close()
        world.wait(10)
        world.stdout.close()


def _write_users(folder: Path) -> None:
    hashed = subprocess.run(
        [require_program("openssl"), "passwd", "-6", "-stdin"],
        input=PASSWORD,
        text=True,
        capture_output=True,
        check=True,
    ).stdout.strip()
    home = folder / "home"
    home.mkdir()
    os.chown(home, 54321, 54321)
    lines = {
        "passwd": f"{USER}:x:54321:54321::{home}:/bin/sh",
        "group": f"{USER}:x:54321:",
        "shadow": f"{USER}:{hashed}:20000:0:99999:7:::",
    }
    for name, line in lines.items():
        (folder / name).write_text(Path("/etc", name).read_text().rstrip("\n") + f"\n{line}\n")
    (folder / "shadow").chmod(0o600)


def _wait(folder: Path, prefix: list[str], unix: Path | None) -> None:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if unix is not None:
            with socket.socket(socket.AF_UNIX) as probe:
                if unix.exists() and probe.connect_ex(str(unix)) == 0:
                    return
        elif (
            subprocess.run([*prefix, "bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/3390"], capture_output=True).returncode
            == 0
        ):
            return
        time.sleep(0.1)
    out = (folder / "xrdp.out").read_text(errors="replace")
    raise RuntimeError(f"xrdp did not start: {out}")

"""An Active Directory domain of Samba's own programs with a joined member: `credssp.testing.domain`."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, ParamSpec, Protocol, TypeVar

from credssp.testing.domain import settings
from credssp.testing.domain.certificates import Authority
from credssp.testing.domain.namespaces import copy, descendants, enter, frozen, network_of, processes_of

__all__ = ["Domain", "obstacle"]

_P = ParamSpec("_P")
_T = TypeVar("_T")


class _Server(Protocol):
    def start(self) -> object: ...

    def stop(self) -> None: ...


_S = TypeVar("_S", bound=_Server)

_PROGRAMS = ("samba", "samba-tool", "net", "winbindd", "wbinfo", "ldbsearch", "unshare", "nsenter", "ip")
_PACKAGES = "Debian: samba-ad-dc, samba-ad-provision, samba-dsdb-modules, winbind, ldb-tools, python3-samba"
_PLACES = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


def obstacle() -> str:
    """Return why there can be no domain on this machine; empty where there can be one."""
    for program in _PROGRAMS:
        if shutil.which(program, path=_PLACES) is None:
            return (
                f"the program {program} is not installed (Debian: samba-ad-dc, samba-ad-provision, winbind, ldb-tools)"
            )
    if os.geteuid():
        return "a domain controller needs root"
    tried = _attempt("unshare", "-n", "-m", "-p", "-u", "-f", "true")
    if tried.returncode:
        return f"this process may not make namespaces: {tried.stderr.strip()}"
    tried = _attempt(settings.DEBIANS_PYTHON, "-c", "import samba.samdb")
    if tried.returncode:
        return f"python3-samba is not installed ({_PACKAGES})"
    return ""


def _attempt(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


class Domain:
    """A domain.

    Args:
        folder: where everything goes; must be there.
        cache: a folder that keeps the controller's data as they are before its first start, for a day.

    Attributes:
        join_keytab: the keys of the member as a join makes them: host/, RestrictedKrbHost/ and settings.MEMBER$.
        keytab: the same with TERMSRV/.
        authority: who issues the certificates that the domain takes; it has issued one to alice.
        environment: what commands on the member need.
        seconds: how long each step of the start took.
    """

    def __init__(self, folder: Path, *, cache: Path | None = None) -> None:
        self.folder = folder
        self._cache = cache
        self.join_keytab = folder / "join.keytab"
        self.keytab = folder / "member.keytab"
        self.krb5_conf = folder / "krb5.conf"
        self.environment = {
            "KRB5_CONFIG": str(self.krb5_conf),
            "KRB5CCNAME": f"FILE:{folder / 'nobody.ccache'}",
            "KRB5_KTNAME": f"FILE:{folder / 'nobody.keytab'}",
            "KRB5_CLIENT_KTNAME": f"FILE:{folder / 'nobody.keytab'}",
            "KRB5RCACHENAME": f"file2:{folder / 'replays'}",
            "TDB_NO_FSYNC": "1",
        }
        self.seconds: dict[str, float] = {}
        (folder / "pki").mkdir()
        self.authority = Authority(folder / "pki")
        self._kdc_conf = folder / "kdc.conf"
        self._dc = folder / "dc"
        self._member = folder / "member"
        self._smb_conf = self._member / "smb.conf"
        self._started: list[subprocess.Popen[bytes]] = []
        self._world: subprocess.Popen[bytes] | None = None
        self._first = 0
        self._groups = 0

    def __enter__(self) -> Domain:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # On the member

    @property
    def prefix(self) -> list[str]:
        """What makes a command run on the member when it is put in front of it; the process is the command's own."""
        pid = str(self._first)
        return ["nsenter", "-t", pid, "-n", "-m", "-u", f"--wd={Path.cwd()}", "--"]

    def run(self, command: Sequence[str], *, check: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command on the member; options as for `subprocess.run`."""
        options["env"] = os.environ | self.environment | options.get("env", {})
        done = subprocess.run(
            [*self.prefix, *command], check=False, text=True, capture_output=True, **{"timeout": 120, **options}
        )
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done

    def popen(self, command: Sequence[str], **options: Any) -> subprocess.Popen[str]:
        """Start a command on the member; options as for `subprocess.Popen`."""
        options["env"] = os.environ | self.environment | options.get("env", {})
        return subprocess.Popen([*self.prefix, *command], **{"text": True, **options})

    def call(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Call a function of this process in a thread that is on the member, and return what it returns.

        The environment is the process's: a test sets `environment` with monkeypatch first.
        """
        outcome: list[_T] = []
        problem: list[BaseException] = []

        def run() -> None:
            try:
                enter(self._first)
                outcome.append(function(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001 - raised below
                problem.append(error)

        thread = threading.Thread(target=run, name="member")
        thread.start()
        thread.join()
        if problem:
            raise problem[0]
        return outcome[0]

    @contextlib.contextmanager
    def serving(self, server: _S) -> Iterator[_S]:
        """Run a test server on the member while the block runs: an `RDPServer`, a `WinRMServer`, a `DoubleHop`."""
        self.call(server.start)
        try:
            yield server
        finally:
            server.stop()

    def kinit(self, principal: str, text: str, *options: str, name: str = "") -> str:
        """Get a ticket-granting ticket; returns the cache as ``FILE:path``."""
        cache = f"FILE:{self.folder / (name or principal.replace('/', '_') + '.ccache')}"
        self.run(["kinit", *options, "-c", cache, principal], input=f"{text}\n")
        return cache

    # What the domain controller has

    def attribute(self, user: str, name: str) -> str:
        """Return an attribute of a user, by sAMAccountName, as text; empty where there is none."""
        database = str(self._dc / "private/sam.ldb")
        done = subprocess.run(
            ["ldbsearch", "-H", database, "--show-binary", f"(sAMAccountName={user})", name],
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
        values = [line.partition(": ")[2] for line in done.stdout.splitlines() if line.startswith(f"{name}: ")]
        return "\n".join(values)

    def add_groups(self, user: str, count: int) -> None:
        """Put a user into so many groups more."""
        self._populate("groups", user, str(self._groups), str(count))
        self._groups += count

    def frozen_controller(self) -> contextlib.AbstractContextManager[None]:
        """Stop all processes of the domain controller (SIGSTOP), and let them go on at the end."""
        return frozen(self._started[0].pid)

    def frozen_winbindd(self) -> contextlib.AbstractContextManager[None]:
        """Stop all processes of the member's winbindd (SIGSTOP), and let them go on at the end."""
        return frozen(self._started[-1].pid)

    # Start and stop

    def _start(self) -> None:
        self._member.mkdir()
        for name, text in (
            ("hosts", settings.HOSTS),
            ("resolv.conf", settings.RESOLV_CONF),
            ("krb5.conf", settings.KRB5_CONF),
        ):
            (self.folder / name).write_text(text)
        self.authority.kdc(settings.REALM, "dc1.lab.test")
        self.authority.user("alice", settings.REALM, upn="alice@lab.test")
        pkinit = {"anchors": self.authority.anchors, "identity": self.authority.identity("kdc")}
        self._kdc_conf.write_text(settings.KRB5_CONF + settings.KDC_CONF.format(**pkinit))
        with self._step("world"):
            self._make_world()
        with self._step("data"):
            self._make_data()
        with self._step("controller"):
            self._daemon("samba", "samba", "-i", "-M", "single", "-s", str(self._dc / "etc/smb.conf"), own_run=True)
            self._wait("samba", self._controller_answers)
        with self._step("join"):
            self._join()
        with self._step("winbindd"):
            self.start_winbindd()

    @contextlib.contextmanager
    def _step(self, name: str) -> Iterator[None]:
        begin = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - begin

    def _make_world(self) -> None:
        """Make the namespaces. Their first process is ``cat``, which ends at the end of its input."""
        script = """
            set -e
            ip link set lo up
            hostname member
            mkdir -p /run/samba
            mount -t tmpfs -o mode=755 tmpfs /run/samba
            mount --bind "$1/hosts" /etc/hosts
            mount --bind "$1/resolv.conf" /etc/resolv.conf
            echo ready
            exec cat
        """
        self._world = subprocess.Popen(
            ["unshare", "-n", "-m", "-p", "-u", "-f", "--kill-child", "sh", "-c", script, "sh", str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        if self._world.stdout is None or self._world.stdout.readline() != b"ready\n":
            raise RuntimeError("the namespaces of the domain could not be made")
        children = Path(f"/proc/{self._world.pid}/task/{self._world.pid}/children")
        self._first = int(children.read_text().split()[0])

    def _make_data(self) -> None:
        """Make the controller's data: eight of ten seconds, so those of today are taken again where there are any."""
        sources = b"".join(path.read_bytes() for path in (Path(__file__), Path(settings.__file__), settings.POPULATE))
        version = self.run(["samba", "--version"]).stdout
        kept = self._cache and self._cache / hashlib.sha256(sources + version.encode()).hexdigest()[:16]
        if kept and kept.exists() and time.time() - kept.stat().st_mtime < settings.KEEP:
            copy(kept, self._dc)
        else:
            self._provision()
            self._populate("users")
            if kept:
                mine = kept.with_suffix(f".{os.getpid()}")
                copy(self._dc, mine)
                shutil.rmtree(kept, ignore_errors=True)
                with contextlib.suppress(OSError):  # another worker was faster
                    mine.rename(kept)
        # Paths in there are those of the folder that it was made for.
        for path in (self._dc / "etc/smb.conf", self._dc / "private/krb5.conf"):
            text = path.read_text()
            path.write_text(re.sub(r"(?m)(?<== )/.*(?=/dc(/|$))", str(self.folder), text))

    def _provision(self) -> None:
        empty = self.folder / "empty.conf"
        empty.write_text("")
        self.run(
            [
                *("samba-tool", "domain", "provision", "-s", str(empty), f"--targetdir={self._dc}"),
                *(
                    f"--realm={settings.REALM}",
                    f"--domain={settings.DOMAIN}",
                    "--server-role=dc",
                    "--dns-backend=SAMBA_INTERNAL",
                ),
                *(f"--adminpass={settings.ADMINISTRATOR}", "--host-name=dc1", f"--host-ip={settings.DC}"),
                *(
                    f"--option=interfaces={settings.DC}/8",
                    "--option=bind interfaces only=yes",
                    "--option=dns forwarder=",
                ),
                f"--option=log file={self._dc}/log.%m",
                "--option=server services=rpc, nbt, wrepl, ldap, cldap, kdc, drepl, winbindd, dns, s3fs",
            ]
        )

    def _populate(self, *arguments: str) -> None:
        command = [settings.DEBIANS_PYTHON, str(settings.POPULATE), str(self._dc), *arguments]
        self.run(command, env={"PYTHONPATH": "", "PYTHONDONTWRITEBYTECODE": "1"})

    def _join(self) -> None:
        for name in ("lock", "state", "cache", "private"):
            (self._member / name).mkdir()
        version = self.run(["samba", "--version"]).stdout.split()[1]
        newer = tuple(int(part) for part in version.split(".")[:2]) >= (4, 21)
        keytab = (settings.KEYTAB_4_21 if newer else settings.KEYTAB).format(path=self.keytab)
        self._smb_conf.write_text(settings.SMB_CONF.format(folder=self._member, keytab=keytab))
        net = ["net", "ads", f"--configfile={self._smb_conf}"]
        self.run([*net, "join", "-U", f"Administrator%{settings.ADMINISTRATOR}", "--no-dns-updates"])
        self.run([*net, "keytab", "create", "-P"])
        shutil.copyfile(self.keytab, self.join_keytab)
        if newer:
            for host in (settings.MEMBER, "MEMBER"):
                self.run([*net, "setspn", "add", f"TERMSRV/{host}", "-P"])
            self.run([*net, "keytab", "create", "-P"])
        else:
            self.run([*net, "keytab", "add_update_ads", "TERMSRV", "-P"])

    def stop_winbindd(self) -> None:
        """End the member's winbindd; `start_winbindd` starts another."""
        process = self._started.pop()
        for pid in list(descendants(process.pid)):
            with contextlib.suppress(ProcessLookupError):  # it ended with its parent
                os.kill(pid, signal.SIGKILL)
        process.send_signal(signal.SIGCONT)
        process.wait(20)

    def start_winbindd(self) -> None:
        """Start the member's winbindd, and wait until it talks to the domain controller."""
        command = ["winbindd", "-F", "--no-process-group", f"--configfile={self._smb_conf}", "-d1", "--debug-stdout"]
        self._daemon("winbindd", *command)
        self._wait("winbindd", lambda: self.run(["wbinfo", "-t"], check=False).returncode == 0)

    def _daemon(self, name: str, *command: str, own_run: bool = False) -> None:
        """Start a daemon in the namespaces; it ends with them."""
        wrapped = [*command]
        if own_run:  # two Sambas on one host would meet in /run/samba
            script = 'mount -t tmpfs -o mode=755 tmpfs /run/samba && exec "$@"'
            wrapped = ["unshare", "-m", "sh", "-c", script, "sh", *command]
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                ["nsenter", "-t", str(self._first), "-n", "-m", "-u", "-p", "--", *wrapped],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | self.environment | ({"KRB5_CONFIG": str(self._kdc_conf)} if own_run else {}),
            )
        self._started.append(process)

    def _wait(self, name: str, is_there: Callable[[], bool]) -> None:
        deadline = time.monotonic() + settings.START
        while not is_there():
            if time.monotonic() > deadline or self._started[-1].poll() is not None:
                log = (self.folder / f"{name}.log").read_text(errors="replace")
                raise RuntimeError(f"{name} did not start: {log[-2000:]}")
            time.sleep(0.05)

    def _controller_answers(self) -> bool:
        def connect() -> bool:
            try:
                for port in settings.PORTS:
                    socket.create_connection((settings.DC, port), timeout=30).close()
            except OSError:
                return False
            return True

        return self.call(connect)

    def stop(self) -> None:
        """End everything: what was started here, and what a test left in the namespaces."""
        if self._world is None:
            return
        network = network_of(self._first) if self._first else None
        if self._world.stdin is not None:
            self._world.stdin.close()
        try:
            self._world.wait(10)
        except subprocess.TimeoutExpired:
            self._world.kill()
            self._world.wait(10)
        if self._world.stdout is not None:
            self._world.stdout.close()
        self._world = None
        for process in self._started:
            process.send_signal(signal.SIGCONT)
            process.wait(10)
        if network:
            for pid in processes_of(network):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

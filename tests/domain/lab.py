"""An Active Directory domain of Samba's own programs with a joined member, made from nothing in some ten seconds.

Everything lives in namespaces of its own: a network with nothing but a loopback, process ids, mounts, a host name. What
the machine's own Samba and Kerberos have is neither read nor written. The first process in there reads from a pipe
that this process holds: when the pipe is closed, and be it because this process was killed, the kernel ends them all.

    with Domain(folder) as domain:
        domain.run(["wbinfo", "-t"])                  # on the member: its network, winbindd and host name
        with domain.popen([sys.executable, "-m", "credssp", "serve", ...]) as server: ...
        domain.call(connect, "member.lab.test", port) # a function of this process, in a thread on the member
        domain.attribute("alice", "badPwdCount")      # what the domain controller has about a user

| user | password | what there is about it |
|---|---|---|
| alice | `password("alice")` | in RDP Users |
| bob | ... | in Nested, which is in RDP Users |
| Ümläut | ... | in RDP Users |
| carol | ... | its UPN is carol.jones@corp.example, a suffix that is not a realm |
| protected | ... | in Protected Users: no NTLM |
| rc4only | ... | has RC4 keys only |
| many | ... | for `add_groups` |
| locked, disabled, mustchange, nohours, acctexpired | ... | may not log on |
| wsonly | ... | may log on from the workstation OTHERPC alone |
| root$ | ... | a machine account, for which a KDC gives tickets to `root` |

Three wrong passwords lock an account. Use `wrong` and `victim` for tests of wrong passwords, each for one test.
"""

from __future__ import annotations

import contextlib
import ctypes
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
from typing import Any, ParamSpec, TypeVar

from tests.peers import missing, require_program
from tests.pki import Authority

__all__ = [
    "ADMINISTRATOR",
    "DC",
    "DOMAIN",
    "MEMBER",
    "MEMBER_ADDRESS",
    "REALM",
    "Domain",
    "network_of",
    "password",
    "processes_of",
    "require_domain",
]

REALM = "LAB.TEST"
DOMAIN = "LAB"
DC = "127.0.0.53"
MEMBER = "member.lab.test"
MEMBER_ADDRESS = "127.0.0.10"
ADMINISTRATOR = "Admin-Passw0rd!"

_POPULATE = Path(__file__).with_name("populate.py")
_DEBIANS_PYTHON = "/usr/bin/python3"  # python3-samba is a package of Debian, and its modules are compiled for this one
_START = 60.0
_KEEP = 24 * 3600
_PORTS = (53, 88, 135, 389, 445, 464)

_HOSTS = f"""\
127.0.0.1 localhost
{DC} dc1.lab.test dc1
{MEMBER_ADDRESS} {MEMBER} member
"""
_RESOLV_CONF = f"search lab.test\nnameserver {DC}\n"
_KRB5_CONF = f"""\
[libdefaults]
    default_realm = {REALM}
    dns_lookup_kdc = false
    dns_lookup_realm = false
    rdns = false
    dns_canonicalize_hostname = false
    udp_preference_limit = 1
    forwardable = true
[realms]
    {REALM} = {{
        kdc = {DC}
        kpasswd_server = {DC}
    }}
[domain_realm]
    .lab.test = {REALM}
    lab.test = {REALM}
"""
_KDC_CONF = """\
[appdefaults]
    pkinit_anchors = {anchors}
[kdc]
    enable-pkinit = yes
    pkinit_identity = {identity}
    pkinit_anchors = {anchors}
    pkinit_win2k_require_binding = yes
"""
_SMB_CONF = f"""\
[global]
    netbios name = MEMBER
    workgroup = {DOMAIN}
    realm = {REALM}
    security = ads
    server role = member server
    interfaces = {MEMBER_ADDRESS}/8
    bind interfaces only = yes
    lock directory = {{folder}}/lock
    state directory = {{folder}}/state
    cache directory = {{folder}}/cache
    private dir = {{folder}}/private
    log file = {{folder}}/log.%m
    {{keytab}}
    idmap config * : backend = autorid
    idmap config * : range = 100000-9999999
    winbind request timeout = 15
"""
# Samba 4.21 and later write keytabs by a list of what goes into them, and have no add_update_ads.
_KEYTAB = "kerberos method = dedicated keytab\n    dedicated keytab file = {path}"
_KEYTAB_4_21 = "sync machine password to keytab = {path}:sync_spns:sync_kvno:machine_password"

_P = ParamSpec("_P")
_T = TypeVar("_T")


def password(user: str) -> str:
    """Return the password of a user of the domain."""
    return f"{user.capitalize()}-Passw0rd!"


def require_domain() -> None:
    """Skip where there can be no domain, or fail where there must be one."""
    for program in ("samba", "samba-tool", "net", "winbindd", "wbinfo", "ldbsearch", "unshare", "nsenter", "ip"):
        require_program(program)
    if os.geteuid():
        missing("a domain controller needs root")
    tried = subprocess.run(["unshare", "-n", "-m", "-p", "-u", "-f", "true"], capture_output=True, text=True)
    if tried.returncode:
        missing(f"there are no namespaces to be had here: {tried.stderr.strip()}")
    tried = subprocess.run([_DEBIANS_PYTHON, "-c", "import samba.samdb"], capture_output=True, text=True)
    if tried.returncode:
        missing("python3-samba is not installed (.ci/run lists the packages)")


class Domain:
    """A domain.

    Args:
        folder: where everything goes; must be there.
        cache: a folder that keeps the controller's data as they are before its first start, for a day.

    Attributes:
        join_keytab: the keys of the member as a join makes them: host/, RestrictedKrbHost/ and MEMBER$.
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
                _enter(self._first)
                outcome.append(function(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001 - raised below
                problem.append(error)

        thread = threading.Thread(target=run, name="member")
        thread.start()
        thread.join()
        if problem:
            raise problem[0]
        return outcome[0]

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
        return _frozen(self._started[0].pid)

    def frozen_winbindd(self) -> contextlib.AbstractContextManager[None]:
        """Stop all processes of the member's winbindd (SIGSTOP), and let them go on at the end."""
        return _frozen(self._started[-1].pid)

    # Start and stop

    def _start(self) -> None:
        self._member.mkdir()
        for name, text in (("hosts", _HOSTS), ("resolv.conf", _RESOLV_CONF), ("krb5.conf", _KRB5_CONF)):
            (self.folder / name).write_text(text)
        self.authority.kdc(REALM, "dc1.lab.test")
        self.authority.user("alice", REALM, upn="alice@lab.test")
        settings = {"anchors": self.authority.anchors, "identity": self.authority.identity("kdc")}
        self._kdc_conf.write_text(_KRB5_CONF + _KDC_CONF.format(**settings))
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
        assert self._world.stdout is not None
        if self._world.stdout.readline() != b"ready\n":
            raise RuntimeError("the namespaces of the domain could not be made")
        children = Path(f"/proc/{self._world.pid}/task/{self._world.pid}/children")
        self._first = int(children.read_text().split()[0])

    def _make_data(self) -> None:
        """Make the controller's data: eight of ten seconds, so those of today are taken again where there are any."""
        sources = b"".join(path.read_bytes() for path in (Path(__file__), _POPULATE))
        version = self.run(["samba", "--version"]).stdout
        kept = self._cache and self._cache / hashlib.sha256(sources + version.encode()).hexdigest()[:16]
        if kept and kept.exists() and time.time() - kept.stat().st_mtime < _KEEP:
            _copy(kept, self._dc)
        else:
            self._provision()
            self._populate("users")
            if kept:
                mine = kept.with_suffix(f".{os.getpid()}")
                _copy(self._dc, mine)
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
                *(f"--realm={REALM}", f"--domain={DOMAIN}", "--server-role=dc", "--dns-backend=SAMBA_INTERNAL"),
                *(f"--adminpass={ADMINISTRATOR}", "--host-name=dc1", f"--host-ip={DC}"),
                *(f"--option=interfaces={DC}/8", "--option=bind interfaces only=yes", "--option=dns forwarder="),
                f"--option=log file={self._dc}/log.%m",
                "--option=server services=rpc, nbt, wrepl, ldap, cldap, kdc, drepl, winbindd, dns, s3fs",
            ]
        )

    def _populate(self, *arguments: str) -> None:
        command = [_DEBIANS_PYTHON, str(_POPULATE), str(self._dc), *arguments]
        self.run(command, env={"PYTHONPATH": "", "PYTHONDONTWRITEBYTECODE": "1"})

    def _join(self) -> None:
        for name in ("lock", "state", "cache", "private"):
            (self._member / name).mkdir()
        version = self.run(["samba", "--version"]).stdout.split()[1]
        newer = tuple(int(part) for part in version.split(".")[:2]) >= (4, 21)
        keytab = (_KEYTAB_4_21 if newer else _KEYTAB).format(path=self.keytab)
        self._smb_conf.write_text(_SMB_CONF.format(folder=self._member, keytab=keytab))
        net = ["net", "ads", f"--configfile={self._smb_conf}"]
        self.run([*net, "join", "-U", f"Administrator%{ADMINISTRATOR}", "--no-dns-updates"])
        self.run([*net, "keytab", "create", "-P"])
        shutil.copyfile(self.keytab, self.join_keytab)
        if newer:
            for host in (MEMBER, "MEMBER"):
                self.run([*net, "setspn", "add", f"TERMSRV/{host}", "-P"])
            self.run([*net, "keytab", "create", "-P"])
        else:
            self.run([*net, "keytab", "add_update_ads", "TERMSRV", "-P"])

    def stop_winbindd(self) -> None:
        """End the member's winbindd; `start_winbindd` starts another."""
        process = self._started.pop()
        for pid in list(_descendants(process.pid)):
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
        deadline = time.monotonic() + _START
        while not is_there():
            if time.monotonic() > deadline or self._started[-1].poll() is not None:
                log = (self.folder / f"{name}.log").read_text(errors="replace")
                raise RuntimeError(f"{name} did not start: {log[-2000:]}")
            time.sleep(0.05)

    def _controller_answers(self) -> bool:
        def connect() -> bool:
            try:
                for port in _PORTS:
                    socket.create_connection((DC, port), timeout=30).close()
            except OSError:
                return False
            return True

        return self.call(connect)

    def stop(self) -> None:
        """End everything: what was started here, and what a test left in the namespaces."""
        if self._world is None:
            return
        network = network_of(self._first) if self._first else None
        assert self._world.stdin is not None
        assert self._world.stdout is not None
        self._world.stdin.close()
        try:
            self._world.wait(10)
        except subprocess.TimeoutExpired:
            self._world.kill()
            self._world.wait(10)
        self._world.stdout.close()
        self._world = None
        for process in self._started:
            process.send_signal(signal.SIGCONT)
            process.wait(10)
        if network:
            for pid in processes_of(network):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def _frozen(pid: int) -> Iterator[None]:
    """Stop a process and all its descendants."""
    stopped = list(_descendants(pid))
    for each in stopped:
        os.kill(each, signal.SIGSTOP)
    try:
        yield
    finally:
        for each in (*stopped, pid):  # nsenter stops itself when its child is stopped
            os.kill(each, signal.SIGCONT)


def _descendants(pid: int) -> Iterator[int]:
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        yield int(child)
        yield from _descendants(int(child))


def _copy(source: Path, target: Path) -> None:
    """Copy a folder with all its owners, modes and extended attributes."""
    subprocess.run(["cp", "-a", "--reflink=auto", "--sparse=always", str(source), str(target)], check=True)


def network_of(pid: int) -> Path:
    """Return the network namespace of a process."""
    return Path(f"/proc/{pid}/ns/net").readlink()


def processes_of(network: Path) -> Iterator[int]:
    """Return the processes in a network namespace, as ``ip netns pids`` does for those that have a name."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it ended meanwhile
                if network_of(int(entry.name)) == network:
                    yield int(entry.name)


_libc = ctypes.CDLL(None, use_errno=True)
_CLONE_FS = 0x200


def _enter(pid: int) -> None:
    """Move this thread to the network and the mounts of a process."""
    if _libc.unshare(_CLONE_FS):  # the folder of the process is not ours to move
        raise OSError(ctypes.get_errno(), "unshare")
    here = Path.cwd()
    for kind in ("net", "mnt"):
        with Path(f"/proc/{pid}/ns/{kind}").open("rb") as namespace:
            if _libc.setns(namespace.fileno(), 0):
                raise OSError(ctypes.get_errno(), f"setns {kind}")
    os.chdir(here)

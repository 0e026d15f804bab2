"""A Kerberos realm of MIT's own programs: made from nothing in a folder, on loopback, without root, in about a second.

Nothing of the machine's Kerberos is read or written: every file is in the folder, and `Realm.environment` says so to
libkrb5. No name is looked up in DNS. The KDC is a child process, stopped by its pid.

    with Realm(folder) as realm:
        realm.add("alice", password="secret")
        keytab = realm.keytab("server.keytab", "TERMSRV/localhost")
        ccache = realm.kinit("alice", "secret")
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from tests.peers import require_program

__all__ = ["REALM", "Realm", "SilentKDC", "free_port"]

REALM = "EXAMPLE.TEST"

_KRB5_CONF = """\
[libdefaults]
    default_realm = {realm}
    dns_lookup_kdc = false
    dns_lookup_realm = false
    rdns = false
    dns_canonicalize_hostname = false
    udp_preference_limit = 1
    forwardable = true
    kdc_timesync = {timesync}
    qualify_shortname = ""
[realms]
    {realm} = {{
        kdc = 127.0.0.1:{port}
    }}
[domain_realm]
    localhost = {realm}
    .example.test = {realm}
"""
_KDC_CONF = """\
[kdcdefaults]
    kdc_listen = 127.0.0.1:{port}
    kdc_tcp_listen = 127.0.0.1:{port}
[realms]
    {realm} = {{
        database_name = {folder}/principal
        key_stash_file = {folder}/stash
        acl_file = {folder}/acl
        {pkinit}
        max_life = 10h
        max_renewable_life = 1d
        supported_enctypes = aes256-cts-hmac-sha1-96:normal aes128-cts-hmac-sha1-96:normal
    }}
[logging]
    kdc = FILE:{folder}/kdc.log
"""
_PKINIT = """\
pkinit_identity = FILE:{pki}/kdc.crt,{pki}/kdc.key
        pkinit_anchors = FILE:{pki}/ca.crt"""


def free_port() -> int:
    """Return a port that was free a moment ago, for TCP and UDP alike."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Realm:
    """A realm and its KDC.

    Args:
        folder: where everything goes; must be there.
        kdc_environment: further variables of the KDC, such as LD_PRELOAD for a wrong clock.
        timesync: whether clients follow the KDC's clock (MIT's default), which hides a small skew.
        pki: folder with the certificate of the KDC (``kdc.crt``, ``kdc.key``) and ``ca.crt``, the authority of all;
            with it users may log on with certificates.
    """

    def __init__(
        self,
        folder: Path,
        *,
        kdc_environment: Mapping[str, str] | None = None,
        timesync: bool = True,
        pki: Path | None = None,
    ) -> None:
        self.folder = folder
        self.port = free_port()
        self._kdc_environment = dict(kdc_environment or {})
        self._kdc: subprocess.Popen[bytes] | None = None
        self._krb5kdc = require_program("krb5kdc")
        self._kadmin = require_program("kadmin.local")
        self._kdb5_util = require_program("kdb5_util")
        self._kinit = require_program("kinit")
        self.krb5_conf = self.configure("krb5.conf", port=self.port, timesync=timesync)
        pkinit = "" if pki is None else _PKINIT.format(pki=pki)
        (folder / "kdc.conf").write_text(_KDC_CONF.format(realm=REALM, port=self.port, folder=folder, pkinit=pkinit))

    def configure(self, name: str, *, port: int, timesync: bool = True) -> Path:
        """Write a client configuration, for this KDC's port or for another."""
        path = self.folder / name
        path.write_text(_KRB5_CONF.format(realm=REALM, port=port, timesync=int(timesync)))
        return path

    @property
    def environment(self) -> dict[str, str]:
        """What makes libkrb5 live in this realm; caches and keytabs that nobody names are empty."""
        return {
            "KRB5_CONFIG": str(self.krb5_conf),
            "KRB5_KDC_PROFILE": str(self.folder / "kdc.conf"),
            "KRB5CCNAME": f"FILE:{self.folder / 'nobody.ccache'}",
            "KRB5_KTNAME": f"FILE:{self.folder / 'nobody.keytab'}",
            "KRB5_CLIENT_KTNAME": f"FILE:{self.folder / 'nobody.keytab'}",
            "KRB5RCACHENAME": f"file2:{self.folder / 'replays'}",
        }

    def __enter__(self) -> Realm:
        self._run([self._kdb5_util, "create", "-s", "-r", REALM, "-P", "master"])
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the KDC and wait until it answers to a connection."""
        self._kdc = subprocess.Popen(
            [self._krb5kdc, "-n", "-r", REALM, "-P", str(self.folder / "kdc.pid")],
            env=os.environ | self.environment | self._kdc_environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                if self._kdc.poll() is not None:
                    break
                time.sleep(0.02)
            else:
                return
        self.stop()
        log = self.folder / "kdc.log"
        raise RuntimeError(f"krb5kdc did not start: {log.read_text() if log.exists() else 'no log'}")

    def stop(self) -> None:
        """Stop the KDC."""
        if self._kdc is not None:
            self._kdc.terminate()
            try:
                self._kdc.wait(5)
            except subprocess.TimeoutExpired:
                self._kdc.kill()
                self._kdc.wait(5)
            self._kdc = None

    def add(self, principal: str, *options: str, password: str | None = None) -> None:
        """Add a principal; without a password it gets a random key."""
        key = ["-pw", password] if password is not None else ["-randkey"]
        self._admin("addprinc", *options, *key, principal)

    def modify(self, principal: str, *options: str) -> None:
        """Change a principal."""
        self._admin("modprinc", *options, principal)

    def renew_key(self, principal: str) -> None:
        """Give a principal a new random key, so that older keytabs lose it."""
        self._admin("cpw", "-randkey", principal)

    def keytab(self, name: str, *principals: str) -> Path:
        """Write the keys of principals into a new keytab, without changing them."""
        path = self.folder / name
        for principal in principals:
            self._admin("ktadd", "-norandkey", "-k", str(path), principal)
        return path

    def kinit(self, principal: str, password: str, *options: str, name: str = "") -> str:
        """Get a ticket-granting ticket; returns the cache as ``FILE:path``."""
        cache = f"FILE:{self.folder / (name or principal.replace('/', '_') + '.ccache')}"
        self._run([self._kinit, *options, "-c", cache, f"{principal}@{REALM}"], text=f"{password}\n")
        return cache

    def _admin(self, *arguments: str) -> None:
        # -e has kadmin.local read its passwords from the arguments; what it prints is of no interest.
        self._run([self._kadmin, "-r", REALM, *arguments])

    def _run(self, command: list[str], *, text: str = "") -> None:
        done = subprocess.run(
            command,
            env=os.environ | self.environment,
            input=text,
            text=True,
            capture_output=True,
            timeout=30,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{Path(command[0]).name} failed: {done.stderr.strip()}")


class SilentKDC:
    """A KDC that takes every connection and never says a word."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=32)
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> SilentKDC:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Go away: connections in the backlog are reset, and whoever waits for an answer is done."""
        self._listener.close()

"""A network whose DNS says that good.example.test is an alias of evil.example.test; run in a namespace of its own.

Prints, for each setting of `dns_canonicalize`, for which services the client has tickets. ``test_forged_dns.py`` runs
it.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from credssp.context.initiator import create_initiator
from credssp.credentials import CCacheCredentials
from credssp.kerberos.remote_guard import remote_guard_credentials
from tests.kdc import Realm

ADDRESS = "127.0.0.54"


def forge() -> None:
    """Answer every question about good.example.test with a CNAME to evil.example.test and its address."""

    def encoded(name: str) -> bytes:
        return b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"

    good, evil = encoded("good.example.test"), encoded("evil.example.test")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((ADDRESS, 53))
        print("ready", flush=True)
        while True:
            query, client = server.recvfrom(4096)
            end = query.index(b"\0", 12) + 5
            name, kind, answers = query[12 : end - 4].lower(), query[end - 4 : end - 2], []
            if name == good:
                answers.append(good + b"\0\5\0\1\0\0\0\x3c" + len(evil).to_bytes(2, "big") + evil)
            if name in (good, evil) and kind == b"\0\1":
                answers.append(evil + b"\0\1\0\1\0\0\0\x3c\0\4" + socket.inet_aton("127.0.0.66"))
            known = b"\x85\x80" if name in (good, evil) else b"\x85\x83"
            head = query[:2] + known + b"\0\1" + len(answers).to_bytes(2, "big") + bytes(4)
            server.sendto(head + query[12:end] + b"".join(answers), client)


def main() -> None:
    forger = subprocess.Popen([sys.executable, "-m", "tests.kerberos.forged_dns", "forge"], stdout=subprocess.PIPE)
    try:
        assert forger.stdout is not None
        forger.stdout.readline()
        with tempfile.TemporaryDirectory() as folder, Realm(Path(folder)) as realm:
            realm.add("alice", password="secret")
            for host in ("good", "evil"):
                for service in ("TERMSRV", "host"):
                    realm.add(f"{service}/{host}.example.test")
            text = realm.krb5_conf.read_text()
            realm.krb5_conf.write_text(text.replace("rdns = false", "").replace("hostname = false", "hostname = true"))
            os.environ.update(realm.environment)
            for canonicalize in (True, False):
                tickets = CCacheCredentials(realm.kinit("alice", "secret"))
                target = "TERMSRV/good.example.test"
                create_initiator(tickets, target_name=target, mechanism="kerberos", dns_canonicalize=canonicalize).step(
                    None
                )
                if not canonicalize:
                    remote_guard_credentials(target, tickets=tickets)
                listed = subprocess.run(["klist", tickets.ccache], capture_output=True, text=True, check=True).stdout
                found = {part.partition("@")[0] for part in listed.split() if ".example.test" in part}
                print(canonicalize, *sorted(found))
    finally:
        forger.terminate()
        forger.wait()


if __name__ == "__main__":
    forge() if sys.argv[1:] == ["forge"] else main()

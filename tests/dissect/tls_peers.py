"""TLS between two SSLObjects in memory with any cipher suite OpenSSL has, run as a program of its own.

Python cannot choose the suites of TLS 1.3, nor turn TLS 1.0 on where the system forbids it: both stand in a
configuration file that OpenSSL reads once, when the process starts. Usage: ``OPENSSL_CONF=... python tls_peers.py
VERSION CIPHERS OPTIONS PEM LOG``; prints one JSON list a line: who, and what it sent.
"""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import tempfile
from pathlib import Path

# What goes over: one TSRequest of each side, as it may follow the handshake.
CLIENT_SAYS = bytes.fromhex("3005a003020106")
SERVER_SAYS = bytes.fromhex("300da003020106a4060204c000006d")


def converse(version: str, ciphers: str, options: int, pem: str, log: str) -> list[tuple[str, bytes]]:
    client_context, server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    client_context.check_hostname = False
    client_context.verify_mode = ssl.CERT_NONE
    server_context.load_cert_chain(pem)
    for context in (client_context, server_context):
        context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
        if ciphers:
            context.set_ciphers(ciphers)
        context.options |= options
    client_context.keylog_filename = log
    said: list[tuple[str, bytes]] = []
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server)
    server = server_context.wrap_bio(to_server_in := ssl.MemoryBIO(), from_server := ssl.MemoryBIO(), server_side=True)

    def move() -> None:
        for who, source, target in (("client", to_server, to_server_in), ("server", from_server, to_client)):
            if data := source.read():
                said.append((who, data))
                target.write(data)

    def until_done(side: ssl.SSLObject) -> bool:
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    for _ in range(10):
        done = [until_done(client)]
        move()
        done.append(until_done(server))
        move()
        if all(done):
            break
    client.write(CLIENT_SAYS)
    move()
    assert server.read(100) == CLIENT_SAYS
    server.write(SERVER_SAYS)
    move()
    return said


def in_subprocess(
    version: str, *, ciphers: str = "", suites: str = "", options: int = 0, pem: bytes
) -> tuple[list[tuple[str, bytes]], bytes]:
    """Run this file; returns what was said and the key log."""
    with tempfile.TemporaryDirectory() as folder:
        config, cert, log = Path(folder, "openssl.cnf"), Path(folder, "server.pem"), Path(folder, "keys.log")
        cert.touch(mode=0o600)
        cert.write_bytes(pem)
        config.write_text(
            "openssl_conf = init\n[init]\nssl_conf = ssl\n[ssl]\nsystem_default = defaults\n[defaults]\n"
            "MinProtocol = TLSv1\nCipherString = ALL:@SECLEVEL=0\n" + (f"Ciphersuites = {suites}\n" if suites else "")
        )
        done = subprocess.run(
            [sys.executable, __file__, version, ciphers, str(options), str(cert), str(log)],
            env=os.environ | {"OPENSSL_CONF": str(config)},
            capture_output=True,
            timeout=30,
            check=True,
        )
        said = [json.loads(line) for line in done.stdout.splitlines()]
        return [(who, bytes.fromhex(data)) for who, data in said], log.read_bytes()


if __name__ == "__main__":
    for who, data in converse(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], sys.argv[5]):
        print(json.dumps([who, data.hex()]))

"""CPU of one login: both sides in memory, against a bare TLS handshake of the same library and against the peers."""

from __future__ import annotations

import importlib.util
import os
import ssl
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import spnego
import spnego.tls

import credssp
from benchmarks.measure import Clock, Split, take_turns
from credssp.status import SecurityStatus
from credssp.tls.certificate import process_certificate
from credssp.tls.settings import ServerTLS, client_context, server_context

USER, DOMAIN, PASSWORD = "alice", "LAB", "correct horse"
# An address: nobody looks for a Kerberos realm there, so that the figures are those of NTLM wherever they are taken.
HOST = "127.0.0.1"
TARGET = f"TERMSRV/{HOST}"
BARE = "bare TLS handshake"
PEER = "pyspnego, tuned"

Case = Callable[[Clock], None]


def bare_tls() -> Case:
    """The same handshake, certificate and contexts, nothing else: what no implementation can go below."""
    client_ctx = client_context(credssp.ClientTLS())
    server_ctx = server_context(ServerTLS(), process_certificate())

    def run(clock: Clock) -> None:
        clock.start()
        c_in, c_out = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = client_ctx.wrap_bio(c_in, c_out, server_hostname=HOST)
        clock.client_lap()
        s_in, s_out = ssl.MemoryBIO(), ssl.MemoryBIO()
        server = server_ctx.wrap_bio(s_in, s_out, server_side=True)
        clock.server_lap()
        done = False
        while not done:
            done = True
            try:
                client.do_handshake()
            except ssl.SSLWantReadError:
                done = False
            data = c_out.read()
            clock.client_lap()
            s_in.write(data)
            try:
                server.do_handshake()
            except ssl.SSLWantReadError:
                done = False
            data = s_out.read()
            clock.server_lap()
            c_in.write(data)
        clock.client_lap()

    return run


def ours(mechanism: Any) -> Case:
    """Both sides of this library."""
    # A server is configured once, as the servers of `credssp.rdp` do it; a client has other credentials each time.
    config = credssp.ServerConfig(accounts=credssp.MemoryAccounts({(DOMAIN, USER): PASSWORD}))

    def run(clock: Clock) -> None:
        clock.start()
        client = credssp.ClientContext(
            credssp.PasswordCredentials(USER, PASSWORD, domain=DOMAIN), target_name=TARGET, mechanism=mechanism
        )
        clock.client_lap()
        server = credssp.ServerContext(config=config)
        clock.server_lap()
        token = b""
        while not server.complete:
            token = client.step(token).token
            clock.client_lap()
            result = server.step(token)
            token = result.token
            clock.server_lap()
        if result.status is not SecurityStatus.SEC_E_OK or not client.complete:
            raise AssertionError("the login did not complete")

    return run


@contextmanager
def _user_file() -> Iterator[None]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "users")
        path.write_text(f"{DOMAIN}:{USER}:{PASSWORD}\n")
        # pyspnego looks for a realm all the same, where the Kerberos libraries are; it shall find none at once.
        kerberos = Path(folder, "krb5.conf")
        kerberos.write_text("[libdefaults]\n  dns_lookup_kdc = false\n  dns_lookup_realm = false\n")
        with mock.patch.dict(os.environ, {"NTLM_USER_FILE": str(path), "KRB5_CONFIG": str(kerberos)}):
            yield


def pyspnego(*, tuned: bool) -> Case:
    """pyspnego's CredSSP on both sides: as it comes, or with shared contexts and no LM work."""
    from credssp.nt_hash import nt_hash

    certificate = process_certificate()
    shared: dict[str, Any] = {}
    credential: Any = spnego.Password(f"{DOMAIN}\\{USER}", PASSWORD)
    if tuned:
        client_tls = spnego.tls.default_tls_context()
        server_tls = spnego.tls.default_tls_context(usage="accept")
        certificate.load_into(server_tls.context)
        server_tls.public_key = spnego.tls.get_certificate_public_key(certificate.der)
        shared = {"client": client_tls, "server": server_tls}
        credential = [spnego.NTLMHash(f"{DOMAIN}\\{USER}", nt_hash=nt_hash(PASSWORD).hex()), credential]

    def run(clock: Clock) -> None:
        clock.start()
        more = {"credssp_tls_context": shared["client"]} if tuned else {}
        client = spnego.client(credential, hostname=HOST, service="TERMSRV", protocol="credssp", **more)
        clock.client_lap()
        more = {"credssp_tls_context": shared["server"]} if tuned else {}
        server = spnego.server(protocol="credssp", **more)
        clock.server_lap()
        token: bytes | None = None
        while not server.complete:
            token = client.step(token)
            clock.client_lap()
            token = server.step(token)
            clock.server_lap()
            if client.complete and not token:
                break

    return run


def requests_credssp_client() -> Case:
    """requests-credssp's token generator against our server (its server side is ours, so compare the client column)."""
    from requests_credssp.credssp import CredSSPContext

    accounts = credssp.MemoryAccounts({(DOMAIN, USER): PASSWORD})

    def run(clock: Clock) -> None:
        clock.start()
        generator = CredSSPContext(HOST, f"{DOMAIN}\\{USER}", PASSWORD).credssp_generator()
        token, _ = next(generator)
        clock.client_lap()
        server = credssp.ServerContext(accounts=accounts)
        while not server.complete:
            reply = server.step(token).token
            clock.server_lap()
            if server.complete:
                break
            token, _ = generator.send(reply)
            clock.client_lap()

    return run


def cases() -> dict[str, Case]:
    """Return what is measured; the bare handshake first."""
    found = {
        BARE: bare_tls(),
        "credssp, SPNEGO/NTLM": ours("negotiate"),
        "credssp, bare NTLM": ours("ntlm"),
        PEER: pyspnego(tuned=True),
        "pyspnego, default": pyspnego(tuned=False),
    }
    if importlib.util.find_spec("requests_credssp"):
        found["requests-credssp client, credssp server"] = requests_credssp_client()
    return found


def measure(*, rounds: int, repeat: int, names: Collection[str] | None = None) -> dict[str, list[Split]]:
    """Return CPU seconds per login, round and side; of these cases, or of all."""
    with _user_file():
        chosen = {name: case for name, case in cases().items() if names is None or name in names}
        return take_turns(chosen, rounds=rounds, repeat=repeat)

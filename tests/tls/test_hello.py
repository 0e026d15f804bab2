"""The ClientHello for old versions and weak ciphers, against OpenSSL and against answers that are broken."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credssp import generate_certificate
from credssp.errors import CredSSPError, DecodeError, RemoteProtocolError
from credssp.tls.hello import (
    OLD_SUITES,
    TLS_1_0,
    TLS_1_1,
    TLS_1_2,
    WEAK_SUITES,
    HelloAnswer,
    client_hello,
    read_answer,
)
from tests.kdc import free_port
from tests.peers import require_program

SERVER_HELLO = bytes.fromhex("16030100310200002d0301") + bytes(32) + bytes.fromhex("00c014000005ff0100010000")


@contextlib.contextmanager
def openssl(folder: Path, *options: str) -> Iterator[int]:
    """Run ``openssl s_server``; yields the port."""
    program = require_program("openssl")
    certificate = generate_certificate()
    pem = folder / "server.pem"
    pem.touch(0o600)
    pem.write_bytes(certificate.chain + certificate.private_key.reveal())
    port = free_port()
    command = [program, "s_server", "-accept", f"127.0.0.1:{port}", "-cert", str(pem), "-key", str(pem), "-quiet"]
    server = subprocess.Popen(
        [*command, *options], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        end = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=5).close()
                break
            except OSError:
                assert server.poll() is None, "openssl s_server does not know these options"
                assert time.monotonic() < end
                time.sleep(0.05)
        yield port
    finally:
        server.kill()
        server.wait(20)


def ask(port: int, hello: bytes) -> HelloAnswer:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(hello)
        data = b""
        while (answer := read_answer(data)) is None:
            more = connection.recv(100)
            assert more, data
            data += more
        return answer


def test_openssl_takes_what_it_is_set_to(tmp_path: Path) -> None:
    with openssl(tmp_path, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0") as port:
        found = ask(port, client_hello(TLS_1_1, tuple(OLD_SUITES)))
        assert (found.version, found.cipher in OLD_SUITES.values()) == ("TLSv1.1", True)
        with pytest.raises(RemoteProtocolError, match=r"TLS alert 70 \(protocol_version\)"):
            ask(port, client_hello(TLS_1_0, tuple(OLD_SUITES)))


def test_openssl_chooses_a_weak_cipher_where_there_is_no_other(tmp_path: Path) -> None:
    with openssl(tmp_path, "-tls1_2", "-cipher", "ALL:COMPLEMENTOFALL:@SECLEVEL=0") as port:
        found = ask(port, client_hello(TLS_1_2, tuple(WEAK_SUITES)))
    assert found.version == "TLSv1.2"
    assert found.cipher in WEAK_SUITES.values()


def test_openssl_of_today_refuses_both(tmp_path: Path) -> None:
    with openssl(tmp_path, "-min_protocol", "TLSv1.2", "-cipher", "ECDHE+AESGCM") as port:
        with pytest.raises(RemoteProtocolError, match=r"TLS alert 40 \(handshake_failure\)"):
            ask(port, client_hello(TLS_1_2, tuple(WEAK_SUITES)))
        with pytest.raises(RemoteProtocolError, match=r"TLS alert 70 \(protocol_version\)"):
            ask(port, client_hello(TLS_1_1, tuple(OLD_SUITES)))


def test_an_answer_is_read_however_it_is_cut() -> None:
    expected = HelloAnswer("TLSv1", "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA")
    assert read_answer(SERVER_HELLO) == expected
    answers = [read_answer(SERVER_HELLO[:size]) for size in range(len(SERVER_HELLO))]
    assert set(answers) == {None, expected}
    assert answers == sorted(answers, key=lambda answer: answer is not None)


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 400",
        b"\x17\x03\x01\x00\x20" + bytes(32),
        b"\x16\x03\x01\x00\x00",
        b"\x16\x03\x01\xff\xff",
        b"\x16\x03\x01\x00\x40\x0b" + bytes(63),
        SERVER_HELLO[:43] + b"\x21" + bytes(40),
    ],
)
def test_what_is_not_a_server_hello_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        read_answer(data)


@given(st.binary(max_size=120))
def test_whatever_comes_is_an_answer_or_an_error_of_ours(data: bytes) -> None:
    with contextlib.suppress(CredSSPError):
        read_answer(b"\x16\x03\x01\x00\x40" + data)
    with contextlib.suppress(CredSSPError):
        read_answer(data)

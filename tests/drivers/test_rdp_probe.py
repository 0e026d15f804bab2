"""The probe over sockets: deadlines and endless peers; whole probes are in tests/cli/test_rdp_commands.py."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
import weakref
from typing import Any

import pytest

from credssp import rdp
from credssp.context.probing import ProbeReport
from credssp.drivers import rdp_probe, winrm_probe
from credssp.drivers.handshake import DeadlineError, Timeouts
from credssp.testing import RDPServer


def probe(port: int, **timeouts: float) -> ProbeReport:
    limits = Timeouts(**({"connect": 2, "leg": 2, "login": 10} | timeouts))
    return asyncio.run(rdp_probe.probe("127.0.0.1", port, timeouts=limits))


def test_one_tls_version() -> None:
    import credssp

    with RDPServer(tls=credssp.ServerTLS(maximum="1.2")) as server:
        report = probe(server.port)
    assert list(report.tls) == ["TLSv1.2"]
    assert report.credssp_version == 6


def test_a_whole_probe_has_a_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        report = probe(silent.getsockname()[1], login=0.2)
    assert isinstance(report.error, DeadlineError)
    assert "within 0.2 s" in report.error.message


@pytest.mark.parametrize("winrm", [False, True])
def test_what_failed_does_not_wait_for_the_garbage_collector(*, winrm: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    gc.collect()
    gc.disable()
    try:
        report: Any = (
            probe(port)
            if not winrm
            else winrm_probe.probe("127.0.0.1", port, path="/wsman", https=False, timeouts=Timeouts(connect=2))
        )
        assert "refused" in report.error.message
        error = weakref.ref(report.error)
        del report
        assert error() is None
    finally:
        gc.enable()


def test_an_endless_handshake_ends() -> None:
    confirm = rdp.ConnectionConfirm(rdp.NegotiationResponse(rdp.Protocol.HYBRID)).encode()
    listener = socket.create_server(("127.0.0.1", 0))
    # Handshake records of a ServerHello that announces 16 MiB.
    record = b"\x16\x03\x03\x40\x00" + b"\x02\xff\xff\xff" + bytes(0x4000 - 4)

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                try:
                    connection.recv(4096)
                    connection.sendall(confirm)
                    if connection.recv(4096):
                        while True:
                            connection.sendall(record)
                except OSError:
                    pass

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    report = probe(listener.getsockname()[1])
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(5)
    assert report.tls == {}
    assert report.error is None


def test_a_report_is_about_one_of_the_addresses_of_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up: list[str] = []
    genuine = socket.getaddrinfo

    def lookup(host: str, port: int, *arguments: Any, **options: Any) -> Any:
        if host != "farm.lab.test":
            return genuine(host, port, *arguments, **options)
        if options.get("flags", 0) & socket.AI_NUMERICHOST:
            raise socket.gaierror(socket.EAI_NONAME, "not an address")
        looked_up.append(host)
        return [genuine(f"127.0.0.{number}", port, type=socket.SOCK_STREAM)[0] for number in (9, 1, 8)]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    with RDPServer() as server:
        limits = Timeouts(connect=2, leg=2, login=10)
        report = asyncio.run(rdp_probe.probe("farm.lab.test", server.port, timeouts=limits))
    assert report.error is None
    assert report.credssp_version == 6
    assert looked_up == ["farm.lab.test"]

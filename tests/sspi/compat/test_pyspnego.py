"""pyspnego's SSPIProxy, which it has for Windows alone, on `credssp.sspi.compat`."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from credssp.sspi import SecurityStatus, compat
from tests.peers import require_module

pytestmark = pytest.mark.interop

spnego = require_module("spnego")
PACKAGES = ["ntlm", "negotiate"]
CLIENT: Any = ("LAB\\alice", "secret")


@pytest.fixture
def sspi_proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The class, which finds `sspilib` here."""
    module = require_module("spnego._sspi")
    with compat.install(replace=["sspilib"]):
        monkeypatch.setattr(module, "sspilib", importlib.import_module("sspilib"), raising=False)
        monkeypatch.setattr(module, "HAS_SSPI", True)
        yield module.SSPIProxy


def client_of(proxy: Any, protocol: str, **options: Any) -> Any:
    return proxy(*CLIENT, hostname="srv.lab.test", service="HTTP", usage="initiate", protocol=protocol, **options)


def server_of(proxy: Any, protocol: str, **options: Any) -> Any:
    return proxy(usage="accept", protocol=protocol, **options)


def log_on(client: Any, server: Any) -> None:
    token = None
    for _ in range(5):
        token = client.step(token)
        if token is None:
            break
        token = server.step(token)
        if token is None:
            break
    assert client.complete
    assert server.complete


def protect(sender: Any, receiver: Any) -> None:
    wrapped = sender.wrap(b"hello")
    assert wrapped.encrypted
    assert b"hello" not in wrapped.data
    assert receiver.unwrap(wrapped.data).data == b"hello"
    receiver.verify(b"hello", sender.sign(b"hello"))
    sealed = sender.wrap_winrm(b"winrm")
    assert receiver.unwrap_winrm(sealed.header, sealed.data) == b"winrm"
    assert sender.session_key == receiver.session_key


@pytest.mark.parametrize("protocol", PACKAGES)
def test_sspi_proxy_logs_on_to_sspi_proxy_and_both_protect_messages(sspi_proxy: Any, protocol: str) -> None:
    client, server = client_of(sspi_proxy, protocol), server_of(sspi_proxy, protocol)
    log_on(client, server)
    protect(client, server)
    protect(server, client)
    assert server.client_principal == "LAB\\alice"
    assert client.negotiated_protocol == server.negotiated_protocol == "ntlm"


@pytest.mark.parametrize("protocol", PACKAGES)
def test_message_that_is_only_signed_is_told_from_an_encrypted_one(sspi_proxy: Any, protocol: str) -> None:
    client, server = client_of(sspi_proxy, protocol), server_of(sspi_proxy, protocol)
    log_on(client, server)
    wrapped = client.wrap(b"hello", encrypt=False)
    assert wrapped.data.endswith(b"hello")
    opened = server.unwrap(wrapped.data)
    assert (opened.data, opened.encrypted) == (b"hello", False)


BINDINGS = spnego.channel_bindings.GssChannelBindings(application_data=b"tls-server-end-point:" + bytes(32))
OTHERS = spnego.channel_bindings.GssChannelBindings(application_data=b"tls-server-end-point:" + bytes(31) + b"x")


@pytest.mark.parametrize("protocol", PACKAGES)
@pytest.mark.parametrize("sent", [BINDINGS, OTHERS, None])
def test_sspi_proxy_is_held_to_channel_bindings(sspi_proxy: Any, protocol: str, sent: Any) -> None:
    client = client_of(sspi_proxy, protocol, channel_bindings=sent)
    server = server_of(sspi_proxy, protocol, channel_bindings=BINDINGS)
    if sent is BINDINGS:
        log_on(client, server)
        protect(client, server)
        return
    with pytest.raises(spnego.exceptions.SpnegoError) as caught:
        log_on(client, server)
    assert caught.value.base_error.winerror & 0xFFFFFFFF == SecurityStatus.SEC_E_BAD_BINDINGS


@pytest.mark.parametrize("protocol", PACKAGES)
def test_sspi_proxy_takes_buffers_of_every_kind(sspi_proxy: Any, protocol: str) -> None:
    client, server = client_of(sspi_proxy, protocol), server_of(sspi_proxy, protocol)
    log_on(client, server)
    kind = spnego.iov.BufferType
    made = client.wrap_iov(
        [(kind.sign_only, b"header"), b"body", (kind.data_readonly, b"trailer"), kind.header, kind.padding]
    )
    assert [buffer.data for buffer in made.buffers][0::2][:2] == [b"header", b"trailer"]
    assert made.buffers[1].data != b"body"
    assert not made.buffers[4].data
    opened = server.unwrap_iov([(buffer.type, buffer.data or b"") for buffer in made.buffers])
    assert [buffer.data for buffer in opened.buffers[:3]] == [b"header", b"body", b"trailer"]


@pytest.fixture
def own_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Makes a server of pyspnego's own Python code, with its file of accounts."""
    accounts = tmp_path / "accounts"
    accounts.write_text("LAB:alice:secret\n", encoding="utf-8")
    monkeypatch.setenv("NTLM_USER_FILE", str(accounts))

    def make(protocol: str, **options: Any) -> Any:
        use = spnego.NegotiateOptions.use_ntlm if protocol == "ntlm" else spnego.NegotiateOptions.use_negotiate
        return spnego.server(protocol=protocol, options=use, **options)

    return make


@pytest.mark.parametrize("protocol", PACKAGES)
@pytest.mark.parametrize("bindings", [None, BINDINGS])
def test_sspi_proxy_logs_on_to_pyspnegos_own_server(
    sspi_proxy: Any, own_server: Any, protocol: str, bindings: Any
) -> None:
    client = client_of(sspi_proxy, protocol, channel_bindings=bindings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spnego._sspi.HAS_SSPI", False)  # its server would take SSPI for the mechanism inside
        server = own_server(protocol, channel_bindings=bindings)
        log_on(client, server)
        protect(client, server)
        protect(server, client)


@pytest.mark.parametrize("protocol", PACKAGES)
def test_pyspnegos_own_server_holds_sspi_proxy_to_channel_bindings(
    sspi_proxy: Any, own_server: Any, protocol: str
) -> None:
    client = client_of(sspi_proxy, protocol, channel_bindings=OTHERS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spnego._sspi.HAS_SSPI", False)
        server = own_server(protocol, channel_bindings=BINDINGS)
        with pytest.raises(spnego.exceptions.BadBindingsError):
            log_on(client, server)


@pytest.mark.parametrize("protocol", PACKAGES)
@pytest.mark.parametrize("bindings", [None, BINDINGS])
def test_pyspnegos_own_client_logs_on_to_sspi_proxy(sspi_proxy: Any, protocol: str, bindings: Any) -> None:
    server = server_of(sspi_proxy, protocol, channel_bindings=bindings)
    use = spnego.NegotiateOptions.use_ntlm if protocol == "ntlm" else spnego.NegotiateOptions.use_negotiate
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spnego._sspi.HAS_SSPI", False)
        client = spnego.client(
            *CLIENT,
            hostname="srv.lab.test",
            service="HTTP",
            protocol=protocol,
            options=use,
            channel_bindings=bindings,
        )
        log_on(client, server)
        protect(client, server)
        protect(server, client)


def test_wrong_password_is_pyspnegos_error(sspi_proxy: Any) -> None:
    client = sspi_proxy("LAB\\alice", "wrong", hostname="srv", service="HTTP", usage="initiate", protocol="ntlm")
    with pytest.raises(spnego.exceptions.SpnegoError) as caught:
        log_on(client, server_of(sspi_proxy, "ntlm"))
    assert caught.value.base_error.winerror == -0x7FF6FCF4  # SEC_E_LOGON_DENIED


def test_kerberos_of_this_library_stays_with_gss_api(sspi_proxy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # pyspnego offers SSPI for Kerberos now, and SSPI here would ask pyspnego for it.
    require_module("gssapi", extra="kerberos")
    from credssp.kerberos import pyspnego

    assert "kerberos" in sspi_proxy.available_protocols()
    monkeypatch.setenv("KRB5CCNAME", "MEMORY:none")
    monkeypatch.setenv("KRB5_KTNAME", "MEMORY:none")
    made: list[str] = []
    monkeypatch.setattr("spnego._gss.GSSAPIProxy.__init__", lambda *_, **__: made.append("GSS-API"))
    pyspnego.kerberos_server({"HTTP/srv.lab.test"}, None, None)
    pyspnego.kerberos_client(None, "", service="HTTP", host="srv.lab.test", bindings=None)
    assert made == ["GSS-API"] * 2

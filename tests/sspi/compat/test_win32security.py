"""`compat.win32security`: pywin32's own `sspi.py` runs on it, unchanged."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

import pytest

import credssp
import credssp.sspi
from credssp.sspi import compat
from credssp.sspi.compat import pywintypes, sspicon, win32security
from credssp.sspi.compat.win32_buffers import PySecBufferDescType, PySecBufferType
from tests.sspi.compat.peers import pywin32_module

INVALID_TOKEN = -0x7FF6FCF8
MESSAGE_ALTERED = -0x7FF6FCF1


@pytest.fixture(
    params=[pytest.param("pywin32", marks=pytest.mark.interop), "here"],
)
def pywin32_sspi(request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    """pywin32's `sspi`, which finds `win32security` and `sspicon` here; and the one with the same interface."""
    with compat.install(replace=["win32security", "sspicon", "pywintypes", "sspi"]):
        yield pywin32_module("sspi") if request.param == "pywin32" else importlib.import_module("sspi")


def log_on(module: ModuleType, package: str, password: str = "secret") -> tuple[Any, Any]:
    """Run the loop of pywin32's demonstrations."""
    client = module.ClientAuth(package, auth_info=("alice", "LAB", password), targetspn="HTTP/srv.lab.test")
    server = module.ServerAuth(package)
    token = None
    for _ in range(5):
        status, token = client.authorize(token)
        if server.authenticated and not token[0].Buffer:
            break
        status, token = server.authorize(token[0].Buffer)
        if not status and not token[0].Buffer and client.authenticated:
            break
    return client, server


@pytest.mark.parametrize("package", ["NTLM", "Negotiate"])
def test_client_auth_and_server_auth_log_on_and_protect_messages(pywin32_sspi: ModuleType, package: str) -> None:
    client, server = log_on(pywin32_sspi, package)
    assert client.authenticated
    assert server.authenticated
    for sender, receiver in ((client, server), (server, client)):
        receiver.verify(b"hello", sender.sign(b"hello"))
        assert receiver.decrypt(*sender.encrypt(b"hello")) == b"hello"
        assert receiver.unwrap(sender.wrap(b"hello", encrypt=True)) == (b"hello", True)
        assert receiver.unwrap(sender.wrap(b"hello")) == (b"hello", False)
        assert receiver.decrypt(*sender.encrypt(b"")) == b""
    assert server.ctxt.QueryContextAttributes(sspicon.SECPKG_ATTR_NAMES) == "LAB\\alice"  # type: ignore[attr-defined]


def test_reset_begins_a_new_exchange(pywin32_sspi: ModuleType) -> None:
    client, server = log_on(pywin32_sspi, "NTLM")
    for auth in (client, server):
        auth.reset()
        assert not auth.authenticated
    _, token = client.authorize(None)
    _, token = server.authorize(token)
    _, token = client.authorize(token)
    server.authorize(token)
    assert server.authenticated


def test_wrong_password_is_pywin32s_error(pywin32_sspi: ModuleType) -> None:
    with pytest.raises(pywin32_sspi.error) as caught:
        log_on(pywin32_sspi, "NTLM", "wrong")
    number, function, text = caught.value.args
    assert (number, function) == (-0x7FF6FCF4, "AcceptSecurityContext")
    assert "SEC_E_LOGON_DENIED" in text
    assert isinstance(caught.value.__cause__, credssp.sspi.SSPIError)


def test_altered_message_is_pywin32s_error(pywin32_sspi: ModuleType) -> None:
    client, server = log_on(pywin32_sspi, "NTLM")
    with pytest.raises(pywin32_sspi.error) as caught:
        server.verify(b"hello!", client.sign(b"hello"))
    assert caught.value.winerror == MESSAGE_ALTERED
    assert caught.value.funcname == "VerifySignature"


@pytest.mark.interop
def test_constants_have_the_numbers_of_pywin32() -> None:
    theirs = {name: value for name, value in vars(pywin32_module("sspicon")).items() if isinstance(value, int)}
    ours = {name: value for name, value in vars(sspicon).items() if isinstance(value, int) and name.isupper()}
    different = {name: (ours[name], theirs[name]) for name in ours.keys() & theirs.keys() if ours[name] != theirs[name]}
    assert different == {}
    # Those of other interfaces: certificates, IPsec, messages to the LSA, SASL.
    others = ("CRYPT_", "ERROR_IPSEC_", "WARNING_IPSEC_", "Kerb", "MsV1_0", "SASL_")
    assert sorted(name for name in theirs.keys() - ours.keys() if not name.startswith(others)) == []


@pytest.mark.interop
def test_both_modules_have_one_interface() -> None:
    ours = importlib.import_module("credssp.sspi.compat.sspi")
    with compat.install(replace=["win32security", "sspicon", "pywintypes", "sspi"]):
        theirs = pywin32_module("sspi")
        for name in ("ClientAuth", "ServerAuth"):
            one, other = getattr(theirs, name), getattr(ours, name)
            assert list(inspect.signature(one).parameters) == list(inspect.signature(other).parameters)
            for method in ("authorize", "decrypt", "encrypt", "reset", "sign", "unwrap", "verify", "wrap"):
                signatures = [inspect.signature(getattr(each, method)).parameters for each in (one, other)]
                assert list(signatures[0]) == list(signatures[1])
        made = [
            module.ClientAuth("NTLM", auth_info=("alice", "LAB", "secret")).__dict__.keys() for module in (theirs, ours)
        ]
        assert made[0] - made[1] == set()


def test_message_without_a_context_is_a_value_error() -> None:
    ours = importlib.import_module("credssp.sspi.compat.sspi")
    client = ours.ClientAuth("NTLM", auth_info=("alice", "LAB", "secret"))
    for call in (lambda: client.sign(b"x"), lambda: client.decrypt(b"x", b"y")):
        with pytest.raises(ValueError, match="authorize"):
            call()


def test_buffer_has_a_fixed_size() -> None:
    buffer = PySecBufferType(8, sspicon.SECBUFFER_TOKEN)  # type: ignore[attr-defined]
    assert (buffer.Buffer, buffer.BufferSize, buffer.MaxBufferSize) == (bytes(8), 8, 8)
    buffer.Buffer = b"abc"
    assert (buffer.Buffer, buffer.BufferSize, buffer.MaxBufferSize) == (b"abc", 3, 8)
    with pytest.raises(ValueError, match=r"9.*8"):
        buffer.Buffer = bytes(9)
    buffer.Clear()
    assert buffer.Buffer == bytes(8)
    assert "abc" not in repr(buffer)


def test_descriptor_is_a_list_of_buffers() -> None:
    desc = PySecBufferDescType()
    first, second = PySecBufferType(1, 1), PySecBufferType(2, 2)
    desc.append(first)
    assert (len(desc), desc[0], list(desc), desc.Buffer) == (1, first, [first], (first,))
    desc[0] = second
    assert desc[0] is second
    with pytest.raises(TypeError):
        desc.append(b"x")  # type: ignore[arg-type]


def test_package_info_and_attributes_have_pywin32s_form() -> None:
    (info,) = [info for info in win32security.EnumerateSecurityPackages() if info["Name"] == "NTLM"]
    assert info == win32security.QuerySecurityPackageInfo("ntlm")
    assert set(info) == {"Capabilities", "Version", "RPCID", "MaxToken", "Name", "Comment"}
    credential, expiry = win32security.AcquireCredentialsHandle(None, "NTLM", 2, None, ("alice", "LAB", "secret"))
    assert credential.QueryCredentialsAttributes(1) == "LAB\\alice"
    assert expiry == datetime.max.replace(tzinfo=UTC)
    with pytest.raises(NotImplementedError):
        credential.QueryCredentialsAttributes(99)
    credential.FreeCredentialsHandle()
    with pytest.raises(pywintypes.error) as caught:
        credential.QueryCredentialsAttributes(1)
    assert caught.value.funcname == "QueryCredentialsAttributes"


def test_unknown_package_is_pywin32s_error() -> None:
    with pytest.raises(win32security.error) as caught:
        win32security.QuerySecurityPackageInfo("Digest")
    assert caught.value.winerror == -0x7FF6FCFB  # SEC_E_SECPKG_NOT_FOUND


@pytest.mark.parametrize("data", [("alice",), ("alice", "LAB", b"secret"), (1, 2, 3)])
def test_identity_of_another_shape_is_a_type_error(data: object) -> None:
    with pytest.raises(TypeError):
        win32security.AcquireCredentialsHandle(None, "NTLM", 2, None, data)


def test_rest_of_win32security_is_said_to_be_missing() -> None:
    with pytest.raises(AttributeError, match="nothing else"):
        win32security.LookupAccountName  # noqa: B018


def test_wrong_types_are_type_errors_that_name_the_argument() -> None:
    client, server = log_on(importlib.import_module("credssp.sspi.compat.sspi"), "NTLM")
    desc, new = PySecBufferDescType(), win32security.PyCtxtHandleType()
    legs: dict[str, dict[str, Any]] = {
        "InitializeSecurityContext": {"TargetName": None, "Credential": client.credentials},
        "AcceptSecurityContext": {"Credential": server.credentials},
    }
    for name, arguments in legs.items():
        right = {"Context": None, "ContextReq": 0, "TargetDataRep": 0, "pInput": desc, "NewContext": new}
        right["pOutput"] = desc
        for argument in ("Credential", "Context", "pInput", "NewContext", "pOutput"):
            for wrong in (0, b"token", object()):
                with pytest.raises(TypeError, match=argument):
                    getattr(win32security, name)(**{**arguments, **right, argument: wrong})
        with pytest.raises(TypeError, match="NewContext"):
            getattr(win32security, name)(**{**arguments, **right, "NewContext": None})
    for wrong in (None, b"message"):
        for name in ("EncryptMessage", "MakeSignature"):
            with pytest.raises(TypeError, match="Message"):
                getattr(client.ctxt, name)(0, wrong, 0)
        for name in ("DecryptMessage", "VerifySignature"):
            with pytest.raises(TypeError, match="Message"):
                getattr(client.ctxt, name)(wrong, 0)
        with pytest.raises(TypeError, match="Token"):
            client.ctxt.CompleteAuthToken(wrong)


def test_number_in_the_place_of_a_message_is_not_a_size() -> None:
    module = importlib.import_module("credssp.sspi.compat.sspi")
    client, server = log_on(module, "NTLM")
    calls = [client.encrypt, client.sign, client.wrap, server.unwrap, module.ServerAuth("NTLM").authorize]
    for call in [*calls, lambda wrong: server.decrypt(b"x", wrong), lambda wrong: server.verify(b"x", wrong)]:
        for wrong in (5, "text"):
            with pytest.raises(TypeError, match="bytes"):
                call(wrong)
    assert server.decrypt(*client.encrypt(b"alive")) == b"alive"

"""`compat.raw`, as a program for `sspilib.raw` uses it."""

from __future__ import annotations

import enum
import gc
import pickle
from typing import Any

import pytest

import credssp.sspi as sspi
from credssp.sspi.compat import raw

SECRET = "correct horse battery"


def side(
    package: str, *, password: str = "secret", identity: raw.AuthIdentity | None = None, server: bool = False
) -> raw.CredHandle:
    if identity is None and not server:
        identity = raw.WinNTAuthIdentity("alice", "LAB", password)
    use = raw.CredentialUse(1 if server else 2)
    return raw.acquire_credentials_handle(None, package, use, auth_data=identity).credential


def buffers(*given: tuple[bytes | None, str]) -> raw.SecBufferDesc:
    return raw.SecBufferDesc(
        [
            raw.SecBuffer(None if data is None else bytearray(data), raw.SecBufferType[f"SECBUFFER_{name}"])
            for data, name in given
        ]
    )


def exchange(package: str, **client: Any) -> tuple[raw.CtxtHandle, raw.CtxtHandle]:
    """Log on; returns both contexts."""
    contexts: list[raw.CtxtHandle | None] = [None, None]
    credentials = side(package, **client), side(package, server=True)
    token = b""
    for turn in range(8):
        output = buffers((None, "TOKEN"))
        given = buffers((token, "TOKEN")) if token else None
        result: Any
        if turn % 2 == 0:
            result = raw.initialize_security_context(
                credentials[0], contexts[0], "HTTP/srv.lab.test", 0x1011C, 0, given, output
            )
        else:
            result = raw.accept_security_context(credentials[1], contexts[1], given, 0x2011C, 0, output)
        contexts[turn % 2] = result.context
        token = output[0].data
        if not token and result.status == raw.NtStatus.SEC_E_OK:
            break
    client_context, server_context = contexts
    assert client_context is not None
    assert server_context is not None
    return client_context, server_context


@pytest.mark.parametrize("package", ["NTLM", "Negotiate"])
def test_program_for_sspilib_logs_on_and_protects_messages(package: str) -> None:
    client, server = exchange(package)
    sizes = raw.query_context_attributes(client, raw.SecPkgContextSizes)
    message = buffers((bytes(sizes.security_trailer), "TOKEN"), (b"hello", "DATA"), (None, "PADDING"))
    raw.encrypt_message(client, raw.QopFlags(0), message, 0)
    assert message[1].data != b"hello"
    assert raw.decrypt_message(server, message, 0) == 0
    assert message[1].data == b"hello"
    signed = buffers((b"hello", "DATA"), (bytes(sizes.max_signature), "TOKEN"))
    raw.make_signature(server, 0, signed, 0)
    assert raw.verify_signature(client, signed, 0) == 0
    assert raw.query_context_attributes(server, raw.SecPkgContextNames).username == "LAB\\alice"
    assert raw.query_context_attributes(server, raw.SecPkgContextPackageInfo).name == "NTLM"


def test_stream_is_opened_into_a_buffer_without_memory() -> None:
    client, server = exchange("NTLM")
    message = buffers((bytes(16), "TOKEN"), (b"hello", "DATA"))
    raw.encrypt_message(client, raw.QopFlags.SECQOP_WRAP_NO_ENCRYPT, message, 0)
    stream = buffers((message[0].data + message[1].data, "STREAM"), (None, "DATA"))
    assert raw.decrypt_message(server, stream, 0) == raw.QopFlags.SECQOP_WRAP_NO_ENCRYPT
    assert stream[1].data == b"hello"


def test_wrong_password_is_a_windows_error_with_its_cause() -> None:
    with pytest.raises(raw.WindowsError) as caught:
        exchange("NTLM", password="wrong")
    assert caught.value.winerror == -0x7FF6FCF4  # SEC_E_LOGON_DENIED
    assert "SEC_E_LOGON_DENIED 0x8009030C" in str(caught.value)
    assert isinstance(caught.value.__cause__, sspi.SSPIError)
    again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - made in this line
    assert (again.winerror, str(again)) == (caught.value.winerror, str(caught.value))


def test_status_that_is_not_among_the_four_is_an_error() -> None:
    credential = raw.acquire_credentials_handle(None, "Schannel", raw.CredentialUse(1)).credential
    given = raw.SecBufferDesc([*buffers((b"\x16\x03\x01", "TOKEN"), (None, "EMPTY"))])
    with pytest.raises(raw.WindowsError) as caught:
        raw.accept_security_context(credential, None, given, 0x10100, 0, buffers((None, "TOKEN")))
    assert "SEC_E_INCOMPLETE_MESSAGE" in str(caught.value)
    assert raw.NtStatus(0x90317).name == "Unknown NtStatus Value 0x00090317"


def test_no_secret_is_in_a_repr() -> None:
    identity = raw.WinNTAuthIdentity("alice", "LAB", SECRET)
    packed = raw.WinNTAuthIdentityPackedCredential(
        raw.WinNTAuthCredentialType.SEC_WINNT_AUTH_DATA_TYPE_KEYTAB, SECRET.encode(), username="alice"
    )
    buffer = raw.SecBuffer(bytearray(SECRET.encode()), raw.SecBufferType.SECBUFFER_DATA)
    key = raw.query_context_attributes(exchange("NTLM")[0], raw.SecPkgContextSessionKey)
    assert identity.password == SECRET
    assert packed.credential == buffer.data == SECRET.encode()
    assert len(key.session_key) == 16
    for thing in (identity, packed, buffer):
        assert SECRET not in f"{thing!r} {thing}"
    assert repr(key.session_key)[2:-1] not in repr(key)


def test_credential_and_context_are_freed_with_their_last_reference() -> None:
    authority = sspi.local_security_authority()
    gc.collect()
    before = len(authority._credentials), len(authority._contexts)
    client, server = exchange("NTLM")
    assert (len(authority._credentials), len(authority._contexts)) == (before[0], before[1] + 2)
    del client, server
    gc.collect()
    assert (len(authority._credentials), len(authority._contexts)) == before


def test_identity_without_a_user_is_that_of_the_one_who_logged_on() -> None:
    with pytest.raises(raw.WindowsError) as caught:
        credential = raw.acquire_credentials_handle(
            None, "NTLM", raw.CredentialUse(2), auth_data=raw.WinNTAuthIdentity()
        ).credential
        raw.initialize_security_context(credential, None, "HTTP/srv", 0x100, 0, None, buffers((None, "TOKEN")))
    assert "SEC_E_NO_CREDENTIALS" in str(caught.value)


@pytest.mark.parametrize("kind", [name for name in vars(raw.WinNTAuthCredentialType) if name.startswith("SEC_")])
def test_packed_credential_is_a_password_or_a_keytab_or_is_refused_by_name(kind: str) -> None:
    number = getattr(raw.WinNTAuthCredentialType, kind)
    packed = raw.WinNTAuthIdentityPackedCredential(number, b"\x05\x02", username="alice", domain="LAB.TEST")
    if kind.endswith(("_KEYTAB", "_PASSWORD")):
        assert raw.acquire_credentials_handle(None, "Negotiate", 2, auth_data=packed).credential.native.is_valid
        return
    with pytest.raises(raw.WindowsError, match=f"{number}.*SEC_E_UNKNOWN_CREDENTIALS"):
        raw.acquire_credentials_handle(None, "Negotiate", 2, auth_data=packed)


@pytest.mark.parametrize(("password", "refused"), [("secret", False), ("wrong", True)])
def test_packed_password_logs_on(password: str, refused: bool) -> None:
    kind = raw.WinNTAuthCredentialType.SEC_WINNT_AUTH_DATA_TYPE_PASSWORD
    packed = raw.WinNTAuthIdentityPackedCredential(kind, password.encode("utf-16-le"), username="alice", domain="LAB")
    if refused:
        with pytest.raises(raw.WindowsError, match="SEC_E_LOGON_DENIED"):
            exchange("NTLM", identity=packed)
        return
    assert exchange("NTLM", identity=packed)
    with pytest.raises(raw.WindowsError, match="UTF-16"):
        odd = raw.WinNTAuthIdentityPackedCredential(kind, b"odd", username="alice")
        raw.acquire_credentials_handle(None, "NTLM", 2, auth_data=odd)


def test_memory_that_cannot_be_written_is_refused() -> None:
    with pytest.raises(ValueError, match="writable"):
        raw.SecBuffer(memoryview(b"x"), 1)


@pytest.mark.parametrize(
    "call",
    [
        lambda: raw.acquire_credentials_handle(None, "NTLM", 2, auth_data=("alice", "LAB", "secret")),  # type: ignore[arg-type]
        lambda: raw.SecBufferDesc([b"x"]),  # type: ignore[list-item]
        lambda: raw.query_context_attributes(raw.CtxtHandle(), sspi.SECPKG_ATTR_NAMES),  # type: ignore[type-var]
        lambda: raw.initialize_security_context(None, None, None, 0, 0, None, None),  # type: ignore[arg-type]
    ],
)
def test_argument_of_another_type_is_a_type_error(call: Any) -> None:
    with pytest.raises(TypeError):
        call()


def test_names_and_numbers_are_those_of_sspilib() -> None:
    theirs = pytest.importorskip("sspilib.raw")
    assert [name for name in theirs.__all__ if not hasattr(raw, name)] == []
    for name in theirs.__all__:
        their_value, our_value = getattr(theirs, name), getattr(raw, name)
        if isinstance(their_value, enum.EnumMeta) and name != "NtStatus":
            ours = {key: int(value) for key, value in our_value.__members__.items()}
            missing = {key: int(value) for key, value in their_value.__members__.items() if ours.get(key) != value}
            assert missing == {}, name
    for name, number in vars(theirs.WinNTAuthCredentialType).items():
        if name.startswith("SEC_"):
            assert getattr(raw.WinNTAuthCredentialType, name) == number
    for status in theirs.NtStatus:
        assert raw.NtStatus(status) == status


def test_wrong_types_are_type_errors_that_name_the_argument() -> None:
    credential, context = side("NTLM"), exchange("NTLM")[0]
    calls: dict[str, list[Any]] = {
        "credential": [
            lambda wrong: raw.initialize_security_context(wrong, None, "x", 0, 0, None, None),
            lambda wrong: raw.accept_security_context(wrong, None, None, 0, 0, None),
            lambda wrong: raw.set_credentials_attributes(wrong, raw.SecPkgCredKdcProxySettings()),
        ],
        "context": [
            lambda wrong: raw.initialize_security_context(credential, wrong, "x", 0, 0, None, None),
            lambda wrong: raw.accept_security_context(credential, wrong, None, 0, 0, None),
            lambda wrong: raw.query_context_attributes(wrong, raw.SecPkgContextSizes),
            lambda wrong: raw.complete_auth_token(wrong, buffers()),
            lambda wrong: raw.encrypt_message(wrong, 0, buffers(), 0),
            lambda wrong: raw.verify_signature(wrong, buffers(), 0),
        ],
        "input_buffers": [lambda wrong: raw.initialize_security_context(credential, None, "x", 0, 0, wrong, None)],
        "output_buffers": [lambda wrong: raw.accept_security_context(credential, None, None, 0, 0, wrong)],
        "message": [
            lambda wrong: raw.make_signature(context, 0, wrong, 0),
            lambda wrong: raw.decrypt_message(context, wrong, 0),
        ],
        "token": [lambda wrong: raw.complete_auth_token(context, wrong)],
        "attribute": [
            lambda wrong: raw.set_credentials_attributes(credential, wrong),
            lambda wrong: raw.query_context_attributes(context, wrong),
        ],
    }
    for name, functions in calls.items():
        for function in functions:
            for wrong in (0, b"x", object()):
                with pytest.raises(TypeError, match=name):
                    function(wrong)

"""The example package of tests/example_package: found through its entry point, walked leg by leg and call by call."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.metadata
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import credssp
import credssp.sspi as sspi
from credssp.sspi import SecBuffer, SecBufferDesc, SecurityStatus, SSPIError
from tests.sspi.pair import Side, lsa, token_out

EXAMPLE = Path(__file__).parents[1] / "example_package"
S = SecurityStatus
ALLOCATE = sspi.ISC_REQ_ALLOCATE_MEMORY
SHARED = sspi.SecWinntAuthIdentity("alice", "", "shared secret")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example distribution, installed by pip into a folder of its own."""
    folder = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(folder), str(EXAMPLE)], check=True, timeout=60)
    return folder


@pytest.fixture
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(site))
    importlib.invalidate_caches()
    yield
    for name in [name for name in sys.modules if name.startswith("credssp_example_package")]:
        del sys.modules[name]


def side(
    authority: sspi.LocalSecurityAuthority, *, client: bool, flags: int = ALLOCATE, identity: Any = SHARED
) -> Side:
    handle = sspi.CredHandle()
    use = sspi.SECPKG_CRED_OUTBOUND if client else sspi.SECPKG_CRED_INBOUND
    authority.acquire_credentials_handle(None, "threeleg", use, None, identity, None, None, handle)
    return Side(authority, handle, flags, client=client)


def call(side: Side, data: bytes | None = None) -> tuple[SecurityStatus, SecBufferDesc]:
    """One leg with a single TOKEN, as this package wants it."""
    output = token_out()
    context = side.context if side.started else None
    desc = None if data is None else SecBufferDesc([SecBuffer(sspi.SECBUFFER_TOKEN, data)])
    if side.client:
        result = side.authority.initialize_security_context(
            side.credential, context, None, side.flags, 0, 0, desc, 0, side.context, output
        )
    else:
        result = side.authority.accept_security_context(
            side.credential, context, desc, side.flags, 0, side.context, output
        )
    return result.status, output


def first_leg(side: Side, *, client: bool) -> Side:
    return dataclasses.replace(side, client=client, context=sspi.CtxtHandle())


def sealed(side: Side, data: bytes, size: int = 16) -> SecBufferDesc:
    return SecBufferDesc(
        [SecBuffer(sspi.SECBUFFER_TOKEN, bytearray(size)), SecBuffer(sspi.SECBUFFER_DATA, bytearray(data))]
    )


def test_entry_point_is_found_in_a_new_process(site: Path) -> None:
    code = (
        "import credssp.sspi as s, sys;"
        "assert 'credssp_example_package' not in sys.modules;"
        "print(s.query_security_package_info('THREELEG').comment, 'credssp_example_package' in sys.modules)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env={"PYTHONPATH": str(site)}
    )
    assert found.stdout.strip() == "Example: three-leg mutual authentication True", found.stderr


@pytest.mark.usefixtures("installed")
def test_package_is_loaded_on_first_use_and_enumerated() -> None:
    authority = lsa()
    assert "credssp_example_package" not in sys.modules
    assert authority.query_security_package_info("CREDSSP").name == "CREDSSP"
    assert "credssp_example_package" not in sys.modules
    names = [info.name for info in authority.enumerate_security_packages()]
    assert "ThreeLeg" in names
    assert "credssp_example_package" in sys.modules


class Recorder:
    """A package module that notes every call into the tables of another one."""

    def __init__(self, module: Any) -> None:
        self.module = module
        self.calls: list[str] = []
        self.packed: list[bytearray] = []
        self.mapped: list[bool] = []

    def _watch(self, table: Any, prefix: str) -> Any:
        changes = {}
        for item in dataclasses.fields(table):
            function = getattr(table, item.name)
            if function is not None:
                changes[item.name] = self._noting(f"{prefix}.{item.name}", function)
        return dataclasses.replace(table, **changes)

    def _noting(self, name: str, function: Any) -> Any:
        def run(*args: Any) -> Any:
            self.calls.append(name)
            if name == "user.init_user_mode_context":
                self.packed.append(args[1])
                assert any(args[1]), "the data is still there when it is handed over"
            result = function(*args)
            if isinstance(result, sspi.LegResult):
                self.mapped.append(result.mapped)
            return result

        return run

    def sp_lsa_mode_initialize(self, version: int) -> Any:
        self.calls.append("sp_lsa_mode_initialize")
        own, tables = self.module.sp_lsa_mode_initialize(version)
        return own, [self._watch(table, "lsa") for table in tables]

    def sp_user_mode_initialize(self, version: int) -> Any:
        self.calls.append("sp_user_mode_initialize")
        own, tables = self.module.sp_user_mode_initialize(version)
        return own, [self._watch(table, "user") for table in tables]


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    monkeypatch.syspath_prepend(str(EXAMPLE))
    return Recorder(importlib.import_module("credssp_example_package"))


def test_three_legs_walk_every_table_call(recorder: Recorder) -> None:
    authority = lsa()
    authority.registry.add(recorder)
    took = recorder.calls
    assert took == ["sp_lsa_mode_initialize", "lsa.initialize", "lsa.get_info"]
    took.clear()

    authority.accept_credentials(2, "alice", credssp.PasswordCredentials("alice", "shared secret"))
    assert took == ["lsa.accept_credentials"]
    client = side(authority, client=True, identity=None)  # the default credentials: those just accepted
    server = side(authority, client=False)
    assert authority.query_credentials_attributes(client.credential, sspi.SECPKG_CRED_ATTR_NAMES) == (
        sspi.SecPkgCredentials_Names("alice")
    )
    assert took[1:] == ["lsa.acquire_credentials_handle"] * 2 + ["lsa.query_credentials_attributes"]
    took.clear()

    # Leg 1 and 2: going on. Leg 3: the client is done, and its token must still be sent. Then the server is done.
    status, output = call(client)
    assert (status, took) == (S.SEC_I_CONTINUE_NEEDED, ["lsa.init_lsa_mode_context"])
    took.clear()
    status, output = call(server, output[0].data)
    assert (status, took) == (S.SEC_I_CONTINUE_NEEDED, ["lsa.accept_lsa_mode_context"])
    took.clear()
    status, output = call(client, output[0].data)
    assert status is S.SEC_E_OK
    assert output[0].size > 0
    # MappedContext: now the user-mode half is started, once, and gets the context's data.
    assert took == [
        "lsa.init_lsa_mode_context",
        "sp_user_mode_initialize",
        "user.instance_init",
        "user.init_user_mode_context",
    ]
    took.clear()
    status, output = call(server, output[0].data)
    assert (status, output[0].size) == (S.SEC_E_OK, 0)
    assert took == ["lsa.accept_lsa_mode_context", "user.init_user_mode_context"]
    assert recorder.mapped == [False, False, True, True]
    assert all(not any(packed) for packed in recorder.packed), "wiped after it was handed over"
    assert len(recorder.packed) == 2
    took.clear()

    # Messages: the user-mode half alone.
    message = sealed(client, b"sealed")
    authority.encrypt_message(client.context, 0, message, 0)
    assert message[1].data != b"sealed"
    authority.decrypt_message(server.context, message, 0)
    assert message[1].data == b"sealed"
    message = sealed(server, b"signed", 32)
    authority.make_signature(server.context, 0, message, 0)
    assert authority.verify_signature(client.context, message, 0) == (SecurityStatus.SEC_E_OK, 0)
    assert took == ["user.seal_message", "user.unseal_message", "user.make_signature", "user.verify_signature"]
    took.clear()

    # Attributes: NAMES is on the list of ContextThunks, SIZES is not.
    assert authority.query_context_attributes(server.context, sspi.SECPKG_ATTR_NAMES).user_name == "alice"
    assert authority.query_context_attributes(server.context, sspi.SECPKG_ATTR_SIZES).security_trailer == 16
    authority.set_context_attributes(server.context, sspi.SECPKG_ATTR_TARGET, "here")
    assert authority.query_context_attributes(server.context, sspi.SECPKG_ATTR_TARGET) == "here"
    assert [name for name in took if name != "lsa.get_extended_information"] == [
        "lsa.query_context_attributes",
        "user.query_context_attributes",
        "lsa.set_context_attributes",
        "lsa.query_context_attributes",
    ]
    assert took.count("lsa.get_extended_information") == 3
    took.clear()

    # Export, import
    packed = authority.export_security_context(server.context, 0)
    copy = sspi.CtxtHandle()
    authority.import_security_context("ThreeLeg", packed, None, copy)
    message = sealed(client, b"to the copy")
    authority.encrypt_message(client.context, 0, message, 0)
    authority.decrypt_message(copy, message, 0)
    assert message[1].data == b"to the copy"
    assert took == ["user.export_context", "user.import_context", "user.seal_message", "user.unseal_message"]
    took.clear()

    authority.apply_control_token(client.context, SecBufferDesc([SecBuffer(sspi.SECBUFFER_TOKEN, b"stop")]))
    authority.delete_security_context(client.context)
    authority.delete_security_context(copy)
    authority.free_credentials_handle(client.credential)
    authority.delete_security_package("ThreeLeg")
    assert took == [
        "lsa.apply_control_token",
        "user.delete_user_mode_context",
        "lsa.delete_context",
        "user.delete_user_mode_context",
        "lsa.free_credentials_handle",
        "lsa.shutdown",
        "user.delete_user_mode_context",
        "lsa.delete_context",
    ]
    with pytest.raises(SSPIError) as caught:
        authority.query_security_package_info("ThreeLeg")
    assert caught.value.status is S.SEC_E_SECPKG_NOT_FOUND


def test_complete_auth_token_gives_complete_needed_and_complete_and_continue(recorder: Recorder) -> None:
    authority = lsa()
    authority.registry.add(recorder)
    client = side(authority, client=True, flags=ALLOCATE | sspi.ISC_REQ_USE_DCE_STYLE)
    server = side(authority, client=False)
    _, output = call(client)
    status, output = call(server, output[0].data)
    assert status is S.SEC_I_COMPLETE_AND_CONTINUE
    authority.complete_auth_token(server.context, output)
    status, output = call(client, output[0].data)
    assert status is S.SEC_I_COMPLETE_NEEDED
    # Not complete before the token is: the context does not protect anything yet.
    with pytest.raises(SSPIError) as caught:
        authority.encrypt_message(client.context, 0, sealed(client, b"x"), 0)
    assert caught.value.status is S.SEC_E_INVALID_HANDLE
    authority.complete_auth_token(client.context, output)
    authority.encrypt_message(client.context, 0, sealed(client, b"x"), 0)
    status, _ = call(server, output[0].data)
    assert status is S.SEC_E_OK
    assert recorder.calls.count("user.complete_auth_token") == 2


def test_initialize_security_context_returns_complete_and_continue(recorder: Recorder) -> None:
    authority = lsa()
    authority.registry.add(recorder)
    flags = ALLOCATE | sspi.ISC_REQ_USE_DCE_STYLE | sspi.ISC_REQ_USE_SESSION_KEY
    client, server = side(authority, client=True, flags=flags), side(authority, client=False)
    _, output = call(client)
    _, output = call(server, output[0].data)
    authority.complete_auth_token(server.context, output)
    status, output = call(client, output[0].data)
    assert status is S.SEC_I_COMPLETE_AND_CONTINUE
    authority.complete_auth_token(client.context, output)
    status, output = call(server, output[0].data)
    assert status is S.SEC_E_OK
    status, _ = call(client, output[0].data)
    assert status is S.SEC_E_OK


def test_token_that_was_not_completed_is_refused(recorder: Recorder) -> None:
    authority = lsa()
    authority.registry.add(recorder)
    client = side(authority, client=True, flags=ALLOCATE | sspi.ISC_REQ_USE_DCE_STYLE)
    server = side(authority, client=False)
    _, output = call(client)
    _, output = call(server, output[0].data)
    with pytest.raises(SSPIError, match="CompleteAuthToken"):
        call(client, output[0].data)


def test_context_data_is_never_shown_to_the_application(recorder: Recorder) -> None:
    assert not {"mapped", "context_data"} & set(sspi.ContextResult._fields)


def test_wrong_secret_is_denied(recorder: Recorder) -> None:
    authority = lsa()
    authority.registry.add(recorder)
    client = side(authority, client=True, identity=sspi.SecWinntAuthIdentity("alice", "", "guess"))
    server = side(authority, client=False)
    _, output = call(client)
    _, output = call(server, output[0].data)
    with pytest.raises(SSPIError) as caught:
        call(client, output[0].data)
    assert caught.value.status is S.SEC_E_INVALID_TOKEN


@pytest.mark.parametrize(
    ("lsa_entry", "call_it"),
    [
        ("acquire_credentials_handle", lambda a, c: side(a, client=True)),
        ("query_credentials_attributes", lambda a, c: a.query_credentials_attributes(c.credential, 1)),
        ("init_lsa_mode_context", lambda a, c: call(first_leg(c, client=True))),
        ("accept_lsa_mode_context", lambda a, c: call(first_leg(c, client=False), b"x")),
        ("apply_control_token", lambda a, c: a.apply_control_token(c.context, SecBufferDesc())),
        ("query_context_attributes", lambda a, c: a.query_context_attributes(c.context, sspi.SECPKG_ATTR_NAMES)),
        ("set_context_attributes", lambda a, c: a.set_context_attributes(c.context, 1, 1)),
    ],
)
def test_missing_lsa_entry_is_unsupported_function(recorder: Recorder, lsa_entry: str, call_it: Any) -> None:
    authority = lsa()
    (package,) = authority.registry.add(recorder)
    client = side(authority, client=True)
    call(client)
    package.table = dataclasses.replace(package.table, **{lsa_entry: None})
    with pytest.raises(SSPIError) as caught:
        call_it(authority, client)
    assert caught.value.status is S.SEC_E_UNSUPPORTED_FUNCTION


@pytest.mark.parametrize(
    ("entry", "call_it"),
    [
        ("make_signature", lambda a, c: a.make_signature(c.context, 0, sealed(c, b"x", 32), 0)),
        ("verify_signature", lambda a, c: a.verify_signature(c.context, sealed(c, b"x", 32), 0)),
        ("seal_message", lambda a, c: a.encrypt_message(c.context, 0, sealed(c, b"x"), 0)),
        ("unseal_message", lambda a, c: a.decrypt_message(c.context, sealed(c, b"x"), 0)),
        ("complete_auth_token", lambda a, c: a.complete_auth_token(c.context, sealed(c, b"x"))),
        ("export_context", lambda a, c: a.export_security_context(c.context, 0)),
        ("import_context", lambda a, c: a.import_security_context("ThreeLeg", b"", None, sspi.CtxtHandle())),
    ],
)
def test_missing_user_mode_entry_is_unsupported_function(recorder: Recorder, entry: str, call_it: Any) -> None:
    authority = lsa()
    (package,) = authority.registry.add(recorder)
    client, server = side(authority, client=True), side(authority, client=False)
    _, output = call(client)
    _, output = call(server, output[0].data)
    call(client, output[0].data)
    package.user_mode = dataclasses.replace(package.user_mode, **{entry: None})
    with pytest.raises(SSPIError) as caught:
        call_it(authority, client)
    assert caught.value.status is S.SEC_E_UNSUPPORTED_FUNCTION
    # Without the entries that only matter at the border, everything else goes on.
    package.user_mode = dataclasses.replace(package.user_mode, delete_user_mode_context=None)
    assert authority.delete_security_context(client.context) is S.SEC_E_OK


def test_package_without_user_mode_half_cannot_map(recorder: Recorder) -> None:
    authority = lsa()
    (package,) = authority.registry.add(recorder)
    package.dll.module = object()  # type: ignore[assignment]
    client, server = side(authority, client=True), side(authority, client=False)
    _, output = call(client)
    _, output = call(server, output[0].data)
    with pytest.raises(SSPIError) as caught:
        call(client, output[0].data)
    assert caught.value.status is S.SEC_E_UNSUPPORTED_FUNCTION
    with pytest.raises(SSPIError) as caught:
        call(client, b"again")
    assert caught.value.status is S.SEC_E_INVALID_HANDLE

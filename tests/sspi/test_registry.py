"""Which packages there are, how they are loaded, and that a broken one harms nobody else."""

from __future__ import annotations

import logging
import sys
import types
from pathlib import Path
from typing import Any

import pytest

import credssp.sspi as sspi
from credssp.sspi import SecpkgFunctionTable, SecpkgUserFunctionTable, SecurityStatus, SSPIError
from credssp.sspi.tables import INTERFACE_VERSION, SecPkgInfo, members
from tests.sspi.pair import OK, credential, lsa, make

S = SecurityStatus


def info(name: str) -> SecPkgInfo:
    return SecPkgInfo(0, 1, 0xFFFF, 100, name, "test")


class Module:
    """A package DLL with tables of the test's choice."""

    def __init__(self, *tables: SecpkgFunctionTable, user: tuple[SecpkgUserFunctionTable, ...] = ()) -> None:
        self.tables = tables
        self.user = user

    def sp_lsa_mode_initialize(self, version: int) -> tuple[int, Any]:
        assert version == INTERFACE_VERSION
        return version, self.tables

    def sp_user_mode_initialize(self, version: int) -> tuple[int, Any]:
        return version, self.user


def status_of(call: Any, *args: Any) -> SecurityStatus:
    with pytest.raises(SSPIError) as caught:
        call(*args)
    return caught.value.status


# What is shipped (sspi_credssp.md 7.1)


@pytest.mark.parametrize(
    ("name", "capabilities", "rpc_id"),
    [("credssp", 0x00810733, 0xFFFF), ("TsSsp", 0x00010230, 0x16), ("SCHANNEL", 0x000107B3, 14)],
)
def test_shipped_packages_say_what_windows_says(name: str, capabilities: int, rpc_id: int) -> None:
    found = lsa().query_security_package_info(name)
    assert (found.capabilities, found.rpc_id, found.version) == (capabilities, rpc_id, 1)


def test_enumerate_lists_all_packages() -> None:
    names = {package.name for package in lsa().enumerate_security_packages()}
    assert {"CREDSSP", "TSSSP", "Negotiate", "NTLM", "Schannel"} <= names


def test_schannel_has_its_other_name() -> None:
    assert lsa().query_security_package_info(sspi.UNISP_NAME).name == "Schannel"


def test_kerberos_without_its_libraries_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("credssp.sspi.packages.kerberos.kerberos_missing", lambda: "install gssapi")
    authority = lsa()
    with pytest.raises(SSPIError, match="install gssapi") as caught:
        authority.query_security_package_info("Kerberos")
    assert caught.value.status is S.SEC_E_SECPKG_NOT_FOUND
    assert "Kerberos" not in [package.name for package in authority.enumerate_security_packages()]
    assert [problem.name for problem in authority.registry.problems] == ["Kerberos"]


def test_kerberos_with_its_libraries_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("credssp.sspi.packages.kerberos.kerberos_missing", lambda: None)
    authority = lsa()
    assert authority.query_security_package_info("Kerberos").rpc_id == 16
    handle = credential(authority, sspi.SecWinntAuthIdentity("alice", "LAB", "x"), package="Kerberos")
    assert handle.is_valid


# The order of the tables is the interface (ssp_architecture.md 3.1 and 4.1)


def test_tables_have_the_order_of_the_header() -> None:
    lsa_mode = members(SecpkgFunctionTable)
    assert len(lsa_mode) == 43
    for number, name in (
        (1, "initialize_package"),
        (9, "initialize"),
        (13, "acquire_credentials_handle"),
        (19, "init_lsa_mode_context"),
        (20, "accept_lsa_mode_context"),
        (22, "apply_control_token"),
        (25, "query_context_attributes"),
        (28, "set_context_attributes"),
        (37, "get_remote_cred_guard_logon_buffer"),
        (43, "extract_target_info"),
    ):
        assert lsa_mode[number - 1] == name
    user_mode = members(SecpkgUserFunctionTable)
    assert len(user_mode) == 15
    for number, name in ((1, "instance_init"), (5, "seal_message"), (9, "complete_auth_token"), (14, "import_context")):
        assert user_mode[number - 1] == name


# Adding and removing


def test_packages_of_a_module_get_numbers_and_their_start_parameters() -> None:
    started: list[Any] = []
    authority = lsa()
    tables = [
        SecpkgFunctionTable(get_info=lambda name=name: info(name), initialize=lambda *args: started.append(args))
        for name in ("One", "Two")
    ]
    one, two = authority.registry.add(Module(*tables))
    assert (one.info.name, two.info.name) == ("One", "Two")
    assert [args[0] for args in started] == [one.id, two.id]
    _, parameters, support = started[0]
    assert parameters["machine_state"] & 0x10
    assert support is authority.support
    assert status_of(authority.registry.add, Module(tables[0])) is S.SEC_E_CANNOT_INSTALL


def test_add_security_package_imports_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("made_up_package")
    module.inner = Module(SecpkgFunctionTable(get_info=lambda: info("MadeUp")))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "made_up_package", module)
    assert sspi.add_security_package("made_up_package:inner") is OK
    assert sspi.query_security_package_info("madeup").name == "MadeUp"
    assert sspi.delete_security_package("MadeUp") is OK
    assert status_of(sspi.query_security_package_info, "MadeUp") is S.SEC_E_SECPKG_NOT_FOUND
    assert status_of(sspi.add_security_package, "no_such_module") is S.SEC_E_SECPKG_NOT_FOUND
    assert status_of(sspi.add_security_package, "made_up_package") is S.SEC_E_CANNOT_INSTALL
    assert status_of(sspi.add_security_package, 5) is S.SEC_E_CANNOT_INSTALL
    assert status_of(sspi.add_security_package, "x", object()) is S.SEC_E_UNSUPPORTED_FUNCTION


def test_shipped_packages_stay() -> None:
    assert status_of(lsa().delete_security_package, "CREDSSP") is S.SEC_E_UNSUPPORTED_FUNCTION
    assert status_of(lsa().delete_security_package, "nosuch") is S.SEC_E_SECPKG_NOT_FOUND


def test_package_that_does_not_start_cannot_be_installed() -> None:
    def broken(*args: Any) -> None:
        raise ValueError("no luck")

    authority = lsa()
    assert status_of(authority.registry.add, Module(SecpkgFunctionTable())) is S.SEC_E_CANNOT_INSTALL
    table = SecpkgFunctionTable(get_info=lambda: info("X"), initialize=broken)
    with pytest.raises(SSPIError, match="no luck") as caught:
        authority.registry.add(Module(table))
    assert caught.value.status is S.SEC_E_CANNOT_INSTALL
    assert status_of(authority.query_security_package_info, "X") is S.SEC_E_SECPKG_NOT_FOUND


# Entry points


def distribution(folder: Path, name: str, entries: str, module: str = "") -> None:
    """Write what an installer leaves of a distribution."""
    info_folder = folder / f"{name}-1.0.dist-info"
    info_folder.mkdir(parents=True)
    (info_folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info_folder / "entry_points.txt").write_text(f"[credssp.security_packages]\n{entries}\n")
    if module:
        (folder / f"{name}.py").write_text(module)


GOOD = """
from credssp.sspi import SecpkgFunctionTable, SecPkgInfo
def sp_lsa_mode_initialize(version):
    return version, [SecpkgFunctionTable(get_info=lambda: SecPkgInfo(0, 1, 0xFFFF, 1, "Good", ""))]
"""


@pytest.mark.parametrize(
    ("entries", "module", "reason"),
    [
        ("Broken = broken_package", "raise RuntimeError('does not import')", "does not import"),
        ("Broken = broken_package:missing", "", "missing"),
        ("Broken = not_there", "", "not_there"),
        ("Broken = broken_package", "def sp_lsa_mode_initialize(version): return version, []", "of that name"),
        ("Broken = broken_package", "sp_lsa_mode_initialize = 5", "int"),
    ],
)
def test_broken_package_is_reported_and_takes_nobody_down(
    entries: str,
    module: str,
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    distribution(tmp_path, "broken_package", entries, module or "pass\n")
    distribution(tmp_path, "good_package", "Good = good_package", GOOD)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "broken_package", raising=False)
    monkeypatch.delitem(sys.modules, "good_package", raising=False)
    authority = lsa()
    assert "broken_package" not in sys.modules
    with caplog.at_level(logging.WARNING, logger="credssp.sspi"):
        names = [package.name for package in authority.enumerate_security_packages()]
    assert "Good" in names
    assert "Broken" not in names
    (problem,) = [problem for problem in authority.registry.problems if problem.name == "Broken"]
    assert reason in problem.reason
    assert "entry point" in problem.origin
    assert "Broken" in caplog.text
    for _ in range(2):
        assert status_of(authority.query_security_package_info, "broken") is S.SEC_E_SECPKG_NOT_FOUND
    assert make(authority=authority).run()


def test_third_party_does_not_replace_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    distribution(tmp_path, "impostor", "CredSSP = impostor", GOOD)
    monkeypatch.syspath_prepend(str(tmp_path))
    authority = lsa()
    assert authority.query_security_package_info("CREDSSP").comment.startswith("Microsoft")
    assert [problem.name for problem in authority.registry.problems] == ["CredSSP"]
    assert sspi.ENTRY_POINT_GROUP == "credssp.security_packages"
    assert isinstance(sspi.package_problems(), tuple)


# A package whose functions fail


def test_packages_that_raise_are_statuses_and_leave_the_rest_alone() -> None:
    def broken(*args: Any) -> Any:
        raise KeyError("secret")

    names = (
        "accept_credentials",
        "shutdown",
        "delete_context",
        "query_credentials_attributes",
        "free_credentials_handle",
        "get_extended_information",
    )
    table = SecpkgFunctionTable(
        get_info=lambda: info("Broken"),
        acquire_credentials_handle=lambda *args: ("credential", 5),
        init_lsa_mode_context=lambda *args: sspi.LegResult(
            status=OK, context="context", mapped=True, context_data=bytearray(b"data")
        ),
        accept_lsa_mode_context=lambda *args: "no LegResult",  # type: ignore[arg-type, return-value]
        **dict.fromkeys(names, broken),
    )
    user = SecpkgUserFunctionTable(
        init_user_mode_context=lambda *args: None, delete_user_mode_context=broken, seal_message=broken
    )
    authority = lsa()
    authority.registry.add(Module(table, user=(user,)))
    authority.accept_credentials(2, "alice", None)
    handle = sspi.CredHandle()
    assert authority.acquire_credentials_handle(None, "Broken", 3, None, None, None, None, handle).expiry == 5
    internal = S.SEC_E_INTERNAL_ERROR
    assert status_of(authority.query_credentials_attributes, handle, 1) is internal
    context = sspi.CtxtHandle()
    output = sspi.SecBufferDesc([sspi.SecBuffer(sspi.SECBUFFER_TOKEN)])
    assert status_of(
        authority.accept_security_context, handle, None, None, sspi.ASC_REQ_ALLOCATE_MEMORY, 0, context, output
    ) is internal  # fmt: skip
    authority.initialize_security_context(
        handle, None, None, sspi.ISC_REQ_ALLOCATE_MEMORY, 0, 0, None, 0, context, output
    )
    assert status_of(authority.encrypt_message, context, 0, sspi.SecBufferDesc(), 0) is internal
    assert status_of(authority.query_context_attributes, context, 1) is S.SEC_E_INTERNAL_ERROR
    assert authority.delete_security_context(context) is OK
    assert status_of(authority.free_credentials_handle, handle) is internal
    assert status_of(authority.free_credentials_handle, handle) is S.SEC_E_INVALID_HANDLE
    assert authority.delete_security_package("Broken") is OK
    assert {problem.origin for problem in authority.registry.problems} >= {
        "SpAcceptCredentials",
        "deleting a context",
        "SpShutdown",
    }


def test_context_data_that_the_user_mode_half_does_not_take_ends_the_context() -> None:
    authority = lsa()
    for half in ("Schannel", "NTLM"):
        package = authority.registry.find(half)
        with pytest.raises(SSPIError) as caught:
            package.user_entry("init_user_mode_context")(1, bytearray(b"never shared"))
        assert caught.value.status is S.SEC_E_INVALID_TOKEN
    table = SecpkgFunctionTable(
        get_info=lambda: info("Odd"),
        acquire_credentials_handle=lambda *args: ("credential", 5),
        init_lsa_mode_context=lambda *args: sspi.LegResult(status=OK, context="c", mapped=True),
    )
    authority.registry.add(Module(table, user=(SecpkgUserFunctionTable(init_user_mode_context=lambda *args: 1 / 0),)))  # type: ignore[arg-type, return-value]
    handle, context = sspi.CredHandle(), sspi.CtxtHandle()
    authority.acquire_credentials_handle(None, "Odd", 2, None, None, None, None, handle)
    output = sspi.SecBufferDesc([sspi.SecBuffer(sspi.SECBUFFER_TOKEN)])
    assert status_of(
        authority.initialize_security_context, handle, None, None, 0x100, 0, 0, None, 0, context, output
    ) is S.SEC_E_INTERNAL_ERROR  # fmt: skip
    assert authority.delete_security_context(context) is OK


def test_shared_objects_are_claimed_once() -> None:
    authority = lsa()
    key = authority.memory.share("object")
    assert authority.memory.claim(key) == "object"
    assert status_of(authority.memory.claim, key) is S.SEC_E_INVALID_TOKEN
    make(authority=authority).run()
    assert len(authority.memory) == 0, "every context's data was handed over"

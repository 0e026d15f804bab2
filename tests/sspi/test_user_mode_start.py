"""How the user-mode halves start, what they get, which statuses packages return, and how it all ends."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

import credssp.sspi as sspi
from credssp.sspi import LegResult, SecBuffer, SecpkgFunctionTable, SecpkgUserFunctionTable, SecurityStatus, SSPIError
from credssp.sspi.support import DllFunctions
from credssp.sspi.tables import INTERFACE_VERSION, SecPkgInfo
from credssp.status import NTStatus
from tests.sspi.pair import DREP, OK, lsa, token_in, token_out

S = SecurityStatus
ALLOCATE = sspi.ISC_REQ_ALLOCATE_MEMORY


def lsa_table(name: str, **members: Any) -> SecpkgFunctionTable:
    """A package whose first leg is its last, and is mapped."""
    defaults: dict[str, Any] = {
        "get_info": lambda: SecPkgInfo(0, 1, 0xFFFF, 100, name, "test"),
        "acquire_credentials_handle": lambda *args: ("credential", 5),
        "init_lsa_mode_context": lambda *args: LegResult(
            status=OK, context="context", mapped=True, context_data=bytearray(b"data")
        ),
    }
    return SecpkgFunctionTable(**{**defaults, **members})


class Half:
    """A user-mode half that knows which contexts it was given."""

    def __init__(self, **members: Any) -> None:
        self.contexts: set[int] = set()
        self.functions: list[DllFunctions] = []
        self.table = replace(
            SecpkgUserFunctionTable(
                instance_init=lambda version, functions: self.functions.append(functions),
                init_user_mode_context=lambda context, packed: self.contexts.add(context),
                seal_message=lambda context, *args: None if context in self.contexts else S.SEC_E_INVALID_HANDLE,  # type: ignore[arg-type, return-value]
            ),
            **members,
        )


class Dll:
    """A module with packages; every start makes new user-mode halves, as one more copy of a DLL would."""

    def __init__(self, *names: str, **members: Any) -> None:
        self.names = names
        self.members = members
        self.starts = 0
        self.halves: list[Half] = []

    def sp_lsa_mode_initialize(self, version: int) -> Any:
        return version, [lsa_table(name) for name in self.names]

    def sp_user_mode_initialize(self, version: int) -> Any:
        self.starts += 1
        self.halves = [Half(**self.members) for _ in self.names]
        return version, [half.table for half in self.halves]


def begin(authority: sspi.LocalSecurityAuthority, package: str) -> sspi.CtxtHandle:
    """Make a context of a package whose first leg is its last."""
    handle, context = sspi.CredHandle(), sspi.CtxtHandle()
    authority.acquire_credentials_handle(None, package, sspi.SECPKG_CRED_OUTBOUND, None, None, None, None, handle)
    authority.initialize_security_context(handle, None, None, ALLOCATE, 0, DREP, None, 0, context, token_out())
    return context


def failed(call: Any, *args: Any) -> SSPIError:
    with pytest.raises(SSPIError) as caught:
        call(*args)
    return caught.value


# SpUserModeInitialize and SpInstanceInit


def test_user_mode_initialize_is_called_once_per_dll_and_instance_init_for_each_package() -> None:
    dll = Dll("One", "Two")
    authority = lsa()
    authority.registry.add(dll)
    assert dll.starts == 0
    for package in ("One", "Two", "One"):
        begin(authority, package)
        assert dll.starts == 1
        assert [len(half.functions) for half in dll.halves] == [1, 1]
    assert [len(half.contexts) for half in dll.halves] == [2, 1]


def test_slow_instance_init_loses_no_context_of_several_threads() -> None:
    threads = 4
    entered, all_there = threading.Semaphore(0), threading.Event()

    def slow(version: int, functions: DllFunctions) -> None:
        entered.release()
        all_there.wait(30)

    dll = Dll("Slow", instance_init=slow)
    authority = lsa()
    authority.registry.add(dll)
    with ThreadPoolExecutor(threads) as pool:
        running = [pool.submit(begin, authority, "Slow") for _ in range(threads)]
        assert entered.acquire(timeout=30)
        assert not entered.acquire(timeout=0.5), "a second start, while the first is under way"
        assert not dll.halves[0].contexts, "a context that did not wait for the start"
        all_there.set()
        contexts = [future.result(30) for future in running]
    assert dll.starts == 1
    for context in contexts:
        assert authority.encrypt_message(context, 0, sspi.SecBufferDesc(), 0) is OK


def test_instance_init_may_use_sspi_itself() -> None:
    authority = lsa()
    inside: list[sspi.CtxtHandle] = []

    def recurse(version: int, functions: DllFunctions) -> None:
        inside.append(begin(authority, "Recursive"))

    dll = Dll("Recursive", instance_init=recurse)
    authority.registry.add(dll)
    begin(authority, "Recursive")
    assert (dll.starts, len(inside)) == (1, 1)


def test_instance_init_that_fails_affects_its_own_package_and_may_be_tried_again() -> None:
    luck = iter([False, True])

    def instance_init(version: int, functions: DllFunctions) -> int:
        return 0 if next(luck, True) else NTStatus.STATUS_NO_MEMORY

    dll = Dll("One", "Two")
    bad = SecpkgUserFunctionTable(instance_init=instance_init, init_user_mode_context=lambda *args: None)  # type: ignore[arg-type]
    good = Half()
    starts = []
    dll.sp_user_mode_initialize = lambda version: starts.append(version) or (version, [bad, good.table])  # type: ignore[method-assign, func-returns-value]
    authority = lsa()
    authority.registry.add(dll)
    begin(authority, "Two")  # the failure of One is not its business
    begin(authority, "One")
    assert starts == [INTERFACE_VERSION]
    luck = iter([False, True])
    authority = lsa()
    authority.registry.add(dll)
    assert failed(begin, authority, "One").status is S.SEC_E_INSUFFICIENT_MEMORY
    begin(authority, "One")


# SECPKG_DLL_FUNCTIONS, and what belongs to it in LSA_SECPKG_FUNCTION_TABLE


def dll_functions(authority: sspi.LocalSecurityAuthority) -> DllFunctions:
    dll = Dll("Heap")
    authority.registry.add(dll)
    begin(authority, "Heap")
    return dll.halves[0].functions[0]


def test_heap_is_zeroed_when_handed_out_and_wiped_when_given_back() -> None:
    authority = lsa()
    functions = dll_functions(authority)
    for allocate, free in (
        (functions.allocate_heap, functions.free_heap),
        (authority.support.allocate_lsa_heap, authority.support.free_lsa_heap),
    ):
        memory = allocate(5)
        assert memory == bytes(5)
        memory[:] = b"key 1"
        free(memory)
        assert memory == bytes(5)
        free(None)
        for wrong in (-1, "5"):
            assert failed(allocate, wrong).status is S.SEC_E_INVALID_PARAMETER
        assert failed(allocate, 1 << 70).status is S.SEC_E_INSUFFICIENT_MEMORY


def test_lsa_mode_half_calls_what_the_user_mode_half_registered() -> None:
    authority = lsa()
    functions = dll_functions(authority)
    given, output = SecBuffer(sspi.SECBUFFER_DATA, b"question"), SecBuffer(sspi.SECBUFFER_DATA, bytearray(8))

    def answer(one: object, two: object, question: SecBuffer, reply: SecBuffer) -> int | None:
        reply.buffer[:] = question.data.upper()  # type: ignore[index]
        return None if one == 1 else NTStatus.STATUS_ACCESS_DENIED

    functions.register_callback(7, answer)
    assert authority.support.client_callback(7, 1, 2, given, output) is OK
    assert output.data == b"QUESTION"
    assert failed(authority.support.client_callback, 7, 0, 0, given, output).ntstatus == NTStatus.STATUS_ACCESS_DENIED
    assert failed(authority.support.client_callback, 8, 1, 2, given, output).status is S.SEC_E_INVALID_PARAMETER
    functions.register_callback(7, answer)  # the same again is fine
    assert failed(functions.register_callback, 7, print).status is S.SEC_E_INVALID_PARAMETER
    assert failed(functions.register_callback, 9, None).status is S.SEC_E_INVALID_PARAMETER


def test_packages_are_located_by_their_number() -> None:
    authority = lsa()
    functions = dll_functions(authority)
    number = authority.registry.find("Heap").id
    found = functions.locate_package_by_id(number)
    assert found is not None
    assert found.name == "Heap"
    assert functions.locate_package_by_id(number + 1) is None


# What packages return: STATUS_SUCCESS, and NTSTATUS that are failures


@pytest.mark.parametrize("success", [0, NTStatus.STATUS_SUCCESS, S.SEC_E_OK])
def test_status_success_of_a_leg_completes_the_context(success: Any) -> None:
    authority = lsa()
    table = lsa_table(
        "Plain", init_lsa_mode_context=lambda *args: LegResult(status=success, context="c", token=b"last")
    )
    authority.registry.add(_Tables(table))
    handle, context, output = sspi.CredHandle(), sspi.CtxtHandle(), token_out()
    authority.acquire_credentials_handle(None, "Plain", 2, None, None, None, None, handle)
    result = authority.initialize_security_context(handle, None, None, ALLOCATE, 0, DREP, None, 0, context, output)
    assert result.status is OK
    assert output[0].data == b"last"
    error = failed(authority.encrypt_message, context, 0, sspi.SecBufferDesc(), 0)
    assert error.status is S.SEC_E_UNSUPPORTED_FUNCTION, "complete, and no user-mode half"


class _Tables:
    def __init__(self, *tables: SecpkgFunctionTable) -> None:
        self.tables = tables

    def sp_lsa_mode_initialize(self, version: int) -> Any:
        return version, self.tables


@pytest.mark.parametrize(
    ("returned", "status", "ntstatus"),
    [
        (NTStatus.STATUS_LOGON_FAILURE, S.SEC_E_LOGON_DENIED, 0xC000006D),
        (0xC000006D - (1 << 32), S.SEC_E_LOGON_DENIED, 0xC000006D),
        (NTStatus.STATUS_NO_LOGON_SERVERS, S.SEC_E_NO_AUTHENTICATING_AUTHORITY, 0xC000005E),
        (S.SEC_E_INVALID_TOKEN, S.SEC_E_INVALID_TOKEN, None),
        ("fine", S.SEC_E_INTERNAL_ERROR, None),
        (5, S.SEC_E_INTERNAL_ERROR, None),
    ],
)
def test_failure_that_a_leg_returns_ends_the_context_and_its_token_is_delivered(
    returned: Any, status: SecurityStatus, ntstatus: int | None
) -> None:
    authority = lsa()
    legs = iter([S.SEC_I_CONTINUE_NEEDED, returned])
    table = lsa_table(
        "Fails", init_lsa_mode_context=lambda *args: LegResult(status=next(legs), context="c", token=b"told")
    )
    authority.registry.add(_Tables(table))
    context = begin(authority, "Fails")
    output = token_out()
    error = failed(
        authority.initialize_security_context, None, context, None, ALLOCATE, 0, DREP, token_in(b"x"), 0, None, output
    )
    assert (error.status, error.ntstatus) == (status, ntstatus)
    if status is not S.SEC_E_INTERNAL_ERROR:
        assert output[0].data == b"told"
    assert failed(authority.query_context_attributes, context, 0).status is S.SEC_E_INVALID_HANDLE


def test_other_functions_return_a_status_or_nothing() -> None:
    authority = lsa()
    answer: list[Any] = [None]
    tell = lambda *args: answer[0]  # noqa: E731
    table = lsa_table(
        "Tells",
        free_credentials_handle=tell,
        apply_control_token=tell,
        set_context_attributes=tell,
        delete_context=tell,
    )
    user = SecpkgUserFunctionTable(
        init_user_mode_context=tell,
        seal_message=tell,
        make_signature=tell,
        complete_auth_token=tell,
        unseal_message=lambda *args: (answer[0], 0),
        import_context=tell,
    )
    module = _Tables(table)
    module.sp_user_mode_initialize = lambda version: (version, [user])  # type: ignore[attr-defined]
    authority.registry.add(module)
    handle = sspi.CredHandle()
    context = begin(authority, "Tells")
    message = sspi.SecBufferDesc()
    calls: list[tuple[Any, ...]] = [
        (authority.apply_control_token, context, message),
        (authority.set_context_attributes, context, 1, 1),
        (authority.encrypt_message, context, 0, message, 0),
        (authority.make_signature, context, 0, message, 0),
        (authority.complete_auth_token, context, message),
        (authority.import_security_context, "Tells", b"", None, sspi.CtxtHandle()),
    ]
    for success in (None, 0, NTStatus.STATUS_SUCCESS, OK, True, 0x103):
        answer[0] = success
        for call, *args in calls:
            assert call(*args) is OK
        assert authority.decrypt_message(context, message, 0).status is OK
        authority.acquire_credentials_handle(None, "Tells", 2, None, None, None, None, handle)
        assert authority.free_credentials_handle(handle) is OK
    answer[0] = S.SEC_I_RENEGOTIATE
    assert authority.encrypt_message(context, 0, message, 0) is S.SEC_I_RENEGOTIATE
    answer[0] = NTStatus.STATUS_INSUFFICIENT_RESOURCES
    for call, *args in [*calls, (authority.decrypt_message, context, message, 0)]:
        error = failed(call, *args)
        assert (error.status, error.ntstatus) == (S.SEC_E_INSUFFICIENT_MEMORY, 0xC000009A)
    authority.acquire_credentials_handle(None, "Tells", 2, None, None, None, None, handle)
    assert failed(authority.free_credentials_handle, handle).status is S.SEC_E_INSUFFICIENT_MEMORY
    assert failed(begin, authority, "Tells").status is S.SEC_E_INSUFFICIENT_MEMORY
    assert authority.delete_security_context(context) is OK, "and the failure is reported"
    assert "deleting a context" in [problem.origin for problem in authority.registry.problems]


def test_package_whose_initialize_returns_a_failure_is_not_installed() -> None:
    stopped: list[str] = []
    tables = [
        lsa_table("First", shutdown=lambda: stopped.append("First")),
        lsa_table("Second", initialize=lambda *args: NTStatus.STATUS_NO_MEMORY, shutdown=lambda: stopped.append("2")),
    ]
    authority = lsa()
    assert failed(authority.registry.add, _Tables(*tables)).status is S.SEC_E_CANNOT_INSTALL
    assert stopped == ["First"], "what had been started is stopped again"
    assert failed(authority.query_security_package_info, "First").status is S.SEC_E_SECPKG_NOT_FOUND


# SpShutdown

PROGRAM = """
import credssp.sspi as sspi

def package(name):
    return sspi.SecpkgFunctionTable(
        get_info=lambda: sspi.SecPkgInfo(0, 1, 0xFFFF, 1, name, ""), shutdown=lambda: print("shutdown", name)
    )

class Module:
    @staticmethod
    def sp_lsa_mode_initialize(version):
        return version, [package("One"), package("Two"), package("Gone")]

sspi.add_security_package(Module)
sspi.delete_security_package("Gone")

class Another:
    @staticmethod
    def sp_lsa_mode_initialize(version):
        return version, [package("Three")]

own = sspi.LocalSecurityAuthority()
own.add_security_package(Another)
print("ends")
"""

STUCK = """
import threading
import credssp.sspi as sspi
from credssp.sspi import registry

registry._PATIENCE = 0.1
entered = threading.Event()

class Module:
    @staticmethod
    def sp_lsa_mode_initialize(version):
        entered.set()
        threading.Event().wait()

threading.Thread(target=sspi.add_security_package, args=(Module,), daemon=True).start()
entered.wait()
print("ends")
"""


def test_packages_are_shut_down_when_the_process_ends() -> None:
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120, check=True)
    assert run.stdout.split("\n") == ["shutdown Gone", "ends", "shutdown Three", "shutdown Two", "shutdown One", ""], (
        run.stderr
    )


def test_process_ends_though_a_package_does_not_finish_its_start() -> None:
    run = subprocess.run([sys.executable, "-c", STUCK], capture_output=True, text=True, timeout=120, check=True)
    assert run.stdout == "ends\n", run.stderr


def test_packages_are_shut_down_with_their_lsa_and_cannot_be_used_any_more() -> None:
    stopped: list[str] = []
    authority = lsa()
    authority.registry.add(_Tables(lsa_table("One", shutdown=lambda: stopped.append("One"))))
    authority.query_security_package_info("NTLM")
    authority.registry.shut_down()
    authority.registry.shut_down()
    assert stopped == ["One"]
    for package in ("One", "NTLM", "CREDSSP"):
        assert failed(authority.query_security_package_info, package).status is S.SEC_E_SHUTDOWN_IN_PROGRESS
    assert failed(authority.enumerate_security_packages).status is S.SEC_E_SHUTDOWN_IN_PROGRESS
    assert failed(authority.add_security_package, "made_up").status is S.SEC_E_SHUTDOWN_IN_PROGRESS

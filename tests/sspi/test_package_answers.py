"""What a package returns in the place of a result: a failure counts wherever it comes from, nonsense is an error."""

from __future__ import annotations

from typing import Any

import pytest

import credssp.sspi as sspi
from credssp.sspi import LegResult, SecpkgFunctionTable, SecpkgUserFunctionTable, SecurityStatus, SSPIError
from credssp.sspi.tables import NO_EXPIRY, SecPkgInfo
from credssp.status import NTStatus
from tests.sspi.pair import OK, lsa

S = SecurityStatus
INTERNAL = S.SEC_E_INTERNAL_ERROR


class Module:
    """A package all of whose functions with a result return the same, `answer`."""

    def __init__(self) -> None:
        self.answer: Any = None
        self.acquired: Any = ("credential", NO_EXPIRY)

    def tell(self, *_: object) -> Any:
        return self.answer

    def sp_lsa_mode_initialize(self, version: int) -> Any:
        table = SecpkgFunctionTable(
            get_info=lambda: SecPkgInfo(0, 1, 0xFFFF, 100, "Tells", "test"),
            acquire_credentials_handle=lambda *_: self.acquired,
            query_credentials_attributes=self.tell,
            set_credentials_attributes=self.tell,
            add_credentials=self.tell,
            init_lsa_mode_context=lambda *_: LegResult(
                status=OK, context="context", mapped=True, context_data=bytearray(b"data")
            ),
        )
        return version, [table]

    def sp_user_mode_initialize(self, version: int) -> Any:
        table = SecpkgUserFunctionTable(
            init_user_mode_context=lambda *_: None,
            make_signature=self.tell,
            verify_signature=self.tell,
            seal_message=self.tell,
            unseal_message=self.tell,
            get_context_token=self.tell,
            query_context_attributes=self.tell,
            export_context=self.tell,
        )
        return version, [table]


class Program:
    def __init__(self) -> None:
        self.authority = lsa()
        self.module = Module()
        self.authority.registry.add(self.module)
        self.credential = self.authority.acquire_credentials_handle(package="Tells").credential
        self.context = self.authority.initialize_security_context(self.credential).context

    def call(self, name: str, answer: Any) -> Any:
        """Make a call of which the package answers this."""
        self.module.answer = answer
        message, authority = sspi.SecBufferDesc(), self.authority
        return {
            "verify": lambda: authority.verify_signature(self.context, message),
            "decrypt": lambda: authority.decrypt_message(self.context, message),
            "encrypt": lambda: authority.encrypt_message(self.context, 0, message),
            "sign": lambda: authority.make_signature(self.context, 0, message),
            "attribute": lambda: authority.query_context_attributes(self.context, 1),
            "token": lambda: authority.query_security_context_token(self.context),
            "export": lambda: authority.export_security_context(self.context, 0),
            "credential": lambda: authority.query_credentials_attributes(self.credential, 1),
            "set": lambda: authority.set_credentials_attributes(self.credential, 1, 1),
            "add": lambda: authority.add_credentials(self.credential, None, "Tells", 2),
        }[name]()

    def failure(self, name: str, answer: Any) -> SSPIError:
        with pytest.raises(SSPIError) as caught:
            self.call(name, answer)
        return caught.value


ALL = ["verify", "decrypt", "encrypt", "sign", "attribute", "token", "export", "credential", "set", "add"]


@pytest.mark.parametrize("name", ALL)
def test_failure_that_a_package_returns_is_a_failure_of_every_call(name: str) -> None:
    program = Program()
    for answer in (S.SEC_E_MESSAGE_ALTERED, int(S.SEC_E_MESSAGE_ALTERED), S.SEC_E_MESSAGE_ALTERED - (1 << 32)):
        assert program.failure(name, answer).status is S.SEC_E_MESSAGE_ALTERED
    error = program.failure(name, NTStatus.STATUS_INSUFFICIENT_RESOURCES)
    assert (error.status, error.ntstatus) == (S.SEC_E_INSUFFICIENT_MEMORY, 0xC000009A)


def test_signature_is_verified_by_a_number_or_nothing_alone() -> None:
    program = Program()
    assert program.call("verify", None) == (OK, 0)
    assert program.call("verify", 0) == (OK, 0)
    assert program.call("verify", sspi.SECQOP_WRAP_NO_ENCRYPT) == (OK, sspi.SECQOP_WRAP_NO_ENCRYPT)
    assert program.failure("verify", S.SEC_E_INCOMPLETE_MESSAGE).status is S.SEC_E_INCOMPLETE_MESSAGE
    for nonsense in (False, True, "verified", (S.SEC_E_MESSAGE_ALTERED, 0), (OK, 0)):
        assert program.failure("verify", nonsense).status is INTERNAL


def test_message_is_opened_by_a_status_with_or_without_pfqop() -> None:
    program = Program()
    assert program.call("decrypt", (OK, 5)) == (OK, 5)
    for success in (OK, 0, None):
        assert program.call("decrypt", success) == (OK, 0)
    assert program.call("decrypt", (S.SEC_I_CONTEXT_EXPIRED, 0)).status is S.SEC_I_CONTEXT_EXPIRED
    for nonsense in (False, "plain", (OK,), (OK, 0, 0), (OK, None), (False, 0)):
        assert program.failure("decrypt", nonsense).status is INTERNAL


@pytest.mark.parametrize("name", ["encrypt", "sign", "set"])
def test_what_is_not_a_status_is_an_internal_error(name: str) -> None:
    program = Program()
    for nonsense in (False, "sealed", b"", (S.SEC_E_ENCRYPT_FAILURE, 0), (OK, 0)):
        assert program.failure(name, nonsense).status is INTERNAL
    assert program.call(name, None) is OK


def test_what_is_not_bytes_is_not_a_packed_context() -> None:
    program = Program()
    assert program.call("export", b"packed") == b"packed"
    for nonsense in (None, 0, 5, "packed", [1]):
        assert program.failure("export", nonsense).status is INTERNAL


def test_results_that_are_numbers_stay_what_they_are() -> None:
    program = Program()
    assert program.call("add", NO_EXPIRY).expiry == NO_EXPIRY
    assert program.call("attribute", 5) == 5
    assert program.call("credential", True) is True


def test_credential_is_a_pair_or_a_failure() -> None:
    program = Program()
    program.module.acquired = S.SEC_E_NO_CREDENTIALS
    with pytest.raises(SSPIError) as caught:
        program.authority.acquire_credentials_handle(package="Tells")
    assert caught.value.status is S.SEC_E_NO_CREDENTIALS
    for nonsense in (None, 0, ("credential",), ("credential", 5, 5), "ab"):
        program.module.acquired = nonsense
        with pytest.raises(SSPIError) as caught:
            program.authority.acquire_credentials_handle(package="Tells")
        assert caught.value.status is INTERNAL

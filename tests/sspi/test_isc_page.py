"""Statements of InitializeSecurityContext (CredSSP) that no other test shows: order, numbers, attributes, counts."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import credssp.sspi as sspi
from credssp.sspi import LegResult, SecBuffer, SecBufferDesc, SecpkgFunctionTable, SecpkgUserFunctionTable
from credssp.sspi import SecurityStatus as S
from credssp.sspi.attributes import SECPKG_ATTR_THUNK_ALL
from credssp.sspi.tables import SecPkgInfo
from tests.sspi.pair import DREP, ISC, OK, TARGET, credential, lsa, make, token_out

EARNED = sspi.ISC_RET_DELEGATE | sspi.ISC_RET_MUTUAL_AUTH


def test_parameters_have_the_order_of_the_page() -> None:
    client = list(inspect.signature(sspi.initialize_security_context).parameters)
    assert client == [
        "credential",
        "context",
        "target_name",
        "context_req",
        "reserved1",
        "target_data_rep",
        "input",
        "reserved2",
        "new_context",
        "output",
    ]
    assert sspi.ContextResult._fields[:3] == ("status", "attributes", "expiry")


def test_flags_have_the_numbers_of_the_page() -> None:
    assert {
        "ALLOCATE_MEMORY": sspi.ISC_REQ_ALLOCATE_MEMORY,
        "CONNECTION": sspi.ISC_REQ_CONNECTION,
        "EXTENDED_ERROR": sspi.ISC_REQ_EXTENDED_ERROR,
        "MANUAL_CRED_VALIDATION": sspi.ISC_REQ_MANUAL_CRED_VALIDATION,
        "SEQUENCE_DETECT": sspi.ISC_REQ_SEQUENCE_DETECT,
        "STREAM": sspi.ISC_REQ_STREAM,
        "USE_SUPPLIED_CREDS": sspi.ISC_REQ_USE_SUPPLIED_CREDS,
        "DELEGATE": sspi.ISC_REQ_DELEGATE,
        "MUTUAL_AUTH": sspi.ISC_REQ_MUTUAL_AUTH,
    } == {
        "ALLOCATE_MEMORY": 0x100,
        "CONNECTION": 0x800,
        "EXTENDED_ERROR": 0x4000,
        "MANUAL_CRED_VALIDATION": 0x80000,
        "SEQUENCE_DETECT": 0x8,
        "STREAM": 0x8000,
        "USE_SUPPLIED_CREDS": 0x80,
        "DELEGATE": 0x1,
        "MUTUAL_AUTH": 0x2,
    }


def test_attributes_about_security_come_with_the_last_leg_and_those_about_memory_before() -> None:
    both = make().run()
    *before, (last, attributes) = both.client.log
    assert last is OK
    assert attributes & sspi.ISC_RET_DELEGATE
    assert len(before) > 2
    for status, early in before:
        assert status is not OK
        assert not early & EARNED
        assert early & sspi.ISC_RET_ALLOCATED_MEMORY


def test_result_shows_no_token() -> None:
    both = make()
    client = both.client
    args = (client.credential, None, TARGET, ISC, 0, DREP, None, 0, client.context, token_out())
    result = client.authority.initialize_security_context(*args)
    assert len(result.token) > 100
    assert repr(result.token)[2:20] not in repr(result)
    assert f"{len(result.token)} bytes" in repr(result)


@pytest.mark.parametrize("size", [8, -1, 2.0, None])
def test_count_that_is_not_that_of_the_memory_is_an_invalid_token(size: Any) -> None:
    both = make()
    token = both.client.leg()
    desc = SecBufferDesc([SecBuffer(sspi.SECBUFFER_TOKEN, b"\x16\x03\x03", size), SecBuffer()])
    desc[0].size = size
    args = (both.client.credential, both.client.context, TARGET, ISC, 0, DREP, desc, 0, None, token_out())
    with pytest.raises(sspi.SSPIError) as caught:
        both.client.authority.initialize_security_context(*args)
    assert (caught.value.status, caught.value.parameter) == (S.SEC_E_INVALID_TOKEN, "pInput[0]")
    both.run(token)  # the context goes on


def test_name_with_a_terminator_inside_is_no_target() -> None:
    both = make(target="TERMSRV/srv.lab.test\0.attacker.test")
    with pytest.raises(sspi.SSPIError) as caught:
        both.client.leg()
    assert (caught.value.status, caught.value.parameter) == (S.SEC_E_TARGET_UNKNOWN, "pszTargetName")


def test_thunk_all_sends_every_attribute_to_the_lsa_mode_half() -> None:
    asked: list[str] = []
    thunks: list[int] = []

    def answer(half: str) -> Any:
        return lambda context, attribute: asked.append(half) or half  # type: ignore[func-returns-value]

    table = SecpkgFunctionTable(
        get_info=lambda: SecPkgInfo(0, 1, 0xFFFF, 1, "Thunks", ""),
        acquire_credentials_handle=lambda *args: ("credential", 5),
        init_lsa_mode_context=lambda *args: LegResult(status=OK, context="c", mapped=True),
        get_extended_information=lambda information_class: tuple(thunks),
        query_context_attributes=answer("lsa"),
    )
    user = SecpkgUserFunctionTable(init_user_mode_context=lambda *args: None, query_context_attributes=answer("user"))

    class Module:
        @staticmethod
        def sp_lsa_mode_initialize(version: int) -> Any:
            return version, [table]

        @staticmethod
        def sp_user_mode_initialize(version: int) -> Any:
            return version, [user]

    authority = lsa()
    authority.registry.add(Module)
    context = sspi.CtxtHandle()
    handle = credential(authority, None, package="Thunks")
    authority.initialize_security_context(handle, None, None, 0x100, 0, DREP, None, 0, context, token_out())
    for forwarded, half in (([SECPKG_ATTR_THUNK_ALL], "lsa"), ([], "user"), ([7], "lsa")):
        thunks[:] = forwarded
        assert authority.query_context_attributes(context, 7) == half
        assert asked.pop() == half

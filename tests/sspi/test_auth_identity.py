"""The Sspi... functions for identities, InitSecurityInterface, names of statuses, and what FreeContextBuffer takes."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import Any

import pytest

import credssp.sspi as sspi
from credssp.sspi import SecurityStatus, api, statuses
from tests.sspi.pair import DOMAIN, PASSWORD, USER, Pair, Side, credential, lsa, make
from tests.sspi.test_inner_packages import ALLOCATE, WANTED, inner, refused, run

S = SecurityStatus


def identity() -> sspi.OpaqueIdentity:
    return sspi.sspi_encode_strings_as_auth_identity(USER, DOMAIN, PASSWORD)


def strings(packed: Any) -> tuple[str, str, str]:
    found = sspi.sspi_encode_auth_identity_as_strings(packed)
    return found.user_name, found.domain_name, found.packed_credentials_string.reveal()


@pytest.mark.parametrize(
    "given", [(USER, DOMAIN, PASSWORD), ("jürgen@lab.test", None, "Grün-пароль"), (None, None, None)]
)
def test_identity_comes_back_as_strings(given: tuple[str | None, str | None, str | None]) -> None:
    expected = tuple(part or "" for part in given)
    opaque = sspi.sspi_encode_strings_as_auth_identity(*given)
    assert strings(opaque) == expected
    assert strings(sspi.sspi_copy_auth_identity(opaque)) == expected
    assert strings(sspi.sspi_unmarshal_auth_identity(sspi.sspi_marshal_auth_identity(opaque))) == expected


@pytest.mark.parametrize("package", ["NTLM", "Negotiate"])
def test_opaque_identity_logs_on(package: str) -> None:
    assert run(inner(package, identity())).server.query(sspi.SECPKG_ATTR_NAMES).user_name == f"{DOMAIN}\\{USER}"


def test_opaque_identity_logs_on_with_credssp_and_is_delegated() -> None:
    both = make()
    authority = both.client.authority
    both.client.credential = credential(authority, sspi.CredsspCred(spnego_cred=identity()))
    both.run()
    packed = both.server.query(sspi.SECPKG_ATTR_CREDS).auth_buffer
    assert strings(sspi.sspi_unmarshal_auth_identity(packed)) == (USER, DOMAIN, PASSWORD)


def test_identity_without_anything_stands_for_the_default_credentials() -> None:
    both = inner("NTLM", sspi.sspi_encode_strings_as_auth_identity(None))
    assert refused(run, both).status is S.SEC_E_NO_CREDENTIALS, "no one has logged on"
    with_password = inner("NTLM", sspi.sspi_encode_strings_as_auth_identity(None, None, "x"))
    assert refused(run, with_password).status is S.SEC_E_NO_CREDENTIALS


@pytest.mark.parametrize("wipe", [sspi.sspi_zero_auth_identity, sspi.sspi_free_auth_identity])
def test_wiped_identity_holds_nothing_and_is_refused(wipe: Any) -> None:
    opaque = identity()
    copied = sspi.sspi_copy_auth_identity(opaque)
    held = credential(lsa(), opaque, package="NTLM")
    assert PASSWORD.encode("utf-16-le") in opaque.octets()
    wipe(opaque)
    wipe(opaque)
    assert not any(opaque.octets())
    for use in (strings, sspi.sspi_marshal_auth_identity, sspi.sspi_copy_auth_identity):
        assert refused(use, opaque).status is S.SEC_E_INVALID_HANDLE
    assert refused(credential, lsa(), opaque).status is S.SEC_E_UNKNOWN_CREDENTIALS
    assert strings(copied) == (USER, DOMAIN, PASSWORD)
    assert held.is_valid


def test_credential_outlives_the_identity_that_it_was_acquired_with() -> None:
    authority, opaque = lsa(), identity()
    client = Side(authority, credential(authority, opaque, package="NTLM"), WANTED)
    sspi.sspi_free_auth_identity(opaque)
    server = Side(
        authority, credential(authority, package="NTLM", use=sspi.SECPKG_CRED_INBOUND), ALLOCATE, client=False
    )
    assert run(Pair(client, server))


def test_identity_shows_nothing() -> None:
    opaque = identity()
    assert repr(opaque) == "<OpaqueIdentity>"
    assert PASSWORD not in repr(sspi.sspi_encode_auth_identity_as_strings(opaque))
    assert PASSWORD not in repr(sspi.sspi_marshal_auth_identity(opaque))
    for take in (pickle.dumps, copy.copy):
        with pytest.raises(TypeError):
            take(opaque)


@pytest.mark.parametrize(
    ("call", "status"),
    [
        (lambda: sspi.sspi_encode_strings_as_auth_identity(b"alice"), S.SEC_E_INVALID_PARAMETER),  # type: ignore[arg-type]
        (lambda: sspi.sspi_encode_strings_as_auth_identity("a", 1), S.SEC_E_INVALID_PARAMETER),  # type: ignore[arg-type]
        (lambda: sspi.sspi_encode_strings_as_auth_identity("a", "b", b"x"), S.SEC_E_INVALID_PARAMETER),  # type: ignore[arg-type]
        (lambda: sspi.sspi_encode_strings_as_auth_identity("a" * 40000), S.SEC_E_CANNOT_PACK),
        (lambda: sspi.sspi_marshal_auth_identity(sspi.SecWinntAuthIdentity("a", "b", bytes(16))), S.SEC_E_CANNOT_PACK),
        (lambda: sspi.sspi_unmarshal_auth_identity(b"short"), S.SEC_E_INVALID_TOKEN),
        (lambda: sspi.sspi_copy_auth_identity("alice"), S.SEC_E_INVALID_HANDLE),  # type: ignore[arg-type]
        (lambda: sspi.sspi_zero_auth_identity("alice"), S.SEC_E_INVALID_HANDLE),  # type: ignore[arg-type]
    ],
)
def test_identity_that_makes_no_sense_is_refused(call: Any, status: SecurityStatus) -> None:
    assert refused(call).status is status


def test_plain_identity_is_marshalled_with_its_package_list() -> None:
    packed = sspi.sspi_marshal_auth_identity(sspi.SecWinntAuthIdentity(USER, DOMAIN, PASSWORD, "ntlm"))
    assert sspi.sspi_unmarshal_auth_identity(packed).identity().package_list == "ntlm"


def test_function_table_has_the_functions_of_the_process() -> None:
    table = sspi.init_security_interface()
    assert table is sspi.init_security_interface()
    names = [field.name for field in dataclasses.fields(table)]
    assert (names[0], table.version) == ("version", 3)
    for name in names[1:]:
        assert getattr(table, name) == getattr(api, name)
    missing = set(api.__all__) - set(names)
    own = {"configure", "local_security_authority", "package_problems"}
    assert missing == own | {"add_security_package", "delete_security_package"}, "the table of the header has neither"


def test_every_status_is_a_name_of_the_module() -> None:
    assert set(statuses.__all__) == set(SecurityStatus.__members__)
    for name, status in SecurityStatus.__members__.items():
        assert getattr(sspi, name) is status


def test_free_context_buffer_takes_whatever_a_call_returned() -> None:
    both = run(inner("NTLM"))
    client = both.client
    answers = [client.query(number) for number in (0, 1, 2, 3, 5, 6, 10, 12, 14)]
    answers += [client.authority.query_security_package_info("NTLM"), client.authority.enumerate_security_packages()]
    for answer in answers:
        assert sspi.free_context_buffer(answer) is S.SEC_E_OK
    key = client.query(sspi.SECPKG_ATTR_SESSION_KEY)
    assert sspi.free_context_buffer(key) is S.SEC_E_OK
    assert not any(key.session_key)
    for again in (key, key.session_key):
        assert refused(sspi.free_context_buffer, again).status is S.SEC_E_INVALID_HANDLE
    marshalled = sspi.sspi_marshal_auth_identity(identity())
    assert sspi.free_context_buffer(marshalled) is S.SEC_E_OK
    assert not any(marshalled)

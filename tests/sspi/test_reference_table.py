"""docs/reference/sspi.md lists every flag, status, attribute and table entry, each with tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PAGE = (HERE.parents[1] / "docs" / "reference" / "sspi.md").read_text(encoding="utf-8")
TESTS = {
    name
    for path in (*HERE.rglob("test_*.py"), *HERE.parent.glob("kerberos/test_sspi*.py"))
    for name in re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
}

PROMISED = [
    "ISC_REQ_ALLOCATE_MEMORY",
    "ISC_REQ_CONNECTION",
    "ISC_REQ_EXTENDED_ERROR",
    "ISC_REQ_MANUAL_CRED_VALIDATION",
    "ISC_REQ_SEQUENCE_DETECT",
    "ISC_REQ_STREAM",
    "ISC_REQ_USE_SUPPLIED_CREDS",
    "ISC_REQ_DELEGATE",
    "ISC_REQ_MUTUAL_AUTH",
    "SEC_E_OK",
    "SEC_I_CONTINUE_NEEDED",
    "SEC_I_COMPLETE_NEEDED",
    "SEC_I_COMPLETE_AND_CONTINUE",
    "SEC_I_INCOMPLETE_CREDENTIALS",
    "SEC_E_INCOMPLETE_MESSAGE",
    "SEC_E_INSUFFICIENT_MEMORY",
    "SEC_E_INTERNAL_ERROR",
    "SEC_E_INVALID_HANDLE",
    "SEC_E_INVALID_TOKEN",
    "SEC_E_LOGON_DENIED",
    "SEC_E_NO_AUTHENTICATING_AUTHORITY",
    "SEC_E_NO_CREDENTIALS",
    "SEC_E_TARGET_UNKNOWN",
    "SEC_E_UNSUPPORTED_FUNCTION",
    "SEC_E_WRONG_PRINCIPAL",
    "SEC_E_DELEGATION_POLICY",
    "SEC_E_POLICY_NLTM_ONLY",
    "SEC_E_MUTUAL_AUTH_FAILED",
    "SECPKG_ATTR_SIZES",
    "SECPKG_ATTR_STREAM_SIZES",
    "SECPKG_ATTR_PACKAGE_INFO",
    "SECPKG_ATTR_NEGOTIATION_PACKAGE",
    "SECPKG_ATTR_CREDS",
    "SECPKG_ATTR_CREDS_2",
    "SECPKG_ATTR_SERVER_AUTH_FLAGS",
    "SECPKG_ATTR_CERT_TRUST_STATUS",
    "SECPKG_ATTR_REMOTE_CERT_CONTEXT",
    "SECPKG_ATTR_CONNECTION_INFO",
    "SECPKG_ATTR_NAMES",
    "SECPKG_ATTR_LIFESPAN",
    "SECPKG_ATTR_FLAGS",
    "SECPKG_ATTR_ISSUER_LIST_EX",
    "SECPKG_ATTR_SESSION_KEY",
]
ENTRIES = [
    "SpLsaModeInitialize",
    "SpInitialize",
    "SpGetInfo",
    "SpAcceptCredentials",
    "SpAcquireCredentialsHandle",
    "SpInitLsaModeContext",
    "SpAcceptLsaModeContext",
    "SpDeleteContext",
    "SpQueryContextAttributes",
    "SpUserModeInitialize",
    "SpInstanceInit",
    "SpInitUserModeContext",
    "SpMakeSignature",
    "SpVerifySignature",
    "SpSealMessage",
    "SpUnsealMessage",
    "SpCompleteAuthToken",
    "SpExportContext",
    "SpImportContext",
]


def row(name: str) -> str:
    """The row that begins with a name, or with a list that holds it."""
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and name in re.split(r"[,\s]+", cells[0]):
            return line
    raise AssertionError(f"docs/reference/sspi.md has no row for {name}")


@pytest.mark.parametrize("name", PROMISED + ENTRIES)
def test_every_promise_has_a_row_with_tests(name: str) -> None:
    tests = set(re.findall(r"`(test_\w+)`", row(name)))
    assert tests
    assert tests <= TESTS


def test_every_test_that_the_page_names_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert len(named) > 50
    assert named <= TESTS


def test_every_function_of_the_surface_is_listed() -> None:
    import credssp.sspi.api as api

    own = {"configure", "local_security_authority", "package_problems"}
    for name in set(api.__all__) - own:
        assert f"`{name}`" in PAGE


def test_page_lists_exactly_the_attributes_that_a_package_answers() -> None:
    from credssp.sspi import attributes

    sides = {None: "both", True: "client", False: "server"}
    answered = {
        name: value
        for name, value in vars(attributes).items()
        if name.startswith("SECPKG_ATTR_") and isinstance(value, attributes.Attribute)
    }
    listed = dict(re.findall(r"^\| (SECPKG_ATTR_\w+) \| (\w+) \|", PAGE, re.MULTILINE))
    assert set(listed) == set(answered)
    # A server that is asked for the issuers says why it has none.
    answered.pop("SECPKG_ATTR_ISSUER_LIST_EX")
    assert {name: sides[row.client] for name, row in answered.items()} == {name: listed[name] for name in answered}

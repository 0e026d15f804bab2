"""docs/reference/sspi-coverage.md is up to date, and each of its statements has a test that exists, or a reason."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.modules import load_generator


@pytest.fixture(scope="module")
def generator() -> Any:
    return load_generator("sspi_docs")


def test_page_is_up_to_date(generator: Any) -> None:
    assert generator.PAGE.read_text(encoding="utf-8") == generator.page(), "run python docs/_ext/sspi_docs.py"


def test_every_statement_has_a_test_that_exists_or_a_reason(generator: Any) -> None:
    assert generator.problems(generator.statements()) == []


def test_both_documents_are_covered_statement_by_statement(generator: Any) -> None:
    counted = Counter(row["document"] for row in generator.statements())
    assert set(counted) == {"InitializeSecurityContext (CredSSP)", "User-Mode Initialization"}
    assert sum(counted.values()) >= 164
    places = {row["place"] for row in generator.statements()}
    # Every parameter and every status of the page.
    assert places >= {
        "phCredential",
        "phContext",
        "pszTargetName",
        "fContextReq",
        "Reserved1",
        "TargetDataRep",
        "pInput",
        "Reserved2",
        "phNewContext",
        "pOutput",
        "pfContextAttr",
        "ptsExpiry",
        "SEC_E_OK",
        "SEC_E_INCOMPLETE_MESSAGE",
        "SEC_I_COMPLETE_AND_CONTINUE",
        "SEC_I_COMPLETE_NEEDED",
        "SEC_I_CONTINUE_NEEDED",
        "SEC_I_INCOMPLETE_CREDENTIALS",
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
    }


ROW = {
    "document": "A",
    "place": "p",
    "text": "t",
    "verdict": "holds",
    "tests": ["sspi/test_coverage_docs.py::test_page_is_up_to_date"],
}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tests": ["sspi/test_coverage_docs.py::test_made_up"]}, "there is no test"),
        ({"tests": ["sspi/test_made_up.py::test_page_is_up_to_date"]}, "there is no test"),
        ({"tests": []}, "no test shows it"),
        ({"verdict": "differs"}, "says how and why"),
        ({"verdict": "windows", "note": "why"}, "a reason and no test"),
        ({"verdict": "windows", "tests": []}, "a reason and no test"),
        ({"verdict": "perhaps"}, "the verdict is one of"),
        ({"remark": "x"}, "the keys are"),
    ],
)
def test_rows_that_show_nothing_are_found(generator: Any, change: dict[str, Any], said: str) -> None:
    assert generator.problems([ROW]) == []
    (problem,) = generator.problems([{**ROW, **change}])
    assert said in problem


def test_statement_that_is_listed_twice_is_found(generator: Any) -> None:
    assert generator.problems([ROW, ROW]) == ["A / p / t: listed 2 times"]

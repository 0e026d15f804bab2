"""The manual's Python examples run, page by page, each page in one namespace, and print what the page says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.pages import DOCS, blocks, run

# They need a KDC, or a domain: tests/kerberos/test_docs.py, tests/domain/test_docs.py.
ELSEWHERE = {DOCS / "how-to" / name for name in ("domain-member.md", "kerberos.md", "remote-credential-guard.md")}
PAGES = [
    page
    for page in sorted(DOCS.glob("*/*.md"))
    if page not in ELSEWHERE and blocks(page.read_text(encoding="utf-8"), "python")
]
POLICY_REG = """Windows Registry Editor Version 5.00

[HKEY_LOCAL_MACHINE\\SOFTWARE\\Policies\\Microsoft\\Windows\\CredentialsDelegation]
"AllowFreshCredentials"=dword:00000001
"AllowFreshCredential"=dword:00000001
"""


def text_of(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def test_there_are_pages_with_examples() -> None:
    assert len(PAGES) >= 10


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_examples_of_the_page_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The files that docs/how-to/delegation-policy.md reads: the example of the reference, and an export.
    (settings,) = blocks(text_of("reference/policy.md"), "toml")
    (tmp_path / "policy.toml").write_text(settings.text, encoding="utf-8")
    (tmp_path / "policy.reg").write_text(POLICY_REG, encoding="utf-16")
    monkeypatch.chdir(tmp_path)
    run(page.read_text(encoding="utf-8"), str(page), {"__name__": "example"})

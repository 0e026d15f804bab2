"""The files around the code agree: changelog and version, tasks and those who call them, hooks and tools."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

from credssp.__about__ import __version__

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SESSIONS = {
    node.name
    for node in ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8")).body
    if isinstance(node, ast.FunctionDef) and node.decorator_list
}
FOR_PEOPLE = [
    *(ROOT / name for name in ("SECURITY.md", "RELEASING.md", "CONTRIBUTING.md")),
    *sorted((ROOT / ".github").rglob("*.*")),
]


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_changelog_has_a_section_of_this_version_below_unreleased() -> None:
    sections = re.findall(r"^## \[(.*?)\](?: - (\S+))?$", text("CHANGELOG.md"), re.MULTILINE)
    assert sections[0] == ("Unreleased", "")
    version, date = sections[1]
    assert version == __version__
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", date)


@pytest.mark.parametrize("path", [ROOT / ".ci" / "run", *FOR_PEOPLE], ids=lambda path: path.name)
def test_tasks_that_are_named_exist(path: Path) -> None:
    for words in re.findall(r"nox (?:--no-venv )?-s ((?:[a-z]+ ?)+)", path.read_text(encoding="utf-8")):
        assert set(words.split()) <= SESSIONS


@pytest.mark.parametrize("path", FOR_PEOPLE, ids=lambda path: path.name)
def test_no_address_is_invented(path: Path) -> None:
    page = path.read_text(encoding="utf-8")
    assert not set(re.findall(r"https?://[^/\s)]+", page)) - {"https://semver.org"}
    assert not re.search(r"\w@\w+\.\w", page)


def test_hooks_run_the_tools_of_the_lint_extra() -> None:
    hooks = text(".pre-commit-config.yaml")
    assert re.findall(r"repo: (\S+)", hooks) == ["local"]
    tools = {re.split(r"[>=<]", each)[0] for each in PROJECT["project"]["optional-dependencies"]["lint"]}
    tools = {tool.replace("import-linter", "lint-imports") for tool in tools}
    programs = {entry.split()[0] for entry in re.findall(r"entry: (.+)", hooks)}
    assert programs
    assert programs <= tools


def test_sdist_has_what_its_tests_read() -> None:
    included = set(PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"])
    assert included >= {"/tests", "/fixtures", "/docs", "/.ci", "/.github", "/.pre-commit-config.yaml", "/noxfile.py"}


def test_the_wheel_has_the_plugin_of_ansible() -> None:
    packages = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert packages == ["credssp", "ansible_collections"]
    assert (ROOT / "ansible_collections/credssp/ansible/plugins/callback/login.py").exists()
    assert not list(ROOT.glob("ansible_collections/**/__init__.py"))  # other packages have collections there, too


def test_ci_knows_the_packages_of_two_releases_of_debian() -> None:
    script = text(".ci/run")
    for codename in ("bookworm", "trixie"):
        assert re.search(rf"^    {codename}\)$", script, re.MULTILINE)
    assert not re.search(r"https?://", script)

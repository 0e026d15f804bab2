"""The tasks of a developer, each by one word: ``nox -s test lint docs``. ``nox --list`` names them all.

Each task makes an environment of its own. ``nox --no-venv`` uses the one that is active, as ``.ci/run`` does.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import nox

nox.options.sessions = ["test", "lint", "docs"]


def prepare(session: nox.Session, *arguments: str) -> None:
    """Install, unless the active environment is used."""
    if session.venv_backend != "none":
        session.install(*arguments)


@nox.session
def test(session: nox.Session) -> None:
    """All tests; arguments after ``--`` go to pytest."""
    prepare(session, "-e", ".[test]")
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Coverage-guided fuzzing for a minute in all; arguments after ``--`` go to `tests.fuzz.coverage_guided`."""
    prepare(session, "-e", ".[fuzz]")
    session.run("python", "-m", "tests.fuzz.coverage_guided", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Style, spelling, types and layers; types of the manual's examples are among the tests."""
    prepare(session, "-e", ".[test,lint]")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("codespell")
    session.run("mypy")
    session.run("lint-imports")


@nox.session
def format(session: nox.Session) -> None:  # noqa: A001
    """Repair what ruff can repair."""
    prepare(session, "-e", ".[lint]")
    session.run("ruff", "check", "--fix")
    session.run("ruff", "format")


@nox.session
def docs(session: nox.Session) -> None:
    """The manual, into docs/_build/html; warnings are errors."""
    prepare(session, "-e", ".[docs]")
    session.run("python", "-m", "sphinx", "-q", "-W", "-b", "html", "docs", "docs/_build/html")


@nox.session
def bench(session: nox.Session) -> None:
    """All benchmarks with their bounds; for a quiet machine."""
    prepare(session, "-e", ".[test]")
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session
def build(session: nox.Session) -> None:
    """The sdist, the wheel and its bill of materials (CycloneDX), into dist/."""
    prepare(session, ".[release]")
    shutil.rmtree("dist", ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", "dist")
    (wheel,) = Path("dist").glob("*.whl")
    bare = Path(session.create_tmp(), "bare")
    session.run("python", "-m", "venv", "--clear", str(bare))
    python = str(bare / "bin" / "python")
    session.run(python, "-m", "pip", "install", "-q", str(wheel), external=True)
    bill = f"dist/{wheel.stem.split('-py3')[0]}.cdx.json"
    arguments = ["--pyproject", "pyproject.toml", "--output-reproducible", "--output-file", bill, python]
    session.run("cyclonedx-py", "environment", *arguments)

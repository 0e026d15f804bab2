"""docs/reference/cli.md has every command and every option, in the words of the program."""

from __future__ import annotations

import re
from types import ModuleType

import pytest

from tests.modules import load_generator


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    return load_generator("cli_docs")


def test_tables_are_those_of_the_parsers(generator: ModuleType) -> None:
    text = generator.PAGE.read_text(encoding="utf-8")
    assert generator.page(text) == text, "run python docs/_ext/cli_docs.py"


def test_every_command_has_a_section_and_a_table(generator: ModuleType) -> None:
    text = generator.PAGE.read_text(encoding="utf-8")
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    for command in generator.parsers():
        (section,) = (each for each in sections if re.match(rf"credssp {command}\b", each))
        assert f"<!-- arguments: {command} -->" in section


def test_every_option_is_in_its_table(generator: ModuleType) -> None:
    for parser in generator.parsers().values():
        table = generator.tables(parser)
        for action in parser._actions:
            for option in action.option_strings:
                assert option in ("-h", "--help") or f"`{option}" in table
            assert action.help, f"{action.dest} of {parser.prog} is not explained"

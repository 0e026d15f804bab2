"""Command lines, patterns, and what Windows says about commands that it does not know."""

from __future__ import annotations

import base64
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credssp.errors import LocalProtocolError
from credssp.testing.command_lines import clixml, is_encoded, script_of, unknown_cmdlet
from credssp.testing.patterns import Pattern


def encoded(script: str) -> str:
    return base64.b64encode(script.encode("utf-16-le")).decode()


SCRIPT = encoded("Get-Service WinRM | ft")


@pytest.mark.parametrize(
    "line",
    [
        f"powershell -encodedcommand {SCRIPT}",  # pywinrm
        f"PowerShell -NoProfile -NonInteractive -ExecutionPolicy Unrestricted -EncodedCommand {SCRIPT}",  # Ansible
        f"powershell.exe -NoP -NonI -ep Bypass -e {SCRIPT}",
        f"pwsh /ec {SCRIPT}",
        f'"C:\\Windows\\System32\\WindowsPowerShell\\v1.0\\powershell.exe" -enc "{SCRIPT}"',
        f"cmd /c powershell -NoLogo -Version 5.1 -enc {SCRIPT} -OutputFormat Text",
    ],
)
def test_encoded_scripts_are_decoded(line: str) -> None:
    assert script_of(line) == "Get-Service WinRM | ft"
    assert is_encoded(line)


@pytest.mark.parametrize(
    ("line", "script"),
    [
        ("powershell Get-Service -Name WinRM", "Get-Service -Name WinRM"),
        ("powershell -NoProfile -Command Get-Date | Out-String", "Get-Date | Out-String"),
        ('powershell -c "Get-Date"', '"Get-Date"'),
        (f"powershell -OutputFormat Text -enc {SCRIPT}", "Get-Service WinRM | ft"),
    ],
)
def test_plain_scripts_are_seen_and_are_not_encoded(line: str, script: str) -> None:
    assert script_of(line) == script
    assert not is_encoded(line)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "whoami",
        "powershell",
        "powershell -enc",
        "powershell -enc !!!",
        "powershell -File x.ps1",
        "notpowershell -e x",
    ],
)
def test_what_starts_no_script_has_none(line: str) -> None:
    assert script_of(line) == ""
    assert not is_encoded(line)


@given(st.text(max_size=40))
def test_no_line_makes_anything_leave(line: str) -> None:
    script_of(line)
    script_of(f"powershell {line}")


@given(st.text(st.characters(min_codepoint=1, exclude_categories=("Cs",)), max_size=40))
def test_encoded_scripts_survive(script: str) -> None:
    assert script_of(f"powershell -enc {encoded(script)}") == script


@pytest.mark.parametrize(
    ("pattern", "text", "groups"),
    [
        ("Get-Service*", "get-service WinRM", ()),
        ("*service*", "line\nGet-Service\nline", ()),
        ("a?c", "abc", ()),
        ("a?c", "ac", None),
        ("Get-Service", "Get-Service WinRM", None),
        ("echo [x]", "echo [x]", ()),
        ("echo [x]", "echo x", None),
        ("=a*", "A*", ()),
        ("=a*", "ab", None),
        ("/^dir (.*)$/", "DIR c:\\", ("c:\\",)),
        ("/(a)|(b)/", "b", ("", "b")),
        ("/^dir$/", "xdir", None),
        ("/", "/", ()),
    ],
)
def test_patterns(pattern: str, text: str, groups: tuple[str, ...] | None) -> None:
    assert Pattern(pattern).match(text) == groups


def test_a_pattern_that_is_no_regular_expression_is_named() -> None:
    with pytest.raises(LocalProtocolError, match=r"pattern '/\(/': not a regular expression"):
        Pattern("/(/")


@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=60))
def test_clixml_is_xml_that_holds_the_text(text: str) -> None:
    """Read as pywinrm and Ansible do."""
    root = ElementTree.fromstring(clixml(text, "progress").removeprefix("#< CLIXML\r\n"))  # noqa: S314
    lines = root.findall("{*}S[@S='Error']")
    found = "".join(line.text or "" for line in lines)
    for code in {*range(0x20), *range(0x7F, 0xA0), 0x5F}:
        found = found.replace(f"_x{code:04X}_", chr(code)) if code != 0x5F else found
    assert found.replace("_x005F_", "_") == text
    assert root.findtext(".//{*}AV") == "progress"


def test_an_unknown_cmdlet_is_named_as_powershell_names_it() -> None:
    text = unknown_cmdlet("\nGet-Nothing -All\nmore")
    assert text.startswith("Get-Nothing : The term 'Get-Nothing' is not recognized as the name of a cmdlet")
    assert "+ Get-Nothing -All\r\n+ ~~~~~~~~~~~\r\n" in text
    assert "FullyQualifiedErrorId : CommandNotFoundException" in text


def test_streams_of_powershell_in_clixml() -> None:
    text = clixml("bad\r\n", verbose="v1\nv2", debug="d", warning="w\r\n")
    root = ElementTree.fromstring(text.removeprefix("#< CLIXML\r\n"))  # noqa: S314
    assert [(each.get("S"), each.text) for each in root] == [
        ("verbose", "v1"), ("verbose", "v2"), ("debug", "d"), ("warning", "w"), ("Error", "bad_x000D__x000A_")
    ]  # fmt: skip

from __future__ import annotations

import base64
import contextlib
import ctypes
import io
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credssp.cli import main
from credssp.cli._pasted import read_pasted

MESSAGE = bytes.fromhex(
    "3037a003020106a130302e302ca02a04284e544c4d5353500001000000978208e2000000000000000000000000000000000a00614a0000000f"
)


def _shown(data: bytes) -> str:
    return "".join(chr(byte) if 32 <= byte < 127 else "." for byte in data)


def _rows(line: Callable[[int, bytes], str], data: bytes = MESSAGE, width: int = 16) -> str:
    return "\n".join(line(at, data[at : at + width]) for at in range(0, len(data), width)) + "\n"


LOG = "[12:30:06:194] [11494:00002ce6] [DEBUG][com.freerdp.core.nla] - [winpr_HexLogDump]: "
DUMPS: dict[str, Callable[[int, bytes], str]] = {
    "dump of xxd": lambda at, row: f"{at:08x}: {row.hex(' ', -2):39}  {_shown(row)}",
    "dump of hexdump -C": lambda at, row: f"{at:08x}  {row[:8].hex(' '):23}  {row[8:].hex(' '):23}  |{_shown(row)}|",
    "hex dump (Wireshark)": lambda at, row: f"{at:04x}   {row.hex(' '):47}   {_shown(row)}",
    "dump of tcpdump -X": lambda at, row: f"\t0x{at:04x}:  {row.hex(' ', -2):39}  {_shown(row)}",
    "dump of FreeRDP's log": lambda at, row: f"{LOG}{at:04} {row.hex(' '):47} {_shown(row)}",
    "dump of od": lambda at, row: f"{at:07o} {row.hex(' ')}",
    "dump of a log": lambda at, row: f"2026-01-02 03:04:05 DEBUG {at:04x}: {row.hex(' '):47}  {_shown(row)}".replace(
        ": ", "  ", 1
    ),
}


@pytest.mark.parametrize("form", DUMPS)
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_dumps_are_read_and_named(form: str, ending: str) -> None:
    pasted = read_pasted(_rows(DUMPS[form]).replace("\n", ending))
    assert (pasted.data, pasted.form) == (MESSAGE, form)


def test_dump_without_characters() -> None:
    assert read_pasted(_rows(lambda at, row: f"{at:04x}   {row.hex(' ')}")).data == MESSAGE


def test_titles_and_lines_of_a_log_between_are_skipped() -> None:
    text = f"{LOG}NLA_STATE_AUTH_INFO\n{_rows(DUMPS['dump of FreeRDP' + chr(39) + 's log'])}{LOG}[length=57] \n"
    assert read_pasted(text).data == MESSAGE


def test_characters_that_look_like_hexadecimal_are_not_bytes() -> None:
    data = b"0" * 16 + b"ab cd"
    for line in (DUMPS["dump of xxd"], DUMPS["dump of FreeRDP's log"], DUMPS["hex dump (Wireshark)"]):
        assert read_pasted(_rows(line, data)).data == data


def test_a_repeated_line_is_filled_in() -> None:
    text = f"00000000  {'00 ' * 16} |................|\n*\n00000030  30 03                   |0.|\n00000032\n"
    assert read_pasted(text).data == bytes(48) + b"0\x03"


def test_two_dumps_in_one_text_are_refused_by_number() -> None:
    with pytest.raises(ValueError, match="has 2 dumps"):
        read_pasted(_rows(DUMPS["dump of xxd"]) * 2)


def test_a_dump_that_lacks_a_line_is_not_read_with_octal_offsets() -> None:
    lines = _rows(DUMPS["dump of xxd"]).splitlines()
    with pytest.raises(ValueError, match="a line is missing or damaged"):
        read_pasted("\n".join([lines[0], *lines[2:]]))


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("{ " + ", ".join(f"0x{byte:02x}" for byte in MESSAGE) + " };", "array literal"),
        (
            "static const unsigned char pkt1[57] = {\n"
            + "".join(
                ", ".join(f"0x{byte:02x}" for byte in MESSAGE[at : at + 8]) + f", /* {at} */\n"
                for at in range(0, len(MESSAGE), 8)
            )
            + "};\n",
            "array literal",
        ),
        (str(list(MESSAGE)), "array literal"),
        (f"bytes({list(MESSAGE)})", "array literal"),
        (repr(MESSAGE), "string literal"),
        ("".join(f'"\\x{byte:02x}" \\\n' for byte in MESSAGE), "string literal"),
        (f'bytes.fromhex("{MESSAGE.hex()}")', "quoted text"),
        (f'"{base64.b64encode(MESSAGE).decode()}"', "quoted text"),
        (MESSAGE.hex(), "hexadecimal"),
        (base64.b64encode(MESSAGE).decode(), "base64"),
        (f"Authorization: CredSSP {base64.b64encode(MESSAGE).decode()}", "HTTP header"),
    ],
)
def test_literals_are_read_and_named(text: str, form: str) -> None:
    pasted = read_pasted(text)
    assert (pasted.data, pasted.form) == (MESSAGE, form)


def test_the_command_says_how_it_read_a_dump(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["decode", _rows(DUMPS["dump of xxd"])]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("TSRequest (57 bytes)\n")
    assert err == "credssp decode: read as dump of xxd, 57 bytes\n"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_files_of_powershell_and_editors(
    encoding: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = _rows(DUMPS["hex dump (Wireshark)"]).encode(encoding)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(raw), isatty=lambda: False))
    assert main(["decode"]) == 0
    assert capsys.readouterr().out.startswith("TSRequest (57 bytes)\n")


@given(st.binary(min_size=1, max_size=200), st.sampled_from(sorted(DUMPS)))
def test_any_bytes_come_back_from_every_dump(data: bytes, form: str) -> None:
    assert read_pasted(_rows(DUMPS[form], data)).data == data


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(ValueError):
        read_pasted(text)


@pytest.mark.interop
@pytest.mark.parametrize("command", [["xxd"], ["hexdump", "-C"], ["od", "-An", "-tx1"], ["od", "-tx1"], ["xxd", "-i"]])
def test_dumps_of_real_programs(command: list[str]) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    data = MESSAGE + bytes(100)
    out = subprocess.run(command, input=data, capture_output=True, check=True).stdout.decode()
    if command == ["xxd", "-i"]:
        out = f"unsigned char x[] = {{\n{out}}};\n"
    elif "-An" in command:
        out = out.replace("*", " 00 " * 16 * 5)  # without offsets there is nothing that says how often
        assert read_pasted(out).data[:64] == data[:64]
        return
    assert read_pasted(out).data == data


_WINPR = """
import ctypes, sys
data = bytes.fromhex(sys.argv[2])
ctypes.CDLL(sys.argv[1]).winpr_HexDump(b"com.freerdp.core.nla", 4, data, ctypes.c_size_t(len(data)))
"""


@pytest.mark.interop
@pytest.mark.parametrize("library", ["libwinpr2.so.2", "libwinpr3.so.3"])
def test_dumps_of_freerdp(library: str, tmp_path: Path) -> None:
    try:
        ctypes.CDLL(library)
    except OSError:
        pytest.skip(f"{library} is not installed")
    command = [sys.executable, "-c", _WINPR, library, MESSAGE.hex()]
    run = subprocess.run(command, capture_output=True, check=True, env={"HOME": str(tmp_path)}, timeout=30)
    pasted = read_pasted((run.stdout + run.stderr).decode())
    assert (pasted.data, pasted.form) == (MESSAGE, "dump of FreeRDP's log")

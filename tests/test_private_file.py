"""Account, key and password files that others can read or write."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from credssp import FileAccounts, generate_certificate
from credssp.cli._secrets import first_line
from credssp.errors import LocalProtocolError
from credssp.private_file import open_to_others, warn_once
from credssp.tls.certificate import load_certificate, watch_certificate

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no permissions of others")

CERTIFICATE = generate_certificate("p256")
PEM = CERTIFICATE.private_key.reveal() + CERTIFICATE.chain
READERS: list[tuple[Callable[[Path], object], bytes]] = [
    (FileAccounts, b"LAB:alice:secret\n"),
    (load_certificate, PEM),
    (watch_certificate, PEM),
    (lambda path: first_line(str(path)), b"secret\n"),
]


@pytest.mark.parametrize(("read", "data"), READERS)
def test_a_file_that_others_can_write_is_refused(read: Callable[[Path], object], data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    path.chmod(0o602)
    with pytest.raises(LocalProtocolError, match="can be written by every user") as caught:
        read(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(("read", "data"), READERS)
def test_a_file_that_others_can_read_is_used_and_warned_of_once(
    read: Callable[[Path], object], data: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    warn_once.cache_clear()
    path = tmp_path / "file"
    path.write_bytes(data)
    path.chmod(0o644)
    for _ in range(2):
        read(path)
    assert [(record.name, record.levelno) for record in caplog.records] == [("credssp.files", logging.WARNING)]
    assert f"{path} can be read by every user" in caplog.text


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o660])
def test_owner_and_group_may_do_as_they_please(mode: int, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    path.chmod(mode)
    assert open_to_others(path) == ""


def test_what_is_no_file_is_passed_over(tmp_path: Path) -> None:
    assert open_to_others("/dev/null") == ""
    assert open_to_others(tmp_path / "missing") == ""

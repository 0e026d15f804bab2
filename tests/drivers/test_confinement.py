"""Privileges are given up for good, and what that excludes is said."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from credssp.drivers.confinement import find_user
from credssp.errors import LocalProtocolError

root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.mark.parametrize(
    ("name", "text"),
    [("no-such-user", "there is no user"), ("0", "is root"), ("root", "is root"), ("9" * 20, "no user")],
)
def test_users_that_make_no_sense_are_refused(name: str, text: str) -> None:
    with pytest.raises(LocalProtocolError, match=text):
        find_user(name)


def test_only_root_becomes_another_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 4711)
    with pytest.raises(LocalProtocolError, match="only root can become 'nobody'"):
        find_user("nobody")


PROGRAM = """
import logging, os, sys
from pathlib import Path
from credssp.drivers.confinement import confine, find_user
from credssp.watched_file import WatchedFile, reload_all

logging.basicConfig(format="%(message)s")
user = find_user("nobody")
secret = Path(sys.argv[1])
file = WatchedFile(secret, load=bytes.decode, what="key")
print(confine(user) == [str(secret)])
print(os.getresuid() == (user.uid,) * 3, os.getresgid() == (user.gid,) * 3, 0 in os.getgroups())
print("NoNewPrivs:\\t1" in Path("/proc/self/status").read_text())
for get_back in (lambda: os.setuid(0), lambda: os.setgid(0), secret.read_bytes):
    try:
        get_back()
        print("got it back")
    except PermissionError:
        pass
print(file.current(), reload_all(), file.current())
"""


@root
def test_what_was_given_up_is_gone_and_files_that_were_open_stay_readable(tmp_path: Path) -> None:
    secret = tmp_path / "key"
    secret.write_text("of-root")
    secret.chmod(0o600)
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(secret)], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n") == ["True", "True True False", "True", "of-root False of-root", ""]
    assert f"key {secret} is not read again: user nobody may not read it" in done.stderr

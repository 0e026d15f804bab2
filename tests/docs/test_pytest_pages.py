"""The test modules that the manual shows pass, each in a pytest of its own."""

from __future__ import annotations

import pytest

from tests.docs.pages import blocks
from tests.docs.test_examples import text_of

pytest_plugins = ["pytester"]

# What the page is about: a client that takes an address and credentials.
MY_CLIENT = """
from credssp import PasswordCredentials, PeerRefusedError, rdp

class LogonFailed(Exception):
    pass

def connect(host, port, *, user, password, allow_old=False):
    credentials = PasswordCredentials(user, password)
    try:
        rdp.connect(host, port, credentials=credentials, mechanism="ntlm", min_version=2 if allow_old else None).close()
    except PeerRefusedError as error:
        raise LogonFailed from error
"""


def passes(pytester: pytest.Pytester, modules: dict[str, str], *, tests: int) -> None:
    pytester.makepyfile(**modules)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-p", "no:xdist")
    result.assert_outcomes(passed=tests)


def test_rdp_client(pytester: pytest.Pytester) -> None:
    texts = (block.text for block in blocks(text_of("how-to/rdp-test-a-client.md"), "py"))
    modules = {f"test_{number}": text for number, text in enumerate(texts)}
    passes(pytester, {**modules, "my_client": MY_CLIENT}, tests=9)


def test_winrm_client(pytester: pytest.Pytester) -> None:
    commands, remoting, loops = blocks(text_of("how-to/winrm-test-a-client.md"), "py")
    modules = {"test_commands": commands.text, "test_remoting": remoting.text, "test_loops": loops.text}
    passes(pytester, modules, tests=4)


def test_double_hop(pytester: pytest.Pytester) -> None:
    client, program, *_ = blocks(text_of("how-to/winrm-double-hop.md"), "python")
    passes(pytester, {"test_client": client.text, "test_program": program.text}, tests=2)


def test_conformance(pytester: pytest.Pytester) -> None:
    *_, without_sockets = blocks(text_of("how-to/conformance.md"), "python")
    passes(pytester, {"test_conformance": without_sockets.text}, tests=1)

"""``credssp doctor`` in a realm that works, and in one that does not."""

from __future__ import annotations

import pytest

from credssp.cli import main
from credssp.testing import RDPServer
from tests.kdc import REALM, free_port
from tests.kerberos.conftest import PASSWORD, Lab

pytestmark = pytest.mark.interop


def test_realm_that_works(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    with RDPServer(keytab=str(lab.keytab)) as server:
        url = f"rdp://localhost:{server.port}"
        assert main(["doctor", url, "--ccache", lab.ccache, "--keytab", str(lab.keytab)]) == 0
    output = capsys.readouterr().out
    for text in (
        "gssapi and krb5 are installed",
        f"the default realm is {REALM}",
        "this clock is 0 s",
        "a ticket is asked for TERMSRV/localhost",
        f"tickets of alice@{REALM} are in",
        "there is a ticket for TERMSRV/localhost",
        "the keytab has keys for",
        "Nothing is wrong.",
    ):
        assert text in output


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["rdp://unregistered.example.test"], "no ticket for TERMSRV/unregistered.example.test"),
        (["--ccache", "FILE:/nonexistent"], "there are no tickets in FILE:/nonexistent"),
        (["--keytab", "/nonexistent"], "not found"),
        (["rdp://other.example.test", "--keytab", "KEYTAB"], "it has no key for TERMSRV/other.example.test"),
    ],
)
def test_what_is_wrong(lab: Lab, capsys: pytest.CaptureFixture[str], arguments: list[str], text: str) -> None:
    arguments = [str(lab.keytab) if each == "KEYTAB" else each for each in arguments]
    main(["doctor", *([] if "--ccache" in arguments else ["--ccache", lab.ccache]), *arguments])
    assert text in capsys.readouterr().out


def test_ticket_that_cannot_be_forwarded(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    ccache = lab.realm.kinit("alice", PASSWORD, "-F", name="doctor.ccache")
    assert main(["doctor", "--ccache", ccache]) == 0
    assert "it cannot be forwarded" in capsys.readouterr().out


def test_kdc_that_is_gone(lab: Lab, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KRB5_CONFIG", str(lab.realm.configure("gone.conf", port=free_port())))
    assert main(["doctor", "--ccache", lab.ccache]) == 1
    assert "does not answer: no connection to 127.0.0.1" in capsys.readouterr().out

"""``credssp doctor`` in a realm that works, and in one that does not."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any

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


def conclusion(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code = main(["doctor", "--json", *arguments])
    report = json.loads(capsys.readouterr().out)
    return code, report["conclusion"]


def test_server_that_works_with_a_ticket(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    with RDPServer(keytab=str(lab.keytab)) as server:
        code, found = conclusion(capsys, f"rdp://localhost:{server.port}", "--ccache", lab.ccache)
    assert (code, found["id"], found["text"]) == (0, None, "Nothing is wrong.")


def test_wrong_realm(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    with RDPServer() as server:
        url = f"rdp://localhost:{server.port}"
        code, found = conclusion(capsys, url, "--ccache", lab.ccache, "--realm", "WRONG.TEST")
    assert (code, found["id"]) == (5, "realm-unknown")
    assert found["text"] == (
        "No KDC of the realm WRONG.TEST is known: krb5.conf names none, and dns_lookup_kdc is off."
    )
    assert REALM in found["advice"]
    assert found["command"] == "dig +short SRV _kerberos._tcp.WRONG.TEST"


def test_server_in_a_realm_that_no_kdc_is_known_of(
    lab: Lab, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = lab.realm.folder / "elsewhere.conf"
    text = lab.realm.krb5_conf.read_text()
    conf.write_text(text.replace(f"localhost = {REALM}", "localhost = ELSEWHERE.TEST"))
    monkeypatch.setenv("KRB5_CONFIG", str(conf))
    with RDPServer() as server:
        code, found = conclusion(capsys, f"rdp://localhost:{server.port}", "--ccache", lab.ccache)
    assert (code, found["id"]) == (5, "realm-unknown")
    assert "ELSEWHERE.TEST" in found["text"]


def test_spn_that_is_missing(lab: Lab, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    # By a name that the host has, and no account of the realm.
    name = socket.gethostname()
    with RDPServer(keytab=str(lab.keytab)) as server:
        monkeypatch.setattr(socket, "getaddrinfo", _to_loopback(socket.getaddrinfo, name))
        code, found = conclusion(capsys, f"rdp://{name}:{server.port}", "--ccache", lab.ccache)
    assert (code, found["id"]) == (5, "spn-missing")
    assert found["text"].startswith(f"No ticket for TERMSRV/{name.lower()} in {REALM}: ")
    assert "SEC_E_TARGET_UNKNOWN, 0x80090303" in found["text"]
    assert found["command"].startswith("kvno TERMSRV/")


def _to_loopback(real: Callable[..., Any], name: str) -> Callable[..., Any]:
    def getaddrinfo(host: Any, *arguments: Any, **options: Any) -> Any:
        return real("127.0.0.1" if host == name else host, *arguments, **options)

    return getaddrinfo


def test_kdc_that_is_gone_with_a_server(
    lab: Lab, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KRB5_CONFIG", str(lab.realm.configure("gone.conf", port=free_port())))
    with RDPServer() as server:
        url = f"rdp://localhost:{server.port}"
        code, found = conclusion(capsys, url, "--ccache", lab.ccache)
        assert (code, found["id"]) == (5, "kdc-unreachable")
        # Nothing asks for Kerberos here: no ticket, no realm. The realm of krb5.conf has nothing to do with it.
        code, found = conclusion(capsys, url)
    assert (code, found["text"]) == (0, "Nothing is wrong.")

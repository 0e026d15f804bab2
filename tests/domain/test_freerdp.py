"""FreeRDP as users of the domain, against ``credssp serve rdp --winbind`` on the member.

xfreerdp3 (3.10) takes the domain of ``LAB\\alice`` and the suffix of a UPN for a realm, so that with Kerberos it needs
the realm itself; with NTLM it may have them all. Where the connection ends after the login, it comes once more.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.domain.lab import DOMAIN, MEMBER, Domain, password
from tests.domain.logins import Server, log_on, serving
from tests.interop import x11
from tests.peers import require_program

pytestmark = pytest.mark.interop

FENCE = r"LOCAL\fence"


@pytest.fixture(scope="module")
def server(domain: Domain) -> Iterator[Server]:
    with serving(domain, "--keytab", str(domain.keytab), "--winbind", "--user", rf"{FENCE}:secret") as running:
        yield running


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    with x11.xvfb() as name:
        yield name


def freerdp(
    domain: Domain, server: Server, program: str, user: str, secret: str, *options: str
) -> set[tuple[str, ...]]:
    """Run it; returns what the server says of its logins: event, user, domain, and mechanism or status."""
    command = [*domain.prefix, require_program(program), "+auth-only", f"/v:{MEMBER}:{server.port}", f"/u:{user}"]
    own = {"LC_ALL": "C.UTF-8", "HOME": str(domain.folder)}
    certificate = "/cert:ignore" if program == "xfreerdp3" else "/cert-ignore"
    x11.run([*command, f"/p:{secret}", certificate, "/sec:nla", *options], environment=domain.environment | own)
    assert log_on(domain, server, FENCE, "secret", mechanism="ntlm").error is None  # what comes before it is of FreeRDP
    found = set()
    while (event := server.event("delegated", "refused"))["domain"] != "LOCAL":
        what = event["mechanism"] if event["event"] == "delegated" else event["status"]["name"]
        found.add((event["event"], event["user"], event["domain"], what))
    return found


@pytest.mark.parametrize("user", ["alice@lab.test", "Ümläut@lab.test", "protected@lab.test"])
def test_xfreerdp3_logs_on_with_kerberos(domain: Domain, server: Server, user: str) -> None:
    name = user.partition("@")[0]
    found = freerdp(domain, server, "xfreerdp3", user, password(name), "/auth-pkg-list:kerberos,!ntlm")
    assert found == {("delegated", name, DOMAIN, "kerberos")}


@pytest.mark.parametrize("program", ["xfreerdp", "xfreerdp3"])
@pytest.mark.parametrize(
    ("user", "name"),
    [
        (r"LAB\alice", "alice"),
        ("alice@lab.test", "alice"),
        (r"LAB\Ümläut", "Ümläut"),
        ("carol.jones@corp.example", "carol"),
    ],
)
def test_freerdp_logs_on_with_ntlm(
    domain: Domain,
    server: Server,
    display: str,
    monkeypatch: pytest.MonkeyPatch,
    program: str,
    user: str,
    name: str,
) -> None:
    monkeypatch.setenv("DISPLAY", display)
    options = ("/auth-pkg-list:!kerberos,ntlm",) if program == "xfreerdp3" else ()
    found = freerdp(domain, server, program, user, password(name), *options)
    assert found == {("delegated", name, DOMAIN, "ntlm")}


def test_protected_user_is_refused_with_ntlm(domain: Domain, server: Server) -> None:
    protected = (r"LAB\protected", password("protected"))
    found = freerdp(domain, server, "xfreerdp3", *protected, "/auth-pkg-list:!kerberos,ntlm")
    assert found == {("refused", "protected", DOMAIN, "STATUS_ACCOUNT_RESTRICTION")}

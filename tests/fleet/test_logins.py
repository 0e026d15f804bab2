"""Logins to many servers: when the next one may be made, what is counted, and reports about all of them."""

from __future__ import annotations

import csv
import io
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree

import pytest

from credssp import ClientConfig, PasswordCredentials
from credssp.drivers.handshake import DeadlineError
from credssp.errors import AuthenticationError, BindingError, CredSSPError, PeerClosedError, PeerRefusedError
from credssp.fleet.logins import html as html_module
from credssp.fleet.logins.caution import Caution, judged_password
from credssp.fleet.logins.html import login_report
from credssp.fleet.logins.login import not_begun
from credssp.fleet.logins.outcome import LoginOutcome
from credssp.fleet.logins.reports import write_login_csv, write_login_junit
from credssp.fleet.logins.run import log_on_all
from credssp.fleet.logins.totals import LoginTotals
from credssp.fleet.logins.turn import NotTriedError
from credssp.fleet.pace import Pace
from credssp.fleet.target_url import TargetURL, parse_target
from credssp.fleet.targets import parse_range
from credssp.rdp.client import LoginRefusedError
from credssp.rdp.early_user_authorization import AuthorizationDeniedError
from credssp.status import NTStatus
from credssp.testing import RDPServer
from credssp.winrm.errors import DelegationRefusedError, Leg
from tests.fleet.logins import ACCEPTED, LOGINS, NOT_TRIED, REFUSED

TARGET = parse_target("rdp://srv")
HOSTILE = "<script>document.title='owned'</script>\"'\x1b\u202e"


def outcome(error: CredSSPError | None, *, proof_sent: bool = True) -> LoginOutcome:
    return LoginOutcome(error, {}, 0.0, proof_sent=proof_sent)


def by_kdc() -> AuthenticationError:
    error = AuthenticationError("the KDC said no")
    error.judged = True
    return error


@pytest.mark.parametrize(
    ("error", "judged"),
    [
        (None, False),
        (PeerRefusedError(NTStatus.STATUS_LOGON_FAILURE), True),
        (PeerRefusedError(NTStatus.STATUS_ACCOUNT_LOCKED_OUT), True),
        (PeerRefusedError(NTStatus.STATUS_PASSWORD_MUST_CHANGE), True),
        (PeerRefusedError(0x80090308), True),
        (PeerRefusedError(0xC0FFEE00), True),
        (PeerRefusedError(NTStatus.STATUS_NO_LOGON_SERVERS), False),
        (PeerRefusedError(NTStatus.STATUS_TRUSTED_RELATIONSHIP_FAILURE), False),
        (PeerRefusedError(NTStatus.STATUS_LOGON_TYPE_NOT_GRANTED), False),
        (LoginRefusedError("closed after the proof"), True),
        (AuthorizationDeniedError("may not"), False),
        (DelegationRefusedError("not taken", leg=Leg.CREDENTIALS, http_status=401), True),
        (DelegationRefusedError("not taken", leg=Leg.CREDENTIALS, http_status=403), False),
        (by_kdc(), True),
        (AuthenticationError("no KDC"), False),
        (AuthenticationError("PIN", ntstatus=NTStatus.STATUS_SMARTCARD_WRONG_PIN), True),
        (DeadlineError("late"), False),
        (BindingError("another key"), False),
        (PeerClosedError("gone"), False),
    ],
)  # fmt: skip
def test_what_judged_the_password(error: CredSSPError | None, judged: bool) -> None:
    assert judged_password(outcome(error)) is judged
    reason = Caution().why_stop(TARGET, outcome(error, proof_sent=False))
    assert bool(reason) is judged
    assert Caution(keep_going=True).why_stop(TARGET, outcome(error)) == ""


def test_who_refused_is_in_the_reason() -> None:
    caution = Caution()
    assert caution.why_stop(TARGET, outcome(by_kdc())).startswith("the KDC refused the login: STATUS_LOGON_FAILURE")
    wrong_pin = AuthenticationError("PIN", ntstatus=NTStatus.STATUS_SMARTCARD_WRONG_PIN)
    assert caution.why_stop(TARGET, outcome(wrong_pin)).startswith("the card refused the login: STATUS_SMARTCARD_WRONG")


def test_a_proof_without_an_answer_counts_until_the_password_is_known_to_be_right() -> None:
    caution = Caution()
    late = outcome(DeadlineError("late"))
    assert "has a proof of the password" in caution.why_stop(TARGET, late)
    assert caution.why_stop(TARGET, outcome(DeadlineError("late"), proof_sent=False)) == ""
    assert "a bug" in caution.why_stop(TARGET, None)
    assert caution.enter(wait=False)
    caution.leave("", proved=True)
    assert caution.why_stop(TARGET, late) == ""
    assert caution.why_stop(TARGET, None) == ""


def test_turns() -> None:
    caution = Caution(at_once=2)
    assert [caution.enter(wait=False) for _ in range(2)] == [True, False]
    caution.leave("", proved=False)
    assert [caution.enter(wait=False) for _ in range(2)] == [True, False], "it is still not known to be right"
    caution.leave("", proved=True)
    assert [caution.enter(wait=False) for _ in range(3)] == [True, True, False]
    caution.leave("refused", proved=False)
    for wait in (False, True):
        with pytest.raises(NotTriedError, match="refused"):
            caution.enter(wait=wait)
    assert [Caution(at_once=3, keep_going=True).enter(wait=False) for _ in range(2)] == [True, True]


def config(password: str = "right") -> ClientConfig:
    return ClientConfig(credentials=PasswordCredentials("alice", password, domain="LAB"), mechanism="ntlm")


@pytest.fixture(scope="module")
def server() -> Iterator[RDPServer]:
    with RDPServer({("LAB", "alice"): "right"}) as running:
        yield running


def test_a_program_logs_on_to_many(server: RDPServer) -> None:
    found: list[dict[str, Any]] = []
    legs: list[tuple[TargetURL, int | None]] = []
    targets = parse_range(f"127.0.0.1-3:{server.port}")
    reason = log_on_all(
        targets,
        config=config(),
        done=found.append,
        pace=Pace(1000),
        on_leg=lambda target, leg: legs.append((target, leg.number)),
    )
    assert reason is None
    assert sorted((each["target"], each["outcome"]) for each in found) == [
        (f"rdp://127.0.0.1:{server.port}", "accepted"),
        (f"rdp://127.0.0.2:{server.port}", "no_login"),
        (f"rdp://127.0.0.3:{server.port}", "no_login"),
    ]
    assert [number for target, number in legs if number is not None] == [1, 2, 3, 4, 5]
    assert all("right" not in str(each) for each in found)
    found.clear()
    url = f"rdp://127.0.0.1:{server.port}"
    reason = log_on_all(map(parse_target, [url, url, url]), config=config("wrong"), done=found.append)
    assert reason == f"{url} refused the login: STATUS_LOGON_FAILURE 0xC000006D"
    assert [each["outcome"] for each in found] == ["refused", "not_tried", "not_tried"]
    assert {each["reason"] for each in found[1:]} == {reason}


def test_what_one_target_needs_may_fail(server: RDPServer) -> None:
    found: list[dict[str, Any]] = []

    def adapt(given: ClientConfig, target: TargetURL) -> ClientConfig:
        if target.host == "127.0.0.2":
            raise AuthenticationError("no ticket for that one")
        if target.host == "127.0.0.3":
            raise ZeroDivisionError
        return given

    log_on_all(
        parse_range(f"127.0.0.1-3:{server.port}"), config=config(), adapt=adapt, done=found.append, concurrency=1
    )
    assert [each["outcome"] for each in found] == ["accepted", "no_login", "local"]
    assert found[1]["status"]["text"] == "no ticket for that one"
    assert found[2]["reason"] == "this is a bug in credssp: ZeroDivisionError"


def test_what_done_raises_ends_the_run(server: RDPServer) -> None:
    class FullError(Exception):
        pass

    seen = []

    def done(facts: dict[str, Any]) -> None:
        seen.append(facts)
        raise FullError

    url = f"rdp://127.0.0.1:{server.port}"
    with pytest.raises(FullError):
        log_on_all(map(parse_target, [url] * 5), config=config(), done=done, concurrency=1)
    assert len(seen) == 1


def test_an_interrupt_tells_what_was_under_way() -> None:
    found: list[dict[str, Any]] = []
    with ExitStack() as sockets:
        silent = sockets.enter_context(socket.create_server(("127.0.0.1", 0)))
        server = sockets.enter_context(RDPServer({("LAB", "alice"): "right"}))
        hanging = f"rdp://127.0.0.1:{silent.getsockname()[1]}"

        def targets() -> Iterator[TargetURL]:
            yield parse_target(f"rdp://127.0.0.1:{server.port}")
            yield parse_target(hanging)
            silent.settimeout(30)
            # It may be looked at first, and logs on once the other one is over.
            while not sockets.enter_context(silent.accept()[0]).recv(1):
                pass
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            log_on_all(targets(), config=config(), done=found.append)
    assert {each["target"]: each["outcome"] for each in found} == {
        f"rdp://127.0.0.1:{server.port}": "accepted",
        hanging: "interrupted",
    }


def test_totals_and_the_exit_code() -> None:
    totals = LoginTotals()
    for each in LOGINS:
        totals.add(each)
    totals.seconds = 1.5
    assert totals.summary() == (
        "7 targets in 1.5 s: 2 accepted, 1 stopped by our own check, 1 refused, 1 not possible here, 1 no login, "
        "1 not tried"
    )
    assert totals.exit_code == 4
    for worst, code in (("refused", 1), ("local", 2), ("no_login", 3), ("not_tried", 3), ("accepted", 0)):
        names = ["refused", "local", "no_login", "not_tried", "accepted"]
        totals = LoginTotals()
        for name in names[names.index(worst) :]:
            totals.add({"target": "x", "outcome": name})
        assert totals.exit_code == code
    totals.add({"target": "x", "outcome": "something new"})
    assert totals.exit_code == 3, "an outcome that is not known is not taken for a login"


def test_csv() -> None:
    stream = io.StringIO()
    write_login_csv([*LOGINS, REFUSED | {"user": "=cmd|' /C calc'!A0"}], stream)
    rows = list(csv.DictReader(io.StringIO(stream.getvalue())))
    assert [row["outcome"] for row in rows[:7]] == [each["outcome"] for each in LOGINS]
    assert rows[0]["credssp_version"] == "6"
    assert rows[1]["error"] == "the server refused the login"
    assert rows[-1]["user"].startswith("'=cmd")
    assert {"status_text", "reason"}.isdisjoint(rows[0])


def test_junit() -> None:
    stream = io.StringIO()
    write_login_junit([*LOGINS, REFUSED | {"target": f"rdp://{HOSTILE}:1"}], stream)
    suite = ElementTree.fromstring(stream.getvalue())  # noqa: S314
    counts = [suite.get(name) for name in ("tests", "failures", "errors", "skipped")]
    assert counts == ["8", "3", "2", "1"]
    found = {case.get("name"): [child.tag for child in case] for case in suite.iter("testcase")}
    assert found[ACCEPTED["target"]] == []
    assert found[REFUSED["target"]] == ["failure"]
    assert found[NOT_TRIED["target"]] == ["skipped"]


def page(results: list[dict[str, Any]]) -> str:
    return "\n".join(login_report(results, now=datetime(2027, 1, 1, tzinfo=UTC)))


def test_html_shows_the_worst_first_and_why_the_run_stopped() -> None:
    text = page(LOGINS)
    assert "<h1>2 of 7 logins accepted</h1>" in text
    assert "2027-01-01 00:00 UTC &middot; LAB\\alice" in text
    assert re.findall(r'<td data-name="outcome"><b class="level \w+">([^<]*)<', text) == [
        *("stopped by our own check", "refused", "not possible here", "no login", "not tried", "accepted", "accepted")
    ]
    assert f'<p class="problems">1 not tried: {NOT_TRIED["reason"]}</p>' in text
    assert "STATUS_LOGON_FAILURE</summary>" in text
    for name, number, label in re.findall(r'id="(\w)-(\d+)"(?: checked)?> ([^<]+)</label>', text):
        rule = f"body:has(#{name}-{number}:checked) .servers tbody tr:not(.{name}{number})"
        assert (rule in text) == (label != "all")


def test_html_keeps_what_servers_say_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    poisoned = REFUSED | {"target": HOSTILE, "user": HOSTILE, "mechanism": HOSTILE}
    poisoned |= {"status": {"name": HOSTILE, "text": HOSTILE, "advice": HOSTILE, "hex": HOSTILE}}
    text = page([poisoned, ACCEPTED | {"credssp": {"version": HOSTILE}}, not_begun(TARGET, "x", HOSTILE)])
    assert "<script" not in text
    assert "\x1b" not in text
    assert text.isascii()
    for odd in ({"target": "x"}, {"target": "x", "outcome": 5, "status": [], "tls": "y"}):
        assert page([odd]).endswith("</html>")
    assert page([]).endswith("</html>")
    monkeypatch.setattr(html_module, "MAX_ROWS", 3)
    text = page(LOGINS)
    assert text.count('<td data-name="server">') == 3
    assert "3 of 7 servers are shown" in text

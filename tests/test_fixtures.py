"""Captured exchanges: they keep to the format, they read, and our side comes out of a replay octet for octet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from credssp.accounts import MemoryAccounts
from credssp.context.acceptor import create_acceptor
from credssp.context.initiator import create_initiator
from credssp.credentials import PasswordCredentials
from credssp.engine import ClientEngine, CredentialsReceived, Send, ServerEngine
from credssp.exchange.fixture import Fixture, FixtureError, Message, load, load_all, save
from credssp.ntlm.challenge import NTLMTarget
from credssp.policy import DelegationPolicy
from credssp.wire.ts_request import TSRequest
from fixtures import make_all

FOLDER = Path(__file__).parent.parent / "fixtures"
FIXTURES = load_all(FOLDER)
EXCHANGE: dict[str, Any] = FIXTURES[0].manifest["exchange"]


def is_replayable(fixture: Fixture, side: str) -> bool:
    exchange = fixture.manifest["exchange"]
    return (
        fixture.manifest["programs"][side].startswith("credssp ")
        and "randomness" in fixture.manifest
        and fixture.manifest["outcome"] == "accepted"
        and exchange["transport"] in {"stream", "winrm"}
        and exchange["mechanism"] == "ntlm"
    )


def ids(fixtures: list[Fixture]) -> list[str]:
    return [fixture.name for fixture in fixtures]


CLIENTS = [fixture for fixture in FIXTURES if is_replayable(fixture, "client")]
SERVERS = [fixture for fixture in FIXTURES if is_replayable(fixture, "server")]


class Draws:
    """Plays back what was drawn."""

    def __init__(self, fixture: Fixture) -> None:
        self.left = fixture.draws

    def __call__(self, size: int) -> bytes:
        draw = self.left.pop(0)
        assert len(draw) == size
        return draw


def account(fixture: Fixture) -> PasswordCredentials:
    table = fixture.manifest["account"]
    return PasswordCredentials(table["username"], table["password"], domain=table["domain"])


def test_there_are_captures_of_both_roles_in_every_version_and_form() -> None:
    assert {(f.manifest["exchange"]["client_version"], f.manifest["exchange"]["wire_form"]) for f in CLIENTS} >= {
        (version, form) for version in (2, 5, 6) for form in ("ntlm", "spnego")
    }
    assert {(f.manifest["exchange"]["server_version"], f.manifest["exchange"]["wire_form"]) for f in SERVERS} >= {
        (version, form) for version in (2, 5, 6) for form in ("ntlm", "spnego")
    }


@pytest.mark.parametrize("fixture", CLIENTS, ids=ids(CLIENTS))
def test_our_client_replayed(fixture: Fixture) -> None:
    draws = Draws(fixture)
    exchange = fixture.manifest["exchange"]
    target = exchange["target_name"]
    engine = ClientEngine(
        create_initiator(
            account(fixture),
            target_name=target,
            mechanism="negotiate" if exchange["wire_form"] == "spnego" else "ntlm",
            workstation=fixture.manifest["account"].get("workstation", ""),
            random=draws,
        ),
        public_key=fixture.public_key,
        credentials=account(fixture),
        policy=DelegationPolicy.for_target(target),
        target_name=target,
        min_version=2,
        max_version=exchange["client_version"],
        random=draws,
    )
    sent = [event.data for event in engine.initiate() if isinstance(event, Send)]
    for request in fixture.requests("server"):
        sent += [event.data for event in engine.receive(request) if isinstance(event, Send)]
    assert sent == fixture.requests("client")
    assert engine.complete
    assert draws.left == []


@pytest.mark.parametrize("fixture", SERVERS, ids=ids(SERVERS))
def test_our_server_replayed(fixture: Fixture) -> None:
    table: dict[str, Any] = fixture.manifest["server"]["names"]
    expected = account(fixture)
    draws = Draws(fixture)
    engine = ServerEngine(
        create_acceptor(
            MemoryAccounts({(expected.domain, expected.username): expected.password.reveal()}),
            target=NTLMTarget(**table),
            random=draws,
            clock=lambda: fixture.manifest["randomness"]["clock"],
        ),
        public_key=fixture.public_key,
        min_version=2,
        max_version=fixture.manifest["exchange"]["server_version"],
    )
    sent: list[bytes] = []
    received = []
    for request in fixture.requests("client"):
        for event in engine.receive(request):
            if isinstance(event, Send):
                sent.append(event.data)
            elif isinstance(event, CredentialsReceived):
                received.append(event.credentials)
    assert sent == fixture.requests("server")
    assert received == [expected]
    assert draws.left == []


@pytest.mark.parametrize("fixture", FIXTURES, ids=ids(FIXTURES))
def test_every_request_reads(fixture: Fixture) -> None:
    for data in fixture.requests():
        assert TSRequest.decode(data).version >= 2


# The format


def test_a_fixture_survives_writing_and_reading(tmp_path: Path) -> None:
    original = FIXTURES[0]
    save(tmp_path / original.name, original.manifest, original.messages)
    assert load(tmp_path / original.name) == original
    again = tmp_path / original.name
    assert again.joinpath("manifest.toml").read_bytes() == (FOLDER / original.name / "manifest.toml").read_bytes()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"outcome": "maybe"}, "outcome is 'maybe'"),
        ({"format": 2}, "format is 2"),
        ({"format": True}, "format is True"),
        ({"outcome": ["accepted"]}, "outcome is ['accepted'], no text"),
        ({"description": ""}, "description is empty"),
        ({"licence": 7}, "licence is 7, no text"),
        ({"programs": {"client": "pyspnego", "server": "credssp 0.1.0"}}, "[programs] client is 'pyspnego', without"),
        ({"exchange": EXCHANGE | {"tls": "1.3"}}, "[exchange] tls is '1.3'"),
        ({"exchange": EXCHANGE | {"client_version": "6"}}, "[exchange] client_version is '6', no number"),
        ({"exchange": EXCHANGE | {"server_version": 600}}, "[exchange] server_version is 600, no number up to 255"),
        ({"exchange": EXCHANGE | {"mechanism": []}}, "[exchange] mechanism is [], no text"),
        ({"server": {"public_key": "", "key_type": "rsa"}}, "[server] public_key is empty"),
        ({"kerberos": {"key": "zz"}}, "[kerberos] key is not hexadecimal"),
        ({"kerberos": 1}, "[kerberos] is not a table"),
        ({"randomness": {"draws": ["zz"]}}, "[randomness] draws is not a list"),
        ({"randomness": {"draws": 5}}, "[randomness] draws is not a list"),
        ({"randomness": {"draws": [], "clock": "now"}}, "[randomness] clock is 'now'"),
        ({"programs": {"client": "x"}}, "[programs] server is missing"),
        ({"programs": 7}, "[programs] is not a table"),
        ({"server": {"public_key": "zz", "key_type": "rsa"}}, "not hexadecimal"),
    ],
)
def test_manifests_that_do_not_keep_to_the_format(tmp_path: Path, change: dict[str, Any], text: str) -> None:
    with pytest.raises(FixtureError) as caught:
        save(tmp_path / "bad", FIXTURES[0].manifest | change, [])
    assert text in str(caught.value)
    assert not (tmp_path / "bad").exists()


@pytest.mark.parametrize(
    "line",
    [
        "[]",
        '{"from": "client"}',
        '{"from": "client", "data": "zz"}',
        '{"from": "me", "data": ""}',
        '{"from": [], "data": ""}',
        '{"from": "client", "layer": {}, "data": ""}',
    ],
)
def test_messages_that_do_not_keep_to_the_format(tmp_path: Path, line: str) -> None:
    folder = tmp_path / "bad"
    save(folder, FIXTURES[0].manifest, [Message("client", b"x")])
    (folder / "messages.jsonl").write_text(line)
    with pytest.raises(FixtureError, match="line 1"):
        load(folder)


def test_a_fixture_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(FixtureError, match="cannot be read"):
        load(tmp_path)
    (tmp_path / "manifest.toml").write_text("not = [toml")
    with pytest.raises(FixtureError, match="cannot be read"):
        load(tmp_path)
    (tmp_path / "manifest.toml").write_text("a = " + "[" * 100_000)
    with pytest.raises(FixtureError, match="cannot be read: RecursionError"):
        load(tmp_path)
    with (tmp_path / "manifest.toml").open("wb") as file:
        file.truncate(20 << 20)
    with pytest.raises(FixtureError, match="cannot be read"):
        load(tmp_path)


def test_a_capture_has_its_key_log(tmp_path: Path) -> None:
    folder = tmp_path / "half"
    save(folder, FIXTURES[0].manifest, [Message("client", b"x")])
    assert load(folder).messages == (Message("client", b"x"),)
    (folder / "capture.pcapng").write_bytes(b"")
    with pytest.raises(FixtureError, match="there is only one"):
        load(folder)
    (folder / "keys.log").write_bytes(b"")
    load(folder)
    (folder / "messages.jsonl").write_text("")
    with pytest.raises(FixtureError, match="no message"):
        load(folder)


# What there is, and how it is made again


def facts(fixture: Fixture) -> tuple[set[str], dict[str, Any]]:
    table = fixture.manifest
    programs = {name.split()[0] for side in ("client", "server") for name in table["programs"][side].split(", ")}
    return programs, table["exchange"] | {"outcome": table["outcome"]}


@pytest.mark.parametrize(
    ("program", "wanted"),
    [
        ("FreeRDP", {"transport": "rdp", "outcome": "accepted"}),
        ("FreeRDP", {"transport": "rdp", "outcome": "refused"}),
        ("rdesktop", {"mechanism": "kerberos", "outcome": "accepted"}),
        ("rdesktop", {"mechanism": "kerberos", "outcome": "refused"}),
        ("nmap", {"transport": "rdp", "wire_form": "ntlm"}),
        ("pyspnego", {"mechanism": "kerberos", "wire_form": "spnego"}),
        ("pywinrm", {"transport": "winrm", "mechanism": "ntlm", "outcome": "accepted"}),
        ("pywinrm", {"transport": "winrm", "mechanism": "kerberos", "wire_form": "spnego"}),
        ("pywinrm", {"transport": "winrm", "outcome": "refused"}),
        ("pypsrp", {"transport": "winrm", "mechanism": "ntlm", "outcome": "accepted"}),
        ("pypsrp", {"transport": "winrm", "mechanism": "kerberos", "wire_form": "kerberos"}),
        ("impacket", {"transport": "rdp", "outcome": "accepted"}),
        ("impacket", {"transport": "rdp", "outcome": "refused"}),
        ("asyauth", {"wire_form": "spnego", "outcome": "accepted"}),
        ("aardwolf", {"wire_form": "spnego", "outcome": "accepted"}),
        ("aardwolf", {"wire_form": "spnego", "outcome": "refused"}),
        ("credssp", {"tls": "TLSv1.2"}),
        ("credssp", {"tls": "TLSv1.3"}),
    ],
)
def test_every_program_is_there_in_every_scenario(program: str, wanted: dict[str, str]) -> None:
    assert [f for f in FIXTURES if program in facts(f)[0] and wanted.items() <= facts(f)[1].items()]


def test_versions_2_to_6_are_there_bare_and_in_spnego() -> None:
    for side in ("client_version", "server_version"):
        there = {(f.manifest["exchange"][side], f.manifest["exchange"]["wire_form"]) for f in FIXTURES}
        assert there >= {(version, form) for version in (2, 3, 4, 5, 6) for form in ("ntlm", "spnego")}


@pytest.mark.parametrize("fixture", FIXTURES, ids=ids(FIXTURES))
def test_the_manifest_says_what_the_messages_say(fixture: Fixture) -> None:
    for side in ("client", "server"):
        said = {TSRequest.decode(data).version for data in fixture.requests(side)}  # type: ignore[arg-type]
        assert said <= {fixture.manifest["exchange"][f"{side}_version"]}


PRIVATE = (b"/home/", b"/root/", b"/tmp/", b"/work/", b"/Users/", b"-----BEGIN")


@pytest.mark.parametrize("fixture", FIXTURES, ids=ids(FIXTURES))
def test_nothing_of_the_machine_is_in_it(fixture: Fixture) -> None:
    octets = b"".join(path.read_bytes() for path in (FOLDER / fixture.name).iterdir())
    octets += b"".join(message.data for message in fixture.messages)
    assert [path for path in PRIVATE if path in octets or path.decode().encode("utf-16-le") in octets] == []


def test_every_script_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sorted(make_all.NEEDS) == sorted(path.stem for path in FOLDER.glob("make_*.py") if path.stem != "make_all")
    assert make_all.missing("make_pyspnego") == []
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setitem(
        make_all.NEEDS, "make_rdp", ("surely-not-installed", "module surely_not_installed", "module os")
    )
    assert make_all.missing("make_rdp") == ["surely-not-installed", "module surely_not_installed"]


def test_every_command_that_makes_a_fixture_can_be_run() -> None:
    commands = {fixture.manifest["make"]["command"] for fixture in FIXTURES}
    assert commands == {f"python -m fixtures.{script}" for script in make_all.NEEDS}


def test_fixtures_are_made_again_somewhere_else(tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in FOLDER.glob("*/*")}
    assert make_all.run("make_pyspnego", [], tmp_path) == ""
    made = load_all(tmp_path)
    assert {fixture.name for fixture in made} == {
        fixture.name for fixture in FIXTURES if fixture.manifest["make"]["command"].endswith("make_pyspnego")
    }
    assert {path: path.stat().st_mtime_ns for path in FOLDER.glob("*/*")} == before


def test_a_script_that_fails_is_told(tmp_path: Path) -> None:
    assert "No module named fixtures.make_nothing" in make_all.run("make_nothing", [], tmp_path)
    command = ["sh", "-c", 'echo "$@" >&2; exit 3', "sh"]
    assert "fixtures.make_rdp" in make_all.run("make_rdp", command, tmp_path)

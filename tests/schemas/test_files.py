"""The schemas themselves: complete, described, and in step with the program's own lists of values."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, get_args

import jsonschema
import pytest

from credssp.cli import main
from credssp.conformance.rule import Level, Role, Verdict
from credssp.diagnosis.step import StepState
from credssp.dissect.model import Layer, Transport
from credssp.drivers.audit import Outcome, Reason
from credssp.errors import LocalProtocolError, Wrong
from credssp.finding import FindingLevel, Severity
from credssp.lsa.opened import DelegateRule
from credssp.lsa.record import Outcome as End
from credssp.lsa.store import Origin
from credssp.mechanism_name import MechanismName, WireForm
from credssp.policy.lists import ListState
from credssp.policy.terms import AuthenticationLevel, CredentialSource, DelegationMode
from credssp.schemas import names, schema, source
from credssp.testing.rdp_session.report import SessionState
from credssp.tls.settings import CertificateCheck
from tests.modules import load_generator
from tests.schemas.checking import closed

FILES = (*names(), "common", "events", "messages")


@pytest.mark.parametrize("name", names())
def test_a_schema_is_one_and_stands_alone(name: str) -> None:
    whole = schema(name)
    jsonschema.Draft202012Validator.check_schema(whole)
    assert whole["title"]
    assert whole["description"]
    references = set(_values(whole, "$ref"))
    assert {reference.removeprefix("#/$defs/") for reference in references} == set(whole.get("$defs", ()))


@pytest.mark.parametrize("name", FILES)
def test_every_member_is_described_and_every_definition_used(name: str) -> None:
    file = source(name)
    for path, member in _members(file):
        assert member.get("description") or "$ref" in member, path
        assert not member.get("description", "").endswith("."), path
    used = {each for other in FILES for each in _values(source(other), "$ref")}
    for definition in file.get("$defs", ()):
        assert {f"{name}.json#/$defs/{definition}", f"#/$defs/{definition}"} & used, definition


def test_every_command_with_json_has_one() -> None:
    json_commands = {
        words
        for words, parser in load_generator("cli_docs").parsers().items()
        if any("--json" in action.option_strings for action in parser._actions)
    }
    others = {"gateway run": "gateway", "gateway front": "gateway", "gateway back": "gateway"}
    missing = {words for words in json_commands if others.get(words, words.replace(" ", "-")) not in names()}
    assert missing == set()


def test_the_command_prints_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    listed = capsys.readouterr().out.splitlines()[2:]
    assert [line.split()[0] for line in listed] == list(names())
    assert main(["schema", "serve", "rdp"]) == 0
    assert json.loads(capsys.readouterr().out) == schema("serve-rdp")
    assert main(["schema", "common"]) == 2
    assert capsys.readouterr().err.startswith("credssp schema: there is no schema 'common': agent-list, ")
    with pytest.raises(LocalProtocolError):
        source("../cli/login")


@pytest.mark.parametrize(
    ("place", "values"),
    [
        ("common/finding/severity", FindingLevel),
        ("common/machine_finding/severity", Severity),
        ("common/exchange/mechanism", MechanismName),
        ("common/exchange/wire_form", WireForm),
        ("common/tls/certificate_check", CertificateCheck),
        ("common/https/certificate_check", CertificateCheck),
        ("events/head/outcome", Outcome),
        ("events/head/reason", Reason),
        ("events/head/mechanism", MechanismName),
        ("events/of_refusal/wrong", Wrong),
        ("events/agent_login/end", End),
        ("dissect/event/layer", Layer),
        ("dissect/conversation/transport", Transport),
        ("doctor/steps/state", StepState),
        ("policy-check/source", CredentialSource),
        ("policy-check/level", AuthenticationLevel),
        ("policy-check/mode", DelegationMode),
        ("policy-check/lists/state", ListState),
        ("agent-list/delegate", DelegateRule),
        ("agent-list/origin", Origin),
        ("conformance/results/level", Level),
        ("conformance/results/verdict", Verdict),
        ("conformance-list/rule/level", Level),
        ("conformance-list/rule/role", Role),
    ],
)
def test_values_are_those_of_the_program(place: str, values: Any) -> None:
    file, *path = place.split("/")
    (member,) = (member for found, member in _members(source(file)) if found[-len(path) :] == path)
    known = get_args(values) or [each.value for each in values]
    assert set(member["enum"]) - {None, ""} == set(known) - {""}


def test_states_of_a_session_are_those_of_the_program() -> None:
    (state,) = (member for path, member in _members(source("events")) if path[-1] == "state")
    assert state["enum"] == [each.name.lower() for each in SessionState]


def test_unknown_members_are_allowed_for_consumers_and_not_in_these_tests() -> None:
    line = {"target": "rdp://192.0.2.1:3389", "answered": False, "credssp": None, "error": None}
    later = line | {"something": "of a later version"}
    jsonschema.validate(later, schema("probe"))
    jsonschema.validate(line, closed(schema("probe")))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(later, closed(schema("probe")))


def _values(part: Any, key: str) -> Iterator[str]:
    for each in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from _values(each, key)
    if isinstance(part, dict) and key in part:
        yield part[key]


def _members(part: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[list[str], dict[str, Any]]]:
    """Yield every member with its path: definitions and the members that it is in."""
    if isinstance(part, list):
        for each in part:
            yield from _members(each, path)
    elif isinstance(part, dict):
        for key, each in part.items():
            if key == "properties":
                for name, member in each.items():
                    yield [*path, name], member
                    yield from _members(member, (*path, name))
            elif key == "$defs":
                for name, definition in each.items():
                    yield from _members(definition, (name,))
            else:
                yield from _members(each, path)

"""`Secret`: nothing shows what is in it, except `reveal`."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import io
import json
import logging
import pickle
import pprint
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credssp.secret import Secret

WORD = "correct horse"


@dataclasses.dataclass(frozen=True)
class Holder:
    name: str
    secret: Secret[str]


def test_reveal_returns_the_value() -> None:
    assert Secret(WORD).reveal() == WORD
    assert Secret(b"\x00\xff").reveal() == b"\x00\xff"


@given(st.text() | st.binary())
def test_reveal_returns_any_value_unchanged(value: str | bytes) -> None:
    assert Secret(value).reveal() == value


def test_a_secret_of_a_secret_is_one_box() -> None:
    assert Secret(Secret(WORD)).reveal() == WORD


@pytest.mark.parametrize(
    "shown",
    [
        repr(Secret(WORD)),
        str(Secret(WORD)),
        f"{Secret(WORD)}",
        f"{Secret(WORD):>40}",
        f"{Secret(WORD)!r}",
        "%s %r" % (Secret(WORD), Secret(WORD)),  # noqa: UP031
        "{0} {0!r} {0!s} {0!a}".format(Secret(WORD)),
        repr([Secret(WORD)]),
        repr(Holder("x", Secret(WORD))),
        repr(dataclasses.asdict(Holder("x", Secret(WORD)))),
        pprint.pformat({"secret": Secret(WORD)}),
        ascii(Secret(WORD)),
    ],
)
def test_no_way_of_printing_shows_the_value(shown: str) -> None:
    assert "horse" not in shown
    assert "********" in shown


def test_the_length_does_not_show() -> None:
    assert repr(Secret("")) == repr(Secret("x" * 100)) == repr(Secret(b"x"))


def test_log_records_do_not_show_the_value(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("test").warning("logging on with %s and %r", Secret(WORD), Secret(WORD.encode()))
    assert "horse" not in caplog.text


def test_exception_texts_do_not_show_the_value() -> None:
    error = ValueError("refused", Secret(WORD))
    assert "horse" not in "".join(traceback.format_exception(error))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_secret_is_not_pickled(protocol: int) -> None:
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(Secret(WORD), protocol)


def test_a_secret_is_not_serialised_as_json() -> None:
    with pytest.raises(TypeError) as caught:
        json.dumps({"secret": Secret(WORD)})
    assert "horse" not in str(caught.value)


def test_a_secret_has_no_instance_dictionary() -> None:
    with pytest.raises(TypeError):
        vars(Secret(WORD))


def test_a_secret_has_no_hash() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(Secret(WORD))


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_a_copy_is_the_same_box(duplicate: object) -> None:
    secret = Secret(WORD)
    assert callable(duplicate)
    assert duplicate(secret) is secret


@pytest.mark.parametrize("value", [WORD, WORD.encode(), "", b"", "\ud800", "pässwörd"])
def test_equal_values_are_equal_secrets(value: str | bytes) -> None:
    assert Secret(value) == Secret(value)
    assert not Secret(value) != Secret(value)  # noqa: SIM202


@pytest.mark.parametrize(("one", "other"), [("a", "b"), ("a", "ab"), (b"a", b"b"), ("a", b"a"), ("a", b"a\x00")])
def test_other_values_or_kinds_are_not_equal(one: str | bytes, other: str | bytes) -> None:
    assert Secret(one) != Secret(other)
    assert Secret(other) != Secret(one)


@pytest.mark.parametrize("other", [WORD, WORD.encode(), None, 0])
def test_a_secret_is_not_equal_to_a_bare_value(other: object) -> None:
    assert Secret(WORD) != other


def test_values_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        calls.append((one, other))
        return True

    monkeypatch.setattr("credssp.secret.hmac.compare_digest", compare)
    assert Secret("a") == Secret("b")
    assert Secret(b"a") == Secret(b"b")
    assert calls == [(b"a\0", b"b\0"), (b"a", b"b")]


def test_an_empty_secret_is_false() -> None:
    assert not Secret("")
    assert not Secret(b"")
    assert Secret("x")
    assert Secret(b"\0")


@pytest.mark.parametrize("secret", [Secret(WORD), Secret(WORD.encode())])
def test_what_takes_objects_apart_does_not_get_at_the_value(secret: Secret[str] | Secret[bytes]) -> None:
    assert "_value" not in dir(secret)
    assert "horse" not in repr([value for name, value in inspect.getmembers(secret)])
    for take in (lambda: secret.__getstate__(), lambda: pickle.dumps(secret), lambda: secret.__reduce_ex__(4)):
        with pytest.raises(TypeError):
            take()


def test_rich_does_not_show_the_value() -> None:
    rich = pytest.importorskip("rich")
    from rich.console import Console

    console = Console(record=True, file=io.StringIO(), width=200)
    rich.inspect(Secret(WORD), all=True, console=console)
    rich.inspect(Holder("x", Secret(WORD)), all=True, console=console)
    assert "horse" not in console.export_text()

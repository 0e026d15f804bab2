"""Frozen dataclasses whose slots are filled directly (`credssp._quick_init`)."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle

import pytest

from credssp.errors import LocalProtocolError
from credssp.identity import Identity
from credssp.spnego.tokens import NegTokenInit
from credssp.wire.ts_request import TSRequest

MESSAGE = TSRequest(6, nego_tokens=(b"token",), error_code=3)


def test_a_field_cannot_be_assigned() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        MESSAGE.version = 2  # type: ignore[misc]
    assert not hasattr(MESSAGE, "__dict__")


@pytest.mark.parametrize("kind", [TSRequest, Identity, NegTokenInit])
def test_parameters_are_those_that_dataclasses_gives(kind: type) -> None:
    fields = {field.name: field for field in dataclasses.fields(kind)}
    parameters = inspect.signature(kind).parameters
    assert list(parameters) == list(fields)
    for name, parameter in parameters.items():
        assert parameter.default == (
            inspect.Parameter.empty if fields[name].default is dataclasses.MISSING else fields[name].default
        )
        assert (parameter.kind is inspect.Parameter.KEYWORD_ONLY) == fields[name].kw_only


def test_copies_are_equal() -> None:
    assert dataclasses.replace(MESSAGE, version=6) == MESSAGE
    assert copy.deepcopy(MESSAGE) == MESSAGE
    assert pickle.loads(pickle.dumps(MESSAGE)) == MESSAGE  # noqa: S301


def test_a_wrong_argument_is_a_type_error_that_names_it() -> None:
    with pytest.raises(TypeError, match=r"TSRequest.__init__\(\) got an unexpected keyword argument 'nonce'"):
        TSRequest(6, nonce=b"")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="version"):
        TSRequest()  # type: ignore[call-arg]


def test_post_init_runs() -> None:
    assert NegTokenInit(("1.2.840.113554.1.2.2",)).mech_types_der
    with pytest.raises(LocalProtocolError):
        NegTokenInit(("not an oid",))

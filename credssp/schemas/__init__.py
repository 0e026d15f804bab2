"""What the commands print with ``--json``, as JSON Schemas (draft 2020-12); docs/reference/json.md lists them.

The files here are the source: one for each output, and three with definitions that several of them share. A later
version may add members, so the schemas allow members that they do not know; the tests do not.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any, Final

from credssp.errors import LocalProtocolError

__all__ = ["names", "schema", "source"]

_SHARED: Final = ("common", "events", "messages")


@cache
def names() -> tuple[str, ...]:
    """Return the names of all outputs: the words of a command, joined by hyphens, such as ``serve-rdp``."""
    found = (each.name.removesuffix(".json") for each in files(__name__).iterdir() if each.name.endswith(".json"))
    return tuple(sorted(set(found) - set(_SHARED)))


def source(name: str) -> dict[str, Any]:
    """Return a file as it is; its references may lead into other files.

    Raises:
        LocalProtocolError: there is no such file.
    """
    if name not in (*names(), *_SHARED):
        raise LocalProtocolError(f"there is no schema {name!r}: {', '.join(names())}")
    found: dict[str, Any] = json.loads(files(__name__).joinpath(f"{name}.json").read_text(encoding="utf-8"))
    return found


def schema(name: str) -> dict[str, Any]:
    """Return the schema of an output, complete: what it shares with others is among its own definitions.

    Args:
        name: one of `names`.

    Raises:
        LocalProtocolError: there is no such output.
    """
    if name not in names():
        raise LocalProtocolError(f"there is no schema {name!r}: {', '.join(names())}")
    definitions: dict[str, Any] = {}
    whole: dict[str, Any] = _bundled(source(name), name, name, definitions)
    return (
        {"$schema": whole.pop("$schema"), "$id": f"urn:credssp:schema:{name}"}
        | whole
        | ({"$defs": definitions} if definitions else {})
    )


def _bundled(value: Any, file: str, main: str, definitions: dict[str, Any]) -> Any:
    """Return a part of a file; the definitions that it refers to are added to the others."""
    if isinstance(value, list):
        return [_bundled(each, file, main, definitions) for each in value]
    if not isinstance(value, dict):
        return value
    found = {
        key: _bundled(each, file, main, definitions) for key, each in value.items() if key not in ("$ref", "$defs")
    }
    if "$ref" not in value:
        return found
    other, _, name = value["$ref"].partition("#/$defs/")
    home = other.removesuffix(".json") or file
    known = name if home == main else f"{home}.{name}"
    if known not in definitions:
        definitions[known] = {}  # it may refer to itself
        definitions[known] = _bundled(source(home)["$defs"][name], home, main, definitions)
    return {"$ref": f"#/$defs/{known}"} | found

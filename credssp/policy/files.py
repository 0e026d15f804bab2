"""Reads policy files: TOML with the names of the registry, and exports of a Windows registry (``.reg``).

The kind of a file is detected from its first line, not from its name. Both forms may be UTF-8 or, with a byte order
mark, UTF-16, as regedit writes it.
"""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Final

from credssp.policy._registry_policy import read_registry_policy
from credssp.policy._registry_text import HEADERS, parse_registry
from credssp.policy._toml_policy import read_toml_policy
from credssp.policy.settings import PolicyFileError, PolicySettings

__all__ = ["MAX_FILE_SIZE", "load_policy", "parse_policy"]

MAX_FILE_SIZE: Final = 1 << 20
"""The longest policy file that is read, in bytes: some ten thousand patterns, and far less than a whole registry."""


def load_policy(path: str | Path, *, domain_joined: bool | None = None) -> PolicySettings:
    """Read a policy file.

    Args:
        path: the file.
        domain_joined: whether this machine is in a domain; None to take the word of a TOML file, and False otherwise.

    Raises:
        PolicyFileError: if it cannot be read, is longer than `MAX_FILE_SIZE`, or is malformed.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_FILE_SIZE + 1)
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL in it
        raise PolicyFileError(
            f"cannot be read: {getattr(error, 'strerror', None) or error}", source=str(path)
        ) from error
    return parse_policy(data, name=str(path), domain_joined=domain_joined)


def parse_policy(data: bytes, *, name: str = "policy", domain_joined: bool | None = None) -> PolicySettings:
    """Return what a policy file says.

    Args:
        data: its bytes.
        name: its name, for errors.
        domain_joined: as for `load_policy`.

    Raises:
        PolicyFileError: if it is longer than `MAX_FILE_SIZE` or malformed.
    """
    if len(data) > MAX_FILE_SIZE:
        raise PolicyFileError(
            f"longer than {MAX_FILE_SIZE} bytes: export the keys of the policy, not the registry", source=name
        )
    text = _decode(data, name).replace("\r\n", "\n")
    if text.lstrip().startswith(HEADERS):
        return read_registry_policy(parse_registry(text, source=name), source=name, domain_joined=bool(domain_joined))
    return read_toml_policy(text, source=name, domain_joined=domain_joined)


def _decode(data: bytes, name: str) -> str:
    utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    encoding = "utf-16" if utf16 else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise PolicyFileError(
            f"not {'UTF-16' if utf16 else 'UTF-8'} at byte {error.start}", source=name, line=line
        ) from error

"""What is in pubKeyAuth compared with the TLS key of the server ([MS-CSSP] 3.1.5 steps 3 to 5)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from credssp import binding
from credssp.exchange.recorded_login import RecordedLogin, Sender
from credssp.protocol_version import HIGHEST_VERSION, UPDATED_VERSION, has_hashed_binding

__all__ = ["Key", "check_binding"]

_HASH_SIZE: Final = 32
# One version of each form.
_ECHO, _HASHED = UPDATED_VERSION - 1, HIGHEST_VERSION


@dataclass(frozen=True, slots=True)
class Key:
    """The server's key.

    Attributes:
        public_key: SubjectPublicKey; empty where it is not known.
        source: where it is from, or why it is not known.
    """

    public_key: bytes = field(repr=False)
    source: str


def check_binding(
    login: RecordedLogin, sender: Sender, plain: bytes, key: Key
) -> tuple[Literal["ok", "failed", "unknown"], str]:
    """Judge an opened pubKeyAuth; returns the verdict and a sentence."""
    version = login.version
    if version is None:
        return "unknown", "opened, but not checked: the version of one side is not in the capture"
    form = "SHA-256 over clientNonce and key" if has_hashed_binding(version) else "the key itself"
    if sender == "server" and not has_hashed_binding(version):
        form = "the key with its first byte plus 1"
    if not key.public_key:
        return "unknown", f"opened ({len(plain)} bytes, {form}), but not checked: {key.source}"
    nonce = login.nonce
    if has_hashed_binding(version) and nonce is None:
        return "failed", f"version {version} needs clientNonce, and there is none"
    if plain == _expected(sender, version, nonce, key):
        return "ok", f"{form}: matches {key.source}"
    return "failed", _explain(login, sender, plain, key)


def _expected(sender: Sender, version: int, nonce: bytes | None, key: Key) -> bytes:
    value = binding.client_value if sender == "client" else binding.server_value
    return value(version, nonce or b"", key.public_key)


def _explain(login: RecordedLogin, sender: Sender, plain: bytes, key: Key) -> str:
    """Say what it is instead."""
    nonce = login.nonce
    version = login.version or 0
    for form, name in ((_ECHO, "the form of versions 2 to 4"), (_HASHED, "the form of versions 5 and 6")):
        if has_hashed_binding(form) != has_hashed_binding(version) and plain == _expected(sender, form, nonce, key):
            return f"has {name}, although the effective version is {version}"
    if sender == "server" and plain == _expected("client", version, nonce, key):
        return "the server sent the client's value back: a reflection"
    if len(plain) != _HASH_SIZE and not has_hashed_binding(version):
        return f"holds another key than {key.source}: the {sender} saw another TLS connection (a man in the middle?)"
    return (
        f"does not match {key.source}: the {sender} saw another key (a man in the middle, or a TLS proxy), "
        "or computes the hash in another way"
    )

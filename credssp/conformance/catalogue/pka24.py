"""PKA24: the binding of versions 2 to 4: the key, and the key plus 1 ([MS-CSSP] 3.1.5 steps 3 to 5)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from credssp import binding
from credssp.conformance.catalogue._base import (
    BOTH,
    CATALOGUE,
    CLIENT,
    MUST,
    PLAIN,
    ROBUSTNESS,
    SECURITY,
    SERVER,
    Try,
    in_versions,
    logins,
    serves,
)
from credssp.conformance.client_run import ClientRun
from credssp.conformance.observation import Observation
from credssp.conformance.rule import Outcome, Skipped, alive, failed, passed
from credssp.conformance.run import ServerRun
from credssp.conformance.scripted_client import ScriptedClient
from credssp.conformance.setup import KeyType, Setup
from credssp.protocol_version import LOWEST_VERSION

KEY_TYPES: Final[tuple[KeyType, ...]] = ("p256", "ed25519")

# fmt: off
CATALOGUE.declare(
    ("CSSP-PKA24-01", "the client sends SubjectPublicKey", MUST, CLIENT, "3.1.5 step 3",
     "a good login in versions 2 to 4", "the contents of the BIT STRING, no more and no less"),
    ("CSSP-PKA24-02", "a client that saw another key", SECURITY, SERVER, "3.1.5 step 4",
     "versions 2 to 4; pubKeyAuth holds another key", "refused; no pubKeyAuth of the server"),
    ("CSSP-PKA24-03", "the server answers with the key plus 1", MUST, SERVER, "3.1.5 step 4",
     "a good login in versions 2 to 4", "the key with 1 added to its first byte"),
    ("CSSP-PKA24-04", "the key without plus 1", SECURITY, CLIENT, "3.1.5 step 5",
     "the server answers with the key itself", "the client stops"),
    ("CSSP-PKA24-05", "plus 1 in the wrong place", SECURITY, CLIENT, "3.1.5 step 5", "1 added to the last byte",
     "the client stops"),
    ("CSSP-PKA24-06", "the key plus 1 cut short or extended", SECURITY, CLIENT, "3.1.5 step 5",
     "the right answer without its last byte, and with one more", "the client stops"),
    ("CSSP-PKA24-07", "a key that begins with FF", ROBUSTNESS, BOTH, "3.1.5 step 4",
     "an Ed25519 key whose first byte is FF, version 4", "00 comes next, with or without a carry; no crash"),
    ("CSSP-PKA24-08", "keys that are not RSA", ROBUSTNESS, BOTH, "1.5; 3.1.5 step 3; RFC 5280 4.1",
     "certificates with P-256 and Ed25519 keys", "completes: the raw bits of the key are bound"),
    ("CSSP-PKA24-09", "a nonce in versions 2 to 4 means nothing", MUST, SERVER, "2.2.1 clientNonce; 3.1.5 step 4",
     "version 4 with a clientNonce, the key in pubKeyAuth", "taken; the answer is the key plus 1, no hash"),
    ("CSSP-PKA24-10", "a hash in versions 2 to 4", SECURITY, SERVER, "3.1.5 step 4",
     "version 4 with a clientNonce and a hash", "refused: the version chooses the form"),
)
# fmt: on


def _is_old(seen: Observation) -> None:
    effective = seen.login.version
    if effective not in PLAIN:
        raise Skipped("no exchange of versions 2 to 4")
    if not seen.login.public_key:
        raise Skipped("the server's key is not known")


@CATALOGUE.observe("CSSP-PKA24-01")
def _client_sends_key(seen: Observation) -> Outcome:
    _is_old(seen)
    value = seen.plain.client_key
    if value is None:
        raise Skipped("no pubKeyAuth that opens")
    if value == seen.login.public_key:
        return passed(f"{len(value)} bytes")
    if seen.login.public_key in value:
        return failed(f"the key, and {len(value) - len(seen.login.public_key)} bytes around it")
    return failed(f"{len(value)} bytes that are not the key")


@CATALOGUE.observe("CSSP-PKA24-03")
def _server_adds_one(seen: Observation) -> Outcome:
    _is_old(seen)
    value = seen.plain.server_key
    if value is None:
        raise Skipped("no pubKeyAuth of the server that opens")
    expected = binding.server_value(LOWEST_VERSION, b"", seen.login.public_key)
    return passed() if value == expected else failed("something else than the key plus 1")


@CATALOGUE.server("CSSP-PKA24-07")
def _server_overflow(run: ServerRun) -> Outcome:
    login = run.login(Setup(key_type="ed25519-ff"), version=4)
    key = login.public_key
    fitting = (binding.server_value(4, b"", key), b"\0" + key[1:])
    return passed() if login.server_key in fitting else failed("neither of the two results")


@CATALOGUE.client("CSSP-PKA24-07")
def _client_overflow(run: ClientRun) -> Outcome:
    if not run.try_serve(version=4, key_type="ed25519").delegated_something:
        raise Skipped("the client takes no Ed25519 keys in version 4")
    carried = run.try_serve(Setup(), version=4, key_type="ed25519-ff")
    plain = run.try_serve(
        Setup(), version=4, key_type="ed25519-ff", key_value=lambda served: b"\0" + served.public_key[1:]
    )
    for served in (carried, plain):
        alive(served.crash)
    taken = [name for name, served in (("carry", carried), ("no carry", plain)) if served.delegated_something]
    return passed(f"takes {' and '.join(taken)}") if taken else failed("takes neither of the two results")


SERVER_KEYS: Final = tuple(Try(key_type, setup=Setup(key_type=key_type)) for key_type in KEY_TYPES)
CLIENT_KEYS: Final = tuple(Try(key_type, key_type=key_type) for key_type in KEY_TYPES)


def _other_key(spoil: Callable[[bytes], bytes]) -> Callable[[ScriptedClient], bytes]:
    return lambda client: spoil(client.public_key)


def _forged(what: str, forge: Callable[[bytes], bytes]) -> tuple[Try, ...]:
    """Return the tries of a forged answer in the highest and the lowest version of this form."""
    return in_versions((PLAIN[0], PLAIN[-1]), what, key_value=lambda served: forge(served.public_key))


def _plus_one(key: bytes) -> bytes:
    return binding.server_value(LOWEST_VERSION, b"", key)


logins(
    ServerRun.key_refused,
    (
        "CSSP-PKA24-02",
        *(
            in_versions(PLAIN, "another key", key_value=_other_key(lambda key: key[:-1] + bytes((key[-1] ^ 1,))))
            + in_versions(PLAIN, "a key cut short", key_value=_other_key(lambda key: key[:-1]))
            + in_versions(PLAIN, "a key with a byte too many", key_value=_other_key(lambda key: key + b"\0"))
        ),
    ),
    (
        "CSSP-PKA24-10",
        Try("a hash in version 4", version=4, nonce=bytes(32), key_value=lambda a: a.client_value(6, nonce=bytes(32))),
    ),
)
logins(ServerRun.taken, ("CSSP-PKA24-09", Try("a clientNonce in version 4", version=4, nonce=bytes(32))))
logins(ServerRun.taken, ("CSSP-PKA24-08", *SERVER_KEYS), via=ServerRun.try_login)
serves(
    ClientRun.stopped,
    ("CSSP-PKA24-04", *_forged("the key without plus 1", lambda key: key)),
    ("CSSP-PKA24-05", *_forged("1 added to the last byte", lambda key: key[:-1] + bytes(((key[-1] + 1) & 0xFF,)))),
    (
        "CSSP-PKA24-06",
        *(
            _forged("an answer cut short", lambda key: _plus_one(key)[:-1])
            + _forged("an answer with a byte too many", lambda key: _plus_one(key) + b"\0")
        ),
    ),
)
serves(ClientRun.completed_rightly, ("CSSP-PKA24-08", *CLIENT_KEYS), via=ClientRun.try_serve, before=ClientRun.baseline)

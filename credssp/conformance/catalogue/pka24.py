"""PKA24: the binding of versions 2 to 4: the key, and the key plus 1 ([MS-CSSP] 3.1.5 steps 3 to 5)."""

from __future__ import annotations

from credssp import binding
from credssp.conformance.catalogue._base import BOTH, CATALOGUE, CLIENT, MUST, ROBUSTNESS, SECURITY, SERVER
from credssp.conformance.client_run import ClientRun
from credssp.conformance.observation import Observation
from credssp.conformance.rule import Outcome, Skipped, Verdict, failed, passed
from credssp.conformance.run import ServerRun
from credssp.conformance.scripted_server import ScriptedServer
from credssp.conformance.setup import Setup

rule = CATALOGUE.rule
OLD = (4, 3, 2)


def _is_old(seen: Observation) -> None:
    effective = seen.login.version
    if effective is None or not 2 <= effective <= 4:
        raise Skipped("no exchange of versions 2 to 4")
    if not seen.login.public_key:
        raise Skipped("the server's key is not known")


@CATALOGUE.observe(
    rule("CSSP-PKA24-01", "the client sends SubjectPublicKey", MUST, CLIENT, "3.1.5 step 3",
         "a good login in versions 2 to 4", "the contents of the BIT STRING, no more and no less")
)  # fmt: skip
def _client_sends_key(seen: Observation) -> Outcome:
    _is_old(seen)
    value = seen.plain.client_key
    if value is None:
        raise Skipped("no pubKeyAuth that opens")
    if value == seen.login.public_key:
        return passed(f"{len(value)} octets")
    if seen.login.public_key in value:
        return failed(f"the key, and {len(value) - len(seen.login.public_key)} octets around it")
    return failed(f"{len(value)} octets that are not the key")


@CATALOGUE.server(
    rule("CSSP-PKA24-02", "a client that saw another key", SECURITY, SERVER, "3.1.5 step 4",
         "versions 2 to 4; pubKeyAuth holds another key", "refused; no pubKeyAuth of the server")
)  # fmt: skip
def _other_key(run: ServerRun) -> Outcome:
    for version in OLD:
        for spoil in (lambda key: key[:-1] + bytes((key[-1] ^ 1,)), lambda key: key[:-1], lambda key: key + b"\0"):
            login = run.login(version=version, key_value=lambda a, s=spoil: s(a.public_key))
            outcome = run.key_refused(login, f"another key in version {version}")
            if outcome.verdict is not Verdict.PASS:
                return outcome
    return passed()


@CATALOGUE.observe(
    rule("CSSP-PKA24-03", "the server answers with the key plus 1", MUST, SERVER, "3.1.5 step 4",
         "a good login in versions 2 to 4", "the key with 1 added to its first octet")
)  # fmt: skip
def _server_adds_one(seen: Observation) -> Outcome:
    _is_old(seen)
    value = seen.plain.server_key
    if value is None:
        raise Skipped("no pubKeyAuth of the server that opens")
    expected = binding.server_value(2, b"", seen.login.public_key)
    return passed() if value == expected else failed("something else than the key plus 1")


def _forged(run: ClientRun, forge: object, what: str) -> Outcome:
    """Try a forged answer in versions 4 and 2."""
    for version in (4, 2):
        served = run.serve(version=version, key_value=lambda p: forge(p.public_key))  # type: ignore[operator]
        outcome = run.stopped(served, f"version {version}: {what}")
        if outcome.verdict is not Verdict.PASS:
            return outcome
    return passed()


@CATALOGUE.client(
    rule("CSSP-PKA24-04", "the key without plus 1", SECURITY, CLIENT, "3.1.5 step 5",
         "the server answers with the key itself", "the client stops")
)  # fmt: skip
def _echo(run: ClientRun) -> Outcome:
    return _forged(run, lambda key: key, "the key without plus 1")


@CATALOGUE.client(
    rule("CSSP-PKA24-05", "plus 1 in the wrong place", SECURITY, CLIENT, "3.1.5 step 5",
         "1 added to the last octet", "the client stops")
)  # fmt: skip
def _last_octet(run: ClientRun) -> Outcome:
    return _forged(run, lambda key: key[:-1] + bytes(((key[-1] + 1) & 0xFF,)), "1 added to the last octet")


@CATALOGUE.client(
    rule("CSSP-PKA24-06", "the key plus 1 cut short or extended", SECURITY, CLIENT, "3.1.5 step 5",
         "the right answer without its last octet, and with one more", "the client stops")
)  # fmt: skip
def _wrong_length(run: ClientRun) -> Outcome:
    def plus_one(key: bytes) -> bytes:
        return binding.server_value(2, b"", key)

    outcome = _forged(run, lambda key: plus_one(key)[:-1], "an answer cut short")
    if outcome.verdict is not Verdict.PASS:
        return outcome
    return _forged(run, lambda key: plus_one(key) + b"\0", "an answer with an octet too many")


_OVERFLOW = rule(
    "CSSP-PKA24-07", "a key that begins with FF", ROBUSTNESS, BOTH, "3.1.5 step 4",
    "an Ed25519 key whose first octet is FF, version 4", "00 comes next, with or without a carry; no crash",
)  # fmt: skip


@CATALOGUE.server(_OVERFLOW)
def _server_overflow(run: ServerRun) -> Outcome:
    login = run.login(Setup(key_type="ed25519-ff"), version=4)
    key = login.public_key
    fitting = (binding.server_value(4, b"", key), b"\0" + key[1:])
    return passed() if login.server_key in fitting else failed("neither of the two results")


@CATALOGUE.client(_OVERFLOW)
def _client_overflow(run: ClientRun) -> Outcome:
    if not run.try_serve(version=4, key_type="ed25519").delegated_something:
        raise Skipped("the client takes no Ed25519 keys in version 4")
    carried = run.try_serve(Setup(), version=4, key_type="ed25519-ff")
    plain = run.try_serve(
        Setup(), version=4, key_type="ed25519-ff", key_value=lambda served: b"\0" + served.public_key[1:]
    )
    for served in (carried, plain):
        if served.crash:
            return Outcome(Verdict.CRASH, served.crash)
    taken = [name for name, served in (("carry", carried), ("no carry", plain)) if served.delegated_something]
    return passed(f"takes {' and '.join(taken)}") if taken else failed("takes neither of the two results")


_KEY_TYPES = rule(
    "CSSP-PKA24-08", "keys that are not RSA", ROBUSTNESS, BOTH, "1.5; 3.1.5 step 3; RFC 5280 4.1",
    "certificates with P-256 and Ed25519 keys", "completes: the raw bits of the key are bound",
)  # fmt: skip


@CATALOGUE.server(_KEY_TYPES)
def _server_key_types(run: ServerRun) -> Outcome:
    for key_type in ("p256", "ed25519"):
        outcome = run.taken(run.try_login(Setup(key_type=key_type)), key_type)
        if outcome.verdict is not Verdict.PASS:
            return outcome
    return passed()


@CATALOGUE.client(_KEY_TYPES)
def _client_key_types(run: ClientRun) -> Outcome:
    run.baseline()
    for key_type in ("p256", "ed25519"):
        served: ScriptedServer = run.try_serve(key_type=key_type)
        if served.key_message is not None and not served.client_key_right:
            return failed(f"{key_type}: the client binds to something else")
        outcome = run.completed(served, key_type)
        if outcome.verdict is not Verdict.PASS:
            return outcome
    return passed()


@CATALOGUE.server(
    rule("CSSP-PKA24-09", "a nonce in versions 2 to 4 means nothing", MUST, SERVER, "2.2.1 clientNonce; 3.1.5 step 4",
         "version 4 with a clientNonce, the key in pubKeyAuth", "taken; the answer is the key plus 1, no hash")
)  # fmt: skip
def _nonce_ignored(run: ServerRun) -> Outcome:
    return run.taken(run.login(version=4, nonce=bytes(32)), "a clientNonce in version 4")


@CATALOGUE.server(
    rule("CSSP-PKA24-10", "a hash in versions 2 to 4", SECURITY, SERVER, "3.1.5 step 4",
         "version 4 with a clientNonce and a hash", "refused: the version chooses the form")
)  # fmt: skip
def _hash_refused(run: ServerRun) -> Outcome:
    login = run.login(version=4, nonce=bytes(32), key_value=lambda a: a.client_value(6, nonce=bytes(32)))
    return run.key_refused(login, "a hash in version 4")

"""PKA56: the binding of versions 5 and 6: hashes over a nonce and the key ([MS-CSSP] 3.1.5 steps 3 to 5)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from credssp import binding
from credssp.conformance import mutate
from credssp.conformance.catalogue._base import (
    BOTH,
    CATALOGUE,
    CLIENT,
    MUST,
    ROBUSTNESS,
    SECURITY,
    SERVER,
)
from credssp.conformance.client_run import ClientRun
from credssp.conformance.observation import Observation
from credssp.conformance.rule import Outcome, Skipped, Verdict, failed, passed
from credssp.conformance.run import ServerRun
from credssp.conformance.scripted_client import ScriptedClient
from credssp.conformance.scripted_server import ScriptedServer
from credssp.protocol_version import has_hashed_binding
from credssp.wire.ts_request import TSRequest

rule = CATALOGUE.rule


def _is_new(seen: Observation) -> bytes:
    effective = seen.login.version
    if effective is None or not has_hashed_binding(effective):
        raise Skipped("no exchange of versions 5 and 6")
    if not seen.login.public_key:
        raise Skipped("the server's key is not known")
    return seen.login.nonce or b""


@CATALOGUE.client(
    rule("CSSP-PKA56-01", "a fresh nonce of 32 octets", SECURITY, CLIENT, "2.2.1 clientNonce; 3.1.5 step 3",
         "two good logins", "32 octets beside pubKeyAuth, and other ones the second time")
)  # fmt: skip
def _fresh_nonce(run: ClientRun) -> Outcome:
    nonces = []
    for _ in range(2):
        served = run.serve()
        if served.key_message is None or not has_hashed_binding(served.effective):
            raise Skipped("the client does not speak versions 5 or 6")
        if len(served.nonce) != binding.NONCE_SIZE:
            return failed(f"{len(served.nonce)} octets")
        nonces.append(served.nonce)
    if nonces[0] == nonces[1]:
        return failed("the same nonce twice")
    return passed()


@CATALOGUE.observe(
    rule("CSSP-PKA56-02", "the client's hash", MUST, CLIENT, "3.1.5 step 3",
         "a good login in versions 5 and 6", "SHA-256 over the client magic with its NUL, nonce and key")
)  # fmt: skip
def _client_hash(seen: Observation) -> Outcome:
    nonce = _is_new(seen)
    value = seen.plain.client_key
    if value is None:
        raise Skipped("no pubKeyAuth that opens")
    return passed() if value == binding.client_value(6, nonce, seen.login.public_key) else failed("another value")


@CATALOGUE.observe(
    rule("CSSP-PKA56-03", "the server's hash", MUST, SERVER, "3.1.5 step 4",
         "a good login in versions 5 and 6", "SHA-256 over the server magic with its NUL, nonce and key")
)  # fmt: skip
def _server_hash(seen: Observation) -> Outcome:
    nonce = _is_new(seen)
    value = seen.plain.server_key
    if value is None:
        raise Skipped("no pubKeyAuth of the server that opens")
    return passed() if value == binding.server_value(6, nonce, seen.login.public_key) else failed("another value")


def _server_refuses(run: ServerRun, value: Callable[[ScriptedClient], bytes], what: str, **plan: Any) -> Outcome:
    """Try a wrong pubKeyAuth in versions 6 and 5."""
    for version in (6, 5):
        outcome = run.key_refused(run.login(version=version, key_value=value, **plan), f"{what} in version {version}")
        if outcome.verdict is not Verdict.PASS:
            return outcome
    return passed()


@CATALOGUE.server(
    rule("CSSP-PKA56-04", "a wrong hash of the client", SECURITY, SERVER, "3.1.5 step 4",
         "versions 6 and 5; a hash over another nonce", "refused; no pubKeyAuth of the server")
)  # fmt: skip
def _wrong_client_hash(run: ServerRun) -> Outcome:
    return _server_refuses(run, lambda a: a.client_value(nonce=bytes(32)), "a hash over another nonce")


def _with_hashes(run: ClientRun) -> None:
    """Skip clients that know versions 2 to 4 only: with them the suite's server has no hash to get wrong."""
    version = run.baseline().requests[0].version
    if not has_hashed_binding(version):
        raise Skipped(f"the client speaks version {version}")


def _client_stops(run: ClientRun, what: str, **script: Any) -> Outcome:
    for version in (6, 5):
        outcome = run.stopped(run.serve(version=version, **script), f"{what} in version {version}")
        if outcome.verdict is not Verdict.PASS:
            return outcome
    return passed()


@CATALOGUE.client(
    rule("CSSP-PKA56-05", "a wrong hash of the server", SECURITY, CLIENT, "3.1.5 step 5",
         "versions 6 and 5; one bit of the hash flipped", "no authInfo")
)  # fmt: skip
def _wrong_server_hash(run: ClientRun) -> Outcome:
    def flip(served: ScriptedServer) -> bytes:
        value = served.server_value()
        return value[:-1] + bytes((value[-1] ^ 1,))

    _with_hashes(run)
    return _client_stops(run, "a wrong hash", key_value=flip)


@CATALOGUE.client(
    rule("CSSP-PKA56-06", "the client's own hash comes back", SECURITY, CLIENT, "3.1.5 step 5",
         "the client's hash, encrypted with the server's keys", "no authInfo")
)  # fmt: skip
def _client_hash_returned(run: ClientRun) -> Outcome:
    _with_hashes(run)
    return _client_stops(run, "the client's hash", key_value=lambda served: served.client_key or b"")


@CATALOGUE.client(
    rule("CSSP-PKA56-07", "the client's own pubKeyAuth comes back", SECURITY, CLIENT, "3.1.5 step 5",
         "the client's encrypted octets, reflected", "no authInfo")
)  # fmt: skip
def _reflected(run: ClientRun) -> Outcome:
    def reflect(served: ScriptedServer, _: bytes) -> bytes:
        return (served.key_message.pub_key_auth if served.key_message else None) or b""

    return _client_stops(run, "its own pubKeyAuth", key_octets=reflect)


_SIGNATURE = rule(
    "CSSP-PKA56-08", "a signature that does not verify", SECURITY, BOTH, "2.2.1 pubKeyAuth; [MS-NLMP] 3.4.2, 3.4.4",
    "one bit of the signature of pubKeyAuth flipped", "refused; the client sends no authInfo",
)  # fmt: skip


def _flip(data: bytes) -> bytes:
    return data[:6] + bytes((data[6] ^ 1,)) + data[7:]


@CATALOGUE.server(_SIGNATURE)
def _server_signature(run: ServerRun) -> Outcome:
    return run.key_refused(run.login(key_octets=_flip), "a wrong signature")


@CATALOGUE.client(_SIGNATURE)
def _client_signature(run: ClientRun) -> Outcome:
    return _client_stops(run, "a wrong signature", key_octets=lambda _, data: _flip(data))


_SHORT = rule(
    "CSSP-PKA56-09", "a pubKeyAuth that is too short", ROBUSTNESS, BOTH, "2.2.1 pubKeyAuth",
    "pubKeyAuth of 0, 8, 15 and 16 octets", "refused; no crash",
)  # fmt: skip


@CATALOGUE.server(_SHORT)
def _short_key(run: ServerRun) -> Outcome:
    for size in (0, 8, 15, 16):
        login = run.login(key_octets=lambda data, n=size: data[:n])
        outcome = run.key_refused(login, f"pubKeyAuth of {size} octets")
        if outcome.verdict is not Verdict.PASS:
            return outcome
    return passed()


@CATALOGUE.client(_SHORT)
def _short_answer(run: ClientRun) -> Outcome:
    for size in (0, 8, 15, 16):
        served = run.serve(key_octets=lambda _, data, n=size: data[:n])
        outcome = run.stopped(served, f"pubKeyAuth of {size} octets")
        if outcome.verdict is not Verdict.PASS:
            return outcome
    return passed()


@CATALOGUE.server(
    rule("CSSP-PKA56-10", "version 6 without a nonce", SECURITY, SERVER, "3.1.5 step 4; 2.2.1 clientNonce",
         "no clientNonce; with a hash, then with the key as in version 4", "refused: no way back to the old form")
)  # fmt: skip
def _no_nonce(run: ServerRun) -> Outcome:
    values: dict[str, Callable[[ScriptedClient], bytes]] = {
        "a hash": lambda a: a.client_value(),
        "a hash over an empty nonce": lambda a: a.client_value(nonce=b""),
        "a hash over 32 zero octets": lambda a: a.client_value(nonce=bytes(32)),
        "the key": lambda a: a.public_key,
    }
    for what, value in values.items():
        outcome = _server_refuses(run, value, f"{what} without clientNonce", nonce=None)
        if outcome.verdict is not Verdict.PASS:
            return outcome
    return passed()


@CATALOGUE.server(
    rule("CSSP-PKA56-11", "a nonce of the wrong size", MUST, SERVER, "2.2.1 clientNonce",
         "clientNonce of 0, 16 and 33 octets, the hash over it", "refused: it is 32 octets")
)  # fmt: skip
def _wrong_nonce(run: ServerRun) -> Outcome:
    for size in (0, 16, 33):
        nonce = bytes(range(size))
        login = run.login(nonce=nonce, key_value=lambda a, n=nonce: a.client_value(nonce=n))
        outcome = run.key_refused(login, f"a nonce of {size} octets")
        if outcome.verdict is not Verdict.PASS:
            return outcome
    return passed()


@CATALOGUE.server(
    rule("CSSP-PKA56-12", "a nonce that changes", ROBUSTNESS, SERVER, "2.2.1 clientNonce",
         "another clientNonce in the first message than beside pubKeyAuth", "the later one counts, or it is refused")
)  # fmt: skip
def _changing_nonce(run: ServerRun) -> Outcome:
    return run.either(run.login(first_nonce=bytes(range(32))), "a nonce that changes")


@CATALOGUE.server(
    rule("CSSP-PKA56-13", "a nonce beside pubKeyAuth only", MUST, SERVER, "3.1.5 step 3",
         "clientNonce in the message with pubKeyAuth and in no other", "taken: that is where step 3 puts it")
)  # fmt: skip
def _nonce_once(run: ServerRun) -> Outcome:
    return run.taken(run.login(), "a nonce beside pubKeyAuth only")


@CATALOGUE.server(
    rule("CSSP-PKA56-21", "a nonce in every message", ROBUSTNESS, SERVER, "2.2.1 clientNonce",
         "the same clientNonce from the first message on, as FreeRDP sends it", "taken")
)  # fmt: skip
def _nonce_everywhere(run: ServerRun) -> Outcome:
    login = run.login(
        first=lambda a, message: mutate.replaced(message, client_nonce=a.nonce),
        auth=lambda a, message: mutate.replaced(message, client_nonce=a.nonce),
    )
    return run.taken(login, "a nonce in every message")


@CATALOGUE.client(
    rule("CSSP-PKA56-14", "a nonce of the server", SECURITY, CLIENT, "3.1.5 step 5",
         "the server sends another nonce and hashes over that", "no authInfo: the client's own nonce counts")
)  # fmt: skip
def _foreign_nonce(run: ClientRun) -> Outcome:
    _with_hashes(run)
    other = bytes(range(32))
    served = run.serve(
        key_value=lambda p: binding.server_value(6, other, p.public_key),
        key=lambda _, message: mutate.replaced(message, client_nonce=other),
    )
    return run.stopped(served, "a hash over the server's nonce")


@CATALOGUE.client(
    rule("CSSP-PKA56-15", "the nonce comes back", ROBUSTNESS, CLIENT, "2.2.1 clientNonce",
         "the server repeats the client's nonce", "completes")
)  # fmt: skip
def _mirrored_nonce(run: ClientRun) -> Outcome:
    served = run.serve(key=lambda p, message: mutate.replaced(message, client_nonce=p.nonce))
    return run.completed(served, "a repeated nonce")


@CATALOGUE.client(
    rule("CSSP-PKA56-16", "the key plus 1 in version 6", SECURITY, CLIENT, "3.1.5 step 5",
         "a server of version 6 that answers as in version 4", "no authInfo")
)  # fmt: skip
def _old_answer(run: ClientRun) -> Outcome:
    _with_hashes(run)
    return _client_stops(run, "the key plus 1", key_value=lambda served: served.server_value(2))


@CATALOGUE.server(
    rule("CSSP-PKA56-17", "the key in version 6", SECURITY, SERVER, "3.1.5 step 4",
         "a client of version 6 that sends the key as in version 4, with a nonce", "refused")
)  # fmt: skip
def _old_form(run: ServerRun) -> Outcome:
    return _server_refuses(run, lambda a: a.public_key, "the key")


@CATALOGUE.client(
    rule("CSSP-PKA56-18", "an answer without pubKeyAuth", SECURITY, CLIENT, "3.1.5 step 5",
         "a TSRequest with nothing but a version", "no authInfo")
)  # fmt: skip
def _no_answer(run: ClientRun) -> Outcome:
    return _client_stops(run, "an answer without pubKeyAuth", key=lambda _, message: TSRequest(message.version))


@CATALOGUE.client(
    rule("CSSP-PKA56-19", "the client's token beside the server's pubKeyAuth", ROBUSTNESS, CLIENT, "3.1.5 step 4",
         "a right pubKeyAuth with the client's own last token beside it, as FreeRDP 2 answers", "tolerated")
)  # fmt: skip
def _token_beside_key(run: ClientRun) -> Outcome:
    served = run.serve(
        key=lambda p, message: mutate.replaced(
            message, nego_tokens=message.nego_tokens or (p.key_message.nego_tokens if p.key_message else None)
        )
    )
    return run.completed(served, "a token beside pubKeyAuth")


@CATALOGUE.observe(
    rule("CSSP-PKA56-20", "what the server's answer carries", MUST, SERVER, "3.1.5 step 4",
         "a good login", "pubKeyAuth alone; SPNEGO's last token may ride along")
)  # fmt: skip
def _answer_fields(seen: Observation) -> Outcome:
    with_key = [request for request in seen.requests if request.pub_key_auth is not None]
    if not with_key:
        raise Skipped("no pubKeyAuth of the server")
    request = with_key[0]
    if request.auth_info is not None:
        return failed("authInfo beside the server's pubKeyAuth")
    if request.nego_tokens is not None and not seen.login.is_spnego:
        return failed("negoTokens beside pubKeyAuth, which step 4 leaves out")
    return passed("with SPNEGO's last token" if request.nego_tokens else "")


@CATALOGUE.server(
    rule("CSSP-PKA56-22", "a client that saw another key", SECURITY, SERVER, "3.1.5 step 4; 5.1",
         "versions 6 and 5; the right nonce, the hash over another key (a man in the middle)", "refused")
)  # fmt: skip
def _man_in_the_middle(run: ServerRun) -> Outcome:
    return _server_refuses(run, lambda a: a.client_value(key=a.public_key[::-1]), "a hash over another key")


@CATALOGUE.server(
    rule("CSSP-PKA56-23", "the server's hash from the client", SECURITY, SERVER, "3.1.5 step 4",
         "pubKeyAuth with the server's magic", "refused: the two directions must differ")
)  # fmt: skip
def _wrong_direction(run: ServerRun) -> Outcome:
    return _server_refuses(run, lambda a: binding.server_value(6, a.nonce, a.public_key), "the server's own hash")


_SEQUENCE = rule(
    "CSSP-PKA56-24", "a sequence number that is not due", MUST, BOTH, "[MS-NLMP] 3.4.4",
    "pubKeyAuth with the sequence number in its signature one too high", "refused; the client sends no authInfo",
)  # fmt: skip


def _next_number(data: bytes) -> bytes:
    number = int.from_bytes(data[12:16], "little") + 1
    return data[:12] + number.to_bytes(4, "little") + data[16:]


@CATALOGUE.server(_SEQUENCE)
def _server_sequence(run: ServerRun) -> Outcome:
    return run.key_refused(run.login(key_octets=_next_number), "a wrong sequence number")


@CATALOGUE.client(_SEQUENCE)
def _client_sequence(run: ClientRun) -> Outcome:
    return _client_stops(run, "a wrong sequence number", key_octets=lambda _, data: _next_number(data))

"""TSREQ: the encoding of TSRequest and how it lies in TLS records ([MS-CSSP] 2.2.1, X.690)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, TypeAlias

from credssp.conformance import mutate
from credssp.conformance.catalogue._base import BOTH, CATALOGUE, MUST, ROBUSTNESS, SHOULD, Try, logins, serves
from credssp.conformance.client_run import ClientRun
from credssp.conformance.connection import chunks
from credssp.conformance.observation import Observation
from credssp.conformance.rule import Outcome, Skipped, failed, lenient, passed
from credssp.conformance.run import ServerRun, judge_refusal
from credssp.conformance.scripted_client import ScriptedClient
from credssp.conformance.scripted_server import ScriptedServer
from credssp.credentials import PasswordCredentials
from credssp.protocol_version import LOWEST_VERSION
from credssp.wire.ts_request import TSRequest

Build: TypeAlias = Callable[[TSRequest], "bytes | tuple[bytes, ...]"]
Expect: TypeAlias = Literal["refuse", "refuse or lenient", "either"]


# fmt: off
CATALOGUE.declare(
    ("CSSP-TSREQ-01", "messages are DER with the shortest lengths", MUST, BOTH, "2.2; X.690 8.3.2, 10.1",
     "a good login", "every length and INTEGER of the peer's messages in its shortest form"),
    ("CSSP-TSREQ-02", "members are in the order of their tags, each once", MUST, BOTH, "2.2.1; X.690 8.9",
     "a good login", "tags [0] to [5] ascending, each at most once, none unknown"),
    ("CSSP-TSREQ-03", "version is mandatory", MUST, BOTH, "2.2.1", "a TSRequest without version",
     "refused; no further token"),
    ("CSSP-TSREQ-04", "members out of order do not confuse", ROBUSTNESS, BOTH, "2.2.1; X.690 8.9",
     "version after negoTokens", "refused or read correctly; no hang"),
    ("CSSP-TSREQ-05", "a version with a leading zero is not misread", ROBUSTNESS, BOTH, "X.690 8.3.2",
     "version as 02 02 00 06", "refused, or read as 6"),
    ("CSSP-TSREQ-06", "an outer length that is not the shortest", ROBUSTNESS, BOTH, "X.690 10.1",
     "outer length in the form 82 hh ll where fewer bytes do", "refused or read; no hang"),
    ("CSSP-TSREQ-07", "outer lengths of three and four bytes", ROBUSTNESS, BOTH, "X.690 8.1.3.5",
     "outer length in the form 84 with four bytes", "refused or read; no hang"),
    ("CSSP-TSREQ-08", "indefinite lengths are not DER", ROBUSTNESS, BOTH, "2.2; X.690 10.1",
     "outer length in indefinite form", "refused (a receiver that takes it is lenient)"),
    ("CSSP-TSREQ-09", "unknown members of later versions", ROBUSTNESS, BOTH, "2.2.1", "a member [6] at the end",
     "ignored, or refused; no hang"),
    ("CSSP-TSREQ-10", "version twice", ROBUSTNESS, BOTH, "2.2.1; X.690 8.9", "version twice, 2 and 6", "refused"),
    ("CSSP-TSREQ-11", "negoTokens twice", ROBUSTNESS, BOTH, "2.2.1; X.690 8.9",
     "negoTokens twice, the second with another token", "refused; never one used and the other signed"),
    ("CSSP-TSREQ-12", "several tokens in negoTokens", ROBUSTNESS, BOTH, "2.2.1.1",
     "two elements in negoTokens, the second garbage", "the first is used, or the message refused"),
    ("CSSP-TSREQ-13", "an empty negoTokens", ROBUSTNESS, BOTH, "2.2.1.1", "negoTokens without an element", "refused"),
    ("CSSP-TSREQ-14", "an empty negoToken", ROBUSTNESS, BOTH, "2.2.1.1", "a negoToken of zero bytes", "refused"),
    ("CSSP-TSREQ-15", "bytes after a TSRequest", ROBUSTNESS, BOTH, "2.2.1",
     "two bytes of garbage after the TSRequest in the same record", "refused promptly (or ignored: lenient)"),
    ("CSSP-TSREQ-16", "something other than a TSRequest", ROBUSTNESS, BOTH, "2.2.1 <8>", "GET / HTTP/1.0 inside TLS",
     "the connection is closed"),
    ("CSSP-TSREQ-17", "a TSRequest in many records", ROBUSTNESS, BOTH, "2.2.1 <8>", "one byte in each TLS record",
     "taken, or refused as Windows servers do; no hang"),
    ("CSSP-TSREQ-18", "one TSRequest in one TLS record", SHOULD, BOTH, "2.2.1 <8>", "a good login",
     "every message of the peer, up to 16384 bytes, in exactly one record"),
    ("CSSP-TSREQ-19", "a message that never ends", ROBUSTNESS, BOTH, "2.2.1",
     "a length larger than what follows, then silence", "closed within the peer's deadline"),
    ("CSSP-TSREQ-20", "a message of 70000 bytes", ROBUSTNESS, BOTH, "2.2.1", "a TSRequest of 70000 bytes",
     "taken or refused; no hang"),
    ("CSSP-TSREQ-21", "a header that announces two gigabytes", ROBUSTNESS, BOTH, "2.2.1",
     "30 84 7F FF FF FF and a few bytes", "refused at once, before the rest could be waited for"),
    ("CSSP-TSREQ-22", "two messages in one record", ROBUSTNESS, BOTH, "2.2.1",
     "the same TSRequest twice in one record", "processed in order, or refused; no hang"),
    ("CSSP-TSREQ-23", "lengths around the borders of DER", ROBUSTNESS, BOTH, "X.690 8.1.3",
     "OCTET STRINGs just below and above 128 and 256 bytes, and of about 4096", "taken"),
    ("CSSP-TSREQ-24", "a member with the wrong tag class", MUST, BOTH, "2.2.1; X.690 8.14",
     "version under the primitive tag 80 in place of A0", "refused"),
    ("CSSP-TSREQ-25", "a TSRequest without members", MUST, BOTH, "2.2.1 version", "30 00: not even a version",
     "refused; the peer is there for the next login"),
)
# fmt: on


@CATALOGUE.observe("CSSP-TSREQ-01")
def _shortest_forms(seen: Observation) -> Outcome:
    for request in seen.requests:
        for deviation in request.deviations:
            if "shortest" in deviation.what or "five bytes" in deviation.what:
                return failed(f"{deviation.field} at byte {deviation.offset}: {deviation.what}")
    return passed(f"{len(seen.requests)} messages")


@CATALOGUE.observe("CSSP-TSREQ-02")
def _member_order(seen: Observation) -> Outcome:
    octets = seen.login.octets(seen.who)
    if not octets:
        raise Skipped(f"the {seen.who} sent nothing")
    for data in octets:
        tags = mutate.member_tags(data)
        if tags is None:
            return failed("a message is not a SEQUENCE of tagged members")
        if tags != sorted(set(tags)):
            return failed(f"tags in the order {', '.join(f'{tag:02X}' for tag in tags)}")
        if tags[0] != 0xA0 or tags[-1] > 0xA5:
            return failed(f"unexpected tags {', '.join(f'{tag:02X}' for tag in tags)}")
    return passed(f"{len(octets)} messages")


@CATALOGUE.observe("CSSP-TSREQ-18")
def _one_record(seen: Observation) -> Outcome:
    counts = seen.login.records
    if not counts:
        raise Skipped("records were not noted in this exchange")
    sizes = [len(data) for data in seen.login.octets(seen.who)]
    for size, count in zip(sizes, counts, strict=False):
        if count != 1 and size <= 16384:
            return failed(f"a message of {size} bytes came in {count} records")
    return passed(f"{len(counts)} messages")


@CATALOGUE.client("CSSP-TSREQ-23")
def _client_sizes(run: ClientRun) -> Outcome:
    for extra in (0, 1, 2, 126, 127, 128, 129, 4096):
        served: ScriptedServer = run.serve(
            challenge_token=lambda token, n=extra: token + bytes(n) if token[:1] == b"N" else token
        )
        if not served.answers:
            return run.stopped_early(served, "x") if served.crash else failed(f"{extra} bytes after CHALLENGE: stopped")
    return passed()


# Passwords of these lengths bring authInfo, and what is in it, over the borders one after the other.
AUTH_INFOS: Final = tuple(
    PasswordCredentials("alice", "x" * length).to_wire().encode()
    for length in (38, 39, 97, 98, 99, 100, 101, 102, 2000)
)
_OTHER_PASSWORD: Final = PasswordCredentials("alice", "other").to_wire().encode()


def _taken_in_any_size(run: ServerRun, login: ScriptedClient, what: str) -> Outcome:
    return run.taken_like(login, what, control=_OTHER_PASSWORD)


logins(
    _taken_in_any_size,
    ("CSSP-TSREQ-23", *(Try(f"authInfo of {len(data) + 16} bytes", credentials=data) for data in AUTH_INFOS)),
)


def _version_last(message: TSRequest) -> bytes:
    version, *others = mutate.members(message)
    return mutate.sequence([*others, version])


def _two_versions(message: TSRequest) -> bytes:
    other = mutate.members(mutate.replaced(message, version=LOWEST_VERSION))
    return mutate.sequence([other[0], *mutate.members(message)])


def _two_nego_tokens(message: TSRequest) -> bytes:
    other = mutate.members(mutate.replaced(message, nego_tokens=(b"NTLMSSP\0" + bytes(24),)))
    return mutate.sequence([*mutate.members(message)[:2], other[1]])


def _two_tokens(message: TSRequest) -> bytes:
    return mutate.replaced(message, nego_tokens=(*(message.nego_tokens or ()), b"garbage")).encode()


def _first_message(server_or_client: str, taken: Callable[[str], Outcome]) -> Callable[..., Outcome]:
    """Return how to judge a peer that must not answer a first message."""

    def judge(_: object, login: ScriptedClient | ScriptedServer, what: str) -> Outcome:
        went_on = login.stage != "first" if isinstance(login, ScriptedClient) else login.answers > 0
        accepted = taken(f"the {server_or_client} continued after: {what}")
        return judge_refusal(None if went_on else login.end, login.crash, accepted=accepted)

    return judge


JUDGES: Final = {
    "either": (ServerRun.either, ClientRun.either),
    "refuse": (_first_message("server", failed), _first_message("client", failed)),
    "refuse or lenient": (_first_message("server", lenient), _first_message("client", lenient)),
}
MALFORMED: Final[tuple[tuple[str, Expect, Build], ...]] = (
    ("CSSP-TSREQ-03", "refuse", lambda message: mutate.sequence(mutate.members(message)[1:])),
    ("CSSP-TSREQ-04", "either", _version_last),
    ("CSSP-TSREQ-05", "either", mutate.two_octet_version),
    ("CSSP-TSREQ-06", "either", lambda message: mutate.long_outer_length(message, 2)),
    ("CSSP-TSREQ-07", "either", lambda message: mutate.long_outer_length(message, 4)),
    ("CSSP-TSREQ-08", "refuse or lenient", mutate.indefinite),
    ("CSSP-TSREQ-09", "either", mutate.with_extra),
    ("CSSP-TSREQ-10", "refuse or lenient", _two_versions),
    ("CSSP-TSREQ-11", "refuse or lenient", _two_nego_tokens),
    ("CSSP-TSREQ-12", "either", _two_tokens),
    ("CSSP-TSREQ-13", "refuse", lambda message: mutate.replaced(message, nego_tokens=()).encode()),
    ("CSSP-TSREQ-14", "refuse", lambda message: mutate.replaced(message, nego_tokens=(b"",)).encode()),
    ("CSSP-TSREQ-15", "refuse or lenient", lambda message: message.encode() + b"zz"),
    ("CSSP-TSREQ-16", "refuse", lambda _: b"GET / HTTP/1.0\r\n\r\n"),
    ("CSSP-TSREQ-17", "either", lambda message: tuple(chunks(message.encode(), 1))),
    ("CSSP-TSREQ-19", "refuse", lambda message: message.encode()[:-10]),
    ("CSSP-TSREQ-20", "either", lambda message: mutate.with_padding(message, 70_000)),
    ("CSSP-TSREQ-21", "refuse", lambda message: b"\x30\x84\x7f\xff\xff\xff" + message.encode()[2:]),
    ("CSSP-TSREQ-22", "either", lambda message: message.encode() * 2),
    ("CSSP-TSREQ-24", "refuse", mutate.clear_version),
    ("CSSP-TSREQ-25", "refuse", lambda _: mutate.sequence([])),
)

for rule_id, expect, build in MALFORMED:
    needs = ("clock",) if rule_id == "CSSP-TSREQ-19" else ()
    stimulus = CATALOGUE[rule_id].stimulus
    server, client = JUDGES[expect]
    via = ServerRun.patient_login if needs else ServerRun.login
    logins(server, (rule_id, Try(stimulus, first=lambda _, message, build=build: build(message))), via=via, needs=needs)
    serves(client, (rule_id, Try(stimulus, challenge=lambda _, message, build=build: build(message))), needs=needs)

"""VER: which version is spoken ([MS-CSSP] 2.2.1 version, 3.1.5; CVE-2018-0886)."""

from __future__ import annotations

from typing import Final

from credssp.conformance.catalogue._base import (
    BOTH,
    CATALOGUE,
    CLIENT,
    HASHED,
    MUST,
    PLAIN,
    ROBUSTNESS,
    SECURITY,
    SERVER,
    SHOULD,
    Try,
    logins,
    serves,
    with_client_hashes,
    with_hashes,
)
from credssp.conformance.client_run import ClientRun
from credssp.conformance.observation import Observation
from credssp.conformance.rule import Outcome, Skipped, failed, lenient, need, passed
from credssp.conformance.run import ServerRun, describe_end, judge_refusal
from credssp.conformance.setup import Setup
from credssp.protocol_version import HIGHEST_VERSION, VERSIONS, has_hashed_binding

# fmt: off
CATALOGUE.declare(
    ("CSSP-VER-01", "own version is one that exists", MUST, BOTH, "2.2.1 version", "a good login",
     "version 2 to 6 in every message"),
    ("CSSP-VER-02", "own version stays the same", ROBUSTNESS, BOTH, "2.2.1 version", "a good login",
     "the same version in all messages of one side"),
    ("CSSP-VER-03", "higher versions count as the own highest", MUST, BOTH, "2.2.1 version", "versions 7, 96 and 127",
     "as with the own highest version, hashes included"),
    ("CSSP-VER-04", "version is a number, not a byte", ROBUSTNESS, BOTH, "2.2.1 version", "versions 255 and 300",
     "as with the own highest version; no trouble with signs"),
    ("CSSP-VER-05", "versions 5 and 6 bind with hashes", MUST, BOTH, "2.2.1 version; 3.1.5 steps 3 and 4",
     "versions 6 and 5", "completes with hashes"),
    ("CSSP-VER-06", "versions 2 to 4 bind with the key", MUST, SERVER, "3.1.5 steps 3 and 4", "versions 4, 3 and 2",
     "completes with the key, and the key plus 1 (skipped where policy refuses them)"),
    ("CSSP-VER-07", "old servers get the key", MUST, CLIENT, "3.1.5 steps 3 and 5", "server versions 4, 3 and 2",
     "the client sends the key and takes the key plus 1 (skipped where it refuses)"),
    ("CSSP-VER-08", "versions 0 and 1 do not exist", ROBUSTNESS, BOTH, "2.2.1 version", "versions 1 and 0",
     "refused; at the very least no hashes"),
    ("CSSP-VER-09", "a version below policy is reported", SHOULD, SERVER, "3.1.5 step 4",
     "version 4 to a server that demands 5", "errorCode STATUS_NOT_SUPPORTED"),
    ("CSSP-VER-10", "a version below policy ends it early", ROBUSTNESS, CLIENT, "2.2.1 <11>; 3.1.5 <25>",
     "a version 2 server to a client that demands 5", "stops before pubKeyAuth"),
    ("CSSP-VER-11", "a version that changes from 6 to 5", ROBUSTNESS, BOTH, "2.2.1 version",
     "version 6 first, 5 beside pubKeyAuth", "refused (FreeRDP and Windows-compatible stacks do)"),
    ("CSSP-VER-12", "a version that changes from 2 to 6", ROBUSTNESS, BOTH, "2.2.1 version",
     "version 2 first, then 6 with a hash", "refused"),
    ("CSSP-VER-13", "a version that changes beside authInfo", ROBUSTNESS, SERVER, "2.2.1 version",
     "version 6, and 5 in the message with authInfo", "refused before the credentials are used"),
    ("CSSP-VER-14", "no credentials to version 2 when 5 is demanded", SECURITY, CLIENT,
     "CVE-2018-0886; 2.2.1 <11>; 5.1", "a version 2 server to a client that demands 5",
     "no credentials, and no pubKeyAuth to relay"),
    ("CSSP-VER-15", "the server is not open to CVE-2018-0886", SECURITY, SERVER, "CVE-2018-0886; 2.2.1 version; 5.1",
     "a good login with a client of version 6",
     "version 5 or later: earlier ones bind with the key itself, which a man in the middle can have signed"),
)
# fmt: on

NOT_SUPPORTED = 0xC00000BB


@CATALOGUE.observe("CSSP-VER-01")
def _existing_version(seen: Observation) -> Outcome:
    strange = [request.version for request in seen.requests if request.version not in VERSIONS]
    return failed(f"version {strange[0]}") if strange else passed(f"version {seen.requests[0].version}")


@CATALOGUE.observe("CSSP-VER-02")
def _constant_version(seen: Observation) -> Outcome:
    versions = sorted({request.version for request in seen.requests})
    return passed() if len(versions) == 1 else failed(f"versions {', '.join(map(str, versions))}")


@CATALOGUE.observe("CSSP-VER-15")
def _updated(seen: Observation) -> Outcome:
    asked = [request.version for request in seen.login.of("client")]
    if not asked or not has_hashed_binding(asked[0]):
        raise Skipped("the client of this exchange speaks no version with hashes")
    version = seen.requests[0].version
    return passed(f"version {version}") if has_hashed_binding(version) else failed(f"version {version}")


@CATALOGUE.server("CSSP-VER-06")
def _old_clients(run: ServerRun) -> Outcome:
    for version in PLAIN:
        login = run.baseline(version=version)
        if not login.server_is_right:
            return failed(f"version {version}: the server's pubKeyAuth is not the key plus 1")
    return passed()


@CATALOGUE.client("CSSP-VER-07")
def _old_servers(run: ClientRun) -> Outcome:
    for version in PLAIN:
        served = run.baseline(version=version)
        if not served.client_key_right:
            return failed(f"version {version}: the client's pubKeyAuth is not the key")
    return passed()


@CATALOGUE.server("CSSP-VER-08")
def _server_no_such_version(run: ServerRun) -> Outcome:
    run.baseline()
    for version in (1, 0):
        login = run.try_login(version=version)
        taken = lenient(f"version {version} is treated as version 2")
        end = None if login.key_answered else login.end
        need(judge_refusal(end, login.crash, accepted=taken))
    return passed()


@CATALOGUE.client("CSSP-VER-08")
def _client_no_such_version(run: ClientRun) -> Outcome:
    run.baseline()
    for version in (1, 0):
        served = run.try_serve(version=version)
        end = None if served.delegated_something else served.end
        taken = lenient(f"version {version} is treated as version 2")
        need(judge_refusal(end, served.crash, accepted=taken))
    return passed()


@CATALOGUE.server("CSSP-VER-09")
def _too_old_client(run: ServerRun) -> Outcome:
    login = run.try_login(Setup(min_version=5), version=4)
    if login.key_answered:
        return failed("version 4 was taken")
    if login.error_code == NOT_SUPPORTED:
        return passed()
    if login.end is not None and login.end.refused:
        return lenient(f"refused without STATUS_NOT_SUPPORTED: {describe_end(login.end)}")
    return judge_refusal(login.end, login.crash, accepted=failed("taken"))


@CATALOGUE.client("CSSP-VER-14")
def _no_downgrade(run: ClientRun) -> Outcome:
    served = run.try_serve(Setup(min_version=5), version=2)
    if served.key_message is not None:
        return failed("the client sent pubKeyAuth in the form that CVE-2018-0886 abuses")
    return run.stopped(served, "a server of version 2")


COMPLETES: Final = {"CSSP-VER-03": (HIGHEST_VERSION + 1, 96, 127), "CSSP-VER-04": (255, 300), "CSSP-VER-05": HASHED}

for rule_id, versions in COMPLETES.items():
    tries = tuple(Try(f"version {version}", version=version) for version in versions)
    hashes = rule_id == "CSSP-VER-05"
    before = with_hashes if hashes else ServerRun.baseline
    logins(ServerRun.taken, (rule_id, *tries), via=ServerRun.try_login, before=before)
    client_before = with_client_hashes if hashes else ClientRun.baseline
    serves(ClientRun.completed_rightly, (rule_id, *tries), via=ClientRun.try_serve, before=client_before)
logins(
    ServerRun.key_refused,
    ("CSSP-VER-11", Try("a version that changes from 6 to 5", key_version=5)),
    (
        "CSSP-VER-12",
        Try(
            "a version that changes from 2 to 6",
            version=2,
            key_version=6,
            nonce=bytes(32),
            key_value=lambda client: client.client_value(6, nonce=bytes(32)),
        ),
    ),
)
logins(ServerRun.refused, ("CSSP-VER-13", Try("authInfo under another version", auth_version=5)))
serves(
    ClientRun.stopped,
    ("CSSP-VER-11", Try("a version that changes from 6 to 5", key_version=5)),
    (
        "CSSP-VER-12",
        Try(
            "a version that changes from 2 to 6",
            version=2,
            key_version=6,
            key_value=lambda served: served.server_value(6),
        ),
    ),
)
serves(
    ClientRun.stopped_early,
    ("CSSP-VER-10", Try("a server of version 2", setup=Setup(min_version=5), version=2)),
    via=ClientRun.try_serve,
)

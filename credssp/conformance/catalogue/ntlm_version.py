"""SPNEGO, NTLM without Version: who does not negotiate it, and where everything is then ([MS-NLMP] 2.2.1, 2.2.2.10).

Without NTLMSSP_NEGOTIATE_VERSION the 8 bytes are zero; the fields after them stay where they are, and the MIC with
them. Windows NT and 2000 leave the bytes out, and some of today's libraries do so too.
"""

from __future__ import annotations

from collections.abc import Callable

from credssp.conformance.catalogue._base import BOTH, CATALOGUE, CLIENT, MUST, ROBUSTNESS, SERVER, Try, logins, serves
from credssp.conformance.client_run import ClientRun
from credssp.conformance.ntlm import unversioned, without_version
from credssp.conformance.observation import Observation
from credssp.conformance.rule import Outcome, Skipped, failed, lenient, need, passed
from credssp.conformance.run import ServerRun
from credssp.conformance.scripted_server import ScriptedServer
from credssp.ntlm.flags import NTLMSSP_NEGOTIATE_VERSION
from credssp.ntlm.messages import MIC_OFFSET, Authenticate

# fmt: off
CATALOGUE.declare(
    ("CSSP-SPNEGO-50", "no Version that was not negotiated", MUST, BOTH, "[MS-NLMP] 2.2.1, 2.2.2.10",
     "a good login with NTLM", "Version is zero in every message whose flags lack NEGOTIATE_VERSION"),
    ("CSSP-SPNEGO-51", "a client without Version", MUST, SERVER, "[MS-NLMP] 2.2.1.3, 2.2.2.10",
     "NEGOTIATE and AUTHENTICATE without NEGOTIATE_VERSION, Version zero, the MIC at 72", "taken"),
    ("CSSP-SPNEGO-52", "a client that leaves Version out", ROBUSTNESS, SERVER, "[MS-NLMP] 2.2.1.3 <11>",
     "NEGOTIATE of 32 bytes; AUTHENTICATE without the 8 bytes of Version, the MIC at 64",
     "taken, or refused; no hang, no crash"),
    ("CSSP-SPNEGO-53", "a server without Version", MUST, CLIENT, "[MS-NLMP] 2.2.1.2, 2.2.1.3, 2.2.2.10",
     "CHALLENGE without NEGOTIATE_VERSION, Version zero",
     "completes; AUTHENTICATE has no NEGOTIATE_VERSION (or has it: lenient), 8 bytes of Version, and its MIC at 72"),
    ("CSSP-SPNEGO-54", "a server that leaves Version out", ROBUSTNESS, CLIENT, "[MS-NLMP] 2.2.1.2 <8>",
     "CHALLENGE without NEGOTIATE_VERSION, whose payload begins at 48", "completes: offsets say where the payload is"),
)
# fmt: on


@CATALOGUE.observe("CSSP-SPNEGO-50")
def _version_is_zero(seen: Observation) -> Outcome:
    ntlm = seen.login.ntlm
    if ntlm.flags is None:
        raise Skipped("not NTLM, or not all of it")
    messages = {
        "client": (
            ("NEGOTIATE", ntlm.negotiate, 32, ntlm.flags[0]),
            ("AUTHENTICATE", ntlm.authenticate, 64, ntlm.flags[2]),
        ),
        "server": (("CHALLENGE", ntlm.challenge, 48, ntlm.flags[1]),),
    }
    for name, data, at, flags in messages[seen.who]:
        if flags & NTLMSSP_NEGOTIATE_VERSION:
            continue
        message = ntlm.authenticate_message
        if name == "AUTHENTICATE" and message is not None and message.payload_offset < MIC_OFFSET:
            return lenient("AUTHENTICATE has no room for Version, as that of Windows NT")
        if any(data[at : at + 8]):
            return failed(f"{name} lacks NEGOTIATE_VERSION, and Version is {data[at : at + 8].hex()}")
    return passed()


def _layout(run: ClientRun, served: ScriptedServer, what: str) -> Outcome:
    """Judge a client that must complete, and keep the MIC in its place."""
    message = _authenticate(served)
    need(run.completed_rightly(served, what))
    if message is None:
        raise Skipped("not NTLM")
    if message.mic_offset != MIC_OFFSET:
        return failed(f"{what}: the MIC is at {message.mic_offset}; Version is 8 zero bytes in front of it")
    if message.flags & NTLMSSP_NEGOTIATE_VERSION:
        return lenient(f"{what}: AUTHENTICATE says NEGOTIATE_VERSION, which CHALLENGE does not")
    return passed()


def _authenticate(served: ScriptedServer) -> Authenticate | None:
    return served.observed().login.ntlm.authenticate_message


def speaks_ntlm(run: ClientRun) -> None:
    """Skip clients whose good login is not NTLM's."""
    if _authenticate(run.baseline()) is None:
        raise Skipped("the client does not speak NTLM")


def _challenged(change: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    return lambda challenge: change(unversioned(challenge))


logins(
    ServerRun.taken,
    ("CSSP-SPNEGO-51", Try("AUTHENTICATE without NEGOTIATE_VERSION", ntlm={"version": "zero"})),
)
logins(
    ServerRun.either,
    ("CSSP-SPNEGO-52", Try("AUTHENTICATE without the bytes of Version", ntlm={"version": "absent"})),
)
serves(
    _layout,
    ("CSSP-SPNEGO-53", Try("CHALLENGE without NEGOTIATE_VERSION", ntlm_challenge=unversioned)),
    before=speaks_ntlm,
)
serves(
    ClientRun.completed_rightly,
    ("CSSP-SPNEGO-54", Try("CHALLENGE without the bytes of Version", ntlm_challenge=_challenged(without_version))),
    before=speaks_ntlm,
)

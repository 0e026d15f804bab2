"""SPNEGO, the names in NTLM: capitals of user names, workstations, and where names are ([MS-NLMP] 2.2.1, 3.3.2)."""

from __future__ import annotations

import struct

from credssp.account import upper_case
from credssp.conformance.catalogue._base import (
    BOTH,
    CATALOGUE,
    CLIENT,
    MUST,
    ROBUSTNESS,
    SERVER,
    Try,
    logins,
)
from credssp.conformance.observation import Observation
from credssp.conformance.rule import Outcome, Skipped, failed, passed
from credssp.conformance.run import ServerRun
from credssp.nt_hash import nt_hash
from credssp.ntlm import crypto
from credssp.ntlm import flags as f

# fmt: off
CATALOGUE.declare(
    ("CSSP-SPNEGO-55", "capitals one to one", ROBUSTNESS, SERVER, "[MS-NLMP] 3.3.2, 6",
     "a user name with a letter that has no capital of one unit, such as ß, which stays as it is in NTOWFv2",
     "taken, as by Windows (skipped for names without such a letter)"),
    ("CSSP-SPNEGO-56", "capitals one to one", ROBUSTNESS, CLIENT, "[MS-NLMP] 3.3.2, 6",
     "a good login of a user whose name has such a letter", "NTOWFv2 with the letter as it is (skipped without one)"),
    ("CSSP-SPNEGO-57", "workstations of any form", ROBUSTNESS, SERVER, "[MS-NLMP] 2.2.1.3 Workstation",
     "Workstation empty, beyond ASCII, of 200 characters, and with half of a surrogate pair", "taken"),
    ("CSSP-SPNEGO-58", "Unicode names lie on even offsets", MUST, BOTH, "[MS-NLMP] 2.2.1.2, 2.2.1.3",
     "a good login with NTLM", "offset and length of every name that is there are multiples of 2"),
    ("CSSP-SPNEGO-59", "no names beside Version", MUST, CLIENT, "[MS-NLMP] 3.1.5.1.1", "a good login with NTLM",
     "NEGOTIATE with NEGOTIATE_VERSION has neither DomainName nor Workstation"),
)
# fmt: on

_GARBLED = ("", "РАБОЧАЯ-СТАНЦИЯ", "W" * 200, "half\ud800")
_NAMES = {
    "AUTHENTICATE": (("DomainName", 28), ("UserName", 36), ("Workstation", 44)),
    "CHALLENGE": (("TargetName", 12),),
}


def _has_odd_letter(name: str) -> bool:
    return upper_case(name) != name.upper()


@CATALOGUE.server("CSSP-SPNEGO-55")
def _capitals(run: ServerRun) -> Outcome:
    if not _has_odd_letter(run.target.account.username):
        raise Skipped("the account's name has no letter whose capital is more than one unit, such as ß")
    return run.taken(run.login(ntlm={"upper": upper_case}), "capitals one to one")


@CATALOGUE.observe("CSSP-SPNEGO-56")
def _client_capitals(seen: Observation) -> Outcome:
    ntlm, account = seen.login.ntlm, seen.login.account
    message, challenge = ntlm.authenticate_message, ntlm.challenge_message
    if message is None or challenge is None or message.ntlmv2 is None:
        raise Skipped("not NTLMv2")
    if not _has_odd_letter(message.username):
        raise Skipped("the user's name has no letter whose capital is more than one unit, such as ß")
    if account is None:
        raise Skipped("the password is not known")
    name, response = message.username, message.nt_response
    windows = upper_case(name)
    for upper in (windows, name.upper(), *crypto.upper_forms(name)):
        key = crypto.ntowfv2(nt_hash(account.password.reveal()), upper, message.domain)
        if crypto.hmac_md5(key, challenge.server_challenge + response[16:]) == response[:16]:
            return passed() if upper == windows else failed(f"NTOWFv2 over {upper} in place of {windows}")
    raise Skipped("the response is made with another password, or with another domain than it says")


@CATALOGUE.observe("CSSP-SPNEGO-58")
def _even(seen: Observation) -> Outcome:
    ntlm = seen.login.ntlm
    if ntlm.flags is None:
        raise Skipped("not NTLM, or not all of it")
    name, data, flags = (
        ("AUTHENTICATE", ntlm.authenticate, ntlm.flags[2])
        if seen.who == "client"
        else ("CHALLENGE", ntlm.challenge, ntlm.flags[1])
    )
    if not flags & f.NTLMSSP_NEGOTIATE_UNICODE:
        raise Skipped(f"the names in {name} are not Unicode")
    for what, at in _NAMES[name]:
        size, offset = struct.unpack_from("<H2xI", data, at)
        if size and (size % 2 or offset % 2):
            return failed(f"{name}: {what} of {size} bytes at {offset}")
    return passed()


@CATALOGUE.observe("CSSP-SPNEGO-59")
def _no_names(seen: Observation) -> Outcome:
    ntlm = seen.login.ntlm
    if ntlm.flags is None:
        raise Skipped("not NTLM, or not all of it")
    if not ntlm.flags[0] & f.NTLMSSP_NEGOTIATE_VERSION:
        raise Skipped("NEGOTIATE does not negotiate Version")
    for what, at in (("DomainName", 16), ("Workstation", 24)):
        size = int.from_bytes(ntlm.negotiate[at : at + 2], "little")
        if size:
            return failed(f"NEGOTIATE: {what} of {size} bytes beside NEGOTIATE_VERSION")
    return passed()


logins(
    ServerRun.taken,
    ("CSSP-SPNEGO-57", *(Try(f"workstation {name[:20]!a}", ntlm={"workstation": name}) for name in _GARBLED)),
)

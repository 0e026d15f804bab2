"""The tables of docs/reference/sspi.md that say which flags each package grants, held against what its contexts do."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import credssp.sspi as sspi
from credssp.ntlm.messages import Authenticate
from credssp.sspi import SecBuffer, SecBufferDesc, SecurityStatus, SSPIError, constants
from tests.sspi.certificates import server_leaf
from tests.sspi.pair import ASC, ISC, OK, Pair, make, token_out
from tests.sspi.test_inner_packages import (
    TS_ISC,
    Kerberos,
    call,
    certificate,
    inner,
    refused,
    run,
    schannel,
    token,
    tsssp,
)

S = SecurityStatus

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "sspi.md").read_text(encoding="utf-8")
PACKAGES = ("CREDSSP", "Schannel", "TSSSP", "NTLM", "Kerberos", "Negotiate")
STATES = ("granted", "earned", "checked", "left out", "refused")

# Without them there is no exchange, or it would fail for other reasons.
BASE_ISC = {
    "CREDSSP": ISC & ~sspi.ISC_REQ_DELEGATE,
    "Schannel": sspi.ISC_REQ_MANUAL_CRED_VALIDATION,
    "TSSSP": TS_ISC,
}
BASE_ASC = {"CREDSSP": ASC & ~sspi.ASC_REQ_DELEGATE}


def flags(family: str) -> dict[str, int]:
    return {
        name: number
        for name, number in vars(constants).items()
        if name.startswith(f"{family}_") and isinstance(number, int)
    }


def table(family: str) -> dict[str, dict[str, str]]:
    """What the page says: by flag and package."""
    found = {}
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if re.fullmatch(rf"{family}_\w+", cells[0]) and len(cells) == 1 + len(PACKAGES):
            found[cells[0]] = dict(zip(PACKAGES, cells[1:], strict=True))
    return found


def in_state(family: str, package: str, state: str) -> int:
    numbers = flags(family)
    bits = 0
    for name, row in table(family).items():
        if row[package] == state:
            bits |= numbers[name]
    return bits


@pytest.fixture
def log_on(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int, int], Pair]:
    """Complete an exchange of a package with flags beside those that it needs."""

    def complete(package: str, isc: int, asc: int) -> Pair:
        if package == "CREDSSP":
            return make(isc=BASE_ISC[package] | isc, asc=BASE_ASC[package] | asc).run()
        if package == "Schannel":
            return schannel(BASE_ISC[package] | isc, asc=asc).run()
        if package == "TSSSP":
            return ts_exchange(isc, asc)
        if package == "Kerberos":
            monkeypatch.setattr("credssp.sspi.packages.kerberos.kerberos_missing", lambda: None)
            monkeypatch.setattr("credssp.sspi.packages.kerberos.create_initiator", lambda *a, **k: Kerberos())
            monkeypatch.setattr("credssp.sspi.packages.kerberos.kerberos_acceptor", lambda *a, **k: Kerberos())
        both = inner(package)
        both.client.flags = sspi.ISC_REQ_ALLOCATE_MEMORY | isc
        both.server.flags |= asc
        if package == "Kerberos":  # the scripted one has one leg
            call(both.server, token(call(both.client)))
            return both
        return run(both)

    return complete


def ts_exchange(isc: int, asc: int) -> Pair:
    both = tsssp(BASE_ISC["TSSSP"] | isc)
    both.server.flags |= asc
    data = call(both.server, token(call(both.client)), SecBuffer())
    extra = [certificate(server_leaf().der)]
    while both.server.status is not OK:
        data = call(both.client, token(data), *extra, SecBuffer())
        data, extra = call(both.server, token(data), SecBuffer()), []
    return both


@pytest.mark.parametrize("family", ["ISC_REQ", "ASC_REQ"])
def test_tables_list_every_flag_with_a_state_for_every_package(family: str) -> None:
    rows = table(family)
    assert rows.keys() == flags(family).keys()
    assert {state for row in rows.values() for state in row.values()} <= set(STATES)


@pytest.mark.parametrize("package", PACKAGES)
def test_flags_that_are_granted_are_in_the_attributes(package: str, log_on: Any) -> None:
    isc, asc = in_state("ISC_REQ", package, "granted"), in_state("ASC_REQ", package, "granted")
    both = log_on(package, isc, asc)
    assert both.client.attributes & isc == isc
    assert both.server.attributes & asc == asc


@pytest.mark.parametrize("package", PACKAGES)
def test_flags_that_are_left_out_change_nothing(package: str, log_on: Any) -> None:
    isc, asc = in_state("ISC_REQ", package, "left out"), in_state("ASC_REQ", package, "left out")
    plain = log_on(package, 0, 0)
    both = log_on(package, isc, asc)
    assert both.client.attributes == plain.client.attributes
    assert both.server.attributes == plain.server.attributes
    assert not both.client.attributes & isc
    assert not both.server.attributes & asc


@pytest.mark.parametrize("package", PACKAGES)
def test_flags_that_nobody_asked_for_are_not_granted(package: str, log_on: Any) -> None:
    both = log_on(package, 0, 0)
    always = 0
    if package in ("NTLM", "Kerberos", "Negotiate"):  # every session has them, whatever was asked for
        always = sspi.ISC_RET_REPLAY_DETECT | sspi.ISC_RET_SEQUENCE_DETECT | sspi.ISC_RET_CONFIDENTIALITY
    asked = both.client.flags | always | (sspi.ISC_RET_INTEGRITY if always else 0)
    assert not both.client.attributes & ~asked & ~sspi.ISC_RET_DELEGATE, "TSSSP delegates without being asked"
    asked = both.server.flags | always | (sspi.ASC_RET_INTEGRITY if always else 0)
    assert not both.server.attributes & ~asked


@pytest.mark.parametrize("family", ["ISC_REQ", "ASC_REQ"])
@pytest.mark.parametrize("package", PACKAGES)
def test_only_flags_that_are_refused_are_refused(family: str, package: str, log_on: Any) -> None:
    numbers = flags(family)
    for name, row in table(family).items():
        isc, asc = (numbers[name], 0) if family == "ISC_REQ" else (0, numbers[name])
        if row[package] == "refused":
            error = refused(log_on, package, isc, asc)
            assert (error.status, error.parameter) == (S.SEC_E_UNSUPPORTED_FUNCTION, "fContextReq"), name
            assert name.removeprefix(f"{family}_") in error.message
        elif row[package] in ("earned", "checked"):
            # What it takes has its own tests; here, that the flag itself is taken.
            try:
                both = log_on(package, isc, asc)
                if row[package] == "checked":
                    assert not both.client.attributes & isc, name
                    assert not both.server.attributes & asc, name
            except SSPIError as error:
                assert name in EARNED_BY_MORE, (name, error)


EARNED_BY_MORE = {
    "ISC_REQ_MUTUAL_AUTH": "NTLM proves no server; a certificate that verifies does",
    "ISC_REQ_USE_SUPPLIED_CREDS": "needs a SECBUFFER_PKG_PARAMS",
    "ASC_REQ_MUTUAL_AUTH": "needs hRootStore, and a client with a certificate",
    "ASC_REQ_PROXY_BINDINGS": "needs a client that sends channel bindings",
}


@pytest.mark.parametrize("package", ["NTLM", "Negotiate"])
@pytest.mark.parametrize("flag", [0, sspi.ISC_REQ_UNVERIFIED_TARGET_NAME])
def test_unverified_target_name_is_told_to_the_server(package: str, flag: int) -> None:
    both = inner(package)
    both.client.flags |= flag
    message = call(both.client, token(call(both.server, token(call(both.client)))))
    response = Authenticate.decode(message[message.index(b"NTLMSSP\0") :]).ntlmv2
    assert response is not None
    assert bool(response.target_info.flags & 0x4) is bool(flag)
    assert response.target_info.flags & 0x2, "the MIC is there all the same"
    call(both.server, token(message))
    assert both.server.status in (OK, S.SEC_I_CONTINUE_NEEDED)


def test_extended_error_of_a_negotiate_server_is_a_reject() -> None:
    for told in (True, False):
        both = inner("Negotiate", sspi.SecWinntAuthIdentity("alice", "LAB", "wrong"))
        both.server.flags |= sspi.ASC_REQ_EXTENDED_ERROR if told else 0
        data = call(both.client, token(call(both.server, token(call(both.client)))))
        output = token_out()
        desc = SecBufferDesc([token(data)])
        server = both.server
        error = refused(
            server.authority.accept_security_context, None, server.context, desc, server.flags, 0, None, output
        )
        assert error.status is S.SEC_E_LOGON_DENIED
        assert output[0].data == (bytes.fromhex("a1073005a0030a0102") if told else b"")
        if told:
            answer = refused(call, both.client, token(output[0].data))
            assert answer.status is S.SEC_E_LOGON_DENIED


def test_numbers_without_a_name_are_left_out_up_to_64_bits(log_on: Any) -> None:
    unnamed = 1 << 63 | 1 << 40 | 0x08000000
    assert not log_on("NTLM", unnamed, unnamed).client.attributes & unnamed
    for wrong in (1 << 64, -1):
        error = refused(log_on, "NTLM", wrong, 0)
        assert (error.status, error.parameter) == (S.SEC_E_UNSUPPORTED_FUNCTION, "fContextReq")

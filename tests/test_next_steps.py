"""What failures suggest: by situation, and never less security unless a version is the cause."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import credssp
from credssp.errors import AuthenticationError, CredSSPError, PeerRefusedError
from credssp.kerberos import gss_errors
from credssp.kerberos.logon import kerberos_obstacle
from credssp.next_step import ABOUT_VERSIONS, NextStep
from credssp.rdp import NegotiationError, NLAClient, NLAServer, Protocol
from credssp.rdp.negotiation import FailureCode, NegotiationFailure, NegotiationResponse
from credssp.rdp.x224 import ConnectionConfirm
from credssp.sspi.errors import normalise, unsupported
from credssp.status import StatusInfo, all_statuses
from credssp.target import Target
from credssp.tls.alerts import translate
from credssp.winrm.client import ClientLogin, check_offer

SOURCES = sorted(Path(credssp.__file__).parent.rglob("*.py"))

LOWERS = re.compile(
    r"AllowEncryptionOracle|min_?-?version|\blower|\bdowngrade\b|legacy|SECLEVEL|at a risk|without NLA|WhenNTLMOnly"
    r"|allow_ntlm|no-mic|require_mic|no-channel-bindings|bind_https|verify=False|TokenFilterPolicy"
    r"|\b(disable|switch off|turn (it|them|the \w+) off|drop the|do not (ask|check|verify|demand)|exception for)\b"
    r"|(log on|use|try|connect) (with|over|by) NTLM|NTLM instead",
    re.IGNORECASE,
)
"""Settings and words of those who suggest less security."""


def modules() -> Iterator[Any]:
    for found in pkgutil.walk_packages(credssp.__path__, "credssp."):
        if (
            not found.name.endswith("__main__")
            and ".winrm.httpx" not in found.name
            and ".pytest_plugin" not in found.name
        ):
            try:
                yield importlib.import_module(found.name)
            except ModuleNotFoundError:  # an extra that is not installed
                continue


def errors() -> list[type[CredSSPError]]:
    list(modules())
    todo, found = [CredSSPError], []
    while todo:
        kind = todo.pop()
        found.append(kind)
        todo += kind.__subclasses__()
    return [kind for kind in found if kind.__module__.startswith("credssp")]


# The texts


@pytest.mark.parametrize("step", NextStep)
def test_every_text_is_a_sentence_that_begins_with_what_to_do(step: NextStep) -> None:
    assert re.fullmatch(r"[A-Z][a-z]+ .*\.", step), step


@pytest.mark.parametrize("step", sorted(set(NextStep) - ABOUT_VERSIONS))
def test_no_text_suggests_less_security_where_no_version_is_the_cause(step: NextStep) -> None:
    assert not LOWERS.search(step), step


def test_a_version_may_be_admitted_at_a_risk() -> None:
    assert LOWERS.search(NextStep.VERSION_OLD)
    assert "Update the older side" in NextStep.VERSION_OLD


@pytest.mark.parametrize("info", all_statuses(), ids=lambda info: info.name)
def test_no_status_suggests_less_security(info: StatusInfo) -> None:
    assert not LOWERS.search(info.advice), info.advice


def test_no_code_of_kerberos_suggests_less_security() -> None:
    for meaning in gss_errors._KRB5.values():
        assert not LOWERS.search(meaning.next_step), meaning


def literals(path: Path) -> Iterator[tuple[int, str]]:
    """Yield what is given as advice as a literal: to errors by keyword, to findings of ``doctor`` by place."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        values = [keyword.value for keyword in node.keywords if keyword.arg == "advice"]
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        if name == "Finding":
            values += node.args[3:4]
        elif name in ("_note", "_bad") and path.name == "check.py":
            values += node.args[1:2]
        for value in values:
            for part in ast.walk(value):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield node.lineno, part.value


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(SOURCES[0].parent.parent)))
def test_no_literal_suggests_less_security(path: Path) -> None:
    found = [f"{path.name}:{line}: {text}" for line, text in literals(path) if LOWERS.search(text)]
    assert not found


# Every place that raises names its situation


VERDICTS = (PeerRefusedError, AuthenticationError)
"""Errors whose number is what somebody judged: its text is that of the table."""


def test_every_kind_of_error_has_a_next_step_of_its_own() -> None:
    kinds = errors()
    assert len(kinds) > 25
    without = [kind for kind in kinds if kind.default_advice is None]
    assert sorted(kind.__name__ for kind in without) == sorted(kind.__name__ for kind in VERDICTS)


MANY = {"NegotiationError", "NotOfferedError", "LoginError", "DelegationRefusedError", "LoginRefusedError"}
"""Errors that stand for several situations: every place names its own."""

AMBIGUOUS = {"SEC_E_UNSUPPORTED_FUNCTION", "SEC_E_SECPKG_NOT_FOUND", "SEC_E_TARGET_UNKNOWN", "SEC_E_ALGORITHM_MISMATCH"}
"""Statuses that several situations have."""

CALLER = {"LocalProtocolError", "refuse", "bad_token", "bad_handle", "bad_auth_data"}
"""Wrong calls and arguments, which have one next step."""


def test_places_that_share_an_error_or_a_status_name_their_situation() -> None:
    missing = []
    for path in SOURCES:
        if "conformance" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or any(keyword.arg == "advice" for keyword in node.keywords):
                continue
            name = getattr(node.func, "id", "")
            statuses = {getattr(keyword.value, "attr", "") for keyword in node.keywords if keyword.arg == "status"}
            if name in MANY or (statuses & AMBIGUOUS and name.endswith("Error") and name not in CALLER):
                missing.append(f"{path.name}:{node.lineno}: {name}")
    assert not missing


# Real situations


ALICE = credssp.PasswordCredentials("alice", "secret", domain="LAB")
ACCOUNTS = credssp.MemoryAccounts({("LAB", "alice"): "secret"})


def failure_of(function: Callable[..., Any], *arguments: Any) -> CredSSPError:
    with pytest.raises(CredSSPError) as caught:
        function(*arguments)
    return caught.value


def client(**options: Any) -> NLAClient:
    end = NLAClient(ALICE, **{"host": "srv.lab.test", "mechanism": "ntlm"} | options)
    end.start()
    return end


def answered(confirm: ConnectionConfirm | bytes, **options: Any) -> CredSSPError:
    data = confirm if isinstance(confirm, bytes) else confirm.encode()
    return failure_of(client(**options).receive, data)


def selecting(protocol: Protocol, **options: Any) -> CredSSPError:
    return answered(ConnectionConfirm(NegotiationResponse(protocol)), **options)


def refusing(code: int) -> CredSSPError:
    return answered(ConnectionConfirm(NegotiationFailure(code)))


def against(server: dict[str, Any], **options: Any) -> CredSSPError:
    """The client's error in a login with a server of ours."""
    c, s = client(**options), NLAServer(**{"accounts": ACCOUNTS} | server)

    def run() -> None:
        while True:
            answer = b""
            try:
                s.receive(c.data_to_send())
            except CredSSPError as error:
                answer = error.token
            c.receive(s.data_to_send() + answer)

    return failure_of(run)


def closing(state: int) -> CredSSPError:
    """The client's error where the server closes after so many answers."""
    c, s = client(), NLAServer(accounts=ACCOUNTS)
    for _ in range(state):
        s.receive(c.data_to_send())
        c.receive(s.data_to_send())
    return failure_of(c.receive_eof)


def alert(name: str) -> CredSSPError:
    error = ssl.SSLError()
    error.reason = f"TLSV1_ALERT_{name}"  # type: ignore[misc]  # as OpenSSL sets it
    return translate(error, during="TLS handshake")


def unverified(code: int) -> CredSSPError:
    error = ssl.SSLCertVerificationError()
    error.verify_code, error.verify_message = code, "no"
    return translate(error, during="TLS handshake")


def winrm(status: int, *challenges: str) -> CredSSPError:
    login = ClientLogin(host="srv", credentials=ALICE, mechanism="ntlm")
    login.start()
    return failure_of(login.receive, status, challenges)


def kerberos_to(target: str) -> None:
    obstacle = kerberos_obstacle(ALICE, Target.parse(target))
    if obstacle is not None:
        raise obstacle


OLD_TLS = {"tls": credssp.ServerTLS(maximum="1.2")}

SITUATIONS: dict[str, tuple[Callable[[], CredSSPError], NextStep]] = {
    "rdp: xrdp selects TLS": (lambda: selecting(Protocol.SSL), NextStep.RDP_NO_NLA),
    "rdp: standard security": (lambda: answered(bytes.fromhex("0300000b06d00000123400")), NextStep.RDP_NO_NLA),
    "rdp: a protocol nobody asked for": (lambda: selecting(Protocol(4)), NextStep.RDP_UNASKED),
    "rdp: no Restricted Admin": (
        lambda: selecting(Protocol.HYBRID, restricted_admin=True),
        NextStep.RDP_RESTRICTED_ADMIN,
    ),
    "rdp: failure 1": (lambda: refusing(FailureCode.SSL_REQUIRED_BY_SERVER), NextStep.RDP_NO_NLA),
    "rdp: failure 2": (lambda: refusing(FailureCode.SSL_NOT_ALLOWED_BY_SERVER), NextStep.RDP_STANDARD_SECURITY),
    "rdp: failure 3": (lambda: refusing(FailureCode.SSL_CERT_NOT_ON_SERVER), NextStep.RDP_NO_CERTIFICATE),
    "rdp: failure 4": (lambda: refusing(FailureCode.INCONSISTENT_FLAGS), NextStep.RDP_APPROACH),
    "rdp: failure 5": (lambda: refusing(FailureCode.HYBRID_REQUIRED_BY_SERVER), NextStep.RDP_HYBRID_REQUIRED),
    "rdp: failure 6": (
        lambda: refusing(FailureCode.SSL_WITH_USER_AUTH_REQUIRED_BY_SERVER),
        NextStep.RDP_CLIENT_CERTIFICATE,
    ),
    "rdp: failure 7": (lambda: refusing(FailureCode.ENTRA_AUTH_REQUIRED_BY_SERVER), NextStep.RDP_ENTRA),
    "rdp: failure 77": (lambda: refusing(77), NextStep.RDP_FAILURE),
    "rdp: SSH": (lambda: answered(b"SSH-2.0-OpenSSH\r\n"), NextStep.RDP_OTHER),
    "rdp: close without an answer": (lambda: closing(0), NextStep.RDP_NO_ANSWER),
    "rdp: close before TLS": (lambda: closing(1), NextStep.RDP_BEFORE_PROOF),
    "rdp: server 4, we want 5": (lambda: against({"max_version": 4, "min_version": 2}), NextStep.VERSION_OLD),
    "rdp: close after the proof": (
        lambda: against({"max_version": 5, "accounts": credssp.MemoryAccounts({("LAB", "alice"): "other"})}),
        NextStep.REFUSED,
    ),
    "rdp: pinned certificate": (
        lambda: against({}, tls=credssp.ClientTLS(fingerprint="00" * 32)),
        NextStep.CERTIFICATE_PIN,
    ),
    "rdp: untrusted certificate": (
        lambda: against({}, tls=credssp.ClientTLS(verify=True)),
        NextStep.CERTIFICATE_ROOT,
    ),
    "rdp: TLS 1.2, we want 1.3": (
        lambda: against(OLD_TLS, tls=credssp.ClientTLS(minimum="1.3")),
        NextStep.TLS_VERSION,
    ),
    "tls: version": (lambda: alert("PROTOCOL_VERSION"), NextStep.TLS_VERSION),
    "tls: cipher": (lambda: alert("HANDSHAKE_FAILURE"), NextStep.TLS_CIPHER),
    "tls: client certificate": (lambda: alert("CERTIFICATE_REQUIRED"), NextStep.TLS_CLIENT_CERTIFICATE),
    "tls: certificate refused": (lambda: alert("UNKNOWN_CA"), NextStep.TLS_REJECTED_CERTIFICATE),
    "tls: damaged": (lambda: alert("BAD_RECORD_MAC"), NextStep.TLS_DAMAGED),
    "tls: internal": (lambda: alert("INTERNAL_ERROR"), NextStep.TLS),
    "certificate: name": (lambda: unverified(62), NextStep.CERTIFICATE_NAME),
    "certificate: time": (lambda: unverified(10), NextStep.CERTIFICATE_TIME),
    "certificate: root": (lambda: unverified(18), NextStep.CERTIFICATE_ROOT),
    "winrm: wrong path": (lambda: failure_of(check_offer, 404, ()), NextStep.HTTP_404),
    "winrm: a redirect": (lambda: failure_of(check_offer, 302, ()), NextStep.HTTP_MOVED),
    "winrm: another service": (lambda: failure_of(check_offer, 501, ()), NextStep.HTTP_OTHER),
    "winrm: forbidden before any user": (lambda: failure_of(check_offer, 403, ()), NextStep.HTTP_403_EARLY),
    "winrm: too large, though empty": (lambda: failure_of(check_offer, 413, ()), NextStep.HTTP_OTHER),
    "winrm: a server in trouble": (lambda: failure_of(check_offer, 500, ()), NextStep.HTTP_500),
    "winrm: a proxy that waits in vain": (lambda: failure_of(check_offer, 504, ()), NextStep.HTTP_502),
    "winrm: headers too large in a leg": (lambda: winrm(431), NextStep.HTTP_431),
    "winrm: no CredSSP": (lambda: failure_of(check_offer, 401, ("Negotiate",)), NextStep.WINRM_NOT_OFFERED),
    "winrm: no scheme": (lambda: failure_of(check_offer, 401, ()), NextStep.WINRM_OFFERS_NOTHING),
    "winrm: 401 before any proof": (lambda: winrm(401, "CredSSP"), NextStep.WINRM_NO_TOKEN),
    "winrm: 503 in a leg": (lambda: winrm(503), NextStep.HTTP_503),
    "winrm: not TLS": (lambda: winrm(401, "CredSSP aGVsbG8gd29ybGQ="), NextStep.TLS_NONE),
    "kerberos: an address": (
        lambda: failure_of(kerberos_to, "TERMSRV/192.0.2.1"),
        NextStep.KERBEROS_NAME,
    ),
    "sspi: a function": (lambda: unsupported("fContextReq", "no"), NextStep.SSPI_UNSUPPORTED),
    "sspi: a negotiation": (lambda: normalise(NegotiationError("no", advice=NextStep.RDP_ENTRA)), NextStep.RDP_ENTRA),
    "sspi: a bug": (lambda: normalise(ZeroDivisionError()), NextStep.SSPI_INSIDE),
}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_situation_has_its_next_step(situation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("credssp.kerberos.pyspnego.kerberos_missing", lambda: None)  # also where its libraries are not
    make, expected = SITUATIONS[situation]
    error = make()
    assert error.advice == expected
    assert bool(LOWERS.search(f"{error.message} {error.advice}")) == (expected is NextStep.VERSION_OLD)

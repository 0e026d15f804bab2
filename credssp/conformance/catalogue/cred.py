"""CRED: who gets the credentials, and in what form ([MS-CSSP] 2.2.1.2, 3.1.5 step 5)."""

from __future__ import annotations

from typing import Final

from credssp.conformance import mutate
from credssp.conformance.catalogue._base import (
    CATALOGUE,
    CLIENT,
    MUST,
    ROBUSTNESS,
    SECURITY,
    SERVER,
    Try,
    logins,
    serves,
    stopped_in_each_form,
)
from credssp.conformance.client_run import ClientRun
from credssp.conformance.observation import Observation
from credssp.conformance.rule import Outcome, Skipped, failed, lenient, passed
from credssp.conformance.run import ServerRun, judge_refusal
from credssp.conformance.samples import SMART_CARD_SAMPLE, remote_guard, smart_card
from credssp.conformance.scripted_client import ScriptedClient
from credssp.conformance.scripted_server import nothing_delegated
from credssp.conformance.setup import RdpAnswer, Setup
from credssp.conformance.x224 import ask
from credssp.credentials import PasswordCredentials
from credssp.errors import CredSSPError
from credssp.rdp.negotiation import NegotiationResponse
from credssp.rdp.x224 import ConnectionConfirm
from credssp.wire.der import write_explicit, write_integer, write_octet_string, write_sequence
from credssp.wire.ts_credentials import TSCredentials, TSPasswordCreds
from credssp.wire.ts_request import TSRequest

# fmt: off
CATALOGUE.declare(
    ("CSSP-CRED-01", "no credentials without a verified server", SECURITY, CLIENT, "3.1.5 step 5",
     "a pubKeyAuth of zeros that does not open, in versions 6 and 4", "no authInfo: the core of the protocol"),
    ("CSSP-CRED-02", "authInfo comes last", SECURITY, CLIENT, "3.1.5 steps 2, 3 and 5", "a good login",
     "no authInfo before the server's pubKeyAuth"),
    ("CSSP-CRED-03", "TSCredentials in DER, texts in UTF-16LE", MUST, CLIENT, "2.2 <6>; 2.2.1.2, 2.2.1.2.1",
     "a good login", "one TSCredentials, credType 1, 2 or 6, texts without terminator"),
    ("CSSP-CRED-04", "authInfo comes alone", MUST, CLIENT, "3.1.5 step 5", "a good login",
     "no negoTokens and no pubKeyAuth beside authInfo"),
    ("CSSP-CRED-05", "Restricted Admin delegates nothing", SECURITY, CLIENT, "[MS-RDPBCGR] 2.2.1.1.1, 2.2.1.2.1",
     "the client asks for Restricted Admin, the server has it", "three empty strings"),
    ("CSSP-CRED-06", "policy decides who gets credentials", SECURITY, CLIENT, "3.1.1 <23>; 5.1",
     "a client whose policy names no server", "no authInfo"),
    ("CSSP-CRED-07", "authInfo that does not open or decode", MUST, SERVER, "2.2.1 authInfo; 2.2.1.2; [MS-NLMP] 3.4.2",
     "a wrong signature; something that is not DER; a TSCredentials cut short", "refused"),
    ("CSSP-CRED-08", "an unknown credType", MUST, SERVER, "2.2.1.2 credType", "credType 7", "refused"),
    ("CSSP-CRED-09", "the last message without authInfo", ROBUSTNESS, SERVER, "3.1.5 step 5",
     "a TSRequest with nothing but a version in place of authInfo", "refused"),
    ("CSSP-CRED-10", "delegating another account", ROBUSTNESS, SERVER, "3.1.5 step 5",
     "credentials of another user than the one who logged on", "the application's business: taken or refused"),
    ("CSSP-CRED-11", "bytes after TSCredentials", ROBUSTNESS, SERVER, "2.2.1.2; X.690",
     "two bytes after TSCredentials inside authInfo", "refused (or ignored: lenient)"),
    ("CSSP-CRED-12", "an empty domain and a UPN", ROBUSTNESS, SERVER, "2.2.1.2.1", "user@realm with an empty domain",
     "taken"),
    ("CSSP-CRED-13", "passwords of every kind", ROBUSTNESS, SERVER, "2.2.1.2.1",
     "a password beyond ASCII and the BMP, and one of 512 characters", "taken"),
    ("CSSP-CRED-14", "smart card credentials", ROBUSTNESS, SERVER, "2.2.1.2.2",
     "TSSmartCardCreds without userHint and domainHint", "taken"),
    ("CSSP-CRED-15", "the smart card example of the specification", ROBUSTNESS, SERVER, "4; 2.2.1.2.2.1",
     "the TSCredentials of section 4", "taken"),
    ("CSSP-CRED-16", "Remote Credential Guard", ROBUSTNESS, SERVER, "2.2.1.2.3",
     "after a login with Kerberos, TSRemoteGuardCreds with 0, 1 and 3 supplemental packages",
     "taken (over RDP only where it was negotiated)"),
    ("CSSP-CRED-17", "a password where Remote Credential Guard was negotiated", ROBUSTNESS, SERVER,
     "[MS-RDPBCGR] 2.2.1.1.1", "the mode is asked for and confirmed, then credType 1 arrives",
     "refused (or taken: lenient)"),
    ("CSSP-CRED-20", "Remote Credential Guard that was not negotiated", ROBUSTNESS, SERVER, "[MS-RDPBCGR] 2.2.1.2.1",
     "TSRemoteGuardCreds without the flag in the negotiation", "refused"),
    ("CSSP-CRED-18", "authInfo too early", ROBUSTNESS, SERVER, "3.1.5 steps 2 and 3", "authInfo beside pubKeyAuth",
     "refused, or ignored; never sent back"),
    ("CSSP-CRED-19", "exactly one set of credentials", MUST, CLIENT, "3.1.5 step 5; 2.2.1.2", "a good login",
     "one message with authInfo, one structure in it, nothing after it"),
)
# fmt: on

RESTRICTED_ADMIN_SUPPORTED = 0x08
REMOTE_GUARD_REQUIRED, REMOTE_GUARD_SUPPORTED = 0x02, 0x10
SSL_HYBRID = 0x3


@CATALOGUE.observe("CSSP-CRED-02")
def _not_early(seen: Observation) -> Outcome:
    credentials, key = seen.login.with_field("auth_info", "client"), seen.login.server_key
    if credentials is None:
        raise Skipped("no authInfo in this exchange")
    if key is None or key.leg > credentials.leg:
        return failed("authInfo before the server's pubKeyAuth")
    return passed()


def _auth_info(seen: Observation) -> bytes:
    plain = seen.plain.auth_info
    if plain is None:
        raise Skipped("no authInfo that opens")
    return plain


@CATALOGUE.observe("CSSP-CRED-03")
def _well_formed(seen: Observation) -> Outcome:
    plain = _auth_info(seen)
    try:
        decoded = TSCredentials.decode(plain)
    except CredSSPError as error:
        return failed(error.message)
    if decoded.deviations:
        deviation = decoded.deviations[0]
        return failed(f"{deviation.field}: {deviation.what}")
    creds = decoded.credentials
    if isinstance(creds, TSPasswordCreds):
        texts = (creds.domain_name, creds.user_name, creds.password.reveal())
        if any(text.endswith("\0") for text in texts):
            return failed("a text ends in U+0000, which becomes part of it")
    return passed(f"credType {int(decoded.cred_type)}")


@CATALOGUE.observe("CSSP-CRED-04")
def _alone(seen: Observation) -> Outcome:
    found = [request for request in seen.requests if request.auth_info is not None]
    if not found:
        raise Skipped("no authInfo in this exchange")
    for request in found:
        if request.nego_tokens is not None or request.pub_key_auth is not None:
            return failed("authInfo beside negoTokens or pubKeyAuth")
    return passed()


@CATALOGUE.client("CSSP-CRED-05", "x224")
def _restricted_admin(run: ClientRun) -> Outcome:
    served = run.try_serve(Setup(restricted_admin=True), rdp=RdpAnswer(flags=RESTRICTED_ADMIN_SUPPORTED))
    if served.delegated is None:
        return run.completed(served, "Restricted Admin")
    return passed() if nothing_delegated(served.delegated) else failed("credentials that are not empty")


def _password(password: str, *, username: str = "alice", domain: str = "") -> bytes:
    return PasswordCredentials(username, password, domain=domain).to_wire().encode()


_OTHER_USER: Final = _password("other", username="bob")
_OTHER_PASSWORD: Final = _password("other")


def _taken_from_another(run: ServerRun, login: ScriptedClient, what: str) -> Outcome:
    return run.taken_like(login, what, control=_OTHER_USER)


def _taken_with_another_password(run: ServerRun, login: ScriptedClient, what: str) -> Outcome:
    return run.taken_like(login, what, control=_OTHER_PASSWORD)


@CATALOGUE.server("CSSP-CRED-12")
def _upn(run: ServerRun) -> Outcome:
    login = run.login(credentials=_password(run.target.account.password.reveal(), username="alice@lab.test"))
    return _taken_from_another(run, login, "a UPN with an empty domain")


@CATALOGUE.server("CSSP-CRED-17", "x224")
def _password_in_guard_mode(run: ServerRun) -> Outcome:
    link = run.raw(Setup(remote_guard=True))
    answer = ask(link, SSL_HYBRID, run.target.timeout, flags=REMOTE_GUARD_REQUIRED)
    chosen = answer.negotiation if isinstance(answer, ConnectionConfirm) else None
    if not isinstance(chosen, NegotiationResponse) or not int(chosen.flags) & REMOTE_GUARD_SUPPORTED:
        raise Skipped("the server does not have the mode")
    login = run.login(connection=run.wrap(link))
    return run.refused(login, "a password in place of Remote Credential Guard buffers", or_lenient=True)


@CATALOGUE.server("CSSP-CRED-18")
def _early(run: ServerRun) -> Outcome:
    login = run.login(key=lambda _, message: mutate.replaced(message, auth_info=bytes(64)))
    if login.key_reply is not None:
        echoed = login.key_reply.auth_info is not None
        return failed("authInfo came back") if echoed else lenient("the early authInfo was ignored")
    request = login.end.request if login.end is not None else None
    if request is not None and request.auth_info is not None:
        return failed("authInfo came back")
    return judge_refusal(login.end, login.crash, accepted=failed("the server continued"))


@CATALOGUE.observe("CSSP-CRED-19")
def _exactly_one(seen: Observation) -> Outcome:
    count = sum(1 for request in seen.requests if request.auth_info is not None)
    if not count:
        raise Skipped("no authInfo in this exchange")
    if count > 1:
        return failed(f"{count} messages with authInfo")
    plain = _auth_info(seen)
    tags = mutate.member_tags(plain)
    return passed() if tags == [0xA0, 0xA1] else failed("TSCredentials has other members than credType and credentials")


def _unknown_type() -> bytes:
    inner = write_sequence(*(write_explicit(n, write_octet_string(b"")) for n in range(3)))
    return write_sequence(write_explicit(0, write_integer(7)), write_explicit(1, write_octet_string(inner)))


def _no_rdp(run: ServerRun) -> None:
    if "x224" in run.target.features:
        raise Skipped("over RDP the mode has to be negotiated; see CSSP-CRED-17")


def _flipped(data: bytes) -> bytes:
    return data[:6] + bytes((data[6] ^ 1,)) + data[7:]


logins(
    ServerRun.refused,
    (
        "CSSP-CRED-07",
        Try("a wrong signature", auth_octets=_flipped),
        Try("authInfo that is not DER", credentials=b"no DER at all"),
        Try("authInfo cut short", credentials=_password("x")[:-3]),
    ),
    ("CSSP-CRED-08", Try("credType 7", credentials=_unknown_type())),
    ("CSSP-CRED-09", Try("a last message without authInfo", auth=lambda _, message: TSRequest(message.version))),
)
logins(
    ServerRun.either,
    ("CSSP-CRED-10", Try("credentials of another user", credentials=_OTHER_USER)),
)
logins(
    ServerRun.refused_or_lenient,
    ("CSSP-CRED-11", Try("bytes after TSCredentials", credentials=_password("x") + b"\0\0")),
)
logins(
    _taken_with_another_password,
    (
        "CSSP-CRED-13",
        *(
            Try(f"a password of {len(password)} characters", credentials=_password(password))
            for password in ("Grün-пароль-密码-\U0001f511", "x" * 512)
        ),
    ),
)
logins(
    _taken_from_another,
    ("CSSP-CRED-14", Try("smart card credentials", credentials=smart_card())),
    ("CSSP-CRED-15", Try("the example of section 4", credentials=SMART_CARD_SAMPLE)),
)
logins(
    ServerRun.taken,
    ("CSSP-CRED-16", *(Try(f"{count} supplemental packages", credentials=remote_guard(count)) for count in (0, 1, 3))),
    via=ServerRun.kerberos_login,
    before=_no_rdp,
    needs=("kerberos",),
)
logins(
    ServerRun.refused,
    ("CSSP-CRED-20", Try("Remote Credential Guard that was not negotiated", credentials=remote_guard(1))),
    needs=("x224",),
)
serves(
    ClientRun.stopped,
    ("CSSP-CRED-06", Try("a policy that allows no server", setup=Setup(deny=True))),
    via=ClientRun.try_serve,
    before=ClientRun.baseline,
)


@CATALOGUE.client("CSSP-CRED-01")
def _nothing_unverified(run: ClientRun) -> Outcome:
    return stopped_in_each_form(run, "a pubKeyAuth of zeros", key_octets=lambda _, data: bytes(len(data)))

"""SPNEGO and KRB, channel bindings: what the inner login says of the TLS around it (RFC 5929, RFC 4121 4.1.1.2).

CredSSP needs none: pubKeyAuth binds the login to the server's key. A client may send those of the TLS connection
anyway, and WinRM services over https may demand those of https. None of it may be in the way of a good login, and a
peer that sends or demands them has to be right.
"""

from __future__ import annotations

from collections.abc import Mapping

from credssp.conformance.catalogue._base import CATALOGUE, CLIENT, MUST, ROBUSTNESS, SERVER, Try, logins
from credssp.conformance.catalogue.krb import NEEDS
from credssp.conformance.client_run import ClientRun
from credssp.conformance.ntlm import NO_BINDINGS
from credssp.conformance.rule import Outcome, Skipped, failed, first_fault, passed
from credssp.conformance.run import ServerRun, outer_certificate
from credssp.conformance.scripted_client import bindings_hash
from credssp.conformance.scripted_server import certificate_of
from credssp.ntlm.av_pairs import AV_CHANNEL_BINDINGS

# fmt: off
CATALOGUE.declare(
    ("CSSP-SPNEGO-60", "the channel bindings of the TLS connection", MUST, SERVER,
     "[MS-NLMP] 3.1.5.1.2, 3.2.5.1.2; RFC 5929 4",
     "MsvAvChannelBindings with the hash of tls-server-end-point, of https where there is any", "taken"),
    ("CSSP-SPNEGO-61", "channel bindings of another connection", ROBUSTNESS, SERVER, "[MS-NLMP] 3.2.5.1.2",
     "MsvAvChannelBindings of another certificate", "refused (or not compared: lenient, pubKeyAuth binds)"),
    ("CSSP-SPNEGO-62", "channel bindings that are demanded", MUST, SERVER, "[MS-NLMP] 3.2.5.1.2",
     "to a server that takes no login without: MsvAvChannelBindings with zeros, of another certificate, none at all",
     "refused (skipped where a login without bindings is taken)"),
    ("CSSP-SPNEGO-63", "channel bindings that a client sends", MUST, CLIENT, "[MS-NLMP] 3.1.5.1.2; RFC 5929 4",
     "a good login with NTLM", "MsvAvChannelBindings absent, zeros, or those of this server's certificate"),
    ("CSSP-KRB-40", "the channel bindings of the TLS connection", MUST, SERVER, "RFC 4121 4.1.1.2; RFC 5929 4",
     "Bnd with the hash of tls-server-end-point, of https where there is any", "taken"),
    ("CSSP-KRB-41", "channel bindings of another connection", ROBUSTNESS, SERVER, "RFC 4121 4.1.1.2",
     "Bnd of another certificate", "refused (or not compared: lenient, pubKeyAuth binds)"),
    ("CSSP-KRB-42", "channel bindings that a client sends", MUST, CLIENT, "RFC 4121 4.1.1.2; RFC 5929 4",
     "a good login with Kerberos", "Bnd of zeros, or of this server's certificate"),
)
# fmt: on

OTHER: Mapping[str, bytes] = {"bindings": b"\xb1" * 16}
"""The hash of a channel that there is not."""


def has_channel(run: ServerRun) -> None:
    """Skip servers around whose login there is no TLS with bindings: plain http, and certificates without a hash."""
    if "http" in run.target.features and not run.is_https:
        raise Skipped("over http there is no TLS around the login")
    certificate = outer_certificate(run.baseline().connection)
    if certificate is not None and bindings_hash(certificate) == NO_BINDINGS:
        raise Skipped("RFC 5929 defines no bindings for the signature of the server's certificate")


@CATALOGUE.server("CSSP-SPNEGO-62")
def _demanded(run: ServerRun) -> Outcome:
    if not run.baseline(run.ntlm_form).script.bound:
        raise Skipped("the server takes a login without channel bindings")
    tries = {"zeros": NO_BINDINGS, "those of another certificate": OTHER["bindings"], "none": None}
    return first_fault(
        run.key_refused(run.login(ntlm={"bindings": value}), f"channel bindings: {what}")
        for what, value in tries.items()
    )


def _right(sent: bytes | None) -> Outcome:
    own = bindings_hash(certificate_of("").der)
    if not any(sent or b""):
        return passed("none")
    return passed("tls-server-end-point") if sent == own else failed("channel bindings that are not of this server")


@CATALOGUE.client("CSSP-SPNEGO-63")
def _sent(run: ClientRun) -> Outcome:
    message = run.baseline().observed().login.ntlm.authenticate_message
    if message is None or message.ntlmv2 is None:
        raise Skipped("not NTLMv2")
    return _right(message.ntlmv2.target_info.get(AV_CHANNEL_BINDINGS))


@CATALOGUE.client("CSSP-KRB-42", NEEDS)
def _bnd_sent(run: ClientRun) -> Outcome:
    service = run.baseline().kerberos
    if service is None:
        raise Skipped("the client does not speak Kerberos here")
    return _right(service.facts.bindings)


logins(
    ServerRun.taken,
    ("CSSP-SPNEGO-60", Try("the bindings of the TLS connection", bound=True)),
    via=lambda run, **script: run.login(form=run.ntlm_form, **script),
    before=has_channel,
)
logins(
    ServerRun.key_refused_or_lenient,
    ("CSSP-SPNEGO-61", Try("the bindings of another certificate", ntlm=OTHER)),
    before=has_channel,
)
logins(
    ServerRun.taken,
    ("CSSP-KRB-40", Try("the bindings of the TLS connection", bound=True)),
    via=ServerRun.kerberos_login,
    before=has_channel,
    needs=(NEEDS,),
)
logins(
    ServerRun.key_refused_or_lenient,
    ("CSSP-KRB-41", Try("the bindings of another certificate", kerberos=OTHER)),
    via=ServerRun.kerberos_login,
    before=has_channel,
    needs=(NEEDS,),
)

"""SECBUFFER_CHANNEL_BINDINGS with Kerberos: in the checksum of the authenticator (RFC 4121 4.1.1.2)."""

from __future__ import annotations

import pytest
import spnego
from spnego.channel_bindings import AddressType, GssChannelBindings

import credssp.sspi as sspi
from credssp.sspi import ChannelBindings, SecurityStatus
from tests.kdc import REALM
from tests.kerberos.conftest import PASSWORD, Lab
from tests.kerberos.exchange import TARGET
from tests.sspi.pair import OK, Pair, Side, credential, lsa
from tests.sspi.test_channel_bindings import MISSING, OTHER, OURS, PROXY, WITH_ADDRESSES, buffer, exchange
from tests.sspi.test_inner_packages import ALLOCATE, WANTED, call, refused, token

pytestmark = pytest.mark.interop

S = SecurityStatus

packages = pytest.mark.parametrize("package", ["Kerberos", "Negotiate"])


def pair(lab: Lab, package: str, flags: int = 0) -> Pair:
    authority = lsa(keytab=str(lab.keytab))
    identity = sspi.SecWinntAuthIdentity("alice", REALM, PASSWORD, package_list="kerberos")
    return Pair(
        Side(authority, credential(authority, identity, package=package), WANTED, target=TARGET),
        Side(authority, credential(authority, package=package, use=1), ALLOCATE | flags, client=False),
    )


@packages
@pytest.mark.parametrize("bindings", [OURS, WITH_ADDRESSES])
def test_bindings_of_both_sides_match(lab: Lab, package: str, bindings: ChannelBindings) -> None:
    both = exchange(pair(lab, package), bindings, bindings)
    assert not both.server.attributes & (MISSING | PROXY)


@packages
@pytest.mark.parametrize(
    ("client", "server", "flags"),
    [
        (OTHER, OURS, 0),
        (OTHER, OURS, MISSING),
        (OTHER, OURS, PROXY),
        (None, OURS, 0),
        (None, OURS, PROXY),
        (None, None, PROXY),
    ],
)
def test_other_or_missing_bindings_are_bad(
    lab: Lab, package: str, client: ChannelBindings | None, server: ChannelBindings | None, flags: int
) -> None:
    error = refused(lambda: exchange(pair(lab, package, flags), client, server))
    assert error.status is S.SEC_E_BAD_BINDINGS


@packages
def test_what_a_server_admits(lab: Lab, package: str) -> None:
    assert exchange(pair(lab, package, MISSING), None, OURS).server.attributes & sspi.ASC_RET_MISSING_BINDINGS
    assert not exchange(pair(lab, package, MISSING), OURS, OURS).server.attributes & MISSING
    assert not exchange(pair(lab, package, PROXY), OTHER, None).server.attributes & PROXY
    assert exchange(pair(lab, package), OURS, None)


def test_bindings_after_the_token_that_proves_them_are_too_late(lab: Lab) -> None:
    both = pair(lab, "Kerberos")
    reply = call(both.server, token(call(both.client)))
    error = refused(call, both.client, token(reply), buffer(OURS))
    assert (error.status, error.parameter) == (S.SEC_E_INVALID_TOKEN, "pInput")
    call(both.client, token(reply))
    assert both.client.status is OK


@pytest.mark.parametrize("bindings", [OURS, WITH_ADDRESSES])
def test_gssapi_agrees_about_the_bindings(lab: Lab, bindings: ChannelBindings) -> None:
    foreign = GssChannelBindings(
        initiator_addrtype=AddressType(bindings.initiator_type),
        initiator_address=bindings.initiator,
        acceptor_addrtype=AddressType(bindings.acceptor_type),
        acceptor_address=bindings.acceptor,
        application_data=bindings.application_data,
    )
    service, host = TARGET.split("/")
    client = spnego.client(
        f"alice@{REALM}",
        PASSWORD,
        hostname=host,
        service=service,
        protocol="kerberos",
        channel_bindings=foreign,
    )
    first = client.step() or b""
    for own, right in ((bindings, True), (OTHER, False)):
        server = pair(lab, "Kerberos").server
        if right:
            client.step(call(server, token(first), buffer(own)))
            assert client.complete
        else:
            assert refused(call, server, token(first), buffer(own)).status is S.SEC_E_BAD_BINDINGS

"""SECBUFFER_CHANNEL_BINDINGS in every package, what servers demand, and the bindings that TLS gives out."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest
import spnego
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st
from spnego.channel_bindings import AddressType, GssChannelBindings

import credssp.sspi as sspi
from credssp.ntlm.messages import Authenticate
from credssp.sspi import ChannelBindings, SecBuffer, SecurityStatus
from tests.sspi.certificates import server_leaf
from tests.sspi.pair import ASC, CONTINUE, OK, Pair, make
from tests.sspi.test_inner_packages import TS_ISC, call, certificate, inner, refused, schannel, token, tsssp

S = SecurityStatus

OURS = ChannelBindings(b"tls-server-end-point:" + bytes(range(32)))
OTHER = ChannelBindings(b"tls-server-end-point:" + bytes(32))
WITH_ADDRESSES = ChannelBindings(
    b"application", initiator_type=2, initiator=b"\x7f\0\0\1", acceptor_type=2, acceptor=b"\x7f\0\0\2"
)

MISSING, PROXY = sspi.ASC_REQ_ALLOW_MISSING_BINDINGS, sspi.ASC_REQ_PROXY_BINDINGS

packages = pytest.mark.parametrize("package", ["NTLM", "Negotiate"])


def buffer(bindings: ChannelBindings) -> SecBuffer:
    return SecBuffer(sspi.SECBUFFER_CHANNEL_BINDINGS, sspi.pack_channel_bindings(bindings))


def buffers(bindings: ChannelBindings | None) -> list[SecBuffer]:
    return [] if bindings is None else [buffer(bindings)]


# The structure


def numbered(numbers: list[int]) -> bytes:
    return b"".join(number.to_bytes(4, "little") for number in numbers) + bytes(range(48))


def test_structure_is_that_of_the_header() -> None:
    packed = sspi.pack_channel_bindings(ChannelBindings(b"tls-unique:x"))
    assert bytes(packed) == bytes(24) + (12).to_bytes(4, "little") + (32).to_bytes(4, "little") + b"tls-unique:x"
    packed = sspi.pack_channel_bindings(WITH_ADDRESSES)
    numbers = [int.from_bytes(packed[at : at + 4], "little") for at in range(0, 32, 4)]
    assert numbers == [2, 4, 32, 2, 4, 36, 11, 40]
    assert packed[32:] == b"\x7f\0\0\1\x7f\0\0\2application"
    for bindings in (OURS, WITH_ADDRESSES, ChannelBindings(b"")):
        assert sspi.unpack_channel_bindings(sspi.pack_channel_bindings(bindings)) == bindings


def test_parts_may_be_in_any_order_and_share_bytes() -> None:
    numbers = [0, 2, 42, 0, 2, 42, 4, 34]
    packed = b"".join(number.to_bytes(4, "little") for number in numbers) + b"..data....ab"
    assert sspi.unpack_channel_bindings(packed) == ChannelBindings(b"data", initiator=b"ab", acceptor=b"ab")


@pytest.mark.parametrize("at", [8, 20, 28])
@pytest.mark.parametrize("offset", [0, 31, 33, 36, 0xFFFFFFFF])
def test_part_outside_of_the_structure_is_refused(at: int, offset: int) -> None:
    packed = bytearray(36)
    packed[at - 4 : at] = (4).to_bytes(4, "little")
    packed[at : at + 4] = (32).to_bytes(4, "little")
    assert sspi.unpack_channel_bindings(packed)
    packed[at : at + 4] = offset.to_bytes(4, "little")
    error = refused(sspi.unpack_channel_bindings, packed)
    assert (error.status, error.parameter) == (S.SEC_E_INVALID_TOKEN, "pInput")


@pytest.mark.parametrize("size", [0, 31, 0x10001])
def test_structure_of_another_size_is_refused(size: int) -> None:
    assert refused(sspi.unpack_channel_bindings, bytes(size)).status is S.SEC_E_INVALID_TOKEN


@given(st.one_of(st.binary(max_size=80), st.lists(st.integers(0, 80), min_size=8, max_size=8).map(numbered)))
def test_any_bytes_are_bindings_or_refused(data: bytes) -> None:
    try:
        bindings = sspi.unpack_channel_bindings(data)
    except sspi.SSPIError as error:
        assert error.status is S.SEC_E_INVALID_TOKEN
    else:
        assert sspi.unpack_channel_bindings(sspi.pack_channel_bindings(bindings)) == bindings
        assert len(bindings.application_data) <= len(data) - 32


@pytest.mark.parametrize("bindings", [OURS, WITH_ADDRESSES])
def test_hash_is_that_of_pyspnego(bindings: ChannelBindings) -> None:
    foreign = GssChannelBindings(
        initiator_addrtype=AddressType(bindings.initiator_type),
        initiator_address=bindings.initiator,
        acceptor_addrtype=AddressType(bindings.acceptor_type),
        acceptor_address=bindings.acceptor,
        application_data=bindings.application_data,
    )
    assert bindings.encoded == foreign.pack()


# NTLM and Negotiate


def exchange(both: Pair, client: ChannelBindings | None, server: ChannelBindings | None, *, late: bool = False) -> Pair:
    """Log on, with bindings in every call, or in every call but the first."""
    data = call(both.client, *([] if late else buffers(client)))
    first = True
    while True:
        data = call(both.server, token(data), *([] if late and first else buffers(server)))
        if both.server.status is OK and (both.client.status is OK or not data):
            return both
        data = call(both.client, token(data), *buffers(client))
        first = False
        if both.server.status is OK:
            return both


def pair(package: str, flags: int = 0) -> Pair:
    both = inner(package)
    both.server.flags |= flags
    return both


@packages
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("bindings", [OURS, WITH_ADDRESSES])
def test_bindings_of_both_sides_match(package: str, late: bool, bindings: ChannelBindings) -> None:
    both = exchange(pair(package), bindings, bindings, late=late)
    assert not both.server.attributes & (MISSING | PROXY)


@packages
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("flags", [0, MISSING, PROXY])
def test_other_bindings_are_bad(package: str, late: bool, flags: int) -> None:
    both = pair(package, flags)
    error = refused(lambda: exchange(both, OTHER, OURS, late=late))
    assert error.status is S.SEC_E_BAD_BINDINGS
    assert error.parameter is None
    assert refused(call, both.server, token(b"x")).status is S.SEC_E_INVALID_HANDLE


@packages
def test_addresses_are_part_of_the_bindings(package: str) -> None:
    error = refused(lambda: exchange(pair(package), replace(WITH_ADDRESSES, acceptor=b"\x7f\0\0\3"), WITH_ADDRESSES))
    assert error.status is S.SEC_E_BAD_BINDINGS


@packages
@pytest.mark.parametrize("flags", [0, PROXY])
def test_client_without_bindings_is_refused_by_a_server_that_gives_some(package: str, flags: int) -> None:
    error = refused(lambda: exchange(pair(package, flags), None, OURS))
    assert error.status is S.SEC_E_BAD_BINDINGS


@packages
def test_allow_missing_bindings_admits_a_client_without_any(package: str) -> None:
    both = exchange(pair(package, MISSING), None, OURS)
    assert both.server.attributes & sspi.ASC_RET_MISSING_BINDINGS
    both = exchange(pair(package, MISSING), OURS, OURS)
    assert not both.server.attributes & sspi.ASC_RET_MISSING_BINDINGS


@packages
def test_proxy_bindings_demand_bindings_of_any_channel(package: str) -> None:
    both = exchange(pair(package, PROXY), OTHER, None)
    assert not both.server.attributes & sspi.ASC_RET_NO_PROXY_BINDINGS
    assert refused(lambda: exchange(pair(package, PROXY), None, None)).status is S.SEC_E_BAD_BINDINGS


@packages
def test_server_without_bindings_takes_any(package: str) -> None:
    assert exchange(pair(package), OURS, None)
    assert exchange(pair(package, MISSING), OURS, None)


@packages
def test_flags_about_bindings_exclude_each_other(package: str) -> None:
    both = pair(package, MISSING | PROXY)
    error = refused(call, both.server, token(call(both.client)))
    assert (error.status, error.parameter) == (S.SEC_E_UNSUPPORTED_FUNCTION, "fContextReq")


@packages
def test_bindings_stay_what_they_were(package: str) -> None:
    both = pair(package)
    reply = call(both.server, token(call(both.client, buffer(OURS))), buffer(OURS))
    for side in (both.client, both.server):
        error = refused(call, side, token(reply), buffer(OTHER))
        assert (error.status, error.parameter) == (S.SEC_E_INVALID_TOKEN, "pInput")
    # Nothing has happened; and they need not be repeated.
    call(both.server, token(call(both.client, token(reply))))
    assert both.server.status in (OK, CONTINUE)


@packages
def test_broken_bindings_change_nothing(package: str) -> None:
    both = pair(package)
    for wrong in ([SecBuffer(sspi.SECBUFFER_CHANNEL_BINDINGS, b"short")], [buffer(OURS), buffer(OURS)]):
        error = refused(call, both.client, *wrong)
        assert error.status is S.SEC_E_INVALID_TOKEN
        assert error.parameter is not None
        assert error.parameter.startswith("pInput[")
    assert exchange(both, OURS, OURS)


def test_ntlm_sends_the_hash_that_others_compute() -> None:
    both = pair("NTLM")
    message = call(both.client, token(call(both.server, token(call(both.client, buffer(OURS))))))
    response = Authenticate.decode(message).ntlmv2
    assert response is not None
    packed = GssChannelBindings(application_data=OURS.application_data).pack()
    assert response.target_info.get(10) == hashlib.md5(packed, usedforsecurity=False).digest()


@packages
@pytest.mark.parametrize("sent", [OURS, OTHER, None])
def test_pyspnego_client_is_held_to_the_bindings(package: str, sent: ChannelBindings | None) -> None:
    server = inner(package).server
    foreign = None if sent is None else GssChannelBindings(application_data=sent.application_data)
    client = spnego.client(
        "LAB\\alice", "correct horse", hostname="srv.lab.test", protocol=package, channel_bindings=foreign
    )

    def log_on() -> None:
        data = client.step()
        while data:
            data = call(server, token(data), buffer(OURS))
            data = client.step(data) if data else b""

    if sent is OURS:
        log_on()
        assert server.status is OK
    else:
        assert refused(log_on).status is S.SEC_E_BAD_BINDINGS


# CREDSSP, TSSSP and Schannel


def credssp_exchange(client: ChannelBindings | None, server: ChannelBindings | None, flags: int = 0) -> Pair:
    both = make(asc=ASC | flags)
    both.client.extra_inputs = buffers(client)
    data = both.client.leg()
    while True:
        both.server.extra_inputs = buffers(server)
        data = both.server.leg(data)
        if both.server.status is OK:
            return both
        both.client.extra_inputs = buffers(client)
        data = both.client.leg(data)


def test_credssp_proves_the_bindings_of_an_outer_channel() -> None:
    both = credssp_exchange(OURS, OURS)
    assert both.server.attributes == both.server.flags
    assert credssp_exchange(OURS, None)
    for client, flags in ((OTHER, 0), (None, 0), (OTHER, MISSING)):
        assert refused(credssp_exchange, client, OURS, flags).status is S.SEC_E_BAD_BINDINGS
    assert credssp_exchange(None, OURS, MISSING).server.attributes & sspi.ASC_RET_MISSING_BINDINGS
    assert not credssp_exchange(OURS, OURS, MISSING).server.attributes & sspi.ASC_RET_MISSING_BINDINGS


def test_credssp_refuses_bindings_that_it_cannot_prove() -> None:
    assert refused(credssp_exchange, WITH_ADDRESSES, None).status is S.SEC_E_INVALID_TOKEN
    assert refused(credssp_exchange, None, WITH_ADDRESSES).status is S.SEC_E_INVALID_TOKEN
    error = refused(credssp_exchange, OURS, None, PROXY)
    assert (error.status, error.parameter) == (S.SEC_E_UNSUPPORTED_FUNCTION, "fContextReq")
    both = make()
    reply = both.server.leg(both.client.leg())
    both.client.extra_inputs = [buffer(OURS)]
    assert refused(both.client.leg, reply).status is S.SEC_E_INVALID_TOKEN, "too late"


def tsssp_exchange(client: ChannelBindings | None, server: ChannelBindings | None, flags: int = 0) -> Pair:
    both = tsssp(TS_ISC)
    both.server.flags |= flags
    own = buffers(client)
    data = call(both.client, *own, SecBuffer()) if own else call(both.client)
    first = True
    while True:
        data = call(both.server, token(data), *buffers(server), SecBuffer())
        if both.server.status is OK:
            return both
        extra = [certificate(server_leaf().der)] if first else []
        data = call(both.client, token(data), *extra, *buffers(client), SecBuffer())
        first = False


def test_tsssp_proves_the_bindings_of_an_outer_channel() -> None:
    assert tsssp_exchange(OURS, OURS)
    assert tsssp_exchange(WITH_ADDRESSES, WITH_ADDRESSES)
    assert tsssp_exchange(OTHER, None, PROXY)
    for client, server, flags in ((OTHER, OURS, 0), (None, OURS, 0), (OTHER, OURS, MISSING), (None, None, PROXY)):
        assert refused(tsssp_exchange, client, server, flags).status is S.SEC_E_BAD_BINDINGS
    assert tsssp_exchange(None, OURS, MISSING).server.attributes & sspi.ASC_RET_MISSING_BINDINGS


def test_schannel_takes_no_bindings() -> None:
    both = schannel(sspi.ISC_REQ_MANUAL_CRED_VALIDATION)
    both.client.extra_inputs = [buffer(OURS)]
    assert refused(both.client.leg).status is S.SEC_E_INVALID_TOKEN
    both.server.extra_inputs = [buffer(OURS)]
    assert refused(both.server.leg, both.client.leg()).status is S.SEC_E_INVALID_TOKEN


# What TLS gives out


def tls(package: str, version: int) -> Pair:
    settings: dict[str, Any] = {"enabled_protocols": version}
    if package == "Schannel":
        return schannel(sspi.ISC_REQ_MANUAL_CRED_VALIDATION, client=settings).run()
    return make(client=settings, server={"certificates": (server_leaf(),)}).run()


versions = pytest.mark.parametrize("version", [sspi.SP_PROT_TLS1_2_CLIENT, sspi.SP_PROT_TLS1_3_CLIENT])
tls_packages = pytest.mark.parametrize("package", ["Schannel", "CREDSSP"])


@versions
@tls_packages
def test_end_point_bindings_are_the_hash_of_the_certificate(package: str, version: int) -> None:
    both = tls(package, version)
    der = server_leaf().der
    algorithm = x509.load_der_x509_certificate(der).signature_hash_algorithm
    assert algorithm is not None
    expected = b"tls-server-end-point:" + hashlib.new(algorithm.name, der).digest()
    for side in (both.client, both.server):
        answer = side.query(sspi.SECPKG_ATTR_ENDPOINT_BINDINGS)
        assert sspi.unpack_channel_bindings(answer.bindings) == ChannelBindings(expected)
        assert answer.bindings_length == 32 + len(expected)
        assert sspi.free_context_buffer(answer.bindings) is OK
        assert not any(answer.bindings)


@tls_packages
def test_unique_bindings_are_the_first_finished_message(package: str) -> None:
    both = tls(package, sspi.SP_PROT_TLS1_2_CLIENT)
    found = [
        sspi.unpack_channel_bindings(side.query(sspi.SECPKG_ATTR_UNIQUE_BINDINGS).bindings)
        for side in (both.client, both.server)
    ]
    assert found[0] == found[1]
    prefix, _, finished = found[0].application_data.partition(b":")
    assert (prefix, len(finished)) == (b"tls-unique", 12)
    assert found[0] == ChannelBindings(found[0].application_data)
    again = tls(package, sspi.SP_PROT_TLS1_2_CLIENT).client.query(sspi.SECPKG_ATTR_UNIQUE_BINDINGS)
    assert sspi.unpack_channel_bindings(again.bindings) != found[0]


@tls_packages
def test_tls_1_3_has_no_unique_bindings(package: str) -> None:
    both = tls(package, sspi.SP_PROT_TLS1_3_CLIENT)
    for side in (both.client, both.server):
        error = refused(side.query, sspi.SECPKG_ATTR_UNIQUE_BINDINGS)
        assert (error.status, error.parameter) == (S.SEC_E_UNSUPPORTED_FUNCTION, "ulAttribute")


def test_bindings_wait_for_the_handshake_and_are_of_tls_alone() -> None:
    both = schannel(sspi.ISC_REQ_MANUAL_CRED_VALIDATION)
    both.client.leg()
    for attribute in (sspi.SECPKG_ATTR_ENDPOINT_BINDINGS, sspi.SECPKG_ATTR_UNIQUE_BINDINGS):
        assert refused(both.client.query, attribute).status is S.SEC_E_INVALID_HANDLE
        ntlm = exchange(pair("NTLM"), None, None)
        assert refused(ntlm.client.query, attribute).status is S.SEC_E_UNSUPPORTED_FUNCTION


@pytest.mark.parametrize("attribute", [sspi.SECPKG_ATTR_ENDPOINT_BINDINGS, sspi.SECPKG_ATTR_UNIQUE_BINDINGS])
def test_login_is_bound_to_the_channel_of_schannel(attribute: int) -> None:
    channel = tls("Schannel", sspi.SP_PROT_TLS1_2_CLIENT)
    client, server = (
        sspi.unpack_channel_bindings(side.query(attribute).bindings) for side in (channel.client, channel.server)
    )
    assert exchange(pair("Negotiate"), client, server)
    other = schannel(
        sspi.ISC_REQ_MANUAL_CRED_VALIDATION,
        client={"enabled_protocols": sspi.SP_PROT_TLS1_2_CLIENT},
        server={"certificates": ()},
    ).run()
    elsewhere = sspi.unpack_channel_bindings(other.client.query(attribute).bindings)
    assert refused(lambda: exchange(pair("Negotiate"), elsewhere, server)).status is S.SEC_E_BAD_BINDINGS

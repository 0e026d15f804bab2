"""The values of [MS-NLMP] 4.2.1 and 4.2.4, and of the recorded logins."""

import hashlib

import pytest

from credssp.nt_hash import nt_hash
from credssp.ntlm import crypto
from tests.ntlm import recorded

NTOWFV2 = bytes.fromhex("0c868a403bfd7a93a3001ef22ef02e3f")


def test_ntowfv2_takes_the_user_in_upper_case_and_the_domain_as_it_is():
    assert crypto.ntowfv2(nt_hash("Password"), "USER", "Domain") == NTOWFV2


def test_nt_proof_and_session_base_key():
    server_challenge = bytes.fromhex("0123456789abcdef")
    av_pairs = bytes.fromhex("02000c0044006f006d00610069006e0001000c005300650072007600650072000000000000000000")
    temp = bytes.fromhex("0101000000000000") + bytes(8) + b"\xaa" * 8 + bytes(4) + av_pairs
    proof = crypto.hmac_md5(NTOWFV2, server_challenge + temp)
    assert proof.hex() == "68cd0ab851e51c96aabc927bebef6a1c"
    session_base_key = crypto.hmac_md5(NTOWFV2, proof)
    assert session_base_key.hex() == "8de40ccadbc14a82f15cb0ad0de95ca3"
    assert crypto.rc4(session_base_key, b"\x55" * 16).hex() == "c5dad2544fc9799094ce1ce90bc9d03e"


@pytest.mark.parametrize("login", [recorded.BARE, recorded.IN_SPNEGO], ids=["bare", "in-spnego"])
def test_recorded_session_keys(login):
    proof = login.authenticate[112:128]
    key = crypto.hmac_md5(recorded.NTOWFV2, proof)
    assert key == login.session_base_key
    assert crypto.rc4(key, login.authenticate[-16:]) == login.exported_session_key


@pytest.mark.parametrize(
    ("name", "forms"),
    [
        ("alice", ("ALICE",)),
        ("käthe", ("KÄTHE",)),
        ("straße", ("STRAßE", "STRASSE")),
        ("", ("",)),
    ],
)
def test_upper_forms(name, forms):
    assert crypto.upper_forms(name) == forms


def test_rc4_stream_goes_on():
    stream = crypto.rc4_stream(bytes(range(1, 17)))  # RFC 6229 section 2, 128 bits
    assert stream(bytes(16)).hex() == "9ac7cc9a609d1ef7b2932899cde41b97"
    assert stream(bytes(16)).hex() == "5248c4959014126a6e8a84f11d1a9e1c"


@pytest.mark.parametrize("sizes", [(16, 16), (3, 13, 16), (0, 8, 24), (32,)])
def test_key_stream_goes_on_as_if_nobody_had_looked_ahead(sizes):
    expected = bytes.fromhex("9ac7cc9a609d1ef7b2932899cde41b975248c4959014126a6e8a84f11d1a9e1c")
    stream = crypto.KeyStream(bytes(range(1, 17)))
    assert stream.peek(bytes(8)) == expected[:8]
    assert stream.peek(bytes(12)) == expected[:12]
    assert stream.peek(b"\xff" * 2) == bytes(octet ^ 0xFF for octet in expected[:2])
    assert b"".join(stream(bytes(size)) for size in sizes) == expected


def test_channel_bindings_are_hashed_with_empty_addresses():
    data = b"tls-server-end-point:" + b"\1" * 32
    packed = bytes(16) + b"\x35\0\0\0" + data
    assert crypto.channel_bindings_hash(data) == hashlib.md5(packed, usedforsecurity=False).digest()

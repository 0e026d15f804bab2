"""AES of Kerberos against the vectors of RFC 3962 and RFC 8009 and against impacket."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from impacket.krb5 import crypto as impacket_crypto

from credssp.errors import RemoteProtocolError
from credssp.kerberos.crypto import (
    _cts_decrypt,
    _cts_encrypt,
    _nfold,
    checksum,
    checksum_size,
    decrypt,
    encrypt,
    generate_key,
)
from credssp.secret import Secret

KEYS = {etype: Secret(os.urandom(size)) for etype, size in ((17, 16), (18, 32), (19, 16), (20, 32))}


@pytest.mark.parametrize(
    ("text", "bits", "folded"),
    [  # RFC 3961 A.1
        (b"012345", 64, "be072631276b1955"),
        (b"password", 56, "78a07b6caf85fa"),
        (b"Rough Consensus, and Running Code", 64, "bb6ed30870b7f0e0"),
        (b"password", 168, "59e4a8ca7c0385c3c37b3f6d2000247cb6e6bd5b3e"),
        (b"kerberos", 128, "6b65726265726f737b9b5b2b93132b93"),
    ],
)
def test_nfold(text, bits, folded):
    assert _nfold(text, bits // 8).hex() == folded


@pytest.mark.parametrize(
    ("size", "cipher"),
    [  # RFC 3962 B
        (17, "c6353568f2bf8cb4d8a580362da7ff7f97"),
        (31, "fc00783e0efdb2c1d445d4c8eff7ed2297687268d6ecccc0c07b25e25ecfe5"),
        (32, "39312523a78662d5be7fcbcc98ebf5a897687268d6ecccc0c07b25e25ecfe584"),
        (48, "97687268d6ecccc0c07b25e25ecfe5849dad8bbb96c4cdc03bc103e1a194bbd839312523a78662d5be7fcbcc98ebf5a8"),
    ],
)
def test_ciphertext_stealing(size, cipher):
    plain = b"I would like the General Gau's Chicken, please, and wonton soup."[:size]
    assert _cts_encrypt(b"chicken teriyaki", plain).hex() == cipher
    assert _cts_decrypt(b"chicken teriyaki", bytes.fromhex(cipher)) == plain


@pytest.mark.parametrize(
    ("etype", "key", "confounder", "plain", "cipher"),
    [  # RFC 8009 A, key usage 2
        (
            19,
            "3705d96080c17728a0e800eab6e0d23c",
            "7e5895eaf2672435bad817f545a37148",
            "",
            "ef85fb890bb8472f4dab20394dca781dad877eda39d50c870c0d5a0a8e48c718",
        ),
        (
            19,
            "3705d96080c17728a0e800eab6e0d23c",
            "7bca285e2fd4130fb55b1a5c83bc5b24",
            "000102030405",
            "84d7f30754ed987bab0bf3506beb09cfb55402cef7e6877ce99e247e52d16ed4421dfdf8976c",
        ),
        (
            20,
            "6d404d37faf79f9df0d33568d320669800eb4836472ea8a026d16b7182460c52",
            "f764e9fa15c276478b2c7d0c4e5f58e4",
            "",
            "41f53fa5bfe7026d91faf9be959195a058707273a96a40f0a01960621ac612748b9bbfbe7eb4ce3c",
        ),
    ],
)
def test_sha2_vectors(etype, key, confounder, plain, cipher):
    key = Secret(bytes.fromhex(key))
    random = lambda size: bytes.fromhex(confounder)  # noqa: E731
    assert encrypt(etype, key, 2, bytes.fromhex(plain), random=random).hex() == cipher
    assert decrypt(etype, key, 2, bytes.fromhex(cipher)).hex() == plain


@pytest.mark.parametrize(
    ("etype", "key", "value"),
    [  # RFC 8009 A, key usage 2
        (19, "3705d96080c17728a0e800eab6e0d23c", "d78367186643d67b411cba9139fc1dee"),
        (
            20,
            "6d404d37faf79f9df0d33568d320669800eb4836472ea8a026d16b7182460c52",
            "45ee791567eefca37f4ac1e0222de80d43c3bfa06699672a",
        ),
    ],
)
def test_sha2_checksums(etype, key, value):
    assert checksum(etype, Secret(bytes.fromhex(key)), 2, bytes(range(21))).hex() == value


@pytest.mark.parametrize(("etype", "kind"), [(17, 15), (18, 16)])
@given(data=st.binary(max_size=70), usage=st.sampled_from([22, 23, 24, 25]))
def test_impacket_makes_the_same_checksums(etype, kind, data, usage):
    key = impacket_crypto.Key(etype, KEYS[etype].reveal())
    assert checksum(etype, KEYS[etype], usage, data) == impacket_crypto.make_checksum(kind, key, usage, data)


@pytest.mark.parametrize("etype", KEYS)
def test_sizes(etype):
    key = generate_key(etype)
    assert len(key.reveal()) == len(KEYS[etype].reveal())
    assert len(checksum(etype, key, 2, b"")) == checksum_size(etype, key)


@pytest.mark.parametrize("etype", [17, 18])
@given(plain=st.binary(max_size=70), usage=st.sampled_from([2, 11, 14]))
def test_impacket_reads_ours_and_we_read_impackets(etype, plain, usage):
    key = impacket_crypto.Key(etype, KEYS[etype].reveal())
    assert impacket_crypto.decrypt(key, usage, encrypt(etype, KEYS[etype], usage, plain)) == plain
    theirs = impacket_crypto.encrypt(key, usage, plain, os.urandom(16))
    assert decrypt(etype, KEYS[etype], usage, theirs) == plain


@pytest.mark.parametrize("etype", KEYS)
@given(data=st.data())
def test_any_changed_bit_is_found(etype, data):
    sealed = bytearray(encrypt(etype, KEYS[etype], 14, b"a ticket-granting ticket"))
    bit = data.draw(st.integers(0, 8 * len(sealed) - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(RemoteProtocolError, match="checksum does not match") as caught:
        decrypt(etype, KEYS[etype], 14, bytes(sealed))
    assert caught.value.status.name == "SEC_E_MESSAGE_ALTERED"


@pytest.mark.parametrize("etype", KEYS)
def test_other_key_other_usage_and_too_short(etype):
    sealed = encrypt(etype, KEYS[etype], 14, b"x")
    other = Secret(bytes(len(KEYS[etype].reveal())))
    for arguments in ((other, 14, sealed), (KEYS[etype], 11, sealed), (KEYS[etype], 14, sealed[:10])):
        with pytest.raises(RemoteProtocolError):
            decrypt(etype, *arguments)


@pytest.mark.parametrize(("etype", "size"), [(23, 16), (3, 8), (18, 16), (0, 0)])
def test_unknown_types_are_named(etype, size):
    with pytest.raises(RemoteProtocolError, match=f"encryption type {etype}") as caught:
        encrypt(etype, Secret(bytes(size)), 14, b"")
    assert caught.value.status.name == "SEC_E_KDC_UNKNOWN_ETYPE"

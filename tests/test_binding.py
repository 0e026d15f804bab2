"""SubjectPublicKey and pubKeyAuth ([MS-CSSP] 2.2.1, 3.1.5)."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from credssp.binding import client_value, server_value, subject_public_key, verify
from credssp.errors import BindingError, LocalProtocolError
from credssp.status import SecurityStatus
from credssp.tls.certificate import KeyType, generate_certificate

NONCE = bytes(range(32))
KEY = bytes.fromhex("300602010b020103")


@pytest.mark.parametrize("version", [5, 6])
def test_hashes_of_versions_5_and_6(version: int) -> None:
    assert client_value(version, NONCE, KEY).hex() == "f1b80bc38a2e396e5c3ffe9278d79e693161d612fe83895f984fcac7c805cf37"
    assert server_value(version, NONCE, KEY).hex() == "c0f731aa1419c40aae90a4b43c17f4b91acee616135f229d986fe65158959ff1"


def test_hash_over_an_ec_point() -> None:
    point = b"\x04" + bytes(range(64))
    assert client_value(6, NONCE, point).hex() == "0147f8c591a09bb6aefaaf16d2afc0cc6e5788eb7b04e06f86f7501211f7ab38"


@pytest.mark.parametrize("version", [2, 3, 4])
def test_versions_2_to_4_send_the_key_and_answer_with_its_first_octet_incremented(version: int) -> None:
    assert client_value(version, NONCE, KEY) == KEY
    assert server_value(version, NONCE, KEY) == b"\x31" + KEY[1:]


@pytest.mark.parametrize(
    ("key", "answer"),
    [
        (b"\xff\x04\x05", b"\x00\x05\x05"),
        (b"\xff\xff\x05", b"\x00\x00\x06"),
        (b"\xff", b"\x00"),
        (b"\xfe\xff", b"\xff\xff"),
        (b"", b""),
    ],
)
def test_increment_carries_into_the_next_octet(key: bytes, answer: bytes) -> None:
    assert server_value(2, b"", key) == answer


def test_the_version_chooses_the_form_not_the_nonce() -> None:
    assert client_value(4, NONCE, KEY) == KEY
    assert len(client_value(5, b"", KEY)) == 32


def test_both_directions_differ() -> None:
    assert client_value(6, NONCE, KEY) != server_value(6, NONCE, KEY)


def test_verify_takes_the_same_octets_only() -> None:
    verify(b"same", b"same", whose="server")
    with pytest.raises(BindingError, match="pubKeyAuth of the server") as caught:
        verify(b"some", b"same", whose="server")
    assert caught.value.status is SecurityStatus.SEC_E_MESSAGE_ALTERED
    with pytest.raises(BindingError):
        verify(b"", b"same", whose="client")


@pytest.mark.parametrize(
    ("key_type", "size", "first"), [("rsa", 270, 0x30), ("p256", 65, 4), ("p384", 97, 4), ("ed25519", 32, None)]
)
def test_subject_public_key_is_the_contents_of_the_bit_string(key_type: KeyType, size: int, first: int | None) -> None:
    der = generate_certificate(key_type).der
    found = subject_public_key(der)
    key = x509.load_der_x509_certificate(der).public_key()
    if key_type == "rsa":
        expected = key.public_bytes(Encoding.DER, PublicFormat.PKCS1)
    elif key_type == "ed25519":
        expected = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    else:
        expected = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    assert found == expected
    assert len(found) == size
    assert first is None or found[0] == first


@pytest.mark.parametrize("junk", [b"", b"\x30", b"\x30\x03\x02\x01\x05", b"not a certificate at all"])
def test_subject_public_key_of_junk(junk: bytes) -> None:
    with pytest.raises(LocalProtocolError, match="not DER"):
        subject_public_key(junk)

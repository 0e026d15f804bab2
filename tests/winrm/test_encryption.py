"""Encrypted messages."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credssp import ClientTLS
from credssp.errors import (
    CredSSPError,
    DecodeError,
    LimitExceededError,
    LocalProtocolError,
    PeerClosedError,
    RemoteProtocolError,
    TLSError,
)
from credssp.winrm.encryption import (
    ENCRYPTED,
    SOAP,
    decrypt,
    encrypt,
    encrypted_parts,
    is_encrypted_body,
    is_encrypted_type,
    trailer_length,
)
from tests.growth import Work, assert_linear
from tests.winrm.memory import pair

BOUNDARY = b"--Encrypted Boundary\r\n"
FIRST = (
    BOUNDARY + b"\tContent-Type: application/HTTP-CredSSP-session-encrypted\r\n"
    b"\tOriginalContent: type=application/soap+xml;charset=UTF-8;Length=%d\r\n"
    + BOUNDARY
    + b"\tContent-Type: application/octet-stream\r\n"
)
END = b"--Encrypted Boundary--\r\n"


class FakeContext:
    """TLS 1.2 with GCM whose records hold their plaintext in the clear."""

    tls_version = "TLSv1.2"
    tls_cipher = "ECDHE-RSA-AES256-GCM-SHA384"
    peer_closed = False

    def wrap(self, data: bytes) -> bytes:
        return b"\x17\x03\x03" + (len(data) + 24).to_bytes(2, "big") + bytes(8) + data + bytes(16) if data else b""

    def unwrap(self, data: bytes) -> bytes:
        out = b""
        while data:
            size = int.from_bytes(data[3:5], "big")
            out += data[13 : 5 + size - 16]
            data = data[5 + size :]
        return out


def body_of(*records: bytes, length: int, trailer: int = 16) -> bytes:
    return FIRST % length + trailer.to_bytes(4, "little") + b"".join(records) + END


@pytest.mark.parametrize("content_type", ["text/plain; charset=\u00fctf", "text/plain\r\nX: y"])
def test_a_content_type_that_no_header_can_hold_is_refused_by_name(content_type: str) -> None:
    with pytest.raises(LocalProtocolError, match="content_type: expected printable ASCII"):
        encrypt(FakeContext(), b"hello", content_type)


def test_the_vector_of_the_specification() -> None:
    record = FakeContext().wrap(b"hello")
    expected = bytes.fromhex(
        "2d2d456e6372797074656420426f756e646172790d0a"
        "09436f6e74656e742d547970653a206170706c69636174696f6e2f485454502d437265645353502d73657373696f6e2d656e63727970746564"
        "0d0a"
        "094f726967696e616c436f6e74656e743a20747970653d6170706c69636174696f6e2f736f61702b786d6c3b636861727365743d5554462d38"
        "3b4c656e6774683d350d0a"
        "2d2d456e6372797074656420426f756e646172790d0a"
        "09436f6e74656e742d547970653a206170706c69636174696f6e2f6f637465742d73747265616d0d0a"
        "10000000"
    )
    sealed = encrypt(FakeContext(), b"hello")
    assert sealed.body == expected + record + END
    assert sealed.content_type == (
        'multipart/encrypted;protocol="application/HTTP-CredSSP-session-encrypted";boundary="Encrypted Boundary"'
    )


@pytest.mark.parametrize(
    ("size", "lengths"), [(0, [0]), (1, [1]), (16384, [16384]), (16385, [16384, 1]), (40000, [16384, 16384, 7232])]
)
def test_messages_are_cut_at_16_kib(size: int, lengths: list[int]) -> None:
    sealed = encrypt(FakeContext(), b"x" * size)
    assert [part.length for part in encrypted_parts(sealed.content_type, sealed.body)] == lengths
    assert sealed.content_type.startswith("multipart/encrypted;" if len(lengths) == 1 else "multipart/x-multi-")
    assert decrypt(FakeContext(), sealed.content_type, sealed.body).data == b"x" * size


@pytest.mark.parametrize(
    ("tls", "ciphers"),
    [
        ("1.2", None),
        ("1.3", None),
        ("1.2", "ECDHE-RSA-CHACHA20-POLY1305"),
        ("1.2", "ECDHE-RSA-AES256-SHA"),
        ("1.2", "AES128-SHA256"),
    ],
)
def test_real_sessions_carry_messages_both_ways_and_measure_their_trailer(tls: str, ciphers: str | None) -> None:
    settings = ClientTLS(minimum=tls, maximum=tls, ciphers=ciphers)  # type: ignore[arg-type]
    client, server = pair(settings=settings)
    context = client.context
    for size in (0, 1, 100, 16384, 16385, 50000):
        sealed = encrypt(context, bytes(size))
        assert server.decrypt(sealed.content_type, sealed.body).data == bytes(size)
        answer = server.encrypt(bytes(size), "text/xml")
        opened = decrypt(context, answer.content_type, answer.body)
        assert (opened.data, opened.content_type) == (bytes(size), "text/xml")
    record = context.wrap(bytes(100))
    header = {"TLSv1.3": 5}.get(context.tls_version, 13)
    header = 21 if "SHA" in (ciphers or "") else 5 if "CHACHA" in (ciphers or "") else header
    assert trailer_length(record, 100, context.tls_version, context.tls_cipher) == len(record) - header - 100


def test_trailer_is_that_of_the_last_record() -> None:
    fake = FakeContext()
    records = fake.wrap(b"key update") + fake.wrap(b"hello")
    assert trailer_length(records, 5, fake.tls_version, fake.tls_cipher) == 16


def test_boundary_inside_ciphertext_is_no_boundary() -> None:
    fake = FakeContext()
    message = END + FIRST % 5 + BOUNDARY
    sealed = encrypt(fake, message)
    assert decrypt(fake, sealed.content_type, sealed.body).data == message
    # What other clients do with it:
    assert len(re.split(rb"--Encrypted Boundary\r\n", sealed.body)) > 3


def test_several_records_in_a_part_are_read() -> None:
    fake = FakeContext()
    body = body_of(fake.wrap(b"hel"), fake.wrap(b"lo"), length=5)
    assert decrypt(fake, ENCRYPTED, body).data == b"hello"


def test_trailer_length_of_the_peer_does_not_matter() -> None:
    fake = FakeContext()
    assert decrypt(fake, ENCRYPTED, body_of(fake.wrap(b"hello"), length=5, trailer=0xFFFFFFFF)).data == b"hello"


def test_space_before_the_boundary_is_tolerated_as_exchange_writes_it() -> None:
    fake = FakeContext()
    body = body_of(fake.wrap(b"hello"), length=5).replace(b"--Encrypted Boundary", b"-- Encrypted Boundary")
    assert decrypt(fake, ENCRYPTED, body).data == b"hello"


def test_a_last_boundary_without_a_line_end_is_taken() -> None:
    fake = FakeContext()
    assert decrypt(fake, ENCRYPTED, body_of(fake.wrap(b"hello"), length=5).removesuffix(b"\r\n")).data == b"hello"


@pytest.mark.parametrize("end", [b"--Encrypted Boundary", b"--Encrypted Boundary--\n", b"--Encrypted Boundary--\r\n\0"])
def test_other_ends_are_refused(end: bytes) -> None:
    fake = FakeContext()
    body = body_of(fake.wrap(b"hello"), length=5).removesuffix(b"--Encrypted Boundary--\r\n") + end
    with pytest.raises(RemoteProtocolError):
        decrypt(fake, ENCRYPTED, body)


def test_utf_16_is_told() -> None:
    fake = FakeContext()
    body = body_of(fake.wrap(b"hello"), length=5).replace(b"UTF-8", b"UTF-16")
    assert decrypt(fake, ENCRYPTED, body).content_type == "application/soap+xml;charset=UTF-16"


@pytest.mark.parametrize("length", [0, 4, 6, 9999999])
def test_a_length_that_lies_is_refused(length: int) -> None:
    fake = FakeContext()
    with pytest.raises(RemoteProtocolError):
        decrypt(fake, ENCRYPTED, body_of(fake.wrap(b"hello"), length=length))


RECORD = FakeContext().wrap(b"hello")
GOOD = body_of(RECORD, length=5)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        END,
        GOOD[: -len(END)],
        GOOD[:-1],
        GOOD + b"x",
        GOOD[:-4] + b"\r\n",
        GOOD.replace(b"Length=5", b"Length=-5"),
        GOOD.replace(b"Length=5", b"Length=99999999999"),
        GOOD.replace(b"HTTP-CredSSP", b"HTTP-SPNEGO"),
        GOOD.replace(b"UTF-8", b"\xe9"),
        GOOD.replace(b"UTF-8", b"a\0b"),
        GOOD.replace(b"octet-stream", b"plain"),
        GOOD.replace(RECORD, RECORD[:-1]),
        GOOD.replace(RECORD, RECORD + b"\x17\x03\x03\xff\xff"),
        GOOD.replace(RECORD, RECORD + b"\x17\x03"),
        GOOD.replace(RECORD, b"hello"),
        GOOD.replace(RECORD, RECORD + b"\x17\x02\x00\x00\x01x"),
        GOOD.replace(b"Encrypted Boundary", b"Other"),
    ],
)
def test_malformed_bodies_are_refused(body: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decrypt(FakeContext(), ENCRYPTED, body)


def test_errors_say_where() -> None:
    with pytest.raises(DecodeError) as caught:
        decrypt(FakeContext(), ENCRYPTED, GOOD + b"x")
    assert caught.value.offset == len(GOOD)


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        SOAP,
        "multipart/encrypted",
        'multipart/encrypted;protocol="application/HTTP-SPNEGO-session-encrypted";boundary="Encrypted Boundary"',
        'multipart/mixed;protocol="application/HTTP-CredSSP-session-encrypted";boundary="Encrypted Boundary"',
    ],
)
def test_other_content_types_are_refused(content_type: str) -> None:
    assert not is_encrypted_type(content_type)
    with pytest.raises(RemoteProtocolError):
        decrypt(FakeContext(), content_type, GOOD)


def test_boundary_comes_from_the_content_type() -> None:
    body = GOOD.replace(b"Encrypted Boundary", b"b.+*")
    content_type = "Multipart/Encrypted; protocol=application/HTTP-CredSSP-session-encrypted; boundary=b.+*"
    assert decrypt(FakeContext(), content_type, body).data == b"hello"
    assert is_encrypted_type(ENCRYPTED)
    assert not is_encrypted_type(None)


def test_bodies_tell_what_they_are() -> None:
    assert is_encrypted_body(GOOD)
    assert not is_encrypted_body(b"")
    assert not is_encrypted_body(b"--Encrypted Boundary\r\n\tContent-Type: application/HTTP-SPNEGO-session-encrypted")


def test_a_body_over_the_limit_is_refused_before_it_is_looked_at() -> None:
    with pytest.raises(LimitExceededError):
        decrypt(FakeContext(), ENCRYPTED, b"x" * 101, max_size=100)
    with pytest.raises(LimitExceededError):
        decrypt(FakeContext(), ENCRYPTED, GOOD.replace(b"Length=5", b"Length=9999"), max_size=1000)


@pytest.mark.parametrize("behind", [b"Content-Type:", b"OriginalContent:", b"type=application/soap+xml;charset=UTF-8;"])
def test_blanks_take_linear_time(behind: bytes) -> None:
    """4 MiB of them behind ``Content-Type:`` took nine seconds."""
    start, found, _ = GOOD.partition(behind)

    def blanks(size: int) -> Work:
        body = start + found + b" \t" * (size // 2 - 200)

        def work() -> None:
            with pytest.raises(DecodeError):
                decrypt(FakeContext(), ENCRYPTED, body)

        return work

    assert_linear(blanks, 1 << 22)


def test_tls_close_inside_a_body_is_refused() -> None:
    client, server = pair(tls="1.3")
    with pytest.raises(PeerClosedError):
        server.decrypt(ENCRYPTED, body_of(client.context.shutdown(), length=5))
    assert not server.ready


def test_tls_close_behind_a_message_ends_the_login() -> None:
    client, server = pair(tls="1.3")
    body = body_of(client.context.wrap(b"hello"), client.context.shutdown(), length=5)
    with pytest.raises(RemoteProtocolError):
        server.decrypt(ENCRYPTED, body)
    assert not server.ready


def test_a_record_of_another_session_is_refused() -> None:
    _client, server = pair(tls="1.3")
    other, _ = pair(tls="1.3")
    sealed = encrypt(other.context, b"hello")
    with pytest.raises(TLSError):
        server.decrypt(sealed.content_type, sealed.body)
    assert not server.ready


def test_a_message_that_is_replayed_is_refused() -> None:
    client, server = pair(tls="1.3")
    sealed = encrypt(client.context, b"hello")
    assert server.decrypt(sealed.content_type, sealed.body).data == b"hello"
    with pytest.raises(TLSError):
        server.decrypt(sealed.content_type, sealed.body)


@given(st.binary(max_size=200), st.integers(0, 400), st.integers(0, 10))
def test_noise_is_refused(noise: bytes, position: int, removed: int) -> None:
    position %= len(GOOD)
    body = GOOD[:position] + noise + GOOD[position + removed :]
    try:
        data = decrypt(FakeContext(), ENCRYPTED, body).data
    except CredSSPError:
        return
    assert len(data) <= len(body)

"""Which buffers a message of NTLM and Negotiate may have, and what each becomes.

What is right comes from [MS-NLMP] 3.4 computed here, and from pyspnego as the other side.
"""

from __future__ import annotations

import hmac
from hashlib import md5
from typing import Any

import pytest
import spnego
from cryptography.hazmat.decrepit.ciphers.algorithms import ARC4
from cryptography.hazmat.primitives.ciphers import Cipher
from spnego.iov import BufferType

import credssp.sspi as sspi
from credssp.sspi import SecBuffer, SecBufferDesc, SecurityStatus
from tests.sspi.pair import OK, TARGET, Pair, Side
from tests.sspi.test_inner_packages import call, inner, refused, run, token

S = SecurityStatus

TOKEN, DATA, PADDING, STREAM, EMPTY = (
    sspi.SECBUFFER_TOKEN,
    sspi.SECBUFFER_DATA,
    sspi.SECBUFFER_PADDING,
    sspi.SECBUFFER_STREAM,
    sspi.SECBUFFER_EMPTY,
)
SIGNED = DATA | sspi.SECBUFFER_READONLY_WITH_CHECKSUM
READONLY = DATA | sspi.SECBUFFER_READONLY

packages = pytest.mark.parametrize("package", ["NTLM", "Negotiate"])


def desc(*buffers: tuple[int, bytes | int]) -> SecBufferDesc:
    return SecBufferDesc([SecBuffer(kind, bytearray(content)) for kind, content in buffers])


def seal(side: Side, *buffers: tuple[int, bytes | int], qop: int = 0) -> SecBufferDesc:
    message = desc(*buffers)
    assert side.authority.encrypt_message(side.context, qop, message, 0) is OK
    return message


def unseal(side: Side, message: SecBufferDesc) -> int:
    result = side.authority.decrypt_message(side.context, message, 0)
    assert result.status is OK
    return result.qop


def contents(message: SecBufferDesc) -> list[bytes]:
    return [buffer.data for buffer in message]


class ByTheBook:
    """What a client makes with a session key ([MS-NLMP] 3.4.4.2, 3.4.5)."""

    def __init__(self, session_key: bytes, number: int) -> None:
        def key(purpose: str) -> bytes:
            return md5(  # noqa: S324 - [MS-NLMP] says so
                session_key + f"session key to client-to-server {purpose} key magic constant\0".encode()
            ).digest()

        self.signing = key("signing")
        self.rc4 = Cipher(ARC4(key("sealing")), None).encryptor()
        self.number = number

    def signature(self, message: bytes) -> bytes:
        number = self.number.to_bytes(4, "little")
        self.number += 1
        return b"\1\0\0\0" + self.rc4.update(hmac.digest(self.signing, number + message, "md5")[:8]) + number


def by_the_book(both: Pair, package: str) -> ByTheBook:
    # The mechListMIC of SPNEGO was message 0, and left the key stream where it was ([MS-SPNG] 3.3.5.1).
    key = bytes(both.client.query(sspi.SECPKG_ATTR_SESSION_KEY).session_key)
    return ByTheBook(key, 1 if package == "Negotiate" else 0)


@packages
def test_several_data_are_one_message(package: str) -> None:
    both = run(inner(package))
    book = by_the_book(both, package)
    message = seal(both.client, (DATA, b"one"), (TOKEN, 96), (DATA, b""), (DATA, b"three"))
    sealed = book.rc4.update(b"onethree")
    assert contents(message) == [sealed[:3], book.signature(b"onethree"), b"", sealed[3:]]
    assert unseal(both.server, message) == 0
    assert contents(message)[0::2] == [b"one", b""]
    assert message[3].data == b"three"


@packages
def test_readonly_with_checksum_is_signed_and_stays_readable(package: str) -> None:
    both = run(inner(package))
    book = by_the_book(both, package)
    message = seal(both.client, (SIGNED, b"header"), (DATA, b"body"), (TOKEN, 96), (SIGNED, b"trailer"))
    sealed = book.rc4.update(b"body")
    assert contents(message) == [b"header", sealed, book.signature(b"headerbodytrailer"), b"trailer"]
    assert unseal(both.server, message) == 0
    assert [contents(message)[0], contents(message)[1], contents(message)[3]] == [b"header", b"body", b"trailer"]


@packages
@pytest.mark.parametrize("changed", [0, 2])
def test_readonly_with_checksum_that_was_changed_is_altered(package: str, changed: int) -> None:
    both = run(inner(package))
    message = seal(both.client, (SIGNED, b"header"), (DATA, b"body"), (SIGNED, b"trailer"), (TOKEN, 96))
    message[changed].buffer[0] ^= 1  # type: ignore[index]
    error = refused(both.server.authority.decrypt_message, both.server.context, message, 0)
    assert error.status is S.SEC_E_MESSAGE_ALTERED


@packages
def test_memory_that_is_only_signed_may_be_read_only(package: str) -> None:
    both = run(inner(package))
    for first in (SecBuffer(SIGNED, b"header"), SecBuffer(READONLY, b"header")):
        message = SecBufferDesc([first, *desc((DATA, b"body"), (TOKEN, 96))])
        both.client.authority.encrypt_message(both.client.context, 0, message, 0)
        assert unseal(both.server, message) == 0
        assert message[1].data == b"body"


@packages
def test_ntlm_signs_what_is_readonly(package: str) -> None:
    both = run(inner(package))
    book = by_the_book(both, package)
    message = seal(both.client, (READONLY, b"header"), (DATA, b"body"), (TOKEN, 96))
    sealed = book.rc4.update(b"body")
    assert contents(message) == [b"header", sealed, book.signature(b"headerbody")]
    assert unseal(both.server, message) == 0
    assert message[1].data == b"body"
    message = seal(both.client, (READONLY, b"header"), (DATA, b"body"), (TOKEN, 96))
    message[0].buffer = bytearray(b"HEADER")
    error = refused(both.server.authority.decrypt_message, both.server.context, message, 0)
    assert error.status is S.SEC_E_MESSAGE_ALTERED


@packages
def test_signatures_cover_several_data(package: str) -> None:
    both = run(inner(package))
    book = by_the_book(both, package)
    message = desc((SIGNED, b"header"), (READONLY, b"more"), (DATA, b"body"), (TOKEN, 64), (PADDING, 8))
    both.client.authority.make_signature(both.client.context, 0, message, 0)
    assert contents(message) == [b"header", b"more", b"body", book.signature(b"headermorebody"), b""]
    assert both.server.authority.verify_signature(both.server.context, message, 0) == (OK, 0)
    both.client.authority.make_signature(both.client.context, 0, message := desc((TOKEN, 64), (SIGNED, b"x")), 0)
    message[1].buffer = bytearray(b"y")
    error = refused(both.server.authority.verify_signature, both.server.context, message, 0)
    assert error.status is S.SEC_E_MESSAGE_ALTERED


@packages
@pytest.mark.parametrize("room", [0, 1, 16])
def test_padding_says_that_there_is_none(package: str, room: int) -> None:
    both = run(inner(package))
    message = seal(both.client, (TOKEN, 96), (DATA, b"sealed"), (PADDING, room))
    assert message[2].size == 0
    wire = b"".join(contents(message))
    assert len(wire) == 16 + len(b"sealed")
    message = desc((STREAM, wire), (DATA, b""))
    assert unseal(both.server, message) == 0
    assert message[1].data == b"sealed"


@packages
@pytest.mark.parametrize("plain", [b"", b"x", bytes(70_000)])
def test_stream_is_opened_in_place(package: str, plain: bytes) -> None:
    both = run(inner(package))
    wire = bytearray(b"".join(contents(seal(both.client, (TOKEN, 96), (DATA, plain)))))
    message = SecBufferDesc([SecBuffer(), SecBuffer(DATA), SecBuffer(STREAM, wire)])
    assert unseal(both.server, message) == 0
    assert message[1].data == plain
    assert message[1].buffer_type == DATA
    if plain:
        assert bytes(wire[16:]) == plain, "in the memory of the STREAM"


@packages
def test_stream_that_was_changed_or_cut_is_altered(package: str) -> None:
    for change in (lambda wire: wire[:-1], lambda wire: wire[:16], lambda wire: wire[:-1] + bytes([wire[-1] ^ 1])):
        both = run(inner(package))
        wire = b"".join(contents(seal(both.client, (TOKEN, 96), (DATA, b"sealed"))))
        message = desc((STREAM, change(wire)), (DATA, b""))
        error = refused(both.server.authority.decrypt_message, both.server.context, message, 0)
        assert error.status is S.SEC_E_MESSAGE_ALTERED
        assert message[1].size == 0
    both = run(inner(package))
    error = refused(both.server.authority.decrypt_message, both.server.context, desc((STREAM, bytes(15)), (DATA, 0)), 0)
    assert error.status is S.SEC_E_INVALID_TOKEN


# SECQOP_WRAP_NO_ENCRYPT


@packages
@pytest.mark.parametrize("plain", [b"x", b"1234567", b"longer than eight bytes"])
def test_wrap_no_encrypt_signs_and_the_peer_hears_of_it(package: str, plain: bytes) -> None:
    both = run(inner(package))
    book = by_the_book(both, package)
    message = seal(both.client, (SIGNED, b"header"), (TOKEN, 96), (DATA, plain), qop=sspi.SECQOP_WRAP_NO_ENCRYPT)
    assert contents(message) == [b"header", book.signature(b"header" + plain), plain]
    assert unseal(both.server, message) == sspi.SECQOP_WRAP_NO_ENCRYPT
    assert contents(message)[2] == plain
    # The key stream is where it belongs: messages of both kinds go on.
    for qop in (0, 0, sspi.SECQOP_WRAP_NO_ENCRYPT, 0):
        message = seal(both.client, (TOKEN, 96), (DATA, b"more"), qop=qop)
        sealed = b"more" if qop else book.rc4.update(b"more")
        assert contents(message) == [book.signature(b"more"), sealed]
        assert unseal(both.server, message) == qop
    message = seal(both.client, (TOKEN, 96), (DATA, plain), qop=sspi.SECQOP_WRAP_NO_ENCRYPT)
    stream = desc((STREAM, b"".join(contents(message))), (DATA, 0))
    assert unseal(both.server, stream) == sspi.SECQOP_WRAP_NO_ENCRYPT
    assert stream[1].data == plain


@packages
def test_message_signed_alone_that_was_changed_is_altered(package: str) -> None:
    both = run(inner(package))
    message = seal(both.client, (TOKEN, 96), (DATA, b"pay 100"), qop=sspi.SECQOP_WRAP_NO_ENCRYPT)
    message[1].buffer = bytearray(b"pay 999")
    error = refused(both.server.authority.decrypt_message, both.server.context, message, 0)
    assert error.status is S.SEC_E_MESSAGE_ALTERED
    assert message[1].data == b"pay 999"


@packages
@pytest.mark.parametrize("qop", [1, sspi.SECQOP_WRAP_OOB_DATA, sspi.SECQOP_WRAP_OOB_DATA | 0x80000000])
def test_other_qualities_of_protection_are_not_supported(package: str, qop: int) -> None:
    both = run(inner(package))
    for function in (both.client.authority.encrypt_message, both.client.authority.make_signature):
        error = refused(function, both.client.context, qop, desc((TOKEN, 96), (DATA, b"x")), 0)
        assert (error.status, error.parameter) == (S.SEC_E_QOP_NOT_SUPPORTED, "fQOP")
    error = refused(
        both.client.authority.make_signature,
        both.client.context,
        sspi.SECQOP_WRAP_NO_ENCRYPT,
        desc((TOKEN, 96), (DATA, b"x")),
        0,
    )
    assert error.status is S.SEC_E_QOP_NOT_SUPPORTED


# What does not belong


@pytest.mark.parametrize(
    "kinds",
    [
        (),
        (TOKEN,),
        (DATA,),
        (TOKEN, TOKEN, DATA),
        (TOKEN, DATA, PADDING, PADDING),
        (TOKEN, DATA, sspi.SECBUFFER_EXTRA),
        (TOKEN, DATA, sspi.SECBUFFER_STREAM_HEADER),
        (STREAM, DATA),
        (STREAM, TOKEN, DATA),
    ],
)
def test_buffers_that_do_not_belong_into_a_message(kinds: tuple[int, ...]) -> None:
    both = run(inner("NTLM"))
    functions: list[tuple[Any, bool]] = [
        (lambda m: both.client.authority.encrypt_message(both.client.context, 0, m, 0), True),
        (lambda m: both.client.authority.make_signature(both.client.context, 0, m, 0), True),
        (lambda m: both.client.authority.verify_signature(both.client.context, m, 0), True),
        (lambda m: both.client.authority.decrypt_message(both.client.context, m, 0), kinds != (STREAM, DATA)),
    ]
    for function, wrong in functions:
        if wrong:
            error = refused(function, desc(*((kind, 32) for kind in kinds)))
            assert error.status is S.SEC_E_INVALID_TOKEN
            assert error.parameter is not None
            assert error.parameter.startswith("pMessage")
    message = seal(both.client, (TOKEN, 16), (DATA, b"still good"))
    assert unseal(both.server, message) == 0


@pytest.mark.parametrize("kinds", [(STREAM,), (STREAM, DATA, DATA), (STREAM, SIGNED), (STREAM, STREAM, DATA)])
def test_stream_comes_with_one_data(kinds: tuple[int, ...]) -> None:
    both = run(inner("NTLM"))
    message = desc(*((kind, 32) for kind in kinds))
    error = refused(both.server.authority.decrypt_message, both.server.context, message, 0)
    assert error.status is S.SEC_E_INVALID_TOKEN


def test_read_only_memory_is_refused_where_a_call_writes() -> None:
    both = run(inner("NTLM"))
    encrypt, decrypt = both.client.authority.encrypt_message, both.server.authority.decrypt_message
    for buffers in (
        [SecBuffer(TOKEN, bytes(16)), SecBuffer(DATA, bytearray(1))],
        [SecBuffer(TOKEN, bytearray(16)), SecBuffer(DATA, b"x")],
        [SecBuffer(TOKEN, bytearray(16)), SecBuffer(DATA, bytearray(1)), SecBuffer(PADDING, b"x")],
    ):
        assert refused(encrypt, both.client.context, 0, SecBufferDesc(buffers), 0).status is S.SEC_E_INVALID_TOKEN
    for buffers in (
        [SecBuffer(STREAM, bytes(32)), SecBuffer(DATA)],
        [SecBuffer(TOKEN, bytes(16)), SecBuffer(DATA, b"x")],
    ):
        assert refused(decrypt, both.server.context, SecBufferDesc(buffers), 0).status is S.SEC_E_INVALID_TOKEN


# pyspnego on the other side


@pytest.fixture(params=["NTLM", "Negotiate"])
def foreign(request: pytest.FixtureRequest) -> tuple[spnego.ContextProxy, Side]:
    """A client of pyspnego, and our server that it has logged on to."""
    server = inner(request.param).server
    client = spnego.client(
        "LAB\\alice", "correct horse", hostname="srv.lab.test", service=TARGET.split("/")[0], protocol=request.param
    )
    data = client.step()
    while data:
        data = call(server, token(data))
        data = client.step(data) if data else b""
    assert client.complete
    return client, server


def test_pyspnego_opens_what_several_buffers_made(foreign: tuple[spnego.ContextProxy, Side]) -> None:
    client, server = foreign
    message = seal(server, (TOKEN, 96), (DATA, b"one"), (DATA, b"two"), (PADDING, 16))
    signature, one, two, padding = contents(message)
    assert client.unwrap(signature + one + two + padding).data == b"onetwo"
    signature, data, padding = contents(seal(server, (TOKEN, 96), (DATA, b"winrm"), (PADDING, 16)))
    assert client.unwrap_winrm(signature, data + padding) == b"winrm"
    made = contents(seal(server, (TOKEN, 96), (SIGNED, b"header"), (DATA, b"body"), (READONLY, b"trailer")))
    kinds = (BufferType.header, BufferType.sign_only, BufferType.data, BufferType.data_readonly)
    opened = client.unwrap_iov(list(zip(kinds, made, strict=True)))
    assert [buffer.data for buffer in opened.buffers[1:]] == [b"header", b"body", b"trailer"]


def test_what_pyspnego_makes_is_opened_from_any_buffers(foreign: tuple[spnego.ContextProxy, Side]) -> None:
    client, server = foreign
    message = desc((STREAM, client.wrap(b"stream").data), (DATA, 0))
    assert unseal(server, message) == 0
    assert message[1].data == b"stream"
    sealed = client.wrap_winrm(b"winrm")
    message = desc((DATA, sealed.data[:2]), (TOKEN, sealed.header), (DATA, sealed.data[2:]))
    assert unseal(server, message) == 0
    assert message[0].data + message[2].data == b"winrm"
    made = client.wrap_iov(
        [
            BufferType.header,
            (BufferType.sign_only, b"header"),
            b"body",
            (BufferType.data_readonly, b"trailer"),
        ]
    ).buffers
    message = desc(*zip((TOKEN, SIGNED, DATA, READONLY), (buffer.data or b"" for buffer in made), strict=True))
    assert unseal(server, message) == 0
    assert contents(message)[1:] == [b"header", b"body", b"trailer"]
    message = desc((SIGNED, b"sign"), (DATA, b"this"), (TOKEN, client.sign(b"signthis")))
    assert server.authority.verify_signature(server.context, message, 0) == (OK, 0)


@packages
def test_after_a_message_that_does_not_verify_the_context_still_says_who_logged_on(package: str) -> None:
    both = run(inner(package))
    server = both.server
    altered = SecBufferDesc([SecBuffer(TOKEN, bytearray(16)), SecBuffer(DATA, bytearray(b"altered"))])
    assert refused(server.authority.decrypt_message, server.context, altered).parameter is None
    assert server.query(sspi.SECPKG_ATTR_NAMES).user_name == "LAB\\alice"
    assert server.query(sspi.SECPKG_ATTR_PACKAGE_INFO).package_info.name == "NTLM"
    message = SecBufferDesc([SecBuffer(TOKEN, bytearray(16)), SecBuffer(DATA, bytearray(b"more"))])
    for function in (server.authority.encrypt_message, server.authority.make_signature):
        assert refused(function, server.context, 0, message).status is S.SEC_E_INVALID_HANDLE
        assert message[1].data == b"more"


@packages
def test_buffer_that_cannot_be_used_is_named(package: str) -> None:
    both = run(inner(package))
    authority, context = both.client.authority, both.client.context
    data = SecBuffer(DATA, bytearray(b"data"))
    for kind in (TOKEN, sspi.SECBUFFER_STREAM):
        opening = SecBufferDesc([SecBuffer(), data, SecBuffer(kind, "text")])  # type: ignore[arg-type]
        assert refused(authority.decrypt_message, context, opening).parameter == "pMessage[2]"
    sealing = SecBufferDesc([data, SecBuffer(TOKEN, bytes(16))])
    assert refused(authority.encrypt_message, context, 0, sealing).parameter == "pMessage[1]"
    sealing = SecBufferDesc([data, SecBuffer(TOKEN, bytearray(16)), SecBuffer(sspi.SECBUFFER_PADDING, bytes(16))])
    assert refused(authority.encrypt_message, context, 0, sealing).parameter == "pMessage[2]"
    assert data.data == b"data", "nothing was written"


@packages
def test_read_only_memory_without_bytes_is_no_obstacle(package: str) -> None:
    both = run(inner(package))
    sealed = SecBufferDesc([SecBuffer(TOKEN, bytearray(16)), SecBuffer(DATA, b"")])
    assert both.client.authority.encrypt_message(both.client.context, 0, sealed) is OK
    opening = SecBufferDesc([SecBuffer(sspi.SECBUFFER_STREAM, bytearray(sealed[0].data)), SecBuffer(DATA, b"")])
    assert both.server.authority.decrypt_message(both.server.context, opening) == (OK, 0)
    assert opening[1].data == b""


def test_number_is_not_memory() -> None:
    with pytest.raises(TypeError, match="buffer: memory, not a int"):
        SecBuffer(DATA, 5)  # type: ignore[arg-type]

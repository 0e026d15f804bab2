"""EncryptMessage, DecryptMessage and shutdown of a stream package; STREAM_SIZES with every cipher."""

from __future__ import annotations

import base64
import contextlib
import ssl
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from hypothesis import given, settings
from hypothesis import strategies as st

import credssp.sspi as sspi
from credssp.sspi import SecBuffer, SecBufferDesc, SecurityStatus, SSPIError
from credssp.tls.certificate import generate_certificate, process_certificate
from credssp.tls.sizes import StreamSizes
from credssp.wire.der import write_integer, write_sequence
from tests.peers import require_module
from tests.sspi.pair import INCOMPLETE, ISC, OK, Pair, Side, make, opening, sealing, token_out
from tests.sspi.test_inner_packages import inner, run

S = SecurityStatus


TLS13 = (
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_128_CCM_SHA256",
    "TLS_AES_128_CCM_8_SHA256",
)
# Without a certificate of either side, or with keys that nobody has.
_NOT_FOR_CREDSSP = ("PSK", "SRP", "DSS", "ADH", "AECDH")


def suites() -> list[tuple[str, str]]:
    """Every suite that OpenSSL here offers for TLS 1.2 and 1.3 with a server certificate, weak ones included."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_ciphers("ALL:COMPLEMENTOFALL:@SECLEVEL=0")
    names = [cipher["name"] for cipher in context.get_ciphers()]
    tls12 = [name for name in names if not name.startswith("TLS_") and not any(w in name for w in _NOT_FOR_CREDSSP)]
    return [("TLSv1.3", name) for name in TLS13] + [("TLSv1.2", name) for name in tls12]


# The 1024-bit group of RFC 2409 section 6.2.
OAKLEY_2 = int(
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B"
    "302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7EDEE386BFB5A899FA5AE9F24117C4B1FE6"
    "49286651ECE65381FFFFFFFFFFFFFFFF",
    16,
)


@pytest.fixture(scope="module")
def dh_parameters(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file with DH parameters: without one OpenSSL offers no DHE."""
    encoded = base64.encodebytes(write_sequence(write_integer(OAKLEY_2), write_integer(2))).decode()
    path = tmp_path_factory.mktemp("dh") / "dh.pem"
    path.write_text(f"-----BEGIN DH PARAMETERS-----\n{encoded}-----END DH PARAMETERS-----\n")
    return str(path)


class Connection:
    """A TLS connection with a given suite; pyOpenSSL can choose those of TLS 1.3 and offer DHE."""

    def __init__(self, version: str, suite: str, dh_parameters: str) -> None:
        SSL = require_module("OpenSSL").SSL  # noqa: N806
        certificate = generate_certificate("p256") if "ECDSA" in suite else process_certificate()
        self._wants = SSL.WantReadError
        sides = []
        for client in (True, False):
            context = SSL.Context(SSL.TLS_METHOD)
            if version == "TLSv1.3":
                context.set_min_proto_version(SSL.TLS1_3_VERSION)
                context.set_cipher_list(b"ALL:@SECLEVEL=0")
                context.set_tls13_ciphersuites(suite.encode())
            else:
                context.set_max_proto_version(SSL.TLS1_2_VERSION)
                context.set_cipher_list(f"{suite}:@SECLEVEL=0".encode())
            if not client:
                context.use_certificate(x509.load_pem_x509_certificate(certificate.chain))
                key = serialization.load_pem_private_key(certificate.private_key.reveal(), None)
                context.use_privatekey(key)
                if suite.startswith("DHE-"):
                    context.load_tmp_dh(dh_parameters)
            side = SSL.Connection(context, None)
            side.set_connect_state() if client else side.set_accept_state()
            sides.append(side)
        self.client, self.server = sides
        for _ in range(4):
            for one, other in ((self.client, self.server), (self.server, self.client)):
                with contextlib.suppress(self._wants):
                    one.do_handshake()
                with contextlib.suppress(self._wants):
                    other.bio_write(one.bio_read(1 << 20))
        self.cipher = self.client.get_cipher_name()

    def record(self, plaintext: bytes) -> bytes:
        self.client.send(plaintext)
        data: bytes = self.client.bio_read(1 << 20)
        return data


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(("version", "suite"), suites())
def test_stream_sizes_are_true_for_every_cipher(version: str, suite: str, dh_parameters: str) -> None:
    """Held against real records of every plaintext length that matters."""
    connection = Connection(version, suite, dh_parameters)
    assert connection.cipher == suite
    sizes = StreamSizes.of(version, suite)
    overheads = set()
    for length in [*range(1, 70), 1000, 16383, 16384]:
        record = connection.record(bytes(length))
        assert len(record) == 5 + int.from_bytes(record[3:5], "big"), "one record"
        overheads.add(len(record) - length)
        assert sizes.header <= len(record) - length <= sizes.header + sizes.trailer
    # Tight: the largest overhead seen is the one promised.
    assert max(overheads) == sizes.header + sizes.trailer
    if sizes.block == 1:
        assert len(overheads) == 1


@pytest.mark.parametrize(
    ("version", "suite", "header", "trailer"),
    [
        ("TLSv1.3", "TLS_AES_128_GCM_SHA256", 5, 17),
        ("TLSv1.3", "TLS_CHACHA20_POLY1305_SHA256", 5, 17),
        ("TLSv1.3", "TLS_AES_128_CCM_SHA256", 5, 17),
        ("TLSv1.3", "TLS_AES_128_CCM_8_SHA256", 5, 9),
        ("TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256", 13, 16),
        ("TLSv1.2", "AES128-CCM8", 13, 8),
        ("TLSv1.2", "ECDHE-RSA-CHACHA20-POLY1305", 5, 16),
        ("TLSv1.2", "DES-CBC3-SHA", 13, 28),
        ("TLSv1.2", "ECDHE-RSA-NULL-SHA", 5, 20),
        ("TLSv1.2", "SOMETHING-NEW", 21, 64),
    ],
)
def test_stream_sizes_by_name(version: str, suite: str, header: int, trailer: int) -> None:
    sizes = StreamSizes.of(version, suite)
    assert (sizes.header, sizes.trailer) == (header, trailer)


@pytest.mark.parametrize(
    "ciphers", [None, "ECDHE-RSA-AES128-SHA256", "ECDHE-RSA-CHACHA20-POLY1305", "ECDHE-RSA-AES256-GCM-SHA384"]
)
@pytest.mark.parametrize("length", [0, 1, 15, 16, 17, 16384])
def test_messages_go_both_ways_with_every_kind_of_cipher(ciphers: str | None, length: int) -> None:
    limits: dict[str, Any] = {"ciphers": ciphers}
    if ciphers:
        limits["enabled_protocols"] = sspi.SP_PROT_TLS1_2_CLIENT
    both = make(client=limits).run()
    data = bytes(range(256)) * 64
    for sender, receiver in ((both.client, both.server), (both.server, both.client)):
        wire = sender.encrypt(data[:length])
        inner = sender.authority._contexts.get(sender.context, "").context.inner
        measured = inner._channel.overhead
        sizes = sender.query(sspi.SECPKG_ATTR_STREAM_SIZES)
        assert measured <= sizes.header + sizes.trailer
        if length:
            assert receiver.decrypt(wire) == data[:length]
        else:
            assert wire == b""


def test_sizes_grow_with_what_the_session_showed() -> None:
    assert StreamSizes(5, 17, 1).covering(22) == StreamSizes(5, 17, 1)
    assert StreamSizes(5, 17, 1).covering(30) == StreamSizes(5, 25, 1)


@pytest.fixture
def both() -> Pair:
    return make(isc=ISC | sspi.ISC_REQ_SEQUENCE_DETECT).run()


def test_decrypt_says_what_is_extra_and_where_the_pieces_are(both: Pair) -> None:
    one, two = both.client.encrypt(b"one"), both.client.encrypt(b"two!")
    message = opening(one + two)
    result = both.server.authority.decrypt_message(both.server.context, message, 0)
    assert result == (OK, 0)
    assert [buffer.buffer_type for buffer in message] == [
        sspi.SECBUFFER_STREAM_HEADER,
        sspi.SECBUFFER_DATA,
        sspi.SECBUFFER_STREAM_TRAILER,
        sspi.SECBUFFER_EXTRA,
    ]
    assert [buffer.size for buffer in message] == [5, 3, 17, len(two)]
    assert (message[1].data, message[3].data) == (b"one", two)
    assert both.server.decrypt(two) == b"two!"


@pytest.mark.parametrize("cut", [0, 1, 4, 5, 10])
def test_decrypt_says_what_is_missing_and_changes_nothing(both: Pair, cut: int) -> None:
    record = both.client.encrypt(b"data")
    message = opening(record[:cut])
    result = both.server.authority.decrypt_message(both.server.context, message, 0)
    assert result.status is INCOMPLETE
    assert message[0].data == record[:cut]
    assert message[1].buffer_type == sspi.SECBUFFER_MISSING
    assert message[1].size == (5 - cut if cut < 5 else len(record) - cut)
    assert both.server.decrypt(record) == b"data"


def test_empty_record_gives_empty_data(both: Pair) -> None:
    # OpenSSL writes no empty records; a session ticket is as good: a record without application data.
    tickets = make(client={"session_lifespan": 1000}, server={"session_lifespan": 1000}).run()
    assert tickets.server.decrypt(tickets.client.encrypt(b"x")) == b"x"


def shut_down(side: Side) -> bytes:
    token = SecBufferDesc([SecBuffer(sspi.SECBUFFER_TOKEN, (1).to_bytes(4, "little"))])
    assert side.authority.apply_control_token(side.context, token) is OK
    output = token_out()
    if side.client:
        result = side.authority.initialize_security_context(
            side.credential, side.context, None, side.flags, 0, 0, None, 0, None, output
        )
    else:
        result = side.authority.accept_security_context(
            side.credential, side.context, None, side.flags, 0, None, output
        )
    assert result.status is OK
    return output[0].data


@pytest.mark.parametrize("first", ["client", "server"])
def test_shutdown_is_seen_as_context_expired(both: Pair, first: str) -> None:
    one = getattr(both, first)
    other = both.server if first == "client" else both.client
    data = one.encrypt(b"last words")
    notify = shut_down(one)
    assert notify
    message = opening(data + notify)
    assert other.authority.decrypt_message(other.context, message, 0).status is OK
    assert message[1].data == b"last words"
    message = opening(message[3].data)
    assert other.authority.decrypt_message(other.context, message, 0).status is S.SEC_I_CONTEXT_EXPIRED
    assert message[1].size == 0
    # Nothing more comes ...
    with pytest.raises(SSPIError) as caught:
        other.authority.decrypt_message(other.context, opening(b"\x17"), 0)
    assert caught.value.status is S.SEC_E_CONTEXT_EXPIRED
    # ... and the one that closed sends no more, but still reads what was under way.
    with pytest.raises(SSPIError) as caught:
        one.encrypt(b"x")
    assert caught.value.status is S.SEC_E_CONTEXT_EXPIRED
    assert shut_down(other)


def test_shutdown_of_a_half_built_context_is_refused() -> None:
    both = make()
    both.client.leg()
    with pytest.raises(SSPIError) as caught:
        shut_down(both.client)
    assert caught.value.status is S.SEC_E_INVALID_HANDLE


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", S.SEC_E_INVALID_TOKEN),
        (b"\1\0\0", S.SEC_E_INVALID_TOKEN),
        (b"\0\0\0\0", S.SEC_E_UNSUPPORTED_FUNCTION),
        (b"\3\0\0\0", S.SEC_E_UNSUPPORTED_FUNCTION),
    ],
)
def test_other_control_tokens_are_refused(both: Pair, content: bytes, status: SecurityStatus) -> None:
    with pytest.raises(SSPIError) as caught:
        both.client.authority.apply_control_token(
            both.client.context, SecBufferDesc([SecBuffer(sspi.SECBUFFER_TOKEN, content)])
        )
    assert caught.value.status is status


H, D, T, E = (
    sspi.SECBUFFER_STREAM_HEADER,
    sspi.SECBUFFER_DATA,
    sspi.SECBUFFER_STREAM_TRAILER,
    sspi.SECBUFFER_EMPTY,
)


def refused(call: Any, *args: Any) -> SSPIError:
    with pytest.raises(SSPIError) as caught:
        call(*args)
    return caught.value


@pytest.mark.parametrize("kinds", [(), (D,), (D, H, T, E), (H, D, T), (H, D, T, E, E), (H, T, D, E), (H, E, T, E)])
def test_encrypt_wants_its_buffers_in_order(both: Pair, kinds: tuple[int, ...]) -> None:
    message = SecBufferDesc([SecBuffer(kind, bytearray(64)) for kind in kinds])
    error = refused(both.client.authority.encrypt_message, both.client.context, 0, message, 0)
    assert (error.status, error.parameter) == (S.SEC_E_INVALID_TOKEN, "pMessage")
    assert both.server.decrypt(both.client.encrypt(b"still good")) == b"still good"


@pytest.mark.parametrize("kinds", [(), (D,), (E, D, E, E), (D, E, E), (D, E, E, E, E), (D, D, E, E)])
def test_decrypt_wants_its_buffers_in_order(both: Pair, kinds: tuple[int, ...]) -> None:
    message = SecBufferDesc([SecBuffer(kind, bytearray(64)) for kind in kinds])
    error = refused(both.client.authority.decrypt_message, both.client.context, message, 0)
    assert (error.status, error.parameter) == (S.SEC_E_INVALID_TOKEN, "pMessage")


def test_encrypt_respects_the_sizes(both: Pair) -> None:
    client = both.client
    sizes = client.query(sspi.SECPKG_ATTR_STREAM_SIZES)
    for number in (0, 2):
        message = sealing(sizes, b"x")
        message[number].buffer = bytearray(message[number].size - 1)
        message[number].size -= 1
        error = refused(client.authority.encrypt_message, client.context, 0, message, 0)
        assert (error.status, error.parameter) == (S.SEC_E_BUFFER_TOO_SMALL, f"pMessage[{number}]")
    error = refused(client.authority.encrypt_message, client.context, 0, sealing(sizes, bytes(16385)), 0)
    assert (error.status, error.parameter) == (S.SEC_E_BUFFER_TOO_SMALL, "pMessage[1]")
    error = refused(client.authority.encrypt_message, client.context, 1, sealing(sizes, b"x"), 0)
    assert error.status is S.SEC_E_QOP_NOT_SUPPORTED
    for sequence, status in ((1, S.SEC_E_INVALID_PARAMETER), ("0", S.SEC_E_INVALID_PARAMETER)):
        assert (
            refused(client.authority.encrypt_message, client.context, 0, sealing(sizes, b"x"), sequence).status
            is status
        )
    assert both.server.decrypt(client.encrypt(b"still good")) == b"still good"


@pytest.mark.parametrize("memory", [b"read-only", "text", 5, [1, 2]])
def test_memory_that_cannot_be_written_is_refused(both: Pair, memory: Any) -> None:
    sizes = both.client.query(sspi.SECPKG_ATTR_STREAM_SIZES)
    message = sealing(sizes, b"x")
    message[1].buffer = memory
    error = refused(both.client.authority.encrypt_message, both.client.context, 0, message, 0)
    assert (error.status, error.parameter) == (S.SEC_E_INVALID_TOKEN, "pMessage[1]")


def test_signatures_are_not_for_streams(both: Pair) -> None:
    client = both.client
    message = SecBufferDesc([SecBuffer(sspi.SECBUFFER_TOKEN, bytearray(16)), SecBuffer(D, b"x")])
    for call in (
        lambda: client.authority.make_signature(client.context, 0, message, 0),
        lambda: client.authority.verify_signature(client.context, message, 0),
        lambda: client.authority.export_security_context(client.context, 0),
        lambda: client.authority.import_security_context("CREDSSP", b"x", None, sspi.CtxtHandle()),
        lambda: client.authority.complete_auth_token(client.context, message),
    ):
        assert refused(call).status is S.SEC_E_UNSUPPORTED_FUNCTION


def test_junk_ends_the_stream_and_nothing_hangs_half(both: Pair) -> None:
    assert refused(both.client.decrypt, b"GET / HTTP/1.1\r\n").status is S.SEC_E_INVALID_TOKEN
    both.client.rest = b""
    assert both.client.decrypt(both.server.encrypt(b"still there")) == b"still there"
    both.client.rest = b""
    assert refused(both.client.decrypt, b"\x17\x03\x03\x00\x20" + bytes(32)).status is S.SEC_E_MESSAGE_ALTERED
    both.client.rest = b""
    for call in (lambda: both.client.encrypt(b"x"), lambda: both.client.decrypt(b"\x17\x03\x03\x00\x01x")):
        assert refused(call).status is S.SEC_E_MESSAGE_ALTERED


@settings(max_examples=25)
@given(
    messages=st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=6),
    size=st.integers(min_value=1, max_value=64),
)
def test_stream_in_any_portions_is_the_same_stream(messages: list[bytes], size: int) -> None:
    both = _shared()
    wire = b"".join(both.client.encrypt(message) for message in messages)
    received = []
    held = b""
    for at in range(0, len(wire), size):
        held += wire[at : at + size]
        while True:
            message = opening(held)
            if both.server.authority.decrypt_message(both.server.context, message, 0).status is INCOMPLETE:
                break
            received.append(message[1].data)
            held = message[3].data
    assert (received, held) == (messages, b"")


_cache: list[Pair] = []


def _shared() -> Pair:
    if not _cache:
        _cache.append(make().run())
    return _cache[0]


def test_plaintext_in_one_record_with_the_last_message_is_not_lost() -> None:
    """The end of such a record is what the inner context calls unused_data."""
    both = make().run()
    session = both.server.authority._contexts.get(both.server.context, "").context
    session.session.unread = b"early"
    record = both.client.encrypt(b"later")
    message = opening(record)
    assert both.server.authority.decrypt_message(both.server.context, message, 0).status is OK
    assert message[1].data == b"early"
    assert message[3].data == record
    assert both.server.decrypt(record) == b"later"
    session.session.unread = b"more"
    assert both.server.decrypt(b"") == b"more"


def test_message_that_tls_sends_on_its_own_goes_out_as_a_token(both: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenSSL answers a key update with the next record; both do not fit into the buffers."""
    session = both.client.authority._contexts.get(both.client.context, "").context.session
    wrap = session.protected.wrap
    monkeypatch.setattr(type(session.protected), "wrap", lambda self, data: wrap(b"key update") + wrap(data))
    message = sealing(both.client.query(sspi.SECPKG_ATTR_STREAM_SIZES), b"data")
    status = both.client.authority.encrypt_message(both.client.context, 0, message, 0)
    monkeypatch.undo()
    assert status is S.SEC_I_RENEGOTIATE
    assert [buffer.size for buffer in message] == [0, 0, 0, 0]
    token = both.client.leg()
    assert both.client.status is OK
    assert both.server.decrypt(token) == b"key update"
    assert both.server.decrypt(b"") == b"data"


# Threads


def test_one_thread_encrypts_while_another_decrypts(both: Pair) -> None:
    count = 200
    wire = [both.server.encrypt(b"%d" % number) for number in range(count)]
    failures: list[BaseException] = []

    def guarded(run: Any) -> None:
        try:
            run()
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    sent: list[bytes] = []
    received: list[bytes] = []

    def encrypt_all() -> None:
        sent.extend(both.client.encrypt(b"x%d" % n) for n in range(count))

    def decrypt_all() -> None:
        received.extend(both.client.decrypt(record) for record in wire)

    def encrypt() -> None:
        sent.extend(both.client.encrypt(b"x%d" % number) for number in range(count))

    def decrypt() -> None:
        received.extend(both.client.decrypt(record) for record in wire)

    threads = [threading.Thread(target=guarded, args=(run,)) for run in (encrypt, decrypt)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == []
    assert received == [b"%d" % number for number in range(count)]
    assert [both.server.decrypt(record) for record in sent] == [b"x%d" % number for number in range(count)]


@pytest.mark.parametrize("running", ["exchange", "encrypt", "decrypt"])
def test_second_thread_is_refused_and_the_context_lives(both: Pair, running: str) -> None:
    client = both.client
    record = client.authority._contexts.get(client.context, "")
    calls = {
        "exchange": lambda: client.leg(),
        "encrypt": lambda: client.encrypt(b"x"),
        "decrypt": lambda: client.decrypt(b"\x17"),
        "delete": lambda: client.authority.delete_security_context(client.context),
    }
    allowed = {"encrypt": "decrypt", "decrypt": "encrypt"}
    with getattr(record.turns, running):  # as if another thread were in such a call
        for name, call in calls.items():
            if allowed.get(running) == name:
                continue
            error = refused(call)
            assert (error.status, error.parameter) == (S.SEC_E_OUT_OF_SEQUENCE, "phContext")
            assert "another thread" in error.message
    client.rest = b""
    assert both.server.decrypt(client.encrypt(b"alive")) == b"alive"


def test_two_exchanges_at_once_in_real_threads() -> None:
    both = make()
    reply = both.server.leg(both.client.leg())
    inside, leave = threading.Event(), threading.Event()
    inner = both.client.authority._contexts.get(both.client.context, "").context.inner
    step = inner.step

    def slow(data: bytes) -> Any:
        inside.set()
        assert leave.wait(30)
        return step(data)

    inner.step = slow
    result: list[bytes] = []
    thread = threading.Thread(target=lambda: result.append(both.client.leg(reply)))
    thread.start()
    assert inside.wait(30)
    desc = SecBufferDesc([SecBuffer(sspi.SECBUFFER_TOKEN, reply), SecBuffer()])
    error = refused(
        both.client.authority.initialize_security_context,
        both.client.credential,
        both.client.context,
        None,
        ISC,
        0,
        0,
        desc,
        0,
        None,
        token_out(),
    )
    assert error.status is S.SEC_E_OUT_OF_SEQUENCE
    leave.set()
    thread.join(30)
    inner.step = step
    both.run(both.client.leg(both.server.leg(result[0])))


@pytest.mark.parametrize("name", ["leg", "encrypt", "decrypt", "control", "export", "delete"])
def test_call_that_looked_the_context_up_before_it_ended_does_not_reach_the_package(name: str) -> None:
    both = run(inner("NTLM"))
    authority, context = both.client.authority, both.client.context
    message = SecBufferDesc(
        [SecBuffer(sspi.SECBUFFER_TOKEN, bytearray(16)), SecBuffer(sspi.SECBUFFER_DATA, bytearray(1))]
    )
    record = authority._contexts.get(context, "")
    deleted = authority.delete_security_context(context)
    assert deleted is OK
    reached: list[str] = []

    class Table:
        def __getattr__(self, member: str) -> Any:
            return lambda *args: reached.append(member)

    package = record.package
    record.package = SimpleNamespace(
        info=package.info,
        table=Table(),
        user_table=Table,
        entry=lambda member: getattr(Table(), member),
        user_entry=lambda member: getattr(Table(), member),
    )
    # As it is for a thread between the look-up and its turn, when another one deletes the context.
    authority._contexts.get = lambda handle, parameter: record  # type: ignore[method-assign]
    authority._alive = authority._complete = lambda handle: record  # type: ignore[method-assign]
    calls = {
        "leg": lambda: authority.initialize_security_context(None, context),
        "encrypt": lambda: authority.encrypt_message(context, 0, message),
        "decrypt": lambda: authority.decrypt_message(context, message),
        "control": lambda: authority.apply_control_token(context, message),
        "export": lambda: authority.export_security_context(context, 0),
    }
    if name == "delete":
        assert authority.delete_security_context(context) is OK
    else:
        assert refused(calls[name]).status is S.SEC_E_INVALID_HANDLE
    assert reached == []


def test_credential_that_two_threads_free_is_freed_once() -> None:
    both = make()
    authority, handle = both.client.authority, both.client.credential
    record = authority._credentials.get(handle, "")
    assert authority.free_credentials_handle(handle) is OK
    freed: list[object] = []
    record.package = SimpleNamespace(table=SimpleNamespace(free_credentials_handle=freed.append))  # type: ignore[assignment]
    authority._credentials.get = lambda handle, parameter: record  # type: ignore[method-assign]
    assert refused(authority.free_credentials_handle, handle).status is S.SEC_E_INVALID_HANDLE
    assert freed == []

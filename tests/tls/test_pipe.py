"""From one channel to another: every byte, in pieces; errors and closes where they are due."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from credssp.dissect.tls.schedule import next_secret, traffic_keys
from credssp.dissect.tls.suites import find_suite
from credssp.errors import TLSError
from credssp.tls.certificate import process_certificate
from credssp.tls.channel import TLSChannel
from credssp.tls.pipe import PIECE, PLAINTEXT, pass_on
from credssp.tls.queues import SharedQueues
from credssp.tls.settings import ClientTLS, ServerTLS, client_context, server_context
from tests.tls.test_channel import pair, shake

BAD_RECORD = b"\x17\x03\x03\x00\x20" + bytes(32)


class Relay:
    """A client, the two channels of a relay, and a server."""

    def __init__(self, version: str = "1.3", key_log: str = "") -> None:
        settings = ClientTLS(minimum=version, maximum=version)  # type: ignore[arg-type]
        self.client, self.front = pair(settings)
        if key_log:
            context = client_context(ClientTLS(minimum="1.3", ciphers="ALL"))
            context.keylog_filename = key_log
            self.client = TLSChannel(context, server_side=False, server_hostname="localhost")
            self.front = TLSChannel(server_context(ServerTLS(), process_certificate()), server_side=True)
        self.back, self.server = pair(settings)
        shake(self.client, self.front)
        shake(self.back, self.server)
        self._plaintext = memoryview(bytearray(PLAINTEXT))

    def pass_on(self, data: bytes) -> tuple[int, list[bytes]]:
        sent: list[bytes] = []
        return pass_on(self.front, self.back, memoryview(data), self._plaintext, send=sent.append), sent


@pytest.fixture(params=["own queues", "shared queues"], autouse=True)
def queues(request: pytest.FixtureRequest) -> Iterator[None]:
    with contextlib.nullcontext() if request.param == "own queues" else SharedQueues():
        yield


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("size", [0, 1, 16384, 16385, PIECE - 1, PIECE, PIECE + 1, PLAINTEXT, 1 << 20])
def test_any_size(size: int, version: str) -> None:
    relay = Relay(version)
    data = random.Random(size).randbytes(size)
    count, sent = relay.pass_on(relay.client.encrypt(data))
    assert count == size
    assert relay.server.decrypt(b"".join(sent)) == data


def test_any_split() -> None:
    relay = Relay()
    chance = random.Random(7)
    data = chance.randbytes(900_000)
    stream = relay.client.encrypt(data)
    received, at = b"", 0
    while at < len(stream):
        size = chance.choice((1, 7, 16_406, 100_000, 400_000))
        count, sent = relay.pass_on(stream[at : at + size])
        more = relay.server.decrypt(b"".join(sent))
        assert len(more) == count
        received += more
        at += size
    assert received == data


def test_what_waits_from_before_may_be_more_than_the_buffer_takes() -> None:
    relay = Relay()
    early, data = random.Random(1).randbytes(3 * PLAINTEXT), random.Random(2).randbytes(PIECE)
    relay.front.receive(relay.client.encrypt(early))
    count, sent = relay.pass_on(relay.client.encrypt(data))
    assert count == len(early) + len(data)
    assert relay.server.decrypt(b"".join(sent)) == early + data
    assert not relay.front.peer_closed


def test_what_came_before_a_bad_record_is_sent_and_then_it_fails_for_good() -> None:
    relay = Relay()
    sent: list[bytes] = []
    stream = memoryview(relay.client.encrypt(b"good") + BAD_RECORD)
    for _ in range(2):
        with pytest.raises(TLSError):
            pass_on(relay.front, relay.back, stream, relay._plaintext, send=sent.append)
    assert relay.server.decrypt(b"".join(sent)) == b"good"
    with pytest.raises(TLSError, match="bad_record_mac"):
        relay.client.decrypt(relay.front.data_to_send())


def test_what_is_looked_at_does_not_pass_if_that_fails() -> None:
    relay = Relay()
    seen: list[bytes] = []
    sent: list[bytes] = []

    def look(view: memoryview) -> None:
        seen.append(bytes(view))
        if b"no" in seen[-1]:
            raise ValueError

    for text in (b"yes", b"no"):
        stream = memoryview(relay.client.encrypt(text))
        with contextlib.nullcontext() if text == b"yes" else pytest.raises(ValueError):
            pass_on(relay.front, relay.back, stream, relay._plaintext, look=look, send=sent.append)
    assert seen == [b"yes", b"no"]
    assert relay.server.decrypt(b"".join(sent)) == b"yes"


@pytest.mark.parametrize("end", ["", "look", "target", "record"])
def test_what_is_typed_is_not_left_in_the_buffer(end: str) -> None:
    relay = Relay()

    def look(view: memoryview) -> None:
        assert bytes(view[:8]) == b"a secret"
        if end == "look":
            raise ValueError

    stream = relay.client.encrypt(b"a secret" * 2048) + (BAD_RECORD if end == "record" else b"")
    if end == "target":
        relay.back.close()
    with pytest.raises((ValueError, TLSError)) if end else contextlib.nullcontext():
        pass_on(relay.front, relay.back, memoryview(stream), relay._plaintext, look=look, send=len)
    assert not any(relay._plaintext)


def test_nothing_passes_after_a_close() -> None:
    relay = Relay()
    count, sent = relay.pass_on(relay.client.encrypt(b"last") + relay.client.close() + bytes(300_000))
    assert count == 4
    assert relay.front.peer_closed
    assert not relay.back.peer_closed
    assert relay.server.decrypt(b"".join(sent)) == b"last"


def test_a_target_that_is_closed_takes_nothing() -> None:
    relay = Relay()
    relay.back.close()
    with pytest.raises(TLSError):
        relay.pass_on(relay.client.encrypt(b"late"))


def test_the_answer_to_a_key_update_goes_back_to_its_peer(tmp_path: Path) -> None:
    log = tmp_path / "keys"
    relay = Relay(key_log=str(log))
    suite = next(suite for number in (0x1301, 0x1302) if (suite := find_suite(number)).name == relay.client.cipher)
    secret = bytes.fromhex(log.read_text().partition("CLIENT_TRAFFIC_SECRET_0 ")[2].split()[1])
    keys = traffic_keys(suite, secret)
    header = b"\x17\x03\x03" + (6 + 16).to_bytes(2, "big")
    update = header + AESGCM(keys.key).encrypt(keys.iv, b"\x18\0\0\x01\x01\x16", header)
    keys = traffic_keys(suite, next_secret(suite, secret))
    text = b"after the update"
    header = b"\x17\x03\x03" + (len(text) + 17).to_bytes(2, "big")
    count, sent = relay.pass_on(update + header + AESGCM(keys.key).encrypt(keys.iv, text + b"\x17", header))
    assert count == len(text)
    assert relay.server.decrypt(b"".join(sent)) == text
    answer = relay.front.data_to_send() + relay.front.encrypt(b"with new keys")  # OpenSSL sends it with the next data
    assert answer.count(b"\x17\x03\x03") >= 2
    assert relay.client.decrypt(answer) == b"with new keys"

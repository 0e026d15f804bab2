"""TLS opened from the outside: every suite, key logs with holes, RSA keys, key updates, missing bytes."""

from __future__ import annotations

import dataclasses
import ssl

import pytest

from credssp.dissect.errors import CaptureError
from credssp.dissect.model import Sender
from credssp.dissect.tls import session as tls_session
from credssp.dissect.tls.keylog import Secrets
from credssp.dissect.tls.session import TLSReader
from credssp.dissect.tls.suites import find_suite, suite_name
from credssp.secret import Secret
from tests.dissect.captures import Said
from tests.dissect.logins import certificate, log_on
from tests.dissect.tls_peers import CLIENT_SAYS, SERVER_SAYS, in_subprocess

NO_ENCRYPT_THEN_MAC = 1 << 19
NO_EXTENDED_MASTER_SECRET = 1

RSA = ["AES128-GCM-SHA256", "AES256-GCM-SHA384", "AES128-CCM", "AES256-CCM8", "AES128-SHA", "AES256-SHA256"]
ECDHE_RSA = [
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-RSA-CHACHA20-POLY1305",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-RSA-AES256-SHA384",
    "ECDHE-RSA-AES128-SHA256",
]
ECDSA = ["ECDHE-ECDSA-AES128-CCM", "ECDHE-ECDSA-AES256-CCM8", "ECDHE-ECDSA-AES256-SHA384", "ECDHE-ECDSA-AES256-SHA"]
TLS13 = [
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_AES_128_CCM_SHA256",
    "TLS_AES_128_CCM_8_SHA256",
]


def pem(kind: str) -> bytes:
    made = certificate(kind)
    return made.private_key.reveal() + made.chain


class Opened:
    """Feeds a session and keeps what comes out."""

    def __init__(self, secrets: Secrets | None = None) -> None:
        self.plain: dict[Sender, bytes] = {"client": b"", "server": b""}
        self.told: list[tuple[Sender, str]] = []
        self.session = TLSReader(secrets or Secrets(), self._deliver, self._notify)

    def _deliver(self, sender: Sender, data: bytes, _: int | None) -> None:
        self.plain[sender] += data

    def _notify(self, sender: Sender, what: str, _size: int, _time: int | None) -> None:
        self.told.append((sender, what))

    def feed(self, said: list[Said] | tuple[Said, ...], *, size: int = 1 << 20) -> Opened:
        for sender, data in said:
            for start in range(0, len(data), size):
                self.session.feed(sender, data[start : start + size], None)
        return self

    def finish(self) -> Opened:
        self.session.finish()
        return self

    @property
    def problems(self) -> list[str]:
        return self.session.info.problems


def keylog(*logs: bytes) -> Secrets:
    secrets = Secrets()
    for log in logs:
        secrets.add_log(log.splitlines())
    return secrets


def check(said: list[Said], secrets: Secrets, kind: str = "rsa") -> Opened:
    opened = Opened(secrets).feed(said).finish()
    assert opened.plain == {"client": CLIENT_SAYS, "server": SERVER_SAYS}
    assert opened.problems == []
    assert opened.session.info.certificate == certificate(kind).der
    return opened


@pytest.mark.parametrize("cipher", RSA + ECDHE_RSA)
def test_tls12_is_opened_with_every_suite(cipher: str) -> None:
    said, log = in_subprocess("TLSv1_2", ciphers=cipher + ":@SECLEVEL=0", pem=pem("rsa"))
    opened = check(said, keylog(log))
    assert opened.session.info.version == 0x0303


@pytest.mark.parametrize("cipher", ECDSA)
def test_tls12_is_opened_with_an_ec_certificate(cipher: str) -> None:
    said, log = in_subprocess("TLSv1_2", ciphers=cipher, pem=pem("p256"))
    check(said, keylog(log), "p256")


@pytest.mark.parametrize("suite", TLS13)
def test_tls13_is_opened_with_every_suite(suite: str) -> None:
    said, log = in_subprocess("TLSv1_3", suites=suite, ciphers="", pem=pem("rsa"))
    opened = check(said, keylog(log))
    assert suite_name(opened.session.info.suite) == suite


@pytest.mark.parametrize("version", ["TLSv1", "TLSv1_1"])
@pytest.mark.parametrize("options", [0, NO_ENCRYPT_THEN_MAC])
def test_old_versions_are_opened(version: str, options: int) -> None:
    said, log = in_subprocess(version, ciphers="AES128-SHA:@SECLEVEL=0", options=options, pem=pem("rsa"))
    check(said, keylog(log))
    secrets = Secrets()
    secrets.load_rsa_key(certificate("rsa").private_key)
    check(said, secrets)


@pytest.mark.parametrize("options", [0, NO_ENCRYPT_THEN_MAC, NO_EXTENDED_MASTER_SECRET])
@pytest.mark.parametrize("cipher", ["AES128-SHA", "AES256-GCM-SHA384"])
def test_the_rsa_key_opens_rsa_key_exchange(cipher: str, options: int) -> None:
    said, _ = in_subprocess("TLSv1_2", ciphers=cipher + ":@SECLEVEL=0", options=options, pem=pem("rsa"))
    secrets = Secrets()
    secrets.load_rsa_key(certificate("rsa").private_key)
    check(said, secrets)


def test_the_rsa_key_of_somebody_else_is_told() -> None:
    said, _ = in_subprocess("TLSv1_2", ciphers="AES128-SHA:@SECLEVEL=0", pem=pem("rsa"))
    from credssp.tls.certificate import generate_certificate

    secrets = Secrets()
    secrets.load_rsa_key(generate_certificate("rsa").private_key)
    opened = Opened(secrets).feed(said).finish()
    assert "not that of the server's certificate" in opened.problems[0]


def test_the_rsa_key_does_not_open_ecdhe_and_it_is_said_why() -> None:
    secrets = Secrets()
    secrets.load_rsa_key(certificate("rsa").private_key)
    opened = Opened(secrets).feed(log_on(tls="1.2").said).finish()
    assert "a key log is needed" in opened.problems[0]
    opened = Opened(secrets).feed(log_on(tls="1.3").said).finish()
    assert "TLS 1.3 has no RSA key exchange" in opened.problems[0]


def test_ciphertext_that_was_not_for_the_rsa_key() -> None:
    said, _ = in_subprocess("TLSv1_2", ciphers="AES128-SHA:@SECLEVEL=0", pem=pem("rsa"))
    index = next(i for i, (who, data) in enumerate(said) if who == "client" and data[5] == 16)
    said[index] = ("client", said[index][1][:60] + bytes(20) + said[index][1][80:])
    secrets = Secrets()
    secrets.load_rsa_key(certificate("rsa").private_key)
    opened = Opened(secrets).feed(said).finish()
    assert "was not encrypted for the RSA key" in opened.problems[0]


@pytest.mark.parametrize("tls", ["1.2", "1.3"])
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_the_split_does_not_matter(tls: str, size: int) -> None:
    login = log_on(tls=tls)
    opened = Opened(keylog(login.keylog)).feed(login.said, size=size).finish()
    assert all(request in opened.plain["client"] + opened.plain["server"] for request in login.requests)
    assert opened.problems == []
    assert ("server", "warning alert close_notify (0)") in opened.told


@pytest.mark.parametrize("tls", ["1.2", "1.3"])
def test_without_a_key_it_is_said_why(tls: str) -> None:
    login = log_on(tls=tls)
    opened = Opened().feed(login.said).finish()
    assert len(opened.problems) == 1
    assert "no key" in opened.problems[0]
    assert opened.session.info.client_random
    assert opened.session.info.server_name.startswith("srv")


@pytest.mark.parametrize("tls", ["1.2", "1.3"])
def test_the_key_log_of_another_connection(tls: str) -> None:
    login, other = log_on(tls=tls), log_on(tls=tls, mechanism="negotiate")
    opened = Opened(keylog(other.keylog)).feed(login.said).finish()
    assert "none of the 1 connections of the key log has the client random" in opened.problems[0]


@pytest.mark.parametrize("tls", ["1.2", "1.3"])
def test_secrets_that_are_wrong(tls: str) -> None:
    login, other = log_on(tls=tls), log_on(tls=tls, mechanism="negotiate")
    random = login.keylog.split()[1] if not login.keylog.startswith(b"#") else login.keylog.splitlines()[1].split()[1]
    stolen = b"\n".join(
        b" ".join((line.split()[0], random, line.split()[2]))
        for line in other.keylog.splitlines()
        if line and not line.startswith(b"#")
    )
    opened = Opened(keylog(stolen)).feed(login.said).finish()
    assert any("does not open with the keys given" in problem for problem in opened.problems)


def test_a_log_without_handshake_secrets_still_opens_what_follows() -> None:
    login = log_on()
    log = b"\n".join(line for line in login.keylog.splitlines() if b"HANDSHAKE" not in line)
    opened = Opened(keylog(log)).feed(login.said).finish()
    assert all(request in opened.plain["client"] + opened.plain["server"] for request in login.requests)
    assert opened.session.info.certificate is None


def test_a_log_without_traffic_secrets_opens_the_handshake_only() -> None:
    login = log_on()
    log = b"\n".join(line for line in login.keylog.splitlines() if b"TRAFFIC_SECRET_0" not in line)
    opened = Opened(keylog(log)).feed(login.said).finish()
    assert opened.session.info.certificate == login.certificate
    assert "only partly decrypted" in opened.problems[0]


def test_secrets_may_come_after_the_records() -> None:
    login, secrets = log_on(), Secrets()
    opened = Opened(secrets).feed(login.said)
    assert opened.session.waits
    assert secrets.waiting
    secrets.add_log(login.keylog.splitlines())
    opened.finish()
    assert all(request in opened.plain["client"] + opened.plain["server"] for request in login.requests)
    assert secrets.waiting == 0
    assert opened.problems == []


def test_key_updates_are_followed() -> None:
    from credssp.dissect.tls.schedule import next_secret, traffic_keys

    login = log_on()
    secrets = keylog(login.keylog)
    opened = Opened(secrets).feed(login.said)
    random = opened.session.info.client_random
    suite = find_suite(opened.session.info.suite)
    assert suite is not None
    secret = secrets.find(random, "CLIENT_TRAFFIC_SECRET_0")
    assert secret is not None
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    def record(secret: bytes, sequence: int, kind: int, data: bytes) -> bytes:
        keys = traffic_keys(suite, secret)
        inner = data + bytes((kind,)) + bytes(3)
        header = b"\x17\x03\x03" + (len(inner) + 16).to_bytes(2, "big")
        nonce = (int.from_bytes(keys.iv, "big") ^ sequence).to_bytes(12, "big")
        return header + AESGCM(keys.key).encrypt(nonce, inner, header)

    side = opened.session._sides["client"]
    assert side.opener is not None
    before = opened.plain["client"]
    update = record(secret, side.opener.sequence, 22, b"\x18\0\0\x01\0")
    later = record(next_secret(suite, secret), 0, 23, b"after the update")
    opened.feed([("client", update + later)])
    assert opened.plain["client"] == before + b"after the update"


@pytest.mark.parametrize("tls", ["1.2", "1.3"])
def test_behind_missing_octets_it_goes_on_with_a_later_record(tls: str) -> None:
    login = log_on(tls=tls)
    opened = Opened(keylog(login.keylog))
    at = [index for index, (who, _) in enumerate(login.said) if who == "server"][-3]
    for index, (sender, data) in enumerate(login.said):
        if index == at:
            opened.session.gap(sender, len(data))
        else:
            opened.feed([(sender, data)])
    opened.finish()
    assert login.requests[-1] in opened.plain["client"]
    assert b"welcome" in opened.plain["server"]
    assert opened.problems == [f"{len(login.said[at][1])} bytes of the server are missing; what was in them is lost"]


def test_half_a_record_missing_is_found_again() -> None:
    login = log_on()
    opened = Opened(keylog(login.keylog))
    at = [index for index, (who, _) in enumerate(login.said) if who == "server"][-3]
    for index, (sender, data) in enumerate(login.said):
        if index == at:
            opened.session.gap(sender, 10)
            opened.feed([(sender, data[10:])])
        else:
            opened.feed([(sender, data)])
    assert b"welcome" in opened.finish().plain["server"]


@pytest.mark.parametrize("lost", ["ClientHello", "ServerHello"])
def test_without_a_hello_nothing_opens_and_it_is_said_which(lost: str) -> None:
    login = log_on()
    opened = Opened(keylog(login.keylog))
    opened.feed(login.said[1:] if lost == "ClientHello" else (login.said[0], *login.said[2:])).finish()
    assert f"{lost} is not in the capture" in " ".join(opened.problems)


def test_an_altered_record_ends_its_direction() -> None:
    login = log_on()
    said = [(who, bytearray(data)) for who, data in login.said]
    at = [index for index, (who, _) in enumerate(said) if who == "client"][-3]
    said[at][1][-1] ^= 1
    opened = Opened(keylog(login.keylog)).feed([(who, bytes(data)) for who, data in said]).finish()
    assert any("does not open with the keys given" in problem for problem in opened.problems)
    assert b"welcome" in opened.plain["server"]


@pytest.mark.parametrize("junk", [b"GET / HTTP/1.1", b"\x16\x03\x03\xff\xff" + bytes(30), b"\x19\x03\x03\0\0"])
def test_what_is_no_record_is_told(junk: bytes) -> None:
    login = log_on()
    opened = Opened(keylog(login.keylog)).feed(login.said[:2]).feed([("client", junk), ("client", junk)]).finish()
    assert "the client sends something other than TLS records" in opened.problems
    assert not opened.session.waits


def test_the_end_inside_a_record() -> None:
    login = log_on()
    opened = Opened(keylog(login.keylog)).feed([("client", login.said[0][1][:50])]).finish()
    assert opened.problems == ["the capture ends inside a TLS record of the client"]


@pytest.mark.parametrize(
    ("message", "what"),
    [(b"\x01\0\0\x02\x03\x03", "ClientHello"), (b"\x01\xff\xff\xff", "ClientHello")],
)
def test_handshake_messages_that_do_not_decode(message: bytes, what: str) -> None:
    record = b"\x16\x03\x01" + len(message).to_bytes(2, "big") + message
    opened = Opened().feed([("client", record)]).finish()
    assert what in opened.problems[0]


def test_too_much_without_a_key_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    login, secrets = log_on(), Secrets()
    opened = Opened(secrets).feed(login.said)
    record = b"\x17\x03\x03\x40\x00" + bytes(0x4000)
    opened.feed([("server", record)] * 5)
    assert opened.session.dead
    assert secrets.waiting == 0
    monkeypatch.setattr(tls_session, "MAX_WAITING", 1000)
    opened = Opened(secrets).feed(login.said)
    assert opened.session.dead


def test_a_suite_that_is_not_known() -> None:
    login = log_on(tls="1.2")
    said = [list(entry) for entry in login.said]
    hello = said[1][1]
    at = 5 + 4 + 2 + 32 + 1 + hello[5 + 4 + 34]
    said[1][1] = hello[:at] + b"\x00\x05" + hello[at + 2 :]
    opened = Opened(keylog(login.keylog)).feed([(who, data) for who, data in said]).finish()
    assert "TLS_RSA_WITH_RC4_128_SHA is not supported here" in opened.problems[0]


def test_renegotiation_is_not_followed() -> None:
    login = log_on(tls="1.2")
    opened = Opened(keylog(login.keylog)).feed(login.said[:4])
    hello = login.said[0][1][5:]
    opened.session._handshake(opened.session._sides["client"], hello, None)
    assert "renegotiated" in opened.problems[0]


def test_key_logs_are_read_with_tolerance() -> None:
    secrets = Secrets()
    random, secret = b"aa" * 32, b"bb" * 48
    secrets.add_log(
        [
            b"# a comment\n",
            b"\n",
            b"CLIENT_RANDOM " + random + b" " + secret + b"\r\n",
            b"EXPORTER_SECRET " + random + b" " + secret,
            b"CLIENT_RANDOM " + random,
            b"CLIENT_RANDOM xx yy",
            b"CLIENT_RANDOM aa bb",
            b"client_random " + random + b" " + secret,
            b"\xff\xfe",
            b"CLIENT_RANDOM " + random + b" " + b"bb" * 4000,
        ]
    )
    assert secrets.count == 1
    assert secrets.lines_ignored == 6
    assert secrets.find(bytes.fromhex(random.decode()), "CLIENT_RANDOM") == bytes.fromhex(secret.decode())
    assert "aa" not in repr(secrets)


def test_key_logs_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("credssp.dissect.tls.keylog.MAX_CONNECTIONS", 2)
    secrets = Secrets()
    secrets.add_log(b"CLIENT_RANDOM %s bb" % (b"%02x" % number * 32) for number in range(5))
    assert secrets.count == 2
    assert secrets.overflow


@pytest.mark.parametrize("key", [b"", b"no PEM", certificate("p256").private_key.reveal()])
def test_rsa_keys_that_are_none(key: bytes) -> None:
    with pytest.raises(CaptureError):
        Secrets().load_rsa_key(Secret(key))


def test_premaster_secrets_in_a_key_log() -> None:
    said, _ = in_subprocess("TLSv1_2", ciphers="AES128-SHA:@SECLEVEL=0", pem=pem("rsa"))
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

    secrets = Secrets()
    secrets.load_rsa_key(certificate("rsa").private_key)
    opened = Opened(secrets).feed(said)
    assert secrets.rsa_key is not None
    premaster = secrets.rsa_key.decrypt(opened.session._key_exchange[2:], PKCS1v15())
    line = b"PMS_CLIENT_RANDOM %s %s" % (opened.session.info.client_random.hex().encode(), premaster.hex().encode())
    check(said, keylog(line))


def test_every_suite_of_openssl_that_is_listed_has_its_name_here() -> None:
    context = ssl.create_default_context()
    context.set_ciphers("AESGCM:AESCCM:CHACHA20:@SECLEVEL=0")
    for cipher in context.get_ciphers():
        number = cipher["id"] & 0xFFFF
        suite = find_suite(number)
        if suite is not None:
            assert suite.key_size * 8 == cipher["strength_bits"], cipher["name"]


def test_suites_are_not_made_up() -> None:
    assert suite_name(0x1234) == "0x1234"
    assert find_suite(0x000A) is None
    assert dataclasses.is_dataclass(find_suite(0xC02F))

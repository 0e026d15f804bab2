"""Who a client is by the PAC of its ticket: what is read, what is refused, and what it means for an identity."""

from __future__ import annotations

import contextlib
import random
import struct
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from credssp.conformance.kerberos.pacs import AUTHTIME, authorization, client_info, logon_info, pac, resigned, signed
from credssp.errors import AuthenticationError, CredSSPError, DecodeError, LimitExceededError, RemoteProtocolError
from credssp.identity import Identity
from credssp.kerberos import crypto
from credssp.kerberos.admission import admit
from credssp.kerberos.pac import LogonInfo, read_buffers, read_logon_info, vouched
from credssp.kerberos.tickets import ServiceKey
from credssp.kerberos.values import EncryptionKey
from credssp.secret import Secret
from credssp.wire.der import write_explicit, write_tlv
from tests.kerberos.forge import forged

DOMAIN = "S-1-5-21-1-2-3"
KEYS = {
    etype: EncryptionKey(etype, Secret(b"k" * size)) for etype, size in {17: 16, 18: 32, 19: 16, 20: 32, 23: 16}.items()
}
KEY = KEYS[18]
SERVICE = ServiceKey("TERMSRV/srv.lab.test", KEY, "LAB.TEST", 2)

# KERB_VALIDATION_INFO of a user bob, who is in a nested group, as Samba 4.17 wrote it; the domain is gone.
SAMBA = bytes.fromhex(
    "01100800cccccccca801000000000000000002001850564d9a7fdd01ffffffffffffff7fffffffffffffff7f20e42a83947f"
    "dd0120a494ad5d80dd012064847895a0dd0106000600040002000000000008000200000000000c0002000000000010000200"
    "00000000140002000000000018000200030000005004000001020000030000001c0002002000000000000000000000000000"
    "0000000000000600080020000200060008002400020028000200000000000000000010000000000000000000000000000000"
    "00000000000000000000000000000000010000002c0002000000000000000000000000000300000000000000030000006200"
    "6f00620000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
    "000000000000000000000000000000000300000001020000070000005e040000070000005c04000007000000040000000000"
    "00000300000044004300310000000400000000000000030000004c0041004200000004000000010400000000000515000000"
    "3a05db2dfeddc115c46aa17e01000000300002000700000001000000010100000000001201000000"
)


def read(data: bytes, **changes: Any) -> LogonInfo | None:
    return vouched(data, KEY, **{"client": "alice", "authtime": AUTHTIME, **changes})


# What is read


def test_what_samba_writes() -> None:
    domain = "S-1-5-21-769328442-365026814-2124507844"
    assert read_logon_info(SAMBA) == LogonInfo(
        "bob", "LAB", f"{domain}-1104", (f"{domain}-1116", f"{domain}-1118", f"{domain}-513")
    )


@pytest.mark.parametrize("etype", KEYS)
def test_a_pac_says_who_it_is(etype: int) -> None:
    logon = vouched(signed(KEYS[etype]), KEYS[etype], client="alice", authtime=AUTHTIME)
    assert logon == LogonInfo("alice", "LAB", f"{DOMAIN}-1104", (f"{DOMAIN}-1116", f"{DOMAIN}-513"))


def test_groups_of_all_three_lists_are_read() -> None:
    extra = [((32, 544), 5, 7), ((21, 4, 5, 6, 1000), 5, 7)]
    logon = read_logon_info(logon_info(groups=[(1200, 7)], extra=extra, resource=[(1300, 7)]))
    assert set(logon.groups) == {
        f"{DOMAIN}-513",  # the primary group
        f"{DOMAIN}-1200",
        "S-1-5-32-544",
        "S-1-5-21-4-5-6-1000",
        "S-1-5-21-7-8-9-1300",
    }
    assert list(logon.groups) == sorted(logon.groups)


def test_groups_that_only_deny_are_left_out() -> None:
    logon = read_logon_info(
        logon_info(groups=[(1200, 0x10)], extra=[((32, 544), 5, 0x10)], resource=[(1300, 0x17), (1301, 7)])
    )
    assert logon.groups == (f"{DOMAIN}-513", "S-1-5-21-7-8-9-1301")


def test_how_the_kdc_knows_a_user_is_not_a_group() -> None:
    assert read_logon_info(logon_info(groups=[], extra=[((1,), 18, 7)])).groups == (f"{DOMAIN}-513",)


def test_lists_without_their_flag_are_not_used() -> None:
    info = logon_info(groups=[], extra=[((32, 544), 5, 7)], resource=[(1300, 7)], flags=0)
    assert read_logon_info(info).groups == (f"{DOMAIN}-513",)


def test_a_sid_of_a_large_authority_is_written_as_the_section_says() -> None:
    assert "S-1-0x123456789ABC-1" in read_logon_info(logon_info(extra=[((1,), 0x123456789ABC, 7)])).groups


def test_a_thousand_groups_are_read() -> None:
    logon = read_logon_info(logon_info(groups=[(2000 + number, 7) for number in range(1000)]))
    assert len(logon.groups) == 1001


def test_a_pac_without_logon_info_says_nothing() -> None:
    assert read(pac([(10, client_info())])) is None
    assert read(pac([])) is None


# What is refused


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda data: data[:7], DecodeError),
        (lambda data: data[:4] + b"\1" + data[5:], DecodeError),
        (lambda data: struct.pack("<I", 33) + data[4:], LimitExceededError),
        (lambda data: struct.pack("<I", 0xFFFFFFFF) + data[4:], LimitExceededError),
        (lambda data: struct.pack("<I", 5) + data[4:], CredSSPError),
        (lambda data: data[:16] + struct.pack("<Q", 1 << 40) + data[24:], DecodeError),
        (lambda data: data[:16] + struct.pack("<Q", 8) + data[24:], DecodeError),
        (lambda data: data[:16] + struct.pack("<Q", 73) + data[24:], DecodeError),
        (lambda data: data[:12] + struct.pack("<I", 0xFFFFFFFF) + data[16:], DecodeError),
        (lambda data: data[:24] + struct.pack("<I", 1) + data[28:], DecodeError),
    ],
)
def test_a_directory_that_lies_is_refused(change: Callable[[bytes], bytes], error: type[Exception]) -> None:
    with pytest.raises(error):
        read(change(signed(KEY)))


@pytest.mark.parametrize(
    "info",
    [
        b"",
        logon_info()[:15],
        logon_info()[:-8],
        logon_info() + bytes(8),
        b"\2" + logon_info()[1:],
        logon_info(domain_sid=None),
        logon_info(domain_sid=()),
        logon_info(group_count=1),
        logon_info(group_count=3),
        logon_info(group_count=0xFFFFFFFF),
        logon_info(groups=[(1, 7)] * 4097),
        logon_info(username="\ud800"),
    ],
    ids=lambda info: f"{len(info)} bytes",
)
def test_logon_info_that_lies_is_refused(info: bytes) -> None:
    with pytest.raises(DecodeError):
        read(signed(KEY, info))


def test_every_truncation_is_refused() -> None:
    whole = signed(KEY, logon_info(extra=[((32, 544), 5, 7)], resource=[(1300, 7)]))
    for size in range(len(whole)):
        with pytest.raises(CredSSPError):
            read(whole[:size])
    info = logon_info(extra=[((32, 544), 5, 7)], resource=[(1300, 7)])
    for size in range(0, len(info) - 24, 8):
        short = info[:8] + struct.pack("<I", size) + info[12 : 16 + size]
        with pytest.raises(DecodeError):
            read_logon_info(short)


def test_every_changed_byte_breaks_the_signature() -> None:
    whole = signed(KEY)
    places = [*range(72, len(whole), 5), *range(*read_buffers(whole)[6])]
    outside = set(range(*read_buffers(whole)[7]))
    for at in places:
        if at in outside:
            continue
        changed = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
        with pytest.raises(CredSSPError):
            read(changed)


@pytest.mark.parametrize(
    "made",
    [
        signed(KEYS[17]),
        signed(EncryptionKey(18, Secret(b"x" * 32))),
        signed(KEYS[23]),
        resigned(pac([(1, logon_info()), (10, client_info()), (6, bytes(16))]), KEY),
        resigned(pac([(1, logon_info()), (10, client_info()), (7, bytes(16))]), KEY),
        pac([(1, logon_info()), (10, client_info()), (6, bytes(16)), (7, bytes(16))]),
        pac([(1, logon_info()), (10, client_info()), (6, struct.pack("<I", 16)), (7, struct.pack("<I", 16))]),
        resigned(pac([(1, logon_info()), (6, bytes(16)), (7, bytes(16))]), KEY),
        signed(KEY, client=b""),
        signed(KEY, client=client_info(name="bob")),
        signed(KEY, client=client_info()[:-1]),
        signed(KEY, client=client_info(authtime=AUTHTIME + timedelta(seconds=1))),
    ],
)
def test_a_pac_that_the_kdc_did_not_make_for_this_ticket_is_refused(made: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="PAC"):
        read(made)


def test_a_weaker_checksum_than_the_key_has_is_refused() -> None:
    """MD5 with the bytes of an AES key: what would be a signature for a key of RC4."""
    data = bytearray(signed(KEYS[18]))
    start, end = read_buffers(data)[6]
    longer = pac([(1, logon_info()), (10, client_info()), (6, bytes(20)), (7, bytes(20))])
    weak = bytearray(resigned(longer, EncryptionKey(23, KEY.value)))
    assert end - start == 16
    with pytest.raises(RemoteProtocolError, match="key is of type 18"):
        read(bytes(weak))


# Any bytes


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_a_pac_or_our_error(data: bytes) -> None:
    for reader in (read, read_logon_info):
        with contextlib.suppress(CredSSPError):
            reader(data)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32), st.booleans())
def test_mutated_logon_info_is_read_or_refused(seed: int, sign: bool) -> None:
    source = random.Random(seed)
    data = bytearray(logon_info(extra=[((32, 544), 5, 7)], resource=[(1300, 7)]))
    for _ in range(source.randrange(1, 8)):
        at = source.randrange(len(data))
        data[at] = source.choice((0, 1, 0x7F, 0xFF, data[at] ^ 1 << source.randrange(8)))
    with contextlib.suppress(CredSSPError):
        read(signed(KEY, bytes(data))) if sign else read_logon_info(bytes(data))


# What it means


def admitted(cname: str = "alice", *, logon: bytes | None = None, **options: Any) -> Identity:
    def data(authtime: datetime) -> bytes:
        return authorization(signed(KEY, logon, client=client_info(cname, authtime)))

    client = forged(SERVICE, cname=(cname,), crealm="LAB.TEST", authorization=data)
    return admit(client.token(), [SERVICE], **options).identity


def test_the_identity_is_that_of_the_pac() -> None:
    identity = admitted("ALICE")
    assert (identity.domain, identity.username, identity.sid) == ("LAB", "alice", f"{DOMAIN}-1104")
    assert (identity.sent_username, identity.sent_domain, identity.authority) == ("ALICE", "LAB.TEST", "domain")
    assert identity.groups == (f"{DOMAIN}-1116", f"{DOMAIN}-513")


def test_an_enterprise_name_is_what_was_sent() -> None:
    identity = admitted("carol.jones@corp.example", logon=logon_info("carol"))
    assert (identity.username, identity.sent_username) == ("carol", "carol.jones@corp.example")


def test_a_machine_account_never_becomes_a_user() -> None:
    with pytest.raises(AuthenticationError, match="machine account"):
        admitted("root", logon=logon_info("root$"))
    identity = admitted("root$", logon=logon_info("ROOT$"))
    assert identity.username == "ROOT$"


@pytest.mark.parametrize("name", ["", "alice@LAB", "LAB\\alice", "a/b", " alice", "al\nice"])
def test_a_pac_with_an_odd_name_is_refused(name: str) -> None:
    with pytest.raises(AuthenticationError, match="plain name"):
        admitted(logon=logon_info(name))


def test_a_ticket_without_a_pac_is_refused_or_marked() -> None:
    for data in (None, authorization(pac([(10, client_info())]))):
        client = forged(SERVICE, crealm="LAB.TEST", authorization=data)
        identity = admit(client.token(), [SERVICE]).identity
        assert (identity.username, identity.domain, identity.authority) == ("alice", "LAB.TEST", "realm")
        assert (identity.sid, identity.groups) == ("", ())
        with pytest.raises(AuthenticationError, match="require_pac"):
            admit(client.token(), [SERVICE], require_pac=True)


def test_a_pac_that_is_wrong_is_refused_although_none_is_needed() -> None:
    other = EncryptionKey(18, Secret(b"x" * 32))
    client = forged(SERVICE, authorization=lambda when: authorization(signed(other, authtime=when)))
    with pytest.raises(RemoteProtocolError, match="signature"):
        admit(client.token(), [SERVICE])


def test_two_pacs_are_refused() -> None:
    client = forged(SERVICE, authorization=lambda when: authorization(*[signed(KEY, authtime=when)] * 2))
    with pytest.raises(DecodeError, match="2 PACs"):
        admit(client.token(), [SERVICE])


def test_a_pac_of_the_client_itself_is_not_read() -> None:
    """The authenticator has authorization data as well, which anyone can write who knows the session key."""
    client = forged(SERVICE, crealm="LAB.TEST")
    forgery = authorization(signed(KEY, logon_info("Administrator")))

    def insert(plain: bytes) -> bytes:
        inner = plain[plain.index(b"\x30") :]
        body = inner[2:] if inner[1] < 0x80 else inner[2 + (inner[1] & 0x7F) :]
        return write_tlv(0x62, write_tlv(0x30, body + write_explicit(8, forgery)))

    token = client.token(change=insert)
    identity = admit(token, [SERVICE], require_pac=False).identity
    assert (identity.username, identity.authority) == ("alice", "realm")


@pytest.mark.parametrize("key", [EncryptionKey(23, Secret(b"r" * 16))])
def test_the_checksum_of_rc4_is_that_of_impacket(key: EncryptionKey) -> None:
    impacket = pytest.importorskip("impacket.krb5.crypto")
    theirs = impacket._HMACMD5.checksum(impacket.Key(23, key.value.reveal()), 17, b"data")
    assert crypto.checksum(23, key.value, 17, b"data") == theirs

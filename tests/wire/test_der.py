"""The DER reader and writer by themselves (X.690 8 and 10)."""

from __future__ import annotations

import asn1tools
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyasn1.codec.der import encoder
from pyasn1.type import univ

from credssp.errors import DecodeError, LimitExceededError, LocalProtocolError
from credssp.wire.der import (
    Reader,
    Tag,
    decode_oid,
    encode_oid,
    write_explicit,
    write_integer,
    write_member,
    write_octet_string,
    write_oid,
    write_sequence,
    write_tlv,
)

SECTION = "[TEST] 1"


def reader(data: str | bytes) -> Reader:
    return Reader(bytes.fromhex(data) if isinstance(data, str) else data, SECTION)


# Lengths


@pytest.mark.parametrize(
    ("size", "header"),
    [
        (0, "0400"),
        (1, "0401"),
        (127, "047f"),
        (128, "048180"),
        (255, "0481ff"),
        (256, "04820100"),
        (65535, "0482ffff"),
        (65536, "0483010000"),
    ],
)
def test_length_is_written_in_the_shortest_form_and_read_back(size: int, header: str) -> None:
    data = write_octet_string(bytes(size))
    assert data[: len(header) // 2].hex() == header
    assert reader(data).octet_string((0, len(data)), "f") == bytes(size)


def test_contents_of_16_mib_are_not_written() -> None:
    with pytest.raises(LocalProtocolError, match="16 MiB"):
        write_tlv(0x04, bytes(1 << 24))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("04", "no room for a tag and a length"),
        ("0401", "1 bytes announced, 0 there"),
        ("0481", "inside the length"),
        ("048201", "inside the length"),
        ("0480", "indefinite length"),
        ("0480410000", "indefinite length"),
        ("048400000001aa", "length of 4 bytes"),
        ("04ff01", "length of 127 bytes"),
        ("048101aa", "not the shortest form"),
        ("048200ff" + "00" * 255, "not the shortest form"),
        ("0483000100" + "00" * 256, "not the shortest form"),
        ("1f0100", "tag numbers above 30"),
    ],
)
def test_bad_tag_or_length_is_refused(data: str, message: str) -> None:
    source = reader(data)
    with pytest.raises(DecodeError, match=message) as caught:
        source.tlv(0, len(source.data), "thing")
    assert caught.value.field == "thing"
    assert caught.value.section == SECTION
    assert caught.value.offset == 0


def test_tlv_does_not_reach_beyond_its_parent() -> None:
    with pytest.raises(DecodeError, match="2 bytes announced, 1 there"):
        reader("0402aabb").tlv(0, 3, "f")


def test_offsets_in_errors_count_from_the_message_around() -> None:
    inner = Reader(b"\x02\x00", SECTION, origin=100)
    with pytest.raises(DecodeError) as caught:
        inner.integer(inner.whole, "f")
    assert caught.value.offset == 102


# INTEGER


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (0, "020100"),
        (1, "020101"),
        (127, "02017f"),
        (128, "02020080"),
        (255, "020200ff"),
        (256, "02020100"),
        (-1, "0201ff"),
        (-128, "020180"),
        (-129, "0202ff7f"),
        (-0x3FFFFF93, "0204c000006d"),
        (0xC000006D, "020500c000006d"),
    ],
)
def test_integer_both_ways(value: int, data: str) -> None:
    assert write_integer(value).hex() == data
    assert reader(data).integer((0, len(data) // 2), "f") == value


INTEGER = asn1tools.compile_string("A DEFINITIONS ::= BEGIN I ::= INTEGER END", "der")


@given(st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(0, 63).map(lambda bits: -(1 << bits)))
def test_integer_is_written_like_asn1tools_writes_it(value: int) -> None:
    data = write_integer(value)
    assert data == INTEGER.encode("I", value)
    assert reader(data).integer((0, len(data)), "f") == value


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("0200", "without bytes"),
        ("02020006", "not the shortest"),
        ("0202ff80", "not the shortest"),
        ("0209" + "7f" * 9, "9 bytes, at most 8"),
        ("040106", "tag 0x04 where 0x02 belongs"),
        ("02010600", "1 bytes left over"),
    ],
)
def test_bad_integer_is_refused(data: str, message: str) -> None:
    source = reader(data)
    with pytest.raises(DecodeError, match=message):
        source.integer(source.whole, "f")


def test_enumerated_has_its_own_tag() -> None:
    data = write_integer(3, Tag.ENUMERATED)
    assert data.hex() == "0a0103"
    assert reader(data).only((0, 3), Tag.ENUMERATED, "f") == (2, 3)
    with pytest.raises(DecodeError, match="tag 0x0A where 0x02 belongs"):
        reader(data).integer((0, 3), "f")


def test_absent_value_is_missing() -> None:
    with pytest.raises(DecodeError, match="is missing"):
        reader("").octet_string(None, "f")


def test_constructed_octet_string_is_refused() -> None:
    with pytest.raises(DecodeError, match="tag 0x24 where 0x04 belongs"):
        reader("2403040161").octet_string((0, 5), "f")


# OBJECT IDENTIFIER

OIDS = [
    ("1.3.6.1.5.5.2", "06062b0601050502"),
    ("1.3.6.1.4.1.311.2.2.10", "060a2b06010401823702020a"),
    ("1.2.840.113554.1.2.2", "06092a864886f712010202"),
    ("2.999.3", "0603883703"),
    ("0.0", "060100"),
    ("2.40", "060178"),
]


@pytest.mark.parametrize(("dotted", "data"), OIDS)
def test_oid_both_ways(dotted: str, data: str) -> None:
    assert write_oid(dotted).hex() == data
    assert reader(data).oid((0, len(data) // 2), "f") == dotted


@given(
    st.tuples(st.integers(0, 1), st.integers(0, 39)) | st.tuples(st.just(2), st.integers(0, 1 << 20)),
    st.lists(st.integers(0, 1 << 32), max_size=6),
)
def test_oid_is_written_like_pyasn1_writes_it(start: tuple[int, int], rest: list[int]) -> None:
    dotted = ".".join(map(str, (*start, *rest)))
    assert write_oid(dotted) == encoder.encode(univ.ObjectIdentifier(dotted))
    assert decode_oid(encode_oid(dotted)) == dotted


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ("", "ends too early"),
        ("2b86", "ends too early"),
        ("2b8001", "padded arc"),
        ("2b" + "ff" * 64 + "01", "66 bytes, at most 64"),
    ],
)
def test_bad_oid_is_refused_without_a_chained_exception(contents: str, message: str) -> None:
    source = reader(write_tlv(Tag.OBJECT_IDENTIFIER, bytes.fromhex(contents)))
    with pytest.raises(DecodeError, match=message) as caught:
        source.oid(source.whole, "mech")
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@pytest.mark.parametrize("dotted", ["", "1", "3.1", "1.40", "1.2.-3", "a.b", "-1.2", "1.2..3"])
def test_what_is_no_oid_is_not_written(dotted: str) -> None:
    with pytest.raises(LocalProtocolError):
        write_oid(dotted)


# SEQUENCE and SEQUENCE OF

NAMES = ("first", "second", "third")


def members(*numbers: int) -> bytes:
    return write_sequence(*(write_explicit(number, write_integer(number)) for number in numbers))


@pytest.mark.parametrize("present", [(), (0,), (1,), (0, 2), (0, 1, 2)])
def test_sequence_gives_a_span_for_each_member_that_is_there(present: tuple[int, ...]) -> None:
    source = reader(members(*present))
    found = source.sequence(source.whole, NAMES, "S")
    assert [number for number, span in enumerate(found) if span is not None] == list(present)
    for number in present:
        assert source.integer(found[number], "S") == number


@pytest.mark.parametrize(
    ("data", "message", "field"),
    [
        (members(0, 0), "occurs twice", "S.first"),
        (members(1, 0), "after a member with a higher tag", "S.first"),
        (members(0, 3), r"unknown member \[3\]", "S"),
        (write_sequence(write_integer(1)), r"tag 0x02 where a member \[n\] belongs", "S"),
        (write_sequence(write_tlv(0x80, b"\x01")), r"tag 0x80 where a member \[n\] belongs", "S"),
        (write_sequence(write_tlv(0xE0, b"")), r"tag 0xE0 where a member \[n\] belongs", "S"),
        (members(0) + b"\x00\x00", "2 bytes left over", "S"),
        (b"\x31\x00", "tag 0x31 where 0x30 belongs", "S"),
        (b"", "no room", "S"),
    ],
)
def test_bad_sequence_is_refused(data: bytes, message: str, field: str) -> None:
    source = reader(data)
    with pytest.raises(DecodeError, match=message) as caught:
        source.sequence(source.whole, NAMES, "S")
    assert caught.value.field == field


def test_sequence_of_gives_the_contents_of_each_element() -> None:
    source = reader(write_sequence(write_octet_string(b"a"), write_octet_string(b""), write_octet_string(b"bc")))
    spans = source.sequence_of(source.whole, Tag.OCTET_STRING, "L", limit=3)
    assert [source.data[start:stop] for start, stop in spans] == [b"a", b"", b"bc"]


def test_sequence_of_names_the_element_that_is_wrong() -> None:
    source = reader(write_sequence(write_octet_string(b"a"), write_integer(1)))
    with pytest.raises(DecodeError, match="tag 0x02 where 0x04 belongs") as caught:
        source.sequence_of(source.whole, Tag.OCTET_STRING, "L", limit=3)
    assert caught.value.field == "L[1]"
    assert caught.value.offset == 5


def test_sequence_of_stops_at_the_limit_before_it_looks_further() -> None:
    source = reader(write_sequence(write_integer(1), write_integer(2), b"\xff\xff\xff"))
    with pytest.raises(LimitExceededError, match="more than 2"):
        source.sequence_of(source.whole, Tag.INTEGER, "L", limit=2)


# Members with both their tags in one go

KINDS = (("s.a", Tag.INTEGER), ("s.b", Tag.OCTET_STRING), ("s.c", Tag.OCTET_STRING))


@given(number=st.integers(0, 30), contents=st.binary(max_size=600))
def test_write_member_writes_what_the_two_writers_write(number: int, contents: bytes) -> None:
    assert write_member(number, Tag.OCTET_STRING, contents) == write_explicit(number, write_octet_string(contents))


@given(sizes=st.tuples(*[st.none() | st.sampled_from([0, 1, 125, 126, 127, 128, 253, 254, 300])] * 3), seed=st.binary())
def test_members_are_those_that_fields_and_only_find(sizes: tuple[int | None, ...], seed: bytes) -> None:
    data = b"".join(
        write_member(number, KINDS[number][1], (seed + bytes(size))[:size])
        for number, size in enumerate(sizes)
        if size is not None
    )
    found = reader(data).members((0, len(data)), KINDS, "s")
    one_by_one = reader(data).fields((0, len(data)), ("a", "b", "c"), "s")
    assert found == [
        None if span is None else reader(data).only(span, kind, path)
        for span, (path, kind) in zip(one_by_one, KINDS, strict=True)
    ]


@given(
    data=st.binary(max_size=40) | st.lists(st.sampled_from([0xA0, 0xA1, 2, 4, 3, 1, 0, 0x81]), max_size=16).map(bytes)
)
def test_members_accepts_what_fields_and_only_accept_and_nothing_else(data: bytes) -> None:
    def separately() -> list[tuple[int, int] | None] | None:
        try:
            spans = reader(data).fields((0, len(data)), ("a", "b", "c"), "s")
            return [
                None if span is None else reader(data).only(span, kind, path)
                for span, (path, kind) in zip(spans, KINDS, strict=True)
            ]
        except DecodeError:
            return None

    def together() -> list[tuple[int, int] | None] | None:
        try:
            return reader(data).members((0, len(data)), KINDS, "s")
        except DecodeError:
            return None

    assert together() == separately()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("a003020106a10304010000", "cut short"),
        ("a003040106", "tag 0x04 where 0x02 belongs"),
        ("a00402010600", "1 bytes left over"),
        ("a10304010aa003020106", "after a member with a higher tag"),
        ("a003020106a003020106", "occurs twice"),
        ("a303020106", "unknown member"),
        ("0203020106", "where a member"),
        ("a0050204000106", "cut short"),
    ],
)
def test_members_says_what_is_wrong(data: str, message: str) -> None:
    octets = bytes.fromhex(data)
    with pytest.raises(DecodeError, match=message):
        reader(octets).members((0, len(octets)), KINDS, "s")


def test_member_that_is_required_is_missed_by_name() -> None:
    with pytest.raises(DecodeError, match=r"s\.a at byte 0: is missing"):
        reader(b"").required(None, "s.a")

"""What strangers can send to a runspace pool: fragments, messages and objects. Only our own errors come of it."""

from __future__ import annotations

import contextlib
import itertools
import struct
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credssp.errors import RemoteProtocolError
from credssp.testing.psrp.fragments import HEADER_SIZE, Cutter, Reassembly
from credssp.testing.psrp.messages import MessageType, read_message, write_message
from credssp.testing.psrp.objects import MAX_DEPTH, MAX_ELEMENTS, Values, parse_object, serialize


def fragment(number: int, index: int, flags: int, piece: bytes, length: int | None = None) -> bytes:
    return struct.pack(">QQBI", number, index, flags, len(piece) if length is None else length) + piece


@given(
    messages=st.lists(st.binary(max_size=300), max_size=5),
    sizes=st.lists(st.integers(min_value=HEADER_SIZE + 1, max_value=200), min_size=1),
)
def test_what_is_cut_comes_together_again(messages: list[bytes], sizes: list[int]) -> None:
    reassembly, came, size = Reassembly(), [], itertools.cycle(sizes)
    for number, message in enumerate(messages):
        cutter = Cutter(number, message)
        assert not cutter.begun
        whole: list[bytes] = []
        while not whole:
            piece = cutter.cut(limit := next(size))
            assert len(piece) <= limit
            whole = reassembly.feed(piece)
        assert cutter.begun
        assert cutter.left == 0
        came += whole
    assert came == messages
    assert reassembly.size == 0


def test_several_fragments_come_at_once() -> None:
    data = fragment(1, 0, 3, b"one") + fragment(2, 0, 1, b"t") + fragment(2, 1, 0, b"w") + fragment(2, 2, 2, b"o")
    assert Reassembly().feed(data) == [b"one", b"two"]
    assert Reassembly().feed(b"") == []


@pytest.mark.parametrize(
    "data",
    [
        b"x",
        fragment(1, 0, 3, b"")[:-1],
        fragment(1, 0, 3, b"abc", 4),
        fragment(1, 0, 3, b"", 0xFFFFFFFF),
        fragment(1, 0, 0, b"no start"),
        fragment(1, 0, 2, b"no start"),
        fragment(1, 1, 1, b"starts in the middle"),
        fragment(1, 0, 1, b"a") + fragment(2, 0, 1, b"b"),
        fragment(1, 0, 1, b"a") + fragment(1, 0, 1, b"a"),
        fragment(1, 0, 1, b"a") + fragment(1, 2, 2, b"c"),
        fragment(1, 0, 1, b"a") + fragment(2, 1, 2, b"b"),
        fragment(1, 0, 1, b"a") + fragment(1, 0, 2, b"b"),
        fragment(1, 0, 1, b"x" * 60) + fragment(1, 1, 2, b"x" * 60),
    ],
)
def test_fragments_that_are_none_are_refused(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        Reassembly(max_object=100).feed(data)


def test_a_length_is_refused_before_the_bytes_are_kept() -> None:
    reassembly = Reassembly(max_object=10)
    reassembly.feed(fragment(1, 0, 1, b"0123456789"))
    with pytest.raises(RemoteProtocolError, match="more than 10 bytes"):
        reassembly.feed(fragment(1, 1, 2, b"x"))
    assert reassembly.size == 10


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(39),
        bytes(40),
        struct.pack("<II", 1, MessageType.CREATE_PIPELINE) + bytes(32),
        struct.pack("<II", 2, 0x00041FFF) + bytes(32),
    ],
)
def test_messages_that_are_none_are_refused(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        read_message(data)


def test_message_with_and_without_a_byte_order_mark() -> None:
    pool, pipeline = uuid.uuid4(), uuid.uuid4()
    header = struct.pack("<II", 2, MessageType.PIPELINE_INPUT) + pool.bytes_le + pipeline.bytes_le
    for data in (b"<S>x</S>", b"\xef\xbb\xbf<S>x</S>"):
        message = read_message(header + data)
        assert (message.kind, message.pool, message.pipeline) == (MessageType.PIPELINE_INPUT, pool, pipeline)
        assert message.values().root.text == "x"
        assert "<S>" not in repr(message)
    written = write_message(MessageType.PIPELINE_OUTPUT, pool, None, "x")
    assert written == (
        struct.pack("<II", 1, MessageType.PIPELINE_OUTPUT) + pool.bytes_le + bytes(16) + b"\xef\xbb\xbf<S>x</S>"
    )


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"text",
        b"<S>",
        b"<S></S><S></S>",
        b'<!DOCTYPE S [<!ENTITY a "b">]><S>&a;</S>',
        b'<!DOCTYPE S SYSTEM "file:///etc/hostname"><S/>',
        b"<S>&a;</S>",
        b"<a>" * (MAX_DEPTH + 1) + b"</a>" * (MAX_DEPTH + 1),
        b"<a>" * 100_000,
        b"<LST>" + b"<S/>" * MAX_ELEMENTS + b"</LST>",
    ],
)
def test_objects_that_are_none_are_refused(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_object(data)


def values(xml: str) -> Values:
    return Values(parse_object(xml.encode()))


def of(xml: str) -> str:
    made = values(xml)
    return made.text(made.root)


@pytest.mark.parametrize(
    ("xml", "expected"),
    [
        ("<S>a_x000A_b_x005F_x_xD83C__xDF89_</S>", "a\nb_x🎉"),
        ("<S>_xD800_</S>", "\ufffd"),
        ("<S/>", ""),
        ("<Nil/>", ""),
        ("<B>true</B>", "True"),
        ("<B>other</B>", "False"),
        ("<C>97</C>", "a"),
        ("<C>55296</C>", "\ufffd"),
        ("<C>x</C>", "\ufffd"),
        ("<BA>AQL/</BA>", "1 2 255"),
        ("<I32>-5</I32>", "-5"),
        ("<SS>c2VjcmV0</SS>", "System.Security.SecureString"),
        ('<Obj RefId="0"><ToString>shown</ToString><LST><S>a</S></LST></Obj>', "shown"),
        ('<Obj RefId="0"><LST><S>a</S><I32>2</I32></LST></Obj>', "a 2"),
        ('<Obj RefId="0"><LST/></Obj>', ""),
        ('<Obj RefId="0"><DCT><En><S N="Key">a</S><S N="Value">b</S></En></DCT></Obj>', "System.Collections.Hashtable"),
        ('<Obj RefId="0"><TN RefId="0"><T>System.Int32</T></TN><I32>7</I32></Obj>', "7"),
        ('<Obj RefId="0"><MS><S N="a">b</S></MS></Obj>', ""),
        ('<Obj RefId="0"><LST><Obj RefId="1"><LST><S>x</S></LST></Obj><Ref RefId="1"/></LST></Obj>', "x x"),
        ('<Obj RefId="0"><LST><Ref RefId="9"/><S>x</S></LST></Obj>', " x"),
    ],
)  # fmt: skip
def test_objects_as_text(xml: str, expected: str) -> None:
    assert of(xml) == expected


@pytest.mark.parametrize(
    ("xml", "expected"),
    [
        ("<S>word</S>", "word"),
        ("<S>C:\\x.txt</S>", "C:\\x.txt"),
        ("<S>two words</S>", "'two words'"),
        ("<S>it's</S>", "'it''s'"),
        ("<S>-flag</S>", "'-flag'"),
        ("<S/>", "''"),
        ("<B>true</B>", "$true"),
        ("<Nil/>", "$null"),
        ("<I32>-5</I32>", "-5"),
    ],
)
def test_objects_as_arguments(xml: str, expected: str) -> None:
    made = values(xml)
    assert made.literal(made.root) == expected


@pytest.mark.parametrize("leaf", ["<S>" + "x" * 1000 + "</S>", "<Nil/>", "<S/>" * 40])
def test_references_that_multiply_are_refused(leaf: str) -> None:
    first = f'<Obj RefId="0"><LST>{leaf}</LST></Obj>'
    levels = [
        f'<Obj RefId="{n}"><LST>{f"<Ref RefId={chr(39)}{n - 1}{chr(39)}/>" * 10}</LST></Obj>' for n in range(1, 40)
    ]
    made = values(f'<Obj RefId="99"><MS>{first}{"".join(levels)}<Ref N="it" RefId="39"/></MS></Obj>')
    with pytest.raises(RemoteProtocolError):
        made.text(made.property("it"))


def test_objects_that_hold_themselves_are_refused() -> None:
    with pytest.raises(RemoteProtocolError):
        of('<Obj RefId="0"><LST><Ref RefId="0"/></LST></Obj>')
    with pytest.raises(RemoteProtocolError):
        of('<Obj RefId="0"><LST><Ref RefId="0"/><Ref RefId="0"/></LST></Obj>')


@pytest.mark.parametrize("value", ["", "x", "1.5", "9" * 19, "9" * 5000, "1_0", "²"])
def test_numbers_that_are_none_are_refused(value: str) -> None:
    made = values(f'<Obj RefId="0"><MS><I32 N="a">{value}</I32><S N="b">1</S></MS></Obj>')
    for name in ("a", "b", "c"):
        with pytest.raises(RemoteProtocolError):
            made.number(name)


@pytest.mark.parametrize("text", ["", "a\nb\0\x1f", "_x000A_ _X", "🎉", "\ud800", "a\udfff\ufffe\uffff"])
def test_texts_are_read_as_they_were_written(text: str) -> None:
    expected = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    for each in "\ufffe\uffff":
        expected = expected.replace(each, "\ufffd")
    assert of(serialize(text).decode()) == expected


XML = st.recursive(
    st.sampled_from(
        ["<Nil/>", "<S>a_x0000_</S>", "<I32>9</I32>", "<BA>!</BA>", '<Ref RefId="1"/>', "<C>1</C>", "<SS/>"]
    ),
    lambda inner: st.builds(
        lambda number, tag, parts: f'<Obj RefId="{number}"><{tag}>{"".join(parts)}</{tag}></Obj>',
        st.integers(0, 3),
        st.sampled_from(["LST", "DCT", "MS", "Props", "ToString", "QUE", "TN"]),
        st.lists(inner, max_size=3),
    ),
    max_leaves=20,
)


@given(XML)
def test_no_object_makes_anything_else_leave(xml: str) -> None:
    with contextlib.suppress(RemoteProtocolError):
        made = values(xml)
        assert isinstance(made.text(made.root), str)
        assert isinstance(made.literal(made.root), str)


@given(st.binary(max_size=200))
def test_no_bytes_make_anything_else_leave(data: bytes) -> None:
    calls: list[Any] = [Reassembly().feed, read_message, parse_object]
    for call in calls:
        with contextlib.suppress(RemoteProtocolError):
            call(data)

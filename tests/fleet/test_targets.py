"""Targets as people write them."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from credssp.errors import LocalProtocolError
from credssp.fleet.targets import TargetFile, parse_ports, parse_range, spell_out


@pytest.mark.parametrize(
    ("text", "targets"),
    [
        ("srv.example.com", ["rdp://srv.example.com:3389"]),
        ("srv-1.example.com:3390", ["rdp://srv-1.example.com:3390"]),
        ("10.0.0.1-5.example.com", ["rdp://10.0.0.1-5.example.com:3389"]),  # a name, however it begins
        ("https://srv/path", ["https://srv:5986/path"]),
        ("192.0.2.9/31", ["rdp://192.0.2.8:3389", "rdp://192.0.2.9:3389"]),
        ("192.0.2.8/32", ["rdp://192.0.2.8:3389"]),
        ("192.0.2.9-10", ["rdp://192.0.2.9:3389", "rdp://192.0.2.10:3389"]),
        ("192.0.2.255-192.0.3.0", ["rdp://192.0.2.255:3389", "rdp://192.0.3.0:3389"]),
        ("http://192.0.2.0/31", ["http://192.0.2.0:5985", "http://192.0.2.1:5985"]),
        ("https://192.0.2.0/31:443/x", ["https://192.0.2.0:443/x", "https://192.0.2.1:443/x"]),
        ("http://192.0.2.7-8/wsman", ["http://192.0.2.7:5985/wsman", "http://192.0.2.8:5985/wsman"]),
        ("2001:db8::/127", ["rdp://[2001:db8::]:3389", "rdp://[2001:db8::1]:3389"]),
        ("rdp://[2001:db8::]/127:1", ["rdp://[2001:db8::]:1", "rdp://[2001:db8::1]:1"]),
        ("[2001:db8::f-2001:db8::10]:2", ["rdp://[2001:db8::f]:2", "rdp://[2001:db8::10]:2"]),
        ("[::1]:99", ["rdp://[::1]:99"]),
        ("srv:7,5-6", ["rdp://srv:5", "rdp://srv:6", "rdp://srv:7"]),
        ("192.0.2.0/31:1-2", [f"rdp://192.0.2.{host}:{port}" for host in (0, 1) for port in (1, 2)]),
    ],
)
def test_forms_of_targets(text: str, targets: list[str]) -> None:
    found = parse_range(text)
    assert [str(each) for each in found] == targets
    assert len(found) == found.count == len(targets)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("10.0.0.0/33", "not a range"),
        ("10.0.0.1-300", "not a range"),
        ("10.0.0.1-2.3", "not a range"),
        ("host/wsman", "not a range"),
        ("10.0.0.9-5", "ends before it begins"),
        ("[::9-::1]", "ends before it begins"),
        ("::/0", "16 million"),
        ("0.0.0.0/8:1-2", "16 million"),
        ("10.0.0.0/30:0", "TCP port"),
        ("10.0.0.0/30:7-5", "TCP port"),
        ("10.0.0.0/30:5-", "list of ports"),
        ("ftp://10.0.0.0/30", "scheme 'ftp'"),
        ("a b", "not a target"),
        ("", "not a target"),
    ],
)
def test_what_is_not_a_target_says_why(text: str, said: str) -> None:
    with pytest.raises(LocalProtocolError, match=said):
        parse_range(text)


@pytest.mark.parametrize("text", ["", "x", "1,,2", "-5", "65536", "1_0", "\u0661", "1-2-3", "123456"])
def test_ports_that_are_none(text: str) -> None:
    with pytest.raises(LocalProtocolError, match="port"):
        parse_ports(text)


def test_ports_are_for_targets_without_one() -> None:
    ports = parse_ports("2,1,2")
    assert ports == (1, 2)
    assert [each.port for each in parse_range("srv", ports=ports)] == [1, 2]
    assert [each.port for each in parse_range("https://192.0.2.1-1", ports=ports)] == [1, 2]
    for own in ("srv:3", "http://srv:3/x", "[::1]:3", "192.0.2.1-1:3"):
        assert [each.port for each in parse_range(own, ports=ports)] == [3]
    assert [each.port for each in parse_range("::1", ports=ports)] == [1, 2]


def test_bad_lines_are_reported_by_number_and_the_rest_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "list"
    lines = ["\ufeff192.0.2.1  # the first", "", "# nothing", "not a target", "192.0.2.0/31", "x" * 5000, "last:1"]
    path.write_bytes("\n".join(lines).encode() + b"\n\xff\xfe\n192.0.2.9:0\r\n192.0.2.7\r\n")
    bad: list[tuple[int, str]] = []
    file = TargetFile(path)
    found = list(file.check(lambda number, fault: bad.append((number, fault))))
    assert [str(each.first) for each in found] == [
        "rdp://192.0.2.1:3389",
        "rdp://192.0.2.0:3389",
        "rdp://last:1",
        "rdp://192.0.2.7:3389",
    ]
    assert [number for number, _ in bad] == [4, 6, 8, 9]
    assert [fault.split()[-1] for _, fault in bad][1:3] == ["characters", "text"]
    assert list(spell_out(file)) == list(spell_out(found))
    assert len(list(spell_out(file))) == 5


def test_ranges_take_no_memory_before_it_is_their_turn() -> None:
    found = parse_range("10.0.0.0/8")
    assert len(found) == 1 << 24
    tracemalloc.start()
    try:
        for number, _ in enumerate(spell_out([found])):
            if number == 20_000:
                break
        assert tracemalloc.get_traced_memory()[1] < 200_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "text",
    [
        "rdp://bob:s3cret@srv",
        "bob:s3cret@srv:3389",
        "http://bob:s3cret@192.0.2.0/24",
        "bob:s3/cret@srv",
        "s3cret@192.0.2.1-9",
    ],
)
def test_a_password_in_a_target_is_not_repeated(text: str) -> None:
    with pytest.raises(LocalProtocolError, match="leave out '@' and what is in front of it") as caught:
        parse_range(text)
    assert "cret" not in str(caught.value)


@pytest.mark.parametrize("text", ["a\x1bcb", "srv\x00", "x\x9bm", "rdp://srv:1/\u202e", "http://srv/\x07"])
def test_a_target_has_no_control_characters(text: str) -> None:
    with pytest.raises(LocalProtocolError, match="control character"):
        parse_range(text)

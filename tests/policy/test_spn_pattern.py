"""The SPN pattern matcher ([win32 "CredSSP Group Policy Settings"], policy.md section 3)."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from credssp.errors import LocalProtocolError
from credssp.policy import SPNPattern
from credssp.policy.spn import fold


@pytest.mark.parametrize(
    ("pattern", "target"),
    [
        ("TERMSRV/host.humanresources.example", "TERMSRV/host.humanresources.example"),
        ("TERMSRV/host.humanresources.example", "termsrv/HOST.HumanResources.Example"),
        ("TERMSRV/*", "TERMSRV/anything.at.all"),
        ("TERMSRV/*", "TERMSRV/2001:db8::1"),
        ("TERMSRV/*.humanresources.example", "TERMSRV/host.humanresources.example"),
        ("TERMSRV/*.humanresources.example", "TERMSRV/a.b.humanresources.example"),
        ("TERMSRV/*.humanresources.example", "TERMSRV/.humanresources.example"),
        ("TERMSRV/192.168.*", "TERMSRV/192.168.0.7"),
        ("Microsoft Virtual Console Service/*", "Microsoft Virtual Console Service/hv1"),
        ("*", "WSMAN/host"),
        ("*", "no service class"),
        ("*/host", "HTTP/host"),
        ("WSMAN/a*z", "WSMAN/az"),
        ("*.example", "WSMAN/host.example"),
        ("TERM*", "TERMSRV/host"),
        ("TERM*.example", "TERMSRV/host.example"),
        ("host", "host/host"),
        ("TERMSRV/host", "TERMSRV/host:3389"),
        ("TERMSRV/host", "TERMSRV/host."),
        ("TERMSRV/host.", "TERMSRV/HOST"),
        ("TERMSRV/host", "TERMSRV/host.."),
        ("TERMSRV/*.example.", "TERMSRV/host.example"),
        ("TERMSRV/host", "TERMSRV/host/x"),
        ("TERMSRV/host:3389", "TERMSRV/host.:3389"),
        ("TERMSRV/host:*", "TERMSRV/host:3389"),
        ("LDAP/dc/LAB", "ldap/dc/lab"),
        ("TERMSRV/::1", "TERMSRV/[0:0:0:0:0:0:0:1]:3389"),
        ("  WSMAN/host\t", "WSMAN/host"),
        ("WSMAN/host", " WSMAN/host "),
        ("WSMAN/größe", "wsman/GRÖßE"),
    ],
)
def test_pattern_matches(pattern: str, target: str) -> None:
    assert SPNPattern(pattern).matches(target)


@pytest.mark.parametrize(
    ("pattern", "target"),
    [
        ("TERMSRV/*.dom", "TERMSRV/dom"),
        ("TERMSRV/*", "WSMAN/host"),
        ("TERMSRV/*", "TERMSRV"),
        ("TERMSRV/host", "TERMSRV/host.example"),
        ("TERMSRV/host.example", "TERMSRV/host"),
        ("TERMSRV/host:3389", "TERMSRV/host"),
        ("TERMSRV/host:3389", "TERMSRV/host:3390"),
        ("TERMSRV/*.good.example", "TERMSRV/evil.example/x.good.example"),
        ("TERMSRV/*.good.example", "TERMSRV/evil.example:x.good.example"),
        ("TERMSRV/*.good.example", "TERMSRV/evil::x.good.example"),
        ("*.good.example", "TERMSRV/evil.example/x.good.example"),
        ("TERM*.good.example", "TERMSRV/evil.example/x.good.example"),
        ("WSMAN/a*z", "WSMAN/a/b.z"),
        ("LDAP/dc/LAB", "LDAP/dc"),
        ("*", "TERMSRV/"),
        ("TERMSRV/*", "TERMSRV/."),
        ("*", "TERMSRV/host@EXAMPLE.TEST"),
        ("TERMSRV/*.good.example", "TERMSRV/evil\u3002good.example"),
        ("TERMSRV/ab*ba", "TERMSRV/aba"),
        ("WSMAN/a?c", "WSMAN/abc"),
        ("WSMAN/[ab]", "WSMAN/a"),
        ("WSMAN/*.example", "WSMAN/host.example.attacker"),
        ("WSMAN/host", "XWSMAN/host"),
        ("WSMAN/ss", "WSMAN/ß"),
        ("WSMAN/kerb", "WSMAN/\u212aerb"),
        ("WSMAN/host", "W\u017fMAN/host"),
        ("WSMAN/i", "WSMAN/\u0131"),
        ("*", None),
        ("*", ""),
        ("*", "  "),
        ("*", "WSMAN/a\0b"),
        ("*", "WSMAN/a\nb"),
        ("*", "WSMAN/\ud800"),
    ],
)
def test_pattern_does_not_match(pattern: str, target: str | None) -> None:
    assert not SPNPattern(pattern).matches(target)


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("", "must not be empty"),
        (" \t", "must not be empty"),
        ("**", "2 wildcards"),
        ("*/*", "2 wildcards"),
        ("TERMSRV/*.a.*.*", "3 wildcards"),
        ("TERMSRV/a\0", "control characters"),
        ("TERMSRV/a\x7f", "control characters"),
        ("TERMSRV/\udc00", "lone surrogates"),
    ],
)
def test_pattern_that_is_none_is_a_configuration_error(pattern: str, words: str) -> None:
    with pytest.raises(LocalProtocolError, match=re.escape(words)):
        SPNPattern(pattern)


def test_pattern_is_kept_as_written_without_blanks_around_it() -> None:
    pattern = SPNPattern(" WSMAN/*.Example ")
    assert pattern.text == str(pattern) == "WSMAN/*.Example"
    assert pattern == SPNPattern("WSMAN/*.Example")
    assert hash(pattern) == hash(SPNPattern("WSMAN/*.Example"))


NAMES = st.text(st.sampled_from("abAB.-1?é"), min_size=1, max_size=10)


@given(prefix=NAMES, suffix=NAMES, target=NAMES, wildcard=st.booleans())
@example(prefix="ab", suffix="ba", target="aba", wildcard=True)
@example(prefix="1", suffix="..", target="1", wildcard=False)
@example(prefix="1", suffix="..", target="1..", wildcard=True)
def test_pattern_of_a_host_agrees_with_a_regular_expression_and_with_fnmatch(
    prefix: str, suffix: str, target: str, wildcard: bool
) -> None:
    text = (prefix + ("*" if wildcard else "") + suffix).rstrip(".")
    target = target.rstrip(".")
    if not text or not target:
        return
    got = SPNPattern("WSMAN/" + text).matches("wsman/" + target)
    expression = "(?s:.*)".join(re.escape(part) for part in text.upper().split("*"))
    assert got == bool(re.fullmatch(expression, target.upper()))
    literal = re.sub(r"([\[?])", r"[\1]", text.lower())
    assert got == fnmatchcase(target.lower(), literal)


@given(middle=st.text(st.sampled_from("aZ9-_.é")))
def test_star_means_any_labels_between_prefix_and_suffix(middle: str) -> None:
    assert SPNPattern("WSMAN/*.example").matches(f"wsman/{middle}.EXAMPLE")


@given(st.text(), st.text())
def test_no_text_after_a_slash_or_colon_turns_a_host_into_another(separator: str, rest: str) -> None:
    for name in (f"TERMSRV/evil.test/{separator}{rest}", f"TERMSRV/evil.test:{separator}{rest}"):
        assert not SPNPattern("TERMSRV/*.good.test").matches(name + ".good.test")


@given(st.text())
def test_folding_is_stable_and_never_moves_a_character_into_ascii(text: str) -> None:
    folded = fold(text)
    assert len(folded) == len(text)
    assert fold(folded) == folded
    assert all(before.isascii() for before, after in zip(text, folded, strict=True) if after.isascii())


@given(st.text(), st.text())
def test_matcher_never_raises_for_a_target(pattern: str, target: str) -> None:
    try:
        compiled = SPNPattern(pattern)
    except LocalProtocolError:
        return
    assert compiled.matches(target) in (True, False)

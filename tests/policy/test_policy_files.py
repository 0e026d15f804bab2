"""Policy files: our TOML, and exports of a Windows registry."""

from __future__ import annotations

import codecs
import contextlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from credssp.errors import CredSSPError
from credssp.policy import (
    LIST_SETTINGS,
    CredentialSource,
    DelegationList,
    DelegationPolicy,
    DelegationRestriction,
    EncryptionOracle,
    ListState,
    OSDefaultList,
    PolicyFileError,
    PolicySettings,
    SPNPattern,
    load_policy,
    parse_policy,
)
from credssp.policy.files import MAX_FILE_SIZE
from credssp.server_authentication import ServerAuthentication
from tests.growth import Work, assert_linear

POLICY = r"HKEY_LOCAL_MACHINE\SOFTWARE\Policies\Microsoft\Windows\CredentialsDelegation"
DEFAULTS = r"HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Control\Lsa\Credssp\PolicyDefaults"
LSA = r"HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Control\Lsa"
ORACLE = r"HKEY_LOCAL_MACHINE\Software\Microsoft\Windows\CurrentVersion\Policies\System\CredSSP\Parameters"
HEADER = "Windows Registry Editor Version 5.00\r\n\r\n"

EXPORT = rf"""Windows Registry Editor Version 5.00

; written by hand after the form of regedit
[{POLICY}]
"AllowFreshCredentials"=dword:00000001
"ConcatenateDefaults_AllowFresh"=dword:00000001
"AllowFreshCredentialsWhenNTLMOnly"=dword:00000001
"ConcatenateDefaults_AllowFreshNTLMOnly"=dword:00000000
"AllowSavedCredentials"=dword:00000000
"DenyFreshCredentials"=dword:00000001 ; the exception
"RestrictedRemoteAdministration"=dword:00000000
"RestrictedRemoteAdministrationType"=dword:00000003
"AllowProtectedCreds"=dword:00000001
"SomethingNew"=dword:00000007

[{POLICY}\AllowFreshCredentials]
"1"="WSMAN/*.corp.example"
"2"="HTTP/*.corp.example"

[{POLICY}\AllowFreshCredentialsWhenNTLMOnly]
"1"="WSMAN/lab.corp.example"

[{POLICY}\DenyFreshCredentials]
@=""
"vault"="WSMAN/vault.*"

[{DEFAULTS}\AllowFreshCredentials]
"Hyper-V"="Microsoft Virtual Console Service/*"
"RDP"="TERMSRV/*"

[{DEFAULTS}\AllowFreshCredentialsDomain]
"RDP"="TERMSRV/*.corp.example"

[{ORACLE}]
"AllowEncryptionOracle"=dword:00000002

[{LSA}]
"DisableRestrictedAdmin"=dword:00000000
"auditbasedirectories"=hex:00,\
  01
"Name with \"quotes\" and \\"=hex(7):61,00,\
  00,00

[HKEY_CURRENT_USER\Console]
"FaceName"="two
lines"
"""


def reg(*lines: str, key: str = POLICY) -> PolicySettings:
    text = HEADER + "\r\n".join([f"[{key}]", *lines]) + "\r\n"
    return parse_policy(text.encode())


def toml(text: str) -> PolicySettings:
    return parse_policy(text.encode(), name="test.toml")


ENCODINGS = {
    "UTF-8": EXPORT.encode(),
    "UTF-8 with BOM": codecs.BOM_UTF8 + EXPORT.encode(),
    "UTF-8 with CRLF": EXPORT.replace("\n", "\r\n").encode(),
    "UTF-16LE with BOM": codecs.BOM_UTF16_LE + EXPORT.replace("\n", "\r\n").encode("utf-16-le"),
    "UTF-16BE with BOM": codecs.BOM_UTF16_BE + EXPORT.encode("utf-16-be"),
    "REGEDIT4": EXPORT.replace("Windows Registry Editor Version 5.00", "REGEDIT4").encode(),
}


@pytest.mark.parametrize("data", ENCODINGS.values(), ids=ENCODINGS.keys())
def test_export_is_read_whole_in_every_encoding(data: bytes) -> None:
    settings = parse_policy(data)
    policy = settings.delegation
    assert policy.allow_fresh_credentials == DelegationList.enabled("WSMAN/*.corp.example", "HTTP/*.corp.example")
    assert policy.allow_fresh_credentials_when_ntlm_only == DelegationList.enabled(
        "WSMAN/lab.corp.example", concatenate_defaults=False
    )
    assert policy.allow_saved_credentials.state is ListState.DISABLED
    assert policy.deny_fresh_credentials == DelegationList.enabled("WSMAN/vault.*", concatenate_defaults=False)
    assert policy.allow_default_credentials.state is ListState.UNSET
    assert policy.restriction is DelegationRestriction.NONE
    assert not policy.domain_joined
    (fresh, *_) = policy.os_defaults
    assert fresh == OSDefaultList(
        "AllowFreshCredentials",
        (SPNPattern("Microsoft Virtual Console Service/*"), SPNPattern("TERMSRV/*")),
        (SPNPattern("TERMSRV/*.corp.example"),),
    )
    assert settings.encryption_oracle is EncryptionOracle.VULNERABLE
    assert settings.disable_restricted_admin is False
    assert settings.allow_protected_creds is True
    assert settings.host_accepts_restricted_admin


def test_export_lists_what_has_no_effect() -> None:
    ignored = parse_policy(EXPORT.encode()).ignored
    assert [(entry.key.rpartition("\\")[2], entry.name) for entry in ignored] == [
        ("CredentialsDelegation", "SomethingNew"),
        ("Lsa", "auditbasedirectories"),
        ("Lsa", 'Name with "quotes" and \\'),
        ("Console", ""),
    ]
    assert EXPORT.split("\n")[ignored[0].line - 1].startswith('"SomethingNew"')
    assert EXPORT.split("\n")[ignored[2].line - 1].startswith('"Name with')
    assert EXPORT.split("\n")[ignored[3].line - 1] == r"[HKEY_CURRENT_USER\Console]"
    assert "SomethingNew" in str(ignored[0])
    assert str(ignored[3]).startswith(f"line {ignored[3].line}: [HKEY_CURRENT_USER\\Console]: ")


@pytest.mark.parametrize("setting", LIST_SETTINGS, ids=lambda setting: setting.name)
@pytest.mark.parametrize("concatenate", [0, 1, None])
def test_export_of_each_list(setting: Any, concatenate: int | None) -> None:
    lines = [f'"{setting.name}"=dword:1']
    if concatenate is not None:
        lines.append(f'"{setting.concatenate}"=dword:{concatenate:08x}')
    settings = reg(*lines, f"[{POLICY.upper()}\\{setting.name}]", '"a"="WSMAN/a"')
    expected = DelegationList.enabled("WSMAN/a", concatenate_defaults=bool(concatenate))
    assert settings.delegation == DelegationPolicy(**{setting.attribute: expected})
    assert settings.ignored == ()


@pytest.mark.parametrize("setting", LIST_SETTINGS, ids=lambda setting: setting.name)
def test_export_of_each_list_of_the_operating_system(setting: Any) -> None:
    text = HEADER + f'[{DEFAULTS}\\{setting.default_name}]\n"x"="OS/plain"\n'
    twin = f'[{DEFAULTS}\\{setting.default_name}Domain]\n"x"="OS/domain"\n'
    outside = parse_policy((text + twin).encode()).delegation
    inside = parse_policy((text + twin).encode(), domain_joined=True).delegation
    assert outside.effective(setting) == (SPNPattern("OS/plain"),)
    assert inside.effective(setting) == (SPNPattern("OS/domain"),)
    no_twin = parse_policy(text.encode(), domain_joined=True).delegation
    known_to_differ = setting.name == "AllowSavedCredentialsWhenNTLMOnly"
    assert no_twin.effective(setting) == (() if known_to_differ else (SPNPattern("OS/plain"),))
    twin_alone = parse_policy((HEADER + twin).encode()).delegation
    assert twin_alone.effective(setting) == DelegationPolicy().effective(setting)


def test_empty_key_of_the_operating_system_empties_its_list() -> None:
    policy = reg(key=f"{DEFAULTS}\\AllowFreshCredentials").delegation
    assert not policy.decide(
        "TERMSRV/a", source=CredentialSource.FRESH, server=ServerAuthentication.CERTIFICATE
    ).allowed


def test_name_of_the_policy_is_accepted_for_the_list_of_the_operating_system() -> None:
    policy = reg('"x"="WSMAN/x"', key=f"{DEFAULTS}\\AllowDefCredentialsWhenNTLMOnly").delegation
    assert policy.os_defaults[0].setting == "AllowDefCredentialsWhenNTLMOnly"


def test_spelling_trap_of_the_default_credentials_is_pointed_out() -> None:
    settings = reg('"AllowDefaultCredentialsWhenNTLMOnly"=dword:1')
    assert settings.delegation == DelegationPolicy()
    assert "spelled AllowDefCredentialsWhenNTLMOnly" in settings.ignored[0].reason


def test_key_written_under_two_names_of_its_root_adds_up() -> None:
    short = "HKLM" + POLICY.removeprefix("HKEY_LOCAL_MACHINE")
    settings = reg(
        '"DenyFreshCredentials"=dword:1',
        f"[{POLICY}\\DenyFreshCredentials]",
        '"1"="WSMAN/a"',
        f"[{short}\\DenyFreshCredentials]",
        '"1"="WSMAN/b"',
    )
    assert settings.delegation.deny_fresh_credentials.servers == (SPNPattern("WSMAN/a"), SPNPattern("WSMAN/b"))


def test_key_without_values_is_not_worth_a_word_but_an_unknown_list_is() -> None:
    settings = reg(f"[{DEFAULTS}]", r"[HKEY_LOCAL_MACHINE\SOFTWARE]", f"[{POLICY}\\AllowFresh]")
    assert [entry.key.rpartition("\\")[2] for entry in settings.ignored] == ["AllowFresh"]


def test_value_written_twice_counts_the_second_time() -> None:
    settings = reg('"AllowFreshCredentials"=dword:1', '"allowfreshcredentials"=dword:0')
    assert settings.delegation.allow_fresh_credentials.state is ListState.DISABLED


@pytest.mark.parametrize(
    ("lines", "restriction"),
    [
        (['"RestrictedRemoteAdministration"=dword:1'], DelegationRestriction.REQUIRE_RESTRICTED_ADMIN),
        *(
            (
                ['"RestrictedRemoteAdministration"=dword:1', f'"RestrictedRemoteAdministrationType"=dword:{kind}'],
                DelegationRestriction(kind),
            )
            for kind in (1, 2, 3)
        ),
        (['"RestrictedRemoteAdministrationType"=dword:3'], DelegationRestriction.NONE),
        ([], DelegationRestriction.NONE),
    ],
)
def test_export_of_the_restriction(lines: list[str], restriction: DelegationRestriction) -> None:
    assert reg(*lines).delegation.restriction is restriction
    form = "\n".join(lines).replace('"', "").replace("dword:", "")
    assert toml(form).delegation.restriction is restriction


@pytest.mark.parametrize("number", [0, 1, 2])
def test_encryption_oracle_is_read_from_both_forms(number: int) -> None:
    assert reg(f'"AllowEncryptionOracle"=dword:{number}', key=ORACLE).encryption_oracle is EncryptionOracle(number)
    assert toml(f"AllowEncryptionOracle = {number}").encryption_oracle is EncryptionOracle(number)


@pytest.mark.parametrize(
    ("disable", "protected", "accepts"),
    [(None, None, False), (0, None, True), (1, None, False), (None, 1, True), (None, 0, False), (1, 1, True)],
)
def test_host_accepts_restricted_admin(disable: int | None, protected: int | None, accepts: bool) -> None:
    lines = [] if protected is None else [f'"AllowProtectedCreds"=dword:{protected}']
    lines += [f"[{LSA}]"] + ([] if disable is None else [f'"DisableRestrictedAdmin"=dword:{disable}'])
    assert reg(*lines).host_accepts_restricted_admin is accepts


@pytest.mark.parametrize(
    "bad", ['"**"', '"WSMAN/*.*"', '""', "dword:00000001", "hex(7):61,00", r'"a\\b\*"', '"WSMAN/a\nb"']
)
def test_bad_pattern_is_left_out_of_an_allow_list_and_an_error_in_a_deny_list(bad: str) -> None:
    entry = [f'"1"={bad}', '"2"="WSMAN/good"']
    if bad == r'"a\\b\*"':  # this one is a pattern: a backslash is a character like any other
        settings = reg(*entry, key=f"{POLICY}\\DenyFreshCredentials")
        assert settings.delegation.deny_fresh_credentials.servers[0].text == "a\\b*"
        return
    settings = reg(*entry, key=f"{POLICY}\\AllowFreshCredentials")
    assert settings.delegation.allow_fresh_credentials.servers == (SPNPattern("WSMAN/good"),)
    assert [(item.name, item.line) for item in settings.ignored] == [("1", 4)]
    with pytest.raises(PolicyFileError, match=r"line 4: DenyFreshCredentials would not forbid"):
        reg(*entry, key=f"{POLICY}\\DenyFreshCredentials")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('"AllowFreshCredentials"=dword:00000002', "must be a REG_DWORD from 0 to 1"),
        ('"DenyFreshCredentials"="1"', "must be a REG_DWORD"),
        ('"DenyFreshCredentials"=hex:01', "must be a REG_DWORD"),
        ('"ConcatenateDefaults_AllowFresh"=dword:ffffffff', "must be a REG_DWORD"),
        ('"RestrictedRemoteAdministrationType"=dword:4', "from 1 to 3"),
        ('"AllowFreshCredentials"=dword:', "the data must be"),
        ('"AllowFreshCredentials"=dword:123456789', "the data must be"),
        ('"AllowFreshCredentials"=dword:xyz', "the data must be"),
        ('"AllowFreshCredentials"=', "the data must be"),
        ('"AllowFreshCredentials"', "= is missing"),
        ('"AllowFreshCredentials"=dword:1 and more', "something after"),
        ('"AllowFreshCredentials=dword:1', "never closed"),
        ('"AllowFreshCredentials"="1', "never closed"),
        ('"AllowFreshCredentials"=-', "deletes values"),
        ("AllowFreshCredentials=dword:1", "must start with a name in quotation marks"),
        ("[-HKEY_LOCAL_MACHINE\\SOFTWARE]", "deletes keys"),
        ("[HKEY_LOCAL_MACHINE", "must end with ]"),
        ("[HKEY_LOCAL_MACHINE] x", "must end with ]"),
    ],
)
def test_malformed_export_is_an_error_with_its_line(line: str, words: str) -> None:
    with pytest.raises(PolicyFileError, match=words) as caught:
        parse_policy((HEADER + f"[{POLICY}]\r\n; a comment\r\n{line}\r\n").encode(), name="old.reg")
    assert (caught.value.source, caught.value.line) == ("old.reg", 5)
    assert "old.reg, line 5: " in str(caught.value)


def test_value_above_every_key_is_an_error() -> None:
    with pytest.raises(PolicyFileError, match="line 3: a value must follow a key"):
        parse_policy((HEADER + '"AllowFreshCredentials"=dword:1').encode())


def test_header_must_stand_alone() -> None:
    with pytest.raises(PolicyFileError, match="not a registry export"):
        parse_policy(b"REGEDIT4 and more\n[HKEY_LOCAL_MACHINE]\n")


def test_default_value_of_a_key_may_be_a_pattern() -> None:
    settings = reg('@="WSMAN/a"', key=f"{POLICY}\\AllowFreshCredentials")
    assert settings.delegation.allow_fresh_credentials.servers == (SPNPattern("WSMAN/a"),)


# --- TOML ---------------------------------------------------------------------------------------------------------

DOCUMENT = """
domain_joined = true
AllowEncryptionOracle = 1
DisableRestrictedAdmin = 0
AllowProtectedCreds = 0
RestrictedRemoteAdministration = 1
RestrictedRemoteAdministrationType = 3

[AllowFreshCredentials]
state = "enabled"
servers = ["WSMAN/*.corp"]
concatenate_defaults = false

[AllowSavedCredentials]
state = "disabled"

[DenyDefaultCredentials]
servers = ["WSMAN/vault"]

[PolicyDefaults]
AllowFreshCredentials = ["TERMSRV/*.corp"]
AllowDefaultCredentialsWhenNTLMOnlyDomain = ["HTTP/*"]
"""


def test_toml_is_read_whole() -> None:
    settings = toml(DOCUMENT)
    assert settings.encryption_oracle is EncryptionOracle.MITIGATED
    assert (settings.disable_restricted_admin, settings.allow_protected_creds) == (False, False)
    policy = settings.delegation
    assert policy.domain_joined
    assert policy.restriction is DelegationRestriction.RESTRICT_DELEGATION
    assert policy.allow_fresh_credentials == DelegationList.enabled("WSMAN/*.corp", concatenate_defaults=False)
    assert policy.allow_saved_credentials == DelegationList.disabled()
    assert policy.deny_default_credentials == DelegationList.enabled("WSMAN/vault")
    assert policy.os_defaults[:2] == (
        OSDefaultList("AllowDefCredentialsWhenNTLMOnly", (), (SPNPattern("HTTP/*"),)),
        OSDefaultList("AllowFreshCredentials", (SPNPattern("TERMSRV/*.corp"),), (SPNPattern("TERMSRV/*.corp"),)),
    )


def test_empty_file_is_windows_as_installed() -> None:
    assert parse_policy(b"") == PolicySettings()
    assert parse_policy(b"").delegation == DelegationPolicy.windows_defaults()


@pytest.mark.parametrize(("argument", "joined"), [(None, True), (True, True), (False, False)])
def test_caller_overrides_what_the_file_says_about_the_domain(argument: bool | None, joined: bool) -> None:
    assert parse_policy(b"domain_joined = true", domain_joined=argument).delegation.domain_joined is joined


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a = ", 1, "no TOML"),
        ("# x\n\n[AllowFreshCredentials", 3, "no TOML"),
        ("\n[DenyFreshCredential]\nservers=[]", 2, "'DenyFreshCredential' is not a setting"),
        ("\n\nAllowDefaultCredentialsWhenNTLMOnly = 1", 3, "is not a setting"),
        ("AllowFreshCredentials = 1", 1, "must be a table"),
        ("[AllowFreshCredentials]\nserver = []", 2, "'server', which is not one of"),
        ("[AllowFreshCredentials]\nstate = 'on'", 2, "enabled, disabled or unset"),
        ("[AllowFreshCredentials]\nstate = []", 2, "enabled, disabled or unset"),
        ("[AllowFreshCredentials]\n\nservers = 'WSMAN/a'", 3, "an array"),
        ("[AllowFreshCredentials]\nservers = [1]", 2, "nothing but strings"),
        ("[AllowFreshCredentials]\nservers = ['**']", 2, "2 wildcards"),
        ("[AllowFreshCredentials]\nservers = ['']", 2, "must not be empty"),
        ("[AllowFreshCredentials]\nconcatenate_defaults = 1", 2, "true or false"),
        ("[AllowFreshCredentialsWhenNTLMOnly]\n[AllowFreshCredentials]\nservers = 1", 3, "an array"),
        ("domain_joined = 1", 1, "true or false"),
        ("AllowEncryptionOracle = 3", 1, "from 0 to 2"),
        ("AllowEncryptionOracle = true", 1, "from 0 to 2"),
        ("AllowEncryptionOracle = '0'", 1, "from 0 to 2"),
        ("RestrictedRemoteAdministrationType = 0", 1, "from 1 to 3"),
        ("PolicyDefaults = []", 1, "must be a table"),
        ("[PolicyDefaults]\nAllowFresh = []", 2, "not a list of the operating system"),
        ("[PolicyDefaults]\nAllowFreshCredentials = 'x'", 2, "an array"),
        ('"\\u0041b.c" = 1', 0, "is not a setting"),
        ("\na = 1\na = 2\n", 3, "no TOML"),
        ("a = " + "9" * 1020, 1, "is not a setting"),
        ("\na = " + "9" * 1021, 2, "longer than 1024 characters"),
        ("a = " + ("[" * 1000 + "\n") * 60, 0, "nested too deeply"),  # others may have raised the limit of recursion
    ],
)
def test_toml_that_says_something_unknown_is_an_error_with_its_line(text: str, line: int, words: str) -> None:
    with pytest.raises(PolicyFileError, match=words) as caught:
        toml(text)
    assert caught.value.line == line
    assert caught.value.source == "test.toml"


# --- round trips, limits, noise ---------------------------------------------------------------------------------------

PATTERNS = st.builds(
    SPNPattern,
    st.text(st.characters(min_codepoint=0x20, exclude_characters="\x7f*", exclude_categories=["Cs"])).map(
        "W/*".__add__
    ),
)
SERVERS = st.lists(PATTERNS, max_size=2).map(tuple)
LISTS = st.builds(DelegationList, st.sampled_from(ListState), SERVERS, st.booleans())
OS_DEFAULTS = st.lists(
    st.builds(OSDefaultList, st.sampled_from([s.name for s in LIST_SETTINGS]), SERVERS, SERVERS),
    max_size=3,
    unique_by=lambda default: default.setting,
).map(tuple)
POLICIES = st.builds(
    DelegationPolicy,
    restriction=st.sampled_from(DelegationRestriction),
    domain_joined=st.booleans(),
    os_defaults=st.just(DelegationPolicy().os_defaults) | OS_DEFAULTS,
    **{setting.attribute: st.just(DelegationList()) | LISTS for setting in LIST_SETTINGS},
)


@given(policy=POLICIES)
@example(policy=DelegationPolicy())
@example(policy=DelegationPolicy.deny_all())
@example(policy=DelegationPolicy.for_target("WSMAN/a"))
def test_policy_survives_the_way_through_toml(policy: DelegationPolicy) -> None:
    assert parse_policy(policy.to_toml().encode()).delegation == policy


@given(
    settings=st.builds(
        PolicySettings,
        POLICIES,
        encryption_oracle=st.none() | st.sampled_from(EncryptionOracle),
        disable_restricted_admin=st.none() | st.booleans(),
        allow_protected_creds=st.none() | st.booleans(),
    )
)
def test_settings_survive_the_way_through_toml(settings: PolicySettings) -> None:
    assert parse_policy(settings.to_toml().encode()) == settings


def test_export_survives_the_way_through_toml() -> None:
    settings = parse_policy(EXPORT.encode())
    assert parse_policy(settings.to_toml().encode()) == settings


def test_file_is_told_by_its_content_and_not_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_bytes(codecs.BOM_UTF16_LE + EXPORT.encode("utf-16-le"))
    assert load_policy(path) == parse_policy(EXPORT.encode())
    assert load_policy(str(path), domain_joined=True).delegation.domain_joined


@pytest.mark.parametrize("name", ["missing.toml", ".", "a\0b"])
def test_file_that_cannot_be_read_is_an_error_of_ours(tmp_path: Path, name: str) -> None:
    with pytest.raises(PolicyFileError, match=r"cannot be read: [^\[]") as caught:
        load_policy(tmp_path / name)
    assert str(caught.value).count(str(tmp_path)) == 1


def test_long_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "long.reg"
    path.write_bytes(b"#" * (MAX_FILE_SIZE + 1))
    with pytest.raises(PolicyFileError, match="longer than 1048576 bytes"):
        load_policy(path)
    path.write_bytes((b"#" * 127 + b"\n") * (MAX_FILE_SIZE // 128))
    assert load_policy(path) == PolicySettings()


@pytest.mark.parametrize(
    ("data", "line", "words"),
    [
        (b"\n\n\xff", 3, "not UTF-8"),
        (codecs.BOM_UTF16_LE + b"a", 1, "not UTF-16"),
        (codecs.BOM_UTF16_LE + b"\x00\xdc", 1, "not UTF-16"),
    ],
)
def test_octets_that_are_no_text_are_an_error(data: bytes, line: int, words: str) -> None:
    with pytest.raises(PolicyFileError, match=words) as caught:
        parse_policy(data)
    assert caught.value.line == line


def parsing(data: bytes) -> Work:
    def work() -> None:
        with contextlib.suppress(CredSSPError):
            parse_policy(data)

    return work


@pytest.mark.timeout(400)  # a minute beside other tests, with coverage
@pytest.mark.parametrize(
    "filling",
    ["[[a]]\n", "#\n", '""=1\n', "a" + ".a" * 500 + "=1\n", "[" + "a." * 500 + "a]\n", "[" * 500 + "]" * 500 + "\n"],
)
def test_filled_up_toml_takes_no_long_time(filling: str) -> None:
    assert_linear(lambda size: parsing((filling * (size // len(filling))).encode()), MAX_FILE_SIZE)


@pytest.mark.parametrize(
    "filling", ['"', "\\", '"\\', "hex:", '"a"=hex:' + "aa" * 99, "[", "\n", ";", '"a"="', '"a"=hex:\\\n', "]", "\r"]
)
def test_filled_up_export_takes_no_long_time(filling: str) -> None:
    def filled(size: int) -> Work:
        return parsing((HEADER + f"[{POLICY}]\n" + filling * (size // len(filling)))[: size - 1].encode())

    assert_linear(filled, MAX_FILE_SIZE)


PIECES = st.sampled_from(
    [
        *(f"[{key}]" for key in (POLICY, f"{POLICY}\\DenyFreshCredentials", f"{DEFAULTS}\\AllowFreshCredentials", LSA)),
        '"AllowFreshCredentials"=dword:1',
        '"1"="WSMAN/*"',
        '"1"="*/*"',
        '"x"=hex(2):61,\\',
        "[AllowFreshCredentials]",
        'servers = ["WSMAN/*"]',
        "PolicyDefaults.AllowFreshCredentials = []",
        "AllowEncryptionOracle = 1",
        '"',
        "[",
        "@=",
        "-",
        "=",
        ";",
        "\\",
        "\n",
        "\0",
    ]
)


@given(header=st.sampled_from(["", HEADER, "REGEDIT4\n"]), pieces=st.lists(PIECES | st.text(max_size=4), max_size=12))
def test_no_text_makes_anything_leave_but_our_errors(header: str, pieces: list[str]) -> None:
    data = (header + "\n".join(pieces)).encode("utf-8", "surrogatepass")
    try:
        settings = parse_policy(data)
    except CredSSPError:
        return
    assert isinstance(settings, PolicySettings)


@given(data=st.binary(max_size=64), at=st.integers(0, len(EXPORT)), wide=st.booleans())
def test_no_damage_to_an_export_makes_anything_leave_but_our_errors(data: bytes, at: int, wide: bool) -> None:
    whole = codecs.BOM_UTF16_LE + EXPORT.encode("utf-16-le") if wide else EXPORT.encode()
    with contextlib.suppress(CredSSPError):
        parse_policy(whole[:at] + data + whole[at + len(data) :])

"""The decisions of the delegation policy (policy.md sections 1 to 6 and 8)."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credssp.errors import LocalProtocolError, PolicyError
from credssp.policy import (
    LIST_SETTINGS,
    WINDOWS_DEFAULTS,
    AuthenticationLevel,
    CredentialSource,
    DelegationList,
    DelegationMode,
    DelegationPolicy,
    DelegationRestriction,
    ListState,
    OSDefaultList,
    PolicyDecision,
    SPNPattern,
    require_server_authentication,
)
from credssp.policy.lists import SETTINGS_OF
from credssp.server_authentication import ServerAuthentication
from credssp.status import SecurityStatus

CERT = ServerAuthentication.CERTIFICATE
KRB = ServerAuthentication.KERBEROS
NTLM = ServerAuthentication.NTLM
NONE = ServerAuthentication.NONE
DEFAULT = CredentialSource.DEFAULT
FRESH = CredentialSource.FRESH
SAVED = CredentialSource.SAVED

OK = SecurityStatus.SEC_E_OK
REFUSED = SecurityStatus.SEC_E_DELEGATION_POLICY
NTLM_ONLY = SecurityStatus.SEC_E_POLICY_NLTM_ONLY

enabled = DelegationList.enabled
disabled = DelegationList.disabled


def policy_of(**settings: Any) -> DelegationPolicy:
    return DelegationPolicy(**settings)


WSMAN_ANY = enabled("WSMAN/*")

VECTORS = [
    # source, server, target, settings, expected: policy.md section 8, in its order
    (FRESH, CERT, "TERMSRV/a.b", {}, OK),
    (FRESH, NTLM, "TERMSRV/a.b", {}, OK),
    (FRESH, CERT, "WSMAN/a.b", {}, REFUSED),
    (FRESH, NTLM, "WSMAN/a.b", {"allow_fresh_credentials": WSMAN_ANY}, NTLM_ONLY),
    (FRESH, NTLM, "WSMAN/a.b", {"allow_fresh_credentials_when_ntlm_only": enabled("WSMAN/*.b")}, OK),
    (FRESH, KRB, "TERMSRV/x.b", {"deny_fresh_credentials": enabled("TERMSRV/x.*")}, REFUSED),
    (SAVED, NTLM, "TERMSRV/a", {"domain_joined": True}, NTLM_ONLY),
    (SAVED, NTLM, "TERMSRV/a", {"domain_joined": False}, OK),
    (DEFAULT, CERT, "TERMSRV/a", {}, REFUSED),
    (FRESH, CERT, "TERMSRV/a", {"allow_fresh_credentials": disabled()}, REFUSED),
    (FRESH, CERT, "TERMSRV/a", {"allow_fresh_credentials": enabled("WSMAN/*", concatenate_defaults=False)}, REFUSED),
    (FRESH, CERT, "TERMSRV/a", {"allow_fresh_credentials": enabled("WSMAN/*", concatenate_defaults=True)}, OK),
]


@pytest.mark.parametrize(("source", "server", "target", "settings", "expected"), VECTORS)
def test_vector_of_the_specification(
    source: CredentialSource,
    server: ServerAuthentication,
    target: str,
    settings: dict[str, Any],
    expected: SecurityStatus,
) -> None:
    decision = policy_of(**settings).decide(target, source=source, server=server)
    assert decision.status is expected
    assert decision.allowed is bool(decision) is (expected is OK)
    assert decision.reason


ALLOWING = [
    # setting, attribute, source, server that reaches it
    ("AllowDefaultCredentials", "allow_default_credentials", DEFAULT, CERT),
    ("AllowDefaultCredentials", "allow_default_credentials", DEFAULT, KRB),
    ("AllowDefaultCredentials", "allow_default_credentials", DEFAULT, KRB | CERT | NTLM),
    ("AllowDefCredentialsWhenNTLMOnly", "allow_default_credentials_when_ntlm_only", DEFAULT, NTLM),
    ("AllowFreshCredentials", "allow_fresh_credentials", FRESH, CERT | NTLM),
    ("AllowFreshCredentialsWhenNTLMOnly", "allow_fresh_credentials_when_ntlm_only", FRESH, NTLM),
    ("AllowSavedCredentials", "allow_saved_credentials", SAVED, KRB),
    ("AllowSavedCredentialsWhenNTLMOnly", "allow_saved_credentials_when_ntlm_only", SAVED, NTLM),
]


@pytest.mark.parametrize(("setting", "attribute", "source", "server"), ALLOWING)
def test_allow_list_alone_opens_its_source_and_level(
    setting: str, attribute: str, source: CredentialSource, server: ServerAuthentication
) -> None:
    nothing = policy_of(os_defaults=())
    assert nothing.decide("WSMAN/a.b", source=source, server=server).status is REFUSED
    open_ = policy_of(os_defaults=(), **{attribute: enabled("HTTP/*", "WSMAN/*.b")})
    decision = open_.decide("WSMAN/a.b", source=source, server=server)
    assert decision.allowed
    assert (decision.setting, decision.pattern) == (setting, "WSMAN/*.b")
    other = open_.decide("WSMAN/a.c", source=source, server=server)
    assert (other.status, other.setting, other.pattern) == (REFUSED, setting, None)
    for member in CredentialSource:
        if member is not source:
            assert open_.decide("WSMAN/a.b", source=member, server=server).status is REFUSED


@pytest.mark.parametrize("source", CredentialSource)
def test_ntlm_only_list_does_not_serve_a_strong_server(source: CredentialSource) -> None:
    attribute = SETTINGS_OF[source].allow_when_ntlm_only.attribute
    policy = policy_of(os_defaults=(), **{attribute: enabled("*")})
    for server in (CERT, KRB, CERT | NTLM, NONE):
        assert policy.decide("WSMAN/a", source=source, server=server).status is REFUSED
    assert policy.decide("WSMAN/a", source=source, server=NTLM).allowed


@pytest.mark.parametrize("source", CredentialSource)
def test_target_in_the_strong_list_alone_is_refused_as_ntlm_only(source: CredentialSource) -> None:
    settings = SETTINGS_OF[source]
    policy = policy_of(os_defaults=(), **{settings.allow.attribute: enabled("WSMAN/*")})
    decision = policy.decide("WSMAN/a", source=source, server=NTLM)
    assert decision.status is NTLM_ONLY
    assert decision.setting == settings.allow_when_ntlm_only.name
    assert decision.pattern is None
    assert settings.allow.name in decision.reason
    assert settings.allow_when_ntlm_only.title in decision.reason
    assert policy.decide("HTTP/a", source=source, server=NTLM).status is REFUSED


@pytest.mark.parametrize("source", CredentialSource)
@pytest.mark.parametrize("server", [CERT, KRB, NTLM])
def test_deny_list_comes_before_every_allow_list(source: CredentialSource, server: ServerAuthentication) -> None:
    settings = SETTINGS_OF[source]
    lists = {
        settings.allow.attribute: enabled("TERMSRV/x.y"),
        settings.allow_when_ntlm_only.attribute: enabled("TERMSRV/x.y"),
    }
    assert policy_of(**lists).decide("TERMSRV/x.y", source=source, server=server).allowed
    denying = policy_of(**lists, **{settings.deny.attribute: enabled("TERMSRV/*")})
    decision = denying.decide("TERMSRV/x.y", source=source, server=server)
    assert (decision.status, decision.setting, decision.pattern) == (REFUSED, settings.deny.name, "TERMSRV/*")
    lifted = policy_of(**lists, **{settings.deny.attribute: DelegationList(ListState.DISABLED, enabled("*").servers)})
    assert lifted.decide("TERMSRV/x.y", source=source, server=server).allowed


@pytest.mark.parametrize("source", CredentialSource)
def test_deny_list_is_for_its_own_source(source: CredentialSource) -> None:
    allowing = {SETTINGS_OF[source].allow.attribute: enabled("WSMAN/*")}
    denying = {SETTINGS_OF[other].deny.attribute: enabled("*") for other in CredentialSource if other is not source}
    assert policy_of(**allowing, **denying).decide("WSMAN/a", source=source, server=CERT).allowed


@pytest.mark.parametrize("setting", LIST_SETTINGS, ids=lambda setting: setting.name)
@pytest.mark.parametrize("domain_joined", [False, True])
def test_effective_list_follows_state_and_concatenation(setting: Any, domain_joined: bool) -> None:
    defaults = OSDefaultList(setting.name, (SPNPattern("OS/plain"),), (SPNPattern("OS/domain"),))
    mine = (SPNPattern("MINE/*"),)
    os_list = (SPNPattern("OS/domain" if domain_joined else "OS/plain"),)

    def effective(entry: DelegationList) -> tuple[SPNPattern, ...]:
        policy = policy_of(os_defaults=(defaults,), domain_joined=domain_joined, **{setting.attribute: entry})
        return policy.effective(setting)

    assert effective(DelegationList()) == os_list
    assert effective(DelegationList(ListState.UNSET, mine)) == os_list
    assert effective(DelegationList(ListState.UNSET, mine, concatenate_defaults=False)) == os_list
    assert effective(DelegationList(ListState.ENABLED, mine)) == (*mine, *os_list)
    assert effective(DelegationList(ListState.ENABLED, mine, concatenate_defaults=False)) == mine
    assert effective(DelegationList(ListState.DISABLED, mine)) == ()


def test_domain_twin_replaces_the_plain_list_on_a_machine_in_a_domain() -> None:
    twin = OSDefaultList("AllowFreshCredentials", (SPNPattern("WSMAN/plain"),), (SPNPattern("WSMAN/domain"),))
    outside = policy_of(os_defaults=(twin,))
    inside = policy_of(os_defaults=(twin,), domain_joined=True)
    assert outside.decide("WSMAN/plain", source=FRESH, server=CERT).allowed
    assert not outside.decide("WSMAN/domain", source=FRESH, server=CERT).allowed
    assert inside.decide("WSMAN/domain", source=FRESH, server=CERT).allowed
    assert not inside.decide("WSMAN/plain", source=FRESH, server=CERT).allowed


def test_windows_defaults_open_rdp_hosts_for_fresh_and_saved_credentials() -> None:
    for joined in (False, True):
        policy = DelegationPolicy.windows_defaults(domain_joined=joined)
        assert policy.domain_joined is joined
        allowed = {
            (source, server)
            for source in CredentialSource
            for server in (CERT, NTLM, NONE)
            if policy.decide("TERMSRV/any", source=source, server=server).allowed
        }
        expected = {(FRESH, CERT), (FRESH, NTLM), (SAVED, CERT), (SAVED, NTLM)}
        assert allowed == (expected - {(SAVED, NTLM)} if joined else expected)
        for source in CredentialSource:
            assert policy.decide("WSMAN/any", source=source, server=CERT).status is REFUSED
    assert DelegationPolicy() == DelegationPolicy.windows_defaults()


def test_default_of_the_operating_system_is_named_as_such() -> None:
    decision = DelegationPolicy().decide("TERMSRV/a", source=FRESH, server=CERT)
    assert "by the default of the operating system" in decision.reason
    listed = policy_of(allow_fresh_credentials=enabled("TERMSRV/a")).decide("TERMSRV/a", source=FRESH, server=CERT)
    assert "operating system" not in listed.reason
    assert listed.pattern == "TERMSRV/a"


def test_disabled_list_says_so() -> None:
    policy = policy_of(allow_fresh_credentials=disabled())
    assert "is disabled" in policy.decide("TERMSRV/a", source=FRESH, server=CERT).reason


@pytest.mark.parametrize("source", CredentialSource)
def test_server_that_was_not_authenticated_gets_nothing(source: CredentialSource) -> None:
    everything = {setting.attribute: enabled("*") for setting in LIST_SETTINGS if setting.name.startswith("Allow")}
    decision = policy_of(**everything).decide("WSMAN/a", source=source, server=NONE)
    assert (decision.status, decision.setting) == (REFUSED, None)
    assert "not authenticated at all" in decision.reason


@pytest.mark.parametrize("target", [None, "", " ", "WSMAN/a\0", "WSMAN/a\x01b"])
def test_target_that_names_no_server_is_refused_even_where_all_are_allowed(target: str | None) -> None:
    policy = policy_of(allow_fresh_credentials=enabled("*"))
    decision = policy.decide(target, source=FRESH, server=CERT)
    assert (decision.status, decision.setting) == (REFUSED, None)
    assert "service principal name" in decision.reason


def test_blanks_around_a_target_do_not_lead_past_a_deny_list() -> None:
    policy = policy_of(deny_fresh_credentials=enabled("TERMSRV/x"))
    for target in ("TERMSRV/x ", "\tTERMSRV/x", "TERMSRV/x\r\n"):
        assert policy.decide(target, source=FRESH, server=CERT).setting == "DenyFreshCredentials"


# --- modes and restriction ---------------------------------------------------------------------------------------

R = DelegationRestriction
M = DelegationMode


@pytest.mark.parametrize(
    ("restriction", "left", "title"),
    [
        (R.NONE, {M.PLAIN, M.RESTRICTED_ADMIN, M.REMOTE_GUARD}, "Not restricted"),
        (R.REQUIRE_RESTRICTED_ADMIN, {M.RESTRICTED_ADMIN}, "Require Restricted Admin"),
        (R.REQUIRE_REMOTE_GUARD, {M.REMOTE_GUARD}, "Require Remote Credential Guard"),
        (R.RESTRICT_DELEGATION, {M.RESTRICTED_ADMIN, M.REMOTE_GUARD}, "Restrict Credential Delegation"),
    ],
)
def test_restriction_leaves_its_modes(restriction: R, left: set[M], title: str) -> None:
    policy = policy_of(restriction=restriction)
    assert set(restriction.modes) == left
    assert restriction.title == title
    for mode in (M.PLAIN, M.RESTRICTED_ADMIN, M.REMOTE_GUARD):
        decision = policy.decide("TERMSRV/a", source=FRESH, server=KRB, mode=mode)
        assert decision.allowed is (mode in left)
        if mode not in left:
            assert (decision.status, decision.setting) == (REFUSED, "RestrictedRemoteAdministration")
            assert title in decision.reason


def test_restrict_delegation_prefers_remote_guard() -> None:
    assert R.RESTRICT_DELEGATION.modes[0] is M.REMOTE_GUARD


@pytest.mark.parametrize("restriction", R)
def test_empty_credentials_are_allowed_everywhere(restriction: R) -> None:
    for policy in (policy_of(restriction=restriction), DelegationPolicy.deny_all()):
        assert policy.decide(None, source=DEFAULT, server=NONE, mode=M.NO_DELEGATION).allowed


def test_restricted_admin_asks_no_list() -> None:
    decision = DelegationPolicy.deny_all().decide("WSMAN/a", source=DEFAULT, server=NONE, mode=M.RESTRICTED_ADMIN)
    assert decision.allowed
    assert decision.setting is None


@pytest.mark.parametrize(
    ("server", "status"),
    [(KRB, OK), (KRB | CERT, OK), (CERT, REFUSED), (CERT | NTLM, NTLM_ONLY), (NTLM, NTLM_ONLY), (NONE, REFUSED)],
)
def test_remote_guard_needs_kerberos_and_no_allow_list(server: ServerAuthentication, status: SecurityStatus) -> None:
    policy = policy_of(os_defaults=())
    decision = policy.decide("WSMAN/a", source=DEFAULT, server=server, mode=M.REMOTE_GUARD)
    assert decision.status is status


def test_remote_guard_respects_the_deny_list_and_needs_a_target() -> None:
    policy = policy_of(deny_default_credentials=enabled("TERMSRV/x"))
    decide = policy.decide
    assert decide("TERMSRV/x", source=DEFAULT, server=KRB, mode=M.REMOTE_GUARD).setting == "DenyDefaultCredentials"
    assert decide("TERMSRV/y", source=DEFAULT, server=KRB, mode=M.REMOTE_GUARD).allowed
    assert decide(None, source=DEFAULT, server=KRB, mode=M.REMOTE_GUARD).status is REFUSED


@pytest.mark.parametrize(("source", "allowed"), [(DEFAULT, False), (SAVED, False), (FRESH, True)])
def test_smart_card_logon_leaves_fresh_credentials_alone(source: CredentialSource, allowed: bool) -> None:
    everything = {setting.attribute: enabled("*") for setting in LIST_SETTINGS if setting.name.startswith("Allow")}
    for server in (CERT, NTLM):
        decide = policy_of(**everything).decide
        assert decide("WSMAN/a", source=source, server=server).allowed
        assert decide("WSMAN/a", source=source, server=server, smart_card_logon=True).allowed is allowed


# --- ready-made policies -----------------------------------------------------------------------------------------


def test_policy_for_a_target_allows_fresh_credentials_to_it_and_nothing_else() -> None:
    policy = DelegationPolicy.for_target(" WSMAN/Host.example ")
    for server in (CERT, KRB, NTLM):
        assert policy.decide("wsman/host.EXAMPLE", source=FRESH, server=server).allowed
        assert not policy.decide("WSMAN/host", source=FRESH, server=server).allowed
        assert not policy.decide("TERMSRV/host.example", source=FRESH, server=server).allowed
        assert not policy.decide("WSMAN/host.example", source=SAVED, server=server).allowed
        assert not policy.decide("WSMAN/host.example", source=DEFAULT, server=server).allowed
    assert not policy.decide("WSMAN/host.example", source=FRESH, server=NONE).allowed


@pytest.mark.parametrize("target", ["*", "WSMAN/*", "", "  ", "WSMAN/a\0"])
def test_policy_for_a_target_wants_one_name(target: str) -> None:
    with pytest.raises(LocalProtocolError, match="does not name one target"):
        DelegationPolicy.for_target(target)


@pytest.mark.parametrize("source", CredentialSource)
@pytest.mark.parametrize("mode", [M.PLAIN, M.REMOTE_GUARD])
def test_deny_all_refuses(source: CredentialSource, mode: M) -> None:
    policy = DelegationPolicy.deny_all()
    for server in (CERT, KRB, NTLM, NONE):
        assert policy.decide("TERMSRV/a", source=source, server=server, mode=mode).status is REFUSED


def test_decision_before_connecting_is_the_best_that_can_come() -> None:
    ask = DelegationPolicy().decide_before_connecting
    assert ask("TERMSRV/a", source=FRESH).allowed
    assert ask("WSMAN/a", source=FRESH).status is REFUSED
    ntlm_only = policy_of(os_defaults=(), allow_fresh_credentials_when_ntlm_only=enabled("WSMAN/*"))
    assert ntlm_only.decide_before_connecting("WSMAN/a", source=FRESH).setting == "AllowFreshCredentialsWhenNTLMOnly"
    assert not ask("TERMSRV/a", source=SAVED, smart_card_logon=True).allowed
    assert ask("WSMAN/a", source=DEFAULT, mode=M.REMOTE_GUARD).allowed


# --- the values themselves -----------------------------------------------------------------------------------------


def test_refused_decision_raises_policy_error_with_its_data() -> None:
    decision = DelegationPolicy().decide("WSMAN/a", source=FRESH, server=CERT)
    with pytest.raises(PolicyError) as caught:
        decision.raise_if_refused("WSMAN/a")
    error = caught.value
    assert (error.status, error.spn, error.setting) == (REFUSED, "WSMAN/a", "AllowFreshCredentials")
    assert decision.reason in str(error)


def test_allowed_decision_raises_nothing() -> None:
    PolicyDecision.allow("because").raise_if_refused("WSMAN/a")


@pytest.mark.parametrize(
    ("server", "allowed"),
    [(CERT, True), (KRB, True), (CERT | NTLM, True), (KRB | CERT, True), (NTLM, False), (NONE, False)],
)
def test_mutual_authentication_means_a_strong_one(server: ServerAuthentication, allowed: bool) -> None:
    decision = require_server_authentication(server)
    assert decision.allowed is allowed
    assert decision.status is (OK if allowed else SecurityStatus.SEC_E_MUTUAL_AUTH_FAILED)
    assert decision.setting == "ISC_REQ_MUTUAL_AUTH"


@pytest.mark.parametrize(
    ("server", "level"),
    [
        (CERT, AuthenticationLevel.STRONG),
        (NTLM | CERT, AuthenticationLevel.STRONG),
        (KRB, AuthenticationLevel.STRONG),
        (NTLM, AuthenticationLevel.NTLM_ONLY),
        (NONE, AuthenticationLevel.NONE),
    ],
)
def test_level_of_a_server(server: ServerAuthentication, level: AuthenticationLevel) -> None:
    assert AuthenticationLevel.of(server) is level


def test_policy_is_frozen_slotted_and_hashable() -> None:
    policy = DelegationPolicy()
    with pytest.raises(dataclasses.FrozenInstanceError):
        policy.domain_joined = True  # type: ignore[misc]
    assert not hasattr(policy, "__dict__")
    assert hash(policy) == hash(DelegationPolicy())


def test_order_of_os_defaults_does_not_matter_and_empty_ones_go() -> None:
    empty = OSDefaultList("DenyFreshCredentials", (), ())
    assert policy_of(os_defaults=(empty, *reversed(WINDOWS_DEFAULTS))) == DelegationPolicy()


def test_os_default_given_twice_or_for_no_setting_is_an_error() -> None:
    with pytest.raises(LocalProtocolError, match="twice"):
        policy_of(os_defaults=(*WINDOWS_DEFAULTS, WINDOWS_DEFAULTS[0]))
    with pytest.raises(LocalProtocolError, match="not one of the nine lists"):
        OSDefaultList("AllowFresh", (), ())


def test_list_with_a_bad_pattern_cannot_be_built() -> None:
    with pytest.raises(LocalProtocolError, match="2 wildcards"):
        enabled("TERMSRV/*", "*/*")


PATTERNS = st.sampled_from(["*", "WSMAN/*", "WSMAN/a", "*/a", "TERMSRV/*"])
LISTS = st.builds(
    lambda state, servers, concatenate: DelegationList(state, tuple(map(SPNPattern, servers)), concatenate),
    st.sampled_from(ListState),
    st.lists(PATTERNS, max_size=2),
    st.booleans(),
)
POLICIES = st.builds(
    DelegationPolicy,
    restriction=st.sampled_from(DelegationRestriction),
    domain_joined=st.booleans(),
    **{setting.attribute: LISTS for setting in LIST_SETTINGS},
)


@given(
    policy=POLICIES,
    target=st.sampled_from([None, "WSMAN/a", "WSMAN/b", "TERMSRV/a", "HTTP/b"]),
    source=st.sampled_from(CredentialSource),
    server=st.sampled_from([NONE, NTLM, CERT, KRB, NTLM | CERT]),
    mode=st.sampled_from(DelegationMode),
)
def test_decision_agrees_with_the_table_of_the_specification(
    policy: DelegationPolicy,
    target: str | None,
    source: CredentialSource,
    server: ServerAuthentication,
    mode: DelegationMode,
) -> None:
    decision = policy.decide(target, source=source, server=server, mode=mode)
    assert decision.allowed is (decision.status is OK)
    if mode is not M.PLAIN or policy.restriction is not R.NONE:
        return
    word = source.value.title()
    ntlm_name = "AllowDefCredentialsWhenNTLMOnly" if source is DEFAULT else f"Allow{word}CredentialsWhenNTLMOnly"
    listed = {s.name: policy.match(s, target) is not None for s in LIST_SETTINGS}
    strong = bool(server & (CERT | KRB))
    if target is None or listed[f"Deny{word}Credentials"]:
        expected = REFUSED
    elif strong:
        expected = OK if listed[f"Allow{word}Credentials"] else REFUSED
    elif server & NTLM:
        expected = OK if listed[ntlm_name] else NTLM_ONLY if listed[f"Allow{word}Credentials"] else REFUSED
    else:
        expected = REFUSED
    assert decision.status is expected

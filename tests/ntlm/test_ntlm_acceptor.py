import logging
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from credssp.account import Account
from credssp.errors import AuthenticationError, CredSSPError, DecodeError, LocalProtocolError, RemoteProtocolError
from credssp.ntlm import crypto, proof
from credssp.ntlm.acceptor import NTLMAcceptor
from credssp.ntlm.challenge import NTLMTarget
from credssp.ntlm.messages import Authenticate, Version
from credssp.ntlm.session import NTLMSession
from credssp.server_authentication import ServerAuthentication
from credssp.status import NTStatus, SecurityStatus
from tests.ntlm import recorded
from tests.ntlm.scripted_client import MECH_TYPES, WINDOWS_FLAGS, ScriptedClient, target_info

HASH = bytes.fromhex("a4f49c406510bdcab6824ee7c30fd852")
OTHER_HASH = bytes(16)
TARGET = NTLMTarget("SERVER", "LAB", "server.lab.test", "lab.test")
NOW = 1_700_000_000_123_456_700


class Store:
    """Answers with the same accounts for every name, and remembers what it was asked."""

    def __init__(self, *accounts):
        self.accounts = accounts
        self.asked = []

    def find(self, domain, username):
        self.asked.append((domain, username))
        return self.accounts


def make_acceptor(*accounts, **settings):
    accounts = accounts or (Account("Domain", "User", HASH),)
    settings.setdefault("target", TARGET)
    return NTLMAcceptor(Store(*accounts), clock=lambda: NOW, random=lambda size: bytes(range(size)), **settings)


def log_on(acceptor, client=None, **edits):
    client = client or ScriptedClient()
    challenge = acceptor.step(client.negotiate())
    assert acceptor.step(client.authenticate(challenge, **edits)) is None
    return client


def refused(acceptor, client=None, error=CredSSPError, **edits):
    with pytest.raises(error) as caught:
        log_on(acceptor, client, **edits)
    assert_failed_for_good(acceptor)
    return caught.value


def assert_failed_for_good(acceptor):
    assert not acceptor.complete
    assert not acceptor.can_wrap
    assert acceptor.identity is None
    assert acceptor.server_authentication is ServerAuthentication.NONE
    for call in (
        lambda: acceptor.step(ScriptedClient().negotiate()),
        lambda: acceptor.wrap(b""),
        lambda: acceptor.unwrap(bytes(16)),
        lambda: acceptor.make_mech_list_mic(b""),
        lambda: acceptor.verify_mech_list_mic(b"", bytes(16)),
        lambda: acceptor.finish(),
        lambda: acceptor.session_key,
    ):
        with pytest.raises(LocalProtocolError):
            call()


def test_login_proves_the_identity_and_opens_a_session():
    acceptor = make_acceptor()
    assert (acceptor.name, acceptor.wire_form, acceptor.complete, acceptor.can_wrap) == ("ntlm", "ntlm", False, False)
    assert acceptor.server_authentication is ServerAuthentication.NONE
    client = log_on(acceptor)
    assert acceptor.complete
    assert acceptor.can_wrap
    assert acceptor.mech_list_mic_required
    assert acceptor.server_authentication is ServerAuthentication.NTLM
    assert acceptor.session_key == client.exported_session_key
    acceptor.finish()
    identity = acceptor.identity
    assert (identity.domain, identity.username, identity.mechanism) == ("Domain", "User", "ntlm")
    assert (identity.workstation, identity.target_name) == ("CLIENT", "TERMSRV/server")
    session = NTLMSession(client.exported_session_key, role="initiator")
    acceptor.verify_mech_list_mic(MECH_TYPES, session.make_mech_list_mic(MECH_TYPES))
    session.verify_mech_list_mic(MECH_TYPES, acceptor.make_mech_list_mic(MECH_TYPES))
    assert acceptor.unwrap(session.wrap(b"to the server")) == b"to the server"
    assert session.unwrap(acceptor.wrap(b"to the client")) == b"to the client"


def test_challenge_is_the_same_for_the_same_clock_and_random():
    challenge = make_acceptor(version=Version(6, 1, 7601)).step(ScriptedClient().negotiate())
    assert challenge.hex() == (
        "4e544c4d53535000" "02000000" "0c000c0038000000" "35828ae2" "0001020304050607" "0000000000000000"
        "6000600044000000" "0601b11d0000000f"
        "530045005200560045005200"
        "020006004c0041004200" "01000c00530045005200560045005200"
        "040010006c00610062002e007400650073007400"
        "03001e007300650072007600650072002e006c00610062002e007400650073007400"
        "07000800" + (NOW // 100 + 116444736000000000).to_bytes(8, "little").hex() + "00000000"
    )  # fmt: skip


def test_identity_has_the_spelling_of_the_store_and_remembers_that_of_the_client():
    acceptor = make_acceptor(Account("LAB", "Alice.Miller", HASH))
    log_on(acceptor, ScriptedClient(user="aLICE.miller@lab.test", domain=""))
    identity = acceptor.identity
    assert (identity.domain, identity.username) == ("LAB", "Alice.Miller")
    assert (identity.sent_domain, identity.sent_username) == ("", "aLICE.miller@lab.test")
    assert identity.account.nt_hash.reveal() == HASH
    assert HASH.hex() not in repr(identity)


def test_recorded_logins_of_another_client_verify():
    for login in (recorded.BARE, recorded.IN_SPNEGO):
        message = Authenticate.decode(login.authenticate)
        account = Account("Domain", "User", HASH)
        found, key = proof.prove(message, [account], login.challenge[24:32])
        assert (found, key) == (account, login.session_base_key)
        proof.verify_mic(login.exported_session_key, recorded.NEGOTIATE, login.challenge, login.authenticate)


# The bytes count as they were received


@pytest.mark.parametrize("tail", [b"", bytes(4), bytes(8), b"\xff" * 13], ids=["impacket", "spec", "freerdp", "odd"])
def test_proof_covers_the_response_as_received_whatever_follows_its_end(tail):
    log_on(make_acceptor(), tail=tail)


def test_proof_with_an_empty_domain_is_taken_although_another_was_sent():
    log_on(make_acceptor(), proof_domain="")


@pytest.mark.parametrize("upper", ["STRAßE", "STRASSE"], ids=["windows", "python"])
def test_user_name_in_either_upper_case_form_is_taken(upper):
    log_on(make_acceptor(), ScriptedClient(user="straße"), upper=upper)


def test_domain_is_not_put_in_upper_case():
    refused(make_acceptor(), ScriptedClient(domain="domain"), AuthenticationError, proof_domain="DOMAIN")


def test_store_is_asked_for_the_names_as_sent():
    store = Store(Account("", "User", HASH))
    log_on(NTLMAcceptor(store), ScriptedClient(user="uSer", domain="doMain"))
    assert store.asked == [("doMain", "uSer")]


# Wrong passwords, unknown users, several accounts


def uniform(error):
    return (type(error), str(error), error.status, error.ntstatus, error.error_code, error.token, error.section)


def test_unknown_user_and_wrong_password_and_broken_store_are_told_in_the_same_words(caplog):
    class Broken(Store):
        def find(self, domain, username):
            raise RuntimeError(f"{domain}/{username} has the hash 31d6cfe0")

    errors = [
        refused(make_acceptor(Account("Domain", "User", OTHER_HASH))),
        refused(make_acceptor(Account("Domain", "User", OTHER_HASH, NTStatus.STATUS_ACCOUNT_LOCKED_OUT))),
        refused(NTLMAcceptor(Store(), target=TARGET)),
        refused(NTLMAcceptor(Broken(), target=TARGET)),
    ]
    assert len({uniform(error) for error in errors}) == 1
    assert errors[0].ntstatus == NTStatus.STATUS_LOGON_FAILURE
    assert errors[0].__context__ is None
    assert [record.getMessage() for record in caplog.records] == [
        "the account store raised RuntimeError; the login is refused"
    ]
    assert "31d6" not in caplog.text


def test_the_right_password_of_a_locked_account_is_as_good_as_a_wrong_one(monkeypatch):
    locked = Account("Domain", "User", HASH, NTStatus.STATUS_ACCOUNT_LOCKED_OUT)
    assert uniform(refused(make_acceptor(locked))) == uniform(
        refused(make_acceptor(Account("Domain", "User", OTHER_HASH)))
    )
    judged = []
    original = proof.check_response
    monkeypatch.setattr(
        proof, "check_response", lambda message, challenge, key: judged.append(key) or original(message, challenge, key)
    )
    refused(make_acceptor(locked))
    assert judged != [HASH]  # its hash is not even looked at


def test_unknown_user_and_wrong_password_cost_the_same_hmacs(monkeypatch):
    original = crypto.hmac_md5

    def cost_of(acceptor):
        calls = []
        client = ScriptedClient()
        token = client.authenticate(acceptor.step(client.negotiate()))
        monkeypatch.setattr(
            crypto, "hmac_md5", lambda key, data: calls.append((len(key), len(data))) or original(key, data)
        )
        with pytest.raises(AuthenticationError):
            acceptor.step(token)
        monkeypatch.setattr(crypto, "hmac_md5", original)
        return calls

    unknown = cost_of(NTLMAcceptor(Store(), target=TARGET))
    wrong = cost_of(make_acceptor(Account("Domain", "User", OTHER_HASH)))
    assert unknown == wrong
    assert len(wrong) == 4  # key and proof, with the domain and without


@pytest.mark.parametrize("right", [0, 1, 2])
def test_any_of_several_accounts_may_match_and_all_are_tried(right, monkeypatch):
    accounts = [Account(f"D{n}", "User", HASH if n == right else bytes([n]) * 16) for n in range(3)]
    acceptor = make_acceptor(*accounts)
    compared = []
    original = proof.hmac.compare_digest
    monkeypatch.setattr(proof.hmac, "compare_digest", lambda a, b: compared.append(a) or original(a, b))
    log_on(acceptor)
    assert acceptor.identity.domain == f"D{right}"
    # The other two with and without the domain, whichever the right one is, and the right one; then the MIC.
    assert len(compared) == 2 * 2 + 1 + 1


def test_first_of_several_matching_accounts_logs_on():
    acceptor = make_acceptor(Account("A", "User", HASH), Account("B", "User", HASH))
    log_on(acceptor)
    assert acceptor.identity.domain == "A"


@pytest.mark.parametrize(
    "status", [NTStatus.STATUS_ACCOUNT_LOCKED_OUT, NTStatus.STATUS_ACCOUNT_DISABLED, NTStatus.STATUS_PASSWORD_EXPIRED]
)
def test_status_of_an_account_is_told_after_the_right_proof(status):
    acceptor = make_acceptor(Account("Domain", "User", HASH, status), tell_lockout=True)
    error = refused(acceptor, error=AuthenticationError)
    assert error.ntstatus == status
    assert error.error_code == status


def test_status_of_an_account_is_not_told_to_who_altered_the_messages():
    error = refused(make_acceptor(Account("Domain", "User", HASH, NTStatus.STATUS_ACCOUNT_DISABLED)), altered_mic=True)
    assert error.status == SecurityStatus.SEC_E_MESSAGE_ALTERED


# MIC


def test_missing_mic_is_refused():
    error = refused(make_acceptor(), error=AuthenticationError, mic=False)
    assert "no MIC" in error.message


def test_missing_mic_is_taken_where_the_settings_say_so():
    acceptor = make_acceptor(require_mic=False)
    log_on(acceptor, mic=False)
    assert not acceptor.mech_list_mic_required


def test_missing_mic_of_an_old_client_with_payload_at_64_is_taken_where_the_settings_say_so():
    log_on(make_acceptor(require_mic=False), mic=False, header_size=64)


@pytest.mark.parametrize("mic", [True, False])
def test_identity_says_whether_a_mic_was_verified(mic):
    acceptor = make_acceptor(require_mic=False)
    log_on(acceptor, mic=mic)
    assert (acceptor.identity.ntlm_mic, acceptor.identity.mech_list_mic) == (mic, None)


@pytest.mark.parametrize(
    ("accounts", "wrong"),
    [
        ([], "name"),
        ([Account("Domain", "User", bytes(16))], "password"),
        ([Account("Domain", "User", HASH, NTStatus.STATUS_ACCOUNT_LOCKED_OUT)], "account"),
        ([Account("Domain", "User", HASH, NTStatus.STATUS_ACCOUNT_DISABLED)], "account"),
        ([Account("Domain", "User", bytes.fromhex("31d6cfe0d16ae931b73c59d7e0c089c0"))], "account"),
        (
            [
                Account("Domain", "User", HASH, NTStatus.STATUS_ACCOUNT_LOCKED_OUT),
                Account("Domain", "User", bytes(16)),
            ],
            "password",
        ),
    ],
    ids=["unknown", "wrong", "locked", "disabled", "empty", "locked and wrong"],
)
def test_the_owner_learns_what_was_wrong_and_not_by_the_text(accounts, wrong):
    acceptor = NTLMAcceptor(Store(*accounts), target=TARGET, clock=lambda: NOW)
    error = refused(acceptor, error=AuthenticationError)
    assert (error.claim.username, error.claim.domain, error.claim.wrong) == ("User", "Domain", wrong)
    if error.ntstatus != NTStatus.STATUS_ACCOUNT_DISABLED:
        assert (error.message, error.ntstatus, error.token) == (
            "unknown user name or wrong password",
            NTStatus.STATUS_LOGON_FAILURE,
            b"",
        )


@pytest.mark.parametrize("require_mic", [True, False])
def test_wrong_mic_is_refused_whatever_the_settings(require_mic):
    error = refused(make_acceptor(require_mic=require_mic), error=RemoteProtocolError, altered_mic=True)
    assert error.status == SecurityStatus.SEC_E_MESSAGE_ALTERED


def test_mic_flag_in_a_message_too_short_for_it_is_refused():
    refused(make_acceptor(), error=DecodeError, header_size=72)


def test_altered_negotiate_is_found_by_the_mic():
    acceptor, client = make_acceptor(), ScriptedClient()
    sent = bytearray(client.negotiate())
    sent[39] ^= 1
    token = client.authenticate(acceptor.step(bytes(sent)))
    with pytest.raises(RemoteProtocolError, match="MIC does not match"):
        acceptor.step(token)


# Flags


@pytest.mark.parametrize("bit", [0x10, 0x20, 0x80000, 0x20000000, 0x40000000])
@pytest.mark.parametrize("where", ["NEGOTIATE", "AUTHENTICATE"])
def test_login_without_any_one_of_the_needed_flags_is_refused(bit, where):
    if where == "NEGOTIATE":
        error = refused(make_acceptor(), ScriptedClient(flags=WINDOWS_FLAGS & ~bit), RemoteProtocolError)
    else:
        error = refused(make_acceptor(), error=RemoteProtocolError, flags=WINDOWS_FLAGS & ~bit)
    assert error.status == SecurityStatus.SEC_E_UNSUPPORTED_FUNCTION
    assert error.message.startswith(where)


def test_login_in_oem_characters_is_refused():
    error = refused(make_acceptor(), ScriptedClient(flags=WINDOWS_FLAGS & ~1), RemoteProtocolError)
    assert error.status == SecurityStatus.SEC_E_UNSUPPORTED_FUNCTION


def test_login_without_any_character_set_is_refused():
    error = refused(make_acceptor(), ScriptedClient(flags=WINDOWS_FLAGS & ~3), RemoteProtocolError)
    assert error.status == SecurityStatus.SEC_E_INVALID_TOKEN


# Old and anonymous logins


def test_ntlmv1_is_refused():
    error = refused(make_acceptor(require_mic=False), error=AuthenticationError, mic=False, nt_response=b"\1" * 24)
    assert "NTLMv1" in error.message


def test_empty_nt_response_is_refused():
    refused(make_acceptor(require_mic=False), error=AuthenticationError, mic=False, nt_response=b"")


def test_anonymous_login_is_refused_by_name_and_by_flag():
    acceptor = make_acceptor(require_mic=False)
    error = refused(acceptor, ScriptedClient(user=""), AuthenticationError, mic=False, nt_response=b"")
    assert "anonymous" in error.message
    error = refused(make_acceptor(), error=AuthenticationError, flags=WINDOWS_FLAGS | 0x800)
    assert "anonymous" in error.message


@pytest.mark.parametrize("key", [b"", b"\1" * 15, b"\1" * 17])
def test_key_exchange_without_a_session_key_is_refused(key):
    error = refused(make_acceptor(), error=DecodeError, encrypted_session_key=key)
    assert error.field == "AUTHENTICATE.EncryptedRandomSessionKey"
    assert error.status == SecurityStatus.SEC_E_INVALID_TOKEN


# Target information


def test_av_list_without_end_is_refused():
    assert "MsvAvEOL" in refused(make_acceptor(), error=DecodeError, eol=False, tail=b"").message


def test_repeated_av_pair_is_refused():
    refused(make_acceptor(), error=DecodeError, edit_av=lambda pairs: [*pairs, pairs[-1]])


@pytest.mark.parametrize("av_id", [1, 2, 3, 4])
def test_response_that_lacks_or_changes_a_name_of_ours_is_refused(av_id):
    error = refused(make_acceptor(), error=AuthenticationError, edit_av=lambda av: [p for p in av if p[0] != av_id])
    assert "another server" in error.message
    refused(
        make_acceptor(),
        error=AuthenticationError,
        edit_av=lambda pairs: [(i, "evil".encode("utf-16-le") if i == av_id else v) for i, v in pairs],
    )


def test_response_with_another_timestamp_is_refused():
    def edit(pairs):
        return [(i, bytes(8) if i == 7 else v) for i, v in pairs]

    assert "MsvAvTimestamp" in refused(make_acceptor(), error=AuthenticationError, edit_av=edit).message


def test_response_without_timestamp_is_taken():
    log_on(make_acceptor(), edit_av=lambda pairs: [pair for pair in pairs if pair[0] != 7])


def test_additional_av_pairs_are_taken():
    log_on(make_acceptor(), edit_av=lambda pairs: [*pairs, (8, bytes(48)), (99, b"?")])


def test_overlapping_payload_is_refused():
    def overlap(message):
        struct.pack_into("<I", message, 48, struct.unpack_from("<I", message, 40)[0])  # Workstation on UserName

    assert "overlap" in refused(make_acceptor(), error=DecodeError, edit=overlap).message


def test_offset_beyond_the_end_is_refused():
    refused(make_acceptor(), error=DecodeError, edit=lambda message: struct.pack_into("<I", message, 40, 0x7FFFFFFF))


def test_odd_length_of_a_name_is_refused():
    refused(make_acceptor(), error=DecodeError, edit=lambda message: struct.pack_into("<H", message, 36, 3))


# Channel bindings, SPN, clock

BINDINGS = b"tls-server-end-point:" + b"\1" * 32


def test_channel_bindings_must_match_where_given():
    log_on(make_acceptor(channel_bindings=BINDINGS), bindings=crypto.channel_bindings_hash(BINDINGS))
    log_on(make_acceptor(), bindings=crypto.channel_bindings_hash(BINDINGS))


@pytest.mark.parametrize("sent", [bytes(16), crypto.channel_bindings_hash(b"another channel")], ids=["none", "other"])
def test_wrong_channel_bindings_are_refused(sent):
    error = refused(make_acceptor(channel_bindings=BINDINGS), error=AuthenticationError, bindings=sent)
    assert error.status == SecurityStatus.SEC_E_BAD_BINDINGS
    assert error.ntstatus == NTStatus.STATUS_BAD_BINDINGS


def test_missing_channel_bindings_are_refused():
    refused(
        make_acceptor(channel_bindings=BINDINGS),
        error=AuthenticationError,
        edit_av=lambda pairs: [pair for pair in pairs if pair[0] != 10],
    )


@pytest.mark.parametrize("spn", ["termsrv/SERVER", ["HTTP/x", "TERMSRV/server"], {"TERMSRV/SERVER"}])
def test_spn_is_compared_without_case(spn):
    log_on(make_acceptor(spn=spn))


@pytest.mark.parametrize("sent", [None, "", "TERMSRV/other"])
def test_wrong_spn_is_refused(sent):
    error = refused(make_acceptor(spn="TERMSRV/server"), error=AuthenticationError, spn=sent)
    assert error.status == SecurityStatus.SEC_E_WRONG_PRINCIPAL


def test_spn_from_an_untrusted_source_is_refused_where_one_is_demanded():
    def untrusted(pairs):
        return [(i, b"\6\0\0\0" if i == 6 else v) for i, v in pairs]

    refused(make_acceptor(spn="TERMSRV/server"), error=AuthenticationError, edit_av=untrusted)
    log_on(make_acceptor(), edit_av=untrusted)


@pytest.mark.parametrize("spn", ["", [], [""]])
def test_empty_spn_setting_is_refused(spn):
    with pytest.raises(LocalProtocolError):
        make_acceptor(spn=spn)


def blob_time(seconds):
    """Alter the time of the blob, not that of the pair, as a client with a clock of its own."""

    def edit(message):
        offset = struct.unpack_from("<I", message, 24)[0] + 24
        struct.pack_into("<Q", message, offset, NOW // 100 + 116444736000000000 + int(seconds * 10_000_000))

    return edit


def test_clock_skew_is_refused_where_a_limit_is_set():
    error = refused(make_acceptor(max_clock_skew=60), error=AuthenticationError, edit=blob_time(-61))
    assert error.status == SecurityStatus.SEC_E_TIME_SKEW
    refused(make_acceptor(max_clock_skew=60), error=AuthenticationError, edit=blob_time(61))
    log_on(make_acceptor(max_clock_skew=60))


# Out of turn


def test_replayed_authenticate_is_refused_by_another_acceptor():
    client = ScriptedClient()
    token = client.authenticate(make_acceptor().step(client.negotiate()))
    other = NTLMAcceptor(Store(Account("Domain", "User", HASH)), target=TARGET, clock=lambda: NOW)
    other.step(client.negotiate())
    with pytest.raises(AuthenticationError, match="unknown user name or wrong password"):
        other.step(token)


def test_second_authenticate_is_refused_and_ends_the_session():
    acceptor, client = make_acceptor(), ScriptedClient()
    token = client.authenticate(acceptor.step(client.negotiate()))
    acceptor.step(token)
    with pytest.raises(LocalProtocolError):
        acceptor.step(token)
    assert_failed_for_good(acceptor)


def test_second_negotiate_is_refused():
    acceptor = make_acceptor()
    acceptor.step(ScriptedClient().negotiate())
    with pytest.raises(DecodeError, match="MessageType"):
        acceptor.step(ScriptedClient().negotiate().ljust(64, b"\0"))
    assert_failed_for_good(acceptor)


@pytest.mark.parametrize("token", [b"", b"NTLMSSP\0", recorded.BARE.authenticate, bytes(100), b"\xff" * 70_000])
def test_junk_in_place_of_negotiate_is_refused(token):
    acceptor = make_acceptor()
    with pytest.raises(RemoteProtocolError):
        acceptor.step(token)
    assert_failed_for_good(acceptor)


def test_no_token_is_our_own_mistake():
    with pytest.raises(LocalProtocolError):
        make_acceptor().step(None)


def test_nothing_works_before_the_login_is_complete():
    acceptor = make_acceptor()
    for call in (
        lambda: acceptor.wrap(b""),
        lambda: acceptor.unwrap(b""),
        lambda: acceptor.make_mech_list_mic(b""),
        lambda: acceptor.verify_mech_list_mic(b"", b""),
        lambda: acceptor.session_key,
    ):
        with pytest.raises(LocalProtocolError):
            call()
    log_on(acceptor)


def test_message_that_does_not_verify_ends_the_session():
    acceptor = make_acceptor()
    log_on(acceptor)
    with pytest.raises(RemoteProtocolError):
        acceptor.unwrap(bytes(32))
    assert_failed_for_good(acceptor)


# What it says and what it does not


def test_reprs_and_logs_hold_no_secret(caplog):
    caplog.set_level(logging.DEBUG)
    acceptor = make_acceptor()
    log_on(acceptor)
    assert repr(acceptor) == "NTLMAcceptor(complete=True, failed=False)"
    assert caplog.text == ""


def test_target_of_this_host_is_a_windows_machine_outside_a_domain():
    target = NTLMTarget.of_this_host()
    assert target is NTLMTarget.of_this_host()
    assert 0 < len(target.nb_computer) <= 15
    assert target.nb_domain == target.nb_computer
    assert not target.is_domain


def test_target_needs_a_name_of_sane_length():
    with pytest.raises(LocalProtocolError):
        NTLMTarget("")
    with pytest.raises(LocalProtocolError):
        NTLMTarget("A", dns_computer="x" * 257)


def test_default_challenge_is_random_and_has_the_time():
    store = Store(Account("Domain", "User", HASH))
    challenges = [NTLMAcceptor(store).step(ScriptedClient().negotiate()) for _ in range(2)]
    assert challenges[0][24:32] != challenges[1][24:32]
    assert int.from_bytes(dict(target_info(challenges[0]))[7], "little") > 133_000_000_000_000_000


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_one_altered_octet_anywhere_is_refused(data):
    acceptor, client = make_acceptor(), ScriptedClient()
    which = data.draw(st.sampled_from(["NEGOTIATE", "CHALLENGE", "AUTHENTICATE"]))

    def relayed(name, token):
        if name != which:
            return token
        at = data.draw(st.integers(0, len(token) - 1))
        return token[:at] + bytes([token[at] ^ data.draw(st.integers(1, 255))]) + token[at + 1 :]

    def login():
        challenge = relayed("CHALLENGE", acceptor.step(relayed("NEGOTIATE", client.negotiate())))
        try:
            token = client.authenticate(challenge)
        except (struct.error, IndexError, KeyError):
            raise RemoteProtocolError("the altered CHALLENGE is nothing a client answers") from None
        acceptor.step(relayed("AUTHENTICATE", token))

    with pytest.raises(CredSSPError):
        login()
    assert not acceptor.complete


@settings(max_examples=300, deadline=None)
@given(
    edits=st.lists(st.tuples(st.integers(0, 500), st.integers(0, 255)), max_size=5),
    size=st.integers(0, 600),
    junk=st.binary(max_size=40),
)
def test_mutated_authenticate_leaves_as_one_of_our_errors(edits, size, junk):
    acceptor, client = make_acceptor(require_mic=False), ScriptedClient()
    original = client.authenticate(acceptor.step(client.negotiate()))
    token = bytearray(original)
    for at, value in edits:
        token[at % len(token)] = value
    token = bytes(token[:size]) + junk
    try:
        acceptor.step(token)
    except CredSSPError:
        assert not acceptor.complete
    else:
        assert token == original

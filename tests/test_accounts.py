import importlib

import pytest

from credssp.account import Account
from credssp.accounts import CallbackAccounts, FileAccounts, MemoryAccounts, callback, memory, nt_hash
from credssp.errors import LocalProtocolError
from credssp.secret import Secret
from credssp.status import NTStatus
from tests.growth import compared

HASH = nt_hash("Password")
HEX = HASH.hex().upper()
NO_LM = "X" * 32


def names(accounts):
    return [(account.domain, account.username) for account in accounts]


# An account


@pytest.mark.parametrize("value", [b"", b"x" * 15, b"x" * 17, "x" * 16, Secret("x" * 16)])
def test_account_refuses_what_is_no_hash(value):
    with pytest.raises(LocalProtocolError):
        Account("", "alice", value)


def test_account_boxes_its_hash():
    account = Account("LAB", "alice", HASH)
    assert account.nt_hash == Secret(HASH)
    assert account == Account("LAB", "alice", Secret(HASH))
    assert "********" in repr(account)


# Memory


@pytest.mark.parametrize("value", ["Password", HASH, Secret("Password"), Secret(HASH), Account("LAB", "alice", HASH)])
def test_memory_takes_passwords_hashes_and_accounts(value):
    accounts = MemoryAccounts({("LAB", "alice"): value})
    for _ in range(2):
        assert accounts.find("LAB", "alice") == (Account("LAB", "alice", HASH),)
    assert len(accounts) == 1


def test_memory_takes_several_accounts_for_one_name():
    several = [Account("LAB", "alice", HASH), Account("LAB", "alice", bytes(16), NTStatus.STATUS_ACCOUNT_DISABLED)]
    assert MemoryAccounts({("LAB", "alice"): several}).find("LAB", "alice") == tuple(several)
    assert MemoryAccounts(iter(several)).find("lab", "Alice") == tuple(several)


def test_every_store_compares_names_as_windows_does(tmp_path):
    (tmp_path / "accounts").write_text("LAB:νικος:Password\n:straße:Password\n", encoding="utf-8")
    memory_store = MemoryAccounts({("LAB", "νικος"): HASH, ("", "straße"): HASH})
    for store in (memory_store, FileAccounts(tmp_path / "accounts", "simple")):
        for name in ("νικος", "νικοσ", "ΝΙΚΟΣ", "Νικος"):
            assert names(store.find("lab", name)) == [("LAB", "νικος")]
        assert names(store.find("", "STRAßE")) == [("", "straße")]
        assert store.find("", "STRASSE") == ()


@pytest.mark.parametrize("value", [b"short", Secret(b"")])
def test_memory_refuses_what_is_neither_password_nor_hash(value):
    with pytest.raises(LocalProtocolError):
        MemoryAccounts({("LAB", "alice"): value})


STORE = MemoryAccounts(
    {
        ("LAB", "alice"): HASH,
        ("OTHER", "alice"): HASH,
        ("", "alice"): HASH,
        ("LAB", "bob"): HASH,
        ("", "carol"): HASH,
        ("lab.test", "dave"): HASH,
        ("", "erin@lab.test"): HASH,
        ("lab.test", "erin"): HASH,
    }
)


@pytest.mark.parametrize(
    ("domain", "username", "found"),
    [
        ("LAB", "alice", [("LAB", "alice")]),
        ("lab", "ALICE", [("LAB", "alice")]),
        ("NOWHERE", "alice", [("", "alice")]),
        ("", "alice", [("", "alice"), ("LAB", "alice"), ("OTHER", "alice")]),
        (".", "carol", [("", "carol")]),
        ("", "carol", [("", "carol")]),
        ("", "bob", [("LAB", "bob")]),
        ("OTHER", "bob", []),
        ("", "dave@LAB.test", [("lab.test", "dave")]),
        ("", "carol@anything", [("", "carol")]),
        ("", "bob@nowhere", []),
        ("", "erin@lab.test", [("", "erin@lab.test")]),
        ("lab.test", "dave@lab.test", []),
        ("LAB", "nobody", []),
        ("", "nobody", []),
        ("", "", []),
    ],
)
def test_names_find_accounts_by_the_documented_rules(domain, username, found):
    assert names(STORE.find(domain, username)) == found


def test_every_lookup_hashes_exactly_one_waiting_password_whoever_is_asked_for(monkeypatch):
    hashed = []
    monkeypatch.setattr(memory, "nt_hash", lambda password: hashed.append(password) or nt_hash(password))
    accounts = MemoryAccounts({("LAB", name): f"password of {name}" for name in "abcd"})
    assert hashed == []
    costs = []
    for name in ("a", "nobody", "a", "nobody", "b", "nobody", "c"):
        before = len(hashed)
        accounts.find("LAB", name)
        costs.append(len(hashed) - before)
    assert costs == [1, 1, 1, 1, 0, 0, 0]
    assert sorted(hashed) == [f"password of {name}" for name in "abcd"]


def test_lookup_cost_does_not_grow_with_the_number_of_accounts():
    def lookups(count):
        accounts = MemoryAccounts({("LAB", f"user{n}"): bytes(16) for n in range(count)})

        def work():
            for n in range(200):
                accounts.find("LAB", f"user{n % count}")
                accounts.find("LAB", "nobody")
                accounts.find("", "user1")

        return work

    assert compared(lookups(10_000), lookups(10)) < 6  # a search through all would be 1000 times as slow


def test_reprs_hold_numbers_and_no_names(tmp_path):
    path = tmp_path / "accounts"
    path.write_text("LAB:alice:secret\n")
    assert repr(MemoryAccounts({("LAB", "alice"): "secret"})) == "MemoryAccounts(1 accounts)"
    assert repr(FileAccounts(path)) == "FileAccounts(1 accounts)"
    assert repr(CallbackAccounts(lambda _domain, _user: "secret")) == "CallbackAccounts()"


# Callback


@pytest.mark.parametrize("answer", ["Password", Secret("Password"), HASH, Secret(HASH)])
def test_callback_may_answer_with_a_password_or_a_hash(answer):
    asked = []
    accounts = CallbackAccounts(lambda *names: asked.append(names) or answer)
    assert accounts.find("Lab", "aLice") == (Account("Lab", "aLice", HASH),)
    assert asked == [("Lab", "aLice")]


def test_callback_may_answer_with_accounts_or_nothing():
    account = Account("LAB", "alice", HASH)
    assert CallbackAccounts(lambda *_: account).find("", "alice") == (account,)
    assert CallbackAccounts(lambda *_: [account, account]).find("", "alice") == (account, account)
    assert CallbackAccounts(lambda *_: []).find("", "alice") == ()
    assert CallbackAccounts(lambda *_: None).find("", "alice") == ()


@pytest.mark.parametrize("answer", [17, b"short", [17], object(), True])
def test_callback_that_answers_with_anything_else_is_our_own_mistake(answer):
    with pytest.raises(LocalProtocolError):
        CallbackAccounts(lambda *_: answer).find("", "alice")


@pytest.mark.filterwarnings("error")
def test_callback_must_not_be_a_coroutine_function():
    async def lookup(_domain, _username):
        return "Password"

    with pytest.raises(LocalProtocolError, match="coroutine"):
        CallbackAccounts(lookup).find("", "alice")


def test_callback_with_passwords_costs_a_hash_for_unknown_users_too(monkeypatch):
    hashed = []
    monkeypatch.setattr(memory, "nt_hash", lambda password: hashed.append(1) or nt_hash(password))
    accounts = CallbackAccounts(lambda _domain, user: {"alice": "Password"}.get(user))
    accounts.find("", "alice")
    accounts.find("", "nobody")
    assert len(hashed) == 2
    CallbackAccounts(lambda *_: HASH).find("", "alice")
    assert len(hashed) == 2


@pytest.mark.parametrize(
    "answer",
    [None, [], HASH, Account("", "a", HASH), "", "short", "x" * 28, "x" * 100, Secret("x" * 60), RuntimeError()],
    ids=repr,
)
def test_every_answer_costs_as_many_hash_blocks_as_the_longest_password(answer, monkeypatch):
    blocks, original = [], callback.md4

    def count(data):
        blocks.append(len(data) + 72 >> 6)
        return original(data)

    monkeypatch.setattr(importlib.import_module("credssp.nt_hash"), "md4", count)
    monkeypatch.setattr(callback, "md4", count)
    answers = iter(["x" * 100, answer])

    def lookup(_domain, _user):
        if isinstance(found := next(answers), Exception):
            raise found
        return found

    accounts = CallbackAccounts(lookup)
    accounts.find("", "alice")
    before = sum(blocks)
    accounts.find("", "alice")
    assert sum(blocks) == 2 * before == 2 * 4


def test_a_callback_that_raises_finds_nobody_and_is_logged_once_a_minute(caplog, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(callback.time, "monotonic", lambda: now[0])

    def lookup(domain, user):
        raise RuntimeError(f"{domain}/{user} has the hash 31d6cfe0")

    accounts = CallbackAccounts(lookup)
    assert [accounts.find("", "alice") for _ in range(5)] == [()] * 5
    now[0] += 60
    accounts.find("", "alice")
    assert [record.getMessage() for record in caplog.records] == [
        "the account callback raised RuntimeError; the login is refused",
        "the account callback raised RuntimeError (5 times); the login is refused",
    ]


# Files


def write(tmp_path, text):
    path = tmp_path / "accounts"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_file_takes_every_format_line_by_line(tmp_path):
    path = write(
        tmp_path,
        "\ufeff# accounts\n\n   # indented\n"
        f"alice:1000:{NO_LM}:{HEX}:[U          ]:LCT-5F000000:\n"
        f"bob:LABDOM::{HEX.lower()}:::\r\n"
        f"carol:::{HEX}:::\n"
        f"dave:1001:{HEX}:{HEX}:::\n"
        "LABDOM:erin:pass:word \n"
        ":frank:Password",
    )
    accounts = FileAccounts(path)
    assert len(accounts) == 6
    assert accounts.find("ANY", "alice") == (Account("", "alice", HASH),)
    assert accounts.find("LABDOM", "bob") == (Account("LABDOM", "bob", HASH),)
    assert accounts.find("", "carol") == (Account("", "carol", HASH),)
    assert accounts.find("", "dave") == (Account("", "dave", HASH),)
    assert accounts.find("labdom", "erin") == (Account("LABDOM", "erin", nt_hash("pass:word ")),)
    assert accounts.find("LABDOM", "frank") == (Account("", "frank", HASH),)
    assert names(accounts.find("OTHER", "bob")) == []


@pytest.mark.parametrize(
    ("flags", "status"),
    [
        ("U          ", None),
        ("UX         ", None),
        ("U D        ", NTStatus.STATUS_ACCOUNT_DISABLED),
        ("UL", NTStatus.STATUS_ACCOUNT_LOCKED_OUT),
        ("UDL", NTStatus.STATUS_ACCOUNT_DISABLED),
        ("W          ", NTStatus.STATUS_NOLOGON_WORKSTATION_TRUST_ACCOUNT),
        ("S", NTStatus.STATUS_NOLOGON_SERVER_TRUST_ACCOUNT),
        ("I", NTStatus.STATUS_NOLOGON_INTERDOMAIN_TRUST_ACCOUNT),
    ],
)
def test_flags_of_smbpasswd_become_statuses(tmp_path, flags, status):
    accounts = FileAccounts(write(tmp_path, f"alice:1000:{NO_LM}:{HEX}:[{flags}]:LCT-5F000000:\n"))
    (account,) = accounts.find("", "alice")
    assert account.status == status


@pytest.mark.parametrize(
    "line",
    [
        f"alice:1000:{NO_LM}:{NO_LM}:[U          ]:LCT-5F000000:",
        f"alice:1000:{'NO PASSWORD' + 'X' * 21}:{'NO PASSWORD' + 'X' * 21}:[UN         ]:LCT-5F000000:",
        f"alice:1000:{NO_LM}:{HEX}:[UN]:LCT-5F000000:",
    ],
)
def test_account_without_password_is_one_nobody_logs_on_to(tmp_path, line):
    assert FileAccounts(write(tmp_path, line)).find("", "alice") == ()


def test_forced_format_settles_what_looks_like_another(tmp_path):
    line = f"LAB:alice:{HEX}:{HEX}"
    assert FileAccounts(write(tmp_path, line)).find("alice", "LAB") == (Account("alice", "LAB", HASH),)
    simple = FileAccounts(write(tmp_path, line), "simple")
    assert simple.find("LAB", "alice") == (Account("LAB", "alice", nt_hash(f"{HEX}:{HEX}")),)
    assert FileAccounts(write(tmp_path, f"alice:4711::{HEX}:::"), "sam").find("4711", "alice") != ()
    assert FileAccounts(write(tmp_path, f"alice:LAB::{HEX}:::"), format="smbpasswd").find("LAB", "alice") == (
        Account("", "alice", HASH),
    )


@pytest.mark.parametrize(
    ("line", "file_format"),
    [
        ("topsecret", None),
        ("topsecret", "sam"),
        ("topsecret:1", "smbpasswd"),
        ("LAB:topsecret", None),
        ("LAB:topsecret:", None),
        ("LAB::topsecret", None),
        (f"::topsecret:{HEX}", "sam"),
        (f":1000:{NO_LM}:{HEX}:", None),
        ("topsecret:LAB::12345:::", "sam"),
        (f"topsecret:1:{NO_LM}:{HEX}:[U1]:", None),
        (f"topsecret:1:{NO_LM}:{HEX}:[U:", None),
        (b"LAB:alice:topsecret\xff", None),
    ],
)
def test_bad_line_is_refused_by_its_number_and_nothing_else(tmp_path, line, file_format):
    data = b"# first line\nLAB:good:line\n" if file_format is None else b"# first line\n\n"
    path = write(tmp_path, data + (line if isinstance(line, bytes) else line.encode()) + b"\n")
    with pytest.raises(LocalProtocolError, match="line 3") as caught:
        FileAccounts(path, file_format)
    assert "topsecret" not in str(caught.value)
    assert HEX not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_file_that_cannot_be_read_is_our_own_mistake(tmp_path):
    with pytest.raises(LocalProtocolError, match="the account file .* cannot be read: No such file"):
        FileAccounts(tmp_path / "missing")


def test_file_is_read_once(tmp_path):
    path = write(tmp_path, "LAB:alice:Password\n")
    accounts = FileAccounts(path)
    path.unlink()
    assert accounts.find("LAB", "alice") == (Account("LAB", "alice", HASH),)


def test_ten_thousand_accounts_load_without_hashing_a_password(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "nt_hash", lambda _password: pytest.fail("hashed at load"))
    path = write(tmp_path, "".join(f"LAB:user{n}:password{n}\n" for n in range(10_000)))
    assert len(FileAccounts(path)) == 10_000

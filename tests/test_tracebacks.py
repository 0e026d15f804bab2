"""No password, hash or key is a local variable of a frame that an error leaves through.

Error trackers, ``rich`` and `traceback` with ``capture_locals`` show them. Here every refusal and every kind of
malformed message is caught, and all local variables of our frames are looked through.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import credssp
from credssp.context.acceptor import create_acceptor
from credssp.context.initiator import create_initiator
from credssp.credentials import RemoteGuardCredentials, SmartCardCredentials
from credssp.engine.client import ClientEngine
from credssp.engine.events import Send
from credssp.engine.server import ServerEngine
from credssp.errors import CredSSPError
from credssp.nt_hash import nt_hash
from credssp.ntlm import crypto, proof, session
from credssp.rdp import NLAClient, NLAServer
from credssp.status import NTStatus
from credssp.winrm import ClientLogin, ServerConnection, format_token
from tests.sspi import pair as sspi_pair
from tests.winrm import memory

PASSWORD = "S3cr3t-P@ssw0rd-of-alice"
HASH = nt_hash(PASSWORD)
ALICE = credssp.PasswordCredentials("alice", PASSWORD, domain="LAB")
ACCOUNTS = credssp.MemoryAccounts({("LAB", "alice"): PASSWORD})
GUESS = credssp.PasswordCredentials("alice", "a wrong guess", domain="LAB")
KEY = b"SubjectPublicKey"


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> set[bytes]:
    """All keys that NTLM derives from now on."""
    found: set[bytes] = set()

    def noting(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            result = function(*args)
            found.update(key for key in (result if isinstance(result, tuple) else (result,)) if len(key) == 16)
            return result

        return call

    monkeypatch.setattr(crypto, "ntowfv2", noting(crypto.ntowfv2))
    monkeypatch.setattr(crypto, "derive_key", noting(crypto.derive_key))
    original = session.NTLMSession.__init__

    def begin(self: Any, key: bytes, *args: Any, **options: Any) -> None:
        found.add(key)
        original(self, key, *args, **options)

    monkeypatch.setattr(session.NTLMSession, "__init__", begin)
    return found


def shown(error: BaseException) -> str:
    """Return all local variables of the library's frames in an error and its causes."""
    errors, text = [error], []
    for one in errors:
        for frame, _ in traceback.walk_tb(one.__traceback__):
            if frame.f_globals["__name__"].startswith("credssp"):
                text += [f"{frame.f_code.co_qualname} {name} = {value!r}" for name, value in frame.f_locals.items()]
        errors += [cause for cause in (one.__cause__, one.__context__) if cause is not None and cause not in errors]
    return "\n".join(text)


def assert_nothing_is_seen(error: BaseException, keys: set[bytes] = frozenset()) -> None:  # type: ignore[assignment]
    text = shown(error)
    assert PASSWORD not in text
    for key in {HASH, *keys}:
        assert repr(key)[2:-1] not in text
        assert key.hex() not in text.lower()


def login(
    client: ClientEngine, server: ServerEngine, change: Callable[[int, bytes], bytes] = lambda _, data: data
) -> int:
    """Let two engines talk, with messages that `change` may alter; returns how many there were."""
    numbers = itertools.count()
    sent: Any = client.initiate()
    for receiver in itertools.cycle((server, client)):
        data = [event.data for event in sent if isinstance(event, Send)]
        if not data:
            return next(numbers)
        sent = receiver.receive(b"".join(change(next(numbers), one) for one in data))
    raise AssertionError


def engines(mechanism: str, credentials: Any = ALICE, **server: Any) -> tuple[ClientEngine, ServerEngine]:
    server = {"accounts": ACCOUNTS, **server}
    options: Any = {"target_name": "TERMSRV/srv", "mechanism": mechanism}
    return (
        ClientEngine(create_initiator(credentials, **options), credentials, public_key=KEY, **options),
        ServerEngine(create_acceptor(**server), public_key=KEY, **server),
    )


def altered(count: int) -> Iterator[Callable[[int, bytes], bytes]]:
    """Yield ways to damage one of so many messages: octets changed, cut off and left out."""
    for number in range(count):
        for at in range(4, 400, 33):
            yield (
                lambda n, data, number=number, at=at: (  # type: ignore[misc]
                    data
                    if n != number
                    else data[:at] + bytes([data[at] ^ 0x15]) + data[at + 1 :]
                    if at < len(data)
                    else data
                )
            )


@pytest.mark.parametrize("mechanism", ["ntlm", "negotiate"])
def test_malformed_messages_of_both_roles(mechanism: str, keys: set[bytes]) -> None:
    failures = 0
    for change in altered(login(*engines(mechanism))):
        try:
            login(*engines(mechanism), change)
        except CredSSPError as error:
            failures += 1
            assert_nothing_is_seen(error, keys)
    assert failures > 20


def store(status: int) -> credssp.MemoryAccounts:
    return credssp.MemoryAccounts([credssp.Account("LAB", "alice", HASH, status)])


@pytest.mark.parametrize("mechanism", ["ntlm", "negotiate"])
@pytest.mark.parametrize(
    "changes",
    [
        {"credentials": GUESS},
        {"credentials": credssp.PasswordCredentials("nobody", PASSWORD, domain="LAB")},
        {"accounts": store(NTStatus.STATUS_ACCOUNT_DISABLED)},
        {"accounts": credssp.CallbackAccounts(lambda domain, user: 1 / 0)},  # type: ignore[arg-type,return-value]
        {"spn": "HTTP/other"},
        {"channel_bindings": b"tls-server-end-point:other"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_refusals(mechanism: str, changes: dict[str, Any], keys: set[bytes]) -> None:
    with pytest.raises(CredSSPError) as caught:
        login(*engines(mechanism, **changes))
    assert_nothing_is_seen(caught.value, keys)


def test_a_callback_that_fails_after_it_read_the_hash(keys: set[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("not one of ours")

    monkeypatch.setattr(proof, "check_response", fail)
    server = credssp.ServerContext(accounts=ACCOUNTS)
    client = credssp.ClientContext(ALICE, target_name="TERMSRV/srv", mechanism="ntlm")
    token = client.step().token
    with pytest.raises(RuntimeError) as caught:
        while True:
            token = client.step(server.step(token).token).token
    assert_nothing_is_seen(caught.value, keys)


def test_rdp(keys: set[bytes]) -> None:
    client, server = NLAClient(GUESS, host="srv", mechanism="ntlm"), NLAServer(accounts=ACCOUNTS)
    client.start()
    with pytest.raises(CredSSPError) as caught:
        for _ in range(20):
            server.receive(client.data_to_send())
            client.receive(server.data_to_send())
    assert_nothing_is_seen(caught.value, keys)


def test_winrm(keys: set[bytes]) -> None:
    client = ClientLogin(credentials=GUESS, host="srv", mechanism="ntlm")
    server = ServerConnection(accounts=ACCOUNTS)
    header: str | None = client.start()
    refused = None
    with pytest.raises(CredSSPError) as caught:
        while header is not None:
            result = memory.leg(server, header)
            refused = result.error or refused
            header = client.receive(401, [format_token(result.token)])
    assert refused is not None
    assert_nothing_is_seen(caught.value, keys)
    assert_nothing_is_seen(refused, keys)


@pytest.mark.parametrize("changes", [{"package": "nothing"}, {"use": 0}, {"principal": 3}, {"package": "NTLM"}])
def test_sspi(changes: dict[str, Any]) -> None:
    import credssp.sspi as sspi

    identity = sspi.SecWinntAuthIdentity("alice", "LAB", PASSWORD)
    with pytest.raises(CredSSPError) as caught:
        sspi_pair.credential(sspi_pair.lsa(), sspi.CredsspCred(spnego_cred=identity), **changes)
    assert_nothing_is_seen(caught.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: credssp.PasswordCredentials("", PASSWORD),
        lambda: credssp.PasswordCredentials("LAB\\alice", PASSWORD, domain="LAB"),
        lambda: credssp.PasswordCredentials("alice", PASSWORD.encode()),  # type: ignore[arg-type]
        lambda: credssp.NTHashCredentials("", HASH),
        lambda: credssp.NTHashCredentials("alice", HASH.hex() + "0"),
        lambda: SmartCardCredentials(pin=PASSWORD.encode()),  # type: ignore[arg-type]
        lambda: RemoteGuardCredentials(package_name="x", buffer=b"", supplemental=((PASSWORD,),)),  # type: ignore[arg-type]
        lambda: credssp.Account("LAB", "alice", HASH + b"0"),
        lambda: credssp.MemoryAccounts({("LAB", "alice"): PASSWORD, ("LAB", "bob"): b"short"}),
        lambda: credssp.CallbackAccounts(lambda *_: [PASSWORD]).find("LAB", "alice"),  # type: ignore[list-item,arg-type,return-value]
    ],
)
def test_arguments_that_make_no_sense(make: Callable[[], object]) -> None:
    with pytest.raises((CredSSPError, TypeError, ValueError)) as caught:
        make()
    assert_nothing_is_seen(caught.value)


def test_an_account_file_that_makes_no_sense(tmp_path: Any) -> None:
    path = tmp_path / "accounts"
    path.touch(mode=0o600)
    path.write_text(f"LAB:alice:{PASSWORD}\nLAB:bob\n")
    with pytest.raises(CredSSPError, match="line 2") as caught:
        credssp.FileAccounts(path)
    assert_nothing_is_seen(caught.value)


def test_auth_objects_of_http(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("requests")
    pytest.importorskip("httpx")
    from credssp.drivers.winrm_httpx import CredSSPAuth
    from credssp.drivers.winrm_requests import HTTPCredSSPAuth

    for auth in (HTTPCredSSPAuth, CredSSPAuth):
        with pytest.raises(CredSSPError) as caught:
            auth("alice", PASSWORD, encryption="sometimes")  # type: ignore[arg-type]
        assert_nothing_is_seen(caught.value)
        with pytest.raises(CredSSPError) as caught:
            auth("", PASSWORD)
        assert_nothing_is_seen(caught.value)


def test_no_live_object_holds_a_secret_after_forget_credentials() -> None:
    done = subprocess.run([sys.executable, "-c", _WALK], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.split()) == (0, ["before", "True", "after", "[]"]), done.stderr


_WALK = """
import gc, sys, types
import credssp
from credssp.nt_hash import nt_hash

password = "".join(["live-", "object-", "secret"])  # the only name of it, deleted below
client = credssp.ClientContext(credssp.PasswordCredentials("alice", password, domain="LAB"),
                               target_name="TERMSRV/x", mechanism="ntlm")
server = credssp.ServerContext(accounts=credssp.CallbackAccounts(
    lambda domain, user: nt_hash("".join(["live-", "object-", "secret"]))))
token = client.step().token
while not client.complete:
    token = client.step(server.step(token).token).token
server.step(token)
del password, token, client

def held():
    "Kinds of objects that refer to the secret, its hash, or a text or octets with either in it."
    hash_ = nt_hash("".join(["live-", "object-", "secret"]))
    word = "".join(["live-", "object-", "secret"])
    needles = [word, word.encode(), word.encode("utf-16-le"), hash_]
    known = {id(needle) for needle in needles} | {id(needles)}
    found, seen, waiting = [], {id(needles), id(sys._getframe())}, gc.get_objects()
    while waiting:
        one = waiting.pop()
        if id(one) in seen or one is waiting or one is found or isinstance(one, types.FrameType):
            continue
        seen.add(id(one))
        if isinstance(one, (str, bytes, bytearray)) and id(one) not in known:
            if any(type(needle) is (str if isinstance(one, str) else bytes) and needle in one for needle in needles):
                found.append(type(one).__name__)
        elif one is not seen and one is not known:
            waiting.extend(ref for ref in gc.get_referents(one) if id(ref) not in seen)
            # What __slots__ hold is among the referents of an object, also where the collector does not track it.
    return found

gc.disable()
print("before", bool(held()))
server.forget_credentials()
print("after", held())
"""

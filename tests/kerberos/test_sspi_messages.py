"""Buffers of a message of Kerberos through `credssp.sspi`, with GSS-API (through pyspnego) on the other side."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import spnego
from spnego.iov import BufferType

import credssp.sspi as sspi
from credssp import CCacheCredentials
from credssp.sspi import SecBuffer
from tests.kdc import REALM, Realm
from tests.kerberos.conftest import PASSWORD, Lab
from tests.kerberos.exchange import TARGET
from tests.peers import require_module, require_program
from tests.sspi.pair import OK, Pair, Side, credential, lsa
from tests.sspi.test_inner_packages import ALLOCATE, WANTED, call, refused, run, token
from tests.sspi.test_message_buffers import DATA, PADDING, READONLY, SIGNED, STREAM, TOKEN, contents, desc, seal, unseal

pytestmark = pytest.mark.interop

NO_ENCRYPT = sspi.SECQOP_WRAP_NO_ENCRYPT
BUFFERS = {
    "one": [(DATA, b"data")],
    "several": [(DATA, b"one"), (DATA, b""), (DATA, b"three")],
    "header": [(SIGNED, b"header"), (DATA, b"body")],
    "everything": [(SIGNED, b"h"), (DATA, b"body"), (READONLY, b"route"), (SIGNED, b"trailer"), (DATA, b"more")],
}


@pytest.fixture(params=["Kerberos", "Negotiate"])
def both(request: pytest.FixtureRequest, lab: Lab) -> Pair:
    authority = lsa(keytab=str(lab.keytab))
    identity = sspi.SecWinntAuthIdentity("alice", REALM, PASSWORD, package_list="kerberos")
    return run(
        Pair(
            Side(authority, credential(authority, identity, package=request.param), WANTED, target=TARGET),
            Side(authority, credential(authority, package=request.param, use=1), ALLOCATE, client=False),
        )
    )


@pytest.fixture
def foreign(lab: Lab) -> tuple[spnego.ContextProxy, Side]:
    """A client of pyspnego, and our server that it has logged on to."""
    authority = lsa(keytab=str(lab.keytab))
    server = Side(authority, credential(authority, package="Kerberos", use=1), ALLOCATE, client=False)
    service, host = TARGET.split("/")
    client = spnego.client(f"alice@{REALM}", PASSWORD, hostname=host, service=service, protocol="kerberos")
    client.step(call(server, token(client.step() or b"")))
    assert client.complete
    return client, server


@pytest.mark.parametrize("buffers", BUFFERS.values(), ids=BUFFERS)
@pytest.mark.parametrize("qop", [0, NO_ENCRYPT])
def test_kerberos_protects_every_kind_of_data(both: Pair, buffers: list[tuple[int, bytes]], qop: int) -> None:
    plain = [content for _, content in buffers]
    for sender, receiver in ((both.client, both.server), (both.server, both.client)):
        message = seal(sender, *buffers, (TOKEN, 96), (PADDING, 16), qop=qop)
        assert message[-1].size == 0, "AES needs no padding"
        for (kind, content), sealed in zip(buffers, contents(message), strict=False):
            assert (sealed == content) is (bool(qop) or kind != DATA or not content)
        assert unseal(receiver, message) == qop
        assert contents(message)[: len(plain)] == plain
        message = desc(*buffers, (TOKEN, 96))
        sender.authority.make_signature(sender.context, 0, message, 0)
        assert receiver.authority.verify_signature(receiver.context, message, 0) == (OK, 0)


@pytest.mark.parametrize("qop", [0, NO_ENCRYPT])
def test_kerberos_opens_a_stream_in_place(both: Pair, qop: int) -> None:
    wire = bytearray(b"".join(contents(seal(both.client, (TOKEN, 96), (DATA, b"data"), (PADDING, 8), qop=qop))))
    message = sspi.SecBufferDesc([SecBuffer(STREAM, wire), SecBuffer(DATA)])
    assert unseal(both.server, message) == qop
    assert message[1].data == b"data"
    assert wire.endswith(b"data"), "in the memory of the STREAM"


@pytest.mark.parametrize("qop", [0, NO_ENCRYPT])
@pytest.mark.parametrize("changed", [0, 1])
def test_kerberos_notices_that_a_signed_part_was_changed(both: Pair, qop: int, changed: int) -> None:
    message = seal(both.client, (SIGNED, b"header"), (DATA, b"body"), (TOKEN, 96), qop=qop)
    message[changed].buffer[0] ^= 1  # type: ignore[index]
    error = refused(both.server.authority.decrypt_message, both.server.context, message, 0)
    assert error.parameter is None


def test_kerberos_does_not_look_at_what_is_readonly(both: Pair) -> None:
    message = seal(both.client, (READONLY, b"route"), (DATA, b"body"), (TOKEN, 96))
    message[0].buffer = bytearray(b"ROUTE")
    assert unseal(both.server, message) == 0
    assert contents(message)[:2] == [b"ROUTE", b"body"]
    error = refused(
        both.client.authority.encrypt_message, both.client.context, 0, desc((READONLY, b"x"), (TOKEN, 96)), 0
    )
    assert error.status is sspi.SecurityStatus.SEC_E_INVALID_TOKEN


def test_token_that_holds_part_of_the_data_is_altered(both: Pair) -> None:
    head, data = contents(seal(both.client, (TOKEN, 96), (DATA, b"data")))
    error = refused(
        both.server.authority.decrypt_message, both.server.context, desc((TOKEN, head + data[:2]), (DATA, data[2:])), 0
    )
    assert error.status is sspi.SecurityStatus.SEC_E_MESSAGE_ALTERED


@pytest.mark.parametrize("encrypt", [True, False])
def test_gssapi_opens_what_buffers_made(foreign: tuple[spnego.ContextProxy, Side], encrypt: bool) -> None:
    client, server = foreign
    message = seal(
        server, (TOKEN, 96), (SIGNED, b"header"), (DATA, b"body"), (DATA, b"more"), qop=0 if encrypt else NO_ENCRYPT
    )
    kinds = (BufferType.header, BufferType.sign_only, BufferType.data, BufferType.data)
    opened = client.unwrap_iov(list(zip(kinds, contents(message), strict=True)))
    assert [buffer.data for buffer in opened.buffers[1:]] == [b"header", b"body", b"more"]
    assert opened.encrypted is encrypt
    whole = client.unwrap(
        b"".join(contents(seal(server, (TOKEN, 96), (DATA, b"one"), (DATA, b"two"), qop=0 if encrypt else NO_ENCRYPT)))
    )
    assert (whole.data, whole.encrypted) == (b"onetwo", encrypt)


@pytest.mark.parametrize("encrypt", [True, False])
def test_buffers_open_what_gssapi_made(foreign: tuple[spnego.ContextProxy, Side], encrypt: bool) -> None:
    client, server = foreign
    qop = 0 if encrypt else NO_ENCRYPT
    made = client.wrap_iov(
        [BufferType.header, (BufferType.sign_only, b"header"), b"body", b"more", BufferType.padding], encrypt=encrypt
    ).buffers
    message = desc(*zip((TOKEN, SIGNED, DATA, DATA, PADDING), (buffer.data or b"" for buffer in made), strict=True))
    assert unseal(server, message) == qop
    assert contents(message)[1:4] == [b"header", b"body", b"more"]
    # gss_wrap turns its token in another way than gss_wrap_iov.
    message = desc((STREAM, client.wrap(b"stream", encrypt=encrypt).data), (DATA, 0))
    assert unseal(server, message) == qop
    assert message[1].data == b"stream"
    sealed = client.wrap_winrm(b"winrm")
    message = desc((TOKEN, sealed.header), (DATA, sealed.data))
    assert unseal(server, message) == 0
    assert message[1].data == b"winrm"


# RC4, the old cipher that pads


@pytest.fixture
def padded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    """Both ends of a context with RC4, from a KDC that still issues such tickets."""
    require_module("gssapi", extra="kerberos")
    kvno = require_program("kvno")
    realm = Realm(tmp_path)
    plain = realm.krb5_conf.read_text()
    realm.krb5_conf.write_text(plain.replace("[libdefaults]", "[libdefaults]\n    allow_rc4 = true"))
    only = tmp_path / "rc4.conf"  # so that no newer cipher is negotiated for the subkey (RFC 4537)
    only.write_text(plain.replace("[libdefaults]", "[libdefaults]\n    allow_rc4 = true\n    permitted_enctypes = rc4"))
    with realm:
        for name, value in realm.environment.items():
            monkeypatch.setenv(name, value)
        realm.add("alice", password=PASSWORD)
        realm.add("OLD/localhost", "-e", "arcfour-hmac:normal")
        cache = realm.kinit("alice", PASSWORD)
        subprocess.run([kvno, "-e", "arcfour-hmac", "-c", cache, "OLD/localhost"], check=True, capture_output=True)
        monkeypatch.setenv("KRB5_CONFIG", str(only))
        authority = lsa(keytab=str(realm.keytab("old.keytab", "OLD/localhost")))
        client = credential(authority, CCacheCredentials(cache), package="Kerberos")
        yield run(
            Pair(
                Side(authority, client, WANTED, target="OLD/localhost"),
                Side(authority, credential(authority, package="Kerberos", use=1), ALLOCATE, client=False),
            )
        )


@pytest.mark.parametrize("qop", [0, NO_ENCRYPT])
def test_padding_gets_the_length_of_what_an_old_cipher_adds(padded: Pair, qop: int) -> None:
    block = padded.client.query(sspi.SECPKG_ATTR_SIZES).block_size
    for sender, receiver in ((padded.client, padded.server), (padded.server, padded.client)):
        message = seal(sender, (TOKEN, 96), (DATA, b"data"), (PADDING, block), qop=qop)
        assert message[2].size == 1
        assert unseal(receiver, message) == qop
        assert message[1].data == b"data"
        message = seal(sender, (TOKEN, 96), (DATA, b"data"), (PADDING, 16), qop=qop)
        stream = desc((STREAM, b"".join(contents(message))), (DATA, 0))
        assert unseal(receiver, stream) == qop
        assert stream[1].data == b"data"
        # As WinRM has it: what the cipher added is at the end of DATA.
        head, data, filler = contents(seal(sender, (TOKEN, 96), (DATA, b"data"), (PADDING, 16), qop=qop))
        message = desc((TOKEN, head), (DATA, data + filler))
        assert unseal(receiver, message) == qop
        assert message[1].data == b"data"
        message = seal(sender, (SIGNED, b"head"), (TOKEN, 96), (DATA, b"da"), (DATA, b"ta"), (PADDING, 1), qop=qop)
        assert unseal(receiver, message) == qop
        assert contents(message)[0::2][:2] == [b"head", b"da"]
        assert message[3].data == b"ta"


def test_cipher_that_pads_needs_a_padding_buffer(padded: Pair) -> None:
    error = refused(
        padded.client.authority.encrypt_message, padded.client.context, 0, desc((TOKEN, 96), (DATA, b"data")), 0
    )
    assert error.status is sspi.SecurityStatus.SEC_E_BUFFER_TOO_SMALL
    assert "PADDING" in error.message

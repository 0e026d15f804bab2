"""Buffers of a message of Kerberos through `credssp.sspi`, with GSS-API (through pyspnego) on the other side."""

from __future__ import annotations

import pytest
import spnego
from spnego.iov import BufferType

import credssp.sspi as sspi
from credssp.sspi import SecBuffer
from tests.kdc import REALM
from tests.kerberos.conftest import PASSWORD, Lab
from tests.kerberos.exchange import TARGET
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

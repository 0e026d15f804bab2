"""Names that no host can have, a NULL pOutput, handles without numbers, exhausted memory, and the clock of expiries."""

from __future__ import annotations

import datetime
import os
import ssl
import time
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography import x509

import credssp.sspi as sspi
from credssp.sspi import CredHandle, CtxtHandle, SecpkgFunctionTable, SecpkgUserFunctionTable, SecurityStatus, SSPIError
from credssp.sspi.tables import SecPkgInfo
from credssp.tls import channel
from credssp.tls.alerts import translate
from tests.sspi.certificates import server_leaf
from tests.sspi.pair import (
    CONTINUE,
    DREP,
    IDENTITY,
    INCOMPLETE,
    ISC,
    OK,
    TARGET,
    Pair,
    Side,
    client_credential,
    credential,
    lsa,
    make,
    server_credential,
    token_in,
    token_out,
)

S = SecurityStatus
ALLOCATE = sspi.ISC_REQ_ALLOCATE_MEMORY
CLIENTS: dict[str, tuple[Any, int]] = {
    "CREDSSP": (sspi.CredsspCred(spnego_cred=IDENTITY), ISC),
    "TSSSP": (sspi.CredsspCred(spnego_cred=IDENTITY), ISC),
    "Schannel": (None, sspi.ISC_REQ_STREAM | ALLOCATE),
    "Negotiate": (IDENTITY, ALLOCATE),
    "NTLM": (IDENTITY, ALLOCATE),
}


def failed(call: Any, *args: Any) -> SSPIError:
    with pytest.raises(SSPIError) as caught:
        call(*args)
    return caught.value


# pszTargetName


@pytest.mark.parametrize("package", CLIENTS)
@pytest.mark.parametrize(
    "name",
    [
        "TERMSRV/two words",
        "TERMSRV/..",
        "TERMSRV/srv..lab.test",
        "TERMSRV/.lab.test",
        "TERMSRV/" + "a" * 64 + ".test",
        "TERMSRV/" + ".".join(["a" * 60] * 5),
        "TERMSRV/" + "ü" * 60 + ".test",
        "TERMSRV/alice@lab.test",
        "TERMSRV/lab\\srv",
        "TERMSRV/srv\n",
        "TERMSRV/srv:99999",
        "TERMSRV/[srv]",
        "TERMSRV/\ud800",
        " ",
    ],
    ids=ascii,
)
def test_target_unknown_blames_a_name_that_no_host_can_have(package: str, name: str) -> None:
    authority = lsa()
    auth_data, flags = CLIENTS[package]
    handle = credential(authority, auth_data, package=package)
    context = CtxtHandle()
    error = failed(
        authority.initialize_security_context, handle, None, name, flags, 0, DREP, None, 0, context, token_out()
    )
    assert (error.status, error.parameter) == (S.SEC_E_TARGET_UNKNOWN, "pszTargetName")
    assert not context.is_valid, "nothing has changed"


@pytest.mark.parametrize("name", ["TERMSRV/SRV.lab.test.", "TERMSRV/[fe80::1]:3389", "TERMSRV/bücher.test", "srv_1"])
def test_odd_names_that_hosts_do_have_are_taken(name: str) -> None:
    for package in ("CREDSSP", "Schannel", "NTLM"):
        authority = lsa()
        auth_data, flags = CLIENTS[package]
        side = Side(authority, credential(authority, auth_data, package=package), flags, target=name)
        assert side.leg()
        assert side.status is CONTINUE


# pOutput


def last_server_leg(both: Pair) -> tuple[Any, bytes]:
    """Run NTLM until the server's last leg is due, which has no token; returns the server and what it is to get."""
    client, server = both.client, both.server
    outputs = [token_out(), token_out(), token_out()]
    authority = client.authority
    authority.initialize_security_context(
        client.credential, None, TARGET, ALLOCATE, 0, DREP, None, 0, client.context, outputs[0]
    )
    authority.accept_security_context(
        server.credential, None, token_in(outputs[0][0].data), ALLOCATE, DREP, server.context, outputs[1]
    )
    authority.initialize_security_context(
        client.credential, client.context, TARGET, ALLOCATE, 0, DREP, token_in(outputs[1][0].data), 0, None, outputs[2]
    )
    return server, outputs[2][0].data


def ntlm_pair() -> Pair:
    authority = lsa()
    return Pair(
        Side(authority, credential(authority, IDENTITY, package="NTLM"), ALLOCATE),
        Side(authority, credential(authority, None, use=1, package="NTLM"), ALLOCATE, client=False),
    )


def test_output_may_be_null_where_there_is_no_token() -> None:
    server, last = last_server_leg(ntlm_pair())
    result = server.authority.accept_security_context(
        server.credential, server.context, token_in(last), 0, DREP, None, None
    )
    assert result.status is OK


def test_output_may_be_null_with_an_incomplete_message() -> None:
    both = make()
    both.client.leg()
    args = (both.client.credential, both.client.context, TARGET, ISC, 0, DREP, token_in(b"\x16\x03"), 0, None, None)
    assert both.client.authority.initialize_security_context(*args).status is INCOMPLETE


def test_token_without_an_output_waits_for_the_repeated_call() -> None:
    both = make()
    client = both.client
    args = (TARGET, ISC, 0, DREP, None, 0, client.context)
    error = failed(client.authority.initialize_security_context, client.credential, None, *args, None)
    assert error.status is S.SEC_E_INSUFFICIENT_MEMORY
    output = token_out()
    result = client.authority.initialize_security_context(client.credential, client.context, *args, output)
    assert result.status is CONTINUE
    both.run(output[0].data)


def test_parameter_is_named_only_where_nothing_has_changed() -> None:
    """A token that did not fit: the input has been consumed, and a first call has made a context."""
    client = make(isc=ISC & ~ALLOCATE).client
    output = token_out(bytearray(10))
    args = (TARGET, client.flags, 0, DREP, None, 0, client.context)
    error = failed(client.authority.initialize_security_context, client.credential, None, *args, output)
    assert (error.status, error.parameter) == (S.SEC_E_INSUFFICIENT_MEMORY, None)
    assert "pOutput" in error.message
    assert client.context.is_valid


def test_user_mode_half_that_takes_no_context_blames_no_argument_of_the_program() -> None:
    """The context is dead, so something has changed."""

    def refuse(context: int, packed: bytearray) -> None:
        raise SSPIError("odd", status=S.SEC_E_INVALID_TOKEN, parameter="pPackedContext")

    table = SecpkgFunctionTable(
        get_info=lambda: SecPkgInfo(0, 1, 0xFFFF, 1, "Odd", ""),
        acquire_credentials_handle=lambda *args: ("credential", 5),
        init_lsa_mode_context=lambda *args: sspi.LegResult(status=OK, context="c", mapped=True),
    )

    class Module:
        @staticmethod
        def sp_lsa_mode_initialize(version: int) -> Any:
            return version, [table]

        @staticmethod
        def sp_user_mode_initialize(version: int) -> Any:
            return version, [SecpkgUserFunctionTable(init_user_mode_context=refuse)]

    authority = lsa()
    authority.registry.add(Module)
    handle = credential(authority, None, package="Odd")
    args = (handle, None, None, ALLOCATE, 0, DREP, None, 0, CtxtHandle(), token_out())
    error = failed(authority.initialize_security_context, *args)
    assert (error.status, error.parameter) == (S.SEC_E_INVALID_TOKEN, None)


# Handles


@pytest.mark.parametrize("parts", [("a", 1), (1, None), ([], {}), (None, None), (1.5, 1.5)], ids=repr)
def test_handle_that_holds_no_numbers_is_invalid(parts: tuple[Any, Any]) -> None:
    authority = lsa()
    context, handle = CtxtHandle(*parts), CredHandle(*parts)
    for call, parameter in (
        (lambda: authority.query_context_attributes(context, 0), "phContext"),
        (lambda: authority.delete_security_context(context), "phContext"),
        (lambda: authority.encrypt_message(context, 0, token_out(), 0), "phContext"),
        (lambda: authority.free_credentials_handle(handle), "phCredential"),
        (lambda: authority.query_credentials_attributes(handle, 1), "phCredential"),
        (
            lambda: authority.initialize_security_context(
                handle, None, TARGET, ISC, 0, DREP, None, 0, CtxtHandle(), token_out()
            ),
            "phCredential",
        ),
    ):
        error = failed(call)
        assert (error.status, error.parameter) == (S.SEC_E_INVALID_HANDLE, parameter)
    assert repr(context) == "CtxtHandle(?)"


# Memory


class Exhausted:
    """A BIO of OpenSSL that gets no memory, as OpenSSL 3 says it through Python."""

    pending = 0

    def write(self, data: bytes) -> int:
        raise ssl.SSLError(786688, "[BUF] malloc failure (_ssl.c:4878)")

    def read(self) -> bytes:
        return b""


def test_insufficient_memory_where_openssl_gets_none_for_the_input(monkeypatch: pytest.MonkeyPatch) -> None:
    both = make()
    token = both.client.leg()
    bio = ssl.MemoryBIO
    bios = iter([Exhausted(), bio()])
    real = channel.TLSChannel.__init__

    def patched(self: Any, *args: Any, **kwargs: Any) -> None:
        real(self, *args, **kwargs)
        self._incoming = next(bios)

    monkeypatch.setattr(channel.TLSChannel, "__init__", patched)
    error = failed(both.server.leg, token)
    assert (error.status, error.parameter) == (S.SEC_E_INSUFFICIENT_MEMORY, None)


@pytest.mark.parametrize(
    "text", ["[SSL] malloc failure (_ssl.c:1006)", "[SSL: MALLOC_FAILURE] malloc failure (_ssl.c:1006)"]
)
def test_insufficient_memory_where_openssl_gets_none_in_the_handshake(text: str) -> None:
    with pytest.raises(sspi.SSPIError.__mro__[1], match="OpenSSL got no memory") as caught:
        raise translate(ssl.SSLError(1, text), during="TLS handshake")
    assert caught.value.status is S.SEC_E_INSUFFICIENT_MEMORY


@pytest.mark.parametrize("exhausted", [True, False])
def test_internal_error_of_openssl_is_lack_of_memory_where_it_gets_none(
    exhausted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What OpenSSL adds to a lack of memory hides it in Python; nor is the peer to blame for an internal error."""

    def refuse(*args: Any) -> None:
        raise MemoryError("failed to allocate BIO")

    error = ssl.SSLError(1, "[SSL] internal error (_ssl.c:1006)")
    if exhausted:
        monkeypatch.setattr(ssl, "MemoryBIO", refuse)
        with pytest.raises(sspi.SSPIError.__mro__[1]) as caught:
            raise translate(error, during="TLS handshake")
        assert caught.value.status is S.SEC_E_INSUFFICIENT_MEMORY
    else:
        assert translate(error, during="TLS handshake").status is S.SEC_E_INTERNAL_ERROR


def test_insufficient_memory_where_openssl_gets_none_for_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise ssl.SSLError(1, "[SSL] malloc failure (_ssl.c:1006)")

    monkeypatch.setattr(ssl.SSLContext, "set_ciphers", refuse)
    authority = lsa()
    # Settings of its own, so that no SSLContext made before is used.
    error = failed(lambda: client_credential(authority, ciphers="ECDHE-RSA-AES256-GCM-SHA384:@SECLEVEL=1"))
    assert error.status is S.SEC_E_INSUFFICIENT_MEMORY


# ptsExpiry


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    def set_zone(name: str) -> None:
        monkeypatch.setitem(os.environ, "TZ", name)
        time.tzset()

    yield set_zone
    monkeypatch.undo()
    time.tzset()


def test_expiry_is_in_the_time_zone_that_is_set_now(zone: Any) -> None:
    authority = lsa()

    def expiry() -> int:
        both = Pair(
            Side(authority, client_credential(authority), ISC),
            Side(
                authority,
                server_credential(authority, certificates=(server_leaf(),)),
                sspi.ASC_REQ_STREAM | ALLOCATE,
                client=False,
            ),
        ).run()
        lifespan = both.client.query(sspi.SECPKG_ATTR_LIFESPAN)
        assert lifespan.start < lifespan.expiry
        return int(lifespan.expiry)

    end = x509.load_der_x509_certificate(server_leaf().der).not_valid_after_utc
    utc = (end - datetime.datetime(1601, 1, 1, tzinfo=datetime.UTC)) // datetime.timedelta(microseconds=1) * 10
    hour = 3600 * 10_000_000
    for name, hours in (("UTC0", 0), ("XXX-5", 5), ("YYY+3", -3)):
        zone(name)
        assert expiry() == utc + hours * hour

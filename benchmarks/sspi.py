"""What the SSPI surface costs over the plain contexts: a login, and a whole session with data and shutdown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import credssp
import credssp.sspi as sspi
from benchmarks.login import DOMAIN, PASSWORD, TARGET, USER
from benchmarks.measure import Clock, Split, compare, take_turns
from credssp.policy import DelegationPolicy
from credssp.sspi import CredHandle, CtxtHandle, LocalSecurityAuthority, Machine, SecBuffer, SecBufferDesc
from credssp.status import SecurityStatus

Case = Callable[[Clock], None]

ISC = (
    sspi.ISC_REQ_DELEGATE
    | sspi.ISC_REQ_STREAM
    | sspi.ISC_REQ_EXTENDED_ERROR
    | sspi.ISC_REQ_MANUAL_CRED_VALIDATION
    | sspi.ISC_REQ_ALLOCATE_MEMORY
)
ASC = sspi.ASC_REQ_DELEGATE | sspi.ASC_REQ_STREAM | sspi.ASC_REQ_EXTENDED_ERROR | sspi.ASC_REQ_ALLOCATE_MEMORY
MESSAGE = bytes(1024)
MESSAGES = 1


def plain(*, session: bool) -> Case:
    """The contexts themselves, with the settings that the package gives them."""
    accounts = credssp.MemoryAccounts({(DOMAIN, USER): PASSWORD})
    credentials = credssp.PasswordCredentials(USER, PASSWORD, domain=DOMAIN)
    policy = DelegationPolicy.windows_defaults()
    tls = credssp.ClientTLS(judge=True)

    def run(clock: Clock) -> None:
        clock.start()
        client = credssp.ClientContext(credentials, target_name=TARGET, policy=policy, tls=tls)
        server = credssp.ServerContext(accounts=accounts)
        token = b""
        while not server.complete:
            token = client.step(token).token
            token = server.step(token).token
        if session:
            for sender, receiver in ((client, server), (server, client)):
                for _ in range(MESSAGES):
                    if receiver.unwrap(sender.wrap(MESSAGE)) != MESSAGE:
                        raise AssertionError("the message was lost")
            server.unwrap(client.shutdown())
        clock.client_lap()

    return run


def _in(data: bytes) -> SecBufferDesc:
    return SecBufferDesc([SecBuffer(sspi.SECBUFFER_TOKEN, data), SecBuffer()])


def _out() -> SecBufferDesc:
    return SecBufferDesc([SecBuffer(sspi.SECBUFFER_TOKEN)])


def surface(*, session: bool) -> Case:
    """The same through the functions of SSPI; credentials are acquired once, as a program does."""
    authority = LocalSecurityAuthority(Machine(accounts=credssp.MemoryAccounts({(DOMAIN, USER): PASSWORD})))
    client_cred, server_cred = CredHandle(), CredHandle()
    identity = sspi.CredsspCred(spnego_cred=sspi.SecWinntAuthIdentity(USER, DOMAIN, PASSWORD))
    authority.acquire_credentials_handle(None, "CREDSSP", 2, None, identity, None, None, client_cred)
    authority.acquire_credentials_handle(None, "CREDSSP", 1, None, None, None, None, server_cred)
    isc, asc = authority.initialize_security_context, authority.accept_security_context
    drep = sspi.SECURITY_NATIVE_DREP

    def run(clock: Clock) -> None:
        clock.start()
        client, server = CtxtHandle(), CtxtHandle()
        output = _out()
        isc(client_cred, None, TARGET, ISC, 0, drep, None, 0, client, output)
        existing = None
        while True:
            desc, output = _in(output[0].data), _out()
            status = asc(server_cred, existing, desc, ASC, drep, server, output).status
            existing = server
            if status is SecurityStatus.SEC_E_OK:
                break
            desc, output = _in(output[0].data), _out()
            isc(client_cred, client, TARGET, ISC, 0, drep, desc, 0, None, output)
        if session:
            for sender, receiver in ((client, server), (server, client)):
                for _ in range(MESSAGES):
                    _message(authority, sender, receiver)
            token = SecBufferDesc([SecBuffer(sspi.SECBUFFER_TOKEN, b"\1\0\0\0")])
            authority.apply_control_token(client, token)
            output = _out()
            isc(client_cred, client, TARGET, ISC, 0, drep, None, 0, None, output)
            desc = SecBufferDesc(
                [SecBuffer(sspi.SECBUFFER_DATA, bytearray(output[0].data)), SecBuffer(), SecBuffer(), SecBuffer()]
            )
            authority.decrypt_message(server, desc, 0)
        authority.delete_security_context(client)
        authority.delete_security_context(server)
        clock.client_lap()

    return run


def _message(authority: LocalSecurityAuthority, sender: CtxtHandle, receiver: CtxtHandle) -> None:
    sizes: Any = authority.query_context_attributes(sender, sspi.SECPKG_ATTR_STREAM_SIZES)
    message = SecBufferDesc(
        [
            SecBuffer(sspi.SECBUFFER_STREAM_HEADER, bytearray(sizes.header)),
            SecBuffer(sspi.SECBUFFER_DATA, bytearray(MESSAGE)),
            SecBuffer(sspi.SECBUFFER_STREAM_TRAILER, bytearray(sizes.trailer)),
            SecBuffer(),
        ]
    )
    authority.encrypt_message(sender, 0, message, 0)
    wire = bytearray(b"".join([buffer.data for buffer in message]))
    message = SecBufferDesc([SecBuffer(sspi.SECBUFFER_DATA, wire), SecBuffer(), SecBuffer(), SecBuffer()])
    authority.decrypt_message(receiver, message, 0)
    if message[1].data != MESSAGE:
        raise AssertionError("the message was lost")


def measure(*, rounds: int = 12, repeat: int = 15) -> dict[str, list[Split]]:
    """Return the rounds of each case, both sides together as ``client``."""
    return take_turns(
        {
            "login, plain": plain(session=False),
            "login, sspi": surface(session=False),
            "session, plain": plain(session=True),
            "session, sspi": surface(session=True),
        },
        rounds=rounds,
        repeat=repeat,
    )


if __name__ == "__main__":
    found = measure()
    for what in ("login", "session"):
        print(what, compare(found[f"{what}, sspi"], found[f"{what}, plain"], "client"))

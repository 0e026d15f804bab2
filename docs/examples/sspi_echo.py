"""A Windows SSPI program in Python: both ends of a CredSSP connection, written against `credssp.sspi` alone.

    python docs/examples/sspi_echo.py

A server thread and a client talk over a loopback socket. The client logs on and delegates its password, both exchange
encrypted messages, and both shut down. Every step is the one that a program in C takes; read the functions from top
to bottom beside the documentation of Windows.
"""

from __future__ import annotations

import socket
import sys
import threading

import credssp.sspi as sspi
from credssp import MemoryAccounts, Secret
from credssp.sspi import CredHandle, CtxtHandle, SecBuffer, SecBufferDesc, SecurityStatus
from credssp.sspi.packed import unpack_logon

TARGET = "TERMSRV/srv.lab.test"
ISC_FLAGS = (
    sspi.ISC_REQ_DELEGATE
    | sspi.ISC_REQ_STREAM
    | sspi.ISC_REQ_CONFIDENTIALITY
    | sspi.ISC_REQ_REPLAY_DETECT
    | sspi.ISC_REQ_SEQUENCE_DETECT
    | sspi.ISC_REQ_EXTENDED_ERROR
    | sspi.ISC_REQ_ALLOCATE_MEMORY
    | sspi.ISC_REQ_MANUAL_CRED_VALIDATION
)
ASC_FLAGS = (  # not the same numbers!
    sspi.ASC_REQ_DELEGATE
    | sspi.ASC_REQ_STREAM
    | sspi.ASC_REQ_CONFIDENTIALITY
    | sspi.ASC_REQ_REPLAY_DETECT
    | sspi.ASC_REQ_SEQUENCE_DETECT
    | sspi.ASC_REQ_EXTENDED_ERROR
    | sspi.ASC_REQ_ALLOCATE_MEMORY
)


class Stream:
    """A socket and what was read from it and not consumed yet."""

    def __init__(self, connection: socket.socket, *, read_size: int = 16384) -> None:
        self.connection = connection
        self.read_size = read_size
        self.buffer = b""

    def read_more(self) -> None:
        data = self.connection.recv(self.read_size)
        if not data:
            raise EOFError("the peer is gone")
        self.buffer += data

    def keep(self, buffers: SecBufferDesc) -> None:
        """Keep what a call has not consumed: the last cbBuffer bytes of its input."""
        extra = next((buffer.size for buffer in buffers if buffer.buffer_type == sspi.SECBUFFER_EXTRA), 0)
        self.buffer = self.buffer[len(self.buffer) - extra :]


def acquire_client(user: str, domain: str, password: str) -> CredHandle:
    credential = CredHandle()
    identity = sspi.SecWinntAuthIdentity(user, domain, Secret(password))
    sspi.acquire_credentials_handle(
        None,
        sspi.CREDSSP_NAME,
        sspi.SECPKG_CRED_OUTBOUND,
        None,
        sspi.CredsspCred(spnego_cred=identity),
        None,
        None,
        credential,
    )
    return credential


def acquire_server(accounts: MemoryAccounts) -> CredHandle:
    credential = CredHandle()
    sspi.acquire_credentials_handle(
        None,
        sspi.CREDSSP_NAME,
        sspi.SECPKG_CRED_INBOUND,
        None,
        sspi.CredsspCred(accounts=accounts),
        None,
        None,
        credential,
    )
    return credential


def authenticate(stream: Stream, credential: CredHandle, *, server: bool) -> CtxtHandle:
    """The loop that every SSPI program has."""
    context = CtxtHandle()
    received: SecBufferDesc | None = None
    if server:
        stream.read_more()
    while True:
        if server or context.is_valid:
            received = SecBufferDesc([SecBuffer(sspi.SECBUFFER_TOKEN, stream.buffer), SecBuffer()])
        output = SecBufferDesc([SecBuffer(sspi.SECBUFFER_TOKEN)])
        existing = context if context.is_valid else None
        try:
            if server:
                result = sspi.accept_security_context(
                    credential, existing, received, ASC_FLAGS, sspi.SECURITY_NATIVE_DREP, context, output
                )
            else:
                result = sspi.initialize_security_context(
                    credential,
                    existing,
                    TARGET,
                    ISC_FLAGS,
                    0,
                    sspi.SECURITY_NATIVE_DREP,
                    received,
                    0,
                    context,
                    output,
                )
        except sspi.SSPIError:
            # EXTENDED_ERROR: there may be a token that tells the peer why.
            send_token(stream, output)
            if context.is_valid:
                sspi.delete_security_context(context)
            raise
        if result.status == SecurityStatus.SEC_E_INCOMPLETE_MESSAGE:
            stream.read_more()
            continue
        send_token(stream, output)  # also with SEC_E_OK: the last leg of a client
        if received is not None:
            stream.keep(received)
        if result.status == SecurityStatus.SEC_E_OK:
            return context
        if not stream.buffer:
            stream.read_more()


def send_token(stream: Stream, output: SecBufferDesc) -> None:
    token = output[0]
    if token.size:
        stream.connection.sendall(token.data)
        sspi.free_context_buffer(token.buffer)


def send(stream: Stream, context: CtxtHandle, data: bytes) -> None:
    sizes = sspi.query_context_attributes(context, sspi.SECPKG_ATTR_STREAM_SIZES)
    for start in range(0, len(data), sizes.maximum_message):
        message = SecBufferDesc(
            [
                SecBuffer(sspi.SECBUFFER_STREAM_HEADER, bytearray(sizes.header)),
                SecBuffer(sspi.SECBUFFER_DATA, bytearray(data[start : start + sizes.maximum_message])),
                SecBuffer(sspi.SECBUFFER_STREAM_TRAILER, bytearray(sizes.trailer)),
                SecBuffer(),
            ]
        )
        sspi.encrypt_message(context, 0, message, 0)
        stream.connection.sendall(b"".join(buffer.data for buffer in message))


def receive(stream: Stream, context: CtxtHandle) -> bytes | None:
    """Return the next piece of plaintext, or None where the peer has closed the stream."""
    while True:
        message = SecBufferDesc(
            [SecBuffer(sspi.SECBUFFER_DATA, bytearray(stream.buffer)), SecBuffer(), SecBuffer(), SecBuffer()]
        )
        result = sspi.decrypt_message(context, message, 0)
        if result.status == SecurityStatus.SEC_E_INCOMPLETE_MESSAGE:
            stream.read_more()
            continue
        stream.keep(message)
        if result.status == SecurityStatus.SEC_I_CONTEXT_EXPIRED:
            return None
        if message[1].size:
            return message[1].data


def shut_down(stream: Stream, credential: CredHandle, context: CtxtHandle, *, server: bool) -> None:
    """ApplyControlToken, one more leg, and the handle is free."""
    shutdown = sspi.SCHANNEL_SHUTDOWN.to_bytes(4, "little")
    sspi.apply_control_token(context, SecBufferDesc([SecBuffer(sspi.SECBUFFER_TOKEN, shutdown)]))
    output = SecBufferDesc([SecBuffer(sspi.SECBUFFER_TOKEN)])
    if server:
        sspi.accept_security_context(credential, context, None, ASC_FLAGS, sspi.SECURITY_NATIVE_DREP, None, output)
    else:
        sspi.initialize_security_context(
            credential, context, TARGET, ISC_FLAGS, 0, sspi.SECURITY_NATIVE_DREP, None, 0, None, output
        )
    send_token(stream, output)
    sspi.delete_security_context(context)
    sspi.free_credentials_handle(credential)


def serve(connection: socket.socket, accounts: MemoryAccounts, *, read_size: int = 16384) -> str:
    """Let one client log on and send back what it says; returns what it delegated."""
    stream = Stream(connection, read_size=read_size)
    credential = acquire_server(accounts)
    context = authenticate(stream, credential, server=True)
    creds = sspi.query_context_attributes(context, sspi.SECPKG_ATTR_CREDS_2)
    delegated = unpack_logon(creds.auth_buffer)
    sspi.free_context_buffer(creds.auth_buffer)
    while (data := receive(stream, context)) is not None:
        send(stream, context, data)
    shut_down(stream, credential, context, server=True)
    return repr(delegated)


def talk(connection: socket.socket, password: str, data: bytes, *, read_size: int = 16384) -> bytes:
    """Log on, send something, return what comes back."""
    stream = Stream(connection, read_size=read_size)
    credential = acquire_client("alice", "LAB", password)
    context = authenticate(stream, credential, server=False)
    send(stream, context, data)
    answer = b""
    while len(answer) < len(data):
        answer += receive(stream, context) or b""
    shut_down(stream, credential, context, server=False)
    return answer


def main() -> int:
    accounts = MemoryAccounts({("LAB", "alice"): "secret"})
    listener = socket.create_server(("127.0.0.1", 0))
    result: list[str] = []

    def run() -> None:
        connection, _ = listener.accept()
        with connection:
            result.append(serve(connection, accounts))

    thread = threading.Thread(target=run)
    thread.start()
    with listener, socket.create_connection(listener.getsockname()) as connection:
        print("the server sent back", talk(connection, "secret", b"hello over CredSSP"))
    thread.join(30)
    print("the client delegated", *result)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""A client and a server written against `credssp.sspi`, in memory: what the tests of the surface share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import credssp
import credssp.sspi as sspi
from credssp.sspi import SecBuffer, SecBufferDesc, SecurityStatus

TARGET = "TERMSRV/srv.lab.test"
USER, DOMAIN, PASSWORD = "alice", "LAB", "correct horse"
ACCOUNTS = credssp.MemoryAccounts({(DOMAIN, USER): PASSWORD})
IDENTITY = sspi.SecWinntAuthIdentity(USER, DOMAIN, PASSWORD)

ISC = (
    sspi.ISC_REQ_DELEGATE
    | sspi.ISC_REQ_EXTENDED_ERROR
    | sspi.ISC_REQ_STREAM
    | sspi.ISC_REQ_MANUAL_CRED_VALIDATION
    | sspi.ISC_REQ_ALLOCATE_MEMORY
)
ASC = sspi.ASC_REQ_DELEGATE | sspi.ASC_REQ_EXTENDED_ERROR | sspi.ASC_REQ_STREAM | sspi.ASC_REQ_ALLOCATE_MEMORY

OK = SecurityStatus.SEC_E_OK
CONTINUE = SecurityStatus.SEC_I_CONTINUE_NEEDED
INCOMPLETE = SecurityStatus.SEC_E_INCOMPLETE_MESSAGE
DREP = sspi.SECURITY_NATIVE_DREP


def lsa(**machine: Any) -> sspi.LocalSecurityAuthority:
    """An LSA of the test's own."""
    machine.setdefault("accounts", ACCOUNTS)
    return sspi.LocalSecurityAuthority(sspi.Machine(**machine))


def credential(
    authority: sspi.LocalSecurityAuthority,
    auth_data: Any = None,
    *,
    use: int = sspi.SECPKG_CRED_OUTBOUND,
    package: str = sspi.CREDSSP_NAME,
    principal: str | None = None,
    logon_id: int | None = None,
) -> sspi.CredHandle:
    handle = sspi.CredHandle()
    authority.acquire_credentials_handle(principal, package, use, logon_id, auth_data, None, None, handle)
    return handle


def client_credential(authority: sspi.LocalSecurityAuthority, **schannel: Any) -> sspi.CredHandle:
    tls = sspi.SchannelCred(**schannel) if schannel else None
    return credential(authority, sspi.CredsspCred(schannel_cred=tls, spnego_cred=IDENTITY))


def server_credential(authority: sspi.LocalSecurityAuthority, **schannel: Any) -> sspi.CredHandle:
    tls = sspi.SchannelCred(**schannel) if schannel else None
    return credential(authority, sspi.CredsspCred(schannel_cred=tls), use=sspi.SECPKG_CRED_INBOUND)


def token_in(data: bytes) -> SecBufferDesc:
    return SecBufferDesc([SecBuffer(sspi.SECBUFFER_TOKEN, data), SecBuffer()])


def token_out(memory: bytearray | None = None) -> SecBufferDesc:
    return SecBufferDesc([SecBuffer(sspi.SECBUFFER_TOKEN, memory)])


@dataclass
class Side:
    """One side of a connection.

    Attributes:
        rest: received octets that no call has consumed yet.
        log: (status, attributes) of the legs.
    """

    authority: sspi.LocalSecurityAuthority
    credential: sspi.CredHandle
    flags: int
    client: bool = True
    target: str | None = TARGET
    context: sspi.CtxtHandle = field(default_factory=sspi.CtxtHandle)
    rest: bytes = b""
    log: list[tuple[SecurityStatus, int]] = field(default_factory=list)
    inputs: SecBufferDesc | None = None
    extra_inputs: list[SecBuffer] = field(default_factory=list)

    @property
    def started(self) -> bool:
        return self.context.is_valid

    @property
    def status(self) -> SecurityStatus:
        return self.log[-1][0]

    @property
    def attributes(self) -> int:
        return self.log[-1][1]

    def leg(self, received: bytes | None = None) -> bytes:
        """Make one call; returns the token to send, also from a call that failed (then it raises with `.sent`)."""
        output = token_out()
        first = None if not self.started else self.context
        if received is None and self.client:
            desc = SecBufferDesc(self.extra_inputs) if self.extra_inputs else None
        else:
            self.rest += received or b""
            desc = SecBufferDesc([*token_in(self.rest), *self.extra_inputs])
        self.extra_inputs = []
        self.inputs = desc
        try:
            if self.client:
                result = self.authority.initialize_security_context(
                    self.credential, first, self.target, self.flags, 0, DREP, desc, 0, self.context, output
                )
            else:
                result = self.authority.accept_security_context(
                    self.credential, first, desc, self.flags, DREP, self.context, output
                )
        except sspi.SSPIError as error:
            error.sent = output[0].data  # type: ignore[attr-defined]
            raise
        self.log.append((result.status, result.attributes))
        if result.status not in (INCOMPLETE, SecurityStatus.SEC_I_INCOMPLETE_CREDENTIALS) and desc is not None:
            left = next((b.size for b in desc if b.buffer_type == sspi.SECBUFFER_EXTRA), 0)
            self.rest = self.rest[len(self.rest) - left :]
        return output[0].data

    def query(self, attribute: int) -> Any:
        return self.authority.query_context_attributes(self.context, attribute)

    def encrypt(self, data: bytes) -> bytes:
        sizes = self.query(sspi.SECPKG_ATTR_STREAM_SIZES)
        message = sealing(sizes, data)
        assert self.authority.encrypt_message(self.context, 0, message, 0) is OK
        return b"".join(buffer.data for buffer in message)

    def decrypt(self, data: bytes) -> bytes:
        message = opening(self.rest + data)
        result = self.authority.decrypt_message(self.context, message, 0)
        assert result.status is OK, result
        self.rest = message[3].data if message[3].buffer_type == sspi.SECBUFFER_EXTRA else b""
        return message[1].data


def sealing(sizes: Any, data: bytes) -> SecBufferDesc:
    return SecBufferDesc(
        [
            SecBuffer(sspi.SECBUFFER_STREAM_HEADER, bytearray(sizes.header)),
            SecBuffer(sspi.SECBUFFER_DATA, bytearray(data)),
            SecBuffer(sspi.SECBUFFER_STREAM_TRAILER, bytearray(sizes.trailer)),
            SecBuffer(),
        ]
    )


def opening(data: bytes) -> SecBufferDesc:
    return SecBufferDesc([SecBuffer(sspi.SECBUFFER_DATA, bytearray(data)), SecBuffer(), SecBuffer(), SecBuffer()])


@dataclass
class Pair:
    client: Side
    server: Side

    def run(self, token: bytes | None = None) -> Pair:
        """Exchange tokens until both sides are content."""
        token = self.client.leg() if token is None else token
        while True:
            reply = self.server.leg(token)
            if self.server.status is OK and self.client.status is OK:
                return self
            token = self.client.leg(reply)
            if not token and self.server.status is OK:
                return self


def make(
    *,
    isc: int = ISC,
    asc: int = ASC,
    target: str | None = TARGET,
    authority: sspi.LocalSecurityAuthority | None = None,
    server_authority: sspi.LocalSecurityAuthority | None = None,
    client: dict[str, Any] | None = None,
    server: dict[str, Any] | None = None,
) -> Pair:
    """Both sides of CREDSSP, not yet started."""
    authority = authority or lsa()
    server_authority = server_authority or authority
    return Pair(
        Side(authority, client_credential(authority, **(client or {})), isc, target=target),
        Side(server_authority, server_credential(server_authority, **(server or {})), asc, client=False),
    )

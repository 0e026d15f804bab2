"""`ClientAuth` and `ServerAuth` with the interface of pywin32's module `sspi`, for machines that do not have its file.

pywin32's own file works on `win32security` as well; programs that bring it keep it.
"""

from __future__ import annotations

from datetime import datetime

from credssp.sspi import attributes as a
from credssp.sspi import buffers as b
from credssp.sspi import constants as c
from credssp.sspi.compat import win32security
from credssp.sspi.compat.failures import argument, signed
from credssp.sspi.compat.pywintypes import error as error
from credssp.sspi.compat.win32_buffers import PySecBufferDescType, PySecBufferType
from credssp.status import SecurityStatus

__all__ = ["ClientAuth", "ServerAuth", "error"]

_NO_ENCRYPT = signed(c.SECQOP_WRAP_NO_ENCRYPT)
_COMPLETE = (SecurityStatus.SEC_I_COMPLETE_NEEDED, SecurityStatus.SEC_I_COMPLETE_AND_CONTINUE)


def _desc(*buffers: tuple[int, bytes | int]) -> PySecBufferDescType:
    """Return buffers of these types: with contents, or of a size."""
    desc = PySecBufferDescType()
    for kind, content in buffers:
        buffer = PySecBufferType(content if isinstance(content, int) else len(content), kind)
        if not isinstance(content, int):
            buffer.Buffer = content
        desc.append(buffer)
    return desc


def _bytes(name: str, data: bytes) -> bytes:
    """Return bytes; a number, which would be a size, is refused. Raises TypeError."""
    return bytes(argument(name, data, bytes, bytearray, memoryview))


class _Auth:
    """What both sides share.

    Attributes:
        ctxt: the context; None before the first token.
        authenticated: whether the exchange is over.
        initiator_name: the client as Kerberos names it, once authenticated; None with NTLM.
        service_name: the server as Kerberos names it, once authenticated; None with NTLM.
        next_seq_num: number of the next message.
        pkg_info: the package, as `win32security.QuerySecurityPackageInfo` describes it.
        credentials: the credential.
        credentials_expiry: when it ends.
        ctxt_attr: attributes of the last leg.
        ctxt_expiry: when the context ends.
    """

    ctxt: win32security.PyCtxtHandleType | None
    ctxt_attr: int
    ctxt_expiry: datetime

    def __init__(self, pkg_name: str, principal: str | None, use: int, auth_info: object, scflags: int) -> None:
        self.pkg_info = win32security.QuerySecurityPackageInfo(pkg_name)
        self.credentials, self.credentials_expiry = win32security.AcquireCredentialsHandle(
            principal, str(self.pkg_info["Name"]), use, None, auth_info
        )
        self.scflags = scflags
        self.reset()

    def reset(self) -> None:
        """Forget the context: the next token begins a new exchange."""
        self.ctxt = None
        self.authenticated = False
        self.initiator_name: str | None = None
        self.service_name: str | None = None
        self.next_seq_num = 0

    def authorize(self, sec_buffer_in: PySecBufferDescType | bytes | None) -> tuple[int, PySecBufferDescType]:
        """Make one leg.

        Args:
            sec_buffer_in: what the peer sent, as bytes or in buffers; None for a client's first leg.

        Returns:
            The status (0: authenticated), and buffers whose first is the token to send.

        Raises:
            error: the exchange failed.
        """
        given = sec_buffer_in
        if given is not None and not isinstance(given, PySecBufferDescType):
            given = _desc((b.SECBUFFER_TOKEN, _bytes("sec_buffer_in", given)))
        size = self.pkg_info["MaxToken"]
        output = _desc((b.SECBUFFER_TOKEN, size if isinstance(size, int) else 0))
        before = self.ctxt
        context = win32security.PyCtxtHandleType() if before is None else before
        status, self.ctxt_attr, self.ctxt_expiry = self._leg(before, given, context, output)
        self.ctxt = context
        if status in _COMPLETE:
            context.CompleteAuthToken(output)
        self.authenticated = status == 0
        if self.authenticated:
            try:
                names = context.QueryContextAttributes(a.SECPKG_ATTR_NATIVE_NAMES)
            except error:
                pass  # NTLM has none
            else:
                self.initiator_name, self.service_name = names  # type: ignore[misc]  # a pair
        return status, output

    def _leg(
        self,
        before: win32security.PyCtxtHandleType | None,
        given: PySecBufferDescType | None,
        context: win32security.PyCtxtHandleType,
        output: PySecBufferDescType,
    ) -> win32security.LegAnswer:
        raise NotImplementedError

    def _context(self) -> win32security.PyCtxtHandleType:
        if self.ctxt is None:
            raise ValueError("there is no context yet: authorize() first")
        return self.ctxt

    def _size(self, name: str) -> int:
        sizes = self._context().QueryContextAttributes(a.SECPKG_ATTR_SIZES)
        return int(sizes[name])  # type: ignore[index]  # a dictionary

    def _get_next_seq_num(self) -> int:
        number = self.next_seq_num
        self.next_seq_num += 1
        return number

    def encrypt(self, data: bytes) -> tuple[bytes, bytes]:
        """Return the encrypted message and its signature."""
        message = _desc((b.SECBUFFER_DATA, _bytes("data", data)), (b.SECBUFFER_TOKEN, self._size("SecurityTrailer")))
        self._context().EncryptMessage(0, message, self._get_next_seq_num())
        return message[0].Buffer, message[1].Buffer

    def decrypt(self, data: bytes, trailer: bytes) -> bytes:
        """Open what `encrypt` of the peer returned."""
        message = _desc((b.SECBUFFER_DATA, _bytes("data", data)), (b.SECBUFFER_TOKEN, _bytes("trailer", trailer)))
        self._context().DecryptMessage(message, self._get_next_seq_num())
        return message[0].Buffer

    def sign(self, data: bytes) -> bytes:
        """Return a signature over a message."""
        message = _desc((b.SECBUFFER_DATA, _bytes("data", data)), (b.SECBUFFER_TOKEN, self._size("MaxSignature")))
        self._context().MakeSignature(0, message, self._get_next_seq_num())
        return message[1].Buffer

    def verify(self, data: bytes, sig: bytes) -> None:
        """Check the signature that `sign` of the peer returned.

        Raises:
            error: it does not fit.
        """
        message = _desc((b.SECBUFFER_DATA, _bytes("data", data)), (b.SECBUFFER_TOKEN, _bytes("sig", sig)))
        self._context().VerifySignature(message, self._get_next_seq_num())

    def wrap(self, msg: bytes, encrypt: bool = False) -> bytes:
        """Return a message in one piece, as GSS_Wrap does; signed alone unless it is to be encrypted."""
        message = _desc(
            (b.SECBUFFER_DATA, _bytes("msg", msg)),
            (b.SECBUFFER_TOKEN, self._size("SecurityTrailer")),
            (b.SECBUFFER_PADDING, self._size("BlockSize")),
        )
        self._context().EncryptMessage(0 if encrypt else _NO_ENCRYPT, message, self._get_next_seq_num())
        return message[1].Buffer + message[0].Buffer + message[2].Buffer

    def unwrap(self, token: bytes) -> tuple[bytes, bool]:
        """Open what `wrap` of the peer returned; says whether it was encrypted."""
        message = _desc((b.SECBUFFER_STREAM, _bytes("token", token)), (b.SECBUFFER_DATA, 0))
        qop = self._context().DecryptMessage(message, self._get_next_seq_num())
        return message[1].Buffer, qop != _NO_ENCRYPT


class ClientAuth(_Auth):
    """A client.

    Args:
        pkg_name: the package, such as ``Negotiate``.
        client_name: whose credentials, or None.
        auth_info: user name, domain and password; None for the default credentials.
        targetspn: the server, such as ``HTTP/host``.
        scflags: ``ISC_REQ_...``; by default integrity, confidentiality, and detection of replays and of a wrong order.
        datarep: SECURITY_NETWORK_DREP or SECURITY_NATIVE_DREP.
    """

    def __init__(
        self,
        pkg_name: str,
        client_name: str | None = None,
        auth_info: tuple[str | None, str | None, str | None] | None = None,
        targetspn: str | None = None,
        scflags: int | None = None,
        datarep: int = c.SECURITY_NETWORK_DREP,
    ) -> None:
        default = c.ISC_REQ_INTEGRITY | c.ISC_REQ_SEQUENCE_DETECT | c.ISC_REQ_REPLAY_DETECT | c.ISC_REQ_CONFIDENTIALITY
        flags = default if scflags is None else scflags
        self.targetspn, self.datarep = targetspn, datarep
        super().__init__(pkg_name, client_name, c.SECPKG_CRED_OUTBOUND, auth_info, flags)

    def _leg(
        self,
        before: win32security.PyCtxtHandleType | None,
        given: PySecBufferDescType | None,
        context: win32security.PyCtxtHandleType,
        output: PySecBufferDescType,
    ) -> win32security.LegAnswer:
        return win32security.InitializeSecurityContext(
            self.credentials, before, self.targetspn, self.scflags, self.datarep, given, context, output
        )


class ServerAuth(_Auth):
    """A server; who may log on is a matter of `credssp.sspi.configure`.

    Args:
        pkg_name: the package, such as ``Negotiate``.
        spn: whose credentials, or None.
        scflags: ``ASC_REQ_...``; by default as for a client.
        datarep: SECURITY_NETWORK_DREP or SECURITY_NATIVE_DREP.
    """

    def __init__(
        self,
        pkg_name: str,
        spn: str | None = None,
        scflags: int | None = None,
        datarep: int = c.SECURITY_NETWORK_DREP,
    ) -> None:
        default = c.ASC_REQ_INTEGRITY | c.ASC_REQ_SEQUENCE_DETECT | c.ASC_REQ_REPLAY_DETECT | c.ASC_REQ_CONFIDENTIALITY
        flags = default if scflags is None else scflags
        self.spn, self.datarep = spn, datarep
        super().__init__(pkg_name, spn, c.SECPKG_CRED_INBOUND, None, flags)

    def _leg(
        self,
        before: win32security.PyCtxtHandleType | None,
        given: PySecBufferDescType | None,
        context: win32security.PyCtxtHandleType,
        output: PySecBufferDescType,
    ) -> win32security.LegAnswer:
        return win32security.AcceptSecurityContext(
            self.credentials, before, given, self.scflags, self.datarep, context, output
        )

"""Messages as `sspilib.raw` protects them: in place, in the memory of the buffers."""

from __future__ import annotations

from typing import Final

import credssp.sspi as sspi
from credssp.sspi.compat.failures import argument
from credssp.sspi.compat.families import flags
from credssp.sspi.compat.raw.buffers import SecBufferDesc
from credssp.sspi.compat.raw.context import CtxtHandle
from credssp.sspi.compat.raw.results import check_ok, windows_errors

__all__ = ["QopFlags", "decrypt_message", "encrypt_message", "make_signature", "verify_signature"]

QopFlags: Final = flags(
    "QopFlags",
    __name__,
    {
        "KERB_WRAP_NO_ENCRYPT": sspi.SECQOP_WRAP_NO_ENCRYPT,
        "SECQOP_WRAP_NO_ENCRYPT": sspi.SECQOP_WRAP_NO_ENCRYPT,
        "SECQOP_WRAP_OOB_DATA": sspi.SECQOP_WRAP_OOB_DATA,
    },
)
"""fQOP."""


def _context(context: CtxtHandle) -> sspi.CtxtHandle:
    return argument("context", context, CtxtHandle).native


def _message(message: SecBufferDesc) -> sspi.SecBufferDesc:
    return argument("message", message, SecBufferDesc).native


@windows_errors
def encrypt_message(context: CtxtHandle, qop: int, message: SecBufferDesc, seq_no: int) -> None:
    """EncryptMessage.

    Args:
        context: the context.
        qop: `QopFlags`.
        message: TOKEN and DATA, or what the package takes.
        seq_no: the number of the message; packages here count by themselves.

    Raises:
        WindowsError: the call failed.
    """
    check_ok(sspi.encrypt_message(_context(context), int(qop), _message(message), seq_no))


@windows_errors
def decrypt_message(context: CtxtHandle, message: SecBufferDesc, seq_no: int) -> int:
    """DecryptMessage; returns pfQOP.

    Raises:
        WindowsError: the call failed, or ended with a status other than SEC_E_OK.
    """
    result = sspi.decrypt_message(_context(context), _message(message), seq_no)
    check_ok(result.status)
    return result.qop


@windows_errors
def make_signature(context: CtxtHandle, qop: int, message: SecBufferDesc, seq_no: int) -> None:
    """MakeSignature.

    Raises:
        WindowsError: the call failed.
    """
    check_ok(sspi.make_signature(_context(context), int(qop), _message(message), seq_no))


@windows_errors
def verify_signature(context: CtxtHandle, message: SecBufferDesc, seq_no: int) -> int:
    """VerifySignature; returns pfQOP.

    Raises:
        WindowsError: the call failed.
    """
    return sspi.verify_signature(_context(context), _message(message), seq_no).qop

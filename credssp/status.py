"""SECURITY_STATUS and NTSTATUS: the numbers that CredSSP, SSPI and a Windows logon produce, and what they mean.

A server says in TSRequest.errorCode why it refused a login ([MS-CSSP] 2.2.1), SSPI calls return a SECURITY_STATUS, and
Windows mixes the two: the same field carries 0xC000006D one day and 0x80090308 the next. So one table holds both, and
`describe` takes whatever a log, a peer or an event viewer shows:

* an NTSTATUS (``0xC000006D``, [MS-ERREF] 2.3.1) or a SECURITY_STATUS (``0x80090308``, [MS-ERREF] 2.1.1, winerror.h),
* HRESULT_FROM_NT (``0xD000006D``: an NTSTATUS with bit 28 set),
* HRESULT_FROM_WIN32 (``0x8007052E``: facility 7) of the Win32 errors that stand for a logon status,
* NTSTATUS_FROM_WIN32 (``0xC007052E``) of the same, and ``0xC00700EA``, FreeRDP's word for a refused login,
* any of them as the negative number that signed 32-bit code prints (``-2146893044``).

The names are the ones of the Windows headers. Numbers are unsigned; success means that bit 31 is clear. The texts
live in `credssp._status_table`, which is read when somebody asks for a text and not before.
"""

from __future__ import annotations

import enum
import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

__all__ = [
    "NTStatus",
    "SecurityStatus",
    "StatusInfo",
    "all_statuses",
    "describe",
    "lookup",
    "security_status_from_ntstatus",
    "win32_errors",
]


class SecurityStatus(enum.IntEnum):
    """SECURITY_STATUS: what an SSPI call returns ([MS-ERREF] 2.1.1, winerror.h), as unsigned 32-bit numbers.

    ``SEC_I_*`` are successes that ask the caller for something, ``SEC_E_*`` are failures. SEC_E_NOT_SUPPORTED and
    SEC_E_NO_SPM are second names of the member before them, as in winerror.h.
    """

    SEC_E_OK = 0x00000000

    SEC_I_CONTINUE_NEEDED = 0x00090312
    SEC_I_COMPLETE_NEEDED = 0x00090313
    SEC_I_COMPLETE_AND_CONTINUE = 0x00090314
    SEC_I_LOCAL_LOGON = 0x00090315
    SEC_I_GENERIC_EXTENSION_RECEIVED = 0x00090316
    SEC_I_CONTEXT_EXPIRED = 0x00090317
    SEC_I_INCOMPLETE_CREDENTIALS = 0x00090320
    SEC_I_RENEGOTIATE = 0x00090321
    SEC_I_NO_LSA_CONTEXT = 0x00090323
    SEC_I_SIGNATURE_NEEDED = 0x0009035C
    SEC_I_NO_RENEGOTIATION = 0x00090360
    SEC_I_MESSAGE_FRAGMENT = 0x00090364
    SEC_I_CONTINUE_NEEDED_MESSAGE_OK = 0x00090366
    SEC_I_ASYNC_CALL_PENDING = 0x00090368

    SEC_E_INSUFFICIENT_MEMORY = 0x80090300
    SEC_E_INVALID_HANDLE = 0x80090301
    SEC_E_UNSUPPORTED_FUNCTION = 0x80090302
    SEC_E_NOT_SUPPORTED = 0x80090302
    SEC_E_TARGET_UNKNOWN = 0x80090303
    SEC_E_INTERNAL_ERROR = 0x80090304
    SEC_E_NO_SPM = 0x80090304
    SEC_E_SECPKG_NOT_FOUND = 0x80090305
    SEC_E_NOT_OWNER = 0x80090306
    SEC_E_CANNOT_INSTALL = 0x80090307
    SEC_E_INVALID_TOKEN = 0x80090308
    SEC_E_CANNOT_PACK = 0x80090309
    SEC_E_QOP_NOT_SUPPORTED = 0x8009030A
    SEC_E_NO_IMPERSONATION = 0x8009030B
    SEC_E_LOGON_DENIED = 0x8009030C
    SEC_E_UNKNOWN_CREDENTIALS = 0x8009030D
    SEC_E_NO_CREDENTIALS = 0x8009030E
    SEC_E_MESSAGE_ALTERED = 0x8009030F
    SEC_E_OUT_OF_SEQUENCE = 0x80090310
    SEC_E_NO_AUTHENTICATING_AUTHORITY = 0x80090311
    SEC_E_BAD_PKGID = 0x80090316
    SEC_E_CONTEXT_EXPIRED = 0x80090317
    SEC_E_INCOMPLETE_MESSAGE = 0x80090318
    SEC_E_INCOMPLETE_CREDENTIALS = 0x80090320
    SEC_E_BUFFER_TOO_SMALL = 0x80090321
    SEC_E_WRONG_PRINCIPAL = 0x80090322
    SEC_E_TIME_SKEW = 0x80090324
    SEC_E_UNTRUSTED_ROOT = 0x80090325
    SEC_E_ILLEGAL_MESSAGE = 0x80090326
    SEC_E_CERT_UNKNOWN = 0x80090327
    SEC_E_CERT_EXPIRED = 0x80090328
    SEC_E_ENCRYPT_FAILURE = 0x80090329
    SEC_E_DECRYPT_FAILURE = 0x80090330
    SEC_E_ALGORITHM_MISMATCH = 0x80090331
    SEC_E_SECURITY_QOS_FAILED = 0x80090332
    SEC_E_UNFINISHED_CONTEXT_DELETED = 0x80090333
    SEC_E_NO_TGT_REPLY = 0x80090334
    SEC_E_NO_IP_ADDRESSES = 0x80090335
    SEC_E_WRONG_CREDENTIAL_HANDLE = 0x80090336
    SEC_E_CRYPTO_SYSTEM_INVALID = 0x80090337
    SEC_E_MAX_REFERRALS_EXCEEDED = 0x80090338
    SEC_E_MUST_BE_KDC = 0x80090339
    SEC_E_STRONG_CRYPTO_NOT_SUPPORTED = 0x8009033A
    SEC_E_TOO_MANY_PRINCIPALS = 0x8009033B
    SEC_E_NO_PA_DATA = 0x8009033C
    SEC_E_PKINIT_NAME_MISMATCH = 0x8009033D
    SEC_E_SMARTCARD_LOGON_REQUIRED = 0x8009033E
    SEC_E_SHUTDOWN_IN_PROGRESS = 0x8009033F
    SEC_E_KDC_INVALID_REQUEST = 0x80090340
    SEC_E_KDC_UNABLE_TO_REFER = 0x80090341
    SEC_E_KDC_UNKNOWN_ETYPE = 0x80090342
    SEC_E_UNSUPPORTED_PREAUTH = 0x80090343
    SEC_E_DELEGATION_REQUIRED = 0x80090345
    SEC_E_BAD_BINDINGS = 0x80090346
    SEC_E_MULTIPLE_ACCOUNTS = 0x80090347
    SEC_E_NO_KERB_KEY = 0x80090348
    SEC_E_CERT_WRONG_USAGE = 0x80090349
    SEC_E_DOWNGRADE_DETECTED = 0x80090350
    SEC_E_SMARTCARD_CERT_REVOKED = 0x80090351
    SEC_E_ISSUING_CA_UNTRUSTED = 0x80090352
    SEC_E_REVOCATION_OFFLINE_C = 0x80090353
    SEC_E_PKINIT_CLIENT_FAILURE = 0x80090354
    SEC_E_SMARTCARD_CERT_EXPIRED = 0x80090355
    SEC_E_NO_S4U_PROT_SUPPORT = 0x80090356
    SEC_E_CROSSREALM_DELEGATION_FAILURE = 0x80090357
    SEC_E_REVOCATION_OFFLINE_KDC = 0x80090358
    SEC_E_ISSUING_CA_UNTRUSTED_KDC = 0x80090359
    SEC_E_KDC_CERT_EXPIRED = 0x8009035A
    SEC_E_KDC_CERT_REVOKED = 0x8009035B
    SEC_E_INVALID_PARAMETER = 0x8009035D
    SEC_E_DELEGATION_POLICY = 0x8009035E
    SEC_E_POLICY_NLTM_ONLY = 0x8009035F  # the misspelling is winerror.h's
    SEC_E_NO_CONTEXT = 0x80090361
    SEC_E_PKU2U_CERT_FAILURE = 0x80090362
    SEC_E_MUTUAL_AUTH_FAILED = 0x80090363
    SEC_E_ONLY_HTTPS_ALLOWED = 0x80090365
    SEC_E_APPLICATION_PROTOCOL_MISMATCH = 0x80090367
    SEC_E_INVALID_UPN_NAME = 0x80090369
    SEC_E_EXT_BUFFER_TOO_SMALL = 0x8009036A
    SEC_E_INSUFFICIENT_BUFFERS = 0x8009036B


class NTStatus(enum.IntEnum):
    """NTSTATUS: why a logon failed ([MS-ERREF] 2.3.1), as unsigned 32-bit numbers."""

    STATUS_SUCCESS = 0x00000000
    STATUS_UNSUCCESSFUL = 0xC0000001
    STATUS_INVALID_HANDLE = 0xC0000008
    STATUS_INVALID_PARAMETER = 0xC000000D
    STATUS_NO_MEMORY = 0xC0000017
    STATUS_ACCESS_DENIED = 0xC0000022
    STATUS_BUFFER_TOO_SMALL = 0xC0000023
    STATUS_NO_IMPERSONATION_TOKEN = 0xC000005C
    STATUS_NO_LOGON_SERVERS = 0xC000005E
    STATUS_NO_SUCH_LOGON_SESSION = 0xC000005F
    STATUS_PRIVILEGE_NOT_HELD = 0xC0000061
    STATUS_INVALID_ACCOUNT_NAME = 0xC0000062
    STATUS_NO_SUCH_USER = 0xC0000064
    STATUS_WRONG_PASSWORD = 0xC000006A
    STATUS_ILL_FORMED_PASSWORD = 0xC000006B
    STATUS_PASSWORD_RESTRICTION = 0xC000006C
    STATUS_LOGON_FAILURE = 0xC000006D
    STATUS_ACCOUNT_RESTRICTION = 0xC000006E
    STATUS_INVALID_LOGON_HOURS = 0xC000006F
    STATUS_INVALID_WORKSTATION = 0xC0000070
    STATUS_PASSWORD_EXPIRED = 0xC0000071
    STATUS_ACCOUNT_DISABLED = 0xC0000072
    STATUS_INSUFFICIENT_RESOURCES = 0xC000009A
    STATUS_BAD_IMPERSONATION_LEVEL = 0xC00000A5
    STATUS_IO_TIMEOUT = 0xC00000B5
    STATUS_NOT_SUPPORTED = 0xC00000BB
    STATUS_INVALID_SERVER_STATE = 0xC00000DC
    STATUS_NO_SUCH_DOMAIN = 0xC00000DF
    STATUS_INTERNAL_ERROR = 0xC00000E5
    STATUS_NO_SUCH_PACKAGE = 0xC00000FE
    STATUS_INVALID_LOGON_TYPE = 0xC000010B
    STATUS_SPECIAL_ACCOUNT = 0xC0000124
    STATUS_TIME_DIFFERENCE_AT_DC = 0xC0000133
    STATUS_LOGON_NOT_GRANTED = 0xC0000155
    STATUS_TOO_MANY_CONTEXT_IDS = 0xC000015A
    STATUS_LOGON_TYPE_NOT_GRANTED = 0xC000015B
    STATUS_NO_TRUST_LSA_SECRET = 0xC000018A
    STATUS_NO_TRUST_SAM_ACCOUNT = 0xC000018B
    STATUS_TRUSTED_DOMAIN_FAILURE = 0xC000018C
    STATUS_TRUSTED_RELATIONSHIP_FAILURE = 0xC000018D
    STATUS_TRUST_FAILURE = 0xC0000190
    STATUS_NETLOGON_NOT_STARTED = 0xC0000192
    STATUS_ACCOUNT_EXPIRED = 0xC0000193
    STATUS_NOLOGON_INTERDOMAIN_TRUST_ACCOUNT = 0xC0000198
    STATUS_NOLOGON_WORKSTATION_TRUST_ACCOUNT = 0xC0000199
    STATUS_NOLOGON_SERVER_TRUST_ACCOUNT = 0xC000019A
    STATUS_USER_SESSION_DELETED = 0xC0000203
    STATUS_PASSWORD_MUST_CHANGE = 0xC0000224
    STATUS_DOMAIN_CONTROLLER_NOT_FOUND = 0xC0000233
    STATUS_ACCOUNT_LOCKED_OUT = 0xC0000234
    STATUS_MUTUAL_AUTHENTICATION_FAILED = 0xC00002C3
    STATUS_WRONG_CREDENTIAL_HANDLE = 0xC00002F2
    STATUS_PKINIT_NAME_MISMATCH = 0xC00002F9
    STATUS_SMARTCARD_LOGON_REQUIRED = 0xC00002FA
    STATUS_PKINIT_FAILURE = 0xC0000320
    STATUS_SMARTCARD_SUBSYSTEM_FAILURE = 0xC0000321
    STATUS_BAD_BINDINGS = 0xC000035B
    STATUS_SMARTCARD_WRONG_PIN = 0xC0000380
    STATUS_SMARTCARD_CARD_BLOCKED = 0xC0000381
    STATUS_SMARTCARD_CARD_NOT_AUTHENTICATED = 0xC0000382
    STATUS_SMARTCARD_NO_CARD = 0xC0000383
    STATUS_SMARTCARD_NO_KEY_CONTAINER = 0xC0000384
    STATUS_SMARTCARD_NO_CERTIFICATE = 0xC0000385
    STATUS_SMARTCARD_NO_KEYSET = 0xC0000386
    STATUS_SMARTCARD_IO_ERROR = 0xC0000387
    STATUS_DOWNGRADE_DETECTED = 0xC0000388
    STATUS_SMARTCARD_CERT_REVOKED = 0xC0000389
    STATUS_ISSUING_CA_UNTRUSTED = 0xC000038A
    STATUS_REVOCATION_OFFLINE_C = 0xC000038B
    STATUS_PKINIT_CLIENT_FAILURE = 0xC000038C
    STATUS_SMARTCARD_CERT_EXPIRED = 0xC000038D
    STATUS_SMARTCARD_SILENT_CONTEXT = 0xC000038F
    STATUS_NO_S4U_PROT_SUPPORT = 0xC000040A
    STATUS_KDC_CERT_EXPIRED = 0xC000040E
    STATUS_KDC_CERT_REVOKED = 0xC000040F
    STATUS_AUTHENTICATION_FIREWALL_FAILED = 0xC0000413
    STATUS_NTLM_BLOCKED = 0xC0000418
    STATUS_PKU2U_CERT_FAILURE = 0xC000042E
    STATUS_CTX_LOGON_DISABLED = 0xC00A0037


@dataclass(frozen=True, slots=True)
class StatusInfo:
    """What we know about one status.

    Attributes:
        code: the number, unsigned, 32 bits.
        name: its name in the Windows headers; for a code we don't know, the number as text.
        meaning: what the status says.
        cause: what usually leads to it in an RDP or WinRM login.
        advice: what to look at or to change next.
    """

    code: int
    name: str
    meaning: str
    cause: str
    advice: str

    @property
    def summary(self) -> str:
        """Name and number, such as ``STATUS_LOGON_FAILURE 0xC000006D``; only the number if there is no name."""
        number = _hex(self.code)
        return number if self.name == number else f"{self.name} {number}"

    def to_dict(self, *, text: str = "", advice: str = "") -> dict[str, Any]:
        """Return number, name, text and advice, as every command prints a status with ``--json``.

        Args:
            text: what happened, where more is known than the general meaning.
            advice: what to do about it, likewise.
        """
        return {
            "code": self.code,
            "hex": _hex(self.code),
            "name": self.name,
            "text": text or self.meaning,
            "advice": advice or self.advice,
        }


# Win32 errors that stand for a logon status ([MS-ERREF] 2.2). WinRM and PowerShell show them as HRESULT_FROM_WIN32.
_FROM_WIN32: Final[dict[int, tuple[str, NTStatus]]] = {
    5: ("ERROR_ACCESS_DENIED", NTStatus.STATUS_ACCESS_DENIED),
    6: ("ERROR_INVALID_HANDLE", NTStatus.STATUS_INVALID_HANDLE),
    50: ("ERROR_NOT_SUPPORTED", NTStatus.STATUS_NOT_SUPPORTED),
    87: ("ERROR_INVALID_PARAMETER", NTStatus.STATUS_INVALID_PARAMETER),
    1311: ("ERROR_NO_LOGON_SERVERS", NTStatus.STATUS_NO_LOGON_SERVERS),
    1312: ("ERROR_NO_SUCH_LOGON_SESSION", NTStatus.STATUS_NO_SUCH_LOGON_SESSION),
    1314: ("ERROR_PRIVILEGE_NOT_HELD", NTStatus.STATUS_PRIVILEGE_NOT_HELD),
    1317: ("ERROR_NO_SUCH_USER", NTStatus.STATUS_NO_SUCH_USER),
    1326: ("ERROR_LOGON_FAILURE", NTStatus.STATUS_LOGON_FAILURE),
    1327: ("ERROR_ACCOUNT_RESTRICTION", NTStatus.STATUS_ACCOUNT_RESTRICTION),
    1328: ("ERROR_INVALID_LOGON_HOURS", NTStatus.STATUS_INVALID_LOGON_HOURS),
    1329: ("ERROR_INVALID_WORKSTATION", NTStatus.STATUS_INVALID_WORKSTATION),
    1330: ("ERROR_PASSWORD_EXPIRED", NTStatus.STATUS_PASSWORD_EXPIRED),
    1331: ("ERROR_ACCOUNT_DISABLED", NTStatus.STATUS_ACCOUNT_DISABLED),
    1355: ("ERROR_NO_SUCH_DOMAIN", NTStatus.STATUS_NO_SUCH_DOMAIN),
    1385: ("ERROR_LOGON_TYPE_NOT_GRANTED", NTStatus.STATUS_LOGON_TYPE_NOT_GRANTED),
    1793: ("ERROR_ACCOUNT_EXPIRED", NTStatus.STATUS_ACCOUNT_EXPIRED),
    1907: ("ERROR_PASSWORD_MUST_CHANGE", NTStatus.STATUS_PASSWORD_MUST_CHANGE),
    1909: ("ERROR_ACCOUNT_LOCKED_OUT", NTStatus.STATUS_ACCOUNT_LOCKED_OUT),
}

_FACILITY_NT: Final = 0x10000000
_WIN32_BASE: Final = 0x80070000
_WIN32_FORMS: Final = {_WIN32_BASE: "HRESULT_FROM_WIN32", 0xC0070000: "NTSTATUS_FROM_WIN32"}


def _hex(code: int) -> str:
    return f"0x{code:08X}"


def _without_facility_nt(code: int) -> int:
    """Undo HRESULT_FROM_NT, which sets bit 28 of an NTSTATUS and changes nothing else."""
    return code & ~_FACILITY_NT if code >> 28 == 0xD else code


@functools.cache
def _table() -> dict[int, StatusInfo]:
    """Return every known status by its number, with the texts."""
    from credssp._status_table import TEXTS

    members = (*SecurityStatus, *(member for member in NTStatus if member))  # 0 is SEC_E_OK once
    return {int(member): StatusInfo(int(member), member.name, *TEXTS[member.name]) for member in members}


@functools.cache
def _peers() -> dict[int, StatusInfo]:
    """Return what the headers have no name for, but a peer says."""
    from credssp._status_table import PEERS

    return {code: StatusInfo(code, *texts) for code, texts in PEERS.items()}


@functools.cache
def _names() -> dict[str, int]:
    """Return the number of every name, in capitals, with and without the prefix."""
    names: dict[str, int] = {}
    # errorCode, event logs and people speak NTSTATUS, so it gets the short names both kinds have (INTERNAL_ERROR).
    for prefix, members in (
        ("STATUS_", NTStatus.__members__),
        ("SEC_E_", SecurityStatus.__members__),
        ("SEC_I_", SecurityStatus.__members__),
    ):
        for name, member in members.items():
            if name.startswith(prefix):
                names[name] = int(member)
                names.setdefault(name.removeprefix(prefix), int(member))
    for number, (name, _) in _FROM_WIN32.items():
        names[name] = _WIN32_BASE | number
    return names


def _known(code: int) -> StatusInfo | None:
    """Return the entry of an unsigned code, or None."""
    info = _table().get(_without_facility_nt(code))
    if info is not None:
        return info
    code = _without_facility_nt(code)
    form = _WIN32_FORMS.get(code & 0xFFFF0000)
    if form is not None and (win32 := _FROM_WIN32.get(code & 0xFFFF)):
        name, ntstatus = win32
        same = _table()[ntstatus]
        return StatusInfo(code, f"{form}({name})", same.meaning, same.cause, same.advice)
    return _peers().get(code)


def describe(code: int) -> StatusInfo:
    """Return what is known about a status. Takes any integer and never raises.

    HRESULT_FROM_NT comes back as its NTSTATUS; HRESULT_FROM_WIN32 and NTSTATUS_FROM_WIN32 of a logon error keep their
    number and have the texts of the NTSTATUS they stand for. Negative numbers are read as signed 32-bit ones; of
    larger numbers the low 32 bits count. An unknown code gets an entry that says so and has advice of a general kind.
    """
    code &= 0xFFFFFFFF
    return _known(code) or StatusInfo(
        code,
        _hex(code),
        f"{'A failure' if code >> 31 else 'A status'} that this table doesn't know.",
        "The peer or the security package said something that is not usual in a login.",
        f"Look {_hex(code)} up in [MS-ERREF] or with 'certutil -error' on Windows, and read the server's event log.",
    )


def lookup(text: str) -> StatusInfo | None:
    """Find a status by its name or its number as people type them.

    Args:
        text: a name in any case, with or without ``SEC_E_``, ``SEC_I_`` or ``STATUS_`` (where both kinds have the
            short name, NTSTATUS wins); or a number: ``0xC000006D``, eight hexadecimal digits without ``0x``, decimal,
            or negative decimal. Eight decimal digits are hexadecimal, unless only the decimal reading is known.

    Returns:
        The entry; for an unknown 32-bit number the general one of `describe`; None if the text is neither.
    """
    text = text.strip().upper()
    if (code := _names().get(text)) is not None:
        return describe(code)
    readings = []
    if re.fullmatch("0X[0-9A-F]{1,8}|[0-9A-F]{8}", text):
        readings.append(int(text, 16))
    if re.fullmatch("-?[0-9]{1,10}", text) and -0x80000000 <= int(text) <= 0xFFFFFFFF:
        readings.append(int(text) & 0xFFFFFFFF)
    known = (info for reading in readings if (info := _known(reading)))
    return next(known, None) or (describe(readings[0]) if readings else None)


@functools.cache
def all_statuses() -> tuple[StatusInfo, ...]:
    """Return every known SECURITY_STATUS and NTSTATUS, ordered by number, each number once."""
    return tuple(sorted(_table().values(), key=lambda info: info.code))


def win32_errors() -> Mapping[int, tuple[str, NTStatus]]:
    """Return the Win32 errors that stand for a logon status: name, and the NTSTATUS with the same texts."""
    return _FROM_WIN32


# NTSTATUS whose SECURITY_STATUS has another name; all other pairs share it (STATUS_BAD_BINDINGS, SEC_E_BAD_BINDINGS).
_TO_SECURITY_STATUS: Final[dict[NTStatus, SecurityStatus]] = {
    NTStatus.STATUS_INVALID_PARAMETER: SecurityStatus.SEC_E_INVALID_TOKEN,
    NTStatus.STATUS_NO_MEMORY: SecurityStatus.SEC_E_INSUFFICIENT_MEMORY,
    NTStatus.STATUS_INSUFFICIENT_RESOURCES: SecurityStatus.SEC_E_INSUFFICIENT_MEMORY,
    NTStatus.STATUS_NO_LOGON_SERVERS: SecurityStatus.SEC_E_NO_AUTHENTICATING_AUTHORITY,
    NTStatus.STATUS_DOMAIN_CONTROLLER_NOT_FOUND: SecurityStatus.SEC_E_NO_AUTHENTICATING_AUTHORITY,
    NTStatus.STATUS_NETLOGON_NOT_STARTED: SecurityStatus.SEC_E_NO_AUTHENTICATING_AUTHORITY,
    NTStatus.STATUS_NO_SUCH_DOMAIN: SecurityStatus.SEC_E_NO_AUTHENTICATING_AUTHORITY,
    NTStatus.STATUS_NO_SUCH_PACKAGE: SecurityStatus.SEC_E_SECPKG_NOT_FOUND,
    NTStatus.STATUS_NO_SUCH_LOGON_SESSION: SecurityStatus.SEC_E_NO_CREDENTIALS,
    NTStatus.STATUS_NO_IMPERSONATION_TOKEN: SecurityStatus.SEC_E_NO_IMPERSONATION,
    NTStatus.STATUS_TIME_DIFFERENCE_AT_DC: SecurityStatus.SEC_E_TIME_SKEW,
    NTStatus.STATUS_MUTUAL_AUTHENTICATION_FAILED: SecurityStatus.SEC_E_MUTUAL_AUTH_FAILED,
    NTStatus.STATUS_PKINIT_FAILURE: SecurityStatus.SEC_E_PKINIT_CLIENT_FAILURE,
}


def security_status_from_ntstatus(code: int) -> SecurityStatus:
    """Return the SECURITY_STATUS under which SSPI reports an NTSTATUS.

    A server may also send a SECURITY_STATUS or an HRESULT of either kind; the former stays what it is, the latter is
    taken apart first. Everything without a counterpart is SEC_E_LOGON_DENIED: whatever the server's reason was, the
    logon did not happen, and that is the status callers of SSPI treat as "these credentials don't work here".
    Windows hands out HRESULT_FROM_NT there, a number that is not a SECURITY_STATUS; the caller has the NTSTATUS itself.
    """
    code = _without_facility_nt(code & 0xFFFFFFFF)
    if code & 0xFFFF0000 in _WIN32_FORMS and (win32 := _FROM_WIN32.get(code & 0xFFFF)):
        code = win32[1]
    return _security_statuses().get(code, SecurityStatus.SEC_E_LOGON_DENIED)


@functools.cache
def _security_statuses() -> dict[int, SecurityStatus]:
    """Return the SECURITY_STATUS of every code that has one: its own, the one named alike, or the one listed above."""
    own = {int(status): status for status in SecurityStatus}
    named_alike = {
        int(status): SecurityStatus[name]
        for status in NTStatus
        if (name := status.name.replace("STATUS_", "SEC_E_")) in SecurityStatus.__members__
    }
    return own | named_alike | {int(status): other for status, other in _TO_SECURITY_STATUS.items()}

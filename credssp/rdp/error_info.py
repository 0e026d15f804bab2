"""The reasons that a server gives for the end of a session ([MS-RDPBCGR] 2.2.5.1.1, Set Error Info PDU).

`ErrorInfo` has those that a tester of clients needs; a server may send any other number. What they mean is in the
tables that `credssp status` reads, too, which have the names of FreeRDP: users find those in their logs.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from credssp._code_table import TABLES
from credssp.errors import LocalProtocolError

__all__ = ["ErrorInfo", "ErrorInfoMeaning", "describe_error_info", "error_info"]

_PREFIX: Final = "ERRINFO_"
_LARGEST: Final = 0xFFFFFFFF


class ErrorInfo(enum.IntEnum):
    """errorInfo of the Set Error Info PDU ([MS-RDPBCGR] 2.2.5.1.1)."""

    ERRINFO_NONE = 0x00000000

    # Independent of the protocol
    ERRINFO_RPC_INITIATED_DISCONNECT = 0x00000001
    ERRINFO_RPC_INITIATED_LOGOFF = 0x00000002
    ERRINFO_IDLE_TIMEOUT = 0x00000003
    ERRINFO_LOGON_TIMEOUT = 0x00000004
    ERRINFO_DISCONNECTED_BY_OTHERCONNECTION = 0x00000005
    ERRINFO_OUT_OF_MEMORY = 0x00000006
    ERRINFO_SERVER_DENIED_CONNECTION = 0x00000007
    ERRINFO_SERVER_INSUFFICIENT_PRIVILEGES = 0x00000009
    ERRINFO_SERVER_FRESH_CREDENTIALS_REQUIRED = 0x0000000A
    ERRINFO_RPC_INITIATED_DISCONNECT_BYUSER = 0x0000000B
    ERRINFO_LOGOFF_BY_USER = 0x0000000C
    ERRINFO_CLOSE_STACK_ON_DRIVER_NOT_READY = 0x0000000F
    ERRINFO_SERVER_DWM_CRASH = 0x00000010
    ERRINFO_CLOSE_STACK_ON_DRIVER_FAILURE = 0x00000011
    ERRINFO_CLOSE_STACK_ON_DRIVER_IFACE_FAILURE = 0x00000012
    ERRINFO_SERVER_WINLOGON_CRASH = 0x00000017
    ERRINFO_SERVER_CSRSS_CRASH = 0x00000018
    ERRINFO_SERVER_SHUTDOWN = 0x00000019
    ERRINFO_SERVER_REBOOT = 0x0000001A

    # Licensing
    ERRINFO_LICENSE_INTERNAL = 0x00000100
    ERRINFO_LICENSE_NO_LICENSE_SERVER = 0x00000101
    ERRINFO_LICENSE_NO_LICENSE = 0x00000102
    ERRINFO_LICENSE_BAD_CLIENT_MSG = 0x00000103
    ERRINFO_LICENSE_HWID_DOESNT_MATCH_LICENSE = 0x00000104
    ERRINFO_LICENSE_BAD_CLIENT_LICENSE = 0x00000105
    ERRINFO_LICENSE_CANT_FINISH_PROTOCOL = 0x00000106
    ERRINFO_LICENSE_CLIENT_ENDED_PROTOCOL = 0x00000107
    ERRINFO_LICENSE_BAD_CLIENT_ENCRYPTION = 0x00000108
    ERRINFO_LICENSE_CANT_UPGRADE_LICENSE = 0x00000109
    ERRINFO_LICENSE_NO_REMOTE_CONNECTIONS = 0x0000010A

    # Connection Broker
    ERRINFO_CB_DESTINATION_NOT_FOUND = 0x00000400
    ERRINFO_CB_LOADING_DESTINATION = 0x00000402
    ERRINFO_CB_REDIRECTING_TO_DESTINATION = 0x00000404
    ERRINFO_CB_SESSION_ONLINE_VM_WAKE = 0x00000405
    ERRINFO_CB_SESSION_ONLINE_VM_BOOT = 0x00000406
    ERRINFO_CB_SESSION_ONLINE_VM_NO_DNS = 0x00000407
    ERRINFO_CB_DESTINATION_POOL_NOT_FREE = 0x00000408
    ERRINFO_CB_CONNECTION_CANCELLED = 0x00000409
    ERRINFO_CB_CONNECTION_ERROR_INVALID_SETTINGS = 0x00000410
    ERRINFO_CB_SESSION_ONLINE_VM_BOOT_TIMEOUT = 0x00000411
    ERRINFO_CB_SESSION_ONLINE_VM_SESSMON_FAILED = 0x00000412

    # RDP: what the server did not like about the client's PDUs
    ERRINFO_UNKNOWNPDUTYPE2 = 0x000010C9
    ERRINFO_UNKNOWNPDUTYPE = 0x000010CA
    ERRINFO_DATAPDUSEQUENCE = 0x000010CB
    ERRINFO_CONTROLPDUSEQUENCE = 0x000010CD
    ERRINFO_CONNECTFAILED = 0x000010D3
    ERRINFO_CONFIRMACTIVEWRONGSHAREID = 0x000010D4
    ERRINFO_CAPABILITYSETTOOSMALL = 0x000010E7
    ERRINFO_CAPABILITYSETTOOLARGE = 0x000010E8
    ERRINFO_BADCAPABILITIES = 0x000010EA
    ERRINFO_REMOTEAPPSNOTENABLED = 0x000010F3
    ERRINFO_GRAPHICSMODENOTSUPPORTED = 0x0000112D
    ERRINFO_GRAPHICSSUBSYSTEMRESETFAILED = 0x0000112E
    ERRINFO_GRAPHICSSUBSYSTEMFAILED = 0x0000112F
    ERRINFO_VIRTUALDESKTOPTOOLARGE = 0x00001134
    ERRINFO_UPDATESESSIONKEYFAILED = 0x00001191
    ERRINFO_DECRYPTFAILED = 0x00001192
    ERRINFO_ENCRYPTFAILED = 0x00001193


@dataclass(frozen=True, slots=True)
class ErrorInfoMeaning:
    """What an errorInfo says.

    Attributes:
        code: the number.
        name: its name in [MS-RDPBCGR]; ``ERRINFO_0x...`` where it has none here.
        meaning: one sentence.
    """

    code: int
    name: str
    meaning: str

    def __str__(self) -> str:
        return f"{self.meaning} [{self.name} 0x{self.code:08X}]"

    def as_json(self) -> dict[str, object]:
        """Return number, name and text, as the events of ``credssp serve`` have statuses."""
        return {"code": self.code, "hex": f"0x{self.code:08X}", "name": self.name, "text": self.meaning}


def describe_error_info(code: int) -> ErrorInfoMeaning:
    """Return name and meaning of an errorInfo; of any number."""
    entry = TABLES["RDP error info"].get(code)
    if code == ErrorInfo.ERRINFO_NONE or entry is None:
        meaning = "No error." if code == ErrorInfo.ERRINFO_NONE else "There is no text for this number."
    else:
        meaning = entry[1]
    try:
        name = ErrorInfo(code).name
    except ValueError:
        name = f"{_PREFIX}0x{code:08X}"
    return ErrorInfoMeaning(code, name, meaning)


def error_info(text: str | int) -> int:
    """Read an errorInfo.

    Args:
        text: a number; or as a text a number, decimal or with ``0x``, or a name of `ErrorInfo`, in any case and with
            or without ``ERRINFO_``.

    Raises:
        LocalProtocolError: there is no such name, or the number does not fit into 32 bits.
    """
    if isinstance(text, str):
        name = text.strip().upper().replace("-", "_")
        for candidate in (name, _PREFIX + name):
            if candidate in ErrorInfo.__members__:
                return ErrorInfo[candidate].value
        try:
            number = int(name, 0)
        except ValueError:
            raise LocalProtocolError(
                f"error info {text!r}: not a number, and not one of "
                + ", ".join(known.removeprefix(_PREFIX) for known in ErrorInfo.__members__)
            ) from None
    else:
        number = text
    if not 0 <= number <= _LARGEST:
        raise LocalProtocolError(f"error info {text}: the number does not fit into 32 bits")
    return int(number)

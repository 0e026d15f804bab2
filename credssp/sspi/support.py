"""What the LSA offers to its packages, and what the program's side offers to their user-mode halves.

LSA_SECPKG_FUNCTION_TABLE has seventy functions; here are those that mean something without Windows: logon sessions,
the accounts of this machine (OpenSamUser), its delegation policy, and a way to share an object between the halves.
"""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass, field, replace

from credssp.account import AccountStore
from credssp.authority import NO_LOGON_SERVERS, LogonAnswer, LogonQuestion, ask
from credssp.config import ClientConfig, ServerConfig
from credssp.policy import DelegationPolicy, PolicySettings
from credssp.sspi.errors import SSPIError
from credssp.status import SecurityStatus

__all__ = ["DEFAULT_LOGON_ID", "DllFunctions", "LsaSupport", "Machine", "SharedMemory"]

DEFAULT_LOGON_ID = 0x3E7
"""LUID of the session that this process runs in."""


@dataclass(slots=True)
class Machine:
    """What Windows knows about itself and a Python process has to be told.

    Attributes:
        accounts: who may log on with NTLM where a credential does not say it; None for no one.
        keytab: the Kerberos keys of this machine's services, a path or ``TYPE:residual``; None for the keytab of the
            process (``KRB5_KTNAME``).
        policy: the delegation policy; None for Windows' defaults (``TERMSRV/*`` and nothing else).
        client: the other options of clients, such as `workstation`; what SSPI has arguments for comes from them.
        server: the other options of servers, such as `require_mic`. Their `authority` is asked inside
            AcceptSecurityContext, which waits as on Windows: give a `credssp.drivers.answers.BoundedAuthority`.
    """

    accounts: AccountStore | None = None
    keytab: str | None = None
    policy: DelegationPolicy | PolicySettings | None = None
    client: ClientConfig = field(default_factory=ClientConfig)
    server: ServerConfig = field(default_factory=ServerConfig)

    def serving(self, accounts: AccountStore | None) -> ServerConfig:
        """Return the options of a server for these accounts."""
        own = self.server
        return replace(own, accounts=accounts, keytab=self.keytab or own.keytab, policy=self.policy or own.policy)

    def judge(self, question: LogonQuestion) -> LogonAnswer:
        """Ask the authority of the servers."""
        authority = self.server.authority
        return NO_LOGON_SERVERS if authority is None else ask(authority, question)


class SharedMemory:
    """Objects on their way from an LSA-mode half to its user-mode half; each is taken once.

    NTLM hands over its keys as bytes. A TLS channel or a GSS-API context cannot be written down, so its package
    writes down a number that can be exchanged for the object.
    """

    def __init__(self) -> None:
        self._objects: dict[bytes, object] = {}
        self._lock = threading.Lock()

    def share(self, item: object) -> bytearray:
        """Put an object down; returns the bytes to take it up with, for LegResult.context_data."""
        key = secrets.token_bytes(16)
        with self._lock:
            self._objects[key] = item
        return bytearray(key)

    def claim(self, packed: bytes | bytearray) -> object:
        """Take an object up; it can be done once.

        Raises:
            SSPIError: SEC_E_INVALID_TOKEN, nothing lies there (any more).
        """
        with self._lock:
            try:
                return self._objects.pop(bytes(packed))
            except KeyError:
                raise SSPIError(
                    "this context data was never shared, or was taken already",
                    status=SecurityStatus.SEC_E_INVALID_TOKEN,
                ) from None

    def __len__(self) -> int:
        return len(self._objects)


class LsaSupport:
    """LSA_SECPKG_FUNCTION_TABLE: given to SpInitialize.

    Attributes:
        machine: accounts and policy, as they are now.
    """

    def __init__(self, machine: Machine, memory: SharedMemory) -> None:
        self.machine = machine
        self._memory = memory
        self._sessions = {DEFAULT_LOGON_ID}
        self._next_session = 0x10000

    def create_logon_session(self) -> int:
        """CreateLogonSession: return the LUID of a new session."""
        self._next_session += 1
        self._sessions.add(self._next_session)
        return self._next_session

    def delete_logon_session(self, logon_id: int) -> None:
        """DeleteLogonSession."""
        self._sessions.discard(logon_id)

    def check_logon_session(self, logon_id: int | None) -> int:
        """Return the session meant by pvLogonId (None: this process's own).

        Raises:
            SSPIError: SEC_E_NOT_OWNER, there is no such session, or it is not ours.
        """
        if logon_id is None:
            return DEFAULT_LOGON_ID
        if not isinstance(logon_id, int) or logon_id not in self._sessions:
            raise SSPIError(
                "there is no such logon session", status=SecurityStatus.SEC_E_NOT_OWNER, parameter="pvLogonId"
            )
        return logon_id

    def share(self, item: object) -> bytearray:
        """CreateSharedMemory and AllocateSharedMemory in one: see `SharedMemory.share`."""
        return self._memory.share(item)


class DllFunctions:
    """SECPKG_DLL_FUNCTIONS: given to SpInstanceInit."""

    def __init__(self, memory: SharedMemory) -> None:
        self._memory = memory

    def claim(self, packed: bytes | bytearray) -> object:
        """Take up what the LSA-mode half shared: see `SharedMemory.claim`."""
        return self._memory.claim(packed)

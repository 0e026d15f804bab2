"""What the LSA offers to its packages, and what the program's side offers to their user-mode halves.

LSA_SECPKG_FUNCTION_TABLE has seventy functions; here are those that mean something without Windows: logon sessions,
the accounts of this machine (OpenSamUser), its delegation policy, memory, calls into the user-mode halves, and a way to
share an object between the halves. SECPKG_DLL_FUNCTIONS has four, and all are here.
"""

from __future__ import annotations

import itertools
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from credssp.account import AccountStore
from credssp.authority import NO_LOGON_SERVERS, LogonAnswer, LogonQuestion, ask
from credssp.config import ClientConfig, ServerConfig
from credssp.policy import DelegationPolicy, PolicySettings
from credssp.sspi.errors import SSPIError, check_done, refuse
from credssp.status import SecurityStatus

if TYPE_CHECKING:
    from credssp.sspi.buffers import SecBuffer
    from credssp.sspi.tables import SecPkgInfo

__all__ = [
    "DEFAULT_LOGON_ID",
    "Callbacks",
    "DllFunctions",
    "LsaSupport",
    "Machine",
    "SecpkgPrimaryCred",
    "SharedMemory",
]

DEFAULT_LOGON_ID = 0x3E7
"""LUID of the session that this process runs in."""


@dataclass(frozen=True, slots=True)
class SecpkgPrimaryCred:
    """SECPKG_PRIMARY_CRED: what a user logged on with, and where.

    Attributes:
        logon_id: LogonId, the LUID of the session.
        credentials: such as a `credssp.PasswordCredentials`.
    """

    logon_id: int
    credentials: object


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


class Heap:
    """Memory for packages: zeroed when it is handed out, wiped when it is given back."""

    @staticmethod
    def allocate(size: int) -> bytearray:
        """Return zeroed memory.

        Raises:
            SSPIError: SEC_E_INVALID_PARAMETER, the size is not a number; SEC_E_INSUFFICIENT_MEMORY.
        """
        if not isinstance(size, int) or size < 0:
            raise refuse("Length", "a number of bytes", SecurityStatus.SEC_E_INVALID_PARAMETER)
        try:
            return bytearray(size)
        except (MemoryError, OverflowError):
            raise refuse("Length", f"no {size} bytes", SecurityStatus.SEC_E_INSUFFICIENT_MEMORY) from None

    @staticmethod
    def free(memory: bytearray | None) -> None:
        """Wipe memory; None is nothing, as in C."""
        if memory is not None:
            memory[:] = bytes(len(memory))


CallbackFunction = Callable[[object, object, "SecBuffer", "SecBuffer"], object]
"""LSA_CALLBACK_FUNCTION(argument1, argument2, input, output), which returns a status, or None for success."""


class Callbacks:
    """The functions of user-mode halves that LSA-mode halves may call (RegisterCallback, ClientCallback)."""

    def __init__(self) -> None:
        self._functions: dict[int, CallbackFunction] = {}
        self._lock = threading.Lock()

    def register(self, callback_id: int, function: CallbackFunction) -> None:
        """Enter a function under a number.

        Raises:
            SSPIError: SEC_E_INVALID_PARAMETER, the number is taken by another one, or it is not a function.
        """
        if not isinstance(callback_id, int) or not callable(function):
            raise refuse("Callback", "a number and a function", SecurityStatus.SEC_E_INVALID_PARAMETER)
        with self._lock:
            if self._functions.setdefault(callback_id, function) != function:
                raise refuse(
                    "CallbackId", f"{callback_id} belongs to another function", SecurityStatus.SEC_E_INVALID_PARAMETER
                )

    def call(
        self, callback_id: int, argument1: object, argument2: object, given: SecBuffer, output: SecBuffer
    ) -> SecurityStatus:
        """Call the function of a number.

        Raises:
            SSPIError: SEC_E_INVALID_PARAMETER, there is none; or what it returned.
        """
        function = self._functions.get(callback_id)
        if function is None:
            raise refuse("Callback", f"no function has {callback_id!r}", SecurityStatus.SEC_E_INVALID_PARAMETER)
        return check_done(function(argument1, argument2, given, output))


class LsaSupport:
    """LSA_SECPKG_FUNCTION_TABLE: given to SpInitialize.

    Attributes:
        machine: accounts and policy, as they are now.
    """

    def __init__(self, machine: Machine, memory: SharedMemory, callbacks: Callbacks) -> None:
        self.machine = machine
        self._memory = memory
        self._callbacks = callbacks
        self._sessions = {DEFAULT_LOGON_ID}
        self._numbers = itertools.count(0x10001)

    def create_logon_session(self) -> int:
        """CreateLogonSession: return the LUID of a new session."""
        number = next(self._numbers)
        self._sessions.add(number)
        return number

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

    @staticmethod
    def allocate_lsa_heap(length: int) -> bytearray:
        """AllocateLsaHeap: zeroed memory, as for LegResult.context_data."""
        return Heap.allocate(length)

    @staticmethod
    def free_lsa_heap(memory: bytearray | None) -> None:
        """FreeLsaHeap: the memory is wiped."""
        Heap.free(memory)

    def client_callback(
        self, callback_id: int, argument1: object, argument2: object, given: SecBuffer, output: SecBuffer
    ) -> SecurityStatus:
        """ClientCallback: call what a user-mode half registered with `DllFunctions.register_callback`.

        Raises:
            SSPIError: SEC_E_INVALID_PARAMETER, nothing has that number; or what the function failed with.
        """
        return self._callbacks.call(callback_id, argument1, argument2, given, output)


def _no_package(package_id: int) -> None:
    """Find nothing: there is no registry yet."""


class DllFunctions:
    """SECPKG_DLL_FUNCTIONS: given to SpInstanceInit.

    Attributes:
        locate: finds a package by its number; the registry fills it in.
    """

    locate: Callable[[int], SecPkgInfo | None]

    def __init__(self, memory: SharedMemory, callbacks: Callbacks) -> None:
        self._memory = memory
        self._callbacks = callbacks
        self.locate = _no_package

    @staticmethod
    def allocate_heap(length: int) -> bytearray:
        """AllocateHeap: zeroed memory."""
        return Heap.allocate(length)

    @staticmethod
    def free_heap(memory: bytearray | None) -> None:
        """FreeHeap: the memory is wiped."""
        Heap.free(memory)

    def register_callback(self, callback_id: int, function: CallbackFunction) -> None:
        """RegisterCallback: let LSA-mode halves call a function (`LsaSupport.client_callback`).

        Args:
            callback_id: a number of the package's choice, its own in this process.
            function: takes two arguments and two buffers, and returns a status, or None for success.

        Raises:
            SSPIError: SEC_E_INVALID_PARAMETER, another function has that number.
        """
        self._callbacks.register(callback_id, function)

    def locate_package_by_id(self, package_id: int) -> SecPkgInfo | None:
        """LocatePackageById: what the package with a number says about itself, None if there is none.

        Windows returns a pointer to structures of its own.
        """
        return self.locate(package_id)

    def claim(self, packed: bytes | bytearray) -> object:
        """Take up what the LSA-mode half shared: see `SharedMemory.claim`."""
        return self._memory.claim(packed)

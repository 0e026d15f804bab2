"""The dispatcher: every SSPI call, turned into calls of the two halves of a package.

What it does itself is what does not depend on the package: handles, one call at a time on a context, the memory of
output buffers, the state of a context (half-built, complete, dead), MappedContext, and statuses. What a package raises
comes out as `SSPIError`; the rule that decides about the context is:

* an SSPIError that names a **parameter** is the caller's mistake: nothing happened, the context is as it was;
* anything else that happens in an exchange is the end of the context. It then answers every call but
  DeleteSecurityContext with SEC_E_INVALID_HANDLE.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from credssp.sspi import constants as c
from credssp.sspi.buffers import ContextBuffer, SecBuffer, SecBufferDesc, buffers_of
from credssp.sspi.errors import SSPIError, normalise, refuse
from credssp.sspi.handles import CredHandle, CtxtHandle, HandleTable, Turn
from credssp.sspi.legs import DREPS, check_request, deliver, given, report_rest, token_buffer
from credssp.sspi.records import (
    COMPLETE,
    DEAD,
    HALF_BUILT,
    AcquireResult,
    ContextRecord,
    ContextResult,
    CredentialRecord,
    DecryptResult,
    call_package,
)
from credssp.sspi.registry import LoadedPackage, Registry
from credssp.sspi.support import DllFunctions, LsaSupport, Machine, SharedMemory
from credssp.sspi.tables import LegResult, SecPkgInfo
from credssp.sspi.user_mode import UserMode
from credssp.status import SecurityStatus

__all__ = ["AcquireResult", "ContextResult", "DecryptResult", "LocalSecurityAuthority"]

_S = SecurityStatus


class LocalSecurityAuthority:
    """One LSA with its packages, credentials and contexts; `credssp.sspi` works on one for the whole process.

    Attributes:
        machine: what it knows about the machine it runs on.
        registry: its packages.
        support: what packages get from it.
        memory: what is on its way from LSA-mode to user-mode halves.
    """

    def __init__(self, machine: Machine | None = None) -> None:
        self.machine = Machine() if machine is None else machine
        self.memory = SharedMemory()
        self.support = LsaSupport(self.machine, self.memory)
        self.registry = Registry(self.support)
        self._user_mode = UserMode(DllFunctions(self.memory))
        self._credentials: HandleTable[CredentialRecord] = HandleTable(CredHandle)
        self._contexts: HandleTable[ContextRecord] = HandleTable(CtxtHandle)

    # Packages

    def enumerate_security_packages(self) -> tuple[SecPkgInfo, ...]:
        """See `credssp.sspi.enumerate_security_packages`."""
        return tuple(package.info for package in self.registry.all())

    def query_security_package_info(self, package: str) -> SecPkgInfo:
        """See `credssp.sspi.query_security_package_info`."""
        return self.registry.find(package).info

    def delete_security_package(self, package: str) -> SecurityStatus:
        """See `credssp.sspi.delete_security_package`."""
        removed = self.registry.remove(package)
        for record in self._contexts.drop_package(removed.id):
            self._dispose(record)
        self._credentials.drop_package(removed.id)
        return _S.SEC_E_OK

    def accept_credentials(
        self, logon_type: int, account_name: str, primary: object, supplemental: object = None
    ) -> None:
        """Tell every package that somebody logged on (SpAcceptCredentials)."""
        for package in self.registry.all():
            accept = package.table.accept_credentials
            if accept is not None:
                try:
                    accept(logon_type, account_name, primary, supplemental)
                except Exception as error:  # noqa: BLE001 - one package does not take the others down
                    self.registry._report(package.info.name, "SpAcceptCredentials", type(error).__name__)

    # Credentials

    def acquire_credentials_handle(
        self,
        principal: str | None,
        package: str,
        credential_use: int,
        logon_id: int | None,
        auth_data: object,
        get_key_fn: object,
        get_key_argument: object,
        credential: CredHandle,
    ) -> AcquireResult:
        """See `credssp.sspi.acquire_credentials_handle`."""
        found = self.registry.find(package)
        if principal is not None and not isinstance(principal, str):
            raise refuse("pszPrincipal", "a name is a str, or None", _S.SEC_E_UNKNOWN_CREDENTIALS)
        if not isinstance(credential_use, int) or credential_use & c.SECPKG_CRED_BOTH not in (1, 2, 3):
            raise refuse(
                "fCredentialUse",
                "SECPKG_CRED_INBOUND, SECPKG_CRED_OUTBOUND or SECPKG_CRED_BOTH",
                _S.SEC_E_UNSUPPORTED_FUNCTION,
            )
        if get_key_fn is not None or get_key_argument is not None:
            raise refuse("pGetKeyFn", "reserved, must be None", _S.SEC_E_INVALID_PARAMETER)
        if not isinstance(credential, CredHandle):
            raise refuse("phCredential", "a CredHandle to fill in is needed", _S.SEC_E_INVALID_HANDLE)
        acquire = found.entry("acquire_credentials_handle", "SpAcquireCredentialsHandle")
        made, expiry = call_package(acquire, principal, credential_use, logon_id, auth_data, None, None)
        self._credentials.add(credential, CredentialRecord(found, made), found.id)
        return AcquireResult(_S.SEC_E_OK, expiry)

    def query_credentials_attributes(self, credential: CredHandle, attribute: int) -> object:
        """See `credssp.sspi.query_credentials_attributes`."""
        record = self._credentials.get(credential, "phCredential")
        query = record.package.entry("query_credentials_attributes", "SpQueryCredentialsAttributes")
        return call_package(query, record.credential, attribute)

    def free_credentials_handle(self, credential: CredHandle) -> SecurityStatus:
        """See `credssp.sspi.free_credentials_handle`."""
        record = self._credentials.get(credential, "phCredential")
        self._credentials.remove(credential, "phCredential")
        free = record.package.table.free_credentials_handle
        if free is not None:
            call_package(free, record.credential)
        return _S.SEC_E_OK

    # Exchanges

    def initialize_security_context(
        self,
        credential: CredHandle | None,
        context: CtxtHandle | None,
        target_name: str | None,
        context_req: int,
        reserved1: int,
        target_data_rep: int,
        input: SecBufferDesc | None,  # noqa: A002 - the parameter's name is pInput
        reserved2: int,
        new_context: CtxtHandle | None,
        output: SecBufferDesc,
    ) -> ContextResult:
        """See `credssp.sspi.initialize_security_context`."""
        if reserved1 != 0 or reserved2 != 0:
            name = "Reserved1" if reserved1 != 0 else "Reserved2"
            raise refuse(name, "reserved, must be 0", _S.SEC_E_INVALID_PARAMETER)
        if target_name is not None and (not isinstance(target_name, str) or "\0" in target_name):
            raise refuse("pszTargetName", "a name is a str without NUL, or None", _S.SEC_E_TARGET_UNKNOWN)
        made, record = self._parties(credential, context, new_context)
        if type(context_req) is not int or context_req < 0 or target_data_rep not in DREPS:
            check_request(context_req, target_data_rep)
        package = record.package
        leg = package.table.init_lsa_mode_context or package.entry("init_lsa_mode_context", "SpInitLsaModeContext")
        inputs = [] if input is None else buffers_of(input, "pInput")
        arguments = (made, record.context, target_name, context_req, target_data_rep, inputs)
        allocate = bool(context_req & c.ISC_REQ_ALLOCATE_MEMORY)
        return self._leg(record, context, new_context, inputs, output, allocate, leg, arguments)

    def accept_security_context(
        self,
        credential: CredHandle | None,
        context: CtxtHandle | None,
        input: SecBufferDesc | None,  # noqa: A002 - the parameter's name is pInput
        context_req: int,
        target_data_rep: int,
        new_context: CtxtHandle | None,
        output: SecBufferDesc,
    ) -> ContextResult:
        """See `credssp.sspi.accept_security_context`."""
        made, record = self._parties(credential, context, new_context)
        if type(context_req) is not int or context_req < 0 or target_data_rep not in DREPS:
            check_request(context_req, target_data_rep)
        package = record.package
        leg = package.table.accept_lsa_mode_context or package.entry(
            "accept_lsa_mode_context", "SpAcceptLsaModeContext"
        )
        inputs = [] if input is None else buffers_of(input, "pInput")
        arguments = (made, record.context, inputs, context_req, target_data_rep)
        allocate = bool(context_req & c.ASC_REQ_ALLOCATE_MEMORY)
        return self._leg(record, context, new_context, inputs, output, allocate, leg, arguments)

    def _parties(
        self, credential: CredHandle | None, context: CtxtHandle | None, new_context: CtxtHandle | None
    ) -> tuple[object, ContextRecord]:
        """Return the package's credential and the record of the context, new on a first call."""
        if new_context is not None and not isinstance(new_context, CtxtHandle):
            raise refuse("phNewContext", "a CtxtHandle to fill in, or None", _S.SEC_E_INVALID_HANDLE)
        if context is None:
            if new_context is None:
                raise refuse("phNewContext", "the first call needs one to fill in", _S.SEC_E_INVALID_HANDLE)
            held = self._credentials.get(credential, "phCredential")
            return held.credential, ContextRecord(held.package)
        record = self._contexts.get(context, "phContext")
        if record.state is DEAD:
            record.check_alive()
        if credential is None:
            return None, record
        held = self._credentials.get(credential, "phCredential")
        if held.package is not record.package:
            raise refuse(
                "phCredential",
                f"a credential of {held.package.info.name} with a context of {record.package.info.name}",
                _S.SEC_E_INVALID_HANDLE,
            )
        return held.credential, record

    def _leg(
        self,
        record: ContextRecord,
        context: CtxtHandle | None,
        new_context: CtxtHandle | None,
        inputs: list[SecBuffer],
        output: SecBufferDesc,
        allocate: bool,
        run: Callable[..., object],
        arguments: tuple[object, ...],
    ) -> ContextResult:
        record.turn.take(Turn.EXCHANGE)
        try:
            target = token_buffer(output, allocate)
            if record.undelivered:
                leg = self._again(record, inputs)
            else:
                leg = self._run(record, run, arguments, target, allocate)
            if context is None:
                assert new_context is not None  # noqa: S101  # _parties saw to it
                if leg.status is not _S.SEC_E_INCOMPLETE_MESSAGE or leg.context is not None:
                    record.context = leg.context
                    self._contexts.add(new_context, record, record.package.id)
            elif new_context is not None:
                new_context.lower, new_context.upper = context.lower, context.upper
            if leg.mapped and record.user is None:
                self._map(record, leg)
            elif leg.context_data is not None:
                leg.context_data[:] = bytes(len(leg.context_data))  # handed over once, and this was not the time
            if not allocate and len(leg.token) > target.size:
                record.undelivered = (given(inputs), leg)
                room, target.size = target.size, len(leg.token)
                raise refuse(
                    "pOutput",
                    f"the TOKEN buffer has {room} octets, {len(leg.token)} are needed: repeat the call",
                    _S.SEC_E_INSUFFICIENT_MEMORY,
                )
            deliver(target, leg.token, allocate)
            if leg.missing or leg.extra:
                report_rest(inputs, output, leg)
            if leg.status is _S.SEC_E_OK:
                record.state = COMPLETE
            elif leg.status is not _S.SEC_E_INCOMPLETE_MESSAGE:
                record.state = HALF_BUILT
                record.completing = leg.status is _S.SEC_I_COMPLETE_NEEDED
            return ContextResult(leg.status, leg.attributes, leg.expiry)
        finally:
            record.turn.give_back(Turn.EXCHANGE)

    def _again(self, record: ContextRecord, inputs: list[SecBuffer]) -> LegResult:
        """Return the leg whose token did not fit the last time; its input has been consumed already."""
        assert record.undelivered is not None  # noqa: S101  # by the caller
        taken, leg = record.undelivered
        if given(inputs) != taken:
            raise refuse(
                "pInput",
                "the last call's token is still to be fetched: repeat it with the same input and a larger pOutput",
                _S.SEC_E_INVALID_TOKEN,
            )
        record.undelivered = None
        return leg

    @staticmethod
    def _run(
        record: ContextRecord,
        run: Callable[..., object],
        arguments: tuple[object, ...],
        target: SecBuffer,
        allocate: bool,
    ) -> LegResult:
        try:
            leg = run(*arguments)
            if not isinstance(leg, LegResult):
                raise TypeError("a leg returns a LegResult")
        except Exception as error:  # noqa: BLE001 - whatever a package raises becomes a status
            failure = normalise(error)
            if failure.parameter is None:
                record.state, record.failure = DEAD, failure
                # Told to the peer if there is room; a program that gave too little hears of the failure first.
                if allocate or len(failure.token) <= target.size:
                    deliver(target, failure.token, allocate)
                else:
                    target.size = 0
            raise failure from failure.__cause__
        return leg

    def _map(self, record: ContextRecord, leg: LegResult) -> None:
        """MappedContext: the user-mode half takes over. Seen by nobody but the two of us."""
        try:
            record.user = self._user_mode.take_over(record.package, leg.context_data or bytearray())
        except Exception as error:  # noqa: BLE001 - a package's code
            record.state, record.failure = DEAD, normalise(error)
            raise record.failure from None

    def apply_control_token(self, context: CtxtHandle, input: SecBufferDesc) -> SecurityStatus:  # noqa: A002
        """See `credssp.sspi.apply_control_token`."""
        record = self._contexts.get(context, "phContext")
        record.check_alive()
        apply = record.package.entry("apply_control_token", "SpApplyControlToken")
        return self._exclusive(record, apply, record.context, buffers_of(input, "pInput"))

    def complete_auth_token(self, context: CtxtHandle, token: SecBufferDesc) -> SecurityStatus:
        """See `credssp.sspi.complete_auth_token`."""
        record = self._contexts.get(context, "phContext")
        record.check_alive()
        complete = self._user_mode.entry(record.package, "complete_auth_token", "SpCompleteAuthToken")
        if record.user is None:
            raise refuse("phContext", "no token of this context waits for completion", _S.SEC_E_INVALID_HANDLE)
        self._exclusive(record, complete, record.user, buffers_of(token, "pToken"))
        if record.completing:
            record.completing, record.state = False, COMPLETE
        return _S.SEC_E_OK

    @staticmethod
    def _exclusive(record: ContextRecord, function: Callable[..., object], *args: object) -> SecurityStatus:
        record.turn.take(Turn.EXCHANGE)
        try:
            call_package(function, *args)
        finally:
            record.turn.give_back(Turn.EXCHANGE)
        return _S.SEC_E_OK

    def delete_security_context(self, context: CtxtHandle) -> SecurityStatus:
        """See `credssp.sspi.delete_security_context`."""
        try:
            record = self._contexts.get(context, "phContext")
        except SSPIError:
            # Deleted before is fine; made up is not.
            self._contexts.remove(context, "phContext")
            return _S.SEC_E_OK
        record.turn.take(Turn.EXCHANGE)
        try:
            self._contexts.remove(context, "phContext")
            self._dispose(record)
        finally:
            record.turn.give_back(Turn.EXCHANGE)
        return _S.SEC_E_OK

    def _dispose(self, record: ContextRecord) -> None:
        """Delete both halves, the user-mode one first; a package that fails at it does not keep the handle alive."""
        record.state = DEAD
        steps: list[tuple[Callable[..., object] | None, object]] = []
        if record.user is not None:
            steps.append((self._user_mode.table(record.package).delete_user_mode_context, record.user))
        if record.context is not None:
            steps.append((record.package.table.delete_context, record.context))
        for function, argument in steps:
            if function is not None:
                try:
                    function(argument)
                except Exception as error:  # noqa: BLE001 - a package's code
                    self.registry._report(record.package.info.name, "deleting a context", type(error).__name__)

    # Attributes

    def query_context_attributes(self, context: CtxtHandle, attribute: int) -> object:
        """See `credssp.sspi.query_context_attributes`."""
        record = self._contexts.get(context, "phContext")
        record.check_alive()
        if not isinstance(attribute, int):
            raise refuse("ulAttribute", "one of the SECPKG_ATTR_... numbers", _S.SEC_E_UNSUPPORTED_FUNCTION)
        # An imported context has no LSA-mode half.
        imported = record.context is None
        if record.user is not None and (imported or not self._is_thunked(record.package, attribute)):
            query = self._user_mode.table(record.package).query_context_attributes
            if query is not None:
                return call_package(query, record.user, attribute)
        return call_package(
            record.package.entry("query_context_attributes", "SpQueryContextAttributes"), record.context, attribute
        )

    @staticmethod
    def _is_thunked(package: LoadedPackage, attribute: int) -> bool:
        tell = package.table.get_extended_information
        if tell is None:
            return False
        thunks = call_package(tell, "ContextThunks")
        return isinstance(thunks, tuple | list | frozenset) and (attribute in thunks or 0x10000 in thunks)

    def set_context_attributes(self, context: CtxtHandle, attribute: int, value: object) -> SecurityStatus:
        """See `credssp.sspi.set_context_attributes`."""
        record = self._contexts.get(context, "phContext")
        record.check_alive()
        apply = record.package.entry("set_context_attributes", "SpSetContextAttributes")
        return self._exclusive(record, apply, record.context, attribute, value)

    # Messages

    def encrypt_message(self, context: CtxtHandle, qop: int, message: SecBufferDesc, sequence: int) -> SecurityStatus:
        """See `credssp.sspi.encrypt_message`."""
        status = self._message(context, "seal_message", "EncryptMessage", Turn.ENCRYPT, message, sequence, qop)
        return status if isinstance(status, SecurityStatus) else _S.SEC_E_OK

    def decrypt_message(self, context: CtxtHandle, message: SecBufferDesc, sequence: int) -> DecryptResult:
        """See `credssp.sspi.decrypt_message`."""
        status, qop = self._message(context, "unseal_message", "DecryptMessage", Turn.DECRYPT, message, sequence)
        return DecryptResult(status, qop)

    def make_signature(self, context: CtxtHandle, qop: int, message: SecBufferDesc, sequence: int) -> SecurityStatus:
        """See `credssp.sspi.make_signature`."""
        self._message(context, "make_signature", "MakeSignature", Turn.ENCRYPT, message, sequence, qop)
        return _S.SEC_E_OK

    def verify_signature(self, context: CtxtHandle, message: SecBufferDesc, sequence: int) -> int:
        """See `credssp.sspi.verify_signature`."""
        qop = self._message(context, "verify_signature", "VerifySignature", Turn.DECRYPT, message, sequence)
        return qop if isinstance(qop, int) else 0

    def _message(
        self,
        context: CtxtHandle,
        name: str,
        what: str,
        kind: str,
        message: SecBufferDesc,
        sequence: int,
        qop: int | None = None,
    ) -> Any:
        record = self._contexts.get(context, "phContext")
        record.check_complete()
        function = self._user_mode.entry(record.package, name, what)
        if record.user is None:
            raise refuse("phContext", "this context does not protect messages", _S.SEC_E_UNSUPPORTED_FUNCTION)
        buffers = buffers_of(message, "pMessage")
        if not isinstance(sequence, int):
            raise refuse("MessageSeqNo", "a number", _S.SEC_E_INVALID_PARAMETER)
        record.turn.take(kind)
        try:
            if qop is None:
                return function(record.user, buffers, sequence)
            return function(record.user, qop, buffers, sequence)
        except Exception as error:  # noqa: BLE001 - whatever a package raises becomes a status
            failure = normalise(error)
            raise failure from failure.__cause__
        finally:
            record.turn.give_back(kind)

    # Export and import

    def export_security_context(self, context: CtxtHandle, flags: int) -> ContextBuffer:
        """See `credssp.sspi.export_security_context`."""
        record = self._contexts.get(context, "phContext")
        record.check_complete()
        export = self._user_mode.entry(record.package, "export_context", "SpExportSecurityContext")
        if not isinstance(flags, int) or flags & ~0x3:
            raise refuse(
                "fFlags", "there is no kernel to export to; RESET_NEW and DELETE_OLD", _S.SEC_E_UNSUPPORTED_FUNCTION
            )
        if record.user is None:
            raise refuse("phContext", "this context cannot be exported", _S.SEC_E_UNSUPPORTED_FUNCTION)
        record.turn.take(Turn.EXCHANGE)
        try:
            packed = ContextBuffer(call_package(export, record.user, flags))
        finally:
            record.turn.give_back(Turn.EXCHANGE)
        if flags & c.SECPKG_CONTEXT_EXPORT_DELETE_OLD:
            self.delete_security_context(context)
        return packed

    def import_security_context(
        self, package: str, packed: bytes | bytearray, token: object, context: CtxtHandle
    ) -> SecurityStatus:
        """See `credssp.sspi.import_security_context`."""
        found = self.registry.find(package)
        if token is not None:
            raise refuse("Token", "there are no access tokens off Windows: None", _S.SEC_E_UNSUPPORTED_FUNCTION)
        if not isinstance(context, CtxtHandle):
            raise refuse("phContext", "a CtxtHandle to fill in is needed", _S.SEC_E_INVALID_HANDLE)
        if not isinstance(packed, bytes | bytearray):
            raise refuse("pPackedContext", "octets from ExportSecurityContext", _S.SEC_E_INVALID_TOKEN)
        take = self._user_mode.entry(found, "import_context", "SpImportSecurityContext")
        record = ContextRecord(found)
        record.user = self._user_mode.new_context()
        call_package(take, record.user, bytes(packed))
        record.state = COMPLETE
        self._contexts.add(context, record, found.id)
        return _S.SEC_E_OK

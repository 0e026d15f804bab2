"""The dispatcher: every SSPI call, turned into calls of the two halves of a package.

What it does itself is what does not depend on the package: handles, one call at a time on a context, the memory of
output buffers, the state of a context (half-built, complete, dead), MappedContext, and statuses. What a package raises
comes out as `SSPIError`; the rule that decides about the context is:

* an SSPIError that names a **parameter** is the caller's mistake: nothing happened, the context is as it was;
* anything else that happens in an exchange is the end of the context. It then answers every call but
  DeleteSecurityContext with SEC_E_INVALID_HANDLE.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn, TypeVar, overload

from credssp.secret import private_methods
from credssp.sspi import buffers as b
from credssp.sspi import constants as c
from credssp.sspi.attributes import SECPKG_ATTR_THUNK_ALL, Attribute
from credssp.sspi.buffers import NEW_OUTPUT, ContextBuffer, SecBuffer, SecBufferDesc, buffers_of
from credssp.sspi.errors import (
    SSPIError,
    bad_handle,
    bad_token,
    check_done,
    check_value,
    normalise,
    refuse,
    unsupported,
)
from credssp.sspi.handles import NEW_CONTEXT, NEW_CREDENTIAL, CredHandle, CtxtHandle, HandleTable
from credssp.sspi.legs import check_request, finish_leg, run_leg, target_of
from credssp.sspi.records import (
    COMPLETE,
    DEAD,
    AcquireResult,
    ContextRecord,
    ContextResult,
    CredentialRecord,
    DecryptResult,
    acquired,
    call_package,
    call_status,
    call_value,
    exported,
    opened,
    verified,
)
from credssp.sspi.registry import LoadedPackage, Registry
from credssp.sspi.support import (
    DEFAULT_LOGON_ID,
    Callbacks,
    DllFunctions,
    LsaSupport,
    Machine,
    SecpkgPrimaryCred,
    SharedMemory,
)
from credssp.sspi.tables import LegResult, SecPkgInfo
from credssp.status import SecurityStatus

__all__ = ["LocalSecurityAuthority"]

_S = SecurityStatus

T = TypeVar("T")


def _no_token(function: str, instead: str) -> SSPIError:
    """Return the error of a call that needs an access token."""
    return unsupported("phContext", f"{function}: there are no access tokens off Windows; {instead}")


@private_methods()
class LocalSecurityAuthority:
    """One LSA with its packages, credentials and contexts; `credssp.sspi` works on one for the whole process.

    Packages are shut down (SpShutdown) when the process ends, or when the LSA is not used any more.

    Attributes:
        machine: what it knows about the machine it runs on.
        registry: its packages.
        support: what packages get from it.
        memory: what is on its way from LSA-mode to user-mode halves.
    """

    def __init__(self, machine: Machine | None = None) -> None:
        self.machine = Machine() if machine is None else machine
        self.memory = SharedMemory()
        callbacks = Callbacks()
        self.support = LsaSupport(self.machine, self.memory, callbacks)
        self.registry = Registry(self.support, DllFunctions(self.memory, callbacks))
        weakref.finalize(self, self.registry.shut_down)
        self._user_contexts = itertools.count(1)
        self._credentials: HandleTable[CredentialRecord] = HandleTable(CredHandle, self.free_credentials_handle)
        self._contexts: HandleTable[ContextRecord] = HandleTable(CtxtHandle, self.delete_security_context)

    # Packages

    def enumerate_security_packages(self) -> tuple[SecPkgInfo, ...]:
        """EnumerateSecurityPackages: describe all packages; loads those that were not used yet.

        A package that cannot be loaded is left out and shows up in `package_problems`.
        """
        return tuple(package.info for package in self.registry.all())

    def query_security_package_info(self, package: str) -> SecPkgInfo:
        """QuerySecurityPackageInfo: describe one package.

        Raises:
            SSPIError: SEC_E_SECPKG_NOT_FOUND.
        """
        return self.registry.find(package).info

    def add_security_package(self, package_name: object, options: None = None) -> SecurityStatus:
        """AddSecurityPackage: load the packages of a module at run time.

        Args:
            package_name: pszPackageName: where Windows has the name of a DLL, ``module`` or ``module:object``, or the
                object itself, with the two entry functions of `credssp.sspi.tables.PackageModule`.
            options: pOptions, must be None: signed packages and permanent installation are matters of Windows.

        Raises:
            SSPIError: SEC_E_SECPKG_NOT_FOUND, SEC_E_CANNOT_INSTALL.
        """
        if options is not None:
            raise unsupported("pOptions", "must be None")
        self.registry.add(package_name)
        return _S.SEC_E_OK

    def delete_security_package(self, package_name: str) -> SecurityStatus:
        """DeleteSecurityPackage: take a package out again; its handles become invalid.

        Raises:
            SSPIError: SEC_E_SECPKG_NOT_FOUND; SEC_E_UNSUPPORTED_FUNCTION for a package that comes with this library.
        """
        removed = self.registry.remove(package_name)
        for record in self._contexts.drop_package(removed.id):
            self._dispose(record)
        self._credentials.drop_package(removed.id)
        return _S.SEC_E_OK

    def accept_credentials(
        self,
        logon_type: int,
        account_name: str,
        primary: object,
        supplemental: object = None,
        *,
        logon_id: int | None = None,
    ) -> None:
        """Tell every package that a user logged on (SpAcceptCredentials): these are the session's default credentials.

        Args:
            logon_type: SECURITY_LOGON_TYPE, such as 2 for an interactive logon.
            account_name: the user's name.
            primary: what the user logged on with, such as a `credssp.PasswordCredentials`.
            supplemental: what other packages got at the logon.
            logon_id: LUID of the session (`create_logon_session`); None for that of this process.

        Raises:
            SSPIError: SEC_E_NOT_OWNER, there is no such session.
        """
        session = self.support.check_logon_session(logon_id)
        if session != DEFAULT_LOGON_ID:
            primary = SecpkgPrimaryCred(session, primary)
        for package in self.registry.all():
            self.registry.notify(
                package,
                "SpAcceptCredentials",
                package.table.accept_credentials,
                (logon_type, account_name, primary, supplemental),
            )

    def create_logon_session(self) -> int:
        """Return the LUID of a new logon session, for pvLogonId of `acquire_credentials_handle`.

        Windows makes one for each user that logs on. A program that works for several users does it here, and tells
        with `accept_credentials` what each of them logged on with.
        """
        return self.support.create_logon_session()

    def delete_logon_session(self, logon_id: int) -> None:
        """End a logon session: its default credentials are forgotten (LsaApLogonTerminated). Credentials live on.

        Raises:
            SSPIError: SEC_E_NOT_OWNER, there is no such session, or it is that of this process.
        """
        session = self.support.check_logon_session(logon_id)
        if session == DEFAULT_LOGON_ID:
            raise refuse("pvLogonId", "the session of this process does not end before it", _S.SEC_E_NOT_OWNER)
        self.support.delete_logon_session(session)
        for package in self.registry.loaded():
            self.registry.notify(package, "LsaApLogonTerminated", package.table.logon_terminated, (session,))

    # Credentials

    def acquire_credentials_handle(
        self,
        principal: str | None = None,
        package: str = c.CREDSSP_NAME,
        credential_use: int = c.SECPKG_CRED_OUTBOUND,
        logon_id: int | None = None,
        auth_data: object = None,
        get_key_fn: None = None,
        get_key_argument: None = None,
        credential: CredHandle = NEW_CREDENTIAL,
    ) -> AcquireResult:
        """AcquireCredentialsHandle: refer to credentials; no logon takes place here.

        Args:
            principal: pszPrincipal: whose credentials; None for those of pAuthData or the current user's.
            package: pszPackage, in any case.
            credential_use: fCredentialUse: SECPKG_CRED_INBOUND for a server, SECPKG_CRED_OUTBOUND for a client, or
                both.
            logon_id: pvLogonId: LUID of a logon session (`create_logon_session`), whose default credentials are meant;
                None for this process's own.
            auth_data: pAuthData: `CredsspCred` or `CredsspCredEx` for CREDSSP and TSSSP, `SchannelCred` for Schannel,
                `SecWinntAuthIdentity` for the others; None for the default credentials.
            get_key_fn: pGetKeyFn, reserved, None.
            get_key_argument: pvGetKeyArgument, reserved, None.
            credential: phCredential, filled in, by default a new one; give it back with `free_credentials_handle`, or
                use it in ``with``.

        Raises:
            SSPIError: SEC_E_SECPKG_NOT_FOUND, SEC_E_UNKNOWN_CREDENTIALS, SEC_E_NO_CREDENTIALS, SEC_E_NOT_OWNER, ...
        """
        found = self._checked(principal, package, credential_use, get_key_fn, get_key_argument)
        if not isinstance(credential, CredHandle):
            raise bad_handle("phCredential", "a CredHandle to fill in is needed")
        if credential is NEW_CREDENTIAL:
            credential = CredHandle()
        acquire = found.entry("acquire_credentials_handle")
        made, expiry = call_package(
            lambda: acquired(check_value(acquire(principal, credential_use, logon_id, auth_data, None, None)))
        )
        self._credentials.add(credential, CredentialRecord(found, made), found.id)
        return AcquireResult(_S.SEC_E_OK, expiry, credential)

    def _checked(
        self, principal: object, package: str, credential_use: object, get_key_fn: object, get_key_argument: object
    ) -> LoadedPackage:
        """Return the package that a credential is asked of, if the arguments make sense."""
        found = self.registry.find(package)
        if principal is not None and not isinstance(principal, str):
            raise refuse("pszPrincipal", "a name is a str, or None", _S.SEC_E_UNKNOWN_CREDENTIALS)
        if not isinstance(credential_use, int) or credential_use & c.SECPKG_CRED_BOTH not in (1, 2, 3):
            raise unsupported("fCredentialUse", "SECPKG_CRED_INBOUND, SECPKG_CRED_OUTBOUND or SECPKG_CRED_BOTH")
        if get_key_fn is not None or get_key_argument is not None:
            raise refuse("pGetKeyFn", "reserved, must be None", _S.SEC_E_INVALID_PARAMETER)
        return found

    @overload
    def query_credentials_attributes(self, credential: CredHandle, attribute: Attribute[T]) -> T: ...
    @overload
    def query_credentials_attributes(self, credential: CredHandle, attribute: int) -> object: ...
    def query_credentials_attributes(self, credential: CredHandle, attribute: int) -> object:
        """QueryCredentialsAttributes: SECPKG_CRED_ATTR_NAMES, SECPKG_CRED_ATTR_CERT.

        Raises:
            SSPIError: SEC_E_INVALID_HANDLE, SEC_E_UNSUPPORTED_FUNCTION.
        """
        record = self._credentials.get(credential, "phCredential")
        query = record.package.entry("query_credentials_attributes")
        return call_value(query, record.credential, attribute)

    def set_credentials_attributes(self, credential: CredHandle, attribute: int, value: object) -> SecurityStatus:
        """SetCredentialsAttributes: SECPKG_CRED_ATTR_KDC_PROXY_SETTINGS.

        Args:
            credential: phCredential.
            attribute: ulAttribute.
            value: pBuffer, the structure of the attribute.

        Raises:
            SSPIError: SEC_E_INVALID_HANDLE; SEC_E_UNSUPPORTED_FUNCTION, also for a value that cannot be honoured.
        """
        record = self._credentials.get(credential, "phCredential")
        apply = record.package.entry("set_credentials_attributes")
        call_status(apply, record.credential, attribute, value)
        return _S.SEC_E_OK

    def add_credentials(
        self,
        credential: CredHandle,
        principal: str | None,
        package: str,
        credential_use: int,
        auth_data: object = None,
        get_key_fn: None = None,
        get_key_argument: None = None,
    ) -> AcquireResult:
        """AddCredentials: let a credential that has been acquired stand for one more: of the other role, or of a user.

        Contexts that exist keep what they began with.

        Args:
            credential: hCredentials.
            principal: pszPrincipal, as for `acquire_credentials_handle`.
            package: pszPackage, the one that the credential was acquired from.
            credential_use: fCredentialUse.
            auth_data: pAuthData.
            get_key_fn: pGetKeyFn, reserved, None.
            get_key_argument: pvGetKeyArgument, reserved, None.

        Raises:
            SSPIError: SEC_E_UNSUPPORTED_FUNCTION, the package does not add credentials; SEC_E_INVALID_HANDLE, and as
                `acquire_credentials_handle`.
        """
        record = self._credentials.get(credential, "hCredentials")
        found = self._checked(principal, package, credential_use, get_key_fn, get_key_argument)
        if found is not record.package:
            raise refuse(
                "pszPackage", f"the credential belongs to {record.package.info.name}", _S.SEC_E_SECPKG_NOT_FOUND
            )
        add = record.package.entry("add_credentials")
        expiry = call_value(add, record.credential, principal, package, credential_use, auth_data, None, None)
        return AcquireResult(_S.SEC_E_OK, expiry, credential)

    def free_credentials_handle(self, credential: CredHandle) -> SecurityStatus:
        """FreeCredentialsHandle: contexts that were made with it live on.

        Raises:
            SSPIError: SEC_E_INVALID_HANDLE.
        """
        self._credentials.get(credential, "phCredential")
        record = self._credentials.remove(credential, "phCredential")
        if record is None:  # another thread was faster
            raise bad_handle("phCredential", "this CredHandle has been freed")
        free = record.package.table.free_credentials_handle
        if free is not None:
            call_status(free, record.credential)
        return _S.SEC_E_OK

    # Exchanges

    def initialize_security_context(
        self,
        credential: CredHandle | None = None,
        context: CtxtHandle | None = None,
        target_name: str | None = None,
        context_req: int = 0,
        reserved1: int = 0,
        target_data_rep: int = c.SECURITY_NATIVE_DREP,
        input: SecBufferDesc | None = None,  # noqa: A002 - the parameter's name is pInput
        reserved2: int = 0,
        new_context: CtxtHandle | None = NEW_CONTEXT,
        output: SecBufferDesc | None = NEW_OUTPUT,
    ) -> ContextResult:
        """InitializeSecurityContext: the client's side of an exchange, one leg per call.

        Args:
            credential: phCredential, an outbound one; later the same, or None. Another one in the middle of an exchange
                is SEC_E_WRONG_CREDENTIAL_HANDLE, but after SEC_I_INCOMPLETE_CREDENTIALS.
            context: phContext: None on the first call, then the handle that it filled in. On a context that is complete
                a call with an empty or no input begins a re-authentication, with the credential, the target and the
                flags of this call; None for credential or target means the one before.
            target_name: pszTargetName: SPN of the server (CREDSSP: ``TERMSRV/host``), for the policy, for TLS, and for
                the session cache. Looked at on the first call of an exchange.
            context_req: fContextReq, ``ISC_REQ_...`` flags; see docs/reference/sspi.md for what each of them does.
            reserved1: Reserved1, 0.
            target_data_rep: TargetDataRep: SECURITY_NATIVE_DREP or SECURITY_NETWORK_DREP, which TLS does not tell
                apart.
            input: pInput: None on the first call; later exactly two buffers, TOKEN with the bytes from the server and
                EMPTY without memory. Afterwards the second may be EXTRA (bytes at the end of TOKEN that were not
                consumed) or, with SEC_E_INCOMPLETE_MESSAGE, MISSING. With ISC_REQ_USE_SUPPLIED_CREDS a PKG_PARAMS
                on the first call.
            reserved2: Reserved2, 0.
            new_context: phNewContext: filled in on the first call, by default a new one (`ContextResult.context`);
                later the same handle, or None.
            output: pOutput: a TOKEN buffer, with memory of the caller, or with ISC_REQ_ALLOCATE_MEMORY without. None
                where no token is expected; should there be one, the call is repeated for it as with a small buffer. By
                default a buffer that the package allocates (`ContextResult.token`).

        Returns:
            The status and the attributes. With SEC_E_OK a token may still have to be sent.

        Raises:
            SSPIError: any other status; `.token` has the bytes for the peer that are in pOutput.
        """
        if reserved1 != 0 or reserved2 != 0:
            name = "Reserved1" if reserved1 != 0 else "Reserved2"
            raise refuse(name, "reserved, must be 0", _S.SEC_E_INVALID_PARAMETER)
        if target_name is not None and (not isinstance(target_name, str) or "\0" in target_name):
            raise refuse("pszTargetName", "a name is a str without NUL, or None", _S.SEC_E_TARGET_UNKNOWN)
        return self._leg(
            "init_lsa_mode_context",
            (credential, context, new_context),
            (context_req, target_data_rep),
            (input, output),
            lambda made, own, inputs, req: (made, own, target_name, req, target_data_rep, inputs),
        )

    def accept_security_context(
        self,
        credential: CredHandle | None = None,
        context: CtxtHandle | None = None,
        input: SecBufferDesc | None = None,  # noqa: A002 - the parameter's name is pInput
        context_req: int = 0,
        target_data_rep: int = c.SECURITY_NATIVE_DREP,
        new_context: CtxtHandle | None = NEW_CONTEXT,
        output: SecBufferDesc | None = NEW_OUTPUT,
    ) -> ContextResult:
        """AcceptSecurityContext: the server's side of an exchange, one leg per call.

        Args:
            credential: phCredential, an inbound one.
            context: phContext: None until a call has filled in phNewContext (not with SEC_E_INCOMPLETE_MESSAGE).
            input: pInput: TOKEN with the bytes from the client, and EMPTY, which becomes EXTRA or MISSING.
            context_req: fContextReq, ``ASC_REQ_...`` flags; **their numbers differ** from ``ISC_REQ_``.
            target_data_rep: TargetDataRep.
            new_context: phNewContext, as for `initialize_security_context`.
            output: pOutput, as for `initialize_security_context`; a further EMPTY buffer becomes EXTRA as well.

        Raises:
            SSPIError: any status that is a failure, but SEC_E_INCOMPLETE_MESSAGE.
        """
        return self._leg(
            "accept_lsa_mode_context",
            (credential, context, new_context),
            (context_req, target_data_rep),
            (input, output),
            lambda made, own, inputs, req: (made, own, inputs, req, target_data_rep),
        )

    def _leg(
        self,
        member: str,
        handles: tuple[CredHandle | None, CtxtHandle | None, CtxtHandle | None],
        request: tuple[int, int],
        descs: tuple[SecBufferDesc | None, SecBufferDesc | None],
        arguments: Callable[[object, object, list[SecBuffer], int], tuple[object, ...]],
    ) -> ContextResult:
        """Make a call of either role.

        Args:
            member: the member of the package's table.
            handles: phCredential, phContext, phNewContext.
            request: fContextReq and TargetDataRep.
            descs: pInput and pOutput.
            arguments: puts the member's arguments together from the package's credential, its context, the inputs and
                fContextReq.
        """
        credential, context, new_context = handles
        given, output = descs
        if output is NEW_OUTPUT:
            # With memory of the package; what it was asked for by the program stays in the answer.
            output = SecBufferDesc([SecBuffer(b.SECBUFFER_TOKEN)])
            request = (request[0] | c.ISC_REQ_ALLOCATE_MEMORY, request[1]) if isinstance(request[0], int) else request
        if new_context is NEW_CONTEXT:
            new_context = CtxtHandle() if context is None else None
        held, record, unfilled = self._parties(credential, context, new_context)
        record.check_role(member)
        check_request(*request)
        # ISC_REQ_ALLOCATE_MEMORY and ASC_REQ_ALLOCATE_MEMORY are the same bit.
        allocate = bool(request[0] & c.ISC_REQ_ALLOCATE_MEMORY)
        function = record.package.entry(member)
        inputs = [] if given is None else buffers_of(given, "pInput")
        with record.turns.exchange:
            record.check_alive()  # it may have ended in another thread meanwhile
            if held is not None:
                record.take_credential(held)
            target = target_of(output, allocate)
            made = None if held is None else held.credential
            call = partial(function, *arguments(made, record.context, inputs, request[0]))
            leg = run_leg(record, call, inputs, target)
            record.member = member
            if held is not None and leg.status is not _S.SEC_E_INCOMPLETE_MESSAGE:
                record.credential = held
            if unfilled is not None:
                if leg.status is not _S.SEC_E_INCOMPLETE_MESSAGE or leg.context is not None:
                    record.context = leg.context
                    self._contexts.add(unfilled, record, record.package.id)
            elif new_context is not None and context is not None:
                new_context.lower, new_context.upper = context.lower, context.upper
            if leg.mapped and record.user is None:
                self._map(record, leg)
            elif leg.context_data is not None:
                leg.context_data[:] = bytes(len(leg.context_data))  # handed over once, and this was not the time
            finish_leg(record, leg, inputs, output, target)
        handle = new_context if context is None else context
        return ContextResult(leg.status, leg.attributes, leg.expiry, handle or CtxtHandle(), bytes(leg.token))

    def _parties(
        self, credential: CredHandle | None, context: CtxtHandle | None, new_context: CtxtHandle | None
    ) -> tuple[CredentialRecord | None, ContextRecord, CtxtHandle | None]:
        """Return the record of the credential, that of the context, and on a first call the handle to fill in."""
        if new_context is not None and not isinstance(new_context, CtxtHandle):
            raise bad_handle("phNewContext", "a CtxtHandle to fill in, or None")
        if context is None:
            if new_context is None:
                raise bad_handle("phNewContext", "the first call needs one to fill in")
            held = self._credentials.get(credential, "phCredential")
            return held, ContextRecord(held.package, held), new_context
        record = self._alive(context)
        return None if credential is None else self._credentials.get(credential, "phCredential"), record, None

    def _map(self, record: ContextRecord, leg: LegResult) -> None:
        """MappedContext: hand the context's data to the user-mode half, once, and wipe it; the program never knows."""
        packed = leg.context_data or bytearray()
        try:
            number = next(self._user_contexts)
            check_done(record.package.user_entry("init_user_mode_context")(number, packed))
            record.user = number
        except Exception as error:  # noqa: BLE001 - a package's code
            failure = normalise(error)
            # Whatever the half says of its arguments, the program's are not to blame: the exchange was over.
            failure.parameter = None
            record.state, record.failure = DEAD, failure
            raise failure from None
        finally:
            packed[:] = bytes(len(packed))

    def _complete(self, context: CtxtHandle) -> ContextRecord:
        record = self._contexts.get(context, "phContext")
        record.check_complete()
        return record

    def _alive(self, context: CtxtHandle) -> ContextRecord:
        record = self._contexts.get(context, "phContext")
        record.check_alive()
        return record

    def apply_control_token(self, context: CtxtHandle, input: SecBufferDesc) -> SecurityStatus:  # noqa: A002
        """ApplyControlToken: with SCHANNEL_SHUTDOWN (a DWORD in a TOKEN), the next ISC or ASC returns close_notify.

        With a `SCHANNEL_ALERT_TOKEN` it returns a fatal alert, which is the end of the context. Its number reaches the
        peer as long as this side has not begun to encrypt; after that OpenSSL sends bad_record_mac or
        unexpected_message instead.

        Raises:
            SSPIError: SEC_E_UNSUPPORTED_FUNCTION, SEC_E_INVALID_TOKEN, SEC_E_INVALID_HANDLE.
        """
        record = self._alive(context)
        apply = record.package.entry("apply_control_token")
        return self._exclusive(record, apply, record.context, buffers_of(input, "pInput"))

    def complete_auth_token(self, context: CtxtHandle, token: SecBufferDesc) -> SecurityStatus:
        """CompleteAuthToken: finish the token of a leg that ended with SEC_I_COMPLETE_NEEDED or COMPLETE_AND_CONTINUE.

        Raises:
            SSPIError: SEC_E_UNSUPPORTED_FUNCTION for packages that never ask for it, as all that come with this
                library.
        """
        record = self._alive(context)
        complete = record.package.user_entry("complete_auth_token")
        if record.user is None:
            raise bad_handle("phContext", "no token of this context waits for completion")
        self._exclusive(record, complete, record.user, buffers_of(token, "pToken"))
        if record.completing:
            record.completing, record.state = False, COMPLETE
        return _S.SEC_E_OK

    @staticmethod
    def _exclusive(record: ContextRecord, function: Callable[..., object], *args: object) -> SecurityStatus:
        with record.turns.exchange:
            record.check_alive()  # it may have ended in another thread meanwhile
            call_status(function, *args)
        return _S.SEC_E_OK

    def delete_security_context(self, context: CtxtHandle) -> SecurityStatus:
        """DeleteSecurityContext: for every context that a call filled in: finished, failed or half-built.

        A second time is fine.

        Raises:
            SSPIError: SEC_E_INVALID_HANDLE, it never was a context.
        """
        try:
            record = self._contexts.get(context, "phContext")
        except SSPIError:
            # Deleted before is fine; made up is not.
            self._contexts.remove(context, "phContext")
            return _S.SEC_E_OK
        with record.turns.exchange:
            if self._contexts.remove(context, "phContext") is not None:  # unless another thread was faster
                self._dispose(record)
        return _S.SEC_E_OK

    def _dispose(self, record: ContextRecord) -> None:
        """Delete both halves, the user-mode one first; a package that fails at it does not keep the handle alive."""
        record.state = DEAD
        package = record.package
        if record.user is not None:
            delete = package.user_table().delete_user_mode_context
            self.registry.notify(package, "deleting a context", delete, (record.user,))
        if record.context is not None:
            self.registry.notify(package, "deleting a context", package.table.delete_context, (record.context,))

    # Access tokens, which only Windows has

    def query_security_context_token(self, context: CtxtHandle) -> object:
        """QuerySecurityContextToken: return the access token of a client, from a package that knows of one.

        Raises:
            SSPIError: SEC_E_UNSUPPORTED_FUNCTION for the packages that come with this library, since there are no
                access tokens off Windows; SEC_E_INVALID_HANDLE for a context that is not complete.
        """
        record = self._complete(context)
        if record.user is not None:
            ask = record.package.user_table().get_context_token
            if ask is not None:
                return call_value(ask, record.user)
        raise _no_token("QuerySecurityContextToken", "SECPKG_ATTR_NAMES says who logged on")

    def impersonate_security_context(self, context: CtxtHandle) -> NoReturn:
        """ImpersonateSecurityContext: act as the client; refused, since there are no access tokens off Windows.

        Raises:
            SSPIError: SEC_E_UNSUPPORTED_FUNCTION, with what to do instead; SEC_E_INVALID_HANDLE for a context that is
                not complete.
        """
        self._complete(context)
        raise _no_token(
            "ImpersonateSecurityContext",
            "ask for SECPKG_ATTR_NAMES and switch to that user (os.setresuid, in a process of its own), or log on as "
            "the user with the delegated credentials (SECPKG_ATTR_CREDS)",
        )

    def revert_security_context(self, context: CtxtHandle) -> NoReturn:
        """RevertSecurityContext: stop acting as the client; refused, since nothing here begins to.

        Raises:
            SSPIError: as `impersonate_security_context`.
        """
        self._complete(context)
        raise _no_token("RevertSecurityContext", "there is nothing to revert: omit the call")

    # Attributes

    @overload
    def query_context_attributes(self, context: CtxtHandle, attribute: Attribute[T]) -> T: ...
    @overload
    def query_context_attributes(self, context: CtxtHandle, attribute: int) -> object: ...
    def query_context_attributes(self, context: CtxtHandle, attribute: int) -> object:
        """QueryContextAttributes: ask for one of the ``SECPKG_ATTR_...`` things (`credssp.sspi.attributes`).

        Returns:
            The structure of the attribute.

        Raises:
            SSPIError: SEC_E_INVALID_HANDLE for a context that is not complete; SEC_E_UNSUPPORTED_FUNCTION.
        """
        record = self._alive(context)
        if not isinstance(attribute, int):
            raise unsupported("ulAttribute", "one of the SECPKG_ATTR_... numbers")
        # An imported context has no LSA-mode half.
        imported = record.context is None
        if record.user is not None and (imported or not self._is_thunked(record.package, attribute)):
            query = record.package.user_table().query_context_attributes
            if query is not None:
                return call_value(query, record.user, attribute)
        return call_value(record.package.entry("query_context_attributes"), record.context, attribute)

    @staticmethod
    def _is_thunked(package: LoadedPackage, attribute: int) -> bool:
        tell = package.table.get_extended_information
        if tell is None:
            return False
        thunks = call_package(tell, "ContextThunks")
        return isinstance(thunks, tuple | list | frozenset) and (attribute in thunks or SECPKG_ATTR_THUNK_ALL in thunks)

    def set_context_attributes(self, context: CtxtHandle, attribute: int, value: object) -> SecurityStatus:
        """SetContextAttributes.

        Raises:
            SSPIError: SEC_E_UNSUPPORTED_FUNCTION where the package has none, as all that come with this library.
        """
        record = self._alive(context)
        apply = record.package.entry("set_context_attributes")
        return self._exclusive(record, apply, record.context, attribute, value)

    # Messages

    def encrypt_message(
        self, context: CtxtHandle, qop: int, message: SecBufferDesc, message_seq_no: int = 0
    ) -> SecurityStatus:
        """EncryptMessage: encrypt in place.

        Stream packages: STREAM_HEADER, DATA, STREAM_TRAILER, EMPTY, sized by SECPKG_ATTR_STREAM_SIZES; send the first
        three with their new counts. Others, in any order: TOKEN of cbSecurityTrailer bytes, any number of DATA, and
        PADDING of cbBlockSize bytes, which Kerberos with an old cipher needs; send all with their new counts. DATA with
        SECBUFFER_READONLY_WITH_CHECKSUM is signed and not encrypted. With SECQOP_WRAP_NO_ENCRYPT all of it is.

        Raises:
            SSPIError: SEC_E_BUFFER_TOO_SMALL, SEC_E_CONTEXT_EXPIRED, SEC_E_INVALID_TOKEN, SEC_E_QOP_NOT_SUPPORTED, ...
        """
        return self._protect(context, "seal_message", message, message_seq_no, qop)

    def decrypt_message(self, context: CtxtHandle, message: SecBufferDesc, message_seq_no: int = 0) -> DecryptResult:
        """DecryptMessage: decrypt in place.

        Stream packages: DATA with all that was received and three EMPTY; they become STREAM_HEADER, DATA,
        STREAM_TRAILER and, if something is left, EXTRA. With SEC_E_INCOMPLETE_MESSAGE the second is MISSING and nothing
        has changed. Others: TOKEN, DATA and PADDING as EncryptMessage made them; or STREAM with all of these in one
        piece and one DATA, which becomes a view of the plaintext in the STREAM's memory.

        Raises:
            SSPIError: SEC_E_MESSAGE_ALTERED, SEC_E_OUT_OF_SEQUENCE, SEC_E_CONTEXT_EXPIRED, SEC_E_INVALID_TOKEN, ...
        """
        answer = self._message(context, "unseal_message", "decrypt", message, message_seq_no)
        return call_package(opened, answer)  # type: ignore[no-any-return]

    def make_signature(
        self, context: CtxtHandle, qop: int, message: SecBufferDesc, message_seq_no: int = 0
    ) -> SecurityStatus:
        """MakeSignature: sign DATA into TOKEN, of cbMaxSignature bytes.

        Raises:
            SSPIError: SEC_E_UNSUPPORTED_FUNCTION for stream packages; SEC_E_BUFFER_TOO_SMALL, SEC_E_INVALID_TOKEN.
        """
        return self._protect(context, "make_signature", message, message_seq_no, qop)

    def verify_signature(self, context: CtxtHandle, message: SecBufferDesc, message_seq_no: int = 0) -> DecryptResult:
        """VerifySignature: check the signature in TOKEN over DATA.

        Raises:
            SSPIError: SEC_E_MESSAGE_ALTERED, SEC_E_OUT_OF_SEQUENCE, SEC_E_UNSUPPORTED_FUNCTION, SEC_E_INVALID_TOKEN.
        """
        answer = self._message(context, "verify_signature", "decrypt", message, message_seq_no)
        return call_package(verified, answer)  # type: ignore[no-any-return]

    def _protect(
        self, context: CtxtHandle, member: str, message: SecBufferDesc, sequence: int, qop: int
    ) -> SecurityStatus:
        status = self._message(context, member, "encrypt", message, sequence, qop)
        return call_status(lambda: status)

    def _message(
        self, context: CtxtHandle, member: str, turn: str, message: SecBufferDesc, sequence: int, *qop: int
    ) -> Any:
        """Protect a message or open one, which has no `qop` to give."""
        record = self._complete(context)
        function = record.package.user_entry(member)
        if record.user is None:
            raise unsupported("phContext", "this context does not protect messages")
        buffers = buffers_of(message, "pMessage")
        if not isinstance(sequence, int):
            raise refuse("MessageSeqNo", "a number", _S.SEC_E_INVALID_PARAMETER)
        with getattr(record.turns, turn):
            record.check_complete()  # it may have ended in another thread meanwhile
            return call_package(function, record.user, *qop, buffers, sequence)

    # Export and import

    def export_security_context(self, context: CtxtHandle, flags: int) -> ContextBuffer:
        """ExportSecurityContext: pack a context for another process; the bytes hold its keys.

        Args:
            context: phContext.
            flags: SECPKG_CONTEXT_EXPORT_RESET_NEW (the new one counts from the start),
                SECPKG_CONTEXT_EXPORT_DELETE_OLD.

        Raises:
            SSPIError: SEC_E_UNSUPPORTED_FUNCTION where the package cannot (all but NTLM).
        """
        record = self._complete(context)
        export = record.package.user_entry("export_context")
        if not isinstance(flags, int) or flags & ~0x3:
            raise unsupported("fFlags", "there is no kernel to export to; RESET_NEW and DELETE_OLD")
        if record.user is None:
            raise unsupported("phContext", "this context cannot be exported")
        with record.turns.exchange:
            record.check_complete()
            packed: ContextBuffer = call_package(lambda: exported(check_value(export(record.user, flags))))
        if flags & c.SECPKG_CONTEXT_EXPORT_DELETE_OLD:
            self.delete_security_context(context)
        return packed

    def import_security_context(
        self, package: str, packed_context: bytes | bytearray, token: None, context: CtxtHandle
    ) -> SecurityStatus:
        """ImportSecurityContext: make a context of what ExportSecurityContext packed.

        Raises:
            SSPIError: SEC_E_UNSUPPORTED_FUNCTION, SEC_E_INVALID_TOKEN.
        """
        found = self.registry.find(package)
        if token is not None:
            raise unsupported("Token", "there are no access tokens off Windows: None")
        if not isinstance(context, CtxtHandle):
            raise bad_handle("phContext", "a CtxtHandle to fill in is needed")
        if not isinstance(packed_context, bytes | bytearray):
            raise bad_token("pPackedContext", "bytes from ExportSecurityContext")
        take = found.user_entry("import_context")
        record = ContextRecord(found)
        record.user = next(self._user_contexts)
        call_status(take, record.user, bytes(packed_context))
        record.state = COMPLETE
        self._contexts.add(context, record, found.id)
        return _S.SEC_E_OK

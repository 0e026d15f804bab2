"""The functions of SSPI, for the whole process.

Names and order of the parameters are those of Windows, in snake_case. What C returns through pointers to numbers
comes back in a small result; handles and buffers are objects that the caller makes and a call fills in, as in C.

**How a call fails.** A status with bit 31 set is raised as `SSPIError`, with `.status`, and `.parameter` where an
argument is to blame: then nothing has changed, and the call may be repeated with a better one. SEC_E_INCOMPLETE_MESSAGE
is no failure in practice and is returned. If an exchange fails, pOutput may hold a token for the peer all the same
(EXTENDED_ERROR): send it, then delete the context.
"""

from __future__ import annotations

import functools
import threading

from credssp.account import AccountStore
from credssp.policy import DelegationPolicy, PolicySettings
from credssp.sspi.buffers import ContextBuffer, SecBufferDesc
from credssp.sspi.errors import refuse
from credssp.sspi.handles import CredHandle, CtxtHandle
from credssp.sspi.lsa import AcquireResult, ContextResult, DecryptResult, LocalSecurityAuthority
from credssp.sspi.registry import PackageProblem
from credssp.sspi.tables import SecPkgInfo
from credssp.status import SecurityStatus

__all__ = [
    "accept_security_context",
    "acquire_credentials_handle",
    "add_security_package",
    "apply_control_token",
    "complete_auth_token",
    "configure",
    "decrypt_message",
    "delete_security_context",
    "delete_security_package",
    "encrypt_message",
    "enumerate_security_packages",
    "export_security_context",
    "free_context_buffer",
    "free_credentials_handle",
    "import_security_context",
    "initialize_security_context",
    "local_security_authority",
    "make_signature",
    "package_problems",
    "query_context_attributes",
    "query_credentials_attributes",
    "query_security_package_info",
    "set_context_attributes",
    "verify_signature",
]


_first_use = threading.Lock()


@functools.cache
def _made() -> LocalSecurityAuthority:
    return LocalSecurityAuthority()


def local_security_authority() -> LocalSecurityAuthority:
    """Return the LSA of this process, which all functions of this module work on; made by the first call."""
    # The cache alone would let two threads make one each, and the handles of one would be strangers to the other.
    with _first_use:
        return _made()


def configure(*, accounts: AccountStore | None = None, policy: DelegationPolicy | PolicySettings | None = None) -> None:
    """Tell the LSA of this process what Windows would know about the machine.

    Args:
        accounts: who may log on with NTLM where a credential does not say it (Windows: the SAM, or a domain).
        policy: the delegation policy (Windows: group policy); None for Windows' defaults, which let credentials go to
            ``TERMSRV/*`` and nowhere else.
    """
    machine = local_security_authority().machine
    machine.accounts, machine.policy = accounts, policy


# Packages


def enumerate_security_packages() -> tuple[SecPkgInfo, ...]:
    """EnumerateSecurityPackages: describe all packages; loads those that were not used yet.

    A package that cannot be loaded is left out and shows up in `package_problems`.
    """
    return local_security_authority().enumerate_security_packages()


def query_security_package_info(package: str) -> SecPkgInfo:
    """QuerySecurityPackageInfo: describe one package.

    Raises:
        SSPIError: SEC_E_SECPKG_NOT_FOUND.
    """
    return local_security_authority().query_security_package_info(package)


def add_security_package(package_name: object, options: None = None) -> SecurityStatus:
    """AddSecurityPackage: load the packages of a module at run time.

    Args:
        package_name: pszPackageName: where Windows has the name of a DLL, ``module`` or ``module:object``, or the
            object itself, with the two entry functions of `credssp.sspi.tables.PackageModule`.
        options: pOptions, must be None: signed packages and permanent installation are matters of Windows.

    Raises:
        SSPIError: SEC_E_SECPKG_NOT_FOUND, SEC_E_CANNOT_INSTALL.
    """
    if options is not None:
        raise refuse("pOptions", "must be None", SecurityStatus.SEC_E_UNSUPPORTED_FUNCTION)
    local_security_authority().registry.add(package_name)
    return SecurityStatus.SEC_E_OK


def delete_security_package(package_name: str) -> SecurityStatus:
    """DeleteSecurityPackage: take a package out again; its handles become invalid.

    Raises:
        SSPIError: SEC_E_SECPKG_NOT_FOUND; SEC_E_UNSUPPORTED_FUNCTION for a package that comes with this library.
    """
    return local_security_authority().delete_security_package(package_name)


def package_problems() -> tuple[PackageProblem, ...]:
    """Return the packages that were announced and could not be loaded, and why (no counterpart in Windows)."""
    return tuple(local_security_authority().registry.problems)


# Credentials


def acquire_credentials_handle(
    principal: str | None,
    package: str,
    credential_use: int,
    logon_id: int | None,
    auth_data: object,
    get_key_fn: None,
    get_key_argument: None,
    credential: CredHandle,
) -> AcquireResult:
    """AcquireCredentialsHandle: refer to credentials; nobody logs on here.

    Args:
        principal: pszPrincipal: whose credentials; None for those of pAuthData or the current user's.
        package: pszPackage, in any case.
        credential_use: fCredentialUse: SECPKG_CRED_INBOUND for a server, SECPKG_CRED_OUTBOUND for a client, or both.
        logon_id: pvLogonId: LUID of a logon session, None for this process's own.
        auth_data: pAuthData: `CredsspCred` or `CredsspCredEx` for CREDSSP and TSSSP, `SchannelCred` for Schannel,
            `SecWinntAuthIdentity` for the others; None for the default credentials.
        get_key_fn: pGetKeyFn, reserved, None.
        get_key_argument: pvGetKeyArgument, reserved, None.
        credential: phCredential, filled in; give it back with `free_credentials_handle`.

    Raises:
        SSPIError: SEC_E_SECPKG_NOT_FOUND, SEC_E_UNKNOWN_CREDENTIALS, SEC_E_NO_CREDENTIALS, SEC_E_NOT_OWNER, ...
    """
    return local_security_authority().acquire_credentials_handle(
        principal, package, credential_use, logon_id, auth_data, get_key_fn, get_key_argument, credential
    )


def query_credentials_attributes(credential: CredHandle, attribute: int) -> object:
    """QueryCredentialsAttributes: SECPKG_CRED_ATTR_NAMES, SECPKG_CRED_ATTR_CERT.

    Raises:
        SSPIError: SEC_E_INVALID_HANDLE, SEC_E_UNSUPPORTED_FUNCTION.
    """
    return local_security_authority().query_credentials_attributes(credential, attribute)


def free_credentials_handle(credential: CredHandle) -> SecurityStatus:
    """FreeCredentialsHandle: contexts that were made with it live on.

    Raises:
        SSPIError: SEC_E_INVALID_HANDLE.
    """
    return local_security_authority().free_credentials_handle(credential)


# Exchanges


def initialize_security_context(
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
    """InitializeSecurityContext: the client's side of an exchange, one leg per call.

    Args:
        credential: phCredential, an outbound one.
        context: phContext: None on the first call, then the handle that it filled in. On a context that is complete a
            call with an empty or no input begins a re-authentication.
        target_name: pszTargetName: SPN of the server (CREDSSP: ``TERMSRV/host``), for the policy, for TLS, and for the
            session cache. Looked at on the first call.
        context_req: fContextReq, ``ISC_REQ_...`` flags; see docs/reference/sspi.md for what each of them does.
        reserved1: Reserved1, 0.
        target_data_rep: TargetDataRep: SECURITY_NATIVE_DREP or SECURITY_NETWORK_DREP, which TLS does not tell apart.
        input: pInput: None on the first call; later exactly two buffers, TOKEN with the octets from the server and
            EMPTY without memory. Afterwards the second may be EXTRA (octets at the end of TOKEN that were not
            consumed) or, with SEC_E_INCOMPLETE_MESSAGE, MISSING. With ISC_REQ_USE_SUPPLIED_CREDS a PKG_PARAMS
            on the first call.
        reserved2: Reserved2, 0.
        new_context: phNewContext: filled in on the first call; later the same handle, or None.
        output: pOutput: a TOKEN buffer, with memory of the caller, or with ISC_REQ_ALLOCATE_MEMORY without.

    Returns:
        The status and the attributes. With SEC_E_OK a token may still have to be sent.

    Raises:
        SSPIError: any other status.
    """
    return local_security_authority().initialize_security_context(
        credential,
        context,
        target_name,
        context_req,
        reserved1,
        target_data_rep,
        input,
        reserved2,
        new_context,
        output,
    )


def accept_security_context(
    credential: CredHandle | None,
    context: CtxtHandle | None,
    input: SecBufferDesc | None,  # noqa: A002 - the parameter's name is pInput
    context_req: int,
    target_data_rep: int,
    new_context: CtxtHandle | None,
    output: SecBufferDesc,
) -> ContextResult:
    """AcceptSecurityContext: the server's side of an exchange, one leg per call.

    Args:
        credential: phCredential, an inbound one.
        context: phContext: None until a call has filled in phNewContext (not with SEC_E_INCOMPLETE_MESSAGE).
        input: pInput: TOKEN with the octets from the client, and EMPTY, which becomes EXTRA or MISSING.
        context_req: fContextReq, ``ASC_REQ_...`` flags; **their numbers differ** from ``ISC_REQ_``.
        target_data_rep: TargetDataRep.
        new_context: phNewContext.
        output: pOutput, as for `initialize_security_context`; a further EMPTY buffer becomes EXTRA as well.

    Raises:
        SSPIError: any status that is a failure, but SEC_E_INCOMPLETE_MESSAGE.
    """
    return local_security_authority().accept_security_context(
        credential, context, input, context_req, target_data_rep, new_context, output
    )


def complete_auth_token(context: CtxtHandle, token: SecBufferDesc) -> SecurityStatus:
    """CompleteAuthToken: finish the token of a leg that ended with SEC_I_COMPLETE_NEEDED or COMPLETE_AND_CONTINUE.

    Raises:
        SSPIError: SEC_E_UNSUPPORTED_FUNCTION for packages that never ask for it, as all that come with this library.
    """
    return local_security_authority().complete_auth_token(context, token)


def apply_control_token(context: CtxtHandle, input: SecBufferDesc) -> SecurityStatus:  # noqa: A002
    """ApplyControlToken: with SCHANNEL_SHUTDOWN (a DWORD in a TOKEN), the next ISC or ASC returns close_notify.

    Raises:
        SSPIError: SEC_E_UNSUPPORTED_FUNCTION, SEC_E_INVALID_TOKEN, SEC_E_INVALID_HANDLE.
    """
    return local_security_authority().apply_control_token(context, input)


def delete_security_context(context: CtxtHandle) -> SecurityStatus:
    """DeleteSecurityContext: for every context that a call filled in, finished, failed or half-built; twice is fine.

    Raises:
        SSPIError: SEC_E_INVALID_HANDLE, it never was a context.
    """
    return local_security_authority().delete_security_context(context)


# Attributes


def query_context_attributes(context: CtxtHandle, attribute: int) -> object:
    """QueryContextAttributes: ask for one of the ``SECPKG_ATTR_...`` things (`credssp.sspi.attributes`).

    Returns:
        The structure of the attribute.

    Raises:
        SSPIError: SEC_E_INVALID_HANDLE for a context that is not complete; SEC_E_UNSUPPORTED_FUNCTION.
    """
    return local_security_authority().query_context_attributes(context, attribute)


def set_context_attributes(context: CtxtHandle, attribute: int, value: object) -> SecurityStatus:
    """SetContextAttributes.

    Raises:
        SSPIError: SEC_E_UNSUPPORTED_FUNCTION where the package has none, as all that come with this library.
    """
    return local_security_authority().set_context_attributes(context, attribute, value)


# Messages


def encrypt_message(context: CtxtHandle, qop: int, message: SecBufferDesc, message_seq_no: int) -> SecurityStatus:
    """EncryptMessage: encrypt in place.

    Stream packages: STREAM_HEADER, DATA, STREAM_TRAILER, EMPTY, sized by SECPKG_ATTR_STREAM_SIZES; send the first
    three with their new counts. Others: TOKEN of cbSecurityTrailer octets and DATA.

    Raises:
        SSPIError: SEC_E_BUFFER_TOO_SMALL, SEC_E_CONTEXT_EXPIRED, SEC_E_INVALID_TOKEN, SEC_E_QOP_NOT_SUPPORTED, ...
    """
    return local_security_authority().encrypt_message(context, qop, message, message_seq_no)


def decrypt_message(context: CtxtHandle, message: SecBufferDesc, message_seq_no: int) -> DecryptResult:
    """DecryptMessage: decrypt in place.

    Stream packages: DATA with all that was received and three EMPTY; they become STREAM_HEADER, DATA, STREAM_TRAILER
    and, if something is left, EXTRA. With SEC_E_INCOMPLETE_MESSAGE the second is MISSING and nothing has changed.
    Others: TOKEN and DATA.

    Raises:
        SSPIError: SEC_E_MESSAGE_ALTERED, SEC_E_OUT_OF_SEQUENCE, SEC_E_CONTEXT_EXPIRED, SEC_E_INVALID_TOKEN, ...
    """
    return local_security_authority().decrypt_message(context, message, message_seq_no)


def make_signature(context: CtxtHandle, qop: int, message: SecBufferDesc, message_seq_no: int) -> SecurityStatus:
    """MakeSignature: sign DATA into TOKEN, of cbMaxSignature octets.

    Raises:
        SSPIError: SEC_E_UNSUPPORTED_FUNCTION for stream packages; SEC_E_BUFFER_TOO_SMALL, SEC_E_INVALID_TOKEN.
    """
    return local_security_authority().make_signature(context, qop, message, message_seq_no)


def verify_signature(context: CtxtHandle, message: SecBufferDesc, message_seq_no: int) -> int:
    """VerifySignature: check the signature in TOKEN over DATA; returns pfQOP.

    Raises:
        SSPIError: SEC_E_MESSAGE_ALTERED, SEC_E_OUT_OF_SEQUENCE, SEC_E_UNSUPPORTED_FUNCTION, SEC_E_INVALID_TOKEN.
    """
    return local_security_authority().verify_signature(context, message, message_seq_no)


# Export, import, memory


def export_security_context(context: CtxtHandle, flags: int) -> ContextBuffer:
    """ExportSecurityContext: pack a context for another process; the octets hold its keys.

    Args:
        context: phContext.
        flags: SECPKG_CONTEXT_EXPORT_RESET_NEW (the new one counts from the start), SECPKG_CONTEXT_EXPORT_DELETE_OLD.

    Raises:
        SSPIError: SEC_E_UNSUPPORTED_FUNCTION where the package cannot (all but NTLM).
    """
    return local_security_authority().export_security_context(context, flags)


def import_security_context(
    package: str, packed_context: bytes | bytearray, token: None, context: CtxtHandle
) -> SecurityStatus:
    """ImportSecurityContext: make a context of what ExportSecurityContext packed.

    Raises:
        SSPIError: SEC_E_UNSUPPORTED_FUNCTION, SEC_E_INVALID_TOKEN.
    """
    return local_security_authority().import_security_context(package, packed_context, token, context)


def free_context_buffer(buffer: object) -> SecurityStatus:
    """FreeContextBuffer: give memory back that a package allocated; it is wiped.

    Args:
        buffer: a `ContextBuffer` (from ISC_REQ_ALLOCATE_MEMORY or an attribute), or the tuple of
            `enumerate_security_packages`.

    Raises:
        SSPIError: SEC_E_INVALID_HANDLE, it is neither, or was given back before.
    """
    if isinstance(buffer, ContextBuffer) and not buffer.freed:
        buffer.free()
        return SecurityStatus.SEC_E_OK
    if isinstance(buffer, tuple) and all(isinstance(item, SecPkgInfo) for item in buffer):
        return SecurityStatus.SEC_E_OK
    what = "it was given back before" if isinstance(buffer, ContextBuffer) else "no package allocated this"
    raise refuse("pvContextBuffer", what, SecurityStatus.SEC_E_INVALID_HANDLE)

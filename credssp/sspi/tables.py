"""The two function tables of a security package, and what goes in and out of them (ntsecpkg.h).

A package has an **LSA-mode** half, which knows credentials and builds contexts, and may have a **user-mode** half,
which protects messages with the keys of a finished context. Each is a table of functions in the order of the header;
a member that a package does not have is None (NULL), and calls that would need it are answered with
SEC_E_UNSUPPORTED_FUNCTION.

A module offers packages through two functions, as a DLL does::

    def sp_lsa_mode_initialize(lsa_version) -> tuple[int, Sequence[SecpkgFunctionTable]]
    def sp_user_mode_initialize(lsa_version) -> tuple[int, Sequence[SecpkgUserFunctionTable]]

In Windows the two halves run in different processes. Here they share one, but nothing passes between them except
`LegResult.context_data`, which is handed over once and wiped afterwards.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Protocol, TypeAlias, TypeVar

from credssp.next_step import NextStep
from credssp.sspi.buffers import SecBuffer
from credssp.sspi.errors import SSPIError
from credssp.status import SecurityStatus

__all__ = [
    "INTERFACE_VERSION",
    "NO_EXPIRY",
    "LegResult",
    "PackageModule",
    "SecPkgInfo",
    "SecpkgFunctionTable",
    "SecpkgUserFunctionTable",
]

T = TypeVar("T")

INTERFACE_VERSION: Final = 0x04000000
"""SECPKG_INTERFACE_VERSION_11, the newest; a package answers with the one it was written for."""

NO_EXPIRY: Final = 0x7FFFFFFFFFFFFFFF
"""A TimeStamp that never comes."""


@dataclass(frozen=True, slots=True)
class SecPkgInfo:
    """SecPkgInfo: what a package says about itself.

    Attributes:
        capabilities: fCapabilities, ``SECPKG_FLAG_...`` bits.
        version: wVersion, 1.
        rpc_id: wRPCID, the number in RPC's authentication, 0xFFFF for none.
        max_token: cbMaxToken, bytes that one token has at most.
        name: Name.
        comment: Comment.
    """

    capabilities: int
    version: int
    rpc_id: int
    max_token: int
    name: str
    comment: str


@dataclass(slots=True, kw_only=True)
class LegResult:
    """What one leg (SpInitLsaModeContext, SpAcceptLsaModeContext) came to. A leg that failed raises instead.

    Attributes:
        status: SEC_E_OK, SEC_I_CONTINUE_NEEDED and so on, or SEC_E_INCOMPLETE_MESSAGE.
        context: the package's own context; on the first leg it is what later calls get.
        token: what must go to the peer, for the TOKEN buffer of pOutput.
        attributes: ``ISC_RET_...`` or ``ASC_RET_...`` bits.
        expiry: TimeStamp of the context's end.
        mapped: MappedContext: whether the user-mode half takes over the protection of messages. For the LSA alone.
        context_data: ContextData for SpInitUserModeContext, with `mapped`; wiped after it was handed over.
        extra: bytes at the end of the input TOKEN that were not consumed (SECBUFFER_EXTRA).
        missing: bytes, about, that have to follow the input (SECBUFFER_MISSING).
        ended: why the context ends with this leg, although it succeeded; empty where it goes on.
    """

    status: SecurityStatus
    context: object = None
    token: bytes = field(default=b"", repr=False)
    attributes: int = 0
    expiry: int = NO_EXPIRY
    mapped: bool = False
    context_data: bytearray | None = field(default=None, repr=False)
    extra: int = 0
    missing: int = 0
    ended: str = ""


Inputs: TypeAlias = Sequence[SecBuffer]

Unused: TypeAlias = Callable[..., Any] | None
"""A member that nothing here calls: its place in the table is kept because the order is the interface."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecpkgFunctionTable:
    """SECPKG_FUNCTION_TABLE: the LSA-mode half of one package, members in the order of the header.

    Members that the dispatcher calls, with what it passes; contexts and credentials are the package's own objects.

    Attributes:
        initialize: SpInitialize(package_id, parameters, support): once, when the package is loaded.
        shutdown: SpShutdown(): once, when it is unloaded.
        get_info: SpGetInfo() -> SecPkgInfo.
        logon_terminated: LsaApLogonTerminated(logon_id): a logon session ended.
        accept_credentials: SpAcceptCredentials(logon_type, account_name, primary, supplemental): a user logged on. In
            another session than that of the process `primary` is a `credssp.sspi.SecpkgPrimaryCred`.
        acquire_credentials_handle: SpAcquireCredentialsHandle(principal, use_flags, logon_id, auth_data, get_key_fn,
            get_key_argument) -> (credential, expiry).
        query_credentials_attributes: SpQueryCredentialsAttributes(credential, attribute) -> object.
        add_credentials: SpAddCredentials(credential, principal, package, use, auth_data, get_key_fn, get_key_argument)
            -> expiry.
        set_credentials_attributes: SpSetCredentialsAttributes(credential, attribute, value).
        free_credentials_handle: SpFreeCredentialsHandle(credential).
        init_lsa_mode_context: SpInitLsaModeContext(credential, context, target_name, context_req, data_rep, inputs)
            -> LegResult.
        accept_lsa_mode_context: SpAcceptLsaModeContext(credential, context, inputs, context_req, data_rep)
            -> LegResult.
        delete_context: SpDeleteContext(context): also for contexts that never were finished.
        apply_control_token: SpApplyControlToken(context, inputs).
        get_extended_information: SpGetExtendedInformation(information_class) -> object; class ``ContextThunks`` lists
            the attributes that go to the LSA-mode half although the context is mapped.
        query_context_attributes: SpQueryContextAttributes(context, attribute) -> object.
        set_context_attributes: SpSetContextAttributes(context, attribute, value).
    """

    initialize_package: Unused = None
    logon_user: Unused = None
    call_package: Unused = None
    logon_terminated: Callable[[int], None] | None = None
    call_package_untrusted: Unused = None
    call_package_passthrough: Unused = None
    logon_user_ex: Unused = None
    logon_user_ex2: Unused = None
    initialize: Callable[[int, Any, Any], None] | None = None
    shutdown: Callable[[], None] | None = None
    get_info: Callable[[], SecPkgInfo] | None = None
    accept_credentials: Callable[[int, str, Any, Any], None] | None = None
    acquire_credentials_handle: Callable[[str | None, int, Any, Any, Any, Any], tuple[object, int]] | None = None
    query_credentials_attributes: Callable[[Any, int], object] | None = None
    free_credentials_handle: Callable[[Any], None] | None = None
    save_credentials: Unused = None
    get_credentials: Unused = None
    delete_credentials: Unused = None
    init_lsa_mode_context: Callable[[Any, Any, str | None, int, int, Inputs], LegResult] | None = None
    accept_lsa_mode_context: Callable[[Any, Any, Inputs, int, int], LegResult] | None = None
    delete_context: Callable[[Any], None] | None = None
    apply_control_token: Callable[[Any, Inputs], None] | None = None
    get_user_info: Unused = None
    get_extended_information: Callable[[str], object] | None = None
    query_context_attributes: Callable[[Any, int], object] | None = None
    add_credentials: Callable[[Any, str | None, str, int, Any, Any, Any], int] | None = None
    set_extended_information: Unused = None
    set_context_attributes: Callable[[Any, int, object], None] | None = None
    set_credentials_attributes: Callable[[Any, int, object], None] | None = None
    change_account_password: Unused = None
    query_meta_data: Unused = None
    exchange_meta_data: Unused = None
    get_cred_ui_context: Unused = None
    update_credentials: Unused = None
    validate_target_info: Unused = None
    post_logon_user: Unused = None
    get_remote_cred_guard_logon_buffer: Unused = None
    get_remote_cred_guard_supplemental_creds: Unused = None
    get_tbal_supplemental_creds: Unused = None
    logon_user_ex3: Unused = None
    pre_logon_user_surrogate: Unused = None
    post_logon_user_surrogate: Unused = None
    extract_target_info: Unused = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SecpkgUserFunctionTable:
    """SECPKG_USER_FUNCTION_TABLE: the user-mode half of one package, members in the order of the header.

    Contexts are known by a number here, the handle that SpInitUserModeContext was given.

    Attributes:
        instance_init: SpInstanceInit(version, dll_functions): once, before the first context.
        init_user_mode_context: SpInitUserModeContext(context, packed): the keys; `packed` is wiped afterwards.
        make_signature: SpMakeSignature(context, qop, buffers, sequence).
        verify_signature: SpVerifySignature(context, buffers, sequence) -> qop.
        seal_message: SpSealMessage(context, qop, buffers, sequence) -> status; EncryptMessage.
        unseal_message: SpUnsealMessage(context, buffers, sequence) -> (status, qop); DecryptMessage.
        get_context_token: SpGetContextToken(context) -> object: QuerySecurityContextToken, for packages that know of a
            token; those that come with this library have none.
        query_context_attributes: SpQueryContextAttributes(context, attribute) -> object.
        complete_auth_token: SpCompleteAuthToken(context, buffers).
        delete_user_mode_context: SpDeleteUserModeContext(context).
        format_credentials: SpFormatCredentials; not called.
        marshall_supplemental_creds: SpMarshallSupplementalCreds; not called.
        export_context: SpExportSecurityContext(context, flags) -> packed bytes.
        import_context: SpImportSecurityContext(context, packed); `context` is the number of the new context.
        marshal_attribute_data: SpMarshalAttributeData; not called.
    """

    instance_init: Callable[[int, Any], None] | None = None
    init_user_mode_context: Callable[[int, bytearray], None] | None = None
    make_signature: Callable[[int, int, Sequence[SecBuffer], int], None] | None = None
    verify_signature: Callable[[int, Sequence[SecBuffer], int], int] | None = None
    seal_message: Callable[[int, int, Sequence[SecBuffer], int], SecurityStatus] | None = None
    unseal_message: Callable[[int, Sequence[SecBuffer], int], tuple[SecurityStatus, int]] | None = None
    get_context_token: Callable[[int], object] | None = None
    query_context_attributes: Callable[[int, int], object] | None = None
    complete_auth_token: Callable[[int, Sequence[SecBuffer]], None] | None = None
    delete_user_mode_context: Callable[[int], None] | None = None
    format_credentials: Unused = None
    marshall_supplemental_creds: Unused = None
    export_context: Callable[[int, int], bytes] | None = None
    import_context: Callable[[int, bytes], None] | None = None
    marshal_attribute_data: Unused = None


class PackageModule(Protocol):
    """What stands for a DLL: a module, or any object, with the two entry functions."""

    def sp_lsa_mode_initialize(self, lsa_version: int) -> tuple[int, Sequence[SecpkgFunctionTable]]:
        """Return the interface version of the package and one table per package."""

    def sp_user_mode_initialize(self, lsa_version: int) -> tuple[int, Sequence[SecpkgUserFunctionTable]]:
        """Return the same for the user-mode halves, in the same order. A module without any may omit it."""


def members(table: type) -> tuple[str, ...]:
    """Return the names of a table's members in order."""
    return tuple(item.name for item in dataclasses.fields(table))


def table_of(kind: type[T], half: object) -> T:
    """Return the table of a half: each member is the method of its name, None where there is none."""
    return kind(**{name: getattr(half, name, None) for name in members(kind)})


_SERVES: Final = MappingProxyType(
    {
        "seal_message": "EncryptMessage",
        "unseal_message": "DecryptMessage",
        "make_signature": "MakeSignature",
        "verify_signature": "VerifySignature",
        "export_context": "SpExportSecurityContext",
        "import_context": "SpImportSecurityContext",
    }
)


def entry_of(table: object, member: str, package: str) -> Callable[..., object]:
    """Return a member of either table of a package.

    Raises:
        SSPIError: SEC_E_UNSUPPORTED_FUNCTION, there is none; the text names the function of Windows.
    """
    function: Callable[..., object] | None = getattr(table, member)
    if function is None:
        what = _SERVES.get(member) or "Sp" + member.title().replace("_", "")
        raise SSPIError(
            f"package {package} has no {what}",
            status=SecurityStatus.SEC_E_UNSUPPORTED_FUNCTION,
            advice=NextStep.SSPI_UNSUPPORTED,
        )
    return function


Parameters: TypeAlias = Mapping[str, object]

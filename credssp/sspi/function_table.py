"""InitSecurityInterface: the functions of SSPI as one table, for programs that call through it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from credssp.sspi import api

__all__ = ["SECURITY_SUPPORT_PROVIDER_INTERFACE_VERSION_3", "SecurityFunctionTable", "init_security_interface"]

SECURITY_SUPPORT_PROVIDER_INTERFACE_VERSION_3: Final = 3
"""Up to SetCredentialsAttributes."""

Function = Callable[..., Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityFunctionTable:
    """SecurityFunctionTable, members in the order of the header; each is the function of its name in `credssp.sspi`.

    Attributes:
        version: dwVersion, which says up to which member the table goes.
        enumerate_security_packages: EnumerateSecurityPackages.
        query_credentials_attributes: QueryCredentialsAttributes.
        acquire_credentials_handle: AcquireCredentialsHandle.
        free_credentials_handle: FreeCredentialsHandle.
        initialize_security_context: InitializeSecurityContext.
        accept_security_context: AcceptSecurityContext.
        complete_auth_token: CompleteAuthToken.
        delete_security_context: DeleteSecurityContext.
        apply_control_token: ApplyControlToken.
        query_context_attributes: QueryContextAttributes.
        impersonate_security_context: ImpersonateSecurityContext.
        revert_security_context: RevertSecurityContext.
        make_signature: MakeSignature.
        verify_signature: VerifySignature.
        free_context_buffer: FreeContextBuffer.
        query_security_package_info: QuerySecurityPackageInfo.
        export_security_context: ExportSecurityContext.
        import_security_context: ImportSecurityContext.
        add_credentials: AddCredentials.
        query_security_context_token: QuerySecurityContextToken.
        encrypt_message: EncryptMessage.
        decrypt_message: DecryptMessage.
        set_context_attributes: SetContextAttributes, from version 2.
        set_credentials_attributes: SetCredentialsAttributes, from version 3.
    """

    version: int = SECURITY_SUPPORT_PROVIDER_INTERFACE_VERSION_3
    enumerate_security_packages: Function = api.enumerate_security_packages
    query_credentials_attributes: Function = api.query_credentials_attributes
    acquire_credentials_handle: Function = api.acquire_credentials_handle
    free_credentials_handle: Function = api.free_credentials_handle
    initialize_security_context: Function = api.initialize_security_context
    accept_security_context: Function = api.accept_security_context
    complete_auth_token: Function = api.complete_auth_token
    delete_security_context: Function = api.delete_security_context
    apply_control_token: Function = api.apply_control_token
    query_context_attributes: Function = api.query_context_attributes
    impersonate_security_context: Function = api.impersonate_security_context
    revert_security_context: Function = api.revert_security_context
    make_signature: Function = api.make_signature
    verify_signature: Function = api.verify_signature
    free_context_buffer: Function = api.free_context_buffer
    query_security_package_info: Function = api.query_security_package_info
    export_security_context: Function = api.export_security_context
    import_security_context: Function = api.import_security_context
    add_credentials: Function = api.add_credentials
    query_security_context_token: Function = api.query_security_context_token
    encrypt_message: Function = api.encrypt_message
    decrypt_message: Function = api.decrypt_message
    set_context_attributes: Function = api.set_context_attributes
    set_credentials_attributes: Function = api.set_credentials_attributes


_TABLE: Final = SecurityFunctionTable()


def init_security_interface() -> SecurityFunctionTable:
    """InitSecurityInterface: return the table of this process."""
    return _TABLE

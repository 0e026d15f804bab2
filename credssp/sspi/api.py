"""The functions of SSPI, for the whole process.

Names and order of the parameters are those of Windows, in snake_case. What C returns through pointers to numbers
comes back in a small result; handles and buffers are objects that the caller makes and a call fills in, as in C.

**How a call fails.** A status with bit 31 set is raised as `SSPIError`, with `.status`, and `.parameter` where an
argument is to blame: then nothing has changed, and the call may be repeated with a better one. After
SEC_E_INSUFFICIENT_MEMORY for a token that did not fit, the call is repeated for it too. SEC_E_INCOMPLETE_MESSAGE is
not a failure in practice and is returned. If an exchange fails, pOutput may hold a token for the peer all the same
(EXTENDED_ERROR): send it, then delete the context.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Final, cast

from credssp.account import AccountStore
from credssp.config import ClientConfig, ClientOptions, ServerConfig, ServerOptions, client_config, server_config
from credssp.policy import DelegationPolicy, PolicySettings
from credssp.sspi import structures
from credssp.sspi.buffers import ContextBuffer
from credssp.sspi.dispatcher import LocalSecurityAuthority
from credssp.sspi.errors import bad_handle
from credssp.sspi.registry import PackageProblem
from credssp.sspi.tables import SecPkgInfo
from credssp.status import SecurityStatus

__all__ = [
    "accept_security_context",
    "acquire_credentials_handle",
    "add_credentials",
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
    "impersonate_security_context",
    "import_security_context",
    "initialize_security_context",
    "local_security_authority",
    "make_signature",
    "package_problems",
    "query_context_attributes",
    "query_credentials_attributes",
    "query_security_context_token",
    "query_security_package_info",
    "revert_security_context",
    "set_context_attributes",
    "set_credentials_attributes",
    "verify_signature",
]

_LSA: Final = LocalSecurityAuthority()

# What QueryContextAttributes, QueryCredentialsAttributes and QuerySecurityPackageInfo return.
_STRUCTURES: Final = frozenset({SecPkgInfo, *(getattr(structures, name) for name in structures.__all__)})


def local_security_authority() -> LocalSecurityAuthority:
    """Return the LSA of this process, which all functions of this module work on."""
    return _LSA


def configure(
    *,
    accounts: AccountStore | None = None,
    policy: DelegationPolicy | PolicySettings | None = None,
    client: ClientConfig | None = None,
    server: ServerConfig | None = None,
) -> None:
    """Tell the LSA of this process what Windows would know about the machine.

    Args:
        accounts: who may log on with NTLM where a credential does not say it (Windows: the SAM, or a domain).
        policy: the delegation policy (Windows: group policy); None for Windows' defaults, which let credentials go to
            ``TERMSRV/*`` and nowhere else.
        client: options of clients that no function of SSPI takes, such as `ClientConfig.workstation`; None for the
            defaults. Credentials, target, flags and policy replace theirs.
        server: options of servers, such as `ServerConfig.require_mic`; accounts, certificate, keytab and policy replace
            theirs.

    Raises:
        LocalProtocolError: a configuration of the other role.
    """
    machine = _LSA.machine
    machine.client = client_config("configure", ClientOptions, client, {})
    machine.server = server_config("configure", ServerOptions, server, {})
    machine.accounts, machine.policy = accounts, policy


def package_problems() -> tuple[PackageProblem, ...]:
    """Return the packages that were announced and could not be loaded, and why (no counterpart in Windows)."""
    return tuple(_LSA.registry.problems)


def free_context_buffer(buffer: object) -> SecurityStatus:
    """FreeContextBuffer: give memory back that a package allocated; it is wiped.

    Args:
        buffer: whatever a call returned: a `ContextBuffer` (from ISC_REQ_ALLOCATE_MEMORY, an attribute,
            `export_security_context` or `sspi_marshal_auth_identity`), the structure of an attribute, whose memory is
            wiped, a `SecPkgInfo` or the tuple of `enumerate_security_packages`, which hold nothing to wipe.

    Raises:
        SSPIError: SEC_E_INVALID_HANDLE, no call returns such a thing, or it was given back before.
    """
    if isinstance(buffer, ContextBuffer):
        memory = [buffer]
    elif type(buffer) in _STRUCTURES:
        fields = [getattr(buffer, field.name) for field in dataclasses.fields(cast("Any", buffer))]
        memory = [field for field in fields if isinstance(field, ContextBuffer)]
    elif isinstance(buffer, tuple) and all(isinstance(item, SecPkgInfo) for item in buffer):
        memory = []
    else:
        raise bad_handle("pvContextBuffer", "no package allocated this")
    if any(item.freed for item in memory):
        raise bad_handle("pvContextBuffer", "it was given back before")
    for item in memory:
        item.free()
    return SecurityStatus.SEC_E_OK


# The other functions are the methods of the LSA of this process.

enumerate_security_packages: Final = _LSA.enumerate_security_packages
query_security_package_info: Final = _LSA.query_security_package_info
add_security_package: Final = _LSA.add_security_package
delete_security_package: Final = _LSA.delete_security_package
acquire_credentials_handle: Final = _LSA.acquire_credentials_handle
add_credentials: Final = _LSA.add_credentials
set_credentials_attributes: Final = _LSA.set_credentials_attributes
query_credentials_attributes: Final = _LSA.query_credentials_attributes
free_credentials_handle: Final = _LSA.free_credentials_handle
initialize_security_context: Final = _LSA.initialize_security_context
accept_security_context: Final = _LSA.accept_security_context
complete_auth_token: Final = _LSA.complete_auth_token
apply_control_token: Final = _LSA.apply_control_token
delete_security_context: Final = _LSA.delete_security_context
query_security_context_token: Final = _LSA.query_security_context_token
impersonate_security_context: Final = _LSA.impersonate_security_context
revert_security_context: Final = _LSA.revert_security_context
query_context_attributes: Final = _LSA.query_context_attributes
set_context_attributes: Final = _LSA.set_context_attributes
encrypt_message: Final = _LSA.encrypt_message
decrypt_message: Final = _LSA.decrypt_message
make_signature: Final = _LSA.make_signature
verify_signature: Final = _LSA.verify_signature
export_security_context: Final = _LSA.export_security_context
import_security_context: Final = _LSA.import_security_context

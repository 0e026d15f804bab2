"""What CREDSSP and TSSSP tell alike about a context that is complete."""

from __future__ import annotations

from credssp.credentials import DelegatedCredentials, PasswordCredentials, RemoteGuardCredentials
from credssp.identity import Identity
from credssp.server_authentication import ServerAuthentication
from credssp.sspi import attributes as a
from credssp.sspi.buffers import ContextBuffer
from credssp.sspi.errors import refuse
from credssp.sspi.packed import pack_auth_identity_ex2, pack_logon
from credssp.status import SecurityStatus

__all__ = ["client_creds", "names", "server_auth_flags", "usable"]


def server_auth_flags(server: ServerAuthentication) -> a.SecPkgContext_Flags:
    """Return the CREDSSP_SERVER_AUTH_... bits. NEGOTIATE says that the inner package authenticated the server."""
    flags = 0
    if server & (ServerAuthentication.NTLM | ServerAuthentication.KERBEROS):
        flags |= a.CREDSSP_SERVER_AUTH_NEGOTIATE
    if server & ServerAuthentication.CERTIFICATE:
        flags |= a.CREDSSP_SERVER_AUTH_CERTIFICATE
    return a.SecPkgContext_Flags(flags)


def usable(received: DelegatedCredentials | None, *, wanted: bool) -> DelegatedCredentials | None:
    """Return what the client delegated, if it is something, and if ASC_REQ_DELEGATE asked for it."""
    if not wanted or (isinstance(received, PasswordCredentials) and received.is_empty):
        return None
    return received


def client_creds(credentials: DelegatedCredentials | None, attribute: int) -> a.SecPkgContext_ClientCreds:
    """Answer SECPKG_ATTR_CREDS and SECPKG_ATTR_CREDS_2. For Remote Credential Guard that is the KERB_TICKET_LOGON.

    Raises:
        SSPIError: SEC_E_NO_CREDENTIALS, there is nothing.
    """
    if credentials is None:
        raise refuse(
            "ulAttribute",
            "the client delegated no password and no PIN, or ASC_REQ_DELEGATE was not given",
            SecurityStatus.SEC_E_NO_CREDENTIALS,
        )
    if attribute == a.SECPKG_ATTR_CREDS and isinstance(credentials, PasswordCredentials):
        return a.SecPkgContext_ClientCreds(ContextBuffer(pack_auth_identity_ex2(credentials)))
    if isinstance(credentials, RemoteGuardCredentials):
        return a.SecPkgContext_ClientCreds(ContextBuffer(bytearray(credentials.buffer.reveal())))
    return a.SecPkgContext_ClientCreds(ContextBuffer(pack_logon(credentials)))


def names(identity: Identity) -> a.SecPkgContext_Names:
    """Answer SECPKG_ATTR_NAMES on a server."""
    return a.SecPkgContext_Names(f"{identity.domain}\\{identity.username}" if identity.domain else identity.username)

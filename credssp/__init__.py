"""CredSSP ([MS-CSSP]) for Python: authenticate inside TLS, bind to the server's key, delegate credentials.

Start with `ClientContext` and `ServerContext`. The names here are the stable ones. Each is loaded when it is first
asked for: a command line that only prints its help, or a client that never serves, does not pay for the rest.
"""

from __future__ import annotations

from credssp.__about__ import __version__

# typing would be a tenth of what `credssp --help` may take; type checkers know the name without it.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from credssp.account import Account, AccountStore
    from credssp.accounts import CallbackAccounts, FileAccounts, MemoryAccounts
    from credssp.config import ClientConfig, Limits, ServerConfig, Timeouts
    from credssp.context import ClientContext, ServerContext, StepResult
    from credssp.credentials import (
        AgentCredentials,
        CCacheCredentials,
        CertificateCredentials,
        DelegatedCredentials,
        KeytabCredentials,
        LogonCredentials,
        NTHashCredentials,
        PasswordCredentials,
        RemoteGuardCredentials,
        SmartCardCredentials,
    )
    from credssp.drivers.handshake import ConnectError, DeadlineError
    from credssp.errors import (
        AuthenticationError,
        BindingError,
        CertificateError,
        CredSSPError,
        DecodeError,
        LimitExceededError,
        LocalProtocolError,
        LocalRestrictionError,
        PeerClosedError,
        PeerRefusedError,
        PolicyError,
        RemoteProtocolError,
        TLSAlertError,
        TLSError,
        VersionError,
    )
    from credssp.identity import Identity
    from credssp.policy import CredentialSource, DelegationPolicy, EncryptionOracle, PolicyDecision, PolicySettings
    from credssp.secret import Secret
    from credssp.server_authentication import ServerAuthentication
    from credssp.status import NTStatus, SecurityStatus
    from credssp.tls.certificate import ServerCertificate, generate_certificate, load_certificate
    from credssp.tls.settings import CertificateCheck, ClientTLS, ServerTLS

_MODULES = {
    "credssp.account": "Account AccountStore",
    "credssp.accounts": "CallbackAccounts FileAccounts MemoryAccounts",
    "credssp.config": "ClientConfig Limits ServerConfig Timeouts",
    "credssp.context": "ClientContext ServerContext StepResult",
    "credssp.credentials": (
        "AgentCredentials CCacheCredentials CertificateCredentials DelegatedCredentials KeytabCredentials "
        "LogonCredentials NTHashCredentials PasswordCredentials RemoteGuardCredentials SmartCardCredentials"
    ),
    "credssp.drivers.handshake": "ConnectError DeadlineError",
    "credssp.errors": (
        "AuthenticationError BindingError CertificateError CredSSPError DecodeError LimitExceededError "
        "LocalProtocolError LocalRestrictionError PeerClosedError PeerRefusedError PolicyError RemoteProtocolError "
        "TLSAlertError TLSError VersionError"
    ),
    "credssp.identity": "Identity",
    "credssp.policy": "CredentialSource DelegationPolicy EncryptionOracle PolicyDecision PolicySettings",
    "credssp.secret": "Secret",
    "credssp.server_authentication": "ServerAuthentication",
    "credssp.status": "NTStatus SecurityStatus",
    "credssp.tls.certificate": "ServerCertificate generate_certificate load_certificate",
    "credssp.tls.settings": "CertificateCheck ClientTLS ServerTLS",
}
_HOME = {name: module for module, names in _MODULES.items() for name in names.split()}

__all__ = [
    "Account",
    "AccountStore",
    "AgentCredentials",
    "AuthenticationError",
    "BindingError",
    "CCacheCredentials",
    "CallbackAccounts",
    "CertificateCheck",
    "CertificateCredentials",
    "CertificateError",
    "ClientConfig",
    "ClientContext",
    "ClientTLS",
    "ConnectError",
    "CredSSPError",
    "CredentialSource",
    "DeadlineError",
    "DecodeError",
    "DelegatedCredentials",
    "DelegationPolicy",
    "EncryptionOracle",
    "FileAccounts",
    "Identity",
    "KeytabCredentials",
    "LimitExceededError",
    "Limits",
    "LocalProtocolError",
    "LocalRestrictionError",
    "LogonCredentials",
    "MemoryAccounts",
    "NTHashCredentials",
    "NTStatus",
    "PasswordCredentials",
    "PeerClosedError",
    "PeerRefusedError",
    "PolicyDecision",
    "PolicyError",
    "PolicySettings",
    "RemoteGuardCredentials",
    "RemoteProtocolError",
    "Secret",
    "SecurityStatus",
    "ServerAuthentication",
    "ServerCertificate",
    "ServerConfig",
    "ServerContext",
    "ServerTLS",
    "SmartCardCredentials",
    "StepResult",
    "TLSAlertError",
    "TLSError",
    "Timeouts",
    "VersionError",
    "__version__",
    "generate_certificate",
    "load_certificate",
]


def __getattr__(name: str) -> object:
    module = _HOME.get(name)
    if module is None:
        raise AttributeError(f"module 'credssp' has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

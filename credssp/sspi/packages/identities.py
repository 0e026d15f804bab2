"""pAuthData turned into what the contexts of the core take: who logs on, what is delegated, with which mechanism."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from credssp.account import AccountStore
from credssp.credentials import (
    CCacheCredentials,
    CertificateCredentials,
    DelegatedCredentials,
    KeytabCredentials,
    LogonCredentials,
    NTHashCredentials,
    PasswordCredentials,
    SmartCardCredentials,
)
from credssp.errors import CredSSPError
from credssp.kerberos.pyspnego import kerberos_missing
from credssp.mechanism_name import MechanismChoice
from credssp.policy import CredentialSource
from credssp.sspi import constants as c
from credssp.sspi.auth_data import (
    CredsspCred,
    CredsspCredEx,
    CredsspSubmitType,
    Identity,
    OpaqueIdentity,
    SchannelCred,
    SecWinntAuthIdentity,
)
from credssp.sspi.errors import SSPIError, bad_auth_data, normalise, refuse, unsupported
from credssp.sspi.packages.inputs import Supplied
from credssp.sspi.packed import unpack_auth_identity_ex2
from credssp.sspi.support import DEFAULT_LOGON_ID, LsaSupport, SecpkgPrimaryCred
from credssp.status import SecurityStatus

__all__ = ["Logon", "LogonSessions", "accounts_for", "from_auth_data", "from_identity", "from_supplied"]

_S = SecurityStatus
_T = CredsspSubmitType

_WITH_IDENTITY: Final = frozenset(
    {
        _T.CREDSSP_PASSWORD_CREDS,
        _T.CREDSSP_CERTIFICATE_CREDS,
        _T.CREDSSP_SUBMIT_BUFFER_BOTH,
        _T.CREDSSP_SUBMIT_BUFFER_BOTH_OLD,
    }
)
_WITH_SCHANNEL: Final = frozenset(
    {_T.CREDSSP_SCHANNEL_CREDS, _T.CREDSSP_SUBMIT_BUFFER_BOTH, _T.CREDSSP_SUBMIT_BUFFER_BOTH_OLD}
)
_PACKAGES: Final = frozenset({"ntlm", "kerberos"})


class PackageList(NamedTuple):
    """What the PackageList of an identity comes to.

    Attributes:
        mechanism: the inner authentication.
        bare: whether it names NTLM and nothing else: then Negotiate uses NTLM without SPNEGO, as on Windows.
        unusable: the list, if it leaves nothing that is here; else empty.
    """

    mechanism: MechanismChoice
    bare: bool = False
    unusable: str = ""


def package_list(text: str) -> PackageList:
    """Read a PackageList: names separated by commas; ``!`` forbids a package, any other name allows it alone.

    Colons separate as well (sspilib writes them). Names of packages that are not here allow nothing.
    """
    words = [word for part in text.casefold().replace(":", ",").split(",") if (word := part.strip())]
    allowed = {word for word in words if not word.startswith("!")}
    forbidden = {word[1:].strip() for word in words if word.startswith("!")}
    left = (_PACKAGES if not allowed or "negotiate" in allowed else _PACKAGES & allowed) - forbidden
    if not left:
        return PackageList("auto", unusable=text)
    if left == _PACKAGES:
        return PackageList("negotiate" if "negotiate" in allowed else "auto")
    return PackageList("ntlm", bare=allowed == {"ntlm"}) if "ntlm" in left else PackageList("kerberos")


_ANY: Final = PackageList("auto")


@dataclass(frozen=True, slots=True, kw_only=True)
class Logon:
    """Who logs on and what goes over.

    Attributes:
        credentials: to authenticate with; None for the tickets of this user's Kerberos cache.
        delegated: to delegate in their place, or None.
        mechanism: the inner authentication.
        source: where the credentials come from, for the policy.
        chosen: what PackageList says.
        default: whether the credentials are still to be looked up, since the identity names no user.
    """

    credentials: LogonCredentials | None = None
    delegated: DelegatedCredentials | None = None
    mechanism: MechanismChoice = "auto"
    source: CredentialSource = CredentialSource.DEFAULT
    chosen: PackageList = _ANY
    default: bool = False

    @property
    def user_name(self) -> str:
        """``DOMAIN\\user``, or what there is of it."""
        who = self.credentials
        if not isinstance(who, PasswordCredentials | NTHashCredentials):
            return ""
        return f"{who.domain}\\{who.username}" if who.domain else who.username


class LogonSessions:
    """The credentials of logons, as SpAcceptCredentials announced them: the default credentials of their sessions."""

    def __init__(self) -> None:
        self._sessions: dict[int, dict[str, Logon]] = {}
        self._lock = threading.Lock()

    def accept(self, account_name: str, primary: object) -> None:
        """Remember a logon, in the session that SECPKG_PRIMARY_CRED names, or else that of this process."""
        session = DEFAULT_LOGON_ID
        if isinstance(primary, SecpkgPrimaryCred):
            session, primary = primary.logon_id, primary.credentials
        if isinstance(primary, PasswordCredentials | NTHashCredentials):
            with self._lock:
                users = self._sessions.setdefault(session, {})
                users.pop(account_name.casefold(), None)  # the last one is last
                users[account_name.casefold()] = Logon(credentials=primary)

    def forget(self, logon_id: int) -> None:
        """Forget the logons of a session that has ended."""
        with self._lock:
            self._sessions.pop(logon_id, None)

    def find(self, principal: str | None, logon_id: int, *, otherwise: Logon | None = None) -> Logon:
        """Return the logon of a user in a session, or (None) the last one.

        In the session of this process it is that of the Kerberos cache, if there is no other.

        Raises:
            SSPIError: SEC_E_UNKNOWN_CREDENTIALS, no user of that name logged on; SEC_E_NO_CREDENTIALS, no one did.
        """
        with self._lock:
            users = dict(self._sessions.get(logon_id, {}))
        if principal is None:
            if not users and logon_id != DEFAULT_LOGON_ID:
                raise refuse("pvLogonId", "no one has logged on in this session", _S.SEC_E_NO_CREDENTIALS)
            return list(users.values())[-1] if users else Logon()
        found = users.get(principal.casefold(), otherwise)
        if found is None:
            raise refuse("pszPrincipal", "no user of that name has logged on here", _S.SEC_E_UNKNOWN_CREDENTIALS)
        return found

    def choose(
        self, logon: Logon | None, principal: str | None, *, use: int, logon_id: int, agent: Logon | None = None
    ) -> Logon:
        """Return the logon of pAuthData, or the default one of the session; the principal must fit.

        Args:
            logon: that of pAuthData, if there is one.
            principal: pszPrincipal.
            use: fCredentialUse.
            logon_id: the session.
            agent: the logon of an agent that the principal names where no user of that name has logged on here.

        Raises:
            SSPIError: SEC_E_NO_CREDENTIALS, SEC_E_UNKNOWN_CREDENTIALS.
        """
        if logon is None or logon.default:
            if use & c.SECPKG_CRED_OUTBOUND and use & c.SECPKG_CRED_AUTOLOGON_RESTRICTED:
                raise refuse(
                    "pAuthData",
                    "SECPKG_CRED_AUTOLOGON_RESTRICTED: the default credentials are not to be used",
                    _S.SEC_E_NO_CREDENTIALS,
                )
            if not use & c.SECPKG_CRED_OUTBOUND and principal is None:
                return Logon()  # a server logs no one on
            if agent is not None and use & c.SECPKG_CRED_BOTH == c.SECPKG_CRED_OUTBOUND:
                found = self.find(principal, logon_id, otherwise=agent)
            else:
                found = self.find(principal, logon_id)
            return found if logon is None else replace(found, mechanism=logon.mechanism, chosen=logon.chosen)
        own = logon.user_name.casefold()
        if principal is not None and principal.casefold() not in (own, own.rpartition("\\")[2]):
            raise refuse("pszPrincipal", "not the user of pAuthData", _S.SEC_E_UNKNOWN_CREDENTIALS)
        return logon


def from_identity(identity: Identity | None, source: CredentialSource) -> Logon | None:
    """Return the logon that an identity stands for; None for the default credentials.

    Raises:
        SSPIError: SEC_E_UNKNOWN_CREDENTIALS, it is not one.
    """
    if identity is None:
        return None
    if isinstance(identity, OpaqueIdentity):
        identity = identity.identity()
    if isinstance(identity, SmartCardCredentials):
        # The card logs on through Kerberos (PKINIT), whose tickets are in this user's cache; the PIN goes over.
        return Logon(delegated=identity, mechanism="kerberos", source=source)
    if isinstance(identity, CCacheCredentials | KeytabCredentials | CertificateCredentials):
        return Logon(credentials=identity, mechanism="kerberos", source=source)
    if not isinstance(identity, SecWinntAuthIdentity):
        raise bad_auth_data(
            f"a SecWinntAuthIdentity, SmartCardCredentials or Kerberos tickets, not a {type(identity).__name__}"
        )
    chosen = package_list(identity.package_list)
    if identity.user is None:
        return Logon(mechanism=chosen.mechanism, source=source, chosen=chosen, default=True)
    try:
        credentials = identity.credentials()
    except CredSSPError as error:
        raise bad_auth_data(normalise(error).message) from None
    return Logon(credentials=credentials, mechanism=chosen.mechanism, source=source, chosen=chosen)


def check_packages(logon: Logon | None) -> None:
    """Refuse an identity whose PackageList leaves nothing.

    Raises:
        SSPIError: SEC_E_UNKNOWN_CREDENTIALS.
    """
    if logon is not None and logon.chosen.unusable:
        raise bad_auth_data(f"PackageList {logon.chosen.unusable!r} leaves neither ntlm nor kerberos")


def from_supplied(packed: Supplied | None) -> Logon:
    """Return the logon in a SECBUFFER_PKG_PARAMS (ISC_REQ_USE_SUPPLIED_CREDS).

    Raises:
        SSPIError: SEC_E_NO_CREDENTIALS, there is none; SEC_E_INVALID_TOKEN, it does not decode;
            SEC_E_UNKNOWN_CREDENTIALS, the identity makes no sense.
    """
    if isinstance(packed, SecWinntAuthIdentity):
        try:
            given = from_identity(packed, CredentialSource.FRESH)
            check_packages(given)
        except SSPIError as error:
            raise refuse("pInput", error.message, error.status) from None
        if given is None or given.default:
            raise refuse("pInput", "the identity in SECBUFFER_PKG_PARAMS names no user", _S.SEC_E_NO_CREDENTIALS)
        return given
    if packed is None:
        raise refuse("pInput", "ISC_REQ_USE_SUPPLIED_CREDS without a SECBUFFER_PKG_PARAMS", _S.SEC_E_NO_CREDENTIALS)
    credentials, packages = unpack_auth_identity_ex2(packed)
    chosen = package_list(packages)
    logon = Logon(credentials=credentials, mechanism=chosen.mechanism, source=CredentialSource.FRESH, chosen=chosen)
    check_packages(logon)
    return logon


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthData:
    """pAuthData of the CREDSSP and TSSSP packages, taken apart.

    Attributes:
        logon: None for the default credentials.
        schannel: the TLS half, or None.
        accounts: who may log on, or None.
    """

    logon: Logon | None = None
    schannel: SchannelCred | None = None
    accounts: AccountStore | None = None


def from_auth_data(data: Any) -> AuthData:
    """Take CREDSSP_CRED or CREDSSP_CRED_EX apart.

    Raises:
        SSPIError: SEC_E_UNKNOWN_CREDENTIALS, it is neither, or holds what its type does not say;
            SEC_E_UNSUPPORTED_FUNCTION, Remote Credential Guard without its buffers.
    """
    if data is None:
        return AuthData()
    if isinstance(data, CredsspCredEx):
        return _from_ex(data)
    if not isinstance(data, CredsspCred):
        raise bad_auth_data(f"a CredsspCred, not a {type(data).__name__}")
    kind = data.type
    if not isinstance(kind, int) or kind not in _WITH_IDENTITY | _WITH_SCHANNEL:
        raise bad_auth_data(f"Type {kind!r} is not a CREDSPP_SUBMIT_TYPE for it")
    identity = data.spnego_cred if kind in _WITH_IDENTITY else None
    if kind in (_T.CREDSSP_PASSWORD_CREDS, _T.CREDSSP_CERTIFICATE_CREDS):
        wanted = SecWinntAuthIdentity if kind is _T.CREDSSP_PASSWORD_CREDS else SmartCardCredentials
        if identity is not None and not isinstance(identity, wanted):
            raise bad_auth_data(f"pSpnegoCred is not a {wanted.__name__}")
    logon = from_identity(identity, data.source)
    check_packages(logon)
    return AuthData(
        logon=logon,
        schannel=data.schannel_cred if kind in _WITH_SCHANNEL else None,
        accounts=data.accounts,
    )


def _from_ex(data: CredsspCredEx) -> AuthData:
    if data.version or data.flags & ~c.CREDSSP_FLAG_REDIRECT:
        raise bad_auth_data("CREDSSP_CRED_EX: version 0, CREDSSP_FLAG_REDIRECT")
    found = from_auth_data(data.cred)
    if not data.flags:
        return found
    if data.redirected is None:
        raise unsupported(
            "pAuthData", "CREDSSP_FLAG_REDIRECT needs `redirected`: no package here makes the logon buffers"
        )
    # No fallback to NTLM (Remote Credential Guard).
    logon = replace(found.logon or Logon(), delegated=data.redirected, mechanism="kerberos")
    return replace(found, logon=logon)


def accounts_for(own: AccountStore | None, support: LsaSupport) -> AccountStore | None:
    """Return who may log on: the accounts of the credential, or else of the machine.

    Raises:
        SSPIError: SEC_E_NO_AUTHENTICATING_AUTHORITY, there are none, nor an authority, nor Kerberos.
    """
    machine = support.machine
    accounts = machine.accounts if own is None else own
    if accounts is None and machine.server.authority is None and kerberos_missing() is not None:
        raise SSPIError(
            "no accounts to check the logon against: give accounts to the credential or to credssp.sspi.configure",
            status=_S.SEC_E_NO_AUTHENTICATING_AUTHORITY,
        )
    return accounts

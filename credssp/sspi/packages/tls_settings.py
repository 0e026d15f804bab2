"""SCHANNEL_CRED turned into the TLS settings of the contexts."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Final, Literal

from credssp.errors import CredSSPError
from credssp.sspi import constants as c
from credssp.sspi.auth_data import SchannelCred
from credssp.sspi.errors import bad_auth_data, normalise, unsupported
from credssp.sspi.packages.schannel_flags import check_schannel_flags
from credssp.status import SecurityStatus
from credssp.tls.certificate import ServerCertificate, load_certificate, process_certificate
from credssp.tls.settings import ClientTLS, ServerTLS, client_context, server_context
from credssp.tls.trust import roots_of

__all__ = ["TLSCredential"]

_CLIENT: Final = (c.SP_PROT_TLS1_2_CLIENT, c.SP_PROT_TLS1_3_CLIENT)
_SERVER: Final = (c.SP_PROT_TLS1_2_SERVER, c.SP_PROT_TLS1_3_SERVER)
_KNOWN: Final = sum(_CLIENT) + sum(_SERVER)
_NO_WEAK: Final = ":!ADH:!AECDH:!eNULL:!EXPORT:!LOW:!DES:!3DES:!RC4:!MD5"
"""What SCH_USE_STRONG_CRYPTO takes out of a choice of ciphers."""


def _check_types(cred: SchannelCred) -> None:
    """Refuse a SCHANNEL_CRED whose members are not what their types say; OpenSSL's exceptions do not name them."""
    if not isinstance(cred.certificates, tuple | list) or len(cred.certificates) > 1:
        raise bad_auth_data("paCred is a tuple of one certificate at most")
    for source in cred.certificates:
        pair = isinstance(source, tuple) and [type(part) for part in source] == [bytes, bytes]
        if not pair and not isinstance(source, ServerCertificate | str | PathLike):
            raise bad_auth_data("paCred: the path of a PEM file, chain and key as PEM bytes, or a loaded certificate")
    for name, value in (("hRootStore", cred.root_store), ("palgSupportedAlgs", cred.ciphers)):
        if value is not None and not isinstance(value, str):
            raise bad_auth_data(f"{name} is a str or None, not a {type(value).__name__}")
    for name, number in (
        ("grbitEnabledProtocols", cred.enabled_protocols),
        ("dwSessionLifespan", cred.session_lifespan),
    ):
        if not isinstance(number, int) or number < 0:
            raise bad_auth_data(f"{name} is a number that is not negative")


class TLSCredential:
    """The TLS half of a credential.

    Attributes:
        certificate: chain and key, or None: a client without one, or a server that makes its own.
        lifespan: seconds that sessions are kept; 0 for no resumption.
        manual: whether SCH_CRED_MANUAL_CRED_VALIDATION was given.
    """

    def __init__(self, cred: SchannelCred | None, *, use: int) -> None:
        cred = SchannelCred() if cred is None else cred
        if not isinstance(cred, SchannelCred):
            raise bad_auth_data("pSchannelCred is a SchannelCred or None")
        if cred.version not in (4, 5):
            raise bad_auth_data("dwVersion is 4 or 5")
        _check_types(cred)
        self._cred = cred
        check_schannel_flags(cred.flags, has_roots=cred.root_store is not None)
        self.lifespan = 0 if cred.flags & c.SCH_CRED_DISABLE_RECONNECTS else cred.session_lifespan / 1000
        self.manual = bool(cred.flags & c.SCH_CRED_MANUAL_CRED_VALIDATION)
        self.certificate: ServerCertificate | None = None
        self._clients: dict[bool, ClientTLS] = {}
        self._servers: dict[bool, ServerTLS] = {}
        try:
            if cred.certificates:
                source = cred.certificates[0]
                self.certificate = load_certificate(
                    source if isinstance(source, tuple | ServerCertificate) else Path(source)
                )
            # Whatever is wrong with the settings should show now and not in the first login.
            if use & c.SECPKG_CRED_INBOUND:
                server_context(self.server(demand_certificate=False), self.server_certificate)
            if use & c.SECPKG_CRED_OUTBOUND:
                client_context(self.client(verify=False))
                roots_of(None, cred.root_store)
        except CredSSPError as error:
            failure = normalise(error)
            if failure.status is not SecurityStatus.SEC_E_INSUFFICIENT_MEMORY:
                failure.status = SecurityStatus.SEC_E_UNKNOWN_CREDENTIALS
            raise failure from None

    @property
    def server_certificate(self) -> ServerCertificate:
        """The certificate of a server; without one of its own that of the process."""
        return process_certificate() if self.certificate is None else self.certificate

    @property
    def roots(self) -> tuple[bytes, ...] | None:
        """Whom to trust (DER); None for the system's store."""
        return roots_of(None, self._cred.root_store)

    @property
    def _ciphers(self) -> str | None:
        """The ciphers for TLS 1.2. Without a choice of the program they are OpenSSL's, which has no weak ones."""
        ciphers = self._cred.ciphers
        return ciphers + _NO_WEAK if ciphers and self._cred.flags & c.SCH_USE_STRONG_CRYPTO else ciphers

    def _versions(self, bits: tuple[int, int]) -> tuple[Literal["1.2", "1.3"], Literal["1.2", "1.3"]]:
        enabled = self._cred.enabled_protocols
        if enabled & ~_KNOWN or (enabled and not enabled & sum(bits)):
            raise bad_auth_data("grbitEnabledProtocols: TLS 1.2 and 1.3 exist here")
        two, three = (not enabled or bool(enabled & bit) for bit in bits)
        return ("1.2" if two else "1.3"), ("1.3" if three else "1.2")

    def client(self, *, verify: bool) -> ClientTLS:
        """Return the settings of a client, which notes a server's wish for a certificate.

        Args:
            verify: fail the handshake if the certificate does not verify; otherwise it is judged only.
        """
        if verify not in self._clients:
            minimum, maximum = self._versions(_CLIENT)
            self._clients[verify] = ClientTLS(
                verify=verify,
                verify_name=not self._cred.flags & c.SCH_CRED_NO_SERVERNAME_CHECK,
                judge=not verify,
                cadata=self._cred.root_store,
                minimum=minimum,
                maximum=maximum,
                ciphers=self._ciphers,
                client_certificate=self.certificate,
                resumption=self.lifespan > 0,
                watch=True,
            )
        return self._clients[verify]

    def server(self, *, demand_certificate: bool) -> ServerTLS:
        """Return the settings of a server; `demand_certificate` asks clients for one (ASC_REQ_MUTUAL_AUTH)."""
        if demand_certificate not in self._servers:
            minimum, maximum = self._versions(_SERVER)
            if demand_certificate and self._cred.root_store is None:
                raise unsupported(
                    "fContextReq",
                    "ASC_REQ_MUTUAL_AUTH needs hRootStore in the credential: whose client certificates to take",
                )
            self._servers[demand_certificate] = ServerTLS(
                minimum=minimum,
                maximum=maximum,
                ciphers=self._ciphers,
                client_ca=self._cred.root_store if demand_certificate else None,
                resumption=self.lifespan > 0,
            )
        return self._servers[demand_certificate]

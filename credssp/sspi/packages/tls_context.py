"""Credentials and contexts of the packages that speak TLS, in LSA mode."""

from __future__ import annotations

import time
from typing import Any

from credssp.sspi import constants as c
from credssp.sspi.packages.session_cache import SessionCache
from credssp.sspi.packages.stream_messages import StreamSession
from credssp.sspi.packages.tls_settings import TLSCredential
from credssp.tls.certificate_request import CertificateRequest

__all__ = ["TLSContext", "TLSPackageCredential"]


class TLSPackageCredential:
    """A credential of such a package.

    Attributes:
        use: SECPKG_CRED_INBOUND, OUTBOUND or both.
        tls: the TLS half.
        logon_id: the logon session it belongs to.
        sessions: TLS sessions to resume.
    """

    def __init__(self, use: int, tls: TLSCredential, logon_id: int) -> None:
        self.use = use & c.SECPKG_CRED_BOTH
        self.tls = tls
        self.logon_id = logon_id
        self.sessions = SessionCache(tls.lifespan)


class TLSContext:
    """A context in LSA mode.

    Attributes:
        inner: the context of the core.
        client: which role.
        credential: with which it was started.
        target: pszTargetName.
        request: fContextReq of the first call.
        started: seconds since 1970.
        logon_name: as whom a client logs on.
        issuers: the server's wish for a client certificate, once seen.
        session: what the user-mode half works with, once complete.
        reauthentication: whether this is a further exchange on a context that was complete.
    """

    __slots__ = (
        "asked",
        "client",
        "closing",
        "credential",
        "granted",
        "held",
        "held_at",
        "inner",
        "issuers",
        "logon_name",
        "opening",
        "reauthentication",
        "request",
        "session",
        "started",
        "supplied",
        "target",
    )

    def __init__(
        self, inner: Any, *, client: bool, credential: TLSPackageCredential, target: str | None, request: int
    ) -> None:
        self.inner = inner
        self.client = client
        self.credential = credential
        self.target = target
        self.request = request
        self.started = time.time()
        self.issuers: CertificateRequest | None = None
        self.session: StreamSession | None = None
        self.reauthentication = False
        self.supplied = False
        self.logon_name = ""
        # Whether the caller may still be asked for a client certificate.
        self.asked = not client or credential.tls.certificate is not None
        # Input whose beginning was consumed before SEC_I_INCOMPLETE_CREDENTIALS, and how much of it.
        self.held: bytes | None = None
        self.held_at = 0
        self.closing = False
        # What is granted before the end; 0 for not worked out yet.
        self.granted = 0
        # Whether it is a client's turn to say the first word.
        self.opening = client

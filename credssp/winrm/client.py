"""The legs of a client on one TCP connection ([MS-WSMV] 3.1.4.1.28), without any HTTP library.

====  =======================================  ===========================================================
leg   ``Authorization: CredSSP ...``           the answer
====  =======================================  ===========================================================
1     TLS ClientHello                          401 with ServerHello ...
2     the client's last TLS flight             401 with the server's (TLS 1.2), a session ticket (TLS 1.3)
3     TSRequest: first negoTokens              401 with negoTokens
4     TSRequest: last negoTokens, pubKeyAuth   401 with pubKeyAuth
5     TSRequest: authInfo                      200 (or what the application says)
====  =======================================  ===========================================================

Kerberos or an SPNEGO that needs a further round adds legs. All of them must travel over one connection, and what was
set up is good on that connection only. Legs carry an empty body: the real one is sent when it can be encrypted.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final, Unpack

from credssp.config import ClientConfig, WinRMClientOptions, client_config
from credssp.context import ClientContext
from credssp.credentials import LogonCredentials
from credssp.engine.events import Direction
from credssp.errors import (
    CertificateError,
    CredSSPError,
    LimitExceededError,
    LocalProtocolError,
    PeerRefusedError,
    RemoteProtocolError,
    TLSAlertError,
    TLSError,
)
from credssp.next_step import NextStep
from credssp.status import SecurityStatus
from credssp.tls.end_point import end_point_bindings
from credssp.winrm.errors import (
    DelegationRefusedError,
    HTTPStatusError,
    Leg,
    LoginError,
    NotOfferedError,
)
from credssp.winrm.header import challenge_token, format_token, schemes
from credssp.wire.ts_request import TSRequest

__all__ = ["ClientLogin", "ClientOptions", "ClientSettings", "check_offer"]

# The request got through to the application, which has something to say about its (empty) body.
_ANSWERS: Final = frozenset({400, 404, 405, 411, 415, 500})

# What servers say to the second half of a handshake whose first half they do not have.
_CONFUSED: Final = frozenset({"unexpected_message", "decode_error", "handshake_failure", "protocol_version"})

_UNEXPLAINED: Final = (
    "the server refused without saying why. Mostly the user name or the password is wrong, or the account may not "
    "log on; servers of CredSSP version 2 and 5 cannot say more"
)
_NO_TOKEN: Final = "the server answered without a token, before it was given any proof of a password"


# The names of release 0.1.0.
ClientOptions = WinRMClientOptions
ClientSettings = ClientConfig


def check_offer(status: int, challenges: Collection[str]) -> None:
    """Look at the answer to a request without credentials.

    Args:
        status: the HTTP status, 401 if all is well.
        challenges: the values of ``WWW-Authenticate``.

    Raises:
        NotOfferedError: the server wants authentication, but not this one.
        HTTPStatusError: another status.
    """
    if status != 401:
        raise HTTPStatusError.of(status, "a server that wants a login answers 401", leg=Leg.OFFER)
    offered = schemes(challenges)
    if "credssp" not in (scheme.lower() for scheme in offered):
        if not offered:
            text, advice = "the server names no authentication scheme", NextStep.WINRM_OFFERS_NOTHING
        else:
            text, advice = f"the server offers {', '.join(offered)}, but not CredSSP", NextStep.WINRM_NOT_OFFERED
        raise NotOfferedError(text, leg=Leg.OFFER, http_status=status, advice=advice)


def _is_of_a_stranger(error: LoginError, *, proxied: bool) -> bool:
    """Whether an answer, before any proof, is that of a server which did not have the legs before."""
    cause = error.__cause__
    if isinstance(cause, TLSAlertError):
        return cause.alert in _CONFUSED
    return isinstance(cause, TLSError) or (cause is None and proxied)


class ClientLogin:
    """One login.

    Attributes:
        config: the options.
        context: what the login sets up; complete when `ready`.
        leg: what was sent last.
        ready: whether the server took the credentials.
        legs: how many tokens were sent.
        proof_sent: whether what was sent last, or before, may hold a proof of the password: it is not the first message
            in TLS.
    """

    def __init__(
        self,
        config: ClientConfig | None = None,
        host: str = "",
        *,
        credentials: LogonCredentials | None = None,
        **options: Unpack[WinRMClientOptions],
    ) -> None:
        """Prepare.

        Args:
            config: how to log on; None for the defaults.
            host: host of the URL.
            credentials: what to authenticate with; None for those of `config`, or else the Kerberos credential cache.
            options: fields of `credssp.ClientConfig`, in place of those of `config`.

        Raises:
            LocalProtocolError, TypeError: arguments that make no sense.
        """
        self.config = config = client_config("ClientLogin", WinRMClientOptions, config, options, credentials)
        name = config.spn_host or host
        if not name:
            raise LocalProtocolError("host is the host of the URL")
        self._name = name
        self.context = self._make(config.channel_bindings, config.outer_certificate)
        self.leg = Leg.TLS
        self.ready = False
        self.legs = 0
        self.proof_sent = False

    def _make(self, channel_bindings: bytes | None, outer: bytes | None) -> ClientContext:
        config = self.config
        return ClientContext(
            config=config,
            target_name=config.target_name or f"{config.service}/{self._name}",
            policy_target=config.policy_target or f"{config.policy_service}/{self._name}",
            carrier="tokens",
            observer=self._observe,
            channel_bindings=channel_bindings,
            outer_certificate=outer,
        )

    def bind(self, certificate: bytes | None) -> None:
        """Bind the login to the server's certificate of https, unless `ClientConfig.bind_https` says no.

        Args:
            certificate: the certificate, DER; None over http.

        Raises:
            LocalProtocolError: the login has begun.
        """
        if self.legs:
            raise LocalProtocolError("bind() comes before start()")
        if certificate is not None and self.config.bind_https and self.config.channel_bindings is None:
            bindings = end_point_bindings(certificate)
            if bindings is not None:
                self.context = self._make(bindings, certificate)

    def _observe(self, direction: Direction, message: TSRequest, data: bytes) -> None:
        if direction is Direction.SENT:
            self.proof_sent = self.leg is not Leg.TLS
            if message.auth_info is not None:
                self.leg = Leg.CREDENTIALS
            else:
                self.leg = Leg.KEY if message.pub_key_auth is not None else Leg.AUTHENTICATION
        if self.config.observer is not None:
            self.config.observer(direction, message, data)

    def start(self) -> str:
        """Return the value of the first ``Authorization`` header.

        Raises:
            LoginError: the login cannot start.
        """
        return self._step(b"", None)

    def receive(self, status: int, challenges: Sequence[str], *, proxy: str = "") -> str | None:
        """Take the answer to a leg.

        Args:
            status: the HTTP status.
            challenges: the values of ``WWW-Authenticate``.
            proxy: address of the HTTP proxy that the request went through, for texts.

        Returns:
            The value of the next ``Authorization`` header, or None: the login is over and went well.

        Raises:
            LoginError, HTTPStatusError: the login failed, for good.
        """
        if self.ready or not self.legs:
            raise LocalProtocolError("no leg is under way")
        try:
            return self._receive(status, challenges, proxy)
        except CredSSPError as error:
            error.mechanism = self.context.mechanism
            raise

    def _receive(self, status: int, challenges: Sequence[str], proxy: str) -> str | None:
        if self.context.complete:
            self._finish(status, challenges)
            return None
        if status != 401:
            if 200 <= status < 300:
                error = RemoteProtocolError("the server went on before the login was over, and has proved nothing")
                raise LoginError.because(error, leg=self.leg, http_status=status)
            raise HTTPStatusError.of(status, "the server gave up the login", leg=self.leg)
        legs = self.legs
        try:
            return self._step(self._token(status, challenges), status)
        except LoginError as error:
            if legs > 1 and not self.proof_sent and _is_of_a_stranger(error, proxied=bool(proxy)):
                raise LoginError.of_lost_connection(error, proxy=proxy) from error.__cause__
            raise

    def _token(self, status: int, challenges: Sequence[str]) -> bytes:
        try:
            token = challenge_token(challenges)
        except CredSSPError as error:
            raise LoginError.because(error, leg=self.leg, http_status=status) from error
        # A server whose TLS has nothing to answer to our last flight sends a token of no bytes.
        if token or (token is not None and self.leg is Leg.TLS and self.context.tls_cipher):
            return token
        if self.proof_sent:
            refusal = LoginError(_UNEXPLAINED, leg=self.leg, http_status=status, advice=NextStep.REFUSED)
            refusal.refused = True
        else:
            refusal = LoginError(
                _NO_TOKEN,
                leg=self.leg,
                http_status=status,
                status=SecurityStatus.SEC_E_INVALID_TOKEN,
                advice=NextStep.WINRM_NO_TOKEN,
            )
        raise refusal

    def _step(self, token: bytes, status: int | None) -> str:
        try:
            self.legs += 1
            if self.legs > self.config.limits.max_tokens:
                raise LimitExceededError(f"more than {self.config.limits.max_tokens} legs without an end")
            return format_token(self.context.step(token).token)
        except CredSSPError as error:
            in_tls = self.context.handshake_complete and not isinstance(error, TLSError | CertificateError)
            if self.leg is Leg.TLS and in_tls:
                self.leg = Leg.AUTHENTICATION  # TLS is there, and the first token was not: no tickets, say
            raise LoginError.because(error, leg=self.leg, http_status=status) from error

    def _finish(self, status: int, challenges: Sequence[str]) -> None:
        if 200 <= status < 300 or status in _ANSWERS:
            self.ready = True
            return
        if status not in {401, 403}:
            raise HTTPStatusError.of(status, "the server gave up the login", leg=self.leg)
        cause = self._refusal(challenges)
        if cause is not None:
            raise DelegationRefusedError.because(cause, leg=self.leg, http_status=status) from cause
        raise DelegationRefusedError(
            "the password and the key of the server are right, but the server did not take the login",
            leg=self.leg,
            http_status=status,
            advice=NextStep.HTTP_403 if status == 403 else NextStep.WINRM_DELEGATION,
        )

    def _refusal(self, challenges: Sequence[str]) -> CredSSPError | None:
        """Return what a token after the last leg says: an errorCode, or an alert of TLS."""
        try:
            token = challenge_token(challenges)
            if token and (message := self.context.unwrap(token)):
                code = TSRequest.decode(message).error_code
                return PeerRefusedError(code) if code else None
        except CredSSPError as error:
            return error
        return None

"""A WinRM server with faults: late answers, connections that it closes itself, a wrong key."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, Unpack

from credssp.config import ServerConfig, WinRMServiceOptions, server_config
from credssp.context import ServerContext
from credssp.drivers.winrm_asgi import WinRMApplication
from credssp.drivers.winrm_connections import HTTPConnection, connection_object
from credssp.testing.faulty_context import FaultyContext
from credssp.testing.server_faults import WINRM_LEGS, ClosedOnPurposeError, ServerFaults, without_strength
from credssp.testing.wrong_certificates import wrong_certificate
from credssp.tls.certificate import ServerCertificate, generate_certificate
from credssp.winrm.handler import Handler
from credssp.winrm.server import LegAnswer

__all__ = ["FaultyApplication", "https_certificate", "https_ciphers", "inside"]

_OFFER = 401


class _FaultyConnection(HTTPConnection):
    """What is kept for a TCP connection, with faults.

    Attributes:
        closes: whether the answer to the last leg is the one in place of which the server closes.
        answers_leg: whether what is answered now is a leg of a login.
    """

    closes = False
    answers_leg = False

    def __init__(self, faults: ServerFaults, config: ServerConfig) -> None:
        super().__init__(config)
        self._faults = faults

    def _make_context(self) -> ServerContext:
        return FaultyContext(self._faults, config=self.config)

    def _leg(self, context: ServerContext, *arguments: Any) -> LegAnswer:
        answer = super()._leg(context, *arguments)
        self.answers_leg = True
        if answer.error is None and answer.question is None and isinstance(context, FaultyContext):
            self.closes = context.closes and bool(answer.token or answer.complete)
        return answer


class FaultyApplication(WinRMApplication):
    """`credssp.drivers.winrm_asgi.WinRMApplication` with faults; to be served by `credssp.drivers.winrm_serving`."""

    def __init__(
        self,
        faults: ServerFaults,
        handler: Handler,
        *,
        config: ServerConfig | None = None,
        **options: Unpack[WinRMServiceOptions],
    ) -> None:
        """Prepare.

        Args:
            faults: what the server does wrong.
            handler: as for `WinRMApplication`.
            config: the options; None for the defaults.
            options: fields of `credssp.ServerConfig`, in place of those of `config`.

        Raises:
            LocalProtocolError: settings that make no sense, or a leg that WinRM does not have.
        """
        faults.check_legs(WINRM_LEGS)
        self._faults = faults
        config = server_config("FaultyApplication", WinRMServiceOptions, config, options)
        super().__init__(handler, config=faults.prepare(config))

    def _make(self, key: object) -> HTTPConnection:
        return _FaultyConnection(self._faults, super()._make(key).config)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve; called by the ASGI server."""
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        key = connection_object(scope, receive, send)
        closed = False

        async def late(message: Any) -> None:
            nonlocal closed
            if message["type"] == "http.response.start":
                await asyncio.sleep(self._faults.delay)
                closed = key is not None and self._closes(key, message["status"])
                if closed:
                    await _close(key, receive, ClosedOnPurposeError(self._faults.close_at or 0))
            if not closed:
                await send(message)

        await super().__call__(scope, receive, late)

    def _closes(self, key: object, status: int) -> bool:
        """Whether the connection is closed in place of this answer."""
        connection = self.connections.of(key)
        if not isinstance(connection, _FaultyConnection):  # pragma: no cover  # _make makes no others
            return False
        leg, connection.answers_leg = connection.answers_leg, False
        return connection.closes if leg else status == _OFFER and self._faults.close_at == "offer"


async def _close(protocol: Any, receive: Any, error: ClosedOnPurposeError) -> None:
    """Close the TCP connection of uvicorn's protocol object, and wait until it is closed."""
    protocol.why = error
    protocol.transport.close()
    while (await receive())["type"] != "http.disconnect":
        pass


def inside(faults: ServerFaults, *, https: bool) -> ServerFaults:
    """Return the faults of what is inside HTTP: with https, the wrong certificate is that of https."""
    return replace(faults, certificate=None) if https else faults


def https_certificate(faults: ServerFaults, host: str = "127.0.0.1") -> tuple[ServerCertificate, bytes]:
    """Return the certificate of https for a host, and the PEM of what clients have to trust."""
    if faults.certificate is None:
        made = generate_certificate("p256", common_name="localhost", dns_names=("localhost", host))
        return made, made.chain
    wrong = wrong_certificate(faults.certificate)
    return wrong.certificate, wrong.authority


def https_ciphers(faults: ServerFaults) -> str | None:
    """Return the ciphers with which OpenSSL serves the certificate of https."""
    return without_strength() if faults.certificate == "weak" else None

"""The context of a test server with faults: it can bind to the wrong key, and knows which leg it answers."""

from __future__ import annotations

import os
from dataclasses import replace

from credssp import binding
from credssp.config import ServerConfig
from credssp.context import ServerContext
from credssp.context.acceptor import create_acceptor
from credssp.context.server import certificate_of
from credssp.engine.events import Direction, ExchangeObserver, Observer
from credssp.engine.server import ServerEngine
from credssp.testing.server_faults import LegName, ServerFaults
from credssp.wire.ts_request import TSRequest

__all__ = ["FaultyContext", "WrongKeyEngine"]


class WrongKeyEngine(ServerEngine):
    """Verifies the client's pubKeyAuth as it must, and answers with one over another key."""

    def _own_proof(self) -> bytes:
        # As long as the right one, and different for certain: what was changed must be the key and nothing else.
        other = bytes((self._public_key[0] ^ 0x40,)) + os.urandom(len(self._public_key) - 1)
        return binding.server_value(self._effective, self._nonce, other)


class FaultyContext(ServerContext):
    """Lets one client log on, with the faults of its owner."""

    def __init__(self, faults: ServerFaults, *, config: ServerConfig) -> None:
        self._faults = faults
        self._leg: LegName = "tls"
        self._received = 0
        self._seen = 0
        super().__init__(config=config)

    def _make_engine(self) -> ServerEngine:
        public_key = binding.subject_public_key(certificate_of(self.config).der)
        observer = self.config.observer
        if observer is not None and isinstance(observer, ExchangeObserver):
            observer = observer.for_exchange(public_key)
        kind = WrongKeyEngine if self._faults.wrong_key else ServerEngine
        config = replace(self.config, observer=self._counting(observer))
        return kind(create_acceptor(config=self.config), public_key=public_key, config=config)

    def _counting(self, observer: Observer | None) -> Observer:
        def see(direction: Direction, message: TSRequest, data: bytes) -> None:
            self._seen += 1
            if direction is Direction.RECEIVED:
                self._received = self._seen
                self._leg = "authentication" if message.auth_info is None else "credentials"
            elif message.pub_key_auth is not None:
                self._leg = "key"
            if observer is not None:
                observer(direction, message, data)

        return see

    @property
    def closes(self) -> bool:
        """Whether the answer to what came last is the one in place of which the server closes."""
        wanted = self._faults.close_at
        if isinstance(wanted, int):
            return bool(self._received) and wanted in (self._received, self._received + 1)
        return wanted == self._leg

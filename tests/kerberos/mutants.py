"""Kerberos peers that are wrong in one way each, made from the suite's own Kerberos: what the rules must notice."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from credssp.conformance import Account, mutate
from credssp.conformance.kerberos import KerberosClient, KerberosServer, KerberosSession, TicketSource, WrapToken
from credssp.conformance.kerberos.server import KerberosAnswer
from credssp.conformance.memory import MemoryClientTarget, MemoryServerTarget
from credssp.conformance.scripted_client import ScriptedClient
from credssp.conformance.setup import WireForm
from credssp.errors import CredSSPError
from credssp.kerberos.tickets import ServiceKey
from credssp.spnego import OID, Candidate, NegTokenResp
from credssp.wire.ts_request import TSRequest
from tests.conformance import scripted

NO_MIC = b"there is none"
"""What a server that goes on without a mechListMIC hears in its place."""


class Session(KerberosSession):
    """A session of which one thing is changed."""

    def __init__(self, session: KerberosSession, change: str) -> None:
        self.__dict__.update(session.__dict__)
        self.change = change

    def wrap(self, data: bytes, **options: Any) -> bytes:
        if self.change == "wrong flags" or (self.change == "always a subkey" and not self._base_flags):
            options["flip_flags"] = 0x04
        if self.change == "signed alone":
            options |= {"seal": False, "rrc": 0}
        if self.change == "other number":
            options["sequence"] = self.sequence + 1000
            self.sequence += 1
        return super().wrap(data, **options)

    def unwrap(self, token: bytes) -> bytes:
        header = WrapToken.decode(token)
        if self.change == "takes only Windows' turn" and (header.rrc, header.ec) != (28, 0):
            raise CredSSPError("another turn")
        try:
            return super().unwrap(token)
        except CredSSPError:
            if self.change != "takes its own":
                raise
        theirs: Any = "initiator" if self._acceptor else "acceptor"
        mirror = KerberosSession(self.key, role=theirs, acceptor_subkey=bool(self._base_flags), send=0, receive=None)
        return mirror.unwrap(token)


class Service(KerberosServer):
    """The suite's service, which looks neither at names nor at clocks, with a changed session."""

    def __init__(self, keys: Sequence[ServiceKey], change: str, **options: Any) -> None:
        super().__init__(keys, in_turn=True, **options)
        self.change = change

    def verify_mech_list_mic(self, mech_types: bytes, mic: bytes) -> None:
        if mic == NO_MIC:
            return
        if self.change != "any mechListMIC":
            super().verify_mech_list_mic(mech_types, mic)
        elif self.session is not None and self.session.expected is not None:
            self.session.expected += 1

    def _step(self, token: bytes | None) -> bytes | None:
        reply = super()._step(token)
        if self.change == "no bindings" and any(self.facts.bindings):
            raise CredSSPError("channel bindings")
        if self.session is not None:
            self.session = Session(self.session, self.change)
            if self.change == "no sequence":
                self.session.expected = None
        return reply


def without_mic(message: TSRequest) -> TSRequest:
    """Put something into the place of a mechListMIC that is missing."""
    token = (message.nego_tokens or (b"",))[0]
    if token[:1] != b"\xa1" or (resp := NegTokenResp.decode(token)).mech_list_mic is not None:
        return message
    return mutate.replaced(message, nego_tokens=(dataclasses.replace(resp, mech_list_mic=NO_MIC).encode(),))


def no_mic_heard(message: TSRequest) -> TSRequest:
    """Leave out a mechListMIC, as a server that does not look at it does."""
    token = (message.nego_tokens or (b"",))[0]
    if token[:1] != b"\xa1" or (resp := NegTokenResp.decode(token)).mech_list_mic is None:
        return message
    return mutate.replaced(message, nego_tokens=(dataclasses.replace(resp, mech_list_mic=None).encode(),))


def server(
    account: Account,
    keys: Sequence[ServiceKey],
    tickets: TicketSource,
    target_name: str,
    *,
    change: str = "",
    answer: KerberosAnswer = "good",
    **options: Any,
) -> MemoryServerTarget:
    def mechanisms(_: object) -> list[Candidate]:
        return [Candidate("kerberos", OID.KERBEROS, lambda: Service(keys, change, answer=answer))]

    return scripted.server(
        account=account,
        keys=tuple(keys),
        mechanisms=mechanisms,
        target={"target_name": target_name, "tickets": tickets},
        **options,
    )


class Client(KerberosClient):
    """The suite's client, with a changed session."""

    change = ""

    def answer(self, token: bytes) -> None:
        try:
            super().answer(token)
        except CredSSPError:
            if self.change != "no matter what":
                raise
            self.establish()
        if not self.mutual_proof and self.change not in ("takes any time", "no matter what"):
            raise CredSSPError("no proof")
        self.session = Session(self.session, self.change)
        if self.change == "no sequence":
            self.session.expected = None


def client(
    account: Account,
    keys: Sequence[ServiceKey],
    tickets: TicketSource,
    target_name: str,
    *,
    change: str = "",
    form: WireForm = "kerberos",
    **faults: Any,
) -> MemoryClientTarget:
    def inner(_: ScriptedClient) -> KerberosClient:
        made = Client(ticket=tickets(target_name), in_turn=True, **faults)
        made.change = change
        return made

    return scripted.client(
        account=account,
        form=form,
        inner=inner,
        target={
            "features": frozenset({"kerberos"}),
            "target_name": target_name,
            "service_keys": tuple(keys),
        },
    )

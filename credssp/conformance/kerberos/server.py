"""A Kerberos service of our own: reads AP-REQ, tells what is in it, answers with any fault (RFC 4120 3.2.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, TypeAlias

from credssp.conformance.chance import octets
from credssp.errors import AuthenticationError, LocalProtocolError, RemoteProtocolError
from credssp.identity import Identity
from credssp.kerberos import crypto as crypto
from credssp.kerberos.ap import (
    AP_REP,
    AP_REQ,
    KRB_ERROR,
    APRep,
    APReq,
    Authenticator,
    Checksum,
    EncAPRepPart,
    EncTicketPart,
    KrbError,
    Ticket,
    frame,
    unframe,
)
from credssp.kerberos.crypto import KeyUsage
from credssp.kerberos.session import KerberosSession
from credssp.kerberos.tickets import ServiceKey
from credssp.kerberos.values import EncryptedData, EncryptionKey
from credssp.security_context import SecurityContext
from credssp.status import SecurityStatus

__all__ = ["APReqFacts", "KerberosAnswer", "KerberosServer"]

KerberosAnswer: TypeAlias = Literal["good", "other time", "other key", "no subkey", "error", "none"]
"""How AP-REQ is answered: with a good AP-REP, with one that repeats another time or is encrypted with another key, with
one in which the service chooses no key, with KRB-ERROR, or without any token."""

_FLAGS_AT: Final = 20
_DELEG: Final = 0x01
_SKEW: Final = 37


@dataclass(frozen=True, slots=True)
class APReqFacts:
    """What a client's AP-REQ says.

    Attributes:
        service: the service that the ticket is for.
        mutual_required: whether the ap-options ask for AP-REP.
        flags: flags of GSS-API, or None where the checksum is another or absent.
        bindings: the 16 bytes of channel bindings, or empty.
        delegates: whether a ticket is forwarded.
        subkey: whether the client chose a key.
        client: who it is, with the realm.
        first_number: seq-number of the authenticator, or None.
    """

    service: str
    mutual_required: bool
    flags: int | None
    bindings: bytes
    delegates: bool
    subkey: bool
    client: str
    first_number: int | None


class KerberosServer(SecurityContext):
    """Serves one login; a `credssp.mechanism.SpnegoMechanism`.

    It does not judge the client: replays and clocks are not looked at.

    Args:
        keys: the service's keys.
        answer: how to answer.
        in_turn: refuse messages whose sequence number is not due, as careful services do. The suite's probe reads
            them: a rule judges the numbers (CSSP-KRB-39).

    Attributes:
        facts: what the client said, once it is known.
        session: protects messages, once the client is known.
    """

    def __init__(self, keys: Sequence[ServiceKey], *, answer: KerberosAnswer = "good", in_turn: bool = False) -> None:
        super().__init__()
        self.name = "kerberos"
        self.wire_form = "kerberos"
        self.facts: APReqFacts  # set when the client is known
        self.session: KerberosSession | None = None
        self._keys = keys
        self._answer = answer
        self._in_turn = in_turn

    @property
    def session_key(self) -> bytes:
        """The key of the context."""
        return self.established.key.value.reveal()

    @property
    def mech_list_mic_required(self) -> bool:
        """False: see `credssp.kerberos.contexts`."""
        return False

    def make_mech_list_mic(self, mech_types: bytes) -> bytes:
        """Sign SPNEGO's MechTypeList."""
        return self.established.sign(mech_types)

    def verify_mech_list_mic(self, mech_types: bytes, mic: bytes) -> None:
        """Check the peer's signature over it."""
        self.established.verify(mech_types, mic)

    @property
    def established(self) -> KerberosSession:
        """What protects messages. Raises LocalProtocolError before the client is known."""
        if self.session is None:
            raise LocalProtocolError("no client has come yet")
        return self.session

    def _step(self, token: bytes | None) -> bytes | None:
        kind, message = unframe(token or b"")
        if kind != AP_REQ:
            raise RemoteProtocolError("the client's token is not an AP-REQ", section="RFC 4121 4.1")
        request = APReq.decode(message)
        ticket = Ticket.decode(request.ticket)
        contents = EncTicketPart.decode(self._open(ticket))
        session_key, realm, client = contents.key, contents.crealm, contents.cname
        plain = crypto.decrypt(
            session_key.etype, session_key.value, KeyUsage.AP_REQ_AUTHENTICATOR, request.authenticator.cipher
        )
        authenticator = Authenticator.decode(plain)
        self.facts = _facts(request, ticket, authenticator, f"{client}@{realm}")
        self.identity = Identity(username=str(client), domain=realm, mechanism="kerberos")
        if self._answer == "error":
            return frame(KRB_ERROR, KrbError(_SKEW, _now(), ticket.realm, ticket.sname).encode())
        reply = self._reply(session_key, authenticator)
        self.session = KerberosSession(
            reply.subkey or authenticator.subkey or session_key,
            role="acceptor",
            acceptor_subkey=reply.subkey is not None,
            send=reply.seq_number or 0,
            receive=authenticator.seq_number if self._in_turn else None,
        )
        self.complete = self.can_wrap = True
        if self._answer == "none":
            return None
        sealing = crypto.generate_key(session_key.etype) if self._answer == "other key" else session_key.value
        sealed = crypto.encrypt(session_key.etype, sealing, KeyUsage.AP_REP, reply.encode())
        return frame(AP_REP, APRep(EncryptedData(session_key.etype, sealed)).encode())

    def _reply(self, session_key: EncryptionKey, authenticator: Authenticator) -> EncAPRepPart:
        late = timedelta(seconds=1 if self._answer == "other time" else 0)
        chooses = self._answer not in ("no subkey", "none")
        etype = session_key.etype
        return EncAPRepPart(
            ctime=authenticator.ctime + late,
            cusec=authenticator.cusec,
            subkey=EncryptionKey(etype, crypto.generate_key(etype)) if chooses else None,
            seq_number=int.from_bytes(octets(4), "big") >> 2,
        )

    def _open(self, ticket: Ticket) -> bytes:
        for each in self._keys:
            if each.service == ticket.service and each.key.etype == ticket.enc_part.etype:
                try:
                    return crypto.decrypt(each.key.etype, each.key.value, KeyUsage.TICKET, ticket.enc_part.cipher)
                except RemoteProtocolError:
                    continue  # an older key of the same service
        raise AuthenticationError(
            f"the keytab has no key that opens the ticket for {ticket.service}",
            status=SecurityStatus.SEC_E_NO_KERB_KEY,
        )

    def _sign(self, data: bytes) -> bytes:
        return self.established.sign(data)

    def _verify(self, data: bytes, signature: bytes) -> None:
        self.established.verify(data, signature)

    def _wrap(self, data: bytes) -> bytes:
        return self.established.wrap(data)

    def _unwrap(self, data: bytes) -> bytes:
        return self.established.unwrap(data)


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def _facts(request: APReq, ticket: Ticket, authenticator: Authenticator, client: str) -> APReqFacts:
    checksum = authenticator.checksum
    gss = checksum is not None and checksum.kind == Checksum.GSS_API and len(checksum.value) >= _FLAGS_AT + 4
    value = checksum.value if checksum is not None and gss else b""
    flags = int.from_bytes(value[_FLAGS_AT : _FLAGS_AT + 4], "little")
    return APReqFacts(
        service=ticket.service,
        mutual_required=bool(request.options & APReq.MUTUAL_REQUIRED),
        flags=flags if gss else None,
        bindings=value[4:_FLAGS_AT],
        delegates=bool(flags & _DELEG),
        subkey=authenticator.subkey is not None,
        client=client,
        first_number=authenticator.seq_number,
    )

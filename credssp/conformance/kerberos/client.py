"""A Kerberos client of our own: AP-REQ with any fault, and what comes back (RFC 4120 3.2, RFC 4121 4.1).

The ticket and its session key are real: a KDC issued them. What is made here is what a client makes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Final, Literal

from credssp.conformance.chance import octets
from credssp.errors import RemoteProtocolError
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
    KrbError,
    frame,
    unframe,
)
from credssp.kerberos.crypto import KeyUsage
from credssp.kerberos.session import KerberosSession
from credssp.kerberos.tickets import ServiceTicket
from credssp.kerberos.values import EncryptedData, EncryptionKey, Principal
from credssp.spnego import OID

__all__ = ["GSS_FLAGS", "KerberosClient"]

MUTUAL: Final = 0x02
REPLAY: Final = 0x04
SEQUENCE: Final = 0x08
CONF: Final = 0x10
INTEG: Final = 0x20
GSS_FLAGS: Final = 0x3E
"""MUTUAL, REPLAY, SEQUENCE, CONF and INTEG (RFC 4121 4.1.1.1): what CredSSP's clients ask for."""

_BINDINGS_SIZE: Final = 16
_NT_PRINCIPAL: Final = 1


@dataclass(slots=True, kw_only=True)
class KerberosClient:
    """One Kerberos login; a `credssp.conformance.inner.Inner`.

    Attributes:
        ticket: the ticket.
        flags: flags of GSS-API in the authenticator's checksum.
        mutual: set mutual-required in the ap-options.
        checksum: ``gss``, ``none``, or ``other`` (a checksum of another type).
        age: seconds by which the authenticator is older than now.
        name: another client than the ticket's, or empty.
        spoil_key: encrypt the authenticator with an unknown key.
        spoil_ticket: change one bit of the ticket.
        subkey: choose a key of our own.
        bindings: Bnd of the authenticator's checksum, zeros for none.
        in_turn: refuse messages whose sequence number is not due, as careful clients do. The suite's probe reads them:
            a rule judges the numbers (CSSP-KRB-39).
        session: protects messages, once the service has answered.
        mutual_proof: whether the service proved that it has the key.
        acceptor_subkey: whether the service chose a key.
        first_number: seq-number of AP-REP, or None.
        error: error-code of a KRB-ERROR, or None.
    """

    mech_types: ClassVar[tuple[str, ...]] = (OID.KERBEROS,)

    ticket: ServiceTicket
    flags: int = GSS_FLAGS
    mutual: bool = True
    checksum: Literal["gss", "none", "other"] = "gss"
    age: int = 0
    name: str = ""
    spoil_key: bool = False
    spoil_ticket: bool = False
    subkey: bool = True
    bindings: bytes = bytes(_BINDINGS_SIZE)
    in_turn: bool = False
    session: KerberosSession = field(init=False)
    mutual_proof: bool = field(default=False, init=False)
    acceptor_subkey: bool = field(default=False, init=False)
    first_number: int | None = field(default=None, init=False)
    error: int | None = field(default=None, init=False)
    _authenticator: Authenticator = field(init=False)

    def first(self) -> bytes:
        """Return the AP-REQ in its framing."""
        moment = datetime.now(UTC) - timedelta(seconds=self.age)
        key = self.ticket.key
        value = struct.pack("<I", _BINDINGS_SIZE) + self.bindings + struct.pack("<I", self.flags)
        checksums = {"gss": Checksum(Checksum.GSS_API, value), "none": None, "other": Checksum(7, bytes(16))}
        authenticator = self._authenticator = Authenticator(
            crealm=self.ticket.realm,
            cname=Principal(_NT_PRINCIPAL, tuple((self.name or self.ticket.client).split("/"))),
            checksum=checksums[self.checksum],
            ctime=moment.replace(microsecond=0),
            cusec=moment.microsecond,
            subkey=EncryptionKey(key.etype, crypto.generate_key(key.etype)) if self.subkey else None,
            seq_number=int.from_bytes(octets(4), "big") >> 2,
        )
        sealing = crypto.generate_key(key.etype) if self.spoil_key else key.value
        sealed = crypto.encrypt(key.etype, sealing, KeyUsage.AP_REQ_AUTHENTICATOR, authenticator.encode())
        ticket = self.ticket.ticket.encoded
        if self.spoil_ticket:
            ticket = ticket[:-1] + bytes((ticket[-1] ^ 1,))
        options = APReq.MUTUAL_REQUIRED if self.mutual else 0
        return frame(AP_REQ, APReq(options, ticket, EncryptedData(key.etype, sealed)).encode())

    def answer(self, token: bytes) -> None:
        """Take AP-REP or KRB-ERROR; after AP-REP there is a session.

        Raises:
            RemoteProtocolError: it is neither, does not open, or KRB-ERROR.
        """
        kind, message = unframe(token)
        if kind == KRB_ERROR:
            self.error = KrbError.decode(message).code
            raise RemoteProtocolError(f"KRB-ERROR {self.error}", section="RFC 4120 5.9.1")
        if kind != AP_REP:
            raise RemoteProtocolError("neither AP-REP nor KRB-ERROR", section="RFC 4121 4.1")
        key = self.ticket.key
        plain = crypto.decrypt(key.etype, key.value, KeyUsage.AP_REP, APRep.decode(message).enc_part.cipher)
        reply = EncAPRepPart.decode(plain)
        sent = self._authenticator
        self.mutual_proof = (reply.ctime, reply.cusec) == (sent.ctime, sent.cusec)
        self.establish(reply)

    def establish(self, reply: EncAPRepPart | None = None) -> None:
        """Make the session; without AP-REP where none was asked for."""
        sent = self._authenticator
        theirs = None if reply is None else reply.subkey
        self.acceptor_subkey = theirs is not None
        self.first_number = None if reply is None else reply.seq_number
        self.session = KerberosSession(
            theirs or sent.subkey or self.ticket.key,
            role="initiator",
            acceptor_subkey=theirs is not None,
            send=sent.seq_number or 0,
            receive=(reply.seq_number or 0) if self.in_turn and reply is not None else None,
        )

"""SPNEGO (RFC 4178, [MS-SPNG]): the token codec, the initiator and the acceptor, around any mechanism."""

from credssp.nego.spnego.acceptor import SpnegoAcceptor
from credssp.nego.spnego.candidate import Candidate, Skipped
from credssp.nego.spnego.initiator import SpnegoInitiator
from credssp.nego.spnego.mech_types import MECHANISM_NAMES, OID
from credssp.nego.spnego.tokens import NegHints, NegState, NegTokenInit, NegTokenResp, decode

__all__ = [
    "MECHANISM_NAMES",
    "OID",
    "Candidate",
    "NegHints",
    "NegState",
    "NegTokenInit",
    "NegTokenResp",
    "Skipped",
    "SpnegoAcceptor",
    "SpnegoInitiator",
    "decode",
]

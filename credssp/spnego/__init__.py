"""SPNEGO (RFC 4178, [MS-SPNG]): the token codec, the initiator and the acceptor, around any mechanism."""

from credssp.spnego.acceptor import SpnegoAcceptor
from credssp.spnego.candidate import Candidate, SkippedCandidate
from credssp.spnego.initiator import SpnegoInitiator
from credssp.spnego.mech_types import MECHANISM_NAMES, OID
from credssp.spnego.tokens import NegHints, NegState, NegTokenInit, NegTokenResp, decode

__all__ = [
    "MECHANISM_NAMES",
    "OID",
    "Candidate",
    "NegHints",
    "NegState",
    "NegTokenInit",
    "NegTokenResp",
    "SkippedCandidate",
    "SpnegoAcceptor",
    "SpnegoInitiator",
    "decode",
]

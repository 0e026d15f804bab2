"""The CredSSP protocol above TLS, for callers who own the TLS channel themselves.

Give `ClientEngine` or `ServerEngine` the plaintext bytes that TLS yields and the SubjectPublicKey of the server's
certificate (`credssp.binding.subject_public_key`); send each `Send` event with one TLS write.
"""

from credssp.engine.client import ClientEngine
from credssp.engine.events import (
    AnswerRequired,
    Authenticated,
    CredentialsDelegated,
    CredentialsReceived,
    Direction,
    Event,
    ExchangeObserver,
    Observer,
    Send,
)
from credssp.engine.server import ServerEngine
from credssp.engine.state import TRANSITIONS, Role, State, Step

__all__ = [
    "TRANSITIONS",
    "AnswerRequired",
    "Authenticated",
    "ClientEngine",
    "CredentialsDelegated",
    "CredentialsReceived",
    "Direction",
    "Event",
    "ExchangeObserver",
    "Observer",
    "Role",
    "Send",
    "ServerEngine",
    "State",
    "Step",
]

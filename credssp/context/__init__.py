"""A whole CredSSP context, token in, token out: a TLS channel and an engine, put together here and nowhere else.

Over a byte stream (RDP) a token is whatever was read or is to be written; over HTTP (WinRM) and in SSPI it is one
message. Both work the same::

    client = ClientContext(PasswordCredentials("alice", "secret", domain="LAB"), target_name="TERMSRV/srv.lab.test")
    result = client.step()
    while not client.complete:
        send(result.token)
        result = client.step(receive())
    send(result.token)                  # the last leg: SEC_E_OK together with a token
    send(client.wrap(b"application data"))
"""

from credssp.context.client import Carrier, ClientContext
from credssp.context.exchange import StepResult
from credssp.context.server import LoginFacts, ServerContext

__all__ = ["Carrier", "ClientContext", "LoginFacts", "ServerContext", "StepResult"]

"""Kerberos with our own code, as client and as service, so that every part of it can be made wrong.

`credssp.kerberos` leaves Kerberos to GSS-API, which makes no mistakes on request. Here AP-REQ, AP-REP and per-message
tokens of RFC 4121 are put together from the project's own messages and cryptography; tests check them against MIT's
implementation. Only encryption with AES is known.
"""

from credssp.conformance.kerberos.client import KerberosClient
from credssp.conformance.kerberos.server import APReqFacts, KerberosServer
from credssp.conformance.kerberos.tickets import TicketSource, read_service_keys
from credssp.kerberos.session import KerberosSession, WrapToken

__all__ = [
    "APReqFacts",
    "KerberosClient",
    "KerberosServer",
    "KerberosSession",
    "TicketSource",
    "WrapToken",
    "read_service_keys",
]

"""WinRM over CredSSP ([MS-WSMV]): tokens in HTTP headers, then messages inside the TLS session.

This package and the modules named here know no HTTP library: `ClientLogin`, `ServerConnection`, `encrypt`, `decrypt`.
The adapters are modules of their own, each with its extra:

* `credssp.drivers.winrm_requests` (``credssp[requests]``), for requests, pywinrm and pypsrp,
* `credssp.drivers.winrm_httpx` (``credssp[httpx]``),
* `credssp.drivers.winrm_asgi`, an ASGI application, and `credssp.drivers.winrm_serving`, which runs it on uvicorn
  (``credssp[winrm-server]``); `credssp.testing.wsman` is a small responder for it.
"""

from credssp.config import Encryption, ServerOptions
from credssp.winrm.client import ClientLogin, ClientOptions, ClientSettings, check_offer
from credssp.winrm.encryption import Encrypted, Plaintext, decrypt, encrypt, is_encrypted_type
from credssp.winrm.errors import (
    DelegationRefusedError,
    HTTPStatusError,
    Leg,
    LoginError,
    NotOfferedError,
    WinRMError,
)
from credssp.winrm.handler import WinRMRequest, WinRMResponse
from credssp.winrm.header import challenge_token, format_token, request_token
from credssp.winrm.server import LegAnswer, LoginState, ServerConnection
from credssp.winrm.session import ClientSession

__all__ = [
    "ClientLogin",
    "ClientOptions",
    "ClientSession",
    "ClientSettings",
    "DelegationRefusedError",
    "Encrypted",
    "Encryption",
    "HTTPStatusError",
    "Leg",
    "LegAnswer",
    "LoginError",
    "LoginState",
    "NotOfferedError",
    "Plaintext",
    "ServerConnection",
    "ServerOptions",
    "WinRMError",
    "WinRMRequest",
    "WinRMResponse",
    "challenge_token",
    "check_offer",
    "decrypt",
    "encrypt",
    "format_token",
    "is_encrypted_type",
    "request_token",
]

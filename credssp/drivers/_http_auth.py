"""Who logs on, as the authentication classes for requests and httpx take it."""

from __future__ import annotations

from typing import Any, Final

from credssp.config import ClientConfig, WinRMClientOptions, client_config
from credssp.credentials import LogonCredentials, PasswordCredentials
from credssp.drivers.agent import with_agent
from credssp.errors import LocalProtocolError
from credssp.secret import Secret
from credssp.tls.key_log import prepare_key_log

__all__ = ["LEG_BODY", "logon_config"]

LEG_BODY: Final = 64 * 1024
"""Bytes of a body beside a leg; nothing of interest is in it."""


def logon_config(
    caller: str,
    user: str | LogonCredentials | None,
    password: str | Secret[str] | None,
    credentials: LogonCredentials | None,
    config: ClientConfig | None,
    options: Any,
) -> ClientConfig:
    """Return the configuration for user name and password, for credentials, or for neither.

    Raises:
        LocalProtocolError, TypeError: arguments that make no sense together or alone.
    """
    if isinstance(user, str):
        if credentials is not None:
            raise LocalProtocolError("username and credentials are both given")
        if password is None:
            raise LocalProtocolError("password is missing: a user name needs one")
        credentials = PasswordCredentials(user, password)
    elif isinstance(user, bytes | bytearray):
        raise LocalProtocolError(f"username is a str, not {type(user).__name__}")
    elif password is not None:
        raise LocalProtocolError("password needs a username")
    elif user is not None:
        if credentials is not None:
            raise LocalProtocolError("credentials are given twice")
        credentials = user
    made = with_agent(client_config(caller, WinRMClientOptions, config, options, credentials))
    if made.tls is None or made.tls.key_log:
        prepare_key_log()  # before the HTTP library makes the file for everybody to read
    return made

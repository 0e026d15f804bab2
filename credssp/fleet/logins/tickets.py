"""Kerberos tickets for all logins of a run: the KDC judges a password, a key or a PIN once."""

from __future__ import annotations

import sys
from dataclasses import replace

from credssp.config import ClientConfig
from credssp.credentials import CertificateCredentials, KeytabCredentials, PasswordCredentials
from credssp.kerberos.logon import logon_tickets
from credssp.rdp.x224 import mstshash

__all__ = ["with_shared_tickets"]


def with_shared_tickets(config: ClientConfig) -> ClientConfig:
    """Return a configuration with a ticket-granting ticket in memory, where each login would get its own.

    A password that NTLM may need as well stays what it is. What is delegated stays the same.

    Raises:
        AuthenticationError: the KDC gives no ticket.
    """
    credentials = config.credentials
    if sys.platform == "win32":  # SSPI has a cache of its own for each logon
        return config
    if isinstance(credentials, PasswordCredentials):
        if config.mechanism != "kerberos":
            return config
        delegated = config.delegated_credentials or credentials
        cookie = mstshash(credentials.username) if config.cookie is None else config.cookie
        tickets = logon_tickets(credentials, workstation=config.workstation)
        return replace(config, credentials=tickets, delegated_credentials=delegated, cookie=cookie)
    if isinstance(credentials, KeytabCredentials | CertificateCredentials):
        card = credentials.card if isinstance(credentials, CertificateCredentials) else None
        tickets = logon_tickets(credentials, workstation=config.workstation)
        return replace(config, credentials=tickets, delegated_credentials=config.delegated_credentials or card)
    return config

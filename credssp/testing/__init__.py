"""Test doubles: endpoints for the tests of CredSSP clients (`credssp.testing.rdp`, `credssp.testing.winrm`)."""

from credssp.testing.rdp import DEFAULT_ACCOUNTS, Delegation, RDPServer, Refusal

__all__ = ["DEFAULT_ACCOUNTS", "Delegation", "RDPServer", "Refusal"]

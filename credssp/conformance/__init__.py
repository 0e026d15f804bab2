"""Judging CredSSP exchanges: captured ones (`credssp.conformance.fixture`), and later live peers."""

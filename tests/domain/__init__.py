"""Against a real Active Directory domain: a domain controller, its users, and a member (see `tests.domain.lab`)."""

"""Vectors of who a Kerberos ticket is for: PACs, the key of the service, and the user that they name ([MS-PAC])."""

from __future__ import annotations

from typing import Any, Final

from credssp.conformance.kerberos import pacs
from credssp.kerberos.pac import vouched
from credssp.kerberos.values import EncryptionKey
from credssp.secret import Secret

__all__ = ["identities"]

_KEY: Final = EncryptionKey(18, Secret(bytes(range(32))))
_AT: Final = 200
"""A place in KERB_VALIDATION_INFO."""


def identities() -> list[dict[str, Any]]:
    """Return PACs; those that do not belong to the ticket, or were changed, have no user."""
    good = pacs.signed(_KEY)
    changed = good[:_AT] + bytes((good[_AT] ^ 1,)) + good[_AT + 1 :]
    last_year = pacs.client_info(authtime=pacs.AUTHTIME.replace(year=2025))
    return [
        _taken("the same name", good, "the account has the name in the ticket"),
        _taken("another account", pacs.signed(_KEY, pacs.logon_info("root$")), "the account in the PAC is the user"),
        _taken(
            "no group but the primary one", pacs.signed(_KEY, pacs.logon_info(groups=())), "PrimaryGroupId is one, too"
        ),
        _entry("a changed PAC", changed, "the server signature does not match", rule="CSSP-KRB-43"),
        _entry("another client", pacs.signed(_KEY, client=pacs.client_info("bob")), "PAC_CLIENT_INFO names bob"),
        _entry("another login", pacs.signed(_KEY, client=last_year), "PAC_CLIENT_INFO has another time of logon"),
    ]


def _taken(name: str, data: bytes, about: str) -> dict[str, Any]:
    found = vouched(data, _KEY, client="alice", authtime=pacs.AUTHTIME)
    assert found is not None  # noqa: S101  # it is right
    fields = {
        "userName": found.username,
        "domain": found.domain,
        "sid": found.sid,
        "groups": list(found.groups),
    }
    return _entry(name, data, about, rule="CSSP-KRB-46") | {"expected": "take", "fields": fields}


def _entry(name: str, data: bytes, about: str, *, rule: str = "CSSP-KRB-44") -> dict[str, Any]:
    return {
        "name": name,
        "about": about,
        "rule": rule,
        "etype": _KEY.etype,
        "key": _KEY.value.reveal().hex(),
        "client": "alice",
        "authtime": pacs.AUTHTIME.isoformat(),
        "pac": data.hex(),
        "expected": "refuse",
        "fields": {},
    }

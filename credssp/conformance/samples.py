"""Credentials to delegate to a server under test."""

from __future__ import annotations

from typing import Final

from credssp.kerberos.remote_guard_buffers import KerbTicketLogon, NTLMRemoteSupplementalCredential
from credssp.secret import Secret
from credssp.wire.ts_credentials import TSCredentials, TSCspDataDetail, TSSmartCardCreds
from credssp.wire.ts_remote_guard import TSRemoteGuardCreds, TSRemoteGuardPackageCred

__all__ = ["SMART_CARD_SAMPLE", "remote_guard", "smart_card", "whole_smart_card"]

SMART_CARD_SAMPLE: Final = TSCredentials(
    TSSmartCardCreds(
        pin=Secret("b" * 12),
        csp_data=TSCspDataDetail(
            key_spec=1,
            reader_name="OMNIKEY CardMan 3x21 0",
            container_name="le-MSSmartcardUser-8bda019f-1266--53268",
            csp_name="Microsoft Base Smart Card Crypto Provider",
        ),
    )
).encode()
"""The example of [MS-CSSP] section 4, by its values; tests/wire compares the bytes with the specification's."""


def smart_card() -> bytes:
    """Return TSCredentials of a smart card with as few members as there may be."""
    return TSCredentials(TSSmartCardCreds(pin=Secret("1234"), csp_data=TSCspDataDetail(key_spec=0))).encode()


def whole_smart_card() -> bytes:
    """Return TSCredentials of a smart card with every member."""
    csp = TSCspDataDetail(
        key_spec=1, card_name="Card", reader_name="Reader 0", container_name="Container", csp_name="CSP"
    )
    creds = TSSmartCardCreds(pin=Secret("1234"), csp_data=csp, user_hint="User", domain_hint="Domain")
    return TSCredentials(creds).encode()


def remote_guard(supplemental: int) -> bytes:
    """Return TSCredentials of Remote Credential Guard with this many supplemental packages; the tickets are junk."""
    names = ("NTLM", "CloudAP", "Other")[:supplemental]
    ntlm = NTLMRemoteSupplementalCredential(credential_key=Secret(bytes(20))).encode()
    packages = tuple(TSRemoteGuardPackageCred(name, ntlm if name == "NTLM" else Secret(bytes(32))) for name in names)
    ticket = KerbTicketLogon(
        service_ticket=Secret(b"\x61\x03\x30\x01\x00"), ticket_granting_ticket=Secret(b"")
    ).encode()
    creds = TSRemoteGuardCreds(TSRemoteGuardPackageCred("Kerberos", ticket), packages or None)
    return TSCredentials(creds).encode()

"""Language-neutral vectors: JSON that an implementation in any language can be held against.

Keys and nonces are chosen, not drawn, so that the file comes out the same every time. Passwords in it are made up.
docs/reference/conformance-formats.md documents every member.
"""

from __future__ import annotations

from typing import Any, Final

from credssp import binding
from credssp.conformance import mutate
from credssp.conformance.catalogue import CATALOGUE
from credssp.conformance.samples import SMART_CARD_SAMPLE, remote_guard, smart_card, whole_smart_card
from credssp.conformance.vectors_http import headers, sequences
from credssp.conformance.vectors_names import capitals, channel_bindings
from credssp.conformance.vectors_ntlm import NONCE, PUBLIC_KEY, logins, logins_without_version, sessions
from credssp.conformance.vectors_pac import identities
from credssp.conformance.vectors_relay import relayed
from credssp.credentials import PasswordCredentials
from credssp.protocol_version import VERSIONS, has_hashed_binding
from credssp.wire.ts_credentials import AnyCreds, TSCredentials, TSPasswordCreds, TSSmartCardCreds
from credssp.wire.ts_remote_guard import TSRemoteGuardPackageCred
from credssp.wire.ts_request import TSRequest

__all__ = ["VECTORS_FORMAT", "all_vectors"]

VECTORS_FORMAT: Final = 2
"""1 had no descriptions, no fields of credentials, no keys, and the sealed messages under names of their own."""

HASH: Final = "SHA-256 over the magic with its NUL, nonce and key"
_EC_KEY: Final = b"\x04" + bytes(range(64))
_TOKEN: Final = b"NTLMSSP\0" + bytes(32)


def all_vectors() -> dict[str, Any]:
    """Return them all."""
    return {
        "format": VECTORS_FORMAT,
        "about": "CredSSP ([MS-CSSP]) test vectors; bytes in hexadecimal; docs/reference/conformance-formats.md",
        "ts_request": _messages(),
        "ts_request_malformed": _malformed(),
        "ts_credentials": _credentials(),
        "binding": _bindings(),
        "ntlm": logins(),
        "ntlm_without_version": logins_without_version(),
        "ntowfv2": capitals(),
        "ntlm_session": sessions(),
        "channel_bindings": channel_bindings(),
        "pac": identities(),
        "http_headers": headers(),
        "http_sequences": sequences(),
        "rdp_relay": relayed(),
        "rules": [rule.to_dict() for rule in CATALOGUE.rules],
    }


def _messages() -> list[dict[str, Any]]:
    cases = (
        ("version only", TSRequest(6), "the smallest TSRequest"),
        ("first token", TSRequest(6, nego_tokens=(_TOKEN,)), "how a login begins"),
        (
            "token, pubKeyAuth and nonce",
            TSRequest(6, nego_tokens=(_TOKEN,), pub_key_auth=b"\x11" * 48, client_nonce=NONCE),
            "the client's last token; lengths of one byte and of two",
        ),
        ("pubKeyAuth", TSRequest(6, pub_key_auth=b"\x22" * 48), "the server's answer"),
        ("authInfo", TSRequest(6, auth_info=b"\x33" * 77), "the client's last message"),
        (
            "errorCode STATUS_LOGON_FAILURE",
            TSRequest(6, error_code=0xC000006D),
            "an INTEGER of four bytes with its sign bit set: 02 04 C0 00 00 6D",
        ),
        ("version 2", TSRequest(2, nego_tokens=(_TOKEN,)), "an old peer"),
        ("version 300", TSRequest(300, nego_tokens=(_TOKEN,)), "a version of two bytes: counts as the own highest"),
        ("127 bytes", TSRequest(6, auth_info=bytes(116)), "the longest content with a length of one byte"),
        ("128 bytes", TSRequest(6, auth_info=bytes(117)), "the shortest content with 81 in front of its length"),
        ("a token of 65000 bytes", TSRequest(6, nego_tokens=(bytes(65000),)), "lengths with 82 in front"),
    )
    return [
        {
            "name": name,
            "about": about,
            "rule": "CSSP-TSREQ-01",
            "encoded": message.encode().hex(),
            "fields": _fields(message),
        }
        for name, message, about in cases
    ]


def _fields(message: TSRequest) -> dict[str, Any]:
    fields: dict[str, Any] = {"version": message.version}
    if message.nego_tokens is not None:
        fields["negoTokens"] = [token.hex() for token in message.nego_tokens]
    for name, value in (
        ("authInfo", message.auth_info),
        ("pubKeyAuth", message.pub_key_auth),
        ("clientNonce", message.client_nonce),
    ):
        if value is not None:
            fields[name] = value.hex()
    if message.error_code is not None:
        fields["errorCode"] = message.error_code
    return fields


def _malformed() -> list[dict[str, Any]]:
    message = TSRequest(6, nego_tokens=(_TOKEN,))
    members = mutate.members(message)
    other = mutate.members(TSRequest(2, nego_tokens=(b"NTLMSSP\0" + bytes(24),)))
    same, neither = _fields(message), None
    cases: tuple[tuple[str, str, bytes, str, dict[str, Any] | None], ...] = (
        ("CSSP-TSREQ-03", "no version", mutate.sequence(members[1:]), "refuse", neither),
        ("CSSP-TSREQ-04", "version after negoTokens", mutate.sequence([members[1], members[0]]), "either", same),
        ("CSSP-TSREQ-05", "version as 02 02 00 06", mutate.two_octet_version(message), "either", same),
        ("CSSP-TSREQ-06", "outer length as 82 hh ll", mutate.long_outer_length(message, 2), "either", same),
        ("CSSP-TSREQ-07", "outer length as 84 and four bytes", mutate.long_outer_length(message, 4), "either", same),
        ("CSSP-TSREQ-08", "outer length in indefinite form", mutate.indefinite(message), "either", same),
        ("CSSP-TSREQ-09", "a member [6] at the end", mutate.with_extra(message), "either", same),
        ("CSSP-TSREQ-10", "version twice", mutate.sequence([other[0], *members]), "refuse", neither),
        ("CSSP-TSREQ-11", "negoTokens twice", mutate.sequence([*members, other[1]]), "refuse", neither),
        ("CSSP-TSREQ-13", "negoTokens without an element", TSRequest(6, nego_tokens=()).encode(), "refuse", neither),
        ("CSSP-TSREQ-14", "a negoToken of no bytes", TSRequest(6, nego_tokens=(b"",)).encode(), "refuse", neither),
        ("CSSP-TSREQ-15", "two bytes after the message", message.encode() + b"zz", "refuse", neither),
        ("CSSP-TSREQ-16", "a line of HTTP", b"GET / HTTP/1.0\r\n\r\n", "refuse", neither),
        ("CSSP-TSREQ-19", "ten bytes short", message.encode()[:-10], "refuse", neither),
        (
            "CSSP-TSREQ-21",
            "a header that announces two gigabytes",
            b"\x30\x84\x7f\xff\xff\xff" + message.encode()[2:],
            "refuse",
            neither,
        ),
        ("CSSP-TSREQ-24", "version under tag 80", mutate.clear_version(message), "refuse", neither),
        ("CSSP-TSREQ-25", "no members at all", mutate.sequence([]), "refuse", neither),
    )
    return [
        {"name": about, "about": _malformed_about(expected), "rule": rule, "encoded": data.hex(), "expected": expected}
        | ({} if fields is None else {"fields": fields})
        for rule, about, data, expected, fields in cases
    ]


def _malformed_about(expected: str) -> str:
    if expected == "refuse":
        return "must not be taken for a message"
    return "no DER: refused, or read as these fields and nothing else"


def _credentials() -> list[dict[str, Any]]:
    cases = (
        ("password", PasswordCredentials("User", "Password", domain="Domain").to_wire().encode(), "TSPasswordCreds"),
        ("Restricted Admin", PasswordCredentials.empty().to_wire().encode(), "three empty texts"),
        (
            "beyond ASCII",
            PasswordCredentials("jürgen", "Grün-пароль-\U0001f511", domain="").to_wire().encode(),
            "UTF-16LE, with a character of two units",
        ),
        ("smart card, as few members as there may be", smart_card(), "TSSmartCardCreds without hints"),
        ("smart card, every member", whole_smart_card(), "TSSmartCardCreds with hints"),
        ("smart card, [MS-CSSP] section 4", SMART_CARD_SAMPLE, "the example of the specification"),
        ("Remote Credential Guard, one supplemental package", remote_guard(1), "TSRemoteGuardCreds"),
        ("Remote Credential Guard, no supplemental package", remote_guard(0), "supplementalCreds is absent"),
    )
    return [
        {"name": name, "about": about, "encoded": data.hex()} | _opened(TSCredentials.decode(data))
        for name, data, about in cases
    ]


def _opened(credentials: TSCredentials) -> dict[str, Any]:
    return {"credType": int(credentials.cred_type), "fields": _credential_fields(credentials.credentials)}


def _credential_fields(creds: AnyCreds) -> dict[str, Any]:
    if isinstance(creds, TSPasswordCreds):
        return {"domainName": creds.domain_name, "userName": creds.user_name, "password": creds.password.reveal()}
    if isinstance(creds, TSSmartCardCreds):
        csp = creds.csp_data
        optional = {
            "cardName": csp.card_name,
            "readerName": csp.reader_name,
            "containerName": csp.container_name,
            "cspName": csp.csp_name,
            "userHint": creds.user_hint,
            "domainHint": creds.domain_hint,
        }
        present = {name: value for name, value in optional.items() if value is not None}
        return {"pin": creds.pin.reveal(), "keySpec": csp.key_spec} | present
    fields: dict[str, Any] = {"logonCred": _package(creds.logon_cred)}
    if creds.supplemental_creds is not None:
        fields["supplementalCreds"] = [_package(package) for package in creds.supplemental_creds]
    return fields


def _package(package: TSRemoteGuardPackageCred) -> dict[str, str]:
    return {"packageName": package.package_name, "credBuffer": package.cred_buffer.reveal().hex()}


def _bindings() -> list[dict[str, Any]]:
    return [
        {
            "name": f"version {version}, {name}",
            "about": (
                "SHA-256 over the magic with its NUL, nonce and key"
                if has_hashed_binding(version)
                else "the key; the key plus 1"
            ),
            "version": version,
            "nonce": NONCE.hex() if has_hashed_binding(version) else "",
            "subjectPublicKey": key.hex(),
            "client": binding.client_value(version, NONCE, key).hex(),
            "server": binding.server_value(version, NONCE, key).hex(),
        }
        for version in VERSIONS
        for name, key in (("RSA", PUBLIC_KEY), ("P-256", _EC_KEY))
    ]

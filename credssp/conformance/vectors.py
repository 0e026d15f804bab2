"""Language-neutral vectors: JSON that an implementation in any language can be held against.

Keys and nonces are chosen, not drawn, so that the file comes out the same every time. Passwords in it are made up.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

from credssp import binding
from credssp.conformance import mutate
from credssp.conformance.catalogue import CATALOGUE
from credssp.conformance.samples import SMART_CARD_SAMPLE, remote_guard, smart_card
from credssp.credentials import PasswordCredentials
from credssp.nego.ntlm.session import NTLMSession
from credssp.nego.spnego import OID, NegTokenInit
from credssp.wire.ts_request import TSRequest

__all__ = ["all_vectors"]

_SESSION_KEY: Final = b"\x55" * 16
_NONCE: Final = bytes(range(32))
_KEY: Final = bytes.fromhex("3082010a0282010100") + b"\xc5" * 256 + bytes.fromhex("0203010001")
_EC_KEY: Final = b"\x04" + bytes(range(64))
_TOKEN: Final = b"NTLMSSP\0" + bytes(32)


def all_vectors() -> dict[str, Any]:
    """Return them all."""
    return {
        "format": 1,
        "about": "CredSSP ([MS-CSSP]) test vectors; octets in hexadecimal",
        "ts_request": _messages(),
        "ts_request_malformed": _malformed(),
        "ts_credentials": _credentials(),
        "binding": _bindings(),
        "ntlm_session": _sessions(),
        "rules": [
            {
                "id": rule.id,
                "title": rule.title,
                "level": rule.level.value,
                "role": rule.role.value,
                "section": rule.section,
                "stimulus": rule.stimulus,
                "expected": rule.expected,
            }
            for rule in CATALOGUE.rules
        ],
    }


def _messages() -> list[dict[str, Any]]:
    cases = {
        "version only": TSRequest(6),
        "first token": TSRequest(6, nego_tokens=(_TOKEN,)),
        "token, pubKeyAuth and nonce": TSRequest(
            6, nego_tokens=(_TOKEN,), pub_key_auth=b"\x11" * 48, client_nonce=_NONCE
        ),
        "pubKeyAuth": TSRequest(6, pub_key_auth=b"\x22" * 48),
        "authInfo": TSRequest(6, auth_info=b"\x33" * 77),
        "errorCode STATUS_LOGON_FAILURE": TSRequest(6, error_code=0xC000006D),
        "version 300": TSRequest(300, nego_tokens=(_TOKEN,)),
        "a token of 65000 octets": TSRequest(6, nego_tokens=(bytes(65000),)),
    }
    return [
        {"name": name, "rule": "CSSP-TSREQ-01", "encoded": message.encode().hex(), "fields": _fields(message)}
        for name, message in cases.items()
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


def _malformed() -> list[dict[str, str]]:
    message = TSRequest(6, nego_tokens=(_TOKEN,))
    cases: tuple[tuple[str, bytes, str], ...] = (
        ("CSSP-TSREQ-03", mutate.sequence(mutate.members(message)[1:]), "refuse"),
        ("CSSP-TSREQ-04", mutate.sequence([*mutate.members(message)[1:], mutate.members(message)[0]]), "either"),
        ("CSSP-TSREQ-05", mutate.two_octet_version(message), "either"),
        ("CSSP-TSREQ-06", mutate.long_outer_length(message, 2), "either"),
        ("CSSP-TSREQ-07", mutate.long_outer_length(message, 4), "either"),
        ("CSSP-TSREQ-08", mutate.indefinite(message), "refuse"),
        ("CSSP-TSREQ-09", mutate.with_extra(message), "either"),
        ("CSSP-TSREQ-13", TSRequest(6, nego_tokens=()).encode(), "refuse"),
        ("CSSP-TSREQ-14", TSRequest(6, nego_tokens=(b"",)).encode(), "refuse"),
        ("CSSP-TSREQ-15", message.encode() + b"zz", "refuse"),
        ("CSSP-TSREQ-16", b"GET / HTTP/1.0\r\n\r\n", "refuse"),
        ("CSSP-TSREQ-19", message.encode()[:-10], "refuse"),
        ("CSSP-TSREQ-21", b"\x30\x84\x7f\xff\xff\xff" + message.encode()[2:], "refuse"),
        ("CSSP-TSREQ-24", mutate.clear_version(message), "refuse"),
    )
    return [{"rule": rule, "encoded": data.hex(), "expected": expected} for rule, data, expected in cases]


def _credentials() -> list[dict[str, Any]]:
    password = PasswordCredentials("User", "Password", domain="Domain").to_wire().encode()
    umlauts = PasswordCredentials("jürgen", "Grün-пароль-\U0001f511", domain="").to_wire().encode()
    return [
        {"name": "password", "credType": 1, "encoded": password.hex(),
         "domainName": "Domain", "userName": "User", "password": "Password"},
        {"name": "Restricted Admin", "credType": 1, "encoded": PasswordCredentials.empty().to_wire().encode().hex(),
         "domainName": "", "userName": "", "password": ""},
        {"name": "beyond ASCII", "credType": 1, "encoded": umlauts.hex(),
         "domainName": "", "userName": "jürgen", "password": "Grün-пароль-\U0001f511"},
        {"name": "smart card, as few members as there may be", "credType": 2, "encoded": smart_card().hex()},
        {"name": "smart card, [MS-CSSP] section 4", "credType": 2, "encoded": SMART_CARD_SAMPLE.hex()},
        {"name": "Remote Credential Guard, one supplemental package", "credType": 6, "encoded": remote_guard(1).hex()},
    ]  # fmt: skip


def _bindings() -> list[dict[str, Any]]:
    return [
        {
            "name": f"version {version}, {name}",
            "version": version,
            "nonce": _NONCE.hex() if version >= 5 else "",
            "subjectPublicKey": key.hex(),
            "client": binding.client_value(version, _NONCE, key).hex(),
            "server": binding.server_value(version, _NONCE, key).hex(),
        }
        for version in (2, 3, 4, 5, 6)
        for name, key in (("RSA", _KEY), ("P-256", _EC_KEY))
    ]


def _sessions() -> list[dict[str, Any]]:
    """What is sealed in a login, bare and in SPNEGO: sequence numbers and RC4 states are the point of it."""
    mech_types = NegTokenInit((OID.NTLM,)).mech_types_der
    credentials = PasswordCredentials("User", "Password", domain="Domain").to_wire().encode()
    found = []
    for spnego in (False, True):
        client = NTLMSession(_SESSION_KEY, role="initiator")
        server = NTLMSession(_SESSION_KEY, role="acceptor")
        entry: dict[str, Any] = {
            "name": "NTLM in SPNEGO with mechListMIC" if spnego else "bare NTLM",
            "exportedSessionKey": _SESSION_KEY.hex(),
            "nonce": _NONCE.hex(),
            "subjectPublicKeySha256": hashlib.sha256(_KEY).hexdigest(),
        }
        if spnego:
            entry["mechTypes"] = mech_types.hex()
            entry["clientMechListMIC"] = client.make_mech_list_mic(mech_types).hex()
            entry["serverMechListMIC"] = server.make_mech_list_mic(mech_types).hex()
        entry["clientPubKeyAuth"] = client.wrap(binding.client_value(6, _NONCE, _KEY)).hex()
        entry["serverPubKeyAuth"] = server.wrap(binding.server_value(6, _NONCE, _KEY)).hex()
        entry["authInfo"] = client.wrap(credentials).hex()
        entry["authInfoPlaintext"] = credentials.hex()
        found.append(entry)
    return found

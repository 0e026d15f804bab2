"""The modules in ``asn1/`` are the reference for our codec and for the pyasn1 types; asn1tools compiles them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import asn1tools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyasn1.codec.ber import decoder as ber_decoder
from pyasn1.codec.der import decoder as der_decoder
from pyasn1.codec.der import encoder as der_encoder
from pyasn1.type import char, univ

from credssp.secret import Secret
from credssp.wire.ts_credentials import TSCredentials, TSCspDataDetail, TSPasswordCreds, TSSmartCardCreds
from credssp.wire.ts_remote_guard import TSRemoteGuardCreds, TSRemoteGuardPackageCred
from credssp.wire.ts_request import TSRequest
from tests.asn1 import schema

FOLDER = Path(__file__).parents[2] / "asn1"
CSSP = asn1tools.compile_files(str(FOLDER / "ms-cssp.asn"), "der")
SPNEGO = asn1tools.compile_files(str(FOLDER / "spnego.asn"), "der")
SPKI = asn1tools.compile_files(str(FOLDER / "spki.asn"), "der")

PARSED: dict[str, Any] = {}
for _module in asn1tools.parse_files([str(path) for path in sorted(FOLDER.glob("*.asn"))]).values():
    PARSED |= _module["types"]

UNIVERSAL = {
    "INTEGER": univ.Integer,
    "OCTET STRING": univ.OctetString,
    "OBJECT IDENTIFIER": univ.ObjectIdentifier,
    "BIT STRING": univ.BitString,
    "ENUMERATED": univ.Enumerated,
    "GeneralString": char.GeneralString,
    "ANY": univ.Any,
    "SEQUENCE": univ.Sequence,
    "SEQUENCE OF": univ.SequenceOf,
    "CHOICE": univ.Choice,
}


def resolve(node: dict[str, Any]) -> dict[str, Any]:
    while node["type"] in PARSED:
        node = PARSED[node["type"]]
    return node


def check_type(node: dict[str, Any], spec: Any, path: str) -> None:
    """Compare a type of the ASN.1 module with a pyasn1 type, all the way down."""
    node = resolve(node)
    assert isinstance(spec, UNIVERSAL[node["type"]]), path
    if node["type"] == "SEQUENCE OF":
        check_type(node["element"], spec.componentType, f"{path}[]")
    elif node["type"] in ("SEQUENCE", "CHOICE"):
        members = node["members"]
        types = spec.componentType.namedTypes
        assert [member["name"] for member in members] == [named.name for named in types], path
        for member, named in zip(members, types, strict=True):
            where = f"{path}.{member['name']}"
            assert named.isOptional == member.get("optional", False), where
            if "tag" in member:
                outer = named.asn1Object.tagSet[-1]
                assert (outer.tagClass, outer.tagId, len(named.asn1Object.tagSet)) == (
                    0x80,
                    member["tag"]["number"],
                    2,
                ), where
            check_type(member, named.asn1Object, where)
    elif node["type"] == "ENUMERATED":
        assert dict(node["values"]) == dict(spec.namedValues), path
    elif node["type"] == "BIT STRING" and "named-bits" in node:
        assert {name: int(bit) for name, bit in node["named-bits"]} == dict(spec.namedValues), path


@pytest.mark.parametrize("name", sorted(set(PARSED) - {"MechType"}))
def test_pyasn1_type_has_the_members_of_the_module(name: str) -> None:
    check_type(PARSED[name], getattr(schema, name)(), name)


def test_every_pyasn1_type_stands_in_a_module() -> None:
    assert set(schema.__all__) == set(PARSED) - {"MechType"}


# What our codec, asn1tools and pyasn1 make of the same values

octets = st.binary(max_size=300)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=140)
maybe_text = st.none() | text
error_codes = st.integers(0, 0xFFFFFFFF)


def wire_text(value: str) -> bytes:
    return value.encode("utf-16-le")


def with_present(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


requests = st.builds(
    TSRequest,
    st.integers(0, 1 << 40),
    nego_tokens=st.none() | st.lists(octets, max_size=4).map(tuple),
    auth_info=st.none() | octets,
    pub_key_auth=st.none() | octets,
    error_code=st.none() | error_codes,
    client_nonce=st.none() | octets,
)
packages = st.builds(TSRemoteGuardPackageCred, text, octets.map(Secret))
credentials = st.one_of(
    st.builds(TSPasswordCreds, text, text, text.map(Secret)),
    st.builds(
        TSSmartCardCreds,
        pin=text.map(Secret),
        csp_data=st.builds(
            TSCspDataDetail,
            key_spec=st.integers(0, 0xFFFFFFFF),
            card_name=maybe_text,
            reader_name=maybe_text,
            container_name=maybe_text,
            csp_name=maybe_text,
        ),
        user_hint=maybe_text,
        domain_hint=maybe_text,
    ),
    st.builds(TSRemoteGuardCreds, packages, st.none() | st.lists(packages, max_size=3).map(tuple)),
)


def request_members(request: TSRequest) -> dict[str, Any]:
    code = request.error_code
    return with_present(
        version=request.version,
        negoTokens=None if request.nego_tokens is None else [{"negoToken": token} for token in request.nego_tokens],
        authInfo=request.auth_info,
        pubKeyAuth=request.pub_key_auth,
        errorCode=code - (1 << 32) if code is not None and code >> 31 else code,
        clientNonce=request.client_nonce,
    )


def package_members(package: TSRemoteGuardPackageCred) -> dict[str, Any]:
    return {"packageName": wire_text(package.package_name), "credBuffer": package.cred_buffer.reveal()}


def credential_members(creds: Any) -> dict[str, Any]:
    if isinstance(creds, TSPasswordCreds):
        return {
            "domainName": wire_text(creds.domain_name),
            "userName": wire_text(creds.user_name),
            "password": wire_text(creds.password.reveal()),
        }
    if isinstance(creds, TSSmartCardCreds):
        csp = creds.csp_data
        names = {
            "cardName": csp.card_name,
            "readerName": csp.reader_name,
            "containerName": csp.container_name,
            "cspName": csp.csp_name,
        }
        detail = {name: wire_text(value) for name, value in names.items() if value is not None}
        hints = {"userHint": creds.user_hint, "domainHint": creds.domain_hint}
        return {
            "pin": wire_text(creds.pin.reveal()),
            "cspData": {"keySpec": csp.key_spec, **detail},
            **{name: wire_text(value) for name, value in hints.items() if value is not None},
        }
    extra = creds.supplemental_creds
    return with_present(
        logonCred=package_members(creds.logon_cred),
        supplementalCreds=None if extra is None else [package_members(package) for package in extra],
    )


def to_native(value: Any) -> Any:
    """Turn a pyasn1 value into what asn1tools gives."""
    if isinstance(value, univ.Sequence):
        members = {name: value.getComponentByName(name, default=None, instantiate=False) for name in value}
        return {name: to_native(member) for name, member in members.items() if member is not None and member.isValue}
    if isinstance(value, univ.SequenceOf):
        return [to_native(item) for item in value]
    return int(value) if isinstance(value, univ.Integer) else bytes(value)


def pyasn1_read(structure: str, data: bytes) -> Any:
    value, rest = ber_decoder.decode(data, asn1Spec=getattr(schema, structure)())
    assert not rest
    return to_native(value)


@settings(max_examples=60, deadline=None)
@given(requests)
def test_ts_request_is_the_same_for_our_codec_asn1tools_and_pyasn1(request_: TSRequest) -> None:
    members = request_members(request_)
    data = request_.encode()
    assert CSSP.encode("TSRequest", members) == data
    assert CSSP.decode("TSRequest", data) == members
    assert pyasn1_read("TSRequest", data) == members
    again = TSRequest.decode(data)
    assert again == request_
    assert again.deviations == ()


@settings(max_examples=60, deadline=None)
@given(credentials)
def test_ts_credentials_is_the_same_for_our_codec_asn1tools_and_pyasn1(creds: Any) -> None:
    structure = type(creds).__name__
    members = credential_members(creds)
    inner = creds.encode()
    assert CSSP.encode(structure, members) == inner
    assert CSSP.decode(structure, inner) == members
    assert pyasn1_read(structure, inner) == members
    assert type(creds).decode(inner) == creds
    message = TSCredentials(creds)
    outer = {"credType": int(message.cred_type), "credentials": inner}
    assert CSSP.encode("TSCredentials", outer) == message.encode()
    assert pyasn1_read("TSCredentials", message.encode()) == outer
    assert TSCredentials.decode(message.encode()) == message


VECTORS = json.loads((FOLDER.parent / "tests" / "vectors" / "wire.json").read_text("utf-8"))["messages"]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_vector_is_the_same_for_our_codec_asn1tools_and_pyasn1(vector: dict[str, str]) -> None:
    data = bytes.fromhex(vector["hex"])
    structure = vector["structure"]
    members = CSSP.decode(structure, data)
    assert CSSP.encode(structure, members) == data
    assert pyasn1_read(structure, data) == members
    if structure == "TSRequest":
        request = TSRequest.decode(data)
        assert request_members(request) == members
        assert request.encode() == data
    else:
        message = TSCredentials.decode(data)
        assert message.cred_type == members["credType"]
        assert message.credentials.encode() == members["credentials"]
        assert message.encode() == data
        inner = type(message.credentials).__name__
        assert credential_members(message.credentials) == CSSP.decode(inner, members["credentials"])


# SPNEGO and SubjectPublicKeyInfo: the codecs that use them are elsewhere, here the types are

oids = st.sampled_from(["1.3.6.1.4.1.311.2.2.10", "1.2.840.113554.1.2.2", "1.2.840.48018.1.2.2", "2.5.4.3"])
flags = st.integers(0, 127).map(lambda bits: (bytes((bits << 1, 0, 0, 0)), 32))
inits = st.fixed_dictionaries(
    {"mechTypes": st.lists(oids, min_size=1, max_size=4)},
    optional={"reqFlags": flags, "mechToken": octets, "mechListMIC": octets},
)
responses = st.fixed_dictionaries(
    {},
    optional={
        "negState": st.sampled_from(["accept-completed", "accept-incomplete", "reject", "request-mic"]),
        "supportedMech": oids,
        "responseToken": octets,
        "mechListMIC": octets,
    },
)
hints = st.fixed_dictionaries({}, optional={"hintName": st.just("not_defined_in_RFC4178@please_ignore")})
inits2 = st.fixed_dictionaries(
    {},
    optional={
        "mechTypes": st.lists(oids, min_size=1, max_size=4),
        "mechToken": octets,
        "negHints": hints,
        "mechListMIC": octets,
    },
)


def round_trip_pyasn1(structure: str, data: bytes) -> bytes:
    value, rest = der_decoder.decode(data, asn1Spec=getattr(schema, structure)())
    assert not rest
    return bytes(der_encoder.encode(value))


@settings(max_examples=60, deadline=None)
@given(st.tuples(st.just("negTokenInit"), inits) | st.tuples(st.just("negTokenResp"), responses))
def test_spnego_tokens_are_the_same_for_asn1tools_and_pyasn1(token: tuple[str, dict[str, Any]]) -> None:
    data = SPNEGO.encode("NegotiationToken", token)
    assert SPNEGO.decode("NegotiationToken", data) == token
    assert round_trip_pyasn1("NegotiationToken", data) == data
    first = SPNEGO.encode("InitialContextToken", {"thisMech": "1.3.6.1.5.5.2", "innerContextToken": token})
    assert first[0] == 0x60
    assert round_trip_pyasn1("InitialContextToken", first) == first


@settings(max_examples=40, deadline=None)
@given(inits2)
def test_neg_token_init2_is_the_same_for_asn1tools_and_pyasn1(token: dict[str, Any]) -> None:
    if token.get("negHints") == {}:  # DER encoders disagree on optional empty sequences; nobody sends one
        del token["negHints"]
    data = SPNEGO.encode("NegTokenInit2", token)
    assert SPNEGO.decode("NegTokenInit2", data) == token
    assert round_trip_pyasn1("NegTokenInit2", data) == data


@pytest.mark.parametrize("kind", ["rsa", "ec", "ed25519"])
def test_subject_public_key_info_of_real_keys(kind: str) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    private: Any = {
        "rsa": lambda: rsa.generate_private_key(65537, 2048),
        "ec": lambda: ec.generate_private_key(ec.SECP256R1()),
        "ed25519": ed25519.Ed25519PrivateKey.generate,
    }[kind]()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    data = private.public_key().public_bytes(serialization.Encoding.DER, form)
    decoded = SPKI.decode("SubjectPublicKeyInfo", data)
    assert SPKI.encode("SubjectPublicKeyInfo", decoded) == data
    assert round_trip_pyasn1("SubjectPublicKeyInfo", data) == data
    value, _ = der_decoder.decode(data, asn1Spec=schema.SubjectPublicKeyInfo())
    assert value["subjectPublicKey"].asOctets() == decoded["subjectPublicKey"][0]


def test_nothing_in_the_folder_can_be_imported() -> None:
    assert {path.suffix for path in FOLDER.iterdir()} == {".asn", ".md"}

"""The ASN.1 modules of ``asn1/`` as pyasn1 types, one to one.

The tests hold all of it against the modules in ASN.1 notation, and our own codec against what pyasn1's encoders and
decoders make of it.
"""

# ruff: noqa: N815  -- componentType and the like are pyasn1's names

from __future__ import annotations

from typing import Any

from pyasn1.type import char, constraint, namedtype, namedval, tag, univ

__all__ = [
    "AlgorithmIdentifier",
    "ContextFlags",
    "InitialContextToken",
    "MechTypeList",
    "NegHints",
    "NegState",
    "NegTokenInit",
    "NegTokenInit2",
    "NegTokenResp",
    "NegoData",
    "NegotiationToken",
    "SubjectPublicKeyInfo",
    "TSCredentials",
    "TSCspDataDetail",
    "TSPasswordCreds",
    "TSRemoteGuardCreds",
    "TSRemoteGuardPackageCred",
    "TSRequest",
    "TSSmartCardCreds",
]


def _explicit(number: int, spec: Any) -> Any:
    """``[number] EXPLICIT`` around a type."""
    return spec.subtype(explicitTag=tag.Tag(tag.tagClassContext, tag.tagFormatConstructed, number))


def _member(name: str, number: int, spec: Any) -> namedtype.NamedType:
    return namedtype.NamedType(name, _explicit(number, spec))


def _optional(name: str, number: int, spec: Any) -> namedtype.NamedType:
    return namedtype.OptionalNamedType(name, _explicit(number, spec))


# asn1/ms-cssp.asn


class NegoData(univ.SequenceOf):  # type: ignore[misc]
    """NegoData ([MS-CSSP] 2.2.1.1)."""

    componentType = univ.Sequence(componentType=namedtype.NamedTypes(_member("negoToken", 0, univ.OctetString())))


class TSRequest(univ.Sequence):  # type: ignore[misc]
    """TSRequest ([MS-CSSP] 2.2.1)."""

    componentType = namedtype.NamedTypes(
        _member("version", 0, univ.Integer()),
        _optional("negoTokens", 1, NegoData()),
        _optional("authInfo", 2, univ.OctetString()),
        _optional("pubKeyAuth", 3, univ.OctetString()),
        _optional("errorCode", 4, univ.Integer()),
        _optional("clientNonce", 5, univ.OctetString()),
    )


class TSCredentials(univ.Sequence):  # type: ignore[misc]
    """TSCredentials ([MS-CSSP] 2.2.1.2)."""

    componentType = namedtype.NamedTypes(
        _member("credType", 0, univ.Integer()),
        _member("credentials", 1, univ.OctetString()),
    )


class TSPasswordCreds(univ.Sequence):  # type: ignore[misc]
    """TSPasswordCreds ([MS-CSSP] 2.2.1.2.1)."""

    componentType = namedtype.NamedTypes(
        _member("domainName", 0, univ.OctetString()),
        _member("userName", 1, univ.OctetString()),
        _member("password", 2, univ.OctetString()),
    )


class TSCspDataDetail(univ.Sequence):  # type: ignore[misc]
    """TSCspDataDetail ([MS-CSSP] 2.2.1.2.2.1)."""

    componentType = namedtype.NamedTypes(
        _member("keySpec", 0, univ.Integer()),
        _optional("cardName", 1, univ.OctetString()),
        _optional("readerName", 2, univ.OctetString()),
        _optional("containerName", 3, univ.OctetString()),
        _optional("cspName", 4, univ.OctetString()),
    )


class TSSmartCardCreds(univ.Sequence):  # type: ignore[misc]
    """TSSmartCardCreds ([MS-CSSP] 2.2.1.2.2)."""

    componentType = namedtype.NamedTypes(
        _member("pin", 0, univ.OctetString()),
        _member("cspData", 1, TSCspDataDetail()),
        _optional("userHint", 2, univ.OctetString()),
        _optional("domainHint", 3, univ.OctetString()),
    )


class TSRemoteGuardPackageCred(univ.Sequence):  # type: ignore[misc]
    """TSRemoteGuardPackageCred ([MS-CSSP] 2.2.1.2.3.1)."""

    componentType = namedtype.NamedTypes(
        _member("packageName", 0, univ.OctetString()),
        _member("credBuffer", 1, univ.OctetString()),
    )


class TSRemoteGuardCreds(univ.Sequence):  # type: ignore[misc]
    """TSRemoteGuardCreds ([MS-CSSP] 2.2.1.2.3)."""

    componentType = namedtype.NamedTypes(
        _member("logonCred", 0, TSRemoteGuardPackageCred()),
        _optional("supplementalCreds", 1, univ.SequenceOf(componentType=TSRemoteGuardPackageCred())),
    )


# asn1/spnego.asn


class MechTypeList(univ.SequenceOf):  # type: ignore[misc]
    """MechTypeList (RFC 4178 4.1)."""

    componentType = univ.ObjectIdentifier()


class ContextFlags(univ.BitString):  # type: ignore[misc]
    """ContextFlags (RFC 4178 4.2.1)."""

    namedValues = namedval.NamedValues(
        ("delegFlag", 0),
        ("mutualFlag", 1),
        ("replayFlag", 2),
        ("sequenceFlag", 3),
        ("anonFlag", 4),
        ("confFlag", 5),
        ("integFlag", 6),
    )
    subtypeSpec = constraint.ValueSizeConstraint(32, 32)


class NegTokenInit(univ.Sequence):  # type: ignore[misc]
    """NegTokenInit (RFC 4178 4.2.1)."""

    componentType = namedtype.NamedTypes(
        _member("mechTypes", 0, MechTypeList()),
        _optional("reqFlags", 1, ContextFlags()),
        _optional("mechToken", 2, univ.OctetString()),
        _optional("mechListMIC", 3, univ.OctetString()),
    )


class NegHints(univ.Sequence):  # type: ignore[misc]
    """NegHints ([MS-SPNG] 2.2.1)."""

    componentType = namedtype.NamedTypes(
        _optional("hintName", 0, char.GeneralString()),
        _optional("hintAddress", 1, univ.OctetString()),
    )


class NegTokenInit2(univ.Sequence):  # type: ignore[misc]
    """NegTokenInit2 ([MS-SPNG] 2.2.1), the first token where the acceptor speaks first."""

    componentType = namedtype.NamedTypes(
        _optional("mechTypes", 0, MechTypeList()),
        _optional("reqFlags", 1, ContextFlags()),
        _optional("mechToken", 2, univ.OctetString()),
        _optional("negHints", 3, NegHints()),
        _optional("mechListMIC", 4, univ.OctetString()),
    )


class NegState(univ.Enumerated):  # type: ignore[misc]
    """NegTokenResp.negState (RFC 4178 4.2.2)."""

    namedValues = namedval.NamedValues(
        ("accept-completed", 0), ("accept-incomplete", 1), ("reject", 2), ("request-mic", 3)
    )


class NegTokenResp(univ.Sequence):  # type: ignore[misc]
    """NegTokenResp (RFC 4178 4.2.2)."""

    componentType = namedtype.NamedTypes(
        _optional("negState", 0, NegState()),
        _optional("supportedMech", 1, univ.ObjectIdentifier()),
        _optional("responseToken", 2, univ.OctetString()),
        _optional("mechListMIC", 3, univ.OctetString()),
    )


class NegotiationToken(univ.Choice):  # type: ignore[misc]
    """NegotiationToken (RFC 4178 4.2)."""

    componentType = namedtype.NamedTypes(
        _member("negTokenInit", 0, NegTokenInit()), _member("negTokenResp", 1, NegTokenResp())
    )


class InitialContextToken(univ.Sequence):  # type: ignore[misc]
    """InitialContextToken (RFC 2743 3.1) with an SPNEGO token inside."""

    tagSet = univ.Sequence.tagSet.tagImplicitly(tag.Tag(tag.tagClassApplication, tag.tagFormatConstructed, 0))
    componentType = namedtype.NamedTypes(
        namedtype.NamedType("thisMech", univ.ObjectIdentifier()),
        namedtype.NamedType("innerContextToken", NegotiationToken()),
    )


# asn1/spki.asn


class AlgorithmIdentifier(univ.Sequence):  # type: ignore[misc]
    """AlgorithmIdentifier (RFC 5280 4.1.1.2)."""

    componentType = namedtype.NamedTypes(
        namedtype.NamedType("algorithm", univ.ObjectIdentifier()),
        namedtype.OptionalNamedType("parameters", univ.Any()),
    )


class SubjectPublicKeyInfo(univ.Sequence):  # type: ignore[misc]
    """SubjectPublicKeyInfo (RFC 5280 4.1); subjectPublicKey is what pubKeyAuth is about."""

    componentType = namedtype.NamedTypes(
        namedtype.NamedType("algorithm", AlgorithmIdentifier()),
        namedtype.NamedType("subjectPublicKey", univ.BitString()),
    )

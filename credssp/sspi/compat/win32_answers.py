"""Attributes of contexts and credentials in the form in which pywin32's `win32security` returns them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import credssp.sspi as sspi
from credssp.sspi.compat.pywintypes import time_of

__all__ = ["CONTEXT_ANSWERS", "CREDENTIAL_ANSWERS", "package_info"]


def package_info(info: sspi.SecPkgInfo) -> dict[str, object]:
    """Return a SecPkgInfo as pywin32's dictionary."""
    return {
        "Capabilities": info.capabilities,
        "Version": info.version,
        "RPCID": info.rpc_id,
        "MaxToken": info.max_token,
        "Name": info.name,
        "Comment": info.comment,
    }


def _sizes(answer: sspi.SecPkgContext_Sizes) -> dict[str, int]:
    return {
        "MaxToken": answer.max_token,
        "MaxSignature": answer.max_signature,
        "BlockSize": answer.block_size,
        "SecurityTrailer": answer.security_trailer,
    }


def _stream_sizes(answer: sspi.SecPkgContext_StreamSizes) -> dict[str, int]:
    return {
        "Header": answer.header,
        "Trailer": answer.trailer,
        "MaximumMessage": answer.maximum_message,
        "Buffers": answer.buffers,
        "BlockSize": answer.block_size,
    }


def _key_info(answer: sspi.SecPkgContext_KeyInfo) -> dict[str, object]:
    return {
        "SignatureAlgorithmName": answer.signature_algorithm_name,
        "EncryptAlgorithmName": answer.encrypt_algorithm_name,
        "KeySize": answer.key_size,
        "SignatureAlgorithm": answer.signature_algorithm,
        "EncryptAlgorithm": answer.encrypt_algorithm,
    }


def _session_key(answer: sspi.SecPkgContext_SessionKey) -> bytes:
    key = bytes(answer.session_key)
    sspi.free_context_buffer(answer.session_key)
    return key


CONTEXT_ANSWERS: Final[Mapping[int, Callable[[Any], object]]] = MappingProxyType(
    {
        sspi.SECPKG_ATTR_SIZES: _sizes,
        sspi.SECPKG_ATTR_NAMES: lambda x: x.user_name,
        sspi.SECPKG_ATTR_LIFESPAN: lambda x: (time_of(x.start), time_of(x.expiry)),
        sspi.SECPKG_ATTR_DCE_INFO: lambda x: {"AuthzSvc": x.authz_svc, "Pac": x.pac},
        sspi.SECPKG_ATTR_STREAM_SIZES: _stream_sizes,
        sspi.SECPKG_ATTR_KEY_INFO: _key_info,
        sspi.SECPKG_ATTR_AUTHORITY: lambda x: x.authority_name,
        sspi.SECPKG_ATTR_SESSION_KEY: _session_key,
        sspi.SECPKG_ATTR_PACKAGE_INFO: lambda x: package_info(x.package_info),
        sspi.SECPKG_ATTR_NEGOTIATION_INFO: lambda x: {
            "PackageInfo": package_info(x.package_info),
            "NegotiationState": x.negotiation_state,
        },
        sspi.SECPKG_ATTR_NATIVE_NAMES: lambda x: (x.client_name, x.server_name),
        sspi.SECPKG_ATTR_FLAGS: lambda x: x.flags,
    }
)
"""By attribute: what turns the structure into pywin32's form."""

CREDENTIAL_ANSWERS: Final[Mapping[int, Callable[[Any], object]]] = MappingProxyType(
    {sspi.SECPKG_CRED_ATTR_NAMES: lambda x: x.user_name}
)

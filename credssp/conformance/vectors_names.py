"""Vectors of NTLM's names and channel bindings: capitals for NTOWFv2, and the hash of a TLS channel ([MS-NLMP] 3.3.2).

The certificates are self-signed and made for this file alone.
"""

from __future__ import annotations

import struct
from typing import Any, Final

from credssp.account import upper_case
from credssp.channel_bindings import ChannelBindings
from credssp.nt_hash import nt_hash
from credssp.ntlm import crypto
from credssp.ntlm.av_pairs import AV_CHANNEL_BINDINGS, encode_av_pair
from credssp.tls.end_point import end_point_bindings

__all__ = ["capitals", "channel_bindings"]

_PASSWORD: Final = "Password"
_NAMES: Final = (
    ("ASCII", "alice"),
    ("one to one", "jürgen-žofie-ДМИТРИЙ-дмитрий"),
    ("sharp s", "strauß"),
    ("n with apostrophe", "ŉkosi"),
    ("j with caron", "ǰan"),
    ("ligature", "ﬁona"),
    ("iota with dialytika and tonos", "ΐris"),
    ("dotless i", "\u0131\u015f\u0131k"),
    ("long s", "\u017fara"),
    ("micro sign", "\u00b5-user"),
    ("beyond the BMP", "\U00010428x"),
)

_ECDSA_SHA256: Final = bytes.fromhex(
    "3082011a3081c1a003020102020101300a06082a8648ce3d04030230173115301306035504030c0c7372762e6c61622e7465"
    "7374301e170d3236303130313030303030305a170d3336303130313030303030305a30173115301306035504030c0c737276"
    "2e6c61622e746573743059301306072a8648ce3d020106082a8648ce3d03010703420004105ef11c97abbc6db3bb732e8d23"
    "918269712e001a2d14f580a785fdb7aa0aeff7f6040a0a7def04d9b4dd4591f4833a6b3b67444ae9bb080f0f2ef5753c1569"
    "300a06082a8648ce3d0403020348003045022038b9c818e8d611701a9bad7704d56d6dbd817dbcf234eb50926e68cdfe0b96"
    "ad022100b4d0d4a6e483db2b6488adb4a4eb9e79b463dfa9847327effe7c08b9eafdaf26"
)
_ECDSA_SHA384: Final = bytes.fromhex(
    "3082011b3081c1a003020102020101300a06082a8648ce3d04030330173115301306035504030c0c7372762e6c61622e7465"
    "7374301e170d3236303130313030303030305a170d3336303130313030303030305a30173115301306035504030c0c737276"
    "2e6c61622e746573743059301306072a8648ce3d020106082a8648ce3d0301070342000434863f21684e6034e8a87764a186"
    "cb2835bde922e04f053df70078bec1bdf65c6758c07989f0e752b0f79b7016e357a584e9f16f2ce1f4b3886fad39826c2017"
    "300a06082a8648ce3d0403030349003046022100c8ca19e85c929aa3e81c0b1436417673867368d32cdbea400345d57adc37"
    "dbb6022100fd67cefea69537658fb37bd85cd26b5699c91693bb8e0c93a379ff84653f34a3"
)
_ED25519: Final = bytes.fromhex(
    "3081da30818da003020102020101300506032b657030173115301306035504030c0c7372762e6c61622e74657374301e170d"
    "3236303130313030303030305a170d3336303130313030303030305a30173115301306035504030c0c7372762e6c61622e74"
    "657374302a300506032b65700321006866fdb39270926d2f0f57899d27231b6bc3073c3294215ee4857ab5fca23998300506"
    "032b65700341001e85c76aa45a04c2daa80b2ef9578f52d6683aa5db15ba1c345f77ef1d905b61f8ff5bcd2c766e9c451907"
    "99ad4e6b9ca1f143a3bd0a306503c4498b9a18310b"
)


def capitals() -> list[dict[str, Any]]:
    """Return user names with their capitals, one unit of UTF-16 to one, and the key that comes of them."""
    hashed = nt_hash(_PASSWORD)
    return [
        {
            "name": name,
            "about": "Windows maps one unit of UTF-16 to one; userName stays as it is where there is no such capital",
            "rule": "CSSP-SPNEGO-55",
            "userName": user,
            "domain": "Domain",
            "password": _PASSWORD,
            "ntHash": hashed.hex(),
            "upperCase": upper_case(user),
            "ntowfv2": crypto.ntowfv2(hashed, upper_case(user), "Domain").hex(),
        }
        for name, user in _NAMES
    ]


def channel_bindings() -> list[dict[str, Any]]:
    """Return certificates with the bindings to a TLS channel with them, down to the AV_PAIR and Kerberos' Bnd."""
    cases = (
        ("ECDSA with SHA-256", _ECDSA_SHA256, "the hash of the certificate is that of its signature"),
        ("ECDSA with SHA-384", _ECDSA_SHA384, "SHA-384, since the signature has it"),
        ("Ed25519", _ED25519, "the signature has no hash of its own, so RFC 5929 defines no bindings: zeros"),
    )
    found = []
    for name, certificate, about in cases:
        data = end_point_bindings(certificate)
        encoded = b"" if data is None else ChannelBindings(data).encoded
        hashed = bytes(16) if data is None else crypto.channel_bindings_hash(data)
        found.append(
            {
                "name": name,
                "about": about,
                "rule": "CSSP-SPNEGO-63",
                "certificate": certificate.hex(),
                "applicationData": "" if data is None else data.hex(),
                "bindings": encoded.hex(),
                "hash": hashed.hex(),
                "avPair": encode_av_pair(AV_CHANNEL_BINDINGS, hashed).hex(),
                "bnd": (struct.pack("<I", 16) + hashed).hex(),
            }
        )
    return found

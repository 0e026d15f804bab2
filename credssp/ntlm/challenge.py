"""What the server says about itself, and the CHALLENGE that says it ([MS-NLMP] 2.2.1.2, 3.2.5.1.1)."""

from __future__ import annotations

import functools
import platform
import struct
from dataclasses import dataclass
from typing import Final

from credssp.account import upper_case
from credssp.errors import LocalProtocolError
from credssp.ntlm import flags as f
from credssp.ntlm.av_pairs import (
    AV_DNS_COMPUTER_NAME,
    AV_DNS_DOMAIN_NAME,
    AV_DNS_TREE_NAME,
    AV_EOL,
    AV_NB_COMPUTER_NAME,
    AV_NB_DOMAIN_NAME,
    AV_TIMESTAMP,
    encode_av_pair,
)
from credssp.ntlm.messages import SIGNATURE

__all__ = ["NTLMTarget", "build_challenge"]

# What we can do, of what a client may ask for; OEM, LM_KEY, DATAGRAM and the undocumented bits are not answered.
_ANSWERED: Final = (
    f.NTLMSSP_NEGOTIATE_UNICODE
    | f.NTLMSSP_REQUEST_TARGET
    | f.NTLMSSP_NEGOTIATE_SIGN
    | f.NTLMSSP_NEGOTIATE_SEAL
    | f.NTLMSSP_NEGOTIATE_ALWAYS_SIGN
    | f.NTLMSSP_NEGOTIATE_EXTENDED_SESSIONSECURITY
    | f.NTLMSSP_NEGOTIATE_IDENTIFY
    | f.NTLMSSP_NEGOTIATE_128
    | f.NTLMSSP_NEGOTIATE_KEY_EXCH
    | f.NTLMSSP_NEGOTIATE_56
)
_ALWAYS: Final = f.NTLMSSP_NEGOTIATE_NTLM | f.NTLMSSP_NEGOTIATE_TARGET_INFO | f.NTLMSSP_NEGOTIATE_VERSION
_HEADER: Final = struct.Struct("<8sIHHII8s8xHHI8s")
_EOL: Final = encode_av_pair(AV_EOL, b"")


@dataclass(frozen=True)
class NTLMTarget:
    """The names in CHALLENGE. Every client sees them before it has logged on, as with Windows.

    Attributes:
        nb_computer: MsvAvNbComputerName, mandatory.
        nb_domain: MsvAvNbDomainName, mandatory; Windows repeats the computer's name outside a domain.
        dns_computer: MsvAvDnsComputerName; empty leaves it out.
        dns_domain: MsvAvDnsDomainName; empty leaves it out.
        dns_tree: MsvAvDnsTreeName; empty leaves it out.
        is_domain: whether the machine belongs to a domain: TargetName is then the domain's name, else the computer's.
    """

    nb_computer: str
    nb_domain: str = ""
    dns_computer: str = ""
    dns_domain: str = ""
    dns_tree: str = ""
    is_domain: bool = False

    def __post_init__(self) -> None:
        if not self.nb_computer:
            raise LocalProtocolError("NTLMTarget needs at least the computer's NetBIOS name")
        if not self.nb_domain:
            object.__setattr__(self, "nb_domain", self.nb_computer)
        if max(len(value) for _, value in self.av_pairs) > 512:
            raise LocalProtocolError("a name of an NTLMTarget has more than 256 characters")

    @classmethod
    @functools.cache
    def of_this_host(cls) -> NTLMTarget:
        """Return the names of a Windows machine with this host's name that is in no domain."""
        host = platform.node().strip(".") or "localhost"
        short = host.partition(".")[0]
        nb_computer = short.upper()[:15]  # NetBIOS names have 15 characters
        return cls(nb_computer, nb_computer, host, host)

    def is_own(self, domain: str) -> bool:
        """Whether a domain that a client sent means this machine's own accounts: ``.``, or a name of the computer."""
        return domain == "." or (domain != "" and upper_case(domain) in self._own_names)

    @functools.cached_property
    def _own_names(self) -> frozenset[str]:
        return frozenset({upper_case(self.nb_computer), upper_case(self.dns_computer)})

    @functools.cached_property
    def av_pairs(self) -> tuple[tuple[int, bytes], ...]:
        """(id, value) of the names, in the order in which Windows sends them."""
        named = (
            (AV_NB_DOMAIN_NAME, self.nb_domain),
            (AV_NB_COMPUTER_NAME, self.nb_computer),
            (AV_DNS_DOMAIN_NAME, self.dns_domain),
            (AV_DNS_COMPUTER_NAME, self.dns_computer),
            (AV_DNS_TREE_NAME, self.dns_tree),
        )
        return tuple((av_id, name.encode("utf-16-le")) for av_id, name in named if name)

    @functools.cached_property
    def encoded_av_pairs(self) -> bytes:
        """The AV_PAIRs of the names, without timestamp and end."""
        return b"".join(encode_av_pair(av_id, value) for av_id, value in self.av_pairs)

    @functools.cached_property
    def encoded_name(self) -> bytes:
        """TargetName."""
        return (self.nb_domain if self.is_domain else self.nb_computer).encode("utf-16-le")


def build_challenge(
    client_flags: int, target: NTLMTarget, *, server_challenge: bytes, filetime: int, version: bytes
) -> tuple[bytes, int]:
    """Return CHALLENGE and its flags, which follow what the client asked for.

    Args:
        client_flags: NegotiateFlags of NEGOTIATE.
        target: the server's names.
        server_challenge: 8 fresh random bytes.
        filetime: now, as FILETIME; its presence is what obliges the client to send a MIC.
        version: VERSION, 8 bytes; sent whether the client sends its own or not, as Windows does.
    """
    flags = client_flags & _ANSWERED | _ALWAYS
    name = b""
    if flags & f.NTLMSSP_REQUEST_TARGET:
        flags |= f.NTLMSSP_TARGET_TYPE_DOMAIN if target.is_domain else f.NTLMSSP_TARGET_TYPE_SERVER
        name = target.encoded_name
    info = target.encoded_av_pairs + encode_av_pair(AV_TIMESTAMP, filetime.to_bytes(8, "little")) + _EOL
    size, start, end = len(info), _HEADER.size, _HEADER.size + len(name)
    header = _HEADER.pack(SIGNATURE, 2, len(name), len(name), start, flags, server_challenge, size, size, end, version)
    return header + name + info, flags

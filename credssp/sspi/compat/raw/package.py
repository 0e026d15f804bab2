"""Packages as `sspilib.raw` describes them."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

import credssp.sspi as sspi
from credssp.sspi import constants
from credssp.sspi.compat.families import flags, numbers
from credssp.sspi.compat.raw.results import windows_errors

__all__ = ["SecPkgInfo", "SecurityPackageCapability", "enumerate_security_packages"]

SecurityPackageCapability: Final = flags("SecurityPackageCapability", __name__, numbers("SECPKG_FLAG_", constants))
"""What a package can do (fCapabilities)."""


@dataclass
class SecPkgInfo:
    """What is known of a package.

    Attributes:
        capabilities: `SecurityPackageCapability`.
        version: wVersion.
        rpcid: wRPCID.
        max_token: cbMaxToken, bytes.
        name: its name.
        comment: what it is.
    """

    capabilities: enum.IntFlag
    version: int
    rpcid: int
    max_token: int
    name: str
    comment: str


@windows_errors
def enumerate_security_packages() -> list[SecPkgInfo]:
    """Describe all packages."""
    return [
        SecPkgInfo(
            SecurityPackageCapability(info.capabilities),
            info.version,
            info.rpc_id,
            info.max_token,
            info.name,
            info.comment,
        )
        for info in sspi.enumerate_security_packages()
    ]

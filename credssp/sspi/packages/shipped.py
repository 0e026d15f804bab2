"""What every package shipped here does when the LSA starts and stops it."""

from __future__ import annotations

from typing import ClassVar

from credssp.sspi.support import LsaSupport
from credssp.sspi.tables import Parameters, SecPkgInfo

__all__ = ["ShippedPackage"]


class ShippedPackage:
    """Base of their LSA-mode halves."""

    info: ClassVar[SecPkgInfo]

    def __init__(self) -> None:
        self._support: LsaSupport | None = None

    @property
    def support(self) -> LsaSupport:
        """What the LSA offers."""
        assert self._support is not None  # noqa: S101  # SpInitialize comes first
        return self._support

    def initialize(self, package_id: int, parameters: Parameters, support: LsaSupport) -> None:  # noqa: ARG002
        """SpInitialize."""
        self._support = support

    def shutdown(self) -> None:
        """SpShutdown."""
        self._support = None

    def get_info(self) -> SecPkgInfo:
        """SpGetInfo."""
        return self.info

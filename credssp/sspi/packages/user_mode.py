"""The user-mode half of the packages that come with this library: what all of them share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from credssp.sspi.attributes import CONTEXT_ATTRIBUTES, row_of, unknown
from credssp.sspi.errors import SSPIError
from credssp.sspi.support import DllFunctions
from credssp.sspi.tables import INTERFACE_VERSION, SecPkgInfo, SecpkgUserFunctionTable, table_of
from credssp.status import SecurityStatus

__all__ = ["UserModePackage", "user_mode_entry"]

S = TypeVar("S")


class UserModePackage(Generic[S]):
    """SECPKG_USER_FUNCTION_TABLE of a package: its members are the methods of their names.

    Attributes:
        info: the package.
        functions: what the program's side offers, from SpInstanceInit on.
        contexts: what protects the messages of a context, by its number.
    """

    functions: DllFunctions

    def __init__(self, info: SecPkgInfo) -> None:
        self.info = info
        self.contexts: dict[int, S] = {}

    def instance_init(self, version: int, functions: DllFunctions) -> None:  # noqa: ARG002 - one version only
        """SpInstanceInit."""
        self.functions = functions

    def init_user_mode_context(self, context: int, packed: bytearray) -> None:
        """SpInitUserModeContext."""
        self.contexts[context] = self.unpack(packed)

    def unpack(self, packed: bytes | bytearray) -> S:
        """Return what protects the messages of a context."""
        raise NotImplementedError

    def not_ours(self) -> SSPIError:
        """Return the error for context data that the LSA-mode half did not make."""
        return SSPIError(f"no context data of {self.info.name}", status=SecurityStatus.SEC_E_INVALID_TOKEN)

    def delete_user_mode_context(self, context: int) -> None:
        """SpDeleteUserModeContext."""
        self.contexts.pop(context, None)

    def query_context_attributes(self, context: int, attribute: int) -> object:
        """SpQueryContextAttributes, for the sizes; the rest goes to the LSA-mode half."""
        row = row_of(CONTEXT_ATTRIBUTES, attribute, self.info.name, user_mode=True)
        if row is None:
            raise unknown(f"{attribute:#x}")
        return row.answer(self.contexts[context])


def user_mode_entry(
    package: Callable[[], UserModePackage[Any]],
) -> Callable[[int], tuple[int, tuple[SecpkgUserFunctionTable]]]:
    """Return the SpUserModeInitialize of a module with one package."""
    return lambda lsa_version: (INTERFACE_VERSION, (table_of(SecpkgUserFunctionTable, package()),))  # noqa: ARG005

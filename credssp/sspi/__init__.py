"""SSPI, off Windows: what Windows programs use for CredSSP, with the same flags, buffers, statuses and rules.

::

    import credssp.sspi as sspi

    credential = sspi.CredHandle()
    identity = sspi.SecWinntAuthIdentity("alice", "LAB", "secret")
    sspi.acquire_credentials_handle(
        None, sspi.CREDSSP_NAME, sspi.SECPKG_CRED_OUTBOUND, None, sspi.CredsspCred(spnego_cred=identity), None, None,
        credential,
    )

The functions are the methods of `LocalSecurityAuthority` (`credssp.sspi.dispatcher`), on the one of this process; the
packages are in `credssp.sspi.packages`, and docs/explanation/security-packages.md says how the two meet.
"""

from __future__ import annotations

from credssp.sspi import api, attributes, auth_data, buffers, constants, structures
from credssp.sspi.api import *  # noqa: F403
from credssp.sspi.attributes import *  # noqa: F403
from credssp.sspi.auth_data import *  # noqa: F403
from credssp.sspi.buffers import *  # noqa: F403
from credssp.sspi.constants import *  # noqa: F403
from credssp.sspi.dispatcher import LocalSecurityAuthority
from credssp.sspi.errors import SSPIError
from credssp.sspi.handles import CredHandle, CtxtHandle, SecHandle
from credssp.sspi.records import AcquireResult, ContextResult, DecryptResult
from credssp.sspi.registry import ENTRY_POINT_GROUP, PackageProblem
from credssp.sspi.structures import *  # noqa: F403
from credssp.sspi.support import Machine
from credssp.sspi.tables import (
    INTERFACE_VERSION,
    LegResult,
    SecpkgFunctionTable,
    SecPkgInfo,
    SecpkgUserFunctionTable,
)
from credssp.status import SecurityStatus

__all__ = [
    "ENTRY_POINT_GROUP",
    "INTERFACE_VERSION",
    "AcquireResult",
    "ContextResult",
    "CredHandle",
    "CtxtHandle",
    "DecryptResult",
    "LegResult",
    "LocalSecurityAuthority",
    "Machine",
    "PackageProblem",
    "SSPIError",
    "SecHandle",
    "SecPkgInfo",
    "SecpkgFunctionTable",
    "SecpkgUserFunctionTable",
    "SecurityStatus",
]
__all__ += api.__all__
__all__ += attributes.__all__
__all__ += auth_data.__all__
__all__ += buffers.__all__
__all__ += constants.__all__
__all__ += structures.__all__

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

from credssp.channel_bindings import ChannelBindings as ChannelBindings
from credssp.sspi.api import *  # noqa: F403
from credssp.sspi.attributes import *  # noqa: F403
from credssp.sspi.auth_data import *  # noqa: F403
from credssp.sspi.auth_identity import *  # noqa: F403
from credssp.sspi.buffers import *  # noqa: F403
from credssp.sspi.channel_bindings import pack_channel_bindings as pack_channel_bindings
from credssp.sspi.channel_bindings import unpack_channel_bindings as unpack_channel_bindings
from credssp.sspi.constants import *  # noqa: F403
from credssp.sspi.dispatcher import LocalSecurityAuthority as LocalSecurityAuthority
from credssp.sspi.errors import SSPIError as SSPIError
from credssp.sspi.exchanges import *  # noqa: F403
from credssp.sspi.function_table import *  # noqa: F403
from credssp.sspi.handles import CredHandle as CredHandle
from credssp.sspi.handles import CtxtHandle as CtxtHandle
from credssp.sspi.handles import SecHandle as SecHandle
from credssp.sspi.records import AcquireResult as AcquireResult
from credssp.sspi.records import ContextResult as ContextResult
from credssp.sspi.records import DecryptResult as DecryptResult
from credssp.sspi.registry import ENTRY_POINT_GROUP as ENTRY_POINT_GROUP
from credssp.sspi.registry import PackageProblem as PackageProblem
from credssp.sspi.statuses import *  # noqa: F403
from credssp.sspi.structures import *  # noqa: F403
from credssp.sspi.support import Machine as Machine
from credssp.sspi.support import SecpkgPrimaryCred as SecpkgPrimaryCred
from credssp.sspi.tables import INTERFACE_VERSION as INTERFACE_VERSION
from credssp.sspi.tables import LegResult as LegResult
from credssp.sspi.tables import SecpkgFunctionTable as SecpkgFunctionTable
from credssp.sspi.tables import SecPkgInfo as SecPkgInfo
from credssp.sspi.tables import SecpkgUserFunctionTable as SecpkgUserFunctionTable
from credssp.status import SecurityStatus as SecurityStatus

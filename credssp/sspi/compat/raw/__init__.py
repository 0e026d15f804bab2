"""The interface of `sspilib.raw`, on `credssp.sspi`: for programs that were written for sspilib, and for pyspnego.

Names, arguments, results and exceptions are those of sspilib 0.6. Its documentation holds, with three differences:
reprs show no passwords, keys or contents of buffers; a view of a buffer stays valid as long as the program holds it;
and a `WindowsError` has the `SSPIError` as its cause.
"""

from __future__ import annotations

# Under the name that sspilib's own classes reach it by.
from credssp.sspi.compat.raw import credential as _credential  # noqa: F401
from credssp.sspi.compat.raw.attributes import *  # noqa: F403
from credssp.sspi.compat.raw.buffers import *  # noqa: F403
from credssp.sspi.compat.raw.context import *  # noqa: F403
from credssp.sspi.compat.raw.credential import *  # noqa: F403
from credssp.sspi.compat.raw.messages import *  # noqa: F403
from credssp.sspi.compat.raw.package import *  # noqa: F403
from credssp.sspi.compat.raw.results import NtStatus as NtStatus
from credssp.sspi.compat.raw.results import WindowsError as WindowsError

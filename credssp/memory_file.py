"""Files for libraries that read nothing else: in memory where the system can do that, else in a folder.

What is in memory never reaches a disk, and needs no folder that can be written.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from typing import IO

from credssp.errors import LocalProtocolError

__all__ = ["anonymous_file", "named_file"]


def anonymous_file() -> IO[bytes]:
    """Return a file without a name, to be read and written by this user alone.

    Raises:
        LocalProtocolError: there is neither room in memory nor a folder for temporary files.
    """
    with contextlib.suppress(AttributeError, OSError):  # Linux has it; it may be forbidden there
        file = os.fdopen(os.memfd_create("credssp"), "w+b")
        # Linux makes it writable for everyone who can reach it, and readers of private files look at that.
        os.fchmod(file.fileno(), 0o600)
        return file
    try:
        return tempfile.TemporaryFile()  # the caller closes it
    except OSError as error:
        raise _no_folder(error) from None


@contextlib.contextmanager
def named_file(content: bytes) -> Iterator[str]:
    """Return the path of a file that this user alone can read, while the block runs.

    Raises:
        LocalProtocolError: as `anonymous_file`.
    """
    with anonymous_file() as file:
        # By number, so that other processes of this user can open it too. Without /proc there is no such path.
        path = f"/proc/{os.getpid()}/fd/{file.fileno()}"
        if os.access(path, os.R_OK):
            file.write(content)
            file.flush()
            yield path
            return
    try:
        descriptor, path = tempfile.mkstemp(prefix="credssp-")
    except OSError as error:
        raise _no_folder(error) from None
    try:
        with os.fdopen(descriptor, "wb") as named:
            named.write(content)
        yield path
    finally:
        os.unlink(path)  # noqa: PTH108  # a path as mkstemp returns it


def _no_folder(error: OSError) -> LocalProtocolError:
    return LocalProtocolError(
        f"there is no folder for temporary files: {error.strerror or type(error).__name__}",
        advice="Set TMPDIR to a folder that this process can write.",
    )

"""A keytab that is read again after it changed, and whose last good state stays in use meanwhile."""

from __future__ import annotations

import os
from os import PathLike

from credssp.errors import AuthenticationError, LocalProtocolError
from credssp.kerberos import pyspnego
from credssp.kerberos.acceptor_key import fresh_name
from credssp.kerberos.gss_errors import failure
from credssp.kerberos.tickets import read_keytab
from credssp.status import SecurityStatus
from credssp.watched_file import WatchedFile

__all__ = ["MemoryKeytab", "watch_keytab"]


class MemoryKeytab:
    """A copy in memory of all keys of a keytab, gone with this object.

    Args:
        keytab: path of a file.

    Attributes:
        name: how libkrb5 finds it.

    Raises:
        AuthenticationError: there is no key in it, or every user of the machine can write it.
        Exception: of krb5.
    """

    def __init__(self, keytab: str) -> None:
        import krb5

        context, entries = read_keytab(keytab)
        self.name = fresh_name()
        self._keytab = krb5.kt_resolve(context, self.name.encode())
        found = 0
        for entry in entries:
            krb5.kt_add_entry(context, self._keytab, entry.principal, entry.kvno, entry.timestamp, entry.key)
            found += 1
        if not found:
            raise failure(f"the keytab {keytab} has no key", SecurityStatus.SEC_E_NO_KERB_KEY)


def watch_keytab(path: str | PathLike[str]) -> WatchedFile[MemoryKeytab]:
    """Return a keytab that is read again after it changed, for `ServerConfig.keytab`.

    New connections take the new keys. As long as the file has no key, or cannot be read, those that it had stay in use;
    a keytab that is given by its path is read in every login instead.

    Args:
        path: the file.

    Raises:
        AuthenticationError: it is not a keytab, has no key, or every user of the machine can write it.
        LocalProtocolError: it cannot be read.
    """
    name = os.fspath(path)

    def load(_: bytes) -> MemoryKeytab:
        return pyspnego.call("opening the Kerberos keytab", MemoryKeytab, name)

    if missing := pyspnego.kerberos_missing():
        raise pyspnego.kerberos_unavailable(missing)
    try:
        return WatchedFile(name, load=load, what="keytab")
    except AuthenticationError as error:
        if name in error.message:
            raise
        raise failure(f"the keytab {name}: {error.message}", error.status) from None
    except OSError as error:
        raise LocalProtocolError(f"the keytab {name} cannot be read: {error.strerror}") from None

"""The keys with which a Kerberos acceptor opens tickets: of its own keytab, and of the services it was told.

The usual way to name a keytab is ``KRB5_KTNAME``, for the whole process. GSS-API's credential store (gssapi's
``store={"keytab": ...}``, MIT krb5 1.11 and later, Heimdal 8) names one for a single credential. What it cannot do is
take several services and no others, and a host-based name goes through DNS on its way to a principal. So where services
are demanded, their keys are copied into a keytab in memory, by their exact names, and the credential takes any key of
that one: a ticket for another service finds no key, whatever else is in the file.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from credssp.kerberos.gss_errors import failure
from credssp.status import SecurityStatus

if TYPE_CHECKING:
    import gssapi

__all__ = ["acceptor_credential"]

_KERBEROS: Final = "1.2.840.113554.1.2.2"

_number = itertools.count()


def acceptor_credential(keytab: str | None, names: Collection[str]) -> gssapi.Credentials:
    """Make the credential of an acceptor.

    Args:
        keytab: ``TYPE:residual`` or the path of a file; None for the default keytab.
        names: services as ``class/host`` (in any realm) or ``class/host@REALM``; none for every key of the keytab.

    Raises:
        AuthenticationError: the keytab has no key for any of them.
        Exception: of gssapi or krb5; `credssp.kerberos.pyspnego.call` turns them into ours.
    """
    import gssapi

    kerberos = gssapi.OID.from_int_seq(_KERBEROS)
    if not names:
        store = None if keytab is None else {"keytab": keytab}
        return gssapi.Credentials(usage="accept", mechs=[kerberos], store=store)
    selection = _Selection(keytab, names)
    # GSS-API resolves the name anew, which keeps the memory alive for as long as the credential lives.
    return gssapi.Credentials(usage="accept", mechs=[kerberos], store={"keytab": selection.name})


class _Selection:
    """A keytab in memory that holds some keys of another."""

    def __init__(self, keytab: str | None, names: Collection[str]) -> None:
        import krb5

        self._context = krb5.init_context()
        source = krb5.kt_default(self._context) if keytab is None else krb5.kt_resolve(self._context, keytab.encode())
        self.name = f"MEMORY:credssp-{os.getpid()}-{next(_number)}"
        self._keytab = krb5.kt_resolve(self._context, self.name.encode())
        wanted = {name.casefold() for name in names}  # SPNs are written in any case
        found = False
        for entry in source:
            principal = str(entry.principal).casefold()
            if principal in wanted or principal.rpartition("@")[0] in wanted:
                krb5.kt_add_entry(self._context, self._keytab, entry.principal, entry.kvno, entry.timestamp, entry.key)
                found = True
        if not found:
            raise failure(
                f"the keytab has no key for {' or '.join(sorted(names))}; klist -k shows what it has",
                SecurityStatus.SEC_E_NO_KERB_KEY,
            )

"""The keys with which a Kerberos acceptor opens tickets: of its own keytab, and of the services it was told.

The usual way to name a keytab is ``KRB5_KTNAME``, for the whole process. GSS-API's credential store (gssapi's
``store={"keytab": ...}``, MIT krb5 1.11 and later, Heimdal 8) names one for a single credential. What it cannot do is
take several services and no others, and a host-based name goes through DNS on its way to a principal.

So the keytab is read once. The keys that are wanted (`credssp.kerberos.services`) are there for our own reader
(`credssp.kerberos.admission`), and the same ones are copied into a keytab in memory for GSS-API: neither opens a ticket
that the other cannot, whatever else is in the file and however it changes. The memory is freed with the credential.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from credssp.kerberos.gss_errors import failure
from credssp.kerberos.services import keys_for
from credssp.kerberos.tickets import ServiceKey, read_keytab, service_key
from credssp.status import SecurityStatus

if TYPE_CHECKING:
    import gssapi

__all__ = ["AcceptorKeys", "fresh_name"]

_KERBEROS: Final = "1.2.840.113554.1.2.2"

_number = itertools.count()


def fresh_name() -> str:
    """Return a name for a keytab in memory that no other has."""
    return f"MEMORY:credssp-{os.getpid()}-{next(_number)}"


class AcceptorKeys:
    """Some keys of a keytab.

    Args:
        keytab: ``TYPE:residual`` or the path of a file; None for the default keytab.
        names: services as ``class/host`` (in any realm) or ``class/host@REALM``; none for every key of the keytab. For
            a service that the keytab does not name, the keys of the computer's account are taken.

    Attributes:
        keys: the keys.

    Raises:
        AuthenticationError: the keytab has no key for any of them.
        Exception: of gssapi or krb5; `credssp.kerberos.pyspnego.call` turns them into ours.
    """

    def __init__(self, keytab: str | None, names: Collection[str] = ()) -> None:
        import krb5

        context, entries = read_keytab(keytab)
        self._context = context
        self._name = fresh_name()
        self._keytab = krb5.kt_resolve(context, self._name.encode())
        self.keys: list[ServiceKey] = []
        wanted = keys_for(names, [str(entry.principal) for entry in entries])
        for entry in entries:
            if str(entry.principal) in wanted:
                krb5.kt_add_entry(context, self._keytab, entry.principal, entry.kvno, entry.timestamp, entry.key)
                self.keys.append(service_key(entry))
        if not self.keys:
            wanted_names = " or ".join(sorted(names)) or "any service"
            raise failure(
                f"the keytab has no key for {wanted_names}, nor for the computer's account; klist -k shows what it has",
                SecurityStatus.SEC_E_NO_KERB_KEY,
            )

    def credential(self) -> gssapi.Credentials:
        """Make the credential of an acceptor."""
        import gssapi

        # GSS-API resolves the name anew, which keeps the memory alive for as long as the credential lives.
        return gssapi.Credentials(
            usage="accept", mechs=[gssapi.OID.from_int_seq(_KERBEROS)], store={"keytab": self._name}
        )

"""The old path of `credssp.kerberos.tickets`."""

from credssp.kerberos.tickets import *  # noqa: F403

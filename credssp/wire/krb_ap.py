"""The old path of `credssp.kerberos.ap`."""

from credssp.kerberos.ap import *  # noqa: F403

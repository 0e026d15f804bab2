"""The old path of `credssp.kerberos.values`."""

from credssp.kerberos.values import *  # noqa: F403

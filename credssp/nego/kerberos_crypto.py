"""The old path of `credssp.kerberos.crypto`."""

from credssp.kerberos.crypto import *  # noqa: F403

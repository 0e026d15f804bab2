"""The old path of `credssp.kerberos.cred`."""

from credssp.kerberos.cred import *  # noqa: F403

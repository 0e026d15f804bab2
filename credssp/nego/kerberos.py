"""The old path of `credssp.kerberos.contexts`."""

from credssp.kerberos.contexts import *  # noqa: F403

"""The old path of `credssp.kerberos.remote_guard`."""

from credssp.kerberos.remote_guard import *  # noqa: F403

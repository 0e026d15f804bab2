"""The old path of `credssp.kerberos.remote_guard_buffers`."""

from credssp.kerberos.remote_guard_buffers import *  # noqa: F403

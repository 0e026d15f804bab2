"""The old path of `credssp.kerberos.acceptor_key`."""

from credssp.kerberos.acceptor_key import *  # noqa: F403

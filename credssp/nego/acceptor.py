"""The old path of `credssp.context.acceptor`."""

from credssp.context.acceptor import *  # noqa: F403

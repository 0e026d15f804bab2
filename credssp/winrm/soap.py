"""The old path of `credssp.testing.soap`."""

from credssp.testing.soap import *  # noqa: F403

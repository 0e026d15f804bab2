"""The old path of `credssp.testing.wsman`."""

from credssp.testing.wsman import *  # noqa: F403

"""The old path of `credssp.testing.winrm`."""

from credssp.testing.winrm import *  # noqa: F403

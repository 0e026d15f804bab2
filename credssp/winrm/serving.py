"""The old path of `credssp.drivers.winrm_serving`."""

from credssp.drivers.winrm_serving import *  # noqa: F403

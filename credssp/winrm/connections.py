"""The old path of `credssp.drivers.winrm_connections`."""

from credssp.drivers.winrm_connections import *  # noqa: F403

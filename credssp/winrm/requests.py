"""The old path of `credssp.drivers.winrm_requests`."""

from credssp.drivers.winrm_requests import *  # noqa: F403

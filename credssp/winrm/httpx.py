"""The old path of `credssp.drivers.winrm_httpx`."""

from credssp.drivers.winrm_httpx import *  # noqa: F403

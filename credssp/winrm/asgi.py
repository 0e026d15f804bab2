"""The old path of `credssp.drivers.winrm_asgi`."""

from credssp.drivers.winrm_asgi import *  # noqa: F403

"""The old path of `credssp.ntlm.challenge`."""

from credssp.ntlm.challenge import *  # noqa: F403

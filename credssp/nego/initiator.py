"""The old path of `credssp.context.initiator` and `credssp.mechanism_name`."""

from credssp.context.initiator import *  # noqa: F403
from credssp.mechanism_name import *  # noqa: F403

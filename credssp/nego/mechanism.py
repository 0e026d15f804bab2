"""The old path of `credssp.mechanism` and `credssp.identity` and `credssp.mechanism_name`."""

from credssp.identity import *  # noqa: F403
from credssp.mechanism import *  # noqa: F403
from credssp.mechanism_name import *  # noqa: F403

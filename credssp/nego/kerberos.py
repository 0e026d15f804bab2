"""The old path of `credssp.kerberos.contexts` and `credssp.kerberos.logon`."""

from credssp.kerberos.contexts import *  # noqa: F403
from credssp.kerberos.logon import kerberos_obstacle, realm_obstacle  # noqa: F401

"""A plugin of Ansible: its connections over WinRM log on with credssp (docs/how-to/ansible.md)."""

from __future__ import annotations

from ansible.errors import AnsibleError
from ansible.plugins.callback import CallbackBase

from credssp.drivers.winrm_libraries import replace

# Ansible reads this without running the file.
DOCUMENTATION = """
name: login
type: aggregate
short_description: WinRM logs on with the Python package credssp
description:
  - The connections C(winrm) and C(psrp) log on with credssp in place of requests-credssp, where their transport is
    CredSSP.
  - A user name C(agent:NAME) names a credential of C(credssp agent), which logs on; no password is needed.
requirements:
  - pywinrm or pypsrp
"""


class CallbackModule(CallbackBase):
    """Loaded once, before Ansible starts the processes that connect."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "credssp.ansible.login"
    CALLBACK_NEEDS_ENABLED = True


if not replace():
    raise AnsibleError("credssp.ansible.login: neither pywinrm nor pypsrp is installed")

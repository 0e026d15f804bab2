"""Ansible over WinRM without a password: connections log on through the agent (docs/how-to/agent.md).

Ansible loads this file from `callback_plugins/` beside the playbook, before it starts its workers. In the inventory,
`ansible_user: agent:NAME` names a credential of the agent; `ansible_password` has to be there and has no effect.
Other users log on as before. It works for ansible_connection=winrm (pywinrm) and psrp (pypsrp).
"""

from __future__ import annotations

import importlib

from ansible.plugins.callback import CallbackBase

from credssp import AgentCredentials
from credssp.drivers.winrm_requests import HTTPCredSSPAuth

PREFIX = "agent:"


class AgentAuth(HTTPCredSSPAuth):
    """What pywinrm and pypsrp make in place of requests-credssp's class."""

    def __init__(self, username, password=None, **options):
        if username.startswith(PREFIX):
            username, password = AgentCredentials(username.removeprefix(PREFIX)), None
            options.pop("minimum_version", None)  # pywinrm's default is lower than ours
        super().__init__(username, password, **options)


class CallbackModule(CallbackBase):
    """Does nothing but being loaded."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "credssp_agent"
    CALLBACK_NEEDS_ENABLED = False


for library in ("winrm.transport", "pypsrp.wsman"):
    try:
        importlib.import_module(library).HttpCredSSPAuth = AgentAuth
    except ImportError:
        continue  # one of the two is enough

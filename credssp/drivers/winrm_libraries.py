"""pywinrm and pypsrp log on with this library, also where another program makes their clients, such as Ansible.

Both make an object of requests-credssp's class ``HttpCredSSPAuth`` and have no place to name another one, so `replace`
puts `LibraryAuth` in its place, for the whole process. A program that makes its clients itself gives them a session
(docs/how-to/winrm-clients.md), and replaces nothing.
"""

from __future__ import annotations

import importlib
from typing import Any, Final

from credssp.credentials import AgentCredentials
from credssp.drivers.winrm_requests import HTTPCredSSPAuth

__all__ = ["AGENT", "LibraryAuth", "replace"]

AGENT: Final = "agent:"
"""What a user name begins with that names a credential of ``credssp agent``."""

_PLACES: Final = {"pywinrm": "winrm.transport", "pypsrp": "pypsrp.wsman"}
_THEIR_MINIMUM: Final = 2
"""The default of both libraries, which accepts servers that are vulnerable to CVE-2018-0886."""


class LibraryAuth(HTTPCredSSPAuth):
    """What pywinrm and pypsrp make in place of requests-credssp's class."""

    def __init__(self, username: str, password: str | None = None, **options: Any) -> None:
        """Take what they give.

        Args:
            username: ``DOMAIN\\user``, ``user@REALM``, or ``agent:NAME`` for a credential of ``credssp agent``.
            password: the password; of no use with an agent.
            options: as for `HTTPCredSSPAuth`. A ``minimum_version`` of 2, which both libraries give unless they are
                told another one, means the lowest version of this library, which is 5.

        Raises:
            LocalProtocolError, TypeError: arguments that make no sense.
        """
        if options.get("minimum_version") == _THEIR_MINIMUM:
            del options["minimum_version"]
        if username.startswith(AGENT):
            super().__init__(AgentCredentials(username.removeprefix(AGENT)), **options)
        else:
            super().__init__(username, password, **options)


def replace() -> tuple[str, ...]:
    """Let pywinrm and pypsrp log on with `LibraryAuth` from now on, in this process and its forks.

    Returns:
        Which of ``pywinrm`` and ``pypsrp`` are installed and do so.
    """
    replaced = []
    for name, place in _PLACES.items():
        try:
            module = importlib.import_module(place)
        except ImportError:
            continue  # one of the two is enough
        vars(module).update(HttpCredSSPAuth=LibraryAuth, HAVE_CREDSSP=True)
        replaced.append(name)
    return tuple(replaced)

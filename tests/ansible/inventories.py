"""Inventories of Ansible that lead to a server of a test."""

from __future__ import annotations

from collections.abc import Mapping

from credssp.testing.winrm import WinRMServer

__all__ = ["ACCOUNTS", "PASSWORD", "inventory"]

PASSWORD = "secret of alice"
ACCOUNTS = {("LAB", "alice"): PASSWORD}

# What Ansible's two connections call the same settings.
_NAMES = {
    "winrm": {"ca": "ca_trust_path"},
    "psrp": {
        "transport": "auth",
        "scheme": "protocol",
        "ca": "ca_cert",
        "mechanism": "credssp_auth_mechanism",
        "minimum_version": "credssp_minimum_version",
    },
}


def inventory(
    server: WinRMServer,
    connection: str,
    *,
    user: str = "LAB\\alice",
    password: str = PASSWORD,
    trust: bool = True,
    settings: Mapping[str, str] | None = None,
) -> str:
    """Return a line of an inventory.

    Args:
        server: the server.
        connection: ``winrm`` or ``psrp``.
        user: who logs on.
        password: their password.
        trust: whether the certificate of the server is trusted.
        settings: settings of the connection by the names of ``winrm``, without what they begin with; they count most.
    """
    wanted = {"transport": "credssp", "scheme": server.url.partition(":")[0]}
    if trust and server.certificate is not None:
        wanted["ca"] = str(server.certificate)
    names = _NAMES[connection]
    variables = {
        "ansible_host": "localhost",
        "ansible_port": str(server.port),
        "ansible_connection": connection,
        "ansible_user": user.replace("\\", "\\\\"),
        "ansible_password": f"'{password}'",
    }
    for name, value in (wanted | dict(settings or {})).items():
        variables[f"ansible_{connection}_{names.get(name, name)}"] = value
    return " ".join(["srv", *(f"{name}={value}" for name, value in variables.items())])

"""Names, addresses, passwords and configuration files of the domain."""

from __future__ import annotations

from pathlib import Path
from typing import Final

REALM: Final = "LAB.TEST"
DOMAIN: Final = "LAB"
DC: Final = "127.0.0.53"
MEMBER: Final = "member.lab.test"
MEMBER_ADDRESS: Final = "127.0.0.10"
ADMINISTRATOR: Final = "Admin-Passw0rd!"

POPULATE: Final = Path(__file__).with_name("populate.py")
DEBIANS_PYTHON: Final = (
    "/usr/bin/python3"  # python3-samba is a package of Debian, and its modules are compiled for this one
)
START: Final = 60.0
KEEP: Final = 24 * 3600
PORTS: Final = (53, 88, 135, 389, 445, 464)

HOSTS: Final = f"""\
127.0.0.1 localhost
{DC} dc1.lab.test dc1
{MEMBER_ADDRESS} {MEMBER} member
"""
RESOLV_CONF: Final = f"search lab.test\nnameserver {DC}\n"
KRB5_CONF: Final = f"""\
[libdefaults]
    default_realm = {REALM}
    dns_lookup_kdc = false
    dns_lookup_realm = false
    rdns = false
    dns_canonicalize_hostname = false
    udp_preference_limit = 1
    forwardable = true
[realms]
    {REALM} = {{
        kdc = {DC}
        kpasswd_server = {DC}
    }}
[domain_realm]
    .lab.test = {REALM}
    lab.test = {REALM}
"""
KDC_CONF: Final = """\
[appdefaults]
    pkinit_anchors = {anchors}
[kdc]
    enable-pkinit = yes
    pkinit_identity = {identity}
    pkinit_anchors = {anchors}
    pkinit_win2k_require_binding = yes
"""
SMB_CONF: Final = f"""\
[global]
    netbios name = MEMBER
    workgroup = {DOMAIN}
    realm = {REALM}
    security = ads
    server role = member server
    interfaces = {MEMBER_ADDRESS}/8
    bind interfaces only = yes
    lock directory = {{folder}}/lock
    state directory = {{folder}}/state
    cache directory = {{folder}}/cache
    private dir = {{folder}}/private
    log file = {{folder}}/log.%m
    {{keytab}}
    idmap config * : backend = autorid
    idmap config * : range = 100000-9999999
    winbind request timeout = 15
"""
# Samba 4.21 and later write keytabs by a list of what goes into them, and have no add_update_ads.
KEYTAB: Final = "kerberos method = dedicated keytab\n    dedicated keytab file = {path}"
KEYTAB_4_21: Final = "sync machine password to keytab = {path}:sync_spns:sync_kvno:machine_password"


def password(user: str) -> str:
    """Return the password of a user of the domain."""
    return f"{user.capitalize()}-Passw0rd!"

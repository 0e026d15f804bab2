"""Fills the domain: runs in Debian's own Python with python3-samba, on the domain controller's database.

One process for all of it: each call of samba-tool costs 0.7 s. It works before the controller is started, and while it
runs.
"""

from __future__ import annotations

import sys
import time

import ldb
from samba.auth import system_session
from samba.credentials import Credentials
from samba.param import LoadParm
from samba.samdb import SamDB

_EPOCH = 11644473600  # seconds from 1601 to 1970
_USERS = (
    *("alice", "bob", "Ümläut", "carol", "protected", "rc4only", "many", "wrong", "victim"),
    *("locked", "disabled", "mustchange", "nohours", "acctexpired", "wsonly"),
)


def open_database(folder: str) -> SamDB:
    """Open the database of a controller."""
    parameters = LoadParm()
    parameters.load(f"{folder}/etc/smb.conf")
    credentials = Credentials()
    credentials.guess(parameters)
    session = system_session()
    return SamDB(f"{folder}/private/sam.ldb", session_info=session, credentials=credentials, lp=parameters)


def password(user: str) -> str:
    """Return the password of a user, as in `settings`, which cannot be imported here."""
    return f"{user.capitalize()}-Passw0rd!"


def change(database: SamDB, name: str, **attributes: str | bytes) -> None:
    """Change attributes of an account."""
    found = database.search(database.domain_dn(), expression=f"(sAMAccountName={name})", attrs=["dn"])
    message = ldb.Message(found[0].dn)
    for attribute, value in attributes.items():
        attribute = attribute.replace("_", "-")
        message[attribute] = ldb.MessageElement(value, ldb.FLAG_MOD_REPLACE, attribute)
    database.modify(message)


def add_users(database: SamDB) -> None:
    """Add all users and groups."""
    for name in _USERS:
        database.newuser(name, password(name))
    database.newcomputer("root")
    database.setpassword("(sAMAccountName=root$)", password("root"), force_change_at_next_login=False)
    change(database, "root$", userAccountControl="4096")
    change(database, "carol", userPrincipalName="carol.jones@corp.example")
    change(database, "rc4only", msDS_SupportedEncryptionTypes="4")
    change(database, "locked", lockoutTime=str(int((time.time() + _EPOCH) * 1e7)))
    change(database, "disabled", userAccountControl="514")
    change(database, "mustchange", pwdLastSet="0")
    change(database, "nohours", logonHours=b"\0" * 21)
    change(database, "acctexpired", accountExpires=str((_EPOCH + 1) * 10_000_000))
    change(database, "wsonly", userWorkstations="OTHERPC")
    for group in ("RDP Users", "Nested"):
        database.newgroup(group)
    database.add_remove_group_members("Nested", ["bob"], add_members_operation=True)
    database.add_remove_group_members("RDP Users", ["alice", "Nested", "Ümläut"], add_members_operation=True)
    database.add_remove_group_members("Protected Users", ["protected"], add_members_operation=True)
    limits = ldb.Message(ldb.Dn(database, database.domain_dn()))
    limits["lockoutThreshold"] = ldb.MessageElement("3", ldb.FLAG_MOD_REPLACE, "lockoutThreshold")
    database.modify(limits)


def add_groups(database: SamDB, user: str, first: int, count: int) -> None:
    """Add groups that a user is in."""
    base = database.domain_dn()
    member = str(database.search(base, expression=f"(sAMAccountName={user})", attrs=["dn"])[0].dn)
    for number in range(first, first + count):
        name = f"group-{number}"
        dn = f"CN={name},CN=Users,{base}"
        database.add({"dn": dn, "objectClass": "group", "sAMAccountName": name, "member": member})


def main(folder: str, what: str, *arguments: str) -> None:
    """Do one thing in one transaction."""
    database = open_database(folder)
    database.transaction_start()
    if what == "users":
        add_users(database)
    elif what == "groups":
        user, first, count = arguments
        add_groups(database, user, int(first), int(count))
    database.transaction_commit()


if __name__ == "__main__":
    main(*sys.argv[1:])

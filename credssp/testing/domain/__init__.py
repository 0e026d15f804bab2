"""An Active Directory domain of Samba's own programs with a joined member, made from nothing in some ten seconds.

Everything lives in namespaces of its own: a network with nothing but a loopback, process ids, mounts, a host name. What
the machine's own Samba and Kerberos have is neither read nor written. The first process in there reads from a pipe
that this process holds: when the pipe is closed, even because this process was killed, the kernel ends them all.

::

    with Domain(folder) as domain:
        domain.run(["wbinfo", "-t"])                   # on the member: its network, winbindd and host name
        with domain.serving(RDPServer(host=MEMBER_ADDRESS, keytab=domain.keytab)) as server:
            domain.call(connect, MEMBER, server.port)  # a function of this process, in a thread on the member
        domain.attribute("alice", "badPwdCount")       # what the domain controller has about a user

`credssp.pytest_plugin` makes a fixture of it. It needs Linux, root and Samba; `obstacle` says what is missing.

| user | password | what there is about it |
|---|---|---|
| alice | `password("alice")` | in RDP Users |
| bob | ... | in Nested, which is in RDP Users |
| Ümläut | ... | in RDP Users |
| carol | ... | its UPN is carol.jones@corp.example, a suffix that is not a realm |
| protected | ... | in Protected Users: no NTLM |
| rc4only | ... | has RC4 keys only |
| many | ... | for `add_groups` |
| locked, disabled, mustchange, nohours, acctexpired | ... | may not log on |
| wsonly | ... | may log on from the workstation OTHERPC alone |
| root$ | ... | a machine account, for which a KDC gives tickets to `root` |

Three wrong passwords lock an account. Use `wrong` and `victim` for tests of wrong passwords, each for one test.
"""

from credssp.testing.domain.lab import Domain, obstacle
from credssp.testing.domain.settings import (
    ADMINISTRATOR,
    DC,
    DOMAIN,
    MEMBER,
    MEMBER_ADDRESS,
    REALM,
    password,
)

__all__ = ["ADMINISTRATOR", "DC", "DOMAIN", "MEMBER", "MEMBER_ADDRESS", "REALM", "Domain", "obstacle", "password"]

"""Who may log on with NTLM: accounts in memory, in a file, or from a callback.

Each server has its own store; nothing here is global or read from the environment.

How the names a client sends find an account (user names and domains in any case, as Windows compares them):

1. Accounts with exactly this domain and this user name. If there are any, nothing else is looked at.
2. An account stored **without** a domain takes any domain: clients put their own machine's name there, the server's,
   ``.``, or what the user's profile says. An account that is stored without a domain says that the domain does
   not matter.
3. A UPN (``alice@lab.test``, sent with an empty domain): an account stored under that whole name (1), then accounts
   of the user ``alice`` in the domain ``lab.test`` or in none.
4. An **empty domain leaves the choice to the server**, as with Windows: all accounts of this user name, in the order
   in which they were given. The proof then decides.

Several accounts may answer to one name; the acceptor tries them all, and the first whose secret the client knows is
the one that logged on. None of these rules weakens the proof: it is made with the names as the client sent them and the
account's own secret.
"""

from __future__ import annotations

from credssp.account import Account, AccountStore
from credssp.accounts.callback import CallbackAccounts
from credssp.accounts.file import FileAccounts
from credssp.accounts.memory import MemoryAccounts, PasswordOrHash
from credssp.nt_hash import nt_hash

__all__ = [
    "Account",
    "AccountStore",
    "CallbackAccounts",
    "FileAccounts",
    "MemoryAccounts",
    "PasswordOrHash",
    "nt_hash",
]

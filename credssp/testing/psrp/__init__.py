"""PowerShell remoting ([MS-PSRP]) in the WinRM double: runspace pools and pipelines that run nothing.

A pool is a shell of `credssp.testing.wsman.WSManResponder`; its pipelines are answered by the same answers as commands
(`credssp.testing.answers`). Objects are serialised by pypsrp (``credssp[psrp]``), which is imported when the first pool
is opened.

* `fragments` cuts messages into fragments and puts them together, within limits, before anything is parsed,
* `messages` and `objects` read and write messages and the CLIXML in them,
* `scripts` writes a pipeline of commands as text, which answers are matched with,
* `records` makes the records of the streams,
* `session_key` makes keys for clients that send secure strings,
* `pool` and `pipeline` are the two state machines ([MS-PSRP] 3.2).
"""

try:
    import pypsrp as pypsrp
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"credssp.testing.psrp needs {error.name}, which is missing: "
        "pip install 'credssp[psrp]' (in a clone: '.[psrp]')",
        name=error.name,
    ) from None

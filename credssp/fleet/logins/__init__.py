"""Logins to many servers, so that one wrong password is not tried at all of them.

`login` logs on to one server over RDP or WinRM, `run` to many, and `caution` decides when the next login may be made;
`outcome` says what came of one, `legs` what went over the wire and how long it took. The command is ``credssp login``.
"""

"""An NLA gateway: CredSSP in front of RDP servers that have none, and for clients that have none.

=================== ============================== ==============================================================
direction           in front                       towards the server
=================== ============================== ==============================================================
front               NLA                            TLS, or nothing on the same machine; the user is logged on
back                TLS                            NLA with credentials of the configuration
bastion             NLA                            NLA with the user's credentials, or with others
=================== ============================== ==============================================================

`credssp.gateway.settings` reads the configuration, `rules` chooses the target, `connection` does the work for one
client, and `service` listens. The command is ``credssp gateway``.
"""

"""The LSA in a process of its own: an agent that logs on for programs, which never see the secret.

`credssp.lsa.service` is the agent's side of the boundary, `credssp.lsa.remote` the application's,
`credssp.lsa.messages` what crosses it.
"""

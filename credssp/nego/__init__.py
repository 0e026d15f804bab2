"""Old paths of the inner authentication: see `credssp.context.initiator`, `credssp.ntlm`, `credssp.kerberos`."""

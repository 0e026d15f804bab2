"""The inner authentication behind one small protocol: SPNEGO, NTLM, Kerberos (see `credssp.nego.mechanism`)."""

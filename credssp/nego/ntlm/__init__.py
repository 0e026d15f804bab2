"""The old path of `credssp.ntlm`."""

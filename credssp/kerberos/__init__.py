"""Kerberos for both roles over GSS-API or SSPI, and the messages of it that this library reads itself (RFC 4120)."""

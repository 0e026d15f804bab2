"""TLS opened from the outside: records, handshake messages, key schedules and record protection, for reading only.

This is not a TLS implementation: nothing here decides whether a peer may be trusted, and nothing is ever sent. `ssl`
cannot be used, because it opens nothing but connections of its own.
"""

"""Bytes to messages and back ([MS-CSSP] 2.2): no state, no policy, no cryptography.

* `ts_request`, `ts_credentials`, `ts_remote_guard`: one class per structure of the specification.
* `framing`: where one TSRequest ends and the next begins.
* `der`: the strict DER reader and the writer; SPNEGO uses it too.
* `tolerant`: one more try for messages that are BER but not DER.

Every class reads with `decode()` and writes with `encode()`. Reading raises DecodeError or LimitExceededError and
nothing else; writing always gives DER.
"""

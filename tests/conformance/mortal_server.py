"""An RDP server for tests of the suite: it aborts where a client sends an empty clientNonce.

python -m tests.conformance.mortal_server PORT
"""

from __future__ import annotations

import os
import sys
import threading

from credssp.conformance.memory import TEST_ACCOUNT
from credssp.engine import Direction
from credssp.testing import RDPServer
from credssp.wire.ts_request import TSRequest


def observe(direction: Direction, message: TSRequest, _: bytes) -> None:
    if direction is Direction.RECEIVED and message.client_nonce == b"":
        os.abort()


def main() -> None:
    accounts = {(TEST_ACCOUNT.domain, TEST_ACCOUNT.username): TEST_ACCOUNT.password}
    with RDPServer(accounts, port=int(sys.argv[1]), min_version=2, mechanisms=("ntlm",), observer=observe):
        threading.Event().wait()


if __name__ == "__main__":
    main()

"""One side in a process of its own, with a clock of its own; prints what became of it as JSON.

python -m tests.kerberos.process accept KEYTAB TOKEN    takes a client's token, in hexadecimal
python -m tests.kerberos.process initiate CCACHE        makes one
"""

from __future__ import annotations

import json
import sys

from credssp import CCacheCredentials, CredSSPError
from tests.kerberos.exchange import first_token, present


def main() -> None:
    told = error = None
    if sys.argv[1] == "accept":
        error, told = present(bytes.fromhex(sys.argv[3]), keytab=sys.argv[2])
    else:
        try:
            first_token(CCacheCredentials(sys.argv[2]))
        except CredSSPError as caught:
            error = caught
    print(json.dumps({"status": None if error is None else error.status.name, "told": told}))


if __name__ == "__main__":
    main()

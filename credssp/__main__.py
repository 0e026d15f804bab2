"""``python -m credssp``: the same as the command ``credssp``."""

import sys

from credssp.cli import main

if __name__ == "__main__":
    sys.exit(main())

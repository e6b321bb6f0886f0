"""`python -m coda` is the command `coda`."""

from __future__ import annotations

import sys

from coda.cli.main import main

if __name__ == "__main__":
    sys.exit(main())

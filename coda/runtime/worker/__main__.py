"""Start of a worker: `python -m coda.runtime.worker READ_FD WRITE_FD`."""

from __future__ import annotations

import sys

from coda.runtime.worker.bootstrap import serve

if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]))

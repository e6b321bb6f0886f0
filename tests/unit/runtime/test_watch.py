"""What the watch asks the system of a thread, on the recorder's own thread, which must not fail."""

from __future__ import annotations

import os
import sys
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from coda.runtime.worker.watch import Watch


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux tells of threads in /proc")
def test_a_thread_that_ends_while_it_is_looked_at_is_taken_for_blocked() -> None:
    ends = threading.Event()
    thread = threading.Thread(target=ends.wait)
    thread.start()
    native = thread.native_id
    nothing: Any = SimpleNamespace()
    watch = Watch(nothing, nothing, bool)

    def opened(path: str, flags: int) -> int:
        """The thread ends once its file is open; reading that fails then."""
        fd = os.open(path, flags)
        ends.set()
        thread.join()
        deadline = time.monotonic() + 10
        while os.path.exists(f"/proc/self/task/{native}") and time.monotonic() < deadline:
            pass  # `join` returns a moment before the system has forgotten it
        return fd

    watch._open = opened  # type: ignore[assignment]
    strand: Any = SimpleNamespace(native=native)
    assert watch._is_blocked(strand)

"""A thread that works on the latest request only.

Guarantee: a newer request replaces the ones that wait and asks the running one to stop; leaving the viewer
never waits for a job (the thread is a daemon, unlike the workers of an executor, which are joined at exit).
"""

from __future__ import annotations

import threading
from collections.abc import Callable

Cancelled = Callable[[], bool]
Job = Callable[[Cancelled], None]


class Background:
    """One daemon thread with one slot."""

    def __init__(self, name: str, failed: Callable[[BaseException], None]) -> None:
        self._name = name
        self._failed = failed
        self._condition = threading.Condition()
        self._next: Job | None = None
        self._serial = 0
        self._busy = False
        self._closed = False
        self._thread: threading.Thread | None = None

    @property
    def idle(self) -> bool:
        """True when nothing runs and nothing waits."""
        with self._condition:
            return not self._busy and self._next is None

    def submit(self, job: Job) -> None:
        """Runs the job next, instead of whatever waits; the running one is asked to stop."""
        with self._condition:
            if self._closed:
                return
            self._serial += 1
            self._next = job
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            self._condition.notify()

    def cancel(self) -> None:
        """Drops what waits and asks the running job to stop."""
        with self._condition:
            self._serial += 1
            self._next = None

    def close(self) -> None:
        """Ends the thread after the running job; does not wait for it."""
        with self._condition:
            self._closed = True
            self._serial += 1
            self._next = None
            self._condition.notify()

    def _run(self) -> None:
        while True:
            with self._condition:
                self._busy = False
                while self._next is None and not self._closed:
                    self._condition.wait()
                if self._closed:
                    return
                job, self._next = self._next, None
                serial = self._serial
                self._busy = True
            assert job is not None

            def cancelled(serial: int = serial) -> bool:
                return self._serial != serial

            try:
                job(cancelled)
            except Exception as error:  # noqa: BLE001  the top of a thread: whatever it is, it is shown
                if not self._closed:
                    self._failed(error)

"""What a block did that another process could see, for whoever must be told that it is not undone.

Guarantee: bounded, whatever the block did.
"""

from __future__ import annotations

_MOST_ACTS = 20
_INSTEAD = {
    "multiprocessing": "use threads (multiprocessing.pool.ThreadPool, ThreadPoolExecutor) or subprocess",
    "concurrent.futures.process": "use ThreadPoolExecutor or subprocess",
    "os.exec": "use subprocess",
    "os.posix_spawn": "use subprocess",
    "os.fork": "use threads or subprocess",
}


def why_opaque(via: str) -> str:
    """Why a replay cannot answer what comes of a process that was started so, and what to use instead."""
    instead = _INSTEAD.get(via, "use subprocess.run or subprocess.Popen")
    return (
        f"{via} started a process: what it sends back is not recorded, so no replay goes past it; {instead}"
    )


class Acts:
    """What a block did that another process could see, in a few words each; of many acts the first ones."""

    def __init__(self) -> None:
        self._told: list[str] = []
        self._more = 0

    def add(self, text: str) -> None:
        """Notes an act; one that was just noted in the same words counts once."""
        if self._told[-1:] == [text]:
            return
        if len(self._told) < _MOST_ACTS:
            self._told.append(text)
        else:
            self._more += 1

    def all(self) -> tuple[str, ...]:
        """The acts, the last row saying how many more there were."""
        return (*self._told, f"{self._more} more") if self._more else tuple(self._told)

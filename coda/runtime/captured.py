"""The output of blocks as their results hold it: bounded, and what is left out is counted.

Guarantee: the log is not touched by this; it has all of the output.
"""

from __future__ import annotations

from collections.abc import Callable

from coda.runtime.limits import Limits


class Captured:
    """Output of the block at hand.

    Args:
        limits: how much is held.
        tell: told once a block when that is less than was written (what, detail).
        on_flood: told once, when the run has written more than its log is to hold.
    """

    def __init__(
        self, limits: Limits, tell: Callable[[str, str], None], on_flood: Callable[[str], None] | None
    ) -> None:
        self._limits = limits
        self._tell = tell
        self._on_flood = on_flood
        self._run_bytes = 0
        self._flooded = 0
        self.begin_block(0)  # a program can write before its first block, while its module is searched for

    def begin_block(self, block: int) -> None:
        """A block begins with nothing written."""
        self._block = block
        self._texts: dict[str, list[str]] = {"stdout": [], "stderr": []}
        self.left_out_bytes = 0
        rooms = [limit for limit in (self._limits.output_bytes,) if limit is not None]
        if self._limits.run_output_bytes is not None:
            rooms.append(max(0, self._limits.run_output_bytes - self._run_bytes))
        self._room = min(rooms, default=-1)

    def add(self, stream: str, text: str) -> None:
        """Takes a piece in, as far as there is room."""
        size = len(text) if text.isascii() else len(text.encode("utf-8", "backslashreplace"))
        self._run_bytes += size
        if self._room < 0 or (size <= self._room and not self.left_out_bytes):
            self._texts[stream].append(text)
            self._room -= size if self._room >= 0 else 0
        else:
            self._leave_out(stream, text, size)
        most = self._limits.logged_bytes
        if most is not None and self._run_bytes > most and self._flooded != self._block:
            self._flooded = self._block
            self._tell("logged-output", f"the run has written more than {most} bytes")
            if self._on_flood is not None:
                self._on_flood(f"stopped: the run has written more than {most} bytes")

    def _leave_out(self, stream: str, text: str, size: int) -> None:
        if not self.left_out_bytes:
            kept = text.encode("utf-8", "backslashreplace")[: self._room].decode("utf-8", "ignore")
            self._texts[stream].append(kept)
            size -= self._room
            self._room = 0
            self._tell("output", f"the rest of the output of block {self._block} is in the log alone")
        self.left_out_bytes += size

    def text(self, stream: str) -> str:
        """What is held of a stream."""
        return "".join(self._texts[stream])

"""What passed between agent code and each child that it talked to, as a replay or a fork answers it."""

from __future__ import annotations

from typing import Any

from coda.log import ProcessFinished, ProcessIo, ProcessStarted, Trace, to_envelope

POPEN = "subprocess.Popen"
_PIECE_BYTES = 1 << 30


class Exchanges:
    """The children of one run, found by the event of their start.

    Cost: one pass over the records of processes, when the first is asked for.
    """

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._pieces: dict[int, list[ProcessIo]] | None = None
        self._ends: dict[int, ProcessFinished] = {}

    def pieces(self, seq: int) -> list[ProcessIo]:
        """What went through the pipes of the child that event `seq` started, in order."""
        if self._pieces is None:
            self._pieces = {}
            for placed in self._trace.records(own=False, types={"process.io", "process.finished"}):
                record = placed.record
                if isinstance(record, ProcessIo) and record.cause is not None:
                    self._pieces.setdefault(record.cause, []).append(record)
                elif isinstance(record, ProcessFinished) and record.cause is not None:
                    self._ends[record.cause] = record
        return self._pieces.get(seq, [])

    def content(self, digest: str | None) -> bytes:
        """The bytes of a piece."""
        return b"" if digest is None else self._trace.blobs.get(digest)

    def answer(self, started: ProcessStarted, seq: int) -> dict[str, Any]:
        """What the worker needs to play a child: pieces of its output, its end, the error of its start."""
        pieces = self.pieces(seq)
        end = self._ends.get(seq)
        found: dict[str, Any] = {name: [] for name in started.pipes if name != "stdin"}
        for piece in pieces:
            if piece.stream in found and piece.digest is not None:
                content = self.content(piece.digest)
                found[piece.stream].append(to_envelope(content, max_bytes=_PIECE_BYTES))
        if end is not None:
            found.update(code=end.code, error=end.error, fed=end.fed, pid=end.pid)
        return found

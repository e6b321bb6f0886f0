"""What passed between agent code and each child that it talked to, as a replay or a fork answers it."""

from __future__ import annotations

from typing import Any

from coda.log import ProcessFinished, ProcessIo, ProcessStarted, Trace

POPEN = "subprocess.Popen"


class Exchanges:
    """The children of one run, found by the event of their start.

    Cost: one pass over the records of processes, when the first is asked for.
    """

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._pieces: dict[int, list[ProcessIo]] | None = None
        self._ends: dict[int, ProcessFinished] = {}
        self._started: dict[int, tuple[ProcessStarted, int]] = {}

    def pieces(self, seq: int) -> list[ProcessIo]:
        """What went through the pipes of the child that event `seq` started, in order."""
        if self._pieces is None:
            self._pieces = {}
            types = {"process.started", "process.io", "process.finished"}
            for placed in self._trace.records(own=False, types=types):
                record = placed.record
                if isinstance(record, ProcessStarted) and record.child is not None:
                    self._started[record.child] = record, record.seq
                if isinstance(record, ProcessIo) and record.cause is not None:
                    self._pieces.setdefault(record.cause, []).append(record)
                elif isinstance(record, ProcessFinished) and record.cause is not None:
                    self._ends[record.cause] = record
        return self._pieces.get(seq, [])

    def started(self, child: Any) -> ProcessStarted | None:
        """The start of the child with a number."""
        self.pieces(0)
        found = self._started.get(child)
        return found[0] if found is not None else None

    def content(self, digest: str | None) -> bytes:
        """The bytes of a piece."""
        return b"" if digest is None else self._trace.blobs.get(digest)

    def answer(self, started: ProcessStarted, seq: int) -> dict[str, Any]:
        """What the worker needs to play a child.

        Returns:
            `input`, what it was fed; for each stream its pieces, an empty one for the end, each with what it
            had been fed by then: bytes, and whether that was all; None when the log does not have it.
            `need`: as much for its own end; its status, or the error of its start.
        """
        own, feeding = self.pieces(seq), self.pieces(self._feeder(started, seq))
        fed = _Count([piece for piece in feeding if piece.stream == "stdin"])
        found: dict[str, Any] = {name: [] for name in started.pipes if name != "stdin"}
        for piece in own:
            if piece.stream in found:
                found[piece.stream].append([fed.until(piece.seq), self.content(piece.digest)])
        end = self._ends.get(seq)
        need = fed.until(end.seq) if end is not None else None
        for said in found.values():
            if not said or said[-1][1]:  # the log is of before ends were told, or has none
                said.append([need, b""])
        found["input"] = b"".join(self.content(piece.digest) for piece in own if piece.stream == "stdin")
        if end is not None:
            found.update(code=end.code, error=end.error, fed=end.fed, pid=end.pid, need=need)
        return found

    def _feeder(self, started: ProcessStarted, seq: int) -> int:
        """The start of the child that is fed so that this one is: itself, or the first of a chain of them."""
        _, told, number = (started.source or "").rpartition(" of child ")
        before = self._started.get(int(number)) if told else None
        return self._feeder(*before) if before is not None and before[1] < seq else seq


class _Count:
    """How much of its input a child had been fed by an event; asked for in the order of the log."""

    def __init__(self, pieces: list[ProcessIo]) -> None:
        self._pieces = pieces
        self._next = 0
        self._size = 0
        self._closed = False

    def until(self, seq: int) -> list[Any]:
        """Bytes, and whether that was all."""
        while self._next < len(self._pieces) and self._pieces[self._next].seq < seq:
            piece = self._pieces[self._next]
            self._size += piece.size
            self._closed = self._closed or not piece.size
            self._next += 1
        return [self._size, self._closed]

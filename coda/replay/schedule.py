"""Calls that overlapped, as a replay answers them: begun at once, delivered when the log delivered them."""

from __future__ import annotations

from coda.errors import MissingEffect
from coda.log import LoopWoke, ToolCalled, ToolReturned
from coda.runtime import Answer


class Schedule:
    """The calls of a run that its code did not stand still for."""

    def __init__(self) -> None:
        self.under_way: dict[int, ToolCalled] = {}
        """Calls that were begun and not delivered, by their number."""
        self._returned: dict[int, ToolReturned] = {}

    def begun(self, call: ToolCalled) -> Answer:
        """The worker has begun a call."""
        self.under_way[call.call] = call
        return Answer(True)

    def returned(self, answer: ToolReturned) -> None:
        """A call has ended; the worker does not know it yet."""
        if answer.cause is not None:
            self._returned[answer.cause] = answer

    def arrived(self, woke: LoopWoke) -> Answer:
        """What the worker was told then. Raises MissingEffect when a result is not in the log."""
        calls = []
        for number in woke.calls:
            call = self.under_way.pop(number, None)
            answer = self._returned.pop(call.seq, None) if call is not None else None
            if answer is None:
                raise MissingEffect(
                    f"event {woke.seq} delivers call {number}, whose result is not in the log", seq=woke.seq
                )
            calls.append([number, answer.ok, answer.value if answer.ok else answer.error])
        return Answer(True, {"calls": calls, "timers": list(woke.timers), "waited_ns": woke.waited_ns})

"""What the tabs show for the present position, from what has arrived so far.

Guarantee: a tab never mixes two positions: what is not yet known for the present one is said to be on its
way, and the values of an older position are not shown as the present ones.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Final

from coda.errors import CodaError
from coda.viewer.engine import Rebuilt
from coda.viewer.ledger import Known, Printed, Snapshot
from coda.viewer.moments import Moment, Unit
from coda.viewer.panes import (
    Variables,
    by_recency,
    call_lines,
    changed,
    ctx_lines,
    event_lines,
    output_lines,
    recorded,
    talk_lines,
    variable_lines,
)  # fmt: skip
from coda.viewer.session import Session
from coda.viewer.text import Line, Span, clean, shown
from coda.viewer.timeline import CALL

TABS: Final = ("variables", "ctx", "output", "call", "talk", "event")
_TALK_LAST = 400
_CTX_LAST = 5000


class Details:
    """The content of the tabs of one session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.seq = 0
        self.line: Moment | None = None
        self.snapshot: Snapshot | None = None
        self.printed: list[Printed] = []
        self.rebuilt: Rebuilt | None = None
        self.replaying = False
        self.replay_note = ""
        self._shown: dict[str, tuple[int, Variables, frozenset[tuple[str, str]]]] = {}

    def move(self, seq: int, line: Moment | None) -> None:
        """Says where the viewer is now: the event, and the statement last begun there."""
        self.seq = seq
        self.line = line

    @property
    def function(self) -> str:
        """The function at the position, "" at module level."""
        if self.line is None or self.line.unit is None or self.line.statement is None:
            return ""
        return self.line.unit.function(self.line.statement)

    def lines(self, tab: str) -> list[Line] | None:
        """The lines of a tab; None to leave it as it is for the moment."""
        try:
            if tab == "variables":
                return self._variables()
            if tab == "ctx":
                return self._ctx()
            if tab == "output":
                known = self.snapshot is not None and self.snapshot.seq == self.seq
                return output_lines(self.printed) if known else None
            if tab == "call":
                return self._call()
            if tab == "talk":
                return self._talk()
            return self._event()
        except CodaError as error:
            return [(Span(clean(error.message), "error"),)]

    def variables(self) -> Variables | None:
        """The variables at the position: replayed ones when they are there, else recorded ones."""
        if self.rebuilt is not None and self.rebuilt.seq == self.seq and self.rebuilt.variables is not None:
            known = self.snapshot if self.snapshot is not None and self.snapshot.seq == self.seq else None
            return by_recency(self.rebuilt.variables, known)
        if self.snapshot is not None and self.snapshot.seq == self.seq:
            return recorded(self.snapshot, self.function)
        return None

    def _variables(self) -> list[Line] | None:
        found = self.variables()
        if found is None:
            return None
        return variable_lines(found, self._marks(found), self._status(found))

    def _marks(self, found: Variables) -> frozenset[tuple[str, str]]:
        before = self._shown.get(found.source)
        if before is not None and before[0] == self.seq:
            marks = before[2] if before[1] == found else changed(before[1], found) | before[2]
        else:
            marks = changed(before[1] if before is not None else None, found)
        self._shown[found.source] = (self.seq, found, marks)
        return marks

    def _status(self, found: Variables) -> Line:
        if found.source == "replayed":
            return (Span("  the code was run again up to here", "faint"),)
        if self.replaying:
            return (Span("  from the log; replaying…", "faint"),)
        note = self.replay_note
        if self.rebuilt is not None and self.rebuilt.seq == self.seq and self.rebuilt.error:
            note = self.rebuilt.error
        return (Span("  from the log", "faint"), Span(f"; {note}" if note else "", "faint"))

    def inline(self, unit: Unit) -> dict[int, str]:
        """Recorded values to show behind the lines of a unit that bound them."""
        if self.snapshot is None or self.snapshot.seq != self.seq:
            return {}
        values: dict[int, list[Known]] = {}
        for known in self.snapshot.names:
            statement = unit.statement(known.statement)
            if statement is not None and not known.doubt and known.function in ("", self.function):
                values.setdefault(statement.line, []).append(known)
        return {
            line: "  ".join(f"{clean(k.name)} = {shown(k.value, width=60, under=k.name)}" for k in found[-4:])
            for line, found in values.items()
        }

    def _ctx(self) -> list[Line]:
        timeline, moments = self._session.timeline, self._session.moments
        stop = bisect_left(timeline.ctx, self.seq)
        seqs = timeline.ctx[max(0, stop - _CTX_LAST) : stop]
        return ctx_lines((moments.record(timeline.record_of(seq)) for seq in seqs), self.seq)

    def _call(self) -> list[Line]:
        timeline, moments = self._session.timeline, self._session.moments
        if self.seq >= timeline.count:
            return call_lines(None, None, 0)
        group = timeline.enclosing(self.seq, CALL)
        if group is not None:
            return call_lines(moments.at(group.start), self._session.answer_of(group), group.took_ns)
        moment = moments.at(self.seq)
        # An effect without an answer of its own (a file, an import) is its own call.
        if moment.id is None and moment.type.split(".")[0] in (
            "file",
            "import",
            "net",
            "effect",
            "tool",
            "process",
        ):
            return event_lines(moment)
        return call_lines(None, None, 0)

    def _talk(self) -> list[Line]:
        timeline, moments = self._session.timeline, self._session.moments
        stop = bisect_right(timeline.talk, self.seq)
        start = max(0, stop - _TALK_LAST)
        lines = talk_lines(moments.record(timeline.record_of(seq)) for seq in timeline.talk[start:stop])
        if start:
            lines.insert(0, (Span(f"{start} earlier messages are not shown", "faint"),))
        return lines

    def _event(self) -> list[Line]:
        if self.seq >= self._session.timeline.count:
            return [(Span("after the last event", "faint"),)]
        return event_lines(self._session.moments.at(self.seq))

"""What a finder works with: one trace, one query, and the making of hits.

Guarantee: a finder sees only records of the types that its verb names; everything else in the file is
skipped undecoded. Nothing is kept but what a hit needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from coda.log import Trace, TraceEvent, render, source_lines
from coda.query.globs import Matcher, path_glob, text_glob
from coda.query.hits import Hit
from coda.query.skim import Skimmer, literal_of
from coda.query.tree import Query, fields_of
from coda.query.verbs import VERBS


class Scan:
    """One trace under one query.

    Args:
        trace: the open trace.
        query: what is asked; already checked.
        first: first event number that is of interest.
        last: last one, None for all.
    """

    def __init__(self, trace: Trace, query: Query, *, first: int = 0, last: int | None = None) -> None:
        self.trace = trace
        self.query = query
        self.first = first
        self.last = last
        self.path = str(trace.path)
        self.root = trace.started.root
        self.notes: dict[str, int] = {}
        self.possible = 0
        """Commands that name what is asked for; what a child process does itself is not recorded."""
        self.may_skim = query.verb in ("read", "delete")
        """Whether a record without the pattern's literal part cannot have a part in the answer."""
        self._causes: dict[int, TraceEvent] = {}
        self.asked = frozenset(compare.field.partition(".")[0] for compare in fields_of(query.where)) | {
            stage.field.partition(".")[0] for stage in query.stages if stage.field
        }

    def events(self, start: int = 0) -> Iterator[TraceEvent]:
        """Gives the events of the verb's types, in order, past the range only what completes a hit."""
        verb = VERBS[self.query.verb]
        literal = literal_of(self.query.pattern.text) if self.query.pattern and self.may_skim else None
        if literal is not None:
            return Skimmer(self.trace, verb.types | verb.support, literal, self._remember).events()
        return self.trace.events(start, None, types=verb.types | verb.support)

    def past(self, seq: int) -> bool:
        """Tells whether an event lies behind the range."""
        return self.last is not None and seq > self.last

    def note(self, text: str) -> None:
        """Counts something that the answer should be accompanied by."""
        self.notes[text] = self.notes.get(text, 0) + 1

    def text_test(self) -> Matcher:
        """Gives the test that the pattern is for a name or text; without a pattern all pass."""
        return text_glob(self.query.pattern.text if self.query.pattern else "*")

    def path_test(self) -> Callable[..., bool]:
        """Gives the test that the pattern is for paths: any of those given may match (None does not)."""
        if self.query.pattern is None:
            return lambda *_paths: True
        match = path_glob(self.query.pattern.text)
        root = self.root
        return lambda *paths: any(path is not None and match(path, root) for path in paths)

    def hit(self, event: TraceEvent, what: str, detail: str = "", **derived: Any) -> Hit:
        """Makes the hit of an event; a line that the event does not name comes from its cause."""
        place = event
        if event.line is None and event.cause is not None:
            place = self.cause(event.cause)
        return Hit(
            run=event.run,
            trace=self.path,
            verb=self.query.verb,
            seq=event.seq,
            type=event.type,
            t=event.t,
            block=event.block if event.block is not None else place.block,
            turn=event.turn if event.turn is not None else place.turn,
            file=place.file,
            line=place.line,
            function=place.function,
            source=self.source(place),
            cause=event.cause,
            what=what,
            detail=detail,
            fields=self.fields(event) | derived,
        )

    def source(self, event: TraceEvent) -> str | None:
        """Gives the source text of an event's line, None when it has none."""
        if event.line is None or event.source:
            return event.source or None
        # A block that could not be analysed has no table, but its source is in the log.
        block = self.trace.block(event.block) if event.block is not None else None
        if block is None or block.file != event.file:
            return None
        lines = source_lines(block.source)[max(event.line - block.started.first_line, 0) :]
        return lines[0].strip() if lines else None

    def fields(self, event: TraceEvent) -> dict[str, Any]:
        """Gives what the event's own record says, as in `coda log --json`."""
        return dict(event.fields)

    def cause(self, seq: int) -> TraceEvent:
        """Gives the event that another one belongs to; the last few are remembered."""
        if seq not in self._causes:
            self._remember(self.trace.event(seq))
        return self._causes[seq]

    def _remember(self, event: TraceEvent) -> None:
        if len(self._causes) > 64:
            self._causes.clear()
        self._causes[event.seq] = event


def shown(value: Any, width: int = 60) -> str:
    """Gives a value of the envelope as short Python-like text."""
    return render(value, width=width)


def size_text(size: int) -> str:
    """Gives a size as people read it."""
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size} B"


def seconds_text(duration_ns: int) -> str:
    """Gives a duration as people read it."""
    for unit, scale in (("s", 10**9), ("ms", 10**6), ("us", 10**3)):
        if duration_ns >= scale:
            return f"{duration_ns / scale:.3g} {unit}"
    return f"{duration_ns} ns"

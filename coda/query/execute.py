"""Answering a query: each trace is scanned once, rows stream, and what is not sure is said.

Guarantee: rows come in the order of the traces and of the events in each; nothing is held but what a
stage of the query needs (`last N` its N rows, `count` its groups). After the rows are taken,
`Result.incomplete` says what could not be decided; an empty answer is only a no when it is empty too.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from coda.errors import LogError, UsageError
from coda.log import SealWatch, Trace, open_trace
from coda.query import find_calls, find_events, find_files, find_imports, find_lines
from coda.query.compare import NOT_KNOWN, Test, pick, plain, ready, text_of
from coda.query.hits import Hit
from coda.query.literals import span
from coda.query.parse import parse
from coda.query.scan import Scan
from coda.query.tree import Query, Range, Stage
from coda.query.verbs import check

FINDERS: dict[str, Callable[[Scan], Iterator[Hit]]] = {
    "read": find_files.find_reads,
    "write": find_files.find_writes,
    "delete": find_files.find_deletes,
    "run": find_calls.find_runs,
    "tool": find_calls.find_tools,
    "llm": find_calls.find_llm,
    "ctx": find_events.find_ctx,
    "connect": find_events.find_connects,
    "import": find_imports.find_imports,
    "output": find_events.find_outputs,
    "error": find_events.find_errors,
    "effect": find_events.find_effects,
    "env": find_events.find_env,
    "set": find_lines.find_sets,
    "line": find_lines.find_lines,
}


_UNDECIDED = {
    "set": ("bindings not captured", "; a replay knows them"),
    "run": (
        "commands of which that is not recorded",
        "; `run where finished = null` lists those without an end",
    ),
}
"""What could not be decided, and who knows it, for verbs that have words of their own."""


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """One row of `| count by FIELD`; of `| count`, the only one, with field None."""

    field: str | None
    key: Any
    count: int


class Result:
    """The answer to one query, computed while it is read.

    Args:
        query: the checked query.
        traces: what to scan, in order; opened one at a time. Of several, one that cannot be read is said in
            `incomplete`, and the others are asked.
    """

    def __init__(self, query: Query, traces: Iterable[Trace | str | Path]) -> None:
        self.query = query
        self._incomplete: list[str] = []
        self._notes: list[str] = []
        self._watches: list[SealWatch] = []
        self._traces = list(traces)
        self._rows = _staged(self._hits(), query.stages)

    @property
    def rows(self) -> Iterator[Hit | Group]:
        """The rows, once: hits, or groups when the query counts."""
        return self._rows

    @property
    def incomplete(self) -> list[str]:
        """Sentences on what could not be decided; complete once the rows are taken."""
        self._take_in_seals()
        return self._incomplete

    @property
    def notes(self) -> list[str]:
        """Sentences worth knowing that do not make the answer less complete."""
        self._take_in_seals()
        return self._notes

    def __iter__(self) -> Iterator[Hit | Group]:
        return self._rows

    @property
    def groups(self) -> list[Group]:
        """The counts of a query that counts; takes all rows. Empty for others."""
        if not any(stage.kind == "count" for stage in self.query.stages):
            return []
        return [row for row in self._rows if isinstance(row, Group)]

    def _hits(self) -> Iterator[Hit]:
        test = ready(self.query.where) if self.query.where is not None else None
        for given in self._traces:
            try:
                trace = given if isinstance(given, Trace) else open_trace(given)
                yield from self._scan(trace, test)
            except (LogError, UsageError) as error:
                if len(self._traces) == 1 or "column" in error.facts:
                    raise
                # As grep does: the other traces are still asked, and the status says that one was not.
                self._incomplete.append(f"incomplete: {error.message}")
            self._take_in_seals()

    def _take_in_seals(self) -> None:
        """Waits for the comparison of the seals of what was read, and says what it found."""
        for watch in self._watches:
            damage, unsealed = watch.damage(), watch.unsealed()
            if damage is not None:
                self._incomplete.append(f"incomplete: {damage}")
            elif unsealed is not None:
                self._notes.append(unsealed)
        self._watches.clear()

    def _scan(self, trace: Trace, test: Test | None) -> Iterator[Hit]:
        self._watches.append(SealWatch(trace))
        first, last = _range(trace, self.query.at)
        scan = Scan(trace, self.query, first=first, last=last)
        undecided = certain = 0
        self._say_what_is_missing(trace)
        for hit in FINDERS[self.query.verb](scan):
            if hit.seq < first or scan.past(hit.seq):
                continue
            if test is not None:
                answer = test(_known(hit), scan.root)
                undecided += hit.times if answer is None else 0
                if not answer:
                    continue
            certain += 1
            yield hit
        if scan.possible:
            # A certain hit answers the question; without one, "no" would be a guess.
            said = self._notes if certain else self._incomplete
            mark = "also possible" if certain else "incomplete"
            names = "command names" if scan.possible == 1 else "commands name"
            said.append(
                f"{mark}: in run {trace.run} {scan.possible:,} {names} such a file, and what a command reads"
                " itself is not recorded; `run` lists commands"
            )
        if self.query.verb == "import" and not certain and trace.started.level == "effects":
            self._incomplete.append(
                f"incomplete: run {trace.run} was recorded at level effects, which does not list the import"
                " of a module that is loaded already"
            )
        if undecided:
            what, hint = _UNDECIDED.get(self.query.verb, ("values not kept whole", "; a replay knows them"))
            self._incomplete.append(
                f"incomplete: {undecided:,} {what} in run {trace.run}, so not compared{hint}"
            )
        self._notes += [f"{times:,} x {text}" for text, times in scan.notes.items()]

    def _say_what_is_missing(self, trace: Trace) -> None:
        started = trace.started
        if self.query.verb in ("set", "line") and started.level == "effects":
            self._incomplete.append(
                f"incomplete: run {trace.run} was recorded at level effects, which lists no lines;"
                " record with --record values to ask this"
            )
        if trace.torn is not None:
            self._notes.append(
                f"run {trace.run} is cut short: its last {trace.torn.bytes:,} bytes are no whole record"
            )


def _known(hit: Hit) -> dict[str, Any]:
    """Gives the fields of a hit, with what was not captured as not known."""
    fields = hit.lookup()
    if hit.verb == "run" and fields.get("error") is None:
        # The end of a child that is waited for by other means than `run` is not in the log.
        unknown = (
            ("code",) if fields.get("finished") is not None else ("code", "stdout", "stderr", "duration")
        )
        fields |= {name: NOT_KNOWN for name in unknown if fields.get(name) is None}
    if fields.get("captured") is False:
        fields["value"] = NOT_KNOWN
    return fields


def _range(trace: Trace, at: Range | None) -> tuple[int, int | None]:
    """Gives the first and last event number of a range of positions."""
    if at is None:
        return 0, None
    first = trace.position(at.first).seq if at.first is not None else 0
    last = trace.position(at.last).seq if at.last is not None else None
    if last is not None and last < first:
        raise UsageError(f"the range {at.first}..{at.last} ends before it begins", column=at.column)
    return first, last


def query(text: str, traces: Iterable[Trace | str | Path], *, at: str | None = None) -> Result:
    """Asks one question of some traces.

    Args:
        text: a query on events; `why` has a function of its own.
        traces: open traces, paths or run ids.
        at: a range `FIRST..LAST` of positions, in place of one in the text.

    Returns:
        The answer; it is computed while its rows are read.

    Raises:
        QuerySyntax: the text does not parse.
        UnknownField: it names a field that no event of its verb has.
    """
    tree = parse(text)
    if not isinstance(tree, Query):
        raise UsageError("a `why` question is answered by coda.query.why", text=text)
    if at is not None:
        tree = msgspec.structs.replace(tree, at=span(at, 1))
    check(tree)
    return Result(tree, traces)


def _staged(rows: Iterator[Hit], stages: tuple[Stage, ...]) -> Iterator[Hit | Group]:
    """Puts the stages of a query behind one another."""
    staged: Iterator[Hit | Group] = rows
    for stage in stages:
        if stage.kind == "first":
            staged = islice(staged, stage.n)
        elif stage.kind == "last":
            staged = _last(staged, stage.n or 0)
        elif stage.kind == "count":
            staged = _count(staged, stage.field)
    return staged


def _last(rows: Iterator[Hit | Group], n: int) -> Iterator[Hit | Group]:
    yield from deque(rows, maxlen=n)


def _count(rows: Iterator[Hit | Group], field: str | None) -> Iterator[Group]:
    """Counts rows by the value of a field, most frequent first, equal counts by key."""
    counts: Counter[Any] = Counter()
    path = tuple(field.split(".")) if field is not None else ()
    for row in rows:
        if isinstance(row, Hit):
            counts[_key(pick(_known(row), path)) if field is not None else None] += row.times
    if field is None:
        yield Group(field=None, key=None, count=counts.total())
        return
    for key, count in sorted(counts.items(), key=lambda item: (-item[1], text_of(item[0]))):
        yield Group(field=field, key=key, count=count)


def _key(value: Any) -> Any:
    """Gives a value as a key: scalars as they are, everything else as JSON text."""
    if value is NOT_KNOWN:
        return "(not captured)"
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return msgspec.json.encode(plain(value), enc_hook=str).decode()

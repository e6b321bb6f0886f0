"""Finds events: by a query when the text is one, by plain text when it is not.

Guarantee: the hits are event numbers in order; an answer says by which of the two it was found, and whether
it is complete.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Any

from coda.errors import CodaError, QuerySyntax
from coda.log import Trace
from coda.viewer.engine import Answer, sentence
from coda.viewer.moments import Moments, Stream
from coda.viewer.text import shown
from coda.viewer.timeline import Timeline

Cancelled = Callable[[], bool]


def search(
    query: Callable[..., Any],
    trace: Trace,
    timeline: Timeline,
    moments: Moments,
    text: str,
    cancelled: Cancelled,
) -> Answer:
    """Answers what was typed behind the slash."""
    try:
        result = query(text, [trace])
    except QuerySyntax:
        return Answer(text, find_text(timeline, moments, text, cancelled), "text")
    except CodaError as error:
        return Answer(text, array("q"), "query", sentence(error))
    seqs: set[int] = set()
    for number, row in enumerate(result.rows):
        if number % 256 == 0 and cancelled():
            break
        seq = _seq(row)
        if seq is not None:
            seqs.add(seq)
    hits = sorted(seqs)
    return Answer(text, array("q", hits), "query", incomplete=bool(result.incomplete))


def _seq(row: Any) -> int | None:
    value = row.get("seq") if isinstance(row, dict) else getattr(row, "seq", None)
    return value if isinstance(value, int) else None


def find_text(timeline: Timeline, moments: Moments, text: str, cancelled: Cancelled) -> array[int]:
    """The events that show a text, whatever its case: in source lines, values, outputs, any record.

    Cost: one pass over the file.
    """
    needle = text.casefold()
    found = array("q")
    if not needle:
        return found
    known: dict[int, bool] = {}
    for record in range(timeline.records()):
        if record % 256 == 0 and cancelled():
            break
        place = timeline.place(record)
        if place.type == "lines":
            stream = moments.stream(record, keep=False)
            end = timeline.end_of(record) - place.seq
            hits = _in_stream(moments, stream, needle, known)
            found.extend(place.seq + event for event in hits if event < end)
        elif needle in moments.raw(record).decode("utf-8", "replace").casefold():
            found.append(place.seq)
    return found


def _in_stream(moments: Moments, stream: Stream, needle: str, known: dict[int, bool]) -> list[int]:
    for id in set(stream.ids):
        if id >= 0 and id not in known and id not in stream.bindings:
            unit = moments.unit_of(id)
            statement = unit.statement(id) if unit is not None else None
            known[id] = bool(unit and statement and needle in unit.text(statement.line).casefold())
    hits = []
    for event, entry in enumerate(stream.events):
        id = stream.ids[entry]
        if id >= 0:
            if known.get(id):
                hits.append(event)
        elif needle in shown(stream.value(entry), width=10_000).casefold():
            hits.append(event)
    return hits

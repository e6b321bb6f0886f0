"""Frames of a recorded program as the interpreter knows them, beside what the marks in the stream tell."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any, NamedTuple

from coda.log import MARKS
from coda.log.frames import UNKNOWN, FrameRows, Frames
from coda.runtime.instrument import FrameNumbers, compile_unit
from coda.runtime.instrument_hooks import Buffer, Values
from tests.unit.runtime.instrument_run import BASE, FILENAME

COMPREHENSIONS = ("<listcomp>", "<setcomp>", "<dictcomp>")
"""Until 3.12 these have frames of their own, which belong to the statement that they are in."""


class Told(NamedTuple):
    """One statement or binding: what ran, and what the reader says of its frame."""

    name: str | None
    """Of the binding; None for a statement."""
    statement: int
    truth: FrameType
    number: int | None
    at: int | None
    """Of a binding: the statement event that it belongs to."""


def tell(source: str, *, limit: int = 10_000, namespace: dict[str, Any] | None = None) -> list[Told]:
    """Runs a program and decodes its stream; whatever it raises is of no interest."""
    frames: list[FrameType] = []

    class Witness(Buffer):
        """Keeps the frame of each hook. A frame that is kept alive has an identity for ever."""

        __slots__ = ()

        def append(self, number: int, /) -> None:
            list.append(self, number)
            frame = sys._getframe(1)
            while frame.f_code.co_filename != FILENAME or frame.f_code.co_name in COMPREHENSIONS:
                assert frame.f_back is not None
                frame = frame.f_back
            frames.append(frame)

    lines, values = Witness(), Values()
    unit = compile_unit(
        source, filename=FILENAME, base=BASE, level="values", lines=lines, values=values, value_limit=limit,
        frames=FrameNumbers(),
    )  # fmt: skip
    assert unit.note is None
    try:
        exec(unit.code, namespace if namespace is not None else {"__name__": "program"})
    except BaseException:
        pass
    return _decode(unit.table, list(lines), list(values), frames)


def _decode(table: Any, ids: list[int], vals: list[Any], truths: list[FrameType]) -> list[Told]:
    rows, frames = FrameRows(table, FILENAME), Frames()
    frames.begin_block()
    told: list[Told] = []
    values = iter(vals)
    count, seq = len(table.statements), 0
    for id, truth in zip(ids, truths, strict=True):
        index = id - BASE
        if index < count:
            frame = frames.statement(rows, index, seq)
            told.append(Told(None, index, truth, frame.number if frame is not None else None, seq))
            seq += 1
            continue
        binding = table.bindings[index - count]
        bound = frames.binding(rows, index - count, next(values), seq)
        if bound is None:
            assert binding.name in MARKS
        elif index - count in table.loose:
            assert bound == UNKNOWN
        else:
            told.append(Told(binding.name, binding.statement, truth, *bound))
    return told


def check(told: list[Told]) -> tuple[int, int]:
    """Holds what the reader says against the truth; gives how many it knew, and how many it did not."""
    number_of: dict[FrameType, int] = {}
    frame_of: dict[int, FrameType] = {}
    events = [one for one in told if one.name is None]
    unknown = 0
    for one in told:
        if one.number is None:
            unknown += 1
            continue
        assert number_of.setdefault(one.truth, one.number) == one.number, one
        assert frame_of.setdefault(one.number, one.truth) is one.truth, one
        if one.name is not None and one.at is not None and one.at < len(events):
            event = events[one.at]
            assert (event.statement, event.truth) == (one.statement, one.truth), (one, event)
    return len(told) - unknown, unknown

"""Which frame each event happened in: recursion, generators and coroutines told apart.

Guarantee: a frame is named only when the marks in the stream say it; where they do not (a run without
marks, statements that were counted but not listed, threads whose turns are not in the log), it is None,
never a guess. A frame's number is the number of the event with which it began, so it is the same for
every reader, and in a fork.

Frames are on a stack, one for each thread. A frame is put on it by its first statement, taken off by its
end; one that can be suspended leaves it at `<suspend>` and comes back at `<resume>`, which names it by a
number of the recorder's. A statement of another body than that of the frame on top contradicts the stack:
then nothing below is known any more, while frames that begin later are.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from coda.log.suspending import GENERATORS
from coda.log.tables import Body, Table


class Bound(NamedTuple):
    """Where a value was bound: the frame, and the line event of its statement in it; None where unknown."""

    frame: int | None
    at: int | None


UNKNOWN = Bound(None, None)


class BodyRows:
    """One body of a table, and what its rows mean."""

    __slots__ = ("arguments", "body", "file", "function", "suspends")

    def __init__(self, body: Body, file: str, function: str) -> None:
        self.body = body
        self.file = file
        self.function = function
        self.arguments = frozenset(body.arguments)
        self.suspends = body.kind in GENERATORS


class FrameRows:
    """What a table says of frames: the body of each statement, the meaning of each mark.

    Args:
        table: a statement table, with or without bodies.
        file: of its code.
    """

    __slots__ = ("at", "loose", "marks", "of")

    def __init__(self, table: Table, file: str) -> None:
        bodies = [
            BodyRows(body, file, table.functions[table.statements[body.first].function])
            for body in table.bodies
        ]
        self.of: list[BodyRows | None] = [None] * len(table.statements)
        """The body of each statement; None when its frames are not marked."""
        self.marks: dict[int, tuple[str, BodyRows]] = {}
        """Index of a binding that is a mark to its meaning."""
        self.at = [row.statement for row in table.bindings]
        self.loose = frozenset(table.loose)
        for rows in bodies:
            body = rows.body
            # Those inside come later, and take their part.
            self.of[body.first : body.stop] = [rows if body.exit >= 0 else None] * (body.stop - body.first)
            for word in ("exit", "suspend", "resume"):
                if getattr(body, word) >= 0:
                    self.marks[getattr(body, word)] = (word, rows)


class Frame:
    """One frame: when it began, how many are below it, and the last start of each of its statements."""

    __slots__ = ("depth", "number", "rows", "starts", "token")

    def __init__(self, rows: BodyRows, number: int | None, token: int | None = None) -> None:
        self.rows = rows
        self.number = number
        self.token = token
        self.depth = 0
        self.starts: dict[int, int] = {}


class Frames:
    """The frames of a run, as one pass over its stream comes to know them."""

    def __init__(self) -> None:
        # None on the stack: what is below is not known.
        self._stack: list[Frame | None] = [None]
        self._others: dict[int, list[Frame | None]] = {}
        """The stacks of the threads that do not run, by number."""
        self._thread = 0
        self._waiting: dict[int, Frame] = {}
        self._mixed = False

    def begin_block(self) -> None:
        """A block is about to run, in the main thread."""
        self.switch(0)
        self._stack = []

    def end_block(self) -> None:
        """A block ended."""
        self.switch(0)
        self._stack = [None]

    def lose(self) -> None:
        """The stack is contradicted: the frames of this thread may have ended."""
        self._stack = [None]

    def lose_all(self) -> None:
        """What ran now is not listed: any frame may have ended."""
        self._others.clear()
        self._waiting.clear()
        self.lose()

    def start_thread(self, number: int) -> None:
        """A thread was started; it runs nothing yet."""
        self._others[number] = []

    def switch(self, number: Any) -> None:
        """Another thread goes on."""
        if type(number) is not int:
            self.mix()  # no recorder wrote that
        elif number != self._thread:
            self._others[self._thread] = self._stack
            self._stack = self._others.pop(number, [None])
            self._thread = number

    def mix(self) -> None:
        """From now on threads run as they like: what follows a statement need not be of its frame."""
        self._mixed = True
        self.lose_all()

    @property
    def top(self) -> int | None:
        """Number of the frame that runs."""
        frame = self._stack[-1] if self._stack else None
        return frame.number if frame is not None else None

    @property
    def depth(self) -> int | None:
        """How many frames are below the one that runs, in its thread; None when that is not known."""
        frame = self._stack[-1] if self._stack else None
        return frame.depth if frame is not None else None

    def is_of(self, file: str | None, function: str | None) -> bool:
        """Tells whether the frame that runs is known to be one of a function."""
        frame = self._stack[-1] if self._stack else None
        return frame is not None and (frame.rows.file, frame.rows.function) == (file, function)

    def statement(self, rows: FrameRows, index: int, seq: int) -> Frame | None:
        """Takes in a start of the statement with an index; gives its frame, None when that is not known."""
        body = rows.of[index]
        if body is None or self._mixed:
            return None
        if index == body.body.first:
            frame = Frame(body, seq)
            self._push(frame)
        else:
            top = self._stack[-1] if self._stack else None
            if top is None or top.rows is not body:
                if top is not None or not self._stack:
                    self.lose()
                return None
            frame = top
        frame.starts[index] = seq
        return frame

    def binding(self, rows: FrameRows | None, index: int, value: Any, seq: int) -> Bound | None:
        """Takes in a binding or a mark; gives where it was bound, None for a mark.

        Args:
            rows: of its table; None when it marks no frames.
            index: of the binding.
            value: its value.
            seq: number of the next event: an argument is bound by the frame that begins there.
        """
        if rows is None:
            return UNKNOWN
        mark = rows.marks.get(index)
        if mark is not None:
            if type(value) is not int:
                self.lose()  # no recorder wrote that
            elif not self._mixed:
                self._mark(*mark, value)
            return None
        statement = rows.at[index]
        body = rows.of[statement]
        if body is None or self._mixed or index in rows.loose:
            return UNKNOWN
        if index in body.arguments:
            return Bound(seq, seq)
        top = self._stack[-1] if self._stack else None
        if top is None or top.rows is not body or top.number is None:
            return UNKNOWN
        return Bound(top.number, top.starts.get(statement))

    def _push(self, frame: Frame) -> None:
        frame.depth = len(self._stack)
        self._stack.append(frame)

    def _mark(self, word: str, body: BodyRows, value: int) -> None:
        top = self._stack[-1] if self._stack else None
        on_top = top is not None and top.rows is body
        if word == "resume":
            self._resume(body, value)
        elif word == "suspend":
            if on_top:
                self._stack.pop()
        elif not body.suspends:
            if on_top:
                self._stack.pop()
            elif top is not None or not self._stack:
                self.lose()
        else:
            self._end(self._waiting.pop(value, None))

    def _resume(self, body: BodyRows, token: int) -> None:
        """The frame with a number of the recorder's runs now, if it did not already."""
        stack = self._stack
        top = stack[-1] if stack else None
        frame = self._waiting.get(token)
        if frame is None:
            # Its first one: it began with the statement before.
            if top is not None and top.rows is body and top.token is None:
                frame = top
            else:
                frame = Frame(body, None)
            frame.token = token
            self._waiting[token] = frame
        if frame is top:
            return
        if frame in stack:
            self.lose()
        self._push(frame)

    def _end(self, frame: Frame | None) -> None:
        """A frame that can be suspended ended: running, or thrown away as it was."""
        if frame is None or frame not in self._stack:
            return
        if self._stack[-1] is frame:
            self._stack.pop()
        else:
            self.lose()

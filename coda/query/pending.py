"""A statement that has begun and is not over."""

from __future__ import annotations

import ast

from coda.query.frames import Frame
from coda.query.heap import NOTHING, Objects


class Pending:
    """One running statement, and what is known of the calls that it made so far."""

    __slots__ = (
        "called", "certain", "entry", "frame", "given", "implied", "made", "node", "overlays", "recording",
    )  # fmt: skip

    def __init__(self, entry: int, node: ast.stmt | None, frame: Frame) -> None:
        self.entry = entry
        self.node = node
        self.frame = frame
        self.made: dict[object, int] = {}
        """The object that an expression made: one, however often it is looked at."""
        self.called: dict[ast.Call, list[Frame]] = {}
        """The frames that a call opened."""
        self.implied: list[Frame] = []
        """Frames that no call of the statement names: operators, properties, callbacks."""
        self.overlays: list[dict[str, Objects]] = []
        """Names of comprehensions and lambdas that are being looked at, innermost last."""
        self.given = NOTHING
        """What a `return` returns, or a loop goes over."""
        self.recording = False
        """Whether what it does is to be noted: it is over."""
        self.certain = True
        """Whether it ended in the ordinary way."""

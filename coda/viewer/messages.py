"""What the widgets and threads of the viewer tell each other.

Guarantee: each message is plain data about one thing that happened; nobody needs to look into the sender.
"""

from __future__ import annotations

from textual.message import Message

from coda.viewer.engine import Answer, Forked, Rebuilt
from coda.viewer.index import Batch
from coda.viewer.ledger import Printed, Snapshot


class Indexed(Message):
    """More of the trace was scanned."""

    def __init__(self, batch: Batch, *, more: bool) -> None:
        super().__init__()
        self.batch = batch
        self.more = more
        """False when this was all that the file held."""


class Damaged(Message):
    """The trace cannot be read further."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text


class Recorded(Message):
    """What the log tells of the state before an event."""

    def __init__(self, snapshot: Snapshot, printed: list[Printed]) -> None:
        super().__init__()
        self.snapshot = snapshot
        self.printed = printed


class Counted(Message):
    """How often the statements of a range ran."""

    def __init__(self, key: tuple[int, int], hits: dict[int, int]) -> None:
        super().__init__()
        self.key = key
        self.hits = hits


class Replayed(Message):
    """A replay to a position ended."""

    def __init__(self, rebuilt: Rebuilt) -> None:
        super().__init__()
        self.rebuilt = rebuilt


class Answered(Message):
    """A search ended."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


class ForkEnded(Message):
    """A fork ended."""

    def __init__(self, forked: Forked) -> None:
        super().__init__()
        self.forked = forked


class Moved(Message):
    """The user asked for another position, by its event number."""

    def __init__(self, seq: int) -> None:
        super().__init__()
        self.seq = seq


class FoldAsked(Message):
    """The user asked to fold or unfold the row of an event."""

    def __init__(self, seq: int) -> None:
        super().__init__()
        self.seq = seq


class Submitted(Message):
    """The user ended the command line with Enter."""

    def __init__(self, mode: str, text: str) -> None:
        super().__init__()
        self.mode = mode
        self.text = text


class Dismissed(Message):
    """The user left the command line without an answer."""


class TabAsked(Message):
    """The user asked for a tab."""

    def __init__(self, tab: str) -> None:
        super().__init__()
        self.tab = tab

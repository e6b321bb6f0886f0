"""The command line of a run's screen: search, jump and fork.

Guarantee: what was typed is answered in a thread; the screen stays where it is until the answer is there,
and a failure is one sentence in the status line.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from pathlib import Path
from typing import Protocol, runtime_checkable

from textual.message import Message
from textual.screen import Screen

from coda.errors import CodaError
from coda.log import open_trace
from coda.viewer.background import Background, Cancelled
from coda.viewer.engine import Answer, Floors, fork_with, parse_change, sentence
from coda.viewer.messages import Answered, Damaged, Dismissed, ForkEnded, Submitted
from coda.viewer.screens.difference import DifferenceScreen
from coda.viewer.search import search
from coda.viewer.session import Session
from coda.viewer.text import clean
from coda.viewer.widgets import Prompt, Scrubber, TimelineTree


@runtime_checkable
class Opener(Protocol):
    """An application that can open another run."""

    def open(self, path: Path) -> None:
        """Opens it on top of this one."""


class CommandScreen(Screen[None]):
    """A screen with a position that can be searched, moved and forked by what is typed."""

    def __init__(self, session: Session, floors: Floors) -> None:
        super().__init__()
        self.session = session
        self.timeline = session.timeline
        self.floors = floors
        self.seq = 0
        self.answer: Answer | None = None
        self._touched = False
        names = ("ledger", "hits", "replay", "ask", "fork")
        self._threads = {name: Background(name, self._job_failed) for name in names}

    def go(self, seq: int, *, reveal: bool = False) -> None:
        """Moves to just before an event; with `reveal`, unfolds what hides it."""
        raise NotImplementedError

    @property
    def _tree(self) -> TimelineTree:
        return self.query_one("#tree", TimelineTree)

    @property
    def _prompt(self) -> Prompt:
        return self.query_one("#prompt", Prompt)

    def _job_failed(self, error: BaseException) -> None:
        self.post_message(Damaged(sentence(error)))

    def _post(self, message: Message, cancelled: Cancelled) -> None:
        if not cancelled():
            self.post_message(message)

    # --- asking --------------------------------------------------------------------------------

    def action_ask(self, mode: str) -> None:
        """Opens the command line."""
        self._prompt.ask(mode, self.answer.text if mode == "search" and self.answer is not None else "")

    def on_dismissed(self, message: Dismissed) -> None:
        """The command line was left."""
        self.set_focus(self._tree)

    def on_submitted(self, message: Submitted) -> None:
        """The command line was answered."""
        self.set_focus(self._tree)
        if message.mode == "search":
            self._search(message.text)
        elif message.mode == "jump":
            self._go_to(message.text)
        else:
            self._fork(message.text)

    def _go_to(self, text: str) -> None:
        digits = text.replace(",", "").replace("_", "")
        self._touched = True
        if digits.endswith("%") and digits[:-1].strip().isdigit():
            self.go(self.timeline.count * min(100, int(digits[:-1])) // 100, reveal=True)
        elif digits.isdigit():
            if int(digits) > self.timeline.count:
                self._prompt.say(
                    f"there is no event {digits}; positions are 0 to {self.timeline.count}", failed=True
                )
            else:
                self.go(int(digits), reveal=True)
        elif text:
            path = self.session.trace.path
            self._threads["ask"].submit(lambda cancelled: self._resolve(path, text, cancelled))

    def _resolve(self, path: object, text: str, cancelled: Cancelled) -> None:
        try:
            position = open_trace(str(path)).position(text)
        except CodaError as error:
            self._post(Answered(Answer(text, self._no_hits(), "position", sentence(error))), cancelled)
            return
        self._post(Answered(Answer(text, self._no_hits((position.seq,)), "position")), cancelled)

    @staticmethod
    def _no_hits(seqs: tuple[int, ...] = ()) -> array[int]:
        return array("q", seqs)

    def _search(self, text: str) -> None:
        if not text:
            self.answer = None
            self._show_hits()
            self._prompt.say("")
            return
        self._prompt.say(f"searching {clean(text)} …")
        path, query = self.session.trace.path, self.floors.query
        timeline, moments = self.timeline, self.session.moments

        def job(cancelled: Cancelled) -> None:
            found = search(query, open_trace(path), timeline, moments, text, cancelled)
            self._post(Answered(found), cancelled)

        self._threads["ask"].submit(job)

    def on_answered(self, message: Answered) -> None:
        """A search or a jump has its answer."""
        answer = message.answer
        if answer.error:
            self._prompt.say(answer.error, failed=True)
        elif answer.how == "position":
            self.go(answer.hits[0], reveal=True)
        else:
            self.answer = answer
            self._show_hits()
            self._found()
            if answer.hits:
                self._to_hit(0 if answer.hits[-1] < self.seq else bisect_left(answer.hits, self.seq))

    def _show_hits(self) -> None:
        found = self.answer.hits if self.answer is not None else array("q")
        self._tree.show_hits(frozenset(found))
        self.query_one("#scrubber", Scrubber).show_hits(found)

    def _found(self, at: int | None = None) -> None:
        answer = self.answer
        if answer is None:
            return
        count = len(answer.hits)
        place = f"{at + 1:,} of {count:,}" if at is not None else f"{count:,} hit{'' if count == 1 else 's'}"
        how = "" if answer.how == "query" else " (as text)"
        more = ", not complete" if answer.incomplete else ""
        self._prompt.say(f"/{clean(answer.text)}  {place}{how}{more}", failed=not count)

    def _to_hit(self, index: int) -> None:
        assert self.answer is not None
        self.go(self.answer.hits[index], reveal=True)
        self._found(index)

    def action_hit(self, by: int) -> None:
        """To the next or previous hit, around the end."""
        self._touched = True
        if self.answer is None or not self.answer.hits:
            self._prompt.say("nothing to go to: search with /")
            return
        found = self.answer.hits
        index = bisect_right(found, self.seq) if by > 0 else bisect_left(found, self.seq) - 1
        self._to_hit(index % len(found))

    # --- forking -------------------------------------------------------------------------------

    def _fork(self, text: str) -> None:
        try:
            change = parse_change(text)
        except ValueError as error:
            self._prompt.say(str(error), failed=True)
            return
        self._prompt.say(f"forking at {self.seq} …  Esc cancels")
        fork, seq, path = self.floors.fork, self.seq, self.session.trace.path
        self._threads["fork"].submit(
            lambda cancelled: self._post(
                ForkEnded(fork_with(fork, open_trace(path), seq, change, cancelled)), cancelled
            )
        )

    def _cancel_fork(self) -> bool:
        """Ends a fork that is being made; False when there is none."""
        if self._threads["fork"].idle:
            return False
        self._threads["fork"].cancel()
        self._prompt.say("the fork was cancelled")
        return True

    def on_fork_ended(self, message: ForkEnded) -> None:
        """The fork is there: shows the difference."""
        forked = message.forked
        self._prompt.say(
            f"fork at {forked.position}: {forked.error or forked.outcome}", failed=bool(forked.error)
        )
        self.app.push_screen(DifferenceScreen(forked), self._opened)

    def _opened(self, path: Path | None) -> None:
        if path is not None and isinstance(self.app, Opener):
            self.app.open(path)

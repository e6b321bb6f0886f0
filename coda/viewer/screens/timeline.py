"""The main screen: a run from left to right, and one position in it.

Guarantee: the position is an event number; every pane shows that position or says that it is still on its
way. Keys never wait: what takes time runs in a thread that works on the latest request only.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Horizontal, Vertical
from textual.widgets import ContentSwitcher, Footer

from coda.errors import CodaError
from coda.viewer.details import TABS
from coda.viewer.engine import Floors, sentence
from coda.viewer.index import Batch
from coda.viewer.ledger import Ledger
from coda.viewer.messages import (
    Damaged,
    FoldAsked,
    Indexed,
    Moved,
    TabAsked,
)  # fmt: skip
from coda.viewer.moments import Moment, Unit
from coda.viewer.screens.help import HelpScreen
from coda.viewer.screens.lookups import LookupScreen
from coda.viewer.session import Session
from coda.viewer.source import Source, colour, line_hits
from coda.viewer.text import Line, Span, clean
from coda.viewer.timeline import BLOCK, Group
from coda.viewer.widgets import Bar, Prompt, Scrubber, SourcePane, TabStrip, TextPane, TimelineTree

REFRESH_S = 0.08
"""Seconds between two redraws while the trace is being scanned."""

_NAMES = (
    ("variables", "Variables"),
    ("ctx", "ctx"),
    ("output", "Output"),
    ("call", "Call"),
    ("talk", "Conversation"),
    ("event", "Event"),
)


class TimelineScreen(LookupScreen):
    """One run."""

    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012  the base class declares it for the instance
        (0, "-narrow"),
        (116, "-wide"),
    ]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,l,j", "step(1)", "step", key_display="→"),
        Binding("left,h,k", "step(-1)", "back", key_display="←"),
        Binding("right_square_bracket", "block(1)", "block", key_display="]"),
        Binding("left_square_bracket", "block(-1)", "Previous block", show=False),
        Binding("right_curly_bracket", "turn(1)", "turn", key_display="}", show=False),
        Binding("left_curly_bracket", "turn(-1)", "Previous turn", show=False),
        Binding("e", "error(1)", "error"),
        Binding("E", "error(-1)", "Previous error", show=False),
        Binding("g", "ask('jump')", "go to"),
        Binding("slash", "ask('search')", "search", key_display="/"),
        Binding("n", "hit(1)", "Next hit", show=False),
        Binding("N", "hit(-1)", "Previous hit", show=False),
        Binding("f", "ask('fork')", "fork"),
        Binding("minus", "fold_blocks(True)", "Fold all blocks", show=False),
        Binding("plus", "fold_blocks(False)", "Unfold all blocks", show=False),
        Binding("question_mark", "help", "help", key_display="?"),
        Binding("escape", "back", "Back", show=False),
        *(Binding(str(i), f"tab('{tab}')", tab, show=False) for i, tab in enumerate(TABS, 1)),
    ]

    def __init__(
        self, session: Session, floors: Floors, *, first: bool = False, at: int | None = None
    ) -> None:
        super().__init__(session, floors)
        self._first = first
        self._target = at
        self._begun = False
        self._refreshing = False
        self._tab = "variables"
        self._sources: dict[int, Source] = {}

    # --- life ----------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        """Title, three panes, scrubber, status line, keys."""
        yield Bar(id="title")
        with Horizontal(id="body"):
            with Vertical(id="left"):
                yield Bar(id="tree-head", classes="head")
                yield TimelineTree(id="tree")
            with Container(id="right"):
                with Vertical(id="centre"):
                    yield Bar(id="source-head", classes="head")
                    yield SourcePane(id="source")
                with Vertical(id="tabs"):
                    yield TabStrip(_NAMES, id="strip")
                    with ContentSwitcher(initial="variables", id="switch"):
                        for tab in TABS:
                            yield TextPane(id=tab, follow=tab in ("output", "talk"))
        yield Scrubber(self.timeline, id="scrubber")
        yield Prompt(id="prompt")
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        """Begins to scan."""
        self._tree.focus()
        self._title()
        if self.floors.state_at is None:
            self.details.replay_note = "replay is off"
        self.session.start(self)

    def on_unmount(self) -> None:
        """Stops the threads; none is waited for."""
        self.session.close()
        for thread in self._threads.values():
            thread.close()

    @property
    def busy(self) -> bool:
        """True while something that changes the screen is under way; for tests and the spinner."""
        resting = self._rest is not None or self._refreshing
        return resting or not self.session.complete or not all(t.idle for t in self._threads.values())

    # --- the scanning thread posts here --------------------------------------------------------

    def indexed(self, batch: Batch, *, more: bool) -> None:
        """Called from the scanning thread."""
        self.post_message(Indexed(batch, more=more))

    def damaged(self, text: str) -> None:
        """Called from the scanning thread."""
        self.post_message(Damaged(text))

    def on_indexed(self, message: Indexed) -> None:
        """More of the trace is there."""
        end = self.seq >= self.timeline.count and self._begun
        self.session.apply(message.batch)
        if not self._begun and self.timeline.count:
            self._begin()
        if self._target is not None and self.timeline.count > self._target:
            target, self._target, self._touched, end = self._target, None, True, False
            self.go(target, reveal=True)
        if not message.more and not self.session.complete:
            self.session.complete = True
            if self.session.live and not self._touched:
                end = True
        if (
            end
            and self._begun
            and self.seq != self.timeline.count
            and (self.session.complete or self._touched)
        ):
            self.seq = self.timeline.count
        self._refresh_soon()

    def on_damaged(self, message: Damaged) -> None:
        """Something cannot be read; what came before stays."""
        self.session.complete = True
        self._prompt.say(message.text, failed=True)
        self._refresh_soon()

    def _begin(self) -> None:
        self._begun = True
        self._ledger = self._new_ledger()
        first = self.timeline.next_of(self.timeline.blocks, -1)
        group = self.timeline.opened_by(first) if first is not None else None
        start = 0 if group is None else group.start + (0 if group.folded else 1)
        self.go(min(start, self.timeline.count))

    def _new_ledger(self) -> Ledger:
        try:
            started = self.session.started
        except CodaError as error:
            self._prompt.say(sentence(error), failed=True)
            started = None
        limit = started.value_limit if started is not None and started.level == "values" else 0
        return Ledger(self.timeline, self.session.moments, value_limit=limit)

    def _refresh_soon(self) -> None:
        if not self._refreshing:
            self._refreshing = True
            self.set_timer(REFRESH_S, self._refresh_now)

    def _refresh_now(self) -> None:
        self._refreshing = False
        self._title()
        if self._begun:
            self._show()

    # --- moving --------------------------------------------------------------------------------

    def go(self, seq: int, *, reveal: bool = False) -> None:
        """Moves to just before an event."""
        self.seq = min(max(0, seq), self.timeline.count)
        if reveal and self.timeline.hides(self.seq):
            self.timeline.reveal(self.seq)
        self._show()

    def _show(self) -> None:
        self._tree.show_rows(self.session, self.seq)
        self.query_one("#scrubber", Scrubber).show_position(self.seq)
        self._show_source()
        self._ask_ledger()
        self._ask_replay()
        self._show_tab()

    def on_moved(self, message: Moved) -> None:
        """A pane asked for another position."""
        self._touched = True
        self.go(message.seq, reveal=isinstance(message.control, Scrubber))

    def action_step(self, by: int) -> None:
        """By events, through whatever is folded."""
        self._touched = True
        self.go(self.seq + by, reveal=True)

    def _jump(self, by: int, place: Callable[[int], int | None], what: str) -> None:
        self._touched = True
        found = place(by)
        if found is None:
            self._prompt.say(f"no {'further' if by > 0 else 'earlier'} {what}")
        else:
            self.go(found, reveal=True)

    def action_block(self, by: int) -> None:
        """To the next or previous block."""
        self._jump(by, lambda by: self._beyond(self.timeline.blocks, by), "block")

    def action_turn(self, by: int) -> None:
        """To the next or previous turn."""
        self._jump(by, lambda by: self._beyond(self.timeline.turns, by), "turn")

    def action_error(self, by: int) -> None:
        """To the next or previous error."""
        self._jump(by, lambda by: self._beyond(self.timeline.errors, by), "error")

    def _beyond(self, seqs: object, by: int) -> int | None:
        find = self.timeline.next_of if by > 0 else self.timeline.previous_of
        return find(seqs, self.seq)  # type: ignore[arg-type]

    def on_fold_asked(self, message: FoldAsked) -> None:
        """Folds or unfolds what an event opens."""
        self._touched = True
        group = self.timeline.opened_by(message.seq) if message.seq < self.timeline.count else None
        if group is not None:
            self.timeline.fold(group.key, not group.folded)
        self._show()

    def action_fold_blocks(self, folded: bool) -> None:
        """Folds or unfolds all blocks; a position inside goes to its block."""
        self.timeline.fold_all(BLOCK, folded)
        if self.timeline.hides(self.seq):
            self.seq = self.timeline.seq_of(self.timeline.row_of(self.seq))
        self._show()

    # --- panes ---------------------------------------------------------------------------------

    def _title(self) -> None:
        timeline = self.timeline
        started = None
        if self._begun:
            try:
                started = self.session.started
            except CodaError:
                started = None
        what = (started.task or started.main or started.module or "") if started is not None else ""
        left: Line = (
            Span("coda ", "title"),
            Span(clean(self.session.trace.path.name), "strong"),
            Span(f"  {clean(what)}", "muted"),
        )
        if timeline.finished:
            good = timeline.outcome in ("ok", "exited", "frontier", "cut short")
            state = Span(clean(timeline.outcome or "finished"), "ok" if good else "error")
        elif not self.session.complete:
            state = Span("reading…", "accent")
        elif self.session.abandoned:
            state = Span("cut short", "warn")
        else:
            state = Span("● live", "accent")
        errors = len(timeline.errors)
        wrong = (Span(f"  {errors} error{'s' if errors > 1 else ''}", "error"),) if errors else ()
        self.query_one("#title", Bar).show(
            left, (state, *wrong, Span(f"  {timeline.count:,} events", "muted"))
        )
        blocks, turns = len(timeline.blocks), len(timeline.turns)
        counts = (f"{turns} turns, " if turns else "") + f"{blocks} block{'' if blocks == 1 else 's'}"
        self.query_one("#tree-head", Bar).show((Span("Timeline", "muted"),), (Span(counts, "faint"),))

    def _show_source(self) -> None:
        pane = self.query_one("#source", SourcePane)
        line: Moment | None = None
        block: Group | None = None
        unit: Unit | None = None
        try:
            line = self.session.line_before(self.seq)
            block = self.session.block_near(self.seq)
            if line is not None and line.unit is not None:
                unit = line.unit
            elif block is not None:
                unit = self.session.moments.unit_at(self.timeline.record_of(block.start))
        except CodaError as error:
            self._prompt.say(sentence(error), failed=True)
        self.details.move(self.seq, line)
        if unit is None:
            pane.show_source(None, current=None)
            self.query_one("#source-head", Bar).show((Span("Source", "muted"),))
            return
        current = line.statement.line if line is not None and line.statement is not None else None
        counted = self._hits_of(block) if block is not None else None
        times = line_hits(unit, counted) if counted is not None else None
        failed = self._failed_here()
        values = self.details.inline(unit)
        pane.show_source(self._source(unit), current=current, failed=failed, hits=times, values=values)
        self._source_head(unit, line, current)

    def _source_head(self, unit: Unit, line: Moment | None, current: int | None) -> None:
        left = [Span(f"Block {unit.block}" if unit.block is not None else clean(unit.file), "muted")]
        if unit.block is not None and not unit.file.startswith("<"):
            left.append(Span(f"  {clean(unit.file)}", "faint"))
        right: list[Span] = []
        if line is not None and current is not None:
            function = self.details.function
            right.append(Span(f"{clean(function)}()  " if function else "", "definition"))
            right.append(Span(f"line {current}", "muted"))
        self.query_one("#source-head", Bar).show(tuple(left), tuple(right))

    def _failed_here(self) -> bool:
        index = bisect_left(self.timeline.errors, self.seq)
        return index < len(self.timeline.errors) and self.timeline.errors[index] == self.seq

    def _source(self, unit: Unit) -> Source:
        key = unit.table.base if unit.table.base < 1 << 62 else -(unit.block or 0) - 1
        found = self._sources.get(key)
        if found is None:
            if len(self._sources) > 64:
                self._sources.clear()
            found = self._sources[key] = colour(unit)
        return found

    def _show_tab(self) -> None:
        lines = self.details.lines(self._tab)
        if lines is not None:
            self.query_one(f"#{self._tab}", TextPane).show_lines(lines)

    def action_tab(self, tab: str) -> None:
        """Chooses a tab."""
        self._tab = tab
        self.query_one("#strip", TabStrip).choose(tab)
        self.query_one("#switch", ContentSwitcher).current = tab
        self._show_tab()

    def on_tab_asked(self, message: TabAsked) -> None:
        """A tab was clicked."""
        self.action_tab(message.tab)

    # --- the rest ------------------------------------------------------------------------------

    def action_help(self) -> None:
        """Shows the keys."""
        self.app.push_screen(HelpScreen())

    def action_back(self) -> None:
        """Cancels a fork that is being made; clears the search; leaves a fork opened from a run."""
        if self._cancel_fork():
            return
        if self.answer is not None:
            self.answer = None
            self._show_hits()
            self._prompt.say("")
        elif not self._first:
            self.dismiss()

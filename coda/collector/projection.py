"""The projection of events into spans: run, turn, model call or block, line, call, and what is nested.

Guarantee: every event maps to exactly one span, or to an event on one; spans are given when they end,
children before parents, in memory that depends on the budgets and not on the trace. The same events give
the same spans, whether they come from a file or from a run that is going on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from coda.collector import names
from coda.collector.attributes import (
    call_arguments,
    content,
    messages_text,
    note_attributes,
    server,
    short,
    value_text,
)
from coda.collector.model import CLIENT, Attributes, OpenSpan, Span, span_id
from coda.collector.rollup import Budget, note
from coda.collector.tree import Facts, Scope, SpanTree
from coda.log import TraceEvent

_FINE = frozenset({"ok", "exited", "frontier", "cut short"})


class Projection(SpanTree):
    """Turns events into spans, one event at a time.

    Args:
        facts: the run.
        budget: when to roll up.
        opted_in: contents may be put on spans.
        on_event: told (first seq, number of events, span id): which span they are, or are on.
    """

    def __init__(
        self,
        facts: Facts,
        *,
        budget: Budget | None = None,
        opted_in: bool = False,
        on_event: Callable[[int, int, str], None] | None = None,
    ) -> None:
        super().__init__(facts, budget if budget is not None else Budget(), on_event)
        self.opted_in = opted_in
        self._line_spans = self._line_count = 0
        self._input_tokens = self._output_tokens = 0
        self._last_seq = self._run_seq = -1
        self._last_ns = facts.base_ns
        self._handlers: dict[str, Callable[[TraceEvent, int], None]] = {
            "line": self._on_line, "elided": self._on_elided,
            "run.started": self._on_run, "run.finished": self._on_run_end,
            "turn.started": self._on_turn, "turn.finished": self._on_turn_end,
            "block.started": self._on_block, "block.finished": self._on_block_end,
            "llm.requested": self._on_request, "llm.responded": self._on_reply,
            "tool.called": self._on_call, "tool.returned": self._on_return,
            "process.started": self._on_process, "process.finished": self._on_process_end,
            "exception": self._on_exception,
        }  # fmt: skip
        for name in names.INSTANT_SPANS:
            self._handlers[name] = self._on_instant

    def feed(self, event: TraceEvent) -> list[Span]:
        """Takes the next event of the run; gives the spans that ended by it."""
        # Host and worker stamp events from clocks of their own: an event is never before the one before it.
        self._last_ns = t_ns = max(self._last_ns, self.facts.base_ns + event.t)
        self._last_seq = event.seq + event.n - 1
        if self._run is None:
            self._open_run(event, t_ns)
        # A fork begins in the middle: its turn and block were opened in the parent's trace.
        if self._turn is None and event.turn is not None and event.type not in _TURN_EDGES:
            self._turn = self._open(
                event, t_ns, f"turn {event.turn}", self._scope().span, key=f"{event.seq}:turn"
            )
            self._turn.attributes[names.TURN] = event.turn
        if self._block is None and event.block is not None and event.type not in _BLOCK_EDGES:
            self._open_block(event, t_ns, key=f"{event.seq}:block")
        self._handlers.get(event.type, self._on_note)(event, t_ns)
        return self._take()

    def finish(self) -> list[Span]:
        """Ends what is still open, as a log that stops before its run does. Gives those spans."""
        if self._run is not None:
            self._run.span.error = "the log ends before the run does"
            self._end_run(self._last_ns, incomplete=True)
        return self._take()

    # --- run and turns ---------------------------------------------------------------------------

    def _open_run(self, event: TraceEvent, t_ns: int) -> None:
        itself = event.type in ("run.started", "fork.applied")
        span = self._open(event, t_ns, "invoke_agent", None, key=None if itself else f"{event.seq}:run")
        self._run_seq = event.seq if itself else -1
        span.attributes[names.OPERATION] = "invoke_agent"
        started = self.facts.started
        if started is not None:
            span.attributes[names.RUN_KIND] = short(started.kind)
            if started.model:
                span.attributes[names.REQUEST_MODEL] = short(started.model)
            if name := started.main or started.module:
                name = short(name.replace("\\", "/").rsplit("/", 1)[-1])
                span.attributes[names.AGENT_NAME] = name
                span.name = f"invoke_agent {name}"
            if self.opted_in and started.task:
                span.attributes[names.TASK] = content(started.task, event.seq)
        span.attributes.update(self.facts.parent)
        span.links = self.facts.links
        self._run = Scope(span)

    def _on_run(self, event: TraceEvent, t_ns: int) -> None:
        """Nothing more, as a rule: the run span opened with this event."""
        if event.seq != self._run_seq:
            self._on_note(event, t_ns)

    def _on_run_end(self, event: TraceEvent, t_ns: int) -> None:
        assert self._run is not None
        finished: Any = event.record
        span = self._run.span
        self._tell(event, span.id)
        span.attributes[names.OUTCOME] = short(finished.outcome)
        if finished.outcome not in _FINE or finished.code not in (None, 0):
            span.error = f"the run ended: {short(finished.outcome)}"
            span.attributes[names.ERROR_TYPE] = short(finished.outcome)
        if self.opted_in and finished.text:
            span.attributes[names.ANSWER] = content(finished.text, event.seq)
        self._end_run(t_ns, incomplete=False)

    def _end_run(self, t_ns: int, *, incomplete: bool) -> None:
        assert self._run is not None
        scope = self._run
        self._end_calls(t_ns)
        self._end_block(t_ns, incomplete=True)
        self._end_turn(t_ns, incomplete=incomplete)
        self._end_rollups(scope)
        attributes = scope.span.attributes
        attributes[names.LAST] = self._last_seq
        attributes[names.LINES] = self._line_count
        if self._input_tokens or self._output_tokens:
            attributes[names.INPUT_TOKENS] = self._input_tokens
            attributes[names.OUTPUT_TOKENS] = self._output_tokens
        self._end(scope.span, t_ns, incomplete=incomplete)
        self._run = None

    def _on_turn(self, event: TraceEvent, t_ns: int) -> None:
        self._end_turn(t_ns, incomplete=True)
        turn: Any = event.record
        assert self._run is not None
        self._turn = self._open(event, t_ns, f"turn {turn.turn}", self._run.span)
        self._turn.attributes[names.TURN] = turn.turn

    def _on_turn_end(self, event: TraceEvent, t_ns: int) -> None:
        if self._turn is None:
            self._on_note(event, t_ns)
            return
        self._tell(event, self._turn.id)
        self._turn.attributes[names.LAST] = event.seq
        self._end_turn(t_ns, incomplete=False)

    def _end_turn(self, t_ns: int, *, incomplete: bool) -> None:
        """Ends the turn, and before it what it leaves unfinished."""
        if self._turn is None:
            return
        turn, self._turn = self._turn, None
        if self._block is not None and self._block.span.parent_id == turn.id:
            self._end_block(t_ns, incomplete=True)
        self._end_calls(t_ns, within=turn.id)
        self._end(turn, t_ns, incomplete=incomplete)

    # --- blocks and lines ------------------------------------------------------------------------

    def _open_block(self, event: TraceEvent, t_ns: int, *, key: str | None = None) -> None:
        assert self._run is not None
        span = self._open(event, t_ns, "execute_tool python", self._turn or self._run.span, key=key)
        span.attributes[names.OPERATION] = "execute_tool"
        span.attributes[names.TOOL_NAME] = "python"
        span.attributes[names.TOOL_TYPE] = "function"
        self._block = Scope(span)

    def _on_block(self, event: TraceEvent, t_ns: int) -> None:
        self._end_block(t_ns, incomplete=True)
        started: Any = event.record
        self._open_block(event, t_ns)
        attributes = self._scope().span.attributes
        attributes[names.BLOCK] = started.block
        attributes[names.CODE_FILE] = short(started.file)
        attributes[names.CODE_LINE] = started.first_line
        if self.opted_in:
            attributes[names.SOURCE] = content(started.source, event.seq)

    def _on_block_end(self, event: TraceEvent, t_ns: int) -> None:
        if self._block is None:
            self._on_note(event, t_ns)
            return
        finished: Any = event.record
        span = self._block.span
        self._tell(event, span.id)
        span.attributes[names.LAST] = event.seq
        span.attributes[names.OUTCOME] = short(finished.outcome)
        if finished.outcome not in _FINE or finished.code not in (None, 0):
            span.error = span.error or f"the block ended: {short(finished.outcome)}"
            span.attributes.setdefault(names.ERROR_TYPE, short(finished.outcome))
        self._end_block(t_ns, incomplete=False)

    def _end_block(self, t_ns: int, *, incomplete: bool) -> None:
        if self._block is None:
            return
        self._end_calls(t_ns, within=self._block.span.id)
        self._end_line(t_ns)
        scope, self._block = self._block, None
        self._end_rollups(scope)
        scope.span.attributes[names.LINES] = scope.line_count
        self._end(scope.span, t_ns, incomplete=incomplete)

    def _on_line(self, event: TraceEvent, t_ns: int) -> None:
        if self._line is not None:
            self._end_line(t_ns)
        scope = self._scope()
        scope.line_count += 1
        self._line_count += 1
        block_limit, trace_limit = self.budget.block_lines, self.budget.trace_lines
        if (block_limit is not None and scope.lines >= block_limit) or (
            trace_limit is not None and self._line_spans >= trace_limit
        ):
            rolled = scope.rolled_lines
            rolled.add(event.seq, t_ns, event.line)
            if self._told is not None:
                self._tell(event, span_id(self.facts.run, f"{rolled.first}:lines"))
            return
        scope.lines += 1
        self._line_spans += 1
        self._line = self._open(event, t_ns, f"line {event.line}", scope.span)
        self._line.attributes.update(self._place(event))

    def _on_elided(self, event: TraceEvent, t_ns: int) -> None:
        self._end_line(t_ns)
        n = event.n
        scope = self._scope()
        scope.line_count += n
        self._line_count += n
        scope.rolled_lines.add(event.seq, t_ns, event.line, n)
        self._tell(event, span_id(self.facts.run, f"{scope.rolled_lines.first}:lines"), n)

    # --- calls -----------------------------------------------------------------------------------

    def _on_request(self, event: TraceEvent, t_ns: int) -> None:
        request: Any = event.record
        span = self._detail(event, t_ns, f"chat {request.model}")
        if span is None:
            return
        span.kind = CLIENT
        span.attributes[names.OPERATION] = "chat"
        span.attributes[names.REQUEST_MODEL] = short(request.model)
        if self.opted_in:
            span.attributes[names.INPUT_MESSAGES] = content(messages_text(request.messages), event.seq)
            if request.system:
                span.attributes[names.SYSTEM_INSTRUCTIONS] = content(request.system, event.seq)
        self._calls[event.seq] = span

    def _on_reply(self, event: TraceEvent, t_ns: int) -> None:
        reply: Any = event.record
        self._input_tokens += reply.input_tokens
        self._output_tokens += reply.output_tokens
        span = self._answered(event, t_ns)
        if span is None:
            return
        attributes = span.attributes
        if reply.model:
            attributes[names.RESPONSE_MODEL] = short(reply.model)
        attributes[names.FINISH_REASONS] = (short(reply.finish_reason),)
        attributes[names.INPUT_TOKENS] = reply.input_tokens
        attributes[names.OUTPUT_TOKENS] = reply.output_tokens
        if reply.assumed:
            attributes[names.EFFECT] = "assumed"
        if self.opted_in:
            message = ({"role": "assistant", "content": reply.text},)
            attributes[names.OUTPUT_MESSAGES] = content(messages_text(message), event.seq)
        self._end(span, t_ns)

    def _answered(self, event: TraceEvent, t_ns: int) -> OpenSpan | None:
        """Takes the call that an answer belongs to; None when it has no span, and the answer is noted."""
        span = self._calls.pop(event.cause, None) if event.cause is not None else None
        if span is None:
            self._on_note(event, t_ns)
            return None
        self._tell(event, span.id)
        span.attributes[names.LAST] = event.seq
        return span

    def _on_call(self, event: TraceEvent, t_ns: int) -> None:
        call: Any = event.record
        span = self._detail(event, t_ns, f"execute_tool {call.name}")
        if span is None:
            return
        span.attributes[names.OPERATION] = "execute_tool"
        span.attributes[names.TOOL_NAME] = short(call.name)
        span.attributes[names.TOOL_TYPE] = "function"
        if self.opted_in:
            span.attributes[names.TOOL_ARGUMENTS] = content(call_arguments(call.args, call.kwargs), event.seq)
        self._calls[event.seq] = span

    def _on_return(self, event: TraceEvent, t_ns: int) -> None:
        returned: Any = event.record
        span = self._answered(event, t_ns)
        if span is None:
            return
        if not returned.ok:
            self._failed(span, returned.error)
        elif self.opted_in:
            span.attributes[names.TOOL_RESULT] = content(value_text(returned.value), event.seq)
        if returned.assumed:
            span.attributes[names.EFFECT] = "assumed"
        self._end(span, t_ns)

    def _failed(self, span: OpenSpan, error: dict[str, Any] | None) -> None:
        error = error or {}
        span.attributes[names.ERROR_TYPE] = short(str(error.get("type", "error")))
        span.error = short(str(error.get("message") or error.get("type", "error")))

    def _on_process(self, event: TraceEvent, t_ns: int) -> None:
        process: Any = event.record
        program = process.argv[0] if process.argv else "process"
        program = "sh" if process.shell else program.rsplit("/", 1)[-1]
        span = self._detail(event, t_ns, f"process {program}")
        if span is None:
            return
        span.attributes[names.PROCESS_NAME] = short(program)
        span.attributes[names.VIA] = short(process.via)
        if self.opted_in:
            span.attributes[names.PROCESS_ARGS] = tuple(short(word) for word in process.argv[:64])
        self._calls[event.seq] = span

    def _on_process_end(self, event: TraceEvent, t_ns: int) -> None:
        finished: Any = event.record
        span = self._answered(event, t_ns)
        if span is None:
            return
        if finished.code is not None:
            span.attributes[names.PROCESS_EXIT] = finished.code
        if finished.error is not None:
            self._failed(span, finished.error)
        elif finished.code:
            span.error = f"exit status {finished.code}"
            span.attributes[names.ERROR_TYPE] = str(finished.code)
        self._end(span, t_ns)

    # --- moments ---------------------------------------------------------------------------------

    def _on_instant(self, event: TraceEvent, t_ns: int) -> None:
        """A ctx change, an access to a file, a connection: a span without length."""
        record: Any = event.record
        ctx = event.type.startswith("ctx.")
        span = self._detail(event, t_ns, f"{event.type} {record.name}" if ctx else event.type)
        if span is None:
            return
        attributes = span.attributes
        attributes[names.EVENT_TYPE] = event.type
        if ctx:
            attributes[names.CTX_NAME] = short(record.name)
            if self.opted_in and hasattr(record, "value"):
                attributes[names.CTX_VALUE] = content(value_text(record.value), event.seq)
        elif event.type == "net.connected":
            attributes.update(server(record.address))
        else:
            attributes[names.FILE_PATH] = short(record.path)
            if hasattr(record, "size"):
                attributes[names.FILE_SIZE] = record.size
            if via := getattr(record, "via", None) or getattr(record, "by", None):
                attributes[names.VIA] = short(via)
            if hasattr(record, "to"):
                attributes[names.RENAMED_TO] = short(record.to)
            if error := getattr(record, "error", None):
                attributes[names.ERROR_TYPE] = span.error = short(error)
        self._end(span, t_ns)

    def _on_exception(self, event: TraceEvent, t_ns: int) -> None:
        raised: Any = event.record
        span = self._block.span if self._block is not None else self._parent(event.cause)
        self._tell(event, span.id)
        span.attributes[names.ERROR_TYPE] = short(raised.kind)
        span.error = short(f"{raised.kind}: {raised.message}")
        attributes: Attributes = {names.SEQ: event.seq, names.EXCEPTION_TYPE: short(raised.kind)}
        attributes[names.EXCEPTION_MESSAGE] = short(raised.message)
        attributes[names.EXCEPTION_STACKTRACE] = short(raised.traceback, tail=True)
        attributes.update(self._place(event))
        note(span, "exception", event.seq, t_ns, attributes)

    def _on_note(self, event: TraceEvent, t_ns: int) -> None:
        """Everything else is an event on the innermost open span."""
        span = self._parent(event.cause)
        if event.seq != self._run_seq:
            self._tell(event, span.id, event.n)
        note(span, event.type, event.seq, t_ns, note_attributes(event, opted_in=self.opted_in))


_TURN_EDGES = ("turn.started", "turn.finished")
_BLOCK_EDGES = ("block.started", "block.finished")

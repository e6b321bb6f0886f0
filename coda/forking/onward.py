"""What comes after a fork's first block: the recorded blocks that follow, and the conversation around them.

Guarantee: recorded model replies are used as they are, and marked `assumed` from the first request on whose
text is not the one the model answered. The requests themselves are made anew from what the fork did.
"""

from __future__ import annotations

from typing import Any

import msgspec

from coda.log import (
    BlockStarted,
    Event,
    ExceptionRaised,
    LlmRequested,
    LlmResponded,
    Trace,
    TraceEvent,
    TurnStarted,
    open_trace,
    render,
)  # fmt: skip
from coda.runtime import BlockResult, CtxChange, ErrorInfo, feedback_text, names_after, request_digest

_AGENT_PARTS = ("turn.started", "turn.finished", "user.message", "llm.requested", "llm.responded")


class Conversation:
    """The messages of a run so far, so that the next request can be made."""

    def __init__(self, trace: Trace, until: int) -> None:
        self.messages: list[dict[str, Any]] = []
        self.system = ""
        self.model = ""
        self.known: frozenset[str] = frozenset()
        self.differs = False
        self.turn: int | None = None
        """The turn whose reply was given last: its blocks are what the next request tells of."""
        self._begun: int | None = None
        for placed in trace.records(own=False, types={"llm.requested", "llm.responded", "turn.started"}):
            record = placed.record
            if isinstance(record, Event) and record.seq < until:
                self.take(record)

    def take(self, record: Event) -> None:
        """Takes a request or a reply in."""
        if isinstance(record, LlmRequested):
            self.messages.extend(dict(message) for message in record.messages)
            self.system = record.system if record.system is not None else self.system
            self.model = record.model
        elif isinstance(record, LlmResponded):
            self.messages.append({"role": "assistant", "content": record.text})
            self.turn = self._begun
        elif isinstance(record, TurnStarted):
            self._begun = record.turn

    def request(self, recorded: LlmRequested, results: list[BlockResult], emitted: int) -> LlmRequested:
        """The request that the fork would make where the parent made `recorded`."""
        new = [dict(message) for message in recorded.messages]
        if results and len(new) == 1:
            new = [{"role": "user", "content": feedback_text(results, emitted=emitted, known=self.known)}]
        self.known = names_after(self.known, results)
        self.messages.extend(new)
        digest = request_digest(self.messages, system=self.system, model=recorded.model)
        self.differs = self.differs or digest != recorded.digest
        return msgspec.structs.replace(recorded, seq=-1, t=-1, messages=tuple(new), digest=digest)

    def reply(self, recorded: LlmResponded, cause: int | None) -> LlmResponded:
        """The recorded reply, marked when it answered another request."""
        self.messages.append({"role": "assistant", "content": recorded.text})
        self.turn = self._begun
        return msgspec.structs.replace(recorded, seq=-1, t=-1, cause=cause, assumed=self.differs)


def results_of_turn(path: Any, turn: int | None) -> list[BlockResult]:
    """What the blocks of a turn did, read back from a trace."""
    trace = open_trace(path)
    return [
        _result(trace, block.number)
        for block in trace.blocks
        if block.turn == turn and block.finished is not None
    ]


def ctx_names_before(path: Any, turn: int | None) -> frozenset[str]:
    """The names that ctx held before a turn."""
    trace = open_trace(path)
    known: frozenset[str] = frozenset()
    for block in trace.blocks:
        if block.turn != turn and block.finished is not None:
            known = names_after(known, [_result(trace, block.number)])
        elif block.turn == turn:
            break
    return known


def _result(trace: Trace, number: int) -> BlockResult:
    block = trace.block(number)
    assert block.finished is not None
    assert block.end_seq is not None
    kinds = {"output", "ctx.set", "ctx.deleted", "ctx.mutated", "exception"}
    output: dict[str, list[str]] = {"stdout": [], "stderr": []}
    changes: list[CtxChange] = []
    error = None
    for event in trace.events(block.seq, block.end_seq, types=kinds):
        record: Any = event.record
        if event.type == "output":
            stream, text = _written(event)
            output[stream].append(text)
        elif isinstance(record, ExceptionRaised):
            error = ErrorInfo(record.kind, record.message, record.traceback)
        else:
            op = event.type.removeprefix("ctx.")
            changes.append(
                CtxChange(op, record.name, getattr(record, "value", None), getattr(record, "expr", None))
            )
    return BlockResult(
        block=number,
        outcome=block.finished.outcome,
        state=block.finished.state,
        stdout="".join(output["stdout"]),
        stderr="".join(output["stderr"]),
        error=error,
        lines=block.finished.lines,
        ctx=tuple(changes),
        first_seq=block.seq,
        last_seq=block.end_seq,
        code=block.finished.code,
    )


def _written(event: TraceEvent) -> tuple[str, str]:
    if event.id is not None:
        value, stream = event.value, event.name or "stdout"
    else:
        value, stream = getattr(event.record, "text", ""), getattr(event.record, "stream", "stdout")
    return stream, value if isinstance(value, str) else render(value)


def emitted_blocks(records: list[Event], turn: int | None) -> int:
    """How many blocks a turn's reply had, as far as they were recorded."""
    return sum(1 for record in records if isinstance(record, BlockStarted) and record.turn == turn)


def is_conversation(record: Event) -> bool:
    """True for an event of the agent loop."""
    return record.__struct_config__.tag in _AGENT_PARTS

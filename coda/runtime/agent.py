"""The agent: asks a model, runs the Python of its replies, tells it what happened, until it is done.

Guarantee: every run ends with a reason (`done`, `turn_limit`, `token_cut`, `error`), and with a trace
that is closed, also when the user stops it or the model fails. An answer that was cut is never taken
for an answer. What the model was asked and said is in the trace in full, each message once.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from coda.log import LlmRequested, LlmResponded, TurnFinished, TurnStarted, UserMessage
from coda.runtime.feedback import feedback_text, names_after
from coda.runtime.fences import Fence, read_reply
from coda.runtime.llm import Message, ModelClient, Reply
from coda.runtime.primitives import Primitives
from coda.runtime.prompt import system_prompt
from coda.runtime.results import BlockResult
from coda.runtime.sandbox import Sandbox
from coda.runtime.tools import Tool, as_tools

_OUTCOMES = {"done": "ok"}
_EMPTY = "Your reply was empty. Send a python block to go on, or your answer in prose to end."


class RunResult(NamedTuple):
    """How an agent's run went."""

    text: str
    """The answer; when there is none, the last reply of the model, or what went wrong."""
    turns: int
    finish_reason: str
    """`done`, `turn_limit`, `token_cut` or `error`."""
    blocks: int
    """How many blocks ran."""
    input_tokens: int
    output_tokens: int
    trace: Path
    error: Exception | None = None
    """What the model client raised."""

    @property
    def done(self) -> bool:
        """True when the model said that it is done."""
        return self.finish_reason == "done"


class Progress(NamedTuple):
    """One step of a run, for whoever watches."""

    turn: int
    """Numbered from 1."""
    kind: str
    """`turn` (the model is asked), `reply`, or `block` (one ran)."""
    reply: Reply | None = None
    result: BlockResult | None = None


class Agent:
    """An agent that acts by writing Python.

    Args:
        model: name of the model, for the client and the trace.
        llm: what answers.
        sandbox: where blocks run; it stays open, and several runs share its variables and its trace. None:
            each run gets one of its own, closed at its end.
        tools: functions that blocks can call (for a sandbox of its own).
        system_prompt: the whole prompt; None describes the protocol, the primitives and the tools.
        max_turns: model requests of a run.
        root: the workspace; the working directory when None (for a sandbox of its own).
        trace: path of the trace; None makes one in the run directory (for a sandbox of its own).
        level: record level (for a sandbox of its own).
        timeout_s: wall time of a block; None: no limit (for a sandbox of its own).
        force: replace an existing trace (for a sandbox of its own).
        sandbox_options: further arguments of a sandbox of its own; see `Sandbox`.
        on_progress: told of each step.
        around: entered with the trace's path while a run is being recorded (live export).

    Raises:
        TypeError: an argument for a sandbox of its own was given beside a sandbox.
        ValueError: `max_turns` is not a positive number, or two tools have one name.
    """

    def __init__(
        self,
        *,
        model: str,
        llm: ModelClient,
        sandbox: Sandbox | None = None,
        tools: Iterable[Tool | Callable[..., Any]] = (),
        system_prompt: str | None = None,
        max_turns: int = 25,
        root: str | os.PathLike[str] | None = None,
        trace: str | os.PathLike[str] | None = None,
        level: str = "values",
        timeout_s: float | None = None,
        force: bool = False,
        sandbox_options: Mapping[str, Any] | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        around: Callable[[Path], AbstractContextManager[None]] | None = None,
    ) -> None:
        if isinstance(max_turns, bool) or not isinstance(max_turns, int) or max_turns < 1:
            raise ValueError(f"an agent needs at least one turn; got max_turns={max_turns!r}")
        self.model = model
        self.max_turns = max_turns
        self.tools = as_tools(tools)
        self._llm = llm
        self._sandbox = sandbox
        self._own: dict[str, Any] = {
            "root": root, "trace": trace, "level": level, "timeout_s": timeout_s, "force": force,
        }  # fmt: skip
        if sandbox is not None and (
            self.tools or sandbox_options or any(v not in (None, False, "values") for v in self._own.values())
        ):
            raise TypeError(
                "tools, root, trace, level, timeout_s, force and sandbox_options belong to the sandbox: "
                "give them to it"
            )
        self._own.update(sandbox_options or {})
        self._prompt = system_prompt
        self._on_progress = on_progress
        self._around = around if around is not None else lambda _path: nullcontext()
        # What runs in one sandbox share: turns are numbered through, and ctx goes on.
        self._turns = 0
        self._known: frozenset[str] = frozenset()

    @property
    def system_prompt(self) -> str:
        """What the model is told before the task."""
        return self._prompt if self._prompt is not None else system_prompt(self._all_tools())

    def run(self, task: str) -> RunResult:
        """Works on a task until the model is done or a limit is reached.

        Raises:
            KeyboardInterrupt: the user stopped it; the trace is closed and says so.
            CodaError: the sandbox could not be started, or the trace not be written.
        """
        if self._sandbox is not None:
            return _Run(self, self._sandbox, task).go()
        sandbox = Sandbox(task=task, model=self.model, kind="run", tools=self.tools, **self._own)
        # Leaving it by an exception closes the trace with `interrupted` or `error`.
        with sandbox, self._around(sandbox.writer.path):
            result = _Run(self, sandbox, task).go()
            sandbox.close(_OUTCOMES.get(result.finish_reason, result.finish_reason), text=result.text)
        return result

    def _all_tools(self) -> list[Tool]:
        if self._sandbox is not None:
            return list(self._sandbox.tools)
        names = {tool.name for tool in self.tools}
        given = Primitives(self._own["root"] or os.getcwd()).tools()
        return [*(tool for tool in given if tool.name not in names), *self.tools]


class _Run:
    """One task from its first message to its end."""

    def __init__(self, agent: Agent, sandbox: Sandbox, task: str) -> None:
        self.agent = agent
        self.sandbox = sandbox
        self.system = agent.system_prompt
        self.messages: list[Message] = [{"role": "user", "content": task}]
        self.fresh: list[Message] = list(self.messages)
        self.blocks = 0
        self.input_tokens = 0
        self.output_tokens = 0
        self.turn = agent._turns if agent._sandbox is not None else 0
        self.known = agent._known if agent._sandbox is not None else frozenset()
        sandbox.emit(UserMessage(text=task))

    def go(self) -> RunResult:
        """Takes turns until there is a reason to stop."""
        text = ""
        for count in range(1, self.agent.max_turns + 1):
            self.turn += 1
            self.agent._turns = self.turn
            self.sandbox.emit(TurnStarted(turn=self.turn))
            self._tell(Progress(self.turn, "turn"))
            try:
                reply = self._ask()
            except Exception as error:  # noqa: BLE001 - the client is the user's: it fails as a run fails
                self.sandbox.emit(TurnFinished(turn=self.turn))
                return self._end(str(error) or type(error).__name__, count, "error", error)
            self._tell(Progress(self.turn, "reply", reply=reply))
            text = reply.text
            reason, results = self._act(reply)
            self.sandbox.emit(TurnFinished(turn=self.turn, blocks=len(results), done=reason == "done"))
            if reason is not None:
                return self._end(text, count, reason)
        return self._end(text, self.agent.max_turns, "turn_limit")

    def _ask(self) -> Reply:
        """Asks the model, before and after with an event."""
        agent = self.agent
        first = len(self.messages) == 1
        cause = self.sandbox.emit(
            LlmRequested(
                model=agent.model,
                messages=tuple(self.fresh),
                system=self.system if first else None,
                count=len(self.messages),
                digest=request_digest(self.messages, system=self.system, model=agent.model),
            )
        )
        reply = self.agent._llm.complete(
            [dict(message) for message in self.messages], system=self.system, model=agent.model
        )
        self.sandbox.emit(
            LlmResponded(
                text=reply.text,
                model=reply.model or agent.model,
                finish_reason=reply.finish_reason,
                input_tokens=reply.input_tokens,
                output_tokens=reply.output_tokens,
                cause=cause,
            )
        )
        self.input_tokens += reply.input_tokens
        self.output_tokens += reply.output_tokens
        self.messages.append({"role": "assistant", "content": reply.text})
        return reply

    def _act(self, reply: Reply) -> tuple[str | None, list[BlockResult]]:
        """Runs the blocks of a reply; gives the reason to stop, if there is one, and the results."""
        reading = read_reply(reply.text)
        cut = reply.finish_reason == "length"
        if cut and (reading.open_fence or not reading.blocks):
            return "token_cut", []
        if not reading.blocks:
            if reply.text.strip():
                return "done", []
            self._say(_EMPTY)
            return None, []
        results = self._run_blocks(reading.blocks)
        self._say(feedback_text(results, emitted=len(reading.blocks), known=self.known))
        self.known = self.agent._known = names_after(self.known, results)
        return None, results

    def _run_blocks(self, blocks: list[Fence]) -> list[BlockResult]:
        """Runs blocks in order, up to the first that does not end well."""
        results: list[BlockResult] = []
        for block in blocks:
            result = self.sandbox.execute(block.source, turn=self.turn)
            self.blocks += 1
            results.append(result)
            self._tell(Progress(self.turn, "block", result=result))
            if result.outcome != "ok":
                break
        return results

    def _say(self, text: str) -> None:
        """Adds the next message of the user's side."""
        self.fresh = [{"role": "user", "content": text}]
        self.messages.extend(self.fresh)

    def _tell(self, progress: Progress) -> None:
        if self.agent._on_progress is not None:
            self.agent._on_progress(progress)

    def _end(self, text: str, turns: int, reason: str, error: Exception | None = None) -> RunResult:
        return RunResult(
            text=text,
            turns=turns,
            finish_reason=reason,
            blocks=self.blocks,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            trace=Path(self.sandbox.writer.path),
            error=error,
        )


def request_digest(messages: Iterable[Message], *, system: str, model: str) -> str:
    """Gives the SHA-256 of a whole request, as canonical JSON: sorted keys, no spaces, ASCII."""
    request = {"messages": list(messages), "model": model, "system": system}
    data = json.dumps(request, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(data.encode()).hexdigest()

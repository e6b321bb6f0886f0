from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from coda.errors import SandboxError
from coda.log import TraceEvent, open_trace
from coda.runtime import Agent, Sandbox, ScriptedLLM, tool
from coda.runtime.agent import Progress, RunResult, request_digest
from coda.runtime.llm import Message, Reply


def block(code: str) -> str:
    return f"I run this.\n\n```python\n{code}\n```\n"


class Ran:
    """One run of an agent with scripted replies, and its trace."""

    def __init__(self, tmp_path: Path, *replies: str | Reply, **options: Any) -> None:
        self.root = tmp_path / "work"
        self.root.mkdir(exist_ok=True)
        self.llm = ScriptedLLM(replies)
        self.agent = Agent(model="m", llm=self.llm, root=self.root, trace=tmp_path / "t.jsonl", **options)
        self.result: RunResult = self.agent.run("the task")

    @property
    def events(self) -> list[TraceEvent]:
        return list(open_trace(self.result.trace).events())

    def types(self, *prefixes: str) -> list[str]:
        return [event.type for event in self.events if event.type.startswith(prefixes)]

    def outcome(self) -> tuple[str, str | None]:
        finished = open_trace(self.result.trace).finished
        assert finished is not None
        return finished.outcome, finished.text


def test_runs_to_the_answer(tmp_path: Path) -> None:
    ran = Ran(
        tmp_path, block("x = 20\nprint(x)"), block("ctx.y = x * 2 + 2"), Reply("It is 42.", "stop", 10, 3)
    )
    assert ran.result == RunResult("It is 42.", 3, "done", 2, 10, 3, tmp_path / "t.jsonl")
    assert ran.result.done
    assert ran.outcome() == ("ok", "It is 42.")
    assert ran.types("user", "turn", "llm", "block") == [
        "user.message",
        "turn.started", "llm.requested", "llm.responded", "block.started", "block.finished", "turn.finished",
        "turn.started", "llm.requested", "llm.responded", "block.started", "block.finished", "turn.finished",
        "turn.started", "llm.requested", "llm.responded", "turn.finished",
    ]  # fmt: skip
    told = [call[-1]["content"] for call in ran.llm.calls]
    assert told[0] == "the task"
    assert "<stdout>\n20\n</stdout>" in told[1]
    assert "added y = 42" in told[2]


def test_history_is_stored_once_and_can_be_put_together_again(tmp_path: Path) -> None:
    ran = Ran(tmp_path, block("print(1)"), block("print(2)"), "done")
    messages: list[Message] = []
    systems = []
    for event in ran.events:
        fields = event.fields
        if event.type == "llm.requested":
            systems.append(fields.get("system"))
            messages += fields["messages"]
            assert len(fields["messages"]) == 1
            assert fields["count"] == len(messages)
            assert fields["digest"] == request_digest(messages, system=ran.agent.system_prompt, model="m")
        elif event.type == "llm.responded":
            messages.append({"role": "assistant", "content": fields["text"]})
    assert systems == [ran.agent.system_prompt, None, None]
    assert messages[:-1] == ran.llm.calls[-1]


def test_the_first_error_stops_the_rest_of_the_reply(tmp_path: Path) -> None:
    ran = Ran(tmp_path, block("a = 1") + block("1 / 0") + block("print('never')"), block("print(a)"), "ok")
    told = ran.llm.calls[1][-1]["content"]
    assert '<execution_summary blocks_run="2" blocks_emitted="3" succeeded="1"/>' in told
    assert "<error>ZeroDivisionError: division by zero</error>" in told
    assert "The 1 block(s) after it did not run" in told
    assert "<stdout>\n1\n</stdout>" in ran.llm.calls[2][-1]["content"]
    assert ran.result.blocks == 3


def test_the_turn_limit_is_not_an_answer(tmp_path: Path) -> None:
    ran = Ran(tmp_path, block("a = 1"), block("a = 2"), "never asked", max_turns=2)
    assert (ran.result.finish_reason, ran.result.turns, ran.result.done) == ("turn_limit", 2, False)
    assert ran.result.text == block("a = 2")
    assert ran.outcome()[0] == "turn_limit"


@pytest.mark.parametrize(
    ("text", "reason", "blocks"),
    [
        ("```python\nx = 1\n", "token_cut", 0),
        ("```python\nx = 1\n```\n```json\n{", "token_cut", 0),
        ("The answer is", "token_cut", 0),
        ("```python\nx = 1\n```\nand then", "done", 1),
    ],
)
def test_a_reply_that_was_cut(tmp_path: Path, text: str, reason: str, blocks: int) -> None:
    ran = Ran(tmp_path, Reply(text, "length"), "all done")
    assert (ran.result.finish_reason, ran.result.blocks) == (reason, blocks)


def test_an_open_fence_that_was_not_cut_runs(tmp_path: Path) -> None:
    ran = Ran(tmp_path, "```python\nprint('ran')", "done")
    assert "ran" in ran.llm.calls[1][-1]["content"]


def test_an_empty_reply_is_asked_again(tmp_path: Path) -> None:
    ran = Ran(tmp_path, " \n", "done")
    assert ran.llm.calls[1][-1]["content"].startswith("Your reply was empty.")
    assert (ran.result.turns, ran.result.text) == (2, "done")


def test_a_script_that_ends_too_early_ends_the_run_with_its_reason(tmp_path: Path) -> None:
    ran = Ran(tmp_path, block("a = 1"))
    assert (ran.result.finish_reason, ran.result.turns) == ("error", 2)
    assert isinstance(ran.result.error, SandboxError)
    assert ran.outcome() == ("error", ran.result.text)
    assert ran.types("turn")[-1] == "turn.finished"


class Broken:
    """A client that fails, as a network does."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def complete(self, messages: Sequence[Message], *, system: str, model: str) -> Reply:
        raise self.error


def test_a_client_that_fails_leaves_a_closed_trace(tmp_path: Path) -> None:
    error = ConnectionError("no route")
    result = Agent(model="m", llm=Broken(error), root=tmp_path, trace=tmp_path / "t.jsonl").run("x")
    assert (result.finish_reason, result.text, result.error) == ("error", "no route", error)
    trace = open_trace(result.trace)
    assert trace.finished is not None
    assert (trace.finished.outcome, trace.torn) == ("error", None)


def test_ctrl_c_leaves_a_closed_trace(tmp_path: Path) -> None:
    agent = Agent(model="m", llm=Broken(KeyboardInterrupt()), root=tmp_path, trace=tmp_path / "t.jsonl")
    with pytest.raises(KeyboardInterrupt):
        agent.run("x")
    trace = open_trace(tmp_path / "t.jsonl")
    assert trace.finished is not None
    assert (trace.finished.outcome, trace.torn) == ("interrupted", None)


def test_tools_and_primitives_work_together(tmp_path: Path) -> None:
    asked: list[tuple[str, int]] = []

    @tool(effect="read")
    def lookup(key: str, *, times: int = 1) -> dict[str, int]:
        """Looks a key up."""
        asked.append((key, times))
        return {key: times}

    ran = Ran(
        tmp_path,
        block("found = lookup('k', times=3)\nwrite('d/out.txt', str(found))\nprint(read('d/out.txt'))"),
        block("lookup(len)"),
        "done",
        tools=[lookup],
    )
    assert asked == [("k", 3)]
    assert (ran.root / "d/out.txt").read_text() == "{'k': 3}"
    assert "<stdout>\n{'k': 3}\n</stdout>" in ran.llm.calls[1][-1]["content"]
    assert "tool arguments are values; got builtin_function_or_method in" in ran.llm.calls[2][-1]["content"]
    assert (
        "- lookup(key: str, *, times: int = 1) -> dict[str, int]: Looks a key up." in ran.agent.system_prompt
    )
    assert "- bash(" in ran.agent.system_prompt
    wrote = [event for event in ran.events if event.type == "file.wrote"]
    assert [(event.fields["path"], event.fields["by"]) for event in wrote] == [("d/out.txt", "tool")]


def test_a_block_that_runs_for_ever_is_stopped_and_told(tmp_path: Path) -> None:
    loop = block("n = 0\nwhile True:\n    n += 1")
    ran = Ran(tmp_path, loop, "stopped", timeout_s=0.2, level="effects")
    [info] = open_trace(ran.result.trace).blocks
    assert info.outcome == "interrupted"
    assert "was interrupted before its end" in ran.llm.calls[1][-1]["content"]
    assert ran.result.text == "stopped"


def test_runs_in_one_sandbox_share_it(tmp_path: Path) -> None:
    with Sandbox(root=tmp_path, trace=tmp_path / "t.jsonl") as sandbox:
        llm = ScriptedLLM([block("x = 1\nctx.a = 1"), "one", block("print(x)\nctx.a = 2"), "two"])
        agent = Agent(model="m", llm=llm, sandbox=sandbox)
        assert [agent.run("first").text, agent.run("second").text] == ["one", "two"]
        assert [len(call) for call in llm.calls] == [1, 3, 1, 3]
        assert "changed a = 2" in llm.calls[3][-1]["content"]
        with pytest.raises(TypeError, match="belong to the sandbox"):
            Agent(model="m", llm=llm, sandbox=sandbox, trace="x")
    events = list(open_trace(tmp_path / "t.jsonl").events())
    assert [event.fields["text"] for event in events if event.type == "user.message"] == ["first", "second"]
    assert [event.fields["turn"] for event in events if event.type == "turn.started"] == [1, 2, 3, 4]


def test_progress_is_told(tmp_path: Path) -> None:
    seen: list[Progress] = []
    Ran(tmp_path, block("1 / 0"), "done", on_progress=seen.append)
    steps = [(step.turn, step.kind, step.result.outcome if step.result else None) for step in seen]
    assert steps == [
        (1, "turn", None), (1, "reply", None), (1, "block", "error"), (2, "turn", None), (2, "reply", None),
    ]  # fmt: skip


@pytest.mark.parametrize("turns", [0, -1, True, 2.5])
def test_refuses_a_number_of_turns_that_is_none(turns: Any) -> None:
    with pytest.raises(ValueError, match="an agent needs at least one turn"):
        Agent(model="m", llm=ScriptedLLM([]), max_turns=turns)

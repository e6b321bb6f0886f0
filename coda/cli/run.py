"""`coda run`: gives a task to an agent and records what it does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import msgspec

from coda.cli.options import force_option, json_option, output_option
from coda.cli.render import Printer, say
from coda.cli.settings import config, setting_option
from coda.cli.telemetry import live_export
from coda.errors import CodaError, SandboxError, UsageError

if TYPE_CHECKING:
    # For the type alone: the runtime is imported when the command runs.
    from coda.runtime import RunResult
    from coda.runtime.agent import Progress


@click.command(short_help="Give a task to an agent and record it.")
@click.argument("task")
@click.option(
    "--script", metavar="FILE", help="Take the model's replies from a Markdown file (docs/agents.md)."
)
@setting_option("model")
@output_option
@setting_option("root")
@setting_option("record")
@setting_option("max-turns")
@setting_option("timeout")
@setting_option("memory")
@setting_option("cpu")
@setting_option("processes")
@setting_option("durability")
@setting_option("threads")
@setting_option("env")
@click.option(
    "--tools",
    "tool_files",
    metavar="FILE",
    multiple=True,
    help="Python file whose @coda.tool functions the agent may call; may be given again.",
)
@force_option
@json_option
def command(
    task: str,
    script: str | None,
    model: str,
    output: str | None,
    root: str | None,
    record: str,
    max_turns: int,
    timeout: float | None,
    memory: int | None,
    cpu: float | None,
    processes: int | None,
    durability: str,
    threads: str,
    env: tuple[str, ...],
    tool_files: tuple[str, ...],
    force: bool,
    as_json: bool,
) -> int:
    """Give TASK to an agent that acts by writing Python, and record all of it.

    Progress goes to stderr, the answer to stdout. Exit status 0: the agent said that it is done; 1: it did
    not finish (turn limit, cut reply, script too short); 125: coda itself failed.
    """
    from coda.replay import Agent
    from coda.runtime import ScriptedLLM, Tool

    if script is None:
        raise UsageError("no model is connected: give its replies in a file with --script FILE")
    flags = msgspec.structs.replace(
        config(), model=model, max_turns=max_turns, record=record, root=root, timeout=timeout,
        memory=memory, cpu=cpu, processes=processes, durability=durability, threads=threads, env=env,
    )  # fmt: skip
    agent = Agent(
        **flags.agent(),
        llm=ScriptedLLM.from_file(script),
        tools=[tool for path in tool_files for tool in Tool.load(path)],
        trace=output,
        force=force,
        on_progress=_show,
        around=live_export,
    )
    result = agent.run(task)
    if result.error is not None and not isinstance(result.error, CodaError):
        raise SandboxError(f"the model's client failed: {result.error}") from result.error
    printer = Printer()
    if as_json:
        printer.json("run", _answer(result))
    elif result.done:
        for line in result.text.strip("\n").split("\n"):
            printer.line(line)
    if not result.done:
        say(f"coda: not done: {_WHY[result.finish_reason]}{_why(result.finish_reason, result.text)}")
    say(f"trace: {result.trace}")
    return 0 if result.done else 1


_WHY = {
    "turn_limit": "the limit of turns was reached (--max-turns)",
    "token_cut": "the model's reply was cut at its limit of tokens",
    "error": "",
}


def _why(reason: str, text: str) -> str:
    return text if reason == "error" else ""


class RunAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """How an agent's run went, as `coda run --json` prints it."""

    text: str
    """The answer; when there is none, the last reply of the model, or what went wrong."""
    turns: int
    finish_reason: str
    """`done`, `turn_limit`, `token_cut` or `error`."""
    blocks: int
    """How many blocks ran."""
    input_tokens: int
    output_tokens: int
    trace: str
    """Path of the trace."""
    error: str | None
    """What went wrong with the model."""


def _answer(result: RunResult) -> RunAnswer:
    facts = result._asdict()
    error = None if result.error is None else str(result.error)
    return RunAnswer(**{**facts, "trace": str(result.trace), "error": error})


def _show(progress: Progress) -> None:
    """Prints one step of the run on stderr."""
    if progress.kind == "turn":
        say(f"turn {progress.turn}")
    elif (result := progress.result) is not None:
        lines = f"{result.lines} {'line' if result.lines == 1 else 'lines'}"
        error = f": {result.error.kind}: {result.error.message}" if result.error is not None else ""
        say(f"  block {result.block}: {result.outcome}, {lines}{error}")

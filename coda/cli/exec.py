"""`coda exec`: run a Python program as `python` would, and record it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import msgspec

from coda.cli.argv import ProgramCommand
from coda.cli.options import force_option, output_option
from coda.cli.programs import STDIN, compiles, load
from coda.cli.settings import config, setting_option
from coda.cli.telemetry import live_export
from coda.errors import CodaError, UsageError
from coda.log import open_trace
from coda.runtime import TIMED_OUT, BlockResult, Cell, Prepare, Program, Sandbox, program_end, split_cells

_PASSED_ON = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


@click.command(cls=ProgramCommand)
@output_option
@force_option
@click.option("-m", "--module", is_flag=True, help="PROGRAM is a module name, as in `python -m`.")
@setting_option("record")
@setting_option("root")
@setting_option("timeout")
@setting_option("memory")
@setting_option("cpu")
@setting_option("processes")
@setting_option("durability")
@setting_option("threads")
@setting_option("quiet")
@click.argument("program", metavar="PROGRAM")
@click.argument("args", metavar="[ARGS]...", nargs=-1, type=click.UNPROCESSED)
def command(
    program: str,
    args: tuple[str, ...],
    output: str | None,
    force: bool,
    module: bool,
    record: str,
    root: str | None,
    timeout: float | None,
    memory: int | None,
    cpu: float | None,
    processes: int | None,
    durability: str,
    threads: str,
    quiet: bool,
) -> int:
    """Runs PROGRAM as if by `python PROGRAM ARGS` and records it.

    PROGRAM is a file, a folder or zip file with a `__main__.py`, or `-` for standard input. What follows it
    is the program's own, `--help` too, up to `-o TRACE`, if the trace was not named before; behind that
    stand options of coda again. All that follows `--` is the program's.
    `# %%` comments at the margin divide a script into blocks. The exit status is the program's own;
    125 when coda itself failed.
    """
    source, facts, content, file = load(program, args, module=module)
    cells = split_cells(source) if source is not None else []
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the program's; we outlive it
    try:
        flags = msgspec.structs.replace(
            config(), root=root, record=record, timeout=timeout, memory=memory, cpu=cpu,
            processes=processes, durability=durability, threads=threads,
        )  # fmt: skip
        sandbox = Sandbox(
            **flags.sandbox(), trace=output, kind="exec", force=force, program=facts, echo=_echo
        )
        with sandbox, _outliving(sandbox, before), live_export(sandbox.writer.path):
            if content is not None and facts.main is not None:
                sandbox.read_main(file or facts.main, content)
            outcome, status = _run(sandbox, cells, facts)
            sandbox.close(outcome, code=status)
    finally:
        signal.signal(signal.SIGINT, before)
    if not quiet:
        count = open_trace(sandbox.writer.path).count()
        print(f"coda: {count} events in {_shown(sandbox.writer.path)}", file=sys.stderr)
    return status


def _run(sandbox: Sandbox, cells: list[Cell], facts: Program) -> tuple[str, int]:
    """Compiles all cells, then runs them until one fails; gives the outcome and the program's exit status."""
    if facts.module is not None:
        found = _locate(sandbox, facts)
        if "status" in found:
            return found["outcome"], found["status"]
        sandbox.read_main(found["file"], found["source"].encode())
        cells, facts = split_cells(found["source"]), msgspec.structs.replace(facts, main=found["file"])
    whole = "".join(cell.source for cell in cells)
    if len(cells) > 1 and not compiles(whole, facts.main or STDIN):
        cells = [Cell(1, whole)]  # a mistake in the last cell stops the first one too, as in Python
    flags = 0
    for number, cell in enumerate(cells, 1):
        message = Prepare(
            block=number,
            source=cell.source,
            file=facts.main or STDIN,
            first_line=cell.first_line,
            flags=flags,
            top_level_await=False,
            docstring=number == 1,
        )
        prepared = sandbox.prepare(message)
        flags = prepared.flags
        result = sandbox.run_prepared(message, prepared, last=number == len(cells))
        if result.outcome != "ok":
            return _ending(result, compiled=prepared.error is None)
    return "ok", 0


def _ending(result: BlockResult, *, compiled: bool) -> tuple[str, int]:
    """Outcome and exit status of a program that a block ended: as a shell would show them."""
    error = result.error
    if not compiled and error is not None:
        _echo("stderr", error.traceback.encode())
    if result.outcome == "killed" or (result.outcome == "interrupted" and result.code is not None):
        why = error.message if error is not None else ""
        if result.code == TIMED_OUT:
            why = f"the program was {why if why.startswith('stopped') else 'stopped at a limit'}"
        elif result.code is not None and result.code > 128:
            why = f"the program was ended by {_name_of(result.code - 128)}"
        print(f"coda: {why or 'the worker died'}", file=sys.stderr)
        if error is not None and error.kind == "WorkerFailed":
            return result.outcome, 125  # as of a failure of our own: it may be one
    return program_end(result.outcome, result.code)


def _name_of(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


@contextmanager
def _outliving(sandbox: Sandbox, interrupt: Any) -> Iterator[None]:
    """Makes signals the program's business: we outlive them, and the trace says what they did.

    They are passed on. What a terminal sends at the press of a key reaches the program by itself: where there
    is one, that is left to it. What we were started to ignore is not passed on.
    """

    def pass_on(number: int, _frame: object) -> None:
        sandbox.engine.signal(number)

    handlers: dict[signal.Signals, Any] = {
        number: pass_on for number in _PASSED_ON if signal.getsignal(number) == signal.SIG_DFL
    }
    ours = sandbox.program is not None and sandbox.program.apart == "group"
    handlers |= dict.fromkeys((signal.SIGINT, signal.SIGQUIT), pass_on if ours else signal.SIG_IGN)
    if interrupt == signal.SIG_IGN:
        del handlers[signal.SIGINT]
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _locate(sandbox: Sandbox, facts: Program) -> dict[str, Any]:
    try:
        return sandbox.locate(facts.module or "")
    except CodaError as error:
        raise UsageError(f"cannot run module {facts.module!r}: {error.message}") from error


def _echo(stream: str, data: bytes) -> None:
    target = sys.stdout.buffer if stream == "stdout" else sys.stderr.buffer
    target.write(data)
    target.flush()


def _shown(path: Path) -> str:
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative

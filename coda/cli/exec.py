"""`coda exec`: run a Python program as `python` would, and record it."""

from __future__ import annotations

import importlib.util
import os
import signal
import stat
import sys
import warnings
from pathlib import Path

import click

from coda.cli.options import force_option, output_option
from coda.cli.settings import config, setting_option
from coda.cli.telemetry import live_export
from coda.errors import CodaError, UsageError
from coda.log import open_trace
from coda.runtime import TIMED_OUT, BlockResult, Cell, Prepare, Program, Sandbox, split_cells


@click.command(context_settings={"ignore_unknown_options": True})
@output_option
@force_option
@click.option("-m", "--module", is_flag=True, help="PROGRAM is a module name, as in `python -m`.")
@setting_option("record")
@setting_option("root")
@setting_option("timeout")
@setting_option("memory")
@setting_option("durability")
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
    durability: str,
    quiet: bool,
) -> int:
    """Runs PROGRAM as if by `python PROGRAM ARGS` and records it.

    Options of coda may stand before or after PROGRAM; what follows `--` is the program's alone.
    `# %%` comments at the margin divide a script into blocks. The exit status is the program's own;
    125 when coda itself failed.
    """
    source, facts, content = _load_module(program, args) if module else _load_file(program, args)
    cells = split_cells(source) if source is not None else []
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the program's; we outlive it
    try:
        options = config().sandbox(
            root=root, level=record, timeout_s=timeout, memory_bytes=memory, durability=durability
        )
        sandbox = Sandbox(**options, trace=output, kind="exec", force=force, program=facts, echo=_echo)
        with sandbox, live_export(sandbox.writer.path):
            if content is not None and facts.main is not None:
                sandbox.read_main(facts.main, content)
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
        cells, facts = _locate(sandbox, facts)
    whole = "".join(cell.source for cell in cells)
    if len(cells) > 1 and not _compiles(whole, facts.main or "<string>"):
        cells = [Cell(1, whole)]  # a mistake in the last cell stops the first one too, as in Python
    flags = 0
    for number, cell in enumerate(cells, 1):
        message = Prepare(
            block=number,
            source=cell.source,
            file=facts.main or "<string>",
            first_line=cell.first_line,
            flags=flags,
            top_level_await=False,
            docstring=number == 1,
        )
        prepared = sandbox.prepare(message)
        flags = prepared.flags
        result = sandbox.run_prepared(message, prepared, last=number == len(cells))
        if result.outcome != "ok":
            return _ending(result, compiled=prepared.error is None, timeout_s=sandbox.timeout_s)
    return "ok", 0


def _ending(result: BlockResult, *, compiled: bool, timeout_s: float | None) -> tuple[str, int]:
    """Outcome and exit status of a program that a block ended: as a shell would show them."""
    error = result.error
    if not compiled and error is not None:
        _echo("stderr", error.traceback.encode())
    if result.outcome == "exited":
        status = result.code or 0
        return "ok" if status == 0 else "error", status
    if result.outcome == "interrupted" and result.code is None:
        return "interrupted", 128 + signal.SIGINT
    if result.outcome in ("interrupted", "killed"):
        why = error.message if error is not None else ""
        if result.code == TIMED_OUT:
            why = f"stopped after the time limit of {timeout_s:g} s"
        print(f"coda: {why or 'the worker died'}", file=sys.stderr)
        return result.outcome, result.code or 128 + signal.SIGKILL
    return "error", 1


def _compiles(source: str, name: str) -> bool:
    """Whether the whole script is Python; nothing of it is executed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(source, name, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _load_file(program: str, args: tuple[str, ...]) -> tuple[str | None, Program, bytes | None]:
    path = Path(program)
    if path.is_dir():
        path = path / "__main__.py"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot open program {program!r}: {error.strerror}") from error
    folder = os.path.dirname(os.path.realpath(path))
    facts = _facts(argv=(str(path), *args), main=os.path.abspath(path), module=None, path=(folder,))
    return _decode(content, program), facts, content


def _load_module(name: str, args: tuple[str, ...]) -> tuple[None, Program, None]:
    # The worker finds it: importing the module's packages runs their code, which is not the host's to do.
    facts = _facts(argv=(name, *args), main=None, module=name, path=(os.getcwd(),))
    return None, facts, None


def _locate(sandbox: Sandbox, facts: Program) -> tuple[list[Cell], Program]:
    try:
        found = sandbox.locate(facts.module or "")
    except CodaError as error:
        raise UsageError(f"cannot run module {facts.module!r}: {error.message}") from error
    sandbox.read_main(found["file"], found["source"].encode())
    located = Program(
        argv=(found["file"], *facts.argv[1:]), main=found["file"], module=facts.module, path=facts.path
    )
    return split_cells(found["source"]), located


def _facts(*, argv: tuple[str, ...], main: str | None, module: str | None, path: tuple[str, ...]) -> Program:
    return Program(
        argv=argv,
        main=main,
        module=module,
        path=path,
        cwd=os.getcwd(),
        stdin=_descriptor_of(0),
        tty=(os.isatty(0), os.isatty(1), os.isatty(2)),
        encoding=sys.stdout.encoding or "utf-8",
        outside=tuple(path for path in (_file_of(1), _file_of(2)) if path is not None),
    )


def _file_of(fd: int) -> str | None:
    """The regular file that a descriptor writes to, where the system tells."""
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return None
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return None


def _descriptor_of(fd: int) -> int | None:
    try:
        os.fstat(fd)
    except OSError:
        return None
    return fd


def _decode(content: bytes, program: str) -> str:
    try:
        return importlib.util.decode_source(content)
    except (SyntaxError, UnicodeDecodeError) as error:
        raise UsageError(f"{program} is not Python source: {error}") from error


def _echo(stream: str, data: bytes) -> None:
    target = sys.stdout.buffer if stream == "stdout" else sys.stderr.buffer
    target.write(data)
    target.flush()


def _shown(path: Path) -> str:
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative

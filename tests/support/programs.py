"""Runs ordinary programs twice, by `python` and by `coda exec`, in the same folder made anew.

The two runs see the same paths, the same files and the same environment, so whatever they print must be
equal; only object addresses are taken out of the texts.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from coda.log import Trace, TraceEvent, from_envelope, open_trace

ROOT = Path(__file__).resolve().parent.parent.parent
_ADDRESS = re.compile(r"0x[0-9a-f]{6,16}")
_TIMEOUT = 120.0
_OURS = ("CODA_", "OTEL_", "_CODA_")


class Program(NamedTuple):
    """A program, what it is given, and how it ends."""

    name: str
    source: str | bytes
    status: int = 0
    args: tuple[str, ...] = ()
    stdin: str = ""
    files: Mapping[str, str | bytes] = {}
    env: Mapping[str, str] = {}
    file: str = "prog.py"
    module: str | None = None
    """Run as `-m module` instead of by file."""
    cwd: str = "."
    """Folder to stand in, below the workspace."""

    @property
    def main(self) -> list[str]:
        """What is to run, as `python` and `coda exec` both take it."""
        if self.module is not None:
            return ["-m", self.module]
        return [os.path.relpath(self.file, self.cwd)]


class Ended(NamedTuple):
    """How a process ended; addresses are taken out of the texts."""

    status: int
    out: str
    err: str


class Pair(NamedTuple):
    """A program's two runs."""

    plain: Ended
    recorded: Ended
    trace: Path
    left_plain: dict[str, bytes]
    """Files in the workspace after the plain run."""
    left_recorded: dict[str, bytes]


def run_both(program: Program, folder: Path, *, level: str = "values") -> Pair:
    """Runs a program plainly and recorded, each time in `folder/work` made anew."""
    work, trace = folder / "work", folder / "trace.jsonl"
    _lay_out(program, work)
    plain = _run([sys.executable, *program.main, *program.args], program, work)
    left_plain = contents(work)
    _lay_out(program, work)
    command = [sys.executable, "-m", "coda", "exec", "--quiet", "--force", "--root", str(work)]
    command += ["--record", level, "-o", str(trace), *program.main]
    if program.args:
        command += ["--", *program.args]  # what follows is the program's alone
    recorded = _run(command, program, work)
    return Pair(plain, recorded, trace, left_plain, contents(work))


def record(
    source: str,
    folder: Path,
    *,
    level: str = "values",
    files: Mapping[str, str] = {},
    stdin: str = "",
    status: int = 0,
) -> Path:
    """Records a program that must end with a status; gives the trace."""
    program = Program("prog", source, files=files, stdin=stdin)
    work, trace = folder / "work", folder / "trace.jsonl"
    _lay_out(program, work)
    command = [sys.executable, "-m", "coda", "exec", "--quiet", "--force", "--record", level]
    ended = _run([*command, "-o", str(trace), "prog.py"], program, work)
    assert ended.status == status, ended.err
    return trace


def run_plain(source: str, folder: Path, *, stdin: str = "") -> Ended:
    """Runs a program by python, in a folder of its own that is made anew."""
    program = Program("prog", source, stdin=stdin)
    _lay_out(program, folder)
    return _run([sys.executable, "prog.py"], program, folder)


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder, by relative path; of `stamped.*`, which hold the time, the name only."""
    return {
        str(path.relative_to(folder)): b"" if path.stem == "stamped" else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def output_of(trace: Trace | Path, stream: str = "stdout") -> str:
    """Everything a run wrote to a stream, as its trace holds it."""
    opened = trace if isinstance(trace, Trace) else open_trace(trace)
    parts = []
    for event in opened.events(types={"output"}):
        name = event.name if event.id is not None else getattr(event.record, "stream", None)
        text = event.value if event.id is not None else getattr(event.record, "text", "")
        if name == stream:
            if not isinstance(text, str):
                content = from_envelope(text)
                assert isinstance(content, bytes)
                text = content.decode("utf-8", "backslashreplace")
            parts.append(text)
    return "".join(parts)


def lines_at(trace: Trace | Path, line: int, *, function: str | None = None) -> list[TraceEvent]:
    """The line events of one line, in order."""
    opened = trace if isinstance(trace, Trace) else open_trace(trace)
    found = opened.events(types={"line"})
    return [each for each in found if each.line == line and function in (None, each.function)]


def line_of(source: str, text: str) -> int:
    """The 1-based number of the only line that holds a text."""
    numbers = [number for number, line in enumerate(source.splitlines(), 1) if text in line]
    assert len(numbers) == 1, f"{text!r} is on lines {numbers}"
    return numbers[0]


def plain_text(text: str) -> str:
    """A text without object addresses."""
    return _ADDRESS.sub("0x", text)


def program(name: str, source: str, **given: Any) -> Program:
    """A program out of an indented literal."""
    return Program(name, dedent(source), **given)


def dedent(text: str) -> str:
    """A program out of an indented literal."""
    return textwrap.dedent(text).lstrip("\n")


def _lay_out(program: Program, work: Path) -> None:
    if work.exists():
        shutil.rmtree(work)
    for name, content in {**program.files, program.file: program.source}.items():
        path = work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def _run(command: Sequence[str], program: Program, work: Path) -> Ended:
    env = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    # A recorded program hashes with seed 0; the import path is coda's only need.
    env |= {"PYTHONHASHSEED": "0", "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **program.env}
    done = subprocess.run(
        command,
        cwd=work / program.cwd,
        env=env,
        input=program.stdin.encode(),
        capture_output=True,
        timeout=_TIMEOUT,
        check=False,
    )
    texts = [plain_text(data.decode("utf-8", "backslashreplace")) for data in (done.stdout, done.stderr)]
    # A shell shows the end by a signal as 128 + its number, and so does coda.
    return Ended(done.returncode if done.returncode >= 0 else 128 - done.returncode, *texts)

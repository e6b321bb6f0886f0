"""Runs a recording host that is killed at the N-th system call of its writer, for every N.

As a program (`python -m tests.faults.killing SCENARIO FOLDER FIRST STEP`) it forks a child for each N and
prints how each ended. A child hands the writer shims for its own references to the system's calls; the N-th
call does not happen, or (a write) half of it does: the process kills itself there with SIGKILL.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import coda
from coda.log import (
    FileWrote,
    Header,
    Note,
    RunFinished,
    ToolCalled,
    ToolReturned,
    TraceWriter,
    appending,
    blobs,
)
from coda.runtime import Sandbox
from tests.support.traces import started

CALLS = {
    appending: ("_open", "_write", "_fsync", "_ftruncate", "_lseek", "_close", "_stat", "_flock", "_unlink"),
    blobs: ("_open", "_write", "_fsync", "_rename", "_mkdir", "_close"),
}
_write, _open = os.write, os.open


class Killer:
    """Counts the calls of a process that uses its shims, and ends it at one of them."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.calls = 0

    def install(self) -> None:
        for module, names in CALLS.items():
            for name in names:
                setattr(module, name, self._shim(name, getattr(module, name)))

    def _shim(self, name: str, real: Any) -> Any:
        def call(*args: Any) -> Any:
            self.calls += 1
            if self.calls == self.at:
                if name == "_write" and self.at % 2:
                    real(args[0], bytes(args[1])[: len(args[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args)

        return call


class Diary:
    """What really happened, on a page that the recorder knows nothing of: acts, and what was acknowledged."""

    def __init__(self, folder: Path) -> None:
        self._fd = _open(folder / "diary", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def note(self, what: str, value: object) -> None:
        _write(self._fd, f"{what} {value}\n".encode())


def writing(folder: Path, diary: Diary) -> None:
    """A writer alone, in its safest mode: actions, results, blobs, lines, seals, and an end."""
    out = TraceWriter(folder / "t.jsonl", Header(run="r"), durability="fsync", seal_bytes=300)
    diary.note("seq", out.append(started()))
    for number in range(3):
        call = out.append(ToolCalled(name="act", args=(number,)))
        diary.note("seq", call)
        diary.note("act", number)
        content = f"content {number}".encode()
        digest = out.blobs.put(content)
        out.append_many([
            FileWrote(path="f", digest=digest, size=len(content), cause=call),
            ToolReturned(name="act", cause=call),
        ])  # fmt: skip
        diary.note("seq", out.next_seq - 1)
        out.append_lines(b"[-1]", b'["text"]', 1)
        diary.note("seq", out.append(Note(text="x" * 100 * number)))
    out.append(RunFinished(outcome="ok"))
    out.close()
    diary.note("end", "ok")


BLOCKS = (
    "x = 1\nact(x)\nprint('one')",
    "with open('made.txt', 'w') as file:\n    file.write('text')\nact(2)",
    "import os\nos.rename('made.txt', 'kept.txt')\nfor n in range(3):\n    x += act(n)",
)


def recording(folder: Path, diary: Diary) -> None:
    """A whole host with its worker: tool calls and files of agent code, block by block."""
    workspace = folder / "ws"
    workspace.mkdir()

    @coda.tool
    def act(n: int) -> int:
        """Acts."""
        diary.note("act", n)
        return n

    with Sandbox(root=workspace, trace=folder / "t.jsonl", tools=[act]) as sandbox:
        diary.note("worker", sandbox.engine.pid)
        for block in BLOCKS:
            result = sandbox.execute(block)
            diary.note("seq", result.last_seq)
    diary.note("end", "ok")


SCENARIOS = {"writing": writing, "recording": recording}


def main(scenario: str, folder: Path, first: int, step: int) -> None:
    """Kills one child after the other until one comes to its end."""
    at = first
    while True:
        place = folder / str(at)
        place.mkdir()
        child = os.fork()
        if child == 0:
            try:
                killer = Killer(at)
                killer.install()
                SCENARIOS[scenario](place, Diary(place))
            except BaseException as error:
                print(repr(error), file=sys.stderr)
                os._exit(1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print(json.dumps([at, os.waitstatus_to_exitcode(status)]), flush=True)
        if not os.WIFSIGNALED(status):
            return
        at += step


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))

"""Records the golden traces: `python -m tests.golden.record FOLDER`, standing in the folder to work in.

It is run once for each version of the format, in a workspace at a neutral path (a mount namespace is a way
to have one), with an empty environment but for HOME, PATH, LANG and TZ. What it wrote is never changed.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import coda
from coda.log import (
    Effect,
    FileChanged,
    Header,
    LoopWoke,
    Note,
    ProcessIo,
    RunFinished,
    RunResumed,
    RunStarted,
    Signal,
    ThreadFinished,
    TraceWriter,
)
from tests.golden import programs

MAIN = "prog.py"


def lookup(word: str, n: int = 1) -> dict[str, object]:
    """The price of a word."""
    return {"word": word, "prices": [1.5] * n, "pair": (1, b"x")}


def workspace() -> Path:
    """An empty working folder with the files that every recording begins with."""
    here = Path.cwd()
    for path in here.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for name, text in programs.FILES.items():
        (here / name).write_text(text)
    return here


def exec_(out: Path, source: str, *options: str, stdin: str = "") -> None:
    """Records a program by the command."""
    (workspace() / MAIN).write_text(source)
    command = [sys.executable, "-m", "coda", "exec", "--quiet", "-o", str(out), *options, MAIN]
    done = subprocess.run(command, input=stdin, text=True, capture_output=True, check=False)
    print(out.name, done.returncode, done.stderr[-300:])


def fork(out: Path, parent: Path, at: str, *options: str) -> None:
    """Forks a recorded program."""
    command = [sys.executable, "-m", "coda", "fork", str(parent), "--at", at, "-o", str(out), *options]
    done = subprocess.run(command, text=True, capture_output=True, check=False)
    print(out.name, done.returncode, done.stderr[-300:])


def agent(out: Path) -> None:
    """Records an agent that a script speaks for."""
    model = coda.ScriptedLLM(programs.REPLIES)
    tool = coda.tool(effect="read")(lookup)
    worker = coda.Agent(model="scripted", llm=model, tools=[tool], root=workspace(), trace=out)
    result = worker.run("count the words")
    print(out.name, result.finish_reason)


def elided(out: Path) -> None:
    """Records a loop beyond the limit of listed statements."""
    with coda.Sandbox(root=workspace(), trace=out, line_limit=500, value_limit=4) as sandbox:
        print(out.name, sandbox.execute(programs.LOOP).outcome)


def foreign(out: Path) -> None:
    """Writes the types that no recording of this version makes, by the real writer."""
    with TraceWriter(out, Header(run="20260314T150926-a1b2c3")) as writer:
        writer.append(
            RunStarted(
                wall="2026-03-14T15:09:26.535897+00:00", kind="sandbox", coda="0.1.0", python="3.11.7",
                level="lines", value_limit=0, line_limit=10, hash_seed=0, random_seed=0, cwd="/home/ada/work",
                root="/home/ada/work",
            )
        )  # fmt: skip
        writer.append(RunResumed())
        writer.append(Effect(name="time.time", value=1.5, file="a.py", line=1, function=""))
        writer.append(FileChanged(path="given.txt", size=3))
        writer.append(Signal(name="SIGALRM"))
        writer.append(ThreadFinished(name="Thread-1", thread=1))
        writer.append(LoopWoke(calls=(3,), timers=(1,), turns=2, waited_ns=5))
        writer.append(ProcessIo(child=1, stream="stdout", digest=writer.blobs.put(b"x"), size=1))
        writer.append(Note(text="from elsewhere", data={"k": [1, 2]}))
        writer.append_encoded(b'{"type":"weather.changed","seq":9,"n":3,"t":9000,"sky":"blue"}\n')
        writer.append(RunFinished(outcome="ok"))


def main(folder: str) -> None:
    """Records all of them."""
    out = Path(folder)
    exec_(out / "frames.jsonl", programs.RECURSION)
    exec_(out / "lines.jsonl", programs.RECURSION, "--record", "lines")
    exec_(out / "effects.jsonl", programs.RECURSION, "--record", "effects")
    exec_(out / "world.jsonl", programs.WORLD, stdin="ada\n")
    exec_(out / "unseen.jsonl", programs.UNSEEN)
    exec_(out / "tasks.jsonl", programs.CELLS)
    agent(out / "agent.jsonl")
    elided(out / "elided.jsonl")
    fork(out / "forked.jsonl", out / "frames.jsonl", "16", "--set", "n=4")
    foreign(out / "foreign.jsonl")


if __name__ == "__main__":
    main(sys.argv[1])

"""coda in one minute, offline: an agent does a job, and then nothing about it is a secret any more.

An agent with scripted replies (replies.md) triages every TODO, FIXME and XXX in a package of the running
Python's standard library. Then the real commands verify the run, show its variables where it failed, tell
who read the `.env`, change the agent's threshold in the middle of the run, and compare both outcomes.

    python examples/demo/demo.py [--folder DIR] [--update-readme]

Everything is left in DIR (default: `out` beside this file) to be looked at. No event number is written
down here: each is asked from the recording.
"""

from __future__ import annotations

import argparse
import email
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TASK = "Triage every TODO, FIXME and XXX of this package into TRIAGE.md."
SETTINGS = "TRIAGE_OWNER=mail-team\nTRACKER_TOKEN=ghp_not0a0real0token0but0shaped0like0one0\n"
MARK = ".coda-demo"  # a folder with this file is ours, and may be made anew
NEW_LIMIT = 5
WIDTH = 110


class Step(NamedTuple):
    """A command as it was run, and what it printed."""

    title: str
    command: str
    output: list[str]
    most: int
    """How many lines of the output the README shows."""


class Demo:
    """The demo's folder and what was run in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.workspace = folder / "workspace"
        self.steps: list[Step] = []
        self.env = {
            name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "CODA_"))
        }
        self.env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        self.env["NO_COLOR"] = "1"

    def prepare(self) -> None:
        """Makes the workspace: a package with notes in it, and settings with a secret."""
        self.workspace.mkdir(parents=True)
        (self.folder / MARK).touch()
        package = Path(email.__file__).parent
        shutil.copytree(
            package, self.workspace / "email", ignore=shutil.ignore_patterns("__pycache__", "*.pyc")
        )
        (self.workspace / ".env").write_text(SETTINGS, encoding="utf-8")
        shutil.copy(HERE / "replies.md", self.folder / "replies.md")

    def show(self, title: str, *arguments: str, status: int = 0, most: int = 4, cut: bool = False) -> None:
        """Runs a command as a user would, prints it and what it prints; another exit status ends the demo."""
        command = shlex.join(["coda", *arguments])
        print(f"\n# {title}\n$ {command}", flush=True)
        done = self._coda(*arguments, both=True)
        output = done.stdout.splitlines()
        for line in output[:most] if cut else output:
            print(f"  {line}")
        if cut and len(output) > most:
            print(f"  … {len(output) - most} more lines")
        if done.returncode != status:
            raise SystemExit(f"demo: `{command}` ended with status {done.returncode}, expected {status}")
        self.steps.append(Step(title, command, output, most))

    def ask(self, *arguments: str) -> list[dict[str, Any]]:
        """Runs a command with --json behind the scenes and gives its rows."""
        done = self._coda(*arguments, "--json", both=False)
        if done.returncode:
            raise SystemExit(f"demo: coda {shlex.join(arguments)} failed: {done.stderr or done.stdout}")
        return [json.loads(line) for line in done.stdout.splitlines()]

    def _coda(self, *arguments: str, both: bool) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "coda", *arguments],
            cwd=self.workspace,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if both else subprocess.PIPE,
            encoding="utf-8",
            check=False,
        )

    def run(self) -> str:
        """Runs all steps and gives the run's id."""
        script = ("--script", "../replies.md")
        self.show("An agent does a job: a real package, real files.", "run", TASK, *script, most=12)
        run = str(self.ask("runs")[0]["run"])
        self.show("Was that all of it? Run it again from its log alone.", "replay", run, "--verify")

        raised = str(self.ask("query", "error AttributeError", run)[0]["seq"])
        failed = str(self.ask("log", run, "--type", "line", "--to", raised)[-1]["seq"])
        shown = ("--expr", "text", "--expr", "len(scored)", "--expr", "len(hits)")
        self.show("Block 2 failed. What did the agent hold?", "state", run, "--at", failed, *shown)
        self.show("Who read the settings?", "query", "read *.env")
        self.show("Where did the threshold come from?", "query", "set limit", run)

        after = str(self.ask("query", "set limit", run)[-1]["seq"] + 1)
        at = ("fork", run, "--at", after)
        other = ("--set", f"limit={NEW_LIMIT}", "-o", "../other.jsonl")
        self.show("And with another threshold? Go on from there.", *at, *other, most=1, cut=True)
        self.show("What came of it?", "diff", run, "../other.jsonl", status=1, most=5)
        self.show("Changing nothing changes nothing.", *at, "-o", "../same.jsonl", most=1)
        return run


def fresh(folder: Path) -> Path:
    """Gives an empty folder: the one asked for, or a temporary one, named, where it cannot be written."""
    if folder.exists() and not (folder / MARK).exists() and any(folder.iterdir()):
        raise SystemExit(f"demo: {folder} holds something else; name a new folder with --folder")
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    except OSError:
        folder = Path(tempfile.mkdtemp(prefix="coda-demo-"))
        print(f"(writing to {folder})")
    return folder


def main() -> int:
    """Runs the demo."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=HERE / "out", help="where to leave the recording")
    parser.add_argument("--update-readme", action="store_true", help="put the output into README.md")
    given = parser.parse_args()
    started = time.monotonic()
    demo = Demo(fresh(given.folder.absolute()))
    demo.prepare()
    run = demo.run()
    here = os.path.relpath(demo.workspace)
    print(f"\nDone in {time.monotonic() - started:.0f} s. Now step through it yourself:\n")
    print(f"  cd {shlex.quote(here)} && {shlex.quote(sys.executable)} -m coda view")
    if given.update_readme:
        update_readme(screen(demo.steps, run, demo.workspace))
    return 0


# --- README ------------------------------------------------------------------------------------

BEGIN, END = "<!-- demo:begin -->", "<!-- demo:end -->"
RUN_ID = re.compile(r"\b\d{8}T\d{6}-[0-9a-f]{6}\b")
RUN, OTHER_RUN = "20260101T120000-c0da01", "20260101T120100-c0da02"


def screen(steps: list[Step], run: str, workspace: Path) -> str:
    """Gives the demo as one screen of text: nothing reworded, long lines folded, long outputs cut."""
    rows: list[str] = []
    for step in steps:
        rows += [f"# {step.title}", f"$ {step.command}", *step.output[: step.most]]
        if (more := len(step.output) - step.most) > 0:
            rows.append(f"… {more} more line{'s' if more > 1 else ''}")
        rows.append("")
    text = normal("\n".join(rows), run, workspace)
    return "\n".join(fold(row.rstrip()) for row in text.splitlines()).rstrip()


def fold(line: str) -> str:
    """Folds a long line; what goes on is marked."""
    if len(line) <= WIDTH:
        return line
    cut = line.rfind(" ", 0, WIDTH)
    return f"{line[:cut]}\n{fold('  ↪ ' + line[cut + 1 :])}"


def normal(text: str, run: str, workspace: Path) -> str:
    """Takes out what is different on each machine: run ids, digests, times, paths."""
    text = text.replace(f"{workspace}{os.sep}", "")
    text = RUN_ID.sub(lambda found: RUN if found[0] == run else OTHER_RUN, text)
    text = re.sub(r"\b[0-9a-f]{64}\b", "c0da…", text)
    return re.sub(r"\b\d+(\.\d+)? (ms|s)\b", "0.2 s", text)


def update_readme(shown: str) -> None:
    """Puts the screen between the markers of README.md."""
    path = ROOT / "README.md"
    text = path.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"demo: README.md has no {BEGIN} ... {END}")
    block = f"{before}{begin}\n```text\n{shown}\n```\n{end}{after}"
    path.write_text(block, encoding="utf-8")
    print("README.md is up to date")


if __name__ == "__main__":
    sys.exit(main())

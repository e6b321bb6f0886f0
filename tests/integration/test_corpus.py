"""What a model writes in a day, block by block: recorded here, verified elsewhere, every mark accounted for.

The programs are the files of `tests/corpus`, a folder for each kind. Those of one kind are blocks of one run,
as an agent's are: names stay from program to program. Afterwards the workspace is removed, and the trace is
replayed in another folder, zone, locale, hash seed, home and mask. (Programs for `coda exec`, with their own
files and arguments, are in `tests.support.corpus`; `test_exec` does the same with those.)
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from coda.log import LimitHit, open_trace
from coda.replay import Sandbox
from tests.conftest import RunCoda
from tests.support import http_server
from tests.support.corpus import PROGRAMS
from tests.support.elsewhere import environment_of

pytestmark = pytest.mark.slow

CORPUS = Path(__file__).resolve().parent.parent / "corpus"
KINDS = sorted(path.name for path in CORPUS.iterdir() if path.is_dir())
_CELL = re.compile(r"^# %%\n", re.MULTILINE)
_ENDS = re.compile(r"^# ends: (\w+)(?: (\w+))?$", re.MULTILINE)
_LIBRARIES = ("numpy", "pandas", "aiohttp")
_BLOCK_SECONDS = {"stopped": 0.5}

_STOPPED = "no mark of a doubt: the block ran into its time limit, and the trace says so"
MARKS: dict[str, dict[str, str]] = {
    f"stopped/{name}": {"wall": _STOPPED}
    for name in ("interrupted_function", "interrupted_loop", "killed", "waiting")
}
"""What the recording says it cannot hold: kind of mark and why, for each program that has one."""


class Written(NamedTuple):
    """One program of the corpus."""

    name: str
    cells: tuple[str, ...]

    @property
    def missing(self) -> list[str]:
        """Libraries that it uses and that are not installed here."""
        used = set(re.findall(r"^import (\w+)", "\n".join(self.cells), re.MULTILINE))
        return [name for name in _LIBRARIES if name in used and importlib.util.find_spec(name) is None]


class Recorded(NamedTuple):
    """The run of one kind."""

    kind: str
    trace: Path
    workspace: Path
    ended: dict[str, list[tuple[str, str]]]
    """How each block of each program ended: outcome, and type of the exception."""
    blocks: dict[int, str]
    """Name of a block's program."""


def written(kind: str) -> list[Written]:
    """The programs of a kind, in order of their names."""
    return [
        Written(f"{kind}/{path.stem}", tuple(_CELL.split(path.read_text(encoding="utf-8"))))
        for path in sorted((CORPUS / kind).glob("*.py"))
    ]


def expected(cell: str) -> tuple[str, str]:
    """How a cell says that it ends; `ok` when it says nothing."""
    found = _ENDS.search(cell)
    return (found[1], found[2] or "") if found else ("ok", "")


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, str]]:
    """Addresses of a server in a process of its own: plain, and with TLS."""
    command = [sys.executable, http_server.__file__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        plain, safe = process.stdout.readline().split()
        yield f"http://127.0.0.1:{plain}", f"https://127.0.0.1:{safe}"
        process.communicate()


@pytest.fixture(scope="module", params=KINDS)
def recorded(
    request: pytest.FixtureRequest, server: tuple[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Recorded:
    """All programs of a kind, run one after the other in one sandbox."""
    kind = request.param
    folder = tmp_path_factory.mktemp(kind)
    work = folder / "work"
    work.mkdir()
    if kind == "network":
        for name, text in zip(("url.txt", "safe_url.txt"), server, strict=True):
            (work / name).write_text(text)
    ended: dict[str, list[tuple[str, str]]] = {}
    blocks: dict[int, str] = {}
    with Sandbox(root=work, trace=folder / "run.jsonl", timeout_s=_BLOCK_SECONDS.get(kind)) as sandbox:
        for program in written(kind):
            if program.missing:
                continue
            ended[program.name] = []
            for cell in program.cells:
                done = sandbox.execute(cell)
                kept = done.error.kind if done.error is not None and done.outcome == "error" else ""
                ended[program.name].append((done.outcome, kept))
                blocks[done.block] = program.name
    return Recorded(kind, folder / "run.jsonl", work, ended, blocks)


def test_each_block_ends_as_it_says(recorded: Recorded) -> None:
    for program in written(recorded.kind):
        if not program.missing:
            assert recorded.ended[program.name] == [expected(cell) for cell in program.cells], program.name


def test_it_is_verified_elsewhere(recorded: Recorded, coda: RunCoda, tmp_path: Path) -> None:
    shutil.rmtree(recorded.workspace)
    away = tmp_path / "away"
    away.mkdir()
    old = os.umask(0o077)
    try:
        ran = coda("replay", "--verify", "--json", recorded.trace, cwd=away, env=environment_of(away))
    finally:
        os.umask(old)
    answer = json.loads(ran.out)
    at = (answer["diverged"] or {}).get("seq")
    block = open_trace(recorded.trace).block_of(at) if at is not None else None
    where = recorded.blocks.get(block.number) if block is not None else None
    assert (ran.status, answer["diverged"]) == (0, None), where
    assert answer["isolation"] == "kernel"
    assert list(away.iterdir()) == []
    assert not recorded.workspace.exists()


def test_its_marks_are_the_known_ones(recorded: Recorded) -> None:
    trace = open_trace(recorded.trace)
    found: dict[str, set[str]] = {}
    for event in trace.events(types={"limit.hit"}):
        block = trace.block_of(event.seq)
        assert isinstance(event.record, LimitHit)
        name = recorded.blocks[block.number] if block is not None else "outside of blocks"
        found.setdefault(name, set()).add(event.record.what)
    known = {name: set(marks) for name, marks in MARKS.items() if name in recorded.ended}
    assert found == known


def test_there_are_enough_of_them() -> None:
    count = sum(len(written(kind)) for kind in KINDS)
    assert count + len(PROGRAMS) >= 80
    assert {name.split("/")[0] for name in MARKS} <= set(KINDS)
    assert sum(len(marks) for marks in MARKS.values()) == 4


@pytest.mark.parametrize("name", _LIBRARIES)
def test_libraries_that_it_needs_are_here(name: str) -> None:
    """The programs that use one are left out where it is missing, and this says so."""
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed: the programs that use it were not run")

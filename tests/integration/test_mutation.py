"""One thing changed in a recorded trace: `replay` finds it, and names that event or the next comparable one.

A verification that compared what it had just read would pass every one of these.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import coda
from coda.errors import LogError
from coda.log import Trace, Units, open_trace
from coda.replay import Verdict, replay
from coda.runtime import Sandbox
from tests.conftest import RunCoda
from tests.support.doctoring import Row, doctored, put_blob, rows_of
from tests.support.programs import dedent, record

pytestmark = pytest.mark.slow

PROGRAM = dedent(
    """
    import os, random, subprocess, time
    import helper
    text = open("in.txt").read()
    now = time.time()
    mode = os.environ["HOME"]
    name = input()
    with open("out.txt", "w") as f:
        f.write(text * 2)
    os.rename("out.txt", "moved.txt")
    done = subprocess.run(["echo", "hi"], input="fed", capture_output=True, text=True)
    word = done.stdout + str(done.returncode)
    total = helper.double(3)
    for k in range(3):
        total += k
        print("total", total)
    drawn = random.random()
    listed = os.listdir(".")
    print(len(text), name, word, drawn)
    """
)
HELPER = "def double(x):\n    y = x * 2\n    return y\n"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that meets every kind of effect once."""
    files = {"in.txt": "some text\n", "helper.py": HELPER}
    return record(PROGRAM, tmp_path_factory.mktemp("program"), files=files, stdin="bob\n")


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Blocks with tools, ctx and an exception."""
    folder = tmp_path_factory.mktemp("agent")
    (folder / "ws").mkdir()

    @coda.tool
    def ask(question: str, depth: int = 1) -> dict[str, Any]:
        return {"answer": question.upper(), "depth": depth}

    with Sandbox(root=folder / "ws", trace=folder / "trace.jsonl", tools=[ask]) as sandbox:
        sandbox.execute("got = ask('why', depth=3)\nctx.found = got['answer']\n")
        sandbox.execute("ctx.more = [1, 2]\nctx.more.append(3)\nwrite('a.txt', 'text')\n")
        sandbox.execute("del ctx.found\n{}['missing']\n")
    return folder / "trace.jsonl"


def test_the_traces_are_faithful_as_they_are(program: Path, agent: Path, tmp_path: Path) -> None:
    for trace in (program, agent):
        assert replay(trace).faithful
        unsealed = doctored(trace, tmp_path / "copy.jsonl", lambda rows: None)
        assert replay(unsealed).faithful


class Hit(NamedTuple):
    """Where a change was made."""

    seq: int
    last: int
    """The latest event at which it must be found: the next one that is no statement."""


def only(rows: list[Row], kind: str, **fields: Any) -> Row:
    """The first record of a type with these fields."""
    return next(
        row
        for row in rows
        if row["type"] == kind and all(row.get(name) == value for name, value in fields.items())
    )


def entry(rows: list[Row], units: Units, wanted: Callable[[int, Any], bool]) -> tuple[Row, int, int, int]:
    """The first entry of a `lines` record that is wanted: record, index in ids, index in vals, seq."""
    for row in rows:
        if row["type"] != "lines":
            continue
        seq: int = row["seq"]
        place = 0
        for index, ident in enumerate(row["ids"]):
            binds = ident >= 0 and not units.is_statement(ident)
            value = row["vals"][place] if ident < 0 or binds else None
            if wanted(ident, value):
                return row, index, place, seq
            place += ident < 0 or binds
            seq += int(not binds)
    raise AssertionError("no such entry")


def next_compared(rows: list[Row], seq: int) -> int:
    """The first event after `seq` that is not in a batch of lines: there, all before it was compared."""
    return min(int(row["seq"]) for row in rows if row.get("seq", -1) > seq and row["type"] != "lines")


def verdict_on(trace: Path, to: Path, change: Callable[[list[Row], Units, Path], int]) -> tuple[Verdict, Hit]:
    """Replays a trace after a change; tells where the change was."""
    rows = rows_of(trace)
    units = Units(open_trace(trace).units())
    hits: list[Hit] = []

    def apply(found: list[Row]) -> None:
        seq = change(found, units, to)
        hits.append(Hit(seq, next_compared(rows, seq)))

    return replay(doctored(trace, to, apply)), hits[0]


Change = Callable[[list[Row], Units, Path], int]


def _seven(text: str) -> str:
    return text.replace("total 7", "total 1")


def coded(code: int, new: Any) -> Change:
    """Changes the first value of a stream code."""

    def change(rows: list[Row], units: Units, _to: Path) -> int:
        def changed(value: Any) -> Any:
            return new(value) if callable(new) else new

        def wanted(ident: int, value: Any) -> bool:
            return ident == code and bool(changed(value) != value)

        row, _, place, seq = entry(rows, units, wanted)
        row["vals"][place] = changed(row["vals"][place])
        return seq

    return change


def bound(old: Any, new: Any) -> Change:
    """Changes the first bound value that equals `old`."""

    def change(rows: list[Row], units: Units, _to: Path) -> int:
        row, _, place, seq = entry(rows, units, lambda ident, value: ident >= 0 and value == old)
        row["vals"][place] = new
        return seq

    return change


def statement(step: int) -> Change:
    """Changes the id of the step-th statement into that of another one."""

    def change(rows: list[Row], units: Units, _to: Path) -> int:
        count = iter(range(1 << 30))
        row, index, _, seq = entry(
            rows,
            units,
            lambda ident, _value: ident >= 0 and units.is_statement(ident) and next(count) == step,
        )
        row["ids"][index] += 1 if units.is_statement(row["ids"][index] + 1) else -1
        return seq

    return change


def field(kind: str, name: str, new: Any, **where: Any) -> Change:
    """Changes a field of the first record of a type."""

    def change(rows: list[Row], _units: Units, to: Path) -> int:
        row = only(rows, kind, **where)
        assert row.get(name) != new
        row[name] = new(row.get(name), to) if callable(new) else new
        seq = row["seq"]
        assert isinstance(seq, int)
        return seq

    return change


def other_blob(_digest: Any, to: Path) -> str:
    """A blob that is there, with other content."""
    return put_blob(to, b"other content\n")


IN_PROGRAM: dict[str, Change] = {
    "first statement": statement(0),
    "statement in a loop": statement(18),
    "value": bound(6, 7),
    "value of another type": bound(6, 6.0),
    "output": coded(-1, lambda text: text.replace("total 6", "total 9")),
    "clock": coded(-3, lambda value: value + 1),
    "environment": coded(-14, lambda pair: [pair[0], pair[1] + "x"]),
    "input": coded(-15, "eve"),
    "process argument": field("process.started", "argv", ["echo", "ho"]),
    "process input": field("process.started", "stdin", other_blob),
    "process output": field("process.finished", "stdout", "ho\n"),
    "process status": field("process.finished", "code", 1),
    "content of a read": field("file.read", "digest", other_blob, path="in.txt"),
    "path of a read": field("file.read", "path", "other.txt", path="in.txt"),
    "path of an open": field("file.opened", "path", "other.txt", path="out.txt"),
    "content of a write": field("file.wrote", "digest", other_blob, path="moved.txt"),
    "rename": field("file.renamed", "to", "other.txt"),
    "name of an import": field("import", "module", "other", module="helper"),
    "listing": field("file.listed", "path", "elsewhere"),
    "outcome of an act": coded(-17, lambda told: ["rmdir", None] if told[0] == "rename" else told),
    "names in a folder": coded(-17, lambda told: [told[0], ["other"]] if told[0] == "listdir" else told),
    "end of the block": field("block.finished", "outcome", "exited"),
}
IN_AGENT: dict[str, Change] = {
    "argument": field("tool.called", "args", ["who"]),
    "named argument": field("tool.called", "kwargs", {"depth": 4}),
    "result": field("tool.returned", "value", {"answer": "NO", "depth": 3}),
    "failure of a call": field(
        "tool.returned",
        "error",
        {"type": "ValueError", "mro": ["ValueError"], "message": "x", "args": ["x"]},
    ),
    "name of a call": field("tool.called", "name", "other"),
    "ctx value": field("ctx.set", "value", "WHEN"),
    "ctx name": field("ctx.set", "name", "lost"),
    "ctx mutation": field("ctx.mutated", "value", [1, 2, 4]),
    "ctx deletion": field("ctx.deleted", "name", "more"),
    "exception": field("exception", "message", "'other'"),
    "exception type": field("exception", "kind", "IndexError"),
}
# The answer is given as it is; what differs is what the program does with it afterwards.
LATER = {
    "names in a folder",
    "clock",
    "environment",
    "input",
    "process output",
    "process status",
    "content of a read",
    "result",
}


def found(verdict: Verdict, hit: Hit, name: str) -> None:
    """Asserts that the change was found where it can be."""
    assert not verdict.faithful, f"{name} at event {hit.seq} was not noticed"
    assert verdict.diverged is not None
    named = verdict.diverged.facts["seq"]
    assert hit.seq <= named, (hit, verdict.diverged)
    if name not in LATER:
        assert named <= hit.last, (hit, verdict.diverged)
    assert str(named) in verdict.diverged.message


@pytest.mark.parametrize("name", IN_PROGRAM)
def test_a_change_in_a_programs_trace_is_found(name: str, program: Path, tmp_path: Path) -> None:
    verdict, hit = verdict_on(program, tmp_path / "changed.jsonl", IN_PROGRAM[name])
    found(verdict, hit, name)


@pytest.mark.parametrize("name", IN_AGENT)
def test_a_change_in_an_agents_trace_is_found(name: str, agent: Path, tmp_path: Path) -> None:
    def change(rows: list[Row], units: Units, to: Path) -> int:
        seq = IN_AGENT[name](rows, units, to)
        if name == "failure of a call":
            only(rows, "tool.returned")["ok"] = False
        return seq

    verdict, hit = verdict_on(agent, tmp_path / "changed.jsonl", change)
    found(verdict, hit, name)


def test_another_seed_draws_other_numbers(program: Path, tmp_path: Path) -> None:
    verdict, _ = verdict_on(program, tmp_path / "changed.jsonl", field("run.started", "random_seed", 12345))
    assert not verdict.faithful


def test_another_source_is_refused(program: Path, tmp_path: Path) -> None:
    source = PROGRAM.replace("total += k", "total -= k")
    verdict, hit = verdict_on(program, tmp_path / "changed.jsonl", field("block.started", "source", source))
    assert not verdict.faithful
    assert hit.seq < _seq(verdict)


def _seq(verdict: Verdict) -> int:
    assert verdict.diverged is not None
    seq = verdict.diverged.facts["seq"]
    assert isinstance(seq, int)
    return seq


def test_a_damaged_blob_is_an_error_of_the_log(program: Path, tmp_path: Path) -> None:
    trace = doctored(program, tmp_path / "copy.jsonl", lambda rows: None)
    digest = only(rows_of(trace), "file.read", path="in.txt")["digest"]
    blob = open_trace(trace).blobs.path(digest)
    blob.chmod(0o600)
    blob.write_bytes(blob.read_bytes()[:-1] + b"!")
    with pytest.raises(LogError, match=digest[2:12]):
        replay(trace)
    blob.unlink()
    with pytest.raises(LogError, match=digest[2:12]):
        replay(trace)


def test_a_lost_tail_is_no_divergence_and_the_end_is_named(program: Path, tmp_path: Path) -> None:
    rows = rows_of(program)
    cut = next(i for i, row in enumerate(rows) if row["type"] == "process.started")

    def change(found: list[Row]) -> None:
        del found[cut:]

    verdict = replay(doctored(program, tmp_path / "cut.jsonl", change))
    assert verdict.faithful
    assert verdict.ends_at == rows[cut]["seq"]


def test_the_command_exits_3_and_names_the_event(program: Path, tmp_path: Path, coda: RunCoda) -> None:
    hits: list[int] = []

    def change(rows: list[Row]) -> None:
        units = Units(Trace(program).units())
        hits.append(coded(-1, _seven)(rows, units, tmp_path))

    trace = doctored(program, tmp_path / "changed.jsonl", change)
    ran = coda("replay", "--verify", trace)
    assert ran.status == 3
    assert f"diverged at event {hits[0]}" in ran.out
    assert "total 1" in ran.out
    assert "total 7" in ran.out
    data = json.loads(coda("replay", trace, "--json").out)
    assert (data["faithful"], data["diverged"]["seq"]) == (False, hits[0])

"""Traces that an enemy, or a failing disk, made: every verb answers with a status and a sentence, invents
nothing, prints no control sequences, and neither follows paths out of the trace's folder nor hangs."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import random
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import coda
from coda.cli.main import main
from coda.errors import CodaError
from coda.log import check_trace, open_trace
from coda.runtime import Sandbox
from tests.support.traces import agent_trace, fork_trace, program_trace
from tests.unit.collector.everything import everything_trace

pytestmark = pytest.mark.slow

EVIL = "\x1b]0;evil\x07\x1b[31m\r\x9b2J\u202e\x00"
DEEP = "DEEP"  # becomes an array of arrays, deeper than a stack
ABSURD: tuple[Any, ...] = (
    None, True, -1, 0, 1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**70, -(2**63), 1e308, 0.5,
    "", "x" * 3000, EVIL, "../../../../etc/passwd", "/etc/passwd", "\ud7ff", DEEP, [], [[]], {}, [None],
    {"$": "blob", "d": "../../etc/passwd", "n": 5}, {"$": "blob", "d": "a" * 64, "n": -5},
    {"$": "set", "v": [[1], [2]]}, {"$": "dict", "v": [[[], 1]]}, {"$": "float", "v": "zz"},
    {"$": "int", "v": "0x" + "f" * 9000}, {"$": "datetime", "v": "x"}, {"$": "path", "v": {}},
    {"$": "decimal", "v": []}, {"$": 5}, {"$": "timedelta", "v": 10**30}, {"$": "uuid", "v": 1},
    {"$": "complex", "v": [1]}, {"$": "record", "t": "A", "v": []}, {"$": "opaque"},
    {"$": "summary", "t": [], "n": {}, "h": "x"},
)  # fmt: skip
Rows = list[dict[str, Any]]


class Ran(NamedTuple):
    """How a command line ended."""

    status: object
    out: str
    err: str


def run(*args: str | Path) -> Ran:
    """Runs a command line in this process."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main([str(arg) for arg in args])
    said = [stream.buffer.getvalue().decode() for stream in (out, err)]
    return Ran(status, *said)


CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def judge(*args: str | Path) -> Ran:
    """Runs a command line that must answer properly, whatever it is given."""
    ran = run(*args)
    assert ran.status in (0, 1, 2, 3), (args, ran)
    assert "defect of coda" not in ran.err, (args, ran.err)
    assert CONTROL.search(ran.out + ran.err) is None, (args, ran)
    assert ran.out or ran.err, args
    return ran


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Sound traces of every shape, one of them really recorded."""
    folder = tmp_path_factory.mktemp("base")
    traces = {
        "everything": everything_trace(folder / "everything.jsonl"),
        "program": program_trace(folder / "program.jsonl"),
        "agent": agent_trace(folder / "agent.jsonl"),
        "recorded": folder / "recorded.jsonl",
    }
    traces["fork"] = fork_trace(folder / "fork.jsonl", traces["program"], 12)
    (folder / "ws").mkdir()

    @coda.tool
    def act(n: int) -> dict[str, Any]:
        """Gives values of several kinds."""
        return {"n": n, "b": b"x"}

    with Sandbox(root=folder / "ws", trace=traces["recorded"], tools=[act]) as sandbox:
        sandbox.execute(
            "import time, os\nx = [1, 2.5, (3,)]\nfor i in range(3):\n    x.append(act(i))\n"
            "print(x, time.time())\nctx.y = x\nopen('f.txt', 'w').write('hi')\n"
            "print(open('f.txt').read(), os.environ.get('HOME'))"
        )
        sandbox.execute("def f(n):\n    return n + 1\nprint(f(3))\nwrite('a.txt', 'z')\nraise ValueError")
    return traces


def places(data: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where in a record something can be exchanged; of long arrays the beginning."""
    items = data.items() if isinstance(data, dict) else enumerate(data[:3]) if isinstance(data, list) else ()
    for key, value in items:
        yield (*before, key)
        yield from places(value, (*before, key))


def spoil(rows: Rows, rng: random.Random) -> None:
    """Puts something absurd into a few records, or takes something out."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        row: Any = rng.choice(rows)
        *way, last = rng.choice([*places(row)])
        try:
            for step in way:
                row = row[step]
            if rng.random() < 0.1 and isinstance(row, dict):
                del row[last]
            else:
                row[last] = json.loads(json.dumps(rng.choice(ABSURD)))
        except (KeyError, IndexError, TypeError):
            continue  # another change was there first
    if rng.random() < 0.1:
        rng.shuffle(rows)


def written(path: Path, rows: Rows) -> Path:
    """Writes records as a trace whose seals fit, so that nobody is warned by them."""
    data = b""
    events: Any = 0
    for row in rows:
        if row.get("type") == "seal":
            row = {
                "type": "seal",
                "offset": len(data),
                "sha256": hashlib.sha256(data).hexdigest(),
                "events": events,
            }
        elif isinstance(row.get("seq"), int) and isinstance(row.get("n", 1), int):
            events = row["seq"] + row.get("n", 1)
        text = json.dumps(row, ensure_ascii=False, separators=(",", ":"))
        data += text.replace(f'"{DEEP}"', "[" * 3000 + "]" * 3000).encode() + b"\n"
    path.write_bytes(data)
    return path


def rows_of(path: Path) -> Rows:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def spoilt(base: Path, folder: Path, rng: random.Random) -> Path:
    """A copy of a trace with absurd fields, its blobs beside it."""
    rows = rows_of(base)
    spoil(rows, rng)
    path = written(folder / base.name, rows)
    blobs = base.with_suffix(".blobs")
    if blobs.exists() and not path.with_suffix(".blobs").exists():
        shutil.copytree(blobs, path.with_suffix(".blobs"))
    return path


@pytest.mark.parametrize("seed", range(4))
def test_absurd_fields_are_refused_or_shown(seed: int, base: dict[str, Path], tmp_path: Path) -> None:
    rng = random.Random(seed)
    shutil.copy(base["program"], tmp_path / "program.jsonl")  # the fork's parent, until it is spoilt itself
    for _ in range(12):
        name = rng.choice([*base, "everything"])
        path, sound = spoilt(base[name], tmp_path, rng), base[name]
        judge("log", path)
        judge("log", "--json", "--from", "3", path)
        judge("log", "--block", "1", path)
        report = judge("check", "--json", path)
        assert ("consistent" in report.out) or report.status == 2
        for query in ("read *", "run *", "set *", "why x", "flow from * to *", "output *"):
            judge("query", query, path)
        judge("diff", path, sound)
        judge("diff", "--json", sound, path)
        judge("export", "--dry-run", "--json", "--otlp", "http://localhost:1", path)
        judge("runs", tmp_path)


@pytest.mark.parametrize("seed", range(2))
def test_absurd_fields_end_a_replay_properly(seed: int, base: dict[str, Path], tmp_path: Path) -> None:
    rng = random.Random(100 + seed)
    for _ in range(5):
        path = spoilt(base["recorded"], tmp_path, rng)
        for verb in (
            ("replay",),
            ("state", "--at", "1:5"),
            ("fork", "--at", "12", "--force", "-o", tmp_path / "o"),
        ):
            judge(*verb, "--trust", path)


# --- chosen ones -----------------------------------------------------------------------------------------


def test_forks_that_are_their_own_parents(base: dict[str, Path], tmp_path: Path) -> None:
    for name, parent in (("a", "b"), ("b", "a"), ("c", "c")):
        rows = rows_of(base["fork"])
        rows[0]["run"] = name
        rows[0]["parent"].update(run=parent, path=f"{parent}.jsonl")
        written(tmp_path / f"{name}.jsonl", rows)
    for name in "abc":
        for verb in ("log", "check", "replay", "export --dry-run", "query read"):
            words = verb.split()
            ran = judge(*words, tmp_path / f"{name}.jsonl")
            assert "in a circle" in ran.out + ran.err, ran
    assert len(judge("runs", tmp_path).out.splitlines()) >= 3


def test_nothing_outside_of_the_folder_is_read(base: dict[str, Path], tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"SECRET CONTENT")
    digest = hashlib.sha256(b"SECRET CONTENT").hexdigest()
    folder = tmp_path / "in"
    folder.mkdir()
    names = ["../../secret", str(secret), "..", "", "a" * 63, "A" * 64, "a" * 32 + "/" + "a" * 31, digest]
    store = folder / "program.blobs" / digest[:2]
    store.mkdir(parents=True)
    (store / digest[2:]).symlink_to(secret)  # the right content, but a link
    for name in names:
        rows = rows_of(base["program"])
        for row in rows:
            if row["type"] == "file.read":
                row["digest"] = name
        path = written(folder / "program.jsonl", rows)
        with pytest.raises(CodaError, match=r"is missing|not the name of a blob"):
            open_trace(path).blobs.get(name)
        assert check_trace(path).damage
        for verb in (("log", "--json"), ("query", "read *"), ("replay", "--trust"), ("check",)):
            ran = judge(*verb, path)
            assert "SECRET CONTENT" not in ran.out + ran.err


def test_files_that_are_no_files_do_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "folder.jsonl").mkdir()
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "zeros.jsonl").write_bytes(bytes(10_000))
    (tmp_path / "loop.jsonl").symlink_to(tmp_path / "loop.jsonl")
    for path in (*tmp_path.iterdir(), Path("/dev/zero"), Path("/dev/null")):
        for verb in ("log", "check", "replay", "view", "query read"):
            ran = judge(*verb.split(), path)
            assert ran.status in (1, 2), (verb, path, ran)
    judge("runs", tmp_path)


def test_numbers_without_measure_cost_nothing(base: dict[str, Path], tmp_path: Path) -> None:
    """A few bytes that stand for more events than there are atoms are counted, not made."""
    rows = rows_of(base["program"])[:5]
    last = rows[-1]["seq"]
    rows.append({"type": "elided", "seq": last + 1, "t": 1, "n": 2**62, "counts": [[0, 2**62]], "block": 1})
    rows.append({"type": "note", "seq": last + 1 + 2**62, "t": 1, "text": "after"})
    path = written(tmp_path / "t.jsonl", rows)
    assert "after" in judge("log", path).out
    judge("check", path)
    judge("diff", path, base["program"])
    judge("query", "run *", path)
    for position in ("5", str(2**61), f"5+{2**61}", f"1:{2**61}", str(2**62 + 50), "9" * 5000):
        judge("log", "--from", position, path)
        judge("state", "--trust", "--at", position, path)


def test_control_sequences_in_every_text(base: dict[str, Path], tmp_path: Path) -> None:
    """Texts of a trace come out disarmed, wherever they stand."""

    def poison(data: Any, key: str = "") -> Any:
        if isinstance(data, dict):
            return {name: poison(value, name) for name, value in data.items()}
        if isinstance(data, list):
            return [poison(item, key) for item in data]
        return data + EVIL if isinstance(data, str) and key not in KEPT else data

    for name in ("everything", "agent"):
        header, *rows = rows_of(base[name])
        poisoned = [row | poison({key: row[key] for key in row if key != "type"}) for row in rows]
        path = written(tmp_path / f"{name}.jsonl", [header, *poisoned])
        assert "evil" in judge("log", path).out
        for query in ("run *", "read *", "call *", "set *", "output *"):
            judge("query", query, path)
        judge("diff", base[name], path)
        judge("check", path)
    assert "u202e" in judge("runs", tmp_path).out


# What is compared with something, not shown.
KEPT = frozenset({"digest", "sha256", "before", "manifest", "$", "level"})

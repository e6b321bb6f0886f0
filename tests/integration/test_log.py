"""`coda log` on recordings: what it shows, what it keeps, and how it follows a run that goes on."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from coda.log import (
    BlockFinished,
    BlockStarted,
    Header,
    Note,
    RunFinished,
    RunStarted,
    Statement,
    Table,
    TraceWriter,
    open_trace,
)
from tests.conftest import ROOT, RunCoda
from tests.support.programs import dedent, record

pytestmark = pytest.mark.slow

NESTED = dedent(
    """
    import helper

    def fall(n):
        if n == 0:
            return "end"
        word = fall(n - 1)
        return word

    def count():
        for i in range(2):
            yield i

    def outer(a):
        b = helper.double(a)
        return b

    fall(2)
    total = outer(3) + outer(4)
    for each in count():
        total += each
    print(total)
    """
)
HELPER = "def double(x):\n    y = x * 2\n    return y\n"


def rows_of(coda: RunCoda, *options: str) -> list[tuple[str, str]]:
    """Number of the line (or nothing), and what stands after it with its indentation."""
    ran = coda("log", *options)
    assert (ran.status, ran.err) == (0, "")
    return [(row[19:24].strip(), row[26:]) for row in ran.out.splitlines()]


@pytest.mark.parametrize("level", ["lines", "values"])
def test_lines_are_indented_by_the_calls_that_they_are_in(level: str, tmp_path: Path, coda: RunCoda) -> None:
    trace = record(NESTED, tmp_path, files={"helper.py": HELPER}, level=level)
    rows = rows_of(coda, str(trace), "--type", "line")
    rows = [(line, text) for line, text in rows if not text.lstrip().startswith("#")]
    depths = [(int(line), (len(text) - len(text.lstrip()) - 2) // 2) for line, text in rows]
    assert [found for found, (_, text) in zip(depths, rows, strict=True) if "def" not in text] == [
        (1, 0),
        (17, 0),
        (4, 1), (6, 1), (4, 2), (6, 2), (4, 3), (5, 3), (7, 2), (7, 1),
        (18, 0),
        (14, 1), (2, 2), (3, 2), (15, 1),
        (14, 1), (2, 2), (3, 2), (15, 1),
        (19, 0),
        (10, 1), (11, 1), (20, 0), (11, 1), (20, 0),
        (21, 0),
    ]  # fmt: skip
    given = "" if level == "lines" else "(x = 3)"
    assert ("2", f"      y = x * 2  in double{given}  (helper.py)") in [
        (line, text.partition("   #")[0]) for line, text in rows
    ]


def test_values_stand_with_the_statement_that_bound_them(tmp_path: Path, coda: RunCoda) -> None:
    trace = record(NESTED, tmp_path, files={"helper.py": HELPER})
    rows = rows_of(coda, str(trace))
    at = rows.index(("18", "  total = outer(3) + outer(4)"))
    assert rows[at + 1 : at + 6] == [
        ("14", "    b = helper.double(a)  in outer(a = 3)"),
        ("2", "      y = x * 2  in double(x = 3)  (helper.py)   # y = 6"),
        ("3", "      return y  in double  (helper.py)"),
        ("14", "    # b = 6"),
        ("15", "    return b  in outer"),
    ]
    assert ("19", "  # each = 1") in rows


UNWOUND = dedent(
    """
    def fall(n):
        if n == 0:
            raise KeyError(n)
        try:
            got = fall(n - 1)
        except KeyError:
            if n > 1:
                raise
            got = n
        return got
    class Pair:
        def left(self):
            word = "l"
            return word
        def both(self):
            return self.left(), self.left()
    numbers = fall(1)
    pair = Pair().both()
    ctx = [n for n in range(3)]
    del pair
    """
)


def test_frames_tell_calls_apart_that_the_path_does_not(tmp_path: Path, coda: RunCoda) -> None:

    rows = rows_of(coda, str(record(UNWOUND, tmp_path)))
    first = rows.index(("17", "  numbers = fall(1)"))
    assert rows[first + 1 : first + 20] == [
        ("2", "    if n == 0:  in fall(n = 1)"),
        ("4", "    try:  in fall"),
        ("5", "    got = fall(n - 1)  in fall"),
        ("2", "      if n == 0:  in fall(n = 0)"),
        ("3", "      raise KeyError(n)  in fall"),
        ("7", "    if n > 1:  in fall"),
        ("9", "    got = n  in fall   # got = 1"),
        ("10", "    return got  in fall"),
        ("17", "  # numbers = 1"),
        ("18", "  pair = Pair().both()"),
        ("16", "    return self.left(), self.left()  in Pair.both(self = <__main__.Pair>)"),
        ("13", "      word = \"l\"  in Pair.left(self = <__main__.Pair>)   # word = 'l'"),
        ("14", "      return word  in Pair.left"),
        ("13", "      word = \"l\"  in Pair.left(self = <__main__.Pair>)   # word = 'l'"),
        ("14", "      return word  in Pair.left"),
        ("18", "  # pair = ('l', 'l')"),
        ("19", "  ctx = [n for n in range(3)]   # ctx = [0, 1, 2]"),
        ("20", "  del pair"),
        ("", "block.finished  block 1 ok, 21 statements"),
    ]


def test_colour_is_for_terminals_or_when_it_is_asked_for(tmp_path: Path, coda: RunCoda) -> None:
    trace = record("value = 1\nprint(value)\n", tmp_path)
    plain = coda("log", str(trace)).out
    coloured = coda("log", str(trace), "--color", "always").out
    assert "\x1b[" not in plain
    assert coloured.count("\x1b[") > 10
    assert coda("log", str(trace), env={"CODA_COLOR": "always"}).out == coloured
    assert coda("log", str(trace), "--color", "auto", env={"CODA_COLOR": "always"}).out == plain


def test_a_family_of_types_and_a_misspelt_one(tmp_path: Path, coda: RunCoda) -> None:
    trace = record("import os\nos.makedirs('a')\nopen('a/b', 'w').close()\nos.remove('a/b')\n", tmp_path)
    rows = [json.loads(row) for row in coda("log", str(trace), "--type", "file", "--json").out.splitlines()]
    assert {row["type"] for row in rows} >= {"file.made", "file.opened", "file.deleted"}
    assert all(row["type"].startswith("file.") for row in rows)
    ran = coda("log", str(trace), "--type", "lime")
    assert (ran.status, ran.out) == (2, "")
    assert "did you mean line" in ran.err


def wide_trace(path: Path, lines: int) -> Path:
    """A trace of so many line events, two of each turn of a loop."""
    rows = (
        Statement(1, 3, "for", 0, ("n",), ()),
        Statement(2, 2, "expr", 0, (), ()),
        Statement(3, 3, "expr", 0, (), ()),
    )
    ids = b"[" + b",".join([b"1,2"] * 500) + b"]"
    with TraceWriter(path, Header(run="wide")) as writer:
        writer.append(started())
        source = "for n in numbers:\n    first(n)\n    second(n)\n"
        writer.append(BlockStarted(block=1, source=source, file="w.py", table=Table(base=0, statements=rows)))
        for _ in range(lines // 1000):
            writer.append_lines(ids, b"[]", 1000, block=1)
        writer.append(BlockFinished(block=1, outcome="ok", lines=lines))
        writer.append(RunFinished(outcome="ok"))
    return path


def started() -> RunStarted:
    return RunStarted(
        wall="2026-01-01T00:00:00+00:00", kind="exec", coda="0", python="3.11.0", level="lines",
        value_limit=64, line_limit=10**9, hash_seed=0, random_seed=1, cwd="/w", root="/w", main="w.py",
    )  # fmt: skip


PEAK = """
import resource, subprocess, sys
ran = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)
print(ran.returncode, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peak memory is in other units elsewhere")
@pytest.mark.parametrize("options", [(), ("--json",)], ids=["text", "json"])
def test_memory_does_not_grow_with_the_trace(options: tuple[str, ...], tmp_path: Path) -> None:
    """A list of the events of the larger one would take a hundred megabytes more."""
    peaks = []
    for lines in (1000, 200_000):
        trace = wide_trace(tmp_path / f"{lines}.jsonl", lines)
        done = subprocess.run(
            [sys.executable, "-c", PEAK, sys.executable, "-m", "coda", "log", str(trace), *options],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        status, kibibytes = map(int, done.stdout.split())
        assert status == 0
        peaks.append(kibibytes / 1024)
    assert peaks[1] < 100
    assert peaks[1] - peaks[0] < 12


def test_rows_are_printed_before_the_end_is_read(tmp_path: Path, coda: RunCoda) -> None:
    trace = wide_trace(tmp_path / "t.jsonl", 50_000)
    data = trace.read_bytes()
    trace.write_bytes(data[:-2000] + b"?" + data[-1999:])
    ran = coda("log", str(trace))
    assert ran.status == 2
    assert len(ran.out.splitlines()) > 48_000
    assert "damaged" in ran.err


# --- following ---------------------------------------------------------------------------------


@contextlib.contextmanager
def following(trace: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-m", "coda", "log", str(trace), "--follow", *options],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as follower:  # fmt: skip
        try:
            yield follower
        finally:
            follower.kill()


def until(follower: subprocess.Popen[str], word: str) -> str:
    """Reads until a row holds a word; gives the row."""
    assert follower.stdout is not None
    for row in follower.stdout:
        if word in row:
            return row
    assert follower.stderr is not None
    raise AssertionError(f"no row with {word!r}: {follower.stderr.read()}")


def rest(follower: subprocess.Popen[str]) -> tuple[int, list[str], str]:
    """How it ended, and what it printed after what was read already."""
    assert follower.stdout is not None
    assert follower.stderr is not None
    return follower.wait(60), follower.stdout.read().splitlines(), follower.stderr.read()


WAITING = "before = 1\nasked = input()\nafter = 2\n"


@contextlib.contextmanager
def waiting_program(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A program under `coda exec` that waits for its input in line 2; its trace is t.jsonl."""
    (folder / "prog.py").write_text(WAITING)
    with subprocess.Popen(
        [sys.executable, "-m", "coda", "exec", "--quiet", "-o", "t.jsonl", "prog.py"],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as program:  # fmt: skip
        try:
            deadline = 6000
            while (
                not (folder / "t.jsonl").exists() or b"block.started" not in (folder / "t.jsonl").read_bytes()
            ):
                deadline -= 1
                assert deadline
                assert program.poll() is None
                with contextlib.suppress(subprocess.TimeoutExpired):
                    program.wait(0.01)
            yield program
        finally:
            program.kill()


def test_a_run_is_followed_to_its_end(tmp_path: Path) -> None:
    with waiting_program(tmp_path) as program, following(tmp_path / "t.jsonl") as follower:
        # The line that waits is seen while it waits, not when the next event comes.
        assert "asked = input()" in until(follower, "asked")
        assert program.stdin is not None
        program.stdin.write("word\n")
        program.stdin.flush()
        until(follower, "# asked = 'word'")
        status, rows, err = rest(follower)
        assert (status, err) == (0, "")
        assert "run.finished  ok, exit status 0" in rows[-1]
        assert program.wait(30) == 0


def test_following_ends_when_the_recorder_dies(tmp_path: Path) -> None:
    with waiting_program(tmp_path) as program, following(tmp_path / "t.jsonl", "--json") as follower:
        assert json.loads(until(follower, '"line":2'))["source"] == "asked = input()"
        program.kill()
        status, rows, err = rest(follower)
        assert status == 0
        assert rows == []
        assert "coda: the recorder died before the run had ended\n" in err


def test_ctrl_c_ends_following_with_130(tmp_path: Path) -> None:
    with waiting_program(tmp_path), following(tmp_path / "t.jsonl") as follower:
        until(follower, "asked")
        follower.send_signal(signal.SIGINT)
        assert rest(follower) == (130, [], "coda: interrupted\n")


def test_a_line_that_is_being_written_is_awaited(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    writer = TraceWriter(path, Header(run="torn"))
    writer.append(started())
    writer.append(Note(text="first"))
    whole = b'{"type":"note","seq":2,"t":5,"text":"in two pieces"}\n'
    with following(path) as follower:
        until(follower, "first")
        os.write(writer._file._fd, whole[:20])
        # Nothing is printed of it, and the follower stays: it would have ended at a torn tail.
        with pytest.raises(subprocess.TimeoutExpired):
            follower.wait(0.5)
        os.write(writer._file._fd, whole[20:])
        assert "in two pieces" in until(follower, "pieces")
        os.write(writer._file._fd, whole[:30])
        os.close(writer._file._fd)  # and dies in the middle of another
        status, rows, err = rest(follower)
        assert (status, rows) == (0, [])
        assert "the last line is torn: 30 bytes" in err
        assert "the recorder died" in err


def test_a_block_that_has_not_begun_can_be_followed(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    with TraceWriter(path, Header(run="later")) as writer:
        writer.append(started())
        with following(path, "--block", "2", "--json") as follower:
            for block in (1, 2, 3):
                writer.append(BlockStarted(block=block, source="", file="b", table=None))
                writer.append(BlockFinished(block=block, outcome="ok"))
            status, rows, err = rest(follower)
            assert (status, err) == (0, "")
            assert [(row["type"], row["block"]) for row in map(json.loads, rows)] == [
                ("block.started", 2),
                ("block.finished", 2),
            ]
    assert open_trace(path).count() == 7

"""Children that agent code talks to: as by plain Python when recorded, without any process when replayed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from coda.errors import MissingEffect
from coda.forking import fork
from coda.log import LimitHit, ProcessIo, ProcessSignaled, open_trace
from coda.replay import replay
from coda.runtime import Sandbox
from tests.conftest import RunCoda
from tests.support.doctoring import Row, doctored
from tests.support.programs import dedent, line_of, lines_at, output_of, record, run_plain

pytestmark = pytest.mark.slow

TALK = dedent(
    """
    import io, os, signal, subprocess, sys
    from subprocess import PIPE, STDOUT, Popen, TimeoutExpired

    p = Popen(["cat"], stdin=PIPE, stdout=PIPE, text=True, bufsize=1)
    p.stdin.write("hello\\n")
    print(p.stdout.readline(), p.poll())
    p.stdin.write("again\\n")
    p.stdin.close()
    print(p.stdout.read(), p.wait(), p.returncode)

    p = Popen("echo out; echo err >&2; exit 3", shell=True, stdout=PIPE, stderr=PIPE)
    print(p.communicate(), p.returncode, p.args)
    p = Popen("echo out; echo err >&2", shell=True, stdout=PIPE, stderr=STDOUT)
    print(list(p.stdout), p.wait(timeout=30))
    print(Popen(["wc", "-c"], stdin=PIPE, stdout=PIPE).communicate(b"x" * 300_000))

    p = Popen(["sleep", "60"])
    print(p.poll())
    for _ in range(2):
        try:
            p.wait(timeout=0.05)
        except TimeoutExpired as error:
            print("expired", error)
    p.terminate()
    print(p.wait(), p.returncode == -signal.SIGTERM)

    p = Popen("echo one; exec sleep 60", shell=True, stdout=PIPE, start_new_session=True)
    first = p.stdout.readline()
    try:
        p.communicate(timeout=0.05)
    except TimeoutExpired as error:
        print("expired", first, error.output)
    os.killpg(p.pid, signal.SIGKILL)
    print(p.communicate(timeout=30), p.returncode)

    for stdout in (None, PIPE):
        try:
            Popen(["/no/such/program"], stdout=stdout)
        except FileNotFoundError as error:
            print(error, error.filename, error.errno)
    a = Popen(["printf", "a\\\\nb\\\\nc\\\\n"], stdout=PIPE)
    b = Popen(["grep", "b"], stdin=a.stdout, stdout=PIPE)
    a.stdout.close()
    print(b.communicate()[0], a.wait())
    with open("to.txt", "w") as file:
        print(Popen(["echo", "to a file"], stdout=file).wait())
    print(open("to.txt").read(), os.popen("echo by popen").read())
    with Popen([sys.executable, "-c", "print('x' * 3_000_000)"], stdout=PIPE) as p:
        print(len(p.stdout.read()))
    print(p.returncode, Popen(["true"], stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL).wait())
    given = {**os.environ, "GIVEN": "7"}
    p = Popen("echo $GIVEN; read x; echo $x", shell=True, env=given, stdin=PIPE, stdout=PIPE)
    print(p.communicate(b"in\\n"))
    early = Popen(["true"], stdin=PIPE)
    early.wait()
    try:
        early.stdin.write(b"nobody reads" * 10_000)
        early.stdin.flush()
    except BrokenPipeError:
        print("broken")

    class Counted(Popen):
        count = 0
        def __init__(self, *args, **kwargs):
            Counted.count += 1
            super().__init__(*args, **kwargs)

    print(Counted(["sh", "-c", "exit 5"]).wait(), Counted.count)
    """
)


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trace of a program that talks to many children."""
    return record(TALK, tmp_path_factory.mktemp("talk"))


def test_a_recorded_program_talks_as_a_plain_one(talk: Path, tmp_path: Path) -> None:
    plain = run_plain(TALK, tmp_path / "plain")
    assert plain.status == 0, plain.err
    assert output_of(talk) == plain.out


def test_no_child_runs_on_replay(talk: Path) -> None:
    """The replaying worker may start no process at all: what came from children comes from the log."""
    verdict = replay(talk)
    assert verdict.diverged is None, str(verdict.diverged)
    assert "system-calls" in verdict.layers
    assert not [note for note in verdict.notes if "process" in note]


def test_what_passed_is_in_the_log(talk: Path) -> None:
    trace = open_trace(talk)
    first = next(placed.record for placed in trace.records(own=False, types={"process.started"}))
    pieces = [
        (record.stream, trace.blobs.get(record.digest) if record.digest else b"")
        for placed in trace.records(own=False, types={"process.io"})
        if isinstance(record := placed.record, ProcessIo) and record.cause == first.seq  # type: ignore[union-attr]
    ]
    assert sorted(pieces) == [
        ("stdin", b""), ("stdin", b"again\n"), ("stdin", b"hello\n"),
        ("stdout", b""), ("stdout", b"again\n"), ("stdout", b"hello\n"),
    ]  # fmt: skip
    starts = [placed.record for placed in trace.records(own=False, types={"process.started"})]
    given = next(start for start in starts if "GIVEN" in start.argv[0])  # type: ignore[union-attr]
    assert given.env == {"GIVEN": "7"}  # type: ignore[union-attr]


def test_a_fork_goes_on_with_recorded_children(talk: Path, tmp_path: Path) -> None:
    trace = open_trace(talk)
    for text in ("print(p.stdout.readline(), p.poll())", "p.terminate()", "a.stdout.close()"):
        at = lines_at(trace, line_of(TALK, text))[0].seq
        made = fork(trace, at, out=tmp_path / f"{at}.jsonl")
        assert (made.outcome, output_of(made.path)) == ("ok", output_of(talk)), text
        assert replay(made.path).diverged is None


def test_another_result_of_a_child(tmp_path: Path) -> None:
    source = dedent(
        """
        import subprocess
        p = subprocess.Popen(["echo", "recorded"], stdout=subprocess.PIPE, text=True)
        print(p.communicate()[0].strip(), p.returncode)
        print(subprocess.Popen(["echo", "again"], stdout=subprocess.PIPE).communicate()[0])
        """
    )
    trace = open_trace(record(source, tmp_path))
    seq = next(event.seq for event in trace.events(types={"process.started"}))
    made = fork(trace, seq, result={"code": 7, "stdout": "forged\n"}, out=tmp_path / "f.jsonl")
    assert output_of(made.path) == "forged 7\nb'again\\n'\n"
    assert replay(made.path).diverged is None


def test_another_child_is_a_frontier(tmp_path: Path, coda: RunCoda) -> None:
    source = dedent(
        """
        import subprocess
        n = 1
        first = subprocess.Popen(["echo", "first"], stdout=subprocess.PIPE).communicate()
        print(subprocess.Popen(["touch", f"made{n}"]).wait())
        """
    )
    trace = record(source, tmp_path)
    at = lines_at(open_trace(trace), line_of(source, "first ="))[0].seq
    made = tmp_path / "f.jsonl"
    ran = coda("fork", trace, "--at", str(at), "--set", "n=2", "-o", made)
    assert ran.status == 0, ran.err
    assert "touch made2" in ran.out + ran.err
    assert not list(tmp_path.rglob("made2"))
    verdict = replay(made)
    assert verdict.diverged is None
    assert verdict.ends_at is not None


@pytest.mark.skipif(sys.platform == "win32", reason="no such shell")
def test_a_wrong_byte_to_a_child_diverges(talk: Path, tmp_path: Path) -> None:
    """What agent code writes to a child is part of the question: its digest is compared."""

    def change(rows: list[dict[str, object]]) -> None:
        row = next(row for row in rows if row["type"] == "process.finished" and "fed" in row)
        row["fed"] = "0" * 64

    verdict = replay(doctored(talk, tmp_path / "d.jsonl", change))
    assert verdict.diverged is not None
    assert "fed" in str(verdict.diverged)


SIGNALS = dedent(
    """
    import os, signal, subprocess

    p = subprocess.Popen(["sleep", "60"], start_new_session=True)
    os.kill(p.pid, 0)
    p.send_signal(signal.SIGTERM)
    print(p.wait())
    p = subprocess.Popen(["sleep", "60"], start_new_session=True)
    os.killpg(p.pid, signal.SIGKILL)
    print(p.wait())
    try:
        os.kill(p.pid, signal.SIGTERM)
    except ProcessLookupError as error:
        print(error)
    """
)


def test_a_signal_to_another_process_is_written_down_before_it_is_sent(tmp_path: Path) -> None:
    with Sandbox(root=tmp_path, trace=tmp_path / "t.jsonl", level="lines") as sandbox:
        result = sandbox.execute(SIGNALS)
    assert result.stdout == "-15\n-9\n[Errno 3] No such process\n"
    trace = open_trace(tmp_path / "t.jsonl")
    children = [event.record.pid for event in trace.events(types={"process.signaled"})]  # type: ignore[union-attr]
    first, second = children[0], children[2]
    order: list[tuple[Any, ...]] = []
    for event in trace.events(types={"process.signaled", "effect"}):
        sent = event.record
        if isinstance(sent, ProcessSignaled):
            order.append((sent.pid, sent.number, sent.group, sent.line))
        elif event.value[0] in ("kill", "killpg"):
            order.append(tuple(event.value[1]))
    assert order == [
        (first, 0, False, 4), (False, None),
        (first, 15, False, 5), (False, None),
        (second, 9, True, 8), (False, None),
        (second, 15, False, 11), (False, 3),
    ]  # fmt: skip
    assert replay(trace).faithful
    begun = next(iter(trace.events(types={"process.signaled"}))).seq
    for name, value in (("number", 1), ("group", True), ("pid", 1)):

        def change(rows: list[Row], name: str = name, value: int = value) -> None:
            next(row for row in rows if row["type"] == "process.signaled")[name] = value

        verdict = replay(doctored(trace.path, tmp_path / f"{name}.jsonl", change))
        assert verdict.diverged is not None
        assert verdict.diverged.facts["seq"] == begun


OPAQUE = {
    "multiprocessing": (
        """
        import multiprocessing
        def work(queue, number):
            queue.put(number * number)
        if __name__ == "__main__":
            queue = multiprocessing.Queue()
            workers = [multiprocessing.Process(target=work, args=(queue, number)) for number in range(3)]
            for worker in workers:
                worker.start()
            print(sorted(queue.get() for _ in workers))
            for worker in workers:
                worker.join(10)
            print([worker.exitcode for worker in workers])
        """,
        "[0, 1, 4]\n[0, 0, 0]\n",
        "ThreadPool",
    ),
    "concurrent.futures.process": (
        """
        from concurrent.futures import ProcessPoolExecutor
        def square(number):
            return number * number
        if __name__ == "__main__":
            with ProcessPoolExecutor(2) as pool:
                print(list(pool.map(square, range(4))))
        """,
        "[0, 1, 4, 9]\n",
        "ThreadPoolExecutor",
    ),
    "os.fork": (
        """
        import os, threading
        pid = os.fork()
        if pid == 0:
            thread = threading.Thread(target=lambda: os.write(1, b"child\\n"))
            thread.start()
            thread.join(10)
            os._exit(thread.is_alive())
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        """,
        "child\n0\n",
        "subprocess",
    ),
    "os.posix_spawn": (
        """
        import os
        pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 4"], os.environ)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        """,
        "4\n",
        "subprocess",
    ),
}


@pytest.mark.parametrize("via", OPAQUE)
def test_other_ways_to_start_one_work_and_are_marked_with_what_to_use_instead(
    via: str, tmp_path: Path
) -> None:
    source, shown, instead = OPAQUE[via]
    trace = record(dedent(source), tmp_path)
    assert output_of(trace) == shown
    (mark, *_) = (event.record for event in open_trace(trace).events(types={"limit.hit"}))
    assert isinstance(mark, LimitHit)
    assert (mark.what, mark.detail.split()[0]) == ("process", via)
    assert instead in mark.detail
    problem = replay(trace).diverged
    assert isinstance(problem, MissingEffect)
    assert problem.facts["seq"] == mark.cause
    assert instead in problem.message

"""Disks that fill up, folders that cannot be written, and traces that somebody else takes away meanwhile."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

import coda
from coda.errors import LogError, UsageError
from coda.log import (
    FileOpened,
    FileRead,
    Note,
    RunFinished,
    TraceWriter,
    appending,
    blobs,
    check_trace,
    open_trace,
    resume_trace,
)
from coda.runtime import Sandbox
from tests.support.traces import program_trace, started, writer

ROOT = Path(__file__).resolve().parents[2]

# --- taken away ------------------------------------------------------------------------------------


def deleted(path: Path) -> None:
    path.unlink()


def moved(path: Path) -> None:
    path.rename(path.with_name("elsewhere.jsonl"))


def folder_moved(path: Path) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))


def replaced(path: Path) -> None:
    copy = path.with_name("copy")
    shutil.copy(path, copy)
    copy.rename(path)


def cut(path: Path) -> None:
    os.truncate(path, 100)


def extended(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b'{"type":"note","seq":1,"t":1}\n')


TAKEN: dict[Callable[[Path], None], str] = {
    deleted: "was deleted or moved while it was being written",
    moved: "was deleted or moved while it was being written",
    folder_moved: "was deleted or moved while it was being written",
    replaced: "was replaced by another file while it was being written",
    cut: r"was changed by somebody else while it was being written: it has 100 bytes, not \d+",
    extended: r"was changed by somebody else while it was being written: it has \d+ bytes, not \d+",
}


@pytest.mark.parametrize("take", TAKEN)
def test_nothing_goes_into_a_file_that_is_not_the_trace_any_more(
    take: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run" / "t.jsonl"
    path.parent.mkdir()
    out = writer(path)
    out.append(started())
    monkeypatch.chdir(tmp_path)
    take(path)
    for _ in range(2):  # also later, and for every kind of record
        with pytest.raises(LogError, match=TAKEN[take]):
            out.append(FileOpened(path="x", mode="w"))
        with pytest.raises(LogError, match=TAKEN[take]):
            out.append_lines(b"[-1]", b'["x"]', 1)
    assert out.next_seq == 1
    assert out.closed
    out.close()


@pytest.mark.slow
@pytest.mark.parametrize("take", [deleted, cut])
def test_an_act_is_not_performed_when_its_trace_was_taken_away(
    take: Callable[[Path], None], tmp_path: Path
) -> None:
    (tmp_path / "ws").mkdir()
    path = tmp_path / "t.jsonl"
    acts: list[int] = []

    @coda.tool
    def act(n: int) -> None:
        """Acts; the second time somebody else does too."""
        acts.append(n)
        if n == 2:
            take(path)

    with pytest.raises(LogError, match=TAKEN[take]):
        with Sandbox(root=tmp_path / "ws", trace=path, tools=[act]) as sandbox:
            sandbox.execute("n = 0\nwhile True:\n    n += 1\n    try: act(n)\n    except BaseException: pass")
    assert acts == [1, 2]
    with pytest.raises(ProcessLookupError):
        os.kill(sandbox.engine.pid, 0)


def test_blobs_are_stored_again_when_their_folder_was_deleted(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    with writer(path) as out:
        out.append(started())
        for content in (b"one", b"two"):
            out.append(FileRead(path="f", digest=out.blobs.put(content), size=3))
        shutil.rmtree(tmp_path / "t.blobs")
        out.append(FileRead(path="f", digest=out.blobs.put(b"one"), size=3))
        out.append(RunFinished(outcome="ok"))
    report = check_trace(path)
    assert report.finished
    assert len(report.damage) == 1  # what is lost is said; what came again is there
    assert report.damage[0].seq == 2
    assert "is missing" in report.damage[0].what
    assert open_trace(path).blobs.get(hashlib.sha256(b"one").hexdigest()) == b"one"


# --- interrupted in the middle ----------------------------------------------------------------------


class Interrupted(BaseException):
    """As Ctrl-C would."""


def fill(out: TraceWriter) -> None:
    while True:
        out.append(Note(text="x" * 200))


@pytest.mark.parametrize("when", range(1, 6))
def test_an_interrupted_record_is_taken_back(
    when: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever instruction Ctrl-C hits in an append, the next record stands behind a whole one."""
    path = tmp_path / "t.jsonl"
    out = writer(path, seal_bytes=400)
    out.append(started())
    real, calls = os.write, 0

    def write(fd: int, data: Any) -> int:
        nonlocal calls
        calls += 1
        if calls == when:
            real(fd, bytes(data)[: len(data) // 2])
            raise Interrupted
        return real(fd, bytes(data)[:90])  # as a nearly full disk takes it, piece by piece

    monkeypatch.setattr(appending, "_write", write)
    with pytest.raises(Interrupted):
        fill(out)
    monkeypatch.undo()
    assert path.stat().st_size == out.offset
    out.append(Note(text="after"))
    out.close()
    report = check_trace(path)
    assert (report.damage, report.torn_bytes, report.events) == ((), 0, out.next_seq)


def test_signals_between_any_two_instructions_leave_a_sound_trace(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    out = writer(path, seal_bytes=2000)
    hit = 0

    def strike(_number: int, _frame: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGALRM, strike)
    try:
        for turn in range(400):
            try:
                signal.setitimer(signal.ITIMER_REAL, 1e-6 + turn % 40 * 4e-6)
                out.append(Note(text="x" * 50))
                out.append_lines(b"[-1]", b'["x"]', 1)
            except Interrupted:
                hit += 1
            signal.setitimer(signal.ITIMER_REAL, 0)
    except Interrupted:
        pass
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert hit > 10
    out.close()
    report = check_trace(path)
    assert (report.damage, report.torn_bytes, report.events) == ((), 0, out.next_seq)


def test_a_fork_of_the_writers_process_cannot_write(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    out = writer(path)
    out.append(started())
    size = path.stat().st_size
    child = os.fork()
    if child == 0:
        status = 1
        try:
            out.append(Note())
        except LogError as error:
            status = 0 if "of which this one is a fork" in error.message else 2
        out.close()  # neither a seal nor an error
        os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert path.stat().st_size == size
    out.append(Note())
    out.close()
    assert check_trace(path).damage == ()


# --- cannot be made -----------------------------------------------------------------------------------


def test_what_could_not_be_begun_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.jsonl"

    def full(fd: int, data: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(appending, "_write", full)
    with pytest.raises(LogError, match="No space left"):
        writer(path)
    monkeypatch.undo()
    monkeypatch.setattr(appending, "_LOCK_TRIES", 2)

    def unsupported(fd: int, operation: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(appending, "_flock", unsupported)
    with pytest.raises(UsageError, match=r"cannot lock .* not supported"):
        writer(path)
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_asks_whether_a_run_is_live_does_not_stop_it(tmp_path: Path) -> None:
    """Readers take the lock for an instant: a writer that begins just then waits for them."""
    path = program_trace(tmp_path / "t.jsonl", finish=False)
    file = open_trace(path).file
    asking = True

    def ask() -> None:
        while asking:
            file.is_live()

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        for _ in range(30):
            resume_trace(path).close()
    finally:
        asking = False
        thread.join()
    assert check_trace(path).damage == ()


# --- durability ---------------------------------------------------------------------------------------


def test_fsync_syncs_each_intent_before_the_act_and_blobs_before_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    did: list[str] = []
    real_write, real_fsync, real_rename = os.write, os.fsync, os.rename

    def name(fd: int) -> str:
        return os.path.relpath(os.readlink(f"/proc/self/fd/{fd}"), tmp_path)

    def write(fd: int, data: Any) -> int:
        did.append(f"write {name(fd)}")
        return real_write(fd, data)

    def fsync(fd: int) -> None:
        did.append(f"fsync {name(fd)}")
        real_fsync(fd)

    def rename(old: Path, new: Path) -> None:
        real_rename(old, new)
        did.append(f"rename {os.path.relpath(new, tmp_path)}")

    for module in (appending, blobs):
        monkeypatch.setattr(module, "_write", write)
        monkeypatch.setattr(module, "_fsync", fsync)
    monkeypatch.setattr(blobs, "_rename", rename)
    monkeypatch.setattr("coda.log.blobs.secrets.token_hex", lambda _: "tmp")
    out = writer(tmp_path / "t.jsonl", durability="fsync")
    out.append(started())
    assert did == ["fsync .", "write t.jsonl", "write t.jsonl", "fsync t.jsonl"]
    did.clear()
    digest = out.blobs.put(b"content")
    place = f"t.blobs/{digest[:2]}"
    scratch = f"{place}/.{digest[2:]}.tmp"
    stored = [f"write {scratch}", f"fsync {scratch}", f"rename {place}/{digest[2:]}"]
    assert did == [*stored, f"fsync {place}", "fsync t.blobs", "fsync ."]
    did.clear()
    out.append(Note())
    out.append(FileRead(path="f", digest=digest, size=7))
    assert did == ["write t.jsonl"] * 2  # observations wait for the next act
    did.clear()
    out.append(FileOpened(path="x", mode="w"))
    assert did == ["write t.jsonl", "fsync t.jsonl"]
    out.close()


def test_a_failed_sync_is_not_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = writer(tmp_path / "t.jsonl", durability="fsync")
    out.append(started())

    def fails(fd: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(appending, "_fsync", fails)
    with pytest.raises(LogError, match=r"cannot sync .*: Input/output error"):
        out.append(FileOpened(path="x", mode="w"))
    monkeypatch.undo()
    with pytest.raises(LogError, match=r"cannot sync .*: Input/output error"):
        out.append(FileOpened(path="y", mode="w"))
    out.close()
    assert check_trace(tmp_path / "t.jsonl").damage == ()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace shows what the system was asked")
def test_a_recording_syncs_every_intent_before_the_act(tmp_path: Path) -> None:
    (tmp_path / "ws").mkdir()
    program = """
        import os, sys
        import coda
        from coda.runtime import Sandbox
        @coda.tool
        def act(n: int) -> None:
            os.write(2, b"ACT")
        with Sandbox(root="ws", trace="t.jsonl", tools=[act], durability="fsync") as box:
            box.execute("for n in range(3): act(n)")
        """
    subprocess.run(
        ["strace", "-f", "-qq", "-e", "trace=write,fsync", "-e", "signal=none", "-s", "60", "-o", "log",
         sys.executable, "-c", dedent(program)],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True, capture_output=True,
    )  # fmt: skip
    steps = []
    for line in (tmp_path / "log").read_text().splitlines():
        if '"type\\":\\"tool.called' in line:
            steps.append("intent")
        elif '"type\\":\\"tool.returned' in line:
            steps.append("result")
        elif "ACT" in line:
            steps.append("act")
        elif "fsync(" in line and steps and steps[-1] == "intent":
            steps.append("sync")
    assert steps == ["intent", "sync", "act", "result"] * 3


# --- full and read-only, through the command line -------------------------------------------------------

PROGRAM = """
import sys
n = 0
while True:
    n += 1
    try:
        open(f"{sys.argv[1]}/{n}", "w").close()
    except BaseException:
        pass
"""


def in_namespace(script: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Runs a shell script that may mount; skips the test where the system does not let us."""
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare")
    probe = subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True)
    if probe.returncode:
        pytest.skip("needs user and mount namespaces")
    return subprocess.run(
        ["unshare", "-rm", "sh", "-c", script],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PY": sys.executable},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.slow
def test_a_full_disk_stops_the_program_with_status_125(tmp_path: Path) -> None:
    for name in ("disk", "made", "ws"):
        (tmp_path / name).mkdir()
    (tmp_path / "ws" / "p.py").write_text(PROGRAM)
    done = in_namespace(
        """
        mount -t tmpfs -o size=64k none disk
        (cd ws && $PY -m coda exec -o ../disk/t.jsonl p.py ../made)
        echo status $?
        cp -r disk kept
        """,
        tmp_path,
    )
    assert done.stdout == "status 125\n", done.stderr
    [valid] = re.findall(r"No space left on device; what happened before event (\d+) is in it", done.stderr)
    assert "Traceback" not in done.stderr
    report = check_trace(tmp_path / "kept" / "t.jsonl")
    assert (report.damage, report.torn_bytes) == ((), 0)
    trace = open_trace(tmp_path / "kept" / "t.jsonl")
    assert trace.count() - int(valid) in ((0, 1) if report.finished else (0,))  # the seal may be what failed
    finish = [event.record for event in trace.events(types={"run.finished"})]
    assert report.finished == bool(
        finish
    )  # there may be room for it where there was none for a longer record
    assert all("No space left on device" in record.text for record in finish)  # type: ignore[union-attr]
    opened = [event.record.path for event in trace.events(types={"file.opened"})]  # type: ignore[union-attr]
    made = {str(path) for path in (tmp_path / "made").iterdir()}
    assert 0 < len(made) <= len(opened) <= len(made) + 1
    assert made <= set(opened)


@pytest.mark.slow
def test_a_folder_that_cannot_be_written_is_said_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "p.py").write_text("open('ran', 'w')")
    done = in_namespace(
        """
        mount -t tmpfs -o ro,size=64k none disk
        $PY -m coda exec -o disk/t.jsonl p.py
        echo status $?
        $PY -m coda exec -o /dev/full p.py
        echo status $?
        $PY -m coda exec --force -o /dev/full p.py
        echo status $?
        """,
        tmp_path,
    )
    assert done.stdout == "status 2\n" * 3, done.stderr
    said = done.stderr.splitlines()
    assert said[0].endswith("cannot make disk/t.jsonl: Read-only file system")
    assert "/dev/full exists" in said[1]
    assert "/dev/full is not a regular file" in said[2]
    assert not (tmp_path / "ran").exists()

"""A replay takes everything from the log: the world may be gone, changed or watching, and nothing is done."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from coda.errors import CodaError, Diverged, UsageError
from coda.log import open_trace
from coda.replay import replay, state_at
from coda.runtime import Sandbox
from tests.conftest import RunCoda
from tests.support.doctoring import Row, doctored, rows_of
from tests.support.programs import contents, dedent, line_of, lines_at, output_of, record

pytestmark = pytest.mark.slow

WORLDLY = dedent(
    """
    import glob, json, os, random, shutil, sqlite3, subprocess, tempfile, time, uuid
    from datetime import datetime
    from pathlib import Path
    import helper
    stamps = [time.time(), time.perf_counter(), datetime.now(), datetime.now().astimezone().tzname()]
    ids = [uuid.uuid4(), uuid.uuid1(), random.random(), os.urandom(4), tempfile.gettempprefix()]
    name = input()
    home = os.environ.get("HOME"), os.getpid(), os.getcwd(), os.path.expanduser("~")
    given = Path("given.txt").read_text()
    found = sorted(glob.glob("*")), os.path.getmtime("given.txt") > 0, os.stat("given.txt").st_size
    Path("made").mkdir()
    Path("made/a.json").write_text(json.dumps({"name": name, "n": helper.double(len(given))}))
    shutil.copy("made/a.json", "made/b.json")
    os.remove("made/a.json")
    with sqlite3.connect("t.db") as db:
        db.execute("create table t(a)")
        db.execute("insert into t values (42)")
        rows = db.execute("select a from t").fetchall()
    command = "echo from shell > shell.txt; date +%N; cat given.txt"
    done = subprocess.run(command, shell=True, capture_output=True)
    shell = Path("shell.txt").read_text()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "x").write_text("temporary")
        kept = Path(folder, "x").read_text()
    words = {"one", "two", "three", None, int, 3.5}
    print(stamps, ids, name, home, given, found, rows, done.stdout, shell, kept, words, object())
    """
)
HELPER = "def double(x):\n    return x * 2\n"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that asks the world for much; its workspace is beside the trace."""
    folder = tmp_path_factory.mktemp("worldly")
    files = {"given.txt": "given text\n", "helper.py": HELPER}
    return record(WORLDLY, folder, files=files, stdin="bob\n")


@pytest.fixture
def moved(recorded: Path, tmp_path: Path) -> Iterator[Path]:
    """The trace alone, elsewhere; its workspace is away while the test runs."""
    work = recorded.parent / "work"
    trace = tmp_path / "alone.jsonl"
    shutil.copy(recorded, trace)
    shutil.copytree(recorded.with_suffix(".blobs"), trace.with_suffix(".blobs"))
    away = recorded.parent / "away"
    work.rename(away)
    yield trace
    assert not work.exists(), "a replay made the workspace anew"
    away.rename(work)


def test_the_workspace_is_not_touched_and_not_needed(moved: Path, recorded: Path) -> None:
    away = recorded.parent / "away"
    before = contents(away)
    verdict = replay(moved)
    assert verdict.diverged is None, verdict.diverged
    assert verdict.isolation == "kernel"
    assert contents(away) == before


def test_a_changed_workspace_changes_nothing(recorded: Path) -> None:
    work = recorded.parent / "work"
    before = contents(work)
    try:
        (work / "given.txt").write_text("other text")
        (work / "helper.py").write_text("raise RuntimeError('not the recorded one')\n")
        (work / "extra.txt").write_text("extra")
        (work / "t.db").unlink()
        changed = contents(work)
        assert replay(recorded).diverged is None
        assert contents(work) == changed
    finally:
        (work / "extra.txt").unlink()
        for name, data in before.items():
            (work / name).write_bytes(data)


def test_another_environment_changes_nothing(moved: Path, coda: RunCoda, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    old = os.umask(0o077)
    try:
        ran = coda(
            "replay", moved, "--json",
            cwd=elsewhere, stdin="eve\n",
            env={"TZ": "Pacific/Auckland", "LANG": "C", "HOME": str(elsewhere), "PYTHONHASHSEED": "77",
                 "USER": "eve"},
        )  # fmt: skip
    finally:
        os.umask(old)
    assert ran.status == 0, ran.out + ran.err
    data = json.loads(ran.out)
    assert (data["faithful"], data["diverged"], data["isolation"]) == (True, None, "kernel")
    assert list(elsewhere.iterdir()) == []


def test_no_process_and_no_tool_runs_again(tmp_path: Path) -> None:
    witness = tmp_path / "witness.txt"
    source = dedent(
        f"""
        import os, subprocess
        subprocess.run(["sh", "-c", "echo ran >> {witness}"])
        os.system("echo ran >> {witness}")
        with open({str(tmp_path / "outside.txt")!r}, "a") as f:
            f.write("wrote")
        """
    )
    trace = record(source, tmp_path)
    assert witness.read_text() == "ran\nran\n"
    assert replay(trace).faithful
    state_at(trace, open_trace(trace).count())
    assert witness.read_text() == "ran\nran\n"
    assert (tmp_path / "outside.txt").read_text() == "wrote"


def test_the_code_that_is_replayed_cannot_get_out(tmp_path: Path) -> None:
    """Other code in the trace than was recorded: what it tries is not there."""
    trace = record("x = 1\ny = 2\n", tmp_path)
    witness = tmp_path / "witness.txt"
    source = f"import os; os.posix_spawn('/bin/sh', ['sh', '-c', 'echo x > {witness}'], {{}})\ny = 2\n"

    def change(rows: list[Row]) -> None:
        for row in rows:
            if row["type"] == "block.started":
                row["source"] = source

    evil = doctored(trace, tmp_path / "evil.jsonl", change)
    with pytest.raises(CodaError):
        state_at(evil, open_trace(evil).count())
    assert not witness.exists()


def test_the_network_is_away(tmp_path: Path) -> None:
    source = dedent(
        """
        import socket
        try:
            with socket.create_connection(("127.0.0.1", PORT), timeout=5) as s:
                s.sendall(b"hello")
                print(s.recv(5))
        except OSError as error:
            print("refused", error.errno)
        """
    )
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        server.settimeout(0.05)
        source = source.replace("PORT", str(port))
        # Nobody accepts: the connection stands in the backlog, and the program waits in vain.
        trace = record(source.replace("timeout=5", "timeout=0.2"), tmp_path)
        server.accept()[0].close()
        assert replay(trace).diverged is None
        with pytest.raises(TimeoutError):
            server.accept()


def test_datagrams_and_servers_are_marked(tmp_path: Path) -> None:
    """What a replay cannot answer is said in the recording, and ends the replay where it happens."""
    source = dedent(
        """
        import socket
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server, socket.socket(type=2) as client:
            server.bind(("127.0.0.1", 0))
            client.sendto(b"hello", server.getsockname())
            print(server.recv(5))
        """
    )
    verdict = replay(record(source, tmp_path))
    assert verdict.diverged is not None
    assert any("network" in note and "waits for others" in note for note in verdict.notes)


def test_a_trace_of_another_interpreter_is_refused(tmp_path: Path, coda: RunCoda) -> None:
    trace = record("x = 1\n", tmp_path)

    def change(rows: list[Row]) -> None:
        next(row for row in rows if row["type"] == "run.started")["python"] = "3.9.1"

    other = doctored(trace, tmp_path / "other.jsonl", change)
    with pytest.raises(UsageError, match=r"3\.9\.1"):
        replay(other)
    ran = coda("replay", other)
    assert (ran.status, ran.out) == (2, "")
    assert "3.9.1" in ran.err
    assert "Traceback" not in ran.err


def test_a_trace_that_is_cut_replays_up_to_the_cut(tmp_path: Path) -> None:
    trace = record("x = 1\nprint('one')\nfor i in range(3):\n    x += i\nprint('two')\n", tmp_path)
    data = trace.read_bytes()
    cut = tmp_path / "cut.jsonl"
    cut.write_bytes(data[: data.index(b'"block.finished"') + 5])
    shutil.copytree(trace.with_suffix(".blobs"), cut.with_suffix(".blobs"))
    opened = open_trace(cut)
    assert opened.torn is not None
    last = lines_at(opened, 4)[-1].seq
    assert state_at(opened, last).globals["x"].repr == "2"
    verdict = replay(opened)
    assert verdict.faithful
    assert verdict.ends_at == opened.count()
    torn = opened.torn
    place = f"{torn.bytes} bytes from byte {torn.offset} on"
    assert verdict.notes == (f"the last line of the log is torn: {place} are no record",)


def test_threads_are_recorded_in_the_order_that_they_took(tmp_path: Path) -> None:
    source = dedent(
        """
        import threading
        order, lock = [], threading.Lock()
        def work(name):
            for step in range(5):
                with lock:
                    order.append((name, step))
        threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(order)
        """
    )
    trace = record(source, tmp_path)
    verdict = replay(trace)
    marked = any("threads" in note for note in verdict.notes)
    # Real threads are not a promise yet: what is not faithful must at least be marked.
    assert verdict.faithful or marked


def test_long_loops_replay_at_every_level(tmp_path: Path) -> None:
    source = (
        "s = 0\nfor i in range(60_000):\n    s = (s * 7 + i) % 1009\n    if s == 5:\n        s += 1\nt = s\n"
    )
    for level in ("effects", "lines", "values"):
        folder = tmp_path / level
        folder.mkdir()
        trace = record(source, folder, level=level)
        verdict = replay(trace)
        assert verdict.diverged is None
        assert (verdict.lines > 120_000) == (level != "effects")
        if level != "effects":
            late = lines_at(trace, 3)[59_000]
            assert state_at(trace, late.seq).globals["i"].repr == "59000"


def test_many_blocks_keep_their_names_and_seeds(tmp_path: Path) -> None:
    (tmp_path / "ws").mkdir()
    with Sandbox(root=tmp_path / "ws", trace=tmp_path / "t.jsonl") as sandbox:
        sandbox.execute("import random, uuid\nrandom.seed(3)\nnames = []")
        for _ in range(20):
            sandbox.execute("names.append((random.random(), uuid.uuid4().hex))")
        sandbox.execute("1 / 0")
        shown = sandbox.execute("print(names)").stdout
    trace = open_trace(tmp_path / "t.jsonl")
    verdict = replay(trace)
    assert (verdict.faithful, verdict.blocks) == (True, 23)
    state = state_at(trace, "23:0", exprs=["names"])
    names = state.exprs["names"]
    assert not isinstance(names, str)
    assert names.repr == shown.strip()


def test_the_verdict_names_what_was_compared(recorded: Path, coda: RunCoda) -> None:
    ran = coda("replay", "--verify", recorded)
    assert ran.status == 0, ran.out + ran.err
    assert ran.out.startswith(f"faithful: {recorded}")
    assert "isolation   kernel" in ran.out
    lines = sum(1 for _ in open_trace(recorded).events(types={"line"}))
    assert f"{lines} lines" in ran.out
    data = json.loads(coda("replay", recorded, "--json").out)
    assert data["schema"] == "coda.replay/1"
    assert data["compared"]["lines"] == lines
    assert data["compared"]["outputs"] == 1
    assert data["compared"]["effects"] > 10
    assert data["events"] == open_trace(recorded).count()


def test_a_replay_prints_nothing_of_the_program(recorded: Path, coda: RunCoda) -> None:
    ran = coda("replay", recorded)
    assert "given text" not in ran.out + ran.err
    assert output_of(recorded) != ""


def test_a_divergence_is_latched_though_the_code_catches_everything(tmp_path: Path) -> None:
    source = dedent(
        """
        import subprocess
        while True:
            try:
                done = subprocess.run(["echo", "a"], capture_output=True, text=True).stdout
                break
            except BaseException:
                continue
        last = 1
        """
    )
    trace = record(source, tmp_path)

    def change(rows: list[Row]) -> None:
        next(row for row in rows if row["type"] == "process.started")["argv"] = ["echo", "b"]

    seq = next(row["seq"] for row in rows_of(trace) if row["type"] == "process.started")
    changed = doctored(trace, tmp_path / "changed.jsonl", change)
    verdict = replay(changed)
    assert verdict.diverged is not None
    assert verdict.diverged.facts["seq"] == seq
    late = lines_at(changed, line_of(source, "last = 1"))[0].seq
    with pytest.raises(Diverged):
        state_at(changed, late)


def test_what_is_no_trace_is_refused_in_one_sentence(tmp_path: Path, coda: RunCoda) -> None:
    (tmp_path / "text.jsonl").write_text("not a trace\n")
    (tmp_path / "empty.jsonl").write_text("")
    for name in ("nowhere.jsonl", "text.jsonl", "empty.jsonl"):
        for verb in (["replay"], ["state", "--at", "0"], ["fork", "--at", "0", "-o", "f.jsonl"]):
            ran = coda(verb[0], name, *verb[1:])
            assert (ran.status, ran.out) == (2, ""), (name, verb, ran)
            assert name in ran.err
            assert "Traceback" not in ran.err
            assert len(ran.err.strip().splitlines()) == 1
    assert not (tmp_path / "f.jsonl").exists()


ELSEWHERE = dedent(
    """
    import os, tempfile, time
    from datetime import datetime
    print(time.tzname, datetime.fromtimestamp(1_700_000_000), "TZ" in os.environ)
    with tempfile.NamedTemporaryFile("w+") as file:
        file.write("kept")
        file.seek(0)
        print(file.name, file.read(), os.path.dirname(file.name) == tempfile.gettempdir())
    open("made", "w").close()
    print(oct(os.stat("made").st_mode), oct(os.umask(0)))
    """
)


@pytest.mark.parametrize("inside", [False, True], ids=["beside", "inside"])
def test_zone_temporary_folder_and_mask_are_the_recorded_ones(
    inside: bool, tmp_path: Path, coda: RunCoda, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, away = tmp_path / "work", tmp_path / "away"
    temp = work / "temp" if inside else tmp_path / "temp"
    for folder in (work, temp, away):
        folder.mkdir(parents=True, exist_ok=True)
    (work / "prog.py").write_text(ELSEWHERE)
    old = os.umask(0o027)
    monkeypatch.delenv("TZ", raising=False)
    try:
        ran = coda("exec", "-o", "../t.jsonl", "prog.py", cwd=work, env={"TMPDIR": str(temp)})
    finally:
        os.umask(old)
    assert ran.status == 0, ran.err
    assert str(temp) in ran.out
    assert ran.out.endswith("0o100640 0o27\n")
    shutil.rmtree(work)
    if not inside:
        temp.rmdir()
    again = coda("replay", "--verify", tmp_path / "t.jsonl", cwd=away, env={"TMPDIR": str(away)})
    assert again.status == 0, again.out + again.err
    assert list(away.iterdir()) == []

    def change(rows: list[Row]) -> None:
        next(row for row in rows if row["type"] == "run.started")["zone"] = "XYZ-05:30"

    elsewhere = doctored(tmp_path / "t.jsonl", tmp_path / "zone.jsonl", change)
    state = state_at(
        elsewhere, lines_at(elsewhere, 3)[0].seq, exprs=["time.tzname", "time.localtime(0)[3:5]"]
    )
    assert [value if isinstance(value, str) else value.repr for value in state.exprs.values()] == [
        "('XYZ', 'XYZ')", "(5, 30)",
    ]  # fmt: skip


LISTING = dedent(
    """
    import glob, os, pathlib, shutil, sys
    os.makedirs("d/e")
    pathlib.Path("d/a.txt").write_text("x")
    os.symlink("a.txt", "d/l")
    os.symlink("nowhere", "d/broken")
    os.link("d/a.txt", "d/h")
    print(sorted(os.listdir()), sorted(glob.glob("**", recursive=True)), len(list(pathlib.Path().rglob("*"))))
    print(os.readlink("d/l"), os.access("d/a.txt", os.R_OK), os.access("nope", 0), os.path.realpath("d/l"))
    for entry in sorted(os.scandir("d"), key=lambda entry: entry.name):
        info = entry.stat(follow_symlinks=False)
        print(entry, entry.path, entry.is_dir(), entry.is_file(), entry.is_symlink(), info.st_size,
              info.st_ino == entry.inode(), isinstance(entry, os.DirEntry), os.fspath(entry))
    for folder, folders, files in os.walk(sys.argv[1]):
        print(folder, sorted(folders), sorted(files))
    for act in (os.listdir, os.scandir, os.readlink):
        try:
            act("missing")
        except OSError as error:
            print(type(error).__name__, error.filename, error.errno)
    with os.scandir("d/e") as some:
        print(next(some, None))
    shutil.copytree("d", "d2", symlinks=True)
    shutil.rmtree("d")
    print(sorted(os.listdir(b"d2")), os.path.isdir("d"), shutil.disk_usage(".").total > 0)
    """
)


def test_listings_are_those_of_the_run(tmp_path: Path, coda: RunCoda) -> None:
    """The trace lies in the folder that is listed, and the folder outside has changed since."""
    outside, work = tmp_path / "outside", tmp_path / "work"
    (outside / "sub").mkdir(parents=True)
    (outside / "old").touch()
    work.mkdir()
    (work / "prog.py").write_text(LISTING)
    ran = coda("exec", "-o", "own.jsonl", "prog.py", outside, cwd=work)
    assert ran.status == 0, ran.err
    (outside / "old").unlink()
    (outside / "new").touch()
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "prog.py").write_text(LISTING)
    (outside / "old").touch()
    (outside / "new").unlink()
    bare = subprocess.run(
        [sys.executable, "prog.py", outside], cwd=plain, capture_output=True, text=True, check=True
    )
    assert ran.out.splitlines()[1:] == bare.stdout.replace(str(plain), str(work)).splitlines()[1:]
    (outside / "old").unlink()
    verdict = replay(work / "own.jsonl")
    assert verdict.diverged is None, str(verdict.diverged)


def test_files_outside_are_what_they_were_at_each_look(tmp_path: Path) -> None:
    """Also where somebody changed one between two looks, and where it is a setting of the system."""
    source = dedent(
        """
        import os, subprocess
        for path in ("../beside.txt", "/sys/kernel/mm/transparent_hugepage/enabled"):
            for text in ("first", "second"):
                if path.startswith(".."):
                    subprocess.run(f"echo {text} > {path}", shell=True)
                print(open(path).read() if os.path.exists(path) else "")
        """
    )
    trace = record(source, tmp_path)
    assert output_of(trace).startswith("first\n\nsecond\n\n")
    (tmp_path / "beside.txt").write_text("third")
    verdict = replay(trace)
    assert (verdict.diverged, verdict.notes) == (None, ())

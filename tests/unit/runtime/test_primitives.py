from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coda.log import BlobStore
from coda.runtime.places import FileAccess, Places
from coda.runtime.primitives import EFFECTS, Primitives
from coda.runtime.shell import Shell, Spooled, allowed_env


class Box:
    """Primitives on a folder of their own, and what they told of files."""

    def __init__(self, tmp_path: Path) -> None:
        self.outside = tmp_path
        self.root = tmp_path / "box"
        self.root.mkdir()
        self.told: list[FileAccess] = []
        self.do = Primitives(self.root, on_file=self.told.append)

    def put(self, path: str, data: bytes | str = "x") -> Path:
        full = self.root / path
        full.parent.mkdir(parents=True, exist_ok=True)
        full.write_bytes(data.encode() if isinstance(data, str) else data)
        return full

    def accesses(self) -> list[tuple[str, str, str]]:
        return [(access.op, access.path, access.via) for access in self.told]


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    made = Box(tmp_path)
    yield made
    made.do.close()


def test_primitives_are_tools(box: Box) -> None:
    tools = box.do.tools()
    assert {tool.name: tool.effect for tool in tools} == EFFECTS
    assert {tool.origin for tool in tools} == {"primitive"}
    assert all(tool.doc for tool in tools)


# --- confinement -------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "link/x", "file", "a/../../x", "..", "up/box/../x"])
def test_paths_out_of_the_root_are_refused(box: Box, path: str) -> None:
    (box.root / "link").symlink_to(box.outside)
    (box.root / "up").symlink_to("..")
    (box.root / "file").symlink_to(box.outside / "secret")
    (box.outside / "secret").write_text("s")
    for call in (box.do.read, box.do.ls, lambda p: box.do.write(p, ""), lambda p: box.do.edit(p, "a", "b")):
        with pytest.raises(PermissionError, match=r"leads out of the workspace .*/box"):
            call(path)
    with pytest.raises(PermissionError, match="leads out of the workspace"):
        box.do.grep("s", path)
    with pytest.raises(PermissionError, match="leads out of the workspace"):
        box.do.glob("*", path)


def test_paths_inside_are_found_however_they_are_written(box: Box) -> None:
    box.put("a/b", "text")
    (box.root / "in").symlink_to("a")
    for path in ("a/b", "./a//b", "in/b", str(box.root / "a/b"), "a/../a/b", "in/../a/b"):
        assert box.do.read(path) == "text"
    assert {access.path for access in box.told} == {"a/b"}


@pytest.mark.parametrize(
    ("path", "kind"), [("", ValueError), ("a\0b", ValueError), (b"a", TypeError), (3, TypeError)]
)
def test_what_is_no_path_is_said(box: Box, path: object, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        box.do.read(path)  # type: ignore[arg-type]


def test_a_link_that_is_swapped_in_after_the_check_is_not_followed(box: Box) -> None:
    box.put("dir/f", "in")
    (box.outside / "f").write_text("out")
    places = Places(box.root)
    rel = places.resolve("dir/f")
    (box.root / "dir/f").unlink()
    (box.root / "dir").rmdir()
    (box.root / "dir").symlink_to(box.outside)
    with pytest.raises(NotADirectoryError):
        places.open_file(rel)
    with pytest.raises(NotADirectoryError):
        places.replace(rel, b"bad")
    with pytest.raises(NotADirectoryError):
        places.list_folder("dir")
    assert (box.outside / "f").read_text() == "out"


# --- looking -----------------------------------------------------------------------------------


def test_ls(box: Box) -> None:
    box.put("b.txt")
    box.put("a/x")
    box.put(".hidden")
    (box.root / "dead").symlink_to("nowhere")
    (box.root / "lnk").symlink_to("a")
    os.mkfifo(box.root / "pipe")
    assert box.do.ls() == [".hidden", "a/", "b.txt", "dead", "lnk/", "pipe"]
    assert box.do.ls("a") == ["x"]
    with pytest.raises(FileNotFoundError):
        box.do.ls("c")
    with pytest.raises(NotADirectoryError):
        box.do.ls("b.txt")
    assert box.accesses() == [("listed", ".", "ls"), ("listed", "a", "ls")]


def test_listings_do_not_show_the_trace(box: Box) -> None:
    box.put("t.jsonl", "x")
    box.put("d/t.blobs/ab", "x")
    box.put("d/f", "x")
    do = Primitives(box.root, hidden=[box.root / "t.jsonl", box.root / "d/t.blobs"])
    assert do.ls() == ["d/"]
    assert do.glob("**") == ["d", "d/f"]
    assert do.grep("x") == [(1, "d/f", "x")]


GLOBS = {
    "*": ["a", "b.py", "lin", ".env"],
    "*.py": ["b.py"],
    "**/*.py": ["a/c.py", "a/d/e.py", "b.py"],
    "a/**": ["a/c.py", "a/d", "a/d/e.py"],
    "**/d/*": ["a/d/e.py"],
    "**/*.env": [".env"],
    "a/*": ["a/c.py", "a/d"],
    "./a/c.py": ["a/c.py"],
    "?.py": ["b.py"],
    "[ab].p[yz]": ["b.py"],
    "lin/*.py": ["lin/e.py"],
    "*/*.py": ["a/c.py", "lin/e.py"],
    ".git/*": [".git/config"],
    "out/*": [],
    "nothing/**/x": [],
    "**": ["a", "a/c.py", "a/d", "a/d/e.py", "b.py", "lin", ".env"],
}


@pytest.mark.parametrize("pattern", GLOBS)
def test_glob(box: Box, pattern: str) -> None:
    for path in ("a/c.py", "a/d/e.py", "b.py", ".env", ".git/config", "node_modules/m.py"):
        box.put(path)
    (box.root / "lin").symlink_to("a/d")
    (box.outside / "secret.py").write_text("s")
    (box.root / "out").symlink_to(box.outside)
    assert box.do.glob(pattern) == sorted(GLOBS[pattern])


_PARTS = st.sampled_from(["*", "**", "a", "b*", "?", "[ab]", ".*", "*.x", "a.x"])
_FILES = st.lists(
    st.lists(st.sampled_from(["a", "b", "bc", ".h", "a.x"]), min_size=1, max_size=3).map("/".join), max_size=6
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_FILES, st.lists(_PARTS, min_size=1, max_size=4).filter(lambda parts: parts[-1] != "**").map("/".join))
def test_glob_finds_what_pathlib_finds(
    tmp_path_factory: pytest.TempPathFactory, files: list[str], pattern: str
) -> None:
    # A final `**` is left out: pathlib's own meaning of it changed in 3.13.
    box = Box(tmp_path_factory.mktemp("glob"))
    for path in files:
        with contextlib.suppress(FileExistsError, NotADirectoryError, IsADirectoryError):
            box.put(path)
    expected = {str(path.relative_to(box.root)) for path in box.root.glob(pattern)}
    assert box.do.glob(pattern) == sorted(expected)


def test_glob_below_a_folder_and_what_it_refuses(box: Box) -> None:
    box.put("a/b/c")
    assert box.do.glob("*", root="a") == ["a/b"]
    for pattern in ("/etc/*", "../*", "a/../../*", ""):
        with pytest.raises(ValueError, match="is not a pattern below a folder"):
            box.do.glob(pattern)
    with pytest.raises(FileNotFoundError):
        box.do.glob("*", root="none")


def test_grep(box: Box) -> None:
    box.put("a.txt", "one\nTwo (2)\nthree\r\n")
    box.put("b/c.md", "two\n")
    box.put("b.txt", b"caf\xe9 two\n")
    box.put("bin", b"two\0\n")
    box.put("build/x.txt", "two\n")
    box.put(".venv/x.txt", "two\n")
    (box.outside / "secret").write_text("two\n")
    (box.root / "link").symlink_to(box.outside / "secret")
    (box.root / "dir").symlink_to(box.outside)
    assert box.do.grep("two") == [(1, "b/c.md", "two"), (1, "b.txt", "caf\ufffd two")]
    assert box.do.grep("TWO", ignore_case=True, glob="*.txt") == [
        (2, "a.txt", "Two (2)"),
        (1, "b.txt", "caf\ufffd two"),
    ]
    assert box.do.grep("(2)", regex=False) == [(2, "a.txt", "Two (2)")]
    assert box.do.grep("e$", "a.txt") == [(1, "a.txt", "one"), (3, "a.txt", "three")]
    assert box.do.grep("two", "build/x.txt") == [(1, "build/x.txt", "two")]
    assert box.do.grep("two", glob="b/*") == [(1, "b/c.md", "two")]
    assert ("read", "b/c.md", "grep") in box.accesses()
    with pytest.raises(
        ValueError, match=r"'\(' is not a regular expression: .* at position 0; use regex=False"
    ):
        box.do.grep("(")
    with pytest.raises(FileNotFoundError):
        box.do.grep("x", "none")
    with pytest.raises(ValueError, match="max_results of 1 or more; got 0"):
        box.do.grep("x", max_results=0)


def test_grep_says_when_there_is_more(box: Box) -> None:
    box.put("a", "x\n" * 10)
    box.put("long", "y" * 5000)
    *rows, notice = box.do.grep("x", max_results=4)
    assert rows == [(number, "a", "x") for number in (1, 2, 3, 4)]
    assert notice[:2] == (0, "")
    assert notice[2].startswith("[6 more lines match")
    box.put("longer", "a" * (1 << 20) + "b\nnext\n")
    assert [row[:2] for row in box.do.grep("b|next", "longer")] == [(1, "longer"), (2, "longer")]
    [(_, _, line)] = box.do.grep("yy")
    assert line == "y" * 2000 + " [... 3000 characters left out]"


def test_a_search_that_takes_for_ever_is_ended(box: Box) -> None:
    box.put("a", "a" * 60 + "b\n")
    do = Primitives(box.root, grep_timeout_s=0.1)
    with pytest.raises(TimeoutError, match=r"grep\(\) took more than 0.1 seconds: narrow"):
        do.grep("(a+)+$")
    assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert do.grep("b$") == [(1, "a", "a" * 60 + "b")]


def test_the_alarm_of_others_is_left_alone(box: Box) -> None:
    box.put("a", "x\n")

    def mine(number: int, frame: object) -> None:
        raise AssertionError

    signal.signal(signal.SIGALRM, mine)
    try:
        assert box.do.grep("x") == [(1, "a", "x")]
        assert signal.getsignal(signal.SIGALRM) is mine
    finally:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)


def test_a_line_as_long_as_a_huge_file_is_not_read_whole(box: Box) -> None:
    os.truncate(box.put("huge"), 1 << 40)
    for limit in (None, 1, 5):
        with pytest.raises(ValueError, match="huge has 1099511627776 bytes to read, and read"):
            box.do.read("huge", limit=limit)
    box.put("lines", "x" * 3_000_000 + "\n" + "y" * 3_000_000 + "\nz")
    assert box.do.read("lines", 2, 1) == "y" * 3_000_000 + "\n"
    assert box.do.read("lines", 3) == "z"


def test_read(box: Box) -> None:
    box.put("a", "one\r\ntwo\x0cthree\n\nfour")
    assert box.do.read("a") == "one\r\ntwo\x0cthree\n\nfour"
    assert box.do.read("a", 2) == "two\x0cthree\n\nfour"
    assert box.do.read("a", offset=2, limit=2) == "two\x0cthree\n\n"
    assert box.do.read("a", 9) == ""
    assert box.do.read("a", 3, with_line_numbers=True) == "     3\t\n     4\tfour"
    assert box.do.read("a", limit=1, with_line_numbers=True) == "     1\tone\r\n"
    box.put("empty", "")
    assert box.do.read("empty", with_line_numbers=True) == ""
    first = box.told[0]
    assert (first.op, first.after, first.size) == ("read", b"one\r\ntwo\x0cthree\n\nfour", 20)
    for offset, limit in ((0, None), (-1, None), (True, None), (1, 0), (1.5, None)):
        with pytest.raises(ValueError, match="counts lines from 1"):
            box.do.read("a", offset, limit)  # type: ignore[arg-type]


def test_read_refuses_what_is_no_text_file(box: Box) -> None:
    box.put("latin", b"caf\xe9")
    box.put("utf16", "hé".encode("utf-16"))
    os.mkfifo(box.root / "pipe")
    with pytest.raises(ValueError, match=r"latin is not utf-8 text \(byte 3\): .*encoding='latin-1'"):
        box.do.read("latin")
    assert box.do.read("latin", encoding="latin-1") == "café"
    with pytest.raises(ValueError, match="encoding='utf-16'"):
        box.do.read("utf16")
    assert box.do.read("utf16", encoding="utf-16") == "hé"
    with pytest.raises(ValueError, match="there is no encoding 'utf-99'"):
        box.do.read("latin", encoding="utf-99")
    with pytest.raises(ValueError, match="pipe is not a regular file"):
        box.do.read("pipe")
    with pytest.raises(IsADirectoryError):
        box.do.read(".")
    with pytest.raises(FileNotFoundError, match="none"):
        box.do.read("none")
    assert box.told[-1] == FileAccess("read", "none", "read", error="FileNotFoundError")


def test_read_gives_parts_of_what_is_too_large(box: Box) -> None:
    do = Primitives(box.root, max_read_bytes=20, max_kept_bytes=40, on_file=box.told.append)
    box.put("big", "".join(f"line {n}\n" for n in range(10)))
    with pytest.raises(ValueError, match=r"big has 70 bytes to read, and read\(\) gives at most 20"):
        do.read("big")
    assert do.read("big", 3, 2) == "line 2\nline 3\n"
    assert [(access.size, access.after) for access in box.told] == [(70, None), (70, None)]


# --- acting ------------------------------------------------------------------------------------


def test_write_counts_bytes_keeps_modes_and_leaves_nothing_behind(box: Box) -> None:
    assert box.do.write("a/b/c.txt", "é\n") == 3
    assert (box.root / "a/b/c.txt").read_bytes() == b"\xc3\xa9\n"
    script = box.put("run.sh", "old")
    script.chmod(0o750)
    (box.root / "alias").symlink_to("run.sh")
    assert box.do.write("alias", b"\0new") == 4
    assert script.read_bytes() == b"\0new"
    assert stat.S_IMODE(script.stat().st_mode) == 0o750
    assert (box.root / "alias").is_symlink()
    assert sorted(path.name for path in box.root.rglob("*")) == ["a", "alias", "b", "c.txt", "run.sh"]
    assert box.accesses() == [
        ("made", "a", "write"),
        ("made", "a/b", "write"),
        ("wrote", "a/b/c.txt", "write"),
        ("wrote", "run.sh", "write"),
    ]
    last = box.told[-1]
    assert (last.before, last.after, last.size, last.mode) == (b"old", b"\0new", 4, 0o750)
    assert last.mtime_ns == script.stat().st_mtime_ns
    assert box.told[2].before is None


def test_write_refuses_what_cannot_be_a_file(box: Box) -> None:
    box.put("dir/f")
    os.mkfifo(box.root / "pipe")
    for path in ("dir", "."):
        with pytest.raises(IsADirectoryError):
            box.do.write(path, "x")
    with pytest.raises(NotADirectoryError):
        box.do.write("dir/f/g", "x")
    with pytest.raises(PermissionError, match="not a regular file"):
        box.do.write("pipe", "x")
    with pytest.raises(TypeError, match="takes text or bytes as content; got int"):
        box.do.write("x", 3)  # type: ignore[arg-type]
    with pytest.raises(UnicodeEncodeError):
        box.do.write("x", "é", encoding="ascii")
    assert box.told == []
    assert sorted(box.do.ls()) == ["dir/", "pipe"]


def test_a_new_file_has_the_mode_that_open_would_give(box: Box) -> None:
    box.do.write("new", "x")
    (box.root / "plain").write_text("x")
    assert (box.root / "new").stat().st_mode == (box.root / "plain").stat().st_mode


@pytest.mark.parametrize(
    ("data", "old", "new", "result"),
    [
        (b"a b c", "b", "B", b"a B c"),
        (b"a\r\nb\r\nc", "a\nb", "x\ny", b"x\r\ny\r\nc"),
        (b"a\r\nb\n", "b", "x", b"a\r\nx\n"),
        (b"caf\xe9 one", "one", "tw\xc3\xb6", b"caf\xe9 tw\xc3\x83\xc2\xb6"),
        (b"\xef\xbb\xbfone\n", "one", "two", b"\xef\xbb\xbftwo\n"),
        ("one é".encode("utf-16"), "é", "ü", "one ü".encode("utf-16")),
        (b"no newline", "newline", "end", b"no end"),
        (b"x\x0cy\xe2\x80\xa8z", "y", "Y", b"x\x0cY\xe2\x80\xa8z"),
    ],
)
def test_edit_touches_nothing_else(box: Box, data: bytes, old: str, new: str, result: bytes) -> None:
    path = box.put("f", data)
    assert box.do.edit("f", old, new) == 1
    assert path.read_bytes() == result
    wrote = box.told[-1]
    assert (wrote.op, wrote.via, wrote.before, wrote.after) == ("wrote", "edit", data, result)


def test_edit_wants_one_place_or_all(box: Box) -> None:
    path = box.put("f", "a a a")
    with pytest.raises(ValueError, match="the text to replace is 3 times in f; give more"):
        box.do.edit("f", "a", "b")
    with pytest.raises(ValueError, match="the text to replace is not in f; read it again"):
        box.do.edit("f", "z", "b")
    with pytest.raises(ValueError, match="got an empty old"):
        box.do.edit("f", "", "b")
    assert path.read_text() == "a a a"
    assert box.do.edit("f", "a", "b", replace_all=True) == 3
    assert path.read_text() == "b b b"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(codec="utf-8")))
def test_text_that_is_written_and_read_and_written_is_the_same(box: Box, text: str) -> None:
    box.do.write("t", text)
    again = box.do.read("t")
    assert again == text
    box.do.write("u", again)
    assert (box.root / "t").read_bytes() == (box.root / "u").read_bytes() == text.encode()


# --- bash --------------------------------------------------------------------------------------


def test_bash_gives_both_streams_and_the_status(box: Box) -> None:
    result = box.do.bash("pwd; echo err >&2; exit 3")
    assert result == {
        "stdout": f"{os.path.realpath(box.root)}\n",
        "stderr": "err\n",
        "returncode": 3,
        "timed_out": False,
    }
    assert box.do.bash("cat; kill -TERM $$")["returncode"] == -15
    assert box.do.bash("printf 'a\\xffb\\r\\n'")["stdout"] == "a\ufffdb\r\n"


@pytest.mark.parametrize("limit", [0, -1, 0.0, float("nan"), True, "3"])
def test_bash_wants_a_real_time_limit(box: Box, limit: float) -> None:
    with pytest.raises(ValueError, match="needs a time limit of more than 0 seconds"):
        box.do.bash("true", timeout_s=limit)
    with pytest.raises(TypeError, match="takes the command as text; got list"):
        box.do.bash(["ls"])  # type: ignore[arg-type]


def pids_in(path: Path) -> list[int]:
    return [int(word) for word in path.read_text().split()]


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        # A child of nobody stays a zombie where no init reaps it; it does nothing any more.
        status = Path(f"/proc/{pid}/stat")
        if status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        threading.Event().wait(0.01)
    raise AssertionError(f"process {pid} lives")


def test_a_timeout_ends_the_whole_group_and_keeps_the_output(box: Box) -> None:
    begin = time.monotonic()
    result = box.do.bash(
        "trap '' TERM; echo $$ > pids; sleep 100 & echo $! >> pids; echo part; sleep 100", 0.3
    )
    assert time.monotonic() - begin < 10
    assert result == {"stdout": "part\n", "stderr": "", "returncode": -1, "timed_out": True}
    for pid in pids_in(box.root / "pids"):
        wait_until_gone(pid)


def test_a_child_left_behind_does_not_hold_the_call_and_ends_with_close(box: Box) -> None:
    begin = time.monotonic()
    result = box.do.bash("sleep 100 & echo $! > pids; echo done")
    assert time.monotonic() - begin < 10
    assert (result["stdout"], result["returncode"], result["timed_out"]) == ("done\n", 0, False)
    [pid] = pids_in(box.root / "pids")
    os.kill(pid, 0)
    box.do.close()
    wait_until_gone(pid)


def test_output_is_whole_up_to_the_limit_and_counted_beyond(box: Box) -> None:
    shell = Shell(str(box.root), env=allowed_env(), timeout_s=30, max_output_bytes=1000)
    assert shell.run("printf 'x%.0s' {1..1000}")["stdout"] == "x" * 1000
    out = shell.run("head -c 600 /dev/zero | tr '\\0' a; head -c 5000000 /dev/zero | tr '\\0' b; printf end")[
        "stdout"
    ]
    assert out == "a" * 500 + "\n[... 4999603 bytes left out ...]\n" + "b" * 497 + "end"


def test_the_whole_of_long_output_is_kept_apart(box: Box, tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path / "t.blobs")
    told: list[Spooled] = []

    def run(command: str, most: int) -> list[Spooled]:
        shell = Shell(
            str(box.root),
            env=allowed_env(),
            timeout_s=30,
            max_output_bytes=1000,
            spool=blobs.begin,
            max_spool_bytes=most,
            on_output=told.append,
        )
        told.clear()
        shell.run(command)
        return list(told)

    assert run("printf 'x%.0s' {1..1000} | tee /dev/stderr", 1 << 20) == []
    (out, err) = run("seq 100000; seq 100000 | head -c 5000 >&2", 1 << 20)
    whole = "".join(f"{number}\n" for number in range(1, 100001)).encode()
    assert out == Spooled("stdout", hashlib.sha256(whole).hexdigest(), len(whole), len(whole))
    assert blobs.get(out.digest or "") == whole
    assert (err.name, err.size, blobs.get(err.digest or "")) == ("stderr", 5000, whole[:5000])
    (cut,) = run("seq 100000", 70_000)
    assert (cut.size, cut.kept, blobs.get(cut.digest or "")) == (len(whole), 70_000, whole[:70_000])
    assert sorted(path.name[:1] for path in blobs.folder.iterdir() if path.is_file()) == []
    shutil.rmtree(blobs.folder)
    blobs.folder.write_text("no folder")
    assert run("seq 1000", 1 << 20) == [Spooled("stdout", None, 3893, 0)]


def test_the_environment_is_an_allow_list(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "secret")
    monkeypatch.setenv("LC_TIME", "C")
    do = Primitives(box.root)
    seen = str(do.bash("env")["stdout"])
    assert "secret" not in seen
    assert "LC_TIME=C" in seen
    assert Primitives(box.root, env={"A": "b"}).bash('echo "$A$HOME"')["stdout"] == "b\n"


def test_ctrl_c_ends_the_command(box: Box) -> None:
    main = threading.get_ident()

    def interrupt() -> None:
        while not (box.root / "pids").exists() or not (box.root / "pids").read_text().endswith("\n"):
            threading.Event().wait(0.01)
        signal.pthread_kill(main, signal.SIGINT)

    watcher = threading.Thread(target=interrupt)
    watcher.start()
    with pytest.raises(KeyboardInterrupt):
        box.do.bash("echo $$ > pids; sleep 100", timeout_s=60)
    watcher.join()
    wait_until_gone(pids_in(box.root / "pids")[0])

"""A fork has the recorded answer of a child process only where the child would see what it saw."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from coda.forking import fork
from coda.log import open_trace
from coda.replay import replay
from tests.support.programs import dedent, line_of, lines_at, output_of, record

pytestmark = pytest.mark.slow

CIRCUMSTANCES = dedent(
    """
    import os, subprocess
    def ask(command, **more):
        return subprocess.run(command, shell=True, capture_output=True, text=True, **more).stdout
    os.makedirs("a/b")
    open("c", "w").write("of c")
    open("d", "w").write("of d")
    variable = "1"
    os.environ["MODE"] = variable
    print(ask("echo $MODE"))
    native = "1"
    os.putenv("HIDDEN", native)
    print(subprocess.Popen("echo $HIDDEN", shell=True, stdout=subprocess.PIPE).communicate())
    given = "1"
    print(ask("echo given $MODE", env={**os.environ, "MODE": given, "PATH": os.defpath}))
    folder = "a"
    os.chdir(folder)
    print(ask("basename $(pwd)"))
    os.chdir("..")
    outside = "1"
    with open("OUTSIDE", "w") as file:
        file.write(outside)
    print(ask("cat OUTSIDE"))
    name = "c"
    with open(name) as file:
        print(ask("cat", stdin=file))
    piped = "1"
    r, w = os.pipe()
    os.write(w, piped.encode())
    os.close(w)
    print(ask("head -c1", stdin=r))
    """
)
WHY = {
    "variable": ("'2'", "process 'echo $MODE' would see other environment variables than in the parent"),
    "native": ("'2'", "process 'echo $HIDDEN' would see other environment variables than in the parent"),
    "given": ("'2'", "process 'echo given $MODE' would see other environment variables than in the parent"),
    "folder": ("'a/..'", "process 'basename $(pwd)' would start in another folder than in the parent"),
    "outside": ("'2'", "process 'cat OUTSIDE' could see another content of a file outside of the workspace"),
    "name": ("'d'", "process 'cat' reads a standard input that is not known to be the parent's"),
    "piped": ("'1'", "process 'head -c1' reads a pipe whose content is not in the log"),
}


def test_what_a_child_would_see_otherwise_is_the_frontier(tmp_path: Path) -> None:
    outside = Path(f"/tmp/coda-{os.getpid()}")
    source, out = CIRCUMSTANCES.replace("OUTSIDE", str(outside)), tmp_path / "f.jsonl"
    try:
        trace = open_trace(record(source, tmp_path))
    finally:
        outside.unlink(missing_ok=True)
    for name, (value, why) in WHY.items():
        line = line_of(source, f"{name} = ")
        at = lines_at(trace, line + 1)[0].seq
        made = fork(trace, at, sets=[(name, value)], out=out, force=True)
        assert made.frontier is not None
        reason = why.replace("OUTSIDE", str(outside))
        assert made.frontier.endswith(f"has no recorded answer that still holds: {reason}")
    first = lines_at(trace, line_of(source, "variable = ") + 1)[0].seq
    same = fork(trace, first, sets=[("variable", "'1'")], out=out, force=True)
    assert same.frontier is not None
    assert same.frontier.endswith("reads a pipe whose content is not in the log")
    assert output_of(trace).startswith(output_of(same.path))
    assert output_of(same.path).count("\n") == output_of(trace).count("\n") - 1
    assumed = fork(trace, first, sets=[("variable", "'2'")], out=out, force=True, assume_recorded=True)
    assert (assumed.outcome, assumed.assumed) == ("ok", 7)
    assert output_of(assumed.path) == output_of(trace)
    assert replay(assumed.path).diverged is None


FED = dedent(
    """
    import asyncio, subprocess
    from subprocess import PIPE, Popen
    first = "b a"
    p = Popen(["cat"], stdin=PIPE, stdout=PIPE, text=True, bufsize=1)
    p.stdin.write("hello\\n")
    print(p.stdout.readline())
    p.stdin.write(first + "\\n")
    print("sent")
    print(p.stdout.readline())
    p.stdin.close()
    print(p.stdout.read(), p.wait())
    second = "b a"
    p = Popen(["tr", "a-z", "A-Z"], stdin=PIPE, stdout=PIPE, stderr=PIPE, text=True)
    print(p.communicate(second))
    third = "b\\na\\na\\n"
    sort = Popen(["sort"], stdin=PIPE, stdout=PIPE, text=True)
    uniq = Popen(["uniq"], stdin=sort.stdout, stdout=PIPE, text=True)
    sort.stdin.write(third)
    sort.stdin.close()
    print(uniq.communicate(), sort.wait())
    async def feed(given):
        child = await asyncio.create_subprocess_exec("sort", stdin=PIPE, stdout=PIPE)
        return await child.communicate(given.encode())
    fourth = "b\\na\\n"
    print(asyncio.run(feed(fourth)))
    fifth = "b\\n"
    sort = Popen(["sort"], stdin=PIPE, stdout=PIPE, text=True)
    sort.stdin.write(fifth)
    sort.stdin.close()
    print(subprocess.run(["uniq"], stdin=sort.stdout, capture_output=True, text=True).stdout)
    """
)
FED_OTHERWISE = {
    "first": ("'b'", "process 'cat' has", "it was fed other input", "hello\n\nsent\n"),
    "second": ("'b'", "process 'tr a-z A-Z' has", "it was fed less", "b a\n\n 0\n"),
    "third": ("'b\\n' * 9", "process 'uniq' has", "it was fed other input", "('B A', '')\n"),
    "fourth": ("'a\\nb\\n'", "process 'sort' has", "it was fed other input", "('a\\nb\\n', None) 0\n"),
    "fifth": ("'c\\n'", "process 'sort' has", "it was fed other input", "(b'a\\nb\\n', None)\n"),
}


@pytest.fixture(scope="module")
def fed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trace of a program that feeds children in every way."""
    return record(FED, tmp_path_factory.mktemp("fed"))


def test_a_child_that_was_fed_otherwise_says_nothing_more(fed: Path, tmp_path: Path) -> None:
    trace = open_trace(fed)
    for name, (value, who, why, last) in FED_OTHERWISE.items():
        at = lines_at(trace, line_of(FED, f"{name} = ") + 1)[0].seq
        made = fork(trace, at, sets=[(name, value)], out=tmp_path / f"{name}.jsonl")
        assert made.frontier == f"{who} no recorded answer that still holds: {why} than in the parent"
        assert output_of(made.path).endswith(last)
    assert replay(tmp_path / "first.jsonl").diverged is None
    assert replay(tmp_path / "fourth.jsonl").diverged is None


def test_a_child_that_was_fed_the_same_says_the_same_in_forks_of_forks_too(fed: Path, tmp_path: Path) -> None:
    parent: Path = fed
    for name in ("first", "second"):
        trace = open_trace(parent)
        at = lines_at(trace, line_of(FED, f"{name} = ") + 1)[0].seq
        made = fork(trace, at, sets=[(name, "'b a'")], out=tmp_path / f"{name}.jsonl")
        assert (made.outcome, made.frontier, made.assumed) == ("ok", None, 0)
        assert output_of(made.path) == output_of(fed)
        assert replay(made.path).diverged is None
        parent = made.path
    for parent, text, name in (
        (fed, 'print("sent', "t1.jsonl"),
        (tmp_path / "t1.jsonl", "second = ", "t2.jsonl"),
    ):
        at = lines_at(open_trace(parent), line_of(FED, text))[0].seq
        made = fork(parent, at, sets=[("first", "'gone'")], out=tmp_path / name)
        assert (made.outcome, output_of(made.path)) == ("ok", output_of(fed))
        assert replay(made.path).diverged is None
    at = lines_at(open_trace(fed), line_of(FED, "first = ") + 1)[0].seq
    made = fork(fed, at, sets=[("first", "'c'")], assume_recorded=True, out=tmp_path / "assumed.jsonl")
    assert (made.outcome, output_of(made.path)) == ("ok", output_of(fed))
    assert made.assumed > 0


INHERITED = dedent(
    """
    import os, subprocess
    n = 1
    print(n, flush=True)
    subprocess.run(["echo", "run"])
    subprocess.run("echo error >&2", shell=True)
    subprocess.check_call(["echo", "call"])
    os.system("echo system")
    subprocess.Popen(["echo", "popen"]).wait()
    print(os.popen("echo pipe").read())
    subprocess.Popen("echo unwaited", shell=True, stdout=subprocess.PIPE).stdout.read()
    print(n)
    """
)


def test_what_children_write_themselves_is_in_a_fork_too(tmp_path: Path) -> None:
    trace = open_trace(record(INHERITED, tmp_path))
    at = lines_at(trace, line_of(INHERITED, "n = 1") + 1)[0].seq
    made = fork(trace, at, sets=[("n", "2")], out=tmp_path / "f.jsonl")
    assert (made.outcome, made.assumed) == ("ok", 0)
    assert output_of(trace) == "1\nrun\ncall\nsystem\npopen\npipe\n\n1\n"
    assert output_of(made.path) == output_of(trace).replace("1", "2")
    assert output_of(made.path, "stderr") == "error\n"
    assert replay(made.path).diverged is None

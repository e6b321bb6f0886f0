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

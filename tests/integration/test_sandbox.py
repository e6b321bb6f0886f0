"""The sandbox as a library: tools, shared names, stops, deaths and full disks, each with a trace to show."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import coda
from coda.errors import CodaError, LogError, UsageError
from coda.log import (
    BlockFinished,
    FileWrote,
    LimitHit,
    ToolCalled,
    ToolReturned,
    Trace,
    check_trace,
    open_trace,
)
from coda.replay import replay, state_at
from coda.runtime import BlockResult, Sandbox, feedback_text
from tests.support.programs import ROOT, dedent, output_of

pytestmark = pytest.mark.slow

Made = Callable[..., Sandbox]


@pytest.fixture
def ws(tmp_path: Path) -> Path:
    """An empty workspace."""
    folder = tmp_path / "ws"
    folder.mkdir()
    return folder


def boxed(ws: Path, name: str = "run", **given: Any) -> Sandbox:
    """A sandbox in a workspace, its trace beside it."""
    return Sandbox(root=ws, trace=ws.parent / f"{name}.jsonl", **given)


def whole(sandbox: Sandbox, *, faithful: bool = True) -> Trace:
    """The trace of a closed sandbox, which must be whole and replay."""
    report = check_trace(sandbox.writer.path)
    assert (report.damage, report.finished) == ((), True)
    if faithful:
        assert replay(sandbox.writer.path).diverged is None
    return open_trace(sandbox.writer.path)


def records(trace: Trace, kind: str) -> list[Any]:
    """The records of one type."""
    return [event.record for event in trace.events(types={kind})]


# --- names and blocks ----------------------------------------------------------------------------


def test_blocks_share_one_namespace(ws: Path) -> None:
    with boxed(ws) as sandbox:
        sandbox.execute("import math\nx = 2\ndef twice(n):\n    return n * x\nclass A:\n    pass")
        sandbox.execute("x = 10\na = A()\nfirst = twice(3)")
        result = sandbox.execute("print(first, twice(4), math.pi > 3, type(a) is A, __name__)")
        assert result.stdout == "30 40 True True __main__\n"
        assert (result.block, result.outcome, result.state, result.error) == (3, "ok", "kept", None)
        assert result.lines == 2  # its own, and the one in twice()
    trace = whole(sandbox)
    assert [block.number for block in trace.blocks] == [1, 2, 3]
    assert state_at(trace, "3:0").globals["first"].repr == "30"


def test_top_level_await_and_future_imports_hold_on(ws: Path) -> None:
    with boxed(ws) as sandbox:
        sandbox.execute("from __future__ import annotations\nimport asyncio\nawait asyncio.sleep(0)")
        result = sandbox.execute(
            "def f(a: Nowhere) -> int: return 1\n"
            "async def g(n):\n    await asyncio.sleep(0)\n    return n\n"
            "print(f.__annotations__, await asyncio.gather(g(1), g(2)))"
        )
        assert result.stdout == "{'a': 'Nowhere', 'return': 'int'} [1, 2]\n"
    whole(sandbox)


def test_a_traceback_shows_the_blocks_own_lines(ws: Path) -> None:
    with boxed(ws) as sandbox:
        sandbox.execute("def deep(n):\n    # a comment\n    return 10 // n")
        result = sandbox.execute("x = 1\ndeep(x)\ndeep(\n    0,\n)")
    assert result.outcome == "error"
    assert result.error is not None
    assert (result.error.kind, result.error.message) == (
        "ZeroDivisionError",
        "integer division or modulo by zero",
    )
    lines = result.error.traceback.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert [line.strip() for line in lines if line.strip().startswith("File")] == [
        'File "<block 2>", line 3, in <module>',
        'File "<block 1>", line 3, in deep',
    ]
    assert "    deep(" in lines
    assert "    return 10 // n" in lines
    assert "coda" not in result.error.traceback
    whole(sandbox)


def test_a_block_that_is_no_python_is_an_error_and_the_next_one_runs(ws: Path) -> None:
    with boxed(ws) as sandbox:
        bad = sandbox.execute("x = (1,\n")
        assert bad.outcome == "error"
        assert bad.error is not None
        assert bad.error.kind == "SyntaxError"
        assert "<block 1>" in bad.error.traceback
        assert sandbox.execute("x = 1\nprint(x)").stdout == "1\n"
    whole(sandbox)


def test_exit_ends_a_block_not_the_sandbox(ws: Path) -> None:
    with boxed(ws) as sandbox:
        left = sandbox.execute("import sys\nkept = 1\nsys.exit(3)")
        assert (left.outcome, left.code) == ("exited", 3)
        assert sandbox.execute("print(kept)").stdout == "1\n"
    whole(sandbox)


# --- tools ---------------------------------------------------------------------------------------


def test_several_sandboxes_do_not_mix(tmp_path: Path) -> None:
    def tools_of(number: int) -> list[Any]:
        @coda.tool
        def who() -> int:
            return number

        @coda.tool
        async def later(n: int) -> str:
            await asyncio.sleep(0)
            return f"{number}:{n}"

        return [who, later]

    boxes = []
    for number in range(3):
        folder = tmp_path / f"ws{number}"
        folder.mkdir()
        boxes.append(Sandbox(root=folder, trace=tmp_path / f"{number}.jsonl", tools=tools_of(number)))
    try:
        for step in range(2):
            for number, box in enumerate(boxes):
                result = box.execute(f"step = {step}\nmine = (who(), later(step))\nprint(mine)")
                assert result.stdout == f"({number}, '{number}:{step}')\n", result.error
    finally:
        for box in boxes:
            box.close()
    for box in boxes:
        whole(box)


def test_what_crosses_to_a_tool_is_a_value(ws: Path) -> None:
    got: list[Any] = []

    @coda.tool
    def take(*args: Any, **kwargs: Any) -> Any:
        got.append((args, kwargs))
        if args and isinstance(args[0], list):
            args[0].append("changed by the tool")
        return {"t": (1, 2), "s": {3}, "b": b"\x00", "n": float("inf"), 5: None}

    with boxed(ws, tools=[take]) as sandbox:
        result = sandbox.execute("mine = [1, (2, 3)]\nback = take(mine, key={'a': b'x'})\nprint(mine, back)")
    assert result.stdout == "[1, (2, 3)] {'t': (1, 2), 's': {3}, 'b': b'\\x00', 'n': inf, 5: None}\n"
    assert got == [(([1, (2, 3), "changed by the tool"],), {"key": {"a": b"x"}})]
    trace = whole(sandbox)
    (call,) = records(trace, "tool.called")
    assert isinstance(call, ToolCalled)
    assert (call.name, call.line, call.file) == ("take", 2, "<block 1>")


@pytest.mark.parametrize(
    ("expression", "kind"),
    [
        ("print", "builtin_function_or_method"),
        ("lambda: 1", "function"),
        ("(i for i in 'ab')", "generator"),
        ("open('f.txt', 'w')", "TextIOWrapper"),
        ("__import__('os')", "module"),
        ("[{'deep': object()}]", "object"),
    ],
)
def test_what_is_no_value_is_refused_at_the_call(expression: str, kind: str, ws: Path) -> None:
    calls: list[Any] = []

    @coda.tool
    def take(x: Any) -> None:
        calls.append(x)

    with boxed(ws, tools=[take]) as sandbox:
        result = sandbox.execute(
            f"try:\n    take({expression})\nexcept TypeError as error:\n    print(error)"
        )
    assert "tool arguments are values" in result.stdout, result
    assert kind in result.stdout
    assert calls == []
    trace = whole(sandbox)
    assert records(trace, "tool.called") == []


class Refused(LookupError):
    """An exception that the worker does not know."""


def test_exceptions_of_tools_keep_their_type(ws: Path) -> None:
    @coda.tool
    def fail(how: str) -> None:
        raise {"value": ValueError("bad", 3), "own": Refused("not here"), "os": OSError(2, "gone", "f")}[how]

    code = """
        for how in ("value", "own", "os"):
            try:
                fail(how)
            except ValueError as error:
                print("value", error.args)
            except OSError as error:
                print("os", error.errno, type(error).__name__)
            except LookupError as error:
                print(type(error).__name__, error)
        fail("value")
        """
    with boxed(ws, tools=[fail]) as sandbox:
        result = sandbox.execute(dedent(code))
    assert result.stdout == "value ('bad', 3)\nRefused not here\nos 2 FileNotFoundError\n"
    assert result.error is not None
    assert result.error.kind == "ValueError"
    trace = whole(sandbox)
    answers = records(trace, "tool.returned")
    assert [each.ok for each in answers if isinstance(each, ToolReturned)] == [False] * 4


def test_dataclasses_cross_by_their_fields(ws: Path) -> None:
    @dataclasses.dataclass
    class Triage:
        title: str
        score: int = 0

    got: list[Any] = []

    @coda.tool
    def rate(item: Triage) -> Triage:
        got.append(item)
        return Triage(item.title if isinstance(item, Triage) else item["title"], 5)

    with boxed(ws, tools=[rate]) as sandbox:
        result = sandbox.execute("done = rate({'title': 'a', 'score': 1})\nprint(done.title, done.score)")
    assert result.stdout == "a 5\n", result.error
    assert len(got) == 1
    whole(sandbox)


# --- ctx -----------------------------------------------------------------------------------------


def test_ctx_changes_are_events_with_their_source(ws: Path) -> None:
    with boxed(ws) as sandbox:
        first = sandbox.execute(
            "n = 2\nctx.limit = n * (\n    10 + 1)\nctx.items = [1]\nctx.gone = None\nctx.limit += 1"
        )
        second = sandbox.execute("ctx.items.append(2)\ndel ctx.gone\nprint(ctx.limit, ctx.items)")
        assert second.stdout == "23 [1, 2]\n"
        missing = sandbox.execute("ctx.gone")
        assert missing.error is not None
        assert missing.error.kind == "AttributeError"
    assert [(c.op, c.name, c.value) for c in first.ctx] == [
        ("set", "limit", 22), ("set", "items", [1]), ("set", "gone", None), ("set", "limit", 23),
    ]  # fmt: skip
    assert first.ctx[0].expr == "n * (\n    10 + 1)"
    assert first.ctx[1].expr == "[1]"
    assert [(c.op, c.name, c.value) for c in second.ctx] == [
        ("deleted", "gone", None), ("mutated", "items", [1, 2]),
    ]  # fmt: skip
    trace = whole(sandbox)
    assert [event.line for event in trace.events(types={"ctx.set"})] == [2, 4, 5, 6]
    assert [event.line for event in trace.events(types={"ctx.deleted"})] == [2]
    assert state_at(trace, trace.count()).ctx["items"].repr == "[1, 2]"


def test_the_source_of_a_ctx_change_is_exact(ws: Path) -> None:
    code = """
        class Box: pass
        a = 1; ctx.b = 2; ctx.c = (
            3, 4)
        ctx.d = ctx.e = {'é': [a]}; ctx.f, [ctx.g, *_] = 5, [6, 7, 8]
        ctx.box = Box(); ctx.box.b = 9
        setattr(ctx, "h", 10)
        def put(v): ctx.i = v + 1; return v
        ctx.j = put(1)
        ctx.k: int = 2
        """
    with boxed(ws) as sandbox:
        first = sandbox.execute(dedent(code))
        assert first.outcome == "ok", first.error
        second = sandbox.execute("ctx.d['é'].append(ctx.box)\nctx.box.b = 1\nput(5)\n1 / 0")
    exprs = [(change.name, change.expr) for change in first.ctx if change.op == "set"]
    assert exprs == [
        ("b", "2"), ("c", "(\n    3, 4)"), ("d", "{'é': [a]}"), ("e", "{'é': [a]}"), ("f", "5"),
        ("g", "[6, 7, 8]"), ("box", "Box()"), ("h", None), ("i", "v + 1"), ("j", "put(1)"), ("k", "2"),
    ]  # fmt: skip
    # Both names of one object, and an object that is no value, by what it holds; also in a block that fails.
    assert [(c.op, c.name, c.expr) for c in second.ctx] == [
        ("set", "i", "v + 1"), ("mutated", "d", None), ("mutated", "e", None), ("mutated", "box", None),
    ]  # fmt: skip
    told = feedback_text([second], emitted=1, known=frozenset(["box", "d"]))
    assert "changed box = <__main__.Box>  (not stored as a whole: no plain value, or too large)" in told
    whole(sandbox)


def test_tools_show_what_they_are_and_may_use_other_sandboxes(ws: Path, tmp_path: Path) -> None:
    other = boxed(ws, "other", primitives=False)

    @coda.tool(effect="read")
    def ask(code: str, /, *rest: int, times: int = 2, **more: str) -> str:
        """Runs code elsewhere."""
        return other.execute(code).stdout * times

    @coda.tool
    def again(code: str) -> str:
        return sandbox.execute(code).stdout

    with other, boxed(ws, tools=[ask, again]) as sandbox:
        shown = sandbox.execute("import inspect\nprint(inspect.signature(ask))\nhelp(ask)")
        assert shown.stdout.startswith("(code: str, /, *rest: int, times: int = 2, **more: str) -> str\n")
        assert "Runs code elsewhere." in shown.stdout
        assert sandbox.execute("print(ask('print(1)'))").stdout == "1\n1\n\n"
        refused = sandbox.execute("again('1')")
        assert refused.error is not None
        assert "needs a sandbox of its own" in refused.error.message
    whole(sandbox)


# --- stops and deaths ----------------------------------------------------------------------------


def test_a_worker_that_is_killed_leaves_a_valid_trace(ws: Path) -> None:
    code = (
        "import os, signal\nkept = 1\nprint('before')\nos.kill(os.getpid(), signal.SIGKILL)\nprint('never')"
    )

    @coda.tool
    def die() -> None:
        os.kill(sandbox.engine.pid, signal.SIGKILL)

    with boxed(ws, tools=[die]) as sandbox:
        result = sandbox.execute("print('before')\ndie()\nprint('never')")
        assert (result.outcome, result.state, result.stdout) == ("killed", "lost", "before\n")
        assert result.error is not None
        assert "SIGKILL" in result.error.message
    assert check_trace(sandbox.writer.path).damage == ()
    trace = open_trace(sandbox.writer.path)
    (finished,) = records(trace, "block.finished")
    assert isinstance(finished, BlockFinished)
    assert (finished.outcome, finished.state) == ("killed", "lost")
    assert trace.finished is not None
    with boxed(ws, "itself") as other:
        assert other.execute(code).outcome == "killed"
    assert output_of(other.writer.path) == "before\n"


HOST = """
import sys
from coda.runtime import Sandbox
box = Sandbox(root=sys.argv[1], trace=sys.argv[2])
box.execute("x = 1\\nprint('one')")
print(box.engine.pid, flush=True)
box.execute("import time\\nopen('made.txt', 'w').close()\\nprint('two')\\nwhile True:\\n    x += 1")
"""


def test_a_host_that_is_killed_leaves_a_readable_trace(ws: Path, tmp_path: Path) -> None:
    trace = tmp_path / "run.jsonl"
    with subprocess.Popen(
        [sys.executable, "-c", HOST, str(ws), str(trace)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as host:
        assert host.stdout is not None
        worker = int(host.stdout.readline())
        made = 0
        for event in open_trace(trace).follow(poll_s=0.01, stop=lambda: False):
            made += event.type == "file.opened"
            if made and event.type == "line" and event.line == 5:
                break
        host.kill()
    with contextlib.suppress(ProcessLookupError):
        os.kill(worker, signal.SIGKILL)
    report = check_trace(trace)
    assert (report.damage, report.finished) == ((), False)
    opened = open_trace(trace)
    assert output_of(opened).startswith("one\n")
    assert opened.blocks[0].outcome == "ok"
    assert state_at(opened, "2:0").globals["x"].repr == "1"


# --- disks ---------------------------------------------------------------------------------------


def test_an_existing_trace_is_not_replaced(ws: Path) -> None:
    with boxed(ws) as sandbox:
        sandbox.execute("1")
    before = sandbox.writer.path.read_bytes()
    with pytest.raises(UsageError, match="force"):
        boxed(ws)
    assert sandbox.writer.path.read_bytes() == before
    with boxed(ws, force=True) as again:
        again.execute("2")
    assert sandbox.writer.path.read_bytes() != before


@pytest.mark.parametrize("what", ["no folder", "a file for a folder", "unknown level"])
def test_misuse_is_refused_before_anything_starts(what: str, ws: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    cases: dict[str, dict[str, Any]] = {
        "no folder": {"root": tmp_path / "nowhere", "trace": tmp_path / "t.jsonl"},
        "a file for a folder": {"root": ws, "trace": tmp_path / "file" / "t.jsonl"},
        "unknown level": {"root": ws, "trace": tmp_path / "t.jsonl", "level": "all"},
    }
    with pytest.raises(CodaError) as caught:
        Sandbox(**cases[what])
    assert isinstance(caught.value, UsageError | LogError)
    assert not (tmp_path / "t.jsonl").exists()


FULL = """
import os, resource, sys
import coda
from coda.errors import LogError, SandboxError
from coda.runtime import Sandbox
calls = []
@coda.tool
def act(n: int) -> None:
    calls.append(n)
box = Sandbox(root=sys.argv[1], trace=sys.argv[2], tools=[act])
box.execute("act(0)")
room = os.path.getsize(sys.argv[2]) + 2000
resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
try:
    box.execute(sys.argv[3])
except LogError as error:
    print(type(error).__name__, error)
try:
    box.execute("act(1000)")
except SandboxError:
    print("ended")
print(len(calls), calls == list(range(len(calls))), flush=True)
os._exit(0)
"""


ENDLESS = "n = 0\nwhile True:\n    n += 1\n    try:\n        act(n)\n    except BaseException:\n        pass"


def test_an_act_whose_intent_cannot_be_written_is_not_performed(ws: Path, tmp_path: Path) -> None:
    """A disk that fills up stops the agent; the trace stays valid up to there."""
    trace = tmp_path / "run.jsonl"
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(ws), str(trace), ENDLESS],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=60,
        check=True,
    )
    said, ended, counted = done.stdout.splitlines()
    assert said.startswith("LogError")
    assert str(trace) in said
    assert ended == "ended"
    assert check_trace(trace).damage == ()
    called = [event.record for event in open_trace(trace).events(types={"tool.called"})]
    # Each act that was performed had been announced; at most one was announced and not performed.
    performed, in_order = counted.split()
    assert in_order == "True"
    assert len(called) - int(performed) in (0, 1)
    assert int(performed) > 1


# --- output and files ----------------------------------------------------------------------------


def test_a_flood_of_output_is_kept(ws: Path) -> None:
    with boxed(ws) as sandbox:
        result = sandbox.execute("line = 'x' * 99\nfor _ in range(100_000):\n    print(line)\nend = 1")
        assert len(result.stdout) == 10_000_000
        assert set(result.stdout) == {"x", "\n"}
    trace = whole(sandbox)
    assert output_of(trace) == result.stdout


def test_output_that_is_written_below_python_is_seen(ws: Path) -> None:
    with boxed(ws) as sandbox:
        result = sandbox.execute(
            "import os, sys\nos.write(1, b'raw\\n')\nos.system('echo child')\nprint('py')"
        )
        assert sorted(result.stdout.splitlines()) == ["child", "py", "raw"]
        other = sandbox.execute("import sys\nprint('e', file=sys.stderr)")
        assert (other.stdout, other.stderr) == ("", "e\n")
    assert check_trace(sandbox.writer.path).damage == ()


def test_files_of_primitives_name_their_call(ws: Path) -> None:
    (ws / "src.txt").write_text("one\ntwo\n")
    code = """
        text = read("src.txt")
        write("out/new.txt", "made\\n")
        edit("src.txt", "two", "three")
        found = grep("three")
        print(sorted(ls()), glob("**/*.txt"))
        done = bash("echo shell > shell.txt; cat src.txt")
        """
    with boxed(ws) as sandbox:
        result: BlockResult = sandbox.execute(dedent(code))
        assert result.outcome == "ok", result.error
    assert (ws / "src.txt").read_text() == "one\nthree\n"
    trace = whole(sandbox)
    calls = {event.seq: event.record.name for event in trace.events(types={"tool.called"})}  # type: ignore[union-attr]
    wrote = {}
    for event in trace.events(types={"file.wrote"}):
        assert isinstance(event.record, FileWrote)
        assert event.cause is not None
        wrote[event.record.path] = calls[event.cause]
    assert wrote == {"out/new.txt": "write", "src.txt": "edit", "shell.txt": "bash"}
    reads = [calls[event.cause] for event in trace.events(types={"file.read"}) if event.cause is not None]
    assert reads[0] == "read"
    before = next(
        record.before for record in records(trace, "file.wrote") if getattr(record, "path", "") == "src.txt"
    )
    assert trace.blobs.get(before) == b"one\ntwo\n"


def test_the_agents_own_files_name_their_line(ws: Path) -> None:
    code = "x = 1\nwith open('a.txt', 'w') as f:\n    f.write('text')\nopen('a.txt').read()"
    with boxed(ws) as sandbox:
        sandbox.execute(code)
    trace = whole(sandbox)
    found = [
        (event.type, event.line)
        for event in trace.events(types={"file.opened", "file.read"})
        if event.block == 1
    ]
    assert found == [("file.opened", 2), ("file.read", 4)]


def test_the_environment_is_an_allow_list_unless_given(ws: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "sk-not-for-agents")
    look = "import os\nprint(os.environ.get('SECRET_TOKEN'), os.environ.get('GIVEN'))"
    with boxed(ws) as sandbox:
        assert sandbox.execute(look).stdout == "None None\n"
    with boxed(ws, "given", env={"GIVEN": "yes", "PATH": os.environ["PATH"]}) as sandbox:
        assert sandbox.execute(look).stdout == "None yes\n"
    whole(sandbox)
    assert "sk-not-for-agents" not in sandbox.writer.path.read_text()


def test_line_limits_count_what_they_do_not_list(ws: Path) -> None:
    with boxed(ws, line_limit=100) as sandbox:
        result = sandbox.execute("n = 0\nfor i in range(1000):\n    n += i\nprint(n)")
        assert result.stdout == "499500\n"
        assert result.lines == 1003
    trace = whole(sandbox)
    listed = sum(1 for _ in trace.events(types={"line"}))
    assert listed == 100
    assert trace.count() > 1003
    assert state_at(trace, "1:50").globals["i"].repr == "48"


def test_the_whole_output_of_a_shell_command_is_in_the_trace(tmp_path: Path) -> None:
    with Sandbox(root=tmp_path, trace=tmp_path / "t.jsonl", max_blob_bytes=3_000_000) as sandbox:
        result = sandbox.execute(
            "done = bash('seq 300000; yes | head -c 4000000 >&2')\n"
            "print(sum(map(len, list(done.values())[:2])))"
        )
    assert int(result.stdout) < 2_100_000
    trace = open_trace(tmp_path / "t.jsonl")
    (returned,) = [event.record for event in trace.events(types={"tool.returned"})]
    assert isinstance(returned, ToolReturned)
    assert returned.stdout is not None
    assert returned.stderr is not None
    assert trace.blobs.get(returned.stdout).split() == [str(number).encode() for number in range(1, 300_001)]
    assert trace.blobs.get(returned.stderr) == b"y\n" * 1_500_000
    (hit,) = [event.record for event in trace.events(types={"limit.hit"})]
    assert isinstance(hit, LimitHit)
    said = "of 4000000 bytes on stderr the first 3000000 are kept"
    assert (hit.what, hit.detail, hit.cause) == ("unkept-output", said, returned.cause)
    assert check_trace(trace.path).consistent
    assert replay(trace).faithful
    (trace.blobs.path(returned.stdout)).unlink()
    assert not check_trace(trace.path).consistent

"""Events: each verb finds what it should, names the place, and invents nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from coda.errors import QuerySyntax, UnknownField, UsageError
from coda.log import (
    BlockFinished,
    BlockStarted,
    CtxDeleted,
    CtxMutated,
    CtxSet,
    Effect,
    Event,
    ExceptionRaised,
    FileDeleted,
    FileListed,
    FileOpened,
    FileRead,
    FileRenamed,
    FileWrote,
    Import,
    Lines,
    LlmRequested,
    LlmResponded,
    NetConnected,
    Output,
    ProcessFinished,
    ProcessStarted,
    SandboxStarted,
    ToolCalled,
    ToolDeclared,
    ToolReturned,
    Trace,
    TurnFinished,
    TurnStarted,
)
from coda.query import Group, Hit, query
from tests.unit.query.recorder import ROOT, write

SOURCE = "from pathlib import Path\ntext = Path('x').read_text()\nsend(text)\n"


def at(line: int) -> dict[str, Any]:
    """Gives the place of a record on a line of the block."""
    return {"file": "<block 1>", "line": line, "function": ""}


def busy() -> list[Event]:
    """Gives a run with every kind of event that a query is about; comments are event numbers."""
    missing = {"type": "KeyError", "mro": ["KeyError", "LookupError", "Exception"], "message": "'k'"}
    return [
        ToolDeclared(name="gmail.send", signature="(to, body, *, cc=None) -> dict"),  # 1
        ToolDeclared(name="read", signature="(path)", origin="primitive"),  # 2
        TurnStarted(turn=1),  # 3
        LlmRequested(model="gpt-x", count=2),  # 4
        LlmResponded(text="hello", model="gpt-x", input_tokens=900, output_tokens=20, cause=4),  # 5
        BlockStarted(block=1, source=SOURCE, file="<block 1>", turn=1),  # 6
        FileRead(path="conf/prod.env", given="./conf/prod.env", size=2000, **at(2)),  # 7
        ToolCalled(name="read", args=(".env",), **at(2)),  # 8
        FileRead(path=".env", size=5, via="read", cause=8),  # 9
        ToolReturned(name="read", value="A=1\n", cause=8),  # 10
        FileRead(path="gone.env", error="FileNotFoundError", **at(2)),  # 11
        FileRead(path="/etc/passwd", size=9, **at(2)),  # 12
        FileOpened(path="src/a.txt", mode="w", **at(3)),  # 13
        FileWrote(path="src/a.txt", size=7),  # 14
        FileWrote(path="src/a.txt", size=9, before="x" * 64),  # 15: a later notice of the same open
        FileOpened(path="src/never.txt", mode="a", **at(3)),  # 16
        ToolCalled(
            name="gmail.send", args=("ann@corp.com",), kwargs={"body": "hi", "cc": ["bob"]}, **at(3)
        ),  # 17
        FileWrote(path="outbox/1", size=3, by="tool", cause=17),  # 18
        ToolReturned(name="gmail.send", value={"count": 5}, cause=17),  # 19
        ToolCalled(name="gmail.send", args=("eve@evil.com",), **at(3)),  # 20
        ToolReturned(name="gmail.send", ok=False, error=missing, cause=20),  # 21
        ToolCalled(name="bash", args=("cd app && /usr/bin/pip install x",), **at(3)),  # 22
        ProcessStarted(argv=("sh", "-c", "pip install x"), cause=22),  # 23
        ProcessFinished(code=0, cause=23),  # 24
        ToolReturned(name="bash", value={"returncode": 3, "stdout": "", "stderr": "no"}, cause=22),  # 25
        ProcessStarted(argv=("/usr/bin/pip", "list"), **at(3)),  # 26
        ProcessFinished(code=0, stdout="a\n", cause=26),  # 27
        FileRenamed(path="src/b.tmp", to="src/b.txt", **at(3)),  # 28
        FileDeleted(path="src/old.txt", **at(3)),  # 29
        CtxSet(name="total", value=3, expr="1 + 2", **at(3)),  # 30
        CtxMutated(name="total", value=4),  # 31
        CtxDeleted(name="other", **at(3)),  # 32
        NetConnected(address="api.example.com:443", **at(3)),  # 33
        Import(module="requests.adapters", **at(1)),  # 34
        Lines(n=2, ids=(-1, -3), vals=("one\nTraceback (most recent call last)\n", 5.5), block=1),  # 35, 36
        Lines(n=1, ids=(-14,), vals=(["API_KEY", "k"],), block=1),  # 37
        Output(stream="stderr", text="warned"),  # 38
        Effect(name="uuid4", value="x", **at(3)),  # 39
        ToolCalled(name="gmail.send", args=("last@corp.com",), **at(3)),  # 40: the worker dies
        SandboxStarted(worker=1),  # 41
        ExceptionRaised(
            kind="app.errors.Broken", message="no", mro=("app.errors.Broken", "ValueError"), **at(3)
        ),  # 42
        BlockFinished(block=1, outcome="error"),  # 43
        TurnFinished(turn=1),  # 44
        FileListed(path="src"),  # 45
        FileRead(path="helper.py", size=4, via="import", **at(1)),  # 46
        FileWrote(path="src/b.txt", size=2, **at(3)),  # 47: what the rename put there
    ]  # fmt: skip


@pytest.fixture(name="trace")
def _trace(tmp_path: Path) -> Trace:
    return write(tmp_path / "r1.jsonl", busy())


def hits(text: str, trace: Trace) -> list[Hit]:
    """Gives the hits of a query."""
    return [row for row in query(text, [trace]).rows if isinstance(row, Hit)]


@pytest.mark.parametrize(
    ("text", "seqs"),
    [
        ("read *.env", [7, 9]),
        ("read", [7, 9, 12]),
        ("read ./conf/*", [7]),
        ("read conf/*", [7]),
        (f"read {ROOT}/conf/*", [7]),
        ("read /etc/*", [12]),
        ("read *.env where error != null", [11]),
        ("read where size > 1kb", [7]),
        ("read where via = read", [9]),
        ("read *.py", []),
        ("read *.py where via = import", [46]),
        ("read *.env at 8..20", [9]),
        ("read *.env at ..8", [7]),
        ("read | first 1", [7]),
        ("read | last 1", [12]),
        ("write src/*", [15 - 1, 16, 28]),
        ("write", [14, 16, 18, 28]),
        ("write where by = tool", [18]),
        ("write where via = gmail.send", [18]),
        ("write *.tmp", []),
        ("delete **", [29]),
        ('run "pip *"', [22, 26]),
        ("run pip", [22, 26]),
        ("run sh", []),
        ("run where code = 3", [22]),
        ("run where code = 0", [26]),
        ("tool gmail.*", [17, 20, 40]),
        ("tool gmail.* where args.to ~ *@corp.com", [17, 40]),
        ("tool where args.0 = ann@corp.com and args.cc = bob", [17]),
        ("tool where result.count > 3", [17]),
        ("tool where ok = false", [20]),
        ("tool where error.type = KeyError", [20]),
        ("tool where ok = null", [40]),
        ("tool where origin = primitive", [8]),
        ("tool where duration > 1h", []),
        ("llm", [4]),
        ("llm gpt-*", [4]),
        ("llm where output_tokens = 20 and input_tokens > 500", [4]),
        ("llm claude", []),
        ("ctx total", [30, 31]),
        ("ctx where op = deleted", [32]),
        ("connect *:443", [33]),
        ("import requests", [34]),
        ("import request", []),
        ('output "Traceback*"', [35]),
        ("output where stream = stderr", [38]),
        ("error KeyError", [21]),
        ("error LookupError", [21]),
        ("error Broken", [42]),
        ("error app.errors.*", [42]),
        ("error ValueError", [42]),
        ("error", [21, 42]),
        ("effect clock", [36]),
        ("effect time.*", [36]),
        ("effect random", [39]),
        ("env API_*", [37]),
        ("env where value = k", [37]),
    ],
)  # fmt: skip
def test_found(trace: Trace, text: str, seqs: list[int]) -> None:
    assert [hit.seq for hit in hits(text, trace)] == seqs


def test_a_hit_names_run_block_line_and_source(trace: Trace) -> None:
    (hit, primitive) = hits("read *.env", trace)
    assert (hit.run, hit.block, hit.turn, hit.file, hit.line) == ("r1", 1, 1, "<block 1>", 2)
    assert hit.source == "text = Path('x').read_text()"
    assert hit.what == "conf/prod.env"
    # The primitive ran in the host: its line is that of the call.
    assert (primitive.cause, primitive.line, primitive.source, primitive.fields["via"]) == (
        8,
        2,
        hit.source,
        "read",
    )


def test_a_write_has_the_line_of_its_open(trace: Trace) -> None:
    written = hits("write src/a.txt", trace)[0]
    assert (written.seq, written.fields["opened"], written.line, written.source) == (14, 13, 3, "send(text)")
    assert (written.fields["size"], written.fields["mode"]) == (7, "w")


def test_a_call_carries_its_answer(trace: Trace) -> None:
    sent = hits("tool gmail.*", trace)[0]
    assert sent.what == "gmail.send('ann@corp.com', body='hi', cc=['bob'])"
    assert sent.fields["args"] == {"0": "ann@corp.com", "to": "ann@corp.com", "body": "hi", "cc": ["bob"]}
    assert (sent.fields["result"], sent.fields["returned"], sent.fields["duration"]) == (
        {"count": 5},
        19,
        2000,
    )


def test_what_a_command_may_have_read_is_not_called_a_no(tmp_path: Path) -> None:
    shell = ToolCalled(name="bash", args=("cat <'conf/a.env' | wc",))
    child = ProcessStarted(argv=("cp", "b.env", "c"))
    trace = write(
        tmp_path / "t.jsonl", [shell, child, FileRead(path="b.env"), ToolCalled(name="x", args=("a.env",))]
    )
    for text, rows, said, unsaid in (
        ("read a.env", 0, "1 command names", ""),
        ("read b.env", 1, "", "1 command names"),
        ("read other.env", 0, "", ""),
        ("read ?.env", 1, "", "2 commands name"),
    ):
        answer = query(text, [trace])
        assert len(list(answer.rows)) == rows
        assert said in "".join(answer.incomplete)
        assert bool(answer.incomplete) is bool(said)
        assert unsaid in "".join(answer.notes)
        assert bool(answer.notes) is bool(unsaid)


def test_what_was_kept_before_an_append_is_no_read(tmp_path: Path) -> None:
    accesses = [
        (FileRead(path="o.txt", size=1), FileOpened(path="o.txt", mode=mode))
        for mode in ("a", "r+", "ab", "a+")
    ]
    records = [record for access in accesses for record in access]
    last = FileRead(path="o.txt", size=4)
    trace = write(tmp_path / "t.jsonl", [*records, last])  # reads at 1, 3, 5, 7, 9
    assert [hit.seq for hit in hits("read", trace)] == [3, 7, 9]
    assert [hit.seq for hit in hits("read o.txt", trace)] == [3, 7, 9]
    assert [hit.seq for hit in hits("read o.txt at 1..5", trace)] == [3]
    assert [hit.seq for hit in hits("write o.txt", trace)] == [2, 4, 6, 8]


@pytest.mark.parametrize(
    ("argv", "shell", "found"),
    [
        (("cat thr.env",), True, "cat"),
        (("sh", "-c", "cat o.txt"), False, "cat"),
        (("/bin/bash", "-euc", "cd x && cat o.txt"), False, "cat"),
        (("sh -c 'cat o.txt | wc'",), True, "wc"),
        (("A=1 cat o.txt",), True, "cat"),
        (("cat", "a b"), False, "cat"),
        (("echo hi; ls *.env",), True, "ls"),
    ],
)
def test_each_part_of_a_shell_line_is_a_command(
    tmp_path: Path, argv: tuple[str, ...], shell: bool, found: str
) -> None:
    trace = write(
        tmp_path / "t.jsonl", [ProcessStarted(argv=argv, shell=shell), ProcessFinished(code=0, cause=1)]
    )
    assert [hit.seq for hit in hits(f"run {found}", trace)] == [1]
    assert [hit.seq for hit in hits(f'run "{found}*"', trace)] == [1]


@pytest.mark.parametrize(
    "argv", [("echo", "cat"), ("sh", "x.sh", "-c", "cat"), ("echo", "-c", "cat x"), ("echo cat",)]
)
def test_an_argument_is_no_command(tmp_path: Path, argv: tuple[str, ...]) -> None:
    trace = write(tmp_path / "t.jsonl", [ProcessStarted(argv=argv, shell=len(argv) == 1)])
    assert hits("run cat", trace) == []


def test_an_exit_code_that_is_not_recorded_is_undecided(tmp_path: Path) -> None:
    ended = [ProcessStarted(argv=("false",)), ProcessFinished(code=1, cause=2)]
    trace = write(tmp_path / "t.jsonl", [ProcessStarted(argv=("sleep", "1"), via="Popen"), *ended])
    for text, seqs, undecided in (
        ("run where code != 0", [2], True),
        ("run where code = 0", [], True),
        ("run where finished = null", [1], False),
        ("run false where code = 1", [2], False),
        ("run", [1, 2], False),
    ):
        answer = query(text, [trace])
        assert [row.seq for row in answer.rows if isinstance(row, Hit)] == seqs
        assert bool(answer.incomplete) is undecided


def test_failed_reads_are_told_beside_the_answer(trace: Trace) -> None:
    answer = query("read *.env", [trace])
    assert len(list(answer.rows)) == 2
    assert answer.notes == ["1 x failed attempt to read; `where error != null` lists them"]
    assert answer.incomplete == []


def test_counts(trace: Trace) -> None:
    answer = query("tool | count by name | first 2", [trace])
    assert answer.groups == [
        Group(field="name", key="gmail.send", count=3),
        Group(field="name", key="bash", count=1),
    ]
    assert query("tool | count", [trace]).groups == [Group(field=None, key=None, count=5)]
    assert query("read | first 2 | count", [trace]).groups == [Group(field=None, key=None, count=2)]


def test_several_traces_are_answered_in_order(trace: Trace, tmp_path: Path) -> None:
    other = write(tmp_path / "r2.jsonl", [FileRead(path="b.env")])
    assert [row.run for row in query("read *.env", [trace, other.path]).rows if isinstance(row, Hit)] == [
        "r1", "r1", "r2",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text", ["read *.env", "read a.txt", "read passwd", "delete old.txt", "read */prod.env"]
)
def test_skimming_finds_what_reading_finds(trace: Trace, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    skimmed = hits(text, trace)
    monkeypatch.setattr("coda.query.scan.literal_of", lambda _: None)
    assert skimmed == hits(text, trace)


def test_unknown_field_is_refused_with_its_column(trace: Trace) -> None:
    with pytest.raises(UnknownField, match="did you mean 'size'") as caught:
        query("read *.env where sizes > 3", [trace])
    assert caught.value.facts["column"] == 18
    with pytest.raises(UnknownField):
        query("read | count by nothing", [trace])


def test_line_wants_a_number(trace: Trace) -> None:
    with pytest.raises(QuerySyntax, match="column 6: expected a line number"):
        query("line x", [trace])


def test_ranges_are_positions_of_the_run(trace: Trace) -> None:
    with pytest.raises(UsageError, match="beyond the end"):
        list(query("read at 3..9999", [trace]).rows)
    with pytest.raises(UsageError, match="ends before it begins"):
        list(query("read at 9..3", [trace]).rows)


def test_why_is_not_a_query_on_events(trace: Trace) -> None:
    with pytest.raises(UsageError, match=r"coda\.query\.why"):
        query("why total", [trace])

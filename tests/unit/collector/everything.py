"""A trace with at least one record of every type, and with values that are hard to send."""

from __future__ import annotations

from pathlib import Path

from coda.log import (
    BlockFinished,
    BlockStarted,
    CtxDeleted,
    CtxMutated,
    CtxSet,
    Effect,
    Elided,
    ExceptionRaised,
    FileChanged,
    FileDeleted,
    FileListed,
    FileMade,
    FileOpened,
    FileRead,
    FileRenamed,
    FileWrote,
    Import,
    LimitHit,
    LlmRequested,
    LlmResponded,
    LoopWoke,
    NetConnected,
    Note,
    Output,
    ProcessFinished,
    ProcessStarted,
    RunFinished,
    RunResumed,
    SandboxStarted,
    Signal,
    ThreadFinished,
    ThreadStarted,
    ToolCalled,
    ToolDeclared,
    ToolReturned,
    TurnFinished,
    TurnStarted,
    UserMessage,
)
from tests.support.traces import LOOP, Ids, lines, started, table_of, writer

LONG = "long " * 2000
SECRET = "sk-test-0123456789abcdefghij"


def everything_trace(path: Path) -> Path:
    """Writes the trace; gives its path."""
    table = table_of(LOOP)
    ids = Ids(table)
    with writer(path, "20260314T190000-f0f0f0") as out:
        out.append(started(kind="run", task=LONG, model="m", main=None))
        out.append(RunResumed(cut_bytes=1))
        out.append(ToolDeclared(name="pay"))
        out.append(SandboxStarted())
        out.append(UserMessage(text=f"my key is {SECRET}"))
        out.append(TurnStarted(turn=1))
        message = {"role": "user", "content": f"password={SECRET} \udcff"}
        asked = out.append(LlmRequested(model="m", messages=(message,), system=LONG))
        out.append(
            LlmResponded(text="ok", model="m-1", cause=asked, input_tokens=3, output_tokens=4, assumed=True)
        )
        out.append(BlockStarted(block=1, source=LOOP, file="<block 1>", turn=1, table=table))
        out.append(lines([ids.at(1), ids.at(2), ids.at(3)], table))
        out.append(Elided(n=7, counts=((ids.at(3), 7),), block=1))
        at = {"file": "<block 1>", "line": 3, "function": "f"}
        out.append(CtxSet(name="a", value=LONG, **at))  # type: ignore[arg-type]
        out.append(CtxMutated(name="a", value=[1]))
        out.append(CtxDeleted(name="a"))
        opened = out.append(FileOpened(path="a\udcff.txt", mode="w"))
        out.append(FileRead(path="gone", error="FileNotFoundError"))
        out.append(FileWrote(path="a", size=3, cause=opened))
        out.append(FileRenamed(path="a", to="b"))
        out.append(FileDeleted(path="b"))
        out.append(FileMade(path="d"))
        out.append(FileListed(path="d"))
        out.append(FileChanged(path="c"))
        out.append(NetConnected(address="[::1]:8080"))
        out.append(NetConnected(address="example.org:443"))
        out.append(NetConnected(address="/run/socket"))
        call = out.append(ToolCalled(name="pay", args=(LONG,), kwargs={"key": SECRET}))
        child = out.append(ProcessStarted(argv=("/bin/ls", "-l"), cause=call))
        out.append(ProcessFinished(code=2, cause=child))
        other = out.append(ProcessStarted(argv=("/bin/no",), cause=call))
        gone = {"type": "FileNotFoundError", "mro": [], "message": "no", "args": []}
        out.append(ProcessFinished(error=gone, cause=other))
        out.append(ToolReturned(name="pay", value=LONG, cause=call, assumed=True))
        out.append(ToolReturned(name="pay", value=1, cause=99_999))
        out.append(Effect(name="env", value=SECRET))
        out.append(Import(module="json", path="json.py"))
        out.append(Output(stream="stderr", text="x"))
        out.append(LimitHit(what="threads", detail="two"))
        out.append(Signal(name="SIGALRM"))
        out.append(ThreadStarted(name="t", thread=1))
        out.append(LoopWoke(timers=(1,), turns=1))
        out.append(ThreadFinished(name="t", thread=1))
        out.append(Note(text="remark"))
        out.append(ExceptionRaised(kind="E", message=SECRET, traceback=LONG))
        out.append(BlockFinished(block=1, outcome="exited", lines=10, code=3))
        out.append(TurnFinished(turn=1, blocks=1))
        out.append(RunFinished(outcome="ok", text="done"))
    data = path.read_bytes().splitlines(keepends=True)
    # A type of a later version, before the end; the seals no longer fit and are left out.
    kept = [line for line in data if not line.startswith(b'{"type":"seal"')]
    last = kept[-1]
    seq = int(last.split(b'"seq":')[1].split(b",")[0])
    future = b'{"type":"from.the.future","seq":%d,"t":1,"n":2,"what":"else"}\n' % seq
    later = last.replace(b'"seq":%d' % seq, b'"seq":%d' % (seq + 2))
    path.write_bytes(b"".join([*kept[:-1], future, later]))
    return path

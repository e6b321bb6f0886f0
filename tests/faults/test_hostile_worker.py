"""A worker that lies: whatever it sends, the host refuses it with one error, and the log stays whole."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from coda.errors import SandboxError
from coda.log import BlockStarted, TraceWriter, check_trace
from coda.runtime.protocol import FromWorker, Observe, Request, Stream, decoder_of
from coda.runtime.recording import Recording
from coda.runtime.tools import Outcome
from coda.runtime.workspace import Workspace
from tests.support.traces import started, table_of, writer

SOURCE = "x = f(1)\nfor i in x:\n    y = i\n"
TABLE = table_of(SOURCE)
KINDS = (
    "file.read", "import", "file.listed", "thread.started", "thread.finished", "limit.hit", "signal",
    "ctx.set", "ctx.deleted", "ctx.mutated", "net.opened", "net.sent", "net.received", "process.io",
    "tool.called", "tool.began", "file.opened", "file.deleted", "file.renamed", "file.made",
    "process.started", "process.finished", "net.connected", "arrivals", "run.finished", "block.started", "",
)  # fmt: skip
DECODER = decoder_of(FromWorker)
FIELDS = (
    "path", "to", "name", "args", "kwargs", "value", "expr", "content", "same", "special", "size", "digest",
    "error", "given", "via", "mode", "argv", "stdin", "shell", "cwd", "opaque", "redirects", "child", "code",
    "stdout", "stderr", "address", "conn", "table", "module", "what", "detail", "thread", "turns", "file",
    "line", "function", "cause", "seq", "type", "t", "n", "statement", "step", "call", "timers", "fd", "data",
)  # fmt: skip


def hostile(deep: bool = True) -> st.SearchStrategy[Any]:
    """Values as msgpack can carry them, with a taste for the absurd."""
    scalars = (
        st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=9)
        | st.binary(max_size=9)
        | st.sampled_from([2**40, -1, "a.txt", "../../x", "/etc/passwd", "act", "\x1b[2J"])
        | st.sampled_from([msgspec.json.encode(TABLE), {"$": "blob", "d": "../x", "n": 1}, {"$": []}])
    )  # fmt: skip
    if not deep:
        return scalars
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=6,
    )


# What an honest worker says: with one field changed it gets further than with all of them.
HONEST: dict[str, dict[str, Any]] = {
    "file.read": {"path": "a.txt", "content": b"text", "size": 4, "via": "open"},
    "import": {"module": "m", "path": "m.py", "content": b"x = 1", "table": b""},
    "limit.hit": {"what": "w", "detail": "d"},
    "signal": {"name": "SIGINT", "detail": "d"},
    "ctx.set": {"name": "x", "value": 1, "expr": "1"},
    "ctx.mutated": {"name": "x", "value": [1]},
    "thread.started": {"name": "t", "thread": 1},
    "tool.called": {"name": "act", "args": [1], "kwargs": {"k": 2}, "file": "<block 1>", "line": 1},
    "file.opened": {"path": "a.txt", "mode": "w"},
    "file.deleted": {"path": "a.txt"},
    "file.renamed": {"path": "a.txt", "to": "b.txt"},
    "process.started": {"argv": ["ls"], "via": "subprocess.run", "shell": False, "stdin": b"x"},
    "process.finished": {"code": 0, "stdout": "x"},
    "process.io": {"child": 1, "content": b"x"},
    "net.connected": {"address": "a:1"},
    "net.received": {"conn": 1, "content": b"x"},
    "loop.woke": {"turns": 1, "timers": []},
}
DATA = st.dictionaries(st.sampled_from(FIELDS), hostile(), max_size=8)
TIMES = st.integers(-(2**63), 2**63 - 1)
STREAMS = st.builds(
    Stream,
    st.lists(st.integers(-20, TABLE.end + 2) | st.sampled_from([2**31, 2**62, -(2**40)]), max_size=9).map(
        msgspec.msgpack.encode
    )
    | st.binary(max_size=20),
    st.lists(hostile(), max_size=6),
    TIMES,
)
NEARLY = st.sampled_from(sorted(HONEST)).flatmap(
    lambda kind: st.tuples(
        st.just(kind),
        st.dictionaries(
            st.sampled_from([*HONEST[kind], "cause", "seq", "t", "type", "call"]), hostile(), max_size=2
        ).map(lambda changes: HONEST[kind] | changes),
    )
)
MESSAGES = (
    NEARLY.map(lambda said: Observe(said[0], said[1], 5))
    | NEARLY.map(lambda said: Request(said[0], said[1], 5, 1))
    | STREAMS
    | st.builds(Observe, st.sampled_from(KINDS), DATA, TIMES)
    | st.builds(Request, st.sampled_from(KINDS), DATA, TIMES, st.integers(0, 9))
)


# An example found is shown as it is: making it smaller takes minutes.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)


class Host:
    """A recording of a block that has begun."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "t.jsonl"
        (folder / "ws").mkdir(exist_ok=True)
        (folder / "ws" / "a.txt").write_text("text")
        self.writer: TraceWriter = writer(self.path, force=True)
        self.writer.append(started())
        self.recording = Recording(
            self.writer,
            Workspace(folder / "ws", blobs=self.writer.blobs),
            run_tool=lambda name, args, kwargs, recording: Outcome(True, 1, None),
            effects={"act": "act", "look": "read"},
            line_limit=50,
        )
        table = self.recording.add_table(msgspec.json.encode(TABLE))
        self.writer.append(BlockStarted(block=1, source=SOURCE, file="<block 1>", table=table))
        self.recording.begin_block(1)

    def hear(self, message: Any) -> None:
        """As the engine does."""
        if isinstance(message, Stream):
            self.recording.stream(message)
        elif isinstance(message, Observe):
            self.recording.observe(message)
        else:
            self.recording.request(message)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@given(st.lists(MESSAGES, max_size=6))
@settings(
    max_examples=300,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
def test_absurd_messages_are_refused_and_leave_a_whole_log(folder: Path, messages: list[Any]) -> None:
    host = Host(folder)
    try:
        for message in messages:
            host.hear(DECODER.decode(msgspec.msgpack.encode(message)))
    except SandboxError:
        pass
    finally:
        host.recording.arrivals.close()
        host.writer.close()
    assert check_trace(host.path).damage == ()


def test_values_that_are_no_data_are_refused(tmp_path: Path) -> None:
    host = Host(tmp_path)
    binds = msgspec.msgpack.encode([TABLE.base + len(TABLE.statements)])
    with pytest.raises(msgspec.MsgspecError, match="extension type 5"):
        DECODER.decode(msgspec.msgpack.encode(Stream(binds, [msgspec.msgpack.Ext(5, b"x")], 5)))
    with pytest.raises(SandboxError, match="the worker sent a value that is none"):
        host.hear(DECODER.decode(msgspec.msgpack.encode(Stream(binds, [{"a": {(1, 2): 3}}], 5))))
    host.recording.arrivals.close()
    host.writer.close()
    assert check_trace(host.path).damage == ()

"""Sockets, pipes and children on event loops: when each was ready is in the log, as is all that passed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coda.forking import fork
from coda.log import open_trace
from coda.replay import Verdict, replay, state_at
from coda.runtime import Sandbox
from tests.support import http_server
from tests.support.doctoring import Row, doctored
from tests.support.programs import dedent, line_of, lines_at

pytestmark = pytest.mark.slow

CHILDREN = """
import asyncio
async def follow(name):
    child = await asyncio.create_subprocess_shell(
        f"for i in 1 2 3; do echo {name} $i; sleep 0.001; done; exit 3", stdout=asyncio.subprocess.PIPE
    )
    async for line in child.stdout:
        told.append(line.decode().strip())
    return await child.wait()
told = []
codes = await asyncio.gather(*map(follow, "abc"), asyncio.sleep(0.002, "slept"))
child = await asyncio.create_subprocess_exec(
    "sh", "-c", "cat; echo done >&2", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    stderr=asyncio.subprocess.PIPE,
)
out, err = await child.communicate(b"x" * 200_000)
assert (len(out), err, child.returncode) == (200_000, b"done\\n", 0)
try:
    await asyncio.create_subprocess_exec("no-such-program")
except FileNotFoundError as error:
    missing = error.filename
"""
SERVED = """
import asyncio
async def serve(reader, writer):
    while line := await reader.readline():
        writer.write(line.upper())
        await writer.drain()
    writer.close()
server = await asyncio.start_server(serve, "127.0.0.1", 0)
port = server.sockets[0].getsockname()[1]
async def ask(name):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for word in ("one", "two"):
        writer.write(f"{name} {word}\\n".encode())
        heard.append(await reader.readline())
    writer.close()
    await writer.wait_closed()
heard = []
await asyncio.gather(*map(ask, "xyz"))
server.close()
"""
FETCHED = """
import asyncio, ssl
plain, safe = open("ports.txt").read().split()
context = ssl.create_default_context(cafile="cert.pem")
async def fetch(path, port, **more):
    reader, writer = await asyncio.open_connection("localhost", int(port), **more)
    writer.write(f"GET {path} HTTP/1.0\\r\\n\\r\\n".encode())
    body = (await reader.read()).partition(b"\\r\\n\\r\\n")[2]
    writer.close()
    return body
fetched = await asyncio.gather(*(fetch(f"/p{n}", plain) for n in range(3)), fetch("/big", plain))
secret = await fetch("/secret", safe, ssl=context)
refused = []
for port, more in ((1, {}), (safe, {"ssl": ssl.create_default_context()})):
    try:
        await fetch("/", port, **more)
    except OSError as error:
        refused.append(type(error).__name__)
assert refused == ["ConnectionRefusedError", "SSLCertVerificationError"], refused
"""
PIPES = """
import asyncio, os, socket
loop = asyncio.get_running_loop()
read_fd, write_fd = os.pipe()
reader = asyncio.StreamReader()
await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_fd, "rb"))
writer, _ = await loop.connect_write_pipe(asyncio.Protocol, os.fdopen(write_fd, "wb"))
writer.write(b"through a pipe\\n")
line = await reader.readline()
writer.close()
one, other = socket.socketpair()
one.setblocking(False)
other.setblocking(False)
waiting = loop.create_task(loop.sock_recv(one, 10))
await loop.sock_sendall(other, b"pair")
pair = await waiting
one.close()
other.close()
"""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of all of them; the server that it talked to is gone."""
    folder = tmp_path_factory.mktemp("run")
    work = folder / "work"
    work.mkdir()
    command = [sys.executable, http_server.__file__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        (work / "ports.txt").write_text(server.stdout.readline())
        (work / "cert.pem").write_bytes((http_server.TLS / "cert.pem").read_bytes())
        with Sandbox(root=work, trace=folder / "run.jsonl") as sandbox:
            for source in (CHILDREN, SERVED, FETCHED, PIPES):
                done = sandbox.execute(dedent(source))
                assert done.error is None, done.error
        server.communicate()
    return folder / "run.jsonl"


def test_they_replay_without_a_mark(recorded: Path) -> None:
    verdict = replay(recorded)
    assert (verdict.diverged, verdict.notes) == (None, ())
    state = state_at(
        recorded, open_trace(recorded).count(), exprs=["codes", "sorted(told)", "len(fetched[3])"]
    )
    shown = [value if isinstance(value, str) else value.repr for value in state.exprs.values()]
    told = [f"{name} {number}" for name in "abc" for number in (1, 2, 3)]
    assert shown[:2] == ["[3, 3, 3, 'slept']", repr(told)]
    assert int(shown[2]) > 1_000_000


def _ready(value: Any) -> bool:
    return isinstance(value, list) and value[0] == "loop.select" and bool(value[1]) and len(value[1]) > 1


def coded(wanted: Callable[[Any], bool], change: Callable[[Any], Any]) -> Callable[[list[Row]], None]:
    """Changes the first answer of the system that is wanted."""

    def apply(rows: list[Row]) -> None:
        for row in rows:
            for place, value in enumerate(row.get("vals", ())):
                if isinstance(value, list) and value and isinstance(value[0], str) and wanted(value):
                    row["vals"][place] = change(value)
                    return
        raise AssertionError("there is no such answer")

    return apply


@pytest.mark.parametrize(
    ("wanted", "change"),
    [
        (_ready, lambda value: [value[0], value[1][::-1]]),
        (lambda value: value[0] == "loop.select" and value[1], lambda value: [value[0], [[40, 1]]]),
        (
            lambda value: value[0] == "pipe.read" and value[1] in range(2, 100),
            lambda value: [value[0], value[1] - 1],
        ),
        (lambda value: value[0] == "tls.write", lambda value: [value[0], {"$l": [value[1][0], "00"]}]),
    ],
    ids=["order", "descriptor", "size of a read", "text before it is encrypted"],
)
def test_a_changed_answer_is_found(
    wanted: Callable[[Any], bool], change: Callable[[Any], Any], recorded: Path, tmp_path: Path
) -> None:
    verdict: Verdict = replay(doctored(recorded, tmp_path / "changed.jsonl", coded(wanted, change)))
    assert verdict.diverged is not None


def test_a_handler_of_a_signal_runs_while_the_loop_waits_for_a_child(tmp_path: Path) -> None:
    (tmp_path / "ws").mkdir()
    source = """
        import asyncio, os, signal
        came = []
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, came.append, 1)
        signal.signal(signal.SIGUSR2, lambda *_: came.append(2))
        each = f"kill -USR2 {os.getpid()}; sleep 0.01; kill -USR1 {os.getpid()}; sleep 0.01"
        child = await asyncio.create_subprocess_shell(f"sleep 0.03; {each}; {each}")
        print(await child.wait(), came)
        """
    with Sandbox(root=tmp_path / "ws", trace=tmp_path / "run.jsonl") as sandbox:
        assert sandbox.execute(dedent(source)).stdout == "0 [2, 1, 2, 1]\n"
    assert replay(tmp_path / "run.jsonl").diverged is None


def test_a_fork_goes_on_with_children(recorded: Path, tmp_path: Path) -> None:
    """What is left of their output is on its way; their ends are known."""
    at = lines_at(recorded, line_of(dedent(CHILDREN), "told.append"))[4].seq
    made = fork(recorded, at, sets=[("name", "'changed'")], out=tmp_path / "children.jsonl")
    state = state_at(made.path, "2:0", exprs=["codes", "len(told)"])
    assert [getattr(value, "repr", value) for value in state.exprs.values()] == ["[3, 3, 3, 'slept']", "9"]


def test_a_fork_ends_where_it_needs_a_connection(recorded: Path, tmp_path: Path) -> None:
    trace = open_trace(recorded)
    places = lines_at(trace, line_of(dedent(SERVED), "heard.append"))
    at = next(event.seq for event in places if event.seq > trace.block(2).seq)
    made = fork(recorded, at, sets=[("word", "'changed'")], out=tmp_path / "connections.jsonl")
    finished = open_trace(made.path).finished
    assert finished is not None
    assert finished.outcome == "frontier"

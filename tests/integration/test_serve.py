"""`coda serve` as a user has it: a real process, a real socket, real clients."""

from __future__ import annotations

import json
import os
import re
import signal
import socket as sockets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from coda.log import BlockStarted, RunFinished, open_trace
from tests.conftest import ROOT, RunCoda
from tests.support.traces import LOOP, Ids, big_lines_trace, lines, program_trace, started, table_of, writer

pytestmark = pytest.mark.slow
TOKEN = "a-token-for-tests"
AUTH = {"Authorization": f"Bearer {TOKEN}"}
RUN = "20260314T150926-a1b2c3"


class Serving:
    """A server that runs."""

    def __init__(self, process: subprocess.Popen[str], url: str, first: str) -> None:
        self.process = process
        self.url = url
        self.first = first

    @contextmanager
    def socket(
        self, path: str, *, origin: str | None = None, token: str | None = TOKEN
    ) -> Iterator[ClientConnection]:
        with connect(
            self.url.replace("http", "ws") + path,
            max_size=None,
            close_timeout=0.2,
            origin=Origin(origin) if origin else None,
            additional_headers={"Authorization": f"Bearer {token}"} if token else {},
        ) as connection:
            yield connection


@contextmanager
def serving(folder: Path, *options: str, env: dict[str, str] | None = None) -> Iterator[Serving]:
    process = subprocess.Popen(
        [sys.executable, "-m", "coda", "serve", "--port", "0", *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    found = re.search(r"http://[^\s\"]+", first)
    try:
        assert found, process.communicate(timeout=10)
        yield Serving(process, found[0], first)
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    folder = tmp_path / ".coda" / "runs"
    (folder / RUN).mkdir(parents=True)
    program_trace(folder / RUN / "trace.jsonl")
    return folder


def rows_of(socket: ClientConnection) -> list[bytes]:
    rows: list[bytes] = []
    try:
        while True:
            rows += str(socket.recv(timeout=20)).encode().split(b"\n")
    except ConnectionClosed as closed:
        assert closed.rcvd is not None
        assert (closed.rcvd.code, closed.rcvd.reason) == (1000, "the run has finished")
    return rows


def test_a_run_is_served_as_it_was_recorded(tmp_path: Path, runs: Path) -> None:
    trace = open_trace(runs / RUN / "trace.jsonl")
    expected = [event.to_json() for event in trace.events()]
    with serving(tmp_path, "--token", TOKEN) as server:
        assert httpx.get(f"{server.url}/health").json()["status"] == "ok"
        assert httpx.get(f"{server.url}/api/runs").status_code == 401
        listed = httpx.get(f"{server.url}/api/runs", headers=AUTH).json()
        assert [run["id"] for run in listed["runs"]] == [RUN]
        events = httpx.get(f"{server.url}/api/runs/{RUN}/events", headers=AUTH)
        assert events.content.splitlines() == expected
        assert "coda_lines_total " in httpx.get(f"{server.url}/metrics").text
        with server.socket(f"/api/runs/{RUN}/live") as socket:
            assert rows_of(socket) == expected
        assert TOKEN not in server.first


def test_a_random_token_is_printed_and_works(tmp_path: Path, runs: Path) -> None:
    with serving(tmp_path) as server:
        assert server.process.stdout is not None
        token = server.process.stdout.readline().removeprefix("token: ").strip()
        assert re.fullmatch(r"[A-Za-z0-9_-]{32}", token)
        headers = {"Authorization": f"Bearer {token}"}
        assert httpx.get(f"{server.url}/api/runs", headers=headers).json()["total"] == 1


def test_json_and_the_token_from_the_environment(tmp_path: Path, runs: Path) -> None:
    with serving(tmp_path, "--json", "--runs", str(runs), env={"CODA_TOKEN": TOKEN}) as server:
        assert json.loads(server.first) == {
            "schema": "coda.serve/1",
            "url": server.url,
            "token": None,
            "runs": str(runs),
        }
        assert httpx.get(f"{server.url}/api/runs", headers=AUTH).status_code == 200


def test_live_events_come_while_the_run_goes_on(tmp_path: Path, runs: Path) -> None:
    (runs / "20260314T160000-000001").mkdir()
    path = runs / "20260314T160000-000001" / "trace.jsonl"
    table = table_of(LOOP)
    ids = Ids(table)
    out = writer(path, "20260314T160000-000001")
    with serving(tmp_path, "--token", TOKEN) as server:
        out.append(started())
        out.append(BlockStarted(block=1, source=LOOP, file="<block 1>", table=table))
        with server.socket("/api/runs/20260314T160000-000001/live") as socket:
            rows: list[bytes] = []
            while len(rows) < 2:
                rows += str(socket.recv(timeout=20)).encode().split(b"\n")
            for _ in range(5):
                out.append(lines([ids.at(1)] * 3, table))
                before = len(rows)
                while len(rows) < before + 3:
                    rows += str(socket.recv(timeout=20)).encode().split(b"\n")
            out.append(RunFinished(outcome="ok"))
            out.close()
            rows += rows_of(socket)
    assert rows == [event.to_json() for event in open_trace(path).events()]


def test_a_reader_that_stops_reading_harms_no_other(tmp_path: Path, runs: Path) -> None:
    (runs / "20260314T160000-c3d4e5").mkdir()
    path = big_lines_trace(runs / "20260314T160000-c3d4e5" / "trace.jsonl", 60_000)
    with serving(tmp_path, "--token", TOKEN) as server:
        with ExitStack() as stuck:
            for _ in range(8):
                stuck.enter_context(server.socket("/api/runs/20260314T160000-c3d4e5/live"))
            with server.socket("/api/runs/20260314T160000-c3d4e5/live?from=50000") as socket:
                rows = rows_of(socket)
            assert [json.loads(row)["seq"] for row in rows] == list(range(50_000, open_trace(path).count()))
            assert httpx.get(f"{server.url}/health", timeout=20).status_code == 200
            server.process.kill()


def test_a_socket_without_the_right_to_it_gets_nothing(tmp_path: Path, runs: Path) -> None:
    path = f"/api/runs/{RUN}/live?token={TOKEN}"
    with serving(tmp_path, "--token", TOKEN) as server:
        with pytest.raises(InvalidStatus, match="403"), server.socket(path, origin="http://evil.example"):
            pass
        with server.socket(path, token=None) as socket:
            socket.send("{}")
            with pytest.raises(ConnectionClosed, match="4401"):
                socket.recv(timeout=20)


def test_an_occupied_port_is_one_sentence(tmp_path: Path, coda: RunCoda) -> None:
    with sockets.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        ran = coda("serve", "--port", str(port))
    said = f"cannot serve on 127.0.0.1 port {port}: Address already in use; choose another with --port."
    assert (ran.status, ran.err) == (2, f"coda: {said}\n")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--host", "no.such.host.invalid"], "'no.such.host.invalid' is not an address of this machine"),
        (["--host", "192.0.2.1"], "cannot serve on 192.0.2.1 port 8321: "),
        (["--runs", "nowhere"], "there is no directory nowhere."),
        (["--token", "short"], "--token takes at least 8 printable ASCII characters"),
        (["--port", "70000"], "70000"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path: Path, coda: RunCoda, options: list[str], said: str) -> None:
    ran = coda("serve", *options)
    assert (ran.status, ran.out) == (2, "")
    assert said in ran.err
    assert "Traceback" not in ran.err


def test_it_ends_on_ctrl_c_with_a_viewer_connected(tmp_path: Path, runs: Path) -> None:
    (runs / "20260314T160000-000001").mkdir()
    out = writer(runs / "20260314T160000-000001" / "trace.jsonl", "20260314T160000-000001")
    out.append(started())
    with serving(tmp_path, "--token", TOKEN) as server:
        with server.socket("/api/runs/20260314T160000-000001/live") as socket:
            socket.recv(timeout=20)
            server.process.send_signal(signal.SIGINT)
            assert server.process.wait(timeout=20) in (0, 130)
        assert server.process.stderr is not None
        assert "Traceback" not in server.process.stderr.read()
    out.close()

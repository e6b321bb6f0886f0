"""Connections of agent code: real ones to a server in another process when recorded, none when replayed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from coda.forking import fork
from coda.log import NetSent, open_trace
from coda.replay import replay
from tests.conftest import RunCoda
from tests.support import http_server
from tests.support.doctoring import doctored
from tests.support.programs import dedent, line_of, lines_at, output_of, record

pytestmark = pytest.mark.slow

PROGRAM = dedent(
    """
    import http.client, json, socket, ssl, urllib.error, urllib.request
    import httpx, requests

    plain, safe = open("ports.txt").read().split()
    base, tls = f"http://127.0.0.1:{plain}", f"https://localhost:{safe}"
    context = ssl.create_default_context(cafile="cert.pem")

    print(urllib.request.urlopen(f"{base}/urllib").read())
    try:
        urllib.request.urlopen(f"{base}/missing")
    except urllib.error.HTTPError as error:
        print(error.code, error.read())
    connection = http.client.HTTPConnection("localhost", int(plain))
    for path in ("/kept", "/alive"):
        connection.request("GET", path)
        print(connection.getresponse().read())
    connection.request("POST", "/post", body=b"hello")
    print(connection.getresponse().read())
    connection.close()

    with requests.Session() as session:
        print([session.get(f"{base}/r{n}").text for n in range(3)])
        print(session.post(f"{base}/json", json={"a": 1}).text, len(session.get(f"{base}/big").content))
        print(session.get(f"{tls}/requests", verify="cert.pem").text)
    with httpx.Client(verify=context) as client:
        print(client.get(f"{base}/httpx").text, client.get(f"{tls}/httpx").text)
    with socket.create_connection(("localhost", int(safe))) as raw:
        with context.wrap_socket(raw, server_hostname="localhost") as safely:
            print(safely.version(), safely.cipher()[1], safely.getpeercert()["subject"])
            safely.sendall(b"GET /raw HTTP/1.0\\r\\n\\r\\n")
            print(safely.makefile("rb").read())

    for act in (
        lambda: socket.create_connection(("127.0.0.1", 1), timeout=5),
        lambda: socket.getaddrinfo("no.such.host.invalid", 80),
        lambda: urllib.request.urlopen(f"{tls}/unknown"),
        lambda: requests.get("http://127.0.0.1:1/"),
    ):
        try:
            act()
        except Exception as error:
            print(type(error).__name__, getattr(error, "errno", None), getattr(error, "reason", None))
    quiet = socket.create_connection(("127.0.0.1", int(plain)))
    quiet.settimeout(0.05)
    try:
        quiet.recv(10)
    except TimeoutError as error:
        print("timeout", error, quiet.getpeername() == ("127.0.0.1", int(plain)))
    quiet.close()
    """
)


class Visited(NamedTuple):
    """A recorded program, and the server that it talked to, which is gone since."""

    trace: Path
    requests: list[str]


@pytest.fixture(scope="module")
def server() -> Iterator[subprocess.Popen[str]]:
    """The server's process."""
    command = [sys.executable, http_server.__file__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture(scope="module")
def visited(server: subprocess.Popen[str], tmp_path_factory: pytest.TempPathFactory) -> Visited:
    """The program, recorded against the server, which is ended afterwards."""
    assert server.stdout is not None
    assert server.stdin is not None
    ports = server.stdout.readline()
    cert = (http_server.TLS / "cert.pem").read_text()
    folder = tmp_path_factory.mktemp("visited")
    trace = record(PROGRAM, folder, files={"ports.txt": ports, "cert.pem": cert})
    server.stdin.close()
    return Visited(trace, server.stdout.read().splitlines())


def test_the_server_was_really_asked(visited: Visited) -> None:
    assert visited.requests == [
        "GET /urllib", "GET /missing", "GET /kept", "GET /alive", "POST /post",
        "GET /r0", "GET /r1", "GET /r2", "POST /json",
        "GET /big", "GET /requests", "GET /httpx", "GET /httpx", "GET /raw",
    ]  # fmt: skip
    output = output_of(visited.trace)
    assert "b'/urllib 1 '" in output
    assert "['/r0 5 ', '/r1 6 ', '/r2 7 ']" in output
    assert "CERTIFICATE_VERIFY_FAILED" in output
    assert "ConnectionRefusedError 111 None\ngaierror -2 None\n" in output
    assert output.endswith("timeout timed out True\n")


def test_nobody_is_asked_on_replay(visited: Visited) -> None:
    """The server is gone and the worker has no network: what came in comes from the log."""
    verdict = replay(visited.trace)
    assert verdict.diverged is None, str(verdict.diverged)
    assert not [note for note in verdict.notes if "network" in note]


def test_what_was_sent_is_in_the_log_in_clear(visited: Visited) -> None:
    trace = open_trace(visited.trace)
    sent = [
        trace.blobs.get(placed.record.digest or "")
        for placed in trace.records(own=False, types={"net.sent"})
        if isinstance(placed.record, NetSent)
    ]
    assert any(piece.startswith(b"GET /kept HTTP/1.1") for piece in sent)
    assert any(piece.startswith(b"GET /raw HTTP/1.0") for piece in sent)


def test_other_bytes_sent_are_a_difference(visited: Visited, tmp_path: Path) -> None:
    def change(rows: list[dict[str, object]]) -> None:
        next(row for row in rows if row["type"] == "net.sent")["digest"] = "0" * 64

    verdict = replay(doctored(visited.trace, tmp_path / "d.jsonl", change))
    assert "net.sent with digest" in str(verdict.diverged)


def test_a_fork_goes_nowhere(visited: Visited, tmp_path: Path, coda: RunCoda) -> None:
    """A request after a change has no truthful answer: the fork ends before it."""
    trace = open_trace(visited.trace)
    at = lines_at(trace, line_of(PROGRAM, 'connection.request("GET", path)'))[0].seq
    made = fork(trace, at, sets=[("path", "'/other'")], out=tmp_path / "f.jsonl")
    assert made.outcome == "frontier"
    assert replay(made.path).diverged is None
    found = coda("query", "connect 127.0.0.1:*", visited.trace, "--json")
    assert found.status == 0
    assert len(found.out.splitlines()) >= 5

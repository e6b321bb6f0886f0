"""The real application: who may ask, what is answered, and that nothing outside is reached."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from coda.collector import RunStore, create_app, is_loopback, new_token
from coda.log import open_trace
from tests.support.traces import agent_trace, big_lines_trace, fork_trace, program_trace
from tests.unit.collector.everything import SECRET, everything_trace

WS = "ws://127.0.0.1:8321"  # the test client would ask for a host of its own
TOKEN = "a-token-for-tests"
AUTH = {"authorization": f"Bearer {TOKEN}"}
RUN = "20260314T150926-a1b2c3"
FORK = "20260314T180000-e5f6a7"
BIG = "20260314T160000-c3d4e5"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    for run in (RUN, FORK, BIG, "20260314T190000-f0f0f0", "20250101T000000-bad000"):
        (folder / run).mkdir(parents=True)
    program_trace(folder / RUN / "trace.jsonl")
    fork_trace(folder / FORK / "trace.jsonl", folder / RUN / "trace.jsonl", 10)
    big_lines_trace(folder / BIG / "trace.jsonl", 3000)
    everything_trace(folder / "20260314T190000-f0f0f0" / "trace.jsonl")
    (folder / "20250101T000000-bad000" / "trace.jsonl").write_bytes(b"garbage\n")
    agent_trace(tmp_path / "outside.jsonl")
    return folder


def client_of(runs: Path, **options: object) -> TestClient:
    app = create_app(RunStore(runs), clock=lambda: 1.0, token=TOKEN, version="1", **options)  # type: ignore[arg-type]
    return TestClient(app, base_url="http://127.0.0.1:8321")


@pytest.fixture
def client(runs: Path) -> TestClient:
    return client_of(runs)


def test_runs_are_listed_newest_first(client: TestClient, runs: Path) -> None:
    answer = client.get("/api/runs", headers=AUTH).json()
    assert answer["total"] == 5
    assert [run["id"] for run in answer["runs"]] == sorted((p.name for p in runs.iterdir()), reverse=True)
    by_id = {run["id"]: run for run in answer["runs"]}
    path = runs / RUN / "trace.jsonl"
    assert by_id[RUN] == {
        "id": RUN, "kind": "exec", "what": "prog.py", "started": "2026-03-14T15:09:26.535897+00:00",
        "outcome": "error", "live": False, "torn": False, "events": open_trace(path).count(),
        "bytes": path.stat().st_size, "parent": None, "parent_seq": None, "error": None,
    }  # fmt: skip
    assert (by_id[FORK]["parent"], by_id[FORK]["parent_seq"]) == (RUN, 10)
    assert by_id["20250101T000000-bad000"]["error"]
    paged = client.get("/api/runs?limit=2&offset=1", headers=AUTH).json()
    assert [run["id"] for run in paged["runs"]] == [run["id"] for run in answer["runs"][1:3]]


def test_a_run_is_described_with_its_blocks(client: TestClient) -> None:
    answer = client.get(f"/api/runs/{RUN}", headers=AUTH).json()
    assert answer["blocks"] == [
        {"block": 1, "seq": 3, "end_seq": answer["events"] - 2, "file": "prog.py", "turn": None,
         "outcome": "error"}
    ]  # fmt: skip
    assert (answer["level"], answer["id"]) == ("values", RUN)


def test_events_are_those_of_the_trace(client: TestClient, runs: Path) -> None:
    answer = client.get(f"/api/runs/{FORK}/events", headers=AUTH)
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    trace = open_trace(runs / FORK / "trace.jsonl")
    assert answer.content.splitlines() == [event.to_json() for event in trace.events()]


def test_events_of_a_range_and_of_types(client: TestClient) -> None:
    rows = client.get(f"/api/runs/{BIG}/events?from=5&to=8", headers=AUTH).text.splitlines()
    assert [json.loads(row)["seq"] for row in rows] == [5, 6, 7, 8]
    wanted = client.get(
        f"/api/runs/{RUN}/events?type=file.read,tool.called&type=ctx.set", headers=AUTH
    ).text.splitlines()
    assert [json.loads(row)["type"] for row in wanted] == ["file.read", "tool.called", "ctx.set"]
    assert client.get(f"/api/runs/{RUN}/events?from=99999", headers=AUTH).text == ""


def test_types_that_no_event_has_are_refused_with_those_that_there_are(client: TestClient) -> None:
    answer = client.get(f"/api/runs/{RUN}/events?type=bogus", headers=AUTH)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith(
        "there is no event type 'bogus'; types are block.finished,"
    )
    family = client.get(f"/api/runs/{RUN}/events?type=file", headers=AUTH).text.splitlines()
    assert {json.loads(row)["type"] for row in family} == {"file.read"}


def test_secrets_are_masked(client: TestClient) -> None:
    run = "20260314T190000-f0f0f0"
    assert SECRET not in client.get(f"/api/runs/{run}/events", headers=AUTH).text


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/api/runs/nope/events", 404, "there is no run 'nope' in the run directory."),
        ("/api/runs/..", 404, None),
        ("/api/runs/%2e%2e%2foutside.jsonl", 404, None),
        ("/api/runs/..%5coutside/events", 404, None),
        ("/api/runs/%00/events", 404, None),
        (f"/api/runs/{'a' * 500}", 404, None),
        (f"/api/runs/{RUN}/events?from=-1", 422, None),
        (f"/api/runs/{RUN}/events?from=x", 422, None),
        (f"/api/runs/{RUN}/events?from=9&to=3", 400, "the range of events ends (3) before it begins (9)."),
        ("/api/runs/20250101T000000-bad000", 500, None),
        ("/api/runs?limit=100000", 422, None),
        ("/api/nothing", 404, None),
    ],
)
def test_bad_requests_are_one_error_object(
    client: TestClient, path: str, status: int, said: str | None
) -> None:
    answer = client.get(path, headers=AUTH)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert set(error) == {"kind", "message"}
    assert said in (None, error["message"])


def test_a_link_does_not_lead_out_of_the_run_directory(client: TestClient, runs: Path) -> None:
    planted = runs / "20260101T000000-111111"
    planted.mkdir()
    (planted / "trace.jsonl").symlink_to(runs.parent / "outside.jsonl")
    assert client.get("/api/runs/20260101T000000-111111", headers=AUTH).status_code == 404
    (runs / "20260101T000000-222222").symlink_to(runs.parent)
    assert client.get("/api/runs/20260101T000000-222222", headers=AUTH).status_code == 404


def test_damage_in_the_middle_ends_the_stream_with_an_error(client: TestClient, runs: Path) -> None:
    path = runs / BIG / "trace.jsonl"
    data = path.read_bytes()
    at = data.index(b'{"type":"block.finished"')
    path.write_bytes(data[:at] + b'{"type":"block.finished"' + b"\x00" * 10 + b"\n" + data[at:])
    rows = client.get(f"/api/runs/{BIG}/events", headers=AUTH).text.splitlines()
    assert [json.loads(row)["seq"] for row in rows[:-1]] == list(range(3002))
    assert set(json.loads(rows[-1])) == {"error"}


# --- who may ask ---------------------------------------------------------------------------------

GUARDED = ["/api/runs", f"/api/runs/{RUN}", f"/api/runs/{RUN}/events", "/api/openapi.json", "/api/x"]


@pytest.mark.parametrize("path", GUARDED)
@pytest.mark.parametrize(
    "headers",
    [{}, {"authorization": "Bearer wrong"}, {"authorization": TOKEN}, {"cookie": "coda_token=wrong"}],
)
def test_the_api_needs_the_token(client: TestClient, path: str, headers: dict[str, str]) -> None:
    answer = client.get(path, headers=headers)
    assert (answer.status_code, answer.json()["error"]["kind"]) == (401, "Refused")
    assert client.get(f"{path}?token={TOKEN}", headers=headers).status_code == 401


def test_a_cookie_does_too(client: TestClient) -> None:
    assert client.get("/api/runs", headers={"cookie": f"coda_token={TOKEN}"}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "evil.example:8321"])
def test_a_foreign_host_is_refused(client: TestClient, host: str) -> None:
    for path in ("/health", "/", "/metrics", "/api/runs"):
        assert client.get(path, headers={**AUTH, "host": host}).status_code == 421


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:1", "127.0.0.1", "[::1]:8321", "10.0.0.7", "box.lan:8"]
)
def test_our_hosts_are_answered(runs: Path, host: str) -> None:
    client = client_of(runs, hosts=["box.lan"])
    assert client.get("/api/runs", headers={**AUTH, "host": host}).status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:9999"])
def test_a_foreign_page_is_refused(client: TestClient, origin: str) -> None:
    answer = client.get("/api/runs", headers={**AUTH, "origin": origin})
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


def test_metrics_are_open_only_where_the_server_says_so(runs: Path) -> None:
    assert client_of(runs).get("/metrics").status_code == 200
    closed = client_of(runs, open_metrics=False)
    assert closed.get("/metrics").status_code == 401
    assert closed.get("/metrics", headers=AUTH).text.startswith("# HELP ")


def test_health_tells_nothing_about_runs(client: TestClient) -> None:
    assert client.get("/health").json() == {"status": "ok", "uptime_s": 0.0}


# --- the page ------------------------------------------------------------------------------------


def test_the_page_asks_for_the_token_and_then_lists_runs(client: TestClient) -> None:
    before = client.get("/")
    assert RUN not in before.text
    # With "no-referrer" a browser sends this very form with the origin "null", which is refused.
    assert before.headers["referrer-policy"] == "same-origin"
    assert client.post("/session", data={"token": TOKEN}, headers={"Origin": "null"}).status_code == 403
    wrong = client.post("/session", data={"token": "nope"})
    assert (wrong.status_code, "not the token" in wrong.text) == (401, True)
    answer = client.post("/session", data={"token": TOKEN}, follow_redirects=False)
    cookie = answer.headers["set-cookie"].lower()
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    after = client.get("/")
    assert RUN in after.text
    assert client.get("/api/runs").status_code == 200


def test_the_page_needs_nothing_from_outside_and_runs_no_script(client: TestClient) -> None:
    client.cookies.set("coda_token", TOKEN)
    page = client.get("/")
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert "<script" not in page.text
    assert not re.findall(r'(?:src|href)="(?!/)', page.text)
    assert page.headers["x-content-type-options"] == "nosniff"


def test_text_from_a_trace_is_escaped(client: TestClient, runs: Path) -> None:
    path = runs / RUN / "trace.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"main":"prog.py"', b'"main":"<img src=x onerror=alert(1)>"'))
    client.cookies.set("coda_token", TOKEN)
    page = client.get("/").text
    assert "<img" not in page
    assert "&lt;img src=x" in page


def test_a_huge_form_is_not_read(client: TestClient) -> None:
    assert client.post("/session", content=b"token=" + b"x" * 100_000).status_code == 413


# --- live ----------------------------------------------------------------------------------------


def rows_of(socket: object, *, code: int = 1000) -> list[bytes]:
    rows: list[bytes] = []
    try:
        while True:
            rows += socket.receive_text().encode().split(b"\n")  # type: ignore[attr-defined]
    except WebSocketDisconnect as closed:
        assert closed.code == code
    return rows


@pytest.mark.parametrize("start", [0, 7])
def test_a_finished_run_is_sent_whole_from_a_position(client: TestClient, runs: Path, start: int) -> None:
    with client.websocket_connect(f"{WS}/api/runs/{FORK}/live?from={start}", headers=AUTH) as socket:
        rows = rows_of(socket)
    trace = open_trace(runs / FORK / "trace.jsonl")
    assert rows == [event.to_json() for event in trace.events(start)]


def test_the_first_message_may_carry_the_token(client: TestClient) -> None:
    with client.websocket_connect(f"{WS}/api/runs/{BIG}/live?from=3000") as socket:
        socket.send_text(json.dumps({"token": TOKEN}))
        assert len(rows_of(socket)) == 4


@pytest.mark.parametrize("message", ['{"token": "wrong"}', "garbage", "[]", '{"token": 1}', ""])
def test_a_wrong_first_message_is_refused(client: TestClient, message: str) -> None:
    with client.websocket_connect(f"{WS}/api/runs/{RUN}/live?token={TOKEN}") as socket:
        socket.send_text(message)
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_text()
    assert closed.value.code == 4401


@pytest.mark.parametrize("headers", [{"origin": "http://evil.example"}, {"host": "evil.example"}])
def test_a_socket_from_elsewhere_is_refused(client: TestClient, headers: dict[str, str]) -> None:
    with pytest.raises(WebSocketDisconnect) as closed:
        with client.websocket_connect(f"{WS}/api/runs/{RUN}/live", headers={**AUTH, **headers}):
            pass
    assert closed.value.code == 4403


def test_a_socket_for_no_run_is_told(client: TestClient) -> None:
    with client.websocket_connect(f"{WS}/api/runs/nope/live", headers=AUTH) as socket:
        assert "there is no run" in json.loads(socket.receive_text())["error"]["message"]
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_text()
    assert closed.value.code == 4404


def test_a_socket_of_a_damaged_run_is_told(client: TestClient, runs: Path) -> None:
    path = runs / RUN / "trace.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"type":"tool.called"', b'"type":7'))
    with client.websocket_connect(f"{WS}/api/runs/{RUN}/live", headers=AUTH) as socket:
        assert set(json.loads(rows_of(socket, code=1011)[-1])) == {"error"}


@pytest.mark.parametrize(
    ("host", "is_ours"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("example.org", False)],
)
def test_what_is_loopback(host: str, is_ours: bool) -> None:
    assert is_loopback(host) is is_ours


def test_tokens_are_random_and_fit_everywhere() -> None:
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{32}", token) for token in tokens)

"""Export to a real receiver in another process: what arrives is what the log says, counted honestly."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from coda.collector import LiveReport, LiveSink, live_sink_from_environment, spans
from coda.collector.names import ATTRIBUTES
from coda.log import BlockFinished, BlockStarted, RunFinished, open_trace
from coda.runtime import Sandbox
from tests.conftest import RunCoda
from tests.integration.receiving import as_received, receiver
from tests.support.traces import (
    LOOP,
    Ids,
    agent_trace,
    big_lines_trace,
    fork_trace,
    lines,
    program_trace,
    started,
    table_of,
    writer,
)
from tests.unit.collector.everything import SECRET, everything_trace

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("suffix", ["", "/", "/v1/traces"])
def test_what_arrives_is_what_was_projected(tmp_path: Path, coda: RunCoda, suffix: str) -> None:
    path = everything_trace(tmp_path / "a.jsonl")
    with receiver(tmp_path) as backend:
        ran = coda("export", path, "--otlp", backend.url + suffix, "--json")
        assert (ran.status, ran.err) == (0, "")
        expected = [as_received(span) for span in spans(open_trace(path))]
        assert backend.spans == expected
        assert {request["path"] for request in backend.requests} == {"/v1/traces"}
    said = json.loads(ran.out)
    assert said["schema"] == "coda.export/1"
    assert (said["spans"], said["refused"], said["batches"]) == (len(expected), 0, 1)
    assert said["trace_id"] == expected[0]["trace_id"]


def test_a_fork_arrives_with_its_link(tmp_path: Path, coda: RunCoda) -> None:
    parent = program_trace(tmp_path / "a.jsonl")
    fork = fork_trace(tmp_path / "f.jsonl", parent, 10)
    with receiver(tmp_path) as backend:
        assert coda("export", parent, "--otlp", backend.url).status == 0
        assert coda("export", fork, "--otlp", backend.url).status == 0
        found = {(span["trace_id"], span["span_id"]): span for span in backend.spans}
    run = next(span for span in found.values() if span["links"])
    link = run["links"][0]
    assert found[link["trace_id"], link["span_id"]]["attributes"]["coda.seq"] == 10
    assert run["parent_id"] is None


def test_exporting_twice_gives_the_same_spans(tmp_path: Path, coda: RunCoda) -> None:
    path = agent_trace(tmp_path / "a.jsonl")
    with receiver(tmp_path) as backend:
        for _ in range(2):
            assert coda("export", path, "--otlp", backend.url).status == 0
        found = backend.spans
    half = len(found) // 2
    assert half > 10
    assert found[:half] == found[half:]


def test_contents_are_opt_in_and_masked(tmp_path: Path, coda: RunCoda) -> None:
    path = everything_trace(tmp_path / "a.jsonl")
    contents = {name for name, text in ATTRIBUTES.items() if text.startswith("content:")}
    opt = {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "true"}
    with receiver(tmp_path) as backend:
        assert coda("export", path, "--otlp", backend.url, env=opt).status == 0
        with_contents = backend.spans
        assert coda("export", path, "--otlp", backend.url).status == 0
        without = backend.spans[len(with_contents) :]
    assert contents & {name for span in with_contents for name in span["attributes"]}
    assert not contents & {name for span in without for name in span["attributes"]}
    assert SECRET not in json.dumps(with_contents)


def test_batches_stay_below_what_backends_accept(tmp_path: Path, coda: RunCoda) -> None:
    path = big_lines_trace(tmp_path / "a.jsonl", 20_000)
    with receiver(tmp_path) as backend:
        ran = coda("export", path, "--otlp", backend.url, "--line-spans", "all")
        requests = backend.requests
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.startswith("20002 spans of run ")
    assert len(requests) > 4
    assert max(request["bytes"] for request in requests) < 4 << 20
    assert sum(len(request["spans"]) for request in requests) == 20_002


def test_headers_come_from_the_standard_variables(tmp_path: Path, coda: RunCoda) -> None:
    path = agent_trace(tmp_path / "a.jsonl")
    env = {"OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=blue", "OTEL_SERVICE_NAME": "shop"}
    with receiver(tmp_path) as backend:
        assert coda("export", path, "--otlp", backend.url, env=env).status == 0
        (request,) = backend.requests
    assert request["headers"]["x-tenant"] == "blue"
    assert {span["service"] for span in request["spans"]} == {"shop"}


def test_a_refusal_in_part_is_counted(tmp_path: Path, coda: RunCoda) -> None:
    path = agent_trace(tmp_path / "a.jsonl")
    with receiver(tmp_path, "--refuse", 4) as backend:
        ran = coda("export", path, "--otlp", backend.url, "--json")
        arrived = len(backend.spans)
    said = json.loads(ran.out)
    assert (ran.status, said["refused"], said["spans"]) == (1, 4, arrived - 4)
    assert ran.err == "the backend refused 4 spans: too old\n"


def test_a_backend_that_says_no_is_one_sentence(tmp_path: Path, coda: RunCoda) -> None:
    path = agent_trace(tmp_path / "a.jsonl")
    with receiver(tmp_path, 403) as backend:
        ran = coda("export", path, "--otlp", backend.url)
    expected = f"coda: {backend.url}/v1/traces did not take the spans: HTTP 403 Forbidden (no such tenant).\n"
    assert (ran.status, ran.out, ran.err) == (2, "", expected)


def test_a_busy_backend_is_tried_again(tmp_path: Path, coda: RunCoda) -> None:
    path = agent_trace(tmp_path / "a.jsonl")
    with receiver(tmp_path, 503, 1) as backend:
        ran = coda("export", path, "--otlp", backend.url)
        assert [request["status"] for request in backend.requests] == [503, 200]
    assert (ran.status, ran.err) == (0, "")


REFUSED = "http://127.0.0.1:1/v1/traces did not take the spans: Connection refused."
NO_ADDRESS = "is not an address of a collector; give http://HOST:4318 or its full path."


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://127.0.0.1:1", REFUSED),
        ("http://me:pw@127.0.0.1:1", REFUSED),
        ("localhost:4318", f"'localhost:4318' {NO_ADDRESS}"),
        ("http://[::1", f"'http://[::1' {NO_ADDRESS}"),
        ("http://h:99999", f"'http://h:99999' {NO_ADDRESS}"),
    ],
)
def test_a_wrong_address_is_one_sentence(tmp_path: Path, coda: RunCoda, url: str, said: str) -> None:
    ran = coda("export", agent_trace(tmp_path / "a.jsonl"), "--otlp", url)
    assert (ran.status, ran.out, ran.err) == (2, "", f"coda: {said}\n")


def test_a_dry_run_sends_nothing_and_tells_all(tmp_path: Path, coda: RunCoda) -> None:
    path = agent_trace(tmp_path / "a.jsonl")
    expected = list(spans(open_trace(path)))
    with receiver(tmp_path) as backend:
        rows = coda("export", path, "--otlp", backend.url, "--dry-run", "--json").out.splitlines()
        table = coda("export", path, "--dry-run")
        assert backend.requests == []
    assert [json.loads(row)["span_id"] for row in rows] == [span.span_id for span in expected]
    assert table.out.endswith(f"{len(expected)} spans in all; nothing was sent\n")


def test_without_an_address_it_says_how(tmp_path: Path, coda: RunCoda) -> None:
    ran = coda("export", agent_trace(tmp_path / "a.jsonl"))
    assert (ran.status, ran.err) == (
        2,
        "coda: say where to send the spans: --otlp http://HOST:4318 (or --dry-run).\n",
    )


# --- while the run goes on -----------------------------------------------------------------------


def live(folder: Path, url: str, *, linger_s: float = 5.0) -> LiveSink:
    sink = live_sink_from_environment(
        folder / "live.jsonl", version="1", environ={"OTEL_EXPORTER_OTLP_ENDPOINT": url}
    )
    assert sink is not None
    return LiveSink(sink.path, sink.endpoint, version="1", linger_s=linger_s)


def test_live_spans_are_those_of_a_later_export(tmp_path: Path) -> None:
    """A real sandbox, exported while it runs."""
    path = tmp_path / "live.jsonl"
    with receiver(tmp_path) as backend:
        sink = live(tmp_path, backend.url)
        with Sandbox(root=tmp_path, trace=path, on_append=sink) as sandbox:
            sandbox.execute("total = 0\nfor n in range(5000):\n    total += n\nprint(total)")
            sandbox.execute("1 / 0")
            sandbox.execute("open('a.txt', 'w').write('x')\nctx.total = total")
        report = sink.close()
        arrived = backend.spans
    expected = [as_received(span) for span in spans(open_trace(path))]
    assert report == LiveReport(len(expected), 0, 0, "", str(path), backend.url + "/v1/traces")
    assert report.sentence == ""
    assert arrived == expected
    assert len(expected) > 2000


def test_spans_leave_before_the_run_has_ended(tmp_path: Path) -> None:
    table = table_of(LOOP)
    ids = Ids(table)
    with receiver(tmp_path) as backend:
        sink = live(tmp_path, backend.url)
        out = writer(tmp_path / "live.jsonl", on_append=sink, clock=time.monotonic_ns)
        out.append(started())
        for block in range(1, 3):
            out.append(BlockStarted(block=block, source=LOOP, file=f"<block {block}>", table=table))
            out.append(lines([ids.at(1), ids.at(2)], table, block))
            out.append(BlockFinished(block=block, outcome="ok", lines=2))
        deadline = time.monotonic() + 20
        while not backend.requests and time.monotonic() < deadline:
            threading.Event().wait(0.05)
        before = len(backend.spans)
        out.append(RunFinished(outcome="ok"))
        out.close()
        report = sink.close()
        assert (before, report.spans, len(backend.spans)) == (6, 7, 7)


def test_a_backend_that_is_down_neither_slows_nor_breaks_a_run(tmp_path: Path) -> None:
    path = tmp_path / "live.jsonl"
    sink = live(tmp_path, "http://127.0.0.1:1", linger_s=0.5)
    with Sandbox(root=tmp_path, trace=path, on_append=sink) as sandbox:
        result = sandbox.execute("x = 1\nprint(x)")
    began = time.monotonic()
    report = sink.close()
    assert time.monotonic() - began < 5
    assert (result.outcome, result.stdout) == ("ok", "1\n")
    total = len(list(spans(open_trace(path))))
    assert report.spans == 0
    assert 0 < report.dropped <= total or report.missed_events
    assert report.reason == "Connection refused"
    assert "did not reach http://127.0.0.1:1/v1/traces (Connection refused)" in report.sentence
    assert f"coda export {path} --otlp URL" in report.sentence
    assert report.sentence == sink.close().sentence


def test_a_backend_that_comes_back_misses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "live.jsonl"
    with receiver(tmp_path, 503, 2) as backend:
        sink = live(tmp_path, backend.url)
        with Sandbox(root=tmp_path, trace=path) as sandbox:
            sink.start()
            sandbox.execute("x = 1")
        report = sink.close()
        assert backend.spans == [as_received(span) for span in spans(open_trace(path))]
    assert report.complete


def test_a_backend_that_says_no_is_told_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "live.jsonl"
    with receiver(tmp_path, 401) as backend:
        sink = live(tmp_path, backend.url)
        with Sandbox(root=tmp_path, trace=path, on_append=sink) as sandbox:
            sandbox.execute("x = 1")
        report = sink.close()
        assert backend.requests
    assert (report.spans, report.dropped) == (0, len(list(spans(open_trace(path)))))
    assert report.reason.startswith("HTTP 401 Unauthorized")


@pytest.mark.parametrize(
    ("variables", "endpoint"),
    [
        ({}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h:4318"}, "http://h:4318/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://h/x"}, "http://h/x"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h", "OTEL_SDK_DISABLED": "true"}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h", "OTEL_TRACES_EXPORTER": "none"}, None),
    ],
)
def test_the_standard_variables(variables: dict[str, str], endpoint: str | None) -> None:
    sink = live_sink_from_environment("a.jsonl", version="1", environ=variables)
    assert (sink.endpoint if sink else None) == endpoint


def test_the_setting_wins_over_the_standard_variables(tmp_path: Path, coda: RunCoda) -> None:
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h:4318"}
    sink = live_sink_from_environment("a.jsonl", version="1", endpoint="http://mine:1", environ=variables)
    assert sink is not None
    assert sink.endpoint == "http://mine:1/v1/traces"
    off = {**variables, "OTEL_SDK_DISABLED": "true"}
    assert live_sink_from_environment("a", version="1", endpoint="http://mine:1", environ=off) is None
    (tmp_path / "prog.py").write_text("for n in range(5):\n    x = n\n")
    with receiver(tmp_path) as backend:
        ran = coda(
            "-c", "line-spans=none", "exec", "-o", "t.jsonl", "prog.py", env={"CODA_OTLP": backend.url}
        )
        assert ran.status == 0
        names = {str(span["name"]) for span in backend.spans}
    assert names == {"invoke_agent prog.py", "execute_tool python", "file.read", "lines"}  # no span a line


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "h:4318"}, "'h:4318' is not an address"),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "coda sends spans by http/protobuf, not grpc",
        ),
    ],
)
def test_a_mistake_in_a_variable_is_told_and_stops_nothing(
    tmp_path: Path, variables: dict[str, str], said: str
) -> None:
    path = tmp_path / "live.jsonl"
    sink = live_sink_from_environment(path, version="1", environ=variables)
    assert sink is not None
    with writer(path, on_append=sink) as out:
        out.append(started())
        out.append(RunFinished(outcome="ok"))
    report = sink.close()
    assert (report.spans, report.missed_events) == (0, 2)
    assert said in report.sentence


def test_the_sdk_is_loaded_by_nobody_who_does_not_export() -> None:
    code = "import sys, coda.collector; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    tops = {name.partition(".")[0] for name in loaded.split()}
    assert not {"opentelemetry", "fastapi", "starlette", "uvicorn", "requests", "prometheus_client"} & tops

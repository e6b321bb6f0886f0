"""Metrics come from the logs, once for each byte, and say when they are behind."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from coda.collector import RunStore, names
from coda.collector.metrics import LABELS_MAX, Metrics
from coda.log import BlockFinished, BlockStarted, ExceptionRaised, RunFinished, open_trace
from tests.support.traces import (
    LOOP,
    Ids,
    agent_trace,
    big_lines_trace,
    fork_trace,
    lines,
    many_records_trace,
    program_trace,
    started,
    table_of,
    writer,
)

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def run_path(store: RunStore, run: str) -> Path:
    folder = store.directory / run
    folder.mkdir(parents=True)
    return folder / "trace.jsonl"


def read(metrics: Metrics) -> Samples:
    families = text_string_to_metric_families(metrics.text().decode())
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for f in families for s in f.samples}


def made(store: RunStore, **options: float) -> Metrics:
    return Metrics(store, clock=lambda: 0.0, **options)


def test_the_numbers_of_two_runs(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    program = program_trace(run_path(store, "20260314T150926-a1b2c3"))
    agent = agent_trace(run_path(store, "20260314T151500-b2c3d4"))
    found = read(made(store))
    assert found["coda_runs", (("kind", "exec"), ("outcome", "error"))] == 1
    assert found["coda_runs", (("kind", "run"), ("outcome", "ok"))] == 1
    assert found["coda_errors_total", (("error_type", "ValueError"), ("where", "block"))] == 1
    assert found["coda_calls_total", (("gen_ai_tool_name", "search"), ("outcome", "ok"))] == 1
    model = (("gen_ai_response_model", "scripted"),)
    assert found["gen_ai_client_inference_usage_input_tokens_total", model] == 600
    assert found["gen_ai_client_inference_usage_output_tokens_total", model] == 30
    assert found["gen_ai_client_inference_duration_seconds_count", model] == 3
    assert found["gen_ai_invoke_agent_duration_seconds_count", ()] == 2
    assert found["coda_log_bytes", ()] == program.stat().st_size + agent.stat().st_size
    assert found["coda_log_unread_bytes", ()] == found["coda_runs_unreadable", ()] == 0
    per_type = {labels[0][1]: n for (name, labels), n in found.items() if name == "coda_events_total"}
    assert sum(per_type.values()) == sum(open_trace(path).count() for path in (program, agent))
    counted = [event.type for path in (program, agent) for event in open_trace(path).events()]
    assert per_type == {kind: counted.count(kind) for kind in set(counted)}
    assert found["coda_lines_total", ()] == counted.count("line")


def test_every_metric_is_in_the_table(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    program_trace(run_path(store, "20260314T150926-a1b2c3"))
    text = made(store).text().decode()
    shown = set(re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE))
    assert {name.removesuffix("_total") for name in shown} == set(map(names.prometheus_name, names.METRICS))


def test_no_runs_is_no_error(tmp_path: Path) -> None:
    assert read(made(RunStore(tmp_path / "none")))["coda_log_bytes", ()] == 0


def test_a_run_that_goes_on_is_counted_as_it_grows(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    table = table_of(LOOP)
    ids = Ids(table)
    metrics = made(store)
    with writer(run_path(store, "20260314T150926-a1b2c3")) as out:
        out.append(started())
        out.append(BlockStarted(block=1, source=LOOP, file="<block 1>", table=table))
        out.append(lines([ids.at(1), ids.at(2)], table))
        first = read(metrics)
        out.append(lines([ids.at(3)] * 5, table))
        out.append(BlockFinished(block=1, outcome="ok", lines=7))
        out.append(RunFinished(outcome="ok"))
        second = read(metrics)
        assert second == read(metrics)
    assert first["coda_lines_total", ()] == 2
    assert first["coda_runs", (("kind", "exec"), ("outcome", "unfinished"))] == 1
    assert second["coda_lines_total", ()] == 7
    assert second["coda_runs", (("kind", "exec"), ("outcome", "ok"))] == 1


def test_a_fork_counts_its_own_events_only(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    parent = program_trace(run_path(store, "20260314T150926-a1b2c3"))
    alone = read(made(store))
    fork_trace(run_path(store, "20260314T180000-e5f6a7"), parent, 10)
    both = read(made(store))
    assert both["coda_lines_total", ()] - alone["coda_lines_total", ()] == 3
    assert both["coda_runs", (("kind", "exec"), ("outcome", "ok"))] == 1


def test_a_scrape_is_short_and_says_what_it_left(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    path = many_records_trace(run_path(store, "20260314T170000-d4e5f6"), 3000)
    ticks = itertools.count()
    metrics = Metrics(store, clock=lambda: float(next(ticks)), scrape_s=1.5)
    unread: list[float] = []
    while not unread or unread[-1]:
        found = read(metrics)
        unread.append(found["coda_log_unread_bytes", ()])
    assert len(unread) > 3
    assert unread == sorted(unread, reverse=True)
    assert path.stat().st_size > unread[0] > 0
    assert sum(n for (name, _), n in found.items() if name == "coda_events_total") == 3000
    assert found == read(made(store))


def test_a_damaged_trace_is_counted_and_harms_no_other(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    program_trace(run_path(store, "20260314T150926-a1b2c3"))
    run_path(store, "20260314T150927-ffffff").write_bytes(b"not a trace\n")
    path = big_lines_trace(run_path(store, "20260314T160000-c3d4e5"), 10)
    data = path.read_bytes()
    path.write_bytes(data.replace(b'"type":"block.finished"', b'"type":"block.finishe'))
    found = read(made(store))
    assert found["coda_runs_unreadable", ()] == 2
    assert found["coda_errors_total", (("error_type", "ValueError"), ("where", "block"))] == 1


def test_a_run_that_was_removed_is_forgotten(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    path = program_trace(run_path(store, "20260314T150926-a1b2c3"))
    metrics = made(store)
    assert read(metrics)["coda_log_bytes", ()] > 0
    path.unlink()
    assert read(metrics)["coda_log_bytes", ()] == 0


def test_labels_that_agent_code_chooses_are_bounded(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    with writer(run_path(store, "20260314T150926-a1b2c3")) as out:
        out.append(started())
        for n in range(LABELS_MAX + 50):
            out.append(ExceptionRaised(kind=f'E{n}"\n\\', message=""))
        out.append(RunFinished(outcome="ok"))
    found = {labels: n for (name, labels), n in read(made(store)).items() if name == "coda_errors_total"}
    assert len(found) == LABELS_MAX + 1
    assert sum(found.values()) == LABELS_MAX + 50
    assert found[("error_type", "other"), ("where", "other")] == 50


def test_a_torn_tail_is_not_waited_for(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    path = program_trace(run_path(store, "20260314T150926-a1b2c3"), finish=False)
    path.write_bytes(path.read_bytes() + b'{"type":"block.fin')
    metrics = made(store)
    assert read(metrics)["coda_log_unread_bytes", ()] == 0
    assert read(metrics) == read(made(store))

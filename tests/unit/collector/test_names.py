"""Names are a promise: what is emitted is in the table, what is in the table is what the registry has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from opentelemetry.semconv import attributes as stable
from opentelemetry.semconv._incubating import attributes as incubating

from coda.collector import Budget, Span, names, spans
from coda.log import TYPES, open_trace
from tests.support.traces import agent_trace, fork_trace, program_trace
from tests.unit.collector.everything import everything_trace


def registry() -> set[str]:
    """Every attribute name of the installed semantic conventions."""
    found: set[str] = set()
    for package in (stable, incubating):
        for folder in package.__path__:
            for module in Path(folder).glob("*_attributes.py"):
                text = module.read_text(encoding="utf-8")
                found |= set(re.findall(r'^[A-Z_]+: Final = (?:\(\s*)?"([a-z0-9_.]+)"', text, re.MULTILINE))
    return found


def emitted(tmp_path: Path, *, opted_in: bool) -> list[Span]:
    parent = program_trace(tmp_path / "a.jsonl")
    paths = [
        parent,
        agent_trace(tmp_path / "b.jsonl"),
        fork_trace(tmp_path / "c.jsonl", parent, 10),
        everything_trace(tmp_path / "d.jsonl"),
        program_trace(tmp_path / "e.jsonl", finish=False),
    ]
    budgets = [Budget(), Budget(1, 1, 3)]
    return [
        span
        for path in paths
        for budget in budgets
        for span in spans(open_trace(path), budget=budget, opted_in=opted_in)
    ]


def attribute_names(span: Span) -> set[str]:
    return {
        *span.attributes,
        *(name for event in span.events for name in event.attributes),
        *(name for link in span.links for name in link.attributes),
    }


def test_nothing_is_emitted_that_is_not_in_the_table(tmp_path: Path) -> None:
    found = emitted(tmp_path, opted_in=True)
    assert set().union(*map(attribute_names, found)) <= set(names.ATTRIBUTES)
    assert {span.name.partition(" ")[0] for span in found} <= set(names.SPAN_NAMES)
    events = {event.name for span in found for event in span.events}
    assert events <= {*TYPES, "output", "gc", "rollup", "from.the.future"}


def test_everything_in_the_table_is_emitted(tmp_path: Path) -> None:
    found = emitted(tmp_path, opted_in=True)
    assert set(names.ATTRIBUTES) - set().union(*map(attribute_names, found)) == set()
    assert set(names.SPAN_NAMES) - {span.name.partition(" ")[0] for span in found} == set()


def test_contents_are_the_attributes_that_the_table_says(tmp_path: Path) -> None:
    contents = {name for name, text in names.ATTRIBUTES.items() if text.startswith("content:")}
    assert len(contents) > 8
    without = set().union(*map(attribute_names, emitted(tmp_path, opted_in=False)))
    assert without & contents == set()
    assert without == set(names.ATTRIBUTES) - contents


def test_names_of_the_conventions_are_in_the_registry() -> None:
    theirs = {name for name in names.ATTRIBUTES if not name.startswith("coda.")}
    assert len(theirs) > 20
    assert theirs - registry() == set()


def test_metric_names_are_those_of_the_conventions_or_ours() -> None:
    assert {name.partition(".")[0] for name in names.METRICS} == {"gen_ai", "coda"}
    assert {kind for kind, _ in names.METRICS.values()} == {"counter", "gauge", "histogram"}
    old = {"gen_ai.client.token.usage", "gen_ai.client.operation.duration"}
    assert not old & set(names.METRICS)


@pytest.mark.parametrize(
    ("metric", "shown"),
    [
        (names.METRIC_TOOL_DURATION, "gen_ai_execute_tool_duration_seconds"),
        (names.METRIC_INPUT_TOKENS, "gen_ai_client_inference_usage_input_tokens"),
        (names.METRIC_LOG_BYTES, "coda_log_bytes"),
    ],
)
def test_prometheus_names(metric: str, shown: str) -> None:
    assert names.prometheus_name(metric) == shown


def test_every_type_that_is_a_span_of_its_own_exists() -> None:
    assert set(names.INSTANT_SPANS) <= set(TYPES)

"""Attributes are short, masked and sendable, whatever the log holds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coda.collector import Budget, content_opted_in, names, spans
from coda.collector.attributes import CONTENT_SWITCH, MAX_BYTES, content, fork_command, server, short
from coda.collector.projection import Projection
from coda.collector.spans import facts_of
from coda.log import open_trace
from tests.unit.collector.everything import LONG, SECRET, everything_trace

AWKWARD = st.text(st.characters(exclude_categories=()), max_size=3000)


@given(AWKWARD)
def test_short_is_short_and_encodable(text: str) -> None:
    assert len(short(text).encode("utf-8")) <= MAX_BYTES
    assert len(short(text, tail=True).encode("utf-8")) <= MAX_BYTES


def test_what_is_cut_is_said() -> None:
    assert short("x" * 5000) == "x" * 1960 + "[3040 bytes cut]"
    assert short("x" * 5000, tail=True) == "[3040 bytes cut]" + "x" * 1960


@given(AWKWARD, st.integers(0, 10))
def test_content_is_whole_or_a_digest(text: str, seq: int) -> None:
    given_text = content(text, seq)
    assert len(given_text.encode("utf-8")) <= MAX_BYTES


def test_a_long_content_names_its_event() -> None:
    told = json.loads(content(LONG, 42))
    assert (told["coda.seq"], told["bytes"], len(told["sha256"])) == (42, len(LONG), 64)


@pytest.mark.parametrize(
    ("value", "is_on"),
    [
        *[(word, True) for word in ("true", "TRUE", "span_only", "SPAN_AND_EVENT", "1")],
        *[(word, False) for word in ("", "false", "event_only", "no_content")],
    ],
)
def test_the_switch_for_contents(value: str, is_on: bool) -> None:
    assert content_opted_in({CONTENT_SWITCH: value}) is is_on
    assert content_opted_in({}) is False


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("example.org:443", "example.org", 443),
        ("[::1]:80", "::1", 80),
        ("::1", "::1", None),
        ("/run/x", "/run/x", None),
        ("host:99999", "host:99999", None),
        ("", "", None),
    ],
)
def test_addresses(address: str, host: str, port: int | None) -> None:
    told = server(address)
    assert (told[names.SERVER_ADDRESS], told.get(names.SERVER_PORT)) == (host, port)


def test_the_fork_command_survives_a_shell() -> None:
    assert fork_command("/a/b.jsonl") == "coda fork /a/b.jsonl --at"
    assert fork_command("/a b/$x.jsonl") == "coda fork '/a b/$x.jsonl' --at"


@pytest.mark.parametrize("opted_in", [False, True])
def test_everything_that_can_be_recorded_can_be_sent(tmp_path: Path, opted_in: bool) -> None:
    found = list(spans(open_trace(everything_trace(tmp_path / "a.jsonl")), opted_in=opted_in))
    for span in found:
        bags = [span.attributes, *(event.attributes for event in span.events)]
        for value in (value for bag in bags for value in bag.values()):
            for text in value if isinstance(value, tuple) else (value,):
                assert len(str(text).encode("utf-8")) <= MAX_BYTES
        span.name.encode("utf-8")
        assert all(len(bag) < 128 for bag in bags)
    assert SECRET not in repr(found)


@pytest.mark.parametrize("budget", [Budget(), Budget(0, 0, 0), Budget(1, 1, 1), Budget(None, None, None)])
def test_every_type_of_event_has_its_place(tmp_path: Path, budget: Budget) -> None:
    trace = open_trace(everything_trace(tmp_path / "a.jsonl"))
    places: dict[int, str] = {}

    def told(seq: int, n: int, span: str) -> None:
        for number in range(seq, seq + n):
            assert number not in places
            places[number] = span

    projection = Projection(facts_of(trace), budget=budget, on_event=told)
    ids = {span.span_id for event in trace.events() for span in projection.feed(event)}
    assert projection.finish() == []
    assert sorted(places) == list(range(trace.count()))
    assert set(places.values()) <= ids

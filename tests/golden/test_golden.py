"""Traces of every version of the format are read as they always were, and replayed where that is possible.

The traces in `v<N>/` are kept for ever. A reader may tell more of an event than it did (new keys), never
something else. A replay needs the interpreter's minor version that made the trace.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from coda.log import TYPES, check_trace, open_trace
from tests.golden.expected import events_of, states_of

HERE = Path(__file__).parent
TRACES = sorted(p for p in HERE.glob("v*/*.jsonl") if not p.name.endswith(".events.jsonl"))


@pytest.mark.parametrize("path", TRACES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_golden_trace_reads_as_it_did(path: Path) -> None:
    assert check_trace(path).consistent
    found = events_of(open_trace(path))
    expected = [json.loads(line) for line in path.with_suffix(".events.jsonl").read_text().splitlines()]
    assert [_as_then(event, then) for event, then in zip(found, expected, strict=True)] == expected


def _as_then(now: object, then: object) -> object:
    """What is told now, without the keys that were not there then."""
    if isinstance(now, dict) and isinstance(then, dict):
        return {key: _as_then(now.get(key), value) for key, value in then.items()}
    if isinstance(now, list) and isinstance(then, list) and len(now) == len(then):
        return [_as_then(one, other) for one, other in zip(now, then, strict=True)]
    return now


@pytest.mark.slow
@pytest.mark.parametrize("path", TRACES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_golden_trace_replays_to_the_state_that_it_had(path: Path) -> None:
    started = open_trace(path).started
    minor = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if not started.python.startswith(f"{minor}."):
        pytest.skip(f"made by Python {started.python}: {minor} numbers and runs it in another way")
    expected = json.loads(path.with_suffix(".state.json").read_bytes())
    found = states_of(path, [int(seq) for seq in expected["states"]])
    assert json.loads(json.dumps(found)) == expected


def test_every_type_of_record_of_its_time_is_in_a_golden_trace() -> None:
    found = {
        json.loads(line)["type"] for path in HERE.glob("v1/*.jsonl") for line in path.read_text().splitlines()
    }
    then = (HERE / "v1" / "types.txt").read_text().split()
    assert found.issuperset(then)
    assert TYPES.keys() >= {*then} - {"weather.changed"}

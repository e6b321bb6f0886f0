"""What is expected of the golden traces: `python -m tests.golden.expected FOLDER` writes it beside new ones.

`NAME.events.jsonl` has the JSON of each event, `NAME.state.json` the live state at a few positions, object
addresses taken out. Both are written once, when the traces are made, and looked through by eye.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import msgspec

from coda.log import Trace, open_trace
from coda.replay import replay, state_at

_ADDRESS = re.compile(r"0x[0-9a-f]{6,16}")
_LIBRARY = re.compile(r"(?<=from ')[^']*/(?=lib/python)")


def events_of(trace: Trace) -> list[dict[str, Any]]:
    """Each event of a run as plain data."""
    return [json.loads(event.to_json(mask=False)) for event in trace.events()]


def states_of(path: Path, positions: list[int] | None = None) -> dict[str, Any]:
    """Whether a trace replays, and the names that are bound at some positions."""
    trace = open_trace(path)
    verdict = replay(trace)
    count = trace.count()
    found: dict[str, Any] = {"faithful": verdict.faithful, "states": {}}
    if verdict.faithful:
        for seq in positions or (count * 3 // 7, count):
            state = state_at(trace, trace.position(str(seq)))
            found["states"][str(seq)] = {
                "block": state.block,
                "line": state.line,
                "function": state.function,
                "globals": {name: plain(shown.repr) for name, shown in state.globals.items()},
                "locals": [
                    [frame.function, {name: plain(shown.repr) for name, shown in frame.locals.items()}]
                    for frame in state.frames
                ],
                "ctx": {name: plain(shown.repr) for name, shown in state.ctx.items()},
            }
    return found


def plain(text: str) -> str:
    """A text without object addresses, nor the place where Python is installed."""
    return _LIBRARY.sub("", _ADDRESS.sub("0x", text))


def main(folder: str) -> None:
    """Writes both for every trace of a folder."""
    for path in sorted(Path(folder).glob("*.jsonl")):
        if path.name.endswith(".events.jsonl"):
            continue
        trace = open_trace(path)
        lines = [json.dumps(event, sort_keys=True) for event in events_of(trace)]
        path.with_suffix(".events.jsonl").write_text("\n".join(lines) + "\n")
        text = msgspec.json.format(msgspec.json.encode(states_of(path)), indent=1)
        path.with_suffix(".state.json").write_bytes(text + b"\n")


if __name__ == "__main__":
    main(sys.argv[1])

"""Where the threads and tasks of agent code stand that are not the one at hand."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

from coda.runtime.worker.baton import Baton
from coda.runtime.worker.units import Units, function_of


def others(baton: Baton, units: Units) -> list[str]:
    """Gives one line for each: its name, and the line of agent code at which it stands."""
    here = baton.number_here()
    frames = sys._current_frames()
    said = [
        f"thread {strand.name}{_place(frames.get(strand.ident), units)}"
        for number, strand in sorted(baton.strands.items())
        if number != here
    ]
    tasks: Any = sys.modules.get("asyncio.tasks")
    if tasks is None:
        return said
    known = (
        tasks._all_tasks if hasattr(tasks, "_all_tasks") else tasks._scheduled_tasks
    )  # the latter from 3.12 on
    for task in sorted(known, key=hash):
        if task.done() or tasks.current_task(task.get_loop()) is task:
            continue
        stack = task.get_stack(limit=1)
        said.append(f"task {task.get_name()}{_place(stack[0] if stack else None, units)}")
    return said


def _place(frame: FrameType | None, units: Units) -> str:
    while frame is not None and not units.owns(frame):
        frame = frame.f_back
    if frame is None:
        return ""
    function = function_of(frame.f_code)
    return f" in {function}()" * bool(function) + f", line {frame.f_lineno} of {frame.f_code.co_filename}"

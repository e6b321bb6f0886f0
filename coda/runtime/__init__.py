"""Front door of the runtime: the sandbox, the agent, and what they are made of.

Names are looked up when they are first used. That is more than a front door should do, and has a reason:
a worker imports `coda.runtime.worker`, and with it this module, before its shims are in place; nothing
of the host's side may be imported there (docs/adr/0005).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coda.runtime.acts import why_opaque
    from coda.runtime.agent import Agent, RunResult, request_digest
    from coda.runtime.apart import PendingCall
    from coda.runtime.arrivals import Finished, Pending
    from coda.runtime.cells import Cell, split_cells
    from coda.runtime.engine import HOLD, Boundary, Engine
    from coda.runtime.feedback import feedback_text, names_after
    from coda.runtime.limits import Limits
    from coda.runtime.llm import ModelClient, Reply, ScriptedLLM
    from coda.runtime.manifest import Change, Changed, Entry, Manifest
    from coda.runtime.places import FileAccess
    from coda.runtime.primitives import Primitives
    from coda.runtime.program import Program
    from coda.runtime.protocol import (
        LOWEST_CODE,
        Answer,
        Configure,
        Done,
        Mount,
        Observe,
        Prepare,
        Prepared,
        Request,
        Run,
        Stopped,
        Stream,
    )
    from coda.runtime.rebuild import apply, materialise
    from coda.runtime.recording import Recording
    from coda.runtime.restoring import Restored, Restorer
    from coda.runtime.results import BlockResult, CtxChange, ErrorInfo, out_of_memory, program_end
    from coda.runtime.sandbox import MAX_BLOB_BYTES, Sandbox
    from coda.runtime.startup import Startup
    from coda.runtime.stopping import TIMED_OUT
    from coda.runtime.surroundings import is_known_zone
    from coda.runtime.tools import Outcome, Tool, invoke, tool
    from coda.runtime.versions import version_of
    from coda.runtime.worker.facts import FACTS
    from coda.runtime.workspace import Workspace, left_out

_HOMES = {
    "Agent": "agent", "Answer": "protocol", "BlockResult": "results", "Boundary": "engine",
    "Cell": "cells", "Change": "manifest", "Changed": "manifest", "Configure": "protocol",
    "CtxChange": "results",
    "Done": "protocol", "Engine": "engine", "Entry": "manifest", "ErrorInfo": "results",
    "FACTS": "worker.facts", "FileAccess": "places", "Finished": "arrivals", "HOLD": "engine",
    "LOWEST_CODE": "protocol", "Limits": "limits",
    "MAX_BLOB_BYTES": "sandbox", "Manifest": "manifest",
    "TIMED_OUT": "stopping",
    "ModelClient": "llm", "Mount": "protocol", "Observe": "protocol", "Outcome": "tools",
    "Pending": "arrivals", "PendingCall": "apart",
    "Prepare": "protocol", "Prepared": "protocol", "Primitives": "primitives", "Program": "program",
    "Recording": "recording", "Reply": "llm", "Request": "protocol", "Run": "protocol",
    "Restored": "restoring", "Restorer": "restoring",
    "RunResult": "agent", "Sandbox": "sandbox", "ScriptedLLM": "llm", "Startup": "startup",
    "Stopped": "protocol",
    "Stream": "protocol", "Tool": "tools", "Workspace": "workspace", "apply": "rebuild",
    "feedback_text": "feedback", "invoke": "tools", "is_known_zone": "surroundings",
    "left_out": "workspace", "materialise": "rebuild", "names_after": "feedback",
    "out_of_memory": "results", "program_end": "results", "request_digest": "agent",
    "split_cells": "cells", "tool": "tools",
    "version_of": "versions", "why_opaque": "acts",
}  # fmt: skip

__all__ = [
    "FACTS",
    "HOLD",
    "LOWEST_CODE",
    "MAX_BLOB_BYTES",
    "TIMED_OUT",
    "Agent",
    "Answer",
    "BlockResult",
    "Boundary",
    "Cell",
    "Change",
    "Changed",
    "Configure",
    "CtxChange",
    "Done",
    "Engine",
    "Entry",
    "ErrorInfo",
    "FileAccess",
    "Finished",
    "Limits",
    "Manifest",
    "ModelClient",
    "Mount",
    "Observe",
    "Outcome",
    "Pending",
    "PendingCall",
    "Prepare",
    "Prepared",
    "Primitives",
    "Program",
    "Recording",
    "Reply",
    "Request",
    "Restored",
    "Restorer",
    "Run",
    "RunResult",
    "Sandbox",
    "ScriptedLLM",
    "Startup",
    "Stopped",
    "Stream",
    "Tool",
    "Workspace",
    "apply",
    "feedback_text",
    "invoke",
    "is_known_zone",
    "left_out",
    "materialise",
    "names_after",
    "out_of_memory",
    "program_end",
    "request_digest",
    "split_cells",
    "tool",
    "version_of",
    "why_opaque",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'coda.runtime' has no attribute {name!r}")
    return getattr(import_module(f"coda.runtime.{home}"), name)

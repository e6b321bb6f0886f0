"""Calls that run beside others, each on a thread of the host; the files of each are kept apart."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

from coda.runtime.coroutines import AsyncRunner
from coda.runtime.places import FileAccess
from coda.runtime.tools import Outcome, Tool, invoke


class Beside:
    """Performs calls; primitives, which share a shell and a root, one after the other."""

    def __init__(self) -> None:
        self._files = threading.local()
        self._one_primitive = threading.Lock()

    def perform(self, tool: Tool, args: list[Any], kwargs: dict[str, Any], runner: AsyncRunner) -> Outcome:
        """Performs a call on this thread; what it did to files is in the outcome."""
        files: list[FileAccess] = []
        self._files.noted = files
        with self._one_primitive if tool.origin == "primitive" else contextlib.nullcontext():
            outcome = invoke(tool, args, kwargs, runner=runner)
        return outcome._replace(files=tuple(files))

    def note(self, access: FileAccess) -> bool:
        """Keeps an access of the call on this thread; False when none runs here."""
        files: list[FileAccess] | None = getattr(self._files, "noted", None)
        if files is None:
            return False
        files.append(access)
        return True

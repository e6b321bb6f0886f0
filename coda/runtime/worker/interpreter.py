"""Switches and views of the interpreter that coda uses itself, as a plain script would find them.

Guarantee: agent code sees automatic garbage collection on, the recursion limit that it set, and a stack that
begins with its own first frame, though the worker collects at recorded statements only, has frames of its own
below the agent's, and has raised the limit by their number. What agent code sets there holds for agent code.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from coda.runtime.worker.recorder import Recorder
from coda.runtime.worker.standins import Shim
from coda.runtime.worker.units import OWN_FOLDER

SHORTENED = ("traceback", "inspect")
"""Modules whose views of the stack are adapted."""
_set_limit = sys.setrecursionlimit
set_switch_interval = sys.setswitchinterval
"""The real one, for the worker itself."""


class Interpreter:
    """What agent code has set, and the stand-ins through which it does so.

    Args:
        hooks: what statements call; no tracer or profiler of agent code is told of it.
    """

    def __init__(self, hooks: tuple[Any, ...] = ()) -> None:
        self._hooks = hooks
        self.collects = True
        """False after the agent's `gc.disable()`: no collection is asked for."""
        self.limit = sys.getrecursionlimit()
        """Recursion limit as agent code sees it."""
        self._below = 0
        self._interval = sys.getswitchinterval()

    def install(self) -> None:
        """Replaces the functions; before agent code is imported."""
        for module, name, act in (
            (gc, "enable", self._enable), (gc, "disable", self._disable), (gc, "isenabled", self._is_enabled),
            (sys, "getrecursionlimit", self._get_limit), (sys, "setrecursionlimit", self._set_limit),
            (sys, "getswitchinterval", self._get_interval), (sys, "setswitchinterval", self._set_interval),
            (sys, "settrace", self._watching(sys.settrace)), (sys, "gettrace", _watcher(sys.gettrace)),
            (sys, "setprofile", self._watching(sys.setprofile)),
            (sys, "getprofile", _watcher(sys.getprofile)),
        ):  # fmt: skip
            setattr(module, name, _Switch(getattr(module, name), act))

    def enter(self, below: int) -> None:
        """A block begins with so many frames below the agent's first."""
        self._below = below
        _set_limit(self.limit + below)

    def _enable(self) -> None:
        self.collects = True

    def _disable(self) -> None:
        self.collects = False

    def _is_enabled(self) -> bool:
        return self.collects

    def _get_interval(self) -> float:
        return self._interval

    def _set_interval(self, interval: Any, /) -> None:
        """Kept and not put in force: the recorder's own thread needs its turn."""
        seconds = float(interval)
        if not seconds > 0:
            raise ValueError("switch interval must be strictly positive")
        self._interval = seconds

    def _watching(self, real: Callable[[Any], None]) -> Callable[[Any], None]:
        """Sets a tracer or profiler that is told of agent code and libraries alone."""

        def watch(function: Any, /) -> None:
            real(None if function is None else _Watcher(function, self._hooks))

        return watch

    def _get_limit(self) -> int:
        return self.limit

    def _set_limit(self, limit: Any, /) -> None:
        below = self._below if type(limit) is int and limit > 0 else 0
        _set_limit(limit + below if below else limit)  # raises what it raises of a limit that is none
        self.limit = int(limit)


class _Switch(Shim):
    """A stand-in that works on the agent's view."""

    __slots__ = ("_act",)

    def __init__(self, real: Any, act: Callable[..., Any]) -> None:
        super().__init__(real)
        self._act = act

    def __call__(self, *args: Any) -> Any:
        """Answers as the builtin would."""
        return self._act(*args)


class _Watcher:
    """A tracer or profiler of agent code, to which coda's own frames are not shown."""

    __slots__ = ("_hooks", "given")

    def __init__(self, given: Any, hooks: tuple[Any, ...]) -> None:
        self.given = given
        self._hooks = hooks

    def __call__(self, frame: FrameType, event: str, arg: Any) -> Any:
        if frame.f_code.co_filename.startswith(OWN_FOLDER):
            return None
        if event[:2] == "c_" and any(getattr(arg, "__self__", None) is hook for hook in self._hooks):
            return None
        return self.given(frame, event, arg)


def _watcher(real: Callable[[], Any]) -> Callable[[], Any]:
    """Gives the function that was set, as it was."""

    def watcher() -> Any:
        found = real()
        return found.given if type(found) is _Watcher else found

    return watcher


def shorten_stacks(module: Any, recorder: Recorder) -> None:
    """Lets `traceback` and `inspect` end a stack where agent code begins."""
    if module.__name__ == "traceback":
        walk = module.walk_stack

        def walk_stack(f: FrameType | None) -> Iterator[tuple[FrameType, int]]:
            if f is None:
                f = sys._getframe(1)
                while f is not None and f.f_globals.get("__name__") == "traceback":
                    f = f.f_back
            for frame, line in walk(f):
                if is_ours(frame):
                    return
                yield frame, line

        walk_stack.__doc__ = walk.__doc__
        module.walk_stack = walk_stack
    elif module.__name__ == "inspect":
        outer = module.getouterframes

        def getouterframes(frame: FrameType | None, context: int = 1) -> list[Any]:
            found = []
            while frame is not None and not is_ours(frame):
                found.append(frame)
                frame = frame.f_back
            return [outer_of(each, context) for each in found]

        def outer_of(frame: FrameType, context: int) -> Any:
            info = module.getframeinfo(frame, context)
            return module.FrameInfo(frame, *info[:5], **_positions_of(info))

        getouterframes.__doc__ = outer.__doc__
        module.getouterframes = getouterframes
        getmodule = module.getmodule

        def quietly(object: Any, _filename: str | None = None) -> Any:
            with recorder.quiet():  # it looks at the file of every module there is, of the worker's own too
                return getmodule(object, _filename)

        quietly.__doc__, quietly.__name__ = getmodule.__doc__, "getmodule"
        module.getmodule = quietly


def is_ours(frame: FrameType) -> bool:
    """True for a frame of coda's own code, which agent code has above its first one."""
    return frame.f_code.co_filename.startswith(OWN_FOLDER)


def _positions_of(info: Any) -> dict[str, Any]:
    return {"positions": info.positions} if hasattr(info, "positions") else {}

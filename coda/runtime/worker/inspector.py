"""A stopped worker answers questions about its live state, in the place where it stands.

Guarantee: objects never leave the worker; what goes out is text, bounded in size and time. While
inspecting, nothing crosses the boundary: a tool called from an expression is refused. Writing a variable
goes to the frame that owns it, also on interpreters where a frame's locals are a copy.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from types import CodeType, FrameType
from typing import Any

from coda.runtime.protocol import Answer, Exit, Inspect, Reply, Resume, Stopped
from coda.runtime.worker.endings import agents_part, outcome_of, print_exception, print_exit
from coda.runtime.worker.main_module import become_module, refusal_of
from coda.runtime.worker.names import Ctx, ctx_store
from coda.runtime.worker.recorder import Recorder
from coda.runtime.worker.showing import REPR_BYTES, SHORT_BYTES, show
from coda.runtime.worker.units import Units, function_of


class Inspector:
    """Commands of the host to a worker that stands still."""

    def __init__(self, recorder: Recorder, units: Units, namespace: dict[str, Any], ctx: Ctx) -> None:
        self._recorder = recorder
        self._units = units
        self._namespace = namespace
        self._ctx = ctx
        self.bound: set[str] = set()
        self.steps: Callable[[], int] = int
        """Counts statements; set by the worker."""
        self.on_watch: Callable[[list[int], bool], None] = _unheard
        """Told at which statements a block may have to act."""
        self.others: Callable[[], list[str]] = list
        """Where other threads and tasks stand; set by the worker."""
        self.on_pause: Callable[[bool], None] = _ignore
        """Told when looking begins and ends."""
        self.on_live: Callable[[int, tuple[int, Any] | None], None] = _nothing
        self.on_return: Callable[[], list[str]] = list
        self._inspecting = False

    def stop(self) -> None:
        """Stands still before a statement until the host says to go on."""
        if self._inspecting:
            return  # an expression ran into it: that is not the run
        frame = self._units.innermost()
        line, file = (frame.f_lineno, frame.f_code.co_filename) if frame else (None, None)
        self._recorder.send(Stopped(line, file))
        while True:
            message = self._recorder.receive()
            if isinstance(message, Resume):
                if message.live:
                    self.on_live(message.wall_ns, message.given)
                return
            self.handle(message)

    def handle(self, message: Any) -> None:
        """Answers one message that is not what the worker waits for."""
        if isinstance(message, Exit):
            os._exit(0)
        if isinstance(message, Resume):  # held at a request: the answer follows
            if message.live:
                self.on_live(message.wall_ns, message.given)
            return
        if isinstance(message, Answer) or not isinstance(message, Inspect):
            raise RuntimeError(f"message out of turn: {type(message).__name__}")
        if message.command in ("locate", "return"):  # no look: it imports, or changes what comes after
            self._recorder.send(self._answer(message))
            return
        self._inspecting = True
        self.on_pause(True)
        try:
            with self._recorder.looking():
                reply = self._answer(message)
        finally:
            self._inspecting = False
            self.on_pause(False)
        self._recorder.channel.send(reply)

    @property
    def inspecting(self) -> bool:
        """True while a command is being answered."""
        return self._inspecting

    def _answer(self, message: Inspect) -> Reply:
        try:
            return Reply(True, getattr(self, f"_do_{message.command}")(**message.data))
        except BaseException as error:  # noqa: BLE001  the agent's own code may raise anything, also at a repr
            return Reply(False, {"type": type(error).__name__, "message": str(error)[:SHORT_BYTES]})

    # --- commands ------------------------------------------------------------------------------

    def _do_frames(self) -> dict[str, Any]:
        frames = []
        for frame in self._frames():
            at_module_level = frame.f_locals is frame.f_globals or frame.f_code.co_name == "<module>"
            frames.append(
                {
                    "function": function_of(frame.f_code),
                    "file": frame.f_code.co_filename,
                    "line": frame.f_lineno,
                    "locals": {} if at_module_level else self._shown(dict(frame.f_locals)),
                }
            )
        return {
            "frames": frames,
            "globals": self._shown(
                {name: value for name, value in self._namespace.items() if not self._is_bound(name)}
            ),
            "ctx": self._shown(ctx_store(self._ctx)),
            "others": self.others(),
        }

    def _do_evaluate(self, expr: str, limit: int = REPR_BYTES) -> dict[str, Any]:
        code = compile(expr.strip(), "<expression>", "eval")
        return show(self._evaluate(code), limit=limit)

    def _do_assign(self, changes: list[tuple[str, str]], new: bool = False) -> list[dict[str, Any]]:
        """Evaluates all, then applies all: [(name, expression)]."""
        values = [self._evaluate(compile(expr.strip(), f"<{name}>", "eval")) for name, expr in changes]
        frame = next(self._frames(), None)
        places = [self._place(name, frame, new=new) for name, _ in changes]
        result = []
        for (name, expr), value, place in zip(changes, values, places, strict=True):
            before = place(None, False)
            place(value, True)
            result.append(
                {"name": name, "expr": expr, "before": before, "after": show(value, limit=SHORT_BYTES)}
            )
        return result

    def _do_locate(self, module: str) -> dict[str, Any]:
        """Finds what `python -m module` would run and makes `__main__` look like it.

        A package on the way to it that fails ends the program, as does a module that is not there: that gives
        `outcome` and `status`.
        """
        try:
            return dict(become_module(self._namespace, module))
        except BaseException as error:  # whatever leaves the package's code is the program's end
            tb = agents_part(error, self._units.owns)
            outcome, code = outcome_of(error)
            if tb is None and outcome != "exited":
                refusal = refusal_of(module)
                if refusal is None:
                    raise
                sys.stderr.write(refusal)
                return {"outcome": "error", "status": 1}
            if outcome == "exited":
                print_exit(error)
                return {"outcome": "ok" if code == 0 else "error", "status": code or 0}
            print_exception(error, tb)
            return {"outcome": outcome, "status": 130 if outcome == "interrupted" else 1}

    def _do_watch(self, statements: list[int], count: bool) -> None:
        self.on_watch(statements, count)

    def _do_return(self) -> list[str]:
        """Leaves the replay for the real world; gives what is not as it was."""
        return self.on_return()

    def _do_steps(self) -> int:
        """Statements that the block has started so far, when they are counted."""
        return self.steps()

    # --- helpers -------------------------------------------------------------------------------

    def _frames(self) -> Iterator[FrameType]:
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            if self._units.owns(frame):
                yield frame
            frame = frame.f_back

    def _is_bound(self, name: str) -> bool:
        return name in self.bound or (name.startswith("__") and name.endswith("__"))

    def _evaluate(self, code: CodeType) -> Any:
        frame = next(self._frames(), None)
        if frame is None:
            return eval(code, self._namespace)
        scope = dict(frame.f_locals) if frame.f_locals is not frame.f_globals else None
        return eval(code, frame.f_globals if scope is None else {**frame.f_globals, **scope})

    def _place(self, name: str, frame: FrameType | None, *, new: bool) -> Callable[[Any, bool], Any]:
        """A function (value, write) that reads or writes the variable where it is bound."""
        if frame is not None:
            code = frame.f_code
            local = name in code.co_varnames or name in code.co_cellvars or name in code.co_freevars
            scope = frame.f_locals
            in_class = scope is not frame.f_globals and not code.co_flags & 0x2 and name in scope
            if local or in_class:
                return _place_in(scope, name, frame)
            if name in frame.f_globals or new:
                return _place_in(frame.f_globals, name, None)
        elif name in self._namespace or new:
            return _place_in(self._namespace, name, None)
        raise NameError(
            f"no variable {name!r} is bound here; a statement that binds it has done so at the next event; "
            "--new makes a name"
        )

    def _shown(self, values: dict[str, Any]) -> dict[str, Any]:
        return {str(name): show(value, limit=SHORT_BYTES) for name, value in values.items()}


def _ignore(_paused: bool) -> None:
    """Until the worker says what looking means for its streams and clocks."""


def _unheard(_statements: list[int], _count: bool) -> None:
    """Until the worker has blocks."""


def _nothing(_wall_ns: int, _given: tuple[int, Any] | None) -> None:
    """Until the worker says what going live means."""


def _place_in(scope: Any, name: str, frame: FrameType | None) -> Callable[[Any, bool], Any]:
    def place(value: Any, write: bool) -> Any:
        if not write:
            return show(scope[name], limit=SHORT_BYTES) if name in scope else None
        scope[name] = value
        if frame is not None and sys.version_info < (3, 13) and frame.f_code.co_flags & 0x2:
            # Before PEP 667 a frame's locals are a copy: push it back.
            ctypes.pythonapi.PyFrame_LocalsToFast(ctypes.py_object(frame), ctypes.c_int(0))
        return None

    return place

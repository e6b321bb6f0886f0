"""Compiling and running blocks in the persistent namespace, the `__dict__` of `__main__`.

Guarantee: agent code runs as if coda were not there: its own frames are the first of a traceback, its
recursion depth is a plain script's, `sys.exit`, exit functions and threads end the program as in `python`.
"""

from __future__ import annotations

import atexit
import builtins
import gc
import importlib.util
import inspect
import sys
import threading
import traceback
from collections.abc import Iterator
from functools import partial
from itertools import chain, repeat
from operator import length_hint
from types import CodeType, FrameType, ModuleType, TracebackType
from typing import Any

import msgspec

from coda.runtime.instrument import compile_unit
from coda.runtime.protocol import Done, Prepare, Prepared, Run
from coda.runtime.worker.names import describe_exception
from coda.runtime.worker.recorder import Recorder
from coda.runtime.worker.units import OWN_FOLDER, Unit, Units

_TRACEBACK_CHARS = 20_000


class Trigger:
    """A buffer for one statement: passes so many starts on to the real buffer, then acts.

    Until it acts everything runs in C, so that the depth of the stack is the recorder's own.
    """

    __slots__ = ("append",)

    def __init__(self, actions: Iterator[Any]) -> None:
        # `next(actions, id)`: the id that the hook hands over is only the default of `next`.
        self.append = partial(next, actions)

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other


class Blocks:
    """The blocks of this worker."""

    def __init__(
        self, recorder: Recorder, units: Units, module: ModuleType, *, level: str, value_limit: int
    ) -> None:
        self._recorder = recorder
        self._units = units
        self._module = module
        self._level = level
        self._value_limit = value_limit
        self._prepared: dict[int, Unit] = {}
        self._next_id = 0
        self._loop: Any = None
        self._actions: dict[str, Any] = {}
        self._steps: tuple[int, Iterator[None]] | None = None

    def steps_so_far(self) -> int:
        """Statements that the block has started, when it was prepared to count them; else 0."""
        if self._steps is None:
            return 0
        total, passing = self._steps
        return total - length_hint(passing)

    def set_actions(self, actions: dict[str, Any]) -> None:
        """What triggers may do: name to function without arguments."""
        self._actions = actions

    # --- compiling -----------------------------------------------------------------------------

    def prepare(self, message: Prepare) -> Prepared:
        """Compiles a block; its table goes to the host before anything runs."""
        try:
            with self._recorder.quiet():
                unit = self._compile(message)
        except (SyntaxError, ValueError, OverflowError, MemoryError, RecursionError) as error:
            described = describe_exception(error)
            described["traceback"] = "".join(traceback.format_exception_only(error))
            return Prepared(message.block, b"", message.flags, None, described)
        self._prepared[message.block] = unit[0]
        self._units.add(unit[0])
        table = unit[0].table
        return Prepared(
            message.block,
            msgspec.json.encode(table) if table is not None else b"",
            unit[0].flags,
            unit[1],
            None,
        )

    def _compile(self, message: Prepare) -> tuple[Unit, str | None]:
        recorder = self._recorder
        lines: Any = recorder.lines
        level = self._level
        if message.steps is not None:
            passing = repeat(None, message.steps)
            self._steps = (message.steps, passing)
            lines = Trigger(chain(passing, self._acting("stop"), repeat(None)))
            level = "lines"
        triggers = {ident: self._trigger(ident, actions) for ident, actions in message.triggers}
        compiled = compile_unit(
            message.source,
            filename=message.file,
            base=self._next_id,
            level=level,
            lines=lines,
            values=recorder.values,
            value_limit=self._value_limit,
            first_line=message.first_line,
            top_level_await=message.top_level_await,
            future_flags=message.flags,
            docstring=message.docstring,
            triggers=triggers,
        )
        if compiled.table is not None:
            self._next_id = compiled.table.end
        unit = Unit(
            file=message.file,
            source=message.source,
            first_line=message.first_line,
            table=compiled.table,
            code=compiled.code,
            block=message.block,
            flags=compiled.flags,
            budget=compiled.budget,
        )
        return unit, compiled.note

    def _trigger(self, ident: int, actions: list[tuple[int, str]]) -> Trigger:
        append = self._recorder.lines.append
        parts: list[Iterator[Any]] = []
        for passes, action in actions:
            parts.append(map(append, repeat(ident, passes)))
            # A stop comes before the statement's own entry, a collection after it.
            if action == "stop":
                parts.append(self._acting(action, before_append=ident))
            else:
                parts.append(self._acting(action, after_append=ident))
        parts.append(map(append, repeat(ident)))
        return Trigger(chain.from_iterable(parts))

    def _acting(
        self, action: str, *, before_append: int | None = None, after_append: int | None = None
    ) -> Iterator[Any]:
        append = self._recorder.lines.append
        if after_append is not None:
            append(after_append)
        self._actions[action]()
        if before_append is not None:
            append(before_append)
        yield None

    def compile_module(self, name: str, path: str, data: bytes) -> CodeType:
        """Compiles a module of the workspace and tells the host of it."""
        try:
            source = importlib.util.decode_source(data)
            with self._recorder.quiet():
                compiled = compile_unit(
                    source,
                    filename=path,
                    base=self._next_id,
                    level=self._level,
                    lines=self._recorder.lines,
                    values=self._recorder.values,
                    value_limit=self._value_limit,
                )
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            # A replay needs the text of a module that cannot be compiled just as well.
            self._recorder.observe(
                "import", {"module": name, "path": path, "content": data, **self._units.where()}
            )
            raise
        with self._recorder.quiet():
            if compiled.table is not None:
                self._next_id = compiled.table.end
            where = self._units.where()
        table = compiled.table
        self._units.add(Unit(path, source, 1, table, compiled.code, None, compiled.flags, compiled.budget))
        data_of = {
            "module": name,
            "path": path,
            "content": data,
            "table": msgspec.json.encode(table) if table is not None else b"",
            **where,
        }
        self._recorder.observe("import", data_of)
        return compiled.code

    # --- running -------------------------------------------------------------------------------

    def run(self, message: Run) -> Done:
        """Runs a prepared block to its end and says how it ended."""
        unit = self._prepared.pop(message.block)
        for each in self._units.all():
            each.budget.refill(self._value_limit)
        outcome, code, error = self._execute(unit, program=message.program, last=message.last)
        recorder = self._recorder
        for stream in (sys.stdout, sys.stderr):
            _flush(stream)
        recorder.drain()  # first: the host writes while we collect
        gc.collect()
        recorder.drain()
        return Done(message.block, outcome, code, error, recorder.now(), recorder.dropped)

    def _execute(
        self, unit: Unit, *, program: bool, last: bool
    ) -> tuple[str, int | None, dict[str, Any] | None]:
        assert unit.code is not None
        problem: BaseException | None = None
        try:
            self._enter(unit.code)
        except BaseException as error:  # noqa: BLE001  the sandbox boundary: whatever leaves agent code is data
            problem = error
        outcome, code, described = "ok", None, None
        if problem is not None:
            outcome, code = _outcome_of(problem)
            if outcome != "exited":
                described = self._describe(problem, printed=program)
            elif program:
                code = _print_exit(problem)
        if program and (last or problem is not None):
            self._end_program()
        return outcome, code, described

    def _enter(self, code: CodeType) -> None:
        namespace = self._module.__dict__
        limit = sys.getrecursionlimit()
        depth = _stack_depth()
        sys.setrecursionlimit(limit + depth)
        try:
            if code.co_flags & inspect.CO_COROUTINE:
                self._loop = self._loop or _new_loop()
                self._loop.run_until_complete(eval(code, namespace))
            else:
                exec(code, namespace)
        finally:
            if sys.getrecursionlimit() == limit + depth:
                sys.setrecursionlimit(limit)

    def _describe(self, error: BaseException, *, printed: bool) -> dict[str, Any]:
        tb = self._agents_part(error.__traceback__)
        error = error.with_traceback(tb)
        _hide_ourselves(error)
        tb = error.__traceback__
        if printed:
            sys.excepthook(type(error), error, tb)
        with self._recorder.quiet():
            described = describe_exception(error)
            text = "".join(traceback.format_exception(type(error), error, tb))
        described["traceback"] = text[-_TRACEBACK_CHARS:]
        return described

    def _agents_part(self, tb: TracebackType | None) -> TracebackType | None:
        while tb is not None and not self._units.owns(tb.tb_frame):
            tb = tb.tb_next
        return tb

    @staticmethod
    def _end_program() -> None:
        try:
            threading._shutdown()  # type: ignore[attr-defined]
        finally:
            atexit._run_exitfuncs()


def _stack_depth() -> int:
    # Before 3.12 the call of `exec` itself counts as well.
    depth = 2 if sys.version_info < (3, 12) else 0
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        depth += 1
        frame = frame.f_back
    return depth


def _hide_ourselves(error: BaseException | None) -> None:
    """Takes coda's own frames out of an exception's traceback and out of those it came from."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        first = tb = error.__traceback__
        while tb is not None:
            after = tb.tb_next
            while after is not None and after.tb_frame.f_code.co_filename.startswith(OWN_FOLDER):
                after = after.tb_next
            tb.tb_next = after
            tb = after
        if first is not None and first.tb_frame.f_code.co_filename.startswith(OWN_FOLDER):
            error.__traceback__ = first.tb_next
        error = error.__cause__ or error.__context__


def _flush(stream: Any) -> None:
    try:
        stream.flush()
    except Exception:  # noqa: BLE001  agent code may have put anything there, or closed it
        return


def _outcome_of(error: BaseException) -> tuple[str, int | None]:
    if isinstance(error, SystemExit):
        code = error.code
        if code is None:
            return "exited", 0
        return "exited", code & 0xFF if isinstance(code, int) else 1
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", None
    return "error", None


def _print_exit(error: BaseException) -> int:
    assert isinstance(error, SystemExit)
    if error.code is not None and not isinstance(error.code, int):
        print(error.code, file=sys.stderr)
    return _outcome_of(error)[1] or 0


def _new_loop() -> Any:
    import asyncio

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    return loop


def new_main_module(*, file: str | None) -> ModuleType:
    """A fresh `__main__`, as the interpreter would make it."""
    module = ModuleType("__main__")
    module.__dict__.update(__builtins__=builtins, __annotations__={}, __spec__=None, __loader__=None)
    if file is not None:
        module.__dict__.update(__file__=file, __cached__=None)
    sys.modules["__main__"] = module
    return module

"""Compiling and running blocks in the persistent namespace, the `__dict__` of `__main__`.

Guarantee: agent code runs as if coda were not there: its own frames are the first of a traceback, its
recursion depth is a plain script's, `sys.exit`, exit functions and threads end the program as in `python`.
"""

from __future__ import annotations

import builtins
import gc
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import chain, repeat
from operator import length_hint
from types import CodeType, FrameType, ModuleType
from typing import Any

import msgspec

from coda.runtime.instrument import compile_unit
from coda.runtime.protocol import Done, Prepare, Prepared, Run
from coda.runtime.worker.baton import Baton
from coda.runtime.worker.endings import (
    agents_part,
    describe,
    end_program,
    flush_streams,
    outcome_of,
    print_exception,
    print_exit,
)  # fmt: skip
from coda.runtime.worker.names import describe_exception
from coda.runtime.worker.recorder import Recorder
from coda.runtime.worker.units import Unit, Units


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
        self,
        recorder: Recorder,
        units: Units,
        module: ModuleType,
        *,
        level: str,
        value_limit: int,
        baton: Baton,
        pristine: Callable[[bool], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self._recorder = recorder
        self._units = units
        self._module = module
        self._level = level
        self._pristine = pristine
        self._value_limit = value_limit
        self._prepared: dict[int, Unit] = {}
        self._next_id = 0
        self._loop: Any = None
        self._baton = baton
        self._actions: dict[str, Any] = {}
        self._steps: tuple[int, Iterator[None]] | None = None
        self._tracing: tuple[Any, Any] = (sys.gettrace(), sys.getprofile())
        """Trace and profile function that agent code has set, kept from one block to the next."""

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
                unit = self._compile_anyhow(message)
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

    def _compile_anyhow(self, message: Prepare) -> tuple[Unit, str | None]:
        try:
            with self._pristine(False):
                return self._compile(message)
        except (SyntaxError, ValueError, OverflowError, MemoryError, RecursionError):
            raise
        except Exception:  # noqa: BLE001  agent code has changed what the compiling needs: once more, without that
            with self._pristine(True):
                return self._compile(message)

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
        flush_streams()
        recorder.drain()  # first: the host writes while we collect
        gc.collect()
        recorder.drain()
        return Done(message.block, outcome, code, error, recorder.now(), recorder.dropped, self._under_way())

    def _under_way(self) -> list[str]:
        """Names of the tasks and threads that have not ended with the block."""
        with self._recorder.quiet():
            names = [strand.name for number, strand in self._baton.strands.items() if number]
            tasks = sys.modules.get("asyncio.tasks")
            if self._loop is not None and tasks is not None:
                names += sorted(task.get_name() for task in tasks.all_tasks(self._loop))
        return names

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
            outcome, code = outcome_of(problem)
            if outcome != "exited":
                tb = agents_part(problem, self._units.owns)
                if program:
                    print_exception(problem, tb)
                with self._recorder.quiet(), self._pristine(False):
                    described = describe(problem, tb)
            elif program:
                print_exit(problem)
        if program and (last or problem is not None):
            end_program()
        return outcome, code, described

    def _enter(self, code: CodeType) -> None:
        namespace = self._module.__dict__
        limit = sys.getrecursionlimit()
        depth = _stack_depth()
        sys.setrecursionlimit(limit + depth)
        try:
            sys.settrace(self._tracing[0])
            sys.setprofile(self._tracing[1])
            if code.co_flags & inspect.CO_COROUTINE:
                self._loop = self._loop or _new_loop()
                self._loop.run_until_complete(eval(code, namespace))
            else:
                exec(code, namespace)
        finally:
            # Agent code's tracers are not to see, or stop, what we do between blocks. One that raises at
            # these very calls (in C, so that only a profiler hears of them) is gone after that.
            try:
                self._tracing = sys.gettrace(), sys.getprofile()
                sys.setprofile(None)
            except BaseException:  # noqa: BLE001  whatever its profiler raises
                self._tracing = sys.gettrace(), None
            sys.settrace(None)
            if sys.getrecursionlimit() == limit + depth:
                sys.setrecursionlimit(limit)


def _stack_depth() -> int:
    # Before 3.12 the call of `exec` itself counts as well.
    depth = 2 if sys.version_info < (3, 12) else 0
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        depth += 1
        frame = frame.f_back
    return depth


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

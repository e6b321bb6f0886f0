"""Compiling and running blocks in the persistent namespace, the `__dict__` of `__main__`.

Guarantee: agent code runs as if coda were not there: its own frames are the first of a traceback, its
recursion depth is a plain script's, `sys.exit`, exit functions and threads end the program as in `python`.
"""

from __future__ import annotations

import gc
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import chain, count, repeat
from operator import length_hint
from types import CodeType, FrameType, ModuleType
from typing import Any

import msgspec

from coda.log import Table
from coda.runtime.instrument import CodeUnit, FrameNumbers, compile_unit
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
from coda.runtime.worker.hastening import hasten
from coda.runtime.worker.interpreter import Interpreter
from coda.runtime.worker.interrupts import Interrupts
from coda.runtime.worker.main_module import FRAMES_OF_MODULE, run_as_module, runs_as_module
from coda.runtime.worker.names import describe_exception
from coda.runtime.worker.recorder import Recorder
from coda.runtime.worker.units import Unit, Units

# The interpreter's own: what agent code finds under these names adapts what it sets (see `interpreter`).
_settrace, _gettrace = sys.settrace, sys.gettrace
_setprofile, _getprofile = sys.setprofile, sys.getprofile


class Trigger:
    """A buffer in place of the real one: it can be armed anew for each block, wherever its code lies.

    Until it acts everything runs in C, so that the depth of the stack is the recorder's own.
    """

    __slots__ = ("append",)

    def __init__(self, idle: Callable[[int], Any]) -> None:
        self.append = idle

    def arm(self, actions: Iterator[Any]) -> None:
        """Lets each start of a statement take the next of some actions."""
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
        interrupts: Interrupts,
        *,
        level: str,
        value_limit: int,
        baton: Baton,
        interpreter: Interpreter,
        frames: bool = False,
        pristine: Callable[[bool], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self._recorder = recorder
        self._interrupts = interrupts
        self._units = units
        self._module = module
        self._level = level
        self._pristine = pristine
        self._interpreter = interpreter
        self._value_limit = value_limit
        self._frames = FrameNumbers() if frames else None
        self._prepared: dict[int, Unit] = {}
        self._next_id = 0
        self._loop: Any = None
        self._baton = baton
        self._actions: dict[str, Any] = {}
        self._watched: dict[int, Trigger] = {}
        self._counter: Trigger | None = None
        self._passing: list[tuple[int, Iterator[None]]] = []
        self._tracing: tuple[Any, Any] = (_gettrace(), _getprofile())
        """Trace and profile function that agent code has set, kept from one block to the next."""

    def steps_so_far(self) -> int:
        """Statements that the block has started, when they are counted; else 0."""
        return sum(total - length_hint(passing) for total, passing in self._passing)

    def watch(self, statements: list[int], *, count: bool) -> None:
        """Says, before anything is compiled, at which statements a block may have to act.

        Args:
            statements: their ids; code of any unit, so also functions of earlier blocks and of modules.
            count: count the statements, and record none (level `effects`).
        """
        append = self._recorder.lines.append
        self._watched = {ident: Trigger(append) for ident in statements}
        self._counter = Trigger(partial(next, repeat(None))) if count else None

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
        if message.base >= 0:
            self._next_id = message.base
        compiled = self._instrument(
            message.source,
            message.file,
            first_line=message.first_line,
            top_level_await=message.top_level_await,
            future_flags=message.flags,
            docstring=message.docstring,
        )
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

    def _instrument(self, source: str, filename: str, **given: Any) -> CodeUnit:
        """Compiles agent code with its hooks; the next code's numbers follow."""
        lines: Any = self._recorder.lines if self._counter is None else self._counter
        compiled = compile_unit(
            source,
            filename=filename,
            base=self._next_id,
            level=self._level if self._counter is None else "lines",
            lines=lines,
            values=self._recorder.values,
            value_limit=self._value_limit,
            triggers=self._watched,
            frames=self._frames,
            **given,
        )
        hasten(compiled.code)
        self._number(compiled.table)
        return compiled

    def _number(self, table: Table) -> None:
        """Takes note of a table: the next one's ids begin behind it."""
        self._next_id = table.end
        self._recorder.know(range(table.base, table.base + len(table.statements)))

    def _arm(self, message: Run) -> None:
        """Makes the watched statements act in this block as they are told, and in no other way."""
        told = dict(message.triggers)
        for ident, trigger in self._watched.items():
            if ident in told and any("preempt" in words or "signal" in words for _, words in told[ident]):
                trigger.append = self._counted(ident, told[ident], message.reason)
            elif ident in told:
                trigger.arm(self._actions_at(ident, told[ident], message.reason))
            else:
                trigger.append = self._recorder.lines.append
        if self._counter is None:
            return
        parts: list[Iterator[Any]] = []
        self._passing = []
        done = 0
        for steps in message.steps:
            passing = repeat(None, steps - done)
            self._passing.append((steps - done, passing))
            parts += [passing, self._stopping()]
            done = steps + 1  # the statement that is stopped at passes as it acts
        self._counter.arm(chain(*parts, repeat(None)))

    def _actions_at(self, ident: int, actions: list[tuple[int, str]], reason: str) -> Iterator[Any]:
        append = self._recorder.lines.append
        parts: list[Iterator[Any]] = []
        for passes, words in actions:
            parts.append(map(append, repeat(ident, passes)))
            here = words.split("+")
            interrupts = "interrupt" in here
            if here != ["interrupt"]:
                parts.append(self._acting(ident, here, starts=not interrupts))
            if interrupts:
                parts.append(map(self._interrupts.delivery(reason), (ident,)))
        parts.append(map(append, repeat(ident)))
        return chain.from_iterable(parts)

    def _counted(self, ident: int, actions: list[tuple[int, str]], reason: str) -> Callable[[int], None]:
        """As `_actions_at`, for a statement at which another thread may come to the same statement."""
        todo: dict[int, list[str]] = {}
        at = -1
        for passes, words in actions:
            at += passes + 1
            todo[at] = words.split("+")
        starts = count()

        def append(_ident: int) -> None:
            here = todo.get(next(starts))
            if here is None:
                self._recorder.lines.append(ident)
                return
            interrupts = "interrupt" in here
            next(self._acting(ident, here, starts=not interrupts), None)
            if interrupts:
                self._interrupts.delivery(reason)(ident)  # type: ignore[call-arg]  # a class of one argument

        return append

    def _acting(self, ident: int, actions: list[str], *, starts: bool) -> Iterator[Any]:
        """One start of a statement: a stop comes before its own entry, a collection after it."""
        if "stop" in actions:
            self._actions["stop"]()
        if starts:
            self._recorder.lines.append(ident)
            for name in ("gc", "preempt", "signal"):
                if name in actions:
                    self._actions[name]()
            yield None

    def _stopping(self) -> Iterator[Any]:
        self._actions["stop"]()
        yield None

    def compile_module(self, name: str, path: str, data: bytes) -> CodeType:
        """Compiles a module of the workspace and tells the host of it."""
        try:
            source = importlib.util.decode_source(data)
            with self._recorder.quiet():
                compiled = self._instrument(source, path)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            # A replay needs the text of a module that cannot be compiled just as well.
            self._recorder.observe(
                "import", {"module": name, "path": path, "content": data, **self._units.where()}
            )
            raise
        with self._recorder.quiet():
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
        self._arm(message)
        for each in self._units.all():
            each.budget.refill(self._value_limit)
        interrupts = self._interrupts
        interrupts.begin(message.block)
        try:
            outcome, code, error = self._execute(unit, program=message.program, last=message.last)
        finally:
            interrupts.end()
        if interrupts.placed:
            outcome, code, error = "interrupted", None, error or _interruption(interrupts.reason)
        recorder = self._recorder
        flush_streams()
        if len(self._baton.strands) > 1:
            self._baton.breathe()  # threads that can run have a turn; between blocks none has
        recorder.drain()  # first: the host writes while we collect
        gc.collect()
        recorder.drain()
        return Done(
            message.block,
            outcome,
            code,
            error,
            recorder.now(),
            recorder.dropped,
            self._under_way(),
            broken=interrupts.signalled,
        )

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
            self._enter(unit.code, as_module=program and unit.block == 1 and runs_as_module(self._module))
        except BaseException as error:  # noqa: BLE001  the sandbox boundary: whatever leaves agent code is data
            problem = error
        outcome, code, described = "ok", None, None
        if problem is not None:
            outcome, code = outcome_of(problem)
            if outcome != "exited":
                tb = agents_part(problem, self._units.owns)
                status = print_exception(problem, tb) if program else None
                if status is not None:
                    outcome, code = "exited", status
                with self._recorder.quiet(), self._pristine(False):
                    described = describe(problem, tb)
            elif program:
                print_exit(problem)
        if program and (last or problem is not None):
            end_program(self._pristine(False))
        return outcome, code, described

    def _enter(self, code: CodeType, *, as_module: bool) -> None:
        namespace = self._module.__dict__
        self._interpreter.enter(_stack_depth() + as_module * FRAMES_OF_MODULE)
        try:
            _settrace(self._tracing[0])
            _setprofile(self._tracing[1])
            if code.co_flags & inspect.CO_COROUTINE:
                self._loop = self._loop or _new_loop()
                self._loop.run_until_complete(eval(code, namespace))
            elif as_module:
                run_as_module(code, namespace)
            else:
                exec(code, namespace)
        finally:
            # Agent code's tracers are not to see, or stop, what we do between blocks. One that raises at
            # these very calls (in C, so that only a profiler hears of them) is gone after that.
            try:
                self._tracing = _gettrace(), _getprofile()
                _setprofile(None)
            except BaseException:  # noqa: BLE001  whatever its profiler raises
                self._tracing = _gettrace(), None
            _settrace(None)


def _stack_depth() -> int:
    # Before 3.12 the call of `exec` itself counts as well.
    depth = 2 if sys.version_info < (3, 12) else 0
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        depth += 1
        frame = frame.f_back
    return depth


def _interruption(reason: str) -> dict[str, Any]:
    """For a block that was interrupted, and caught it."""
    return {
        "type": "KeyboardInterrupt",
        "mro": ["KeyboardInterrupt"],
        "message": reason,
        "args": [],
        "traceback": "",
    }


def _new_loop() -> Any:
    import asyncio

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    return loop

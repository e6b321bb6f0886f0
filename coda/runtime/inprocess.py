"""The engine in the caller's own process, for notebooks: what a block does is observed, not kept in.

Guarantee: nothing of the process is replaced for good. While a block runs, `sys.stdout` and `sys.stderr` are
its own, and one audit hook of the process (which cannot be taken out again, and does nothing at other times)
tells of its files, processes and connections. One block runs at a time in a process.

What it costs: clock, chance, environment, host facts, child processes' results and the modules that blocks
import are not in the log; nothing kills a block that will not be interrupted; there is no limit of memory
or processes. `run.started` says `fidelity: observed`.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextvars import ContextVar
from functools import cache
from types import ModuleType
from typing import Any

import msgspec

from coda.errors import SandboxError
from coda.runtime.engine import Boundary
from coda.runtime.limits import Limits
from coda.runtime.protocol import (
    Answer,
    Channel,
    Configure,
    Done,
    FromWorker,
    Observe,
    Prepare,
    Prepared,
    Ready,
    Request,
    Run,
    Stream,
)  # fmt: skip
from coda.runtime.stopping import TIMED_OUT
from coda.runtime.worker.audit import Audit
from coda.runtime.worker.baton import Baton
from coda.runtime.worker.blocks import Blocks
from coda.runtime.worker.inbox import Clock, Inbox
from coda.runtime.worker.interpreter import Interpreter
from coda.runtime.worker.interrupts import Interrupts
from coda.runtime.worker.names import Ctx, Stub, note_mutations
from coda.runtime.worker.recorder import Recorder
from coda.runtime.worker.streams import OutputControl, RecordedOutput
from coda.runtime.worker.units import Units

_FLUSH_SECONDS = 0.005
_RUNS = threading.Lock()
"""One block at a time: streams and hook belong to the process."""
_ACTIVE: ContextVar[Audit | None] = ContextVar("coda_active_audit", default=None)


@cache
def _install_hook() -> None:
    """Adds the process's one audit hook."""
    active = _ACTIVE.get

    def hook(event: str, args: tuple[Any, ...]) -> None:
        audit = active()
        if audit is not None and (handler := audit.handler(event)) is not None:
            with audit.quiet():
                handler(*args)

    sys.addaudithook(hook)


class InProcessEngine:
    """Runs blocks in this process (see `coda.runtime.engine.Engine` for the same verbs).

    Args:
        configure: what a worker would be told; its `tools` are bound.
    """

    def __init__(self, configure: Configure) -> None:
        self.configure = configure
        self.pid = os.getpid()
        self._channel = _Local()
        self._recorder = Recorder(self._channel, origin_ns=configure.origin_ns, level=configure.level)
        self._recorder.handle = _out_of_turn
        units = Units()
        self._module = ModuleType("__main__")
        self._ctx = Ctx(self._recorder, units)
        inbox = Inbox(self._recorder, Clock(), time.monotonic)
        baton = Baton(self._recorder, inbox)
        self._interrupts = Interrupts(self._recorder, units, None)
        self._blocks = Blocks(
            self._recorder,
            units,
            self._module,
            self._interrupts,
            level=configure.level,
            value_limit=configure.value_limit,
            frames=configure.frames,
            baton=baton,
            interpreter=Interpreter(),
        )
        self._audit = Audit(
            self._recorder,
            units,
            root=configure.root,
            max_blob_bytes=configure.max_blob_bytes,
            replaying=False,
        )
        self._control = OutputControl(self._recorder, _nothing)
        self._block = 0
        space = self._module.__dict__
        for declared in configure.tools:
            space[declared["name"]] = Stub(declared, self._recorder, units, baton)
        space["ctx"] = self._ctx
        names = [declared["name"] for declared in configure.tools] + ["ctx"]
        self.ready = Ready(names, [], True, [])
        _install_hook()

    def prepare(self, message: Prepare, boundary: Boundary, *, timeout_s: float | None = None) -> Prepared:
        """Compiles a block; nothing holds that to a time."""
        self._channel.boundary = boundary
        return self._blocks.prepare(message)

    def run(self, message: Run, boundary: Boundary, *, limits: Limits | None = None) -> Done:
        """Runs a prepared block to its end.

        Raises:
            LogError: the trace cannot be written any more, whatever the block made of that.
        """
        channel = self._channel
        channel.boundary = boundary
        with _RUNS, self._streams(), self._helpers(message.block, limits or Limits()):
            recursion, tracing = sys.getrecursionlimit(), (sys.gettrace(), sys.getprofile())
            token = _ACTIVE.set(self._audit)
            self._audit.active = True
            self._control.begin(None)
            try:
                done = self._blocks.run(message)
            finally:
                self._audit.active = False
                _ACTIVE.reset(token)
                sys.setrecursionlimit(recursion)
                sys.settrace(tracing[0])
                sys.setprofile(tracing[1])
            note_mutations(self._ctx)
            self._recorder.drain()
        if channel.failure is not None:
            raise channel.failure
        if self._interrupts.placed and self._late:
            return msgspec.structs.replace(done, code=TIMED_OUT)
        return done

    def inspect(self, command: str, **_: Any) -> Any:
        """Nothing can be asked of a notebook's process: it never stands still."""
        raise SandboxError(f"a sandbox in the caller's process cannot be asked for {command!r}")

    def interrupt(self, reason: str, kind: str = "KeyboardInterrupt") -> None:
        """Asks that the block that runs is stopped, from any thread; the kind is that of workers' engines."""
        block = self._block
        if block:
            threading.Thread(target=self._interrupts.at_statement, args=(block, reason), daemon=True).start()

    def signal(self, number: int) -> None:
        """The process is the caller's: signals reach it by themselves."""

    def close(self) -> None:
        """Nothing to end: variables stay where they are."""

    def kill(self) -> None:
        """Nothing that could be ended by force."""

    # --- while a block runs --------------------------------------------------------------------

    @contextlib.contextmanager
    def _streams(self) -> Iterator[None]:
        before = sys.stdout, sys.stderr
        made = [
            RecordedOutput(
                self._control, name=name, fd=fd, tty=False, encoding="utf-8", errors="backslashreplace"
            )
            for name, fd in (("stdout", 1), ("stderr", 2))
        ]
        self._channel.swap = lambda: _swapped(*before)
        sys.stdout, sys.stderr = made
        try:
            yield
        finally:
            sys.stdout, sys.stderr = before

    @contextlib.contextmanager
    def _helpers(self, block: int, limits: Limits) -> Iterator[None]:
        """A thread that sends what has gathered, and looks at the time."""
        self._block, self._late = block, False
        ended = threading.Event()
        due = None if limits.wall_s is None else time.monotonic() + limits.wall_s

        def help_out() -> None:
            self._recorder.exempt.add(threading.get_ident())
            while not ended.wait(_FLUSH_SECONDS):
                self._recorder.drain()
                if due is not None and not self._late and time.monotonic() >= due:
                    self._late = True
                    detail = f"block {block} ran longer than {limits.wall_s:g} s"
                    self._recorder.observe("limit.hit", {"what": "wall", "detail": detail})
                    self.interrupt(f"stopped after the time limit of {limits.wall_s:g} s")

        thread = threading.Thread(target=help_out, name="coda-flusher", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            self._block = 0


class _Local(Channel):
    """What a worker would send over its pipe goes straight to the boundary; calls are made on this thread."""

    def __init__(self) -> None:
        super().__init__(-1, -1, FromWorker)
        self.boundary: Boundary | None = None
        self.failure: BaseException | None = None
        self.swap: Any = contextlib.nullcontext
        self._asked: deque[Request] = deque()

    def write(self, frames: bytes) -> None:
        """Hands messages on. What fails there is raised here, and again when the block has ended."""
        self._pending += frames
        while (message := self._take()) is not None:
            assert self.boundary is not None
            try:
                if isinstance(message, Stream):
                    self.boundary.stream(message)
                elif isinstance(message, Observe):
                    self.boundary.observe(message)
                elif isinstance(message, Request):
                    self._asked.append(message)
            except BaseException as error:
                self.failure = self.failure or error
                raise

    def waiting(self) -> Any:
        """Performs what was asked, with the caller's own streams in place, and gives the answer."""
        if not self._asked:
            raise SandboxError("nothing was asked")
        request = self._asked.popleft()
        assert self.boundary is not None
        token = _ACTIVE.set(None)
        try:
            with self.swap():
                answer = self.boundary.request(request)
        except OSError as error:  # the recorder takes one for a host that is gone, and would end this process
            self.failure = self.failure or error
            raise SandboxError(f"the recording failed: {error}") from error
        except BaseException as error:
            self.failure = self.failure or error
            raise
        finally:
            _ACTIVE.reset(token)
        if not isinstance(answer, Answer):
            raise SandboxError("calls that overlap need a worker process")
        return msgspec.structs.replace(answer, number=request.number)

    def close(self) -> None:
        """There is nothing to close."""


@contextlib.contextmanager
def _swapped(stdout: Any, stderr: Any) -> Iterator[None]:
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = stdout, stderr
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def _nothing() -> None:
    """No replay stops here."""


def _out_of_turn(message: Any) -> None:
    raise RuntimeError(f"message out of turn: {type(message).__name__}")

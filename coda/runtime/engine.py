"""The host's end of a worker: starts it, hears it, and hands all it says to a boundary.

Guarantee: recording, replaying and forking share this one engine; they differ only in the `Boundary` they
hand in. The engine keeps no state of a run. A worker that dies, stalls or talks nonsense ends as a
`Done` with outcome `killed` or a `SandboxError`, never as a hang. A worker whose objects cannot be trusted
any more (`Done.broken`) is ended before its last word is handed on.
"""

from __future__ import annotations

import contextlib
import math
import os
import selectors
import signal
import subprocess
import time
from typing import Any, Protocol

import msgspec

from coda.errors import SandboxError
from coda.runtime.apart import PendingCall
from coda.runtime.arrivals import INTERRUPTED, Pending
from coda.runtime.launching import Apart, launch_worker
from coda.runtime.limits import Limits
from coda.runtime.protocol import (
    Answer,
    Channel,
    Configure,
    Crashed,
    Done,
    Exit,
    FromWorker,
    Inspect,
    Interrupt,
    Leaving,
    Observe,
    Prepare,
    Prepared,
    Ready,
    Reply,
    Request,
    Resume,
    Run,
    Stopped,
    Stream,
)  # fmt: skip
from coda.runtime.startup import Startup, startup_here
from coda.runtime.stopping import NotCompiled, Stopping
from coda.runtime.usage import out_of_memory_kills
from coda.runtime.watching import LOOK_SECONDS, Reached, Watch

_REPLACED = -1
_SUCCESSOR_SECONDS = 0.1
# A worker that says nothing for so long in the middle of a message will not end it: it is no message.
_SILENT_SECONDS = 5.0
_SILENT_TIMES = 6
_EXIT_SECONDS = 1.0
_START_SECONDS = 60.0
_RAW_CHUNK = 1 << 16

HOLD = object()
"""What a boundary gives for a request that it will not answer now: the worker waits, inspectable."""


class Boundary(Protocol):
    """What is done with what a worker says. Three implementations: record, answer, fork."""

    def stream(self, message: Stream) -> None:
        """Statements, values and coded observations."""

    def observe(self, message: Observe) -> None:
        """An observation with fields."""

    def request(self, message: Request) -> Any:
        """Gives the `Answer`, `HOLD`, or a `Pending` or `PendingCall` that gives it once there is one."""

    def raw_output(self, stream: str, data: bytes) -> None:
        """What C code or a child wrote to descriptor 1 or 2."""


class Held(Exception):
    """Internal: the boundary holds a request back."""

    def __init__(self, request: Request) -> None:
        self.request = request


class _Due(Exception):
    """Internal: a deadline has passed."""


class Engine:
    """One worker process.

    Args:
        configure: what the worker is to be.
        hash_seed: its `PYTHONHASHSEED`.
        startup: how its interpreter is started; None: as this process was.
        stdin: descriptor for its standard input; None gives it none.
        apart: in a session of its own (`session`), which keeps signals of the terminal from it; in a process
            group of its own (`group`), which keeps signals to ours from it; or with us (`none`).
    """

    def __init__(
        self,
        configure: Configure,
        *,
        hash_seed: int,
        startup: Startup | None = None,
        stdin: int | None = None,
        apart: Apart = "session",
    ) -> None:
        self.configure = configure
        self.held: Request | None = None
        self._pending: tuple[Pending | PendingCall, int] | None = None
        self._apart = apart
        self._raw: dict[int, str] = {}
        self._raw_ready: list[int] = []
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        self._wanted: tuple[str, str] | None = None
        self._leaving: int | None = None
        self._silent_s = 0.0
        self._memory_kills: int | None = None
        self._process = self._launch(startup or startup_here(), hash_seed, stdin, apart)
        try:
            self._channel.send(configure)
            ready = self._next(None, time.monotonic() + _START_SECONDS)
        except (EOFError, OSError) as error:
            self.kill()
            raise SandboxError("the worker ended before it was ready; what it said is above") from error
        except _Due as error:
            self.kill()
            raise SandboxError(f"the worker was not ready after {_START_SECONDS:g} s") from error
        except BaseException:
            self.kill()
            raise
        if not isinstance(ready, Ready):
            self.kill()
            raise SandboxError(f"the worker did not start: {_describe(ready)}")
        self.ready = ready

    def _launch(
        self, startup: Startup, hash_seed: int, stdin: int | None, apart: Apart
    ) -> subprocess.Popen[bytes]:
        process, read_fd, write_fd, control_fd = launch_worker(
            startup, hash_seed=hash_seed, stdin=stdin, apart=apart
        )
        self._channel = Channel(read_fd, write_fd, FromWorker)
        self._control = Channel(-1, control_fd, FromWorker)
        self._selector.register(read_fd, selectors.EVENT_READ)
        for pipe, name in ((process.stdout, "stdout"), (process.stderr, "stderr")):
            assert pipe is not None
            self._raw[pipe.fileno()] = name
            self._selector.register(pipe.fileno(), selectors.EVENT_READ)
        return process

    @property
    def pid(self) -> int:
        """Process id of the worker."""
        return self._process.pid

    # --- verbs ---------------------------------------------------------------------------------

    def prepare(self, message: Prepare, boundary: Boundary, *, timeout_s: float | None = None) -> Prepared:
        """Compiles a block in the worker.

        Args:
            message: the block.
            boundary: hears what the worker says meanwhile.
            timeout_s: how long it may take; None: as long as it takes.

        Raises:
            EOFError: the worker is gone.
            NotCompiled: it took longer, or somebody wants the block to be stopped; the worker was ended.
        """
        self._wanted = None
        self._say(message)
        deadline = math.inf if timeout_s is None else time.monotonic() + timeout_s
        while self._wanted is None:
            try:
                heard = self._next(boundary, deadline)
            except _Due:
                detail = f"block {message.block} was not compiled in {timeout_s:g} s"
                _hit(boundary, "wall", detail)
                self._wanted = f"stopped: it was not compiled in {timeout_s:g} s", "TimeoutError"
                break
            if isinstance(heard, Prepared):
                return heard
            if heard is not None:
                self._dispatch(heard, boundary)
        self.kill()
        raise NotCompiled(*self._wanted)

    def run(self, message: Run, boundary: Boundary, *, limits: Limits | None = None) -> Done | Stopped:
        """Runs a prepared block to its end, to a stop, or until the boundary holds a request back."""
        try:
            self._say(message)
        except EOFError:
            return self._died(message.block, boundary)
        return self._until_done(boundary, limits or Limits(), message.block)

    def resume(
        self,
        boundary: Boundary,
        *,
        live_at: int | None = None,
        given: tuple[int, Any] | None = None,
        limits: Limits | None = None,
        block: int = 0,
    ) -> Done | Stopped:
        """Lets a stopped worker go on; a held request is put to the (new) boundary.

        Args:
            boundary: hears the worker from now on.
            live_at: leave the recorded answers behind; the wall clock goes on from here (nanoseconds).
            given: its answer to the observation it stands at, as stream code and value; None: the system's.
            limits: of the rest of the block.
            block: its number.
        """
        self._channel.send(Resume(live_at is not None, live_at or 0, given))
        held, self.held = self.held, None
        if held is not None:
            try:
                self._dispatch(held, boundary)
            except Held:
                self.held = held
                return Stopped(held.data.get("line"), held.data.get("file"))
        return self._until_done(boundary, limits or Limits(), block)

    def go_live(self, wall_ns: int) -> None:
        """Lets an idle worker leave the recorded answers behind; its wall clock goes on from `wall_ns`."""
        self._channel.send(Resume(True, wall_ns))

    def inspect(self, command: str, *, boundary: Boundary | None = None, **data: Any) -> Any:
        """Puts a command to a stopped or idle worker. Raises SandboxError with what it raised there."""
        self._channel.send(Inspect(command, data))
        while not isinstance(reply := self._next(boundary), Reply):
            if reply is None:
                continue
            if boundary is None:
                raise SandboxError(f"the worker did not answer: {_describe(reply)}")
            self._dispatch(reply, boundary)
        if not reply.ok:
            raise SandboxError(f"{reply.value['type']}: {reply.value['message']}", error=reply.value)
        return reply.value

    def close(self) -> None:
        """Ends the worker; waits for it."""
        if self._process.poll() is None:
            try:
                self._channel.send(Exit())
                self._process.wait(_EXIT_SECONDS)
            except (OSError, subprocess.TimeoutExpired):
                pass
        self.kill()

    def kill(self) -> None:
        """Ends the worker at once, and what it left running in its process group."""
        self._end_processes()
        self._release()

    def _end_processes(self) -> None:
        if self._apart == "session":
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass  # nobody is left (macOS says "not permitted" of a group of zombies)
        self._process.kill()
        self._process.wait()

    def interrupt(self, reason: str, kind: str = "KeyboardInterrupt") -> None:
        """Asks that the block that runs is stopped, from any thread; returns at once.

        Args:
            reason: why, in words.
            kind: `KeyboardInterrupt` when a person wants it, `LimitExceeded` when a limit does.
        """
        self._wanted = reason, kind
        try:
            os.write(self._wake_write, b"!")
        except OSError:
            return  # closed, or full: it will be seen

    def signal(self, number: int) -> None:
        """Sends the worker a signal; harmless when it is gone."""
        self._process.send_signal(number)

    def _release(self) -> None:
        if self._wake_write < 0:
            return
        self._channel.close()
        self._control.close()
        self._selector.close()
        wake, self._wake_write = self._wake_write, -1
        for fd in (wake, self._wake_read):
            os.close(fd)
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    def _say(self, message: Any) -> None:
        """Sends; a worker that is gone ends as if it had been heard to go."""
        try:
            self._channel.send(message)
        except OSError as error:
            raise EOFError from error

    # --- hearing -------------------------------------------------------------------------------

    def _until_done(self, boundary: Boundary, limits: Limits, block: int) -> Done | Stopped:
        stopping = Stopping(
            ask=lambda reason: self._control.send(Interrupt(block, reason)),
            break_off=self._break_off,
            signal=lambda: self._signal(boundary),
            has_hooks=self.configure.level != "effects",
            timeout_s=limits.wall_s,
        )
        watch = Watch(self.pid, block, limits, lambda what, detail: _hit(boundary, what, detail))
        self._memory_kills = out_of_memory_kills()
        if watch.looks:
            stopping.look_every(LOOK_SECONDS)
        while True:
            try:
                if self._wanted is not None:
                    stopping.begin(*self._wanted)
                    self._wanted = None
                heard = self._next(boundary, stopping.deadline)
                if isinstance(heard, Done):
                    return self._ended(heard, stopping, boundary)
                if isinstance(heard, Stopped):
                    return heard
                if isinstance(heard, Leaving):
                    self._leaving = heard.code
                    continue
                if isinstance(heard, Observe) and _is_interruption(heard):
                    stopping.placed()
                if heard is not None:
                    self._dispatch(heard, boundary)
            except _Due:
                if not _stop_further(stopping, boundary, watch, block, limits):
                    self._end_processes()
                    self._hear_the_rest(boundary)
                    self._release()
                    return Done(block, "killed", stopping.code, stopping.error, -1, 0, broken=True)
            except EOFError:
                return self._died(block, boundary, limits.wall_s)
            except Held as held:
                self.held = held.request
                return Stopped(held.request.data.get("line"), held.request.data.get("file"))

    def _break_off(self, reason: str) -> bool:
        """Ends the call of a tool that the worker waits for; False when it waits for none."""
        if self._pending is None:
            return False
        pending, number = self._pending
        if not isinstance(pending, PendingCall):
            return False
        self._pending = None
        answer = pending.break_off(reason)
        with contextlib.suppress(EOFError):  # a worker that is gone is heard to go
            self._say(msgspec.structs.replace(answer, number=number))
        return True

    def _signal(self, boundary: Boundary) -> None:
        """Sends SIGINT; what is in the log by now happened before it."""
        detail = "sent by coda: no statement started that could be interrupted"
        boundary.observe(Observe("signal", {"name": "SIGINT", "detail": detail}, -1))
        if self._pending is not None:  # it waits for arrivals: no signal need reach it
            number, self._pending = self._pending[1], None
            self._say(msgspec.structs.replace(INTERRUPTED, number=number))
        else:
            self._process.send_signal(signal.SIGINT)

    def _ended(self, done: Done, stopping: Stopping, boundary: Boundary) -> Done:
        """What is said of a block that ended, perhaps because it was stopped."""
        self._drain_raw(boundary)
        if self.configure.kind == "exec" and stopping.step == "running":
            # Ctrl-C is a program's own affair: what it makes of that, and how it ends, is its word.
            return msgspec.structs.replace(done, broken=False)
        broken = stopping.step == "signalled" or done.broken
        if broken:
            self.kill()
        elif stopping.step != "placed":
            return done
        error = done.error or stopping.error
        if not error["message"] and error["type"] == "KeyboardInterrupt":
            error = {**error, "message": stopping.reason}  # of the signal, which cannot say why
        return msgspec.structs.replace(
            done, outcome="interrupted", code=stopping.code, error=error, broken=broken
        )

    def _hear_the_rest(self, boundary: Boundary) -> None:
        """What a worker that is gone had said before; what it asked for is not done any more."""
        try:
            while any(key.fd == self._channel.read_fd for key, _ in self._selector.select(0)):
                self._channel.fill()
        except (EOFError, OSError):
            pass
        try:
            while (message := self._channel.waiting()) is not None:
                if isinstance(message, Stream):
                    boundary.stream(message)
                elif isinstance(message, Observe):
                    boundary.observe(message)
        except SandboxError:
            pass  # cut off in the middle
        self._drain_raw(boundary)

    def _dispatch(self, message: Any, boundary: Boundary) -> None:
        if isinstance(message, Stream):
            boundary.stream(message)
        elif isinstance(message, Observe):
            boundary.observe(message)
        elif isinstance(message, Request):
            if message.kind == "process.finished":
                self._drain_raw(boundary, times=1)  # a pipe holds no more than one read gives
            answer = boundary.request(message)
            if answer is HOLD:
                raise Held(message)
            if isinstance(answer, Pending | PendingCall):
                self._pending = (answer, message.number)
            else:
                assert isinstance(answer, Answer)
                self._say(msgspec.structs.replace(answer, number=message.number))
        else:
            raise SandboxError(
                f"the worker failed: {_describe(message)}", detail=getattr(message, "detail", "")
            )

    def _next(self, boundary: Boundary | None, deadline: float = math.inf) -> Any:
        """The next message of the worker; None when somebody wants the block to be stopped.

        Raises:
            _Due: the deadline has passed, even if the worker talks without pause.
        """
        channel = self._channel
        while True:
            if deadline < math.inf and time.monotonic() >= deadline:
                raise _Due
            message = channel.waiting()
            if message is not None:
                return message
            # Only now: what was printed before, and came at the same time, is to be seen before it.
            while self._raw_ready:
                self._hear_raw(self._raw_ready.pop(0), boundary)
            wait = None if deadline == math.inf else max(0.0, deadline - time.monotonic())
            for fd in self._ready_with_patience(self._answer_pending(wait)):
                if fd == channel.read_fd:
                    channel.fill()
                elif fd == self._wake_read:
                    os.read(self._wake_read, 64)
                    return None
                elif fd in self._raw and fd not in self._raw_ready:
                    self._raw_ready.append(fd)

    def _ready_with_patience(self, wait: float | None) -> list[int]:
        """As `_ready`; but in the middle of a message a worker may not be silent for ever."""
        if not self._channel.is_partial:
            self._silent_s = 0.0
            return self._ready(wait)
        wait = _SILENT_SECONDS if wait is None else min(wait, _SILENT_SECONDS)
        ready = self._ready(wait)
        # Counted by what was waited, not by the clock: both may have been stopped, and go on together.
        self._silent_s = 0.0 if self._channel.read_fd in ready else self._silent_s + wait
        if self._silent_s > _SILENT_TIMES * _SILENT_SECONDS:
            raise SandboxError("the worker sent a part of a message, and nothing more")
        return ready

    def _answer_pending(self, wait: float | None) -> float | None:
        """Gives a waiting worker what has arrived; gives how long to listen before the next look."""
        if self._pending is None:
            return wait
        pending, number = self._pending
        answer = pending.take()
        if answer is not None:
            self._pending = None
            self._say(msgspec.structs.replace(answer, number=number))
            return wait
        until = pending.wait_s()
        return until if wait is None else wait if until is None else min(wait, until)

    def _ready(self, wait: float | None) -> list[int]:
        """Descriptors that have something to say within that time."""
        bell = self._pending[0].fd if self._pending is not None else None
        if bell is None:
            return [key.fd for key, _ in self._selector.select(wait)]
        self._selector.register(bell, selectors.EVENT_READ)
        try:
            return [key.fd for key, _ in self._selector.select(wait)]
        finally:
            self._selector.unregister(bell)

    def _hear_raw(self, fd: int, boundary: Boundary | None) -> None:
        try:
            data = os.read(fd, _RAW_CHUNK)
        except BlockingIOError:
            return
        if not data:
            self._selector.unregister(fd)
        elif boundary is not None:
            boundary.raw_output(self._raw[fd], data)
        else:
            os.write(2, data)  # before any boundary: the interpreter's own complaints

    def _drain_raw(self, boundary: Boundary, times: float = math.inf) -> None:
        """What was written to the descriptors before the block ended has already reached the pipe."""
        self._raw_ready.clear()
        while times and (ready := [key.fd for key, _ in self._selector.select(0) if key.fd in self._raw]):
            times -= 1
            for fd in ready:
                self._hear_raw(fd, boundary)

    def _died(self, block: int, boundary: Boundary, wall_s: float | None = None) -> Done:
        """How a block ended whose worker is gone: by its own `os._exit`, or killed."""
        if self._leaving == _REPLACED:
            self._hear_successor(boundary, math.inf if wall_s is None else time.monotonic() + wall_s)
        try:
            code = self._process.wait(_EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            code = None  # it lives, and has closed the descriptors by which it could be heard
        self._end_processes()
        self._drain_raw(boundary)
        self._release()
        if code is None:
            error = _death("the worker closed its connection to coda, and was ended", -signal.SIGKILL)
            return Done(block, "killed", 128 + signal.SIGKILL, error, -1, 0, broken=True)
        if code >= 0 and self._leaving is None:
            error = _death(f"the worker ended with status {code}, though nothing asked it to", code)
            return Done(block, "killed", None, error, -1, 0, broken=True)
        if code >= 0:
            return Done(block, "exited", code, None, -1, 0, broken=True)
        name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
        why = self._why_ended(name, boundary, block)
        error = _death(f"the worker was ended by {name}{why}", code)
        return Done(block, "killed", 128 - code, error, -1, 0, broken=True)

    def _why_ended(self, name: str, boundary: Boundary, block: int) -> str:
        """What is known of a signal that ended the worker, and was not coda's."""
        if name == "SIGKILL":
            kills = out_of_memory_kills()
            if kills is not None and self._memory_kills is not None and kills > self._memory_kills:
                _hit(boundary, "memory", f"the system ran out of memory in block {block}")
                return ": the system ran out of memory"
            return ", not by coda: perhaps the system ran out of memory"
        if name in ("SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE"):
            return ": C code crashed (an extension, or a recursion in C without end)"
        return ""

    def _hear_successor(self, boundary: Boundary, deadline: float) -> None:
        """Hears the program that has taken the worker's place, until it ends or has had its time."""
        self._selector.unregister(self._channel.read_fd)
        while self._process.poll() is None and self._wanted is None and time.monotonic() < deadline:
            for key, _ in self._selector.select(_SUCCESSOR_SECONDS):
                if key.fd in self._raw:
                    self._hear_raw(key.fd, boundary)

    @property
    def is_alive(self) -> bool:
        """Whether the worker still runs."""
        return self._process.poll() is None


def _stop_further(stopping: Stopping, boundary: Boundary, watch: Watch, block: int, limits: Limits) -> bool:
    """A deadline has passed: that of a look, the block's own, or that of the step before."""
    if stopping.step != "running":
        return stopping.go_on()
    reached = watch.look() if watch.looks else None
    if reached is None and stopping.is_late:
        detail = f"block {block} ran longer than {limits.wall_s:g} s"
        reached = Reached("wall", detail, f"stopped after the time limit of {limits.wall_s:g} s")
    if reached is None:
        stopping.look_every(LOOK_SECONDS)
        return True
    _hit(boundary, reached.what, reached.detail)
    stopping.begin(reached.reason, "TimeoutError")
    return True


def _hit(boundary: Boundary, what: str, detail: str) -> None:
    boundary.observe(Observe("limit.hit", {"what": what, "detail": detail}, -1))


def _is_interruption(message: Observe) -> bool:
    return message.kind == "signal" and message.data.get("statement") is not None


def _death(message: str, code: int) -> dict[str, Any]:
    return {"type": "WorkerDied", "mro": ["WorkerDied"], "message": message, "args": [], "code": code}


def _describe(message: Any) -> str:
    if isinstance(message, Crashed):
        return message.message
    return type(message).__name__

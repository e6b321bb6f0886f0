"""Children that agent code talks to while they run: `subprocess.Popen` and what is built on it.

Recording, the child runs for real; a pump for each pipe copies what passes and tells of it, so that the
bytes are in the log before agent code can see them. Replaying, no process exists: the recorded bytes are
fed into the agent's end of the pipe, what it writes is swallowed, and each wait or poll has the recorded
outcome, a time-out too. Guarantee: agent code works on real pipes with the real class in both cases, so
buffering, text modes and errors are Python's own.

What passes in time is not kept: a read of "whatever has arrived" may see other pieces on replay.
"""

from __future__ import annotations

import _thread
import hashlib
import os
import select
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

from coda.log import UNKEPT, from_envelope, to_envelope
from coda.runtime.worker.circumstances import Circumstances
from coda.runtime.worker.feeding import Answers, Fed, Intake, May, Need, Outlet, Said, outlet_of
from coda.runtime.worker.names import describe_exception
from coda.runtime.worker.recorder import Recorder
from coda.runtime.worker.standins import LIVE, Feed

_start_thread, _allocate_lock = _thread.start_new_thread, _thread.allocate_lock  # agent code has others
_fstat = os.fstat
_CHUNK = 1 << 16
_JOIN_SECONDS = 0.2
"""How long the end of a child waits for its pipes: a grandchild may keep one open for long."""
_EXPIRED = "timeout"
CAN_WATCH = hasattr(os, "pidfd_open")
"""Whether the system tells by a descriptor that a child has ended."""
_HANDLES = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")

Describe = Callable[..., dict[str, Any]]
RaiseRecorded = Callable[[dict[str, Any]], None]


class _Pipe(NamedTuple):
    """A pipe between agent and child: its name, and the argument that holds the child's end."""

    name: str
    argument: str
    end: int


class _Task:
    """Work in a thread of ours: agent code does not see it, and it is never waited for at exit."""

    def __init__(self, recorder: Recorder, act: Callable[[], None]) -> None:
        self._running = _allocate_lock()
        self._running.acquire()
        self._recorder = recorder
        self._act = act
        with recorder.quiet():
            _start_thread(self._run, ())

    def _run(self) -> None:
        try:
            with self._recorder.quiet():
                self._act()
        finally:
            self._running.release()

    def join(self, seconds: float) -> None:
        """Waits for its end, but not for ever."""
        if self._running.acquire(timeout=seconds):
            self._running.release()


class _Child:
    """What is known of one child."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.tasks: list[tuple[str, _Task]] = []
        self.fed: Any = None
        """Running digest of what was written to its standard input; None when the child did not take all."""
        self.stop: int | None = None
        """Closing this descriptor tells whoever takes what the agent writes that the child has ended."""
        self.code: int | None = None
        """The recorded exit status, when it is answered."""
        self.answers: Answers | None = None
        """What was recorded of it, when it is answered."""
        self.finished = False
        self.is_fed = False
        """Whether an answered child has a pipe for its input."""

    @property
    def answered(self) -> bool:
        """Whether there is no process: the log says what it did."""
        return self.answers is not None


class _Inlet:
    """Waits for what the agent writes to a child, until the child takes no more."""

    def __init__(self, child: _Child, source: int, target: int | None) -> None:
        self._stop, child.stop = os.pipe()
        self._target = target
        self._poll = select.poll()
        for fd, events in ((source, select.POLLIN), (self._stop, select.POLLIN), (target, 0)):
            if fd is not None:
                self._poll.register(fd, events)

    def has_more(self) -> bool:
        """Waits; False when the child has closed its end, or has ended."""
        ready = dict(self._poll.poll())
        return self._stop not in ready and self._target not in ready

    def close(self) -> None:
        """Lets go of the descriptor that `child.stop` wakes."""
        os.close(self._stop)


class Children:
    """Adapts `subprocess.Popen`.

    Args:
        recorder: where events go.
        feed: recorded observations, on replay.
        describe: gives the fields of `process.started` for arguments and keywords.
        raise_recorded: raises the exception of a recorded error.
        circumstances: what a child may depend on beside its arguments.
    """

    def __init__(
        self,
        recorder: Recorder,
        feed: Feed,
        *,
        describe: Describe,
        raise_recorded: RaiseRecorded,
        circumstances: Circumstances,
    ) -> None:
        self._circumstances = circumstances
        self._recorder = recorder
        self._feed = feed
        self._describe = describe
        self._raise_recorded = raise_recorded
        self._count = 0
        self._answered: dict[int, _Child] = {}
        self._telling = False
        """Whether what passes through pipes of answered children is told: it goes into the log of a fork."""
        self._turn = _allocate_lock()
        self._outputs: dict[tuple[int, int], str] = {}
        """Pipes that children write to, by their inode."""
        # Kept here: agent code may replace what the module holds.
        self._pipe, self._dup = os.pipe, os.dup
        self._read, self._write, self._close = os.read, os.write, os.close

    def adapt(self, subprocess: Any) -> None:
        """Puts the recorded forms into the class `Popen`; its subclasses have them too."""
        popen = subprocess.Popen
        execute, poll = popen._execute_child, popen._internal_poll
        names = execute.__code__.co_varnames[1 : execute.__code__.co_argcount]
        busy = self._recorder.busy

        def _execute_child(popen: Any, *values: Any) -> None:
            if busy():
                execute(popen, *values)
            else:
                self._start(popen, dict(zip(names, values, strict=True)), execute)

        def _internal_poll(popen: Any, _deadstate: Any = None, **more: Any) -> Any:
            child = popen.__dict__.get("_coda")
            if child is None or popen.returncode is not None or busy():
                return poll(popen, _deadstate=_deadstate, **more)
            if _deadstate is not None:  # from `__del__`, whenever that may be: no observation
                if not child.answered:
                    return poll(popen, _deadstate=_deadstate, **more)
                popen.returncode = _deadstate
                return _deadstate
            return self._polled(child, popen, lambda: poll(popen, **more))

        shims = [_execute_child, _internal_poll, self._waiting(subprocess), self._communicating(subprocess)]
        for shim in shims:
            shim.__qualname__ = f"Popen.{shim.__name__}"
            shim.__module__ = "subprocess"
            setattr(popen, shim.__name__, shim)

    def circumstances(self, stdin: int | None) -> dict[str, str | None]:
        """What a child may depend on beside its arguments, as `Circumstances.facts`.

        Args:
            stdin: the descriptor of its standard input, which may be the output of another child.
        """
        facts = self._circumstances.facts(stdin)
        if stdin is not None and facts["source"] == UNKEPT:
            with suppress(OSError):
                found = _fstat(stdin)
                facts["source"] = self._outputs.get((found.st_dev, found.st_ino), UNKEPT)
        return facts

    def settle(self, source: str | None) -> None:
        """A child reads all that another one says: waits until that may be said."""
        child = self._feeder(source)
        if child is not None and child.answers is not None and self._is_fork():
            child.answers.wait_for_all()

    def go_live(self) -> None:
        """A fork's log begins: tells what has passed so far, since its parent may have told it later."""
        with self._turn:
            for child in self._answered.values():
                answers = child.answers
                if answers is None or child.finished:
                    continue
                if child.is_fed:
                    self._observe(child, "stdin", answers.written(), offset=0)
                for outlet in answers.outlets:
                    for number, each in enumerate(outlet.said[: outlet.told]):
                        self._observe(child, outlet.stream, each.piece, offset=outlet.offset(number))
            self._telling = True

    def idle(self, *, timers: bool) -> None:
        """An event loop waits for its children."""
        for child in list(self._answered.values()):
            if child.answers is not None and not child.finished:
                child.answers.idle(timers=timers)

    def _feeder(self, source: str | None) -> _Child | None:
        """The answered child whose output is the standard input of another one."""
        _, told, number = (source or "").rpartition(" of child ")
        return self._answered.get(int(number)) if told else None

    def _is_fork(self) -> bool:
        return self._feed.live and not self._feed.real

    # --- starting ------------------------------------------------------------------------------

    def _start(self, popen: Any, given: dict[str, Any], execute: Any) -> None:
        self._count += 1
        child = _Child(self._count)
        pipes = _pipes_of(given)
        source = given["p2cread"] if given["p2cread"] != -1 and given["p2cwrite"] == -1 else None
        facts = self._describe(given["args"], given, via="subprocess.Popen")
        facts.update(self.circumstances(source))
        facts.update(child=child.number, pipes=[pipe.name for pipe in pipes])
        answer = self._recorder.request("process.started", facts)
        if not answer.ok:
            raise PermissionError(str(answer.value))
        for pipe in pipes:
            found = _fstat(pipe.end)
            self._outputs[found.st_dev, found.st_ino] = f"{pipe.name} of child {child.number}"
        if answer.value is not None:
            self._play(popen, child, given, pipes, answer.value, self._feeder(facts["source"]))
        else:
            self._run(popen, child, given, pipes, execute)
        popen.__dict__["_coda"] = child
        if not CAN_WATCH and _caller_is_asyncio():
            detail = "asyncio waits for the child by itself: a replay cannot answer that yet"
            self._recorder.observe("limit.hit", {"what": "asyncio-process", "detail": detail})

    def _run(
        self, popen: Any, child: _Child, given: dict[str, Any], pipes: list[_Pipe], execute: Any
    ) -> None:
        """Starts the child on pipes of ours, and a pump between each and the agent's."""
        recorder = self._recorder
        changed = dict(given)
        ours: dict[str, int] = {}
        for pipe in pipes:
            read, write = self._pipe()
            inner, ours[pipe.name] = (read, write) if pipe.name == "stdin" else (write, read)
            changed[pipe.argument] = inner
            if pipe.name == "stdout" and given["errwrite"] == pipe.end:
                changed["errwrite"] = inner  # stderr=STDOUT
        try:
            with recorder.quiet():
                execute(popen, *changed.values())
        except BaseException as error:
            for pipe in pipes:
                self._shut(ours[pipe.name])
                # The caller closes the ends that it knows of, unless the start came so far itself.
                self._shut(pipe.end if popen._closed_child_pipe_fds else changed[pipe.argument])
            described = describe_exception(error)
            described["errno"] = getattr(error, "errno", None)
            described["filename"] = to_envelope(getattr(error, "filename", None))
            recorder.request("process.finished", {"error": described, "child": child.number})
            raise
        self._feed.note("Popen.pid", popen.pid)
        for pipe in pipes:
            self._pump(child, pipe, ours[pipe.name])

    def _play(
        self,
        popen: Any,
        child: _Child,
        given: dict[str, Any],
        pipes: list[_Pipe],
        recorded: dict[str, Any],
        feeder: _Child | None,
    ) -> None:
        """Starts nothing: feeds what the log has, swallows what the agent writes."""
        if recorded.get("error") is not None:
            facts = {"error": recorded["error"], "child": child.number}
            self._recorder.request("process.finished", facts)
            self._raise_recorded(recorded["error"])
        child.code = recorded.get("code")
        popen.pid = self._feed.recorded("Popen.pid")
        if popen.pid is LIVE:  # a fork past its position
            popen.pid = recorded.get("pid") or child.number
            self._feed.note("Popen.pid", popen.pid)
        self._feed.children.add(popen.pid)
        popen._child_created = True
        intake = self._intake(child, pipes, recorded, feeder)
        need = recorded.get("need")
        child.answers = Answers(
            self._recorder, child.number, intake, Need(*need) if need else None, self._is_fork
        )
        self._answered[child.number] = child
        for pipe in pipes:
            if pipe.name != "stdin":
                said = [Said(Need(*need) if need else None, piece) for need, piece in recorded[pipe.name]]
                outlet = outlet_of(popen, pipe.name)
                outlet.hold(child.answers, pipe.name, said)
                self._supply(child, self._dup(pipe.end), outlet)
        popen._close_pipe_fds(*(given[name] for name in _HANDLES))

    def _intake(
        self, child: _Child, pipes: list[_Pipe], recorded: dict[str, Any], feeder: _Child | None
    ) -> Intake:
        """Through which an answered child is fed: by agent code, or by another child through that one's."""
        if feeder is not None and feeder.answers is not None:
            return feeder.answers.intake
        end = next((self._dup(pipe.end) for pipe in pipes if pipe.name == "stdin"), None)
        child.is_fed = end is not None
        intake = Intake(end, Fed(recorded["input"]), partial(self._tell, child))
        if end is not None:
            self._swallow(child, end, intake)
        if recorded.get("fed") is not None:
            child.fed = intake.digest
        return intake

    def _tell(self, child: _Child, piece: bytes, offset: int) -> None:
        """What an answered child is fed is in a fork's log as in its parent's."""
        if self._telling:
            self._observe(child, "stdin", piece, offset=offset)

    def _observe(self, child: _Child, stream: str, piece: bytes, **more: int) -> None:
        """Tells of a piece; an empty one is the end."""
        facts: dict[str, Any] = {"child": child.number, "stream": stream, **more}
        self._recorder.observe("process.io", {**facts, "content": piece} if piece else facts)

    # --- in the background ---------------------------------------------------------------------

    def _pump(self, child: _Child, pipe: _Pipe, ours: int) -> None:
        """Copies between the child's pipe and the agent's; tells of each piece before it can be seen."""
        incoming = pipe.name != "stdin"
        source, target = (ours, pipe.end) if incoming else (pipe.end, ours)
        if not incoming:
            child.fed = hashlib.sha256()

        inlet = None if incoming else _Inlet(child, source, target)

        def copy() -> None:
            try:
                while inlet is None or inlet.has_more():
                    piece = self._read(source, _CHUNK)
                    self._observe(child, pipe.name, piece)
                    if not piece:
                        break
                    if child.fed is not None and not incoming:
                        child.fed.update(piece)
                    self._put(target, piece)
            except OSError:  # nobody reads any more, or agent code closed the descriptor by its number
                if not incoming:
                    child.fed = None
            finally:
                self._shut(source)
                self._shut(target)
                if inlet is not None:
                    inlet.close()

        child.tasks.append((pipe.name, _Task(self._recorder, copy)))

    def _supply(self, child: _Child, end: int, outlet: Outlet) -> None:
        """Writes what the child wrote, as it may be said."""
        answers = child.answers
        assert answers is not None

        def supply() -> None:
            try:
                for each in outlet.said:
                    answers.wait_behind(each.need)
                    with self._turn:
                        if self._telling:
                            offset = outlet.offset(outlet.told)
                            self._observe(child, outlet.stream, each.piece, offset=offset)
                        outlet.told += 1
                    if each.piece:
                        self._put(end, each.piece)
                    outlet.given += 1
            except OSError:
                return  # as when it was recorded: the agent reads no further
            finally:
                self._shut(end)

        child.tasks.append(("output", _Task(self._recorder, supply)))

    def _swallow(self, child: _Child, end: int, intake: Intake) -> None:
        """Reads what the child would have read."""
        inlet = _Inlet(child, end, None)

        def swallow() -> None:
            try:
                while inlet.has_more() and intake.catch_up():
                    continue
            finally:
                intake.close()
                inlet.close()

        child.tasks.append(("stdin", _Task(self._recorder, swallow)))

    def _put(self, fd: int, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._write(fd, view) :]

    def _shut(self, fd: int) -> None:
        try:
            self._close(fd)
        except OSError:
            return  # closed by its number before

    def when_over(self, child: _Child, act: Callable[[], None]) -> None:
        """Does something once an answered child may have ended."""
        answers = child.answers
        assert answers is not None

        def wait() -> None:
            answers.wait_behind(answers.need)
            act()

        child.tasks.append(("end", _Task(self._recorder, wait)))

    # --- waiting -------------------------------------------------------------------------------

    def _waiting(self, subprocess: Any) -> Any:
        wait, expired = subprocess.Popen._wait, subprocess.TimeoutExpired

        def _wait(popen: Any, timeout: Any) -> Any:
            child = popen.__dict__.get("_coda")
            if child is None or popen.returncode is not None or self._recorder.busy():
                return wait(popen, timeout)

            def ask() -> Any:
                try:
                    return wait(popen, timeout)
                except expired:
                    return _EXPIRED

            outcome = self._outcome("Popen.wait", child, ask)
            if outcome == _EXPIRED:
                raise expired(popen.args, timeout)
            self._reaped(child, popen, outcome)
            return outcome

        return _wait

    def _communicating(self, subprocess: Any) -> Any:
        """With a time limit: its outcome is an observation, and so is what had come by then."""
        communicate, expired = subprocess.Popen._communicate, subprocess.TimeoutExpired

        def _communicate(popen: Any, input: Any, endtime: Any, orig_timeout: Any) -> Any:
            child = popen.__dict__.get("_coda")
            if child is not None and not self._recorder.busy():
                self._ready_to_communicate(child, popen, input)
            if child is None or endtime is None or self._recorder.busy():
                return communicate(popen, input, endtime, orig_timeout)
            done: list[Any] = []

            def ask() -> Any:
                try:
                    done.append(communicate(popen, input, endtime, orig_timeout))
                except expired as error:
                    return [_EXPIRED, to_envelope(error.output), to_envelope(error.stderr)]
                return ["done", None, None]

            outcome, out, err = self._outcome("Popen.communicate", child, ask)
            if outcome == _EXPIRED:
                if child.answered and not hasattr(popen, "_fileobj2output"):
                    _begin_communicating(popen, input)
                raise expired(popen.args, orig_timeout, output=from_envelope(out), stderr=from_envelope(err))
            if not done:  # answered: all that was recorded is on its way through the pipes
                popen.returncode = child.code
                with self._recorder.quiet():
                    done.append(communicate(popen, input, None, orig_timeout))
            if popen.returncode is not None:
                self._reaped(child, popen, popen.returncode)
            return done[0]

        return _communicate

    def _ready_to_communicate(self, child: _Child, popen: Any, input: Any) -> None:
        """Looks whether an answered child may say all that it said once it has been fed the rest."""
        if child.answers is None or not self._is_fork() or hasattr(popen, "_fileobj2output"):
            return
        rest: bytes | None = None
        stdin = popen.stdin
        if stdin is not None and not stdin.closed:
            with suppress(OSError):
                stdin.flush()
            is_text = isinstance(input, str)
            rest = input.encode(stdin.encoding, stdin.errors) if is_text else bytes(input or b"")
        child.answers.communicate(rest)

    def _polled(self, child: _Child, popen: Any, ask: Callable[[], Any]) -> Any:
        outcome = self._outcome("Popen.poll", child, ask)
        if outcome is not None:
            self._reaped(child, popen, outcome)
        return outcome

    def _outcome(self, what: str, child: _Child, ask: Callable[[], Any]) -> Any:
        """The outcome of a wait or a poll: asked of the system and noted, or the recorded one."""
        recorder, feed = self._recorder, self._feed
        answer = feed.recorded(what)
        if answer is not LIVE:
            return answer
        if child.answers is not None:  # in a fork: the child ended long ago
            outcome: Any = ["done", None, None] if what == "Popen.communicate" else child.code
            if what == "Popen.poll" and child.answers.may_say(child.answers.need) is May.NOT_YET:
                outcome = None
            elif what != "Popen.communicate":
                child.answers.wait_for_end()
        else:
            recorder.drain()
            with recorder.quiet():
                outcome = ask()
        feed.note(what, outcome)
        return outcome

    def _reaped(self, child: _Child, popen: Any, code: int) -> None:
        """The child has ended: what it wrote is in the log before its end is, and then its files."""
        popen.returncode = code
        if child.finished:
            return
        child.finished = True
        is_fed = popen.stdin is not None and popen.stdin.closed
        if child.stop is not None:
            if is_fed:  # all that was written is on its way: it is taken to its end
                child.tasks[0][1].join(_JOIN_SECONDS)
            self._shut(child.stop)  # nobody reads any more: what is written from now on is refused
        for name, task in child.tasks:
            if not child.answered or name == "stdin":
                task.join(_JOIN_SECONDS)
        facts: dict[str, Any] = {"code": code, "child": child.number, "pid": popen.pid}
        if child.fed is not None and is_fed:
            facts["fed"] = child.fed.hexdigest()
        self._recorder.request("process.finished", facts)


def _begin_communicating(popen: Any, input: Any) -> None:
    """Leaves what the first call of `_communicate` leaves for the next one."""
    popen._fileobj2output = {stream: [] for stream in (popen.stdout, popen.stderr) if stream}
    popen._save_input(input)


def _pipes_of(given: dict[str, Any]) -> list[_Pipe]:
    """The pipes that `Popen` made: where the agent holds an end, so does the child."""
    found = []
    for name, agent, child in (
        ("stdin", "p2cwrite", "p2cread"),
        ("stdout", "c2pread", "c2pwrite"),
        ("stderr", "errread", "errwrite"),
    ):
        if given[agent] != -1:
            found.append(_Pipe(name, child, given[child]))
    return found


def _caller_is_asyncio() -> bool:
    frame: Any = sys._getframe(2)
    while frame is not None:
        if frame.f_globals.get("__name__") == "asyncio.unix_events":
            return True
        frame = frame.f_back
    return False

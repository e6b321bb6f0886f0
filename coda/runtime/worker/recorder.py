"""The worker's side of the log: one stream of statements, values and observations, in causal order.

Guarantee: what ran before an effect is sent before the effect, because draining the buffers and
sending happen under one lock; the flusher thread takes the same lock. A drain takes ids first and
values after, and every hook appends its value before its id, so values are never missing for an id
that was sent; the host carries surplus values over to the next message.
"""

from __future__ import annotations

import _thread
import bisect
import gc
import os
import select
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from coda.log import from_envelope, to_envelope
from coda.runtime.instrument_hooks import Buffer, Values
from coda.runtime.protocol import Answer, Channel, Observe, Request, Stream, pack
from coda.runtime.worker.parallel import parallel

GC_CODE = -16
OUTPUT_CODES = (-1, -2)
_FLUSH_SECONDS = 0.003
_QUIET_SECONDS = 0.024
_BUSY_SECONDS = 0.001
_BUSY_ENTRIES = 1000
_IDLE_SECONDS = 0.05
_COALESCE_CHARS = 4096
_JOINED_BYTES = 1 << 16
_KEEP_LOOKS = 4
_exit, _getppid, _write = os._exit, os.getppid, os.write  # the agent's own are others
_start_thread = _thread.start_new_thread
_CHUNK_ENTRIES = 1 << 14
# More than this waiting to be sent, and agent code waits too: the buffer's memory is bounded.
_THROTTLE_ENTRIES = 1 << 20
_WATCH_SECONDS = 0.02
_TAKEN_ENTRIES = 1 << 18
_HELD_CHARS = 4 << 20
# Containers made since the last collection after which the flusher asks for one.
_COLLECT_AFTER = 300_000


def _collecting(recorder: Recorder) -> type[Buffer]:
    """A buffer that is swapped in for one statement: collects garbage there, and says so in the stream."""

    class CollectingBuffer(Buffer):
        __slots__ = ()

        def append(self, ident: int, /) -> None:
            list.append(self, ident)
            if not recorder.is_statement(ident):
                return  # a value or the mark of a frame: a replay can collect only where a statement starts
            # The recorder is in the closure: another thread may have swapped the class since the call.
            self.__class__ = Buffer  # type: ignore[assignment]  # back to the plain buffer
            recorder.collect()

    return CollectingBuffer


def _throttling(recorder: Recorder) -> type[Buffer]:
    """A buffer that is swapped in while more has gathered than can be sent: each statement waits its turn."""

    class ThrottlingBuffer(Buffer):
        __slots__ = ()

        def append(self, ident: int, /) -> None:
            list.append(self, ident)
            recorder.wait_for_room()

    return ThrottlingBuffer


def _first_of(ids: range) -> int:
    return ids.start


class Recorder:
    """Owns the buffers that instrumented code appends to, and the channel to the host."""

    def __init__(self, channel: Channel, *, origin_ns: int, level: str) -> None:
        self.channel = channel
        self.lines = Buffer()
        self.values = Values()
        self.level = level
        self.dropped = 0
        self._held_chars = 0
        self.exempt: set[int] = set()
        self.handle: Callable[[Any], None] = _unexpected
        self.collects: Callable[[], bool] = bool
        """Whether agent code lets garbage be collected; set by the worker."""
        self._origin_ns = origin_ns
        self._statements: list[range] = []
        self._lock = _thread.RLock()
        self._asking = _thread.RLock()
        self._now = time.monotonic_ns
        self._sleep = time.sleep
        self._wake = _thread.allocate_lock()
        self._wake.acquire()
        self._get_ident = _thread.get_ident
        self._collect_class = _collecting(self)
        self._throttle_class = _throttling(self)
        self._parallel_class: type[Buffer] | None = None
        self._stop = False
        self._running = False
        self._may_collect = False
        self._collected = False
        self._readable = select.poll()
        if channel.read_fd >= 0:  # in the caller's own process nothing comes over a pipe
            self._readable.register(channel.read_fd, select.POLLIN)
        self._looking = False
        self._looks = 0
        self._asked = 0
        self.is_asking = False
        """Whether an agent's thread waits for an answer of the host."""
        self.act: tuple[int, str] | None = None
        """The act on a file that the host was asked for last: its event, and the path."""
        self.on_tick: Callable[[], bool] = bool
        """Called by the flusher each time that it wakes; says whether it is to look often."""
        self.on_broken_off: Callable[[str], None] = _ignore
        """Told why the host breaks off a call that it was asked for, before KeyboardInterrupt is raised."""
        self.on_parallel: list[Callable[[], None]] = []
        """Called when threads begin to run at the same time."""

    # --- tables --------------------------------------------------------------------------------

    def know(self, statements: range) -> None:
        """Takes note of the ids of the next table's statements."""
        self._statements.append(statements)

    def is_statement(self, ident: int) -> bool:
        """Tells a statement from what else is in the stream."""
        index = bisect.bisect_right(self._statements, ident, key=_first_of) - 1
        return index >= 0 and ident in self._statements[index]

    # --- threads -------------------------------------------------------------------------------

    def start_flusher(self) -> None:
        """Starts the thread that sends what has gathered.

        It looks every millisecond in a hot loop, so that little is left to send at its end, and less and less
        often, down to every 24 ms, where statements are few: each look takes the interpreter from the agent.
        """
        os.register_at_fork(after_in_child=self.detach)
        _start_thread(self._flush_forever, ())
        _start_thread(self._watch_forever, ())

    def _watch_forever(self) -> None:
        """Makes agent code wait while the flusher waits for a host that does not read."""
        self.exempt.add(self._get_ident())
        while not self._stop:
            self._sleep(_WATCH_SECONDS if self._running else _IDLE_SECONDS)
            self._throttle()

    def _flush_forever(self) -> None:
        self.exempt.add(self._get_ident())
        host = _getppid()
        pause = _IDLE_SECONDS
        while not self._stop:
            if self._wake.acquire(timeout=pause):
                pause = _BUSY_SECONDS
                continue
            pause = self._pause_after(pause)
            if _getppid() != host:
                _exit(70)  # the host is gone: a loop in agent code must not outlive it
            try:
                if self.on_tick():
                    pause = min(pause, _FLUSH_SECONDS)
                if self.lines:
                    self._throttle()
                    self.drain_statements()
                    if type(self.lines) is self._throttle_class and len(self.lines) < _THROTTLE_ENTRIES:
                        self.lines.__class__ = Buffer
                if self._may_collect and gc.get_count()[0] > _COLLECT_AFTER and self.collects():
                    self._ask_for_collection()
            except OSError:
                _exit(70)
            except Exception:  # noqa: BLE001
                self.dropped += 1  # counted, and told in run.finished: a recorder must not end the program

    def _pause_after(self, pause: float) -> float:
        """How long the flusher sleeps next, after it has slept for so long."""
        if len(self.lines) > _BUSY_ENTRIES:
            return _BUSY_SECONDS
        if not self._running:
            return _IDLE_SECONDS
        return min(max(2 * pause, _FLUSH_SECONDS), _QUIET_SECONDS)

    def _throttle(self) -> None:
        if len(self.lines) > _THROTTLE_ENTRIES and type(self.lines) is Buffer:
            self.lines.__class__ = self._throttle_class

    def _ask_for_collection(self) -> None:
        if self.level == "effects":
            self._collect_anywhere()
        elif type(self.lines) is Buffer:
            self.lines.__class__ = self._collect_class

    def _collect_anywhere(self) -> None:
        """Collects where no statement has a number: what finalizers do has no place for a replay."""
        if gc.collect() and not self._collected:
            self._collected = True
            detail = (
                "cyclic garbage was collected between statements: a replay at this level collects elsewhere"
            )
            self.observe("limit.hit", {"what": "gc", "detail": detail})

    def go_parallel(self, number_here: Callable[[], int]) -> None:
        """From here on threads of agent code run at the same time: each entry says whose it is.

        Args:
            number_here: number of the calling thread.
        """
        if type(self.lines) is not self._parallel_class:
            self.values.__class__, self.lines.__class__ = parallel(self._lock, self.values, number_here)
            self._parallel_class = type(self.lines)
            for tell in self.on_parallel:
                tell()

    def wait_for_room(self) -> None:
        """Holds the calling thread while too much is waiting to be sent."""
        while len(self.lines) > _THROTTLE_ENTRIES and not self.busy():
            self._sleep(_FLUSH_SECONDS)

    def collect(self) -> None:
        """Notes the place in the stream and collects garbage there; what finalizers do comes behind it."""
        self.code(GC_CODE, None)
        gc.collect()

    def begin(self) -> None:
        """A block begins: the flusher, which slept while there was nothing to do, looks often."""
        self._running = True
        if self._wake.locked():
            self._wake.release()

    def end(self) -> None:
        """The block has ended."""
        self._running = False

    def allow_collection(self, allowed: bool) -> None:
        """Says whether the flusher may ask for collections (recording only: a replay follows the log)."""
        self._may_collect = allowed

    def detach(self) -> None:
        """In a forked child: forget the host. What the child does is one opaque act of its parent."""
        self._stop = True
        self.channel.close()
        self.channel = _Sink()

    @property
    def is_detached(self) -> bool:
        """True in a forked child, whose doings nobody hears of."""
        return self._stop

    def busy(self) -> bool:
        """True inside the recorder's own work on this thread: its effects are not the agent's."""
        return self._get_ident() in self.exempt

    def quiet(self) -> _Quiet:
        """Context in which what this thread does is not recorded."""
        return _Quiet(self.exempt, self._get_ident())

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Context in which the state is looked at: nothing is sent, and what ran leaves no trace."""
        with self._lock, self.quiet():
            lines, values = len(self.lines), len(self.values)
            self._looking = True
            try:
                yield
            finally:
                self._looking = False
                del self.lines[lines:]
                del self.values[values:]

    # --- sending -------------------------------------------------------------------------------

    def now(self) -> int:
        """Nanoseconds since the run began."""
        return self._now() - self._origin_ns

    def code(self, code: int, value: Any) -> None:
        """Puts a coded observation into the stream."""
        self.values.append(value)
        self.lines.append(code)

    def output(self, code: int, text: Any) -> None:
        """Puts written text into the stream, joined with what the same statement wrote just before."""
        if self._stop:  # a child writes to the descriptor itself, where the host hears it
            data = text.encode("utf-8", "backslashreplace") if type(text) is str else from_envelope(text)
            _write_all(-code, data)
            return
        with self._lock:
            lines, values = self.lines, self.values
            if lines and lines[-1] == code and type(text) is str:
                last = values[-1]
                if type(last) is str and len(last) < _COALESCE_CHARS:
                    values[-1] = last + text
                    return
            self.code(code, text)
            self._held_chars += len(text)
            if self._held_chars > _HELD_CHARS:
                self.drain()  # few entries may be much text: whoever writes it waits until it is taken

    def drain_statements(self) -> None:
        """Sends what has gathered, but for text that the statement at hand may still add to.

        It waits for a few looks and no longer, so that a prompt is seen while its statement goes on.
        """
        with self._lock:
            count = len(self.lines)
            if count > 1:
                self._looks = 0  # it is another text than last time
            keep = count > 0 and self.lines[count - 1] in OUTPUT_CODES and self._looks < _KEEP_LOOKS
            self._looks = self._looks + 1 if keep else 0
            self._send_first(count - keep, kept_values=int(keep))

    def drain(self) -> None:
        """Sends what has gathered in the buffers."""
        with self._lock:
            self._send_first(len(self.lines))

    def _send_first(self, count: int, *, kept_values: int = 0) -> None:
        """Sends the first `count` entries, and the values but for the last ones; the lock is held."""
        if frames := self._first(count, kept_values=kept_values):
            self.channel.write(frames[0] if len(frames) == 1 else b"".join(frames))

    def _first(self, count: int, *, kept_values: int = 0) -> list[bytes]:
        """Takes the first `count` entries, and the values but for the last ones, as frames.

        Entries may come meanwhile: the values that are kept are behind all those of the entries taken. Pieces
        stay in the caches of the processor, but go out by one call of the system: with each call another
        thread takes the interpreter's lock, and keeps it for a while.
        """
        lines, values = self.lines, self.values
        self._held_chars = 0
        pieces = []
        for size in _sizes(count, _TAKEN_ENTRIES):
            taken = lines[:size]
            del lines[:size]  # moves all that is behind it: not once for each small piece of a backlog
            pieces += [
                pack(taken[start : start + _CHUNK_ENTRIES]) for start in range(0, size, _CHUNK_ENTRIES)
            ]
        vals = values[: len(values) - kept_values]
        del values[: len(vals)]
        if not (pieces or vals):
            return []
        frames = [self._stream(pieces[0] if pieces else pack([]), vals)]
        return frames + [self._stream(packed, []) for packed in pieces[1:]]

    def _stream(self, packed: bytes, vals: list[Any]) -> bytes:
        try:
            return self.channel.frame(Stream(packed, vals, self.now()), spell=False)
        except (TypeError, ValueError, OverflowError):  # a scalar that msgpack does not carry as it is
            with self.quiet():
                tagged = [v if isinstance(v, (dict, list)) else to_envelope(v) for v in vals]
                return self.channel.frame(Stream(packed, tagged, self.now()))

    def send(self, message: Any) -> None:
        """Sends a message behind everything that happened before it."""
        with self._lock:
            last = self.channel.frame(message)
            frames = self._first(len(self.lines))
            if len(last) > _JOINED_BYTES and frames:  # copying it costs more than a call of the system
                self.channel.write(b"".join(frames))
                frames.clear()
            self.channel.write(b"".join([*frames, last]) if frames else last)

    def observe(self, kind: str, data: dict[str, Any]) -> None:
        """Tells the host of something that needs no answer."""
        if self._looking:
            return
        self.send(Observe(kind, data, self.now()))

    def fail(self, error: OSError) -> None:
        """Tells that the act on a file that the host was asked for last fails."""
        act, self.act = self.act, None
        if act is not None:
            data = {"act": act[0], "path": act[1], "error": type(error).__name__, "errno": error.errno}
            self.observe("file.failed", data)

    def request(self, kind: str, data: dict[str, Any]) -> Answer:
        """Asks the host and waits; while it holds the answer back, it may inspect the worker."""
        if self._looking:
            raise PermissionError(f"nothing crosses the boundary while the state is looked at: {kind}")
        if self._stop:
            if kind == "tool.called":
                raise PermissionError("a tool cannot be called from a forked process: the log has one writer")
            return Answer(True)  # what a child does is its own affair
        with self._asking:
            self._asked = number = self._asked + 1
            self.is_asking = True
            try:
                self.send(Request(kind, data, self.now(), number))
                while True:
                    message = self.receive()
                    if not isinstance(message, Answer):
                        self.handle(message)
                    elif message.number == number:  # else to a request that an interrupt broke off
                        return message
            finally:
                self.is_asking = False

    def receive(self) -> Any:
        """Waits for the host's next message; a host that is gone ends the worker."""
        try:
            while (message := self.channel.waiting()) is None:
                self.wait_for_host()
                self.channel.fill()
            return message
        except (EOFError, OSError):
            _exit(70)

    def wait_for_host(self) -> None:
        """Waits until the host has said something; whatever interrupts it here interrupts nothing else."""
        try:
            self._readable.poll()
        except OSError:
            return  # agent code has set its limit of descriptors to nothing: the read waits instead


class _Quiet:
    def __init__(self, exempt: set[int], ident: int) -> None:
        self._exempt = exempt
        self._ident = ident

    def __enter__(self) -> None:
        self._had = self._ident in self._exempt
        self._exempt.add(self._ident)

    def __exit__(self, *_: object) -> None:
        """Ends the quiet."""
        if not self._had:
            self._exempt.discard(self._ident)


class _Sink(Channel):
    """Where a forked child's messages go: nowhere."""

    def __init__(self) -> None:
        pass

    def frame(self, message: Any, *, spell: bool = True) -> bytes:
        """Makes nothing of it."""
        return b""

    def write(self, frames: bytes) -> None:
        """Drops it."""

    def receive(self) -> Any:
        """There is nobody to hear from."""
        raise EOFError


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[_write(fd, data) :]


def _sizes(total: int, most: int) -> Iterator[int]:
    """Cuts a number of entries into pieces."""
    for start in range(0, total, most):
        yield min(most, total - start)


def _unexpected(message: Any) -> None:
    raise RuntimeError(f"message out of turn: {type(message).__name__}")


def _ignore(_reason: str) -> None:
    """Where nobody breaks calls off."""

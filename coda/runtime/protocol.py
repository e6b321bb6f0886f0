"""What host and worker say to each other: frames of msgpack over two pipes, data only.

Guarantee: every message is one of the structs below, bounded in size and validated on arrival, so the
host can treat the worker as hostile: nothing that arrives is ever unpickled or used unchecked.
Each direction is one FIFO, so the order in which the worker speaks is the order of the log.
"""

from __future__ import annotations

import os
from typing import Any

import msgspec

from coda.errors import SandboxError

MAX_MESSAGE_BYTES = 1 << 30
LOWEST_CODE = -21
# Below the size from which the C library takes fresh pages from the system, each of which costs a fault.
_READ_BYTES = 1 << 16
pack = msgspec.msgpack.Encoder().encode
"""Packs the entries of a `Stream`."""
_ids_decoder = msgspec.msgpack.Decoder(list[int])


class _Message(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Base: an array whose first element is the name of the type."""


# --- worker to host ----------------------------------------------------------------------------


class Ready(_Message, frozen=True):
    """The worker is set up."""

    names: list[str]
    layers: list[str]
    """What keeps it in: see `coda.runtime.worker.isolation`."""
    aslr: bool
    problems: list[str]


class Prepared(_Message, frozen=True):
    """A block was compiled. `error` is set when it could not be."""

    block: int
    table: bytes
    """The statement table, encoded JSON; empty when there is none."""
    flags: int
    """Compiler flags of `__future__` imports, for the next cell."""
    note: str | None
    error: dict[str, Any] | None


class Stream(_Message, frozen=True):
    """Statements, bindings and coded observations since the last message."""

    packed: bytes
    """The entries, as a msgpack array of integers: `entries` unpacks it once their range is known."""
    vals: list[Any]
    t: int

    def entries(self, stop: int) -> list[int]:
        """Unpacks the entries; raises SandboxError when one is not below `stop`, or is no stream code.

        Cost: two passes in C. (Limits in the decoder's own type cost more than the set.)
        """
        try:
            ids: list[int] = _ids_decoder.decode(self.packed)
        except msgspec.MsgspecError as error:
            raise SandboxError(f"the worker sent entries that are no numbers: {error}") from error
        present = set(ids)
        if present and (max(present) >= stop or min(present) < LOWEST_CODE):
            raise SandboxError("the worker sent statements that no table of this run has")
        return ids


class Observe(_Message, frozen=True):
    """An observation with fields of its own; nobody waits for an answer."""

    kind: str
    data: dict[str, Any]
    t: int


class Request(_Message, frozen=True):
    """The worker waits for an `Answer` before it acts or goes on."""

    kind: str
    data: dict[str, Any]
    t: int
    number: int = 0
    """Counts the requests of a worker: an answer to one that was given up is known by it."""


class Done(_Message, frozen=True):
    """A block ended."""

    block: int
    outcome: str
    code: int | None
    error: dict[str, Any] | None
    t: int
    dropped: int
    pending: list[str] = []
    """Names of tasks and threads that are still under way."""
    broken: bool = False
    """It was ended from outside, at an instant that cannot be found again: its objects are unknown."""


class Leaving(_Message, frozen=True):
    """Agent code ends the process: nothing comes after this."""

    code: int
    """Its status (`os._exit`); -1: another program takes its place (`os.exec`)."""


class Stopped(_Message, frozen=True):
    """The worker stands before a statement, as it was told; it waits for commands."""

    line: int | None
    file: str | None


class Reply(_Message, frozen=True):
    """Answer to an `Inspect`."""

    ok: bool
    value: Any


class Crashed(_Message, frozen=True):
    """The worker's own code failed."""

    message: str
    detail: str


# --- host to worker ----------------------------------------------------------------------------


class Mount(_Message, frozen=True):
    """Show the folder or file `source` at `target`."""

    source: str
    target: str


class Configure(_Message, frozen=True):
    """First message: what the worker is to be."""

    mode: str
    """`record` or `replay`."""
    kind: str
    level: str
    value_limit: int
    random_seed: int
    root: str
    cwd: str
    argv: list[str]
    main: str | None
    module: str | None
    path: list[str]
    """Entries to put before `sys.path`."""
    tools: list[dict[str, Any]]
    env: dict[str, str] | None
    """The whole environment of agent code; None: the worker's own."""
    tty: list[bool]
    encoding: str
    origin_ns: int
    """`time.monotonic_ns()` of the run's beginning."""
    max_blob_bytes: int
    isolate: str = ""
    """`namespaces`, `fence` (where those are refused), `returnable` (mounts that are left again), or nothing
    at all when empty."""
    observed: bool = False
    """It was recorded in the caller's process: clock, chance and the like are not in its log."""
    mounts: list[Mount] = []
    writable: list[str] = []
    """Mount points that stay writable; what is mounted below them does not."""
    memory_bytes: int | None = None
    closed: list[int] = []
    """Which of the descriptors 0, 1 and 2 the program was started without."""
    zone: str = ""
    """The time zone to be in where the environment names none (replay)."""
    umask: int | None = None
    """Mask of the modes of new files (replay)."""
    search: list[str] | None = None
    """Folders of `PYTHONPATH`, in place of the worker's own (replay)."""
    threads: str = "serial"
    """`serial`: one at a time, in an order that can be replayed; `real`: as the system schedules them."""
    frames: bool = False
    """Whether the tables have rows for the marks of frames."""


class Prepare(_Message, frozen=True):
    """Compile a block; do not run it."""

    block: int
    source: str
    file: str
    first_line: int
    flags: int
    top_level_await: bool
    docstring: bool = True
    """A leading string is the module's docstring; not in later cells."""
    worker: int = 0
    """How many workers the run had before: what must be unique differs from worker to worker."""
    base: int = -1
    """Id of the block's first statement; -1: the one after the last that this worker gave."""


class Run(_Message, frozen=True):
    """Run a prepared block."""

    block: int
    program: bool = False
    """As `python` runs a script: an uncaught exception is printed."""
    last: bool = False
    """The program ends with it, or with its failure: threads joined, exit functions run."""
    feed: list[tuple[int, Any]] = []
    """Recorded answers of coded observations, in order (replay)."""
    feed_stop: int = -1
    """Stop before this one of them is given."""
    output_stop: tuple[str, int] | None = None
    """Stop before the write to that stream after so many characters of this block."""
    triggers: list[tuple[int, list[tuple[int, str]]]] = []
    """For a watched statement: after that many passes, do that (`stop`, `gc`, `interrupt`), in order."""
    reason: str = ""
    """Message of the exception with which `interrupt` ends its statement."""
    steps: list[int] = []
    """Stop before the statements with these numbers, from 0 over the block, where they are counted."""


class Answer(_Message, frozen=True):
    """To a `Request`."""

    ok: bool
    value: Any = None
    number: int = 0
    """Of the request; set by the engine."""


class Inspect(_Message, frozen=True):
    """To a worker that waits: `frames`, `evaluate`, `assign`, `steps`, `locate`, `watch`."""

    command: str
    data: dict[str, Any] = {}


class Resume(_Message, frozen=True):
    """To a stopped worker: go on. `live` leaves the recorded answers behind."""

    live: bool = False
    wall_ns: int = 0
    """The wall clock from which a live worker goes on."""
    given: tuple[int, Any] | None = None
    """The answer to the observation that it stands at: stream code and value."""


class Interrupt(_Message, frozen=True):
    """Over the pipe for control: the next statement of that block is to raise KeyboardInterrupt."""

    block: int
    reason: str


class Exit(_Message, frozen=True):
    """End the worker."""


FromWorker = Ready | Prepared | Stream | Observe | Request | Done | Leaving | Stopped | Reply | Crashed
ToWorker = Configure | Prepare | Run | Answer | Inspect | Resume | Exit


def _plain(value: Any) -> str | int | float:
    """The value of an object of a subclass, as agent code may have for a path; else TypeError."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    raise TypeError(f"no message holds an object of type {type(value).__name__}")


def _spelled(data: Any) -> Any:
    if isinstance(data, str):
        return data.encode("utf-8", "backslashreplace").decode()
    if isinstance(data, dict):
        return {_spelled(name): _spelled(value) for name, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_spelled(item) for item in data]
    return data


def decoder_of(incoming: Any) -> msgspec.msgpack.Decoder[Any]:
    """Gives a decoder of messages; what is none, or has extension types, raises MsgspecError."""
    return msgspec.msgpack.Decoder(incoming, ext_hook=_refuse_extension)


def _refuse_extension(code: int, _data: memoryview) -> Any:
    raise msgspec.DecodeError(f"a value of extension type {code} is no data")


class Channel:
    """Frames over a pair of descriptors: four bytes of length, then msgpack.

    Args:
        read_fd: where the other side's messages arrive.
        write_fd: where ours go.
        incoming: union of the message types that may arrive.
    """

    def __init__(self, read_fd: int, write_fd: int, incoming: Any) -> None:
        self.read_fd = read_fd
        self.write_fd = write_fd
        self._encoder = msgspec.msgpack.Encoder(enc_hook=_plain)
        self._decoder = decoder_of(incoming)
        self._pending = bytearray()
        # Kept here: agent code may replace what the modules hold.
        self._read = os.read
        self._write = os.write
        self._close = os.close

    def send(self, message: _Message, *, spell: bool = True) -> None:
        """Writes one whole frame.

        Args:
            message: what to say.
            spell: write lone surrogates as escapes; False leaves them to the caller.

        Raises:
            OSError: the other side is gone.
            UnicodeEncodeError: there are lone surrogates, and they are not to be spelled.
        """
        self.write(self.frame(message, spell=spell))

    def frame(self, message: _Message, *, spell: bool = True) -> bytes:
        """Gives the bytes of one frame; see `send`."""
        try:
            body = self._encoder.encode(message)
        except UnicodeEncodeError:  # of a file name, or of an agent's text
            if not spell:
                raise
            body = self._encoder.encode(
                _spelled(msgspec.to_builtins(message, builtin_types=(bytes,), enc_hook=_plain))
            )
        return len(body).to_bytes(4, "big") + body

    def write(self, frames: bytes) -> None:
        """Writes whole frames. Raises OSError when the other side is gone."""
        written = self._write(self.write_fd, frames)
        while written < len(frames):
            frames = frames[written:]
            written = self._write(self.write_fd, frames)

    def receive(self) -> Any:
        """Gives the next message, waiting for it. Raises EOFError when the other side is gone."""
        while True:
            message = self._take()
            if message is not None:
                return message
            self.fill()

    def fill(self) -> None:
        """Reads what is there, once (blocks if nothing is). Raises EOFError at the end."""
        chunk = self._read(self.read_fd, _READ_BYTES)
        if not chunk:
            raise EOFError
        self._pending += chunk

    @property
    def fds(self) -> tuple[int, int]:
        """Both ends."""
        return self.read_fd, self.write_fd

    @property
    def is_partial(self) -> bool:
        """Whether a message has begun to arrive."""
        return bool(self._pending)

    def waiting(self) -> Any | None:
        """Gives the next message if a whole one has arrived, else None; never blocks."""
        return self._take()

    def _take(self) -> Any | None:
        pending = self._pending
        if len(pending) < 4:
            return None
        size = int.from_bytes(pending[:4], "big")
        if size > MAX_MESSAGE_BYTES:
            raise SandboxError(f"the worker sent a message of {size} bytes, more than is allowed")
        if len(pending) < size + 4:
            return None
        body = bytes(pending[4 : size + 4])
        del pending[: size + 4]
        try:
            return self._decoder.decode(body)
        except msgspec.MsgspecError as error:
            raise SandboxError(f"the worker sent a message that is not one: {error}") from error

    def close(self) -> None:
        """Closes both ends."""
        for fd in (self.read_fd, self.write_fd):
            try:
                self._close(fd)
            except OSError:
                pass

"""Standard streams of agent code: what is written and read is in the log, in its place.

Text written to `sys.stdout` and `sys.stderr`, and by `os.write` to their descriptors, is joined by statement
and sent in the line stream; what C code or children write to descriptors 1 and 2 reaches the host by pipes
and is marked unordered there.
"""

from __future__ import annotations

import codecs
import io
import os
import select
import sys
from collections.abc import Callable
from typing import Any

from coda.log import from_envelope, to_envelope
from coda.runtime.worker.recorder import Recorder
from coda.runtime.worker.standins import LIVE, Shim

INPUT_CODE = -15
STREAMS = {"stdout": -1, "stderr": -2}


class OutputControl:
    """Counts the characters of a block's output, so that a replay can stop before a certain write."""

    def __init__(self, recorder: Recorder, stop: Callable[[], None]) -> None:
        self.recorder = recorder
        self.written = {-1: 0, -2: 0}
        self._stop = stop
        self._armed: tuple[int, int] | None = None
        self.muted = False

    def begin(self, stop_at: tuple[str, int] | None) -> None:
        """Starts a block; `stop_at` is (stream, characters)."""
        self.written = {-1: 0, -2: 0}
        self._armed = (STREAMS[stop_at[0]], stop_at[1]) if stop_at else None

    def write(self, code: int, text: Any) -> None:
        """Records one write; while the state is being looked at there is none."""
        if self.muted:
            return
        if self._armed is not None and self._armed[0] == code and self.written[code] >= self._armed[1]:
            self._armed = None
            self._stop()
        self.written[code] += len(text)
        if type(text) is not str:
            text = to_envelope(text)
        self.recorder.output(code, text)


class _RawOutput(io.RawIOBase):
    def __init__(
        self, control: OutputControl, code: int, name: str, fd: int, tty: bool, encoding: str
    ) -> None:
        self._control = control
        self._code = code
        self.name = name
        self.mode = "wb"
        self._fd = fd
        self._tty = tty
        self._encoding = encoding

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._fd

    def isatty(self) -> bool:
        return self._tty

    def write(self, data: Any) -> int:
        raw = bytes(data)
        try:
            self._control.write(self._code, raw.decode(self._encoding))
        except UnicodeDecodeError:
            self._control.write(self._code, raw)
        return len(raw)


class RecordedOutput(io.TextIOWrapper):
    """`sys.stdout` or `sys.stderr` of agent code."""

    def __init__(
        self, control: OutputControl, *, name: str, fd: int, tty: bool, encoding: str, errors: str
    ) -> None:
        raw = _RawOutput(control, STREAMS[name], f"<{name}>", fd, tty, encoding)
        super().__init__(io.BufferedWriter(raw), encoding=encoding, errors=errors, write_through=True)
        self._control = control
        self._code = STREAMS[name]
        self._encoding = encoding
        self._newline: str | None = None
        self._is_plain = True
        self.__dict__["mode"] = "w"

    def write(self, text: str, /) -> int:
        """Writes text; raises TypeError and UnicodeEncodeError as the real stream would."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if self.closed:
            raise ValueError("I/O operation on closed file.")
        self.buffer.flush()  # bytes that were written before come first
        if not self._is_plain or not (text.isascii() or self._can_hold(text)):
            written = super().write(text)  # encodes, translates or raises as it is told to
            super().flush()
            return written
        if text:
            self._control.write(self._code, text if type(text) is str else str.__str__(text))
        return len(text)

    def reconfigure(self, **changes: Any) -> None:
        """As of every text stream: another encoding, treatment of errors or ends of lines."""
        super().reconfigure(**changes)
        if "newline" in changes:
            self._newline = changes["newline"]
        same = codecs.lookup(self.encoding).name == codecs.lookup(self._encoding).name
        self._is_plain = same and self._newline in (None, "", "\n")

    def _can_hold(self, text: str) -> bool:
        """Whether the stream's encoding has every letter of a text."""
        try:
            text.encode(self.encoding)
        except UnicodeEncodeError:
            return False
        return True


class DescriptorWrite(Shim):
    """`os.write`: what goes to a standard stream's own descriptor is in the log in its place.

    A descriptor that the program has put on another file is written as ever, and so are a child's.
    """

    __slots__ = ("_fstat", "_outputs", "_real", "_recorder")

    def __init__(self, recorder: Recorder, outputs: dict[int, Any]) -> None:
        super().__init__(os.write)
        self._real = os.write
        self._fstat = getattr(os.fstat, "_real", os.fstat)
        self._recorder = recorder
        self._outputs = {fd: (self._identity(fd), raw) for fd, raw in outputs.items()}

    def __call__(self, *args: Any) -> int:
        """Answers as the builtin would."""
        fd = args[0] if len(args) == 2 else None
        output = self._outputs.get(fd) if type(fd) is int else None
        if output is None or self._recorder.is_detached or self._identity(args[0]) != output[0]:
            return self._real(*args)
        try:
            data = memoryview(args[1]).tobytes()
        except TypeError:
            return self._real(*args)  # says what it is that it wants
        written: int = output[1].write(data)
        return written

    def _identity(self, fd: int) -> tuple[int, int] | None:
        try:
            found = self._fstat(fd)
        except OSError:
            return None
        return found.st_dev, found.st_ino


class RecordedInput(io.RawIOBase):
    """Descriptor 0 of agent code: each read is an observation; a replay answers it."""

    def __init__(self, recorder: Recorder, *, tty: bool) -> None:
        self._recorder = recorder
        self._tty = tty
        self._read = os.read
        self.answer: Callable[[int], Any] | None = None
        self.name = "<stdin>"
        self.mode = "rb"

    def readable(self) -> bool:
        """True: it can be read."""
        return True

    def fileno(self) -> int:
        """Descriptor that it stands for."""
        return 0

    def isatty(self) -> bool:
        """Whether it was a terminal."""
        return self._tty

    def wait(self) -> None:
        """Waits until there is something to read; Ctrl-C at a prompt interrupts this."""
        poll = select.poll()
        poll.register(0, select.POLLIN)
        try:
            poll.poll()
        except OSError:
            return  # a limit of no descriptors: the read waits instead

    def readinto(self, buffer: Any) -> int:
        """Reads and records, or answers from the log."""
        envelope = LIVE if self.answer is None else self.answer(INPUT_CODE)
        if envelope is not LIVE:
            data = from_envelope(envelope)
        else:
            self._recorder.drain()  # a prompt is seen before the wait
            self.wait()
            data = self._read(0, len(buffer))
            envelope = to_envelope(data, max_bytes=1 << 30)
        self._recorder.code(INPUT_CODE, envelope)
        buffer[: len(data)] = data
        return len(data)


def _errors_of(stream: Any, default: str) -> str:
    """How the interpreter itself would treat what its encoding cannot hold, in this locale."""
    errors = getattr(stream, "errors", None)
    return errors if isinstance(errors, str) else default


def install_streams(
    recorder: Recorder, control: OutputControl, *, tty: list[bool], encoding: str, closed: list[int]
) -> RecordedInput:
    """Replaces the three standard streams of this process; of a closed descriptor it is None."""
    raw = RecordedInput(recorder, tty=tty[0])
    stdin: Any = None
    if 0 not in closed:
        reader = io.BufferedReader(raw, 1 << 16)
        stdin = io.TextIOWrapper(reader, encoding=encoding, errors=_errors_of(sys.stdin, "strict"))
        stdin.mode = "r"  # so the interpreter makes it too
    for name in ("stdin", "__stdin__"):
        setattr(sys, name, stdin)
    outputs: dict[int, Any] = {}
    for name, fd, is_tty, errors in (
        ("stdout", 1, tty[1], _errors_of(sys.stdout, "strict")),
        ("stderr", 2, tty[2], "backslashreplace"),
    ):
        stream: Any = None
        if fd not in closed:
            stream = RecordedOutput(control, name=name, fd=fd, tty=is_tty, encoding=encoding, errors=errors)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
        if stream is not None:
            outputs[fd] = stream.buffer.raw
    os.write = DescriptorWrite(recorder, outputs)
    return raw

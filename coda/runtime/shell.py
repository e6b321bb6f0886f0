"""Runs one shell command so that it ends when it must and its output stays bounded.

Guarantee: a command cannot outlive its time limit by leaving children behind: it has a process group
of its own, which is ended as a whole. A child that still holds the output open when the shell is done
does not hold up the call either; it lives on until `Shell.close`. Of output beyond the limit the result
has both ends, and the whole is kept elsewhere, piece by piece: memory is bounded. The environment is an
allow list, so secrets of the host are not handed on.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from typing import IO, NamedTuple, Protocol

from coda.errors import CodaError

_ALLOWED = frozenset((
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TERM", "TZ", "TMPDIR",
    "COLUMNS", "LINES",
))  # fmt: skip
_GRACE_S = 0.5
_STUCK_S = 5.0


def allowed_env(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Gives the part of an environment that a child may see: paths, user, language, time zone.

    Args:
        environ: the whole environment; that of this process when None.
    """
    environ = os.environ if environ is None else environ
    return {name: value for name, value in environ.items() if name in _ALLOWED or name.startswith("LC_")}


class Shell:
    """Runs commands in one folder.

    Args:
        cwd: the folder.
        env: the whole environment of the commands.
        timeout_s: time limit of a command that has none of its own.
        max_output_bytes: of each stream; of more, the first and the last half of this are given.
        spool: begins a place for the whole of such a stream; None: what is left out is counted only.
        max_spool_bytes: most that is kept there.
        on_output: told of each stream that was kept there, before the result is given.
    """

    def __init__(
        self,
        cwd: str,
        *,
        env: Mapping[str, str],
        timeout_s: float,
        max_output_bytes: int,
        spool: Callable[[], Spool] | None = None,
        max_spool_bytes: int = 0,
        on_output: Callable[[Spooled], None] | None = None,
    ) -> None:
        self.cwd = cwd
        self.env = dict(env)
        self.timeout_s = timeout_s
        self._kept = _Kept(max_output_bytes, spool, max_spool_bytes)
        self._on_output = on_output
        self._left: set[int] = set()
        self._running: set[_Command] = set()
        # Also when nobody calls `close`: a server that a command left behind must not outlive the host.
        self._finalizer = weakref.finalize(self, _kill_groups, self._left)
        self._program = shutil.which("bash") or "/bin/sh"

    def run(self, cmd: str, timeout_s: float | None = None) -> dict[str, object]:
        """Runs a command and waits for it.

        Args:
            cmd: for `bash -c`, or `sh -c` where there is no bash.
            timeout_s: seconds, more than 0; None takes the default.

        Returns:
            `stdout` and `stderr` as text, `returncode` (negative: minus the signal that ended it; -1 when
            timed out) and `timed_out`.

        Raises:
            TypeError, ValueError: the command is not text, or the limit is not a positive number.
        """
        if not isinstance(cmd, str):
            raise TypeError(f"bash() takes the command as text; got {type(cmd).__name__}")
        limit = self.timeout_s if timeout_s is None else timeout_s
        if isinstance(limit, bool) or not isinstance(limit, int | float) or not limit > 0:
            raise ValueError(f"bash() needs a time limit of more than 0 seconds; got timeout_s={timeout_s!r}")
        command = _Command([self._program, "-c", cmd], self.cwd, self.env, self._kept)
        self._running.add(command)
        try:
            command.start()
            # A limit beyond what a lock can wait for (about 292 years) is none.
            timed_out = not command.ended.wait(min(limit, threading.TIMEOUT_MAX))
        except BaseException:
            command.stop()
            raise
        finally:
            self._running.discard(command)
        if timed_out:
            command.stop()
        if command.error is not None:
            raise command.error
        out, err = command.outputs()
        if self._on_output is not None:
            for spooled in command.spooled():
                self._on_output(spooled)
        if _group_lives(command.group):
            self._left.add(command.group)
        code = command.code
        return {
            "stdout": out,
            "stderr": err,
            "returncode": -1 if timed_out or code is None else code,
            "timed_out": timed_out,
        }

    def stop(self) -> bool:
        """Ends the commands that run, from any thread; False when none does."""
        running = list(self._running)
        for command in running:
            command.stop()
        return bool(running)

    def close(self) -> None:
        """Ends everything that commands left running in their groups."""
        _kill_groups(self._left)


class Spool(Protocol):
    """Where the whole of a stream is kept, piece by piece."""

    def write(self, data: bytes) -> None:
        """Keeps a piece; CodaError when it cannot, and all of it is given up."""

    def finish(self) -> str:
        """Gives the name of the whole; CodaError when it cannot be kept."""


class Spooled(NamedTuple):
    """A stream that was too long for the result of its command."""

    name: str
    """`stdout` or `stderr`."""
    digest: str | None
    """Where the whole of it is, or its beginning; None when it could not be kept."""
    size: int
    """How many bytes it had."""
    kept: int
    """How many of them are there."""


class _Kept(NamedTuple):
    """What is kept of a stream: parts of it for the result, and the whole."""

    limit: int
    spool: Callable[[], Spool] | None
    spool_limit: int


class _Command:
    """One process group.

    It is made and waited for on a thread, because an interrupt that lands inside `Popen`, when the child
    runs but its number is not yet known, would leave the child behind.
    """

    def __init__(self, argv: list[str], cwd: str, env: dict[str, str], kept: _Kept) -> None:
        self.ended = threading.Event()
        self.error: Exception | None = None
        self.group = 0
        self.code: int | None = None
        self._made = threading.Event()
        self._streams: list[_Stream] = []
        self._thread = threading.Thread(
            target=self._run, args=(argv, cwd, env, kept), name="coda-bash", daemon=True
        )

    def start(self) -> None:
        """Makes the process."""
        self._thread.start()

    def _run(self, argv: list[str], cwd: str, env: dict[str, str], kept: _Kept) -> None:
        try:
            process = subprocess.Popen(
                argv,
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
            self.group = process.pid
            assert process.stdout is not None
            assert process.stderr is not None
            self._streams = [_Stream("stdout", process.stdout, kept), _Stream("stderr", process.stderr, kept)]
            self._made.set()
            self.code = process.wait()
        except (OSError, ValueError) as error:
            self.error = error  # Raised where the caller waits.
        finally:
            self._made.set()
            self.ended.set()

    def stop(self) -> None:
        """Asks the group to end, then makes it."""
        if self._thread.ident is None:
            return
        self._made.wait()
        if self.group:
            _signal_group(self.group, signal.SIGTERM)
            self.ended.wait(_GRACE_S)
            _signal_group(self.group, signal.SIGKILL)
            self.ended.wait(_STUCK_S)  # A process in the kernel's hands may not die; the call ends anyway.

    def outputs(self) -> tuple[str, str]:
        """Gives both outputs, without waiting long for children that hold them open."""
        deadline = time.monotonic() + _GRACE_S
        for stream in self._streams:
            stream.finished.wait(max(deadline - time.monotonic(), 0))
        out, err = (stream.text() for stream in self._streams)
        return out, err

    def spooled(self) -> list[Spooled]:
        """The streams that were too long, after `outputs`."""
        return [stream.spooled for stream in self._streams if stream.spooled is not None]


class _Stream:
    """Reads one output on a thread of its own, for as long as somebody may write to it."""

    def __init__(self, name: str, file: IO[bytes], kept: _Kept) -> None:
        self.finished = threading.Event()
        self.spooled: Spooled | None = None
        self._name = name
        self._file = file
        self._kept = kept
        self._half = max(kept.limit // 2, 1)
        self._size = 0
        self._spool: Spool | None = None
        self._spooled_bytes = 0
        self._head = bytearray()
        self._tail = bytearray()
        self._left_out = 0
        self._lock = threading.Lock()
        self._taken = False
        threading.Thread(target=self._read, name="coda-bash-output", daemon=True).start()

    def _read(self) -> None:
        fd = self._file.fileno()
        with self._file:
            # The descriptor, not the file: a buffered reader would wait for full buffers.
            while chunk := os.read(fd, 1 << 16):
                self._add(chunk)
        self.finished.set()

    def _add(self, chunk: bytes) -> None:
        with self._lock:
            if self._taken:
                return  # A child that was left behind goes on talking: nobody listens.
            self._size += len(chunk)
            self._keep(chunk)
            room = self._half - len(self._head)
            self._head += chunk[:room] if room > 0 else b""
            self._tail += chunk[max(room, 0) :]
            # Cut at twice the size: cutting at each chunk would copy the tail every time.
            if len(self._tail) > 2 * self._half:
                self._cut()

    def _keep(self, chunk: bytes) -> None:
        """Keeps the whole, from the first byte on, once there is more than the result has room for."""
        if self._kept.spool is None or self._size <= 2 * self._half:
            return
        try:
            if self.spooled is None:
                self.spooled = Spooled(self._name, None, 0, 0)
                self._spool = self._kept.spool()
                chunk = bytes(self._head + self._tail) + chunk
            room = self._kept.spool_limit - self._spooled_bytes
            if self._spool is not None and room > 0:
                self._spool.write(chunk[:room])
                self._spooled_bytes += min(room, len(chunk))
        except CodaError:  # said by the digest that is missing; the log itself will say why
            self._spool, self._spooled_bytes = None, 0

    def _end_spool(self) -> None:
        if self.spooled is None:
            return
        digest = None
        if self._spool is not None:
            with contextlib.suppress(CodaError):
                digest = self._spool.finish()
        kept = self._spooled_bytes if digest is not None else 0
        self.spooled = Spooled(self._name, digest, self._size, kept)

    def _cut(self) -> None:
        excess = len(self._tail) - self._half
        if excess > 0:
            self._left_out += excess
            del self._tail[:excess]

    def text(self) -> str:
        """Gives what came, as text; bytes that are not UTF-8 are shown as U+FFFD."""
        with self._lock:
            self._taken = True
            self._end_spool()
            self._cut()
            head, tail = bytes(self._head), bytes(self._tail)
        if not self._left_out:
            return (head + tail).decode("utf-8", "replace")
        notice = f"\n[... {self._left_out} bytes left out ...]\n"
        return head.decode("utf-8", "replace") + notice + tail.decode("utf-8", "replace")


def _kill_groups(groups: set[int]) -> None:
    for group in groups:
        _signal_group(group, signal.SIGKILL)
    groups.clear()


def _signal_group(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        pass  # Nobody is left (macOS says "not permitted" of a group of zombies).


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True

"""Seals compared with the bytes before them, beside whoever reads the trace meanwhile.

Guarantee: every byte up to the last seal is compared, at the speed of SHA-256 and on a thread of its own,
so a reader that streams or skips pays nothing it would notice and still never ends in silence on a log
whose bytes were changed. What no seal covers is counted, not vouched for.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from coda.errors import LogError
from coda.log.codec import decode
from coda.log.keys import Key, find_key
from coda.log.records import Seal

if TYPE_CHECKING:
    from coda.log.reader import Trace

_PIECE_BYTES = 4 << 20
_SEAL = b'\n{"type":"seal"'


class Sealed(NamedTuple):
    """What the seals of one file say of its bytes."""

    broken: Seal | None
    """The first seal that does not match; None when all do."""
    offset: int
    """Where that seal stands."""
    unsealed_bytes: int
    """Bytes of whole records behind the last seal."""
    last: Seal | None = None
    """The last seal, when all match."""


def read_seals(path: Path, cancelled: Callable[[], bool] = lambda: False) -> Sealed:
    """Reads the whole records of a file once and compares its seals.

    Args:
        path: the trace file.
        cancelled: asked between pieces; True ends the reading, with what was found so far.
    """
    reading = _Reading()
    with path.open("rb", buffering=0) as file:
        while not cancelled() and reading.broken is None and (data := file.read(_PIECE_BYTES)):
            reading.take(data)
    if reading.broken is not None:
        return Sealed(reading.broken, reading.at, 0)
    return Sealed(None, 0, reading.at - reading.covered, reading.last)


class _Reading:
    """One pass over a file, in pieces that are hashed where they lie: copying them would cost as much."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()
        self.rest = b""
        """The beginning of a line that goes on in the next piece."""
        self.at = 0
        """Bytes of whole lines so far; where a broken seal stands."""
        self.covered = 0
        self.last: Seal | None = None
        self.broken: Seal | None = None

    def take(self, data: bytes) -> None:
        """Takes the next bytes of the file."""
        first, end = data.find(b"\n") + 1, data.rfind(b"\n") + 1
        if not end:
            self.rest += data
            return
        line, self.rest = self.rest + data[:first], data[end:]
        self._hash(line, line.startswith(_SEAL[1:]))
        view, done = memoryview(data), first
        found = data.find(_SEAL, first - 1, end)
        while found >= 0 and self.broken is None:
            start, stop = found + 1, data.find(b"\n", found + 1) + 1
            self._hash(view[done:start], is_seal=False)
            self._hash(data[start:stop], is_seal=True)
            done = stop
            found = data.find(_SEAL, stop - 1, end)
        if self.broken is None:
            self._hash(view[done:end], is_seal=False)

    def _hash(self, lines: bytes | memoryview, is_seal: bool) -> None:
        if is_seal:
            seal = decode(bytes(lines), self.at, "seal")
            assert isinstance(seal, Seal)
            if seal.sha256 != self.digest.hexdigest() or seal.offset != self.at:
                self.broken = seal
                return
            self.last, self.covered = seal, self.at + len(lines)
        self.digest.update(lines)
        self.at += len(lines)


def digest_of(path: Path, size: int) -> str:
    """Gives the SHA-256 of the first bytes of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while size > 0 and (data := file.read(min(size, _PIECE_BYTES))):
            digest.update(data)
            size -= len(data)
    return digest.hexdigest()


def is_own(trace: Trace, key: Key | None = None) -> bool:
    """Whether a trace, to its last whole record, was written by this user's coda, and its parents were.

    Args:
        trace: the open trace.
        key: the user's key; None looks it up.

    Cost: one pass over the bytes at the speed of SHA-256.
    """
    key = key or find_key().key
    if key is None or (trace.parent is not None and not is_own(trace.parent, key)):
        return False
    try:
        _compare_parent(trace, lambda: False)
        sealed = read_seals(trace.path)
    except (LogError, OSError):
        return False
    # What no seal covers may be anybody's: a run that was killed is not vouched for.
    whole = sealed.broken is None and sealed.unsealed_bytes == 0
    return whole and sealed.last is not None and key.signed(sealed.last) is True


def compare_seals(trace: Trace, cancelled: Callable[[], bool] = lambda: False) -> int:
    """Compares each seal of a trace with the bytes before it; of its parents what the fork relied on.

    Returns:
        How many bytes of whole records stand behind the last seal.

    Raises:
        LogError: something does not match: the log was damaged or changed before that byte.
    """
    _compare_parent(trace, cancelled)
    sealed = read_seals(trace.path, cancelled)
    if sealed.broken is not None:
        raise LogError(
            f"{trace.path} is damaged or was changed: the seal at byte {sealed.offset} (event "
            f"{sealed.broken.events}) does not match what is before it; `coda check` tells more",
            path=str(trace.path), offset=sealed.offset, seq=sealed.broken.events,
        )  # fmt: skip
    return sealed.unsealed_bytes


def _compare_parent(trace: Trace, cancelled: Callable[[], bool]) -> None:
    named, parent = trace.header.parent, trace.parent
    if named is None or parent is None:
        return
    if not named.sha256:
        compare_seals(parent, cancelled)
    elif not cancelled():
        _compare_parent(parent, cancelled)
        if digest_of(parent.path, named.offset) != named.sha256:
            raise LogError(
                f"the first {named.offset:,} bytes of {parent.path}, the parent of {trace.path}, are damaged"
                " or were changed since the fork; `coda check` tells more",
                path=str(parent.path), offset=0,
            )  # fmt: skip


class SealWatch:
    """The comparison of a trace's seals, under way on a thread.

    Args:
        trace: the open trace; what is appended after now may be read or not.
    """

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self._stopped = threading.Event()
        self._damage: str | None = None
        self._unsealed_bytes = 0
        self._thread = threading.Thread(target=self._run, name="coda-seals", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._unsealed_bytes = compare_seals(self.trace, self._stopped.is_set)
        except LogError as error:
            self._damage = error.message
        except OSError as error:
            self._damage = f"the seals of {self.trace.path} cannot be compared: {error.strerror}"

    def cancel(self) -> None:
        """Ends the comparison: nobody wants to know any more."""
        self._stopped.set()
        self._thread.join()

    def damage(self) -> str | None:
        """Waits for the end and gives one sentence on what is damaged, None when every seal matches."""
        self._thread.join()
        return self._damage

    def unsealed(self) -> str | None:
        """Waits for the end and says how much of a run that did not finish no seal covers."""
        self._thread.join()
        if self._damage is not None or not self._unsealed_bytes or self.trace.live:
            return None
        return (
            f"run {self.trace.run}: no seal covers its last {self._unsealed_bytes:,} bytes, "
            "so damage there would go unseen"
        )

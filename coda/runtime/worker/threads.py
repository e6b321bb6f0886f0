"""Locks, threads and queues of agent code, on the baton instead of on the system's scheduler.

Guarantee: what blocks a thread lets the next one run; everything that the standard library builds on locks
(conditions, events, semaphores, queues, executors) then works unchanged, and in an order that a replay takes
again. A lock that is free costs one call more than the interpreter's own. Threads that are not the agent's
wait as they always did.
"""

from __future__ import annotations

import _thread
import itertools
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any

from coda.runtime.worker.baton import Baton, Strand
from coda.runtime.worker.recorder import Recorder

_real_lock = _thread.allocate_lock
_RealRLock: Any = _thread.RLock
_LOCK_TYPES = (_thread.LockType, _RealRLock)


class Threads:
    """Puts the threads of agent code on the baton.

    Args:
        baton: gives turns.
        recorder: told of threads.
        where: the line that starts a thread.
    """

    def __init__(self, baton: Baton, recorder: Recorder, where: Callable[[], dict[str, Any]]) -> None:
        self.lock: Any = _lock_class(baton)
        self._sentinel: Any = _sentinel_class(self.lock)
        self._rlock: Any = _rlock_class(baton)
        self._baton = baton
        self._recorder = recorder
        self._where = where
        self._start: Any = _thread.start_new_thread
        self._sentinels: dict[int, Any] = {}
        self._own: list[tuple[Strand, bool, Callable[[], bool]]] = []

    def install(self) -> None:
        """Replaces what makes locks and threads, also where it was looked up already."""
        _number(threading.Thread)
        made: dict[int, tuple[Any, Any]] = {}
        for name, ours in (
            ("allocate_lock", self.lock),
            ("allocate", self.lock),
            ("LockType", self.lock),
            ("lock", self.lock),
            ("RLock", self._rlock),
            ("start_new_thread", self.start_new_thread),
            ("start_new", self.start_new_thread),
            ("start_joinable_thread", self.start_joinable_thread),
            ("_set_sentinel", self._set_sentinel),
            ("_ThreadHandle", _handle_class(self._baton)),
            ("_shutdown", self._join_all),
        ):
            real = getattr(_thread, name, None)
            if real is not None:
                made[id(real)] = real, ours
                setattr(_thread, name, ours)
        for name, module in list(sys.modules.items()):
            if name.startswith("coda.") or module is _thread:
                continue
            for attribute, value in list(getattr(module, "__dict__", {}).items()):
                found = made.get(id(value))
                if found is not None and found[0] is value:
                    setattr(module, attribute, found[1])
                elif type(value) in _LOCK_TYPES and name != "__main__":
                    ours = self.lock if type(value) is _LOCK_TYPES[0] else self._rlock
                    setattr(module, attribute, ours())

    def hooks(self) -> dict[str, Callable[[Any], None]]:
        """What to do with which module once it has been imported."""
        return {
            "queue": _adapt_queue,
            "concurrent.futures._base": _adapt_futures,
            "multiprocessing.pool": self._adapt_pool,
        }

    def _adapt_pool(self, pool: Any) -> None:
        """A pool of threads waits for its own queue, not for descriptors."""
        real = pool.Pool._wait_for_updates
        baton = self._baton

        def wait_for_updates(sentinels: Any, change_notifier: Any, timeout: Any = None) -> None:
            if len(sentinels) > 1 or timeout is not None:
                real(sentinels, change_notifier, timeout)
                return
            baton.wait(lambda: not change_notifier.empty())
            while not change_notifier.empty():
                change_notifier.get()

        pool.Pool._wait_for_updates = staticmethod(wait_for_updates)

    # --- starting ------------------------------------------------------------------------------

    def start_new_thread(self, function: Any, args: Any = (), kwargs: Any = None, /) -> int:
        """Starts a thread, which gets its turn when others block."""
        return self._begin(function, tuple(args), dict(kwargs or {}), daemon=True, handle=None)

    def start_joinable_thread(self, function: Any, handle: Any = None, daemon: bool = True) -> Any:
        """As the interpreter's own, from 3.13 on."""
        handle = handle if handle is not None else _thread._ThreadHandle()  # type: ignore[attr-defined]
        handle.ident = self._begin(function, (), {}, daemon=daemon, handle=handle)
        return handle

    def _begin(
        self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], *, daemon: bool, handle: Any
    ) -> int:
        if not self._baton.is_mine() or self._recorder.busy():
            return self._start(self._alone, (function, args, kwargs, handle))  # type: ignore[no-any-return]
        thread = getattr(function, "__self__", None)
        name = getattr(thread, "name", None)
        strand = self._baton.add(name if isinstance(name, str) else "")
        with self._recorder.quiet():
            told = {"name": strand.name, "thread": strand.number, "by": strand.by, **self._where()}
        self._recorder.observe("thread.started", told)
        ended = [False]
        self._own.append((strand, daemon, lambda: ended[0]))
        try:
            ident: int = self._start(self._run, (strand, function, args, kwargs, handle, ended))
        except BaseException:
            self._baton.drop(strand)
            self._own.pop()
            raise
        return ident

    def _run(
        self, strand: Strand, function: Any, args: Any, kwargs: Any, handle: Any, ended: list[bool]
    ) -> None:
        """A whole thread."""
        self._baton.begin(strand)
        try:
            _call(function, args, kwargs)
        finally:
            self._tell_end(handle)
            ended[0] = True
            self._own = [own for own in self._own if own[0] is not strand]
            self._baton.rejoin()
            self._recorder.observe("thread.finished", {"name": strand.name, "thread": strand.number})
            self._baton.end(strand)

    def _alone(self, function: Any, args: Any, kwargs: Any, handle: Any) -> None:
        """A whole thread that is not the agent's, or in a child process."""
        try:
            _call(function, args, kwargs)
        finally:
            self._tell_end(handle)

    def _tell_end(self, handle: Any) -> None:
        """Lets go whoever joins the calling thread."""
        sentinel = self._sentinels.pop(_thread.get_ident(), None)
        if sentinel is not None and sentinel.locked():
            sentinel.release()
        if handle is not None:
            handle._set_done()

    def _set_sentinel(self) -> Any:
        """A lock that is released when the calling thread ends."""
        self._sentinels[_thread.get_ident()] = lock = self._sentinel(self._baton.number_here())
        return lock

    def _join_all(self) -> None:
        """Waits for the threads that a program waits for at its end."""
        for _, daemon, ended in list(self._own):
            if not daemon and not ended():
                self._baton.wait(ended)


def _call(function: Any, args: Any, kwargs: Any) -> None:
    try:
        function(*args, **kwargs)
    except SystemExit:
        pass
    except BaseException:  # noqa: BLE001  the end of a thread: told as the interpreter tells it
        print(f"Exception ignored in thread started by: {function!r}", file=sys.stderr)
        traceback.print_exc()


# --- locks ---------------------------------------------------------------------------------------


def _checked(blocking: Any, timeout: Any) -> float:
    """The time limit of an `acquire`, -1 without one; raises as the interpreter's own does."""
    seconds = float(timeout)
    if not blocking and seconds != -1:
        raise ValueError("can't specify a timeout for a non-blocking call")
    if seconds < 0 and seconds != -1:
        raise ValueError("timeout value must be a non-negative number")
    if seconds > threading.TIMEOUT_MAX:
        raise OverflowError("timeout value is too large")
    return seconds


def _lock_class(baton: Baton) -> Any:
    """`_thread.lock` on the baton."""

    class lock:  # noqa: N801  the interpreter's own name
        __slots__ = ("__weakref__", "_coda_real", "_coda_try", "locked", "release")

        def __init__(self) -> None:
            real = self._coda_real = _real_lock()
            self._coda_try = real.acquire
            self.release = real.release
            self.locked = real.locked

        def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
            seconds = _checked(blocking, timeout) if timeout != -1 else -1
            if self._coda_try(False):
                return True
            if not blocking or seconds == 0:
                return False
            if not baton.is_mine() and not baton.rejoin():
                return self._coda_try(True, seconds)
            taken: list[bool] = []

            def take() -> bool:
                if self._coda_try(False):
                    taken.append(True)
                return bool(taken)

            if seconds < 0:
                baton.wait(take, self._coda_is_free)
                return True
            return baton.wait_for(take, seconds, self._coda_is_free)

        def _coda_is_free(self) -> bool:
            return not self.locked()

        acquire_lock = acquire

        def __enter__(self) -> bool:
            return self._coda_try(False) or self.acquire()

        def __exit__(self, *_: object) -> None:
            self.release()

        def release_lock(self) -> None:
            self.release()

        def locked_lock(self) -> bool:
            return bool(self.locked())

        def _at_fork_reinit(self) -> None:
            self._coda_real._at_fork_reinit()  # type: ignore[attr-defined]  # private, as its callers

        def __repr__(self) -> str:
            return repr(self._coda_real).replace(hex(id(self._coda_real)), hex(id(self)))

        def __reduce__(self) -> Any:
            raise TypeError("cannot pickle '_thread.lock' object")

    lock.__module__, lock.__qualname__ = "_thread", "lock"
    return lock


def _sentinel_class(lock: Any) -> Any:
    """A lock that hashes by the number of its thread: at its end a program waits for a set of them."""

    class Sentinel(lock):  # type: ignore[misc]  # known only here
        __slots__ = ("_coda_number",)

        def __init__(self, number: int) -> None:
            super().__init__()
            self._coda_number = number

        def __hash__(self) -> int:
            return self._coda_number

    return Sentinel


def _rlock_class(baton: Baton) -> Any:
    """`_thread.RLock` on the baton: the interpreter's own while it is free or ours."""
    take = _RealRLock.acquire

    class RLock(_RealRLock):  # type: ignore[misc]  # the interpreter's own
        __slots__ = ()

        def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
            seconds = _checked(blocking, timeout) if timeout != -1 else -1
            if take(self, False):
                return True
            if not blocking or seconds == 0:
                return False
            if not baton.is_mine() and not baton.rejoin():
                return bool(take(self, True, seconds))
            if seconds < 0:
                while True:
                    baton.wait(self._coda_is_free, self._coda_seems_free)
                    if take(self, False):
                        return True
            ends = baton.inbox.clock.now() + seconds
            while seconds > 0 and baton.wait_for(self._coda_is_free, seconds, self._coda_seems_free):
                if take(self, False):
                    return True
                seconds = ends - baton.inbox.clock.now()
            return False

        __enter__ = acquire

        def _coda_is_free(self) -> bool:
            # Asked by whichever thread has its turn: if that one holds the lock, it is not free.
            if self._is_owned() or not take(self, False):
                return False
            self.release()
            return True

        def _coda_seems_free(self) -> bool:
            return bool(super().__repr__().startswith("<unlocked"))

        def __repr__(self) -> str:
            return str(super().__repr__()).replace(" RLock object", " _thread.RLock object")

        def _acquire_restore(self, state: Any) -> None:
            if baton.is_mine() and not self._coda_is_free():
                while not take(self, False):
                    baton.wait(self._coda_is_free, self._coda_seems_free)
                self.release()
            super()._acquire_restore(state)

        def __reduce__(self) -> Any:
            raise TypeError("cannot pickle '_thread.RLock' object")

    RLock.__module__, RLock.__qualname__ = "_thread", "RLock"
    return RLock


def _handle_class(baton: Baton) -> Any:
    """`_thread._ThreadHandle` on the baton (from 3.13 on)."""

    class ThreadHandle:
        __slots__ = ("_coda_done", "ident")

        def __init__(self) -> None:
            self.ident = 0
            self._coda_done = False

        def is_done(self) -> bool:
            return self._coda_done

        def _set_done(self) -> None:
            self._coda_done = True

        def join(self, timeout: Any = None) -> None:
            if self._coda_done:
                return
            if self.ident == _thread.get_ident():
                raise RuntimeError("Cannot join current thread")
            if timeout is None or timeout < 0:
                baton.wait(self.is_done)
            elif timeout > 0:
                baton.wait_for(self.is_done, timeout)

    ThreadHandle.__module__, ThreadHandle.__qualname__ = "_thread", "_ThreadHandle"
    return ThreadHandle


# --- modules -------------------------------------------------------------------------------------


def _adapt_queue(queue: Any) -> None:
    queue.SimpleQueue = queue._PySimpleQueue


def _adapt_futures(base: Any) -> None:
    _number(base.Future)


def _number(kind: Any) -> None:
    """Lets objects of a class hash by the order of their making: a set of them keeps its order."""
    numbers = itertools.count(1)
    begin = kind.__init__

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        self._coda_number = next(numbers)
        begin(self, *args, **kwargs)

    def order(self: Any) -> int:
        number: int | None = getattr(self, "_coda_number", None)
        return object.__hash__(self) if number is None else number

    for name, made in (("__init__", init), ("__hash__", order)):
        made.__module__, made.__name__, made.__qualname__ = kind.__module__, name, f"{kind.__name__}.{name}"
        made.__doc__ = getattr(kind, name).__doc__
        setattr(kind, name, made)

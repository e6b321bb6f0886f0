"""Clock, chance and host facts: recorded when recording, answered when replaying, live after a fork.

Guarantee: a shim is an instance with `__call__` and no `__get__`, so that it behaves like the builtin it
stands for also as a class attribute; it carries the builtin's name and pickles as it. Modules that only
wait (threading, queue, asyncio ...) keep the real clock and are never logged. Randomness is seeded, not
recorded, with one stream for each calling module. (See docs/adr/0006.)
"""

from __future__ import annotations

import _thread
import ctypes
import datetime
import gc
import os
import sys
import time
import types
from collections.abc import Callable, Iterable
from typing import Any

from coda.log import CODES, to_envelope
from coda.runtime.worker.recorder import Recorder

HOST_CODE = -17
ENV_CODE = -14
SLEEP_CODE = -13
CLOCKS = (
    "time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns",
    "process_time", "process_time_ns", "thread_time", "thread_time_ns",
)  # fmt: skip
WAITERS = (
    "threading", "queue", "selectors", "sched", "subprocess", "socket", "ssl", "concurrent.futures._base",
    "concurrent.futures.thread", "asyncio.base_events", "asyncio.events", "asyncio.selector_events",
    "multiprocessing.connection", "multiprocessing.util", "multiprocessing.pool",
)  # fmt: skip
_CODE_OF = {name: code for code, (_, name) in CODES.items()}


class Feed:
    """Recorded answers of coded observations, in order; the replaying worker takes them one by one."""

    def __init__(self, recorder: Recorder, stop: Callable[[], None]) -> None:
        self._recorder = recorder
        self._stop = stop
        self._answers: list[tuple[int, Any]] = []
        self._next = 0
        self._stop_before = -1
        self.live = False
        self.paused = False
        """The state is being looked at: what a `__repr__` asks is no observation."""

    def load(self, answers: list[tuple[int, Any]], stop_before: int) -> None:
        """Starts a block with its answers."""
        self._answers = answers
        self._next = 0
        self._stop_before = stop_before

    def take(self, code: int) -> Any:
        """Gives the next answer, which must be one of that code; else the replay has diverged and ends."""
        if self._next == self._stop_before:
            self._stop_before = -1
            self._stop()
        if self.live:
            return None
        if self._next >= len(self._answers) or self._answers[self._next][0] != code:
            found = self._answers[self._next][0] if self._next < len(self._answers) else None
            self._recorder.request("diverged", {"asked": code, "recorded": found, "index": self._next})
        answer = self._answers[self._next][1]
        self._next += 1
        return answer


class Shim:
    """A stand-in for a builtin function; also its type calls itself what the builtin's does."""

    def __init_subclass__(cls) -> None:
        cls.__module__ = "builtins"
        cls.__name__ = cls.__qualname__ = "builtin_function_or_method"

    def __init__(self, real: Any) -> None:
        self.__name__ = real.__name__
        self.__qualname__ = getattr(real, "__qualname__", real.__name__)
        self.__module__ = getattr(real, "__module__", None) or "builtins"
        self.__doc__ = real.__doc__
        self.__self__ = getattr(real, "__self__", None)
        self.__text_signature__ = getattr(real, "__text_signature__", None)

    def __repr__(self) -> str:
        return f"<built-in function {self.__name__}>"

    def __reduce__(self) -> str:
        return str(self.__qualname__)


class RecordingClock(Shim):
    """A clock whose answers go into the stream."""

    __slots__ = ("_code", "_feed", "_line", "_offset", "_real", "_value")

    def __init__(self, real: Any, code: int, recorder: Recorder, feed: Feed) -> None:
        super().__init__(real)
        self._real = real
        self._code = code
        self._value = recorder.values.append
        self._line = recorder.lines.append
        self._feed = feed
        self._offset: Any = None

    def __call__(self) -> Any:
        """Answers as the builtin would."""
        answer = self._real()
        self._value(answer)
        self._line(self._code)
        return answer


class AnsweringClock(RecordingClock):
    """A clock whose answers come from the log; afterwards it goes on from the last recorded instant."""

    __slots__ = ()

    def __call__(self) -> Any:
        """Answers as the builtin would."""
        feed = self._feed
        if feed.paused:
            return self._real() + (self._offset or 0)
        if not feed.live:
            answer = feed.take(self._code)
            if not feed.live:
                self._offset = answer - self._real()
                self._value(answer)
                self._line(self._code)
                return answer
        answer = self._real() + (self._offset or 0)
        self._value(answer)
        self._line(self._code)
        return answer

    def go_on_from(self, now: Any) -> None:
        """Where to go on from, if no recorded answer says so."""
        if self._offset is None:
            self._offset = now - self._real()


class Sleep(Shim):
    """`time.sleep`: really sleeps when recording or live; a replay only checks that it was called."""

    __slots__ = ("_feed", "_real", "_recorder", "_replaying")

    def __init__(self, recorder: Recorder, feed: Feed, *, replaying: bool) -> None:
        super().__init__(time.sleep)
        self._real = time.sleep
        self._recorder = recorder
        self._feed = feed
        self._replaying = replaying

    def __call__(self, seconds: Any, /) -> None:
        """Answers as the builtin would."""
        if self._feed.paused:
            return
        if self._replaying and not self._feed.live:
            self._feed.take(SLEEP_CODE)
            if not self._feed.live:
                if not isinstance(seconds, (int, float)) or seconds < 0:
                    self._real(seconds)  # raises what it raised
                self._recorder.code(SLEEP_CODE, float(seconds))
                return
        if isinstance(seconds, (int, float)) and seconds >= 0:
            self._recorder.code(SLEEP_CODE, float(seconds))
            self._recorder.drain()
        self._real(seconds)


class HostFact(Shim):
    """A function of the surroundings (process id, processors ...): one observation a call."""

    __slots__ = ("_feed", "_real", "_rebuild", "_recorder", "_replaying")

    def __init__(
        self, real: Any, recorder: Recorder, feed: Feed, *, replaying: bool, rebuild: Any = tuple
    ) -> None:
        super().__init__(real)
        self._rebuild = rebuild
        self._real = real
        self._recorder = recorder
        self._feed = feed
        self._replaying = replaying

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Answers as the builtin would."""
        if self._recorder.busy():
            return self._real(*args, **kwargs)
        if self._replaying and not self._feed.live:
            answer = self._feed.take(HOST_CODE)
            if not self._feed.live:
                self._recorder.code(HOST_CODE, answer)
                value = answer[1]
                return self._rebuild(value) if isinstance(value, list) else value
        value = self._real(*args, **kwargs)
        plain = list(value) if isinstance(value, tuple) else value
        self._recorder.code(HOST_CODE, [self.__name__, to_envelope(plain)])
        return value


class Stat(HostFact):
    """`os.stat` and its like: a replay sees the recorded times, sizes and inodes, and the recorded errors."""

    __slots__ = ()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Answers as the builtin would."""
        recorder, feed = self._recorder, self._feed
        if recorder.busy():
            return self._real(*args, **kwargs)
        if self._replaying and not feed.live:
            answer = feed.take(HOST_CODE)
            if not feed.live:
                recorder.code(HOST_CODE, answer)
                return self._answer(answer[1], args[0] if args else kwargs.get("path"))
        try:
            found = self._real(*args, **kwargs)
        except OSError as error:
            recorder.code(HOST_CODE, [self.__name__, {"errno": error.errno}])
            raise
        plain, named = found.__reduce__()[1]
        recorder.code(HOST_CODE, [self.__name__, {"stat": list(plain), "more": named}])
        return found

    @staticmethod
    def _answer(value: Any, path: Any) -> Any:
        if "errno" in value:
            raise OSError(value["errno"], os.strerror(value["errno"]), path)
        return os.stat_result(value["stat"], value["more"])


class Kill(HostFact):
    """`os.kill` and `os.killpg`: a replay signals nobody, except itself where the program did."""

    __slots__ = ("_own",)

    def __init__(self, real: Any, recorder: Recorder, feed: Feed, *, replaying: bool) -> None:
        super().__init__(real, recorder, feed, replaying=replaying)
        self._own = (os.getpid, os.getpgrp)[real.__name__ == "killpg"]()

    def __call__(self, ident: Any, number: Any, /) -> None:
        """Answers as the builtin would."""
        recorder, feed = self._recorder, self._feed
        if recorder.busy():
            self._real(ident, number)
            return
        if self._replaying and not feed.live:
            answer = feed.take(HOST_CODE)
            if not feed.live:
                recorder.code(HOST_CODE, answer)
                own, errno = answer[1]
                if own:
                    recorder.drain()
                    self._real(self._own, number)
                if errno is not None:
                    raise OSError(errno, os.strerror(errno))
                return
        if self._replaying and ident != self._own:
            raise PermissionError(f"a fork does not signal process {ident}")
        if ident == self._own:
            recorder.code(HOST_CODE, [self.__name__, [True, None]])
            recorder.drain()  # it may be the last thing that this process does
            self._real(ident, number)
            return
        recorder.drain()
        errno = None
        try:
            self._real(ident, number)
        except OSError as error:
            errno = error.errno
            raise
        finally:
            recorder.code(HOST_CODE, [self.__name__, [False, errno]])
        return


class Derived(Shim):
    """A function of `time` that means "now" when its argument is left out."""

    __slots__ = ("_arity", "_convert", "_now", "_real")

    def __init__(self, real: Any, now: Callable[[], Any], arity: int, convert: Any = None) -> None:
        super().__init__(real)
        self._real = real
        self._now = now
        self._arity = arity
        self._convert = convert

    def __call__(self, *args: Any) -> Any:
        """Answers as the builtin would."""
        if len(args) < self._arity or (self._convert is None and args and args[-1] is None):
            now = self._now()
            args = (*args[: self._arity - 1], self._convert(now) if self._convert else now)
        return self._real(*args)


class Urandom(Shim):
    """`os.urandom` as a keyed hash stream for each calling module: no use shifts another's."""

    __slots__ = ("_counters", "_digest", "_seed")

    def __init__(self, seed: int) -> None:
        super().__init__(os.urandom)
        from _blake2 import blake2b  # the C module: hashlib would be imported before its shims

        self._digest = blake2b
        self._seed = seed.to_bytes(8, "big", signed=False)
        self._counters: dict[str, int] = {}

    def __call__(self, size: int, /) -> bytes:
        """Answers as the builtin would."""
        if size < 0:
            raise ValueError("negative argument not allowed")
        module = sys._getframe(1).f_globals.get("__name__", "")
        parts = []
        made = 0
        while made < size:
            count = self._counters.get(module, 0)
            self._counters[module] = count + 1
            text = f"{module}\0{count}".encode("utf-8", "surrogatepass")
            block = self._digest(text, key=self._seed).digest()
            parts.append(block)
            made += len(block)
        return b"".join(parts)[:size]


class SortedListing(Shim):
    """`os.listdir` in sorted order: the system's own order is arbitrary and differs between copies."""

    __slots__ = ("_real",)

    def __init__(self, real: Any) -> None:
        super().__init__(real)
        self._real = real

    def __call__(self, path: Any = None) -> Any:
        """Answers as the builtin would."""
        return sorted(self._real(path))


class _SortedScan:
    def __init__(self, entries: Iterable[Any]) -> None:
        self._entries = iter(entries)

    def __iter__(self) -> _SortedScan:
        return self

    def __next__(self) -> Any:
        return next(self._entries)

    def __enter__(self) -> _SortedScan:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._entries = iter(())


class SortedScan(Shim):
    """`os.scandir` in sorted order."""

    __slots__ = ("_real",)

    def __init__(self, real: Any) -> None:
        super().__init__(real)
        self._real = real

    def __call__(self, path: Any = None) -> Any:
        """Answers as the builtin would."""
        with self._real(path) as entries:
            return _SortedScan(sorted(entries, key=_entry_name))


def _entry_name(entry: Any) -> Any:
    return entry.name


class RecordedEnviron(os._Environ):  # type: ignore[type-arg]  # generic only for type checkers
    """`os.environ` that notes each variable that is read, once for each value."""

    _coda_recorder: Recorder
    _coda_seen: dict[Any, Any]

    def __getitem__(self, key: Any) -> Any:
        try:
            value = super().__getitem__(key)
        except KeyError:
            self._coda_note(key, None)
            raise
        self._coda_note(key, value)
        return value

    def _coda_note(self, key: Any, value: Any) -> None:
        seen = self._coda_seen
        if self._coda_recorder.busy():
            return  # inside an act that is answered as a whole
        if key not in seen or seen[key] != value:
            seen[key] = value
            self._coda_recorder.code(ENV_CODE, [to_envelope(key), to_envelope(value)])


class Shims:
    """Installs all of them in this process, before anything of the agent's is imported."""

    def __init__(self, recorder: Recorder, feed: Feed, *, seed: int, replaying: bool) -> None:
        self.recorder = recorder
        self.feed = feed
        self.seed = seed
        self.replaying = replaying
        self._real_time = types.ModuleType("time")
        self._real_time.__dict__.update(time.__dict__)
        self._swapped: dict[int, Any] = {}

    def install(self) -> None:
        """Puts every shim in place and sweeps references taken before."""
        replacements: list[tuple[Any, str, Any]] = []
        kind = AnsweringClock if self.replaying else RecordingClock
        for name in CLOCKS:
            real = getattr(time, name)
            replacements.append((time, name, kind(real, _CODE_OF[f"time.{name}"], self.recorder, self.feed)))
        replacements.append((time, "sleep", Sleep(self.recorder, self.feed, replaying=self.replaying)))
        urandom = Urandom(self.seed)
        replacements.append((os, "urandom", urandom))
        if hasattr(os, "getrandom"):
            replacements.append((os, "getrandom", urandom))
        replacements += [(os, "listdir", SortedListing(os.listdir)), (os, "scandir", SortedScan(os.scandir))]
        for module, name in ((os, "getpid"), (os, "getppid"), (os, "cpu_count"), (os, "getloadavg"),
                             (time, "clock_gettime"), (time, "clock_gettime_ns")):  # fmt: skip
            if hasattr(module, name):
                real = getattr(module, name)
                fact = HostFact(real, self.recorder, self.feed, replaying=self.replaying)
                replacements.append((module, name, fact))
        for name in ("stat", "lstat", "fstat"):
            # Not in `posix`: the import machinery looks there, and its looks are no observations.
            real = getattr(os, name)
            stat = Stat(real, self.recorder, self.feed, replaying=self.replaying)
            self._swapped[id(real)] = (real, stat)
            setattr(os, name, stat)
        for name in ("kill", "killpg"):
            real = getattr(os, name)
            replacements.append((os, name, Kill(real, self.recorder, self.feed, replaying=self.replaying)))
        for name in ("statvfs", "fstatvfs"):
            if hasattr(os, name):
                fact = HostFact(
                    getattr(os, name),
                    self.recorder,
                    self.feed,
                    replaying=self.replaying,
                    rebuild=os.statvfs_result,
                )
                replacements.append((os, name, fact))
        for module, name, shim in replacements:
            self._swap(module, name, shim)
        self._install_derived()
        self._install_datetime()
        self._sweep()
        for name in list(sys.modules):
            self.after_import(name, sys.modules[name])

    def _swap(self, module: Any, name: str, shim: Any) -> None:
        real = getattr(module, name)
        self._swapped[id(real)] = (real, shim)
        setattr(module, name, shim)
        twin = sys.modules.get("posix")
        if module is os and twin is not None and getattr(twin, name, None) is real:
            setattr(twin, name, shim)

    def _install_derived(self) -> None:
        localtime = time.localtime
        for name, arity, convert in (
            ("localtime", 1, None),
            ("gmtime", 1, None),
            ("ctime", 1, None),
            ("asctime", 1, localtime),
            ("strftime", 2, localtime),
        ):
            self._swap(time, name, Derived(getattr(time, name), time.time, arity, convert))

    def _install_datetime(self) -> None:
        # The class itself stays: isinstance, pickling and C users see the real type.
        now_of = time.time

        def now(cls: Any, tz: Any = None) -> Any:
            return cls.fromtimestamp(now_of(), tz)

        def utcnow(cls: Any) -> Any:
            return cls.fromtimestamp(now_of(), datetime.timezone.utc).replace(tzinfo=None)  # noqa: UP017

        real_dict = gc.get_referents(datetime.datetime.__dict__)[0]
        real_dict["now"] = classmethod(now)
        real_dict["utcnow"] = classmethod(utcnow)
        ctypes.pythonapi.PyType_Modified(ctypes.py_object(datetime.datetime))

    def _sweep(self) -> None:
        """Names bound to a real function before it was replaced; waiting modules keep theirs."""
        for name, module in list(sys.modules.items()):
            if name in WAITERS or name.startswith("coda.") or name in ("time", "os", "posix"):
                continue
            for attribute, value in list(getattr(module, "__dict__", {}).items()):
                found = self._swapped.get(id(value))
                if found is not None and found[0] is value and module is not self._real_time:
                    setattr(module, attribute, found[1])

    def after_import(self, name: str, module: Any) -> None:
        """Adapts a module that has just been imported."""
        if name in WAITERS:
            self._give_real_clock(module)
            if name == "ssl":
                module.RAND_bytes = os.urandom
        elif name == "random":
            self._seed_random(module)
        elif name == "uuid":
            module._generate_time_safe = None
            module.uuid1 = _uuid1_without_chance(module.uuid1, self.seed)
            module._node = self.seed & 0xFFFFFFFFFFFF | 1 << 40

    def _give_real_clock(self, module: Any) -> None:
        reals = {id(shim): real for real, shim in self._swapped.values()}
        for attribute, value in list(module.__dict__.items()):
            if value is time:
                setattr(module, attribute, self._real_time)
            elif id(value) in reals and isinstance(value, (RecordingClock, Sleep)):
                setattr(module, attribute, reals[id(value)])

    def _seed_random(self, module: Any) -> None:
        seed_of = module.Random.seed
        urandom = os.urandom

        def seed(self: Any, a: Any = None, version: int = 2) -> None:
            if a is None:
                a = int.from_bytes(urandom(32), "big")
            seed_of(self, a, version)

        seed.__doc__ = seed_of.__doc__
        module.Random.seed = seed
        module._inst.seed(self.seed)
        module.seed = module._inst.seed

    def go_on_from(self, wall_ns: int) -> None:
        """Sets the wall clocks that were never asked; the others go on from their last answer."""
        for shim, now in ((time.time, wall_ns / 1e9), (time.time_ns, wall_ns)):
            if isinstance(shim, AnsweringClock):
                shim.go_on_from(now)

    def install_environment(self, env: dict[str, str] | None) -> None:
        """Gives agent code its environment, each read of which is noted."""
        environ = os.environ
        if env is not None:
            for key in list(environ):
                del environ[key]
            environ.update(env)
            if hasattr(time, "tzset"):
                time.tzset()
        environ.__dict__.update(_coda_recorder=self.recorder, _coda_seen={})
        environ.__class__ = RecordedEnviron
        os.getenv.__globals__["environ"] = environ


def _uuid1_without_chance(real: Any, seed: int) -> Any:
    """`uuid1` that does not draw its clock sequence from the agent's own generator."""

    def uuid1(node: Any = None, clock_seq: Any = None) -> Any:
        return real(node, seed >> 48 & 0x3FFF if clock_seq is None else clock_seq)

    uuid1.__doc__ = real.__doc__
    uuid1.__module__ = "uuid"
    uuid1.__qualname__ = "uuid1"
    return uuid1


class AfterImport:
    """A finder that lets `Shims` adapt the modules it must, right after they were executed."""

    NAMES = frozenset((*WAITERS, "random", "uuid"))

    def __init__(self, shims: Shims, hooks: dict[str, Callable[[Any], None]]) -> None:
        self._shims = shims
        self._hooks = hooks
        self._names = self.NAMES | set(hooks)
        self._busy = _thread.RLock()

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Gives the ordinary spec with a loader that calls us back; None for every other module."""
        if name not in self._names:
            return None
        from importlib.machinery import PathFinder

        spec = PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None or not hasattr(spec.loader, "exec_module"):
            return None
        loader: Any = spec.loader
        run = loader.exec_module

        def exec_module(module: Any) -> None:
            run(module)
            self._shims.after_import(name, module)
            hook = self._hooks.get(name)
            if hook is not None:
                hook(module)

        loader.exec_module = exec_module
        return spec

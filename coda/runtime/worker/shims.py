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
from collections.abc import Callable
from typing import Any

from coda.runtime.worker.acts import acts
from coda.runtime.worker.baton import Baton
from coda.runtime.worker.facts import LATER, adapt_later, host_facts, stat_facts
from coda.runtime.worker.interpreter import SHORTENED, shorten_stacks
from coda.runtime.worker.listings import listings
from coda.runtime.worker.recorder import Recorder
from coda.runtime.worker.standins import (
    CODE_OF,
    AnsweringClock,
    Derived,
    Feed,
    RecordedEnviron,
    RecordingClock,
    Sleep,
    Urandom,
)

CLOCKS = (
    "time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns",
    "process_time", "process_time_ns", "thread_time", "thread_time_ns",
)  # fmt: skip
WAITERS = (
    "threading", "queue", "selectors", "sched", "subprocess", "socket", "ssl", "concurrent.futures._base",
    "concurrent.futures.thread", "asyncio.base_events", "asyncio.events", "asyncio.selector_events",
    "multiprocessing.connection", "multiprocessing.util", "multiprocessing.pool",
)  # fmt: skip


# Of these, those in which threads of agent code wait for each other.
SERIAL = ("threading", "queue", "sched", "concurrent.futures._base", "concurrent.futures.thread",
          "multiprocessing.pool")  # fmt: skip


class Shims:
    """Installs all of them in this process, before anything of the agent's is imported."""

    def __init__(self, recorder: Recorder, feed: Feed, baton: Baton, *, seed: int, replaying: bool) -> None:
        self._baton = baton
        self._clocks: list[RecordingClock] = []
        self.recorder = recorder
        self.feed = feed
        self.seed = seed
        self.replaying = replaying
        self._time = time  # what other modules hold, whatever becomes of our own name for it
        self._waiting_time: Any = None
        self._real_time = types.ModuleType("time")
        self._real_time.__dict__.update(time.__dict__)
        self._swapped: dict[int, Any] = {}

    def install(self) -> None:
        """Puts every shim in place and sweeps references taken before."""
        replacements: list[tuple[Any, str, Any]] = []
        clock = AnsweringClock.of if self.replaying else RecordingClock.of
        for name in CLOCKS:
            real = getattr(time, name)
            told = clock(real, CODE_OF[f"time.{name}"], self.recorder, self.feed)
            self._clocks.append(told)
            replacements.append((time, name, told))
        sleep = Sleep(self.recorder, self.feed, self._baton, replaying=self.replaying)
        replacements.append((time, "sleep", sleep))
        self.urandom = urandom = Urandom(self.seed)
        replacements.append((os, "urandom", urandom))
        if hasattr(os, "getrandom"):
            replacements.append((os, "getrandom", urandom))
        for kind_of in (stat_facts, listings, acts):
            for name, shim in kind_of(self.recorder, self.feed):
                # Not in `posix`: the import machinery looks there, and its looks are no observations.
                real = getattr(os, name)
                self._swapped[id(real)] = (real, shim)
                setattr(os, name, shim)
        replacements += host_facts(self.recorder, self.feed)
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
                elif isinstance(value, type) and value.__module__ == name:
                    self._sweep_class(value)

    def _sweep_class(self, kind: type) -> None:
        """Static methods that are such functions: those of `glob`, from Python 3.13 on."""
        for attribute, value in list(vars(kind).items()):
            if isinstance(value, staticmethod):
                found = self._swapped.get(id(value.__func__))
                if found is not None and found[0] is value.__func__:
                    setattr(kind, attribute, staticmethod(found[1]))

    def after_import(self, name: str, module: Any) -> None:
        """Adapts a module that has just been imported."""
        if name in LATER:
            adapt_later(module, self.recorder, self.feed)
        if name in WAITERS:
            self._give_real_clock(module)
            if name in SERIAL:
                self._give_waiting_clock(module)
            if name == "ssl":
                module.RAND_bytes = os.urandom
        elif name in SHORTENED:
            shorten_stacks(module, self.recorder)
        elif name == "random":
            self._seed_random(module)
        elif name == "uuid":
            module._generate_time_safe = None
            module.uuid1 = _uuid1_without_chance(module.uuid1, self.seed)
            module._node = self.seed & 0xFFFFFFFFFFFF | 1 << 40

    def wait_by(self, now: Callable[[], float], sleep: Callable[[float], None]) -> None:
        """Gives the modules in which agent threads wait a clock and a sleep that the log decides."""
        waiting = types.ModuleType("time")
        waiting.__dict__.update(self._real_time.__dict__, monotonic=now, sleep=sleep)
        self._waiting_time = waiting
        for name in SERIAL:
            if name in sys.modules:
                self._give_waiting_clock(sys.modules[name])

    def go_parallel(self) -> None:
        """Threads run at the same time from now on: a reading and its entry go in together."""
        for clock in self._clocks:
            clock.look_up(self.recorder)

    def _give_waiting_clock(self, module: Any) -> None:
        waiting = self._waiting_time
        if waiting is None:
            return
        real = self._real_time
        for attribute, value in list(module.__dict__.items()):
            if value is real or value is self._time:
                setattr(module, attribute, waiting)
            elif value is real.monotonic:
                setattr(module, attribute, waiting.monotonic)

    def _give_real_clock(self, module: Any) -> None:
        reals = {id(shim): real for real, shim in self._swapped.values()}
        for attribute, value in list(module.__dict__.items()):
            if value is self._time:
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

    def go_real(self) -> None:
        """The run itself goes on: every clock is the real one, and signals are sent."""
        self.feed.real = True
        for _, shim in self._swapped.values():
            if isinstance(shim, AnsweringClock):
                shim.go_real()

    def install_environment(self, env: dict[str, str] | None, *, zone: str = "") -> None:
        """Gives agent code its environment, each read of which is noted.

        Args:
            env: the whole of it; None leaves the worker's own.
            zone: the time zone of the C library, where `TZ` is not set; agent code does not see it there.
        """
        environ = os.environ
        if env is not None:
            for key in list(environ):
                del environ[key]
            environ.update(env)
            if zone and "TZ" not in env:
                os.putenv("TZ", zone)
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

    NAMES = frozenset((*WAITERS, *LATER, *SHORTENED, "random", "uuid"))

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

"""What a program asks of the system it runs on: who it is, where, with what limits and rights.

Guarantee: each answer, also a refusal, is an observation: a replay on another machine, under another user or
in another session gives the recorded one. The wrong alternative is to ask again: `uname`, user ids, groups
and sessions are those of whoever replays.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from coda.runtime.worker.recorder import Recorder
from coda.runtime.worker.standins import Feed, HostFact, Kill, Shim, Stat

# Name to what makes the builtin's own type of a recorded list; None: the value crosses as it is.
OF_OS: dict[str, Callable[[Any], Any] | None] = {
    "getpid": None, "getppid": None, "cpu_count": None, "getloadavg": tuple, "uname": os.uname_result,
    "getuid": None, "geteuid": None, "getgid": None, "getegid": None, "getgroups": None, "getlogin": None,
    "getpgrp": None, "getpgid": None, "getsid": None, "getresuid": tuple, "getresgid": tuple,
    "getpriority": None, "sched_getaffinity": None, "process_cpu_count": None, "sysconf": None,
    "access": None, "readlink": None, "times": os.times_result, "get_terminal_size": os.terminal_size,
    "statvfs": os.statvfs_result, "fstatvfs": os.statvfs_result,
}  # fmt: skip
OF_TIME = ("clock_gettime", "clock_gettime_ns")
LATER: dict[str, tuple[str, ...]] = {"socket": ("gethostname",), "resource": ("getrusage", "getrlimit")}
"""Of modules that are adapted when they are imported."""

FACTS = frozenset(
    {*OF_OS, *OF_TIME, *(name for names in LATER.values() for name in names), "stat", "lstat", "fstat"}
)
"""Questions whose answer tells of the system and of no act."""


def host_facts(recorder: Recorder, feed: Feed) -> list[tuple[Any, str, HostFact]]:
    """Stand-ins for functions that tell of the host: (module, name, stand-in)."""

    def fact(real: Any, rebuild: Callable[[Any], Any] | None = None) -> HostFact:
        return HostFact(real, recorder, feed, rebuild=rebuild)

    found = [
        (os, name, fact(getattr(os, name), rebuild)) for name, rebuild in OF_OS.items() if hasattr(os, name)
    ]
    found += [(time, name, fact(getattr(time, name))) for name in OF_TIME if hasattr(time, name)]
    found += [
        (os, name, Kill(getattr(os, name), recorder, feed))
        for name in ("kill", "killpg")
        if hasattr(os, name)
    ]
    return found


def stat_facts(recorder: Recorder, feed: Feed) -> list[tuple[str, Shim]]:
    """Stand-ins for `os.stat` and its like."""
    return [(name, Stat(getattr(os, name), recorder, feed)) for name in ("stat", "lstat", "fstat")]


def adapt_later(module: Any, recorder: Recorder, feed: Feed) -> None:
    """Puts stand-ins into a module of `LATER` that has just been imported."""
    for name in LATER.get(module.__name__, ()):
        real = getattr(module, name, None)
        if real is not None and not isinstance(real, HostFact):
            rebuild = {"getrusage": getattr(module, "struct_rusage", tuple), "getrlimit": tuple}.get(name)
            setattr(module, name, HostFact(real, recorder, feed, rebuild=rebuild))

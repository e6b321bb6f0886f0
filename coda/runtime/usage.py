"""What a worker uses while it runs, looked at from outside: processor time, processes, memory.

Guarantee: nothing here trusts the worker or slows it down. The answers come from /proc; where there is none
they are None, and a limit that needs them is refused rather than not kept.
"""

from __future__ import annotations

import os
import sys

_TICKS = os.sysconf("SC_CLK_TCK")
_EVENTS = "/sys/fs/cgroup/memory.events"


def can_look() -> bool:
    """Whether this system tells of other processes."""
    return sys.platform.startswith("linux") and os.path.exists("/proc/self/stat")


def cpu_s(pid: int) -> float | None:
    """Processor time of a process with its threads, without its children; None when it is gone."""
    fields = _stat(pid)
    return None if fields is None else (int(fields[11]) + int(fields[12])) / _TICKS


def processes_below(pid: int) -> list[int]:
    """The processes of a worker's session, and those that descend from it, without itself."""
    parents: dict[int, int] = {}
    found: list[int] = []
    for name in os.listdir("/proc"):
        if name.isdigit() and (fields := _stat(int(name))) is not None and fields[0] != "Z":
            parents[int(name)] = int(fields[1])
            if int(fields[3]) == pid and int(name) != pid:
                found.append(int(name))
    below = {pid, *found}
    while more := {each for each, parent in parents.items() if parent in below} - below:
        below |= more
        found += more
    return found


def out_of_memory_kills() -> int | None:
    """How many processes the kernel has ended here for want of memory; None when it does not tell."""
    try:
        with open(_EVENTS, encoding="ascii") as file:
            rows = dict(line.split() for line in file)
        return int(rows["oom_kill"])
    except (OSError, KeyError, ValueError):
        return None


def _stat(pid: int) -> list[str] | None:
    """Fields of /proc/PID/stat behind the name: state, parent, group, session ..."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].decode("ascii").split()
    except (OSError, ValueError):
        return None

"""Starts the process of a worker.

Guarantee: it has the hash seed and the options that were asked for, no descriptor of this process but its
own three, and addresses that are not random where the system allows that.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple

from coda.runtime.startup import Startup, environment_for

Apart = Literal["session", "group", "none"]
# Of Linux: addresses that are not random, and the question what the personality is.
_ADDR_NO_RANDOMIZE = 0x0040000
_WHICH = 0xFFFFFFFF
# Not by `-P -m`: `sys.flags` would tell agent code, and the children that it starts, of a safe path.
_WORKER = (
    "import sys\n"
    "if not sys.flags.safe_path: del sys.path[0]\n"
    "from runpy import run_module\n"
    "run_module('coda.runtime.worker', run_name='__main__', alter_sys=False)"
)


class Launched(NamedTuple):
    """A worker's process, and our ends of its pipes."""

    process: subprocess.Popen[bytes]
    """Its stdout and stderr are pipes that do not block."""
    read_fd: int
    write_fd: int
    control_fd: int


def launch_worker(startup: Startup, *, hash_seed: int, stdin: int | None, apart: Apart) -> Launched:
    """Starts a worker (see `Engine` for the arguments)."""
    down_read, down_write = os.pipe()
    up_read, up_write = os.pipe()
    control_read, control_write = os.pipe()
    _enlarge(up_write)
    theirs = (down_read, up_write, control_read)
    with _fixed_addresses():
        process = subprocess.Popen(
            [sys.executable, *startup.options, "-c", _WORKER, *map(str, theirs)],
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=theirs,
            env=environment_for(startup, hash_seed=hash_seed),
            start_new_session=apart == "session",
            process_group=0 if apart == "group" else None,
        )
    for fd in theirs:
        os.close(fd)
    for pipe in (process.stdout, process.stderr):
        assert pipe is not None
        os.set_blocking(pipe.fileno(), False)
    return Launched(process, up_read, down_write, control_write)


@contextmanager
def _fixed_addresses() -> Iterator[None]:
    """What this thread starts has addresses that are not random, where the system allows that.

    Hashes of None and of types are then the same in each process. The personality is a thread's own.
    """
    if not sys.platform.startswith("linux"):
        yield
        return
    personality = ctypes.CDLL(None).personality
    personality.argtypes = [ctypes.c_ulong]
    before = personality(_WHICH)
    changed = before >= 0 and personality(before | _ADDR_NO_RANDOMIZE) >= 0
    try:
        yield
    finally:
        if changed:
            personality(before)


def _enlarge(fd: int) -> None:
    try:
        fcntl.fcntl(fd, 1031, 1 << 20)  # F_SETPIPE_SZ: fewer switches between the two processes
    except OSError:
        return

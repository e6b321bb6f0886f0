"""What code in a foreign trace might try. Innocent where it is recorded: it acts when it is told to.

`targets.json` names the place, the process and the port that may not be reached; what succeeded is printed.
"""

from __future__ import annotations

import _posixsubprocess
import _socket
import ctypes
import errno
import gc
import json
import os
import sqlite3
import struct
import sys
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

with open("targets.json", encoding="utf-8") as file:
    TARGETS: dict[str, Any] = json.load(file)
libc = ctypes.CDLL(None, use_errno=True)
CALL = {
    "open": 2, "connect": 42, "sendto": 44, "clone": 56, "fork": 57, "vfork": 58, "execve": 59, "kill": 62,
    "fcntl": 72, "truncate": 76, "rename": 82, "mkdir": 83, "link": 86, "unlink": 87, "symlink": 88,
    "chmod": 90, "chown": 92, "ptrace": 101, "mknod": 133, "setpriority": 141, "pivot_root": 155,
    "chroot": 161, "mount": 165, "umount2": 166, "setxattr": 188, "tkill": 200, "shmget": 29, "keyctl": 250,
    "utimensat": 280, "unshare": 272, "perf_event_open": 298, "prlimit64": 302, "setns": 308,
    "process_vm_readv": 310, "bpf": 321, "execveat": 322, "userfaultfd": 323, "rt_sigqueueinfo": 129,
    "tgkill": 234, "mq_open": 240, "sched_setaffinity": 203, "io_uring_setup": 425, "pidfd_open": 434,
    "clone3": 435, "mount_setattr": 442, "sendmsg": 46, "ioctl": 16, "capset": 126, "process_madvise": 440,
}  # fmt: skip
done: list[str] = []


def call(name: str, *args: Any) -> int:
    """A system call itself, past every Python function; the error as a negative number."""
    given = [os.fsencode(arg) if isinstance(arg, str) else arg for arg in args]
    result = libc.syscall(CALL[name], *[ctypes.c_long(a) if isinstance(a, int) else a for a in given])
    return int(result) if result >= 0 else -ctypes.get_errno()


def attempt(name: str, act: Callable[[], Any]) -> None:
    """Tries, and notes what succeeded; what a refusal looks like does not matter."""
    try:
        result = act()
    except BaseException:
        return
    if result is not False and not (isinstance(result, int) and not isinstance(result, bool) and result < 0):
        done.append(name)


def child(result: int) -> bool:
    """A started process must not go on."""
    if result == 0:
        os._exit(0)
    return result > 0


def to_files(place: str) -> None:
    """Changes of files, by system calls."""
    old = f"{place}/old"
    attempt("create", lambda: call("open", f"{place}/new", os.O_CREAT | os.O_WRONLY, 0o644))
    attempt("append", lambda: call("open", old, os.O_WRONLY | os.O_APPEND, 0))
    attempt("truncate", lambda: call("truncate", old, 0))
    attempt("unlink", lambda: call("unlink", old))
    attempt("rename", lambda: call("rename", old, f"{place}/moved"))
    attempt("mkdir", lambda: call("mkdir", f"{place}/folder", 0o755))
    attempt("symlink", lambda: call("symlink", old, f"{place}/link"))
    attempt("hard link", lambda: call("link", old, f"{place}/hard"))
    attempt("chmod", lambda: call("chmod", old, 0o777))
    attempt("chown", lambda: call("chown", old, libc.getuid(), libc.getgid()))
    attempt("times", lambda: call("utimensat", -100, old, None, 0))
    attempt("attribute", lambda: call("setxattr", old, "user.x", "1", 1, 0))
    attempt("fifo", lambda: call("mknod", f"{place}/fifo2", 0o10644, 0))
    attempt("write to a fifo", lambda: call("open", f"{place}/fifo", os.O_WRONLY | os.O_NONBLOCK, 0))
    for device in ("/dev/vda", "/dev/sda", "/dev/mem", "/dev/kmsg", "/dev/ptmx", "/dev/tty", "/dev/fuse"):
        attempt(f"open {device}", partial(call, "open", device, os.O_RDWR, 0))
    attempt("a device of its own", lambda: call("mknod", "disk", 0o60644, os.makedev(254, 0)))
    attempt("memory of the parent", lambda: call("open", f"/proc/{libc.getppid()}/mem", os.O_RDWR, 0))
    attempt("settings", lambda: call("open", "/proc/sys/kernel/core_pattern", os.O_WRONLY, 0))


def to_processes(victim: int) -> None:
    """New processes, and others."""
    attempt("fork", lambda: child(call("fork")))
    attempt("vfork", lambda: call("vfork") >= 0 and libc._exit(0))
    attempt("clone", lambda: child(call("clone", 17, 0, 0, 0, 0)))
    attempt("clone3", lambda: child(call("clone3", struct.pack("8Q", 0, 0, 0, 0, 17, 0, 0, 0), 64)))
    attempt("execve", lambda: call("execve", "/bin/true", None, None))
    attempt("execveat", lambda: call("execveat", -100, "/bin/true", None, None, 0))
    for name, args in {
        "kill": (victim, 0), "tgkill": (victim, victim, 0), "tkill": (victim, 0), "pidfd_open": (victim, 0),
        "rt_sigqueueinfo": (victim, 10, bytes(128)), "ptrace": (16, victim, 0, 0),
        "process_vm_readv": (victim, None, 0, None, 0, 0), "prlimit64": (victim, 7, None, bytes(16)),
        "sched_setaffinity": (victim, 8, b"\x01" + bytes(7)), "setpriority": (2, 0, 5),
        "process_madvise": (0, None, 0, 0, 0),
    }.items():  # fmt: skip
        attempt(name, partial(call, name, *args))
    attempt("kill the group", lambda: call("kill", 0, 0))
    attempt("signals by F_SETOWN", lambda: call("fcntl", 0, 8, victim))
    attempt("typing", lambda: call("ioctl", 0, 0x5412, b"x"))


def to_sockets(place: str, port: int) -> None:
    """Ways to others."""
    unix = b"\x01\x00" + os.fsencode(f"{place}/socket") + b"\0"
    inet = struct.pack("!HH4s8x", 0x0200, port, b"\x7f\x00\x00\x01")
    for name, kind, address in (
        ("unix stream", (1, 1), unix), ("unix datagram", (1, 2), unix),
        ("tcp", (2, 1), inet), ("udp", (2, 2), inet),
    ):  # fmt: skip
        fd = libc.socket(*kind, 0)
        attempt(f"connect {name}", partial(call, "connect", fd, address, len(address)))
        attempt(
            f"send {name}",
            partial(call, "sendto", fd, b"x", 1, 0, address, len(address)),
        )
    attempt("sendmsg", lambda: call("sendmsg", libc.socket(1, 2, 0), bytes(56), 0) != -errno.EPERM)
    for family in (16, 17, 40, 38):  # netlink, packet, vsock, crypto
        attempt(f"socket family {family}", partial(libc.socket, family, 3, 0))
    attempt("shared memory", lambda: call("shmget", 4242, 4096, 0o1666))
    attempt("message queue", lambda: call("mq_open", "escape", os.O_CREAT | os.O_RDWR, 0o600, None))


def to_the_kernel() -> None:
    """Mounts, namespaces, capabilities, and big doors."""
    for name, args in {
        "mount": ("none", "/mnt", "tmpfs", 0, None), "umount2": (".", 2), "unshare": (0x10000000,),
        "chroot": (".",), "pivot_root": (".", "."), "setns": (0, 0),
        "mount_setattr": (-100, "/", 0x8000, struct.pack("4Q", 0, 1, 0, 0), 32),
        "keyctl": (0, -3, 1), "bpf": (0, bytes(64), 64), "perf_event_open": (bytes(112), 0, -1, -1, 0),
        "userfaultfd": (0,), "io_uring_setup": (4, bytes(120)),
        "capset": (struct.pack("2I", 0x20080522, 0), b"\xff" * 24),
    }.items():  # fmt: skip
        attempt(name, partial(call, name, *args))


def past_the_hook(place: str) -> None:
    """The audit hook switched off from within, then Python's own functions."""
    frame: Any = sys._getframe()
    around = []
    while frame is not None:
        around += frame.f_locals.values()
        frame = frame.f_back
    hooks = [thing for thing in gc.get_objects() if type(thing).__name__ == "Audit"]
    hooks += [thing.audit for thing in around if type(getattr(thing, "audit", None)).__name__ == "Audit"]
    for hook in hooks:
        hook.active = False
        hook._handlers.clear()
    if not hooks:
        return
    warnings.simplefilter("ignore")  # of forking beside threads: printing it reads files
    attempt("os.fork", lambda: child(os.fork()))
    attempt("open", lambda: open(f"{place}/new", "w"))
    attempt("sqlite", lambda: sqlite3.connect(f"{place}/new.db").execute("create table t (x)"))
    attempt("unix socket", lambda: _socket.socket(1, 1).connect(f"{place}/socket"))
    arguments: list[Any] = [
        [b"true"], (b"/bin/true",), True, (), None, None, -1, -1, -1, -1, -1, -1, *os.pipe(),
        False, False, -1, None, None, None, -1, None,
    ]  # fmt: skip
    attempt("fork_exec", lambda: child(_posixsubprocess.fork_exec(*arguments)))
    attempt("posix_spawn", lambda: os.posix_spawn("/bin/true", ["true"], {}))


def inherited() -> None:
    """Descriptors that were left open: nothing but pipes, the null device and what we opened ourselves."""
    for fd in range(3, 64):
        name = ctypes.create_string_buffer(256)
        if libc.readlink(os.fsencode(f"/proc/self/fd/{fd}"), name, 255) < 0:
            continue
        target = os.fsdecode(name.value)
        if not target.startswith(("pipe:", "socket:", "/dev/null", "anon_inode:", "/proc/")):
            done.append(f"descriptor {fd}: {target}")


if libc.access(os.fsencode(f"{TARGETS['place']}/act"), 0) == 0:  # made after the recording
    sys.stdout.flush()
    to_files(TARGETS["place"])
    to_sockets(TARGETS["place"], TARGETS["port"])
    to_the_kernel()
    to_processes(TARGETS["victim"])
    past_the_hook(TARGETS["place"])
    inherited()
print("succeeded:", done)

"""Keeps a replaying worker in, by the kernel: own mounts, no network, everything else read-only, few calls.

Guarantee: called before any thread exists and before agent code; each layer that held is named, and one
that was refused is named as a problem, so that a verdict never claims more than was in force. Linux
alone; elsewhere no layer holds. Mounts and namespaces hide the world, Landlock and the filter of system
calls refuse what a read-only mount lets through: devices, pipes, sockets, processes, signals.
(Facts: user_namespaces(7), mount_setattr(2), capabilities(7), landlock(7), seccomp(2).)
"""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from coda.runtime.worker import landlock, seccomp

CLONE_NEWNS, CLONE_NEWUSER, _CLONE_NEWNET = 0x00020000, 0x10000000, 0x40000000
_MS_BIND, _MS_REC, _MS_PRIVATE = 4096, 16384, 1 << 18
_READ_ONLY, _NO_SUID, _NO_DEVICES = 1, 2, 4
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_SYS_MOUNT_SETATTR = 442
_SYS_CAPSET = {"x86_64": 126, "aarch64": 91}
_PR_SET_NO_NEW_PRIVS = 38
_CAPABILITY_VERSION = 0x20080522
_SHARED_MEMORY = "/dev/shm"
_DEVICES = ("null", "zero", "full", "random", "urandom")
_DEVICE_LINKS = {
    "fd": "/proc/self/fd", "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2",
}  # fmt: skip


class Isolation(NamedTuple):
    """What holds, and what was refused and why."""

    layers: list[str]
    problems: list[str]

    def hold(self, layer: str, act: Callable[[], Any]) -> Any:
        """Tries a layer and notes whether it holds; gives what the act gave, None when it was refused."""
        try:
            given = act()
        except OSError as error:
            self.problems.append(f"{layer} refused: {error.strerror}")
            return None
        self.layers.append(layer)
        return given


class _MountAttr(ctypes.Structure):
    _fields_ = [
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    ]


def isolate(mounts: list[tuple[str, str]], *, writable: list[str], cwd: str) -> Isolation:
    """Enters namespaces of its own and shows each `source` at its `target`; the rest is read-only.

    Args:
        mounts: (source, target) in order; both exist, and both are files or both folders.
        writable: mount points that stay writable, without what is mounted below them.
        cwd: where to stand afterwards.

    Returns:
        What holds; nothing at all where namespaces are refused, so that `fence` can be tried instead.
    """
    result = Isolation([], [])
    if not sys.platform.startswith("linux"):
        result.problems.append(f"no kernel isolation on {sys.platform}")
        return result
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        _enter_namespaces(libc)
        private_mounts(libc)
        for source, target in mounts:
            mount(libc, source, target)
        result.layers.extend(("mount", "network"))
    except OSError as error:
        result.problems.append(f"namespaces refused: {error.strerror}")
        return result
    shared = os.path.isdir(_SHARED_MEMORY)
    devices = result.hold("devices", lambda: _few_devices(libc)) or []
    again = [*writable, *([_SHARED_MEMORY] if shared and devices else [])]
    result.hold("read-only", lambda: close_all_but(libc, again, devices))
    os.chdir(cwd)
    result.hold("no-new-privileges", lambda: check(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)))
    result.hold("capabilities", lambda: drop_capabilities(libc))
    _filter(libc, result, again)
    return result


def fence(*, writable: list[str], cwd: str) -> Isolation:
    """Holds the process where namespaces are refused: it writes below the named folders alone.

    What is outside can still be read, and its modes, owners and times can be changed where the user may.
    """
    result = Isolation([], [])
    os.chdir(cwd)
    if sys.platform.startswith("linux"):
        libc = ctypes.CDLL(None, use_errno=True)
        result.hold("no-new-privileges", lambda: check(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)))
        _filter(libc, result, writable)
    return result


def _filter(libc: ctypes.CDLL, result: Isolation, writable: list[str]) -> None:
    """The two filters that need no namespace; and no core file of what is the user's."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    result.hold("landlock", lambda: landlock.restrict(libc, writable))
    result.hold("system-calls", lambda: seccomp.install(libc))


def _few_devices(libc: ctypes.CDLL) -> list[str]:
    """Puts a /dev of its own in place, with harmless devices alone: no disk, no terminal of anybody's."""
    found = {}
    for name in _DEVICES:
        try:
            found[name] = os.open(f"/dev/{name}", os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
    try:
        shared = os.path.isdir(_SHARED_MEMORY)
        _mount(libc, "coda", "/dev", 0, kind="tmpfs")
        for name, fd in found.items():
            os.close(os.open(f"/dev/{name}", os.O_CREAT | os.O_WRONLY, 0o666))
            _mount(libc, f"/proc/self/fd/{fd}", f"/dev/{name}", _MS_BIND)
    finally:
        for fd in found.values():
            os.close(fd)
    for name, target in _DEVICE_LINKS.items():
        os.symlink(target, f"/dev/{name}")
    if shared:
        os.mkdir(_SHARED_MEMORY)
        _mount(libc, "coda", _SHARED_MEMORY, 0, kind="tmpfs")
    return [f"/dev/{name}" for name in found]


def close_all_but(libc: ctypes.CDLL, writable: list[str], devices: list[str]) -> None:
    """Makes every mount read-only, without devices and set-user-id programs; then opens what may be open."""
    _set_attributes(libc, "/", set_=_READ_ONLY | _NO_SUID | (_NO_DEVICES if devices else 0), deep=True)
    for target in writable:
        _set_attributes(libc, target, clear=_READ_ONLY)
    for device in devices:
        _set_attributes(libc, device, clear=_NO_DEVICES)


def check(result: int) -> None:
    """Raises OSError when a call of the C library failed."""
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _enter_namespaces(libc: ctypes.CDLL) -> None:
    uid, gid = os.getuid(), os.getgid()
    check(libc.unshare(CLONE_NEWUSER | CLONE_NEWNS | _CLONE_NEWNET))
    map_ids(uid, gid)


def map_ids(uid: int, gid: int) -> None:
    """In a new user namespace: the user is who he was outside."""
    # The maps come first: without them /proc of the new namespace cannot be written any more.
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)


def private_mounts(libc: ctypes.CDLL) -> None:
    """What is mounted from now on is seen in this namespace alone."""
    _mount(libc, None, "/", _MS_REC | _MS_PRIVATE)


def mount(libc: ctypes.CDLL, source: str, target: str) -> None:
    """Shows a file or folder, and what is mounted in it, in another place too."""
    _mount(libc, source, target, _MS_BIND | _MS_REC)


def _mount(
    libc: ctypes.CDLL, source: str | None, target: str, flags: int, *, kind: str | None = None
) -> None:
    check(
        libc.mount(
            os.fsencode(source) if source else b"none",
            os.fsencode(target),
            kind.encode() if kind else None,
            ctypes.c_ulong(flags),
            None,
        )
    )


def _set_attributes(
    libc: ctypes.CDLL, target: str, *, set_: int = 0, clear: int = 0, deep: bool = False
) -> None:
    attributes = _MountAttr(attr_set=set_, attr_clr=clear)
    check(
        libc.syscall(
            _SYS_MOUNT_SETATTR,
            _AT_FDCWD,
            os.fsencode(target),
            _AT_RECURSIVE if deep else 0,
            ctypes.byref(attributes),
            ctypes.sizeof(attributes),
        )
    )


def drop_capabilities(libc: ctypes.CDLL) -> None:
    """Gives up all powers over this namespace. Raises OSError when that is refused."""
    number = _SYS_CAPSET.get(os.uname().machine)
    if number is None:
        raise OSError(38, f"not known on {os.uname().machine}")
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    data = (ctypes.c_uint32 * 6)()
    check(libc.syscall(number, ctypes.byref(header), ctypes.byref(data)))

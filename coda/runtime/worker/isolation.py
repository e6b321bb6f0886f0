"""Keeps a replaying worker in, by the kernel: own mounts, no network, everything else read-only.

Guarantee: called before any thread exists and before agent code; each layer that held is named, and one
that was refused is named as a problem, so that a verdict never claims more than was in force. Linux
alone; elsewhere no layer holds. (Facts: user_namespaces(7), mount_setattr(2), capabilities(7).)
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from typing import NamedTuple

_CLONE_NEWNS, _CLONE_NEWUSER, _CLONE_NEWNET = 0x00020000, 0x10000000, 0x40000000
_MS_BIND, _MS_REC, _MS_PRIVATE = 4096, 16384, 1 << 18
_MOUNT_ATTR_RDONLY = 1
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_SYS_MOUNT_SETATTR = 442
_SYS_CAPSET = {"x86_64": 126, "aarch64": 91}
_PR_SET_NO_NEW_PRIVS = 38
_CAPABILITY_VERSION = 0x20080522


class Isolation(NamedTuple):
    """What holds, and what was refused and why."""

    layers: list[str]
    problems: list[str]


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
    """
    result = Isolation([], [])
    if not sys.platform.startswith("linux"):
        result.problems.append(f"no kernel isolation on {sys.platform}")
        return result
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        _enter_namespaces(libc)
        _mount(libc, None, "/", _MS_REC | _MS_PRIVATE)
        for source, target in mounts:
            _mount(libc, source, target, _MS_BIND | _MS_REC)
        result.layers.extend(("mount", "network"))
    except OSError as error:
        result.problems.append(f"namespaces refused: {error.strerror}")
        return result
    try:
        _set_readonly(libc, "/", readonly=True)
        for target in writable:
            _set_readonly(libc, target, readonly=False)
        result.layers.append("read-only")
    except OSError as error:
        result.problems.append(f"read-only root refused: {error.strerror}")
    os.chdir(cwd)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0:
        result.layers.append("no-new-privileges")
    try:
        _drop_capabilities(libc)
        result.layers.append("capabilities")
    except OSError as error:
        result.problems.append(f"capabilities kept: {error.strerror}")
    return result


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _enter_namespaces(libc: ctypes.CDLL) -> None:
    uid, gid = os.getuid(), os.getgid()
    _check(libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNS | _CLONE_NEWNET))
    # The maps come first: without them /proc of the new namespace cannot be written any more.
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)


def _mount(libc: ctypes.CDLL, source: str | None, target: str, flags: int) -> None:
    _check(
        libc.mount(
            os.fsencode(source) if source else b"none",
            os.fsencode(target),
            None,
            ctypes.c_ulong(flags),
            None,
        )
    )


def _set_readonly(libc: ctypes.CDLL, target: str, *, readonly: bool) -> None:
    attributes = _MountAttr()
    if readonly:
        attributes.attr_set = _MOUNT_ATTR_RDONLY
    else:
        attributes.attr_clr = _MOUNT_ATTR_RDONLY
    _check(
        libc.syscall(
            _SYS_MOUNT_SETATTR,
            _AT_FDCWD,
            os.fsencode(target),
            _AT_RECURSIVE if readonly else 0,
            ctypes.byref(attributes),
            ctypes.sizeof(attributes),
        )
    )


def _drop_capabilities(libc: ctypes.CDLL) -> None:
    number = _SYS_CAPSET.get(platform.machine())
    if number is None:
        raise OSError(38, f"not known on {platform.machine()}")
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    data = (ctypes.c_uint32 * 6)()
    _check(libc.syscall(number, ctypes.byref(header), ctypes.byref(data)))

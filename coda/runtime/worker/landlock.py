"""A fence around writing, where the kernel has Landlock: outside of the folders that are named, nothing.

Guarantee: once `restrict` has returned, this process and its threads can create, write, truncate, rename
and delete only below the named folders, cannot write to devices, pipes and sockets elsewhere, cannot make
TCP connections, and cannot signal or reach others by abstract sockets, each as far as the kernel's
version knows of it. It does not stop changes of mode, owner, times and attributes: mounts do that.
(Facts: landlock(7), the kernel's userspace-api/landlock page.)
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG = 1
_PATH_BENEATH = 1
# Rights of files, by the version that brought them.
_EXECUTE, _WRITE_FILE = 1 << 0, 1 << 1
_REMOVE_AND_MAKE = sum(1 << bit for bit in range(4, 13))
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_TCP = 0b11
_SCOPES = 0b11
_HARMLESS_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


class _Ruleset(ctypes.Structure):
    _fields_ = [("files", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64)]


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32)]


def version(libc: ctypes.CDLL) -> int:
    """Gives the kernel's version of Landlock, 0 where it has none or it is switched off."""
    found: int = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION_FLAG)
    return max(0, found)


def restrict(libc: ctypes.CDLL, writable: Iterable[str]) -> int:
    """Puts the fence up, for ever.

    Args:
        libc: the C library, loaded with `use_errno`; no-new-privileges must be set.
        writable: folders and files that stay writable; those that are not there are passed over.

    Returns:
        The version in force.

    Raises:
        OSError: the kernel has no Landlock, or refuses.
    """
    abi = version(libc)
    if not abi:
        raise OSError(38, os.strerror(38))
    rights = _EXECUTE | _WRITE_FILE | _REMOVE_AND_MAKE
    rights |= (_REFER if abi >= 2 else 0) | (_TRUNCATE if abi >= 3 else 0) | (_IOCTL_DEV if abi >= 5 else 0)
    ruleset = _Ruleset(rights, _TCP if abi >= 4 else 0, _SCOPES if abi >= 6 else 0)
    size = 8 if abi < 4 else 16 if abi < 6 else 24
    fd = _checked(libc.syscall(_CREATE_RULESET, ctypes.byref(ruleset), ctypes.c_size_t(size), 0))
    try:
        for path in writable:
            _allow(libc, fd, path, rights & ~_EXECUTE)
        for path in _HARMLESS_DEVICES:
            _allow(libc, fd, path, rights & (_WRITE_FILE | _TRUNCATE | _IOCTL_DEV))
        _checked(libc.syscall(_RESTRICT_SELF, fd, 0))
    finally:
        os.close(fd)
    return abi


def _allow(libc: ctypes.CDLL, ruleset: int, path: str, rights: int) -> None:
    try:
        parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not os.path.isdir(path):
            rights &= _WRITE_FILE | _TRUNCATE | _IOCTL_DEV
        rule = _Beneath(rights, parent)
        _checked(libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0))
    finally:
        os.close(parent)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result

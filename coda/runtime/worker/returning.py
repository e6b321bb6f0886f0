"""A replay that is left again: the worker sees a private copy for a while, then the real workspace.

Guarantee: before it returns it can write nowhere but in the copy. What it returns to is the view of the
system that it had when it was started; files that agent code holds open in the copy are opened again in the
real workspace, under the same descriptors, with the same flags and offsets. Linux alone.

A process cannot leave a user namespace. Where the user is no superuser one is needed, so afterwards other
users' files belong to nobody there, and set-user-id programs have no effect.
(Facts: setns(2), unshare(2): a mount namespace can be joined by a thread whose file system attributes are its
own, also when the process has others.)
"""

from __future__ import annotations

import ctypes
import os
import stat
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from coda.runtime.worker.isolation import (
    CLONE_NEWNS,
    CLONE_NEWUSER,
    Isolation,
    check,
    close_all_but,
    drop_capabilities,
    map_ids,
    mount,
    private_mounts,
)  # fmt: skip

_CLONE_FS = 0x00000200
_NOT_AGAIN = os.O_CREAT | os.O_EXCL | os.O_TRUNC


class _Open(NamedTuple):
    """A file that agent code holds open."""

    fd: int
    path: str
    flags: int
    offset: int


class WayBack:
    """How the worker leaves its private copy.

    Args:
        namespace_fd: the mount namespace to return to.
        folders: where the copy is shown.
        has_user_namespace: the worker had to enter one.
    """

    def __init__(self, namespace_fd: int, folders: list[str], *, has_user_namespace: bool) -> None:
        self._fd = namespace_fd
        self._folders = folders
        self._has_user_namespace = has_user_namespace

    def take(self) -> list[str]:
        """Returns to the real workspace; gives what is not as it was.

        Raises:
            OSError: the system refuses; the worker must not go on.
        """
        libc = ctypes.CDLL(None, use_errno=True)
        held = list(self._open_files())
        cwd = os.getcwd()
        check(libc.unshare(_CLONE_FS))
        check(libc.setns(self._fd, CLONE_NEWNS))
        os.close(self._fd)
        problems: list[str] = []
        try:
            os.chdir(cwd)
        except OSError as error:
            problems.append(f"the working directory {cwd} is gone: {error.strerror}")
            os.chdir(self._folders[0])
        problems += [problem for file in held if (problem := _open_again(file))]
        if self._has_user_namespace:
            drop_capabilities(libc)
        return problems

    def _open_files(self) -> list[_Open]:
        """Regular files of the copy that are open."""
        found = []
        for name in os.listdir("/proc/self/fd"):
            fd = int(name)
            try:
                path = os.readlink(f"/proc/self/fd/{name}")
                if not stat.S_ISREG(os.fstat(fd).st_mode) or not self._is_below(path):
                    continue
                with open(f"/proc/self/fdinfo/{name}", encoding="ascii") as file:
                    facts = dict(line.split(":", 1) for line in file if ":" in line)
                found.append(_Open(fd, path, int(facts["flags"], 8), int(facts["pos"])))
            except OSError:
                continue  # the descriptor by which the folder was listed
        return found

    def _is_below(self, path: str) -> bool:
        return any(path.startswith(folder.rstrip(os.sep) + os.sep) for folder in self._folders)


def _open_again(file: _Open) -> str | None:
    """Puts the real file under a descriptor; gives the problem, if there is one."""
    try:
        real = os.open(file.path, file.flags & ~_NOT_AGAIN)
    except OSError as error:
        return f"{file.path}, which a variable holds open, cannot be opened again: {error.strerror}"
    try:
        os.lseek(real, file.offset, os.SEEK_SET)
        os.dup2(real, file.fd, inheritable=os.get_inheritable(file.fd))
    finally:
        os.close(real)
    return None


def isolate_for_now(
    mounts: list[tuple[str, str]], *, writable: list[str], cwd: str
) -> tuple[Isolation, WayBack | None]:
    """Shows each `source` at its `target` and makes the rest read-only, until the way back is taken.

    Args:
        mounts: (source, target) in order; both exist, and both are files or both folders.
        writable: mount points that stay writable.
        cwd: where to stand afterwards.

    Returns:
        What holds (`mount` only when all of it does), and the way back.
    """
    result = Isolation([], [])
    if not sys.platform.startswith("linux"):
        result.problems.append(f"no mount namespaces on {sys.platform}")
        return result, None
    libc = ctypes.CDLL(None, use_errno=True)

    def enter() -> WayBack:
        namespace_fd, has_user_namespace = _leave_the_others(libc)
        private_mounts(libc)
        for source, target in mounts:
            mount(libc, source, target)
        close_all_but(libc, writable, [])
        os.chdir(cwd)
        return WayBack(namespace_fd, writable, has_user_namespace=has_user_namespace)

    act: Callable[[], Any] = enter
    return result, result.hold("mount", act)


def _leave_the_others(libc: ctypes.CDLL) -> tuple[int, bool]:
    """Enters a mount namespace of its own; gives a descriptor of the one that it came from."""
    here = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    if os.geteuid() == 0 and libc.unshare(CLONE_NEWNS) == 0:
        return here, False
    os.close(here)
    uid, gid = os.getuid(), os.getgid()
    check(libc.unshare(CLONE_NEWUSER | CLONE_NEWNS))
    map_ids(uid, gid)
    here = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    check(libc.unshare(CLONE_NEWNS))
    return here, True

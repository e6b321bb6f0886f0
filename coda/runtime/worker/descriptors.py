"""The worker's own descriptors, out of the way of agent code that closes what it finds.

Guarantee: a program that becomes a daemon, or tidies up, may close and replace every number that it has
opened or not; those by which the worker is heard are to it numbers that are not open. (Code that goes past
`os`, through a file object or C, can still reach them; then the worker is ended, and the host says so.)
"""

from __future__ import annotations

import errno
import os
import sys
from typing import Any

from coda.runtime.worker.standins import Shim


def hide(own: set[int]) -> None:
    """Lets `os.close`, `os.closerange` and `os.dup2` of agent code pass over the worker's own descriptors."""
    os.register_at_fork(after_in_child=own.clear)
    for shim in (_Close(os.close, own), _CloseRange(os.closerange, own), _Dup2(os.dup2, own)):
        for module in (os, sys.modules.get("posix")):
            if getattr(module, shim.__name__, None) is shim.real:
                setattr(module, shim.__name__, shim)


class _Hiding(Shim):
    __slots__ = ("own", "real")

    def __init__(self, real: Any, own: set[int]) -> None:
        super().__init__(real)
        self.real = real
        self.own = own

    def refuse(self, fd: Any) -> None:
        """Says what the system says of a number that is not open."""
        if type(fd) is int and fd in self.own:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))


class _Close(_Hiding):
    def __call__(self, fd: int) -> None:
        self.refuse(fd)
        self.real(fd)


class _CloseRange(_Hiding):
    def __call__(self, fd_low: int, fd_high: int, /) -> None:
        for own in sorted(self.own):
            if fd_low <= own < fd_high:
                self.real(fd_low, own)
                fd_low = own + 1
        self.real(fd_low, fd_high)


class _Dup2(_Hiding):
    def __call__(self, fd: int, fd2: int, inheritable: bool = True) -> int:
        self.refuse(fd)
        self.refuse(fd2)
        number: int = self.real(fd, fd2, inheritable)
        return number

"""A filter of system calls for a replaying worker: it starts nothing, reaches nobody, signals only itself.

Guarantee: once `install` has returned, no thread of the process can start another process, open a way to
another one (sockets, pipes of theirs, shared memory, tracing), change mounts or namespaces, or alter limits
and priorities of others; the filter cannot be taken off again. What a name or an address is, a filter of
numbers cannot see: files are the business of mounts and of Landlock. (Facts: seccomp(2), syscall tables of
x86_64 and aarch64; the latter's numbers are those of the generic table.)
"""

from __future__ import annotations

import ctypes
import os
from typing import NamedTuple

_SECCOMP_SET_MODE_FILTER = 1
_FLAG_TSYNC = 1
_RET_ALLOW, _RET_ERRNO, _RET_KILL = 0x7FFF0000, 0x00050000, 0x80000000
_EPERM, _ENOSYS = 1, 38
_CLONE_THREAD = 0x00010000
_X32 = 0x40000000
_AT_NUMBER, _AT_ARCH, _AT_ARGS = 0, 4, 16
# Classic BPF, as far as it is needed: load a word, compare, return.
_LOAD, _JEQ, _JGE, _JSET, _RET = 0x20, 0x15, 0x35, 0x45, 0x06


class _Machine(NamedTuple):
    """Numbers of one architecture."""

    arch: int
    seccomp: int
    forbidden: tuple[int, ...]
    clone: int
    clone3: int
    socket: int
    sendto: int
    of_process: tuple[int, ...]
    """First argument: a process, which must be this one or 0."""
    setpriority: int
    commands: tuple[int, ...]
    """Second argument: a command, which must be none of `_COMMANDS`."""


# execve execveat fork vfork ptrace process_vm_readv process_vm_writev kcmp pidfd_open pidfd_getfd
# pidfd_send_signal tkill rt_sigqueueinfo rt_tgsigqueueinfo process_madvise process_mrelease migrate_pages
# move_pages | connect bind listen sendmsg sendmmsg | mount umount2 pivot_root chroot unshare setns open_tree
# move_mount fsopen fsconfig fsmount fspick mount_setattr | shmget shmat semget msgget mq_open mq_unlink |
# io_uring_setup io_uring_enter io_uring_register
# bpf perf_event_open userfaultfd add_key request_key keyctl open_by_handle_at ioprio_set | reboot swapon
# swapoff init_module finit_module delete_module kexec_load kexec_file_load acct quotactl settimeofday
# clock_settime adjtimex clock_adjtime sethostname setdomainname syslog
# of_process: kill tgkill prlimit64 sched_setaffinity sched_setscheduler sched_setparam sched_setattr
# commands: fcntl ioctl
_MACHINES = {
    "x86_64": _Machine(
        arch=0xC000003E,
        seccomp=317,
        forbidden=(
            59, 322, 57, 58, 101, 310, 311, 312, 434, 438, 424, 200, 129, 297, 440, 448, 256, 279,
            42, 49, 50, 46, 307,
            165, 166, 155, 161, 272, 308, 428, 429, 430, 431, 432, 433, 442,
            29, 30, 64, 68, 240, 241,
            425, 426, 427, 321, 298, 323, 248, 249, 250, 304, 251,
            169, 167, 168, 175, 313, 176, 246, 320, 163, 179, 164, 227, 159, 305, 170, 171, 103,
        ),
        clone=56, clone3=435, socket=41, sendto=44, setpriority=141,
        of_process=(62, 234, 302, 203, 144, 142, 314),
        commands=(72, 16),
    ),
    "aarch64": _Machine(
        arch=0xC00000B7,
        seccomp=277,
        forbidden=(
            221, 281, 117, 270, 271, 272, 434, 438, 424, 130, 138, 240, 440, 448, 238, 239,
            203, 200, 201, 211, 269,
            40, 39, 41, 51, 97, 268, 428, 429, 430, 431, 432, 433, 442,
            194, 196, 190, 186, 180, 181,
            425, 426, 427, 280, 241, 282, 217, 218, 219, 265, 30,
            142, 224, 225, 105, 273, 106, 104, 294, 89, 60, 170, 112, 171, 266, 161, 162, 116,
        ),
        clone=220, clone3=435, socket=198, sendto=206, setpriority=140,
        of_process=(129, 131, 261, 122, 119, 118, 274),
        commands=(25, 29),
    ),
}  # fmt: skip

_COMMANDS = (8, 10, 15, 0x8901, 0x8902, 0x5412, 0x541C)
"""F_SETOWN, F_SETSIG, F_SETOWN_EX, FIOSETOWN, SIOCSPGRP (signals to others), TIOCSTI, TIOCLINUX (typing)."""
_FAMILIES = (1, 2, 10)
"""Sockets that may be made: unix, inet, inet6. None of them can be connected or bound."""


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


class _Assembler:
    """Instructions, one after the other, each jump within the check that it belongs to."""

    def __init__(self) -> None:
        self.code = bytearray()

    def put(self, code: int, value: int, if_true: int = 0, if_false: int = 0) -> None:
        self.code += code.to_bytes(2, "little") + bytes((if_true, if_false))
        self.code += (value & 0xFFFFFFFF).to_bytes(4, "little")

    def refuse(self, number: int = _EPERM) -> None:
        self.put(_RET, _RET_ERRNO | number)

    def unless_call(self, number: int, length: int) -> None:
        """Passes over the next `length` instructions unless the call is this one."""
        self.put(_LOAD, _AT_NUMBER)
        self.put(_JEQ, number, 0, length)


def _argument(index: int, *, high: bool = False) -> int:
    return _AT_ARGS + 8 * index + (4 if high else 0)


def build(machine: _Machine, pid: int) -> bytes:
    """Gives the filter for one architecture and process: the bytes of its instructions."""
    asm = _Assembler()
    asm.put(_LOAD, _AT_ARCH)
    asm.put(_JEQ, machine.arch, 1, 0)
    asm.put(_RET, _RET_KILL)
    asm.put(_LOAD, _AT_NUMBER)
    asm.put(_JGE, _X32, 0, 1)
    asm.refuse()
    for number in machine.forbidden:
        asm.put(_JEQ, number, 0, 1)
        asm.refuse()
    asm.unless_call(machine.clone3, 1)
    asm.refuse(_ENOSYS)  # the C library then asks with clone, whose flags can be seen
    asm.unless_call(machine.clone, 3)
    asm.put(_LOAD, _argument(0))
    asm.put(_JSET, _CLONE_THREAD, 1, 0)
    asm.refuse()
    asm.unless_call(machine.socket, 2 + len(_FAMILIES))
    asm.put(_LOAD, _argument(0))
    for at, family in enumerate(_FAMILIES):
        asm.put(_JEQ, family, len(_FAMILIES) - at, 0)
    asm.refuse()
    asm.unless_call(machine.sendto, 5)  # with an address it reaches whoever listens there
    asm.put(_LOAD, _argument(4))
    asm.put(_JEQ, 0, 0, 2)
    asm.put(_LOAD, _argument(4, high=True))
    asm.put(_JEQ, 0, 1, 0)
    asm.refuse()
    for number in machine.of_process:
        asm.unless_call(number, 4)
        asm.put(_LOAD, _argument(0))
        asm.put(_JEQ, pid, 2, 0)
        # 0 is this process, except for kill, where it is the whole group
        asm.put(_JEQ, 0 if number != machine.of_process[0] else pid, 1, 0)
        asm.refuse()
    asm.unless_call(machine.setpriority, 6)
    asm.put(_LOAD, _argument(0))
    asm.put(_JEQ, 0, 0, 3)
    asm.put(_LOAD, _argument(1))
    asm.put(_JEQ, 0, 2, 0)
    asm.put(_JEQ, pid, 1, 0)
    asm.refuse()
    for number in machine.commands:
        asm.unless_call(number, 2 + len(_COMMANDS))
        asm.put(_LOAD, _argument(1))
        for at, command in enumerate(_COMMANDS):
            asm.put(_JEQ, command, len(_COMMANDS) - at - 1, 1 if at == len(_COMMANDS) - 1 else 0)
        asm.refuse()
    asm.put(_RET, _RET_ALLOW)
    return bytes(asm.code)


def install(libc: ctypes.CDLL) -> None:
    """Puts the filter on every thread of this process, for ever.

    Args:
        libc: the C library, loaded with `use_errno`; no-new-privileges must be set.

    Raises:
        OSError: the system refuses it, or its numbers are not known for this architecture.
    """
    machine = _MACHINES.get(os.uname().machine)
    if machine is None:
        raise OSError(_ENOSYS, f"system calls of {os.uname().machine} are not known")
    code = build(machine, os.getpid())
    program = _Program(len(code) // 8, code)
    result = libc.syscall(machine.seccomp, _SECCOMP_SET_MODE_FILTER, _FLAG_TSYNC, ctypes.byref(program))
    if result != 0:
        number = ctypes.get_errno() if result < 0 else _EPERM
        raise OSError(number, os.strerror(number))

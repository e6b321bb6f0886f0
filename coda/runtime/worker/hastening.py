"""Code that is specialised at its first run, on the one Python that would not do it.

CPython 3.11 specialises a code object after eight starts or backward jumps, but the conditional jump that
ends a `while` loop does not count: a loop of a script, or of a function that is called once, stays slow for
ever, and each hook in it costs five times what it costs elsewhere (23 ns instead of 4.5). Other versions
specialise at once.

Only code that has such a jump is told: where it is specialised, a constant before an unbound variable has the
caret of the traceback, as in all warm code of 3.11.

Guarantee: nothing but speed changes. The one number that is written, the code object's own countdown, is
written only where a trial has shown that it is that number; elsewhere nothing is.
"""

from __future__ import annotations

import ctypes
import dis
import sys
from types import CodeType
from typing import Final

_COUNTDOWN_OFFSET: Final = 52
"""Of `co_warmup` in 3.11's code objects (64 bits): object head, four pointers or sizes, the flags."""
_AT_FIRST: Final = -8
_WHILE: Final = frozenset(
    number for name, number in dis.opmap.items() if name.startswith("POP_JUMP_BACKWARD_IF_")
)


def hasten(code: CodeType) -> int:
    """Lets a code object and those inside it be specialised when they start next, where `while` loops.

    Returns:
        How many were told so: 0 where the interpreter needs none of it or is laid out otherwise.
    """
    if not _fits():
        return 0
    told = 0
    pending = [code]
    while pending:
        each = pending.pop()
        countdown = _countdown(each)
        if countdown.value < -1 and not _WHILE.isdisjoint(each.co_code[::2]):
            countdown.value = -1
            told += 1
        pending += [constant for constant in each.co_consts if isinstance(constant, CodeType)]
    return told


def _countdown(code: CodeType) -> ctypes.c_short:
    return ctypes.c_short.from_address(id(code) + _COUNTDOWN_OFFSET)


def _fits() -> bool:
    """Whether the number at that place is the countdown: it begins as it should, and one run counts it."""
    if sys.implementation.name != "cpython" or sys.version_info[:2] != (3, 11):
        return False
    if hasattr(sys, "gettotalrefcount") or sys.maxsize < 1 << 32:
        return False  # a debug build, or 32 bits: laid out otherwise
    trial = compile("0", "<trial>", "exec")
    before = _countdown(trial).value
    exec(trial, {})
    return before == _AT_FIRST and _countdown(trial).value == _AT_FIRST + 1

"""A `while` loop that runs once is specialised on every Python, and computes what it did."""

from __future__ import annotations

import dis
import sys
import traceback
from types import CodeType
from typing import Any

import pytest

from coda.runtime.worker.hastening import hasten

LOOP = "total = 0\nleft = 1000\nwhile left > 0:\n    total = total + left\n    left = left - 1\n"
INSIDE = "def work():\n" + "".join(f"    {line}\n" for line in LOOP.splitlines()) + "    return total\n"


def adapted(code: CodeType) -> set[str]:
    """The instructions of the code as it runs now that no fresh code has."""
    fresh = {step.opname for step in dis.get_instructions(code)}
    return {step.opname for step in dis.get_instructions(code, adaptive=True)} - fresh


def test_a_loop_at_module_level_is_specialised() -> None:
    code, space = compile(LOOP, "<loop>", "exec"), dict[str, Any]()
    hasten(code)
    exec(code, space)
    assert space["total"] == 500500
    assert any(name.startswith("BINARY_OP_") for name in adapted(code)), adapted(code)


def test_a_function_that_is_called_once_is_specialised() -> None:
    code, space = compile(INSIDE, "<loop>", "exec"), dict[str, Any]()
    hasten(code)
    exec(code, space)
    assert space["work"]() == 500500
    assert any(name.startswith("BINARY_OP_") for name in adapted(space["work"].__code__))


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="other Pythons specialise at once")
def test_only_code_that_is_not_yet_specialised_is_told() -> None:
    code = compile(INSIDE, "<loop>", "exec")
    assert hasten(code) == 1
    assert hasten(code) == 0


def test_tracebacks_of_code_without_such_loops_are_those_of_python() -> None:
    """3.11's specialised code puts the caret of an unbound variable under the constant before it."""
    source = "def fails():\n    if not fails: late = 1\n    return (0 < (late != 's') < 2)\n"
    carets = []
    for told in (False, True):
        code, space = compile(source, "<late>", "exec"), dict[str, Any]()
        if told:
            hasten(code)
        exec(code, space)
        with pytest.raises(UnboundLocalError) as caught:
            space["fails"]()
        carets.append([frame.colno for frame in traceback.extract_tb(caught.value.__traceback__)][1:])
    assert carets[0] == carets[1]


@pytest.mark.skipif(sys.version_info[:2] == (3, 11), reason="this Python needs it")
def test_elsewhere_nothing_is_touched() -> None:
    assert hasten(compile(INSIDE, "<loop>", "exec")) == 0

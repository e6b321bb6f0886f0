"""What do the hooks alone cost, in one process, on the tight loop?

Unit of work: the tight loop of `generate_data` (assignments, calls, branches), compiled once, run again
and again in one process; nothing drains the buffers but the bench itself, between runs. Budgets against
bare code: `lines` 1.5x, `values` 2x with the capture sites spent. Compilation is measured apart, on a
module of this repository, a statement. Each run must print what the bare run prints, and record every line.
"""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Callable
from pathlib import Path
from types import CodeType

from benchmarks.generate_data import tight_loop
from benchmarks.harness import Figure, Options, Pairs, WrongResult, in_turn, main
from coda.runtime.instrument import CodeUnit, compile_unit
from coda.runtime.instrument_hooks import Buffer, Values

VALUE_LIMIT = 64


def questions(options: Options) -> list[Figure]:
    """Gives the cost of each level on the tight loop, and of compiling for it."""
    source = tight_loop(options.lines)
    figures = []
    for level, target in (("effects", 1.05), ("lines", 1.5), ("values", 2.0)):
        pairs = _in_process(source, level, options)
        spread = pairs.ratio()
        figures.append(Figure(f"hooks, {level}", "x bare", spread.median, spread, target))
    for level in ("effects", "lines", "values"):
        pairs = _compiling(level, options)
        spread = pairs.ratio()
        figures.append(Figure(f"compiling, {level}", "x bare", spread.median, spread))
    return figures


def _in_process(source: str, level: str, options: Options) -> Pairs:
    lines, values = Buffer(), Values()
    unit = _unit(source, level, lines, values)
    bare = compile(source, "<bench>", "exec", dont_inherit=True)
    expected = _output_of(bare)[0]

    def recorded() -> float:
        unit.budget.refill(VALUE_LIMIT)
        output, seconds = _output_of(unit.code)
        if output != expected or (level != "effects") != (len(lines) > options.lines * 0.9):
            raise WrongResult(f"{level} printed {output!r} and recorded {len(lines)} entries")
        lines.clear()
        values.clear()
        return seconds

    return in_turn(options.repeats, recorded, lambda: _output_of(bare)[1])


def _compiling(level: str, options: Options) -> Pairs:
    source = Path(__file__).with_name("harness.py").read_text(encoding="utf-8")

    def bare() -> float:
        return _seconds(lambda: compile(source, "<bench>", "exec", dont_inherit=True))

    return in_turn(options.repeats, lambda: _seconds(lambda: _unit(source, level, Buffer(), Values())), bare)


def _unit(source: str, level: str, lines: Buffer, values: Values) -> CodeUnit:
    unit = compile_unit(
        source,
        filename="<bench>",
        base=0,
        level=level,
        lines=lines,
        values=values,
        value_limit=VALUE_LIMIT,
    )
    if unit.note is not None:
        raise WrongResult(unit.note)
    return unit


def _output_of(code: CodeType) -> tuple[str, float]:
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        seconds = _seconds(lambda: exec(code, {"__name__": "__main__"}))
    return output.getvalue(), seconds


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main(questions)

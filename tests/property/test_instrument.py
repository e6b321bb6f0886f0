"""Generated programs show the same plain and recorded; how often each kind of statement ran is reported."""

from __future__ import annotations

import ast
import re
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.grammar import Programs, every_form
from tests.unit.runtime.instrument_run import BASE, PLAIN, Seen, run
from tests.unit.runtime.instrument_truth import check, tell

AT_LEAST = 50
WRITTEN_AT_LEAST = 10
# Statements that speak to the compiler only and never run.
SILENT = {"global", "nonlocal"}
KINDS = {kind.__name__.lower() for kind in ast.stmt.__subclasses__() if kind.__module__ in ("ast", "_ast")}

SEEDS = st.integers(0, 1 << 64)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::SyntaxWarning")
def test_generated_programs_show_the_same() -> None:
    ran: Counter[str] = Counter()
    told: Counter[bool] = Counter()
    written: Counter[str] = Counter()

    @settings(max_examples=200, suppress_health_check=list(HealthCheck))
    @given(SEEDS, st.sampled_from([("lines", 1), ("values", 1), ("values", 2), ("values", 1000)]))
    def show_the_same(seed: int, how: tuple[str, int]) -> None:
        writer = Programs(seed)
        program = writer.program()
        recorded = run(program, how[0], limit=how[1])
        assert _no_addresses(recorded.seen) == _no_addresses(run(program, PLAIN).seen), program
        if how == ("values", 1000):
            known, unknown = check(tell(program))
            told[True] += known
            told[False] += unknown
        statements = recorded.unit.table.statements
        ran.update(statements[i - BASE].kind for i in recorded.ids if i - BASE < len(statements))
        ran.update(kind for node in ast.walk(ast.parse(program)) if (kind := _kind(node)) in SILENT)
        written.update(writer.used)

    show_the_same()
    print(f"statements by kind: {dict(ran)}\nforms: {dict(written)}")
    assert {kind: ran[kind] for kind in KINDS if ran[kind] < AT_LEAST} == {}
    assert {form: written[form] for form in every_form() if written[form] < WRITTEN_AT_LEAST} == {}
    print(f"frames: {told[True]} statements and values told, {told[False]} not known")
    assert told[False] == 0


def _no_addresses(seen: Seen) -> Seen:
    parts = (seen.output, seen.error or "", seen.traceback)
    output, error, text = (re.sub(" at 0x[0-9a-f]+", "", part) for part in parts)
    return seen._replace(output=output, error=error, traceback=text)


def _kind(node: ast.AST) -> str:
    return type(node).__name__.lower()

"""Which block, module and statement of one run is which of the other.

Guarantee: blocks are matched by order and source, statements by their text and place in the aligned
tables, so that a statement inserted at the top of a block moves no other: line numbers and ids play
no part. A block that was edited is matched with the one in its place when they still resemble each
other; else one was removed and another added.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from coda.forking.align import Match, Shape, align, gaps, tokens
from coda.log import (
    BlockInfo,
    Import,
    Table,
    Trace,
    source_lines,
    source_text,
)

_ALIKE = 0.3  # the least share of statements in common of two versions of one block
_LOOPS = frozenset({"for", "asyncfor", "while"})
_FUNCTION_DEPTH = 100
_MOST_COMPARED = 400  # changed blocks in one place; beyond it they are matched by order alone


class Unit(NamedTuple):
    """Code with a statement table: a block, or a module of the workspace."""

    name: str
    table: Table
    lines: tuple[str, ...]
    first_line: int


class BlockPair(NamedTuple):
    """Indexes into the block lists of both runs; None on the side that has no such block."""

    a: int | None
    b: int | None


def block_unit(block: BlockInfo) -> Unit | None:
    """Gives a block's code; None when it could not be compiled and has no table."""
    if block.table is None:
        return None
    return Unit(block.file, block.table, tuple(source_lines(block.source)), block.started.first_line)


def module_units(trace: Trace, imports: Iterable[Import]) -> dict[str, Unit]:
    """Gives the modules of the workspace that a run imported, by name."""
    units: dict[str, Unit] = {}
    for record in imports:
        if record.table is None:
            continue
        kept = record.digest is not None and trace.blobs.has(record.digest)
        text = source_text(trace.blobs.get(record.digest)) if kept and record.digest else ""
        units[record.module] = Unit(record.module, record.table, tuple(source_lines(text)), 1)
    return units


def signatures(unit: Unit) -> list[tuple[object, ...]]:
    """Gives for each statement what it is: function, kind, its own text, what it stores and reads.

    A compound statement's own text ends where the first statement of its body begins.
    """
    rows = unit.table.statements
    result: list[tuple[object, ...]] = []
    for at, row in enumerate(rows):
        end = row.end_line
        if at + 1 < len(rows) and row.line < rows[at + 1].line <= end:
            end = rows[at + 1].line - 1
        text = unit.lines[row.line - unit.first_line : end - unit.first_line + 1]
        function = unit.table.functions[row.function]
        stripped = tuple(line.strip() for line in text)
        result.append((function, row.kind, stripped, tuple(row.stores), tuple(row.loads)))
    return result


def shapes(unit: Unit) -> list[Shape]:
    """Gives for each statement how many loops of its function are around it, and whether it begins a turn.

    Statements of functions are deeper than any of a block: they run when something calls them.
    """
    result: list[Shape] = []
    loops: list[tuple[int, int, int]] = []  # (function, end line, row) of the loops that are open
    entered: set[int] = {0}
    for at, row in enumerate(unit.table.statements):
        while loops and (loops[-1][0] != row.function or row.end_line > loops[-1][1]):
            loops.pop()
        depth = len(loops) + (_FUNCTION_DEPTH if row.function else 0)
        turn = bool(loops) and loops[-1][2] == at - 1
        result.append(Shape(depth, turn or row.function not in entered))
        entered.add(row.function)
        if row.kind in _LOOPS:
            loops.append((row.function, row.end_line, at))
    return result


def match_statements(a: Unit, b: Unit) -> list[Match]:
    """Gives which rows of one statement table are which of the other."""
    numbers: dict[tuple[object, ...], int] = {}
    left, right = tokens(), tokens()
    for unit, row in ((a, left), (b, right)):
        row.extend(numbers.setdefault(signature, len(numbers)) for signature in signatures(unit))
    return align(left, right)


def match_blocks(a: Sequence[BlockInfo], b: Sequence[BlockInfo]) -> list[BlockPair]:
    """Gives the blocks of both runs in order, each matched with its other self or with nothing."""
    numbers: dict[str, int] = {}
    left, right = tokens(), tokens()
    for blocks, row in ((a, left), (b, right)):
        row.extend(numbers.setdefault(block.source, len(numbers)) for block in blocks)
    matches = align(left, right)
    pairs: list[BlockPair] = []
    edges = list(gaps(matches, len(a), len(b)))
    for match in matches:
        pairs.extend(BlockPair(match.a + at, match.b + at) for at in range(match.size))
    for a_at, a_end, b_at, b_end in edges:
        pairs.extend(_match_edited(a, b, range(a_at, a_end), range(b_at, b_end)))
    return _in_order(pairs)


def _in_order(pairs: list[BlockPair]) -> list[BlockPair]:
    """Sorts pairs that do not cross so that both sides rise; what only one side has comes first."""
    both = sorted((pair for pair in pairs if pair.a is not None and pair.b is not None), key=_first)
    only_a = sorted(pair.a for pair in pairs if pair.b is None and pair.a is not None)
    only_b = sorted(pair.b for pair in pairs if pair.a is None and pair.b is not None)
    result: list[BlockPair] = []
    for pair in both:
        while only_a and pair.a is not None and only_a[0] < pair.a:
            result.append(BlockPair(only_a.pop(0), None))
        while only_b and pair.b is not None and only_b[0] < pair.b:
            result.append(BlockPair(None, only_b.pop(0)))
        result.append(pair)
    return [*result, *(BlockPair(at, None) for at in only_a), *(BlockPair(None, at) for at in only_b)]


def _first(pair: BlockPair) -> int:
    return -1 if pair.a is None else pair.a


def _match_edited(
    a: Sequence[BlockInfo], b: Sequence[BlockInfo], left: range, right: range
) -> list[BlockPair]:
    """Matches blocks whose sources differ: those that are alike, in order, as many as possible."""
    if len(left) == len(right) == 1 or max(len(left), len(right)) > _MOST_COMPARED:
        both = min(len(left), len(right))
        pairs = [BlockPair(left[at], right[at]) for at in range(both)]
        return [*pairs, *_alone(left[both:], right[both:])]
    a_words = [Counter(_words(a[at])) for at in left]
    b_words = [Counter(_words(b[at])) for at in right]
    chosen = _best_path(len(left), len(right), lambda i, j: _likeness(a_words[i], b_words[j]))
    matched = [BlockPair(left[i], right[j]) for i, j in chosen]
    a_done, b_done = {i for i, _ in chosen}, {j for _, j in chosen}
    a_alone = [at for i, at in enumerate(left) if i not in a_done]
    b_alone = [at for j, at in enumerate(right) if j not in b_done]
    return [*matched, *_alone(a_alone, b_alone)]


def _alone(left: Iterable[int], right: Iterable[int]) -> list[BlockPair]:
    return [*(BlockPair(at, None) for at in left), *(BlockPair(None, at) for at in right)]


def _words(block: BlockInfo) -> list[object]:
    unit = block_unit(block)
    return list(signatures(unit)) if unit else [line.strip() for line in source_lines(block.source)]


def _likeness(a: Counter[object], b: Counter[object]) -> float:
    total = sum(a.values()) + sum(b.values())
    return 2 * sum((a & b).values()) / total if total else 1.0


def _best_path(n: int, m: int, likeness: Callable[[int, int], float]) -> list[tuple[int, int]]:
    """The pairs (i, j), both rising, with the largest sum of likeness; those below _ALIKE do not count."""
    best = [[0.0] * (m + 1) for _ in range(n + 1)]
    score = [[0.0] * m for _ in range(n)]
    for i in range(n - 1, -1, -1):
        for j in range(m - 1, -1, -1):
            alike = likeness(i, j)
            score[i][j] = alike if alike >= _ALIKE else 0.0
            together = best[i + 1][j + 1] + score[i][j] if score[i][j] else 0.0
            best[i][j] = max(best[i + 1][j], best[i][j + 1], together)
    path: list[tuple[int, int]] = []
    i = j = 0
    while i < n and j < m:
        if score[i][j] and best[i][j] == best[i + 1][j + 1] + score[i][j]:
            path.append((i, j))
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            i += 1
        else:
            j += 1
    return path

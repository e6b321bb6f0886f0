"""What the model is told after its blocks ran.

Guarantee: the message is bounded, whatever the blocks printed, and everything that was left out is
counted in it. Output cannot forge it: in text that comes from outside, `<` before one of the tags used
here is written `&lt;` (and `&lt;`, `&amp;` as they would be read back). Other text stays as it was printed.

Order: one `<execution_result>` a block, `<execution_summary/>`, notes, `<ctx_delta>`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from coda.log import is_exact, render
from coda.runtime.results import BlockResult, CtxChange

_TAGS = "execution_result|execution_summary|stdout|stderr|error|traceback|note|ctx_delta|coda"
_ACT_CHARS = 2000
_FORGED = re.compile(rf"<(?=\s*/?\s*(?:{_TAGS})\b)|&(?=(?:lt|amp);)", re.IGNORECASE)


class Limits(NamedTuple):
    """Characters of each part that are told; head and tail of what is longer."""

    output: int = 10_000
    error: int = 6_000
    value: int = 6_000
    ctx: int = 30_000
    blocks: int = 40
    """How many blocks are told one by one; the limits above are shared when there are more than four."""


_NO_LIMITS_GIVEN = Limits()


def feedback_text(
    results: Sequence[BlockResult],
    *,
    emitted: int,
    known: frozenset[str] = frozenset(),
    limits: Limits = _NO_LIMITS_GIVEN,
) -> str:
    """Gives the text of the next user message.

    Args:
        results: of the blocks that ran, in order.
        emitted: how many blocks the reply had.
        known: the names that `ctx` held before the first of them.
        limits: how much of each part is told.
    """
    parts = _results(results, limits)
    succeeded = sum(result.outcome == "ok" for result in results)
    parts.append(
        f'<execution_summary blocks_run="{len(results)}" blocks_emitted="{emitted}" succeeded="{succeeded}"/>'
    )
    if results and results[-1].outcome != "ok":
        parts.append(_note(results[-1], emitted - len(results)))
    if delta := ctx_delta(results, known=known, limits=limits):
        parts.append(delta)
    return "\n".join(parts)


def _results(results: Sequence[BlockResult], limits: Limits) -> list[str]:
    """Tells each block, or the first and the last ones when there are too many."""
    half = limits.blocks // 2
    left_out = len(results) - 2 * half
    told = results if left_out <= 0 else [*results[:half], *results[-half:]]
    if len(told) > 4:
        limits = limits._replace(output=limits.output * 4 // len(told), error=limits.error * 4 // len(told))
    parts = [_result(result, limits) for result in told]
    if left_out > 0:
        # Only the last block of a reply can have failed, so these ended well.
        parts.insert(half, f"[... {left_out} blocks that ended well left out ...]")
    return parts


def _result(result: BlockResult, limits: Limits) -> str:
    state = "" if result.state == "kept" else f' state="{result.state}"'
    lines = [f'<execution_result block="{result.block}" outcome="{result.outcome}"{state}>']
    lines += [
        f"<{name}>\n{shorten(text, limits.output)}\n</{name}>"
        for name, text in (("stdout", result.stdout), ("stderr", result.stderr))
        if text
    ]
    if result.left_out_bytes:
        lines.append(f"[... {result.left_out_bytes} more bytes of output are not shown: print less]")
    if (error := result.error) is not None:
        # The class is named as a traceback names it; its message is the agent's or a tool's text.
        lines.append(f"<error>{shorten(f'{error.kind}: {error.message}', limits.error)}</error>")
        if error.traceback:
            lines.append(f"<traceback>\n{shorten(error.traceback, limits.error)}\n</traceback>")
    if len(lines) == 1:
        lines.append("(empty)")
    lines.append("</execution_result>")
    return "\n".join(lines)


def _note(result: BlockResult, unrun: int) -> str:
    """Says what became of the state and of the blocks that did not run."""
    ended = {
        "error": "raised an exception" if result.state == "kept" else "ran out of memory",
        "interrupted": "was interrupted before its end",
        "killed": "was killed",
        "exited": "ended the interpreter",
    }.get(result.outcome, "did not end well")
    state = {
        "kept": "The variables that it had set until then are kept.",
        "lost": "All variables, functions and imports are lost: the next block starts without any.",
    }.get(result.state, "All variables are as they were before it.")
    acts = "Files that it wrote and calls that it made are not undone."
    if result.state != "kept":
        told = shorten("; ".join(result.acts), _ACT_CHARS)
        acts = f"Not undone: {told}." if told else "It did nothing that would have to be undone."
    later = (
        f" The {unrun} block(s) after it did not run: repair it before you send them again." if unrun else ""
    )
    return f"<note>Block {result.block} {ended}. {state} {acts}{later}</note>"


def ctx_delta(
    results: Sequence[BlockResult],
    *,
    known: frozenset[str] = frozenset(),
    limits: Limits = _NO_LIMITS_GIVEN,
) -> str:
    """Gives the `<ctx_delta>` of some blocks; "" when nothing changed.

    Each name is told once, with its last value, in the order of the first change.
    """
    last: dict[str, tuple[CtxChange, BlockResult]] = {}
    for result in results:
        if result.state == "lost":
            last.clear()
        for change in result.ctx if result.state == "kept" else ():
            last[change.name] = (change, result)
    lines: list[str] = []
    room = limits.ctx
    for name, (change, result) in last.items():
        if room <= 0:
            lines.append(f"[... {len(last) - len(lines)} more names changed]")
            break
        if change.op == "deleted":
            if name in known:
                lines.append(f"removed {name}")
            continue
        word = "changed" if name in known else "added"
        failed = "" if result.outcome == "ok" else f"  (set by block {result.block}, which failed)"
        value = shorten(render(change.value, width=limits.value * 2), limits.value)
        unkept = "" if is_exact(change.value) else "  (not stored as a whole: no plain value, or too large)"
        lines.append(f"{word} {name} = {value}{unkept}{failed}")
        room -= len(value)
    return "<ctx_delta>\n" + "\n".join(lines) + "\n</ctx_delta>" if lines else ""


def names_after(known: frozenset[str], results: Sequence[BlockResult]) -> frozenset[str]:
    """Gives the names that `ctx` holds after some blocks."""
    names = set(known)
    for result in results:
        if result.state == "lost":
            names.clear()
        for change in result.ctx if result.state == "kept" else ():
            (names.discard if change.op == "deleted" else names.add)(change.name)
    return frozenset(names)


def escape(text: str) -> str:
    """Takes from a text the power to look like a tag of this message."""
    return _FORGED.sub(lambda found: "&lt;" if found.group() == "<" else "&amp;", text)


def shorten(text: str, limit: int) -> str:
    """Gives head and tail of a text that is too long, with counts between them, and escapes it.

    Args:
        text: from outside.
        limit: characters that are kept; three fifths of them are the head.
    """
    # What no JSON text can hold (lone surrogates) is spelled out.
    text = text.removesuffix("\n").encode("utf-8", "backslashreplace").decode()
    if len(text) <= limit:
        return escape(text)
    head, tail = text[: limit * 3 // 5], text[len(text) - limit * 2 // 5 :]
    left_out = len(text) - len(head) - len(tail)
    lines = text.count("\n", len(head), len(text) - len(tail))
    # Escaped apart: a cut through a tag must not leave a half that becomes one again.
    return f"{escape(head)}\n[... {left_out} characters, {lines} line ends left out ...]\n{escape(tail)}"

"""Finds the Python that a model's reply asks to run.

Guarantee: only a fenced block whose language is `python` or `py` (in any case) is code. The reply is
read by a CommonMark parser, so a longer fence may hold a shorter one, `~~~` is a fence, a fence in a
list item loses the item's indentation, and text between two fences of other languages is never
mistaken for a block, as a regular expression would. Untagged fences show output and tables more often
than they mean code, and fences in a block quote are quotations: neither runs.
"""

from __future__ import annotations

from typing import NamedTuple

from markdown_it import MarkdownIt

LANGUAGES = frozenset(("python", "py"))


class Fence(NamedTuple):
    """One piece of Python of a reply."""

    source: str
    """Ends with a newline; never blank."""
    line: int
    """1-based line of the reply on which the source begins."""
    closed: bool
    """False when the reply ended before the fence did."""


class Reading(NamedTuple):
    """What a reply holds."""

    blocks: list[Fence]
    open_fence: bool
    """The reply ended inside a fence, of whatever language."""


def read_reply(text: str) -> Reading:
    """Gives the Python blocks of a reply, in order, and whether it ended inside a fence."""
    blocks: list[Fence] = []
    open_fence = False
    quotes = 0
    for token in MarkdownIt("commonmark").parse(text):
        if token.type in ("blockquote_open", "blockquote_close"):
            quotes += token.nesting
        if token.type != "fence" or token.map is None:
            continue
        begin, end = token.map
        content_lines = token.content.count("\n") + (not token.content.endswith("\n") and token.content != "")
        # The parser counts the closing line, when there is one, to the fence.
        closed = end - begin - 1 > content_lines
        open_fence = not closed
        if not quotes and _language(token.info) in LANGUAGES and token.content.strip():
            source = token.content if token.content.endswith("\n") else token.content + "\n"
            blocks.append(Fence(source, begin + 2, closed))
    return Reading(blocks, open_fence)


def _language(info: str) -> str:
    words = info.split(maxsplit=1)
    return words[0].lower() if words else ""

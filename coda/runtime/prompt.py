"""What a model is told before the task: how it acts, and with what.

Guarantee: the prompt only explains. Nothing depends on the model obeying it: what is code, what is
refused and when a run ends is decided by the fences, the boundary and the agent (W-06).
"""

from __future__ import annotations

from collections.abc import Iterable

from coda.runtime.tools import Tool

_HEAD = """\
You solve the user's task by writing Python. Code in a fenced block tagged python is run, and you are told \
what it printed; untagged fences and fences of other languages are not run. Variables, functions and imports \
stay from block to block. Blocks of one reply run in order, and the first error stops the rest: send one \
block at a time when you need to see a result first. When the task is done, answer in prose without a \
python block; that ends the run.

Keep what matters in ctx (`ctx.name = value`, `del ctx.name`): you are told what changed in it.
"""


def system_prompt(tools: Iterable[Tool]) -> str:
    """Gives the system prompt for an agent with these tools, primitives among them."""
    own: list[str] = []
    given: list[str] = []
    for tool in tools:
        first = tool.doc.strip().partition("\n")[0]
        line = f"- {tool.name}{tool.signature}" + (f": {first}" if first else "")
        (given if tool.origin == "primitive" else own).append(line)
    parts = [_HEAD]
    if given:
        parts.append("These functions are there, on the files of the workspace:\n" + "\n".join(given) + "\n")
    if own:
        parts.append(
            "And these tools; their arguments and results are plain values:\n" + "\n".join(own) + "\n"
        )
    return "\n".join(parts)

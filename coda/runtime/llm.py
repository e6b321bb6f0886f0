"""The seam to language models, and a model that reads its replies from a list or a file.

Guarantee: the agent knows of a model only what `ModelClient` says, so any provider is a small class.
`ScriptedLLM` is one that needs no network and always says the same: demos, tests and recordings of
agents without a model. A script that ends too early is an error, never an empty answer.

A script is a Markdown file. A line that is exactly `<!-- reply -->` begins a reply, which goes on to
the next such line; the text before the first one is a reply too unless it is blank. The line may carry
`finish_reason=WORD`, `input_tokens=N` and `output_tokens=N`:

    <!-- reply finish_reason=length output_tokens=4096 -->

A reply must close its fences, unless its finish reason is `length`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from coda.errors import SandboxError, UsageError
from coda.runtime.fences import read_reply

Message = dict[str, Any]
"""`{"role": "user" | "assistant", "content": text}`."""

_MARK = re.compile(r"[ \t]*<!--\s*reply\b(.*?)-->[ \t]*")
_NUMBERS = frozenset(("input_tokens", "output_tokens"))


class Reply(NamedTuple):
    """What a model answered."""

    text: str
    finish_reason: str = "stop"
    """`stop`, or `length` when it was cut at the limit of tokens; other words count as `stop`."""
    input_tokens: int = 0
    output_tokens: int = 0
    model: str = ""
    """The model that answered, when the client knows it better than the caller."""


class ModelClient(Protocol):
    """A language model, as the agent sees it."""

    def complete(self, messages: Sequence[Message], *, system: str, model: str) -> Reply:
        """Gives the model's reply to a conversation that ends with a user's message.

        Raises:
            Exception: whatever the client cannot cope with; the run then ends with `error`.
        """


class ScriptedLLM:
    """Gives prepared replies, one after another, whatever it is asked.

    Args:
        replies: texts, or whole `Reply` values.
        origin: where they come from, for messages.

    Attributes:
        calls: the conversations it was given, in order.
    """

    def __init__(self, replies: Iterable[str | Reply], *, origin: str = "the script") -> None:
        self.replies = [Reply(reply) if isinstance(reply, str) else reply for reply in replies]
        self.origin = origin
        self.calls: list[list[Message]] = []

    @classmethod
    def from_file(cls, path: str | Path) -> ScriptedLLM:
        """Reads a script (see the module).

        Raises:
            UsageError: no such file, not UTF-8, or not a script; names the line.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except OSError as error:
            raise UsageError(f"cannot read the script {path}: {error.strerror}", path=str(path)) from error
        except UnicodeDecodeError as error:
            raise UsageError(
                f"the script {path} is not UTF-8 text (byte {error.start})", path=str(path)
            ) from error
        return cls(_parse(text, str(path)), origin=str(path))

    def complete(self, messages: Sequence[Message], *, system: str = "", model: str = "") -> Reply:
        """Gives the next reply.

        Raises:
            SandboxError: there is none left.
        """
        given = len(self.calls)
        if given >= len(self.replies):
            raise SandboxError(
                f"{self.origin} has {given} {'reply' if given == 1 else 'replies'} and the agent asked "
                f"for number {given + 1}: add a last reply without code, or lower the number of turns",
                replies=given,
            )
        self.calls.append([dict(message) for message in messages])
        return self.replies[given]


def _parse(text: str, path: str) -> list[Reply]:
    """Cuts a script into replies."""
    # Not `splitlines`: it would also count form feeds and others that no editor counts.
    lines = [line + "\n" for line in text.split("\n")]
    marks = [
        (number, found) for number, line in enumerate(lines) if (found := _MARK.fullmatch(line.rstrip()))
    ]
    replies: list[Reply] = []
    head = "".join(lines[: marks[0][0]] if marks else lines)
    if head.strip():
        replies.append(_reply(head, {}, 1, path))
    for index, (number, found) in enumerate(marks):
        end = marks[index + 1][0] if index + 1 < len(marks) else len(lines)
        options = _options(found.group(1), number + 1, path)
        replies.append(_reply("".join(lines[number + 1 : end]), options, number + 1, path))
    if not replies:
        raise UsageError(f"the script {path} is empty: write at least one reply", path=path, line=1)
    return replies


def _reply(text: str, options: dict[str, Any], line: int, path: str) -> Reply:
    """Checks and builds the reply that begins at a line."""
    reply = Reply(text.strip("\r\n"), **options)
    if reply.finish_reason == "length":
        return reply
    if not text.strip():
        raise UsageError(f"{path}, line {line}: the reply that begins here is empty", path=path, line=line)
    if read_reply(reply.text).open_fence:
        raise UsageError(
            f"{path}, line {line}: the reply that begins here does not close its last fence "
            "(write finish_reason=length if it is meant to be cut)",
            path=path,
            line=line,
        )
    return reply


def _options(text: str, line: int, path: str) -> dict[str, Any]:
    """Reads the `name=value` words of a mark."""
    options: dict[str, Any] = {}
    for word in text.split():
        name, _, value = word.partition("=")
        if name in _NUMBERS and value.isascii() and value.isdigit():
            options[name] = int(value)
        elif name == "finish_reason" and value:
            options[name] = value
        else:
            raise UsageError(
                f"{path}, line {line}: {word!r} is not an option of a reply; "
                "finish_reason=WORD, input_tokens=N and output_tokens=N are",
                path=path,
                line=line,
            )
    return options

"""The seam to replay, forks and queries: what the viewer asks of the floors below, and in what words.

Guarantee: the viewer's own process executes nothing of a trace; it hands positions and expressions to these
functions, which run recorded code in workers of their own. A failure comes back as one sentence.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from coda.errors import CodaError
from coda.log import Trace, mask_data
from coda.viewer.panes import VALUE_CELLS, Variable, Variables
from coda.viewer.text import clean, cut

Cancelled = Callable[[], bool]


class Floors(NamedTuple):
    """The functions of the floors below, handed in by the command line."""

    state_at: Callable[..., Any] | None
    """`coda.replay.state_at`; None when the user wants no replay."""
    fork: Callable[..., Any]
    """`coda.forking.fork`."""
    query: Callable[..., Any]
    """`coda.query.query`."""


class Rebuilt(NamedTuple):
    """What a replay gave for a position."""

    seq: int
    variables: Variables | None
    error: str = ""


class Answer(NamedTuple):
    """What a search found."""

    text: str
    hits: array[int]
    how: str
    """`query` or `text`."""
    error: str = ""
    incomplete: bool = False


class Forked(NamedTuple):
    """What a fork became."""

    position: str
    change: str
    path: Path | None
    outcome: str
    summary: tuple[str, ...]
    error: str = ""
    frontier: str = ""
    """Why it could not go on, when it stopped at its frontier."""
    assumed: int = 0
    """Recorded answers that were used though they may not hold."""


class _Frame(Protocol):
    function: str
    locals: Mapping[str, Any]


def sentence(error: BaseException) -> str:
    """An error as one sentence for people."""
    if isinstance(error, CodaError):
        return clean(error.message)
    return clean(f"{type(error).__name__}: {error}")


def rebuild(state_at: Callable[..., Any], trace: Trace, seq: int, bound_by_coda: frozenset[str]) -> Rebuilt:
    """Replays a trace to just before an event and gives the variables there."""
    try:
        state = state_at(trace, str(seq))
    except CodaError as error:
        return Rebuilt(seq, None, sentence(error))
    frames: Sequence[_Frame] = tuple(state.frames)
    inner = frames[0] if frames and frames[0].function else None  # innermost first
    named = {name: value for name, value in state.globals.items() if not _hidden(name, bound_by_coda)}
    module = tuple(_variable("", name, value) for name, value in named.items())
    here: tuple[Variable, ...] = ()
    function = str(getattr(state, "function", "") or "")
    if inner is not None:
        function = inner.function
        here = tuple(_variable(function, name, value) for name, value in inner.locals.items())
    note = clean("; ".join(state.notes))
    return Rebuilt(seq, Variables("replayed", function, here, module, note))


def _hidden(name: str, bound_by_coda: frozenset[str]) -> bool:
    return name in bound_by_coda or (name.startswith("__") and name.endswith("__"))


def _variable(function: str, name: str, value: Any) -> Variable:
    data = value if isinstance(value, Mapping) else _as_mapping(value)
    mark = "" if data.get("exact", True) else "not exact"
    if data.get("truncated"):
        mark = "shortened"
    text = cut(clean(mask_data(str(data.get("repr", "")), under=name)), VALUE_CELLS)
    return Variable(name, function, text, clean(str(data.get("type", ""))), mark)


def _as_mapping(value: Any) -> Mapping[str, Any]:
    return {name: getattr(value, name, None) for name in ("type", "repr", "truncated", "exact")}


def fork_with(
    fork: Callable[..., Any],
    trace: Trace,
    seq: int,
    change: tuple[str, str] | None,
    cancelled: Callable[[], bool] = bool,
) -> Forked:
    """Forks just before an event, with one name changed or nothing."""
    words = f"{change[0]} = {change[1]}" if change else "no change"
    command = f"coda fork {trace.path.name} --at {seq}" + (
        f" --set {change[0]}={change[1]}" if change else ""
    )
    try:
        result = fork(trace, str(seq), sets=(change,) if change else (), command=command, cancelled=cancelled)
    except CodaError as error:
        return Forked(str(seq), words, None, "", (), sentence(error))
    summary = tuple(str(line) for line in result.diff.summary())
    path, outcome = Path(result.path), str(result.outcome)
    return Forked(str(seq), words, path, outcome, summary, "", result.frontier or "", result.assumed)


def parse_change(text: str) -> tuple[str, str] | None:
    """Gives (name, expression) of `name = expression`; None for an empty text.

    Raises:
        ValueError: it is neither; the message says what was expected.
    """
    if not text:
        return None
    name, sign, expression = text.partition("=")
    name, expression = name.strip(), expression.strip()
    if not sign or not expression or not all(part.isidentifier() for part in name.split(".")):
        raise ValueError("a change is `name = expression`, for example: threshold = 5")
    return name, expression

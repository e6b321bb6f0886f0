"""The errors that coda raises on purpose, as one tree.

    CodaError
    ├── LogError                a trace cannot be read or written
    │   ├── TornTail            the last record is incomplete (recoverable; readers report it)
    │   ├── SchemaMismatch      a record is not what its type promises
    │   ├── SequenceGap         event numbers do not follow one another
    │   └── MissingBlob         a record names content that is not there
    ├── SandboxError            agent code could not be run
    │   ├── Refused             the boundary said no
    │   └── LimitExceeded       time, memory or size ran out
    ├── ReplayError             a recorded run cannot be rebuilt
    │   ├── Diverged            the replay did something else than the log
    │   └── MissingEffect       the log holds no answer for what the replay asked
    ├── ForkError               a fork could not be made as asked
    ├── QueryError              a question could not be answered
    │   ├── QuerySyntax         it does not parse; has a column
    │   └── UnknownField        it names something that no event has; has a column
    ├── CollectorError          spans, server, export
    └── UsageError              the caller's input is wrong: file, position, option

An exception raised by the agent's own code is data (an event), never one of these.
Facts are attributes, and the message is built from them; every error pickles with its attributes.
"""

from __future__ import annotations

from typing import Any


class CodaError(Exception):
    """Any failure that coda reports in one sentence, without a traceback.

    Args:
        message: what failed, where, and what to do next; one sentence.
        **facts: what the message was built from; each becomes an attribute.
    """

    def __init__(self, message: str, **facts: Any) -> None:
        super().__init__(message)
        self.message = message
        self.facts = facts
        self.__dict__.update(facts)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.facts)


def _rebuild(kind: type[CodaError], message: str, facts: dict[str, Any]) -> CodaError:
    return kind(message, **facts)


class LogError(CodaError):
    """A trace cannot be read or written."""


class TornTail(LogError):
    """The last record of a trace is incomplete: the writer died while writing it."""


class SchemaMismatch(LogError):
    """A record is not what its type promises, or the schema version is not known."""


class SequenceGap(LogError):
    """The event numbers of a trace do not follow one another."""


class MissingBlob(LogError):
    """A record names content that is not in the trace's blob folder."""


class SandboxError(CodaError):
    """Agent code could not be run."""


class Refused(SandboxError):
    """The boundary refused an act."""


class LimitExceeded(SandboxError):
    """A limit in time, memory or size was reached."""


class ReplayError(CodaError):
    """A recorded run cannot be rebuilt."""


class Diverged(ReplayError):
    """A replay did something else than the log says. Attributes: seq, expected, found."""


class MissingEffect(ReplayError):
    """The log holds no answer for what the replayed code asked. Attribute: seq."""


class ForkError(CodaError):
    """A fork could not be made as asked."""


class QueryError(CodaError):
    """A question could not be answered."""


class QuerySyntax(QueryError):
    """A query does not parse. Attributes: column (1-based), expected."""


class UnknownField(QueryError):
    """A query names a field that no event has. Attribute: column (1-based)."""


class CollectorError(CodaError):
    """Spans could not be exported, or the server could not serve."""


class UsageError(CodaError):
    """The caller's input is wrong: a missing file, a position out of range, a bad option."""

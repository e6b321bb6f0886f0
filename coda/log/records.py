"""What every record of a trace is built on: the header, seals, and the fields that all events share.

Guarantee: events have a `seq`; the header and seals have none, so they can never shift a number.
`seq` and `t` are -1 until the writer appends the record.
"""

from __future__ import annotations

import msgspec

SCHEMA_VERSION = 1

# The stream codes: entries of a `lines` record that are neither statements nor bindings. Each takes
# one value from `vals` and is one event (type, name). The header repeats the table for other readers.
CODES: dict[int, tuple[str, str]] = {
    -1: ("output", "stdout"),
    -2: ("output", "stderr"),
    -3: ("effect", "time.time"),
    -4: ("effect", "time.time_ns"),
    -5: ("effect", "time.monotonic"),
    -6: ("effect", "time.monotonic_ns"),
    -7: ("effect", "time.perf_counter"),
    -8: ("effect", "time.perf_counter_ns"),
    -9: ("effect", "time.process_time"),
    -10: ("effect", "time.process_time_ns"),
    -11: ("effect", "time.thread_time"),
    -12: ("effect", "time.thread_time_ns"),
    -13: ("effect", "time.sleep"),
    -14: ("effect", "env"),
    -15: ("effect", "input"),
    -16: ("gc", "collect"),
    -17: ("effect", "host"),
    -18: ("thread.switched", "thread"),
    -19: ("thread.preempted", "thread"),
    -20: ("signal", "at a statement"),
    -21: ("signal", "in a call"),
}


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    """One JSON object in the file."""


class Parent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a fork left the run that it came from."""

    run: str
    """Run id of the parent."""
    path: str
    """Path of the parent's trace, relative to the fork's folder."""
    seq: int
    """The fork's first own event number; the parent's events 0..seq-1 are its prefix."""
    position: str
    """The position in full, as it was asked for (`N`, `N+K`, `B:S`)."""
    steps: int = 0
    """Statements of the parent's event stream after event seq-1 that belong to the prefix; 0 as a rule."""
    offset: int = 0
    """Bytes of the parent's file that the fork relied on."""
    sha256: str = ""
    """Digest of those bytes."""


class Header(Record, tag="header", frozen=True, kw_only=True, omit_defaults=False):
    """First record of every trace; all its fields are written out. Has no seq."""

    format: str = "coda"
    """Always `coda`."""
    version: int = SCHEMA_VERSION
    """Version of the schema; a reader refuses one that is higher than it knows."""
    run: str
    """Run id: sortable time and random part."""
    codes: dict[int, tuple[str, str]] = msgspec.field(default_factory=dict)
    """The stream codes in force (see CODES)."""
    parent: Parent | None = None
    """Of a fork: where it left its parent; null in other runs."""


class Seal(Record, tag="seal", frozen=True, kw_only=True):
    """Running digest of all bytes before this record's first byte. Has no seq."""

    offset: int
    """How many bytes are covered."""
    sha256: str
    """Their SHA-256, in hex."""
    events: int
    """Number of events before this record."""
    mac: str | None = None
    """Name of the writer's key and an HMAC by it over the three above; null: the writer had none."""


class Event(Record, frozen=True, kw_only=True):
    """A record that counts as one event."""

    seq: int = -1
    """0-based number of the event in its run."""
    t: int = -1
    """Nanoseconds since the run began."""


class Located(Event, frozen=True, kw_only=True):
    """An event caused by a line of agent code."""

    file: str | None = None
    """File name of the code unit, as in tracebacks; None when no agent code was running."""
    line: int | None = None
    """1-based line in that file."""
    function: str | None = None
    """Function path, "" at module level."""
    cause: int | None = None
    """seq of the event that this one belongs to (the call of a return, the call that touched a file)."""

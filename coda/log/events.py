"""The records of a trace: one small frozen struct for each type, and their meaning.

Guarantee: what is written here is the whole contract of the file; a program in another language
can read a trace with this page and docs/log-format.md alone. Fields are only ever added, each
with a default; a type's name is never reused. Records that a reader does not know survive as
`Unknown`, byte for byte.
"""

from __future__ import annotations

from typing import Any

import msgspec

from coda.log.effects import (
    FileChanged,
    FileDeleted,
    FileFailed,
    FileListed,
    FileMade,
    FileOpened,
    FileRead,
    FileRenamed,
    FileWrote,
    NetConnected,
    NetOpened,
    NetReceived,
    NetSent,
    ProcessFinished,
    ProcessIo,
    ProcessSignaled,
    ProcessStarted,
)
from coda.log.records import Event, Header, Located, Record, Seal
from coda.log.tables import Table

# --- run ---------------------------------------------------------------------------------------


class RunStarted(Event, tag="run.started", frozen=True, kw_only=True):
    """The run began; everything that replay must know of its surroundings."""

    wall: str
    """Wall clock, ISO 8601 in UTC."""
    kind: str
    """`exec` (a program), `run` (an agent) or `sandbox` (from Python)."""
    coda: str
    """Version of coda."""
    python: str
    """Full version of the interpreter, e.g. 3.11.7."""
    implementation: str = "cpython"
    """Of Python; recordings are CPython's."""
    platform: str = ""
    """System and machine, e.g. linux-x86_64."""
    level: str
    """Record level: `effects`, `lines` or `values`."""
    value_limit: int
    """First K bindings of a site in a block that are kept (level `values`)."""
    line_limit: int
    """Line events of a block after which the rest are elided."""
    hash_seed: int
    """What `PYTHONHASHSEED` was in the worker."""
    random_seed: int
    """What the generators of `random` and the like are seeded from."""
    aslr: bool = True
    """False when addresses were not randomised."""
    isolation: str = "none"
    """`kernel`, `partial` or `none`: what keeps the worker in."""
    threads: str = "real"
    """`serial`: threads of agent code ran one at a time, in an order that the log has; else `real`."""
    fidelity: str = "full"
    """`full`, or `observed` when not recorded in a worker of its own."""
    cwd: str
    """Working directory at the start: absolute path."""
    root: str
    """The workspace: absolute path."""
    argv: tuple[str, ...] = ()
    """`sys.argv` of the program."""
    main: str | None = None
    """Path of the program (`exec FILE`), as given."""
    module: str | None = None
    """Name of the module (`exec -m`)."""
    env: tuple[str, ...] = ()
    """Names of the environment variables; values appear when they are read."""
    locale: dict[str, str] = msgspec.field(default_factory=dict)
    """Variables that C code reads unseen (TZ, LANG, LC_*), with their values."""
    zone: str = ""
    """Time zone in force where `TZ` is not set: its name, or its rule as `TZ` takes it. "" is not known."""
    temp: str = ""
    """The folder for temporary files. "" is not known."""
    umask: int | None = None
    """Mask of the modes of new files."""
    tty: tuple[bool, bool, bool] = (False, False, False)
    """Whether stdin, stdout, stderr were terminals."""
    encoding: str = "utf-8"
    """Of the standard streams."""
    closed: tuple[int, ...] = ()
    """Which of the program's descriptors 0, 1 and 2 were closed."""
    path: tuple[str, ...] | None = None
    """What a program's import path begins with; null in traces of before it was recorded."""
    options: tuple[str, ...] | None = None
    """Options of the interpreter, one word each (`-O`, `-Xdev`); null in older traces."""
    variables: dict[str, str] = msgspec.field(default_factory=dict)
    """What the interpreter itself read of its environment: `PYTHON...`, `LANG`, `LC_...`."""
    limits: dict[str, float] = msgspec.field(default_factory=dict)
    """What blocks may use: `wall_s`, `cpu_s`, `memory_bytes`, `processes`, `output_bytes` ..."""
    task: str | None = None
    """What the run is for, in words; what an agent was asked to do."""
    model: str | None = None
    """Name of the model that writes the blocks."""
    traceparent: str | None = None
    """W3C trace context of the caller, which spans of this run continue."""
    manifest: str | None = None
    """Blob: the workspace at the start, a JSON object path -> [kind, size, mtime_ns, mode]."""
    parent_run: str | None = None
    """Kept for foreign traces: run id of a parent that is not in the header. Not written by coda."""
    frames: bool = False
    """Whether frames are marked in the stream: `Table.bodies` says how."""


class RunResumed(Event, tag="run.resumed", frozen=True, kw_only=True):
    """Writing went on in an existing file after a crash."""

    cut_bytes: int = 0
    """Length of the torn line that was cut off; 0: the file was whole."""
    cut_sha256: str = ""
    """Blob that holds those bytes; "" when there were none."""


class RunFinished(Event, tag="run.finished", frozen=True, kw_only=True):
    """The run ended. A trace without it was cut short."""

    outcome: str
    """`ok`, `error`, `exited`, `killed`, `interrupted`, `stopped`, `frontier`, `turn_limit`, `token_cut`."""
    code: int | None = None
    """Exit status, for programs."""
    text: str | None = None
    """The agent's answer, or why the run ended."""
    dropped: int = 0
    """Recorder failures that were swallowed so that the program could go on; 0 in a sound recording."""


class SandboxStarted(Event, tag="sandbox.started", frozen=True, kw_only=True):
    """A worker is ready."""

    names: tuple[str, ...] = ()
    """Names bound in the namespace before the first block."""
    worker: int = 0
    """How many workers this run had before."""
    state: str = "new"
    """`new`: its namespace is empty; `restored`: it has replayed the run up to here."""


class ToolDeclared(Event, tag="tool.declared", frozen=True, kw_only=True):
    """A function was bound into the namespace; replay needs no user module."""

    name: str
    """What blocks call it by."""
    signature: str = "(*args, **kwargs)"
    """Its parameters and result, as Python writes them."""
    doc: str = ""
    """Its docstring."""
    effect: str = "act"
    """`pure` (depends on arguments alone), `read` (looks, changes nothing) or `act`."""
    origin: str = "tool"
    """`tool` (a user's function) or `primitive` (coda's own)."""


# --- conversation ------------------------------------------------------------------------------


class UserMessage(Event, tag="user.message", frozen=True, kw_only=True):
    """What the user said."""

    text: str
    """In full."""


class TurnStarted(Event, tag="turn.started", frozen=True, kw_only=True):
    """One model request and what follows. Turns are numbered from 1."""

    turn: int
    """Its number."""


class TurnFinished(Event, tag="turn.finished", frozen=True, kw_only=True):
    """The end of a turn."""

    turn: int
    """Its number."""
    blocks: int = 0
    """How many blocks ran in it."""
    done: bool = False
    """Whether the agent was done with it."""


class LlmRequested(Event, tag="llm.requested", frozen=True, kw_only=True):
    """A model was asked. History is stored once: only the messages that are new are here."""

    model: str
    """Name of the model that was asked."""
    messages: tuple[dict[str, Any], ...] = ()
    """New messages since the last request of this run: {"role", "content"}."""
    system: str | None = None
    """System prompt, with the first request or when it changed."""
    count: int = 0
    """How many messages the whole request had."""
    digest: str = ""
    """SHA-256 of the whole request, canonical JSON."""


class LlmResponded(Event, tag="llm.responded", frozen=True, kw_only=True):
    """The model's reply, in full."""

    text: str
    """What it said."""
    model: str = ""
    """Name of the model that answered."""
    finish_reason: str = "stop"
    """Why it stopped, in the words of its provider: `stop`, `length` ..."""
    input_tokens: int = 0
    """Tokens of the request, as the provider counts; 0 when it does not say."""
    output_tokens: int = 0
    """Tokens of the reply, likewise."""
    cause: int | None = None
    """seq of the request."""
    assumed: bool = False
    """In a fork: the recorded reply to another request was used."""


# --- code --------------------------------------------------------------------------------------


class BlockStarted(Event, tag="block.started", frozen=True, kw_only=True):
    """A piece of Python was compiled and is about to run. Blocks are numbered from 1."""

    block: int
    """Its number."""
    source: str
    """Its text; what `table` counts lines of."""
    file: str
    """File name of the code, as in tracebacks: `<block 3>`, or the path of a program."""
    first_line: int = 1
    """Line of the file on which the source begins (cells of one script)."""
    turn: int | None = None
    """Number of the turn that it belongs to; null outside of turns."""
    table: Table | None = None
    """None when the block could not be compiled or instrumented."""
    note: str | None = None
    """Why there are no lines, when there are none."""


class BlockFinished(Event, tag="block.finished", frozen=True, kw_only=True):
    """A block ended."""

    block: int
    """Its number."""
    outcome: str
    """`ok`, `error`, `interrupted`, `killed` or `exited`."""
    state: str = "kept"
    """What became of the variables: `kept`; `rolled_back` to what they were before the block, by a worker
    that replayed the run up to there; or `lost`, and the next block starts without any."""
    lines: int = 0
    """Statements started in the block, elided ones included."""
    code: int | None = None
    """Exit status, when the block exited."""
    pending: tuple[str, ...] = ()
    """Names of the tasks and threads that were still under way."""


class Lines(Event, tag="lines", frozen=True, kw_only=True):
    """What ran since the last record: n events in ids, with the values bound on the way."""

    n: int
    """How many of the entries are events (statements and stream codes; bindings are not)."""
    ids: tuple[int, ...] = ()
    """>= 0: a statement, or a binding, of the table that covers the number; < 0: a stream code."""
    vals: tuple[Any, ...] = ()
    """One value for each binding and each stream code of `ids`, in order, in the value envelope."""
    block: int | None = None
    """The block that was executing."""


class Elided(Event, tag="elided", frozen=True, kw_only=True):
    """Statements that ran past the line limit: counted and numbered, not listed."""

    n: int
    """How many statements: they have the numbers seq to seq + n - 1."""
    counts: tuple[tuple[int, int], ...] = ()
    """(statement id, times), by falling count."""
    block: int | None = None
    """The block that was executing."""


# --- boundary ----------------------------------------------------------------------------------


class ToolCalled(Located, tag="tool.called", frozen=True, kw_only=True):
    """Agent code called a tool or primitive; on disk before it acts."""

    name: str
    """Of the tool, as declared."""
    args: tuple[Any, ...] = ()
    """Positional arguments, each in the value envelope."""
    kwargs: dict[str, Any] = msgspec.field(default_factory=dict)
    """Arguments by name, each in the value envelope."""
    call: int = 0
    """Number of a call that others may overlap, from 1: its result comes with a `loop.woke`; else 0."""


class ToolReturned(Located, tag="tool.returned", frozen=True, kw_only=True):
    """The answer; `cause` is the call."""

    name: str
    """Of the tool."""
    ok: bool = True
    """Whether it returned; false: it raised `error`."""
    value: Any = None
    """What it returned, in the value envelope."""
    error: dict[str, Any] | None = None
    """{"type", "mro", "message", "args"} when ok is false."""
    assumed: bool = False
    """In a fork: recorded before a change and served all the same."""
    stdout: str | None = None
    """Blob: the whole output of a shell command, where the value has its beginning and its end alone."""
    stderr: str | None = None
    """The same of its other stream."""

    @property
    def is_broken_off(self) -> bool:
        """Whether its block was stopped while the call was under way: this is not what the tool answered."""
        return self.error is not None and self.error.get("type") == "KeyboardInterrupt"


class CtxSet(Located, tag="ctx.set", frozen=True, kw_only=True):
    """`ctx.name = value`."""

    name: str
    """The attribute of `ctx`."""
    value: Any = None
    """What it is now, in the value envelope."""
    expr: str | None = None
    """Source text of the value, exactly."""


class CtxDeleted(Located, tag="ctx.deleted", frozen=True, kw_only=True):
    """`del ctx.name`."""

    name: str
    """The attribute of `ctx`."""


class CtxMutated(Located, tag="ctx.mutated", frozen=True, kw_only=True):
    """A value in ctx was changed in place; found at the block's end."""

    name: str
    """The attribute of `ctx`."""
    value: Any = None
    """What it is now, in the value envelope."""
    detected: str = "block_end"
    """When it was found."""


class Effect(Located, tag="effect", frozen=True, kw_only=True):
    """An observation that was not batched: clock, random, env, input, host."""

    name: str
    """What was asked, e.g. `time.time`, `env`, `host`."""
    value: Any = None
    """The answer, in the value envelope."""


class Import(Located, tag="import", frozen=True, kw_only=True):
    """Agent code imported a module. A module of the workspace is agent code and has a table."""

    module: str
    """Its full name."""
    path: str | None = None
    """File of a module of the workspace, as in tracebacks; null for others."""
    digest: str | None = None
    """Blob of the source, for a module of the workspace."""
    table: Table | None = None
    """Statement table of a module of the workspace; null for others, and where there are no lines."""
    version: str | None = None
    """Version of the library that it is of, where a folder beside it tells; null for others."""


class Output(Located, tag="output", frozen=True, kw_only=True):
    """Text that reached a stream other than through `sys.stdout` (a child, C code)."""

    stream: str
    """`stdout` or `stderr`."""
    text: Any = ""
    """What was written, in the value envelope."""
    unordered: bool = True
    """Whether its place among the lines is not exact."""


class ExceptionRaised(Located, tag="exception", frozen=True, kw_only=True):
    """An exception that left a block."""

    kind: str
    """Qualified name of its type."""
    message: str
    """`str()` of it."""
    traceback: str = ""
    """As Python would print it."""
    mro: tuple[str, ...] = ()
    """Qualified names of the classes that its type is made from, its own first."""


class Signal(Located, tag="signal", frozen=True, kw_only=True):
    """A signal was delivered to agent code."""

    name: str
    """`interrupt`: an exception was raised before a statement, because the block had to end."""
    detail: str = ""
    """Why; the message of that exception."""
    statement: int | None = None
    """Id of the statement that did not start because of it; None: it came between any two instructions."""
    step: int | None = None
    """How many statements of the block had started before."""


class LoopWoke(Event, tag="loop.woke", frozen=True, kw_only=True):
    """Nothing could run, or a turn had been long: what had arrived by then was delivered, in this order."""

    calls: tuple[int, ...] = ()
    """Numbers of the calls whose results were delivered (`tool.called.call`)."""
    timers: tuple[int, ...] = ()
    """Numbers of the timers that were due; timers are numbered from 1 in the order of their making."""
    turns: int = 0
    """How often the worker had looked for arrivals since the last delivery, this time included."""
    waited_ns: int = 0
    """How long it waited for this."""


class ThreadStarted(Located, tag="thread.started", frozen=True, kw_only=True):
    """Agent code started a thread."""

    name: str = ""
    """Its name."""
    thread: int = 0
    """Its number, in the order of starting; the main thread is 0."""
    by: int = 0
    """Number of the thread that started it."""


class ThreadFinished(Event, tag="thread.finished", frozen=True, kw_only=True):
    """A thread of agent code ended."""

    name: str = ""
    """Its name."""
    thread: int = 0
    """Its number."""


class LimitHit(Located, tag="limit.hit", frozen=True, kw_only=True):
    """Something could not be recorded or allowed; replay is marked from here."""

    what: str
    """`threads`, `process`, `network`, `workspace-size`, `lines`, `unkept-read`, `tool`, `gc` ..."""
    detail: str = ""
    """For people."""


class ForkApplied(Event, tag="fork.applied", frozen=True, kw_only=True):
    """First own event of a fork: what was changed."""

    parent: str
    """Run id of the parent."""
    position: str
    """Where it left the parent, as in the header."""
    changes: tuple[dict[str, Any], ...] = ()
    """Each {"kind": "set" | "result" ..., "name"?, "expr"?, "before"?, "after"?}."""
    command: str = ""
    """The command that made the fork, for people."""


class Note(Event, tag="note", frozen=True, kw_only=True):
    """Free-form, for foreign traces and remarks."""

    text: str = ""
    """For people."""
    data: Any = None
    """Anything, as JSON."""


class Unknown(msgspec.Struct, frozen=True, kw_only=True):
    """A record of a type that this version does not know: kept as it is."""

    type: str
    seq: int
    n: int
    t: int
    raw: bytes


RECORD_TYPES: tuple[type[Record], ...] = (
    Header, Seal, RunStarted, RunResumed, RunFinished, SandboxStarted, ToolDeclared, UserMessage,
    TurnStarted, TurnFinished, LlmRequested, LlmResponded, BlockStarted, BlockFinished, Lines, Elided,
    ToolCalled, ToolReturned, CtxSet, CtxDeleted, CtxMutated, Effect, FileOpened, FileRead, FileWrote,
    FileDeleted, FileRenamed, FileMade, FileFailed, FileListed, FileChanged, ProcessStarted, ProcessIo,
    ProcessFinished, ProcessSignaled, NetConnected, NetOpened, NetSent, NetReceived, Import, Output,
    ExceptionRaised, Signal, LoopWoke, ThreadStarted, ThreadFinished, LimitHit, ForkApplied, Note,
)  # fmt: skip


def tag_of(kind: type[Record]) -> str:
    """Gives the `type` word of a record class."""
    tag = kind.__struct_config__.tag
    assert isinstance(tag, str)
    return tag


TYPES: dict[str, type[Record]] = {tag_of(kind): kind for kind in RECORD_TYPES}

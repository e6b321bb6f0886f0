"""The log: records, writer, reader, blobs, values, positions, runs. See docs/log-format.md."""

from coda.log.blobs import BlobStore
from coda.log.codec import decode_record
from coda.log.decoding import from_envelope, is_exact
from coda.log.display import mask, mask_data, sanitise
from coda.log.events import (
    CODES,
    SCHEMA_VERSION,
    TYPES,
    Binding,
    BlockFinished,
    BlockStarted,
    CtxDeleted,
    CtxMutated,
    CtxSet,
    Effect,
    Elided,
    Event,
    ExceptionRaised,
    FileChanged,
    FileDeleted,
    FileListed,
    FileMade,
    FileOpened,
    FileRead,
    FileRenamed,
    FileWrote,
    ForkApplied,
    Header,
    Import,
    LimitHit,
    Lines,
    LlmRequested,
    LlmResponded,
    Located,
    NetConnected,
    Note,
    Output,
    Parent,
    ProcessFinished,
    ProcessStarted,
    Record,
    RunFinished,
    RunResumed,
    RunStarted,
    SandboxStarted,
    Seal,
    Signal,
    Statement,
    Table,
    ThreadStarted,
    ToolCalled,
    ToolDeclared,
    ToolReturned,
    TurnFinished,
    TurnStarted,
    Unknown,
    UserMessage,
    tag_of,
)  # fmt: skip
from coda.log.files import Torn
from coda.log.positions import Position
from coda.log.reader import BlockInfo, Placed, Trace, TurnInfo, open_trace
from coda.log.rendering import render
from coda.log.runs import find_run, is_run_id, new_run_id, run_directory
from coda.log.sites import Group, Sites, analyse, bodies, first_line_of, has_docstring, is_silent
from coda.log.traceevent import Stored, TraceEvent
from coda.log.units import StatementInfo, UnitInfo, Units, unit_from
from coda.log.values import (
    BlobRef,
    Opaque,
    RecordValue,
    Summary,
    encode_text,
    summarise,
    to_envelope,
    type_name,
)  # fmt: skip
from coda.log.writer import TraceWriter

__all__ = [
    "CODES", "SCHEMA_VERSION", "TYPES", "Binding", "BlobRef", "BlobStore", "BlockFinished",
    "BlockInfo", "BlockStarted", "CtxDeleted", "CtxMutated", "CtxSet", "Effect", "Elided", "Event",
    "ExceptionRaised", "FileChanged", "FileDeleted", "FileListed", "FileMade", "FileOpened",
    "FileRead", "FileRenamed", "FileWrote", "ForkApplied", "Group", "Header", "Import", "LimitHit",
    "Lines", "LlmRequested", "LlmResponded", "Located", "NetConnected", "Note", "Opaque", "Output",
    "Parent", "Placed", "Position", "ProcessFinished", "ProcessStarted", "Record", "RecordValue",
    "RunFinished", "RunResumed", "RunStarted", "SandboxStarted", "Seal", "Signal", "Sites",
    "Statement", "StatementInfo", "Stored", "Summary", "Table", "ThreadStarted", "ToolCalled",
    "ToolDeclared", "ToolReturned", "Torn", "Trace", "TraceEvent", "TraceWriter", "TurnFinished",
    "TurnInfo", "TurnStarted", "UnitInfo", "Units", "Unknown", "UserMessage", "analyse", "bodies",
    "decode_record", "encode_text", "find_run", "first_line_of", "from_envelope", "has_docstring",
    "is_exact", "is_run_id", "is_silent", "mask", "mask_data", "new_run_id", "open_trace", "render",
    "run_directory", "sanitise", "summarise", "tag_of", "to_envelope", "type_name", "unit_from",
]  # fmt: skip

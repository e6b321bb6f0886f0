"""The log: records, writer, reader, blobs, values, positions, runs. See docs/log-format.md.

Names are looked up when they are first used: a worker needs the values and the records, and must not
import the reader's libraries before its shims are in place (docs/adr/0005).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coda.log.blobs import BlobStore
    from coda.log.check import Damage, Report, check_trace
    from coda.log.codec import decode_record, encode_record
    from coda.log.decoding import first_inexact, from_envelope, is_exact
    from coda.log.describing import describe
    from coda.log.display import mask, mask_data, sanitise
    from coda.log.effects import (
        UNKEPT,
        FileChanged,
        FileDeleted,
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
    from coda.log.events import (
        TYPES,
        BlockFinished,
        BlockStarted,
        CtxDeleted,
        CtxMutated,
        CtxSet,
        Effect,
        Elided,
        ExceptionRaised,
        ForkApplied,
        Import,
        LimitHit,
        Lines,
        LlmRequested,
        LlmResponded,
        LoopWoke,
        Note,
        Output,
        RunFinished,
        RunResumed,
        RunStarted,
        SandboxStarted,
        Signal,
        ThreadFinished,
        ThreadStarted,
        ToolCalled,
        ToolDeclared,
        ToolReturned,
        TurnFinished,
        TurnStarted,
        Unknown,
        UserMessage,
        tag_of,
    )
    from coda.log.files import Torn
    from coda.log.keys import FoundKey, Key, find_key, key_path
    from coda.log.kinds import event_types
    from coda.log.listing import RunInfo, families, list_runs, run_info
    from coda.log.pieces import Piece, Placed
    from coda.log.positions import Position
    from coda.log.reader import BlockInfo, Trace, TurnInfo, open_trace
    from coda.log.records import CODES, SCHEMA_VERSION, Event, Header, Located, Parent, Record, Seal
    from coda.log.rendering import render
    from coda.log.resuming import resume_trace
    from coda.log.runs import find_run, is_run_id, locate, new_run_id, run_directory
    from coda.log.seals import SealWatch, is_own
    from coda.log.sites import (
        FrameSite,
        Group,
        Sites,
        analyse,
        bodies,
        first_line_of,
        has_docstring,
        is_silent,
    )
    from coda.log.sources import source_lines, source_text
    from coda.log.suspending import GENERATORS
    from coda.log.tables import MARKS, Binding, Body, Statement, Table
    from coda.log.traceevent import Stored, TraceEvent
    from coda.log.units import (
        StatementInfo,
        UnitInfo,
        Units,
        entry_values,
        times_in,
        unit_covering,
        unit_from,
    )  # fmt: skip
    from coda.log.values import (
        BlobRef,
        Opaque,
        RecordValue,
        Summary,
        encode_text,
        summarise,
        to_envelope,
        type_name,
    )
    from coda.log.writer import TraceWriter

_HOMES = {
    "Body": "tables", "FrameSite": "sites", "GENERATORS": "suspending", "MARKS": "tables",
    "Binding": "tables", "BlobRef": "values", "BlobStore": "blobs", "BlockFinished": "events",
    "BlockInfo": "reader", "BlockStarted": "events", "CODES": "records", "CtxDeleted": "events",
    "CtxMutated": "events", "CtxSet": "events", "Damage": "check", "Effect": "events", "Elided": "events",
    "Event": "records", "ExceptionRaised": "events", "FileChanged": "effects", "FileDeleted": "effects",
    "FileListed": "effects", "FileMade": "effects", "FileOpened": "effects", "FileRead": "effects",
    "FileRenamed": "effects", "FileWrote": "effects", "ForkApplied": "events", "Group": "sites",
    "Header": "records", "Import": "events", "LimitHit": "events", "Lines": "events",
    "LlmRequested": "events", "LlmResponded": "events", "Located": "records", "LoopWoke": "events",
    "NetConnected": "effects", "NetOpened": "effects",
    "NetReceived": "effects", "NetSent": "effects",
    "Note": "events", "Opaque": "values", "Output": "events", "Parent": "records", "Piece": "pieces",
    "Placed": "pieces",
    "Position": "positions", "ProcessFinished": "effects", "ProcessIo": "effects",
    "ProcessSignaled": "effects", "ProcessStarted": "effects", "Record": "records",
    "RecordValue": "values", "Report": "check", "RunFinished": "events", "RunInfo": "listing",
    "RunResumed": "events", "RunStarted": "events", "SCHEMA_VERSION": "records", "SandboxStarted": "events",
    "Seal": "records", "SealWatch": "seals", "Signal": "events", "Sites": "sites", "Statement": "tables",
    "StatementInfo": "units", "Stored": "traceevent", "Summary": "values", "TYPES": "events",
    "UNKEPT": "effects",
    "Table": "tables", "ThreadFinished": "events", "ThreadStarted": "events", "ToolCalled": "events",
    "ToolDeclared": "events",
    "ToolReturned": "events", "Torn": "files", "Trace": "reader", "TraceEvent": "traceevent",
    "TraceWriter": "writer", "TurnFinished": "events", "TurnInfo": "reader", "TurnStarted": "events",
    "UnitInfo": "units", "Units": "units", "Unknown": "events", "UserMessage": "events",
    "analyse": "sites", "bodies": "sites", "check_trace": "check", "decode_record": "codec",
    "describe": "describing", "encode_record": "codec", "encode_text": "values", "entry_values": "units",
    "find_run": "runs", "first_inexact": "decoding",
    "first_line_of": "sites", "from_envelope": "decoding", "has_docstring": "sites",
    "is_exact": "decoding", "is_run_id": "runs", "is_silent": "sites", "list_runs": "listing",
    "locate": "runs", "mask": "display", "mask_data": "display", "new_run_id": "runs",
    "open_trace": "reader", "render": "rendering", "resume_trace": "resuming",
    "run_directory": "runs", "run_info": "listing",
    "sanitise": "display", "source_lines": "sources", "source_text": "sources", "summarise": "values",
    "tag_of": "events", "times_in": "units", "to_envelope": "values", "type_name": "values",
    "unit_covering": "units", "unit_from": "units",
    "event_types": "kinds", "FoundKey": "keys", "Key": "keys",
    "families": "listing", "find_key": "keys", "is_own": "seals",
    "key_path": "keys",
}  # fmt: skip

__all__ = [
    "CODES",
    "GENERATORS",
    "MARKS",
    "SCHEMA_VERSION",
    "TYPES",
    "UNKEPT",
    "Binding",
    "BlobRef",
    "BlobStore",
    "BlockFinished",
    "BlockInfo",
    "BlockStarted",
    "Body",
    "CtxDeleted",
    "CtxMutated",
    "CtxSet",
    "Damage",
    "Effect",
    "Elided",
    "Event",
    "ExceptionRaised",
    "FileChanged",
    "FileDeleted",
    "FileListed",
    "FileMade",
    "FileOpened",
    "FileRead",
    "FileRenamed",
    "FileWrote",
    "ForkApplied",
    "FoundKey",
    "FrameSite",
    "Group",
    "Header",
    "Import",
    "Key",
    "LimitHit",
    "Lines",
    "LlmRequested",
    "LlmResponded",
    "Located",
    "LoopWoke",
    "NetConnected",
    "NetOpened",
    "NetReceived",
    "NetSent",
    "Note",
    "Opaque",
    "Output",
    "Parent",
    "Piece",
    "Placed",
    "Position",
    "ProcessFinished",
    "ProcessIo",
    "ProcessSignaled",
    "ProcessStarted",
    "Record",
    "RecordValue",
    "Report",
    "RunFinished",
    "RunInfo",
    "RunResumed",
    "RunStarted",
    "SandboxStarted",
    "Seal",
    "SealWatch",
    "Signal",
    "Sites",
    "Statement",
    "StatementInfo",
    "Stored",
    "Summary",
    "Table",
    "ThreadFinished",
    "ThreadStarted",
    "ToolCalled",
    "ToolDeclared",
    "ToolReturned",
    "Torn",
    "Trace",
    "TraceEvent",
    "TraceWriter",
    "TurnFinished",
    "TurnInfo",
    "TurnStarted",
    "UnitInfo",
    "Units",
    "Unknown",
    "UserMessage",
    "analyse",
    "bodies",
    "check_trace",
    "decode_record",
    "describe",
    "encode_record",
    "encode_text",
    "entry_values",
    "event_types",
    "families",
    "find_key",
    "find_run",
    "first_inexact",
    "first_line_of",
    "from_envelope",
    "has_docstring",
    "is_exact",
    "is_own",
    "is_run_id",
    "is_silent",
    "key_path",
    "list_runs",
    "locate",
    "mask",
    "mask_data",
    "new_run_id",
    "open_trace",
    "render",
    "resume_trace",
    "run_directory",
    "run_info",
    "sanitise",
    "source_lines",
    "source_text",
    "summarise",
    "tag_of",
    "times_in",
    "to_envelope",
    "type_name",
    "unit_covering",
    "unit_from",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'coda.log' has no attribute {name!r}")
    value = getattr(import_module(f"coda.log.{home}"), name)
    globals()[name] = value
    return value

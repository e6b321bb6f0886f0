"""One record to one line of JSON, and back.

Guarantee: what `decode` accepts has the types that its struct promises, and what it refuses is refused
with the byte and the event. A record of an unknown type comes back as `Unknown` with its bytes; unknown
fields stay in the bytes that readers keep beside the record. A line's type is known from its
first bytes, so that what nobody asked for is never decoded.
"""

from __future__ import annotations

import functools
from typing import Any, Final

import msgspec

from coda.errors import LogError, SchemaMismatch
from coda.log.events import TYPES, Elided, Lines, Unknown
from coda.log.records import SCHEMA_VERSION, Event, Header, Record
from coda.log.values import encode_safe

_PREFIX: Final = b'{"type":"'
_PREFIX_LENGTH: Final = len(_PREFIX)

MAX_SEQ: Final = (1 << 63) - 1
"""No event has a higher number."""

ENCODER: Final = msgspec.json.Encoder()
_REFUSED: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Head(msgspec.Struct, frozen=True):
    """What every record says of itself."""

    type: str
    seq: int = -1
    n: int = 1
    t: int = -1

    @property
    def count(self) -> int:
        """How many events the record holds; 0 for one without seq."""
        return self.n if self.seq >= 0 else 0


_HEAD: Final = msgspec.json.Decoder(Head)


def encode_record(record: Record) -> bytes:
    """Gives the line of a record, its newline included.

    Text with lone surrogates, which JSON cannot hold, is written with those escaped; values in an
    envelope never have any.

    Raises:
        LogError: the record holds something that is not plain data.
    """
    try:
        return ENCODER.encode(record) + b"\n"
    except UnicodeEncodeError:
        pass
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise LogError(f"a {type(record).__name__} record cannot be written: {error}") from error
    try:
        return ENCODER.encode(_escaped(msgspec.to_builtins(record))) + b"\n"
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise LogError(f"a {type(record).__name__} record cannot be written: {error}") from error


def _escaped(data: Any) -> Any:
    if isinstance(data, str):
        return encode_safe(data)
    if isinstance(data, list | tuple):
        return [_escaped(item) for item in data]
    if isinstance(data, dict):
        return {_escaped(key): _escaped(item) for key, item in data.items()}
    return data


def type_of(line: bytes, offset: int) -> str:
    """Gives the type of a line from its first bytes, or by decoding when it is written another way."""
    if line.startswith(_PREFIX):
        end = line.find(b'"', _PREFIX_LENGTH, _PREFIX_LENGTH + 100)
        if end > 0:
            return line[_PREFIX_LENGTH:end].decode("latin-1")
    return head_of(line, offset).type


def head_of(line: bytes, offset: int) -> Head:
    """Gives type, seq, n and t of a line.

    Raises:
        LogError: the line is not a record; the message names the byte.
    """
    try:
        head = _HEAD.decode(line)
    except msgspec.ValidationError as error:
        raise SchemaMismatch(
            f"damaged trace: the record at byte {offset} is malformed ({error})", offset=offset
        ) from error
    except _REFUSED as error:
        raise LogError(f"damaged trace: no record at byte {offset} ({error})", offset=offset) from error
    if head.n < 0 or head.seq < -1 or head.seq + head.n > MAX_SEQ:
        raise SchemaMismatch(
            f"damaged trace: the record at byte {offset} has impossible numbers", offset=offset
        )
    return head


@functools.cache
def _decoder_of(kind: type[Record]) -> msgspec.json.Decoder[Record]:
    """Makes the decoder of a type when the first record of it comes: all at once would delay every start."""
    return msgspec.json.Decoder(kind)


def decode(line: bytes, offset: int, kind: str | None = None) -> Record | Unknown:
    """Gives the typed record of a line, or `Unknown` when its type is not known here.

    Raises:
        SchemaMismatch: a field is not what the type promises.
        LogError: the line is not JSON.
    """
    kind = kind or type_of(line, offset)
    known = TYPES.get(kind)
    if known is None:
        head = head_of(line, offset)
        if head.type != kind:
            raise SchemaMismatch(f"damaged trace: the record at byte {offset} has two types", offset=offset)
        return Unknown(type=kind, seq=head.seq, n=head.count, t=head.t, raw=line)
    try:
        record = _decoder_of(known).decode(line)
    except msgspec.ValidationError as error:
        where = _event_of(line)
        raise SchemaMismatch(
            f"damaged trace: the {kind} record at byte {offset}{where} is malformed ({error})", offset=offset
        ) from error
    except _REFUSED as error:
        raise LogError(
            f"damaged trace: the {kind} record at byte {offset} is not JSON ({error})", offset=offset
        ) from error
    if isinstance(record, Event):
        count = count_of(record)
        if record.seq < 0:
            raise SchemaMismatch(
                f"damaged trace: the {kind} record at byte {offset} has no event number", offset=offset
            )
        if count < 0 or record.seq + count > MAX_SEQ:
            raise SchemaMismatch(
                f"damaged trace: the {kind} record at byte {offset} has impossible numbers", offset=offset
            )
    return record


def decode_record(line: bytes, *, offset: int = 0) -> Record | Unknown:
    """Gives the record of a line that was read by other means.

    Args:
        line: with or without its newline.
        offset: byte of the file at which it begins, for messages.

    Raises:
        LogError: it is not a record.
    """
    return decode(line, offset)


def _event_of(line: bytes) -> str:
    try:
        return f" (event {_HEAD.decode(line).seq})"
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""


def decode_header(line: bytes, name: str) -> Header:
    """Gives the header from the first line of a file.

    Raises:
        SchemaMismatch: it is not a trace, or of a version that this coda cannot read.
    """
    try:
        header = _decoder_of(Header).decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise SchemaMismatch(f"{name} is not a coda trace: its first line is no header", offset=0) from error
    assert isinstance(header, Header)
    if header.format != "coda":
        raise SchemaMismatch(f"{name} is not a coda trace: its format is {header.format[:40]!r}", offset=0)
    if header.version > SCHEMA_VERSION:
        raise SchemaMismatch(
            f"{name} has schema version {header.version}; this coda reads up to {SCHEMA_VERSION}: upgrade it",
            offset=0,
        )
    if header.parent is not None and not 0 <= header.parent.seq <= MAX_SEQ:
        raise SchemaMismatch(
            f"damaged trace: {name} leaves its parent at event {header.parent.seq}, which cannot be", offset=0
        )
    return header


def count_of(record: Record | Unknown) -> int:
    """How many events a record holds: 0 for the header and seals."""
    if isinstance(record, Lines | Elided | Unknown):
        return record.n
    return 1 if isinstance(record, Event) else 0

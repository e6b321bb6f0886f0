"""What is made of a worker's words: records, the end of a block, and the end of one that cannot be believed.

Guarantee: the end of a block that goes into the log has an outcome, a status and texts that the format
knows, whatever the worker said; a worker that broke the protocol ends its block as `killed`, with the reason.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from coda.errors import LogError, SandboxError
from coda.log import Event, encode_record
from coda.runtime.protocol import Done

FAILED_KIND: Final = "WorkerFailed"
_OUTCOMES: Final = frozenset({"ok", "error", "interrupted", "killed", "exited"})


class _Described(msgspec.Struct, frozen=True):
    """The parts of an exception's description that are used."""

    type: str
    message: str = ""
    traceback: str = ""
    mro: list[str] = []


def checked(done: Done) -> Done:
    """Gives the last word back when it is one.

    Raises:
        SandboxError: it is not.
    """
    if done.outcome not in _OUTCOMES:
        raise SandboxError(f"the worker ended a block with the outcome {done.outcome[:40]!r}, which is none")
    if done.code is not None and not 0 <= done.code < 1 << 31:
        raise SandboxError(f"the worker ended a block with the status {done.code}, which is none")
    if done.error is not None:
        try:
            msgspec.convert(done.error, _Described)
        except msgspec.ValidationError as error:
            raise SandboxError(f"the worker told of an exception that is none: {error}") from error
    return done


def failed(block: int, error: SandboxError) -> Done:
    """The end of a block whose worker broke the protocol, as agent code that reaches its pipes can do."""
    message = f"the worker was ended, since it cannot be believed any more: {error.message}"
    described = {"type": FAILED_KIND, "mro": [FAILED_KIND], "message": message, "args": [], "traceback": ""}
    return Done(block, "killed", None, described, -1, 0, broken=True)


def own_fields(data: dict[str, Any]) -> dict[str, Any]:
    """The fields of a message; which event caused it is the host's to say."""
    return {name: value for name, value in data.items() if name != "cause"}


def record_of(kind: type[Event], data: dict[str, Any], t: int) -> Event:
    """A record from what the worker said; SandboxError when it is not one that can be written."""
    tag = kind.__struct_config__.tag
    try:
        record = msgspec.convert({**data, "type": tag, "t": t}, kind)
        refuse_references(encode_record(record))
    except (msgspec.ValidationError, LogError) as error:
        raise SandboxError(f"the worker sent a {tag} that is not one: {error}") from error
    return record


def refuse_references(encoded: bytes) -> None:
    """SandboxError when JSON made of a worker's values names a blob: blobs are the host's to store."""
    if b'"$":"blob"' in encoded:  # a string that reads so has its quotes escaped
        raise SandboxError("the worker sent a reference to a blob, which it has no right to")

"""What passes between agent code and others while both run: pieces to and from children and hosts.

Guarantee: the content of each piece is a blob that is complete before the record that names it; a piece of
a child that was never started is refused, as everything of the worker that does not fit.
"""

from __future__ import annotations

from typing import Any

from coda.errors import SandboxError
from coda.log import Event, NetReceived, NetSent, ProcessIo, TraceWriter
from coda.runtime.distrust import record_of

_KINDS: dict[str, type[Event]] = {"net.sent": NetSent, "net.received": NetReceived, "process.io": ProcessIo}


class Exchanges:
    """Pieces of one run.

    Args:
        writer: where to.
    """

    def __init__(self, writer: TraceWriter) -> None:
        self._writer = writer
        self._children: dict[int, int] = {}

    def note_child(self, record: Event, seq: int) -> None:
        """Remembers which event started a child that is talked to."""
        child = getattr(record, "child", None)
        if child is not None:
            self._children[child] = seq

    def start_of(self, child: Any) -> int | None:
        """The event that started a child; None for one that is not talked to."""
        return self._children.get(child) if isinstance(child, int) else None

    def piece(self, kind: str, data: dict[str, Any], t: int) -> Event:
        """The record of a piece.

        Raises:
            SandboxError: the worker's fields are not those of one.
        """
        fields = dict(data)
        content = fields.pop("content", None)
        if kind == "process.io":
            fields["cause"] = self.start_of(fields.get("child"))
            if fields["cause"] is None:
                raise SandboxError("the worker told of a pipe that it does not have")
        if content is not None:
            if not isinstance(content, bytes):
                raise SandboxError(f"the worker sent a {kind} whose content is no bytes")
            fields.update(digest=self._writer.blobs.put(content), size=len(content))
        return record_of(_KINDS[kind], fields, t)

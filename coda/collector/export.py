"""Export of a finished (or torn) trace to an OTLP backend.

Guarantee: the count is what the backend acknowledged; a failure says how much arrived before it; and since
identifiers depend on the log alone, running the export again completes it without duplicates.
"""

from __future__ import annotations

from typing import NamedTuple

from coda.collector.batch import batches
from coda.collector.endpoint import endpoint_of, shown
from coda.collector.rollup import Budget
from coda.collector.spans import facts_of, spans
from coda.errors import CollectorError
from coda.log import Trace


class Exported(NamedTuple):
    """What an export did."""

    run: str
    trace_id: str
    endpoint: str
    """As it may be printed: without credentials."""
    spans: int
    """How many the backend acknowledged."""
    refused: int
    """How many it received and refused."""
    batches: int
    reason: str
    """The backend's words about what it refused."""


def export(
    trace: Trace, url: str, *, version: str, budget: Budget | None = None, opted_in: bool = False
) -> Exported:
    """Sends the spans of a trace by OTLP/HTTP with protobuf.

    Args:
        trace: what to export.
        url: a base (`http://localhost:4318`) or the full path of the traces endpoint.
        version: of coda, for the resource.
        budget: how many spans before siblings are rolled up.
        opted_in: contents may be put on spans.

    Raises:
        CollectorError: the backend could not be reached or refused a batch; `sent` tells how many spans it
            had acknowledged before.
    """
    # The SDK costs a third of a second: only who exports pays for it.
    from coda.collector.otlp import Sender

    endpoint = endpoint_of(url)
    sender = Sender(endpoint, version=version)
    accepted = refused = count = 0
    reason = ""
    try:
        for batch in batches(spans(trace, budget=budget, opted_in=opted_in)):
            try:
                sent = sender.send(batch)
            except CollectorError as error:
                if not accepted:
                    raise
                raise CollectorError(
                    f"{error.message} {accepted} spans had arrived; run it again, that makes no duplicates.",
                    **{**error.facts, "sent": accepted},
                ) from error
            accepted += sent.accepted
            refused += sent.refused
            reason = sent.reason or reason
            count += 1
    finally:
        sender.close()
    trace_id = facts_of(trace, budget=budget).ids.trace_id
    return Exported(trace.run, trace_id, shown(endpoint), accepted, refused, count, reason)

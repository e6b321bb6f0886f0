"""Spans in batches that backends accept.

Guarantee: no batch exceeds 4 MiB in protobuf, where most receivers draw the line, nor is one span split.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from coda.collector.model import AttributeValue, Span

BATCH_SPANS = 4_000
BATCH_BYTES = 3 << 20
"""By an estimate that is never too low; 1 MiB is left for the resource and the envelope."""


def batches(spans: Iterable[Span]) -> Iterator[list[Span]]:
    """Gives the spans in batches that stay below the limits of backends, lazily and in order."""
    batch: list[Span] = []
    size = 0
    for span in spans:
        weight = weight_bytes(span)
        if batch and (len(batch) >= BATCH_SPANS or size + weight > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(span)
        size += weight
    if batch:
        yield batch


def weight_bytes(span: Span) -> int:
    """Gives an upper estimate of a span's size in protobuf."""
    weight = 160 + _text(span.name) + _text(span.error or "") + _weigh(span.attributes)
    for event in span.events:
        weight += 40 + _text(event.name) + _weigh(event.attributes)
    for link in span.links:
        weight += 60 + _weigh(link.attributes)
    return weight


def _weigh(attributes: Mapping[str, AttributeValue]) -> int:
    weight = 0
    for key, value in attributes.items():
        weight += 24 + len(key)
        if isinstance(value, str):
            weight += _text(value)
        elif isinstance(value, tuple):
            weight += sum(12 + _text(item) for item in value)
    return weight


def _text(text: str) -> int:
    return len(text) if text.isascii() else 4 * len(text)

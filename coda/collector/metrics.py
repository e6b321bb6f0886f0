"""Metrics of all runs, read from the logs and nothing else.

Guarantee: each byte of a trace is read once, however often the metrics are asked for; a run that goes on
counts as far as it is written. A scrape stays short: what could not be read in its time is read by the next
one, and `coda_log_unread_bytes` says how much that is, so that a number which is behind is not taken for
the truth. Labels that agent code chooses (exception types, tool names) are bounded.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from coda.collector import names
from coda.collector.service import RunStore
from coda.errors import CodaError
from coda.log import (
    CODES,
    BlockFinished,
    Elided,
    Event,
    ExceptionRaised,
    LimitHit,
    Lines,
    LlmRequested,
    LlmResponded,
    RunFinished,
    RunStarted,
    ToolCalled,
    ToolReturned,
    Trace,
    Unknown,
    open_trace,
    tag_of,
)

BUCKETS_S = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
"""Advised by the conventions for durations of models and tools."""
LABELS_MAX = 200
"""Different values of a label that agent code chooses; further ones count as `other`."""
SCRAPE_S = 2.0
"""How long one scrape may read logs."""
_LOOK_EVERY = 256
_SCALE = 1_000_000_000

Labels: TypeAlias = tuple[str, ...]


class Durations:
    """A histogram of seconds for one set of labels."""

    __slots__ = ("counts", "sum_ns")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS_S) + 1)
        self.sum_ns = 0

    def add(self, ns: int) -> None:
        """Counts one duration."""
        ns = max(ns, 0)
        self.sum_ns += ns
        seconds = ns / _SCALE
        self.counts[next((i for i, edge in enumerate(BUCKETS_S) if seconds <= edge), len(BUCKETS_S))] += 1

    def merge(self, other: Durations) -> None:
        """Adds another histogram."""
        self.sum_ns += other.sum_ns
        self.counts = [a + b for a, b in zip(self.counts, other.counts, strict=True)]

    def buckets(self) -> list[tuple[str, float]]:
        """Gives cumulated counts by upper edge, as Prometheus has them."""
        total, rows = 0, []
        for edge, count in zip((*map(str, BUCKETS_S), "+Inf"), self.counts, strict=True):
            total += count
            rows.append((edge, float(total)))
        return rows


class RunMeter:
    """What one run's own records add up to, as far as they were read."""

    def __init__(self) -> None:
        self.offset = 0
        self.read_bytes = -1
        self.identity: tuple[int, int] | None = None
        self.counts: defaultdict[str, Counter[Labels]] = defaultdict(Counter)
        self.durations: defaultdict[str, defaultdict[Labels, Durations]] = defaultdict(
            lambda: defaultdict(Durations)
        )
        self.kind = "unknown"
        self.outcome = ""
        self._codes = CODES
        self._open: dict[int, tuple[str, int]] = {}

    def read(self, trace: Trace, late: Callable[[], bool]) -> bool:
        """Takes in the records that are new; stops early, and gives False, when it is late.

        Raises:
            LogError: the trace is damaged.
        """
        self._codes = trace.header.codes or CODES
        if trace.parent is not None:
            self.kind = trace.started.kind
        for count, placed in enumerate(trace.records(offset=self.offset)):
            self._take(placed.record)
            self.offset = placed.offset + len(placed.raw)
            if count % _LOOK_EVERY == _LOOK_EVERY - 1 and late():
                return False
        return True

    def _take(self, record: Any) -> None:
        if isinstance(record, Unknown):
            if record.seq >= 0:
                self.counts[names.METRIC_EVENTS][("unknown",)] += record.n
            return
        if not isinstance(record, Event):
            return
        if isinstance(record, Lines):
            self._take_lines(record)
        else:
            n = record.n if isinstance(record, Elided) else 1
            self.counts[names.METRIC_EVENTS][(tag_of(type(record)),)] += n
            if isinstance(record, Elided):
                self.counts[names.METRIC_LINES][()] += n
        handler = _HANDLERS.get(type(record))
        if handler is not None:
            handler(self, record)

    def _take_lines(self, record: Lines) -> None:
        coded = 0
        for code, n in Counter(id for id in record.ids if id < 0).items():
            self.counts[names.METRIC_EVENTS][(self._codes.get(code, ("unknown", ""))[0],)] += n
            coded += n
        self.counts[names.METRIC_EVENTS][("line",)] += record.n - coded
        self.counts[names.METRIC_LINES][()] += record.n - coded

    def _started(self, record: RunStarted) -> None:
        self.kind = record.kind

    def _finished(self, record: RunFinished) -> None:
        self.outcome = record.outcome
        self.durations[names.METRIC_AGENT_DURATION][()].add(record.t)

    def _block(self, record: BlockFinished) -> None:
        self.counts[names.METRIC_BLOCKS][(record.outcome,)] += 1

    def _exception(self, record: ExceptionRaised) -> None:
        self.counts[names.METRIC_ERRORS][(record.kind, "block")] += 1

    def _limit(self, record: LimitHit) -> None:
        self.counts[names.METRIC_LIMITS][(record.what,)] += 1

    def _asked(self, record: LlmRequested) -> None:
        self._open[record.seq] = (record.model, record.t)

    def _replied(self, record: LlmResponded) -> None:
        asked = self._open.pop(record.cause, None) if record.cause is not None else None
        labels = (record.model or (asked[0] if asked else ""),)
        self.counts[names.METRIC_INPUT_TOKENS][labels] += record.input_tokens
        self.counts[names.METRIC_OUTPUT_TOKENS][labels] += record.output_tokens
        if asked is not None:
            self.durations[names.METRIC_CHAT_DURATION][labels].add(record.t - asked[1])

    def _called(self, record: ToolCalled) -> None:
        self._open[record.seq] = (record.name, record.t)

    def _returned(self, record: ToolReturned) -> None:
        called = self._open.pop(record.cause, None) if record.cause is not None else None
        self.counts[names.METRIC_CALLS][(record.name, "ok" if record.ok else "error")] += 1
        if not record.ok:
            kind = str((record.error or {}).get("type", "error"))
            self.counts[names.METRIC_ERRORS][(kind, "call")] += 1
        if called is not None:
            self.durations[names.METRIC_TOOL_DURATION][(record.name,)].add(record.t - called[1])


_HANDLERS: dict[type[Any], Callable[[RunMeter, Any], None]] = {
    RunStarted: RunMeter._started,
    RunFinished: RunMeter._finished,
    BlockFinished: RunMeter._block,
    ExceptionRaised: RunMeter._exception,
    LimitHit: RunMeter._limit,
    LlmRequested: RunMeter._asked,
    LlmResponded: RunMeter._replied,
    ToolCalled: RunMeter._called,
    ToolReturned: RunMeter._returned,
}

_LABELS: dict[str, tuple[str, ...]] = {
    names.METRIC_EVENTS: ("type",),
    names.METRIC_LINES: (),
    names.METRIC_BLOCKS: ("outcome",),
    names.METRIC_CALLS: ("gen_ai_tool_name", "outcome"),
    names.METRIC_ERRORS: ("error_type", "where"),
    names.METRIC_LIMITS: ("what",),
    names.METRIC_INPUT_TOKENS: ("gen_ai_response_model",),
    names.METRIC_OUTPUT_TOKENS: ("gen_ai_response_model",),
    names.METRIC_CHAT_DURATION: ("gen_ai_response_model",),
    names.METRIC_TOOL_DURATION: ("gen_ai_tool_name",),
    names.METRIC_AGENT_DURATION: (),
}


class Metrics(Collector):
    """The metrics of a run directory, for Prometheus.

    Args:
        store: the runs.
        clock: seconds, for the time that a scrape may take.
        scrape_s: how long one scrape may read logs.
    """

    def __init__(self, store: RunStore, *, clock: Callable[[], float], scrape_s: float = SCRAPE_S) -> None:
        self._store = store
        self._clock = clock
        self._scrape_s = scrape_s
        self._meters: dict[str, RunMeter] = {}
        self._unreadable: set[str] = set()
        self._bytes = self._unread = 0
        self._lock = threading.Lock()
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def text(self) -> bytes:
        """Gives the exposition text. Cost: what is new in the logs, at most `scrape_s` of reading."""
        with self._lock:
            self._read()
            return generate_latest(self._registry)

    def describe(self) -> Iterable[Metric]:
        """Names nothing beforehand, so that registering reads no logs."""
        return ()

    def _read(self) -> None:
        deadline = self._clock() + self._scrape_s
        found = self._store.ids()
        self._unreadable.clear()
        self._bytes = self._unread = 0
        for gone in self._meters.keys() - set(found):
            del self._meters[gone]
        for run in found:
            self._read_run(run, lambda: self._clock() > deadline)

    def _read_run(self, run: str, late: Callable[[], bool]) -> None:
        try:
            path = self._store.path(run)
            status = path.stat()
            meter = self._meters.get(run)
            identity = (status.st_dev, status.st_ino)
            if meter is None or meter.identity != identity or meter.offset > status.st_size:
                meter = self._meters[run] = RunMeter()
                meter.identity = identity
            self._bytes += status.st_size
            if meter.read_bytes != status.st_size:
                if not late() and meter.read(open_trace(path), late):
                    # To the end; what is left over is an unfinished line, which may never be finished.
                    meter.read_bytes = status.st_size
                else:
                    self._unread += status.st_size - meter.offset
        except (CodaError, OSError):
            # Damaged, or just removed: counted, and what was read before stays.
            self._unreadable.add(run)

    def collect(self) -> Iterator[Metric]:
        """Gives every metric family, with the sums over all runs."""
        meters = list(self._meters.values())
        for metric, labels in _LABELS.items():
            kind, text = names.METRICS[metric]
            name = names.prometheus_name(metric)
            if kind == "counter":
                family = CounterMetricFamily(name, text, labels=labels)
                for values, total in sorted(_bounded(_summed(meters, metric), labels).items()):
                    family.add_metric(values, total)
                yield family
            else:
                histogram = HistogramMetricFamily(name, text, labels=labels)
                for values, durations in sorted(_merged(meters, metric).items()):
                    histogram.add_metric(values, durations.buckets(), durations.sum_ns / _SCALE)
                yield histogram
        yield self._runs(meters)
        for metric, value in (
            (names.METRIC_LOG_BYTES, self._bytes),
            (names.METRIC_UNREAD_BYTES, self._unread),
            (names.METRIC_UNREADABLE, len(self._unreadable)),
        ):
            yield GaugeMetricFamily(names.prometheus_name(metric), names.METRICS[metric][1], value=value)

    def _runs(self, meters: list[RunMeter]) -> Metric:
        family = GaugeMetricFamily(
            names.prometheus_name(names.METRIC_RUNS),
            names.METRICS[names.METRIC_RUNS][1],
            labels=["kind", "outcome"],
        )
        for values, n in sorted(Counter((m.kind, m.outcome or "unfinished") for m in meters).items()):
            family.add_metric(values, n)
        return family


def _summed(meters: list[RunMeter], metric: str) -> Counter[Labels]:
    total: Counter[Labels] = Counter()
    for meter in meters:
        if metric in meter.counts:
            total.update(meter.counts[metric])
    return total


def _bounded(total: Counter[Labels], labels: tuple[str, ...]) -> Counter[Labels]:
    """Keeps the most frequent sets of labels and counts the others as `other`."""
    if len(total) <= LABELS_MAX or not labels:
        return total if total or labels else Counter({(): 0})
    kept = Counter(dict(total.most_common(LABELS_MAX)))
    kept[("other",) * len(labels)] += total.total() - kept.total()
    return kept


def _merged(meters: list[RunMeter], metric: str) -> dict[Labels, Durations]:
    merged: defaultdict[Labels, Durations] = defaultdict(Durations)
    for meter in meters:
        for values, durations in meter.durations.get(metric, {}).items():
            key = values if len(merged) < LABELS_MAX or values in merged else ("other",) * len(values)
            merged[key].merge(durations)
    return merged

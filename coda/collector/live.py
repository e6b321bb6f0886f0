"""Live export: spans leave while the run goes on, and the run never notices.

Guarantee: recording costs the same with and without it (one comparison a record, no copy, no queue): a
background thread follows the trace file with the projection that a later export uses, so the spans are the
same. The file is the queue: a slow backend makes the thread lag behind, not the memory grow; a backend that
is down is tried again until the run has ended, and what was not sent then is counted, said, and can be
exported from the log. Handing records over in memory would need a bound, and would lose what exceeds it.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

from coda.collector.attributes import content_opted_in
from coda.collector.batch import BATCH_SPANS, batches
from coda.collector.endpoint import endpoint_from_environment, endpoint_of, is_disabled, shown
from coda.collector.model import Span
from coda.collector.projection import Projection
from coda.collector.rollup import Budget
from coda.collector.spans import facts_of
from coda.errors import CodaError, CollectorError
from coda.log import Record, open_trace

POLL_S = 0.1
SEND_AFTER_S = 1.0
"""A span waits at most about this long for others to share its request."""
LINGER_S = 5.0
"""How long `close` waits for the rest to be sent."""
_BACKOFF_S = (0.5, 1.0, 2.0, 5.0)


class LiveReport(NamedTuple):
    """What a live export did, told at its end."""

    spans: int
    """How many the backend acknowledged."""
    dropped: int
    """How many it refused, or never answered for."""
    missed_events: int
    """Events whose spans were not made, since the backend was too slow or down."""
    reason: str
    """Why something is missing; "" when nothing is."""
    path: str
    endpoint: str

    @property
    def complete(self) -> bool:
        """Whether the backend has every span."""
        return not self.dropped and not self.missed_events and not self.reason

    @property
    def sentence(self) -> str:
        """What to tell the user; "" when there is nothing to tell."""
        if self.complete:
            return ""
        lost = [f"{self.dropped} spans" if self.dropped else ""]
        lost.append(f"the spans of {self.missed_events} events" if self.missed_events else "")
        what = " and ".join(word for word in lost if word) or "some spans"
        return (
            f"live export: {what} did not reach {self.endpoint or 'a backend'} ({self.reason}); "
            f"send them with: coda export {self.path} --otlp URL"
        )


class LiveSink:
    """Exports a trace while it grows: an event sink for `TraceWriter.on_append`, or started by hand.

    Args:
        path: the trace that is being written.
        endpoint: full URL of the traces endpoint.
        version: of coda, for the resource.
        budget: how many spans before siblings are rolled up.
        opted_in: contents may be put on spans.
        linger_s: how long `close` waits for the rest.
        problem: why nothing can be sent at all; then nothing is started, and `close` says it.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        endpoint: str,
        *,
        version: str,
        budget: Budget | None = None,
        opted_in: bool = False,
        linger_s: float = LINGER_S,
        problem: str = "",
    ) -> None:
        self.path = Path(path)
        self.endpoint = endpoint
        self._version = version
        self._budget = budget
        self._opted_in = opted_in
        self._linger_s = linger_s
        self._problem = problem
        self._thread: threading.Thread | None = None
        self._follower: _Follower | None = None
        self._closing = threading.Event()

    def __call__(self, record: Record, line: bytes) -> None:
        """Hears of a record that was written. Cost: a comparison; the first call starts the export."""
        if self._thread is None:
            self.start()

    def start(self) -> None:
        """Starts the export of a trace whose file is there; for a writer that was not given the sink."""
        if self._thread is None and not self._problem:
            self._thread = threading.Thread(target=self._work, name="coda-live-export", daemon=True)
            self._thread.start()

    def close(self) -> LiveReport:
        """Waits for the rest to be sent, at most `linger_s`; tells what was and what was not.

        Call it after the writer is closed. A second call gives the report again.
        """
        self._closing.set()
        if self._thread is not None:
            self._thread.join(self._linger_s)
            if self._thread.is_alive() and self._follower is not None:
                self._follower.interrupt()
                self._thread.join(0.5)
        follower = self._follower
        endpoint = shown(self.endpoint) if self.endpoint else ""
        if follower is not None and follower.finished:
            return LiveReport(
                follower.accepted, follower.dropped, 0, follower.reason, str(self.path), endpoint
            )
        accepted, dropped, after = (0, 0, 0) if follower is None else follower.standing()
        reason = self._problem or (follower.reason if follower is not None else "")
        if self._thread is None and not reason:
            return LiveReport(0, 0, 0, "", str(self.path), endpoint)
        missed = 0
        try:
            trace = open_trace(self.path)
            missed = max(0, trace.count() - max(after, trace.first_seq))
        except CodaError as error:
            reason = reason or error.message
        reason = reason or f"it did not answer within {self._linger_s:g} s of the run's end"
        return LiveReport(accepted, dropped, missed, reason.rstrip("."), str(self.path), endpoint)

    def _work(self) -> None:
        # The SDK costs a third of a second: paid here, beside the run, not in it.
        from coda.collector.otlp import Sender

        try:
            sender = Sender(self.endpoint, version=self._version)
            self._follower = _Follower(sender, self._closing)
            self._follower.run(self.path, budget=self._budget, opted_in=self._opted_in)
        except CodaError as error:
            self._problem = error.message
        except Exception as error:  # noqa: BLE001
            # Top of a thread: a fault in here must not end the run, and is said when it closes.
            self._problem = f"{type(error).__name__}: {error}"


class Sending(Protocol):
    """What the follower needs of an exporter."""

    def send(self, spans: Iterable[Span]) -> tuple[int, int, str]:
        """Sends a batch; gives how many were accepted and refused, and why."""

    def interrupt(self) -> None:
        """Ends a `send` that is under way."""

    def close(self) -> None:
        """Gives the connection back."""


class _Follower:
    """The thread's half: reads the trace as it grows, projects, sends, tries again."""

    def __init__(self, sender: Sending, closing: threading.Event) -> None:
        self.accepted = self.dropped = 0
        self.reason = ""
        self.finished = False
        self._sender = sender
        self._closing = closing
        self._given_up = False
        self._last_look = False
        self._batch: list[Span] = []
        self._due = 0.0
        self._next = 0

    def run(self, path: Path, *, budget: Budget | None, opted_in: bool) -> None:
        """Follows the trace to its end; returns early only when interrupted."""
        trace = open_trace(path)
        projection: Projection | None = None
        try:
            for event in trace.follow(POLL_S, self._idle):
                if event.seq < trace.first_seq:
                    continue
                if projection is None:
                    # Not before: the facts are in the first event.
                    projection = Projection(facts_of(trace, budget=budget), budget=budget, opted_in=opted_in)
                self._take(projection.feed(event))
                if self._given_up:
                    return
                self._next = event.seq + event.n
            if projection is not None:
                self._take(projection.finish())
            self._flush()
            self.finished = not self._given_up
        finally:
            self._sender.close()

    def interrupt(self) -> None:
        """Makes `run` return soon, whatever the backend does."""
        self._given_up = True
        self._sender.interrupt()

    def standing(self) -> tuple[int, int, int]:
        """Spans accepted; spans lost, with those that wait; first event that was not projected."""
        return self.accepted, self.dropped + len(self._batch), self._next

    def _idle(self) -> bool:
        """Asked while the trace does not grow: sends what waits; tells whether to stop."""
        if self._batch and time.monotonic() >= self._due:
            self._flush()
        # What was written before `close` may have come after this look at the file: look once more.
        last_look, self._last_look = self._last_look, self._closing.is_set()
        return last_look

    def _take(self, spans: list[Span]) -> None:
        if not spans:
            return
        if not self._batch:
            self._due = time.monotonic() + SEND_AFTER_S
        self._batch.extend(spans)
        if len(self._batch) >= BATCH_SPANS or time.monotonic() >= self._due:
            self._flush()

    def _flush(self) -> None:
        """Sends what waits; tries again for as long as the run goes on, and once when it has ended."""
        for part in list(batches(self._batch)):
            tries = 0
            while not self._send(part):
                if self._given_up:
                    return
                self._closing.wait(_BACKOFF_S[min(tries, len(_BACKOFF_S) - 1)])
                tries += 1
            del self._batch[: len(part)]

    def _send(self, part: list[Span]) -> bool:
        """Sends one batch; False when it must be sent again."""
        last_try = self._closing.is_set()
        try:
            accepted, refused, reason = self._sender.send(part)
        except CollectorError as error:
            self.reason = str(error.facts.get("reason", error.message))
            if error.facts.get("retryable"):
                self._given_up = self._given_up or last_try
                return False
            accepted, refused, reason = 0, len(part), self.reason
        self.accepted += accepted
        self.dropped += refused
        if reason or not self.dropped:
            self.reason = reason
        return True


def live_sink_from_environment(
    path: str | os.PathLike[str],
    *,
    version: str,
    endpoint: str | None = None,
    budget: Budget | None = None,
    environ: Mapping[str, str] = os.environ,
) -> LiveSink | None:
    """Gives a sink when an endpoint or the standard OpenTelemetry variables ask for live export, else None.

    Args:
        path: the trace that will be written.
        version: of coda, for the resource.
        endpoint: where to send, as the user wrote it; None asks the variables.
        budget: how many spans before siblings are rolled up.
        environ: where the variables are looked up.

    Never raises: a run is not stopped by a mistake in a variable; the sink says it when it is closed.
    """
    problem = ""
    target: str | None = None
    try:
        named = None if endpoint is None or is_disabled(environ) else endpoint_of(endpoint)
        target = named or endpoint_from_environment(environ)
    except CollectorError as error:
        problem = error.message
    if target is None and not problem:
        return None
    return LiveSink(
        path,
        target or "",
        version=version,
        budget=budget,
        opted_in=content_opted_in(environ),
        problem=problem,
    )

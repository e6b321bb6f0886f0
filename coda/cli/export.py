"""`coda export`: a trace as OpenTelemetry spans.

Guarantee: the number that is printed is what the backend acknowledged; nothing is sent with `--dry-run`.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING

import click
import msgspec

from coda import __version__
from coda.cli.options import json_option, trace_argument
from coda.cli.render import Printer, say
from coda.cli.settings import setting_option
from coda.errors import UsageError

if TYPE_CHECKING:
    from coda.collector import Budget
    from coda.log import Trace


class ExportAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What `coda export` sent."""

    run: str
    trace_id: str
    endpoint: str
    """Without credentials."""
    spans: int
    """How many the backend acknowledged."""
    refused: int
    """How many it received and refused."""
    batches: int
    reason: str
    """The backend's words about what it refused."""


@click.command(short_help="Send a trace as OpenTelemetry spans.")
@trace_argument
@setting_option("otlp", words="Where to send: http://HOST:4318, or the full path of the traces endpoint.")
@setting_option("line-spans")
@click.option("--dry-run", is_flag=True, help="Send nothing; with --json print each span.")
@json_option
def command(trace: str, otlp: str | None, line_spans: str, dry_run: bool, as_json: bool) -> int:
    """Send the spans of TRACE to an OTLP backend (HTTP, protobuf).

    Span ids depend on the trace alone, so sending twice makes no duplicates. Prompts, arguments, results
    and values are left out unless OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT is true. Headers and
    certificates come from the standard OTEL_EXPORTER_OTLP_* variables.

    Exit status: 0 sent, 1 the backend refused some spans, 2 it could not be sent.
    """
    from coda.collector import Budget, content_opted_in, export
    from coda.log import open_trace

    budget = Budget.parse(line_spans)
    if otlp is None and not dry_run:
        raise UsageError("say where to send the spans: --otlp http://HOST:4318 (or --dry-run).")
    opened = open_trace(trace)
    opened.verify_seals()  # spans of a log that was changed would be as believable as any
    opted_in = content_opted_in(os.environ)
    printer = Printer()
    if opened.torn is not None:
        say(f"{trace}: the last {opened.torn.bytes} bytes are torn and left out.")
    if dry_run or otlp is None:
        return _dry_run(printer, opened, budget, opted_in, as_json)
    done = export(opened, otlp, version=__version__, budget=budget, opted_in=opted_in)
    if as_json:
        printer.json("export", ExportAnswer(**done._asdict()))
    else:
        printer.line(f"{done.spans} spans of run {done.run} to {done.endpoint} (trace {done.trace_id})")
    if done.refused:
        say(f"the backend refused {done.refused} spans: {done.reason or 'it did not say why'}")
    return 1 if done.refused else 0


def _dry_run(printer: Printer, opened: Trace, budget: Budget, opted_in: bool, as_json: bool) -> int:
    from coda.collector import spans

    counts: Counter[str] = Counter()
    for span in spans(opened, budget=budget, opted_in=opted_in):
        if as_json:
            printer.json("span", span)
        counts[span.name.partition(" ")[0]] += 1
    if not as_json:
        printer.table(["spans", "what"], [(n, name) for name, n in counts.most_common()], right=[0])
        printer.line(f"{counts.total()} spans in all; nothing was sent")
    return 0

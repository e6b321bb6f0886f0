"""`coda check`: whether a trace is whole, and, by the user's key or a digest kept elsewhere, authentic."""

from __future__ import annotations

import re

import click

from coda.cli.options import json_option, trace_argument
from coda.cli.render import Printer, say
from coda.errors import UsageError
from coda.log import Report, check_trace, locate


@click.command(short_help="Tell whether a trace is whole and unchanged.")
@trace_argument
@click.option(
    "--head", metavar="SHA256", help="A digest that you kept elsewhere: of the file, or of one of its seals."
)
@json_option
def command(trace: str, head: str | None, as_json: bool) -> int:
    """Tell whether a trace is whole and unchanged.

    Reads every byte: event numbers, batches and their tables, seals, blobs. Seals show accidents, not an
    editor, who can make them anew: a trace is called authentic only when your own key signed all of it, or
    against --head. Exit status: 0 whole (and authentic, when --head is given), 1 damaged.
    """
    if head is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", head.strip()):
        raise UsageError("--head takes a SHA-256: 64 hex digits, as `coda check` prints them", head=head)
    report = check_trace(locate(trace), head=head)
    printer = Printer()
    if as_json:
        printer.json("check", report)
    else:
        _print(printer, report, by_digest=head is not None)
    return 0 if report.consistent and report.authentic is not False else 1


def _print(printer: Printer, report: Report, *, by_digest: bool) -> None:
    if report.torn_offset is not None:
        say(
            f"coda: the last line of {report.path} is torn: {report.torn_bytes} bytes from byte "
            f"{report.torn_offset} on are no record and were left out"
        )
    size = f"{report.events} events in {report.records} records, {report.bytes} bytes"
    if not report.consistent:
        printer.line(f"damaged: {report.path} ({size})")
        for damage in report.damage:
            where = f"byte {damage.offset}" + ("" if damage.seq is None else f", event {damage.seq}")
            printer.line(f"  {where}: {damage.what}")
        if report.more_damage:
            printer.line(f"  and {report.more_damage} more")
    else:
        printer.line(f"consistent: {report.path}: {size}, {report.seals} seals, {report.blobs} blobs")
    if report.unsealed_bytes and not report.live:
        printer.line(f"{report.unsealed_bytes} bytes at the end are covered by no seal")
    if not report.finished:
        printer.line("the run goes on" if report.live else "the run was cut short: it has no run.finished")
    if report.authentic is False:
        printer.line(f"not authentic: the head is {report.head}")
        return
    if report.authentic:
        printer.line(f"authentic: {'as your digest says' if by_digest else 'signed with your key'}")
    else:
        printer.line(f"not known to be authentic: {_UNKNOWN[report.signature]}")
    printer.line(f"head {report.head}")


_UNKNOWN = {
    "none": "no key signed it",
    "other": "another key than yours signed it",
    "part": "your key signed a part of it, or its parent is not signed",
}

"""`coda query`: who touched what, where, and why a value is what it is.

Guarantee: rows stream to stdout as they are found; what makes an answer incomplete goes to stderr and
into the status. 0: there are hits; 1: there are none; 2: the question could not be fully answered.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from coda.cli.options import at_option, find_trace, json_option, secrets_option
from coda.cli.render import Printer, Styled, say
from coda.cli.settings import runs_folder, setting_option
from coda.errors import CodaError, QueryError, UsageError
from coda.query import Chain, Group, Hit, Link, Result, Why, parse, query, why


@click.command(
    short_help="Ask which events did something, and why a value is what it is.",
    epilog="""\b
Examples:
  coda query "read *.env"                     in all runs of .coda/runs
  coda query 'run "pip *"' trace.jsonl
  coda query "set limit where value > 10" trace.jsonl
  coda query "tool | count by name" trace.jsonl
  coda query "why total at 120" trace.jsonl
Verbs: read write delete run connect tool llm ctx set line error output import effect env""",
)
@click.argument("text", metavar="QUERY")
@click.argument("traces", metavar="[TRACE]...", nargs=-1, callback=find_trace)
@at_option()
@click.option("--limit", metavar="N", type=click.IntRange(min=1), help="Stop after N rows.")
@json_option
@secrets_option
@setting_option("color")
def command(
    text: str,
    traces: tuple[str, ...],
    at: str | None,
    limit: int | None,
    as_json: bool,
    show_secrets: bool,
    color: str,
) -> int:
    """Ask a question of traces; without a TRACE, of all runs of the run directory.

    Exit status: 0 there are rows, 1 there are none, 2 the answer is incomplete or the query is wrong.
    For events, --at takes a range (40..90) too.
    """
    printer = Printer(show_secrets=show_secrets, color=color)
    try:
        tree = parse(text)
        found = list(traces) or _all_runs()
        if isinstance(tree, Why):
            return _why(tree, found, at, printer, as_json=as_json, limit=limit)
        return _events(
            query(text, found, at=at), printer, as_json=as_json, limit=limit, several=len(found) > 1
        )
    except QueryError as error:
        raise _pointing(error, text, as_json=as_json) from None


def _all_runs() -> list[str]:
    """Gives the traces of the run directory, oldest first: run ids sort by time."""
    runs = runs_folder()
    found = sorted(str(path) for path in runs.glob("*/trace.jsonl"))
    if not found:
        raise UsageError(f"there are no runs in {runs}: name a trace, or record one with `coda exec`")
    return found


def _pointing(error: QueryError, text: str, *, as_json: bool) -> CodaError:
    """Adds the query and a caret under the column that the error is about."""
    column = error.facts.get("column")
    if as_json or column is None:
        return error
    shown = "".join(char if char.isprintable() else " " for char in text)
    return type(error)(f"{error.message}\n  {shown}\n  {' ' * (column - 1)}^", **error.facts)


def _events(answer: Result, printer: Printer, *, as_json: bool, limit: int | None, several: bool) -> int:
    rows = 0
    counts = any(stage.kind == "count" for stage in answer.query.stages)
    only_lines = any(stage.kind == "lines" for stage in answer.query.stages)
    for row in _limited(answer.rows, limit):
        rows += row.count > 0 if isinstance(row, Group) else 1
        if isinstance(row, Group):
            if as_json:
                printer.json("query.count", row)
            else:
                key = () if row.field is None else (f"  {_key_text(row.key)}",)
                printer.line(Styled(f"{row.count:>9,}", "bold"), *key)
        elif as_json:
            printer.json("query.hit", row.to_json())
        elif only_lines:
            printer.line(row.source or row.what)
        else:
            _print_hit(printer, row, several=several)
    for text in answer.notes:
        say(f"coda: {text}")
    for text in answer.incomplete:
        say(f"coda: {text}")
    if answer.incomplete:
        return 2
    if not rows and not as_json and not counts:
        say("coda: no event matches")
    return 0 if rows else 1


def _limited(rows: Iterator[Hit | Group], limit: int | None) -> Iterator[Hit | Group]:
    for number, row in enumerate(rows, 1):
        yield row
        if number == limit:
            return


def _key_text(key: object) -> str:
    return "-" if key is None else str(key)


def _print_hit(printer: Printer, hit: Hit, *, several: bool) -> None:
    """Prints event, place, thing and source text in columns of a fixed least width, so rows can stream."""
    run = (Styled(f"{hit.run}  ", "dim"),) if several else ()
    place = _place(hit.block, hit.file, hit.line)
    times = f" x{hit.times:,}" if hit.times > 1 else ""
    detail = f"  ({hit.detail})" if hit.detail else ""
    what = f"{hit.what}{times}"
    source = hit.source if hit.source and hit.source != hit.what else ""
    pieces: list[str | Styled] = [*run, Styled(f"{hit.seq:>8}", "bold"), f"  {place:<18}  "]
    pieces += [Styled(what, "cyan"), Styled(detail, "dim")]
    gap = " " * max(44 - len(what) - len(detail), 2)
    printer.line(*pieces, *((gap, source) if source else ()))


def _place(block: int | None, file: str | None, line: int | None) -> str:
    """Gives where agent code was: the block, and the file when it is not the block itself."""
    if line is None:
        return f"block {block}" if block is not None else "-"
    if file is None or file.startswith("<"):
        return f"block {block} line {line}"
    return f"{Path(file).name}:{line}"


def _why(
    tree: Why, traces: list[str], at: str | None, printer: Printer, *, as_json: bool, limit: int | None
) -> int:
    if len(traces) != 1:
        raise UsageError(f"`why` is about one trace, {len(traces)} are meant: name one")
    if at is not None and tree.at is not None and at != tree.at:
        raise UsageError(f"the position is given twice: {tree.at} in the query and --at {at}")
    chain = why(traces[0], tree.name, at if at is not None else tree.at)
    if as_json:
        printer.json("query.why", chain.to_json())
    else:
        _print_chain(printer, chain, limit)
    for text in chain.incomplete:
        say(f"coda: {text}")
    if not (chain.links or chain.incomplete):
        say(f"coda: nothing before position {chain.position} stores {chain.name!r}")
    return 2 if chain.incomplete else 0 if chain.links else 1


def _print_chain(printer: Printer, chain: Chain, limit: int | None) -> None:
    if chain.links:
        printer.line(Styled(f"{chain.name} at {chain.position}", "bold"))
    for link in chain.links[:limit]:
        _print_link(printer, link)
    if limit is not None and len(chain.links) > limit:
        sys.stdout.flush()
        say(f"coda: {len(chain.links) - limit} more links; --limit shows more of them")


def _print_link(printer: Printer, link: Link) -> None:
    times = f"  ({link.times:,} times)" if link.times > 1 else ""
    mark = "  ~inferred" if link.certainty == "inferred" else ""
    place = _place(link.block, link.file, link.line)
    value = (
        f"  {link.name} = {link.value_text}" if link.value_text is not None and link.kind == "line" else ""
    )
    text = link.source if link.kind == "line" else link.what
    printer.line(
        Styled(f"{link.seq:>8}", "bold"), f"  {place:<18}  ", "  " * link.depth,
        text or "", Styled(value, "cyan"), Styled(times + mark, "dim"),
    )  # fmt: skip

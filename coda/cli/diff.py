"""`coda diff A B`: what differs between two runs, aligned by structure.

Guarantee: exit status as diff's own: 0 no difference, 1 the runs differ, 2 trouble.
"""

from __future__ import annotations

import click

from coda.cli.options import find_trace, json_option, secrets_option
from coda.cli.render import Printer
from coda.forking import diff
from coda.log import open_trace


@click.command()
@click.argument("a", metavar="A", callback=find_trace)
@click.argument("b", metavar="B", callback=find_trace)
@json_option
@secrets_option
def command(a: str, b: str, as_json: bool, show_secrets: bool) -> int:
    """Compare two runs by structure: where they part, and what came of it.

    A and B are traces or run ids. Blocks are matched by order and source, statements by what they are,
    so a statement more in one run moves nothing after it. Times are not compared.

    Exit status: 0 no difference, 1 the runs differ, 2 trouble.
    """
    traces = open_trace(a), open_trace(b)
    for trace in traces:
        trace.verify_seals()  # nobody can say of a damaged log that it does not differ
    difference = diff(*traces)
    printer = Printer(show_secrets=show_secrets)
    if as_json:
        printer.json("diff", difference.to_json())
    else:
        for line in difference.summary():
            printer.line(line)
    return 0 if difference.equal else 1

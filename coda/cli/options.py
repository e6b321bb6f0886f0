"""Options and arguments that more than one verb has, each spelled and explained once.

Guarantee: the same option means the same thing in every verb, and reaches the command under the
same parameter name. How a verb's module is written:

    @click.command(short_help=...)      # the line of `coda --help` comes from VERBS in main.py
    @trace_argument
    @json_option
    def command(trace: str, as_json: bool) -> int:
        '''What it does. Then what exit status 0 and 1 mean here.'''
        ...
        return 0

- The module is `coda/cli/<verb>.py` and the name is `command`; heavy rooms (textual, fastapi,
  uvicorn, the OpenTelemetry SDK) are imported inside the function, never at the top of the module.
- The function *returns* its exit status: 0 yes, 1 the answer is no; None counts as 0. `sys.exit` and
  `ctx.exit` are not needed.
- Trouble is an exception of `coda.errors` (UsageError for what the caller got wrong); `main.py` alone
  turns it into text, a JSON error object and a status. A `--json` that was given is honoured there.
- Options that are settings (docs/configuration.md) come from `settings.py`.
- What goes to stdout goes through `render.py`, which masks, sanitises and colours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

JSON_KEY = "coda.json"
"""Key in `click.Context.meta` that says whether `--json` was given."""
SETTINGS_KEY = "coda.settings"
"""Key in `click.Context.meta` of what `coda -c NAME=VALUE` gave."""
VERB_KEY = "coda.verb"
"""Key in `click.Context.meta` of the verb's name."""

F = TypeVar("F", bound=Callable[..., Any])


def _note_json(ctx: click.Context, _param: click.Parameter, value: bool) -> bool:
    if value:
        ctx.meta[JSON_KEY] = True
    return value


def find_trace(ctx: click.Context, _param: click.Parameter, value: Any) -> Any:
    """Callback of arguments that name traces: a run id is found in the run directory of the settings."""
    if value is None or ctx.resilient_parsing:
        return value
    from coda.cli.settings import trace_named  # this module must stay light: `coda --help` imports it

    return tuple(map(trace_named, value)) if isinstance(value, tuple) else trace_named(value)


def trace_argument(function: F) -> F:
    """Adds the argument TRACE (parameter `trace`): for `coda.log.open_trace`."""
    return click.argument("trace", metavar="TRACE", callback=find_trace)(function)


def json_option(function: F) -> F:
    """Adds `--json` (parameter `as_json`): rows as NDJSON, anything else as one object."""
    return click.option(
        "--json",
        "as_json",
        is_flag=True,
        # Eager: known before any other option can fail, so that the failure is told as JSON too.
        is_eager=True,
        callback=_note_json,
        help="Print JSON: one object a line for rows, else one object.",
    )(function)


def secrets_option(function: F) -> F:
    """Adds `--show-secrets` (parameter `show_secrets`): do not mask what looks like a secret."""
    return click.option("--show-secrets", is_flag=True, help="Do not mask what looks like a secret.")(
        function
    )


def trust_option(function: F) -> F:
    """Adds `--trust` (parameter `trust`): execute the recorded code whatever keeps it in."""
    return click.option(
        "--trust",
        is_flag=True,
        help="Execute the recorded code even if the kernel cannot keep it in and your key did not sign it.",
    )(function)


def at_option(*, required: bool = False) -> Callable[[F], F]:
    """Adds `--at POS` (parameter `at`, text or None): for `Trace.position`.

    Args:
        required: whether the verb makes no sense without a position.
    """

    def add(function: F) -> F:
        return click.option(
            "--at",
            metavar="POS",
            required=required,
            help="Position: N (before event N), N+K (K statements later) or B:S (block B, statement S).",
        )(function)

    return add


def output_option(function: F) -> F:
    """Adds `-o/--output TRACE` (parameter `output`, text or None): where the new trace goes."""
    return click.option(
        "-o", "--output", metavar="TRACE", help="Where to write the trace (default: the run directory)."
    )(function)


def force_option(function: F) -> F:
    """Adds `--force` (parameter `force`): overwrite what is there."""
    return click.option("--force", is_flag=True, help="Overwrite an existing file.")(function)

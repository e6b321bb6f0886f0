"""The command line's one entrance, and the one place where an outcome becomes an exit status.

Guarantee: `coda --help` imports click and nothing else; a verb's module is imported when the verb is
used. Whatever goes wrong, the user reads one sentence on stderr (or, with `--json`, one error object on
stdout) and gets a status that a script can trust:

    0    yes: fine, match, equal, faithful, clean
    1    the answer is no: no match, runs differ, damage found
    2    trouble: bad usage, missing file, refused, could not be answered
    3    a replay diverged from its log
    125  coda itself failed inside `exec` or `run` (2 could be the program's own status)
    130  interrupted by Ctrl-C
    141  whoever read stdout went away (as a program that SIGPIPE ends)

An exception that coda did not raise on purpose is a defect of coda: it is named in one line, and the
traceback is printed when CODA_DEBUG=1.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from coda import __version__
from coda.cli.options import JSON_KEY, SETTINGS_KEY, VERB_KEY
from coda.errors import CodaError, Diverged, UsageError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

VERBS: dict[str, str] = {
    "exec": "Run a Python program and record it.",
    "run": "Give a task to an agent and record it.",
    "log": "Print the events of a trace.",
    "check": "Tell whether a trace is whole and unchanged.",
    "runs": "List the recorded runs.",
    "replay": "Run a trace again and verify that it is the same.",
    "state": "Show all variables at a position of a trace.",
    "fork": "Change something at a position and run on.",
    "diff": "Compare two runs by structure.",
    "query": "Ask which events did something, and why a value is what it is.",
    "export": "Send a trace as OpenTelemetry spans.",
    "serve": "Serve the recorded runs over HTTP.",
    "view": "Step through a trace in the terminal.",
    "config": "Show the settings in force, and where each comes from.",
    "doctor": "Tell what works on this machine, and how to get more.",
}

YES, NO, TROUBLE, DIVERGED, FAILED, INTERRUPTED, PIPE_GONE = 0, 1, 2, 3, 125, 130, 141

# Verbs whose own status is the recorded program's; a failure of coda needs a number of its own.
RUNNERS = frozenset({"exec", "run"})


class LazyGroup(click.Group):
    """A group that knows its verbs by name and help line, and imports one when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Gives the verbs, in the order in which one meets them."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Gives a verb's command, importing its module; None when there is no such verb."""
        if cmd_name not in VERBS:
            return None
        command = import_module(f"coda.cli.{cmd_name}").command
        if not isinstance(command, click.Command):
            raise TypeError(f"coda.cli.{cmd_name}.command is not a click command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Finds the verb of a command line; suggests near names when there is none."""
        name = ctx.meta[VERB_KEY] = args[0]
        if name not in VERBS and not name.startswith("-"):
            import difflib  # only a mistaken verb needs it

            near = difflib.get_close_matches(name, VERBS, n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else "`coda --help` lists the commands."
            raise click.UsageError(f"there is no command {name!r}; {hint}", ctx=ctx)
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Completes a verb from the table, and the options of the group."""
        from click.shell_completion import CompletionItem  # only a completing shell needs it

        verbs = [CompletionItem(name, help=VERBS[name]) for name in VERBS if name.startswith(incomplete)]
        return verbs + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the help lines from the table; importing the modules would take their time."""
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


def _print_version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value:
        click.echo(f"coda {__version__}")
        ctx.exit()


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit status: 0 yes, 1 no, 2 trouble, 3 a replay diverged. CODA_DEBUG=1 shows tracebacks.",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version.",
)
@click.option(
    "-c",
    "given",
    metavar="NAME=VALUE",
    multiple=True,
    help="Give a setting for this once (`coda config` lists them); may be given again.",
)
@click.pass_context
def cli(ctx: click.Context, given: tuple[str, ...]) -> None:
    """Record, replay, fork, query and view what agents do in Python.

    TRACE is the path of a .jsonl trace, or a run id of the run directory (.coda/runs).
    """
    ctx.meta[SETTINGS_KEY] = given


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command line and gives its exit status.

    Args:
        argv: the arguments without the program's name; None takes those of this process.

    Returns:
        The exit status, as in the table above. Never raises, except SystemExit from the user's side.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    if "_CODA_COMPLETE" in os.environ:
        return _complete(os.environ["_CODA_COMPLETE"])
    _prepare_streams()
    status = TROUBLE
    try:
        status = _dispatch(args)
        sys.stdout.flush()
    except BrokenPipeError:
        _silence_stdout()
        return PIPE_GONE
    except OSError as error:  # what was printed did not arrive: a full disk
        _silence_stdout()
        return status if status != YES else _report(_as_trouble(error), as_json=False)
    return status


def _prepare_streams() -> None:
    """Makes stdout and stderr take whatever is printed."""
    if sys.stdout is None:  # closed by whoever started us (`coda log x >&-`)
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - it lives as long as the process
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - as above
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a lone surrogate must not end the output


def _dispatch(args: list[str]) -> int:
    """Runs the command and turns every way in which it can end into a status."""
    meta: dict[str, Any] = {}
    try:
        with cli.make_context("coda", args) as ctx:
            meta = ctx.meta
            result = cli.invoke(ctx)
        return result if isinstance(result, int) else YES
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except (KeyboardInterrupt, click.Abort):
        print("coda: interrupted", file=sys.stderr)
        return INTERRUPTED
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        return TROUBLE
    except click.ClickException as error:
        return _report(_as_usage_error(error), as_json=_json_asked(error, meta, args))
    except BrokenPipeError:
        raise
    except CodaError as error:
        return _report(error, as_json=JSON_KEY in meta, verb=meta.get(VERB_KEY, ""))
    except OSError as error:
        return _report(_as_trouble(error), as_json=JSON_KEY in meta, verb=meta.get(VERB_KEY, ""))
    except Exception as error:  # noqa: BLE001 - the top: whatever it is, it is said and has a status
        return _report(_as_defect(error), as_json=JSON_KEY in meta, verb=meta.get(VERB_KEY, ""))


def _as_usage_error(error: click.ClickException) -> UsageError:
    """Restates click's complaint as ours, with the command whose help would tell more."""
    text = error.format_message().strip()
    ctx = getattr(error, "ctx", None)
    if ctx is not None and ctx.command is not cli:
        text = f"{text.rstrip('.')}; see `{ctx.command_path} --help`"
    return UsageError(text)


def _json_asked(error: click.ClickException, meta: dict[str, Any], args: list[str]) -> bool:
    """Whether `--json` was given, also when the command line could not be parsed to its end."""
    ctx = getattr(error, "ctx", None)
    if JSON_KEY in meta or (ctx is not None and JSON_KEY in ctx.meta):
        return True
    verb = meta.get(VERB_KEY)
    for word in args[args.index(verb) + 1 :] if verb in args else ():
        if word == "--" or (verb == "exec" and not word.startswith("-")):
            return False  # what follows belongs to the recorded program
        if word == "--json":
            return True
    return False


def _as_trouble(error: OSError) -> CodaError:
    """Restates what the operating system refused: a file without permission, a full disk."""
    if os.environ.get("CODA_DEBUG") == "1":
        sys.excepthook(type(error), error, error.__traceback__)
    where = f": {error.filename}" if error.filename is not None else ""
    return CodaError(f"the system refused: {error.strerror or error}{where}", errno=error.errno)


def _as_defect(error: Exception) -> CodaError:
    """Names an exception that coda did not raise on purpose."""
    if os.environ.get("CODA_DEBUG") == "1":
        sys.excepthook(type(error), error, error.__traceback__)
        advice = "please report it with the traceback above"
    else:
        advice = "please report it; CODA_DEBUG=1 shows where"
    return CodaError(
        f"a defect of coda: {type(error).__name__}: {error}; {advice}", defect=type(error).__name__
    )


def _report(error: CodaError, *, as_json: bool, verb: str = "") -> int:
    """Tells an error to whoever called, and gives its status."""
    # Here and not at the top: it brings the log's masking, which `--help` does not need.
    from coda.cli.render import error_object, say

    if as_json:
        print(error_object(error))
    else:
        say(f"coda: {error.message}")
    if isinstance(error, Diverged):
        return DIVERGED
    if verb in RUNNERS and not isinstance(error, UsageError):
        return FAILED
    return TROUBLE


def _silence_stdout() -> None:
    """Keeps the interpreter from complaining, at its end, that stdout cannot be flushed."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(devnull, sys.stdout.fileno())
    except (OSError, ValueError):
        pass  # stdout is not a file here (a notebook, a test); nothing will be flushed to it
    finally:
        os.close(devnull)


def _complete(instruction: str) -> int:
    """Answers the shell's completion script."""
    from click.shell_completion import shell_complete

    return shell_complete(cli, {}, "coda", "_CODA_COMPLETE", instruction)

"""The command line of a verb that runs somebody's program: which words are coda's, and which the program's.

Guarantee: as with `python`, what follows the program is the program's, `--help` included. There is one
exception, for a trace that was not named before: `-o TRACE` behind the program's arguments is coda's, and so
are the options behind it. `--` ends that exception: all after it is the program's. The wrong alternative, to
take whatever coda knows out of the program's arguments, records it with other arguments than it was given.
"""

from __future__ import annotations

from typing import NamedTuple

import click

from coda.cli.render import say

_OUTPUT = ("-o", "--output")


class _Words(NamedTuple):
    """A command line, taken apart."""

    before: list[str]
    """Options of coda, and the program."""
    own: list[str]
    """The program's arguments; the first `--` among them is not one."""
    after: list[str]
    """From `-o TRACE` on: options of coda."""


class ProgramCommand(click.Command):
    """A command with the arguments `program` and `args`, and the option `output`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parses what is coda's, and leaves the program what is its."""
        words = self._take_apart(ctx, args)
        rest = super().parse_args(ctx, [*words.before, *words.after])
        if words.own:
            own = [word for at, word in enumerate(words.own) if word != "--" or "--" in words.own[:at]]
            ctx.params["args"] = (*own, *ctx.params.get("args", ()))
            self._say_whose(ctx, words.own)
        return rest

    def _take_apart(self, ctx: click.Context, args: list[str]) -> _Words:
        parser = self.make_parser(ctx)
        parser.allow_interspersed_args = False
        given, _, _ = parser.parse_args(list(args))
        found = given.get("args")
        if not isinstance(found, list | tuple) or not found:
            return _Words(args, [], [])  # no program, or one without arguments
        own = list(found)
        before = args[: len(args) - len(own)]
        after: list[str] = []
        ends = [
            at for at, word in enumerate(own) if word == "--" or self._names_trace(word, given.get("output"))
        ]
        if ends:
            own, after = own[: ends[0]], own[ends[0] :]
        if after[:1] == ["--"]:
            own, after = [*own, *after], []
        return _Words(before, own, after)

    @staticmethod
    def _names_trace(word: str, given: object) -> bool:
        """Whether a word behind the program names the trace; not when it was named before."""
        return not isinstance(given, str) and (word in _OUTPUT or word.startswith("--output="))

    def _say_whose(self, ctx: click.Context, own: list[str]) -> None:
        """Says so when the program is given a word that coda has too: it may have been meant for coda."""
        names = {name for param in self.params for name in param.opts if name.startswith("--")}
        unmarked = own[: own.index("--")] if "--" in own else own
        taken = [word for word in unmarked if word.partition("=")[0] in names]
        if taken and not ctx.params.get("quiet") and not ctx.resilient_parsing:
            say(
                f"coda: {taken[0]} is {ctx.params['program']}'s; options of coda stand before the program, "
                "or behind -o TRACE"
            )

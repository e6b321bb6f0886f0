"""Every verb has help, says what its options are, and has a section in docs/cli.md that names them."""

from __future__ import annotations

import re
from importlib import import_module

import click
import pytest

from coda.cli.main import VERBS, cli
from tests.conftest import RunCoda
from tests.meta.source import PACKAGE, ROOT

PAGE = ROOT / "docs" / "cli.md"


def sections() -> dict[str, str]:
    """Gives the text below each `## coda VERB` of the page."""
    parts = re.split(r"^## coda (\w+)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def command_of(verb: str) -> click.Command:
    command = import_module(f"coda.cli.{verb}").command
    assert isinstance(command, click.Command)
    return command


def test_the_verbs_are_the_modules() -> None:
    shared = {"__init__", "main", "options", "render"}
    found = {path.stem for path in (PACKAGE / "cli").glob("*.py")} - shared
    assert {name for name in found if hasattr(import_module(f"coda.cli.{name}"), "command")} == set(VERBS)


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_a_verb_has_help_for_itself_and_every_option(verb: str, coda: RunCoda) -> None:
    command = command_of(verb)
    assert (command.help or "").strip()
    silent = [p.name for p in command.params if isinstance(p, click.Option) and not p.help]
    assert not silent
    ran = coda(verb, "--help")
    assert (ran.status, ran.err) == (0, "")
    assert f"Usage: coda {verb}" in ran.out


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_a_verb_has_a_section_that_names_its_options(verb: str) -> None:
    text = sections()[verb]
    options = {
        max(param.opts, key=len) for param in command_of(verb).params if isinstance(param, click.Option)
    }
    assert not {option for option in options if f"`{option}" not in text and f"{option}`" not in text}


def test_the_page_has_no_section_of_a_verb_that_is_not() -> None:
    assert list(sections()) == list(VERBS)
    assert cli.list_commands(click.Context(cli)) == list(VERBS)


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_the_page_names_no_option_that_is_not(verb: str) -> None:
    real = {name for param in command_of(verb).params for name in [*param.opts, *param.secondary_opts]}
    named = set(re.findall(r"`(--[a-z][a-z-]*)", sections()[verb]))
    assert not named - real - {"--help"}

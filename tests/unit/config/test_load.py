"""Where settings come from, who wins, and what is said of a mistake."""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import Any

import pytest

import coda
from coda.config import Config, Loaded, Source, load, load_config, settings
from coda.config.page import renewed
from coda.errors import UsageError
from coda.runtime import Agent, Sandbox
from tests.meta.source import ROOT


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project below a home folder; the test stands in it."""
    home = tmp_path / "home"
    (home / "project" / "deep" / "er").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.chdir(home / "project")
    return home / "project"


def user(place: Path, text: str) -> Path:
    path = place.parent / ".config" / "coda" / "config.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def came_from(loaded: Loaded, name: str) -> tuple[Any, str]:
    return loaded.rows[name].value, str(loaded.rows[name].source)


def problem(text: str, place: Path, *, of_user: bool = False) -> UsageError:
    if of_user:
        user(place, text)
    else:
        (place / "coda.toml").write_text(text)
    with pytest.raises(UsageError) as caught:
        load()
    return caught.value


def test_without_any_source_everything_is_default(place: Path) -> None:
    loaded = load()
    assert loaded.config == Config()
    assert {row.source for row in loaded.rows.values()} == {Source("default", "")}
    assert loaded.files == ((str(place.parent / ".config/coda/config.toml"), False),)
    assert loaded.notes == ()


def test_later_wins_and_says_where_it_comes_from(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "coda.toml").write_text(
        '# ours\nrecord = "lines"\nmax-turns = 1\nvalue-limit = 2\n\nport = 3\ncolor = "never"\n'
    )
    path = user(place, "max-turns = 11\nvalue-limit = 12\nport = 13\n")
    monkeypatch.setenv("CODA_VALUE_LIMIT", "22")
    monkeypatch.setenv("CODA_PORT", "23")
    monkeypatch.setenv("CODA_COLOR", "")
    loaded = load(flags={"port": (33, "--port")})
    assert [came_from(loaded, name) for name in ("record", "max-turns", "value-limit", "port", "color")] == [
        ("lines", "coda.toml:2"),
        (11, f"{path}:1"),
        (22, "CODA_VALUE_LIMIT"),
        (33, "--port"),
        ("never", "coda.toml:7"),
    ]
    assert came_from(loaded, "quiet") == (False, "default")


def test_a_table_of_a_verb_wins_within_its_file(place: Path) -> None:
    (place / "coda.toml").write_text('timeout = "1m"\n[run]\ntimeout = 30\nmemory = "1G"\n')
    assert came_from(load(), "timeout") == (60.0, "coda.toml:1")
    assert came_from(load(verb="run"), "timeout") == (30.0, "coda.toml:3")
    assert load_config(verb="run").memory == 1 << 30
    assert load_config().memory is None
    user(place, 'timeout = "none"\n')
    assert load(verb="run").config.timeout is None


def test_the_line_is_where_the_statement_begins(place: Path) -> None:
    path = user(
        place,
        'model = """\nport = 1\nquiet = true\n"""\nenv = [\n  "A",  # port = 9\n  "B",\n]\n\n'
        "  # here\nport = 7\nquiet=true\nmax-turns = 3",
    )
    loaded = load()
    lines = {name: row.source.line for name, row in loaded.rows.items() if row.source.line is not None}
    assert lines == {"model": 1, "env": 5, "port": 11, "quiet": 12, "max-turns": 13}
    assert loaded.rows["env"].source.name == str(path)


MISTAKES = [
    ("timout = 3", "coda.toml:1: there is no setting 'timout'; did you mean timeout?"),
    ("\nmax_turns = 3", "coda.toml:2: there is no setting 'max_turns'; did you mean max-turns?"),
    (
        "timeout = true",
        'coda.toml:1: timeout takes a duration such as 90, "1.5s" or "2m", or "none"; bool True is not that',
    ),
    ('max-turns = "3"', "coda.toml:1: max-turns takes a whole number from 1 on; str '3' is not that"),
    (
        "[run]\nrecord = 'all'",
        "coda.toml:2: record takes one of effects, lines, values; str 'all' is not that",
    ),
    ("[rnu]\nrecord = 'lines'", "coda.toml:1: there is no table [rnu]; did you mean run?"),
    ("[serve]\ntimeout = 3", "coda.toml:2: `coda serve` has no setting 'timeout'; it has "),
    ("env = ['SECRET']", "coda.toml:1: a project's file may not set env, "),
    ("[serve]\nhost = '0.0.0.0'", "coda.toml:2: a project's file may not set host, "),
    ("otlp = 'http://elsewhere:4318'", "coda.toml:1: a project's file may not set otlp, "),
    ("root = '..'", "coda.toml:1: '..' lies outside of the project"),
    ("runs = '/tmp'", "coda.toml:1: '/tmp' lies outside of the project"),
    ("record = ", "coda.toml is not TOML: "),
    ("record = 'lines'\nrecord = 'values'", "coda.toml is not TOML: "),
]


@pytest.mark.parametrize(("text", "sentence"), MISTAKES)
def test_a_mistake_in_a_file_is_one_sentence(text: str, sentence: str, place: Path) -> None:
    error = problem(text, place)
    assert error.message.startswith(sentence)
    assert "\n" not in error.message
    assert error.facts["path"] == str(place / "coda.toml")


def test_a_link_does_not_lead_a_project_s_folder_outside(place: Path) -> None:
    (place / "runs").symlink_to(place.parent)
    assert "lies outside" in problem("runs = 'runs'", place).message


def test_a_secret_is_not_repeated_in_a_message(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "hunter2" not in problem("token = 'hunter2'", place, of_user=True).message
    user(place, "")
    monkeypatch.setenv("CODA_TOKEN", "hunter2")
    with pytest.raises(UsageError, match=r"^CODA_TOKEN takes at least 8"):
        load()


def test_a_variable_is_refused_and_one_misspelt_is_said(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODA_TIMOUT", "3")
    monkeypatch.setenv("CODA_HOME_OF_ANOTHER_PROGRAM", "3")
    monkeypatch.setenv("CODA_DEBUG", "1")
    assert load().notes == ("CODA_TIMOUT is no setting; did you mean CODA_TIMEOUT?",)
    monkeypatch.setenv("CODA_MEMORY", "much")
    with pytest.raises(UsageError, match=r"^CODA_MEMORY takes a size such as .*; 'much' is not that$"):
        load()


def test_folders_are_meant_from_where_their_file_stands(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "coda.toml").write_text("root = 'deep'\nruns = '.coda/all'\n")
    monkeypatch.chdir(place / "deep")
    assert (load_config().root, load_config().runs) == (str(place / "deep"), str(place / ".coda/all"))
    assert str(load().rows["root"].source) == f"{place}/coda.toml:1"
    user(place, "runs = '~/traces'\n")
    assert load_config().runs == str(place.parent / "traces")
    assert "must begin with / or ~" in problem("runs = 'traces'", place, of_user=True).message
    monkeypatch.setenv("CODA_RUNS", "here")
    user(place, "")
    assert load_config().runs == "here"


def found_from(folder: Path) -> str | None:
    files = [path for path, _ in load(folder).files if path.endswith("coda.toml")]
    return files[0] if files else None


def test_the_project_s_file_is_looked_for_up_to_the_top_of_the_repository(place: Path) -> None:
    deep = place / "deep" / "er"
    (place / "coda.toml").write_text("")
    assert found_from(deep) == str(place / "coda.toml")
    (place / "deep" / "coda.toml").write_text("")
    assert found_from(deep) == str(place / "deep" / "coda.toml")
    (place / "deep" / "coda.toml").unlink()
    (deep / ".git").mkdir()
    assert found_from(deep) is None
    (deep / ".git").rmdir()
    (place / ".git").write_text("gitdir: elsewhere")  # as in a worktree
    assert found_from(deep) == str(place / "coda.toml")


def test_home_and_folders_above_are_searched_only_where_one_stands(place: Path) -> None:
    (place.parent / "coda.toml").write_text("")
    assert found_from(place) is None
    assert found_from(place.parent) == str(place.parent / "coda.toml")
    outside = place.parent.parent / "elsewhere" / "deep"
    outside.mkdir(parents=True)
    (outside.parent / "coda.toml").write_text("")
    assert found_from(outside) is None  # no repository, not below home: a shared folder may be above
    assert found_from(outside.parent) == str(outside.parent / "coda.toml")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_not_read(place: Path) -> None:
    (place / "coda.toml").write_text("record = 'lines'\n")
    os.chown(place / "coda.toml", 12345, -1)
    assert load().config.record == "values"
    assert load().notes == ("coda.toml belongs to another user and is not read",)


def test_a_relative_config_home_is_ignored(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user(place, "port = 7\n")
    monkeypatch.setenv("XDG_CONFIG_HOME", "conf")
    assert load_config().port == 7
    monkeypatch.setenv("XDG_CONFIG_HOME", str(place))
    (place / "coda").mkdir()
    (place / "coda" / "config.toml").write_text("port = 8\n")
    assert load_config().port == 8


def test_the_classes_have_the_defaults_of_the_settings() -> None:
    config = Config()
    for kind, arguments in ((Sandbox, config.sandbox()), (Agent, config.agent())):
        parameters = inspect.signature(kind).parameters
        assert set(arguments) <= set(parameters)
        for name, value in arguments.items():
            default = parameters[name].default
            if name == "limits":
                assert coda.Limits(**value) == coda.Limits()
            elif default is not inspect.Parameter.empty and name != "sandbox_options":
                assert value == default, name
    assert config.sandbox(level="lines", tools=[])["level"] == "lines"
    options = config.agent()["sandbox_options"]
    assert set(options) | {"root", "level", "timeout_s"} == set(config.sandbox())


def test_every_setting_is_explained_once_and_read_by_its_three_names() -> None:
    for name, setting in settings().items():
        assert setting.words.endswith(".")
        assert setting.verbs
        assert (setting.name, setting.flag) == (name, f"--{name}")
        assert setting.variable == "CODA_" + name.upper().replace("-", "_")
        assert getattr(Config(), setting.field) == setting.default


def test_the_page_holds_the_table_of_now() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text()
    assert renewed(text) == text, "make it anew: python -m coda.config.page"

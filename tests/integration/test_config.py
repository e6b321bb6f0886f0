"""Settings as a user meets them: what `coda config` shows is what the verbs do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from coda.log import open_trace
from tests.conftest import RunCoda

pytestmark = pytest.mark.slow

PROGRAM = "number = 1\nfor each in range(200):\n    number += each\nprint(number)\n"


def test_config_shows_what_is_in_force_and_where_from(tmp_path: Path, coda: RunCoda) -> None:
    (tmp_path / "coda.toml").write_text('record = "lines"\n\n[run]\ntimeout = "2m"\n')
    env = {"CODA_MEMORY": "1G", "CODA_TOKEN": "not-for-everyone"}
    shown = coda("-c", "port=9", "config", env=env)
    assert shown.status == 0
    rows = [line.split() for line in shown.out.splitlines()]
    assert ["record", "lines", "coda.toml:1"] in rows
    assert ["timeout", "none", "default"] in rows
    assert ["memory", "1G", "CODA_MEMORY"] in rows
    assert ["port", "9", "-c", "port"] in rows
    assert ["token", "***", "CODA_TOKEN"] in rows
    assert "coda: read coda.toml\n" in shown.err
    answer = json.loads(coda("config", "run", "--json", env=env).out)
    by_name = {row["name"]: row for row in answer["settings"]}
    assert answer["verb"] == "run"
    assert "token" not in by_name  # not one of its settings
    assert (by_name["timeout"]["value"], by_name["timeout"]["text"]) == (120.0, "2m")
    assert (by_name["timeout"]["source"], by_name["timeout"]["line"]) == ("project", 4)
    assert by_name["memory"]["value"] == 1 << 30
    for options in ((), ("--json",)):
        assert "not-for-everyone" not in coda("config", *options, env=env).out
        assert "not-for-everyone" in coda("config", "--show-secrets", *options, env=env).out


def test_a_mistake_ends_a_verb_before_it_does_anything(tmp_path: Path, coda: RunCoda) -> None:
    (tmp_path / "prog.py").write_text("print('ran')\n")
    (tmp_path / "coda.toml").write_text("recrod = 'lines'\n")
    ran = coda("exec", "prog.py")
    assert (ran.status, ran.out) == (2, "")
    assert ran.err == "coda: coda.toml:1: there is no setting 'recrod'; did you mean record?\n"
    assert not (tmp_path / ".coda").exists()
    error = json.loads(coda("runs", "--json").out)["error"]
    assert (error["kind"], error["key"], error["line"]) == ("UsageError", "recrod", 1)
    (tmp_path / "coda.toml").unlink()
    for arguments, sentence in (
        (("-c", "timeout", "exec", "prog.py"), "-c takes NAME=VALUE"),
        (("-c", "tiemout=3", "exec", "prog.py"), "did you mean timeout?"),
        (("exec", "--memory", "lots", "prog.py"), "--memory takes a size such as"),
        (("exec", "--timeout", "-1", "prog.py"), "--timeout takes a duration such as"),
        (("config", "nonsense"), "`coda nonsense` has no settings"),
    ):
        ran = coda(*arguments)
        assert (ran.status, ran.out) == (2, "")
        assert sentence in ran.err
        assert len(ran.err.splitlines()) == 1


def test_what_is_set_is_what_is_recorded(tmp_path: Path, coda: RunCoda) -> None:
    (tmp_path / "prog.py").write_text(PROGRAM)
    (tmp_path / "coda.toml").write_text(
        'runs = "traces"\nvalue-limit = 3\nline-limit = 100\nquiet = true\ndurability = "fsync"\n'
    )
    assert coda("exec", "prog.py") == (0, "19901\n", "")
    (trace,) = (tmp_path / "traces").glob("*/trace.jsonl")
    started = open_trace(trace).started
    assert (started.level, started.value_limit, started.line_limit) == ("values", 3, 100)
    assert [event.type for event in open_trace(trace).events(types={"elided"})] == ["elided"]
    # A flag wins, a run id is found where the settings say, and a subfolder is the same project's.
    (tmp_path / "below").mkdir()
    (tmp_path / ".git").mkdir()
    ran = coda("exec", "--record", "lines", "--no-quiet", "../prog.py", cwd=tmp_path / "below")
    assert ran.status == 0
    assert "traces" in ran.err
    other = next(path for path in (tmp_path / "traces").glob("*/trace.jsonl") if path != trace)
    assert open_trace(other).started.level == "lines"
    assert coda("check", trace.parent.name, cwd=tmp_path / "below").status == 0
    assert len(coda("runs", "--json", cwd=tmp_path / "below").out.splitlines()) == 2
    fork = coda("fork", trace.parent.name, "--at", "1:5")
    assert fork.status == 0, fork.err
    assert len(list((tmp_path / "traces").glob("*/trace.jsonl"))) == 3


REPLIES = """\
<!-- reply -->
```python
import os
print(sorted(name for name in os.environ if name.startswith("SHARED_")))
```
<!-- reply -->
Done.
"""


def test_an_agent_s_code_gets_the_variables_that_are_named(tmp_path: Path, coda: RunCoda) -> None:
    (tmp_path / "replies.md").write_text(REPLIES)
    env = {"SHARED_A": "1", "SHARED_B": "2", "CODA_ENV": "SHARED_A"}
    agent = ("run", "look", "--script", "replies.md", "--force", "-o", "t.jsonl")
    for options, names in (((), "['SHARED_A']\n"), (("--env", "SHARED_B"), "['SHARED_B']\n")):
        assert coda(*agent, *options, env=env).status == 0
        outputs = open_trace(tmp_path / "t.jsonl").events(types={"output"})
        assert "".join(str(event.value) for event in outputs) == names


def test_the_library_reads_settings_only_when_it_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import coda

    monkeypatch.chdir(tmp_path)
    (tmp_path / "coda.toml").write_text('record = "effects"\nruns = "mine"\n')
    monkeypatch.setenv("CODA_VALUE_LIMIT", "5")
    with coda.Sandbox(trace=tmp_path / "plain.jsonl") as sandbox:
        sandbox.execute("x = 1")
    started = coda.open_trace(tmp_path / "plain.jsonl").started
    assert (started.level, started.value_limit) == ("values", 64)
    with coda.Sandbox(**coda.load_config().sandbox(level="lines")) as sandbox:
        sandbox.execute("x = 1")
    (trace,) = (tmp_path / "mine").glob("*/trace.jsonl")
    started = coda.open_trace(trace).started
    assert (started.level, started.value_limit) == ("lines", 5)

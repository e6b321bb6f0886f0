"""Shims in a real worker: every way to name a clock, a source of chance or a host fact behaves as the builtin
does, and a replay gives the very same answers."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from coda.log import Trace, open_trace
from coda.replay import replay, state_at
from coda.runtime import Sandbox

pytestmark = pytest.mark.slow

# Each gives another value on every call, or on every machine: a replay that asked the world would differ.
ASKED = {
    "plain": "time.time()",
    "aliased": "(lambda clock=time.time: clock())()",
    "class attribute": "type('T', (), {'clock': time.time})().clock()",
    "time_ns": "time.time_ns()",
    "monotonic": "time.monotonic()",
    "perf_counter": "[time.perf_counter() for _ in range(3)]",
    "perf_counter_ns": "time.perf_counter_ns()",
    "process_time": "time.process_time()",
    "thread_time": "time.thread_time()",
    "localtime": "tuple(time.localtime())",
    "gmtime": "tuple(time.gmtime())",
    "ctime": "time.ctime()",
    "strftime": "time.strftime('%Y-%m-%d %H:%M:%S')",
    "asctime": "time.asctime()",
    "clock_gettime": "time.clock_gettime(time.CLOCK_REALTIME)",
    "datetime.now": "datetime.datetime.now()",
    "datetime.now utc": "datetime.datetime.now(datetime.timezone.utc)",
    "datetime.today": "datetime.datetime.today()",
    "datetime.utcnow": "datetime.datetime.utcnow()",
    "date.today": "datetime.date.today()",
    "subclass": "type('D', (datetime.datetime,), {}).now().isoformat()",
    "in a library": "email.utils.formatdate(usegmt=True)",
    "in logging": "logging.LogRecord('n', 1, 'p', 1, 'm', (), None).created",
    "random": "random.random(), random.choice('abcdef'), random.getrandbits(70)",
    "Random()": "random.Random().random()",
    "SystemRandom": "random.SystemRandom().random()",
    "secrets": "secrets.token_hex(8), secrets.randbelow(10**9)",
    "urandom": "os.urandom(8)",
    "getrandom": "os.getrandom(8)",
    "uuid4": "uuid.uuid4()",
    "uuid1": "uuid.uuid1()",
    "temporary names": "next(tempfile._get_candidate_names())",
    "pid": "os.getpid()",
    "host": "platform.node(), socket.gethostname()",
    "cpu_count": "os.cpu_count()",
    "load": "os.getloadavg()",
    "cwd": "os.getcwd()",
    "home": "os.path.expanduser('~')",
    "hash": "hash('text'), hash((1, 'a'))",
}
MODULES = (
    "import datetime, email.utils, logging, os, platform, random, secrets, shutil, socket, ssl, tempfile,"
    " time, uuid\nfrom time import time as bare\nfrom random import random as chance\nasked = {}\n"
)
# The builtins' manners: what programs check, copy and pickle.
MANNERS = {
    "repr(time.time)": "'<built-in function time>'",
    "type(time.time).__name__": "'builtin_function_or_method'",
    "time.time.__name__, time.time.__module__": "('time', 'time')",
    "callable(os.urandom), len(os.urandom(5))": "(True, 5)",
    "type(datetime.datetime.now()) is datetime.datetime": "True",
    "isinstance(datetime.datetime.now(), datetime.date)": "True",
    "datetime.datetime.now.__name__": "'now'",
    "pickle.loads(pickle.dumps(time.time)) is not None": "True",
    "copy.deepcopy({'clock': time.time})['clock']() > 0": "True",
    "inspect.isbuiltin(len), callable(bare), bare() <= time.time()": "(True, True, True)",
    "random.seed(5) or random.random()": "0.6229016948897019",
    "random.Random(5).random()": "0.6229016948897019",
    "[f.__name__ for f in (time.time, time.sleep, os.getpid)]": "['time', 'sleep', 'getpid']",
    "time.localtime(0).tm_year in (1969, 1970), time.gmtime(0).tm_year": "(True, 1970)",
    "time.strftime('%Y', time.gmtime(0))": "'1970'",
    "datetime.datetime.fromtimestamp(0, datetime.timezone.utc).year": "1970",
    "uuid.uuid4().version, uuid.uuid1().version": "(4, 1)",
    "uuid.uuid4() != uuid.uuid4(), os.urandom(8) != os.urandom(8)": "(True, True)",
}
WRONG = {
    "time.time(1)": "TypeError",
    "time.sleep(-1)": "ValueError",
    "time.sleep('x')": "TypeError",
    "os.urandom(-1)": "ValueError",
    "datetime.datetime.now(5)": "TypeError",
    "input(1, 2)": "TypeError",
}


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trace, dict[str, str]]:
    """All questions in one run, one block each; and what was answered."""
    folder = tmp_path_factory.mktemp("shims")
    (folder / "ws").mkdir()
    answers: dict[str, str] = {}
    with Sandbox(root=folder / "ws", trace=folder / "t.jsonl", level="effects") as sandbox:
        assert sandbox.execute(MODULES).outcome == "ok"
        for name, expression in ASKED.items():
            result = sandbox.execute(f"asked[{name!r}] = {expression}\nprint(repr(asked[{name!r}]))")
            assert result.outcome == "ok", (name, result.error)
            answers[name] = result.stdout.strip()
    return open_trace(folder / "t.jsonl"), answers


def test_a_replay_gives_the_same_answers(asked: tuple[Trace, dict[str, str]]) -> None:
    trace, answers = asked
    verdict = replay(trace)
    assert verdict.diverged is None, verdict.diverged
    count = trace.count()
    state = state_at(trace, count, exprs=[f"asked[{name!r}]" for name in answers])
    again = dict(zip(answers, state.exprs.values(), strict=True))
    assert {name: getattr(shown, "repr", shown) for name, shown in again.items()} == answers


def test_two_runs_draw_apart(tmp_path: Path) -> None:
    code = "import os, random, uuid\nprint(random.random(), uuid.uuid4(), os.urandom(9))"
    drawn = []
    for number in range(2):
        folder = tmp_path / f"ws{number}"
        folder.mkdir()
        with Sandbox(root=folder, trace=tmp_path / f"{number}.jsonl") as sandbox:
            drawn.append(sandbox.execute(code).stdout)
    assert len(set(drawn)) == 2


def test_the_builtins_manners_are_kept(tmp_path: Path) -> None:
    (tmp_path / "ws").mkdir()
    rows = "\n".join(f"print(repr(({expression})))" for expression in MANNERS)
    with Sandbox(root=tmp_path / "ws", trace=tmp_path / "t.jsonl") as sandbox:
        sandbox.execute(f"import copy, inspect, pickle\n{MODULES}")
        result = sandbox.execute(rows)
        assert result.outcome == "ok", result.error
    assert dict(zip(MANNERS, result.stdout.splitlines(), strict=True)) == MANNERS
    assert replay(tmp_path / "t.jsonl").diverged is None


@pytest.mark.parametrize(("expression", "kind"), WRONG.items())
def test_wrong_arguments_raise_as_ever(expression: str, kind: str, tmp_path: Path) -> None:
    (tmp_path / "ws").mkdir()
    with Sandbox(root=tmp_path / "ws", trace=tmp_path / "t.jsonl") as sandbox:
        sandbox.execute(MODULES)
        result = sandbox.execute(expression)
    assert result.error is not None
    assert result.error.kind == kind
    assert result.error.traceback.count("File ") == 1, result.error.traceback


def test_sleeping_takes_no_time_when_it_is_replayed(tmp_path: Path) -> None:
    (tmp_path / "ws").mkdir()
    code = "import time\na = time.time()\nfor _ in range(5): time.sleep(0.1)\nprint(time.time() - a >= 0.4)"
    with Sandbox(root=tmp_path / "ws", trace=tmp_path / "t.jsonl") as sandbox:
        assert sandbox.execute(code).stdout == "True\n"
    trace = open_trace(tmp_path / "t.jsonl")
    slept = [event.value for event in trace.events(types={"effect"}) if event.name == "time.sleep"]
    assert slept == [0.1] * 5
    assert replay(trace).diverged is None


def test_clocks_of_waiting_modules_are_not_in_the_log(tmp_path: Path) -> None:
    (tmp_path / "ws").mkdir()
    code = (
        "import queue, threading\nq = queue.Queue()\n"
        "try:\n    q.get(timeout=0.01)\nexcept queue.Empty:\n    print('empty')\n"
        "threading.Event().wait(0.01)"
    )
    with Sandbox(root=tmp_path / "ws", trace=tmp_path / "t.jsonl") as sandbox:
        assert sandbox.execute(code).stdout == "empty\n"
    names = {event.name for event in open_trace(tmp_path / "t.jsonl").events(types={"effect"})}
    assert not any(name is not None and name.startswith("time.") for name in names), names


def test_values_of_the_environment_are_recorded_when_they_are_read(tmp_path: Path) -> None:
    (tmp_path / "ws").mkdir()
    env: dict[str, Any] = {"PATH": "/usr/bin:/bin", "READ": "seen", "UNREAD": "kept-to-itself"}
    with Sandbox(root=tmp_path / "ws", trace=tmp_path / "t.jsonl", env=env) as sandbox:
        sandbox.execute("import os")
        shown = sandbox.execute("print(os.environ['READ'], os.environ.get('NOT'), sorted(os.environ))")
    assert ast.literal_eval(shown.stdout.partition("None ")[2]) == ["PATH", "READ", "UNREAD"]
    text = (tmp_path / "t.jsonl").read_text()
    assert "seen" in text
    assert "kept-to-itself" not in text
    assert replay(tmp_path / "t.jsonl").diverged is None

"""Every form in which a program asks for time, chance and its surroundings leaves its answer in the log.

And the rules without which a run could not be repeated: with any one of them taken away a replay goes wrong.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pytest

from coda.log import TraceEvent, from_envelope, open_trace
from coda.replay import replay
from coda.runtime import Sandbox
from tests.conftest import ROOT
from tests.support import mutants
from tests.support.programs import dedent

pytestmark = pytest.mark.slow

BEFORE = """\
import datetime, email.utils, glob, logging, os, pathlib, resource, shutil, socket
import time, time as clock, timeit
from datetime import date, datetime as stamp, timezone
from os import getpid, stat as look
from time import monotonic, perf_counter as tick, time as now
class Watch:
    read = time.perf_counter
open("a.txt", "w").close()
"""
CLOCKS = (
    "time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time",
    "process_time_ns", "thread_time", "thread_time_ns",
)  # fmt: skip
OF_TIME = "time.time"
FORMS: dict[str, list[str]] = {
    **{f"time.{name}()": [f"time.{name}"] for name in CLOCKS},
    **{f"clock.{name}()": [f"time.{name}"] for name in CLOCKS},
    "now()": [OF_TIME],
    "monotonic()": ["time.monotonic"],
    "tick()": ["time.perf_counter"],
    "Watch.read()": ["time.perf_counter"],
    "list(map(time.time, ()))": [],
    "sorted([2, 1], key=lambda _: time.monotonic_ns())": ["time.monotonic_ns"] * 2,
    "time.sleep(0)": ["time.sleep"],
    "time.localtime(), time.gmtime(), time.ctime(), time.asctime()": [OF_TIME] * 4,
    "time.localtime(None), time.ctime(None)": [OF_TIME] * 2,
    "time.localtime(0), time.ctime(5)": [],
    "time.strftime('%c'), time.strftime('%c', time.gmtime(0))": [OF_TIME],
    "time.clock_gettime(time.CLOCK_REALTIME)": ["clock_gettime"],
    "time.clock_gettime_ns(time.CLOCK_MONOTONIC)": ["clock_gettime_ns"],
    "datetime.datetime.now(), stamp.now(timezone.utc)": [OF_TIME] * 2,
    "stamp.utcnow(), stamp.today(), date.today()": [OF_TIME] * 3,
    "stamp.fromtimestamp(0)": [],
    "email.utils.formatdate()": [OF_TIME],
    "logging.LogRecord('n', 10, 'p', 1, 'm', (), None).created": [
        "time.time_ns" if sys.version_info >= (3, 13) else OF_TIME,
        "getpid",
    ],
    "timeit.timeit('0', number=1)": ["time.perf_counter"] * 2,
    "os.getpid(), getpid(), os.getppid()": ["getpid", "getpid", "getppid"],
    "os.cpu_count(), os.getloadavg()": ["cpu_count", "getloadavg"],
    "os.uname(), socket.gethostname()": ["uname", "gethostname"],
    "os.getuid(), os.geteuid(), os.getgid(), os.getegid()": ["getuid", "geteuid", "getgid", "getegid"],
    "os.getgroups(), os.getpgrp()": ["getgroups", "getpgrp"],
    "os.getpgid(0), os.getsid(0)": ["getpgid", "getsid"],
    "os.times(), os.sysconf('SC_PAGE_SIZE')": ["times", "sysconf"],
    "os.access('a.txt', os.R_OK)": ["access"],
    "shutil.get_terminal_size()": ["env", "env", "get_terminal_size"],
    "os.statvfs('.'), shutil.disk_usage('.')": ["statvfs"] * 2,
    "resource.getrusage(0), resource.getrlimit(7)": ["getrusage", "getrlimit"],
    "os.stat('a.txt'), look('a.txt'), os.lstat('a.txt')": ["stat", "stat", "lstat"],
    "os.path.getmtime('a.txt'), os.path.exists('a.txt')": ["stat"] * 2,
    "pathlib.Path('a.txt').stat().st_mtime": ["stat"],
    "os.listdir(), list(os.scandir()), glob.glob('*')": ["listdir", "scandir", "scandir"],
    "os.mkdir('d'), os.rmdir('d')": ["mkdir", "rmdir"],
    "os.symlink('a.txt', 'l'), os.readlink('l'), os.unlink('l')": ["symlink", "readlink", "unlink"],
    "os.link('a.txt', 'h'), os.rename('h', 'i'), os.replace('i', 'j'), os.remove('j')": [
        "link", "rename", "replace", "remove",
    ],
    "os.chmod('a.txt', 384), os.utime('a.txt', (1, 1))": ["chmod", "utime"],
    "os.truncate('a.txt', 0)": ["truncate"],
    "os.environ.get('HOME'), os.getenv('NO_SUCH_NAME'), 'LANG' in os.environ": ["env"] * 3,
}  # fmt: skip


def _name_of(event: TraceEvent) -> str:
    value = event.value
    if event.name == "host":
        return str(value[0] if isinstance(value, list) else from_envelope(value)[0])
    return str(event.name)


def test_each_form_leaves_its_answer(tmp_path: Path) -> None:
    (tmp_path / "ws").mkdir()
    with Sandbox(root=tmp_path / "ws", trace=tmp_path / "run.jsonl") as sandbox:
        assert sandbox.execute(BEFORE).error is None
        done = sandbox.execute("\n".join(FORMS))
        assert done.error is None, done.error
    trace = open_trace(tmp_path / "run.jsonl")
    found: dict[str, list[str]] = {form: [] for form in FORMS}
    lines = list(FORMS)
    for event in trace.events(trace.block(2).seq, types={"effect"}):
        assert event.line is not None
        found[lines[event.line - 1]].append(_name_of(event))
    wrong = {form: names for form, names in found.items() if names != FORMS[form]}
    assert wrong == {}
    verdict = replay(trace)
    assert (verdict.diverged, verdict.notes) == (None, ())


class Rule(NamedTuple):
    """A rule of the worker, and how it shows that it is not there."""

    module: str
    """Where it is; of `coda.runtime.worker`."""
    taken_away: str
    """Code that undoes it, run in that module."""
    program: str
    """One whose replay then differs."""


FREE_BYTES = "free = os.getrandom\nUrandom.__call__ = lambda self, size: free(size)"
RULES: dict[str, Rule] = {
    "seed of random": Rule(
        "shims", "Shims._seed_random = lambda *_: None", "import random\nprint(random.random())"
    ),
    "seed of Random()": Rule(
        "shims",
        "Shims._seed_random = lambda self, module: module._inst.seed(self.seed)",
        "import random\nprint(random.Random().random())",
    ),
    "os.urandom": Rule("standins", FREE_BYTES, "import os\nprint(os.urandom(4))"),
    "secrets": Rule("standins", FREE_BYTES, "import secrets\nprint(secrets.token_hex())"),
    "uuid4": Rule("standins", FREE_BYTES, "import uuid\nprint(uuid.uuid4())"),
    "names of temporary files": Rule("standins", FREE_BYTES, "import tempfile\nprint(tempfile.mkdtemp())"),
    "uuid1": Rule(
        "shims",
        "after = Shims.after_import\n"
        "Shims.after_import = lambda self, name, of: None if name == 'uuid' else after(self, name, of)",
        "import uuid\nprint(uuid.uuid1())",
    ),
    "datetime": Rule(
        "shims",
        "Shims._install_datetime = lambda self: None",
        "import datetime\nprint(datetime.datetime.now())",
    ),
    "clocks": Rule(
        "standins",
        "RecordingClock.of = AnsweringClock.of = lambda real, *_: real",
        "import time\nprint(time.perf_counter_ns())",
    ),
    "environment": Rule(
        "standins",
        "RecordedEnviron._coda_note = lambda *_: None",
        "import os\nprint(os.environ.get('HOME'))",
    ),
    "facts of the host": Rule(
        "standins", "HostFact._answer = lambda *_, **__: LIVE", "import os\nprint(os.getpid())"
    ),
    "files as they were": Rule(
        "standins",
        "Stat._answer = lambda *_, **__: LIVE",
        "import os\nopen('a', 'w').close()\nprint(os.stat('a'))",
    ),
    "what a folder held": Rule(
        "listings",
        "from coda.runtime.worker.standins import LIVE\n_Observed._answer = lambda *_, **__: LIVE",
        "import os\nprint(os.listdir(os.path.abspath('../beside')))",
    ),
    "what came of an act": Rule(
        "acts",
        "Act._answer = lambda *_, **__: LIVE",
        """
        import os
        try:
            os.mkdir("../beside/taken")
        except OSError as error:
            print(error.errno)
        """,
    ),
    "whose answer it is": Rule(
        "standins",
        "Feed._is_next = lambda self, code, name: True\n_ask = HostFact.__call__\n"
        "HostFact.__call__ = lambda self, *given: (\n"
        "    _ask(self, *given) if self.__name__ != 'getpid' or not self._feed.replaying else 0)",
        "import os\nprint(os.getppid(), os.getpid(), os.getpgrp())",
    ),
    "collection": Rule(
        "bootstrap",
        "free = os.getrandom\n"
        "gc.disable = lambda: gc.callbacks.append(lambda *_: gc.set_threshold(free(1)[0] + 1))",
        """
        import weakref
        class Ring:
            def __init__(self):
                self.me = self
        rings = weakref.WeakSet()
        for number in range(5000):
            rings.add(Ring())
            if number % 100 == 0:
                print(len(rings))
        """,
    ),
    "turns of threads": Rule(
        "baton",
        "import os\nfree, choose = os.getrandom, Baton._choose\n"
        "def _choose(self):\n    self._promote()\n"
        "    self._runnable.rotate(free(1)[0])\n    return choose(self)\n"
        "Baton._choose = _choose\n",
        """
        import threading
        order, gate = [], threading.Barrier(6)
        def work(name):
            for step in range(6):
                order.append(name)
                gate.wait()
        threads = [threading.Thread(target=work, args=(name,)) for name in "abcdef"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        """,
    ),
    "order of arrivals": Rule(
        "inbox",
        "import os\nfree, deliver = os.getrandom, Inbox._deliver\n"
        "def _deliver(self, answer):\n"
        "    answer.value['timers'].sort(key=lambda _: free(4))\n    deliver(self, answer)\n"
        "Inbox._deliver = _deliver\n",
        """
        import asyncio, time
        order = []
        async def work(number):
            await asyncio.sleep(0.001)
            order.append(number)
        tasks = [asyncio.ensure_future(work(number)) for number in range(20)]
        await asyncio.sleep(0)
        time.sleep(0.01)
        await asyncio.gather(*tasks)
        print(order)
        """,
    ),
    "hashes of tasks": Rule(
        "loop",
        "free, serial = os.getrandom, _serial\n"
        "chance = iter(lambda: int.from_bytes(free(4)), None)\n"
        "_serial = lambda real, numbers: serial(real, chance)\n",
        """
        import asyncio
        async def work(number):
            await asyncio.sleep(0)
        tasks = {asyncio.ensure_future(work(number)) for number in range(20)}
        print([task.get_name() for task in tasks])
        await asyncio.gather(*tasks)
        """,
    ),
    "order of as_completed": Rule(
        "loop",
        "free = os.getrandom\n"
        "def _ordered(tasks):\n    real = tasks.as_completed\n"
        "    return lambda fs: real(map(tasks.ensure_future, sorted(fs, key=lambda _: free(4))))\n",
        """
        import asyncio
        started = []
        async def work(number):
            started.append(number)
        for each in asyncio.as_completed([work(number) for number in range(20)]):
            await each
        print(started)
        """,
    ),
    "readiness of descriptors": Rule(
        "readiness",
        "Readiness._named = lambda self, selector, places: selector.select(0)",
        """
        import asyncio
        child = await asyncio.create_subprocess_exec("sleep", "0.05")
        print(await asyncio.gather(child.wait(), asyncio.sleep(0.02, "first")))
        """,
    ),
    "outcome of a wait": Rule(
        "children",
        "outcome = Children._outcome\n"
        "def _outcome(self, what, child, ask):\n"
        "    found = outcome(self, what, child, ask)\n    return child.code if child.answered else found\n"
        "Children._outcome = _outcome\n",
        """
        import subprocess
        child = subprocess.Popen(["sleep", "0.05"])
        print(child.poll())
        child.wait()
        """,
    ),
}


@pytest.mark.parametrize("name", RULES)
def test_without_this_rule_a_replay_goes_wrong(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = RULES[name]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([os.path.dirname(mutants.__file__), str(ROOT)]))
    monkeypatch.setenv("MUTANT", f"coda.runtime.worker.{rule.module}|{rule.taken_away}")
    assert not is_repeated([rule.program], tmp_path)


def test_with_all_of_them_it_goes_the_same_way(tmp_path: Path) -> None:
    assert is_repeated([rule.program for rule in RULES.values()], tmp_path)


def is_repeated(programs: Iterable[str], folder: Path) -> bool:
    """Whether a replay goes as the recording went; the folder beside the workspace has changed since."""
    (folder / "ws").mkdir()
    (folder / "beside" / "taken").mkdir(parents=True)
    with Sandbox(root=folder / "ws", trace=folder / "run.jsonl", env={"HOME": "/nowhere"}) as sandbox:
        for program in programs:
            done = sandbox.execute(dedent(program))
            assert done.error is None, done.error
    (folder / "beside" / "taken").rmdir()
    return replay(folder / "run.jsonl").diverged is None

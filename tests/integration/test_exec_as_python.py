"""What a program can tell of how it was started, of its streams and of its end: the same as by `python`."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from coda.log import check_trace, open_trace
from coda.replay import replay
from tests.support.programs import ROOT, dedent

pytestmark = pytest.mark.slow

CODA = (sys.executable, "-m", "coda", "exec", "--quiet", "--force", "-o", "../t.jsonl")
ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "PYTHONPATH": str(ROOT),
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUNBUFFERED": "",
}


class Ended(NamedTuple):
    status: int
    out: str
    err: str


def run(command: tuple[str, ...], folder: Path, **how: Any) -> Ended:
    env = {**os.environ, **ENVIRONMENT, **how.pop("env", {})}
    text = how.pop("text_in", None)
    if text is not None:
        how["input"] = text
    elif "preexec_fn" not in how:
        how["stdin"] = subprocess.DEVNULL
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False, **how)
    return Ended(done.returncode if done.returncode >= 0 else 128 - done.returncode, done.stdout, done.stderr)


def both(folder: Path, *arguments: str, **how: Any) -> tuple[Ended, Ended]:
    """The program by python and by coda, in a folder `work`."""
    work = folder / "work"
    plain = run((sys.executable, *arguments), work, **dict(how))
    options = [word for word in arguments[:1] if word == "-m"]
    rest = arguments[len(options) :]
    recorded = run((*CODA, *options, rest[0], *(["--", *rest[1:]] if rest[1:] else [])), work, **dict(how))
    return plain, recorded


FACTS = dedent(
    '''
    """The program's own words."""
    import sys
    import __main__

    print(list(globals()))
    for name in ("__name__", "__doc__", "__package__", "__file__", "__cached__", "__annotations__"):
        print(name, repr(globals()[name]))
    print(__builtins__ is __import__("builtins"), sys.modules["__main__"] is __main__)
    print(type(__loader__).__name__, __loader__.name, __loader__.path)
    if __spec__ is not None:
        print(__spec__.name, __spec__.origin, __spec__.parent, __spec__.loader is __loader__)
    print(sys.argv, sys.orig_argv[-1 - len(sys.argv[1:]):])
    print(sys.path[0], sys.flags, sys.warnoptions, sys._xoptions, sys.dont_write_bytecode)
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        print(stream.name, stream.mode, stream.encoding, stream.errors, stream.fileno(), stream.isatty())

    def deep(n=1):
        try:
            return deep(n + 1)
        except RecursionError:
            return n

    print(deep())

    def fail():
        raise ValueError("the end")

    fail()
    '''
)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    for name in (
        "prog.py",
        "folder/__main__.py",
        "package/__init__.py",
        "package/tool.py",
        "package/__main__.py",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("" if name.endswith("__init__.py") else FACTS)
    return folder


@pytest.mark.parametrize(
    "arguments",
    [
        ("prog.py",), ("./prog.py", "a", "-b"), ("folder/../prog.py",), ("folder",), ("folder/", "x"),
        ("-m", "package.tool", "x"), ("-m", "package"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_program_sees_the_facts_of_a_plain_run(arguments: tuple[str, ...], work: Path) -> None:
    plain, recorded = both(work.parent, *arguments)
    assert plain.status == 1
    assert "ValueError: the end" in plain.err
    assert recorded.out.splitlines() == plain.out.splitlines()
    assert recorded == plain
    verdict = replay(work.parent / "t.jsonl")
    assert verdict.diverged is None, verdict.diverged


def test_a_program_of_standard_input(work: Path) -> None:
    source = (
        "import sys\nprint(__name__, sys.argv, sys.path[0], __file__, __loader__, sys.stdin.read())\n1 / 0\n"
    )
    plain, recorded = both(work.parent, "-", "a", text_in=source)
    assert plain.out.startswith("__main__ ['-', 'a']  <stdin> ")
    assert recorded == plain
    assert open_trace(work.parent / "t.jsonl").block(1).source == source
    assert replay(work.parent / "t.jsonl").faithful


@pytest.mark.parametrize(
    "env",
    [
        {"PYTHONSAFEPATH": "1"},
        {"PYTHONOPTIMIZE": "1", "PYTHONWARNINGS": "error"},
        {"PYTHONIOENCODING": "latin-1:replace"},
        {"PYTHONUTF8": "1", "PYTHONDEVMODE": ""},
    ],
    ids=lambda env: next(iter(env)),
)
def test_variables_of_the_interpreter_count(env: dict[str, str], work: Path) -> None:
    plain, recorded = both(work.parent, "prog.py", env=env)
    assert recorded == plain
    # Replayed by an interpreter that has none of them.
    verdict = replay(work.parent / "t.jsonl")
    assert verdict.diverged is None, verdict.diverged


OPTIONS = ("-OBb", "-W", "error", "-Wignore::ResourceWarning", "-X", "int_max_str_digits=640", "-Xdev", "-u")


def test_options_and_import_path_of_the_interpreter_are_those_of_the_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("work", "first", "second", "temp"):
        (tmp_path / folder).mkdir()
    (tmp_path / "first" / "helper.py").write_text("NAME = 'the first'\n")
    (tmp_path / "work" / "prog.py").write_text(
        "import sys, helper\n"
        "print(sys.flags, sys.warnoptions, sys._xoptions, sys.dont_write_bytecode, __debug__)\n"
        "print(helper.NAME, sys.path, sys.getfilesystemencoding(), sys.stdout.encoding)\n"
    )
    search = f"{ROOT}:../first:{tmp_path / 'missing'}"
    env = {"PYTHONPATH": search, "PYTHONDONTWRITEBYTECODE": "", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}
    env["TMPDIR"] = str(
        tmp_path / "temp"
    )  # what lies in the folder for temporary files is not there on a replay
    plain = run((sys.executable, *OPTIONS, "prog.py"), tmp_path / "work", env=env)
    recorded = run((sys.executable, *OPTIONS, *CODA[1:], "prog.py"), tmp_path / "work", env=env)
    assert "the first" in plain.out
    assert recorded == plain
    started = open_trace(tmp_path / "t.jsonl").started
    assert started.options is not None
    assert started.options[:5] == ("-O", "-B", "-b", "-Werror", "-Wignore::ResourceWarning")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "second"))
    monkeypatch.setenv("PYTHONWARNINGS", "default")
    monkeypatch.setenv("PYTHONOPTIMIZE", "2")
    (tmp_path / "second" / "helper.py").write_text("NAME = 'the second'\n")
    verdict = replay(tmp_path / "t.jsonl")
    assert verdict.diverged is None, verdict.diverged
    assert not [note for note in verdict.notes if "interpreter" in note]


@pytest.mark.parametrize("closed", [0, 1, 2])
def test_closed_descriptors_have_no_stream(closed: int, work: Path) -> None:
    (work / "prog.py").write_text(
        "import sys\n"
        "facts = [stream is None for stream in (sys.stdin, sys.stdout, sys.stderr, sys.__stdin__)]\n"
        "with open('facts', 'w') as file:\n    print(facts, file=file)\n"
        "print('out')\nprint('err', file=sys.stderr)\n"
    )
    plain, recorded = both(work.parent, "prog.py", preexec_fn=lambda: os.close(closed))
    assert (work / "facts").read_text() == f"{[closed == 0, closed == 1, closed == 2, closed == 0]}\n"
    assert recorded == plain
    assert open_trace(work.parent / "t.jsonl").started.closed == (closed,)
    assert replay(work.parent / "t.jsonl").faithful


ENDS = {
    "text": ("sys.exit('text')", 1),
    "nothing": ("sys.exit()", 0),
    "number": ("sys.exit(3)", 3),
    "negative": ("sys.exit(-1)", 255),
    "true": ("sys.exit(True)", 1),
    "float": ("sys.exit(1.5)", 1),
    "group": ("raise ExceptionGroup('g', [ValueError(1)])", 1),
    "hook": ("sys.excepthook = lambda *found: print('hook', found[0]); 1 / 0", 1),
    "interrupt": ("raise KeyboardInterrupt", 130),
    "at once": ("os._exit(5)", 5),
    "SIGTERM": ("os.kill(os.getpid(), signal.SIGTERM)", 143),
    "SIGKILL": ("os.kill(os.getpid(), signal.SIGKILL)", 137),
    "SIGABRT": ("os.abort()", 134),
    "SIGPIPE": ("os.kill(os.getpid(), signal.SIGPIPE); print('alive')", 0),
}


@pytest.mark.parametrize("how", ENDS)
def test_the_status_is_what_a_shell_would_show(how: str, work: Path) -> None:
    code, status = ENDS[how]
    (work / "prog.py").write_text(f"import os, signal, sys\nprint('begun', flush=True)\n{code}\n")
    plain, recorded = both(work.parent, "prog.py")
    assert plain.status == status
    assert (recorded.status, recorded.out) == (status, plain.out)
    finished = open_trace(work.parent / "t.jsonl").finished
    assert finished is not None
    assert finished.code == status
    assert check_trace(work.parent / "t.jsonl").consistent
    if how.startswith("SIG") and how != "SIGPIPE":
        assert recorded.err == f"coda: the program was ended by {how}\n"
        assert finished.outcome == "killed"
    else:
        assert recorded.err == plain.err


@pytest.mark.parametrize("stubborn", [False, True], ids=["interrupted", "killed"])
def test_the_time_limit_has_a_status_of_its_own(stubborn: bool, work: Path) -> None:
    loop = "while True:\n    try:\n        while True: pass\n    except BaseException: pass\n"
    (work / "prog.py").write_text(loop if stubborn else "while True: pass\n")
    done = run((*CODA, "--timeout", "200ms", "prog.py"), work)
    assert (done.status, done.out) == (124, "")
    assert done.err.endswith("coda: the program was stopped after the time limit of 0.2 s\n")
    finished = open_trace(work.parent / "t.jsonl").finished
    assert finished is not None
    assert (finished.outcome, finished.code) == ("killed" if stubborn else "interrupted", 124)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("-c", "cpu=200ms"), "stopped after 0.2 s of processor time"),
        (("-c", "max-logged=10K"), "stopped: the run has written more than 10240 bytes"),
    ],
    ids=["processor time", "output"],
)
def test_other_limits_end_a_program_like_the_time_limit(
    options: tuple[str, ...], sentence: str, work: Path
) -> None:
    (work / "prog.py").write_text("while True: print('x' * 100)\n")
    done = run((*CODA[:3], *options, *CODA[3:], "prog.py"), work)
    assert done.status == 124
    assert done.err.endswith(f"coda: the program was {sentence}\n")


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT"])
@pytest.mark.parametrize("handled", [True, False])
def test_a_signal_sent_to_coda_alone_is_passed_on(handled: bool, name: str, work: Path) -> None:
    number = signal.Signals[name]
    (work / "prog.py").write_text(
        "import signal, sys\n"
        + (f"signal.signal(signal.{name}, lambda *_: sys.exit(7))\n" if handled else "")
        + "print('ready', flush=True)\nwhile True: pass\n"
    )
    with subprocess.Popen(
        (*CODA, "prog.py"), cwd=work, env={**os.environ, **ENVIRONMENT}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        try:
            assert process.wait(30) == (7 if handled else 128 + number)
        finally:
            process.kill()  # so that a failure is no endless wait
    report = check_trace(work.parent / "t.jsonl")
    assert (report.damage, report.finished) == ((), True)


TALKS = """\
import sys
print([stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)])
name = input("name? ")
count = 0
try:
    print("hello", name)
    while True:
        count += 1
except KeyboardInterrupt:
    print("stopped")
    sys.exit(9)
"""


@pytest.mark.parametrize("recorded", [False, True], ids=["python", "coda"])
def test_a_terminal_is_the_program_s(recorded: bool, work: Path) -> None:
    """Its input, its prompt, and its Ctrl-C, which reaches the program once."""
    (work / "prog.py").write_text(TALKS)
    command = [*CODA, "prog.py"] if recorded else [sys.executable, "prog.py"]
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(work)
        os.execve(command[0], command, {**os.environ, **ENVIRONMENT})
    seen, told = b"", [(b"hello bob", b"\x03"), (b"name? ", b"bob\n")]
    while True:
        try:
            data = os.read(terminal, 1000)
        except OSError:  # the other end is closed
            break
        if not data:
            break
        seen += data
        if told and told[-1][0] in seen:
            os.write(terminal, told.pop()[1])
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
    assert seen.replace(b"^C", b"").decode().splitlines() == [
        "[True, True, True]", "name? bob", "hello bob", "stopped",
    ]  # fmt: skip


def test_a_program_that_catches_ctrl_c_goes_on_in_its_next_cell(work: Path) -> None:
    (work / "prog.py").write_text(
        "import os, signal\nkept = 1\ntry:\n    os.kill(os.getpid(), signal.SIGINT)\n    while True: pass\n"
        "except KeyboardInterrupt:\n    kept += 1\n# %%\nprint('next', kept)\n"
    )
    assert run((*CODA, "prog.py"), work) == (0, "next 2\n", "")
    trace = open_trace(work.parent / "t.jsonl")
    assert [block.outcome for block in trace.blocks] == ["ok", "ok"]
    assert "signal" in {event.type for event in trace.events()}


def test_output_keeps_the_order_in_which_it_was_written(work: Path) -> None:
    """As by `python -u`: at once, and what children write where they were started."""
    (work / "prog.py").write_text(
        "import subprocess, sys\n"
        "for number in range(5):\n"
        "    print('out', number)\n    print('err', number, file=sys.stderr)\n"
        "    subprocess.run(['echo', 'child', str(number)])\n"
    )
    done = subprocess.run(
        (*CODA, "prog.py"), cwd=work, env={**os.environ, **ENVIRONMENT},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines() == [f"{kind} {n}" for n in range(5) for kind in ("out", "err", "child")]


ODD = {
    "a hook that exits": "import sys\nsys.excepthook = lambda *found: sys.exit(5)\n1 / 0",
    "a hook that fails": "import sys\ndef hook(*found): raise KeyError(1)\nsys.excepthook = hook\n1 / 0",
    "a status without a text": "class A:\n    def __str__(self): 1 / 0\nraise SystemExit(A())",
    "few builtins": (
        "import builtins\nfor name in list(vars(builtins)):\n"
        "    if name not in ('print', 'vars', 'list'): vars(builtins).pop(name)\nprint(1)"
    ),
    "a path of a subclass": (
        "class Path(str): pass\nopen(Path('made'), 'w').close()\nprint(open(Path('made')).read())"
    ),
    "a tracer": (
        "import sys, time\ndef trace(frame, event, arg):\n    told.append((event, frame.f_lineno))\n"
        "    return trace\ntold = []\ndef f():\n    x = time.time()\n    print('out')\n    return 1\n"
        "sys.settrace(trace)\nf()\nprint(sys.gettrace() is trace)\nsys.settrace(None)\n"
        "print(told, sys.gettrace())"
    ),
    "a profiler": (
        "import sys\ndef profile(frame, event, arg): told.append((event, frame.f_code.co_name))\ntold = []\n"
        "def f(n):\n    x = [n]\n    if n: f(n - 1)\nsys.setprofile(profile)\nf(2)\nsys.setprofile(None)\n"
        "print([each for each in told if each[0] != 'c_call'], sys.getprofile())"
    ),
}


@pytest.mark.parametrize("what", ODD)
def test_an_odd_program_ends_as_by_python(what: str, work: Path) -> None:
    (work / "prog.py").write_text(ODD[what] + "\n")
    plain, recorded = both(work.parent, "prog.py")
    if what == "a status without a text" and sys.version_info >= (3, 12):
        # Newer Pythons leave the failure pending, and print it with whatever they do next at their end.
        plain = plain._replace(err=plain.err[:1])
    assert recorded == plain
    assert check_trace(work.parent / "t.jsonl").consistent
    verdict = replay(work.parent / "t.jsonl")
    assert verdict.diverged is None, verdict.diverged


def test_a_debugger_shows_the_program_alone(work: Path) -> None:
    (work / "prog.py").write_text("x = 1\nfor n in range(2):\n    x += n\nprint(x)\n")
    plain, recorded = both(work.parent, "-m", "pdb", "prog.py", text_in="n\nn\np x\nc\nq\n")
    assert "(Pdb) 1" in plain.out
    assert recorded == plain
    assert replay(work.parent / "t.jsonl").diverged is None

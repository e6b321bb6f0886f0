"""Child processes of agent code: asked of the host, performed here, or answered from the log.

`subprocess.run` and what is built on it (check_output, check_call, call, getoutput) and `os.system` are
recorded with arguments, input and results, and answered on replay without any process. What is talked to
while it runs, `Popen`, is in `children.py`.
"""

from __future__ import annotations

import io
import os
import signal
from typing import Any, NoReturn

from coda.log import from_envelope, to_envelope
from coda.runtime.protocol import Leaving
from coda.runtime.worker.children import Children
from coda.runtime.worker.circumstances import Circumstances
from coda.runtime.worker.names import describe_exception, rebuild_exception
from coda.runtime.worker.recorder import Recorder
from coda.runtime.worker.standins import Feed
from coda.runtime.worker.units import Units

_OUTPUT_BYTES = 1 << 28
_REDIRECTS = {-1: "pipe", -2: "stdout", -3: "devnull", None: "inherit"}


class Processes:
    """Installs the recorded forms."""

    def __init__(self, recorder: Recorder, units: Units, feed: Feed, circumstances: Circumstances) -> None:
        self._recorder = recorder
        self._units = units
        self._circumstances = circumstances
        self._children = Children(
            recorder,
            feed,
            describe=lambda *args, **more: {**self._describe(*args, **more), **units.where()},
            raise_recorded=_raise_recorded,
            circumstances=circumstances,
        )

    def install(self) -> None:
        """Takes over `os.system`; `subprocess` is adapted when it is imported."""
        real = os.system

        def system(command: Any) -> int:
            data = {"argv": [os.fsdecode(command)], "shell": True, "via": "os.system"}
            data.update(self._circumstances.facts(None))
            result: int = self._cross(data, lambda: (real(command), None, None), lambda code, out, err: code)
            return result

        system.__doc__ = real.__doc__
        os.system = system
        for name in ("_exit", "abort"):
            setattr(os, name, self._last_act(getattr(os, name)))
        signal.raise_signal = self._after_draining(signal.raise_signal)

    def _after_draining(self, real: Any) -> Any:
        """What may be the last thing that the process does, behind what has gathered."""
        recorder = self._recorder

        def act(*args: Any) -> Any:
            recorder.drain()
            return real(*args)

        act.__name__ = act.__qualname__ = real.__name__
        act.__doc__, act.__module__ = real.__doc__, real.__module__
        return act

    def _last_act(self, real: Any) -> Any:
        """A way to end the process at once that first sends what has gathered."""
        recorder = self._recorder

        def act(*args: Any) -> Any:
            if args and isinstance(args[0], int):
                recorder.send(Leaving(args[0] & 0xFF))
            else:
                recorder.drain()
            return real(*args)

        act.__name__ = act.__qualname__ = real.__name__
        act.__doc__, act.__module__ = real.__doc__, real.__module__
        return act

    @property
    def children(self) -> Children:
        """Those that are talked to."""
        return self._children

    def adapt(self, subprocess: Any) -> None:
        """Puts the recorded `run`, `call` and `Popen` into the module `subprocess`."""
        self._children.adapt(subprocess)
        real_run = subprocess.run
        completed = subprocess.CompletedProcess

        def run(
            *popenargs: Any,
            input: Any = None,
            capture_output: bool = False,
            timeout: Any = None,
            check: bool = False,
            **kwargs: Any,
        ) -> Any:
            command = popenargs[0] if popenargs else kwargs["args"]
            data = self._describe(command, kwargs, via="subprocess.run")
            data.update(self._children.circumstances(_descriptor_of(kwargs.get("stdin"))))
            data["stdin"] = input.encode() if isinstance(input, str) else input and bytes(input)
            if capture_output:
                data["redirects"] = ["inherit", "pipe", "pipe"]

            def perform() -> tuple[Any, Any, Any]:
                done = real_run(
                    *popenargs,
                    input=input,
                    capture_output=capture_output,
                    timeout=timeout,
                    check=False,
                    **kwargs,
                )
                return done.returncode, done.stdout, done.stderr

            def build(code: Any, out: Any, err: Any) -> Any:
                return completed(command, code, out, err)

            result = self._cross(data, perform, build, timeout=(subprocess.TimeoutExpired, command))
            if check and result.returncode:
                raise subprocess.CalledProcessError(
                    result.returncode, command, output=result.stdout, stderr=result.stderr
                )
            return result

        def call(*popenargs: Any, timeout: Any = None, **kwargs: Any) -> int:
            code: int = run(*popenargs, timeout=timeout, **kwargs).returncode
            return code

        run.__doc__, call.__doc__ = real_run.__doc__, subprocess.call.__doc__
        for shim in (run, call):
            shim.__module__ = "subprocess"
            shim.__qualname__ = shim.__name__
        subprocess.run = run
        subprocess.call = call

    def _describe(self, command: Any, kwargs: dict[str, Any], *, via: str) -> dict[str, Any]:
        single = isinstance(command, (str, bytes, os.PathLike))
        parts = [command] if single else list(command)
        cwd = kwargs.get("cwd")
        return {
            "argv": [os.fsdecode(part) for part in parts],
            "shell": bool(kwargs.get("shell")),
            "cwd": os.fsdecode(cwd) if cwd is not None else None,
            "env": _changed_environment(kwargs.get("env")),
            "via": via,
            "redirects": [
                _REDIRECTS.get(kwargs.get(name), "file")
                if not hasattr(kwargs.get(name), "fileno")
                else "file"
                for name in ("stdin", "stdout", "stderr")
            ],
        }

    def _cross(self, data: dict[str, Any], perform: Any, build: Any, *, timeout: Any = None) -> Any:
        recorder = self._recorder
        self._children.settle(data["source"])
        answer = recorder.request("process.started", {**data, **self._units.where()})
        if not answer.ok:
            raise PermissionError(str(answer.value))
        if answer.value is not None:  # recorded
            return self._answer(answer.value, build, timeout)
        with recorder.quiet():
            try:
                code, out, err = perform()
            except BaseException as error:
                described = describe_exception(error)
                described["timeout"] = getattr(error, "timeout", None)
                described["errno"] = getattr(error, "errno", None)
                described["filename"] = to_envelope(getattr(error, "filename", None))
                described["output"] = to_envelope(getattr(error, "output", None), max_bytes=_OUTPUT_BYTES)
                described["stderr"] = to_envelope(getattr(error, "stderr", None), max_bytes=_OUTPUT_BYTES)
                recorder.request("process.finished", {"error": described})
                raise
        result = {
            "code": code,
            "stdout": to_envelope(out, max_bytes=_OUTPUT_BYTES),
            "stderr": to_envelope(err, max_bytes=_OUTPUT_BYTES),
        }
        recorder.request("process.finished", result)
        return build(code, out, err)

    @staticmethod
    def _answer(value: dict[str, Any], build: Any, timeout: Any) -> Any:
        error = value.get("error")
        if error is None:
            return build(value["code"], from_envelope(value["stdout"]), from_envelope(value["stderr"]))
        return _raise_outcome(error, timeout)


def _descriptor_of(stdin: Any) -> int | None:
    """The descriptor of what is given as standard input; -1 for what is no plain file of Python's."""
    if stdin is None or stdin in _REDIRECTS:
        return None
    if isinstance(stdin, int):
        return stdin
    try:
        return stdin.fileno() if isinstance(stdin, io.IOBase) else -1
    except (OSError, ValueError):
        return -1


def _raise_outcome(error: dict[str, Any], timeout: Any) -> NoReturn:
    """Raises what a call raised, a time-out too."""
    if timeout is not None and str(error["type"]).endswith("TimeoutExpired"):
        kind, command = timeout
        raise kind(
            command, error.get("timeout"), from_envelope(error["output"]), from_envelope(error["stderr"])
        )
    _raise_recorded(error)


def _changed_environment(env: Any) -> dict[str, str | None]:
    """What of a child's environment differs from the program's own."""
    if env is None:
        return {}
    # Reading through os.environ would be an observation of the program.
    own = os.environ._data  # type: ignore[attr-defined]
    given = {os.fsencode(name): os.fsencode(value) for name, value in env.items()}
    changed: dict[str, str | None] = {
        os.fsdecode(name): os.fsdecode(value) for name, value in given.items() if own.get(name) != value
    }
    changed.update((os.fsdecode(name), None) for name in own if name not in given)
    return changed


def _raise_recorded(error: dict[str, Any]) -> NoReturn:
    """Raises what starting a process raised."""
    if error.get("errno") is not None:
        text = os.strerror(error["errno"])
        raise OSError(error["errno"], text, from_envelope(error["filename"]))
    raise rebuild_exception(error)

"""Programs as `python` takes them from a command line: a file, a folder, a module, standard input.

Guarantee: arguments, import path and file names are those of a plain run; nothing of the program is executed
here, and no package of a module is imported.
"""

from __future__ import annotations

import importlib.util
import os
import stat
import sys
import warnings
from pathlib import Path
from typing import NamedTuple

from coda.errors import UsageError
from coda.runtime import Program

STDIN = "<stdin>"
"""File name of a program that standard input holds."""


_MAIN = "__main__.py"
_END_OF_ARCHIVE = b"PK\x05\x06"
"""Begins the record that ends a zip file."""


class Loaded(NamedTuple):
    """A program that is to run."""

    source: str | None
    """None for a module: the worker finds it."""
    facts: Program
    content: bytes | None
    """The bytes of its file."""
    file: str | None = None
    """The file, where it is not the one that holds the source: an archive."""


def load(program: str, args: tuple[str, ...], *, module: bool) -> Loaded:
    """Gives what a command line names.

    Args:
        program: a file, a folder or zip file with a `__main__.py`, `-` for standard input, a module's name.
        args: the program's own arguments.
        module: whether it is a module's name.

    Raises:
        UsageError: it cannot be read, or is no Python source.
    """
    if module:
        return _module(program, args)
    return _stdin(program, args) if program == "-" else _file(program, args)


def has_terminal() -> bool:
    """Tells whether there is a terminal whose signals reach us and the program alike."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def compiles(source: str, name: str) -> bool:
    """Tells whether a whole script is Python; nothing of it is executed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(source, name, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _file(program: str, args: tuple[str, ...]) -> Loaded:
    path = Path(program)
    if path.is_dir():
        path = path / _MAIN
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot open program {program!r}: {error.strerror}") from error
    if _END_OF_ARCHIVE in content:
        from coda.cli.archives import main_of

        if (source := main_of(content, program)) is not None:
            return _archive(program, args, content, source)
    is_folder = path != Path(program)
    # The interpreter joins names and does not clean them; only for the import path it resolves links.
    main = os.path.join(os.getcwd(), *([program, path.name] if is_folder else [program]))
    folder = os.path.join(os.getcwd(), program) if is_folder else os.path.dirname(os.path.realpath(path))
    facts = _facts(argv=(program, *args), main=main, module=None, path=_safe(folder))
    return Loaded(_decode(content, program), facts, content)


def _archive(program: str, args: tuple[str, ...], content: bytes, source: bytes) -> Loaded:
    """A zip file with a `__main__.py`; what it holds is imported from it."""
    place = os.path.join(os.getcwd(), program)
    facts = _facts(argv=(program, *args), main=os.path.join(place, _MAIN), module=None, path=_safe(place))
    return Loaded(_decode(source, f"{program}/{_MAIN}"), facts, content, place)


def _module(name: str, args: tuple[str, ...]) -> Loaded:
    # The worker finds it: importing the module's packages runs their code, which is not the host's to do.
    facts = _facts(argv=(name, *args), main=None, module=name, path=_safe(os.getcwd()))
    return Loaded(None, facts, None)


def _stdin(_: str, args: tuple[str, ...]) -> Loaded:
    """The program is what standard input holds, to its end, as `python -` takes it."""
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError("a program is not read from a terminal: name a file, or pipe it in")
    source = _decode(sys.stdin.buffer.read(), STDIN)
    return Loaded(source, _facts(argv=("-", *args), main=None, module=None, path=_safe("")), None)


def _safe(folder: str) -> tuple[str, ...]:
    """Where the program's own modules are looked for; nowhere when the interpreter was told to be safe."""
    return () if sys.flags.safe_path else (folder,)


def _facts(*, argv: tuple[str, ...], main: str | None, module: str | None, path: tuple[str, ...]) -> Program:
    return Program(
        argv=argv,
        main=main,
        module=module,
        path=path,
        cwd=os.getcwd(),
        stdin=None if sys.__stdin__ is None else 0,
        # Not by the descriptors: one that was closed may be another file by now.
        closed=tuple(
            fd for fd, stream in enumerate((sys.__stdin__, sys.__stdout__, sys.__stderr__)) if stream is None
        ),
        apart="none" if has_terminal() else "group",
        tty=(os.isatty(0), os.isatty(1), os.isatty(2)),
        encoding=sys.stdout.encoding or "utf-8",
        outside=tuple(path for path in (_file_of(1), _file_of(2)) if path is not None),
    )


def _file_of(fd: int) -> str | None:
    """The regular file that a descriptor writes to, where the system tells."""
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return None
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return None


def _decode(content: bytes, program: str) -> str:
    try:
        return importlib.util.decode_source(content)
    except (SyntaxError, UnicodeDecodeError) as error:
        raise UsageError(f"{program} is not Python source: {error}") from error

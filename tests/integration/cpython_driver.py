"""Runs test modules of CPython's own, plain or instrumented, and prints each test's outcome as JSON.

Usage: python -m tests.integration.cpython_driver MODULE[,MODULE ...] plain|lines|values
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import io
import json
import sys
import unittest
from collections.abc import Sequence
from types import CodeType, ModuleType
from typing import Any

from coda.runtime.instrument import FrameNumbers, compile_unit
from coda.runtime.instrument_hooks import Buffer, Values

LINES, VALUES, NUMBERS = Buffer(), Values(), FrameNumbers()


class Loader(importlib.machinery.SourceFileLoader):
    """Loads a source file through the instrumenter, never from bytecode."""

    level = "values"

    def get_code(self, fullname: str) -> CodeType:
        """Compiles the source with hooks."""
        path = self.get_filename(fullname)
        unit = compile_unit(
            importlib.util.decode_source(self.get_data(path)),
            filename=path,
            base=0,
            level=self.level,
            lines=LINES,
            values=VALUES,
            value_limit=64,
            frames=NUMBERS,
        )
        assert unit.note is None, unit.note
        return unit.code


class Finder:
    """Sends one module and its submodules to the instrumenting loader."""

    def __init__(self, name: str) -> None:
        self.name = name

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Gives the path finder's answer with another loader."""
        if name != self.name and not name.startswith(f"{self.name}."):
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and type(spec.loader) is importlib.machinery.SourceFileLoader:
            spec.loader = Loader(name, spec.loader.path)
        return spec


class Outcomes(unittest.TestResult):
    """Notes how each test, and each failing subtest, ended."""

    def __init__(self) -> None:
        super().__init__()
        self.ended: dict[str, str] = {}

    def note(self, test: unittest.TestCase, outcome: str) -> None:
        if self.ended.get(test.id(), "ok") in ("ok", outcome):
            self.ended[test.id()] = outcome

    def addSuccess(self, test: unittest.TestCase) -> None:
        self.note(test, "ok")

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:
        self.note(test, "failed: " + str(err[1])[-300:])

    def addError(self, test: unittest.TestCase, err: Any) -> None:
        self.note(test, f"error: {err[0].__name__}: {str(err[1])[-300:]}")

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        self.note(test, "skipped")

    def addExpectedFailure(self, test: unittest.TestCase, err: Any) -> None:
        self.note(test, "expected failure")

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:
        self.note(test, "unexpected success")

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: Any) -> None:
        if err is not None:
            self.note(test, f"failed: {subtest.id()}: {str(err[1])[-300:]}")


def main(names: str, mode: str) -> None:
    """Runs `test.NAME` for each name and prints outcomes, and how much was recorded."""
    result = Outcomes()
    out, sys.stdout = sys.stdout, io.StringIO()
    for name in names.split(","):
        if mode != "plain":
            Loader.level = mode
            sys.meta_path.insert(0, Finder(f"test.{name}"))
        suite = unittest.defaultTestLoader.loadTestsFromName(f"test.{name}")
        suite.run(result)
    sys.stdout = out
    print(json.dumps({"ended": result.ended, "lines": len(LINES), "values": len(VALUES)}))


if __name__ == "__main__":
    main(*sys.argv[1:])

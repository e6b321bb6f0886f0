"""CPython's own tests of the language end the same way through the instrumenter as without it.

Each module runs twice, in processes of its own or with a few others: bare, and loaded through an import
hook that instruments it at level `values`, frames included. What is allowed to differ is listed, with the
mechanism; a test on the list that no longer differs fails too.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

MODULES = (
    "test_asyncgen",
    "test_class",
    "test_contextlib",
    "test_coroutines",
    "test_dataclasses",
    "test_decorators",
    "test_descr",
    "test_enum",
    "test_except_star",
    "test_exception_group",
    "test_exceptions",
    "test_fstring",
    "test_gc",
    "test_generators",
    "test_grammar",
    "test_inspect",
    "test_metaclass",
    "test_named_expressions",
    "test_patma",
    "test_scope",
    "test_super",
    "test_traceback",
    "test_typing",
    "test_with",
)

# More modules that run fast and differ in nothing; several share a process.
MORE = """
    abc augassign base64 binop bisect bool cgi charmapcodec cmath codeop collections colorsys
    compare complex configparser contains contextlib_async copy copyreg csv defaultdict dict_version
    dictcomps dictviews difflib dynamic dynamicclassattribute eof errno extcall filecmp float
    fnmatch fractions funcattrs generator_stop genericalias genericpath genexps getopt glob global
    graphlib heapq html htmlparser index int int_literal isinstance iter iterlen keyword
    keywordonlyarg list listcomps longexp memoryview mimetypes minidom module numeric_tower opcodes
    operator optparse ordered_dict pep646_syntax positional_only_arg pow pprint property pulldom
    pyexpat quopri raise range reprlib richcmp sched setcomps shlex slice string string_literals
    strptime struct structseq subclassinit syntax textwrap typechecks types unary
    unicode_identifiers unpack unpack_ex userdict userlist userstring weakset
""".split()
TOGETHER = 17

# `append` and `left`, the hooks' attributes, are in `co_names`: getclosurevars lists them as unbound.
_NAMES = "hooks add attribute names to co_names"
# The test takes a code object from a fixed place in `co_consts`; the buffer is a constant before it.
_CONSTS = "hooks add constants before the others in co_consts"

# 3.12 reports a line to trace functions again after a jump on that line, also one over a spent hook.
_JUMPS = "3.12 repeats line events after jumps"

# A frame that an exception has left stands at the mark of its end, which has no line; `tb_lineno` is right.
_ENDS = "frames that raised end at a mark without a line"

EXCLUDED: dict[str, str] = {
    "PEP626Tests.test_lineno_after_other_except": _ENDS,
    "PEP626Tests.test_lineno_after_raise_in_except": _ENDS,
    "PEP626Tests.test_lineno_after_raise_in_with_exit": _ENDS,
    "PEP626Tests.test_lineno_after_raise_simple": _ENDS,
    "PEP626Tests.test_lineno_after_with": _ENDS,
    "PEP626Tests.test_lineno_in_finally_except": _ENDS,
    "PEP626Tests.test_lineno_in_finally_normal": _ENDS,
    "PEP626Tests.test_lineno_in_named_except": _ENDS,
    "PEP626Tests.test_lineno_in_try": _ENDS,
    "PEP626Tests.test_missing_lineno_shows_as_none": _ENDS,
    "TestRetrievingSourceCode.test_getframeinfo_get_first_line": _ENDS,
    "TestGetClosureVars.test_generator_closure": _NAMES,
    "TestGetClosureVars.test_getclosurevars_empty": _NAMES,
    "TestGetClosureVars.test_method_closure": _NAMES,
    "TestGetClosureVars.test_name_resolution": _NAMES,
    "TestSignatureBind.test_signature_bind_implicit_arg": _CONSTS,
    "TestTracing.test_default_capture": _JUMPS,
    "TestTracing.test_default_wildcard": _JUMPS,
    "TestTracing.test_no_default": _JUMPS,
    "TestTracing.test_only_default_capture": _JUMPS,
    "TestTracing.test_only_default_wildcard": _JUMPS,
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("test.test_grammar") is None,
        reason="this Python came without its `test` package",
    ),
]


def _run(module: str, mode: str, cwd: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.integration.cpython_driver", module, mode],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "1", "COLUMNS": "80"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    outcome: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return outcome


@pytest.mark.parametrize("module", MODULES)
def test_outcomes_are_those_of_a_bare_run(module: str, tmp_path: Path) -> None:
    bare = _run(module, "plain", tmp_path)
    recorded = _run(module, "values", tmp_path)
    assert bare["ended"]
    assert recorded["lines"] > recorded["values"] > 0
    different = {
        name.partition(f"{module}.")[2].replace(f"{module}.", ""): (outcome, recorded["ended"].get(name))
        for name, outcome in bare["ended"].items()
        if recorded["ended"].get(name) != outcome
    }
    assert different.keys() == _excluded(module), different
    assert recorded["ended"].keys() == bare["ended"].keys()


@pytest.mark.parametrize("first", range(0, len(MORE), TOGETHER))
def test_more_modules_end_as_in_a_bare_run(first: int, tmp_path: Path) -> None:
    found = [f"test_{name}" for name in MORE[first : first + TOGETHER]]
    names = ",".join(name for name in found if importlib.util.find_spec(f"test.{name}") is not None)
    bare = _run(names, "plain", tmp_path)
    recorded = _run(names, "values", tmp_path)
    assert bare["ended"]
    assert recorded["lines"] > recorded["values"] > 0
    different = {
        name: (outcome, recorded["ended"].get(name))
        for name, outcome in bare["ended"].items()
        if recorded["ended"].get(name) != outcome
    }
    assert different == {}
    assert recorded["ended"].keys() == bare["ended"].keys()


def test_there_are_a_hundred_modules() -> None:
    assert len({*MODULES, *(f"test_{name}" for name in MORE)}) >= 100


def _excluded(module: str) -> set[str]:
    if module == "test_inspect":
        return {name for name, why in EXCLUDED.items() if why != _JUMPS and not name.startswith("PEP626")}
    if module == "test_exceptions":
        return {name for name in EXCLUDED if name.startswith("PEP626")}
    if module == "test_patma" and sys.version_info[:2] == (3, 12):
        return {name for name, why in EXCLUDED.items() if why == _JUMPS}
    return set()


def test_the_list_of_exclusions_does_not_grow() -> None:
    assert len(EXCLUDED) == 21
    assert set(EXCLUDED.values()) == {_NAMES, _CONSTS, _JUMPS, _ENDS}

"""Programs of more than one file: modules, packages, archives, cells."""

from __future__ import annotations

import io
import zipfile

from tests.support.programs import Program, program

_HELPER = "def double(x):\n    y = x * 2\n    return y\n"


def _zipped(**members: str) -> bytes:
    """A zip file with a fixed date."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in members.items():
            archive.writestr(zipfile.ZipInfo(name.replace("__slash__", "/") + ".py"), text)
    return buffer.getvalue()


_ZIP_MAIN = """\
import os, sys
import inner
from pk.mod import V
print(__name__, inner.f(3), V, sys.argv, os.path.basename(__file__), sys.path[0] == os.path.dirname(__file__))
print(type(__loader__).__name__, __spec__.name, repr(__package__), __cached__)
# %% a second cell
x = inner.f(20)
sys.exit(x)
"""
_ZIP_HELPERS = {
    "inner": "def f(x):\n    return x * 2\n",
    "pk__slash____init__": "",
    "pk__slash__mod": "V = 1\n",
}

LAYOUT = [
    Program(
        "zip_program", _zipped(__main__=_ZIP_MAIN, **_ZIP_HELPERS), file="app.pyz", args=("a",), status=40
    ),
    program(
        "module_missing", "", files={"pk/__init__.py": "print('looked')\n"}, module="pk.nowhere", status=1
    ),
    program(
        "package_that_fails",
        "",
        files={
            "bad/__init__.py": "import sys\nprint('begun')\nsys.exit(7)\n",
            "bad/tool.py": "print('never')\n",
        },
        module="bad.tool",
        status=7,
    ),
    program(
        "cells",
        """
        from __future__ import annotations
        x = 1
        # %% second
        def f(a: NotThere) -> int:
            return a + x
        s = '''
        # %% not a cell
        '''
        # %% third
        print(f(2), len(s), f.__annotations__)
        """,
    ),
    program("cell_error", "print('one')\n# %%\n1 / 0\n# %%\nprint('never')\n", status=1),
    program("cell_syntax_error", "print('never')\n# %%\nprint(\n", status=1),
    program("cell_exit", "import sys\n# %%\nsys.exit(6)\n# %%\nprint('never')\n", status=6),
    program(
        "workspace_modules",
        """
        import importlib
        import helper
        from pkg import sub
        from pkg.deep import thing as renamed
        print(helper.double(4), sub.NAME, renamed.value(), helper.__name__, __package__)
        with open("late.py", "w") as f:
            f.write("X = 5\\n")
        import late
        print(late.X)
        with open("late.py", "w") as f:
            f.write("X = 'changed'\\n")
        importlib.reload(late)
        print(late.X)
        try:
            import broken
        except SyntaxError as error:
            print("broken", error.lineno)
        try:
            import nothing_of_this_name
        except ModuleNotFoundError as error:
            print(error)
        """,
        files={
            "helper.py": _HELPER,
            "broken.py": "x = (\n",
            "pkg/__init__.py": "from . import deep\n",
            "pkg/sub.py": "NAME = __name__\n",
            "pkg/deep/__init__.py": "",
            "pkg/deep/thing.py": "from .. import sub\ndef value():\n    return sub.NAME + '!'\n",
        },
    ),
    program(
        "module_form",
        "print('unused')\n",
        files={
            "pkg/__init__.py": "print('package')\n",
            "pkg/tool.py": "import sys\nfrom .other import X\nprint(__name__, sys.argv[1:], X)\n",
            "pkg/other.py": "X = 1\n",
        },
        module="pkg.tool",
        args=("a", "-m", "--x"),
    ),
    program(
        "module_main",
        "print('unused')\n",
        files={
            "pkg/__init__.py": "",
            "pkg/__main__.py": "print('main of', __package__)\nraise SystemExit(9)\n",
        },
        module="pkg",
        status=9,
    ),
    program(
        "other_folder",
        """
        import os, sys
        import beside
        print(os.path.basename(os.getcwd()), sys.argv[0], beside.WHO, os.path.basename(sys.path[0]))
        print(os.listdir("."))
        """,
        file="tools/prog.py",
        files={"tools/beside.py": "WHO = 'beside'\n", "data/only.txt": "x"},
        cwd="data",
    ),
    program(
        "main_module",
        """
        import sys, inspect, pickle
        class Here:
            pass
        def f(): pass
        main = sys.modules["__main__"]
        print(main.Here is Here, Here.__module__, f.__globals__ is globals(), main.__dict__ is vars())
        print(type(pickle.loads(pickle.dumps(Here()))) is Here, inspect.getsource(f).strip())
        print(sorted(name for name in globals() if not name.startswith("__")), __spec__, __doc__)
        if __name__ == "__main__":
            print("run as main")
        """,
    ),
]

"""Programs that write, and programs that end in every way."""

from __future__ import annotations

from tests.support.programs import Program, program

OUTPUT = [
    program(
        "print_forms",
        """
        import sys
        print()
        print("a", 1, None, sep="-", end="|")
        print("b", end="")
        print("c", flush=True)
        print(*range(3), sep="\\n")
        print("err", file=sys.stderr)
        sys.stdout.write("written\\n")
        sys.stdout.writelines(["x\\n", "y\\n"])
        sys.stderr.write("more err\\n")
        print(sys.stdout.write("count") , sys.stdout.encoding, sys.stdout.isatty())
        """,
    ),
    program(
        "output_bytes",
        """
        import os, sys
        sys.stdout.buffer.write(b"bytes \\xe2\\x82\\xac\\n")
        sys.stdout.flush()
        print("text")
        sys.stdout.flush()
        sys.stderr.buffer.write(b"to err\\n")
        sys.stderr.flush()
        sys.stdout.buffer.write(memoryview(b"view\\n"))
        print(sys.stdout.fileno(), sys.stdout.name, sys.stdout.errors, flush=True)
        sys.stdout.buffer.write(bytes(range(256)))
        sys.stdout.flush()
        for number in range(3):
            print("text", number, flush=True)
            os.write(1, b"to the descriptor\\n")
            os.write(2, memoryview(b"error\\xff\\n"))
        saved = os.dup(1)
        file = os.open("caught.txt", os.O_WRONLY | os.O_CREAT)
        os.dup2(file, 1)
        os.write(1, b"caught\\n")
        os.dup2(saved, 1)
        os.write(1, b"again\\n")
        print(open("caught.txt").read(), os.write)
        for bad in ((1, "x"), (99, b"x"), (1,)):
            try:
                os.write(*bad)
            except (TypeError, OSError) as error:
                print(type(error).__name__, error)
        """,
    ),
    program(
        "reconfigured",
        """
        import sys, io, codecs
        print("start")
        sys.stdout.reconfigure(encoding="ascii", errors="backslashreplace")
        print("snow \\u2603")
        sys.stdout.reconfigure(errors="xmlcharrefreplace")
        print("snow \\u2603")
        sys.stdout.reconfigure(encoding="latin-1", errors="strict")
        print("caf\\xe9")
        try:
            print("\\u2603")
        except UnicodeEncodeError as e:
            print("enc", e.reason)
        sys.stdout.reconfigure(encoding="utf-8", newline="\\r\\n")
        print("crlf\\nx")
        sys.stdout.reconfigure(newline="\\n", write_through=True, line_buffering=True)
        print("done", sys.stdout.encoding, sys.stdout.errors)
        w = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-16-le", write_through=True)
        w.write("wide\\n")
        w.detach()
        print("after", sys.stdout.closed)
        cw = codecs.getwriter("utf-8")(sys.stdout.buffer)
        cw.write("via codecs é\\n")
        old = sys.stdout.detach()
        old.write(b"detached\\n")
        old.flush()
        sys.stdout = io.TextIOWrapper(old, encoding="utf-8")
        print("rewrapped é")
        sys.stdout.flush()
        """,
    ),
    program(
        "unicode",
        """
        größe = "naïve café 漢字 🎉"
        print(größe, len(größe), größe.encode().hex(), ascii(größe))
        print("\\x1b[1mbold\\x1b[0m tab\\tnul\\x00 line\\u2028sep")
        with open("ünï.txt", "w", encoding="utf-16") as f:
            f.write(größe)
        print(open("ünï.txt", encoding="utf-16").read() == größe, repr("\\ud800"), b"\\xff".decode("latin-1"))
        try:
            "\\ud800".encode()
        except UnicodeEncodeError as error:
            print(error.reason)
        """,
    ),
    program("nothing", ""),
    program("only_comment", "# nothing at all"),
    program("docstring", '"""The docstring."""\nprint(__doc__, __name__, __builtins__ is not None)\n'),
    Program("bom_bytes", b"\xef\xbb\xbfprint('after a mark: \xc3\xa9')\n"),
    Program("latin1", "# -*- coding: latin-1 -*-\nprint('caf\xe9', ascii('\xe9'))\n".encode("latin-1")),
    Program("crlf", b"x = 1\r\nif x:\r\n    print('crlf', repr('''a\r\nb'''))\r\n"),
    Program("no_newline", b"print('no newline at the end')"),
    Program("form_feed_tabs", b"def f():\n\tif 1:\n\t\treturn 'tabs'\n\x0c\nprint(f())\n"),
]

ENDS = [
    program(
        "uncaught",
        """
        def f(x):
            return g(x) + 1
        def g(x):
            return {"a": 1}[x]
        f(
            "b"
        )
        """,
        status=1,
    ),
    program(
        "chained",
        """
        class Custom(Exception):
            def __str__(self):
                return "custom text"
        def inner():
            try:
                [][1]
            except IndexError as error:
                error.add_note("a note")
                raise Custom("x") from error
        try:
            inner()
        except Custom:
            raise RuntimeError("while handling")
        """,
        status=1,
    ),
    program(
        "grouped",
        """
        try:
            inner = ExceptionGroup("in", [KeyError("k")])
            raise ExceptionGroup("group", [ValueError(1), TypeError(2), inner])
        except* ValueError as group:
            print("values", group.exceptions)
        except* TypeError:
            print("types")
        """,
        status=1,
    ),
    program("exit_3", "import sys\nprint('bye')\nsys.exit(3)\n", status=3),
    program("exit_text", "import sys\nsys.exit('a message')\n", status=1),
    program("exit_none", "print('x')\nraise SystemExit\n"),
    program("exit_builtin", "try:\n    exit(5)\nfinally:\n    print('cleanup')\n", status=5),
    program("exit_true", "import sys\nsys.exit(True)\n", status=1),
    program(
        "atexit",
        """
        import atexit, sys
        @atexit.register
        def last():
            print("last", x)
        atexit.register(print, "first of all")
        x = 1
        print("body")
        x = 2
        sys.exit(4)
        """,
        status=4,
    ),
    program(
        "thread_outlives",
        """
        import threading
        gate = threading.Event()
        def late():
            gate.wait()
            print("from the thread")
        threading.Thread(target=late).start()
        print("main is done")
        gate.set()
        """,
    ),
    program("keyboard_interrupt", "print('a')\nraise KeyboardInterrupt\n", status=130),
    program("syntax_error", "x = 1\nprint(x\n", status=1),
    program("indentation_error", "x = 1\n  y = 2\n", status=1),
    program("null_name_error", "print(undefined_name)\n", status=1),
    program("raise_in_del", "class A:\n    def __del__(self):\n        1 / 0\na = A()\ndel a\nprint('on')\n"),
    program(
        "excepthook",
        "import sys\nsys.excepthook = lambda *a: print('hook', a[0].__name__)\n1 / 0\n",
        status=1,
    ),
    program("unraisable_assert", "def f():\n    assert 1 == 2, 'not equal'\nf()\n", status=1),
]

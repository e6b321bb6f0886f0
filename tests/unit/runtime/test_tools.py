from __future__ import annotations

import asyncio
import dataclasses
import threading
from pathlib import Path
from typing import Any

import pytest

import coda.runtime.tools as tools_module
from coda.errors import UsageError
from coda.log import RecordValue, from_envelope, to_envelope
from coda.runtime.coroutines import AsyncRunner
from coda.runtime.tools import Outcome, Tool, as_tools, declare, invoke, tool


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


@dataclasses.dataclass
class Line:
    ends: list[Point]
    name: str | None = None


def call(function: Any, *args: Any, **kwargs: Any) -> Outcome:
    made = function if isinstance(function, Tool) else tool(function)
    return invoke(made, [to_envelope(arg) for arg in args], {n: to_envelope(v) for n, v in kwargs.items()})


def test_a_tool_knows_how_it_is_called() -> None:
    @tool
    def search(query: str, limit: int = 10, *, deep: bool = False, sink: Any = object()) -> list[str]:
        """Searches.

        More.
        """
        return [query] * limit

    assert (search.name, search.effect, search.origin, search.is_async) == ("search", "act", "tool", False)
    assert search.signature == (
        "(query: str, limit: int = 10, *, deep: bool = False, sink: Any = ...) -> list[str]"
    )
    assert search.doc == "Searches.\n\nMore."
    assert search("a", 2) == ["a", "a"]
    [declared] = declare([search])
    assert (declared.name, declared.signature, declared.doc) == (search.name, search.signature, search.doc)


def test_signatures_of_evaluated_annotations_have_no_addresses() -> None:
    def fn(a, b, *rest, c=(1, "x"), d=2.5, e=float("nan"), **more):  # type: ignore[no-untyped-def]
        return None

    fn.__annotations__ = {"a": int, "b": list[Point], "return": None}
    assert tool(fn).signature == "(a: int, b: list[" + Point.__module__ + (
        ".Point], *rest, c=(1, 'x'), d=2.5, e=..., **more) -> None"
    )


def test_a_function_without_a_signature_can_be_a_tool() -> None:
    class Called:
        __signature__ = 3

        def __call__(self, *args: Any) -> int:
            return len(args)

    made = tool(name="count")(Called())
    assert made.signature == "(*args, **kwargs)"
    assert call(made, 1, 2).value == 2


def test_refuses_what_cannot_be_a_tool() -> None:
    with pytest.raises(ValueError, match="one of pure, read, act; got 'none'"):
        tool(effect="none")(len)
    with pytest.raises(ValueError, match="'<lambda>' is not a name that code can call"):
        tool(lambda: None)
    with pytest.raises(ValueError, match="'class' is not a name"):
        tool(name="class")(len)
    with pytest.raises(TypeError, match="a tool is a function; got int"):
        tool(3)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="two tools have the name 'len'"):
        as_tools([len, tool(effect="pure")(len)])


@pytest.mark.parametrize("value", [None, 1, "a", [1, (2, {3})], {"a": {"$": 1}}, {1: 2}, b"\0", float("inf")])
def test_values_cross_both_ways(value: Any) -> None:
    got: list[Any] = []

    def echo(given: Any, *, named: Any) -> Any:
        got.extend([given, named])
        return given

    outcome = call(echo, value, named=value)
    assert outcome.ok
    assert from_envelope(outcome.value) == value
    assert got == [value, value]
    assert outcome.changed == ()


def test_dataclasses_arrive_as_what_the_function_asks_for() -> None:
    def length(line: Line, at: Point | None, *points: Point) -> str:
        return repr((line, at, points))

    outcome = call(length, Line([Point(1), Point(2, 3)]), Point(4))
    assert outcome.value == repr((Line([Point(1), Point(2, 3)]), Point(4), ()))
    as_dict = call(length, {"ends": [{"x": 1}, {"x": 2, "y": 3}]}, {"x": 4})
    assert as_dict.value == outcome.value
    assert call(length, {"ends": [], "colour": 1}, None).value == "({'ends': [], 'colour': 1}, None, ())"
    record = call(lambda_tool(), RecordValue("other.Thing", {"a": 1}))
    assert record.value == "other.Thing(a=1)"


def lambda_tool() -> Tool:
    def show(thing: Any) -> str:
        return repr(thing)

    return tool(show)


@pytest.mark.parametrize("bad", [len, iter([]), tools_module, open, object()])
def test_references_are_refused(bad: Any) -> None:
    def fn(first: Any, rows: Any = None) -> Any:
        return bad

    outcome = call(fn, 1, rows=[{"deep": bad}])
    assert outcome.error is not None
    assert outcome.error["type"] == "TypeError"
    assert outcome.error["message"].startswith("tool arguments are values; got ")
    assert outcome.error["message"].endswith(" in argument 'rows'")
    returned = call(fn, 1)
    assert returned.error is not None
    assert returned.error["message"].startswith("tool results are values; fn() returned ")


def test_exceptions_become_data() -> None:
    class Odd(KeyError):
        def __str__(self) -> str:
            raise RuntimeError

    def fails(kind: str) -> None:
        if kind == "odd":
            raise Odd("k")
        if kind == "exit":
            raise SystemExit(3)
        if kind == "name":
            raise FileNotFoundError(2, "No such file", "bad\udcff")
        raise ValueError("bad", 7, object())

    plain = call(fails, "plain").error
    assert plain is not None
    assert (plain["type"], plain["mro"]) == ("ValueError", ["ValueError", "Exception", "BaseException"])
    assert plain["args"] == [plain["message"]]
    odd = call(fails, "odd").error
    assert odd is not None
    assert odd["mro"][1:3] == ["KeyError", "LookupError"]
    assert odd["message"] == "<no message: RuntimeError>"
    assert odd["args"] == ["k"]
    exited = call(fails, "exit").error
    assert exited is not None
    # As SystemExit it would end the agent's interpreter.
    assert (exited["type"], exited["message"]) == ("RuntimeError", "fails() raised SystemExit: 3")
    named = call(fails, "name").error
    assert named is not None
    named["message"].encode()
    assert from_envelope(named["args"]) == [2, "No such file", "bad\udcff"]
    missing = call(fails).error
    assert missing is not None
    assert missing["message"].endswith("missing 1 required positional argument: 'kind'")


def test_ctrl_c_is_not_data() -> None:
    def stopped() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        call(stopped)


def test_changed_arguments_are_named() -> None:
    def change(rows: list[int], same: list[int], *, point: Point, more: dict[str, int]) -> None:
        rows.append(1)
        point.x = 9

    outcome = call(change, [0], [0], point=Point(1), more={"a": 1})
    assert outcome.changed == ("rows", "point")


def test_async_tools_share_one_loop_also_inside_a_running_one() -> None:
    loops: list[asyncio.AbstractEventLoop] = []

    @tool(effect="read")
    async def fetch(key: str) -> str:
        loops.append(asyncio.get_running_loop())
        await asyncio.sleep(0)
        if key == "bad":
            raise LookupError(key)
        return key.upper()

    assert fetch.is_async
    runner = AsyncRunner()

    async def main() -> None:
        assert invoke(fetch, ["a"], runner=runner).value == "A"

    try:
        asyncio.run(main())
        failed = invoke(fetch, ["bad"], runner=runner)
        assert failed.error is not None
        assert (failed.error["type"], failed.error["args"]) == ("LookupError", ["bad"])
    finally:
        runner.close()
        runner.close()
    assert loops[0] is loops[1]
    assert loops[0].is_closed()
    assert call(fetch, "b").value == "B"


def test_loads_tools_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "my tools.py"
    (tmp_path / "helper_of_tools.py").write_text("N = 4\n")
    path.write_text(
        "from __future__ import annotations\nimport dataclasses\nimport coda.runtime.tools as t\n"
        "import helper_of_tools\n\n@dataclasses.dataclass\nclass P:\n    x: int\n\n"
        "@t.tool\ndef one(p: P) -> int:\n    return p.x + helper_of_tools.N\n\n"
        "@t.tool(effect='pure')\ndef two() -> int:\n    return 2\nagain = two\n"
    )
    loaded = Tool.load(path)
    assert [(item.name, item.effect) for item in loaded] == [("one", "act"), ("two", "pure")]
    assert call(loaded[0], {"x": 3}).value == 7


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", "makes no tool: mark its functions with @coda.tool"),
        ("x = 1\n1 / 0\n", "line 2 fails: ZeroDivisionError: division by zero"),
        ("x = 1\ny = (\n", "line 2 fails: SyntaxError"),
    ],
)
def test_says_what_is_wrong_with_a_file_of_tools(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.py"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        Tool.load(path)
    with pytest.raises(UsageError, match="is not a Python file"):
        Tool.load(tmp_path / "absent.py")


class Model:
    """Has the one method of a pydantic model that is used."""

    def __init__(self, total: int) -> None:
        self.total = total

    @classmethod
    def model_validate(cls, data: dict[str, Any]) -> Model:
        if set(data) != {"total"}:
            raise ValueError(f"unknown fields in {sorted(data)}")
        return cls(int(data["total"]))


def test_models_are_validated() -> None:
    def double(model: Model) -> int:
        return model.total * 2

    assert call(double, {"total": "4"}).value == 8
    refused = call(double, {"sum": 1}).error
    assert refused is not None
    assert (refused["type"], refused["message"]) == ("ValueError", "unknown fields in ['sum']")


# --- time limits ---------------------------------------------------------------------------------


def test_a_call_has_a_time_limit() -> None:
    release = threading.Event()
    ended: list[str] = []

    @tool(timeout_s=0.05)
    def waits() -> None:
        release.wait()

    @tool(timeout_s=0.05)
    async def sleeps() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    @tool(timeout_s=60)
    def fails(n: int) -> int:
        return 1 // n

    @tool(timeout_s=60)
    async def gives_up() -> None:
        raise TimeoutError("of its own")

    try:
        for slow in (waits, sleeps):
            outcome = invoke(slow)
            assert outcome.error is not None
            assert (outcome.error["type"], outcome.error["message"]) == (
                "TimeoutError",
                f"{slow.name}() took longer than 0.05 s",
            )
    finally:
        release.set()
    assert ended == ["cancelled"]
    assert invoke(fails, [1]).value == 1
    assert (invoke(fails, [0]).error or {})["type"] == "ZeroDivisionError"
    assert (invoke(gives_up).error or {})["message"] == "of its own"
    with pytest.raises(ValueError, match="above 0 seconds"):
        tool(timeout_s=0)(len)

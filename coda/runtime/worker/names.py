"""What coda binds into the namespace: `ctx` and the stubs of tools.

Guarantee: a call of a tool crosses the boundary by value: arguments that are not values are refused
with the argument's name, exceptions come back as the builtin they were or as a subclass of the nearest
one that carries their name.
"""

from __future__ import annotations

import ast
import builtins
from _blake2 import blake2b  # the C module: hashlib would be imported before its shims
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import msgspec

from coda.log import RecordValue, first_inexact, from_envelope, is_exact, to_envelope, type_name
from coda.runtime.worker.baton import Baton
from coda.runtime.worker.recorder import Recorder
from coda.runtime.worker.signature import signature_of
from coda.runtime.worker.units import Units

_CTX_BYTES = 1 << 16
_FINGERPRINT_BYTES = 1 << 22
_ARGUMENT_BYTES = 1 << 26
_MESSAGE_CHARS = 1 << 20
_encode = msgspec.json.encode
# The slots of the types themselves: a metaclass or a property of the agent's cannot come between.
_mro_of = type.__dict__["__mro__"].__get__
_qualname_of = type.__dict__["__qualname__"].__get__
_args_of = BaseException.__dict__["args"].__get__


class Ctx:
    """The agent's notebook: `ctx.name = value`. Each change is an event with its source text."""

    __slots__ = ("_digests", "_recorder", "_store", "_units")

    def __init__(self, recorder: Recorder, units: Units) -> None:
        object.__setattr__(self, "_recorder", recorder)
        object.__setattr__(self, "_units", units)
        object.__setattr__(self, "_store", {})
        object.__setattr__(self, "_digests", {})

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            raise AttributeError(f"ctx names must not begin with an underscore: {name!r}")
        self._store[name] = value
        units = self._units
        frame = units.innermost()
        with self._recorder.quiet():
            expr = units.assigned_source(frame, name) if frame is not None else None
            envelope = to_envelope(value, max_bytes=_CTX_BYTES)
            self._digests[name] = _fingerprint(value)
            data = {"name": name, "value": envelope, "expr": expr, **units.where()}
        self._recorder.observe("ctx.set", data)

    def __getattr__(self, name: str) -> Any:
        try:
            return self._store[name]
        except KeyError:
            known = ", ".join(self._store) or "nothing yet"
            raise AttributeError(f"ctx has no {name!r}; it holds: {known}") from None

    def __delattr__(self, name: str) -> None:
        if name not in self._store:
            raise AttributeError(f"ctx has no {name!r}")
        del self._store[name]
        self._digests.pop(name, None)
        self._recorder.observe("ctx.deleted", {"name": name, **self._units.where()})

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._store))

    def __len__(self) -> int:
        return len(self._store)

    def __contains__(self, name: object) -> bool:
        return name in self._store

    def __dir__(self) -> list[str]:
        return list(self._store)

    def __repr__(self) -> str:
        inside = ", ".join(f"{name}={value!r}" for name, value in self._store.items())
        return f"ctx({inside})"


def ctx_store(ctx: Ctx) -> dict[str, Any]:
    """The live values of a ctx."""
    store: dict[str, Any] = object.__getattribute__(ctx, "_store")
    return store


def note_mutations(ctx: Ctx) -> None:
    """Tells of values that were changed in place since they were set (called at a block's end)."""
    recorder: Recorder = object.__getattribute__(ctx, "_recorder")
    digests: dict[str, bytes] = object.__getattribute__(ctx, "_digests")
    for name, value in ctx_store(ctx).items():
        with recorder.quiet():
            found = _fingerprint(value)
            envelope = to_envelope(value, max_bytes=_CTX_BYTES) if found != digests.get(name) else None
        if found != digests.get(name):
            digests[name] = found
            recorder.observe("ctx.mutated", {"name": name, "value": envelope, "detected": "block_end"})


def _fingerprint(value: Any) -> bytes:
    """Differs when a value was changed, as deep as values go; of other objects, by their attributes."""
    envelope = to_envelope(value, max_bytes=_FINGERPRINT_BYTES)
    inside = None
    if isinstance(envelope, dict) and envelope.get("$") == "opaque":
        try:
            inside = to_envelope(object.__getattribute__(value, "__dict__"), max_bytes=_FINGERPRINT_BYTES)
        except (AttributeError, TypeError):
            pass  # it has none
    digest: bytes = blake2b(_encode([envelope, inside]), digest_size=16).digest()
    return digest


class Stub:
    """A tool as agent code sees it."""

    def __init__(self, declared: dict[str, Any], recorder: Recorder, units: Units, baton: Baton) -> None:
        self.__name__ = self.__qualname__ = declared["name"]
        self.__doc__ = declared.get("doc") or None
        self.__module__ = "__main__"
        self.__text_signature__ = declared.get("signature")
        self.__signature__ = signature_of(declared.get("signature"))
        self._recorder = recorder
        self._units = units
        self._baton = baton

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the tool in the host, by value."""
        recorder = self._recorder
        with recorder.quiet():
            data = {
                "name": self.__name__,
                "args": [self._argument(value, index) for index, value in enumerate(args)],
                "kwargs": {name: self._argument(value, name) for name, value in kwargs.items()},
                **self._units.where(),
            }
        if self._baton.is_alone:
            answer = recorder.request("tool.called", data)
            return self._give(answer.ok, answer.value)
        return self._give(*self._baton.call(data))

    def _give(self, ok: bool, value: Any) -> Any:
        """The result of a call, or its exception."""
        with self._recorder.quiet():
            if ok:
                return _with_fields(from_envelope(value))
            error = rebuild_exception(value)
            if isinstance(
                error, KeyboardInterrupt
            ):  # no tool's own: the host would be the one to be interrupted
                self._recorder.on_broken_off(str(error))
        raise error

    def _argument(self, value: Any, name: int | str) -> Any:
        """The envelope of an argument, given by its number or name; TypeError when it is not a value."""
        envelope = to_envelope(value, max_bytes=_ARGUMENT_BYTES)
        kind = first_inexact(envelope)
        if kind is not None:
            name = name if isinstance(name, str) else self._parameter(name)
            raise TypeError(f"tool arguments are values; got {kind} in argument {name!r}")
        return envelope

    def _parameter(self, index: int) -> str:
        """Name of a positional parameter; its number when the signature does not tell."""
        try:
            function = ast.parse(f"def f{self.__text_signature__}: pass").body[0]
        except SyntaxError:
            return str(index + 1)
        assert isinstance(function, ast.FunctionDef)
        names = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
        return names[index] if index < len(names) else str(index + 1)

    def __repr__(self) -> str:
        return f"<tool {self.__name__}{self.__text_signature__ or '(...)'}>"

    def __reduce__(self) -> str:
        return str(self.__name__)


def _with_fields(value: Any) -> Any:
    """The value with a stand-in class for each record in it: same name, same fields, no methods."""
    kind = type(value)
    if kind is RecordValue:
        fields = {name: _with_fields(item) for name, item in value.fields.items()}
        return _stand_in(value.type, tuple(fields))(**fields)
    if kind is list or kind is tuple:
        return kind([_with_fields(item) for item in value])
    if kind is dict:
        return {key: _with_fields(item) for key, item in value.items()}
    return value


@lru_cache(maxsize=1024)
def _stand_in(name: str, fields: tuple[str, ...]) -> Any:
    # Imported here: most runs have no record, and what is imported before its shims is seen by them.
    from dataclasses import make_dataclass

    short = name.rpartition(".")[2]
    return make_dataclass(
        short if short.isidentifier() else "Record", fields, namespace={"__module__": "__main__"}
    )


def rebuild_exception(error: dict[str, Any]) -> BaseException:
    """The exception described by {"type", "mro", "message", "args"}."""
    names = [str(name).rpartition(".")[2] for name in (error.get("mro") or [error.get("type", "Exception")])]
    base: type[BaseException] = Exception
    for name in names:
        found = getattr(builtins, name, None)
        if isinstance(found, type) and issubclass(found, BaseException):
            base = found
            break
    args = tuple(from_envelope(arg) for arg in error.get("args") or ())
    kind = base if base.__name__ == names[0] else type(names[0], (base,), {"__module__": "__main__"})
    try:
        rebuilt: BaseException = kind(*args) if args else kind(error.get("message", ""))
    except Exception:  # noqa: BLE001  a constructor with a signature of its own: fall back to the message alone
        plain = type(names[0], (Exception,), {"__module__": "__main__"})
        rebuilt = plain(error.get("message", ""))
    return rebuilt


def describe_exception(error: BaseException) -> dict[str, Any]:
    """{"type", "mro", "message", "args"} of an exception; arguments that are not values are left out.

    Never raises: the class of an agent's exception may do anything when it is asked.
    """
    kind = type(error)
    mro = [base for base in _mro_of(kind) if base is not object]
    try:
        message = str.__str__(str(error))  # a subclass of str may have a `__len__` of its own
        if len(message) > _MESSAGE_CHARS:
            message = f"{message[:_MESSAGE_CHARS]}... ({len(message)} characters)"
        args = [to_envelope(arg, max_bytes=_CTX_BYTES) for arg in _args_of(error)]
    except BaseException:  # noqa: BLE001  the agent's own __str__ may fail in any way; the event is worth more
        message, args = "", []
    return {
        "type": type_name(kind),
        "mro": [_qualname_of(base) for base in mro],
        "message": message,
        "args": args if all(is_exact(arg) for arg in args) else [],
    }

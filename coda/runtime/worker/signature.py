"""The signature of a tool as `inspect` and `help` show it, made of its text alone.

Guarantee: nothing of the text is executed: defaults and annotations are shown, not evaluated.
"""

from __future__ import annotations

import ast
from inspect import Parameter, Signature
from typing import Any

_Row = tuple[Any, ast.arg, ast.expr | None]


def signature_of(text: str | None) -> Signature | None:
    """Gives the signature; None when the text is none."""
    try:
        function = ast.parse(f"def f{text}: pass").body[0]
    except (SyntaxError, ValueError):
        return None
    if not isinstance(function, ast.FunctionDef):
        return None
    parameters = [
        Parameter(
            argument.arg,
            kind,
            default=_shown(default, Parameter.empty),
            annotation=_shown(argument.annotation, Parameter.empty),
        )
        for kind, argument, default in _rows(function.args)
    ]
    return Signature(parameters, return_annotation=_shown(function.returns, Signature.empty))


def _rows(given: ast.arguments) -> list[_Row]:
    """Kind, name and default of each parameter, in order."""
    plain = [*given.posonlyargs, *given.args]
    kinds: list[Any] = [Parameter.POSITIONAL_ONLY] * len(given.posonlyargs)
    kinds += [Parameter.POSITIONAL_OR_KEYWORD] * len(given.args)
    missing = [None] * (len(plain) - len(given.defaults))
    rows: list[_Row] = list(zip(kinds, plain, [*missing, *given.defaults], strict=True))
    if given.vararg is not None:
        rows.append((Parameter.VAR_POSITIONAL, given.vararg, None))
    pairs = zip(given.kwonlyargs, given.kw_defaults, strict=True)
    rows += [(Parameter.KEYWORD_ONLY, argument, default) for argument, default in pairs]
    if given.kwarg is not None:
        rows.append((Parameter.VAR_KEYWORD, given.kwarg, None))
    return rows


class _Shown:
    """Source text in a signature: its repr is the text."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def _shown(node: ast.expr | None, empty: Any) -> Any:
    return empty if node is None else _Shown(ast.unparse(node))

"""Shows a function's signature as source text.

Guarantee: the text is the same in every run. Defaults that are not plain values are `...`, because
their repr may hold an address, and the text is part of the log.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any


def signature_text(fn: Callable[..., Any]) -> str:
    """Gives a function's signature as source text that does not depend on addresses."""
    try:
        signature = inspect.signature(fn)
    except (TypeError, ValueError):
        return "(*args, **kwargs)"  # Some builtins have none.
    shown = [
        parameter.replace(default=_Shown(parameter.default), annotation=_Shown.of(parameter.annotation))
        if parameter.default is not inspect.Parameter.empty
        else parameter.replace(annotation=_Shown.of(parameter.annotation))
        for parameter in signature.parameters.values()
    ]
    returns = _Shown.of(signature.return_annotation)
    return str(signature.replace(parameters=shown, return_annotation=returns))


class _Shown:
    """Stands for an annotation or a default; its repr is what the signature shows."""

    def __init__(self, value: Any) -> None:
        self.text = repr(value) if _is_plain(value) else "..."

    @classmethod
    def of(cls, annotation: Any) -> Any:
        """Wraps an annotation; none stays none."""
        if annotation is inspect.Parameter.empty:
            return annotation
        shown = cls(None)
        if isinstance(annotation, str):
            shown.text = annotation
        elif type(annotation) is type:
            shown.text = annotation.__qualname__
        elif annotation is None:
            shown.text = "None"
        else:
            shown.text = repr(annotation).replace("typing.", "")
        return shown

    def __repr__(self) -> str:
        return self.text


def _is_plain(value: Any) -> bool:
    if type(value) in (tuple, list):
        return all(map(_is_plain, value))
    if type(value) is float:
        return math.isfinite(value)
    return value is None or type(value) in (bool, int, str, bytes)

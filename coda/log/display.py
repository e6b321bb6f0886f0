"""The one renderer between a trace and any display: secrets masked, terminal controls disarmed.

Guarantee: text that passed `mask` shows no key of a known shape, plain or in base64; text that
passed `sanitise` cannot move the cursor, set a title, make a link or touch the clipboard. Both
are for showing: the trace itself is never changed. A secret without a shape (a word in a sentence)
cannot be known and is not claimed to be.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any, Final

MASK: Final = "***"

# Shapes that are secret in themselves. A new one belongs here and nowhere else. Recorded text is hostile:
# each pattern must be linear, so none may scan the same run of characters from more than one start.
_TOKENS: Final = re.compile(
    r"""
    \bsk-(?=[A-Za-z_\-]{0,40}[0-9])[A-Za-z0-9_\-]{16,}
  | \b(?:ghp|gho|ghu|ghs|ghr)_[A-Za-z0-9]{20,}
  | \bgithub_pat_[A-Za-z0-9_]{20,}
  | \bglpat-[A-Za-z0-9_\-]{16,}
  | \b(?:AKIA|ASIA)[A-Z0-9]{16}\b
  | \bxox[abeoprs]-[A-Za-z0-9\-]{10,}
  | \bAIza[A-Za-z0-9_\-]{30,}
  | \b(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,}
  | \bnpm_[A-Za-z0-9]{30,}
  | \bpypi-[A-Za-z0-9_\-]{40,}
  | \bhf_[A-Za-z0-9]{30,}
  | (?<![A-Za-z0-9_\-])eyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]*
  | -----BEGIN[ ][A-Z ]*PRIVATE[ ]KEY-----.*?(?:-----END[ ][A-Z ]*PRIVATE[ ]KEY-----|\Z)
    """,
    re.VERBOSE | re.DOTALL,
)
_NAME: Final = r"(?:api[_\-]?key|_key|token|secret|passwo?r?d|passwd|pwd|credentials?)"
# NAME = value, "name": "value", name='value', --name value: the value goes, the name stays. However short it
# is: as JSON and in the words of `repr`, which spell a newline behind it, the same text must be masked.
_ASSIGNED: Final = re.compile(
    rf"""(?P<name>{_NAME}["']?\s{{0,8}}(?:=(?!=)|:(?!=))\s{{0,8}})
         (?P<quote>(?:[(\[]?["'])?)(?P<value>(?![(\[{{])[^\s"',;&)}}\]]+)""",
    re.VERBOSE | re.IGNORECASE,
)
_HEADER: Final = re.compile(
    r"(?P<name>\b(?:Bearer|Basic)\s+)(?P<value>[A-Za-z0-9._~+/\-]{8,}=*)|(?P<url>://[^/\s:@]*:)(?P<word>[^/\s@]+)(?=@)",
    re.IGNORECASE,
)
# Cheap word test before the costly patterns: most text has none of these.
_HINT: Final = re.compile(
    r"sk-|sk_|rk_|pk_|gh[pousr]_|github_pat|glpat-|AKIA|ASIA|xox|AIza|npm_|pypi-|hf_|eyJ|PRIVATE KEY"
    r"|key|token|secret|passw|pwd|credential|bearer|basic|://",
    re.IGNORECASE,
)
_BASE64: Final = re.compile(r"(?<![A-Za-z0-9+/=_\-])[A-Za-z0-9+/_\-]{24,}={0,2}(?![A-Za-z0-9+/=_\-])")
_OF_PAIRS: Final = (("dict", None), ("summary", "dict"))
_SECRET_NAME: Final = re.compile(rf"{_NAME}\Z", re.IGNORECASE)
# Values under a secret name that say nothing: types, counts and words of code.
_HARMLESS: Final = re.compile(
    r"(?:None|null|true|false|\d{1,9}|str|int|\*+|\$\{?\w+\}?|os\.\S+|\w+\(.*|\{.*)\Z", re.I
)


def mask(text: str) -> str:
    """Gives the text with what looks like a secret replaced by `***`."""
    if _HINT.search(text) is not None:
        text = _TOKENS.sub(MASK, text)
        text = _HEADER.sub(lambda m: (m["name"] or m["url"]) + MASK, text)
        text = _ASSIGNED.sub(_mask_assigned, text)
    if len(text) >= 24:
        text = _BASE64.sub(_mask_encoded, text)
    return text


def _mask_assigned(match: re.Match[str]) -> str:
    if _HARMLESS.match(match["value"]):
        return match[0]
    return match["name"] + match["quote"] + MASK


def _mask_encoded(match: re.Match[str]) -> str:
    return MASK if _hides_secret(match[0]) else match[0]


def _hides_secret(encoded: str) -> bool:
    """Whether base64 text decodes to text with a secret in it."""
    plain = encoded.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        inner = base64.b64decode(plain + "=" * (-len(plain) % 4)).decode("utf-8")
    except (binascii.Error, ValueError):
        return False
    return _HINT.search(inner) is not None and (
        _TOKENS.search(inner) is not None
        or _HEADER.search(inner) is not None
        or any(not _HARMLESS.match(found["value"]) for found in _ASSIGNED.finditer(inner))
    )


def mask_data(data: Any, *, under: str = "") -> Any:
    """Gives plain data (an envelope, the fields of an event) with secrets in its texts masked.

    Text under a key that is a secret's name (`api_key`, `password`) is masked whatever its shape.
    """
    if isinstance(data, str):
        return MASK if under and _SECRET_NAME.search(under) and not _HARMLESS.match(data) else mask(data)
    if isinstance(data, dict):
        if data.get("$") in ("bytes", "bytearray", "str") and isinstance(data.get("v"), str):
            return {**data, "v": _mask_binary(data["v"])}
        if (data.get("$"), data.get("t")) in _OF_PAIRS:
            return {
                key: [_mask_pair(pair) for pair in item] if key in ("v", "h") else mask_data(item)
                for key, item in data.items()
            }
        if "$" in data:
            return {key: mask_data(item, under=under) for key, item in data.items()}
        named = data.get("name")
        about = named if isinstance(named, str) else ""
        return {
            key: mask_data(item, under=about if key in ("value", "after", "before") else str(key))
            for key, item in data.items()
        }
    if isinstance(data, list | tuple):
        return [mask_data(item, under=under) for item in data]
    return data


def _mask_pair(pair: Any) -> Any:
    """A key and its value, as envelopes have them where keys are not all texts."""
    match pair:
        case [str(name), value]:
            return [mask(name), mask_data(value, under=name)]
    return mask_data(pair)


def _mask_binary(encoded: str) -> str:
    try:
        text = base64.b64decode(encoded).decode("utf-8", "surrogatepass")
    except (binascii.Error, ValueError):
        return encoded
    hidden = mask(text)
    if hidden == text:
        return encoded
    return base64.b64encode(hidden.encode("utf-8", "surrogatepass")).decode("ascii")


_SEQUENCE: Final = re.compile(
    r"""
    \x1b\][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?      # titles, links, clipboard
  | \x1b[PX^_][^\x1b\x9c]*(?:\x1b\\|\x9c)?           # device control, private messages
  | (?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?                # cursor, colour
  | \x1b[ -/]*[0-~]?
    """,
    re.VERBOSE,
)
_CONTROL: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def sanitise(text: str) -> str:
    """Gives text that is safe to print: control sequences are removed, lone controls shown as escapes.

    Newlines and tabs stay; a carriage return shows as an escape, so that it cannot overwrite a line.
    """
    if "\x1b" in text or "\x9b" in text:
        text = _SEQUENCE.sub("", text)
    return _CONTROL.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"

"""What calls of the language and its library do to the objects that they are given.

Guarantee: whatever stands in no table counts as able to change all that it can reach, so a table that
lacks a name makes an answer vaguer (*inferred*), never wrong.
"""

from __future__ import annotations

CONTAINERS = frozenset(
    {
        "list", "dict", "set", "bytearray", "tuple", "frozenset", "collections.deque", "collections.Counter",
        "collections.OrderedDict", "collections.defaultdict", "generator",
    }
)  # fmt: skip
"""Types of which every method is known: what is not listed as changing the object does not."""
IMMUTABLE = frozenset(
    {
        "re.Match", "re.Pattern", "range", "slice", "function", "builtin_function_or_method", "method",
        "type", "complex", "datetime.timezone", "fractions.Fraction", "NoneType", "ellipsis", "enum.EnumType",
    }
)  # fmt: skip
"""Opaque types of captured values that nothing can change."""

GROWS = frozenset({"append", "add", "insert", "appendleft", "setdefault", "push", "put", "__setitem__"})
"""Methods after which the object holds their arguments."""
JOINS = frozenset({"extend", "update", "extendleft", "intersection_update", "symmetric_difference_update"})
"""Methods after which the object holds what their arguments hold."""
CHANGES = GROWS | JOINS | frozenset(
    {
        "pop", "popitem", "popleft", "remove", "discard", "clear", "sort", "reverse", "rotate",
        "difference_update", "subtract", "move_to_end", "__delitem__", "__iadd__", "send", "throw", "close",
    }
)  # fmt: skip
GIVES_PART = frozenset({"get", "pop", "popitem", "popleft", "setdefault", "__getitem__"})
"""Methods that give something that the object holds."""
GIVES_PARTS = frozenset(
    {
        "values", "keys", "items", "copy", "union", "intersection", "difference", "symmetric_difference",
        "most_common", "elements",
    }
)  # fmt: skip
"""Methods that give a new container of what the object holds."""
TEXT_METHODS = frozenset(
    {
        "strip", "lstrip", "rstrip", "join", "startswith", "endswith", "lower", "upper", "title", "replace",
        "format", "encode", "decode", "rfind", "isdigit", "isalpha", "exists", "is_file", "is_dir",
        "as_posix", "read_text", "read_bytes", "isoformat", "total_seconds", "hexdigest", "timestamp",
        "zfill",        "issubset", "issuperset", "isdisjoint", "capitalize", "casefold", "isspace",
    }
)  # fmt: skip
"""Methods of texts, paths, dates and sets that change nothing and give nothing that could be changed."""
SPLITS = frozenset({"split", "rsplit", "splitlines", "partition", "rpartition", "iterdir", "rglob"})
"""Methods that give a new container of texts."""
PURE_METHODS = GIVES_PART | GIVES_PARTS | frozenset(
    {
        "count", "index", "strip", "lstrip", "rstrip", "split", "rsplit", "splitlines", "join", "startswith",
        "endswith", "lower", "upper", "title", "replace", "format", "encode", "decode", "find", "rfind",
        "isdigit", "isalpha", "issubset", "issuperset", "isdisjoint", "exists", "is_file", "is_dir",
        "as_posix", "read_text", "read_bytes", "iterdir", "rglob", "isoformat", "group", "groups",
        "groupdict", "total_seconds", "hexdigest", "timestamp", "partition", "rpartition", "zfill",
    }
) - CHANGES  # fmt: skip

ATOMS = frozenset(
    {
        "len", "print", "repr", "str", "int", "float", "bool", "abs", "round", "hash", "id", "isinstance",
        "issubclass", "callable", "range", "ord", "chr", "hex", "oct", "bin", "divmod", "pow", "all", "any",
        "bytes", "complex", "format", "ascii", "hasattr", "type", "input", "memoryview", "slice", "dir",
        "delattr", "breakpoint",
    }
)  # fmt: skip
"""Built-in functions that change nothing and give nothing that could be changed."""
PARTS_OF = frozenset(
    {"list", "tuple", "set", "frozenset", "sorted", "reversed", "dict", "iter", "filter", "sum"}
)
"""Built-in functions that give a new container of what their arguments hold."""
PAIRS_OF = frozenset({"enumerate", "zip"})
PART_OF = frozenset({"min", "max"})
BLIND = frozenset({"exec", "eval", "globals"})
"""Functions that may bind names unseen."""

PURE_MODULES = frozenset(
    {
        "math", "cmath", "json", "re", "os.path", "string", "textwrap", "statistics", "hashlib", "base64",
        "binascii", "itertools", "functools", "copy", "datetime", "time", "decimal", "fractions", "uuid",
        "platform", "sys", "os", "glob", "fnmatch", "shlex", "html", "urllib.parse", "keyword", "token",
        "difflib", "pprint", "reprlib", "numbers", "calendar", "locale", "unicodedata", "zlib", "ast",
        "dis", "inspect", "typing", "dataclasses", "enum", "tomllib", "colorsys", "secrets",
    }
)  # fmt: skip
"""Modules whose functions leave their arguments as they are; what they give may hold parts of them."""
ATOM_MODULES = frozenset(
    {"math", "cmath", "time", "textwrap", "statistics", "os.path", "unicodedata", "html"}
)
"""Of these, modules whose functions give nothing that could be changed."""
HANDS_ON = frozenset({"copy", "itertools", "functools", "dataclasses"})
"""Of these, modules whose results may hold the arguments themselves."""
CONSTRUCTORS = {
    "collections.deque": "collections.deque", "collections.Counter": "collections.Counter",
    "collections.OrderedDict": "collections.OrderedDict",
    "collections.defaultdict": "collections.defaultdict", "bytearray": "bytearray", "list": "list",
    "dict": "dict", "set": "set", "frozenset": "frozenset", "tuple": "tuple", "sorted": "list",
}  # fmt: skip
CHANGES_FIRST = frozenset(
    {
        "heapq.heappush", "heapq.heappop", "heapq.heapify", "heapq.heapreplace", "heapq.heappushpop",
        "random.shuffle", "bisect.insort", "bisect.insort_left", "bisect.insort_right", "operator.setitem",
        "operator.delitem", "operator.iadd", "setattr", "delattr", "next", "operator.ior",
    }
)  # fmt: skip
"""Functions that change their first argument, and nothing else."""

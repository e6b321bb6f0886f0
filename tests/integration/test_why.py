"""`why` on a program of two modules, as it was really recorded: classes, properties, coroutines."""

from __future__ import annotations

from pathlib import Path

import pytest

from coda.query import why
from tests.conftest import RunCoda

pytestmark = pytest.mark.slow

CONF = """\
settings = {"limit": 1}
LEVEL = 1
class Base:
    shared = []
    def __init__(self):
        self.items = []
    def add(self, item):
        self.items.append(item)
def read():
    got = settings["limit"]
    level = LEVEL
    return got, level
"""
MAIN = """\
import asyncio
import conf
from conf import Base, settings as mine
decoy = {"limit": 1}
class Sub(Base):
    def add(self, item):
        super().add(item)
    @property
    def last(self):
        return self.items[-1]
    @last.setter
    def last(self, value):
        self.items[-1] = value
mine["limit"] = 7
decoy["limit"] = 7
conf.LEVEL = 3
got = conf.read()
sub, other = Sub(), Sub()
sub.add(1)
other.add(2)
sub.last = 5
Base.shared.append(6)
shared = sub.shared
async def put(rows, item):
    await asyncio.sleep(0)
    rows.append(item)
async def collect():
    rows = []
    alias = rows
    await put(alias, 3)
    await asyncio.gather(put(alias, 4), put([], 5))
    return rows
rows = asyncio.run(collect())
"""


def test_the_chain_crosses_modules_classes_and_coroutines(tmp_path: Path, coda: RunCoda) -> None:
    (tmp_path / "conf.py").write_text(CONF)
    (tmp_path / "main.py").write_text(MAIN)
    assert coda("exec", "main.py", "-o", "t.jsonl").status == 0

    def found(name: str) -> list[str]:
        chain = why(tmp_path / "t.jsonl", name)
        assert chain.incomplete == (), name
        return [str(link.source) for link in chain.links if link.kind == "line"]

    got = found("got")
    assert {'mine["limit"] = 7', "conf.LEVEL = 3", 'settings = {"limit": 1}', "return got, level"} <= set(got)
    assert not any("decoy" in line for line in got)
    assert found("conf.LEVEL") == ["conf.LEVEL = 3"]
    items = found("sub.items")
    assert {"self.items[-1] = value", "sub.last = 5", "self.items.append(item)", "sub.add(1)"} <= set(items)
    assert not any("other.add" in line for line in items)
    assert "Base.shared.append(6)" in found("shared")
    assert {"rows.append(item)", "await put(alias, 3)", "alias = rows", "rows = []"} <= set(found("rows"))

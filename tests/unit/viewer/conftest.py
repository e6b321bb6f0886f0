"""Sessions over traces that the real writer wrote, scanned to their end without a thread."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from coda.log import open_trace
from coda.viewer.index import Batch
from coda.viewer.session import Session
from tests.support import traces


class Collector:
    """Takes what the scanning thread would post."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.failures: list[str] = []

    def indexed(self, batch: Batch, *, more: bool) -> None:
        self.session.apply(batch)
        if not more:
            self.session.complete = True
            self.session.close()

    def damaged(self, text: str) -> None:
        self.failures.append(text)


Opened = Callable[[Path], Session]


def read_all(path: Path) -> Session:
    session = Session(open_trace(path))
    session._scan(Collector(session))
    return session


@pytest.fixture
def opened() -> Opened:
    return read_all


@pytest.fixture
def program(tmp_path: Path) -> Session:
    return read_all(traces.program_trace(tmp_path / "program.jsonl"))


@pytest.fixture
def agent(tmp_path: Path) -> Session:
    return read_all(traces.agent_trace(tmp_path / "agent.jsonl"))

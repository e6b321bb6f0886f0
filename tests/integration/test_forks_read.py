"""A fork reads as its parent does up to where it left, by every reader, and so do forks of forks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from coda.forking import diff, fork
from coda.log import Trace, open_trace
from coda.query import Hit, query, why
from coda.replay import replay
from tests.support.programs import dedent, lines_at, output_of, record

pytestmark = pytest.mark.slow

ANSWERS = dedent(
    """
    import subprocess
    def load(path):
        with open(path) as file:
            text = file.read()
            return text.upper()
    def numbers(paths):
        for path in paths:
            yield len(load(path))
    got = list(numbers(["given.txt", "given.txt"]))
    said = subprocess.run(["echo", "hi"], capture_output=True, text=True).stdout
    size = sum(got) + len(said)
    print(size)
    """
)


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Trace:
    """A program that binds what it is answered, in a function, a generator and outside."""
    return open_trace(record(ANSWERS, tmp_path_factory.mktemp("parent"), files={"given.txt": "given"}))


def bindings(trace: Trace) -> Iterator[tuple[str, Any]]:
    """Every binding that the events of a run tell, in order."""
    for event in trace.events():
        yield from event.bound


def frames(trace: Trace, left: int) -> list[tuple[str, int | None, int | None]]:
    """Type, line and frame of every event; a frame that began after a fork left has its parent's number."""
    own = trace.parent is not None
    return [
        (event.type, event.line, event.frame - (own and event.frame > left) if event.frame else None)
        for event in trace.events()
        if event.type != "fork.applied"
    ]


def rows(trace: Trace, text: str) -> list[tuple[Any, ...]]:
    """What a query finds, but for the numbers of the events."""
    return [(hit.what, hit.detail) for hit in query(text, [trace]).rows if isinstance(hit, Hit)]


def test_a_fork_without_change_tells_every_binding_and_frame_of_its_parent(
    parent: Trace, tmp_path: Path
) -> None:
    """Wherever it leaves: also just after an answer, whose binding is the parent's still."""
    chain = [link.source for link in why(parent.path, "size").links]
    assert "return text.upper()" in chain
    for seq in range(5, parent.count()):
        made = fork(parent, seq, out=tmp_path / f"{seq}.jsonl")
        child = open_trace(made.path)
        assert list(bindings(child)) == list(bindings(parent)), seq
        assert frames(child, seq) == frames(parent, seq), seq
        assert rows(child, "set *") == rows(parent, "set *"), seq
        assert [link.source for link in why(child.path, "size").links] == chain, seq
        own = list(child.events(own=True))
        whole = list(child.events())
        assert [event.fields for event in own] == [event.fields for event in whole[child.first_seq :]], seq
        assert [child.event(at).fields for at in range(seq - 2, seq + 2)] == [
            event.fields for event in whole[seq - 2 : seq + 2]
        ], seq


def test_two_forks_compare_by_what_was_bound_before_they_left(parent: Trace, tmp_path: Path) -> None:
    bound = next(event.seq for event in parent.events() if "said" in dict(event.bound))
    one = fork(parent, bound, out=tmp_path / "one.jsonl")
    two = fork(parent, 5, out=tmp_path / "two.jsonl")
    assert diff(open_trace(one.path), open_trace(two.path)).equal
    # A fork of a fork may leave before its parent did: its past is then the grandparent's alone.
    early = fork(open_trace(one.path), 8, out=tmp_path / "early.jsonl")
    assert diff(open_trace(early.path), open_trace(one.path)).equal
    assert early.diff.equal
    assert list(bindings(open_trace(early.path))) == list(bindings(parent))


def test_a_fork_can_be_forked_where_it_was_changed(tmp_path: Path) -> None:
    """Before its change, just after it, and with another change in its place: each replays."""
    source = "k = 1\nt = 0\nfor i in range(5):\n    t += i * k\nprint(t)\n"
    trace = open_trace(record(source, tmp_path))
    at = lines_at(trace, 4)[1].seq
    first = fork(trace, at, sets=[("k", "3")], out=tmp_path / "first.jsonl")
    for seq in range(at, at + 3):
        for sets, printed in zip(([], [("k", "7")]), ("30\n", "70\n"), strict=True):
            if sets and seq == at + 2:
                continue  # one step was made with the first change
            made = fork(open_trace(first.path), seq, sets=sets, out=tmp_path / f"{seq}{len(sets)}.jsonl")
            assert made.diff.equal == (not sets), seq
            assert output_of(open_trace(made.path)) == printed, seq
            verdict = replay(made.path)
            assert verdict.diverged is None, (seq, str(verdict.diverged))

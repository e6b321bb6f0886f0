"""The worker's end of the stream: nothing that hooks appended is lost, whatever moment it is drained at."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from coda.runtime.instrument_hooks import Buffer
from coda.runtime.protocol import Channel, FromWorker, Observe, Stream
from coda.runtime.worker import recorder as recorder_module
from coda.runtime.worker.recorder import GC_CODE, Recorder


class Ends:
    """A recorder, and the host's end of its channel."""

    def __init__(self) -> None:
        read_fd, write_fd = os.pipe()
        unused = os.open(os.devnull, os.O_RDONLY)
        self.recorder = Recorder(Channel(unused, write_fd, FromWorker), origin_ns=0, level="values")
        self.host = Channel(read_fd, os.open(os.devnull, os.O_WRONLY), FromWorker)

    def heard(self) -> list[Any]:
        """All messages so far."""
        messages = []
        os.set_blocking(self.host.read_fd, False)
        while True:
            try:
                self.host.fill()
            except BlockingIOError:
                break
        while (message := self.host.waiting()) is not None:
            messages.append(message)
        return messages


@pytest.fixture
def ends() -> Iterator[Ends]:
    """Both ends."""
    made = Ends()
    yield made
    made.recorder.channel.close()
    made.host.close()


def stream_of(messages: list[Any]) -> tuple[list[int], list[Any]]:
    """Ids and values of all messages together."""
    ids: list[int] = []
    vals: list[Any] = []
    for message in messages:
        assert isinstance(message, Stream)
        ids += message.entries(1000)
        vals += message.vals
    return ids, vals


def test_a_value_without_its_id_yet_is_sent_and_not_dropped(ends: Ends) -> None:
    recorder = ends.recorder
    recorder.values.append(41)  # another thread stands between the two appends of a binding
    recorder.drain()
    recorder.lines.append(7)
    recorder.drain()
    assert stream_of(ends.heard()) == ([7], [41])


def test_nothing_is_said_when_there_is_nothing(ends: Ends) -> None:
    ends.recorder.drain()
    assert ends.heard() == []


def test_many_entries_come_in_pieces_and_in_order(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "_CHUNK_ENTRIES", 100)
    recorder, ids = ends.recorder, [number % 900 for number in range(1001)]
    recorder.lines.extend(ids)
    recorder.values.extend(["a", 2.5])
    recorder.send(Observe("import", {}, 1))
    *messages, last = ends.heard()
    assert isinstance(last, Observe)
    assert len(messages) == 11
    assert stream_of(messages) == (ids, ["a", 2.5])
    assert not recorder.lines
    assert not recorder.values


def test_values_that_msgpack_cannot_carry_are_tagged(ends: Ends) -> None:
    recorder = ends.recorder
    recorder.values.extend([2**70, "\ud800", 1, {"$": "summary"}])
    recorder.lines.extend([1, 2, 3, 4])
    recorder.drain()
    ids, vals = stream_of(ends.heard())
    assert ids == [1, 2, 3, 4]
    assert vals == [{"$": "int", "v": str(2**70)}, {"$": "str", "v": "7aCA"}, 1, {"$": "summary"}]


@pytest.mark.parametrize("name", ["_throttle_class", "_collect_class"])
def test_a_hook_that_was_overtaken_by_a_swap_still_appends(name: str, ends: Ends) -> None:
    recorder = ends.recorder
    recorder.know(range(8))
    recorder.lines.__class__ = getattr(recorder, name)
    hook = recorder.lines.append  # a statement has called it ...
    recorder.lines.__class__ = Buffer  # ... when the flusher gets its turn
    hook(7)
    assert list(recorder.lines) == ([7, GC_CODE] if name == "_collect_class" else [7])
    assert type(recorder.lines) is Buffer


def test_text_that_a_statement_may_add_to_waits_for_a_few_looks(ends: Ends) -> None:
    recorder = ends.recorder
    recorder.lines.append(7)
    recorder.output(-1, "line ")
    recorder.drain_statements()
    recorder.output(-1, "566\n")
    recorder.lines.append(8)
    recorder.output(-1, "prompt")
    recorder.drain_statements()
    assert stream_of(ends.heard()) == ([7, -1, 8], ["line 566\n"])
    for _ in range(4):
        recorder.drain_statements()
    assert stream_of(ends.heard()) == ([-1], ["prompt"])

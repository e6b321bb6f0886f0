"""Frames over pipes: whole messages come out in order, anything else is an error, never a hang."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coda.errors import SandboxError
from coda.runtime.protocol import (
    MAX_MESSAGE_BYTES,
    Answer,
    Channel,
    Exit,
    FromWorker,
    Observe,
    Ready,
    Request,
    ToWorker,
)


class Ends:
    """A channel that hears what is written to a pipe."""

    def __init__(self, incoming: Any = FromWorker) -> None:
        self.read_fd, self.write_fd = os.pipe()
        self.channel = Channel(self.read_fd, os.open(os.devnull, os.O_WRONLY), incoming)
        self.speaker = Channel(os.open(os.devnull, os.O_RDONLY), self.write_fd, ToWorker)

    def hang_up(self) -> None:
        """Ends the speaker."""
        self.speaker.close()


@pytest.fixture
def ends() -> Iterator[Ends]:
    """Both ends of one direction."""
    made = Ends()
    yield made
    made.channel.close()
    made.speaker.close()


DATA = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(DATA, min_size=1, max_size=5))
def test_messages_come_out_as_they_went_in(values: list[Any]) -> None:
    ends = Ends()
    messages = [Request("kind", {"value": value}, n) for n, value in enumerate(values)]
    for message in messages:
        ends.speaker.send(message)
    assert [ends.channel.receive() for _ in messages] == messages
    assert ends.channel.waiting() is None
    ends.hang_up()
    with pytest.raises(EOFError):
        ends.channel.receive()
    ends.channel.close()


def test_a_message_larger_than_the_pipe(ends: Ends) -> None:
    message = Observe("file.read", {"content": os.urandom(5_000_000)}, 1)
    thread = threading.Thread(target=ends.speaker.send, args=(message,))
    thread.start()
    assert ends.channel.receive() == message
    thread.join()


def test_lone_surrogates_are_spelled_out(ends: Ends) -> None:
    ends.speaker.send(Request("kind", {"path": "a\udcff", "more": ["\ud800"]}, 1))
    assert ends.channel.receive() == Request("kind", {"path": "a\\udcff", "more": ["\\ud800"]}, 1)


@pytest.mark.parametrize("cut", [1, 3, 4, 5, 20])
def test_half_a_message_waits_and_ends_with_the_other_side(cut: int, ends: Ends) -> None:
    body = msgspec.msgpack.encode(Ready(["a"] * 10, [], True, []))
    frame = len(body).to_bytes(4, "big") + body
    os.write(ends.write_fd, frame[:cut])
    ends.channel.fill()
    assert ends.channel.waiting() is None
    os.write(ends.write_fd, frame[cut:] + frame[:cut])
    assert ends.channel.receive() == Ready(["a"] * 10, [], True, [])
    ends.hang_up()
    with pytest.raises(EOFError):
        ends.channel.receive()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        b"\x80\x04cos\nsystem\n",
        msgspec.msgpack.encode("text"),
        msgspec.msgpack.encode(["Nobody", 1]),
        msgspec.msgpack.encode(["Request", 1, {}, 0]),
        msgspec.msgpack.encode(["Request", "kind", {}]),
        msgspec.msgpack.encode(["Exit"]),
        msgspec.msgpack.encode(Answer(True)),
    ],
)
def test_what_is_no_message_of_a_worker_is_refused(body: bytes, ends: Ends) -> None:
    os.write(ends.write_fd, len(body).to_bytes(4, "big") + body)
    with pytest.raises(SandboxError, match="not one"):
        ends.channel.receive()


@given(st.binary(max_size=200))
def test_noise_is_refused_or_waited_for(noise: bytes) -> None:
    ends = Ends()
    os.write(ends.write_fd, noise)
    ends.hang_up()
    try:
        for _ in range(len(noise) + 1):
            ends.channel.receive()
    except (SandboxError, EOFError):
        pass
    else:
        pytest.fail("noise was taken for messages")
    finally:
        ends.channel.close()


def test_a_message_beyond_the_limit_is_refused_before_it_is_read(ends: Ends) -> None:
    os.write(ends.write_fd, (MAX_MESSAGE_BYTES + 1).to_bytes(4, "big"))
    with pytest.raises(SandboxError, match=str(MAX_MESSAGE_BYTES + 1)):
        ends.channel.receive()


def test_writing_to_a_side_that_is_gone_raises(ends: Ends) -> None:
    os.close(ends.read_fd)
    with pytest.raises(OSError, match="Broken pipe"):
        ends.speaker.send(Exit())
    ends.channel.read_fd = os.open(os.devnull, os.O_RDONLY)  # the fixture closes it once more

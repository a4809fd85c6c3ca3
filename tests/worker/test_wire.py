"""The wire: what is said arrives whole, in short lines, and damage is noticed."""

import json
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from preflight.worker.wire import LONGEST, Reader, frames

VALUES = st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=8)
MESSAGES = st.dictionaries(st.text(max_size=10), VALUES, max_size=5)


@given(st.lists(MESSAGES, max_size=5), st.integers(1, 4000))
def test_messages_arrive_whole_however_they_are_cut(messages: list[dict[str, object]], size: int) -> None:
    """Any cut of the stream gives back the messages in their order."""
    stream = b"".join(frame for number, message in enumerate(messages) for frame in frames(message, number))
    reader = Reader()
    heard = [each for start in range(0, len(stream), size) for each in reader.feed(stream[start : start + size])]
    assert heard == [("local", message) for message in messages]
    assert (reader.torn, reader.noise) == (0, [])


def test_lines_are_short_enough_for_srun() -> None:
    """No line is longer than what a cluster's launcher passes on whole."""
    lines = list(frames({"text": [str(number) * 50 for number in range(2_000)]}, 7))
    assert len(lines) > 10
    assert max(map(len, lines)) <= LONGEST
    assert all(line.endswith(b"\n") for line in lines)


def test_foreign_lines_are_noise() -> None:
    """What a login script prints between the frames is kept apart."""
    (frame,) = frames({"kind": "beat"}, 1)
    reader = Reader()
    assert list(reader.feed(b"Welcome to node 7\n" + frame + b"module: loaded\n")) == [("local", {"kind": "beat"})]
    assert reader.noise == ["Welcome to node 7", "module: loaded"]


@given(st.data())
def test_damaged_frames_are_counted_and_harm_no_other(data: st.DataObject) -> None:
    """A line that was torn or changed on the way is never taken for a message."""
    first, second = ({"kind": "one", "text": "x" * 40}, {"kind": "two"})
    (frame,) = frames(first, 1)
    start = frame.index(b" ") + 1
    at = data.draw(st.integers(start, len(frame) - 2))
    damaged = frame[:at] + bytes([frame[at] ^ 1]) + frame[at + 1 :]
    reader = Reader()
    assert list(reader.feed(damaged + b"".join(frames(second, 2)))) == [("local", second)]
    assert reader.torn + len(reader.noise) == 1


def test_rubbish_with_the_mark_is_no_message() -> None:
    """Lines that only look like frames are refused."""
    reader = Reader()
    assert (
        list(reader.feed(b"~preflight\n~preflight n 1 1/1\n~preflight a b c d e\n~preflight n 1 1/1 00000000 AAAA\n"))
        == []
    )
    assert reader.torn == 3
    assert json.dumps(reader.noise) == '["~preflight"]'


@given(st.lists(st.tuples(st.sampled_from(["n1", "n2"]), MESSAGES), max_size=6), st.randoms())
def test_many_speak_on_one_stream(said: list[tuple[str, dict[str, object]]], random: Random) -> None:
    """Frames of several places may come in any order: each message is whole and has its speaker's name."""
    lines = [frame for number, (name, message) in enumerate(said) for frame in frames(message, number, name)]
    random.shuffle(lines)
    heard = list(Reader().feed(b"".join(lines)))
    assert sorted(heard, key=repr) == sorted(said, key=repr)


def test_a_name_that_was_changed_on_the_way_is_noticed() -> None:
    """The checksum covers who speaks, so no node is blamed for what another said."""
    (frame,) = frames({"kind": "beat"}, 1, "n1")
    reader = Reader()
    assert list(reader.feed(frame.replace(b" n1 ", b" n2 "))) == []
    assert reader.torn == 1

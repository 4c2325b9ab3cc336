from types import SimpleNamespace

import pytest

from workspace_rl.collectors.stream import Stream


def ordered(n, environments=(0,)):
    stream = Stream(environments)
    for _ in range(n):
        stream.order()
    return stream


def come(stream, *numbers):
    """Return the numbers that are handed on after these have come."""
    for number in numbers:
        stream.accept(SimpleNamespace(number=number))
    return [one.number for one in stream.take()]


@pytest.mark.parametrize(
    ("arrivals", "handed_on"),
    [
        ([[0], [1], [2]], [[0], [1], [2]]),
        ([[1], [0], [2]], [[], [0, 1], [2]]),
        ([[2, 1], [], [0]], [[], [], [0, 1, 2]]),
        ([[0, 0], [0], [1]], [[0], [], [1]]),
        ([[7], [-1], [0]], [[], [], [0]]),
    ],
)
def test_fragments_are_handed_on_once_and_in_order(arrivals, handed_on):
    stream = ordered(3)
    assert [come(stream, *numbers) for numbers in arrivals] == handed_on
    assert len(stream) == 3 - sum(map(len, handed_on))


def test_what_has_come_is_handed_on_though_what_was_before_it_is_lost():
    stream = ordered(3, environments=(40,))
    assert come(stream, 1) == []
    assert stream.lose() == 2
    assert come(stream, 0, 2) == [1]  # the others were given up
    assert (stream.environments, stream.index, stream.number, stream.n_delivered) == ((40, 3), 0, 3, 1)
    stream.order()
    assert come(stream, 3) == [3] and stream.index == 1


def test_environments_after_a_loss_were_never_there_before():
    stream, seen = Stream((5,)), set()
    for _ in range(4):
        stream.order()
        seen.add(stream.environments)
        stream.lose()
    assert seen == {(5,), (5, 1), (5, 2), (5, 3)}

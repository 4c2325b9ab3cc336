"""Replay buffers that draw by priorities against a list of rows: which windows may be drawn, and how likely each is."""

import pytest
import torch
from hypothesis import given

from tests.robustness.fuzzing import examples
from tests.robustness.replay_model import PrioritizedModel
from tests.robustness.test_replay_sources import play, programs
from workspace_rl.errors import ReplayBufferError
from workspace_rl.experience import Priorities


class Check:
    """Compares probabilities and weights, and gives errors of what was drawn: at once, or when more has been put."""

    def __init__(self):
        self.n, self.drawn_of, self.late = 0, None, None

    def __call__(self, buffer, model, length):
        self.n += 1
        if self.late is not None and self.drawn_of is buffer.prioritized:
            self.learned(buffer, model, *self.late)
        self.late = None
        expected = model.distribution(length)
        assert buffer.n_windows(length) == len(expected)
        if not expected:
            with pytest.raises(ReplayBufferError, match=f"no window of {length} frames"):
                buffer.sample(3, length)
            return
        buffer.prioritized.importance_exponent = 0.5
        batch = buffer.sample(7, length)
        size = buffer._ring.capacity_steps
        places = {(t % size) * model.batch_size + b: (t, b) for t, b in expected}
        numbers = buffer.prioritized._sums.numbers
        found = {place: float(numbers[place]) for place in numbers.nonzero()[0].tolist()}
        assert found == {place: expected[at] for place, at in places.items()}
        drawn = [places[place] for place in buffer.prioritized._drawn.tolist()]
        assert batch["number"][0].tolist() == [model.rows[t][b].number for t, b in drawn]
        least = min(expected[at] for at in drawn)
        weights = [(expected[at] / least) ** -0.5 for at in drawn]
        assert batch["weight"].shape == (length, 7)
        assert batch["weight"][-1].tolist() == pytest.approx(weights, rel=1e-5)
        errors = [float((model.rows[t][b].number * 7 + self.n) % 13 + 1) for t, b in drawn]
        self.drawn_of = buffer.prioritized
        if self.n % 3:
            self.learned(buffer, model, drawn, errors)
        else:
            self.late = drawn, errors

    def learned(self, buffer, model, drawn, errors):
        signs = torch.tensor([(-1.0) ** k for k in range(len(errors))])
        buffer.prioritized.learned(torch.tensor(errors) * signs)
        model.learned(drawn, errors, buffer.rows.start)


@examples(quick=200, full=20_000)
@given(programs())
def test_programs_of_priorities_agree_with_a_list_of_rows(program):
    """With several sources, environments, windows of all lengths, stacks, cuts, and rows back from checkpoints."""
    program |= {"options": {"priorities": Priorities(1.0, 1e-30)}, "model": PrioritizedModel}
    check = Check()
    buffer, model = play(program, check)
    longest = program["longest_window"]
    for length in (longest, 1, 2, longest, 2):
        if length <= longest:
            check(buffer, model, length)

"""Windows as sequences, by hand: what runs over them, what counts, and transitions of all of their steps."""

import pytest
import torch

from workspace_rl import Agent, Workspace, n_step_transitions
from workspace_rl.agent import before
from workspace_rl.agents import GRUAgent
from workspace_rl.errors import VariableMismatchError
from workspace_rl.experience import counting_steps, run_over, steps_side_by_side


def window_of(timesteps, done, **variables):
    """A window of as many frames and environments as `timesteps` has, `[T][B]`."""
    window = Workspace()
    window.set_full("env/timestep", torch.tensor(timesteps))
    window.set_full("env/done", torch.as_tensor(done, dtype=torch.bool))
    for name, value in variables.items():
        window.set_full(f"env/{name}", torch.as_tensor(value))
    return window


def columns(*environments):
    return [list(row) for row in zip(*environments, strict=True)]


@pytest.mark.parametrize(
    ("timestep", "done", "counts"),
    [
        pytest.param([3, 4, 5, 6], [0, 0, 0, 0], [1, 1, 1, 1], id="one episode"),
        pytest.param([3, 4, 0, 1], [0, 1, 0, 0], [1, 0, 1, 1], id="one ends and another begins"),
        pytest.param([0, 0, 0, 0], [1, 1, 1, 0], [0, 0, 0, 1], id="episodes that end at once"),
        pytest.param([3, 4, 7, 8], [0, 1, 0, 0], [1, 0, 0, 0], id="cut off, and the middle of another one"),
        pytest.param([3, 4, 7, 0], [0, 1, 1, 0], [1, 0, 0, 0], id="cut off, and the end of another one"),
        pytest.param([3, 4, 0, 1], [0, 0, 0, 0], [1, 1, 0, 0], id="frames of another collector"),
    ],
)
def test_steps_count_that_begin_a_transition_of_frames_that_belong_together(timestep, done, counts):
    window = window_of(columns(timestep, [5, 6, 7, 8]), columns(done, [0, 0, 0, 0]))
    assert counting_steps(window).T.tolist() == [[bool(one) for one in counts], [True] * 4]


def test_two_environments_end_at_different_steps():
    window = window_of(columns([1, 2, 0, 1], [7, 0, 1, 2]), columns([0, 1, 0, 0], [1, 0, 0, 1]))
    assert counting_steps(window).int().T.tolist() == [[1, 0, 1, 1], [0, 1, 1, 0]]


class Watched(Agent):
    """Adds a weight to its state, and notes over which frames it runs with gradients."""

    state_variables = ("sum",)

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(1.0))
        self.seen = []

    def forward(self, t=None, **kwargs):
        x = self.get("env/x")
        self.seen.append((x[:, 0].tolist(), torch.is_grad_enabled()))
        workspace = self.workspace
        state = workspace.get(before("sum"), 0) if before("sum") in workspace else torch.zeros_like(x[0])
        sums = []
        for one in x * self.weight:
            state = state + one
            sums.append(state)
        self.set(f"{self.prefix}sum", torch.stack(sums))


def test_the_burn_in_brings_the_state_up_to_date_and_gradients_end_there():
    window = window_of([[4], [5], [6], [7], [8]], [[0]] * 5, x=[[1.0], [2.0], [4.0], [8.0], [16.0]])
    window.set(before("sum"), 0, torch.tensor([100.0]))
    agent = Watched()
    frames = run_over([agent], window, 2)
    assert agent.seen == [([1, 2], False), ([4, 8, 16], True)]
    assert frames["env/x"].flatten().tolist() == [4, 8, 16]
    assert frames["sum"].flatten().tolist() == [107, 115, 131]
    (gradient,) = torch.autograd.grad(frames["sum"][-1].sum(), [agent.weight])
    assert gradient == 4 + 8 + 16
    assert window["env/x"].shape == (5, 1) and "sum" not in window


def test_a_copy_has_a_state_of_its_own_after_the_burn_in():
    window = window_of([[4], [5], [6]], [[0]] * 3, x=[[1.0], [2.0], [4.0]])
    window.set(before("sum"), 0, torch.tensor([100.0]))
    target = Watched().with_prefix("target/")
    target.weight.data.fill_(10.0)
    assert run_over([target], window, 2)["target/sum"].tolist() == [[170.0]]
    assert run_over([target], window)["target/sum"].flatten().tolist() == [110, 130, 170]


def test_gradients_reach_the_first_learned_step_and_nothing_before_it():
    torch.manual_seed(1)
    observation = torch.randn(6, 2, 3, requires_grad=True)
    window = window_of(columns(range(3, 9), [1, 2, 3, 0, 1, 2]), columns([0] * 6, [0, 0, 1, 0, 0, 0]))
    window.set_full("env/env_obs", observation)
    window.set(before("memory/hidden"), 0, torch.randn(2, 4))
    frames = run_over([GRUAgent(3, 4)], window, 2)
    (gradient,) = torch.autograd.grad(frames["memory"][-1].sum(), [observation])
    reached = gradient.abs().sum(-1) > 0
    # In the second environment an episode begins at step 3.
    assert reached.T.tolist() == [[False, False, True, True, True, True], [False, False, False, True, True, True]]


@pytest.mark.parametrize("n", [1, 3])
def test_transitions_of_all_steps_are_those_of_a_plain_loop(n):
    torch.manual_seed(0)
    n_steps, n_envs, discount = 5, 3, 0.9
    size = (n_steps + n, n_envs)
    window = window_of([[0] * n_envs] * size[0], torch.rand(size) < 0.3, reward=torch.randn(size), x=torch.randn(size))
    window.set_full("env/terminated", window["env/done"] & (torch.rand(size) < 0.5))
    found = n_step_transitions(steps_side_by_side(window, n_steps, n), discount)
    done, terminated = window["env/done"], window["env/terminated"]
    for t in range(n_steps):
        for b in range(n_envs):
            reward, k = 0.0, 0
            while k < n:
                k += 1
                reward += discount ** (k - 1) * float(window["env/reward"][t + k, b])
                if done[t + k, b]:
                    break
            row = t * n_envs + b
            assert found.get("env/reward", 1)[row] == pytest.approx(reward, rel=1e-5, abs=1e-6)
            assert found.get("discount", 1)[row] == pytest.approx(0 if terminated[t + k, b] else discount**k)
            assert found.get("env/x", 0)[row] == window["env/x"][t, b]
            assert found.get("env/x", 1)[row] == window["env/x"][t + k, b]


def test_a_window_of_another_length_is_refused():
    with pytest.raises(
        VariableMismatchError, match="3 transitions over 2 steps need 5 frames, but 'env/timestep' has 4"
    ):
        steps_side_by_side(window_of([[0]] * 4, [[0]] * 4), 3, 2)

"""Memories: where their state comes from, and where it begins anew."""

import copy

import gymnasium as gym
import pytest
import torch

from tests.toys import SpaceEnv
from workspace_rl import Agents, GymAgent, TemporalAgent, Workspace, load_policy, save_policy
from workspace_rl.agent import before, state_variables
from workspace_rl.agents import GRUAgent, LSTMAgent, MemoryAgent, TransformerAgent
from workspace_rl.errors import CompositionError, UnknownVariableError, UnsupportedSpaceError

#: Three environments: an episode begins in the first at steps 0 and 3, in the second at 2, in the third at 1 and 4.
TIMESTEPS = torch.tensor([[0, 4, 2], [1, 5, 0], [2, 0, 1], [0, 1, 2], [1, 2, 0], [2, 3, 1]])
T, B = TIMESTEPS.shape


class Traces(MemoryAgent):
    """The example of the docstring of `MemoryAgent`."""

    def __init__(self, input_size, decay=0.9, **options):
        super().__init__(input_size, input_size, {"trace": [input_size]}, **options)
        self.decay = decay

    def step(self, inputs, state):
        trace = self.decay * state["trace"] + inputs
        return trace, {"trace": trace}


class WithoutState(Traces):
    def step(self, inputs, state):
        return inputs, {"traces": inputs}


KINDS = {
    "gru": lambda inputs=3, **options: GRUAgent(inputs, 4, **options),
    "lstm": lambda inputs=3, **options: LSTMAgent(inputs, 4, **options),
    "gru of two layers": lambda inputs=3, **options: GRUAgent(inputs, 4, 2, **options),
    "lstm of three layers": lambda inputs=3, **options: LSTMAgent(inputs, 4, 3, **options),
    "transformer": lambda inputs=3, **options: TransformerAgent(inputs, 4, 1, 2, 3, **options),
    "transformer of two layers": lambda inputs=3, **options: TransformerAgent(inputs, 4, 2, 2, 3, **options),
    "one's own": lambda inputs=3, **options: Traces(inputs, **options),
}
RECURRENT = [kind for kind in KINDS if "transformer" not in kind]
LEARNED = [kind for kind in KINDS if kind != "one's own"]


def frames(**variables):
    workspace = Workspace()
    workspace.set_full("env/env_obs", torch.randn(T, B, 3, generator=torch.Generator().manual_seed(1)))
    workspace.set_full("env/timestep", TIMESTEPS)
    for name, value in variables.items():
        workspace.set_full(name, value)
    return workspace


def some_state(memory):
    """A state before the first step, such as acting leaves: after an episode of five steps."""
    workspace = frames()
    workspace.set_full("env/env_obs", torch.randn(T, B, 3, generator=torch.Generator().manual_seed(2)))
    workspace.set_full("env/timestep", torch.arange(T).unsqueeze(1).expand(T, B))
    memory(workspace)
    return {before(name): workspace[name][-1:].detach() for name in memory.state_variables}


def counted(workspace, name):
    """A part of the state without what does not count in it."""
    value = workspace[name]
    if not name.endswith("/inputs"):
        return value
    places = torch.arange(value.shape[2], 0, -1)
    return value.masked_fill((places > workspace[name.replace("inputs", "count")].unsqueeze(-1)).unsqueeze(-1), 0)


@pytest.mark.parametrize("given", ["state before", "none before"])
@pytest.mark.parametrize("kind", KINDS)
def test_step_by_step_is_all_at_once(kind, given):
    torch.manual_seed(0)
    memory = KINDS[kind]()
    variables = some_state(memory) if given == "state before" else {}
    memory.double()
    variables = {name: value.double() for name, value in variables.items()}
    variables["env/env_obs"] = torch.randn(T, B, 3, dtype=torch.float64)
    whole, steps = frames(**variables), frames(**variables)
    memory(whole)
    for t in range(T):
        memory(steps, t=t)
    written = ["memory", *memory.state_variables]
    assert list(whole)[-len(written) :] == list(steps)[-len(written) :] == written
    for name in written:
        torch.testing.assert_close(counted(whole, name), counted(steps, name), rtol=1e-12, atol=1e-12)
    assert whole["memory"].shape == (T, B, memory.n_features) and whole["memory"].dtype == torch.float64


def test_a_memory_of_ones_own_is_bit_equal_step_by_step():
    memory = Traces(3)
    whole, steps = frames(**some_state(memory)), frames(**some_state(memory))
    memory(whole)
    for t in range(T):
        memory(steps, t=t)
    assert torch.equal(whole["memory"], steps["memory"])


def test_a_trace_by_hand():
    workspace = Workspace()
    workspace.set_full("env/env_obs", torch.tensor([1.0, 2, 4, 8]).view(4, 1, 1).expand(4, 2, 1))
    # The second environment goes on, ends at step 1 by truncation or otherwise, and is reset by itself at step 2.
    workspace.set_full("env/timestep", torch.tensor([[0, 7], [1, 8], [2, 0], [3, 1]]))
    workspace.set_full("env/done", torch.tensor([[False, False], [False, True], [False, False], [False, False]]))
    workspace.set_full("memory/trace/before", torch.full((1, 2, 1), 16.0))
    Traces(1, decay=0.5)(workspace)
    assert workspace["memory"].squeeze(-1).tolist() == [[1, 9], [2.5, 6.5], [5.25, 4], [10.625, 10]]
    assert torch.equal(workspace["memory"], workspace["memory/trace"])


@pytest.mark.parametrize("kind", KINDS)
def test_state_begins_anew_where_an_episode_does_and_nowhere_else(kind):
    torch.manual_seed(0)
    memory = KINDS[kind]()
    changed = frames()
    changed.set_full("env/env_obs", changed["env/env_obs"].clone())
    changed["env/env_obs"][1] += 1
    with_state = frames(**some_state(memory))
    results = []
    for workspace in (frames(), changed, with_state):
        memory(workspace)
        results.append(workspace["memory"])
    from_step_1 = [[0, 0, 0], [1, 1, 1], [1, 0, 1], [0, 0, 1], [0, 0, 0], [0, 0, 0]]
    assert (results[0] != results[1]).any(-1).int().tolist() == from_step_1
    from_before = [[0, 1, 1], [0, 1, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert (results[0] != results[2]).any(-1).int().tolist() == from_before


@pytest.mark.parametrize("kind", KINDS)
def test_a_piece_of_time_goes_on_from_the_state_before_it(kind):
    memory = KINDS[kind]()
    whole = frames(**some_state(memory))
    memory(whole)
    for start in (1, 2, 4):
        later = frames().subtime(start)
        for name in memory.state_variables:
            later.set_full(before(name), whole[name][start - 1 : start])
        memory(later)
        torch.testing.assert_close(later["memory"], whole["memory"][start:])


@pytest.mark.parametrize("kind", LEARNED)
def test_gradients_reach_the_first_step_and_no_other_episode(kind):
    torch.manual_seed(0)
    memory = KINDS[kind]()
    for name, gradients_come_from in (("whole", None), ("step by step", range(T))):
        workspace = frames(**some_state(memory))
        observation = workspace["env/env_obs"].requires_grad_()
        workspace.set_full("env/timestep", torch.arange(3, 3 + T).unsqueeze(1).repeat(1, B))
        workspace["env/timestep"][2, 1] = 0
        for t in gradients_come_from or [None]:
            memory(workspace, t=t)
        reach = getattr(memory, "reach", T)
        last = min(T - 1, reach)
        (gradient,) = torch.autograd.grad(workspace.get("memory", last)[:, 0].sum(), observation)
        reached = gradient.abs().sum(-1) > 0
        assert reached[: last + 1, [0, 2]].all(), name
        assert not reached[last + 1 :].any() and not reached[:2, 1].any() and reached[2 : last + 1, 1].all(), name


@pytest.mark.parametrize("kind", RECURRENT)
def test_gradients_reach_the_state_before_and_stop_at_a_reset(kind):
    torch.manual_seed(0)
    memory = KINDS[kind]()
    state = {name: value.requires_grad_() for name, value in some_state(memory).items()}
    for steps in ([None], range(T)):
        workspace = frames(**state)
        for t in steps:
            memory(workspace, t=t)
        gradients = torch.autograd.grad(workspace["memory"].sum(), list(state.values()))
        for one in gradients:  # [1, B, ...]
            assert not one[0, 0].any() and one[0, 1].any() and one[0, 2].any()


def test_a_copy_with_a_prefix_begins_with_the_stored_state():
    memory = LSTMAgent(3, 4, features_variable="seen")
    target = copy.deepcopy(memory).with_prefix("target-critic/")
    assert memory.state_variables == target.state_variables == ("seen/hidden", "seen/cell")
    assert state_variables(torch.nn.ModuleList([memory, GRUAgent(3)])) == ["seen/hidden", "seen/cell", "memory/hidden"]
    workspace = frames(**some_state(memory))
    memory(workspace)
    target(workspace)
    for name in ("seen", "seen/hidden", "seen/cell"):
        assert torch.equal(workspace[name], workspace[f"target-critic/{name}"])
    for t in range(T):
        target(workspace, t=t)
    torch.testing.assert_close(workspace["seen"], workspace["target-critic/seen"])


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_saved_without_its_state(kind, tmp_path):
    memory = KINDS[kind](features_variable="seen", name="mine")
    workspace = frames()
    memory(workspace)
    save_policy(memory, tmp_path)
    loaded = load_policy(tmp_path, allow=[Traces])
    assert type(loaded) is type(memory) and loaded.name == "mine" and loaded.given_variables == ("env/timestep",)
    assert loaded.state_dict().keys() == dict(memory.named_parameters()).keys()
    twin = memory.clone()
    for one in (loaded, twin):
        again = frames()
        one(again)
        assert torch.equal(again["seen"], workspace["seen"])


@pytest.mark.parametrize("kind", LEARNED)
def test_numbers_of_16_bits_are_for_products_alone(kind):
    torch.manual_seed(0)
    memory = KINDS[kind]()
    exact, coarse, autocast = frames(**some_state(memory)), frames(**some_state(memory)), frames(**some_state(memory))
    memory(exact)
    with torch.autocast("cpu", torch.bfloat16):
        memory(autocast)
        memory(autocast, t=0)
    memory.bfloat16()
    memory(coarse)
    memory(coarse, t=0)
    for workspace in (coarse, autocast):
        for name in ("memory", *memory.state_variables):
            assert workspace[name].dtype == torch.float32
        torch.testing.assert_close(workspace["memory"], exact["memory"], rtol=0.05, atol=0.1)
        assert not torch.equal(workspace["memory"], exact["memory"])


@pytest.mark.parametrize("kind", KINDS)
def test_choices_are_given_one_hot(kind):
    memory = KINDS[kind](5, observation_choices=[[0, 2], [1, 3]])
    numbers, choices = KINDS[kind](5), frames()
    numbers.load_state_dict(memory.state_dict())
    choices.set_full(
        "env/env_obs", torch.stack((torch.arange(T) % 2, torch.arange(T) % 3 + 1), -1)[:, None].repeat(1, B, 1)
    )
    encoded = frames(**{"env/env_obs": memory.one_hot(choices["env/env_obs"], 2)})
    memory(choices)
    numbers(encoded)
    assert torch.equal(choices["memory"], encoded["memory"])
    memory(choices, t=0)
    torch.testing.assert_close(choices["memory"], encoded["memory"])


def test_it_acts_in_front_of_an_environment_that_resets_itself():
    env_agent = GymAgent(lambda: gym.wrappers.TimeLimit(SpaceEnv(gym.spaces.Box(-1, 1, (3,))), 3), 2, seed=1)
    memory, workspace = Traces(3), Workspace()
    with torch.no_grad():
        TemporalAgent(Agents(env_agent, memory, Still()))(workspace, t=0, n_steps=9)
    trace = torch.zeros(2, 3)
    assert (workspace["env/timestep"] == 0).sum() >= 4
    for t in range(9):
        trace = (
            torch.where(workspace["env/timestep"][t].unsqueeze(-1) == 0, 0, trace) * 0.9 + workspace["env/env_obs"][t]
        )
        assert torch.equal(workspace["memory"][t], trace)


class Still(MemoryAgent):
    """An actor that is a memory itself, of nothing."""

    def __init__(self):
        super().__init__(3, 1, {}, features_variable="action")

    def step(self, inputs, state):
        return torch.zeros(len(inputs), dtype=torch.int64), {}


@pytest.mark.parametrize(
    ("returned", "error"),
    [
        (lambda inputs: inputs, r"returned Tensor, two things expected: return features, \{part: value\}"),
        (lambda inputs: (inputs, {"trace": inputs[:, :2]}), r"'trace' of shape \[3, 2\], \[B, 3\] expected"),
    ],
)
def test_a_step_that_returns_something_else_is_refused(returned, error):
    memory = Traces(3)
    memory.step = lambda inputs, state: returned(inputs)
    with pytest.raises(CompositionError, match=error):
        memory(frames(), t=0)


def test_what_does_not_fit_is_refused():
    with pytest.raises(CompositionError, match=r"state_shapes\['trace'\]: a shape.*\[3\]"):
        MemoryAgent(3, 3, {"trace": 3})
    memory = GRUAgent(3, 4)
    images = frames(**{"env/env_obs": torch.zeros(T, B, 3, 8, 8, dtype=torch.uint8)})
    for t in (0, None):
        with pytest.raises(UnsupportedSpaceError, match=r"vectors of 3 numbers.*\[3, 8, 8\].*pictures need an encoder"):
            memory(images, t=t)
        with pytest.raises(UnsupportedSpaceError, match=r"vectors of 4 numbers.*\[3\].*another input_size"):
            GRUAgent(4)(frames(), t=t)
    with pytest.raises(CompositionError, match="observation_choices=env_agent.observation_choices"):
        memory(frames(**{"env/env_obs": torch.zeros(T, B, dtype=torch.int64)}))
    with pytest.raises(CompositionError, match="make 3 inputs, but observations of 4"):
        GRUAgent(4, observation_choices=[[0, 3]])
    blind = Workspace()
    blind.set_full("env/env_obs", torch.zeros(T, B, 3))
    with pytest.raises(UnknownVariableError, match="env/timestep"):
        memory(blind)
    with pytest.raises(CompositionError, match=r"returned the state \['traces'\], \['trace'\] expected"):
        WithoutState(3)(frames())
    with pytest.raises(NotImplementedError, match=r"implement step\(self, inputs, state\)"):
        MemoryAgent(3, 3, {})(frames())
    with pytest.raises(UnknownVariableError, match="'memory/hidden'"):
        memory(frames(), t=2)

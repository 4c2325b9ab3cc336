"""GRU and LSTM: where their state comes from, and where it begins anew."""

import copy

import pytest
import torch

from workspace_rl import Workspace, load_policy, save_policy
from workspace_rl.agent import before, state_variables
from workspace_rl.agents import GRUAgent, LSTMAgent, make_memory
from workspace_rl.config import MemoryConfig
from workspace_rl.errors import ConfigError

#: Two environments: an episode begins in the first at steps 0 and 3, in the second at 2.
TIMESTEPS = torch.tensor([[0, 4], [1, 5], [2, 0], [0, 1], [1, 2]])
KINDS = {
    "gru": lambda **options: GRUAgent(3, 4, **options),
    "lstm": lambda **options: LSTMAgent(3, 4, **options),
    "gru of two layers": lambda **options: GRUAgent(3, 4, 2, **options),
    "lstm of three layers": lambda **options: LSTMAgent(3, 4, 3, **options),
}


def frames(**variables):
    """Five frames of two environments."""
    generator = torch.Generator().manual_seed(1)
    workspace = Workspace()
    workspace.set_full("env/env_obs", torch.randn(5, 2, 3, generator=generator))
    workspace.set_full("env/timestep", TIMESTEPS)
    for name, value in variables.items():
        workspace.set_full(name, value)
    return workspace


def some_state(memory):
    torch.manual_seed(2)
    workspace = frames()
    memory(workspace)
    return {before(name): torch.rand_like(workspace.get_full(name)[:1]) for name in memory.state_variables}


@pytest.mark.parametrize("given", ["state before", "none before"])
@pytest.mark.parametrize("kind", KINDS)
def test_step_by_step_is_all_at_once(kind, given):
    torch.manual_seed(0)
    memory = KINDS[kind]().double()
    variables = some_state(memory) if given == "state before" else {}
    variables["env/env_obs"] = torch.randn(5, 2, 3, dtype=torch.float64)
    whole, steps = frames(**variables), frames(**variables)
    memory(whole)
    for t in range(5):
        memory(steps, t=t)
    written = ["memory", *memory.state_variables]
    assert list(whole)[-len(written) :] == list(steps)[-len(written) :] == written
    for name in written:
        torch.testing.assert_close(whole.get_full(name), steps.get_full(name), rtol=1e-12, atol=1e-12)
    layers = () if "layers" not in kind else (len(memory.layers),)
    assert whole["memory"].shape == (5, 2, 4) and memory.n_features == 4
    assert all(whole[name].shape == (5, 2, *layers, 4) for name in memory.state_variables)


@pytest.mark.parametrize("kind", KINDS)
def test_state_begins_anew_where_an_episode_does_and_nowhere_else(kind):
    memory = KINDS[kind]()
    changed = frames()
    changed.set_full("env/env_obs", changed["env/env_obs"].clone())
    changed["env/env_obs"][1] += 1  # the first environment's first episode, the second's, too
    with_state = frames(**some_state(memory))
    results = []
    for workspace in (frames(), changed, with_state):
        memory(workspace)
        results.append(workspace["memory"])
    differs = (results[0] != results[1]).any(-1).tolist()
    assert differs == [[False, False], [True, True], [True, False], [False, False], [False, False]]
    differs = (results[0] != results[2]).any(-1).tolist()
    assert differs == [[False, True], [False, True], [False, False], [False, False], [False, False]]


@pytest.mark.parametrize("kind", KINDS)
def test_a_piece_of_time_goes_on_from_the_state_before_it(kind):
    memory = KINDS[kind]()
    whole = frames()
    memory(whole)
    later = frames().subtime(1)
    for name in memory.state_variables:
        later.set_full(before(name), whole[name][:1])
    memory(later)
    torch.testing.assert_close(later["memory"], whole["memory"][1:])


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
    for t in range(5):
        target(workspace, t=t)
    torch.testing.assert_close(workspace["seen"], workspace["target-critic/seen"])


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_saved_without_its_state(kind, tmp_path):
    memory = KINDS[kind](features_variable="seen", name="mine")
    workspace, again = frames(), frames()
    memory(workspace)
    save_policy(memory, tmp_path)
    loaded = load_policy(tmp_path)
    assert type(loaded) is type(memory) and loaded.name == "mine" and loaded.given_variables == ("env/timestep",)
    assert loaded.state_dict().keys() == dict(memory.named_parameters()).keys()
    loaded(again)
    assert torch.equal(again["seen"], workspace["seen"])


def test_a_configuration_makes_it():
    made = make_memory(MemoryConfig(kind="lstm", size=5, n_layers=2), 3, features_variable="seen")
    assert type(made) is LSTMAgent and made.n_features == 5 and made.features_variable == "seen"
    assert len(made.layers) == 2
    with pytest.raises(ConfigError, match="memory.kind"):
        make_memory(MemoryConfig(), 3)

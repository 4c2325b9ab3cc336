import pytest
import torch

from workspace_rl import Agents, Workspace, load_policy, save_policy
from workspace_rl.agents import DiscreteQAgent, EpsilonGreedyAgent, GreedyAgent, LinearSchedule
from workspace_rl.errors import ActionError

Q_VALUES = torch.tensor([[0.0, 2.0, 1.0, -1.0], [5.0, 2.0, 1.0, -1.0]])


def act(agent, q_values=Q_VALUES, **kwargs):
    workspace = Workspace()
    workspace.set("q/q_values", 0, q_values)
    agent(workspace, t=0, **kwargs)
    assert list(workspace) == ["q/q_values", "action"]
    action = workspace.get("action", 0)
    assert action.dtype == torch.int64 and action.shape == q_values.shape[:1]
    return action


@pytest.mark.parametrize(
    ("step", "epsilon"), [(0, 1.0), (250, 0.775), (500, 0.55), (999, 0.1009), (1000, 0.1), (10**9, 0.1)]
)
def test_a_linear_schedule_goes_along_a_line_and_stays(step, epsilon):
    assert LinearSchedule(1.0, 0.1, 1000)(step) == pytest.approx(epsilon)
    assert EpsilonGreedyAgent(1.0, 0.1, 1000).epsilon(step) == pytest.approx(epsilon)


def test_a_schedule_of_no_steps_is_constant():
    assert LinearSchedule(1.0, 0.1, 0)(0) == 0.1


def test_the_greatest_value_is_taken():
    assert act(GreedyAgent()).tolist() == [1, 0]


def test_variables_can_be_renamed():
    workspace = Workspace()
    workspace.set("target-q/q_values", 3, Q_VALUES)
    GreedyAgent("target-q/q_values", "next_action")(workspace, t=3)
    EpsilonGreedyAgent(0, 0, q_variable="target-q/q_values", action_variable="other")(workspace, t=3)
    assert workspace.get("next_action", 3).tolist() == workspace.get("other", 3).tolist() == [1, 0]


@pytest.mark.parametrize(("step", "epsilon"), [(0, 0.8), (50, 0.5), (100, 0.2), (None, 0.8)])
def test_actions_are_random_as_often_as_the_schedule_says(step, epsilon):
    torch.manual_seed(0)
    n = 40_000
    action = act(
        EpsilonGreedyAgent(0.8, 0.2, 100), Q_VALUES[:1].expand(n, 4), **({} if step is None else {"step": step})
    )
    found = action.bincount(minlength=4) / n
    expected = torch.full((4,), epsilon / 4)
    expected[1] += 1 - epsilon
    assert (found - expected).abs().max() < 0.01


def test_each_environment_draws_for_itself():
    torch.manual_seed(0)
    explorer = EpsilonGreedyAgent(0.5, 0.5)
    draws = torch.stack([act(explorer, torch.tensor([[0.0, 1.0]]).expand(2, 2)) for _ in range(4000)])
    assert abs(torch.corrcoef(draws.T.double())[0, 1]) < 0.06


def test_evaluation_is_greedy_and_draws_no_random_numbers():
    for agent in (GreedyAgent(), EpsilonGreedyAgent(1.0, 1.0)):
        before = torch.get_rng_state()
        assert act(agent, stochastic=False, step=0).tolist() == [1, 0]
        assert torch.equal(before, torch.get_rng_state())


def test_policies_are_saved_and_loaded(tmp_path):
    for policy in (
        Agents(DiscreteQAgent([3], [8], 4), GreedyAgent()),
        Agents(DiscreteQAgent([3], [8], 4), EpsilonGreedyAgent(1.0, 0.1, 100)),
    ):
        save_policy(policy, tmp_path)
        loaded, actions = load_policy(tmp_path), []
        for one in (policy, loaded):
            workspace = Workspace()
            workspace.set("env/env_obs", 0, torch.linspace(-3, 3, 60).reshape(20, 3))
            torch.manual_seed(0)
            one(workspace, t=0, step=50)
            actions.append(workspace.get("action", 0))
        assert torch.equal(*actions)


ALLOWED = torch.tensor([[True, False, False, True], [False, True, True, True]])


@pytest.mark.parametrize("dtype", [torch.bool, torch.int8])
@pytest.mark.parametrize(
    "agent", [GreedyAgent(mask_variable="m"), EpsilonGreedyAgent(0, 0, mask_variable="m")], ids=str
)
def test_the_greatest_value_is_one_that_is_allowed(agent, dtype):
    workspace = Workspace()
    workspace.set("q/q_values", 0, Q_VALUES)
    workspace.set("m", 0, ALLOWED.to(dtype))
    agent(workspace, t=0)
    assert workspace.get("action", 0).tolist() == [0, 1] and workspace.get("q/q_values", 0) is Q_VALUES


def test_random_actions_are_among_the_allowed_ones_each_as_often():
    torch.manual_seed(0)
    workspace, n = Workspace(), 6000
    workspace.set("q/q_values", 0, Q_VALUES[1:].expand(n, 4))
    workspace.set("m", 0, ALLOWED[1:].expand(n, 4))
    EpsilonGreedyAgent(1, 1, mask_variable="m")(workspace, t=0)
    found = workspace.get("action", 0).bincount(minlength=4) / n
    assert found[0] == 0 and (found[1:] - 1 / 3).abs().max() < 0.03


@pytest.mark.parametrize("agent", [GreedyAgent(mask_variable="m"), EpsilonGreedyAgent(mask_variable="m")], ids=str)
def test_something_must_be_allowed_unless_it_is_only_looked_at(agent):
    workspace = Workspace()
    workspace.set("q/q_values", 1, Q_VALUES)
    workspace.set("m", 1, ALLOWED & torch.tensor([[True], [False]]))
    with pytest.raises(ActionError, match="'m' at step 1 allows no action in environment 1"):
        agent(workspace, t=1)
    GreedyAgent(mask_variable="m", needs_allowed=False)(workspace, t=1)
    assert workspace.get("action", 1)[0] == 0

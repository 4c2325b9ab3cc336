"""Values of states, and features that values and policies share."""

import pytest
import torch
from torch import nn

from workspace_rl import Agents, Workspace, load_policy, save_policy
from workspace_rl.agents import CategoricalActor, FeaturesAgent, ValueAgent
from workspace_rl.errors import CompositionError, UnsupportedSpaceError

IMAGES = (2, 40, 44)


def frames(observation, name="env/env_obs"):
    workspace = Workspace()
    workspace.set_full(name, observation)
    return workspace


def pictures(*leading):
    return torch.randint(0, 256, (*leading, *IMAGES), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


#: Agents, and what they read in three steps of five environments.
AGENTS = {
    "value": (lambda: ValueAgent(3, [8, 6]), lambda: torch.randn(3, 5, 3)),
    "linear value": (lambda: ValueAgent(3, []), lambda: torch.randn(3, 5, 3)),
    "value of a choice": (lambda: ValueAgent(4, [8], observation_choices=[[0, 4]]), lambda: torch.randint(4, (3, 5))),
    "value of choices": (
        lambda: ValueAgent(5, [8], observation_choices=[[0, 2], [1, 3]]),
        lambda: torch.randint(1, 2, (3, 5, 2)),
    ),
    "value of bytes": (lambda: ValueAgent(3, [8]), lambda: torch.randint(9, (3, 5, 3), dtype=torch.uint8)),
    "features": (lambda: FeaturesAgent([3], [8, 7]), lambda: torch.randn(3, 5, 3)),
    "features of a choice": (
        lambda: FeaturesAgent([4], [8], observation_choices=[[0, 4]]),
        lambda: torch.randint(4, (3, 5)),
    ),
    "features of pictures": (lambda: FeaturesAgent(IMAGES, [16], network="nature_cnn"), lambda: pictures(3, 5)),
    "features of pictures, residual": (
        lambda: FeaturesAgent(IMAGES, [16], network="impala_cnn"),
        lambda: pictures(3, 5),
    ),
}


@pytest.mark.parametrize("kind", AGENTS)
def test_all_of_time_at_once_is_step_by_step_and_is_saved(kind, tmp_path):
    torch.manual_seed(0)
    make, observe = AGENTS[kind]
    agent, observation = make(), observe()
    name = "features" if "features" in kind else "value"
    whole, steps, again = frames(observation), frames(observation), frames(observation)
    agent(whole)
    for t in range(3):
        agent(steps, t=t)
    assert list(whole) == list(steps) == ["env/env_obs", name]
    found = whole.get_full(name)
    assert found.shape == ((3, 5) if name == "value" else (3, 5, agent.n_features)) and found.dtype == torch.float32
    torch.testing.assert_close(found, steps.get_full(name))
    save_policy(agent, tmp_path)
    load_policy(tmp_path)(again)
    assert torch.equal(again.get_full(name), found)


def test_a_value_has_the_gains_of_the_paper_and_a_prefix():
    agent = ValueAgent(3, [8]).with_prefix("target/")
    assert torch.linalg.matrix_norm(agent.head.weight, 2).item() == pytest.approx(1)
    assert torch.linalg.matrix_norm(agent.body[0].weight, 2).item() == pytest.approx(2**0.5)
    assert isinstance(agent.body[1], nn.Tanh)
    workspace = frames(torch.randn(2, 5, 3), "normalized_obs")
    ValueAgent(3, [8], observation_variable="normalized_obs", name="v")(workspace, t=1)
    assert list(workspace) == ["normalized_obs", "value"]
    workspace = frames(torch.randn(2, 5, 3))
    agent(workspace)
    assert list(workspace) == ["env/env_obs", "target/value"]


@pytest.mark.parametrize("kind", ["vectors", "pictures"])
def test_policy_and_value_learn_the_features_that_they_share(kind):
    body = FeaturesAgent([3], [8]) if kind == "vectors" else FeaturesAgent(IMAGES, [8], network="nature_cnn")
    reading = {"observation_variable": "features"}
    value = ValueAgent(body.n_features, [], **reading)
    agents = Agents(body, CategoricalActor(body.n_features, [], 3, **reading), value)
    workspace = frames(torch.randn(4, 5, 3) if kind == "vectors" else pictures(4, 5))
    with torch.no_grad():
        for t in range(4):
            agents(workspace, t=t)
    stored = Workspace()
    for name in ("env/env_obs", "action"):
        stored.set_full(name, workspace.get_full(name))
    agents(stored, given=True)
    torch.testing.assert_close(stored.get_full("action_logprobs"), workspace.get_full("action_logprobs"))
    torch.testing.assert_close(stored.get_full("value"), workspace.get_full("value"))
    for name in ("action_logprobs", "value"):
        gradients = torch.autograd.grad(stored.get_full(name).sum(), list(body.parameters()), retain_graph=True)
        assert all(one.isfinite().all() and one.any() for one in gradients)
    assert isinstance(
        body.body[-1] if kind == "vectors" else body.body.linear[-1], nn.Tanh if kind == "vectors" else nn.ReLU
    )


def test_what_does_not_fit_is_refused():
    with pytest.raises(CompositionError, match=r"nothing to learn with hidden_sizes=\[\]: give the size of a layer"):
        FeaturesAgent([3], [])
    with pytest.raises(
        CompositionError, match="knows the networks 'mlp', 'nature_cnn' and 'impala_cnn', 'cnn' was given"
    ):
        FeaturesAgent([3], [8], network="cnn")
    with pytest.raises(UnsupportedSpaceError, match="'nature_cnn' is for images"):
        FeaturesAgent([2, 3], [8])
    with pytest.raises(CompositionError, match="make 3 inputs, but observations of 4"):
        ValueAgent(4, [8], observation_choices=[[0, 3]])
    with pytest.raises(CompositionError, match="the least value and the count of each choice expected"):
        ValueAgent(4, [8], observation_choices=[[4]])
    workspace = frames(torch.randint(4, (3, 5)))
    for t in (0, None):
        with pytest.raises(CompositionError, match="observation_choices=env_agent.observation_choices"):
            ValueAgent(5, [8])(workspace, t=t)

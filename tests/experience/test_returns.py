import pytest
import torch

from workspace_rl import Workspace, gae, n_step_transitions


def window(rewards, terminated, truncated):
    """A window of one environment; rewards[k] and the flags belong to frame k (that of frame 0 is unused)."""
    workspace = Workspace()
    workspace.set_full("env/env_obs", torch.arange(len(rewards)).reshape(-1, 1, 1).float())
    workspace.set_full("env/reward", torch.tensor(rewards).reshape(-1, 1))
    workspace.set_full("env/terminated", torch.tensor(terminated).bool().reshape(-1, 1))
    workspace.set_full(
        "env/done", torch.tensor(terminated).bool().reshape(-1, 1) | torch.tensor(truncated).bool().reshape(-1, 1)
    )
    return workspace


@pytest.mark.parametrize(
    ("rewards", "terminated", "truncated", "total", "discount", "bootstrap_frame"),
    [
        # one step
        ([0.0, 2.0], [0, 0], [0, 0], 2, 0.5, 1),
        ([0.0, 2.0], [0, 1], [0, 0], 2, 0, 1),
        ([0.0, 2.0], [0, 0], [0, 1], 2, 0.5, 1),
        ([0.0, 2.0], [0, 1], [0, 1], 2, 0, 1),
        # three steps: none ends; 1 + 2/2 + 4/4 = 3
        ([9.0, 1.0, 2.0, 4.0], [0, 0, 0, 0], [0, 0, 0, 0], 3, 0.125, 3),
        # ends at the first, second, third frame
        ([9.0, 1.0, 2.0, 4.0], [0, 1, 0, 0], [0, 0, 0, 0], 1, 0, 1),
        ([9.0, 1.0, 2.0, 4.0], [0, 0, 0, 0], [0, 1, 0, 0], 1, 0.5, 1),
        ([9.0, 1.0, 2.0, 4.0], [0, 0, 1, 0], [0, 0, 0, 0], 2, 0, 2),
        ([9.0, 1.0, 2.0, 4.0], [0, 0, 0, 0], [0, 0, 1, 0], 2, 0.25, 2),
        ([9.0, 1.0, 2.0, 4.0], [0, 0, 0, 1], [0, 0, 0, 1], 3, 0, 3),
        ([9.0, 1.0, 2.0, 4.0], [0, 0, 0, 0], [0, 0, 0, 1], 3, 0.125, 3),
        # an episode of one step after the first one's end does not matter
        ([9.0, 1.0, 0.0, 4.0], [0, 0, 0, 1], [0, 1, 0, 0], 1, 0.5, 1),
    ],
)
def test_hand_computed_returns(rewards, terminated, truncated, total, discount, bootstrap_frame):
    given = window(rewards, terminated, truncated)
    transitions = n_step_transitions(given, discount_factor=0.5)
    assert transitions.get("env/reward", 1).item() == total
    assert transitions.get("discount", 1).item() == discount
    assert transitions["env/env_obs"].flatten().tolist() == [0, bootstrap_frame]
    assert given["env/reward"].flatten().tolist() == rewards


def test_batches_end_at_different_frames():
    batch = Workspace.cat_batch(
        [window([0.0, 1.0, 2.0], [0, 1, 0], [0, 0, 0]), window([0.0, 1.0, 2.0], [0, 0, 0], [0, 0, 0])]
    )
    transitions = n_step_transitions(batch, 0.5)
    assert transitions.get("env/reward", 1).tolist() == [1, 2]
    assert transitions.get("discount", 1).tolist() == [0, 0.25]
    assert transitions.get("env/env_obs", 1).flatten().tolist() == [1, 2]


def test_gae_equals_its_definition():
    """The sum of the discounted differences, up to the episode's end (Schulman et al. 2016, equation 16)."""
    torch.manual_seed(0)
    reward, value, next_value = torch.randn(3, 9, 2, dtype=torch.float64).unbind()
    terminated = torch.zeros(9, 2, dtype=torch.bool)
    done = terminated.clone()
    terminated[3, 0] = done[3, 0] = done[5, 1] = True  # the first episode terminates, the second is cut off
    found = gae(reward, value, next_value, bootstrap=~terminated, trace=~done, discount_factor=0.9, gae_lambda=0.8)
    for b in range(2):
        for t in range(9):
            expected, weight = 0.0, 1.0
            for k in range(t, 9):
                expected += weight * (reward[k, b] + 0.9 * next_value[k, b] * ~terminated[k, b] - value[k, b])
                weight *= 0.9 * 0.8
                if done[k, b]:
                    break
            torch.testing.assert_close(found[t, b], torch.as_tensor(expected))


def test_a_cut_off_episode_counts_its_last_value_but_not_the_next_episode():
    reward, value = torch.tensor([0.0, 0.0, 100.0]), torch.zeros(3)
    truncated = torch.tensor([False, True, False])
    options = {"bootstrap": torch.ones(3, dtype=torch.bool), "discount_factor": 0.99, "gae_lambda": 0.95}
    assert gae(reward, value, value, trace=~truncated, **options).tolist() == [0, 0, 100]
    leaking = gae(reward, value, value, trace=options["bootstrap"], **options)  # with one mask only
    assert leaking.tolist() == pytest.approx([88.45, 94.05, 100], abs=0.01)


def test_gae_without_a_trace_is_the_temporal_difference():
    reward, value, next_value = torch.randn(3, 5, 2).unbind()
    value.requires_grad_()
    masks = {"bootstrap": torch.ones(5, 2), "trace": torch.ones(5, 2)}
    found = gae(reward, value, next_value, **masks, discount_factor=0.9, gae_lambda=0.0)
    torch.testing.assert_close(found, reward + 0.9 * next_value - value)
    assert torch.autograd.grad(found.sum(), value)[0].eq(-1).all()
    assert (
        len(
            gae(
                *torch.zeros(3, 0, 2).unbind(),
                bootstrap=torch.ones(0, 2),
                trace=torch.ones(0, 2),
                discount_factor=0.9,
                gae_lambda=0.9,
            )
        )
        == 0
    )


def by_a_loop(reward, value, next_value, bootstrap, trace):
    """Return the advantages as Schulman et al. write them, from the last one to the first."""
    advantage, found = torch.zeros_like(reward[0]), []
    for t in reversed(range(len(reward))):
        delta = reward[t] + 0.99 * next_value[t] * bootstrap[t] - value[t]
        advantage = delta + 0.99 * 0.95 * advantage * trace[t]
        found.append(advantage)
    return torch.stack(found[::-1])


@pytest.mark.parametrize("n_steps", [1, 2, 3, 5, 2047, 2048])
def test_doubling_equals_a_loop(n_steps):
    torch.manual_seed(n_steps)
    reward, value, next_value, weight = torch.randn(4, n_steps, 3, dtype=torch.float64).unbind()
    value.requires_grad_()
    terminated, truncated = torch.rand(2, n_steps, 3) < 0.01
    masks = {"bootstrap": ~terminated, "trace": ~(terminated | truncated)}
    expected = by_a_loop(reward, value, next_value, **masks)
    found = gae(reward, value, next_value, **masks, discount_factor=0.99, gae_lambda=0.95)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    gradients = [torch.autograd.grad((weight * one).sum(), value)[0] for one in (found, expected)]
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-12)
    assert not found.isnan().any() and found.shape == (n_steps, 3)


def test_a_graph_of_many_steps_is_made_of_few_operations():
    """So that compiling takes seconds for any number of steps: a loop would be 2048 times five operations."""
    graphs = []

    def note(module, inputs):
        graphs.append(module)
        return module.forward

    tensors = torch.randn(3, 2048, 2).unbind()
    done = torch.rand(2048, 2) < 0.01
    options = {"bootstrap": ~done, "trace": ~done, "discount_factor": 0.99, "gae_lambda": 0.95}
    compiled = torch.compile(gae, fullgraph=True, backend=note)
    torch.testing.assert_close(compiled(*tensors, **options), gae(*tensors, **options))
    (graph,) = graphs
    assert len([node for node in graph.graph.nodes if node.op == "call_function"]) < 200

"""PPO's numbers, against stable-baselines3 and by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO as SB3PPO

from tests.algos.on_policy_peer import (
    N_ENVS,
    N_ROWS,
    close,
    compare_weights,
    give,
    last_gradients,
    our_algorithm,
    our_batches,
    random_rollout,
    take_weights,
    their_model,
    transitions,
)
from workspace_rl import Workspace
from workspace_rl.algos import PPO
from workspace_rl.algos.ppo import clipped_policy_loss, divergence, penalised_policy_loss, value_loss

BATCH, EPOCHS, ADAM = 8, 3, {"classname": "torch.optim.Adam", "lr": 1e-2, "eps": 1e-5}


def ppo(folder, kind="Discrete", **parameters):
    return our_algorithm(PPO, folder, kind, ADAM, **{"batch_size": None, "value_coef": 1.0} | parameters)


def take_the_greater_error(model, monkeypatch):
    """Let stable-baselines3's value loss be the greater one of clipped and unclipped, as ours: its own is clipped."""
    seen, evaluate = [], model.policy.evaluate_actions

    def evaluate_and_note(*arguments):
        evaluated = evaluate(*arguments)
        seen[:] = [evaluated[0].flatten()]
        return evaluated

    def greater(returns, clipped):
        return torch.maximum((returns - clipped).square(), (returns - seen[0]).square()).mean()

    monkeypatch.setattr(model.policy, "evaluate_actions", evaluate_and_note)
    monkeypatch.setattr("stable_baselines3.ppo.ppo.F", SimpleNamespace(mse_loss=greater))


@pytest.mark.parametrize("kind", ["Discrete", "Box"])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({}, {}),
        ({"clip_range_value": 0.3}, {"clip_range_vf": 0.3}),
        ({"entropy_coef": 0.1}, {"ent_coef": 0.1}),
        ({"max_grad_norm": 0.05}, {"max_grad_norm": 0.05}),
        ({"max_grad_norm": None}, {"max_grad_norm": 1e9}),
        ({"normalize_advantages": False, "clip_range": 0.1}, {"normalize_advantage": False, "clip_range": 0.1}),
    ],
)
def test_an_update_equals_stable_baselines3(ours, theirs, kind, double, monkeypatch, tmp_path):
    """Several epochs of several minibatches; our value loss is halved, so that our coefficient is twice theirs."""
    options = {"learning_rate": 1e-2, "n_epochs": EPOCHS, "batch_size": BATCH, "vf_coef": 0.5}
    model = their_model(SB3PPO, monkeypatch, kind, **options | theirs)
    if "clip_range_vf" in theirs:
        take_the_greater_error(model, monkeypatch)
    algorithm = ppo(tmp_path, kind, **ours)
    take_weights(algorithm, model)
    rollout = random_rollout(algorithm)

    give(model, rollout)
    rows, (order, others) = algorithm.prepare(rollout), transitions(rollout)
    for mine, other in (("advantage", "advantages"), ("return", "returns")):
        close(rows[mine].flatten()[order], torch.as_tensor(getattr(model.rollout_buffer, other)).T.flatten())
    assert rows["weight"].flatten()[order].eq(1).all() and rows["weight"].flatten()[others].eq(0).all()

    np.random.seed(3)
    orders = [np.random.permutation(N_ENVS * N_ROWS) for _ in range(EPOCHS)]
    np.random.seed(3)
    model.train()
    gradients = last_gradients(algorithm)
    metrics = [algorithm.update(batch) for batch in our_batches(rows, rollout, orders, BATCH)]
    compare_weights(algorithm, model, gradients)
    means = {name: torch.stack([one[name] for one in metrics]).mean().item() for name in metrics[0]}
    logged = model.logger.name_to_value
    assert means["loss/policy"] == pytest.approx(logged["train/policy_gradient_loss"], rel=1e-6)
    assert 2 * means["loss/value"] == pytest.approx(logged["train/value_loss"], rel=1e-6)
    assert means["entropy/policy"] == pytest.approx(-logged["train/entropy_loss"], rel=1e-6)
    assert means["clip_fraction"] == pytest.approx(logged["train/clip_fraction"], rel=1e-6) and means["clip_fraction"]
    last_epoch = [one["kl"].item() for one in metrics[-len(metrics) // EPOCHS :]]
    assert np.mean(last_epoch) == pytest.approx(logged["train/approx_kl"], rel=1e-6)


def rows_by_hand():
    """Ratios of 2, 1/2, 1 and 8; the last row does not count."""
    workspace = Workspace()
    workspace["old/action_logprobs"] = torch.zeros(1, 4)
    workspace["action_logprobs"] = torch.tensor([[2, 0.5, 1, 8]]).log().requires_grad_()
    workspace["advantage"] = torch.tensor([[3.0, 1, -2, 100]])
    workspace["weight"] = torch.tensor([[1.0, 1, 1, 0]])
    workspace["value"], workspace["return"] = torch.tensor([[5.0, 0, 1, 9]]), torch.tensor([[6.0, 1, 3, 0]])
    workspace["old/value"] = torch.tensor([[4.0, 3, 1, 0]])
    return workspace


def test_losses_by_hand(double):
    workspace = rows_by_hand()
    # The first ratio is clipped, since the advantage would make it even greater; the second is not.
    loss = clipped_policy_loss(workspace, 0.2)
    assert loss.item() == pytest.approx(-(1.2 * 3 + 0.5 - 2) / 3)
    (gradient,) = torch.autograd.grad(loss, workspace["action_logprobs"])
    torch.testing.assert_close(gradient, torch.tensor([[0, -0.5, 2, 0]]) / 3)
    kl = (2 - 1 - np.log(2) + 0.5 - 1 + np.log(2)) / 3
    assert divergence(workspace).item() == pytest.approx(kl)
    loss = penalised_policy_loss(workspace, torch.tensor(4.0))
    assert loss.item() == pytest.approx(4 * kl - (6 + 0.5 - 2) / 3)
    (gradient,) = torch.autograd.grad(loss, workspace["action_logprobs"])
    torch.testing.assert_close(gradient, torch.tensor([[4 - 6, -2 - 0.5, 2, 0]]) / 3)
    # Clipped to 4.5, 2.5 and 1, of which the first is worse than the value and the second, too.
    assert value_loss(workspace, 0.5).item() == pytest.approx((1.5**2 + 1.5**2 + 2**2) / 6)
    assert value_loss(workspace).item() == pytest.approx((1 + 1 + 4) / 6)


def test_the_penalty_doubles_and_halves(double, tmp_path):
    algorithm, found = ppo(tmp_path, penalty="kl", kl_target=0.02, kl_coef=3.0), []
    for last in (0.02, 0.0301, 0.031, 0.0299, 0.0133, 0.0134, 0.001):
        algorithm.last_kl.fill_(last)
        algorithm.begin_updates(0)
        found.append(algorithm.kl_coef.item())
    # Above 1.5 times the target, and below it divided by 1.5.
    assert found == [3, 6, 12, 12, 6, 6, 3]
    kl = algorithm.update(algorithm.prepare(random_rollout(algorithm)))["kl"]
    assert algorithm.last_kl.equal(kl) and kl > 0


def test_a_rollouts_other_minibatches_are_left_out(tmp_path):
    algorithm = ppo(tmp_path, target_kl=0.01)
    assert [algorithm.enough({"kl": torch.tensor(kl)}) for kl in (0.0, 0.0149, 0.0151)] == [False, False, True]
    assert not ppo(tmp_path).enough({"kl": torch.tensor(1e9)})

    # The first step finds no divergence, the second one does, and is taken, where stable-baselines3 leaves it out.
    options = {"nb_evals": 0, "final_episodes": 0, "checkpoint_interval": None, "total_steps": 60}
    algorithm = ppo(tmp_path, target_kl=1e-9, batch_size=7, n_epochs=2, **options)
    algorithm.train(progress=False)
    assert algorithm.steps == 84 and algorithm.n_updates == 2 * 3

"""A2C's numbers, against stable-baselines3 and by hand."""

import numpy as np
import pytest
import torch
from stable_baselines3 import A2C as SB3A2C
from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike

from tests.algos.on_policy_peer import (
    close,
    compare_weights,
    give,
    last_gradients,
    our_algorithm,
    random_rollout,
    take_weights,
    their_model,
    transitions,
)
from workspace_rl.algos import A2C

RMSPROP = {"classname": "torch.optim.RMSprop", "lr": 1e-2, "alpha": 0.99, "eps": 1e-5}


@pytest.mark.parametrize("kind", ["Discrete", "Box"])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({}, {}),
        ({"normalize_advantages": True, "value_coef": 0.3}, {"normalize_advantage": True, "vf_coef": 0.3}),
        ({"entropy_coef": 0.1, "max_grad_norm": 0.05}, {"ent_coef": 0.1, "max_grad_norm": 0.05}),
        ({"max_grad_norm": None}, {"max_grad_norm": 1e9}),
    ],
)
def test_an_update_equals_stable_baselines3(ours, theirs, kind, double, monkeypatch, tmp_path):
    """Two updates, the second one with the optimiser's state; our rows that do not count are in them."""
    model = their_model(SB3A2C, monkeypatch, kind, **{"learning_rate": 1e-2, "vf_coef": 0.5} | theirs)
    algorithm = our_algorithm(A2C, tmp_path, kind, RMSPROP, **ours)
    take_weights(algorithm, model)
    rollout = random_rollout(algorithm)
    gradients = last_gradients(algorithm)
    for _ in range(2):
        give(model, rollout)
        rows, (order, _) = algorithm.prepare(rollout), transitions(rollout)
        for mine, other in (("advantage", "advantages"), ("return", "returns")):
            close(rows[mine].flatten()[order], torch.as_tensor(getattr(model.rollout_buffer, other)).T.flatten())
        model.train()
        metrics = {name: one.item() for name, one in algorithm.update(rows).items()}
        compare_weights(algorithm, model, gradients)
        logged = model.logger.name_to_value
        assert metrics["loss/policy"] == pytest.approx(logged["train/policy_loss"], rel=1e-6)
        assert metrics["loss/value"] == pytest.approx(logged["train/value_loss"], rel=1e-6)
        assert metrics["entropy/policy"] == pytest.approx(-logged["train/entropy_loss"], rel=1e-6)


def test_the_optimiser_of_tensorflow_begins_more_slowly(double):
    """stable-baselines3 can have RMSprop as TensorFlow has it: its running mean begins at 1, and epsilon is within.

    The first step of the one that is ours, and theirs unless asked, is so 1 / sqrt(1 - alpha) = 10 times as long where
    gradients are about 1.
    """
    alpha, eps, gradient, steps = 0.99, 1e-5, 2.0, {}
    for kind in (torch.optim.RMSprop, RMSpropTFLike):
        parameter = torch.zeros(1, requires_grad=True)
        optimizer = kind([parameter], lr=1.0, alpha=alpha, eps=eps)
        parameter.grad = torch.tensor([gradient])
        optimizer.step()
        steps[kind] = -parameter.item()
    assert steps[torch.optim.RMSprop] == pytest.approx(gradient / (np.sqrt((1 - alpha) * gradient**2) + eps))
    assert steps[RMSpropTFLike] == pytest.approx(gradient / np.sqrt(alpha + (1 - alpha) * gradient**2 + eps))

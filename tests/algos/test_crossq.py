"""CrossQ's numbers, against sb3-contrib and by hand."""

import gymnasium as gym
import pytest
import torch
from sb3_contrib import CrossQ as SB3CrossQ
from sb3_contrib.common.torch_layers import BatchRenorm1d
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.type_aliases import ReplayBufferSamples

from tests.toys import BATCH, ContinuousSpacesEnv
from workspace_rl.agents import BatchRenorm
from workspace_rl.algos import CrossQ

#: sb3-contrib's names of what a layer of batch renormalisation holds, and ours.
NAMES = {"scale": "weight", "bias": "bias", "ra_mean": "mean", "ra_var": "var", "steps": "n_batches"}
WARM_UP, ALPHA, DELAY = 1, 0.3, 2


def their_tensors(module):
    """Return the tensors of a network of sb3-contrib by our names within it."""
    return {
        f"{place}.{NAMES.get(name, name)}": value
        for place, layer in module.named_children()
        for name, value in layer.state_dict().items()
    }


def critic_tensors(critic):
    return {
        f"model.members.{number}.{name}": value
        for number, net in enumerate(critic.q_networks)
        for name, value in their_tensors(net).items()
    }


def actor_tensors(actor):
    body = {f"body.{name}": value for name, value in their_tensors(actor.latent_pi).items()}
    heads = {"mean": actor.mu, "log_std": actor.log_std}
    return body | {f"{at}.{name}": one for at, head in heads.items() for name, one in head.state_dict().items()}


@pytest.fixture
def theirs(batch, monkeypatch):
    """sb3-contrib's CrossQ in float64, which learns from one batch."""
    monkeypatch.setattr("stable_baselines3.common.policies.preprocess_obs", lambda obs, *args, **kwargs: obs)
    policy_kwargs = {"net_arch": {"pi": [16, 12], "qf": [24, 20]}, "renorm_warmup_steps": WARM_UP}
    options = {"gamma": 0.9, "ent_coef": ALPHA, "policy_delay": DELAY, "policy_kwargs": policy_kwargs}
    theirs = SB3CrossQ("MlpPolicy", ContinuousSpacesEnv(), **options)
    theirs.policy.double()
    theirs.set_logger(Logger(None, []))
    theirs.actor.action_dist.epsilon = 0.0  # which it adds inside a logarithm
    # Its squared errors are halved, and with them what Adam's epsilon is compared with.
    theirs.critic.optimizer.param_groups[0]["eps"] /= 2
    samples = ReplayBufferSamples(
        observations=batch["env/env_obs"][0],
        actions=batch["action"][0],
        next_observations=batch["env/env_obs"][1],
        dones=batch["env/terminated"][1].double().unsqueeze(-1),
        rewards=batch["env/reward"][1].unsqueeze(-1),
    )
    monkeypatch.setattr(theirs.replay_buffer, "sample", lambda *args, **kwargs: samples)
    for layer in theirs.policy.modules():  # as in the middle of a run
        if isinstance(layer, BatchRenorm1d):
            with torch.no_grad():
                layer.ra_mean.normal_()
                layer.ra_var.uniform_(0.2, 2.0)
                layer.scale.uniform_(0.5, 1.5)
                layer.bias.normal_()
    return theirs


@pytest.fixture
def ours(theirs, monkeypatch):
    """Ours, with the weights and statistics of sb3-contrib's."""
    monkeypatch.setitem(gym.registry, "Spaces-v0", gym.envs.registration.EnvSpec("Spaces-v0", ContinuousSpacesEnv))
    adam = {"classname": "torch.optim.Adam", "lr": 1e-3, "betas": [0.5, 0.999]}
    ours = CrossQ(
        {
            "gym_env": {"env_name": "Spaces-v0"},
            "algorithm": {
                "n_envs": 1,
                "total_steps": 20_000,
                "discount_factor": 0.9,
                "entropy_mode": "fixed",
                "init_entropy_coef": ALPHA,
                "policy_delay": DELAY,
                "architecture": {"actor_hidden_size": [16, 12], "critic_hidden_size": [24, 20]},
            },
            "actor_optimizer": adam,
            "critic_optimizer": adam,
        }
    )
    ours.actor.load_state_dict(actor_tensors(theirs.actor))
    ours.critic.load_state_dict(critic_tensors(theirs.critic))
    for layer in (*ours.actor.modules(), *ours.critic.modules()):
        if isinstance(layer, BatchRenorm):
            layer.warm_up = WARM_UP
    return ours


def test_six_updates_equal_those_of_sb3_contrib(theirs, ours, batch):
    for k in range(6):  # some while statistics warm up, some after it, of the critics and of the actor
        theirs.logger.name_to_value.clear()
        torch.manual_seed(k)
        theirs.train(gradient_steps=1, batch_size=BATCH)
        torch.manual_seed(k)
        metrics = ours.learn(batch)
        logged = theirs.logger.name_to_value
        # SB3 halves the critics' squared errors.
        assert metrics["loss/critic"].item() == pytest.approx(2 * logged["train/critic_loss"], rel=1e-6)
        assert ("loss/actor" in metrics) == ("train/actor_loss" in logged) == (k % DELAY == 1)
        if "loss/actor" in metrics:
            assert metrics["loss/actor"].item() == pytest.approx(logged["train/actor_loss"], rel=1e-6)
        for part, expected in (
            (ours.actor, actor_tensors(theirs.actor)),
            (ours.critic, critic_tensors(theirs.critic)),
        ):
            state = part.state_dict()
            assert state.keys() == expected.keys()
            for name, value in expected.items():
                torch.testing.assert_close(state[name], value, rtol=1e-6, atol=1e-9)

"""CrossQ's numbers, against sb3-contrib and by hand, and its statistics, which updates alone move."""

import copy

import gymnasium as gym
import pytest
import torch
from sb3_contrib import CrossQ as SB3CrossQ
from sb3_contrib.common.torch_layers import BatchRenorm1d
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.type_aliases import ReplayBufferSamples

from tests.collectors.test_fleet import outcome
from tests.runs.test_checkpoint import train_until
from tests.toys import BATCH, ContinuousSpacesEnv
from workspace_rl import Workspace, load_policy, n_step_transitions
from workspace_rl.agents import BatchRenorm
from workspace_rl.algos import SAC, CrossQ
from workspace_rl.algos.crossq import critic_loss
from workspace_rl.errors import ConfigError
from workspace_rl.inspection.problems import check_before_training

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


def test_truncation_bootstraps_and_termination_does_not(double):
    workspace = Workspace()
    workspace.set_full("env/reward", torch.tensor([[0.0, 0.0], [1.0, 1.0]]))
    workspace.set_full("env/terminated", torch.tensor([[False, False], [True, False]]))
    workspace.set_full("env/done", torch.tensor([[False, False], [True, True]]))
    transitions = n_step_transitions(workspace, 0.5)
    q_values = torch.stack((torch.zeros(2, 2), torch.tensor([[10.0, 20.0], [10.0, 20.0]]))).requires_grad_()
    transitions.set_full("critic/q_values", q_values)
    transitions.set("action_logprobs", 1, torch.tensor([4.0, 4.0]))
    loss = critic_loss(transitions, torch.tensor(0.25))
    # targets: 1, and 1 + 0.5 (10 - 0.25 * 4) = 5.5; two critics at 0
    assert loss.item() == pytest.approx(2 * (1 + 5.5**2) / 2)
    (gradient,) = torch.autograd.grad(loss, q_values)
    assert gradient[0].tolist() == [[-1.0, -1.0], [-5.5, -5.5]] and not gradient[1].any()


# ---- statistics ---------------------------------------------------------------------------------------------------


@pytest.fixture
def tiny(tiny_sac):
    tiny_sac["algorithm"] |= {
        "total_steps": 240, "learning_starts": 40, "random_steps": 20, "eval_interval": 120, "checkpoint_interval": 90,
        "nb_evals": 1, "final_episodes": 1,
    }  # fmt: skip
    tiny_sac["gym_env"]["max_episode_steps"] = 15
    return tiny_sac


def statistics(module):
    return {name: value.clone() for name, value in module.named_buffers()}


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def test_statistics_are_moved_by_updates_alone(tiny):
    crossq = CrossQ(tiny)
    agents = torch.nn.ModuleList([crossq.actor, crossq.critic])
    before = statistics(agents)
    check_before_training(crossq)
    crossq.evaluate()
    _, collectors = crossq.make_parts()
    collectors.close()
    assert equal(statistics(agents), before)
    batch = Workspace()
    for name, shape in (("env/env_obs", (2, 16, 3)), ("action", (2, 16, 1)), ("env/reward", (2, 16))):
        batch.set_full(name, torch.randn(shape))
    batch.set_full("env/terminated", torch.zeros(2, 16, dtype=torch.bool))
    for _ in range(3):
        crossq.learn(batch)
    counts = {name: int(value) for name, value in statistics(agents).items() if name.endswith("n_batches")}
    # The critics' one joint pass at each update, and the actor's own loss at every third one.
    assert set(counts.values()) == {1, 3} and all(
        (count == 1) == name.startswith("0.") for name, count in counts.items()
    )
    assert all(part.training for part in agents.modules())


@pytest.mark.parametrize("collectors", [None, {"n": 2, "where": "process"}])
def test_a_run_is_resumed_bit_for_bit_and_leaves_its_statistics_in_its_policy(collectors, tiny, tmp_path):
    tiny["collectors"] = collectors
    paths = [tmp_path / "one", tmp_path / "two"]
    whole, stopped = (CrossQ(copy.deepcopy(tiny) | {"base_dir": str(path)}) for path in paths)
    whole.train(progress=False)
    train_until(stopped, 12)
    CrossQ.restore(paths[1]).train(progress=False)
    assert outcome(paths[0]) == outcome(paths[1])
    found = statistics(load_policy(paths[0] / "latest"))
    assert found and equal(found, statistics(whole.eval_policy))
    assert all(value > 5 for name, value in found.items() if name.endswith("n_batches"))


# ---- what does not fit --------------------------------------------------------------------------------------------


def test_what_batches_of_statistics_do_not_go_with_is_refused(tiny, monkeypatch):
    with_memory = copy.deepcopy(tiny)
    with_memory["algorithm"]["architecture"]["memory"] = {"kind": "gru"}
    with pytest.raises(
        ConfigError, match=r"algorithm.architecture.memory.kind: none expected without target critics, gru"
    ):
        CrossQ(with_memory)
    with pytest.raises(ConfigError, match=r"algorithm.batch_size: at least 2 expected with layers of batch_renorm, 1"):
        CrossQ(tiny | {"algorithm": tiny["algorithm"] | {"batch_size": 1}})
    naive = copy.deepcopy(tiny)
    naive["algorithm"]["architecture"]["critic_block"] = "batch_renorm"
    with pytest.raises(
        ConfigError, match=r"critic_block: one of 'plain', 'layer_norm', 'residual' expected, 'batch_renorm'"
    ):
        SAC(naive)
    for name, value in (("RANK", "0"), ("WORLD_SIZE", "2"), ("MASTER_ADDR", "127.0.0.1"), ("MASTER_PORT", "1")):
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match="CrossQ learns on one rank without target critics, 2 found"):
        CrossQ(tiny)

"""DQN's numbers, against stable-baselines3 and by hand."""

import copy

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3 import DQN as SB3DQN
from torch.nn import functional

from workspace_rl import Agents, Workspace, load_policy, n_step_transitions, save_policy
from workspace_rl.agents import DiscreteQAgent, GreedyAgent
from workspace_rl.algos import ALGORITHMS, DQN
from workspace_rl.algos.dqn import critic_loss, critic_target
from workspace_rl.config.schema import resolve_config
from workspace_rl.config.sources import load_config
from workspace_rl.errors import ConfigError, PolicyFileError, UnsupportedSpaceError
from workspace_rl.experience import clip_rewards
from workspace_rl.runs.metrics_file import read_metrics

OBS, ACTIONS, BATCH = 5, 3, 64


class SpacesOnly(gym.Env):
    observation_space = gym.spaces.Box(-1, 1, (OBS,))
    action_space = gym.spaces.Discrete(ACTIONS)


class MatchEnv(gym.Env):
    """One step long: shows one of three symbols, pays 1 for the action of the same number and 0 for others."""

    observation_space = gym.spaces.Box(0, 1, (3,), np.float32)
    action_space = gym.spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.symbol = int(self.np_random.integers(3))
        return np.eye(3, dtype=np.float32)[self.symbol], {}

    def step(self, action):
        return np.zeros(3, np.float32), float(action == self.symbol), True, False, {}


class PicturesEnv(gym.Env):
    """Pictures of noise."""

    observation_space = gym.spaces.Box(0, 255, (4, 84, 84), np.uint8)
    action_space = gym.spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.picture(), {}

    def step(self, action):
        return self.picture(), 1.0, bool(self.np_random.random() < 0.1), False, {}

    def picture(self):
        return self.np_random.integers(0, 256, (4, 84, 84), dtype=np.uint8)


for one in (MatchEnv, PicturesEnv):
    if f"{one.__name__}-v0" not in gym.registry:
        gym.register(f"{one.__name__}-v0", entry_point=one)


@pytest.fixture
def tiny_dqn(tmp_path):
    """Parameters of a DQN run that ends within a second or two."""
    return {
        "gym_env": {"env_name": "CartPole-v1"},
        "base_dir": str(tmp_path / "run"),
        "algorithm": {
            "total_steps": 600,
            "n_envs": 2,
            "n_steps": 4,
            "learning_starts": 100,
            "batch_size": 16,
            "epsilon_steps": 300,
            "target_update_interval": 10,
            "nb_evals": 2,
            "eval_interval": 300,
            "final_episodes": 3,
            "architecture": {"hidden_size": [16]},
        },
        "logger": {"log_interval": 100},
        "record_best": False,
    }


def close(ours, theirs):
    return torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-12)


# ---- numbers ------------------------------------------------------------------------------------------------------


def test_targets_losses_and_gradients_equal_stable_baselines3(double, monkeypatch):
    monkeypatch.setattr("stable_baselines3.common.policies.preprocess_obs", lambda obs, *args, **kwargs: obs)
    torch.manual_seed(3)
    sb3 = SB3DQN("MlpPolicy", SpacesOnly(), policy_kwargs={"net_arch": [16, 12]}, gamma=0.9)
    sb3.policy.double()
    with torch.no_grad():  # move the target network away from the network, and both away from small errors
        for parameter in sb3.q_net.parameters():
            parameter.mul_(2)
        for parameter in sb3.q_net_target.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))

    ours = DiscreteQAgent([OBS], [16, 12], ACTIONS)
    layers = [layer for layer in sb3.q_net.q_net if isinstance(layer, torch.nn.Linear)]
    target = copy.deepcopy(ours).with_prefix("target-q/")
    for agent, network in ((ours, sb3.q_net), (target, sb3.q_net_target)):
        layers = [layer for layer in network.q_net if isinstance(layer, torch.nn.Linear)]
        agent.body[0].load_state_dict(layers[0].state_dict())
        agent.body[2].load_state_dict(layers[1].state_dict())
        agent.head[0].load_state_dict(layers[2].state_dict())

    batch = Workspace()
    batch.set_full("env/env_obs", torch.randn(2, BATCH, OBS))
    batch.set_full("action", torch.randint(ACTIONS, (2, BATCH)))
    batch.set_full("env/reward", torch.randn(2, BATCH))
    batch.set_full("env/terminated", torch.rand(2, BATCH) < 0.3)

    # theirs, as in stable_baselines3/dqn/dqn.py
    observation, next_observation = batch["env/env_obs"]
    with torch.no_grad():
        next_q_values, _ = sb3.q_net_target(next_observation).max(dim=1)
        dones = batch["env/terminated"][1].double().unsqueeze(-1)
        their_target = batch["env/reward"][1].unsqueeze(-1) + (1 - dones) * 0.9 * next_q_values.reshape(-1, 1)
    current = torch.gather(sb3.q_net(observation), dim=1, index=batch["action"][0].unsqueeze(-1))
    their_loss = functional.smooth_l1_loss(current, their_target)
    assert (current - their_target).abs().min() < 1 < (current - their_target).abs().max()

    # ours
    workspace = n_step_transitions(batch, 0.9)
    with torch.no_grad():
        Agents(target, GreedyAgent("target-q/q_values"))(workspace, t=1)
    ours(workspace, t=0)
    close(critic_target(workspace), their_target.squeeze(-1))
    close(critic_loss(workspace, "huber"), their_loss)
    close(critic_loss(workspace, "squared"), functional.mse_loss(current, their_target))
    our_gradients = torch.autograd.grad(critic_loss(workspace), list(ours.parameters()))
    their_gradients = torch.autograd.grad(their_loss, list(sb3.q_net.parameters()))
    for our_gradient, their_gradient in zip(our_gradients, their_gradients, strict=True):
        close(our_gradient, their_gradient)


class Values(torch.nn.Module):
    """Stands for a network: the same values whatever the observation."""

    def __init__(self, values):
        super().__init__()
        self.values = torch.nn.Parameter(torch.tensor(values))

    def forward(self, observation):
        return self.values.expand(observation.shape[0], -1)


@pytest.mark.parametrize(
    ("double_q", "expected"),
    # Q = (1, 3, 2), Q' = (30, 10, 20), reward 1, discount 0.5: DQN bootstraps from 30, double DQN from 10.
    [(False, 1 + 0.5 * 30), (True, 1 + 0.5 * 10)],
)
def test_double_dqn_judges_by_the_target_network_what_the_network_chooses(tiny_dqn, double_q, expected):
    tiny_dqn["gym_env"]["env_name"] = "MatchEnv-v0"
    tiny_dqn["algorithm"] |= {"double": double_q, "discount_factor": 0.5}
    dqn = DQN(tiny_dqn)
    dqn.q_agent.body, dqn.q_agent.head = torch.nn.Identity(), Values([1.0, 3.0, 2.0])
    dqn.target_q_agent.body, dqn.target_q_agent.head = torch.nn.Identity(), Values([30.0, 10.0, 20.0])
    batch = Workspace()
    batch.set_full("env/env_obs", torch.zeros(2, 1, 3))
    batch.set_full("action", torch.tensor([[2], [0]]))
    batch.set_full("env/reward", torch.tensor([[0.0], [1.0]]))
    batch.set_full("env/terminated", torch.tensor([[False], [False]]))
    workspace = n_step_transitions(batch, 0.5)
    dqn.target_policy(workspace, t=1)
    dqn.q_agent(workspace, t=0)
    assert critic_target(workspace).tolist() == [expected]
    # The action that was taken at 0 has the value 2.
    assert critic_loss(workspace, "squared").item() == pytest.approx((expected - 2) ** 2)
    assert critic_loss(workspace, "huber").item() == pytest.approx(expected - 2 - 0.5)


def test_huber_is_quadratic_near_zero_and_linear_beyond_one(double):
    workspace = Workspace()
    workspace.set("q/q_values", 0, torch.tensor([[0.0, 9.0], [0.0, 9.0]]))
    workspace.set("action", 0, torch.tensor([0, 0]))
    workspace.set("target-q/q_values", 1, torch.zeros(2, 2))
    workspace.set("action", 1, torch.tensor([0, 0]))
    workspace.set("env/reward", 1, torch.tensor([0.5, -3.0]))
    workspace.set("discount", 1, torch.tensor([1.0, 1.0]))
    assert critic_loss(workspace, "huber").item() == pytest.approx((0.5**2 / 2 + 3 - 0.5) / 2)
    assert critic_loss(workspace, "squared").item() == pytest.approx((0.5**2 + 3**2) / 2)


def test_truncation_bootstraps_and_termination_does_not(double):
    batch = Workspace()
    batch.set_full("env/reward", torch.tensor([[0.0, 0.0], [1.0, 1.0]]))
    batch.set_full("env/terminated", torch.tensor([[False, False], [True, False]]))
    batch.set_full("env/done", torch.tensor([[False, False], [True, True]]))
    batch.set_full("action", torch.tensor([[0, 1], [0, 1]]))
    workspace = n_step_transitions(batch, 0.5)
    workspace.set("target-q/q_values", 1, torch.tensor([[10.0, 20.0], [10.0, 20.0]]))
    assert critic_target(workspace).tolist() == [1.0, 1.0 + 0.5 * 20.0]


def window_of_three():
    """Three steps with rewards 4, -6 and 0.5: running on, terminated at 2, truncated at 2."""
    over = torch.tensor([[False] * 3, [False] * 3, [False, True, True], [False] * 3])
    window = Workspace()
    window.set_full("env/reward", torch.tensor([0.0, 4.0, -6.0, 0.5]).unsqueeze(1).expand(4, 3).clone())
    window.set_full("env/done", over)
    window.set_full("env/terminated", over & torch.tensor([False, True, False]))
    window.set_full("action", torch.zeros(4, 3, dtype=torch.int64))
    return window


@pytest.mark.parametrize(
    ("clip", "expected"),
    [
        # 4 - 6/2 + 0.5/4 and 8 values ahead; 4 - 6/2; 4 - 6/2 and 8 ahead of the second step
        (None, [1.125 + 8 / 8, 1.0, 1.0 + 8 / 4]),
        # 1 - 1/2 + 0.5/4, ...: each reward is clipped, not the sum
        (1.0, [0.625 + 8 / 8, 0.5, 0.5 + 8 / 4]),
        (5.0, [4 - 5 / 2 + 0.125 + 8 / 8, 1.5, 1.5 + 8 / 4]),
    ],
)
def test_several_steps_and_clipped_rewards(double, clip, expected):
    window = window_of_three()
    workspace = n_step_transitions(clip_rewards(window, clip), 0.5)
    workspace.set("target-q/q_values", 1, torch.full((3, 2), 8.0))
    assert critic_target(workspace).tolist() == expected
    assert window["env/reward"][:, 0].tolist() == [0, 4, -6, 0.5]


def test_an_update_clips_the_rewards_that_it_learns_from(tiny_dqn):
    losses = []
    for clip, reward in ((None, 1.0), (1.0, 50.0), (1.0, 1.0)):
        tiny_dqn["algorithm"]["reward_clip"] = clip
        batch = cartpole_batch(reward)
        losses.append(DQN(tiny_dqn).learn(batch)["loss/critic"].item())
        assert batch["env/reward"][1, 0] == reward
    assert losses[0] == losses[1] == losses[2]


# ---- the target network -------------------------------------------------------------------------------------------


def cartpole_batch(reward=1.0):
    torch.manual_seed(0)
    batch = Workspace()
    batch.set_full("env/env_obs", torch.randn(2, 16, 4))
    batch.set_full("action", torch.randint(2, (2, 16)))
    batch.set_full("env/reward", torch.full((2, 16), reward))
    batch.set_full("env/terminated", torch.zeros(2, 16, dtype=torch.bool))
    return batch


def weights(agent):
    return torch.cat([parameter.detach().flatten() for parameter in agent.parameters()])


def test_hard_updates_copy_every_so_often(tiny_dqn):
    tiny_dqn["algorithm"]["target_update_interval"] = 3
    dqn, batch = DQN(tiny_dqn), cartpole_batch()
    first = weights(dqn.target_q_agent)
    assert torch.equal(first, weights(dqn.q_agent))
    for n in (1, 2, 3, 4, 5, 6):
        dqn.learn(batch)
        assert dqn.n_updates == n
        if n < 3:
            assert torch.equal(weights(dqn.target_q_agent), first)
        assert torch.equal(weights(dqn.target_q_agent), weights(dqn.q_agent)) == (n in (3, 6))


def test_soft_updates_follow(tiny_dqn):
    del tiny_dqn["algorithm"]["target_update_interval"]
    tiny_dqn["algorithm"]["tau_target"] = 0.25
    dqn, batch = DQN(tiny_dqn), cartpole_batch()
    for _ in range(3):
        before = weights(dqn.target_q_agent)
        dqn.learn(batch)
        torch.testing.assert_close(weights(dqn.target_q_agent), 0.75 * before + 0.25 * weights(dqn.q_agent))


def test_the_target_network_has_no_gradient(tiny_dqn):
    dqn = DQN(tiny_dqn)
    dqn.learn(cartpole_batch())
    assert not any(parameter.requires_grad for parameter in dqn.target_q_agent.parameters())


def test_one_way_to_move_the_target_network_must_be_chosen(tiny_dqn):
    tiny_dqn["algorithm"]["tau_target"] = 0.01
    with pytest.raises(ConfigError, match=r"algorithm.target_update_interval and .*only one expected, 10 and 0.01 fou"):
        DQN(tiny_dqn)
    del tiny_dqn["algorithm"]["tau_target"], tiny_dqn["algorithm"]["target_update_interval"]
    dqn, batch = DQN(tiny_dqn), cartpole_batch()
    for _ in range(249):
        dqn.learn(batch)
    assert not torch.equal(weights(dqn.target_q_agent), weights(dqn.q_agent))
    dqn.learn(batch)
    assert torch.equal(weights(dqn.target_q_agent), weights(dqn.q_agent))


# ---- runs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dueling", [False, True])
def test_it_learns_which_action_belongs_to_what_it_sees(tmp_path, dueling):
    config = {
        "gym_env": {"env_name": "MatchEnv-v0"},
        "base_dir": str(tmp_path / "run"),
        "algorithm": {
            "total_steps": 1500,
            "n_envs": 4,
            "n_steps": 2,
            "learning_starts": 100,
            "batch_size": 32,
            "double": dueling,
            "target_update_interval": 20,
            "epsilon_steps": 1000,
            "nb_evals": 8,
            "eval_interval": 500,
            "final_episodes": 100,
            "architecture": {"hidden_size": [16], "dueling": dueling},
        },
        "optimizer": {"classname": "torch.optim.Adam", "lr": 1e-2},
        "record_best": False,
    }
    assert DQN(config).train(progress=False).final.mean == 1.0


def test_equal_seeds_give_equal_bits(tiny_dqn, tmp_path):
    states, files = [], []
    tiny_dqn["algorithm"] |= {"double": True, "n_step_return": 3}
    for name in ("a", "b"):
        tiny_dqn["base_dir"] = str(tmp_path / name)
        dqn = DQN(tiny_dqn)
        torch.rand(7)  # what the program around does must not matter
        dqn.train(progress=False)
        states.append((weights(dqn.q_agent), weights(dqn.target_q_agent)))
        files.append((tmp_path / name / "metrics.csv").read_text())
    assert torch.equal(states[0][0], states[1][0]) and torch.equal(states[0][1], states[1][1])
    assert files[0] == files[1]
    for name in ("loss/critic", "q_value/mean", "gradient_norm/critic", "eval/return_mean"):
        assert f",{name}," in files[0]


def test_exploration_follows_the_collected_transitions(tiny_dqn, monkeypatch):
    steps = []
    dqn = DQN(tiny_dqn)
    explorer = dqn.policy[1]
    forward = type(explorer).forward
    monkeypatch.setattr(
        type(explorer),
        "forward",
        lambda self, t, step=0, **kwargs: steps.append(step) or forward(self, t, step=step, **kwargs),
    )
    dqn.train(progress=False)
    assert steps[0] == 0 and 580 <= steps[-1] < 600 and steps == sorted(steps)


def test_the_best_policy_is_saved_and_loaded(tiny_dqn, tmp_path):
    tiny_dqn["algorithm"]["architecture"] |= {"dueling": True, "head_hidden_size": [8]}
    dqn = DQN(tiny_dqn)
    save_policy(dqn.eval_policy, tmp_path)
    actions = []
    for policy in (dqn.eval_policy, load_policy(tmp_path)):
        workspace = Workspace()
        workspace.set("env/env_obs", 0, torch.linspace(-3, 3, 80).reshape(20, 4))
        before = torch.get_rng_state()
        policy(workspace, t=0)
        assert torch.equal(before, torch.get_rng_state())
        actions.append(workspace.get("action", 0))
    assert torch.equal(*actions)


def test_it_learns_from_images(tiny_dqn):
    tiny_dqn["gym_env"]["env_name"] = "PicturesEnv-v0"
    tiny_dqn["algorithm"] |= {
        "total_steps": 40,
        "buffer_size": 100,
        "learning_starts": 16,
        "batch_size": 4,
        "reward_clip": 1,
        "nb_evals": 1,
        "final_episodes": 1,
        "architecture": {"network": "nature_cnn", "dueling": True},
    }
    dqn = DQN(tiny_dqn)
    before = weights(dqn.q_agent)
    dqn.train(progress=False)
    after = weights(dqn.q_agent)
    assert after.isfinite().all() and not torch.equal(before, after)
    assert load_policy(dqn.run.path)[0].body.linear[0].out_features == 512


# ---- what is refused ----------------------------------------------------------------------------------------------


def test_continuous_actions_are_refused(tiny_dqn):
    tiny_dqn["gym_env"]["env_name"] = "Pendulum-v1"
    with pytest.raises(UnsupportedSpaceError, match=r"DQN needs discrete actions, but 'Pendulum-v1' has Box.*SAC"):
        DQN(tiny_dqn)


def test_images_need_the_network_for_images(tiny_dqn):
    tiny_dqn["algorithm"]["architecture"]["network"] = "nature_cnn"
    with pytest.raises(UnsupportedSpaceError, match="'nature_cnn' is for images"):
        DQN(tiny_dqn)


def test_unknown_choices_are_refused(tiny_dqn):
    tiny_dqn["algorithm"]["loss"] = "hubre"
    with pytest.raises(ConfigError, match=r"algorithm.loss: one of 'huber', 'squared' .* Did you mean 'huber'"):
        DQN(tiny_dqn)


@pytest.mark.parametrize("name", ["dqn/cartpole", "dqn/lunarlander"])
def test_shipped_configurations_are_valid(name):
    config = load_config(name)
    assert ALGORITHMS[config.algo] is DQN
    resolve_config(DQN.config_class, config)


def test_features_can_be_taken_from_another_run_and_frozen(tmp_path):
    def config(name, **architecture):
        return {
            "gym_env": {"env_name": "PicturesEnv-v0"},
            "base_dir": str(tmp_path / name),
            "algorithm": {
                "total_steps": 60,
                "buffer_size": 100,
                "n_envs": 2,
                "n_steps": 5,
                "learning_starts": 20,
                "batch_size": 4,
                "tau_target": 0.5,
                "nb_evals": 1,
                "final_episodes": 1,
                "architecture": {"network": "nature_cnn", "hidden_size": [], "head_hidden_size": [8]} | architecture,
            },
            "record_best": False,
        }

    DQN(config("first")).train(progress=False)
    source = load_policy(tmp_path / "first")[0].body.state_dict()

    frozen = DQN(config("frozen", features_from=str(tmp_path / "first"), freeze_features=True, dueling=True))
    head = copy.deepcopy(frozen.q_agent.head.state_dict())
    frozen.train(progress=False)
    for agent in (frozen.q_agent, frozen.target_q_agent, load_policy(tmp_path / "frozen" / "latest")[0]):
        assert all(torch.equal(value, source[name]) for name, value in agent.body.state_dict().items())
    assert not all(torch.equal(value, head[name]) for name, value in frozen.q_agent.head.state_dict().items())

    free = DQN(config("free", features_from=str(tmp_path / "first")))
    assert all(torch.equal(value, source[name]) for name, value in free.q_agent.body.state_dict().items())
    free.train(progress=False)
    assert not all(torch.equal(value, source[name]) for name, value in free.q_agent.body.state_dict().items())

    (tmp_path / "first").rename(tmp_path / "moved")  # a run goes on without it
    longer = DQN.restore(tmp_path / "frozen", ["algorithm.total_steps=80"])
    assert longer.train(progress=False).steps >= 80
    (tmp_path / "moved").rename(tmp_path / "first")

    with pytest.raises(ConfigError, match="features_from=FOLDER"):
        DQN(config("nothing", freeze_features=True))
    behind = {"network": "mlp", "memory": {"kind": "gru", "size": 4}, "features_from": str(tmp_path / "first")}
    with pytest.raises(ConfigError, match="features_from: null expected, since the network reads what encoder and mem"):
        DQN(config("behind", **behind))
    with pytest.raises(PolicyFileError, match="do not fit"):
        DQN(config("other", features_from=str(tmp_path / "first"), hidden_size=[16]))
    with pytest.raises(PolicyFileError, match="holds no policy"):
        DQN(config("none", features_from=str(tmp_path / "nowhere")))


def test_epsilon_is_logged(tmp_path):
    config = {
        "gym_env": {"env_name": "MatchEnv-v0"},
        "base_dir": str(tmp_path / "run"),
        "algorithm": {
            "total_steps": 200,
            "n_envs": 2,
            "n_steps": 5,
            "learning_starts": 20,
            "batch_size": 4,
            "epsilon_steps": 100,
            "nb_evals": 1,
            "final_episodes": 1,
        },
        "logger": {"log_interval": 20},
        "record_best": False,
    }
    DQN(config).train(progress=False)
    logged = read_metrics(tmp_path / "run")["exploration/epsilon"]
    assert logged[0][1] < 1 and logged[-1][1] == 0.05
    assert [value for _, value in logged] == sorted((value for _, value in logged), reverse=True)

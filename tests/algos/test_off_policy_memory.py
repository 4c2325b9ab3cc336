"""Off-policy algorithms with memories and encoders: what is learned, with whose gradients, and from which state."""

import copy

import gymnasium as gym
import numpy as np
import pytest
import torch

from tests.collectors.test_fleet import outcome
from tests.learning.compiled.test_graph_step import no_code, one_thread  # noqa: F401 - fixtures
from tests.runs.test_checkpoint import train_until
from workspace_rl import check, load_policy, policy_function
from workspace_rl.agent import before
from workspace_rl.agents import MemoryAgent
from workspace_rl.algos import DDPG, DQN, SAC, TD3, TQC, SACDiscrete
from workspace_rl.config.schema import resolve_config
from workspace_rl.errors import ConfigError
from workspace_rl.experience import run_over
from workspace_rl.learning import batch_mean

GRU = {"kind": "gru", "size": 6}
SIZES = {"actor_hidden_size": [8], "critic_hidden_size": [8]}


class PartsEnv(gym.Env):
    """Shows a number, a choice and a picture; episodes end at random."""

    observation_space = gym.spaces.Dict(
        number=gym.spaces.Box(-1, 1, (2,)),
        choice=gym.spaces.Discrete(3),
        picture=gym.spaces.Box(0, 255, (1, 8, 8), np.uint8),
    )

    def __init__(self, discrete=False):
        self.action_space = gym.spaces.Discrete(3) if discrete else gym.spaces.Box(-1, 1, (1,))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(int(self.np_random.integers(1000)))
        return self.observation_space.sample(), {}

    def step(self, action):
        return self.observation_space.sample(), 1.0, bool(self.np_random.random() < 0.2), False, {}


gym.register("SeveralParts-v0", entry_point=PartsEnv)


def algorithm(cls, tmp_path, memory=GRU, env=None, collectors=None, **parameters):
    """Return one that learns from sequences of 4 steps after 3 others."""
    architecture = ({"hidden_size": [8]} if issubclass(cls, DQN) else SIZES) | parameters.pop("architecture", {})
    if memory is not None:
        architecture |= {"memory": memory}
        parameters = {"sequence_length": 4, "burn_in": 3} | parameters
    default = {
        "env_name": "CartPole-v1" if issubclass(cls, (DQN, SACDiscrete)) else "Pendulum-v1",
        "max_episode_steps": 9,
    }
    return cls(
        {
            "gym_env": env or default,
            "base_dir": str(tmp_path / "run"),
            "collectors": collectors,
            "algorithm": {
                "total_steps": 200, "n_envs": 2, "n_steps": 6, "learning_starts": 60, "batch_size": 5, "nb_evals": 1,
                "eval_interval": 100, "final_episodes": 1, "checkpoint_interval": 48, "architecture": architecture,
                **parameters,
            },
            "logger": {"log_interval": 20},
            "compile": False,
            "record_best": False,
            "torch_threads": 1,
            "matmul_precision": "highest",
        }
    )  # fmt: skip


def filled(one, n=8):
    """Return an experience with `n` fragments of the algorithm's policy, and these."""
    experience, collector = one.make_experience(), one.make_collector()
    fragments = [collector.collect(one.parameters.n_steps) for _ in range(n)]
    for fragment in fragments:
        experience.put(fragment)
    return experience, fragments


def weights(fronts):
    return [
        parameter.clone() for front in fronts.values() for agent in front.agents for parameter in agent.parameters()
    ]


def moved(befores, fronts):
    return [not torch.equal(one, other) for one, other in zip(befores, weights(fronts), strict=True)]


CASES = [
    pytest.param(SAC, {"architecture": {"front_shared_by": "all"}}, id="sac"),
    pytest.param(SAC, {"architecture": {"front_shared_by": "none"}, "n_step_return": 2}, id="sac, one each"),
    pytest.param(TD3, {"architecture": {"front_shared_by": "critics"}, "policy_delay": 1}, id="td3, critics share one"),
    pytest.param(DDPG, {"architecture": {"front_shared_by": "all"}, "burn_in": 0}, id="ddpg"),
    pytest.param(TQC, {"architecture": {"front_shared_by": "critics"}}, id="tqc"),
    pytest.param(SACDiscrete, {"architecture": {"front_shared_by": "none"}}, id="sac_discrete, one each"),
    pytest.param(DQN, {"tau_target": 0.1}, id="dqn"),
    pytest.param(DQN, {"double": True, "n_step_return": 3, "target_update_interval": 1}, id="double dqn"),
]


@pytest.mark.parametrize(("cls", "parameters"), CASES)
def test_memories_learn_in_one_graph_as_they_do_eagerly(cls, parameters, tmp_path, no_code, one_thread):  # noqa: F811
    torch.manual_seed(1)
    eager = algorithm(cls, tmp_path, **copy.deepcopy(parameters))
    assert not list(check(eager))
    compiled = algorithm(cls, tmp_path, **copy.deepcopy(parameters))
    compiled.config.compile = True
    experience, _ = filled(eager)
    for one in (eager, compiled):
        online, targets = weights(one.fronts.online), weights(one.fronts.targets)
        torch.manual_seed(2)
        for _ in range(2):
            one.metrics = one.learn(experience.buffer.sample(5, experience.window))
        assert all(moved(online, one.fronts.online)) and all(moved(targets, one.fronts.targets))
    assert compiled.learner.compiled is not None
    for name, value in eager.metrics.items():
        torch.testing.assert_close(value, compiled.metrics[name], rtol=1e-3, atol=1e-4, msg=name)


def test_who_learns_a_front(tmp_path):
    for shared, n_online, with_actor in (("all", 1, 0), ("critics", 2, 1), ("none", 3, 1)):
        one = algorithm(SAC, tmp_path, architecture={"front_shared_by": shared})
        actor, critic = one.fronts.online["actor"], one.fronts.online["critic"]
        assert len({*map(id, [*actor.agents, *critic.agents])}) == n_online
        assert len(one.fronts.learned_with("actor")) == with_actor
        learned = {id(parameter) for group in one.actor_optimizer.param_groups for parameter in group["params"]}
        assert all((id(parameter) in learned) == bool(with_actor) for parameter in actor.agents[0].parameters())
        assert len(one.fronts.targets["critic"].agents) == len(critic.agents) and "actor" not in one.fronts.targets
    assert one.critic.observation_variable == ["critic-0-features", "critic-1-features"]
    assert one.target_critic.observation_variable == ["target/critic-0-features", "target/critic-1-features"]
    assert [agent.name for agent in one.fronts.targets["critic"].agents][1] == "target-critic-1-memory"


@pytest.mark.parametrize(("memory", "n_acting"), [(GRU, 2), ({"kind": "transformer", "size": 8, "window": 3}, 1)])
def test_memories_of_critics_run_in_acting_if_their_state_is_stored(memory, n_acting, tmp_path):
    one = algorithm(SAC, tmp_path, memory, architecture={"front_shared_by": "critics"})
    acting = [part for part in one.policy.modules() if isinstance(part, MemoryAgent)]
    assert len(acting) == n_acting and len(one._stored_states()) == (2 if n_acting == 2 else 0)
    experience, _ = filled(one)
    one.learn(experience.buffer.sample(5, experience.window))


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_windows_run_again_give_the_features_that_acting_had(kind, tmp_path):
    one = algorithm(TD3, tmp_path, memory={"kind": kind, "size": 6}, architecture={"front_shared_by": "critics"})
    experience, fragments = filled(one)
    features = {}
    for fragment in fragments:
        for seen, actor, critic in zip(
            *(fragment[name].flatten(0, 1) for name in ("env/env_obs", "actor-features", "critic-features")),
            strict=True,
        ):
            features[tuple(seen.tolist())] = torch.cat((actor, critic))
    batch = experience.buffer.sample(200, experience.window)
    assert batch["env/done"].any() and batch[before("critic-features/hidden")].shape == (1, 200, 6)
    again = [run_over(front.agents, batch) for front in one.fronts.online.values()]
    found = torch.cat((again[0]["actor-features"], again[1]["critic-features"]), -1)
    expected = torch.stack([features[tuple(seen.tolist())] for seen in batch["env/env_obs"].flatten(0, 1)])
    torch.testing.assert_close(found.flatten(0, 1), expected, rtol=1e-5, atol=1e-6)
    # With the weights of acting, a burn-in changes nothing.
    later = run_over(one.fronts.online["critic"].agents, batch, 3)["critic-features"]
    torch.testing.assert_close(later, again[1]["critic-features"][3:], rtol=1e-5, atol=1e-6)


def test_transitions_of_sequences_weigh_what_counts(tmp_path):
    one = algorithm(SAC, tmp_path)
    experience, _ = filled(one)
    batch = experience.buffer.sample(50, experience.window)
    transitions = one.transitions(batch)
    weight, done = transitions.get("weight", 0), batch["env/done"]
    assert weight.shape == (200,) and weight.equal((~done[3:7]).flatten().float())
    assert transitions.get("env/env_obs", 1).equal(batch["env/env_obs"][4:8].flatten(0, 1))
    assert transitions.get("features", 0).requires_grad and not transitions.get("target/features", 1).requires_grad
    assert not one.fronts.for_actor(transitions).get("features", 0).requires_grad
    x = torch.randn(200, 2)
    kept = x[weight.bool()]
    torch.testing.assert_close(batch_mean(x, transitions), kept.mean(0))
    torch.testing.assert_close(batch_mean(x, transitions, dim=None), kept.mean())


@pytest.mark.parametrize("memory", [None, GRU])
@pytest.mark.parametrize("cls", [SAC, SACDiscrete, DQN])
def test_observations_of_many_parts(cls, memory, tmp_path):
    parameters = {"architecture": {"encoder": {"images": "impala_cnn", "image_hidden_size": [6]}}}
    if cls is not DQN:
        parameters["architecture"]["front_shared_by"] = "none"
    env = {"env_name": "SeveralParts-v0", "env_args": {"discrete": cls is not SAC}, "max_episode_steps": 30}
    one = algorithm(cls, tmp_path, memory, env, **parameters)
    assert not list(check(one))
    experience, _ = filled(one)
    batch = experience.buffer.sample(5, experience.window)
    parts = {name: batch[f"env/env_obs/{name}"].dtype for name in ("number", "choice", "picture")}
    assert parts == {"number": torch.float32, "choice": torch.int64, "picture": torch.uint8}
    online, targets = weights(one.fronts.online), weights(one.fronts.targets)
    for _ in range(2):
        one.learn(batch)
    assert sum(moved(online, one.fronts.online)) > 0.8 * len(online)
    if cls is not DQN:  # which copies at every 250th update
        assert sum(moved(targets, one.fronts.targets)) > 0.8 * len(targets)


@pytest.mark.parametrize("collectors", [None, {"n": 2, "where": "process"}])
def test_a_run_with_memory_is_resumed_bit_for_bit_and_leaves_a_policy_that_remembers(collectors, tmp_path):
    paths = [tmp_path / "one", tmp_path / "two"]
    parameters = {"random_steps": 30, "burn_in": 2, "collectors": collectors}
    whole, stopped = (algorithm(TD3, path, **parameters) for path in paths)
    whole.train(progress=False)
    train_until(stopped, 12)
    TD3.restore(paths[1] / "run").train(progress=False)
    assert outcome(paths[0] / "run") == outcome(paths[1] / "run")
    act = policy_function(load_policy(paths[0] / "run" / "latest"))
    observation = np.ones(3, np.float32)
    first, second = act(observation), act(observation)
    assert not np.array_equal(first, second)
    act.reset()
    assert np.array_equal(act(observation), first)


def config(**parameters):
    architecture = parameters.pop("architecture", {})
    return resolve_config(
        SAC.config_class,
        {
            "gym_env": {"env_name": "Pendulum-v1"},
            "algorithm": {"total_steps": 50_000, "architecture": architecture, **parameters},
        },
    ).algorithm


def test_windows_are_as_long_as_sequences_need():
    assert config(n_step_return=3).window == 4
    assert config(n_step_return=3, architecture={"memory": GRU}).window == 32 + 8 + 3
    assert config(sequence_length=5, burn_in=0, architecture={"memory": GRU}).window == 6
    transformer = {"memory": {"kind": "transformer", "n_layers": 2, "window": 5}}
    assert config(sequence_length=5, architecture=transformer).window == 2 * 4 + 5 + 1
    assert config(sequence_length=5, burn_in=3, architecture=transformer).window == 3 + 5 + 1


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"sequence_length": 4}, "algorithm.sequence_length: null expected without a memory, 4 found"),
        ({"burn_in": 0}, "algorithm.burn_in: null expected without a memory, 0 found"),
        ({"buffer_size": 300, "architecture": {"memory": GRU}}, "buffer_size: 300 .* = 40; at least 320 expected"),
    ],
)
def test_what_does_not_go_with_sequences_is_refused(parameters, told):
    with pytest.raises(ConfigError, match=told):
        config(**parameters)


def test_a_network_for_pictures_behind_a_memory_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="architecture.network: 'mlp' expected behind a memory"):
        algorithm(DQN, tmp_path, architecture={"network": "nature_cnn"})

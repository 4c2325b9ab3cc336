"""Dropout, batch normalisation and counters in an algorithm of the user's own: updates, scores, files."""

import copy
import shutil

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import nn

from tests.robustness.killed_runs import differences
from tests.toys import CountingEnv
from workspace_rl import (
    Agent,
    Agents,
    GymAgent,
    Run,
    Workspace,
    check,
    evaluate,
    load_policy,
    minimise,
    record_video,
    save_policy,
    setup_optimizer,
)
from workspace_rl.agents import ContinuousQAgent, SquashedGaussianActor
from workspace_rl.algos import SAC
from workspace_rl.composition import KWAgentWrapper
from workspace_rl.config.make_env_agent import make_env_agent
from workspace_rl.errors import CheckpointError, CompositionError
from workspace_rl.learning.state.training_state import load_state, read_state
from workspace_rl.plots import episode_values, policy_map


class Modal(nn.Module):
    """A network behind batch normalisation and dropout, that counts its calls in two buffers, and depends on them.

    No `state_dict` holds the second one. It notes the modes in which it is called outside of graphs.
    """

    def __init__(self, network, size):
        super().__init__()
        self.batch_norm, self.dropout, self.network = nn.BatchNorm1d(size), nn.Dropout(0.2), network
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self.register_buffer("level", torch.zeros(1), persistent=False)
        self.modes = []

    def forward(self, inputs):
        self.calls += 1
        self.level = self.level + 0.5
        if not torch.compiler.is_compiling():
            self.modes.append((self.training, self.batch_norm.training))
        inputs = self.dropout(self.batch_norm(inputs)) + 0.01 * self.level + 0.001 * (self.calls % 7)
        return self.network(inputs)


class ModalActor(SquashedGaussianActor):
    def __init__(self, observation_size, hidden_sizes, action_size, name=None):
        super().__init__(observation_size, hidden_sizes, action_size, name=name)
        self.body = Modal(self.body, observation_size)


class ModalCritic(ContinuousQAgent):
    def __init__(self, observation_size, hidden_sizes, action_size, name=None):
        super().__init__(observation_size, hidden_sizes, action_size, name=name)
        self.model = Modal(self.model, observation_size + action_size)

    def forward(self, t, **kwargs):
        inputs = torch.cat((self.get(("env/env_obs", t)), self.get(("action", t))), dim=-1)
        self.set((f"{self.prefix}q_values", t), self.model(inputs))


class ModalSAC(SAC):
    def build(self):
        super().build()
        shape = (self.train_env.observation_size, [8], self.train_env.action_size)
        self.actor, self.critic = ModalActor(*shape, name="actor"), ModalCritic(*shape, name="critic")
        self.target_critic = copy.deepcopy(self.critic).with_prefix("target-critic/").set_name("target-critic")
        self.target_critic.requires_grad_(False)
        self.actor_optimizer = setup_optimizer(self.config.actor_optimizer, self.actor)
        self.critic_optimizer = setup_optimizer(self.config.critic_optimizer, self.critic)
        self.policy = KWAgentWrapper(self.actor, log_prob=False)
        self.eval_policy = KWAgentWrapper(self.actor, stochastic=False)


def state(module):
    tensors = {name: value.clone() for name, value in (*module.named_parameters(), *module.named_buffers())}
    return tensors, {name: part.training for name, part in module.named_modules()}


def assert_unchanged(module, before):
    tensors, modes = state(module)
    assert modes == before[1] and tensors.keys() == before[0].keys()
    for name, value in before[0].items():
        assert torch.equal(tensors[name], value), name


def resume_from_the_last_checkpoint_but_one(run, algorithm_class):
    """Let a copy of a run, "stopped", go on as if it had been stopped then."""
    stopped = shutil.copytree(run, run.parent / "stopped")
    for file in stopped.glob(f"checkpoints/*-{Run(stopped, allow=[algorithm_class]).checkpoints.steps()[-1]}*"):
        file.unlink()
    algorithm = algorithm_class.restore(stopped)
    algorithm.train(progress=False)
    return algorithm


@pytest.mark.parametrize("compiles", [False, True], ids=["eager", "compiled"])
def test_a_run_with_modes_and_buffers(compiles, tiny_sac, tmp_path):
    """Resumed as uninterrupted; the score that chose the policy is that of the policy that is loaded."""
    tiny_sac["compile"] = compiles
    tiny_sac["algorithm"] |= {"total_steps": 240, "checkpoint_interval": 140, "eval_interval": 110, "final_episodes": 1}
    algorithm = ModalSAC(tiny_sac)
    result = algorithm.train(progress=False)
    resume_from_the_last_checkpoint_but_one(tmp_path / "run", ModalSAC)
    assert differences(tmp_path / "run", tmp_path / "stopped") == []

    run = Run(tmp_path / "run", allow=[ModalSAC])
    body = run.policy().wrapped.body
    assert body.calls > 0 and body.level > 0 and body.batch_norm.num_batches_tracked > 0
    env_agent = make_env_agent(run.config.gym_env, 2, auto_reset=False)
    for _ in range(2):
        assert evaluate(env_agent, run.policy(), result.selection.seeds) == result.selection
    env_agent.close()
    # In updates they were called in training mode, in evaluations in evaluation mode.
    updates = algorithm.n_updates
    actor, critic, target = algorithm.actor.body, algorithm.critic.model, algorithm.target_critic.model
    for module in (actor, critic, target):
        assert module.training and module.batch_norm.training and module.dropout.training
        assert module.calls == module.batch_norm.num_batches_tracked == 2 * updates
        assert module.level == updates
    updating = set() if compiles else {(True, True)}
    assert set(actor.modes) == updating | {(False, False)} and set(target.modes) == updating


@pytest.fixture
def actor():
    torch.manual_seed(0)
    actor = ModalActor(1, [4], 1)
    actor.body.dropout.eval()  # modes of one's own stay as they are
    with torch.no_grad():
        actor.body.batch_norm.running_mean += 1
    actor.body.calls += 3
    return actor


def film(actor, tmp_path):
    record_video(
        GymAgent(lambda: CountingEnv(3, render_mode="rgb_array"), auto_reset=False), actor, tmp_path / "a.mp4", [1, 2]
    )


def look(actor, tmp_path):
    env_agent = GymAgent(lambda: CountingEnv(3), 1, auto_reset=False)
    assert not list(check(Agents(env_agent, actor)))  # with batch normalisation of a batch of one


WAYS = {
    "score": lambda actor, _: evaluate(GymAgent(lambda: CountingEnv(3), 2, auto_reset=False), actor, [1, 2, 3]),
    "film": film,
    "map": lambda actor, _: policy_map(actor, gym.spaces.Box(-1, 1, (1,), np.float32), resolution=5),
    "check": look,
}


@pytest.mark.parametrize("way", WAYS)
def test_acting_leaves_no_trace(way, actor, tmp_path):
    before, drawn = state(actor), torch.get_rng_state()
    WAYS[way](actor, tmp_path)
    assert_unchanged(actor, before)
    assert torch.equal(torch.get_rng_state(), drawn)
    assert (True, True) not in actor.body.modes


def test_so_do_critics_whose_values_are_drawn(actor):
    critic = ModalCritic(1, [4], 1)
    both = state(actor), state(critic)
    env_agent = GymAgent(lambda: CountingEnv(3), 1, auto_reset=False)
    options = {"value_variable": "critic/q_values", "discount_factor": 0.9}
    values = episode_values(env_agent, actor, critic, **options).q_values
    for agent, before in zip((actor, critic), both, strict=True):
        assert_unchanged(agent, before)
    assert (values == episode_values(env_agent, actor.eval(), critic.eval(), **options).q_values).all()


def test_so_does_acting_that_fails(actor):
    class Failing(Agent):
        def forward(self, t, **kwargs):
            raise ZeroDivisionError

    before = state(actor)
    with pytest.raises(ZeroDivisionError):
        evaluate(GymAgent(lambda: CountingEnv(3), 1, auto_reset=False), Agents(actor, Failing()), [1])
    assert_unchanged(actor, before)


def test_scores_of_agents_that_count_do_not_depend_on_how_many_are_played_together(actor):
    scores = [evaluate(GymAgent(lambda: CountingEnv(9), n, auto_reset=False), actor, [1, 2, 3]) for n in (1, 3)]
    assert scores[0] == scores[1]


class Shifting(Agent):
    """Buffers that come, grow and are one tensor for a while; two layers with one weight."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)
        self.second.weight = self.first.weight
        self.register_buffer("later", None)
        self.register_buffer("grows", torch.zeros(1))
        self.register_buffer("own", torch.zeros(2), persistent=False)

    def forward(self, t, **kwargs):
        self.grows = torch.cat([self.grows, self.grows + 1])
        self.own = self.own + 1
        self.later = self.own


def test_saved_policies_have_all_their_buffers_and_share_what_they_shared(tmp_path):
    agent = Shifting()
    for t in range(2):
        agent(Workspace(), t=t)
    save_policy(agent, tmp_path)
    found = load_policy(tmp_path, allow=[Shifting])
    for name in ("later", "grows", "own"):
        assert torch.equal(getattr(found, name), getattr(agent, name)), name
    assert found.second.weight is found.first.weight
    save_policy(found, tmp_path / "again")
    assert (tmp_path / "again/policy.safetensors").read_bytes() == (tmp_path / "policy.safetensors").read_bytes()


def test_parameters_that_are_yet_to_be_created_are_refused_before_anything_starts(tiny_sac, tmp_path):
    class Lazy(Agent):
        def __init__(self):
            super().__init__()
            self.layer = nn.LazyLinear(2)

    class LazySAC(SAC):
        def build(self):
            super().build()
            self.model = nn.LazyLinear(2)

    with pytest.raises(CompositionError, match=r"Lazy'?: layer.weight, layer.bias are created at the first call only"):
        save_policy(Lazy(), tmp_path)
    with pytest.raises(CompositionError, match=r"model: weight, bias are created at the first call only"):
        LazySAC(tiny_sac)


def test_checkpoints_have_all_buffers_and_older_ones_without_some_fit():
    agent, found = Shifting(), Shifting()
    for t in range(2):
        agent(Workspace(), t=t)
    tensors, plain = read_state({"one": agent, "same": agent})
    assert sorted(tensors) == ["one.first.weight", "one.grows", "one.later", "one.own"]
    load_state({"one": found, "same": found}, tensors, plain)
    for name in ("later", "grows", "own"):
        assert torch.equal(getattr(found, name), getattr(agent, name)), name
    assert found.later is not found.own and found.second.weight is found.first.weight
    older = {name: value for name, value in tensors.items() if name not in ("one.own", "one.later")}
    fresh = Shifting()
    load_state({"one": fresh}, older, plain)
    assert torch.equal(fresh.grows, agent.grows) and fresh.own.tolist() == [0, 0] and fresh.later is None
    with pytest.raises(CheckpointError, match=r"'one.grows' is \[1\] there, nothing was stored"):
        load_state({"one": Shifting()}, {"one.first.weight": tensors["one.first.weight"]}, plain)


class Scattered(SAC):
    """Keeps modules in lists, optimisers in a dictionary, and learns a parameter of its own."""

    def build(self):
        super().build()
        self.extra = [nn.BatchNorm1d(1), nn.Linear(1, 1)]
        self.scale = nn.Parameter(torch.ones(()))
        self.mean = torch.zeros(1)
        adam = {"classname": "torch.optim.Adam", "lr": 0.01}
        self.others = {"scale": setup_optimizer(adam, self.scale), "extra": setup_optimizer(adam, *self.extra)}

    def update(self, batch):
        metrics = super().update(batch)
        reward = batch.get("env/reward", 1).unsqueeze(-1)
        self.mean.lerp_(reward.mean(0), 0.1)
        loss = (self.extra[1](self.extra[0](reward)) * self.scale - self.mean).square().mean()
        minimise(loss, self.others["extra"])
        loss = (self.extra[1](self.extra[0](reward)) * self.scale - reward).square().mean()
        minimise(loss, self.others["scale"])
        return {**metrics, "loss/extra": loss.detach()}


def test_what_stands_in_lists_and_alone_is_resumed_too(tiny_sac, tmp_path):
    tiny_sac["algorithm"] |= {"total_steps": 240, "checkpoint_interval": 140, "final_episodes": 1}
    algorithm = Scattered(tiny_sac)
    assert len(algorithm.optimizers()) == 5
    algorithm.train(progress=False)
    resumed = resume_from_the_last_checkpoint_but_one(tmp_path / "run", Scattered)
    assert differences(tmp_path / "run", tmp_path / "stopped") == []
    assert torch.equal(resumed.scale, algorithm.scale) and torch.equal(resumed.mean, algorithm.mean)
    assert resumed.scale != 1 and resumed.extra[0].num_batches_tracked == 2 * resumed.n_updates

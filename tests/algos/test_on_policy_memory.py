"""On-policy algorithms whose policies remember, and whose observations have several parts."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from hypothesis import settings

from tests.algos.test_on_policy_runs import rollout_of_two_environments, run_of
from workspace_rl import Agents, Collector, GymAgent, Workspace, check, diagram
from workspace_rl.agent import before, state_variables
from workspace_rl.agents.memory import MemoryAgent
from workspace_rl.algos import A2C, PPO, REINFORCE
from workspace_rl.errors import ConfigError
from workspace_rl.experience import Fragment, Rollout

PARTS = gym.spaces.Dict(
    position=gym.spaces.Box(-1, 1, (3,), np.float32),
    camera=gym.spaces.Box(0, 255, (1, 16, 16), np.uint8),
    gripper=gym.spaces.Discrete(3),
)
gym.register("Robot-v0", entry_point="tests.toys:SpaceEnv", kwargs={"observation_space": PARTS})


def with_memory(algorithm, folder, kind="gru", env_name="CartPole-v1", compile=False, architecture=None, **parameters):
    """Return an algorithm whose policy remembers; minibatches of PPO are two of four environments."""
    memory = {"kind": kind, "size": 8, "n_layers": 2, "n_heads": 2, "window": 5}
    sizes = {"hidden_size": [16], "memory": memory}
    return algorithm(
        run_of(
            algorithm, folder / "run", env_name, compile, **{"architecture": sizes | (architecture or {}), **parameters}
        )
    )


def rows_of(algorithm, n_rollouts=2):
    """Return the rows of the last of some rollouts, and its fragment."""
    experience, collector = algorithm.make_experience(), algorithm.make_collector()
    for _ in range(n_rollouts):
        fragment = collector.collect(algorithm.parameters.n_steps)
        experience.put(fragment)
        (rows,) = experience.batches()
    return rows, fragment


def gradients(algorithm, rows, select=None):
    """Return the gradients of PPO's loss on rows, without taking a step."""
    found, step = {}, algorithm.optimizer.step
    algorithm.optimizer.step = lambda *args, **kwargs: found.update(
        {name: one.grad.clone() for name, one in algorithm.policy.named_parameters()}
    )
    try:
        algorithm.update(rows)
    finally:
        algorithm.optimizer.step = step
    return found


# ---- the same numbers ----------------------------------------------------------------------------------------------


@pytest.fixture
def traced_only(monkeypatch):
    """Trace updates into one graph, gradients included, which is then run as it is: no code is made of it.

    Making code takes half a minute. `make robustness` does that, too.
    """
    if settings.get_current_profile_name() == "full":
        return
    compile = torch.compile
    monkeypatch.setattr(
        torch, "compile", lambda function, *, options, **given: compile(function, backend="aot_eager", **given)
    )


@pytest.mark.parametrize(
    ("kind", "compiled", "options"),
    [
        ("gru", False, {}),
        ("gru", True, {"architecture": {"shared": True}, "n_steps": 4, "batch_size": 8, "total_steps": 150}),
        ("lstm", False, {"normalize_observations": True, "recompute_advantages": True}),
        ("transformer", False, {}),
    ],
)
def test_nothing_has_changed_before_the_first_update(kind, compiled, options, traced_only, tmp_path):
    """Acting goes step by step, learning over whole rollouts, in which episodes begin; the state is carried between."""
    algorithm = with_memory(PPO, tmp_path, kind, compile=compiled, **{"total_steps": 300, "nb_evals": 0, **options})
    learn, ratios, begun, carried = algorithm.learn, [], [], []

    def watched(batch):
        if algorithm.n_updates % 4 == 0:  # two minibatches in each of two epochs
            assert batch["action"].shape == (algorithm.parameters.n_steps, 2)
            workspace = Workspace(batch)
            with torch.no_grad():
                algorithm.policy(workspace, given=True)
            ratios.append((workspace["action_logprobs"] - workspace["old/action_logprobs"]).exp())
            begun.append(bool((batch["env/timestep"][1:] == 0).any()))
            carried.append(all(bool(batch[before(name)].any()) for name in state_variables(algorithm.policy)))
        return learn(batch)

    algorithm.learn = watched
    algorithm.train(progress=False)
    assert len(ratios) >= 8 and any(begun) and carried[0] is False and sum(carried) >= 6
    found = torch.stack(ratios)
    torch.testing.assert_close(found, torch.ones_like(found), rtol=0, atol=1e-6)
    assert (algorithm.learner.compiled is not None) == compiled
    if compiled:
        assert not algorithm.learner.compiled._eager


@pytest.mark.parametrize("kind", ["lstm", "transformer"])
def test_an_update_as_one_graph_does_what_an_eager_one_does(kind, traced_only, tmp_path):
    memory = {"kind": kind, "size": 4, "n_heads": 1, "window": 3}
    options = {"architecture": {"shared": True, "memory": memory}, "n_steps": 4, "batch_size": None, "n_epochs": 1}
    runs = [with_memory(PPO, tmp_path, compile=one, **options) for one in (False, True)]  # of the same weights
    rows, _ = rows_of(runs[0])
    for run in runs:
        for group in run.optimizer.param_groups:  # Adam makes much of gradients that are nothing but rounding
            group["eps"] = 1e-3
        for _ in range(2):
            run.learn(rows)
    assert not runs[1].learner.compiled._eager
    for ours, theirs in zip(*(run.policy.parameters() for run in runs), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_rollouts_of_several_collectors_begin_with_the_states_of_each(tmp_path):
    algorithm = with_memory(PPO, tmp_path, batch_size=None, n_epochs=1)
    experience = algorithm.make_experience()
    envs = [GymAgent("CartPole-v1", n_envs=2 + number, auto_reset=True, seed=number) for number in range(2)]
    collectors = [Collector(one, algorithm.policy, choose_anew=True, number=n) for n, one in enumerate(envs)]
    for _ in range(2):
        fragments = [collector.collect(8) for collector in collectors]
        for one in reversed(fragments):
            experience.put(one)
        (rows,) = experience.batches()
    for name in state_variables(algorithm.policy):
        assert (
            rows[before(name)][0].equal(torch.cat([one.state[name] for one in fragments])) and rows[before(name)].any()
        )
    algorithm.policy(rows, given=True)
    torch.testing.assert_close(rows["action_logprobs"], rows["old/action_logprobs"], rtol=0, atol=1e-6)


def test_values_that_are_asked_again_are_those_of_acting(tmp_path):
    algorithm = with_memory(PPO, tmp_path, batch_size=None, n_epochs=1)
    rows, fragment = rows_of(algorithm)
    rollout = Workspace(fragment)
    for name, state in fragment.state.items():
        rollout.set_full(before(name), state.unsqueeze(0))
    algorithm.parameters.recompute_advantages = True
    torch.testing.assert_close(algorithm._prepare(rollout, 1)["advantage"], rows["advantage"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("algorithm", [PPO, A2C, REINFORCE])
def test_memory_changes_no_returns(algorithm, tmp_path):
    options = {"n_envs": 2, "n_steps": 5, "discount_factor": 0.5, "batch_size": None, "n_epochs": 1}
    rollout = rollout_of_two_environments()
    rollout["value"] = torch.randn(6, 2)
    without = algorithm(run_of(algorithm, tmp_path, **options)).prepare(rollout)
    remembering = with_memory(algorithm, tmp_path, **options)
    rollout["env/timestep"] = torch.tensor([[0, 1, 2, 0, 1, 2], [4, 5, 6, 7, 0, 1]]).T
    for name in state_variables(remembering.policy):
        rollout[before(name)] = torch.randn(1, 2, 2, 8)
    rows = remembering.prepare(rollout)
    assert all(rows[name].equal(without[name]) for name in ("return", "advantage", "weight"))
    assert all(rows[before(name)].equal(rollout[before(name)]) for name in state_variables(remembering.policy))


# ---- gradients -----------------------------------------------------------------------------------------------------


class Fading(MemoryAgent):
    """Remembers a number that fades."""

    def __init__(self, fade, **options):
        super().__init__(1, 1, {"trace": [1]}, **options)
        self.fade = torch.nn.Parameter(torch.tensor(fade))

    def step(self, inputs, state):
        trace = self.fade * state["trace"] + inputs
        return trace, {"trace": trace}


def test_gradients_reach_the_first_step_of_a_rollout_and_nothing_before_it():
    memory = Fading(0.5)
    rollout = Rollout(3, ["env/env_obs", "env/timestep"], state_variables=memory.state_variables)
    frames = Workspace()
    frames["env/env_obs"] = torch.tensor([[1.0, 10.0, 100.0, 0], [2.0, 20, 200, 0]]).T.unsqueeze(-1)
    frames["env/timestep"] = torch.tensor([[7, 8, 9, 10], [3, 4, 0, 1]]).T  # the second one begins an episode
    frames["env/done"] = torch.zeros(4, 2, dtype=torch.bool)
    state = memory.fade * torch.tensor([[4.0], [6.0]])  # of a rollout before, with the same weights
    rollout.put(Fragment(frames, state={"memory/trace": state.detach()}, number=0))
    (batch,) = rollout.batches()
    memory(batch)
    # 1 + 2 f, 10 + f (1 + 2 f), 100 + f (10 + f (1 + 2 f)); and 2 + 3 f, 20 + f (2 + 3 f), 200.
    assert batch["memory"][:3, :, 0].tolist() == [[2, 3.5], [11, 21.75], [105.5, 200]]
    batch["memory"][:3].sum().backward()
    # 2 + (1 + 4 f) + (10 + 2 f + 6 f^2), and 3 + (2 + 6 f): what was before the rollout is a number.
    assert memory.fade.grad.item() == (2 + 3 + 12.5) + (3 + 5)


@pytest.mark.parametrize("normalize", [False, True])
def test_a_minibatch_of_whole_environments_has_their_gradients(normalize, double, tmp_path):
    options = {"batch_size": None, "n_epochs": 1, "normalize_advantages": normalize, "max_grad_norm": None}
    algorithm = with_memory(PPO, tmp_path, **options)
    rows, _ = rows_of(algorithm)
    chosen = torch.tensor([2, 0])
    minibatch = gradients(algorithm, rows.select_batch(chosen))
    counting = torch.zeros(4)
    counting[chosen] = 1
    rows["weight"] = rows["weight"] * counting  # of the whole rollout, only these two count
    whole = gradients(algorithm, rows)
    assert all(bool(one.any()) for one in whole.values())
    for name, one in whole.items():
        torch.testing.assert_close(minibatch[name], one, rtol=1e-8, atol=1e-10, msg=name)


def test_truncated_backpropagation_by_hand(double, tmp_path):
    """Against a loop over time with memory and heads called one after the other, from the state before the rollout."""
    options = {"batch_size": None, "n_epochs": 1, "normalize_advantages": False, "max_grad_norm": None, "n_steps": 12}
    algorithm = with_memory(PPO, tmp_path, architecture={"shared": True, "hidden_size": []}, **options)
    for one in algorithm.policy.parameters():  # beyond what they are at first, when actors hardly look at features
        one.data.add_(0.3 * torch.randn_like(one))
    rows, fragment = rows_of(algorithm)
    found = gradients(algorithm, rows)
    assert bool((rows["env/timestep"][1:] == 0).any()) and bool(rows["features/hidden/before"].any())

    memory, actor, value = algorithm.policy
    state, policy_loss, value_loss = {"hidden": fragment.state["features/hidden"]}, 0.0, 0.0
    for t in range(12):
        goes_on = (rows["env/timestep"][t] > 0).view(-1, 1, 1)
        features, state = memory.step(rows["env/env_obs"][t].double(), {"hidden": state["hidden"] * goes_on})
        log_prob = actor.head(features).log_softmax(-1).gather(1, rows["action"][t].unsqueeze(1)).squeeze(1)
        weight = rows["weight"][t]
        # Without a step the ratio is 1, and its gradient that of the logarithm.
        policy_loss = policy_loss - (weight * rows["advantage"][t] * log_prob).sum()
        value_loss = value_loss + (weight * (value.head(features).squeeze(1) - rows["return"][t]).square()).sum()
    loss = (policy_loss + algorithm.parameters.value_coef / 2 * value_loss) / rows["weight"].sum()
    parameters = dict(algorithm.policy.named_parameters())
    by_hand = torch.autograd.grad(loss, [*parameters.values()])
    for name, one in zip(parameters, by_hand, strict=True):
        torch.testing.assert_close(found[name], one, rtol=1e-7, atol=1e-9, msg=name)


# ---- runs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("algorithm", "shared"), [(PPO, False), (A2C, True), (REINFORCE, False)])
def test_it_trains_on_observations_of_several_parts_with_memory(algorithm, shared, tmp_path):
    options = {"total_steps": 64, "nb_evals": 1, "eval_interval": 64, "final_episodes": 1}
    options["normalize_observations"] = True
    encoder = {"images": "impala_cnn", "image_hidden_size": [8]}
    architecture = {"shared": shared, "encoder": encoder}
    made = with_memory(algorithm, tmp_path, env_name="Robot-v0", architecture=architecture, **options)
    names = [type(one).__name__ for one in made.policy]
    assert names.count("EncoderAgent") == names.count("GRUAgent") == (1 if shared else 2)
    first = {name: one.detach().clone() for name, one in made.policy.named_parameters()}
    made.train(progress=False)
    assert made.n_updates >= 2
    assert [name for name, one in made.policy.named_parameters() if one.equal(first[name])] == []


def test_it_is_checked_and_drawn(tmp_path):
    made = with_memory(PPO, tmp_path)
    assert not check(made) and not check(made).notes
    assert "whole environments of the rollout" in diagram(made).svg()


def test_what_looks_afterwards_goes_on_doing_so(tmp_path):
    """Whoever writes a state acts at each step; the value, which reads what it wrote, does not."""
    algorithm = with_memory(PPO, tmp_path)
    *acting, value = algorithm.policy
    assert [one.name for one in (*acting, value)] == ["memory", "actor", "value-memory", "value"]
    assert state_variables(Agents(*acting)) == ["features/hidden", "value_features/hidden"]
    calls = []
    collector = Collector(algorithm.train_env, algorithm.policy, choose_anew=True)
    for one in collector.policy:
        one.register_forward_pre_hook(lambda module, arguments, kwargs: calls.append(module.name), with_kwargs=True)
    collector.collect(5)
    assert [calls.count(one.name) for one in algorithm.policy] == [6, 6, 6, 1]


def test_batches_that_cut_environments_apart_are_refused(tmp_path):
    with pytest.raises(
        ConfigError, match="batch_size: a multiple of n_steps = 8 .*whole environments.*20 found; 16 is"
    ):
        with_memory(PPO, tmp_path, batch_size=20)
    with pytest.raises(ConfigError, match="24 found; 16 is the nearest"):  # three of four environments
        with_memory(PPO, tmp_path, batch_size=24)

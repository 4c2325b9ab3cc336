"""Stochastic policies of every kind: they act, learn and are evaluated by one agent."""

import copy
import math

import gymnasium as gym
import pytest
import torch
from torch import nn

from tests.toys import SpaceEnv
from workspace_rl import (
    Agents,
    GymAgent,
    KWAgentWrapper,
    TemporalAgent,
    Workspace,
    check,
    compile_update,
    describe,
    load_policy,
    save_policy,
)
from workspace_rl.agents import (
    BernoulliActor,
    CategoricalActor,
    GaussianActor,
    MultiCategoricalActor,
    make_actor,
)
from workspace_rl.errors import ActionError, ConfigError, UnsupportedSpaceError, VariableMismatchError

#: How each kind is made, and the shape of an action.
KINDS = {
    "categorical": (lambda **options: CategoricalActor(3, [8], 4, **options), ()),
    "categoricals alike": (lambda **options: MultiCategoricalActor(3, [8], [3, 3], **options), (2,)),
    "categoricals": (lambda **options: MultiCategoricalActor(3, [8], [2, 1, 4], **options), (3,)),
    "categoricals in rows": (lambda **options: MultiCategoricalActor(3, [8], [[2, 3], [4, 2]], **options), (2, 2)),
    "bernoulli": (lambda **options: BernoulliActor(3, [8], 4, **options), (4,)),
    "bernoulli in rows": (lambda **options: BernoulliActor(3, [8], [2, 3], **options), (2, 3)),
    "gaussian": (lambda **options: GaussianActor(3, [8], 2, **options), (2,)),
    "gaussian by state": (lambda **options: GaussianActor(3, [8], 2, state_dependent_std=True, **options), (2,)),
    "squashed": (lambda **options: GaussianActor(3, [8], 2, squash=True, **options), (2,)),
    # With such deviations, float32 has no numbers for most actions but -1 and 1.
    "squashed to the edges": (
        lambda **options: GaussianActor(
            3, [8], 2, squash=True, state_dependent_std=True, log_std_init=2.0, **options
        ),
        (2,),
    ),
}  # fmt: skip
CHOOSING = [kind for kind in KINDS if "categorical" in kind or "bernoulli" in kind]


def frames(n_steps=4, batch=6, dtype=torch.float32):
    workspace = Workspace()
    workspace.set_full("env/env_obs", torch.randn(n_steps, batch, 3, dtype=dtype))
    return workspace


def spread(actor, seed=0):
    """Return the actor, whose actions now depend on what it sees."""
    torch.manual_seed(seed)
    with torch.no_grad():
        actor.head.weight.normal_()
    return actor


def act(actor, workspace, **options):
    with torch.no_grad():
        for t in range(workspace.get_full("env/env_obs").shape[0]):
            actor(workspace, t=t, **options)
    return workspace


def stored(actor, workspace):
    """Return what an algorithm keeps: the observations, and what the actor reads when its actions are given."""
    kept = Workspace()
    for name in ("env/env_obs", *actor.given_variables):
        kept.set_full(name, workspace.get_full(name))
    return kept


@pytest.mark.parametrize("kind", KINDS)
def test_it_reads_and_writes_what_it_says(kind):
    make, shape = KINDS[kind]
    actor = spread(make())
    workspace = act(actor, frames())
    extra = ["action_unsquashed"] if "squashed" in kind else []
    assert list(workspace) == ["env/env_obs", "action", *extra, "action_logprobs"]
    assert actor.given_variables == ("action_unsquashed" if extra else "action",)
    action = workspace.get_full("action")
    assert action.shape == (4, 6, *shape) and workspace.get_full("action_logprobs").shape == (4, 6)
    assert action.dtype == (torch.int64 if kind in CHOOSING else torch.float32)
    if extra:
        assert torch.equal(action, workspace.get_full("action_unsquashed").tanh())
    given = stored(actor, workspace)
    actor(given, given=True)
    assert list(given) == ["env/env_obs", *actor.given_variables, "action_logprobs", "entropy"]
    assert given.get_full("entropy").shape == (4, 6)
    copy.deepcopy(actor)


@pytest.mark.parametrize("kind", KINDS)
def test_the_most_likely_action_draws_no_random_numbers(kind):
    actor, workspace = spread(KINDS[kind][0]()), frames()
    before = torch.get_rng_state()
    act(actor, workspace, stochastic=False)
    whole = Workspace(workspace.subtime(0))
    actor(whole, stochastic=False)
    assert torch.equal(before, torch.get_rng_state())
    assert list(workspace) == ["env/env_obs", "action"]
    torch.testing.assert_close(whole.get_full("action"), workspace.get_full("action"))
    if "squashed" not in kind:  # whose most likely action is that of the Gaussian
        drawn = act(actor, Workspace(workspace)).get_full("action_logprobs")
        actor(workspace, given=True)
        assert (workspace.get_full("action_logprobs") >= drawn - 1e-6).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_actions_that_are_given_are_as_likely_as_when_they_were_drawn(kind, dtype):
    actor = spread(KINDS[kind][0]().to(dtype))
    workspace = act(actor, frames(dtype=dtype))
    if kind == "squashed to the edges":
        assert (workspace.get_full("action").abs() == 1).any()
    for t in (*range(4), None):
        again = stored(actor, workspace)
        actor(again, t=t, given=True)
        found, expected = again.get_full("action_logprobs"), workspace.get_full("action_logprobs")
        assert found.dtype == dtype and again.get_full("entropy").isfinite().all()
        if t is None:  # rows of matrices are summed in another order
            torch.testing.assert_close((found - expected).exp(), torch.ones_like(found), rtol=0, atol=2e-6)
        else:
            assert torch.equal(found[t], expected[t])


def test_compiled_into_one_graph_nothing_else_comes_out():
    actors, batch = {}, Workspace()
    for kind in ("categorical", "categoricals in rows", "bernoulli in rows", "gaussian", "squashed to the edges"):
        actor = actors[kind] = spread(KINDS[kind][0](**({"mask_variable": "allowed"} if kind in CHOOSING else {})))
        workspace = frames(3, 5)
        if kind in CHOOSING:
            workspace.set_full("allowed", torch.arange(actor.head.out_features).expand(3, 5, -1) != 1)
        act(actor, workspace)
        for name in ("env/env_obs", *actor.given_variables):
            batch.set_full(f"{kind}:{name}", workspace.get_full(name))
        batch.set_full(f"{kind}:before", workspace.get_full("action_logprobs"))

    def look(batch):
        results = {}
        for kind, actor in actors.items():
            workspace = Workspace()
            for name in ("env/env_obs", *actor.given_variables):
                workspace.set_full(name, batch.get_full(f"{kind}:{name}"))
            with torch.no_grad():
                actor(workspace, given=True)
                results[f"{kind}:log_prob"] = workspace.get_full("action_logprobs")
                results[f"{kind}:entropy"] = workspace.get_full("entropy")
                actor(workspace)
                results[f"{kind}:drawn"] = workspace.get_full("action_logprobs")
                actor(workspace, t=1, stochastic=False)
        return results

    eager, compiled = look(batch), compile_update(look, [], list(actors.values()))(batch)
    for name, expected in eager.items():
        kind, what = name.split(":")
        if what == "drawn":
            assert compiled[name].shape == expected.shape and compiled[name].isfinite().all()
        else:
            torch.testing.assert_close(compiled[name], expected, rtol=1e-5, atol=1e-5)
        if what == "log_prob":
            for found in (compiled[name], expected):
                ratio = (found - batch.get_full(f"{kind}:before")).exp()
                torch.testing.assert_close(ratio, torch.ones_like(ratio), rtol=0, atol=2e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_every_parameter(kind):
    actor = KINDS[kind][0]()
    workspace = stored(actor, act(actor, frames()))
    actor(workspace, given=True)
    loss = workspace.get_full("action_logprobs").sum() + workspace.get_full("entropy").sum()
    gradients = torch.autograd.grad(loss, list(actor.parameters()))
    assert all(one.isfinite().all() and one.any() for one in gradients)


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_saved_and_loaded(kind, tmp_path):
    options = {"activation": nn.ELU, "observation_variable": "seen", "name": "mine"}
    if kind in CHOOSING:
        options["mask_variable"] = "allowed"
    actor = spread(KINDS[kind][0](**options))
    save_policy(KWAgentWrapper(actor, stochastic=False), tmp_path)
    loaded = load_policy(tmp_path).wrapped
    assert type(loaded) is type(actor) and loaded.name == "mine" and loaded.given_variables == actor.given_variables
    workspace = Workspace()
    workspace.set_full("seen", torch.randn(2, 5, 3))
    if kind in CHOOSING:
        workspace.set_full("allowed", torch.ones(2, 5, actor.head.out_features, dtype=torch.bool))
    drawn = []
    for one in (actor, loaded):
        torch.manual_seed(3)
        own = Workspace(workspace)
        one(own, t=0)
        drawn.append(own)
    for name in ("action", "action_logprobs"):
        assert torch.equal(drawn[0].get(name, 0), drawn[1].get(name, 0))


@pytest.mark.parametrize("choices", [[[0, 3]], [[5, 1], [-1, 2]]])
def test_observations_that_are_choices_are_read_one_hot(choices):
    actor = spread(CategoricalActor(3, [8], 4, observation_choices=choices))
    column = [torch.randint(least, least + count, (4, 6)) for least, count in choices]
    workspace = Workspace()
    workspace.set_full("env/env_obs", column[0] if len(column) == 1 else torch.stack(column, -1))
    act(actor, workspace)
    again = stored(actor, workspace)
    actor(again, given=True)
    torch.testing.assert_close(again.get_full("action_logprobs"), workspace.get_full("action_logprobs"))


def test_weights_begin_as_the_paper_says():
    actor = GaussianActor(3, [8, 8], 2, log_std_init=-0.5)
    assert torch.linalg.matrix_norm(actor.head.weight, 2).item() == pytest.approx(0.01)
    assert torch.linalg.matrix_norm(actor.body[2].weight, 2).item() == pytest.approx(math.sqrt(2))
    assert isinstance(actor.body[1], nn.Tanh) and isinstance(actor.body[3], nn.Tanh)
    assert actor.log_std.tolist() == [-0.5, -0.5]
    by_state = GaussianActor(3, [8], 2, state_dependent_std=True, log_std_init=-0.5)
    assert by_state.log_std.bias.tolist() == [-0.5, -0.5]
    assert sum(one.numel() for one in CategoricalActor(3, [], 4).parameters()) == 16


# ---- masks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.bool, torch.int8, torch.float32])
@pytest.mark.parametrize("kind", CHOOSING)
def test_what_is_not_allowed_is_not_done(kind, dtype):
    actor = spread(KINDS[kind][0](mask_variable="allowed"))
    n = actor.head.out_features
    assert actor.given_variables == ("action", "allowed")
    workspace = frames(40)
    allowed = torch.rand(40, 6, n) < 0.5
    # The first choice of each part is allowed.
    for first in {
        "categorical": [0], "categoricals alike": [0, 3], "categoricals": [0, 2, 3],
        "categoricals in rows": [0, 2, 5, 9],
    }.get(kind, []):  # fmt: skip
        allowed[..., first] = True
    workspace.set_full("allowed", allowed.to(dtype))
    for options in ({}, {"stochastic": False}):
        own = act(actor, Workspace(workspace), **options)
        action = own.get_full("action").reshape(40, 6, -1)
        if "bernoulli" in kind:
            assert not (action.bool() & ~allowed).any() and action.any()
        else:
            counts = {"categorical": [4], "categoricals alike": [3, 3], "categoricals": [2, 1, 4]}
            chosen = zip(action.unbind(-1), allowed.split(counts.get(kind, [2, 3, 4, 2]), dim=-1), strict=True)
            assert all(mask.gather(-1, one.unsqueeze(-1)).all() for one, mask in chosen)
    whole = stored(actor, act(actor, workspace))
    actor(whole, given=True)
    torch.testing.assert_close(whole.get_full("action_logprobs"), workspace.get_full("action_logprobs"))
    loss = whole.get_full("action_logprobs").sum() + whole.get_full("entropy").sum()
    assert all(one.isfinite().all() for one in torch.autograd.grad(loss, list(actor.parameters())))


def test_each_part_has_its_own_piece_of_the_mask():
    actor = MultiCategoricalActor(3, [8], [[2, 3], [4, 2]], mask_variable="allowed")
    workspace = frames(1)
    mask = torch.tensor([0, 1, 0, 0, 1, 0, 0, 1, 0, 1, 0])
    workspace.set_full("allowed", mask.bool().expand(1, 6, 11))
    actor(workspace)
    assert workspace.get_full("action").unique(dim=1).tolist() == [[[[1, 2], [2, 0]]]]
    assert not workspace.get_full("action_logprobs").any()


@pytest.mark.parametrize("kind", ["categorical", "categoricals", "categoricals in rows"])
def test_where_nothing_is_allowed_environment_and_step_are_named(kind):
    actor = KINDS[kind][0](mask_variable="allowed", name="policy")
    workspace = frames()
    allowed = torch.ones(4, 6, actor.head.out_features, dtype=torch.bool)
    # Nothing at all, or nothing for one of the parts.
    allowed[2, 3, : 4 if kind == "categorical" else 2] = False
    workspace.set_full("allowed", allowed)
    message = r"agent 'policy' .*'allowed' at step 2 allows no action in environment 3\. .*at least one"
    for t in (2, None):
        with pytest.raises(ActionError, match=message) as raised:
            actor(Workspace(workspace), t=t)
        assert (raised.value.variable, raised.value.step) == ("allowed", 2)
    # The action of an episode's last frame is ignored.
    done = torch.zeros(4, 6, dtype=torch.bool)
    done[2, 3] = True
    workspace.set_full("env/done", done)
    for t in (2, None):
        own = Workspace(workspace)
        actor(own, t=t)
        assert own.get("action_logprobs", 2).isfinite().all()
    own.set_full("env/done", ~done)
    with pytest.raises(ActionError, match="at step 2 allows no action in environment 3"):
        actor(own)
    # What was done was allowed when it was done.
    actor(own, given=True)


def test_masks_of_another_shape_are_refused():
    actor = CategoricalActor(3, [8], 4, mask_variable="allowed")
    for shape, t, message in (
        ((4, 6, 3), 1, r"'allowed' at step 1 must say of 4 choices .* \[B, 4\] .*found torch.bool of shape \[6, 3\]"),
        ((4, 6), 1, r"found torch.bool of shape \[6\]"),
        ((4, 6, 3), None, r"'allowed' must say of 4 choices .* \[T, B, 4\] .*found torch.bool of shape \[4, 6, 3\]"),
    ):
        workspace = frames()
        workspace.set_full("allowed", torch.ones(shape, dtype=torch.bool))
        with pytest.raises(VariableMismatchError, match=message):
            actor(workspace, t=t)


@pytest.mark.parametrize("kind", CHOOSING)
def test_a_composition_with_a_mask_can_be_looked_at_before_it_runs(kind):
    actor = KINDS[kind][0](observation_variable="env/env_obs/seen", mask_variable="env/env_obs/allowed", name="policy")
    seen, allowed = gym.spaces.Box(-1, 1, (3,)), gym.spaces.MultiBinary(actor.head.out_features)
    actions = {"bernoulli": gym.spaces.MultiBinary, "categorical": gym.spaces.Discrete}
    make = actions.get(kind.split()[0], gym.spaces.MultiDiscrete)
    arguments = {"categorical": 4, "categoricals alike": [3, 3], "categoricals": [2, 1, 4], "bernoulli": 4}
    rows = [2, 3] if "bernoulli" in kind else [[2, 3], [4, 2]]
    space = gym.spaces.Dict(seen=seen, allowed=allowed)
    env_agent = GymAgent(lambda: SpaceEnv(space, make(arguments.get(kind, rows))), 2)
    composition = Agents(env_agent, actor)
    assert "no problems found" in str(check(TemporalAgent(composition)))
    assert "not looked at" not in str(check(composition)) and "action_logprobs" in str(describe(composition))


# ---- for an environment -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        (gym.spaces.Discrete(3, start=5), CategoricalActor),
        (gym.spaces.MultiDiscrete([2, 3]), MultiCategoricalActor),
        (gym.spaces.MultiDiscrete([[2, 3], [4, 2]]), MultiCategoricalActor),
        (gym.spaces.MultiBinary(3), BernoulliActor),
        (gym.spaces.MultiBinary([2, 2]), BernoulliActor),
        (gym.spaces.Box(-1, 1, (2,)), GaussianActor),
    ],
)
def test_each_environment_takes_the_actions_of_its_policy(space, expected):
    torch.manual_seed(0)
    env_agent = GymAgent(lambda: SpaceEnv(gym.spaces.Discrete(4), space), 3, clip_actions=True)
    actor = make_actor(env_agent, [8], log_std_init=1.0, name="actor")
    assert type(actor) is expected and actor.name == "actor"
    workspace = Workspace()
    for t in range(20):
        env_agent(workspace, t=t)
        actor(workspace, t=t)
    taken = [action for env in env_agent.vector_env.envs for action in env.unwrapped.actions]
    assert len(taken) == 57 and all(space.contains(action if action.ndim else action.item()) for action in taken)


def test_options_reach_the_policy():
    env_agent = GymAgent(lambda: SpaceEnv(gym.spaces.Discrete(4), gym.spaces.Box(-1, 1, (2,))))
    actor = make_actor(
        env_agent, [], observation_variable="features", observation_size=7, state_dependent_std=True, squash=True,
        log_std_init=-1.0, activation=nn.ReLU,
    )  # fmt: skip
    assert actor.observation_variable == "features" and actor.one_hot is None and actor.squash
    assert actor.head.in_features == 7 and actor.log_std.bias.tolist() == [-1, -1]
    masked = make_actor(GymAgent(SpaceEnv), [8], mask_variable="allowed")
    assert masked.given_variables == ("action", "allowed") and masked.body[0].in_features == 2


def test_what_no_policy_is_for_is_refused():
    with pytest.raises(UnsupportedSpaceError, match="is neither a vector of numbers nor"):
        make_actor(GymAgent(lambda: SpaceEnv(action_space=gym.spaces.Box(-1, 1, (2, 2)))), [8])
    with pytest.raises(UnsupportedSpaceError, match="no choices of which the mask 'm' could allow some"):
        make_actor(GymAgent(lambda: SpaceEnv(action_space=gym.spaces.Box(-1, 1, (2,)))), [8], mask_variable="m")
    for counts in ([], [2, 0], [2.5], [[2, 3], [2]], [True, True], ["2"]):
        with pytest.raises(ConfigError, match="counts: the number of choices of each part expected, found"):
            MultiCategoricalActor(3, [8], counts)

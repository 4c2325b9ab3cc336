"""Weights on their way from one module to another: buffers go with them, whatever kind of buffer they are."""

import copy

import pytest
import torch
from torch import nn

from tests.toys import CountingEnv
from workspace_rl import Agent, Collector, GymAgent, Workspace, minimise, setup_optimizer, soft_update
from workspace_rl.errors import CompositionError, ConfigError
from workspace_rl.learning.compiled.update import CompiledUpdate, keep_in_place
from workspace_rl.learning.target_networks import copy_parameters


class Stateful(Agent):
    """Batch normalisation, dropout, and buffers of all kinds; writes `y` and, as a policy, `action`."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(1, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Dropout(0.5), nn.Linear(4, 1))
        self.register_buffer("in_place", torch.zeros((), dtype=torch.int64))
        self.register_buffer("anew", torch.zeros((), dtype=torch.float64))
        self.register_buffer("flags", torch.zeros(3, dtype=torch.bool), persistent=False)
        self.register_buffer("later", None)
        self.whole = nn.Parameter(torch.zeros(2, dtype=torch.int32), requires_grad=False)
        self.modes = []

    def forward(self, t, **kwargs):
        self.in_place += 1
        self.anew = self.anew + 0.5
        self.flags.logical_not_()
        if not torch.compiler.is_compiling():
            self.modes.append(self.training)
        self.set(("action", t), torch.tanh(self.net(self.get(("env/env_obs", t)))))


def tensors(module):
    named = [*module.named_parameters(), *module.named_buffers()]
    return {name: value.detach().clone() for name, value in named}


def assert_equal(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


@pytest.fixture
def pair():
    torch.manual_seed(0)
    source = Stateful()
    target = copy.deepcopy(source)
    batch = Workspace()
    batch.set_full("env/env_obs", torch.randn(3, 8, 1))
    for t in range(3):
        source(batch, t=t)
    with torch.no_grad():
        source.net[0].weight += 1
        source.whole += 7
    source.later = torch.arange(3)  # a buffer that comes into being, and one that grows
    source.flags = torch.ones(5, dtype=torch.bool)
    return target, source


def test_buffers_are_copied_at_every_tau_and_parameters_move(pair):
    target, source = pair
    before, end = tensors(target), tensors(source)
    soft_update(target, source, 0.25)
    found = tensors(target)
    moved = [name for name, value in source.named_parameters() if value.is_floating_point()]
    for name in moved:
        torch.testing.assert_close(found.pop(name), before[name].lerp(end[name], 0.25))
    assert_equal(found, {name: value for name, value in end.items() if name not in moved})
    assert found["net.1.num_batches_tracked"] == 3 and found["whole"].tolist() == [7, 7]
    soft_update(target, source, 1)
    assert_equal(tensors(target), end)
    source.in_place += 1  # what was copied is the target's own
    source.later += 1
    assert target.in_place == 3 and target.later.tolist() == [0, 1, 2]


def test_copies_take_everything_and_share_nothing(pair):
    target, source = pair
    copy_parameters(target, source)
    assert_equal(tensors(target), tensors(source))
    twin = source.clone()
    assert_equal(tensors(twin), tensors(source))
    pointers = {value.data_ptr() for value in (*source.parameters(), *source.buffers())}
    for one in (target, twin):
        assert not pointers & {value.data_ptr() for value in (*one.parameters(), *one.buffers())}


def test_a_clone_keeps_modes_and_buffers_that_carry_a_graph(pair):
    _, source = pair
    source.net[1].eval()
    source.anew = source.net[0].weight.sum().double() * 2  # the outcome of a computation
    twin = source.clone()
    assert twin.anew == source.anew and not twin.anew.requires_grad and source.anew.requires_grad
    assert twin.training and not twin.net[1].training


def test_tied_and_mixed_parameters_move_once():
    source = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    source[1].weight = source[0].weight
    source.double()
    target = copy.deepcopy(source).float()
    target[1].weight = target[0].weight
    with torch.no_grad():
        source[0].weight += 1
    expected = target[0].weight.detach().lerp(source[0].weight.detach().float(), 0.5)
    soft_update(target, source, 0.5)
    torch.testing.assert_close(target[0].weight, expected)
    assert target[0].weight is target[1].weight and target[0].weight.dtype == torch.float32


def test_modules_that_are_not_built_alike_are_refused():
    with pytest.raises(CompositionError, match=r"Linear to Linear.*\[\[3, 2\], \[3\]\] found, \[\[2, 2\], \[2\]\]"):
        soft_update(nn.Linear(2, 2), nn.Linear(2, 3), 0.5)
    with pytest.raises(CompositionError, match="3 buffers found, 0 expected"):
        copy_parameters(nn.LayerNorm(2), nn.BatchNorm1d(2))
    with pytest.raises(CompositionError, match="created at its first call"):
        soft_update(nn.LazyLinear(2), nn.LazyLinear(2), 0.5)
    tied = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    untied = copy.deepcopy(tied)
    tied[1].weight = tied[0].weight
    with pytest.raises(CompositionError, match="share a parameter"):
        soft_update(tied, untied, 0.5)
    for tau in (-0.1, 1.5, float("nan")):
        with pytest.raises(ConfigError, match="tau: a number from 0 to 1"):
            soft_update(tied, tied, tau)


def make_collector(policy, **options):
    return Collector(GymAgent(lambda: CountingEnv(50), 2, seed=1), policy, **options)


def test_collecting_is_done_in_evaluation_mode_unless_told_otherwise():
    policy = Stateful()
    policy.net[3].eval()
    for keep, modes in ((False, [False] * 3), (True, [True] * 3)):
        collector = make_collector(policy, keep_modes=keep)
        collector.collect(2)
        assert collector.policy.modes == modes and collector.policy.net[1].training == keep
        assert not collector.policy.net[3].training
    assert policy.training and policy.net[1].num_batches_tracked == 0 and not policy.net[3].training
    random = make_collector(policy, random_policy=policy)
    random.collect(2, random=True)
    assert policy.modes == [False] * 3 and policy.training and not policy.net[3].training


def test_the_collector_takes_over_buffers_that_were_assigned_anew(pair):
    target, source = pair
    collector = make_collector(target)
    for _ in range(3):
        collector.collect(2)
        source.anew = source.anew + 1
        source.later = torch.cat([source.later, source.later])
        source.net[0] = copy.deepcopy(source.net[0])
        with torch.no_grad():
            source.net[0].weight += 1
        collector.load_policy(source)
        assert_equal(tensors(collector.policy), tensors(source))


def updated(compiles, device="cpu"):
    """Return all tensors after updates with two passes, counters of both kinds, and a target that follows."""
    torch.manual_seed(0)
    agent = Stateful().to(device)
    # On a CPU a graph draws the same numbers.
    agent.net[3].p = 0.5 if device == "cpu" else 0.0
    target = copy.deepcopy(agent)
    optimizer = setup_optimizer({"classname": "torch.optim.SGD", "lr": 0.1}, agent.net)

    def update(batch):
        workspace = Workspace(batch)
        with torch.no_grad():
            agent(workspace, t=1)
        agent(workspace, t=0)
        loss = (workspace.get("action", 0) - workspace.get("action", 1)).square().mean()
        minimise(loss, optimizer)
        soft_update(target, agent, 0.1)
        return {"loss": loss.detach()}

    run = CompiledUpdate(update, [optimizer], [agent, target]) if compiles else update
    generator = torch.Generator().manual_seed(1)
    for k in range(6):
        agent.net[1].train(k != 4)  # modes may change
        batch = Workspace()
        batch.set_full("env/env_obs", torch.randn(2, 8, 1, generator=generator).to(device))
        run(batch)
    return {**tensors(agent), **{f"target.{name}": value for name, value in tensors(target).items()}}


def assert_updated_alike(eager, compiled):
    assert compiled["net.1.num_batches_tracked"] == compiled["target.net.1.num_batches_tracked"] == 10
    assert compiled["in_place"] == 12 and compiled["target.anew"] == 6
    assert compiled.keys() == eager.keys()
    for name, value in eager.items():
        torch.testing.assert_close(compiled[name], value, rtol=1e-4, atol=1e-6)


def test_a_compiled_update_changes_buffers_as_an_eager_one_does():
    assert_updated_alike(updated(False), updated(True))


def test_what_a_graph_assigns_anew_stays_in_place():
    """As it has to on a GPU, where a recorded graph writes its results and assigns nothing."""
    module = Stateful()
    before = [dict(part._buffers) for part in module.modules()]
    counter, results = module.anew, {"anew": torch.ones((), dtype=torch.float64), "later": torch.arange(2)}
    for name, value in results.items():
        setattr(module, name, value)
    keep_in_place([part._buffers for part in module.modules()], before)
    assert module.anew is counter and counter == 1
    assert module.later is results["later"]

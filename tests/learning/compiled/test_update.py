"""Updates as one graph: the same numbers as eagerly, no second compilation, and what happens where it is impossible."""

import copy
import inspect
import os
import subprocess
import sys
import tempfile
import warnings

import pytest
import torch
import torch._dynamo
from torch import nn

from workspace_rl import Agent, Workspace, minimise, setup_optimizer, soft_update
from workspace_rl.algos import ALGORITHMS
from workspace_rl.errors import ConfigError
from workspace_rl.learning.compiled.failures import reason_of
from workspace_rl.learning.compiled.python_state import changed_values, plain_values
from workspace_rl.learning.compiled.update import WORTH_COMPILING, CompiledUpdate
from workspace_rl.training import OffPolicyAlgorithm


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def n_graphs():
    return torch._dynamo.utils.counters["stats"]["unique_graphs"]


class Doubling(Agent):
    """An agent of one's own: a network with a detour through the workspace."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, t, **kwargs):
        self.set(("hidden", t), torch.tanh(self.layer(self.get(("x", t)))))
        for k in range(2):
            self.set(("y", t), self.get(("hidden", t)) * (k + 1))


class Branching(Doubling):
    def forward(self, t, **kwargs):
        super().forward(t)
        if self.get(("y", t)).sum().item() > 1e9:
            self.set(("y", t), self.get(("hidden", t)))


def make_update(optimizer_config, agent_class=Doubling, max_grad_norm=0.05):
    torch.manual_seed(0)
    agent = agent_class()
    target = copy.deepcopy(agent)
    optimizer = setup_optimizer(optimizer_config, agent)

    def update(batch, *, moves=True):
        workspace = Workspace(batch)
        agent(workspace, t=0)
        loss = (workspace.get("y", 0) - batch.get("x", 1)[:, :2]).square().mean()
        norm = minimise(loss, optimizer, max_grad_norm)
        if moves:
            soft_update(target, agent, 0.1)
        return {"loss": loss.detach(), "norm": norm}

    return update, optimizer, [*agent.parameters(), *target.parameters()]


def batches(n, size=8):
    generator = torch.Generator().manual_seed(1)
    for _ in range(n):
        workspace = Workspace()
        workspace.set_full("x", torch.randn(2, size, 3, generator=generator))
        yield workspace


OPTIMIZERS = [
    {"classname": "torch.optim.Adam", "lr": 0.01},
    {"classname": "torch.optim.Adam", "lr": 0.01, "weight_decay": 0.1, "amsgrad": True, "betas": [0.8, 0.95]},
    {"classname": "torch.optim.Adam", "lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True},
    {"classname": "torch.optim.AdamW", "lr": 0.01},
    {"classname": "torch.optim.SGD", "lr": 0.1},
    {"classname": "torch.optim.SGD", "lr": 0.1, "momentum": 0.9, "nesterov": True},
    {"classname": "torch.optim.RMSprop", "lr": 0.01},
    {"classname": "torch.optim.RMSprop", "lr": 0.01, "momentum": 0.5, "centered": True},
]


@pytest.mark.parametrize("config", OPTIMIZERS, ids=lambda one: ",".join(str(value) for value in one.values()))
def test_optimisers_step_in_the_graph_as_they_do_outside(config):
    """With learning rates that change and with calls that alternate."""
    eager, eager_optimizer, expected = make_update(config)
    update, optimizer, found = make_update(config)
    compiled = CompiledUpdate(update, [optimizer])
    for k, batch in enumerate(batches(30)):
        for one in (eager_optimizer, optimizer):
            one.param_groups[0]["lr"] = config["lr"] * (0.5 if 10 < k < 20 else 1)
        first = eager(batch)
        second = compiled(batch) if k % 5 else update(batch)
        torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-6)
        if k == 2:
            graphs = n_graphs()
    assert n_graphs() == graphs
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    for one, other in zip(eager_optimizer.state.values(), optimizer.state.values(), strict=True):
        torch.testing.assert_close(dict(other), dict(one), rtol=1e-3, atol=1e-6)


def test_each_flag_and_each_layout_has_a_graph_of_its_own():
    eager, _, expected = make_update(OPTIMIZERS[0])
    update, optimizer, found = make_update(OPTIMIZERS[0])
    compiled = CompiledUpdate(update, [optimizer])
    for _ in range(3):
        for moves, size in ((True, 8), (False, 8), (True, 4)):
            for batch in batches(1, size):
                torch.testing.assert_close(
                    compiled(batch, moves=moves), eager(batch, moves=moves), rtol=1e-4, atol=1e-6
                )
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    assert len(compiled._graphs) == 3


def test_two_updates_do_not_take_each_others_graph():
    for config in (OPTIMIZERS[0], OPTIMIZERS[3]):
        eager, _, expected = make_update(config)
        update, optimizer, found = make_update(config)
        compiled = CompiledUpdate(update, [optimizer])
        for batch in batches(5):
            eager(batch)
            compiled(batch)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_what_cannot_be_traced_runs_eagerly_after_one_warning():
    eager, _, expected = make_update(OPTIMIZERS[0])
    update, optimizer, found = make_update(OPTIMIZERS[0], Branching)
    compiled = CompiledUpdate(update, [optimizer])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for batch in batches(5):
            eager(batch)
            compiled(batch)
    (warning,) = [str(one.message) for one in caught if "runs eagerly" in str(one.message)]
    assert "Could not guard on" in warning and 'test_update.py", line ' in warning
    assert warning.endswith("in forward.")
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_an_error_of_the_update_itself_is_raised():
    update, optimizer, _ = make_update(OPTIMIZERS[0])
    compiled = CompiledUpdate(update, [optimizer])
    workspace = Workspace()
    workspace.set_full("other", torch.zeros(2, 8, 3))
    with pytest.raises(KeyError, match="'x' was read"):
        compiled(workspace)
    for batch in batches(1):  # which says nothing about others
        compiled(batch)
    assert not compiled._eager and len(compiled._graphs) == 1


def test_numbers_that_are_not_finite_reach_the_metrics():
    update, optimizer, _ = make_update(OPTIMIZERS[0])
    compiled = CompiledUpdate(update, [optimizer])
    losses = []
    for k, batch in enumerate(batches(3)):
        if k == 1:
            batch.set_full("x", batch.get_full("x").fill_(torch.nan))
        losses.append(compiled(batch)["loss"].isfinite().item())
    assert losses == [True, False, False]


# ---- what a graph would do only once ------------------------------------------------------------------------------

N_CALLS = 0


class Counting(Doubling):
    def __init__(self):
        super().__init__()
        self.n_calls = 0

    def forward(self, t, **kwargs):
        super().forward(t)
        self.n_calls += 1


def count_call():
    global N_CALLS
    N_CALLS += 1


class Learner:
    def __init__(self):
        self.inner, self.n_updates, self.seen = make_update(OPTIMIZERS[0])[0], 0, []

    def update(self, batch):
        return self.step(batch)

    def step(self, batch):
        self.n_updates += 1
        self.seen.append(self.n_updates)
        return self.inner(batch)


def test_python_values_that_an_update_changes_make_it_eager():
    """In an agent, in an object of the update's own, and in the module."""
    seen = []
    counting, optimizer, _ = make_update(OPTIMIZERS[0], Counting)
    agent = inspect.getclosurevars(counting).nonlocals["agent"]
    learner = Learner()
    plain, other_optimizer, _ = make_update(OPTIMIZERS[0])

    def in_a_list(batch):
        seen.append(1)
        return plain(batch)

    def in_the_module(batch):
        count_call()
        return plain(batch)

    learner_optimizer = inspect.getclosurevars(learner.inner).nonlocals["optimizer"]
    for update, one, text, count in (
        (counting, optimizer, r"agent\.n_calls \(from 0 to 1\)", lambda: agent.n_calls),
        (learner.update, learner_optimizer, r"self\.n_updates \(from 0 to 1\), self\.seen", lambda: learner.n_updates),
        (in_a_list, other_optimizer, r"seen \(from 'list of 0' to 'list of 1'\)", lambda: len(seen)),
        (in_the_module, other_optimizer, r"N_CALLS \(from 0 to 1\)", lambda: N_CALLS),
    ):
        compiled = CompiledUpdate(update, [one])
        with pytest.warns(UserWarning, match=f"it changes Python values, .*: {text}"):
            for batch in batches(3):
                compiled(batch)
        assert count() == 3


def test_plain_values_are_found_and_compared():
    for update, _, _ in (make_update(OPTIMIZERS[0]),):
        before = plain_values(update)
        assert before["max_grad_norm"] == 0.05 and before["agent._name"] == "Doubling"
        assert changed_values(before, update) == []
        assert changed_values(before | {"max_grad_norm": 1.0}, update) == ["max_grad_norm (from 1.0 to 0.05)"]


# ---- what stands in the way -----------------------------------------------------------------------------------------

PROGRAM = """
import warnings, torch
from workspace_rl import Workspace, compile_update, minimise
weight = torch.nn.Parameter(torch.ones(3))
optimizer = torch.optim.Adam([weight])
def update(batch):
    return {"norm": minimise((weight * batch.get("x", 0)).square().sum(), optimizer)}
batch = Workspace()
batch.set_full("x", torch.ones(1, 4, 3))
compiled = compile_update(update, [optimizer])
for _ in range(2):
    print(float(compiled(batch)["norm"]))
"""


def test_without_a_compiler_updates_run_eagerly_and_say_why(tmp_path):
    environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path), "CXX": "/nonexistent/g++"}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True)
    assert len(set(done.stdout.split())) == 2, done.stderr
    assert done.stderr.count("the update runs eagerly") == 1
    assert "no C++ compiler was found ('/nonexistent/g++' was tried), which PyTorch needs. Install one" in done.stderr


def test_reasons_are_whole_and_end_with_the_way_out(tmp_path, monkeypatch):
    output = "x.cpp: In function f:\nx.cpp:3:1: warning: unused\nx.cpp:7:2: error: 'g' was not declared\nmore"
    failure = torch._inductor.exc.CppCompileError(["g++", "x.cpp"], output)
    wrapped = torch._dynamo.exc.BackendCompilerFailed(lambda: None, failure, None)
    assert reason_of(wrapped) == "the C++ compiler 'g++' failed: x.cpp:7:2: error: 'g' was not declared"
    silent = torch._inductor.exc.CppCompileError(["/bin/false"], "")
    assert reason_of(silent) == "the C++ compiler '/bin/false' failed: it said nothing"
    (spaced := tmp_path / "a folder").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(spaced))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(spaced / "cache"))
    found = reason_of(failure)
    assert f"{str(spaced)!r} (for temporary files, TMPDIR)" in found and "'compile: false'" in found
    assert f"{str(spaced / 'cache')!r} (the cache, TORCHINDUCTOR_CACHE_DIR)" in found
    monkeypatch.setattr(torch, "__file__", str(spaced / "torch" / "__init__.py"))
    assert f"{str(spaced / 'torch')!r} (where torch is installed)" in reason_of(failure)
    monkeypatch.setenv("CXX", "/nonexistent")
    missing = reason_of(torch._inductor.exc.InvalidCxxCompiler())
    assert missing.startswith("no C++ compiler was found ('/nonexistent' was tried)") and "Install one" in missing


# ---- the algorithms -----------------------------------------------------------------------------------------------

#: Of algorithms that learn from a replay buffer; whole runs of the others: tests/algos/test_on_policy_runs.py.
PARAMETERS = {
    "sac": {"max_grad_norm": 1.0},
    "ddpg": {},
    "td3": {"n_step_return": 3},
    "crossq": {},
    "tqc": {"n_quantiles": 5},
    "sac_discrete": {},
    "dqn": {"target_update_interval": 10, "double": True},
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_algorithms_learn_the_same_compiled(name, tmp_path):
    """100 updates, one graph for each kind of update; the random numbers of both are the same."""
    discrete = name in ("dqn", "sac_discrete")
    sizes = {"hidden_size": [16]} if name == "dqn" else {"actor_hidden_size": [16], "critic_hidden_size": [16]}
    config = {
        "gym_env": {"env_name": "CartPole-v1" if discrete else "Pendulum-v1"},
        "matmul_precision": "highest",
        "algorithm": {"total_steps": 1000, "learning_starts": 1, "batch_size": 32, "architecture": sizes},
    }
    config["algorithm"] |= PARAMETERS[name]
    window = config["algorithm"].get("n_step_return", 1) + 1
    found = []
    for compiles in (False, True):
        algorithm = ALGORITHMS[name](config | {"compile": compiles})
        assert (algorithm.learner.compiled is not None) == compiles
        torch.manual_seed(0)
        metrics = []
        for k in range(100):
            generator = torch.Generator().manual_seed(k)
            batch = Workspace()
            size = 4 if discrete else 3
            batch.set_full("env/env_obs", torch.randn(window, 32, size, generator=generator))
            action = torch.rand(window, 32, 1, generator=generator) * 2 - 1
            batch.set_full("action", (action[..., 0] > 0).long() if discrete else action)
            batch.set_full("env/reward", torch.randn(window, 32, generator=generator))
            for flag in ("env/terminated", "env/done"):
                batch.set_full(flag, torch.rand(window, 32, generator=generator) < 0.1)
            metrics.append(algorithm.learn(batch))
            if k == 20:
                graphs = n_graphs()
        found.append((metrics, algorithm))
    assert n_graphs() == graphs
    compiled = found[1][1].learner.compiled
    assert not compiled._eager and len(compiled._graphs) == (2 if name in ("td3", "crossq", "dqn") else 1)
    for eager, graph in zip(found[0][0], found[1][0], strict=True):
        torch.testing.assert_close(graph, eager, rtol=2e-3, atol=2e-4)
    weights = [dict(one.eval_policy.state_dict()) for _, one in found]
    torch.testing.assert_close(weights[1], weights[0], rtol=2e-3, atol=2e-4)


def test_auto_goes_by_the_number_of_planned_updates(tiny_sac, monkeypatch):
    del tiny_sac["compile"]
    sac = ALGORITHMS["sac"](tiny_sac)
    assert sac.planned_updates() == (600 - 100) // 8 and sac.learner.compiled is None
    tiny_sac["algorithm"]["updates_per_collect"] = 8 * WORTH_COMPILING / 500 + 0.1
    assert ALGORITHMS["sac"](tiny_sac).learner.compiled is not None
    tiny_sac["compile"] = False
    assert ALGORITHMS["sac"](tiny_sac).learner.compiled is None
    tiny_sac["compile"] = True
    tiny_sac["algorithm"]["updates_per_collect"] = 1
    monkeypatch.setattr("workspace_rl.learning.compiled.update.why_not_compile", lambda: "torch 2.6 cannot")
    monkeypatch.setattr(torch, "compile", None)
    with pytest.warns(UserWarning, match="the update runs eagerly, which takes longer: torch 2.6 cannot"):
        assert ALGORITHMS["sac"](tiny_sac).train(progress=False).final is not None


def test_a_run_is_compiled_from_its_configuration(tiny_sac):
    tiny_sac["compile"] = True
    sac = ALGORITHMS["sac"](tiny_sac)
    assert isinstance(sac, OffPolicyAlgorithm)
    result = sac.train(progress=False)
    assert result.final is not None and not sac.learner.compiled._eager
    assert "compile: true" in (result.run / "config.yaml").read_text()


def test_an_optimiser_without_anything_to_train_is_refused():
    layer = torch.nn.Linear(1, 1).requires_grad_(False)
    with pytest.raises(ConfigError, match="Adam was given no parameters to train: all are frozen"):
        setup_optimizer({"classname": "torch.optim.Adam"}, layer)

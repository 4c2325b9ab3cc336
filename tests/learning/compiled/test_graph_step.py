"""Every optimiser of torch, parameters of every kind: compiled updates equal eager ones, or say that they are eager."""

import copy
import inspect
import warnings

import pytest
import torch
from torch import nn

from workspace_rl import Workspace, minimise, setup_optimizer
from workspace_rl.algos import ALGORITHMS
from workspace_rl.errors import ConfigError
from workspace_rl.learning.compiled.update import MOST_GRAPHS, CompiledUpdate

EVERY = sorted(
    name for name, one in vars(torch.optim).items() if inspect.isclass(one) and issubclass(one, torch.optim.Optimizer)
)
EVERY.remove("Optimizer")
#: Those that cannot take a step on dense gradients of any parameters.
REFUSED = {"LBFGS": "closure|several times a step", "SparseAdam": "dense gradients", "Muon": "2D"}
FUNCTIONAL = {"Adam", "AdamW", "RMSprop", "SGD"}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def no_code(monkeypatch):
    """Let graphs be traced, but run by torch: what the C++ compiler makes of them is not what matters here."""
    compiler = torch.compile

    def traced(run, options, **more):
        guards = {"guard_filter_fn": options["guard_filter_fn"]}
        return compiler(run, backend="aot_eager", options=guards, **more)

    monkeypatch.setattr(torch, "compile", traced)


def batch_of(k, size=8):
    workspace = Workspace()
    workspace.set_full("x", torch.randn(1, size, 3, generator=torch.Generator().manual_seed(k)))
    return workspace


def regression(parameters, make, max_grad_norm=None):
    """Return an update of copies of `parameters` by the optimiser that `make` returns, the optimiser and the copies."""
    own = [copy.deepcopy(one) for one in parameters]
    optimizer = make(own)

    def update(batch):
        target = batch.get("x", 0).mean()
        loss = sum((one.float() * 0.5 - target).square().sum() for one in own)
        return {"loss": loss.detach(), "norm": minimise(loss, optimizer, max_grad_norm).float()}

    return update, optimizer, own


def assert_same(parameters, make, n=6, rtol=1e-3, between=lambda k, optimizer: None):
    """Compare `n` compiled updates with eager ones, and return the compiled update."""
    eager, eager_optimizer, expected = regression(parameters, make)
    update, optimizer, found = regression(parameters, make)
    compiled = CompiledUpdate(update, [optimizer])
    for k in range(n):
        between(k, eager_optimizer)
        between(k, optimizer)
        torch.testing.assert_close(compiled(batch_of(k)), eager(batch_of(k)), rtol=rtol, atol=1e-4)
    for one, other in zip(found, expected, strict=True):
        tolerance = max(rtol, 1e-2 if one.dtype.itemsize == 2 else 0)
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance / 10)
    return compiled


# ---- optimisers ---------------------------------------------------------------------------------------------------


def config_of(name, optimizer, **more):
    """Return a run of an algorithm, all of whose optimisers are `optimizer`."""
    discrete = name == "dqn"
    sizes = {"hidden_size": [8]} if discrete else {"actor_hidden_size": [8], "critic_hidden_size": [8]}
    kinds = {"sac": ("actor", "critic", "entropy_coef"), "td3": ("actor", "critic"), "dqn": ("",)}[name]
    optimizers = {f"{kind}_optimizer".lstrip("_"): {"classname": f"torch.optim.{optimizer}"} for kind in kinds}
    return {
        "gym_env": {"env_name": "CartPole-v1" if discrete else "Pendulum-v1"},
        "matmul_precision": "highest",
        "algorithm": {"total_steps": 100, "learning_starts": 1, "batch_size": 16, "architecture": sizes},
        **optimizers,
        **more,
    }


def learned(config, name, n):
    algorithm = ALGORITHMS[name](config)
    torch.manual_seed(0)
    for k in range(n):
        generator = torch.Generator().manual_seed(k)
        batch = Workspace()
        batch.set_full("env/env_obs", torch.randn(2, 16, 4 if name == "dqn" else 3, generator=generator))
        action = torch.rand(2, 16, 1, generator=generator) * 2 - 1
        batch.set_full("action", (action[..., 0] > 0).long() if name == "dqn" else action)
        batch.set_full("env/reward", torch.randn(2, 16, generator=generator))
        for flag in ("env/terminated", "env/done"):
            batch.set_full(flag, torch.rand(2, 16, generator=generator) < 0.1)
        algorithm.learn(batch)
    return algorithm


@pytest.mark.parametrize("name", ("sac", "td3", "dqn"))
@pytest.mark.parametrize("optimizer", sorted(set(EVERY) - FUNCTIONAL))
def test_other_optimisers_learn_eagerly_after_one_warning_or_are_refused(optimizer, name):
    """Bit for bit as without compiling, however many of a run's optimisers are such ones."""
    if optimizer in REFUSED:
        with pytest.raises(ConfigError, match=f"{optimizer} .*({REFUSED[optimizer]})"):
            ALGORITHMS[name](config_of(name, optimizer))
        return
    expected = learned(config_of(name, optimizer, compile=False), name, 5)
    with pytest.warns(UserWarning, match="eager") as caught:
        found = learned(config_of(name, optimizer, compile=True), name, 5)
    (text,) = [str(one.message) for one in caught]
    assert text.startswith(f"the update runs eagerly, which takes longer: {optimizer} cannot be compiled. Adam, ")
    weights = [dict(one.policy.state_dict()) for one in (expected, found)]
    torch.testing.assert_close(weights[1], weights[0], rtol=0, atol=0)
    assert any((one != other).any() for one, other in zip(weights[0].values(), fresh(name).values(), strict=True))


def fresh(name):
    return dict(ALGORITHMS[name](config_of(name, "Adam")).policy.state_dict())


OPTIONS = [
    ("Adam", {"amsgrad": True, "maximize": True, "weight_decay": 0.1}),
    ("Adam", {"foreach": True}),
    ("Adam", {"fused": True}),
    ("Adam", {"capturable": True}),
    ("AdamW", {"amsgrad": True, "maximize": True, "eps": 1e-3}),
    ("SGD", {"momentum": 0.9, "maximize": True, "weight_decay": 0.1}),
    ("SGD", {"momentum": 0.9, "nesterov": True, "fused": True}),
    ("RMSprop", {"maximize": True, "centered": True, "momentum": 0.3, "capturable": True}),
]
VECTOR = nn.Parameter(torch.linspace(-1, 1, 5))


@pytest.mark.parametrize("name, options", OPTIONS, ids=str)
def test_options_of_optimisers(name, options, no_code):
    if options.get("capturable") and not torch.accelerator.is_available():
        pytest.skip("capturable steps need an accelerator")
    compiled = assert_same([VECTOR], lambda own: getattr(torch.optim, name)(own, lr=0.03, **options))
    assert not compiled._eager


@pytest.mark.parametrize(
    "make, obstacle",
    [
        (lambda own: torch.optim.SGD(own, lr=0.1, momentum=0.9, dampening=0.1), "SGD with dampening"),
        (lambda own: type("Mine", (torch.optim.Adam,), {})(own, lr=0.1), "Mine"),
        (lambda own: hooked(torch.optim.Adam(own, lr=0.1)), "Adam with hooks of its own"),
    ],
)
def test_what_a_functional_step_would_leave_out_is_done_eagerly(make, obstacle):
    with pytest.warns(UserWarning, match=f"runs eagerly, which takes longer: {obstacle} cannot be compiled"):
        assert_same([VECTOR], make, rtol=0)


def hooked(optimizer):
    def halve(optimizer, arguments, keywords):
        for group in optimizer.param_groups:
            for one in group["params"]:
                one.grad.mul_(-0.5)

    optimizer.register_step_pre_hook(halve)
    return optimizer


def test_groups_frozen_parameters_and_parameters_without_gradient(no_code):
    used, frozen, unused = (nn.Parameter(torch.ones(3)) for _ in range(3))
    frozen.requires_grad_(False)

    def make(own):
        return torch.optim.Adam([{"params": own[:2], "lr": 0.1}, {"params": own[2:], "weight_decay": 0.5}], lr=0.01)

    assert not assert_same([used, VECTOR, used], make)._eager

    def update_of(own, optimizer):
        def update(batch):
            loss = (own[0] * batch.get("x", 0).mean() + own[1]).square().sum()
            return {"norm": minimise(loss, optimizer)}

        return update

    results = []
    for compiles in (False, True):
        own = [copy.deepcopy(one) for one in (used, frozen, unused)]
        optimizer = torch.optim.AdamW([own[0], own[2]], lr=0.1)
        update = update_of(own, optimizer)
        step = CompiledUpdate(update, [optimizer]) if compiles else update
        for k in range(4):
            step(batch_of(k))
        results.append(own)
    torch.testing.assert_close(results[1], results[0], rtol=1e-3, atol=1e-4)
    assert torch.equal(results[1][2], unused) and torch.equal(results[1][1], frozen)


# ---- parameters ---------------------------------------------------------------------------------------------------

DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


def test_parameters_of_any_shape_dtype_and_layout():
    """Numbers of no dimensions among them: torch's compiler takes those of float64 for Python numbers."""
    numbers = [nn.Parameter(torch.ones((), dtype=one)) for one in DTYPES]
    vectors = [nn.Parameter(torch.ones(size, dtype=torch.float64)) for size in (1, 5)]
    matrix = nn.Parameter(torch.randn(4, 6, generator=torch.Generator().manual_seed(0)).t())
    strided = nn.Parameter(torch.ones(10)[::2])
    parameters = [*numbers, *vectors, matrix, strided]
    assert not assert_same(parameters, lambda own: torch.optim.Adam(own, lr=0.03), n=4)._eager
    assert not assert_same(numbers[:1], lambda own: torch.optim.SGD(own, lr=0.03, momentum=0.5), n=4)._eager


def test_tensors_without_dimensions_that_are_read_and_changed():
    results = []
    for compiles in (False, True):
        parameter = nn.Parameter(torch.ones(3))
        counts = [torch.tensor(2, dtype=dtype) for dtype in (torch.float64, torch.int64, torch.int32, torch.float32)]
        optimizer = torch.optim.SGD([parameter], lr=0.01)

        def update(batch, parameter=parameter, counts=counts, optimizer=optimizer):
            value = parameter + batch.get("x", 0).mean()
            for count in counts:
                value = torch.clamp(value * count.sqrt() * torch.where(count > 3, 0.5, 1.0), max=count)
            norm = minimise(value.square().sum(), optimizer)
            for count in counts:
                count.add_(1)
            return {"norm": norm}

        step = CompiledUpdate(update, [optimizer]) if compiles else update
        for k in range(4):
            step(batch_of(k))
        assert not compiles or not step._eager
        results.append([parameter, *counts])
    torch.testing.assert_close(results[1], results[0], rtol=1e-4, atol=1e-5)


def test_another_default_dtype():
    torch.set_default_dtype(torch.float64)
    try:
        compiled = assert_same(
            [VECTOR, nn.Parameter(torch.tensor(0.5)), nn.Parameter(torch.ones(3))],
            lambda own: torch.optim.Adam(own, lr=0.1),
        )
    finally:
        torch.set_default_dtype(torch.float32)
    assert {float(state["step"]) for state in compiled._steps[0].optimizer.state.values()} == {6}


# ---- what changes between calls -----------------------------------------------------------------------------------


@pytest.mark.parametrize("change", ("values", "data", "transposed", "double", "group", "state", "cleared", "settings"))
def test_the_graph_follows_what_changes_in_an_optimiser(change, no_code):
    """Its parameters' place, layout and dtype, its groups, its state, its settings."""
    saved = {}

    def between(k, optimizer):
        (parameter, *_) = optimizer.param_groups[0]["params"]
        if k == 1:
            saved[id(optimizer)] = copy.deepcopy(optimizer.state_dict())
        if k != 3:
            return
        with torch.no_grad():
            if change == "values":
                parameter.mul_(2)
            elif change == "data":
                parameter.data = parameter.data * 2
            elif change == "transposed":
                parameter.data = parameter.data.t()
            elif change == "double":
                parameter.data = parameter.data.double()
                optimizer.state.clear()
            elif change == "group":
                optimizer.add_param_group({"params": [nn.Parameter(torch.ones(2))]})
            elif change == "state":
                optimizer.load_state_dict(saved[id(optimizer)])
            elif change == "cleared":
                optimizer.state.clear()
            elif change == "settings":
                optimizer.param_groups[0]["weight_decay"] = 0.3
                optimizer.param_groups[0]["betas"] = [0.5, 0.9]

    square = nn.Parameter(torch.linspace(-1, 1, 4).view(2, 2))
    assert not assert_same([square], lambda own: torch.optim.Adam(own, lr=0.1), between=between)._eager


def test_schedules_step_without_a_complaint_and_need_no_new_graph(no_code):
    schedules = {}

    def between(k, optimizer):
        if id(optimizer) not in schedules:
            schedules[id(optimizer)] = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
        elif k:
            schedules[id(optimizer)].step()

    compiled = assert_same([VECTOR], lambda own: torch.optim.Adam(own, lr=0.1), between=between)
    assert len(compiled._graphs) == 1


@pytest.mark.parametrize("name", sorted(FUNCTIONAL))
def test_a_learning_rate_of_0_changes_nothing(name, no_code):
    own = nn.Parameter(torch.ones(3))
    optimizer = getattr(torch.optim, name)([own], lr=0.1)
    optimizer.param_groups[0]["lr"] = 0.0

    def update(batch):
        # The last element has no gradient: Adam would divide 0 by 0.
        return {"loss": minimise(((own[:2] - batch.get("x", 0).mean()) ** 2).sum(), optimizer)}

    compiled = CompiledUpdate(update, [optimizer])
    for k in range(3):
        compiled(batch_of(k))
    torch.testing.assert_close(own.detach(), torch.ones(3), rtol=0, atol=1e-30)


def test_settings_that_change_at_every_update_run_eagerly_in_the_end(no_code):
    """As those of a cyclic schedule do."""

    def between(k, optimizer):
        optimizer.param_groups[0]["momentum"] = 0.5 + 0.01 * k

    with pytest.warns(UserWarning, match=f"traced {MOST_GRAPHS} times.*eagerly from now on") as caught:
        assert_same([VECTOR], lambda own: torch.optim.SGD(own, lr=0.01, momentum=0.1), n=12, between=between)
    assert len(caught) == 1


def test_two_updates_may_step_the_same_optimiser(no_code):
    results = []
    for compiles in (False, True):
        update, optimizer, own = regression([VECTOR], lambda own: torch.optim.Adam(own, lr=0.1))
        steps = [CompiledUpdate(update, [optimizer]) for _ in range(2)] if compiles else [update, update]
        for k in range(6):
            optimizer.param_groups[0]["lr"] = 0.1 / (k + 1)
            steps[k % 2](batch_of(k))
        results.append(own)
    torch.testing.assert_close(results[1], results[0], rtol=1e-3, atol=1e-4)


def test_an_optimiser_that_was_not_named_makes_the_update_eager(no_code):
    update, _, own = regression([VECTOR], lambda own: torch.optim.Adam(own, lr=0.1))
    eager, _, expected = regression([VECTOR], lambda own: torch.optim.Adam(own, lr=0.1))
    compiled = CompiledUpdate(update, [])
    with pytest.warns(UserWarning, match="compile_update was not given the Adam that the update steps"):
        for k in range(3):
            compiled(batch_of(k))
            eager(batch_of(k))
    torch.testing.assert_close(own, expected, rtol=0, atol=0)


@pytest.mark.parametrize("name", EVERY)
def test_every_optimiser_is_set_up_for_vectors_and_numbers_or_refused(name):
    layer = nn.Linear(3, 2)
    config = {"classname": f"torch.optim.{name}", "lr": 0.01}
    if name in REFUSED:
        with pytest.raises(ConfigError, match=REFUSED[name]):
            setup_optimizer(config, layer)
        return
    before = torch.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimizer = setup_optimizer(config, layer, nn.Parameter(torch.zeros(())))
    assert torch.equal(before, torch.get_rng_state())
    assert all(not state.get("step") for state in optimizer.state.values())


@pytest.mark.parametrize("argument", ["capturable", "differentiable"])
def test_implementations_that_cannot_take_a_step_here_are_refused_at_once(argument):
    with pytest.raises(ConfigError, match=f"Leave out {argument}=True"):
        setup_optimizer({"classname": "torch.optim.Adam", "lr": 1e-3, argument: True}, nn.Linear(2, 1))

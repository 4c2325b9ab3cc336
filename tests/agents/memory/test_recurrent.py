"""GRU and LSTM, over all of time: what torch's own give, and gradients."""

import pytest
import torch
from torch import nn

from workspace_rl import Workspace
from workspace_rl.agents import GRUAgent, LSTMAgent
from workspace_rl.agents.memory.gru_loop import run_gru
from workspace_rl.agents.memory.lstm_loop import run_lstm

KINDS = {"gru": (GRUAgent, nn.GRU, nn.GRUCell), "lstm": (LSTMAgent, nn.LSTM, nn.LSTMCell)}
T, B, SIZE = 7, 3, 4
#: The rows of torch's weights in the order of ours.
ROWS = {"gru": torch.arange(3 * SIZE), "lstm": torch.cat([torch.arange(SIZE) + part * SIZE for part in (3, 0, 1, 2)])}


def episodes(dtype=torch.float32):
    """Frames that begin an episode at step 0 and no other one."""
    workspace = Workspace()
    workspace.set_full("env/env_obs", torch.randn(T, B, 2, dtype=dtype))
    workspace.set_full("env/timestep", torch.arange(T).unsqueeze(1).expand(T, B))
    return workspace


def give_weights(kind, memory, peer):
    """Copy the weights of one of torch's layers, or of a cell."""
    with torch.no_grad():
        for index, layer in enumerate(memory.layers):
            suffix = "" if isinstance(peer, nn.RNNCellBase) else f"_l{index}"
            for product, name in ((layer.of_inputs, "ih"), (layer.of_state, "hh")):
                product.weight.copy_(getattr(peer, f"weight_{name}{suffix}")[ROWS[kind]])
                product.bias.copy_(getattr(peer, f"bias_{name}{suffix}")[ROWS[kind]])


@pytest.mark.parametrize("n_layers", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_without_resets_is_that_of_torch_and_so_are_its_gradients(kind, n_layers):
    torch.manual_seed(0)
    ours, peer = KINDS[kind][0](2, SIZE, n_layers).double(), KINDS[kind][1](2, SIZE, n_layers).double()
    give_weights(kind, ours, peer)
    workspace = episodes(torch.float64)
    ours(workspace)
    expected, state = peer(workspace["env/env_obs"])
    torch.testing.assert_close(workspace["memory"], expected, rtol=1e-12, atol=1e-12)
    last = dict(zip(("hidden", "cell"), state if kind == "lstm" else (state,), strict=False))
    for part, value in last.items():
        value = value[0] if n_layers == 1 else value.transpose(0, 1)
        torch.testing.assert_close(workspace[f"memory/{part}"][-1], value, rtol=1e-12, atol=1e-12)
    found = torch.autograd.grad(workspace["memory"].square().sum(), list(ours.parameters()))
    wanted = torch.autograd.grad(expected.square().sum(), list(peer.parameters()))
    wanted = {name: gradient for (name, _), gradient in zip(peer.named_parameters(), wanted, strict=True)}
    for (name, _), gradient in zip(ours.named_parameters(), found, strict=True):
        _, index, product, what = name.split(".")
        own = wanted[f"{what}_{'ih' if product == 'of_inputs' else 'hh'}_l{index}"][ROWS[kind]]
        torch.testing.assert_close(gradient, own, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_is_that_of_the_cell_of_torch(kind):
    torch.manual_seed(0)
    ours, cell = KINDS[kind][0](2, SIZE), KINDS[kind][2](2, SIZE)
    give_weights(kind, ours, cell)
    workspace, state = episodes(), None
    for t in range(T):
        ours(workspace, t=t)
        state = cell(workspace["env/env_obs"][t], state)
        parts = state if kind == "lstm" else (state,)
        for part, value in zip(("hidden", "cell"), parts, strict=False):
            torch.testing.assert_close(workspace[f"memory/{part}"][t], value)
        torch.testing.assert_close(workspace["memory"][t], parts[0])


def test_a_gru_of_one_unit_by_hand():
    memory = GRUAgent(1, 1)
    with torch.no_grad():
        for value, one in enumerate(memory.parameters()):
            one.copy_(torch.linspace(-0.5, 0.7, one.numel()).view_as(one) + value / 10)
    (w_r, w_z, w_n), (b_r, b_z, b_n) = (one.flatten().tolist() for one in memory.layers[0].of_inputs.parameters())
    (u_r, u_z, u_n), (c_r, c_z, c_n) = (one.flatten().tolist() for one in memory.layers[0].of_state.parameters())
    workspace, h, expected = Workspace(), 0.25, []
    observations, timesteps = torch.tensor([0.5, -1.0, 2.0, 1.0]), torch.tensor([3, 4, 0, 1])
    for x, timestep in zip(observations, timesteps, strict=True):
        h = 0 if timestep == 0 else h
        r = torch.sigmoid(w_r * x + b_r + u_r * h + c_r)
        z = torch.sigmoid(w_z * x + b_z + u_z * h + c_z)
        h = (1 - z) * torch.tanh(w_n * x + b_n + r * (u_n * h + c_n)) + z * h
        expected.append(float(h))
    workspace.set_full("env/env_obs", observations.view(4, 1, 1))
    workspace.set_full("env/timestep", timesteps.view(4, 1))
    workspace.set_full("memory/hidden/before", torch.full((1, 1, 1), 0.25))
    memory(workspace)
    assert workspace["memory"].flatten().tolist() == pytest.approx(expected, abs=1e-6)


def test_the_forget_gate_is_open_at_first():
    biases = LSTMAgent(3, 2).layers[0].of_inputs.bias.view(4, 2)
    assert biases.tolist() == [[0, 0], [0, 0], [1, 1], [0, 0]]


BEGINS = torch.tensor([[False, True], [False, False], [True, False], [False, False], [False, True]])


def arguments(n_products, parts):
    torch.manual_seed(0)
    shapes = [(5, 2, n_products * 3), *[(2, 3)] * parts, (n_products * 3, 3), (n_products * 3,)]
    first, *others = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    return first, BEGINS, *others


@pytest.mark.parametrize(
    ("loop", "given"), [(run_gru, arguments(3, 1)), (run_lstm, arguments(4, 2))], ids=["gru", "lstm"]
)
def test_derivatives_of_the_loops(loop, given):
    assert torch.autograd.gradcheck(loop, given)
    assert set(torch.library.opcheck(loop, given).values()) == {"SUCCESS"}


def test_derivatives_where_one_part_of_the_state_alone_is_asked_for():
    given = arguments(4, 2)
    for part in (0, 1):
        assert torch.autograd.gradcheck(lambda *now, part=part: run_lstm(*now)[part], given)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_without_environments_has_gradients_of_zeros(kind):
    memory, workspace = KINDS[kind][0](2, SIZE), Workspace()
    workspace.set_full("env/env_obs", torch.zeros(T, 0, 2))
    workspace.set_full("env/timestep", torch.zeros(T, 0, dtype=torch.int64))
    memory(workspace)
    workspace["memory"].sum().backward()
    assert all(not parameter.grad.any() for parameter in memory.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_that_is_no_number_ends_with_its_episode(kind):
    memory = KINDS[kind][0](2, SIZE)
    workspace = episodes()
    for name in memory.state_variables:
        workspace.set_full(f"{name}/before", torch.full((1, B, SIZE), torch.nan))
    memory(workspace)
    assert workspace["memory"].isfinite().all()
    memory(workspace, t=0)
    assert workspace["memory"].isfinite().all()

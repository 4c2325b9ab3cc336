"""Memories within a compiled update."""

import contextlib

import pytest
import torch

from workspace_rl import Workspace
from workspace_rl.agents import GRUAgent, LSTMAgent, TransformerAgent

KINDS = {
    "gru": lambda: GRUAgent(2, 4),
    "lstm": lambda: LSTMAgent(2, 4, 2),
    "transformer": lambda: TransformerAgent(2, 4, 2, 2, 3),
}
B = 3


def frames(n_steps):
    torch.manual_seed(0)
    timestep = torch.arange(n_steps).unsqueeze(1).repeat(1, B)
    timestep[n_steps // 2, 1] = 0
    return torch.randn(n_steps, B, 2), timestep


class Counter:
    """A compiler that compiles nothing, and counts what stands in graphs."""

    def __init__(self):
        self.sizes = []

    def __call__(self, graph, inputs):
        self.sizes.append(len(graph.graph.nodes))
        return graph.forward


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_update_is_one_graph_which_does_not_grow_with_time(kind, precision):
    torch.manual_seed(0)
    memory = KINDS[kind]()

    def loss_and_gradients(observation, timestep):
        workspace = Workspace()
        workspace.set_full("env/env_obs", observation)
        workspace.set_full("env/timestep", timestep)
        coarse = torch.autocast("cpu", torch.bfloat16) if precision == "bf16" else contextlib.nullcontext()
        with coarse:
            memory(workspace)
            loss = workspace["memory"].square()[..., 0].mean()
            return loss.detach(), torch.autograd.grad(loss, list(memory.parameters()))

    counter = Counter()
    for n_steps in (4, 9):
        torch._dynamo.reset()
        with torch._dynamo.config.patch(trace_autograd_ops=True):
            compiled = torch.compile(loss_and_gradients, fullgraph=True, dynamic=False, backend=counter)
            found = compiled(*frames(n_steps))
        torch.testing.assert_close(found, loss_and_gradients(*frames(n_steps)))
    assert len(counter.sizes) == 2 and counter.sizes[0] == counter.sizes[1]

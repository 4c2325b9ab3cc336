"""Updates compiled into one graph: losses, gradients, clipping, optimiser steps and target networks together."""

from __future__ import annotations

import types
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from workspace_rl.optimization import attach_graph_step
from workspace_rl.workspace import Workspace

Update = Callable[..., dict[str, Tensor]]

#: From so many planned updates on, `compile: auto` compiles: compiling takes 3 to 30 seconds, and an update of SAC with
#: layers of 256 units is about 1.5 milliseconds quicker for it (benchmarks/results/speed.md).
WORTH_COMPILING = 20_000


def why_not_compile() -> str:
    """Return why updates cannot be compiled here, or an empty text."""
    if not hasattr(torch._dynamo.config, "trace_autograd_ops"):
        return f"torch {torch.__version__} cannot trace gradients; 2.13 or newer can"
    return ""


def compile_update(update: Update, optimizers: Iterable[torch.optim.Optimizer]) -> CompiledUpdate:
    """Return `update` compiled into one graph, as a function of a batch: see `CompiledUpdate`.

    Args:
        update: takes a workspace, and Python values by keyword if need be; steps `optimizers` by `minimise`; returns
            metrics by name. One that calls `.backward()` itself stays eager.
        optimizers: all that it steps.
    """
    return CompiledUpdate(update, optimizers)


class CompiledUpdate:
    """An update that runs as one graph.

    `update(batch, **flags)` is traced at its first call, once for each combination of `flags` (Python values, such as
    TD3's whether the actor is updated) and each layout of the batch. In the graph, `minimise` steps the optimisers by
    the functional form of their arithmetic, on their own state, so that eager and compiled calls may alternate. Where
    something cannot be traced, the update runs eagerly from then on, after one warning that says why.

    Within the graph everything that is not a tensor counts as constant, except learning rates. What the update reads
    besides its arguments must therefore not change: tensors may be changed in place.
    """

    def __init__(self, update: Update, optimizers: Iterable[torch.optim.Optimizer]) -> None:
        """Compile `update`, which steps `optimizers` by `minimise`."""
        self._update = update
        self._graphs: dict[Any, Callable[..., dict[str, Tensor]]] = {}
        self._eager = why_not_compile()
        if self._eager:
            warnings.warn(f"updates run eagerly: {self._eager}.", stacklevel=3)
        self._steps = [attach_graph_step(one) for one in optimizers]
        foreign = [type(one.optimizer).__name__ for one in self._steps if not one.functional]
        if foreign:
            warnings.warn(
                f"{', '.join(foreign)} cannot be compiled: it steps outside of the graph, which costs time. Adam, "
                "AdamW, SGD and RMSprop of torch.optim step within it.",
                stacklevel=2,
            )
        self._whole = not foreign

    def __call__(self, batch: Workspace, **flags: Any) -> dict[str, Tensor]:
        """Run the update."""
        if self._eager:
            return self._update(batch, **flags)
        tensors = {name: batch.get_full(name) for name in batch}
        key = (
            tuple(flags.items()),
            tuple((name, value.shape, value.stride(), value.dtype, value.device) for name, value in tensors.items()),
        )
        for step in self._steps:
            step.refresh()
        graph = self._graphs.get(key)
        if graph is not None:
            return graph(tensors)
        on_cpu = all(one.device.type == "cpu" for one in tensors.values())
        graph = self._compile(flags, on_cpu)
        try:
            settings = {"trace_autograd_ops": True, "record_runtime_overhead": False}
            with warnings.catch_warnings(), torch._dynamo.config.patch(settings):
                warnings.simplefilter("ignore")  # those of torch about itself
                metrics = graph(tensors)
        except torch._dynamo.exc.TorchDynamoException as error:
            self._eager = _reason(error)
            warnings.warn(f"the update cannot be compiled, so it runs eagerly: {self._eager}", stacklevel=2)
            return self._update(batch, **flags)
        self._graphs[key] = graph
        return metrics

    def _compile(self, flags: dict[str, Any], on_cpu: bool) -> Callable[..., dict[str, Tensor]]:
        update = self._update

        def run(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
            batch = Workspace()
            for name, value in tensors.items():
                batch.set_full(name, value)
            return update(batch, **flags)

        # A code object of its own: torch keeps graphs by these, and would take one for the other.
        code = run.__code__.replace(co_name=f"update_{len(self._graphs)}")
        run = types.FunctionType(code, run.__globals__, code.co_name, None, run.__closure__)
        # The guards that torch would check at every call cost more than what they protect from: the layout of the
        # batch and the flags are the key above, and a graph is never called with others.
        options: dict[str, Any] = {"guard_filter_fn": torch.compiler.skip_all_guards_unsafe}
        # Calls between the kernels cost nothing on a GPU as one CUDA graph.
        options |= _cpu_options() if on_cpu else {"triton.cudagraphs": True}
        compiled = torch.compile(run, fullgraph=self._whole, dynamic=False, options=options)
        if on_cpu:
            return compiled
        # A CUDA graph writes its results to the same place each time.
        return lambda tensors: {name: value.clone() for name, value in compiled(tensors).items()}


def _cpu_options() -> dict[str, Any]:
    from workspace_rl.graph_passes import CheaperUpdates

    return {
        # Calls between the kernels cost a few percent less from C++.
        "cpp_wrapper": True,
        # torch's generator, which draws many normal numbers at once, and the same ones as without compiling; the
        # compiler's own takes ten times as long.
        "fallback_random": True,
        # Sums over the few components of an action stay loops, which become vector instructions; written out they do
        # not. Two critics are still written out.
        "unroll_reductions_threshold": 3,
        "post_grad_custom_post_pass": CheaperUpdates(),
    }


def _reason(error: BaseException) -> str:
    """Return what stands in the way of one graph, and where in the program it stands."""
    text = str(error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    where = [line for line in lines if line.startswith("File ")]
    return " ".join([" ".join(lines[:2])[:300], *where[-1:]])

"""Updates compiled into one graph: losses, gradients, clipping, optimiser steps and target networks together."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import types
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from workspace_rl.basics.arguments import checked
from workspace_rl.learning.compiled.cuda_graph import CudaGraph
from workspace_rl.learning.compiled.failures import reason_of, why_not_compile
from workspace_rl.learning.compiled.graph_step import attach_graph_step
from workspace_rl.learning.compiled.python_state import changed_values, plain_values
from workspace_rl.messages.installation import PACKAGE
from workspace_rl.workspace import Workspace

Update = Callable[..., dict[str, Tensor]]

#: From so many planned updates on, `compile: auto` compiles: compiling takes 3 to 30 seconds, and an update of SAC with
#: layers of 256 units is about 1.5 milliseconds quicker for it (benchmarks/results/speed.md).
WORTH_COMPILING = 20_000

#: So many graphs are made of an update at most: each takes seconds, and what keeps changing has to be a tensor.
MOST_GRAPHS = 8


@checked()
def compile_update(
    update: Update, optimizers: Iterable[torch.optim.Optimizer], modules: Iterable[nn.Module] = ()
) -> CompiledUpdate:
    """Return `update` compiled into one graph, as a function of a batch: see `CompiledUpdate`.

    Args:
        update: takes a workspace, and Python values by keyword if need be; steps `optimizers` by `minimise`; returns
            metrics by name. One that calls `.backward()` itself stays eager.
        optimizers: all that it steps.
        modules: those that it runs, so that their modes may change (a change traces the update anew), and that on a GPU
            they may assign buffers anew, as in `self.count = self.count + 1`.
    """
    return CompiledUpdate(update, optimizers, modules)


class CompiledUpdate:
    """An update that runs as one graph.

    `update(batch, **flags)` is traced at its first call, once for each combination of `flags` (Python values, such as
    TD3's whether the actor is updated) and each layout of the batch. In the graph, `minimise` steps the optimisers by
    the functional form of their arithmetic, on their own state, so that eager and compiled calls may alternate. Adam,
    AdamW, SGD (without dampening) and RMSprop of torch.optim have one here.

    The update runs eagerly, with the same results but for rounding, more slowly, and after one warning that says
    why and what can be done about it: where one of the optimisers has no functional form; where something cannot be
    traced; where there is no C++ compiler, which PyTorch needs; and where tracing shows that the update changes
    Python values, such as `self.counter += 1`, which a graph would do once.

    Within the graph everything that is not a tensor counts as constant, except learning rates. What the update reads
    besides its arguments must therefore not change: tensors may be changed in place. Optimisers may change (their
    settings, or a state that is loaded): the update is then traced anew. After `MOST_GRAPHS` graphs, calls of other
    flags or layouts run eagerly.
    """

    def __init__(
        self, update: Update, optimizers: Iterable[torch.optim.Optimizer], modules: Iterable[nn.Module] = ()
    ) -> None:
        """Compile `update`, which runs `modules` and steps `optimizers` by `minimise`: see `compile_update`."""
        self._update = update
        self._parts = list(dict.fromkeys(part for module in modules for part in module.modules()))
        self._graphs: dict[Any, Callable[..., dict[str, Tensor]]] = {}
        self._n_traced = 0
        self._eager = ""
        self._steps = [attach_graph_step(one) for one in optimizers]
        obstacle = why_not_compile() or self._obstacle()
        if obstacle:
            self._run_eagerly(obstacle)

    def __call__(self, batch: Workspace, **flags: Any) -> dict[str, Tensor]:
        """Run the update."""
        if self._eager:
            return self._update(batch, **flags)
        tensors = {name: batch.get_full(name) for name in batch}
        for step in self._steps:
            step.refresh()
        key = (
            tuple(flags.items()),
            tuple((name, value.shape, value.stride(), value.dtype, value.device) for name, value in tensors.items()),
            tuple([step.version for step in self._steps]),
            tuple([part.training for part in self._parts]),
        )
        graph = self._graphs.get(key)
        if graph is not None:
            return graph(tensors)
        return self._trace(key, batch, tensors, flags)

    def _trace(
        self, key: Any, batch: Workspace, tensors: dict[str, Tensor], flags: dict[str, Any]
    ) -> dict[str, Tensor]:
        """Run the update as a new graph, or eagerly if that is impossible."""
        obstacle = self._obstacle()
        if obstacle:
            self._run_eagerly(obstacle)
            return self._update(batch, **flags)
        if self._n_traced >= MOST_GRAPHS:
            if self._n_traced == MOST_GRAPHS:
                self._n_traced += 1
                _warn(
                    f"the update was traced {MOST_GRAPHS} times, since its flags, the layout of its batches, the "
                    "settings of its optimisers or the modes of its modules keep changing; where they are new (now: "
                    f"{flags or 'no flags'}), it runs eagerly from now on. Pass what changes as a tensor of the batch."
                )
            return self._update(batch, **flags)
        self._n_traced += 1
        before = plain_values(self._update)
        graph = self._compile(flags, {one.device.type for one in tensors.values()})
        try:
            with warnings.catch_warnings(), _tracing():
                warnings.simplefilter("ignore")  # those of torch about itself
                metrics = graph(tensors)
        except torch._dynamo.exc.TorchDynamoException as error:
            metrics = self._update(batch, **flags)  # if it is the update that fails, it says so itself
            self._run_eagerly(reason_of(error))
            return metrics
        changed = changed_values(before, self._update)
        if changed:
            self._run_eagerly(
                f"it changes Python values, which a graph would do only once: {', '.join(changed)}. Change them "
                "outside of the update, or keep them in tensors that are changed in place."
            )
            return metrics
        self._graphs[key] = graph
        return metrics

    def _obstacle(self) -> str:
        """Return why the optimisers cannot step within a graph, or an empty text."""
        found = list(dict.fromkeys(step.obstacle for step in self._steps if step.obstacle))
        if not found:
            return ""
        return (
            f"{' and '.join(found)} cannot be compiled. Adam, AdamW, SGD without dampening, and RMSprop of torch.optim "
            "can; 'compile: false' is eager without this warning."
        )

    def _run_eagerly(self, reason: str) -> None:
        self._eager = reason
        self._graphs.clear()
        _warn(f"the update runs eagerly, which takes longer: {reason}")

    def _compile(self, flags: dict[str, Any], devices: set[str]) -> Callable[..., dict[str, Tensor]]:
        update = self._update

        def run(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
            batch = Workspace()
            for name, value in tensors.items():
                batch.set_full(name, value)
            return update(batch, **flags)

        # A code object of its own: torch keeps graphs by these, and would take one for the other.
        code = run.__code__.replace(co_name=f"update_{self._n_traced}")
        run = types.FunctionType(code, run.__globals__, code.co_name, None, run.__closure__)
        # The guards that torch would check at every call cost more than what they protect from: the layout of the
        # batch and the flags are the key above, and a graph is never called with others.
        options: dict[str, Any] = {"guard_filter_fn": torch.compiler.skip_all_guards_unsafe}
        options |= _cpu_options() if devices <= {"cpu"} else _gpu_options()
        compiled = torch.compile(run, fullgraph=True, dynamic=False, options=options)
        if devices != {"cuda"}:
            return compiled
        slots = [part._buffers for part in self._parts]

        def call(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
            # Python assigns buffers, and a recorded graph runs none of it: their old places are written to instead.
            before = [dict(one) for one in slots]
            metrics: dict[str, Tensor] = compiled(tensors)
            keep_in_place(slots, before)
            return metrics

        return CudaGraph(call)


def keep_in_place(slots: Iterable[dict[str, Tensor | None]], before: Iterable[dict[str, Tensor | None]]) -> None:
    """Write buffers that have been assigned anew to the tensors that were there before, if they have their layout."""
    for now, old in zip(slots, before, strict=True):
        for name, value in now.items():
            kept = old.get(name)
            if value is None or kept is None or value is kept:
                continue
            if kept.shape == value.shape and kept.dtype == value.dtype:
                now[name] = kept.copy_(value)


@contextlib.contextmanager
def _tracing() -> Iterator[None]:
    """Let torch trace gradients, and leave numbers in tensors alone.

    Its pass that turns Python numbers into tensors takes float64 tensors of no dimensions, such as a parameter that is
    one number, for Python numbers, and then drops what is written to them.
    """
    scalars: Any = importlib.import_module("torch.fx.passes._tensorify_python_scalars")
    # torch's own switch, which later versions keep once they have read it.
    forget = getattr(getattr(scalars, "_is_tensorify_enabled", None), "cache_clear", lambda: None)
    switch = "TENSORIFY_PYTHON_SCALARS"
    before = os.environ.get(switch)
    os.environ[switch] = "0"
    forget()
    try:
        with torch._dynamo.config.patch({"trace_autograd_ops": True, "record_runtime_overhead": False}):
            yield
    finally:
        if before is None:
            del os.environ[switch]
        else:
            os.environ[switch] = before
        forget()


def _cpu_options() -> dict[str, Any]:
    from workspace_rl.learning.compiled.graph_passes import CheaperUpdates

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


def _gpu_options() -> dict[str, Any]:
    # Otherwise the compiler times several ways to add up each sum, and a run that goes on may round as another one won.
    return {"deterministic": True}


def _warn(text: str) -> None:
    """Warn at the line of the program that called this package."""
    here, level = str(PACKAGE), 1
    frame: types.FrameType | None = sys._getframe()
    while frame is not None and frame.f_code.co_filename.startswith(here):
        frame, level = frame.f_back, level + 1
    warnings.warn(text, stacklevel=level)

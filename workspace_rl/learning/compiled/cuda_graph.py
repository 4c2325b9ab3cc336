"""Compiled updates on a GPU as one CUDA graph: launched by one call instead of one for each kernel."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor

Tensors = dict[str, Tensor]

#: Calls before the graph is recorded: they create what kernels and libraries keep, which a recording may not do.
WARM_UP = 2


class CudaGraph:
    """A function of tensors whose kernels are recorded at its third call, and replayed from then on.

    What it reads and changes besides its arguments has to stay where it is in memory, as parameters, the states of
    optimisers and buffers do that are changed in place. Random numbers come from torch's generator of the device, the
    same ones as without a graph. A function that cannot be recorded (it waits for the device, or reads tensors of the
    processor) goes on being called, after a warning.

    The compiler's own CUDA graphs are no way: they are skipped for whatever changes its inputs in place, and an update
    does nothing else.
    """

    def __init__(self, function: Callable[[Tensors], Tensors]) -> None:
        """Take a function whose arguments always have the same layout."""
        self._function = function
        self._n_calls = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._arguments: Tensors = {}
        self._results: Tensors = {}

    def __call__(self, arguments: Tensors) -> Tensors:
        """Return the function's results, as tensors of their own."""
        if self._graph is None and self._n_calls == WARM_UP:
            self._record(arguments)
        self._n_calls += 1
        if self._graph is None:
            return self._function(arguments)
        for name, value in arguments.items():
            self._arguments[name].copy_(value)
        self._graph.replay()
        # The graph writes to the same place each time.
        return {name: value.clone() for name, value in self._results.items()}

    def _record(self, arguments: Tensors) -> None:
        self._arguments = {name: value.clone() for name, value in arguments.items()}
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):  # nothing is computed in here
                self._results = self._function(self._arguments)
        except RuntimeError as error:
            self._arguments, self._results = {}, {}
            warnings.warn(
                f"the update cannot be recorded as a CUDA graph, so its kernels are launched one by one: {error}",
                stacklevel=4,
            )
            return
        self._graph = graph

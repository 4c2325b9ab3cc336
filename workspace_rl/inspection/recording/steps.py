"""Watching which steps of a whole variable a program uses: `reward = batch["env/reward"]`, and `reward[1]` later."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

from workspace_rl.inspection.copies.nested import flat
from workspace_rl.inspection.recording.recorder import Recorder
from workspace_rl.inspection.recording.whole_reads import WholeReads


class StepWatch(TorchFunctionMode):
    """Lets `recorder` note single steps in place of whole variables of which only these are used."""

    def __init__(self, recorder: Recorder) -> None:
        """Watch what is read on the workspaces of `recorder`."""
        super().__init__()
        self.recorder = recorder

    def __enter__(self) -> Any:
        """Start watching."""
        self.recorder.whole_reads = self._reads = WholeReads(self.recorder.accesses)
        return super().__enter__()

    def __exit__(self, *args: Any) -> None:
        """Stop watching, and drop the reads of whole variables that were not used as a whole."""
        super().__exit__(*args)
        self._reads.settle()
        self.recorder.whole_reads = None

    def __torch_function__(
        self, function: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run `function` and note what it uses."""
        result = function(*args, **(kwargs or {}))
        for tensor in flat([*args, kwargs or {}]):
            if not isinstance(tensor, Tensor):
                continue
            if function is Tensor.__getitem__ and tensor is args[0]:
                self.recorder.use(tensor, _steps(args[1], tensor.shape[0]))
            elif any(isinstance(one, Tensor) for one in flat(result)):
                self.recorder.use(tensor, None)
            else:  # a shape or a dtype
                self.recorder.use(tensor, [])
        return result


def _steps(index: Any, size: int) -> list[int] | None:
    """Return the one step that an index takes, None if it takes several."""
    first = index[0] if isinstance(index, tuple) and index else index
    if isinstance(first, int) and not isinstance(first, bool):
        return [first % size]
    steps = range(*first.indices(size)) if isinstance(first, slice) else ()
    return [*steps] if len(steps) == 1 else None

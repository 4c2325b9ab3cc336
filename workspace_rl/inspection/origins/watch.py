"""Following values from workspaces and networks to the losses that optimisers minimise."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from workspace_rl.inspection.copies.nested import flat
from workspace_rl.inspection.origins.combining import added, alive, join, measured, shifted
from workspace_rl.inspection.origins.origins import NOTHING, Net, Origins, Read, is_reward
from workspace_rl.inspection.origins.ratios import Ratios
from workspace_rl.inspection.origins.trainings import Gradients, Owners, leaves
from workspace_rl.inspection.recording.accesses import Source
from workspace_rl.inspection.recording.callers import program_frame, short_name

#: Operations that add up their arguments, or choose among them; losses compare them.
ADDING = {"add", "radd", "iadd", "sub", "rsub", "isub", "where", "lerp", "addcmul", "subtract", "addcdiv"}
#: Operations after which a temporal-difference error is a loss.
LOSSY = {"square", "pow", "abs", "absolute"}
#: Operations that choose the greatest of several values.
GREEDY = {"max", "amax", "argmax"}


class OriginWatch(TorchFunctionMode):
    """Follows values from workspaces and networks to losses, within a `with` block."""

    def __init__(self, owners: Owners, part: str, window: int, action_shapes: Iterable[tuple[int, ...]] = ()) -> None:
        """Watch a part of a program on batches of `window` steps."""
        super().__init__()
        self.gradients = Gradients(owners, part)
        self.ratios = Ratios(self.of)
        self._owners = owners
        # Several steps become the two of a transition.
        self.windows = {window, 2}
        self.action_shapes = set(action_shapes)
        self._known: dict[int, tuple[Tensor, Origins]] = {}
        self._steps: dict[int, list[Origins]] = {}
        self._makers: dict[int, tuple[str, ...]] = {}

    # ---- what is read ---------------------------------------------------------------------------------------------

    def of(self, value: Tensor) -> Origins:
        """Return where a tensor comes from."""
        return self._known.get(id(value), (None, NOTHING))[1]

    def read(self, value: Tensor, variable: str, step: int, source: Source | None) -> None:
        """Note that a step of a variable was read."""
        known = self.of(value)
        read = self._read(value, value.shape, variable, step, source)
        self._keep(value, replace(known, reads=known.reads | {read}))

    def read_whole(
        self, value: Tensor, variable: str, steps: Sequence[Tensor | None], sources: dict[int, Source]
    ) -> None:
        """Note that a whole variable was read, of which `steps` are the tensors if it was written step by step."""
        if steps:
            parts = []
            for step, one in enumerate(steps):
                known = NOTHING if one is None else self.of(one)
                read = self._read(value, value.shape[1:], variable, step, sources.get(step))
                parts.append(replace(known, reads=known.reads | {read}))
            self._steps[id(value)] = parts
            self._keep(value, join(parts, value.requires_grad))
        else:
            known = self.of(value)
            for step, part in enumerate(self._steps.get(id(value), [])):
                read = self._read(value, value.shape[1:], variable, step, sources.get(step))
                self._steps[id(value)][step] = replace(part, reads=part.reads | {read})
            read = self._read(value, value.shape[1:], variable, None, sources.get(0))
            self._keep(value, replace(known, reads=known.reads | {read}))

    def _read(
        self, value: Tensor, shape: Sequence[int], variable: str, step: int | None, source: Source | None
    ) -> Read:
        stored = source is not None and not source.fresh
        step = step if step is None else min(step, 1)
        return Read(variable, step, stored, tuple(shape), value.is_floating_point())

    def _keep(self, value: Tensor, origins: Origins) -> None:
        self._known[id(value)] = (value, origins)

    # ---- what is computed -----------------------------------------------------------------------------------------

    def __torch_function__(
        self, function: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run `function` and note where what it returns comes from."""
        kwargs = kwargs or {}
        name = getattr(function, "__name__", "")
        if name == "backward":  # a tensor's, or torch.autograd's for several
            for one in flat([args[0] if args else kwargs["tensors"]]):
                self._note_gradient(one, leaves(one))
            return function(*args, **kwargs)
        result = function(*args, **kwargs)
        if name == "grad" and function is torch.autograd.grad:
            inputs = flat(args[1] if len(args) > 1 else kwargs["inputs"])
            used = {id(one): one for one, grad in zip(inputs, flat(result), strict=False) if grad is not None}
            for output in flat(args[0] if args else kwargs["outputs"]):
                self._note_gradient(output, used)
            return result
        bare = name.strip("_")
        given = [one for one in flat([*args, kwargs]) if isinstance(one, Tensor)]
        if not given or name == "__get__" or bare in ("detach", "clone", "contiguous"):
            if given and isinstance(result, Tensor):
                self._pass(given[0], result)
            return result
        if function is Tensor.__getitem__:
            self._index(args[0], args[1], result)
            return result
        self.ratios.look(bare, args, result)
        outputs = [one for one in flat(result) if isinstance(one, Tensor)]
        changed = args[0] if args and (bare == "setitem" or any(one is args[0] for one in outputs)) else None
        if changed is not None and not _is_in_place(name):
            return result  # float() of float32, and the like: the tensor that was given
        if changed is not None:
            outputs = [changed, *([changed._base] if changed._base is not None else [])]
        if outputs:
            self._compute(bare, given, outputs)
        if function is torch.stack and outputs and not kwargs and len(args) == 1:
            self._stack(given, outputs[0])
        if function is Tensor.unbind and outputs:
            for index, one in enumerate(outputs):
                self._keep(one, self._at(args[0], index, None))
        return result

    def _stack(self, given: Sequence[Tensor], result: Tensor) -> None:
        """What is put together as steps comes from where they come from, each by itself."""
        parts = [alive(self.of(one), result.requires_grad) for one in given]
        if any(one is not NOTHING for one in parts):
            self._steps[id(result)] = parts

    def _note_gradient(self, loss: Tensor, parameters: dict[int, Tensor]) -> None:
        self.gradients.computed(self.of(loss), self._makers.get(id(loss), ()), parameters)

    def _pass(self, given: Tensor, result: Tensor) -> None:
        """What is another view of the same values comes from where they come from."""
        known = self.of(given)
        if id(given) in self._steps:
            self._steps[id(result)] = [alive(one, result.requires_grad) for one in self._steps[id(given)]]
        if known is not NOTHING and result is not given:
            self._keep(result, alive(known, result.requires_grad))

    def _compute(self, name: str, given: list[Tensor], outputs: list[Tensor]) -> None:
        parameters = [one for one in given if isinstance(one, nn.Parameter)]
        values = [(one, self.of(one)) for one in given if not isinstance(one, nn.Parameter)]
        known = [origins for _, origins in values if origins is not NOTHING]
        if not known and not parameters:
            return
        learns = any(one.requires_grad for one in outputs)
        joined = join(known, learns)
        if parameters:
            joined = self._judged(joined, parameters, learns, outputs[0])
        if name in ADDING or "loss" in name:
            joined = added(joined, known)
        if joined.next and not joined.predicts:
            joined = replace(joined, bootstrapped=joined.reads)
        if name in GREEDY and joined.nets:
            joined = replace(joined, greedy=True)
        scalar = outputs[0].ndim == 0 and any(one.ndim for one in given)
        if name in LOSSY or "loss" in name or scalar:
            joined = measured(joined)
        if outputs[0].ndim == 0:
            self._made(given, outputs[0])
        for one in outputs:
            self._keep(one, joined)
            self._steps.pop(id(one), None)

    def _made(self, given: Sequence[Tensor], scalar: Tensor) -> None:
        """Note the functions that have computed what may be a loss: those of its summands, or the one that runs."""
        makers = dict.fromkeys(name for one in given for name in self._makers.get(id(one), ()))
        frame = None if makers else program_frame(2)
        while frame is not None and frame.f_code.co_name in ("<listcomp>", "<genexpr>", "<dictcomp>", "<lambda>"):
            frame = frame.f_back
        self._makers[id(scalar)] = tuple(makers) or ((short_name(frame.f_code),) if frame is not None else ())

    def _judged(self, joined: Origins, parameters: Sequence[Tensor], learns: bool, output: Tensor) -> Origins:
        """Add the networks to which `parameters` belong."""
        # Where networks run on what other networks gave, the steps are those of what they were all given.
        inputs = (one for one in joined.reads if not is_reward(one.variable))
        steps = frozenset(one.step for one in inputs if one.stored)
        nets = {}
        for parameter in parameters:
            key, name = self._owners.of(parameter)
            nets[key] = Net(name, key, steps), parameter.requires_grad
        judges = frozenset(net for net, _ in nets.values())
        live = frozenset(net for net, trainable in nets.values() if trainable and learns)
        acting = joined.acting
        if tuple(output.shape) in self.action_shapes:
            acting = acting | {net.key for net in judges}
        return replace(joined, nets=joined.nets | judges, live=joined.live | live, acting=acting)

    # ---- steps ----------------------------------------------------------------------------------------------------

    def _index(self, value: Tensor, index: Any, result: Tensor) -> None:
        masks = [self.of(one) for one in flat([index]) if isinstance(one, Tensor)]
        origins = self._at(value, index, result)
        masks = [one for one in masks if one is not NOTHING]
        if masks:
            origins = join([origins, *masks], result.requires_grad)
            if origins.next and not origins.predicts:
                origins = replace(origins, bootstrapped=origins.reads)
        if origins is not NOTHING:
            self._keep(result, alive(origins, result.requires_grad))

    def _at(self, value: Tensor, index: Any, result: Tensor | None) -> Origins:
        """Return where some steps of a tensor come from, if its first dimension is time."""
        first = index[0] if isinstance(index, tuple) and index else index
        known, steps = self.of(value), self._steps.get(id(value))
        size = value.shape[0] if value.ndim else 0
        if isinstance(first, int) and not isinstance(first, bool):
            if steps is not None and -len(steps) <= first < len(steps):
                return steps[first]
            return shifted(known, min(first % max(size, 1), 1)) if size in self.windows else known
        if isinstance(first, slice) and (steps is not None or size in self.windows):
            chosen = range(*first.indices(size))
            relative = 1 if chosen and chosen[0] > 0 else 0 if len(chosen) < size else None
            if steps is None:
                # In a sequence, what stands at a step may come from all before it; networks judge the step.
                return known if relative is None else shifted(known, relative, whole=size <= 2)
            parts = [steps[one] for one in chosen]
            joined = join(parts, value.requires_grad) if parts else known
            if relative is not None and len(steps) > 2:
                joined = shifted(joined, relative, whole=False)
            if result is not None and relative is None:
                self._steps[id(result)] = parts
            return joined
        return known


def _is_in_place(name: str) -> bool:
    """Whether an operation of this name changes the tensor that it is called of: add_(), +=, [...] =."""
    return name == "setitem" or name.startswith(("__i", "__set")) or (name.endswith("_") and not name.endswith("__"))

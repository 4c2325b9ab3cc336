"""Parameters and buffers on their way from one module to another that is built alike."""

from __future__ import annotations

from operator import is_
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from workspace_rl.errors import CompositionError


class Pairs:
    """The tensors of two modules that are built alike, each with its counterpart."""

    def __init__(self, target: nn.Module, source: nn.Module) -> None:
        """Pair the parameters and the buffers of `target` with those of `source`, in the order in which they stand.

        Raises:
            CompositionError: the modules are not built alike, or have parameters that are yet to be created.
        """
        self.modules = target, source
        (targets, places), (sources, source_places) = tensors_of(target), tensors_of(source)
        self._check(targets, sources, len(places), len(source_places))
        #: Parameters.
        self.parameters = (targets, sources) if len(set(targets)) == len(targets) else self._once(targets, sources)
        #: Buffers of one shape.
        self.buffers: tuple[list[Tensor], list[Tensor]] = ([], [])
        #: What is copied to a place, since the buffer there cannot hold it, or there is none.
        self._replaced: list[tuple[nn.Module, str, Tensor | None]] = []
        for (module, name, to), (_, _, value) in zip(places, source_places, strict=True):
            if to is None or value is None or to.shape != value.shape or 0 in to.stride():
                self._replaced.append((module, name, value))
            else:
                self.buffers[0].append(to)
                self.buffers[1].append(value)

    def copy(self) -> None:
        """Copy all."""
        targets, sources = self.parameters[0] + self.buffers[0], self.parameters[1] + self.buffers[1]
        if targets:
            torch._foreach_copy_(targets, sources)
        self._replace()

    def move(self, part: float) -> None:
        """Move parameters by a part of the way; copy buffers, and parameters that are whole numbers."""
        if part == 1:  # not by arithmetic, which leaves a NaN that the target holds
            return self.copy()
        targets, sources = self.parameters
        kinds = {(one.dtype, one.device) for one in targets + sources}
        if len(kinds) > 1 or not all(kind.is_floating_point or kind.is_complex for kind, _ in kinds):
            targets, sources = self._movable()
        if targets:
            torch._foreach_lerp_(targets, sources, part)
        if self.buffers[0]:
            torch._foreach_copy_(*self.buffers)
        self._replace()

    def _movable(self) -> tuple[list[Tensor], list[Tensor]]:
        """Copy the parameters of which there is no part; return the others, the sources as the targets are."""
        pairs = list(zip(*self.parameters, strict=True))
        for to, value in pairs:
            if not (to.is_floating_point() or to.is_complex()):
                to.copy_(value)
        moved = [(to, value.to(to)) for to, value in pairs if to.is_floating_point() or to.is_complex()]
        return [to for to, _ in moved], [value for _, value in moved]

    def _replace(self) -> None:
        for module, name, value in self._replaced:
            before = getattr(module, name)
            device = None if before is None else before.device
            setattr(module, name, None if value is None else value.detach().to(device, copy=True))

    def _once(self, targets: list[Tensor], sources: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Take a parameter that several modules share once."""
        known: dict[Tensor, Tensor] = {}
        for to, value in zip(targets, sources, strict=True):
            if known.setdefault(to, value) is not value:
                raise self._misfit("several of its modules share a parameter, those of the other do not")
        return list(known), list(known.values())

    def _check(self, targets: list[Tensor], sources: list[Tensor], n_buffers: int, found: int) -> None:
        if not torch.compiler.is_compiling() and any(map(is_lazy, targets + sources)):
            raise self._misfit("some of its parameters are created at its first call, which has to come before")
        shapes, source_shapes = [one.shape for one in targets], [one.shape for one in sources]
        if shapes != source_shapes:
            listed = [str([list(shape) for shape in some]) for some in (source_shapes, shapes)]
            raise self._misfit(f"parameters of the shapes {listed[0]} found, {listed[1]} expected")
        if found != n_buffers:
            raise self._misfit(f"{found} buffers found, {n_buffers} expected")

    def _misfit(self, what: str) -> CompositionError:
        target, source = map(_called, self.modules)
        return CompositionError(
            f"weights cannot go from {source} to {target}, which is not built alike: {what}. Make one as a deep copy "
            "of the other."
        )


class Transfer:
    """Copies the parameters and buffers of one module to another again and again.

    Pairing takes longer than copying, so it is done anew only when either holds other tensors than before: modules
    may assign them anew, as in `self.count = self.count + 1`.
    """

    def __init__(self, target: nn.Module) -> None:
        """Copy to `target`."""
        self.target = target
        self._pairs: Pairs | None = None
        self._slots: list[dict[str, Any]] = []
        self._values: list[Any] = []

    @torch.no_grad()
    def __call__(self, source: nn.Module) -> None:
        """Copy all parameters and buffers of `source`.

        Raises:
            CompositionError: the modules are not built alike.
        """
        if self._pairs is None or self._pairs.modules[1] is not source or not self._unchanged():
            self._pairs = Pairs(self.target, source)
            parts = [part.__dict__ for module in (self.target, source) for part in module.modules()]
            slots = [part[kind] for part in parts for kind in ("_parameters", "_buffers", "_modules")]
            self._slots, self._values = slots, [value for one in slots for value in one.values()]
        self._pairs.copy()

    def _unchanged(self) -> bool:
        values = [value for slots in self._slots for value in slots.values()]
        return len(values) == len(self._values) and all(map(is_, values, self._values))


def tensors_of(module: nn.Module) -> tuple[list[Tensor], list[tuple[nn.Module, str, Tensor | None]]]:
    """Return a module's parameters, and the places of its buffers with what is there."""
    parameters: list[Tensor] = []
    buffers: list[tuple[nn.Module, str, Tensor | None]] = []
    for part in _parts(module, {}):
        for value in part._parameters.values():
            if value is not None:
                parameters.append(value)
        for name, buffer in part._buffers.items():
            buffers.append((part, name, buffer))
    return parameters, buffers


def _parts(module: nn.Module, known: dict[nn.Module, None]) -> dict[nn.Module, None]:
    # As module.modules() does, which is slower, and not traced once a buffer has been assigned anew.
    known[module] = None
    for part in module._modules.values():
        if part is not None and part not in known:
            _parts(part, known)
    return known


def _called(module: nn.Module) -> str:
    describe = getattr(module, "description", None)
    return str(describe()) if callable(describe) else type(module).__name__

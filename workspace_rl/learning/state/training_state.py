"""The state of modules and optimisers as named tensors and plain data, and back into them."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from workspace_rl.errors import CheckpointError
from workspace_rl.learning.state.module_state import buffer_places, put_buffers, state_by_name

Part = nn.Module | torch.optim.Optimizer


def read_state(parts: Mapping[str, Part]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the state of modules and optimisers as tensors (copies, on the CPU) and as plain data.

    A tensor that several modules share comes once; buffers come also where they are not persistent. What a module
    keeps besides parameters and buffers is part of it if it implements torch's `get_extra_state`, as a tensor or as
    plain data.

    Raises:
        CheckpointError: a module's extra state is neither.
    """
    tensors = {name: _copy(value) for name, value in _module_tensors(parts)}
    plain: dict[str, Any] = {}
    for part_name, part in parts.items():
        if isinstance(part, nn.Module):
            extras = {f"{part_name}.{key}": value for key, value in _extra_states(part).items()}
            tensors |= {name: _copy(value) for name, value in extras.items() if _is_tensor(value)}
            plain |= {name: _plain(name, value) for name, value in extras.items() if not _is_tensor(value)}
            continue
        for index, parameter in enumerate(_parameters(part)):
            for key, value in part.state.get(parameter, {}).items():
                name = f"{part_name}.{index}.{key}"
                if isinstance(value, Tensor):
                    tensors[name] = _copy(value)
                else:
                    plain[name] = _plain(name, value)
        groups = [{key: value for key, value in one.items() if key != "params"} for one in part.param_groups]
        plain[f"{part_name}.groups"] = _plain(part_name, groups)
    return tensors, plain


@torch.no_grad()
def load_state(parts: Mapping[str, Part], tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> None:
    """Put what `read_state` returned into modules and optimisers that are built alike; tensors are changed in place.

    Nothing of `tensors` and `plain` is kept, so that they may be loaded again.

    Raises:
        CheckpointError: the state does not fit them; the message names the tensor and both shapes. Nothing is changed.
    """
    targets = dict(_module_tensors(parts))
    modules = {name: part for name, part in parts.items() if isinstance(part, nn.Module)}
    buffers = {f"{name}.{key}": place for name, part in modules.items() for key, place in buffer_places(part).items()}
    known = {id(one) for name, one in targets.items() if name in tensors}
    for name, target in targets.items():
        # Buffers may be of any shape, and missing where they are not in a state_dict or are stored by another name.
        holder, key = buffers.get(name, (None, ""))
        missing = name not in tensors and id(target) not in known
        if holder is None or (missing and key not in holder._non_persistent_buffers_set):
            _fit(name, target, tensors)
    optimizers = {name: part for name, part in parts.items() if isinstance(part, torch.optim.Optimizer)}
    for part_name, optimizer in optimizers.items():
        groups = plain.get(f"{part_name}.groups")
        if not isinstance(groups, list) or len(groups) != len(optimizer.param_groups):
            raise CheckpointError(f"the checkpoint does not fit the run: the groups of {part_name!r} differ.")
        for key, parameter in _optimizer_entries(part_name, optimizer, tensors):
            # A number for each parameter, or of its shape, or (Adafactor) of that of its rows and columns.
            found = tensors[key].shape
            if any(n not in (1, size) for n, size in zip(found, parameter.shape, strict=False)) or len(found) not in (
                0,
                parameter.ndim,
            ):
                _fit(key, parameter, tensors)
    for name, target in targets.items():
        if name not in buffers:
            target.copy_(tensors[name])
    for part_name, part in parts.items():
        if isinstance(part, nn.Module):
            start = f"{part_name}."
            put_buffers(part, {name[len(start) :]: one for name, one in tensors.items() if name.startswith(start)})
            for key, module in _modules_with_extra_state(part).items():
                name = f"{part_name}.{key}"
                module.set_extra_state(copy.deepcopy(tensors[name] if name in tensors else plain.get(name)))
            continue
        _load_optimizer_state(part_name, part, {**plain, **tensors})
        for group, settings in zip(part.param_groups, plain[f"{part_name}.groups"], strict=True):
            group.update({key: _like(group.get(key), value) for key, value in settings.items()})


def _load_optimizer_state(part_name: str, optimizer: torch.optim.Optimizer, entries: Mapping[str, Any]) -> None:
    loaded: dict[int, set[str]] = {}
    for name, parameter in _optimizer_entries(part_name, optimizer, entries):
        key, value = name.rpartition(".")[2], entries[name]
        loaded.setdefault(id(parameter), set()).add(key)
        state = optimizer.state[parameter]
        present = state.get(key)
        if not isinstance(value, Tensor):
            state[key] = copy.deepcopy(value)
        elif isinstance(present, Tensor) and present.shape == value.shape and present.dtype == value.dtype:
            present.copy_(value)  # in place, since compiled updates hold it
        elif value.shape == parameter.shape and key != "step":
            # Optimisers pair weights and their state by the place in memory.
            state[key] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
        else:
            state[key] = torch.empty_like(value, device=_home(optimizer, parameter)).copy_(value)
    for parameter, state in optimizer.state.items():  # what had not come to be yet
        for key in state.keys() - loaded.get(id(parameter), set()):
            del state[key]


def classes_of(parts: Mapping[str, Part]) -> dict[str, list[str]]:
    """Return the names of the classes that each part consists of; layers of equal shapes may compute otherwise.

    A class that took the place of another one, and computes the same, has that one's name as `stored_as`.
    """
    return {
        name: [
            getattr(one, "stored_as", type(one).__qualname__)
            for one in (part.modules() if isinstance(part, nn.Module) else [part])
        ]
        for name, part in parts.items()
    }


def check_classes(parts: Mapping[str, Part], stored: Any) -> None:
    """Compare the parts with what `classes_of` said of those whose state was stored.

    Raises:
        CheckpointError: a part is of other classes; the message names it, with both.
    """
    if not isinstance(stored, Mapping):
        raise CheckpointError("the checkpoint does not fit the run: it does not say what the parts were made of.")
    ours = classes_of(parts)
    for name in ours:
        if name in stored and ours[name] != stored[name]:
            pairs = itertools.zip_longest(stored[name], ours[name], fillvalue="nothing")
            theirs, own = next(pair for pair in pairs if pair[0] != pair[1])
            raise CheckpointError(
                f"the checkpoint does not fit the run: {name!r} was made of {theirs} where it is {own} now. Build it "
                "as it was, or train anew into another base_dir."
            )


def _copy(value: Tensor) -> Tensor:
    return value.detach().cpu().clone(memory_format=torch.contiguous_format)


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor)


def _module_tensors(parts: Mapping[str, Part]) -> Iterator[tuple[str, Tensor]]:
    known: set[Any] = set()
    for part_name, part in parts.items():
        if isinstance(part, nn.Module):
            places = buffer_places(part)
            for name, value in state_by_name(part).items():
                # A buffer is known by its place: two may be one tensor for a while, as in `self.before = self.now`.
                key: Any = places.get(name, id(value))
                if isinstance(value, Tensor) and not name.endswith("_extra_state") and key not in known:
                    known.add(key)
                    yield f"{part_name}.{name}", value


def _modules_with_extra_state(part: nn.Module) -> dict[str, nn.Module]:
    return {
        f"{name}._extra_state".lstrip("."): module
        for name, module in part.named_modules()
        if type(module).get_extra_state is not nn.Module.get_extra_state
    }


def _extra_states(part: nn.Module) -> dict[str, Any]:
    return {name: module.get_extra_state() for name, module in _modules_with_extra_state(part).items()}


def _parameters(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [one for group in optimizer.param_groups for one in group["params"]]


def _optimizer_entries(
    part_name: str, optimizer: torch.optim.Optimizer, entries: Mapping[str, Any]
) -> list[tuple[str, Tensor]]:
    """Return the names of an optimiser's saved state, each with the parameter that it belongs to."""
    found = []
    parameters = _parameters(optimizer)
    for name in entries:
        attribute, _, rest = name.partition(".")
        index, dot, _ = rest.partition(".")
        if attribute == part_name and dot and index.isdecimal():
            if int(index) >= len(parameters):
                raise CheckpointError(f"the checkpoint does not fit the run: {name!r} belongs to no parameter.")
            found.append((name, parameters[int(index)]))
    return found


def _home(optimizer: torch.optim.Optimizer, parameter: Tensor) -> torch.device:
    """Return where an optimiser keeps its count of steps: on the CPU unless a kernel reads it."""
    group = optimizer.param_groups[0]
    return parameter.device if group.get("fused") or group.get("capturable") else torch.device("cpu")


def _fit(name: str, target: Tensor, tensors: Mapping[str, Tensor]) -> None:
    found = tensors.get(name)
    if found is None or found.shape != target.shape:
        what = "nothing" if found is None else str(list(found.shape))
        raise CheckpointError(
            f"the checkpoint does not fit the run: {name!r} is {list(target.shape)} there, {what} was stored."
        )


def _plain(name: str, value: Any) -> Any:
    try:
        return json.loads(json.dumps(value))
    except (TypeError, ValueError) as error:
        raise CheckpointError(
            f"{name!r} cannot be written to a checkpoint: {type(value).__name__} found; tensors, numbers, texts, lists "
            "and dictionaries of texts can."
        ) from error


def _like(before: Any, value: Any) -> Any:
    return tuple(value) if isinstance(before, tuple) else copy.deepcopy(value)

"""Runs that go on elsewhere, or set up otherwise: what may change, and what is said of it."""

from __future__ import annotations

import functools
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from workspace_rl.config.schema import flatten
from workspace_rl.machine.provenance import installed_versions

#: Options that do not touch the course of a run.
FREE = (
    "logger.log_dir",
    "logger.verbose",
    "algorithm.total_steps",
    "algorithm.max_epochs",
    "algorithm.final_episodes",
    "gym_env.timeout",
    "record_best",
    "evaluation_worker",
    "collectors.where",
    "collectors.address",
    "collectors.cpus_each",
    "collectors.max_restarts",
)
#: Options that depend on the machine: they change how numbers are rounded, or in which order they are drawn, not what
#: is learned.
OF_THE_MACHINE = ("device", "torch_threads", "compile", "matmul_precision", "gym_env.vectorization")
#: Options that decide which experience there is: with others, a run learns from other episodes from there on.
OF_COLLECTING = (
    "collectors",
    "collectors.n",
    "collectors.mode",
    "collectors.lag",
    "collectors.samples_per_insert",
    "collectors.error_buffer",
    "collectors.max_weights_age",
)
#: All that may be told anew when a run is resumed.
MAY_CHANGE = (*FREE, *OF_THE_MACHINE, *OF_COLLECTING)

GPU = "GPU"


def this_machine(device: torch.device) -> dict[str, str]:
    """Return what decides how numbers are rounded here, besides the configuration: processors and versions."""
    found = {"processor": _processor(), **_versions()}
    if device.type == "cuda":
        found[GPU] = torch.cuda.get_device_name(device)
    return found


def what_changed(
    before: Mapping[str, Any], config: Mapping[str, Any], machine_before: object, machine: Mapping[str, str]
) -> list[str]:
    """Return texts about what is otherwise than at a checkpoint, and keeps the run from being repeated bit for bit.

    Args:
        before: the checkpoint's configuration.
        config: the configuration now.
        machine_before: what `this_machine` said then; anything else where nothing was kept.
        machine: what it says now.
    """
    theirs, ours = flatten(before), flatten(config)
    pairs = [(key, theirs[key], ours[key]) for key in OF_THE_MACHINE if key in theirs and key in ours]
    if isinstance(machine_before, Mapping):
        names = dict.fromkeys([*machine_before, *machine])
        # A machine without a GPU differs by its `device`.
        both = machine_before.keys() & machine
        pairs += [(one, machine_before.get(one), machine.get(one)) for one in names if one != GPU or GPU in both]
    return [f"{key}: {old!r:.80} before, {new!r:.80} now" for key, old, new in pairs if old != new]


def what_changed_of_collecting(before: Mapping[str, Any], config: Mapping[str, Any]) -> list[str]:
    """Return texts about what collects otherwise than at a checkpoint, given its configuration and that of now."""
    theirs, ours = (flatten({"collectors": one.get("collectors")}) for one in (before, config))
    if theirs.keys() != ours.keys():  # there was none, or there is none any more
        return [f"collectors: {_shown(before)} before, {_shown(config)} now"]
    return [
        f"{key}: {theirs[key]!r:.80} before, {ours[key]!r:.80} now"
        for key in OF_COLLECTING
        if key in ours and theirs[key] != ours[key]
    ]


def _shown(config: Mapping[str, Any]) -> str:
    collectors = config.get("collectors")
    return "no section" if collectors is None else f"a section with n={collectors.get('n')}"


@functools.cache
def _versions() -> dict[str, str]:
    return {"python": platform.python_version(), **installed_versions()}


@functools.cache
def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()

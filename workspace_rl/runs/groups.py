"""Runs that differ in their seeds alone, together: groups, and labels that say in what they differ."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from workspace_rl.algorithm.names import all_algorithms
from workspace_rl.config.schema import defaults, flatten
from workspace_rl.runs.record import RunRecord

#: Options that say where and how something is written or computed, not what is learned; runs that differ in these
#: alone have the same configuration.
WITHOUT_EFFECT = (
    "algorithm.seed",
    "algorithm.final_episodes",
    "base_dir",
    "collect_stats",
    "collectors.address",
    "collectors.cpus_each",
    "collectors.max_restarts",
    "collectors.where",
    "compile",
    "device",
    "gym_env.vectorization",
    "logger",
    "matmul_precision",
    "record_best",
    "save_best",
    "torch_threads",
)
#: Differing options that are named in a label; of others only the number.
MOST_OPTIONS = 4


def group_runs(records: Sequence[RunRecord]) -> dict[str, list[RunRecord]]:
    """Group runs by configuration, under labels that say in what they differ; seeds of one configuration are one group.

    Within an environment, a label is the algorithm's name, followed by the options in which the algorithm's groups
    differ, for instance "sac, actor_optimizer.lr=0.001". Equal labels of several environments are one group.
    """
    groups: dict[tuple[str, str], dict[str, list[RunRecord]]] = {}
    for record in records:
        essence = json.dumps(_essence(record), sort_keys=True, default=str)
        groups.setdefault((record.environment, record.algorithm), {}).setdefault(essence, []).append(record)
    labelled: dict[str, list[RunRecord]] = {}
    for (_, algorithm), configurations in groups.items():
        members = list(configurations.values())
        for label, runs in zip(_labels(algorithm, members), members, strict=True):
            labelled.setdefault(label, []).extend(runs)
    return labelled


def _essence(record: RunRecord) -> dict[str, Any]:
    """Return the options that decide what is learned; those that the run's version did not have yet are as today's."""
    known = all_algorithms().get(record.algorithm)
    today = {} if known is None else flatten(defaults(known.config_class, record.config))
    return {
        name: value
        for name, value in {**today, **record.options}.items()
        if not any(name == one or name.startswith(f"{one}.") for one in WITHOUT_EFFECT)
    }


def _labels(algorithm: str, groups: Sequence[Sequence[RunRecord]]) -> list[str]:
    options = [_essence(members[0]) for members in groups]
    absent = object()
    names = {name: None for one in options for name in one}  # a set that keeps the order
    differing = [
        name for name in names if any(one.get(name, absent) != options[0].get(name, absent) for one in options)
    ]
    labels: list[str] = []
    for one in options:
        parts = [f"{name.removeprefix('algorithm.')}={one.get(name, 'absent')}" for name in differing[:MOST_OPTIONS]]
        if len(differing) > MOST_OPTIONS:
            parts.append(f"{len(differing) - MOST_OPTIONS} more")
        label = ", ".join([algorithm, *parts])
        # What the options that are not named would tell apart.
        same = sum(known.split(" #")[0] == label for known in labels)
        labels.append(f"{label} #{same + 1}" if same else label)
    return labels

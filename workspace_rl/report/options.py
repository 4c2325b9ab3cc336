"""Configurations as tables, in which one sees what differs from the defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workspace_rl.algorithm.names import find_algorithm
from workspace_rl.config.schema import defaults, flatten
from workspace_rl.errors import ConfigError

#: Options without a default worth the name: every run sets them, or stores what `auto` has chosen.
IN_EVERY_RUN = (
    "base_dir",
    "gym_env.env_name",
    "compile",
    "matmul_precision",
    "algorithm.total_steps",
    "algorithm.max_epochs",
)

#: An option's name within its table, its value, and whether it differs from its default.
Row = tuple[str, Any, bool]


def option_tables(nested: Mapping[Any, Any], defaults: Mapping[str, Any] | None = None) -> dict[str, list[Row]]:
    """Return nested dictionaries as tables by their first level; what stands there by itself comes first, under "".

    Args:
        nested: plain data.
        defaults: by full names, such as "algorithm.seed"; nothing differs from them if they are None.
    """
    tables: dict[str, list[Row]] = {"": []}
    for section, content in nested.items():
        inside = isinstance(content, Mapping) and bool(content)
        for name, value in flatten(content if inside else {section: content}).items():
            full = f"{section}.{name}" if inside else name
            changed = defaults is not None and full not in IN_EVERY_RUN
            changed = changed and (full not in defaults or defaults[full] != value)  # type: ignore[operator, index]
            tables.setdefault(str(section) if inside else "", []).append((name, value, changed))
    return {section: rows for section, rows in tables.items() if rows}


def default_options(algorithm: str, given: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the defaults of an algorithm's options by full names; None for somebody's own algorithm.

    Args:
        algorithm: its name.
        given: a configuration, which may have sections that are not always there.
    """
    try:
        return flatten(defaults(find_algorithm(algorithm).config_class, given))
    except ConfigError:
        return None


def written_name(algorithm: str) -> str:
    """Return an algorithm's name as one writes it ("SAC" for "sac"), or as it is where it is unknown."""
    try:
        return find_algorithm(algorithm).__name__
    except ConfigError:
        return algorithm

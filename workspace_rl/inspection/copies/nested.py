"""What lists, tuples and mappings hold, however deep."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def flat(value: Any) -> Iterator[Any]:
    """Yield what is in lists, tuples and the values of mappings, however deep."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for one in value:
            yield from flat(one)
    else:
        yield value

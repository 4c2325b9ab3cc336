"""Which rank this program is."""

from __future__ import annotations

import os

from workspace_rl.errors import ConfigError
from workspace_rl.ranks.alone import Alone


def ranks_of_this_program() -> Alone:
    """Return what this program is to the other ranks, by the environment variables that torchrun sets.

    Raises:
        ConfigError: these are no numbers.
    """
    names = ("RANK", "WORLD_SIZE")
    if not all(name in os.environ for name in names):
        return Alone()
    # Imported here: whoever trains alone needs none of it.
    from workspace_rl.ranks.together import Together

    found = {name: os.environ[name] for name in (*names, "LOCAL_RANK") if name in os.environ}
    try:
        numbers = {name: int(value) for name, value in found.items()}
    except ValueError:
        raise ConfigError(
            f"whole numbers expected in the environment variables of torchrun, {found} found. Start several ranks by "
            "torchrun, and a single one without these variables."
        ) from None
    return Together(numbers["RANK"], numbers["WORLD_SIZE"], local_rank=numbers.get("LOCAL_RANK", 0))

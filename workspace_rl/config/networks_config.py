"""What stands before the networks that choose and judge: what observations of many parts become, and memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from workspace_rl.config.schema import option
from workspace_rl.errors import ConfigError

#: What hidden layers may be made of (see `workspace_rl.agents.build_network`).
BLOCKS = ("plain", "layer_norm", "residual", "batch_renorm")

#: Those of them that look at each row of a batch by itself, so that any algorithm may use them.
ROW_BLOCKS = ("plain", "layer_norm", "residual")


@dataclass
class EncoderConfig:
    """What turns an observation, of one part or of many, into one vector of features."""

    images: str = option("nature_cnn", "the network for pictures", choices=("nature_cnn", "impala_cnn"))
    image_hidden_size: list[int] = option(lambda: [256], "units of the layers that follow it", least=1)
    vector_hidden_size: list[int] = option(lambda: [], "units of the layers over each part that is no picture", least=1)
    hidden_size: list[int] = option(lambda: [], "units of the layers over all parts, side by side", least=1)
    classname: str | None = option(None, "an encoder of your own instead: module:Class")
    arguments: dict[str, Any] = option(dict, "what it is built with besides the parts of the observation")

    def check(self, path: str) -> None:
        """Write a class's name as one; raise a `ConfigError` where there are arguments and no class."""
        if self.classname is not None:
            self.classname = self.classname.replace(":", ".")  # as wrappers are named
        elif self.arguments:
            raise ConfigError(
                f"{path}arguments: none expected without {path}classname, {self.arguments} found. They are for a class "
                "of your own; the library's encoder has options of its own."
            )


@dataclass
class MemoryConfig:
    """What a policy remembers of an episode. Its state is part of the workspace, and is begun anew in each episode."""

    kind: str = option("none", "what remembers", choices=("none", "gru", "lstm", "transformer"))
    size: int = option(64, "numbers that each of its layers gives", least=1)
    n_layers: int = option(1, "how many layers", least=1)
    n_heads: int = option(4, "heads of each layer's attention (transformer); a divisor of size", least=1)
    window: int = option(16, "steps that each layer's attention reaches over, this one included (transformer)", least=2)

    def check(self, path: str) -> None:
        """Raise a `ConfigError` if parameters contradict each other; `path` is put before their names."""
        if self.kind == "transformer" and self.size % self.n_heads:
            raise ConfigError(f"{path}n_heads: a divisor of {path}size = {self.size} expected, {self.n_heads} found.")

    @property
    def remembers(self) -> bool:
        """Whether there is a memory."""
        return self.kind != "none"


def memory_of(parameters: Any) -> MemoryConfig:
    """Return what a policy remembers by an algorithm's parameters: nothing, where they have no such section.

    An algorithm of the user's own may have another section `architecture`, or none.
    """
    memory = getattr(getattr(parameters, "architecture", None), "memory", None)
    return memory if isinstance(memory, MemoryConfig) else MemoryConfig()

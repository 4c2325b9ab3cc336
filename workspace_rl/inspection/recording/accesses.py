"""The words of a recording: calls, their reads and writes, and where values come from."""

from __future__ import annotations

from dataclasses import dataclass

import torch

#: Where a value comes from that no agent has computed in the traced program.
REPLAYED, GIVEN = "replayed", "given"
#: This library's functions that put what is stored into the form of transitions; and those that only move it there.
PREPARING = ("n_step_transitions", "clip_rewards", "OffPolicyAlgorithm.transitions")
MOVING = ("run_over", "Fronts.run_over", "Fronts.for_actor", "counting_steps", "steps_side_by_side", "_take_features")


@dataclass(frozen=True)
class Source:
    """Where a value comes from."""

    #: `REPLAYED` (a stored value), `GIVEN` (an input of the trace), "agent" or "function".
    kind: str
    #: The agent or function that computed it.
    name: str = ""

    @property
    def fresh(self) -> bool:
        """Whether an agent or function of the traced program has computed it."""
        return self.kind in ("agent", "function")

    def __str__(self) -> str:
        """Return a word or two for tables."""
        return f"from {self.name}" if self.name else self.kind


@dataclass(eq=False)
class Call:
    """One call of an agent, or a function (a loss) that uses a workspace outside of agents."""

    name: str
    #: Its class, or "function".
    kind: str
    #: The part of the program: "collecting", "update", ...
    part: str
    #: The step it was called with, if any.
    t: int | None = None
    #: Whether it stands for environments.
    environment: bool = False
    #: Whether these are several, and each is reset by itself when its episode ends.
    resets: bool = False
    #: Whether it is known to remember: it has a recurrent network, or names state variables.
    remembers: bool = False
    #: The state variables that it declares, without its prefix.
    states: tuple[str, ...] = ()
    #: Why it could not be traced to its end, if so.
    untraced: str = ""

    @property
    def is_function(self) -> bool:
        """Whether it is a function, not an agent."""
        return self.kind == "function"

    @property
    def prepares(self) -> bool:
        """Whether it is one of this library's functions that put what is stored into the form of transitions."""
        return self.is_function and self.name in PREPARING + MOVING

    def __str__(self) -> str:
        """Return the name for messages."""
        if self.is_function:
            return f"function {self.name!r}"
        return f"agent {self.name!r} ({self.kind})" if self.name != self.kind else f"agent {self.name!r}"


@dataclass(eq=False)
class Access:
    """One read or write of a variable."""

    call: Call
    variable: str
    #: None for the whole variable.
    step: int | None
    writes: bool
    #: Of one step, `[B, ...]`; of the whole variable, `[T, B, ...]`.
    shape: tuple[int, ...]
    dtype: torch.dtype
    #: Where the value that is read, or that is overwritten, comes from.
    source: Source | None
    #: Tells workspaces apart.
    workspace: int = 0

    @property
    def layout(self) -> str:
        """Shape and dtype for messages, `[B, 3] float32`."""
        shape = list(map(str, self.shape))
        index = 0 if self.step is not None else 1
        if len(shape) > index:
            shape[index] = "B"
        if self.step is None and shape:
            shape[0] = "T"
        return f"[{', '.join(shape)}] {str(self.dtype).removeprefix('torch.')}"

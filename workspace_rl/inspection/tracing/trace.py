"""What a trace has seen of a program."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from workspace_rl.inspection.memories.faults import Fault
from workspace_rl.inspection.origins.ratios import Ratio
from workspace_rl.inspection.origins.rows import Crossing
from workspace_rl.inspection.origins.trainings import Owners, Training
from workspace_rl.inspection.recording.accesses import Access, Call
from workspace_rl.inspection.recording.recorder import Recorder
from workspace_rl.inspection.topology.topology import Topology
from workspace_rl.inspection.tracing.broadcasting import Broadcast
from workspace_rl.inspection.tracing.layouts import Layouts
from workspace_rl.inspection.tracing.limits import is_limit, reason
from workspace_rl.variables.state_before import BEFORE


@dataclass(eq=False)
class Failure:
    """What went wrong in a call, while it was traced."""

    call: Call
    error: Exception
    #: Whether the error says that the trace, not the program, is at its end.
    untraceable: bool
    #: What the call has read before.
    reads: list[Access] = field(default_factory=list)


@dataclass(eq=False)
class IdleStep:
    """An optimiser's step without a gradient for any of its parameters."""

    optimizer: str
    call: Call


@dataclass(frozen=True)
class Stop:
    """A loop over time that ends where a variable says so."""

    #: Who runs, for messages.
    agent: str
    part: str
    variable: str
    #: Whether no number of steps ends it, either.
    unlimited: bool


@dataclass
class Trace:
    """What a program reads and writes, in the order in which it does."""

    #: The program's name.
    name: str
    recorder: Recorder = field(default_factory=Recorder)
    failures: list[Failure] = field(default_factory=list)
    idle_steps: list[IdleStep] = field(default_factory=list)
    broadcasts: list[Broadcast] = field(default_factory=list)
    #: Where a row of a batch got what belongs to the next one.
    crossings: list[Crossing] = field(default_factory=list)
    #: Ratios of what may be probabilities.
    ratios: list[Ratio] = field(default_factory=list)
    #: The losses that optimisers minimise, each with what it comes from and whom it trains.
    trainings: list[Training] = field(default_factory=list)
    #: To whom parameters belong.
    owners: Owners = field(default_factory=Owners)
    stops: list[Stop] = field(default_factory=list)
    #: The variable of the evaluated policy that depends on random numbers, "" if none does.
    explores: str = ""
    #: The buffers that policies change by what they observe, by agent.
    gathers: dict[str, list[str]] = field(default_factory=dict)
    #: What is wrong with what policies remember.
    memories: list[Fault] = field(default_factory=list)
    #: The layouts of what an update is given.
    batch: Layouts = field(default_factory=dict)
    #: The layouts of the frames that it is made of.
    frames: Layouts = field(default_factory=dict)
    #: Whether the update's modules have recurrent networks.
    recurrent: bool = False
    #: What an update is given besides.
    flags: dict[str, Any] = field(default_factory=dict)
    #: The optimisers whose gradients depend on pairs of frames that only carry a reset.
    counts_resets: list[str] = field(default_factory=list)
    #: What could not be traced and why, one sentence each.
    notes: list[str] = field(default_factory=list)
    #: The parts, in order.
    parts: list[str] = field(default_factory=list)
    #: What keeps what is collected, what its batches are, and what names the variables that are kept: in words.
    kept_in: str = "replay buffer"
    batch_kind: str = "a replayed batch of transitions"
    stored_by: str = "stored_variables"
    #: The class that may add variables to batches, where it is the user's own.
    adder: str = ""
    #: The number of frames of a batch, 0 where nothing is learned from.
    window: int = 0
    #: How many of them memories run over without gradients.
    burn_in: int = 0
    #: The variables that are kept to be learned from.
    stored: list[str] = field(default_factory=list)
    #: Who sends what to whom, where somebody collects beside the learner.
    topology: Topology | None = None

    @property
    def remembers(self) -> bool:
        """Whether an update is given, or runs, what is known to have a memory."""
        given = any(name.endswith(("/timestep", BEFORE)) for name in self.batch)
        return given or self.recurrent or any(one.remembers for one in self.recorder.calls)

    def begin(self, part: str) -> None:
        """Go on to the next part of the program."""
        self.recorder.part = part
        self.parts.append(part)

    def fail(self, call: Call, error: Exception) -> None:
        """Note an error of a call."""
        untraceable = is_limit(error)
        if untraceable:
            call.untraced = reason(error)
        reads = [one for one in self.recorder.accesses if one.call is call and not one.writes]
        self.failures.append(Failure(call, error, untraceable, reads))

"""What the learner asks of a collector, and what comes back."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field

import numpy as np
import torch

from workspace_rl.experience.fragment import Effort, Episodes, Fragment
from workspace_rl.learning.state.packed_weights import PackedWeights

#: The values of variables, by their names.
Arrays = dict[str, np.ndarray]


@dataclass
class History:
    """What a collector has done since its environments were made: from this, others can be brought where they were."""

    #: The actions of each fragment since then, `[T, B, ...]`.
    actions: list[np.ndarray] = field(default_factory=list)
    #: The checksum of what the environments returned, for each of these fragments.
    checksums: list[int] = field(default_factory=list)
    #: What policies have written at the last frame, `[T', B, ...]`.
    carried: Arrays = field(default_factory=dict)
    #: What policies keep in plain attributes (see `PlainAttributes`).
    kept: bytes = b""

    def add(self, delivery: Delivery) -> None:
        """Note what has been delivered."""
        self.actions.append(delivery.actions)
        self.checksums.append(delivery.checksum)
        self.carried, self.kept = delivery.carried, delivery.kept


@dataclass(frozen=True)
class Order:
    """One fragment that is to be collected. Its content follows from what stands here, not from where or when."""

    #: The number of the collector.
    collector: int
    #: How many fragments were ordered of it before.
    number: int
    #: Which environments act, by the numbers that their seeds are derived from: others than before are made anew.
    environments: tuple[int, ...]
    #: How many fragments were ordered of these environments before.
    index: int
    #: Steps of each environment.
    n_steps: int
    #: Transitions of the run so far, which agents are given for their schedules.
    step: int
    #: Whether actions shall be random.
    random: bool
    #: The number of the update that made the weights.
    version: int
    #: None: those of the order before, for a process that has them already.
    weights: PackedWeights | None
    #: From which the environments are first brought to where they were, after they were lost.
    history: History | None = None


@dataclass
class Delivery:
    """A fragment, as it travels."""

    collector: int
    number: int
    version: int
    #: The stored variables, `[T, B, ...]`.
    frames: Arrays
    #: Transitions that lead to the frames, summed over environments.
    n_transitions: int
    #: Whether the first frame follows nothing.
    begins_anew: bool
    #: How many frames have stood at the end of the fragment before.
    n_repeated: int
    #: Of the episodes that ended, `[n]` float64 and float32.
    returns: np.ndarray
    lengths: np.ndarray
    #: The policy's state before the first frame, `[B, ...]`.
    state: Arrays
    #: The actions of the frames, `[T, B, ...]`.
    actions: np.ndarray
    #: What policies have written at the last frame, `[T', B, ...]`, and what they keep in plain attributes.
    carried: Arrays
    kept: bytes
    #: The checksum of what the environments returned.
    checksum: int
    #: What collecting it took.
    effort: Effort | None = None

    def fragment(self) -> Fragment:
        """Return the fragment."""
        frames = Fragment(
            n_transitions=self.n_transitions,
            collector=self.collector,
            number=self.number,
            version=self.version,
            begins_anew=self.begins_anew,
            n_repeated=self.n_repeated,
            episodes=lambda: Episodes(_tensor(self.returns), _tensor(self.lengths)),
            state={name: _tensor(value) for name, value in self.state.items()},
            effort=self.effort,
        )
        for name, value in self.frames.items():
            frames.set_full(name, _tensor(value))
        return frames


class EnvironmentsDifferError(Exception):
    """Environments that were made anew, after they were lost, do not repeat what they did."""


@dataclass(frozen=True)
class Failure:
    """That a collector was lost, and with it what was ordered of it, or that it could not do what was ordered."""

    collector: int
    #: What went wrong, in one line, and the whole text if there is one.
    error: str
    details: str = ""
    #: What was raised, if it could be sent.
    exception: BaseException | None = None

    @classmethod
    def of(cls, collector: int, exception: BaseException) -> Failure:
        """Return the failure of a collector that has raised an exception."""
        lines = "".join(traceback.format_exception(exception)).rstrip()
        return cls(collector, f"{type(exception).__name__}: {exception}", lines, exception)


def _tensor(value: np.ndarray) -> torch.Tensor:
    # What comes out of a store that several processes share is for reading only, which torch does not know.
    return torch.from_numpy(value if value.flags.writeable else value.copy())

"""Where a value comes from: which reads, which networks, and which of them gradients reach."""

from __future__ import annotations

from dataclasses import dataclass

#: Variables that say what follows counts, and endings of the names of those that do not.
MASKS = ("terminated", "truncated", "done", "discount")
NO_MASKS = ("reward", "timestep", "action", "logprobs", "log_probs", "logprob", "log_prob", "obs", "observation")


@dataclass(frozen=True)
class Read:
    """A variable of a workspace that was read."""

    variable: str
    #: 0, 1 (what follows), or None for all steps.
    step: int | None
    #: Whether it is a stored value, not one that the program has computed.
    stored: bool
    #: Of one step, `[B, ...]`.
    shape: tuple[int, ...] = ()
    floating: bool = True


@dataclass(frozen=True)
class Net:
    """A network, and the steps that what it judges comes from."""

    name: str
    key: int
    steps: frozenset[int | None]

    @property
    def next(self) -> bool:
        """Whether it judges what follows."""
        return 1 in self.steps and None not in self.steps

    @property
    def first(self) -> bool:
        """Whether it judges what is stored at step 0, and nothing that follows."""
        return self.steps == {0}


@dataclass(frozen=True)
class Fit:
    """A value that is compared with a reward: the prediction of a loss."""

    reads: frozenset[Read]
    nets: frozenset[Net]
    greedy: bool
    #: The networks that gave something of the shape of an action.
    acting: frozenset[int]


@dataclass(frozen=True)
class Comparison:
    """A prediction that a loss compares with a reward, and with the value of what follows if that is in it."""

    fits: frozenset[Fit]
    #: Whether the reward was added to the value of what follows.
    temporal: bool
    #: What the value of what follows is made of, with all that weighs it.
    bootstrapped: frozenset[Read]
    #: The networks that judge what follows and that gradients reach through it.
    undetached: frozenset[Net]
    #: The networks that judge step 0 where the value of what follows is meant, and whether a mask weighs them.
    early: frozenset[tuple[Net, bool]]
    nets: frozenset[Net]


@dataclass(frozen=True)
class Origins:
    """Where one tensor comes from."""

    reads: frozenset[Read] = frozenset()
    nets: frozenset[Net] = frozenset()
    #: Those of `nets` that gradients reach through it.
    live: frozenset[Net] = frozenset()
    greedy: bool = False
    acting: frozenset[int] = frozenset()
    # Of a comparison that is being made: see there.
    fits: frozenset[Fit] = frozenset()
    temporal: bool = False
    bootstrapped: frozenset[Read] = frozenset()
    undetached: frozenset[Net] = frozenset()
    early: frozenset[tuple[Net, bool]] = frozenset()
    #: What losses within it have compared.
    comparisons: frozenset[Comparison] = frozenset()
    lossy: bool = False

    @property
    def reward(self) -> bool:
        """Whether a stored reward is in it."""
        return any(one.stored and is_reward(one.variable) for one in self.reads)

    @property
    def next(self) -> bool:
        """Whether a network's judgement of what follows is in it."""
        return any(one.next for one in self.nets)

    @property
    def predicts(self) -> bool:
        """Whether it is, or holds, a value at step 0 that can learn."""
        return any(one.first for one in self.live)


NOTHING = Origins()


def is_reward(variable: str) -> bool:
    """Return whether a variable is a reward, by its name."""
    return variable.rpartition("/")[2] == "reward"


def is_mask(read: Read) -> bool:
    """Return whether a variable may say whether, and by how much, what follows counts."""
    name = read.variable.rpartition("/")[2]
    if name in MASKS:
        return True
    one_number = len(read.shape) == 1 or (len(read.shape) == 2 and read.shape[1] == 1)
    return one_number and read.stored and not name.endswith(NO_MASKS)

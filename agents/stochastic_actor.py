"""What stochastic policies have in common: one agent acts, learns, and is evaluated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

from torch import Tensor

from workspace_rl.agents.distributions import Distribution, only_allowed
from workspace_rl.agents.masks import read_mask, require_allowed
from workspace_rl.agents.perceptron_agent import ObservationOptions, PerceptronAgent
from workspace_rl.basics.arguments import checked
from workspace_rl.errors import CompositionError


class StochasticActor(PerceptronAgent):
    """Base class of policies that draw their actions from a distribution.

    Reads the observation and, unless `given`, chooses an action: draws it, and writes `action` and `action_logprobs`
    (`[B]`, natural logarithm), or, with `stochastic=False`, writes the most likely one as `action` alone.

    With `given=True` it reads the action that was chosen before, and writes `action_logprobs` and `entropy` (`[B]`,
    nats): what the present weights say of it. `given_variables` are the variables that it then reads besides the
    observation: those that have to be stored.

    All at a step `t`, or, with `t=None`, over all of time in one call: variables are then `[T, B, ...]`.
    """

    def __init__(
        self,
        observation_size: int,
        hidden_sizes: Sequence[int],
        n_outputs: int,
        **options: Unpack[ObservationOptions],
    ) -> None:
        """Build a perceptron with `n_outputs` outputs; for the options see `PerceptronAgent`.

        The last layer's gain is 0.01, so that at first the observation makes hardly any difference (Huang et al. 2022,
        "The 37 Implementation Details of Proximal Policy Optimization", detail 2).
        """
        super().__init__(observation_size, hidden_sizes, n_outputs, 0.01, **options)

    @property
    def given_variables(self) -> tuple[str, ...]:
        """The names of the variables that are read when the action is given, besides the observation."""
        return ("action",)

    def forward(self, t: int | None = None, stochastic: bool = True, given: bool = False, **kwargs: Any) -> None:
        """Choose actions, or look at those that were chosen.

        Args:
            t: the step; None for all steps at once.
            stochastic: draw the action; otherwise take the most likely one, and draw no random numbers.
            given: read the action instead of choosing it.
            **kwargs: ignored.
        """
        distribution = self.distribution(t, given)
        if given:
            choice = self.get(self.given_variables[0], t)
            self.set("action_logprobs", t, distribution.log_prob(choice))
            self.set("entropy", t, distribution.entropy(choice))
        elif stochastic:
            choice = distribution.draw()
            self.write_choice(t, choice)
            self.set("action_logprobs", t, distribution.log_prob(choice))
        else:
            self.set("action", t, self.action_of(distribution.mode()))

    def distribution(self, t: int | None = None, given: bool = True) -> Distribution:
        """Return the distribution of actions at step `t`, or, with `t=None`, of all steps, during a call.

        Where an action is still to be chosen (not `given`), one must be allowed.
        """
        raise CompositionError(
            f"{self.description()} does not say how actions are distributed: implement distribution(self, t, given) in "
            f"{type(self).__name__}."
        )

    def action_of(self, choice: Tensor) -> Tensor:
        """Return the action that a choice stands for."""
        return choice

    def write_choice(self, t: int | None, choice: Tensor) -> None:
        """Write what was chosen."""
        self.set("action", t, choice)


class ChoosingOptions(ObservationOptions, total=False):
    """What a policy for choices may be told besides its sizes (see `ChoosingActor`)."""

    mask_variable: str | None


class ChoosingActor(StochasticActor):
    """Base class of policies whose actions are choices, of which a mask may allow some and not others.

    With `mask_variable` it reads that variable, bool `[B, n_outputs]` (`[T, B, n_outputs]` with `t=None`), and what is
    not allowed has probability 0. Where it is to choose, and nothing is allowed, it raises an `ActionError`.
    """

    #: Whether each part of an action needs a choice that is allowed.
    needs_allowed = True

    @checked()
    def __init__(
        self,
        observation_size: int,
        hidden_sizes: Sequence[int],
        n_outputs: int,
        *,
        mask_variable: str | None = None,
        **options: Unpack[ObservationOptions],
    ) -> None:
        """Build a perceptron with one output for each choice; for the other options see `PerceptronAgent`."""
        super().__init__(observation_size, hidden_sizes, n_outputs, **options)
        self.mask_variable = mask_variable

    @property
    def given_variables(self) -> tuple[str, ...]:
        """The names of the variables that are read when the action is given, besides the observation."""
        return ("action",) if self.mask_variable is None else ("action", self.mask_variable)

    def logits(self, t: int | None, given: bool) -> Tensor:
        """Return the logits of all choices, in which only what is allowed counts, as `arranged`."""
        logits = self.arranged(self.outputs(t))
        if self.mask_variable is None:
            return logits
        allowed = self.arranged(read_mask(self, self.mask_variable, t, self.head.out_features))
        if self.needs_allowed and not given:
            require_allowed(allowed, self, self.mask_variable, t)
        return only_allowed(logits, allowed)

    def arranged(self, row: Tensor) -> Tensor:
        """Return a row for all choices, `[*L, n_outputs]`, as the distribution takes it."""
        return row

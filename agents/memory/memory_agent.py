"""What agents with a memory have in common: where their state comes from, and where it is begun anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import torch
from torch import Tensor

from workspace_rl.agent import Agent, before
from workspace_rl.agents.networks import full_precision
from workspace_rl.agents.observations import network_input, one_hot
from workspace_rl.basics.arguments import checked
from workspace_rl.errors import CompositionError, UnsupportedSpaceError

State = dict[str, Tensor]


class MemoryOptions(TypedDict, total=False):
    """What a memory may be told besides its sizes (see `MemoryAgent`)."""

    observation_variable: str
    observation_choices: Sequence[Sequence[int]] | None
    features_variable: str
    timestep_variable: str
    name: str | None


class MemoryAgent(Agent):
    """Base class of agents with a memory: features of an observation, and of what was seen before it in the episode.

    Reads the observation (`[B, input_size]`) and `env/timestep` (`[B]`) at `t`, and its own state at `t - 1`; writes
    `<prefix>memory` (`[B, n_features]`) and the state, `<prefix>memory/<part>` (`[B, ...]`), at `t`. With `t=None` it
    does so over all of time, `[T, B, ...]`: the same numbers up to rounding, in less time.

    The state is zeros wherever an episode begins: where `env/timestep` is 0. At the first step of a piece of time
    that goes on from another one it is what `memory/<part>/before` holds, `[1, B, ...]`, if that is there, and zeros
    if not. It is read under this name whatever the prefix, so that a copy, such as
    `copy.deepcopy(memory).with_prefix("target-critic/")`, begins with what acting has stored.

    A memory of your own says what its state is made of, and how one step changes it, for all environments at once;
    the rest is done here. This one remembers how much of each number there was lately:

        class Traces(MemoryAgent):
            def __init__(self, input_size, decay=0.9, **options):
                super().__init__(input_size, input_size, {"trace": [input_size]}, **options)
                self.decay = decay

            def step(self, inputs, state):
                trace = self.decay * state["trace"] + inputs
                return trace, {"trace": trace}
    """

    #: Whether the state is small enough to be stored with each frame that is learned from.
    stores_state: bool = True
    like: Tensor

    @checked(least={"input_size": 1, "n_features": 1})
    def __init__(
        self,
        input_size: int,
        n_features: int,
        state_shapes: Mapping[str, Sequence[int]],
        *,
        observation_variable: str = "env/env_obs",
        observation_choices: Sequence[Sequence[int]] | None = None,
        features_variable: str = "memory",
        timestep_variable: str = "env/timestep",
        name: str | None = None,
    ) -> None:
        """Say what is read and written.

        Args:
            input_size: how many numbers an observation has.
            n_features: how many numbers are written.
            state_shapes: the parts of the state by their names, each with its shape without `B`.
            observation_variable: what is read.
            observation_choices: for observations that are choices (`GymAgent.observation_choices`), which are then
                given to `step` one-hot.
            features_variable: what is written, "memory", and the beginning of what the state is called.
            timestep_variable: where an episode begins, this variable is 0.
            name: the agent's name.

        Raises:
            CompositionError: the choices do not make up the observation's size, or a part of the state has no shape.
        """
        super().__init__(name)
        self.observation_variable, self.features_variable = observation_variable, features_variable
        self.timestep_variable = timestep_variable
        self.one_hot = one_hot(observation_choices, input_size, self.description())
        self.input_size = input_size
        #: How many features there are.
        self.n_features = n_features
        self._state_shapes = _shapes(state_shapes, self.description())
        #: The names of the state's variables, without the prefix.
        self.state_variables = tuple(f"{features_variable}/{part}" for part in self._state_shapes)
        # Has the type of number that `agent.double()` and the like give to all weights.
        self.register_buffer("like", torch.zeros(1), persistent=False)

    @property
    def given_variables(self) -> tuple[str, ...]:
        """The names of the variables that are read besides the observation, whether an action is given or not."""
        return (self.timestep_variable,)

    def step(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the features of one step, and the state after it.

        Args:
            inputs: `[B, input_size]`, numbers like the agent's weights.
            state: by the names of its parts, `[B, ...]`; zeros where an episode begins.

        Returns:
            The features, `[B, n_features]`, and a new dictionary with all parts of the state.
        """
        raise NotImplementedError(
            f"{self.description()} does not say how it remembers: implement step(self, inputs, state)."
        )

    def sequence(self, inputs: Tensor, begins: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the features of all steps, `[T, B, n_features]`, and the state after each, `[T, B, ...]`.

        Steps follow each other here; a memory that can do better than that, does.

        Args:
            inputs: `[T, B, input_size]`.
            begins: `[T, B]`, whether an episode begins at a step: the state before it is zeros.
            state: what it is before the first step, `[B, ...]`.
        """
        features, states = [], []
        for one, new in zip(inputs.unbind(0), begins.unbind(0), strict=True):
            output, state = self._checked_step(one, {part: reset(value, new) for part, value in state.items()})
            features.append(output)
            states.append(state)
        return torch.stack(features), {part: torch.stack([one[part] for one in states]) for part in self._state_shapes}

    def forward(self, t: int | None = None, **kwargs: Any) -> None:
        """Remember step `t`, which follows the one before it, or all steps, one after the other."""
        inputs = self._inputs(t)
        begins = self.get(self.timestep_variable, t) == 0
        if t is None:
            features, state = self.sequence(inputs, begins, self._state_before(inputs.shape[1]))
        else:
            features, state = self._checked_step(inputs, self._state_at(t, begins))
            if not t:
                self._check_shapes(state)
        written = self.prefix + self.features_variable
        self.set(written, t, features)
        for part in self._state_shapes:
            self.set(f"{written}/{part}", t, state[part])

    def _inputs(self, t: int | None) -> Tensor:
        leading = 2 if t is None else 1
        observation = self.get(self.observation_variable, t)
        inputs = network_input(observation, self.one_hot, self, self.like, leading)
        if inputs.shape[leading:] != (self.input_size,):
            raise UnsupportedSpaceError(
                f"{self.description()} was built for vectors of {self.input_size} numbers, but "
                f"{self.observation_variable!r} has the shape {list(inputs.shape[leading:])} in each environment. "
                "Build it with another input_size; pictures need an encoder first, whose features it then reads."
            )
        return inputs

    def _checked_step(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        returned: Any = self.step(inputs, state)
        if not isinstance(returned, tuple):
            raise CompositionError(
                f"{self.description()}: step(inputs, state) returned {type(returned).__name__}, two things expected: "
                "return features, {part: value}."
            )
        features, after = returned
        if after.keys() != self._state_shapes.keys():
            raise CompositionError(
                f"{self.description()}: step(inputs, state) returned the state {list(after)}, "
                f"{list(self._state_shapes)} expected. Return all parts that were announced to MemoryAgent.__init__."
            )
        # What 16 bits cut off would add up over time.
        return full_precision(features), {part: full_precision(value) for part, value in after.items()}

    def _check_shapes(self, state: State) -> None:
        """Raise CompositionError where a step has given a part of the state of another shape than was announced."""
        for part, shape in self._state_shapes.items():
            if state[part].shape[1:] != shape:
                raise CompositionError(
                    f"{self.description()}: step(inputs, state) returned {part!r} of shape {list(state[part].shape)}, "
                    f"[{', '.join(map(str, ('B', *shape)))}] expected, as was announced to MemoryAgent.__init__."
                )

    def _state_at(self, t: int, begins: Tensor) -> State:
        if t == 0:
            state = self._state_before(len(begins))
        else:
            written = self.prefix + self.features_variable
            state = {part: self.get((f"{written}/{part}", t - 1)) for part in self._state_shapes}
        return {part: reset(value, begins) for part, value in state.items()}

    def _state_before(self, n_envs: int) -> State:
        """Return the state before the first step, `[B, ...]`."""
        workspace, state = self.running_workspace(), {}
        for part, name in zip(self._state_shapes, map(before, self.state_variables), strict=True):
            if name in workspace.variables:  # as in BBRL's own workspace
                state[part] = workspace.get(name, 0)
            else:
                shape = (n_envs, *self._state_shapes[part])
                state[part] = full_precision(self.like).new_zeros(shape)
        return state


def _shapes(state_shapes: Mapping[str, Any], who: str) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a state's parts as tuples."""
    for part, shape in state_shapes.items():
        if not isinstance(shape, Sequence):
            raise CompositionError(
                f"{who}: state_shapes[{part!r}]: a shape without B expected, such as [{shape}] or, for one number, [], "
                f"{shape!r} found."
            )
    return {part: tuple(shape) for part, shape in state_shapes.items()}


def reset(state: Tensor, begins: Tensor) -> Tensor:
    """Return a part of the state, `[B, ...]`, with zeros where `begins`, `[B]`, says that an episode does."""
    return state.masked_fill(begins.view(-1, *[1] * (state.ndim - 1)), 0)

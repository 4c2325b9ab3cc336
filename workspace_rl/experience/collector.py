"""Collecting experience."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Mapping
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from workspace_rl.agent import Agent, before, state_variables
from workspace_rl.basics.arguments import checked
from workspace_rl.basics.plain_data import whole_number
from workspace_rl.basics.seeding import RENEWAL, TRAINING_EPISODES, RandomState, episode_seeds
from workspace_rl.composition import Agents, TemporalAgent
from workspace_rl.envs.gym_agent import GymAgent
from workspace_rl.errors import CompositionError
from workspace_rl.experience.fragment import Episodes, Fragment
from workspace_rl.learning.modes import evaluation_mode
from workspace_rl.learning.state.transfer import Transfer
from workspace_rl.workspace import Workspace


class Collecting(Protocol):
    """What the loop asks of a collector, wherever its environments are: these four methods, and nothing else.

    Whatever it counts or remembers besides is not in checkpoints, after which a run goes on with `renew`.
    """

    def collect(self, n_steps: int, *, step: int, random: bool) -> Fragment:
        """Run each environment for `n_steps` steps and return what is new.

        Args:
            n_steps: steps of each environment.
            step: transitions of the run so far, which agents are given for their schedules.
            random: whether actions shall be random.
        """

    def load_policy(self, learner_policy: Agent, version: int) -> None:
        """Act with the weights of `learner_policy` from now on, which update number `version` has made."""

    def renew(self, n_transitions: int) -> None:
        """Begin new episodes in new environments: always the same ones after `n_transitions` transitions in all."""

    def close(self) -> None:
        """Close the environments; the run is over, or has failed."""


class Collector:
    """Runs environments with a policy of its own, whose weights and buffers are a copy of the learner's.

    It meets the learner at the fragments that it returns and at `load_policy`, nowhere else.
    """

    @checked(error=CompositionError)
    def __init__(
        self,
        env_agent: GymAgent,
        policy: Agent,
        random_policy: Agent | None = None,
        *,
        keep_modes: bool = False,
        choose_anew: bool = False,
        seed: int = 1,
        number: int = 0,
    ) -> None:
        """Collect from `env_agent` (with auto-reset) by `policy`, or by `random_policy` when asked to.

        They act in evaluation mode, or, with `keep_modes`, in the modes that their modules have now. The episodes of
        environments that are made anew are derived from `seed`. Of several collectors that fill one experience, each
        has its own `number`.

        With `choose_anew`, the action of a fragment's last frame is chosen again where the next fragment goes on from
        it, and this frame is the first one of the next fragment, too: all that is done there is then chosen by the
        weights that act, as on-policy algorithms need it.

        A policy with memory goes on from call to call, and acts at each step before the random policy does, which then
        only chooses another action.
        """
        self.env_agent = env_agent
        self.policy = policy.clone().requires_grad_(False)
        self._keep_modes, self._seed, self._number = keep_modes, seed, number
        self._choose_anew = choose_anew
        if not keep_modes:
            for part in self.policy.modules():
                part.training = False
        acting, self._afterwards = _apart(self.policy)
        self._states = tuple(state_variables(self.policy))
        self._agent = TemporalAgent(Agents(env_agent, acting))
        remembering = (acting,) if self._states else ()
        self._random_agent = (
            None if random_policy is None else TemporalAgent(Agents(env_agent, *remembering, random_policy))
        )
        self._last_frame: Workspace | None = None
        self._weights = Transfer(self.policy)
        self._version = self._n_fragments = 0
        #: Transitions so far, summed over environments.
        self.n_transitions = 0

    def load_policy(self, learner_policy: Agent, version: int = 0) -> None:
        """Take over the weights and the buffers of the learner's policy; what acting has changed in them is lost.

        Args:
            learner_policy: built like the one that the collector was given.
            version: the number of the update that made them, which fragments carry.

        Raises:
            CompositionError: the policy is not built like the one that the collector was given.
        """
        self._weights(learner_policy)
        self._version = version

    def restart(self, n_transitions: int) -> None:
        """Begin anew at the next `collect`, with a reset of the environments, after `n_transitions` in all."""
        self._last_frame = None
        self.n_transitions = n_transitions

    def renew(self, n_transitions: int) -> None:
        """Begin new episodes in new environments, which are the same ones whenever that is done at this number."""
        with RandomState(self._seed, RENEWAL, n_transitions):
            n_envs = self.env_agent.n_envs
            self.env_agent.renew(episode_seeds(self._seed, TRAINING_EPISODES, n_transitions, n=n_envs))
        self.restart(n_transitions)

    def close(self) -> None:
        """Close the environments."""
        self.env_agent.close()

    @torch.no_grad()
    def collect(self, n_steps: int, *, step: int | None = None, random: bool = False) -> Fragment:
        """Run `n_steps` steps and return the frames that are new, `[T, B, ...]`.

        T is `n_steps`, plus 1 for the frame of the reset at the first call and at the first one after `restart`, or,
        with `choose_anew`, for the frame that each call goes on from. The last frame has its action already: otherwise
        the next call goes on from there. All agents get the keyword argument `step`, for schedules: the number of
        transitions before this call, `n_transitions` unless others collect, too.
        """
        n_steps = whole_number(n_steps, "n_steps", least=1)
        if step is not None:
            self.n_transitions = step
        if random and self._random_agent is not None:
            # It is no copy, and may share modules with the learner, which keep their modes.
            with contextlib.nullcontext() if self._keep_modes else evaluation_mode(self._random_agent):
                return self._collect(self._random_agent, n_steps)
        return self._collect(self._agent, n_steps)

    @torch.no_grad()
    def repeat(self, actions: Tensor) -> Fragment:
        """Step the environments by actions that were collected before, `[T, B, ...]`, from where they are now.

        Returns:
            The frames that are new, as many as `actions` has, without what policies write besides.
        """
        begins = self._last_frame is None
        extra = begins or self._choose_anew
        again = _Recorded(actions, self.env_agent.input_name, 0 if extra else 1)
        return self._collect(TemporalAgent(Agents(self.env_agent, again)), len(actions) - extra)

    def carried(self) -> dict[str, Tensor]:
        """Return what policies have written at the last frame, `[T, B, ...]`: the next `collect` may read it."""
        frame, prefix = self._last_frame, self.env_agent.output_prefix
        return {} if frame is None else {name: frame.get_full(name) for name in frame if not name.startswith(prefix)}

    def carry_on(self, carried: Mapping[str, Tensor]) -> None:
        """Put what `carried` has returned to the last frame, after environments were brought to where they were."""
        if self._last_frame is not None:
            for name, value in carried.items():
                self._last_frame.set_full(name, value)

    def _collect(self, agent: TemporalAgent, n_steps: int) -> Fragment:
        returns: list[np.ndarray] = []
        self.env_agent.returns_log = returns
        n_running = 0  # environments whose episode goes on after the last frame
        begins_anew = self._last_frame is None
        if self._last_frame is None:
            workspace, n_before = Workspace(), 0
            agent(workspace, t=0, n_steps=n_steps + 1, step=self.n_transitions)
        else:
            workspace, n_before = self._last_frame, 1
            n_running = _n_running(workspace.get("env/done", 0))
            if self._choose_anew:
                agent.agent[1](workspace, t=0, step=self.n_transitions)  # type: ignore[index]
            agent(workspace, t=1, n_steps=n_steps, step=self.n_transitions)
        self.env_agent.returns_log = None
        acted = agent is self._agent or bool(self._states and agent is self._random_agent)
        if acted:
            for part in self._afterwards:
                part(workspace, step=self.n_transitions)
        n_repeated = n_before if self._choose_anew else 0
        last = workspace.time_size("env/done") - 1
        states = self._states if acted else ()
        state = {name: _taken_before(workspace, name, n_before - n_repeated) for name in states}
        # Cut at the last frame's step: variables that are written ahead of time go on being ahead.
        self._last_frame = workspace.subtime(last)
        for name in states:  # what acts at the last frame again begins there
            self._last_frame.set(before(name), 0, workspace.get(name, last - 1))
        new = workspace.subtime(n_before)
        # A frame that follows the end of an episode only carries a reset: no transition leads to it.
        n_transitions = n_running + _n_running(new.get_full("env/done")[:-1])
        fragment = Fragment(
            workspace if self._choose_anew else new,
            n_transitions=n_transitions,
            collector=self._number,
            number=self._n_fragments,
            version=self._version,
            begins_anew=begins_anew,
            n_repeated=n_repeated,
            episodes=functools.partial(_episodes, new, returns),
            state=state,
        )
        self.n_transitions += n_transitions
        self._n_fragments += 1
        return fragment


def _apart(policy: Agent) -> tuple[Agent, list[Agent]]:
    """Return what acts at each step, and what may look at all steps at once afterwards: the last ones in a row."""
    parts = [*policy] if type(policy) is Agents else [policy]
    afterwards: list[Agent] = []
    while len(parts) > 1 and vars(type(parts[-1])).get("looks_afterwards"):
        afterwards.insert(0, parts.pop())
    return (Agents(*parts) if afterwards else policy), afterwards


class _Recorded(Agent):
    """Writes actions that are known."""

    def __init__(self, actions: Tensor, name: str, first: int) -> None:
        """Write `actions[0]` (`[T, B, ...]`) to the variable `name` at step `first`, and so on."""
        super().__init__()
        self._actions, self._variable, self._first = actions, name, first

    def forward(self, t: int, **kwargs: object) -> None:
        self.set((self._variable, t), self._actions[t - self._first])


def _taken_before(workspace: Workspace, name: str, first: int) -> Tensor:
    """Return what a state variable was before step `first`, and take what tells that of step 0 out of the workspace."""
    told = workspace.variables.pop(before(name), None)
    if first:
        return workspace.get(name, first - 1)
    return torch.zeros_like(workspace.get(name, 0)) if told is None else told.get(0)


def _episodes(frames: Workspace, returns: list[np.ndarray]) -> Episodes:
    """Return the episodes that ended in frames; `returns` holds those so far of each frame, `[B]`."""
    done = frames.get_full("env/done")
    if not done.any():
        return Episodes(torch.empty(0), torch.empty(0))
    ended = torch.from_numpy(np.stack(returns)[done.numpy(force=True)])
    return Episodes(ended, frames.get_full("env/timestep")[done].float())


def _n_running(done: Tensor) -> int:
    # By NumPy, which counts a few numbers several times as fast as torch.
    flags = done.numpy(force=True)
    return flags.size - int(np.count_nonzero(flags))

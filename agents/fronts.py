"""The fronts of off-policy algorithms: before networks that learn, and before their slowly following copies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Self

import torch

from workspace_rl.agent import Agent
from workspace_rl.agents.front import Front, FrontArchitecture, build_front
from workspace_rl.agents.normalization import Normalizers
from workspace_rl.composition import Agents
from workspace_rl.config import PlainActorCriticArchitecture
from workspace_rl.envs.gym_agent import GymAgent
from workspace_rl.experience.sequences import after, run_over
from workspace_rl.learning import copy_parameters, soft_update
from workspace_rl.workspace import Workspace


class Fronts(NamedTuple):
    """What stands before the networks of an algorithm, and before their target networks (see `build_front`).

    `build` makes them, tells its networks what they read, and puts them into its policies and optimisers:

        self.fronts = Fronts.of_actor_critic(self.train_env, sizes, self.normalizers, device=self.device)
        front = self.fronts.online["critic"]
        self.critic = ContinuousQAgent(front.size, ..., **front.reads)
        self.target_critic = copy.deepcopy(self.critic).with_prefix("target-critic/")
        self.target_critic.observation_variable = self.fronts.targets["critic"].variable
        self.critic_optimizer = setup_optimizer(..., self.critic, *self.fronts.learned_with("critic"))
        self.policy = self.normalizers.before(self.fronts.acting(self.actor))
        self.eval_policy = self.normalizers.before(self.fronts.evaluated(self.actor))

    `OffPolicyAlgorithm.transitions` runs them on a batch once. Where networks read observations themselves they are
    empty, and nothing is done.
    """

    #: By the network that reads what they write, first the one that acts. The same one may stand there twice.
    online: dict[str, Front]
    #: Copies of them, by the network whose target network reads what they write.
    targets: dict[str, Front]

    @classmethod
    def of_q(
        cls,
        env_agent: GymAgent,
        architecture: FrontArchitecture,
        normalizers: Normalizers,
        *,
        mask_variable: str | None = None,
        device: torch.device | str = "cpu",
    ) -> Self:
        """Return that of a network "q" that acts and judges, with a copy before its target network.

        For what is raised see `build_front`.
        """
        front = build_front(env_agent, architecture, normalizers, mask_variable=mask_variable)
        return cls._on({"q": front}, ["q"], device)

    @classmethod
    def of_actor_critic(
        cls,
        env_agent: GymAgent,
        architecture: PlainActorCriticArchitecture,
        normalizers: Normalizers,
        *,
        n_critics: int = 2,
        target_actor: bool = False,
        target_critic: bool = True,
        mask_variable: str | None = None,
        device: torch.device | str = "cpu",
    ) -> Self:
        """Return those of "actor" and "critic", as `architecture.front_shared_by` says.

        Args:
            env_agent: whose observations are read.
            architecture: the encoder, the memory, and who shares them.
            normalizers: what observations go through before.
            n_critics: how many critics there are, which may each have its own.
            target_actor: whether there is a target network of the actor.
            target_critic: whether there are target networks of the critics.
            mask_variable: which actions are allowed: a part of the observation that networks do not read.
            device: where they are to be.

        For what is raised see `build_front`.
        """

        def build(*names: str) -> Front:
            return build_front(
                env_agent,
                architecture,
                normalizers,
                mask_variable=mask_variable,
                features_variable="-".join((*names, "features")),
                name="-".join(names),
            )

        if architecture.front_shared_by == "all":
            one = build()
            online = {"actor": one, "critic": one}
        elif architecture.front_shared_by == "critics" or n_critics == 1:
            online = {"actor": build("actor"), "critic": build("critic")}
        else:
            each = [build("critic", str(number)) for number in range(n_critics)]
            online = {"actor": build("actor"), "critic": Front.side_by_side(each)}
        with_target = {"actor": target_actor, "critic": target_critic}
        return cls._on(online, [name for name, has_one in with_target.items() if has_one], device)

    @classmethod
    def _on(cls, online: dict[str, Front], with_target: Iterable[str], device: torch.device | str) -> Self:
        for agent in _agents(online.values()):
            agent.to(device)
        copies = {id(front): front.target() for front in online.values()}
        return cls(online, {name: copies[id(online[name])] for name in with_target})

    # ---- for `build` ----------------------------------------------------------------------------------------------

    def learned_with(self, network: str) -> list[Agent]:
        """Return the agents that a network's loss improves: those of its front, but for the actor's if critics do."""
        front = self.online[network]
        return [] if network == "actor" and front is self.online["critic"] else [*front.agents]

    def acting(self, agent: Agent) -> Agent:
        """Return a policy behind the front that it reads, and behind all others whose states are to be stored."""
        first, *others = self.online.values()
        remembering = [front for front in others if any(getattr(one, "stores_state", False) for one in front.agents)]
        agents = _agents([first, *remembering])
        return Agents(*agents, agent) if agents else agent

    def evaluated(self, agent: Agent) -> Agent:
        """Return a policy behind the front that it reads."""
        return next(iter(self.online.values())).before(agent)

    # ---- for `update` ---------------------------------------------------------------------------------------------

    def encode(self, transitions: Workspace) -> None:
        """Write the features of transitions, `[2, B, ...]`, with gradients at 0 alone: encoders look at each frame.

        Those of targets are written at 1, where target networks are asked.
        """
        online, targets = _agents(self.online.values()), _agents(self.targets.values())
        for agent in online:
            agent(transitions, t=0)
        with torch.no_grad():
            for agent in (*online, *targets):
                agent(transitions, t=1)

    def run_over(self, window: Workspace, burn_in: int) -> Workspace:
        """Return the frames of a window after the first `burn_in` ones, with the features of memories.

        Args:
            window: `[T, B, ...]`, and what states were before it, `[1, B, ...]`.
            burn_in: frames over which memories run without gradients.
        """
        frames = Workspace()
        for name in window:
            value = window.get_full(name)
            if len(value) > 1:
                frames.set_full(name, after(value, burn_in))
        for front in _each(self.online.values()):
            _take_features(front, run_over(front.agents, window, burn_in), frames)
        with torch.no_grad():
            for front in _each(self.targets.values()):
                _take_features(front, run_over(front.agents, window, burn_in), frames)
        return frames

    def for_actor(self, transitions: Workspace) -> Workspace:
        """Return transitions for the actor's loss, in which the features that critics learn are given: no gradients."""
        workspace, front = Workspace(transitions), self.online["critic"]
        for name in front.variables if front.agents else ():
            workspace.set_full(name, workspace.get_full(name).detach())
        return workspace

    def soft_update(self, tau: float) -> None:
        """Move the targets towards what they are copies of, by the part `tau` of the way."""
        for target, online in self._pairs():
            soft_update(target, online, tau)

    def copy_to_targets(self) -> None:
        """Let the targets become copies."""
        for target, online in self._pairs():
            copy_parameters(target, online)

    def _pairs(self) -> Iterator[tuple[Agent, Agent]]:
        targets = _agents(self.targets.values())
        return zip(targets, _agents(self.online[name] for name in self.targets), strict=True)


def _each(fronts: Iterable[Front]) -> Iterable[Front]:
    """Return fronts, each once."""
    return {id(front): front for front in fronts}.values()


def _agents(fronts: Iterable[Front]) -> list[Agent]:
    return [agent for front in _each(fronts) for agent in front.agents]


def _take_features(front: Front, seen: Workspace, frames: Workspace) -> None:
    for name in front.variables:
        frames.set_full(name, seen.get_full(name))

"""Who takes part in a run, from its configuration."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn

from workspace_rl.agent import state_variables
from workspace_rl.config.collectors_config import CollectorsConfig
from workspace_rl.config.training_config import OffPolicyConfig
from workspace_rl.inspection.topology.topology import Flow, Party, Topology, written_bytes

_LIVE = {
    "process": "in the learner's process, one by one",
    "local": "each in a process of its own",
    "ray": "each a process on the Ray cluster",
}
WORKER = "evaluation worker"


def topology_of(algorithm: Any, kept_in: str, frame_bytes: int, batch_frames: int) -> Topology | None:
    """Return who sends what to whom while an algorithm trains; None where the learner does everything itself.

    Args:
        algorithm: its configuration, policy and learner say who there is.
        kept_in: what keeps what is collected, in words.
        frame_bytes: bytes of what is stored of one step of one environment.
        batch_frames: frames in a sample of a batch.
    """
    config = getattr(algorithm, "config", None)
    ranks = getattr(algorithm, "ranks", None)
    n_ranks = 1 if ranks is None else ranks.size
    if config is None or (config.collectors is None and not config.evaluation_worker and n_ranks == 1):
        return None
    draft = _Draft(algorithm, kept_in, n_ranks)
    return Topology(tuple(draft.parties()), tuple(draft.flows(frame_bytes, batch_frames)))


class _Draft:
    """What there is to say of a run."""

    def __init__(self, algorithm: Any, kept_in: str, n_ranks: int) -> None:
        self._algorithm, self._n_ranks = algorithm, n_ranks
        self._config, self._parameters = algorithm.config, algorithm.parameters
        self._section: CollectorsConfig | None = self._config.collectors
        n = n_ranks * (1 if self._section is None else self._section.n)
        self._n_collectors, self._collectors = n, f"{n} collectors" if n > 1 else "1 collector"
        self._kept_in, self._learner = (f"{n_ranks} {kept_in}s", f"{n_ranks} learners") if n_ranks > 1 else (
            kept_in, "learner"
        )  # fmt: skip

    def parties(self) -> list[Party]:
        parameters, n_envs = self._parameters, self._parameters.n_envs
        environments = f"{n_envs} environment{'s' if n_envs > 1 else ''} each"
        lives = "in the learner's process" if self._section is None else _LIVE[self._section.where]
        learner = [f"{type(self._algorithm).__name__}, on {self._config.device}", self._updates()]
        if self._n_ranks > 1:
            sent = sum(_bytes(group["params"]) for one in self._algorithm.optimizers() for group in one.param_groups)
            learner.append(f"gradients averaged, {written_bytes(sent)}")
        parties = [
            Party(self._collectors, (lives, self._config.gym_env.env_name, environments), self._n_collectors),
            Party(self._kept_in, self._of_experience(), self._n_ranks),
            Party(self._learner, tuple(learner), self._n_ranks),
        ]
        if self._config.evaluation_worker:
            parties.append(Party(WORKER, ("a process of its own", f"{parameters.nb_evals} episodes a time")))
        return parties

    def flows(self, frame_bytes: int, batch_frames: int) -> list[Flow]:
        parameters, algorithm = self._parameters, self._algorithm
        size = parameters.n_steps * parameters.n_envs * frame_bytes
        of_fragment = f"{parameters.n_steps} x {parameters.n_envs} steps, {written_bytes(size)} each"
        what = "fragments, each with the state before it" if state_variables(algorithm.policy) else "fragments"
        flows = [Flow(self._collectors, self._kept_in, what, self._fragments_often(), of_fragment)]
        if isinstance(parameters, OffPolicyConfig):
            rows = parameters.batch_size // self._n_ranks
            size = f"{rows} x {batch_frames} frames, {written_bytes(rows * batch_frames * frame_bytes)}"
            flows.append(Flow(self._kept_in, self._learner, "batches", "one for each update", size))
        if self._config.evaluation_worker:
            often = f"every {parameters.eval_interval:,} steps"
            size = written_bytes(_weight_bytes(algorithm.eval_policy))
            flows.append(Flow(self._learner, WORKER, "policies", often, size))
            flows.append(Flow(WORKER, self._learner, "scores", "when they are known", "a few numbers"))
        what = "the policy's weights" if self._section is None else "orders with the policy's weights"
        size = f"{written_bytes(_weight_bytes(algorithm.policy))} each"
        return [*flows, Flow(self._learner, self._collectors, what, self._orders_often(), size)]

    def _of_experience(self) -> tuple[str, ...]:
        parameters, section = self._parameters, self._section
        if not isinstance(parameters, OffPolicyConfig):
            return ("in the learner's process",)
        lines = [f"at most {parameters.buffer_size:,} transitions{' in all' if self._n_ranks > 1 else ''}"]
        if section is not None and section.mode == "free":
            lines.append(f"limiter: {section.ratio(parameters):g} samples per insert")
            if section.max_weights_age is not None:
                lines.append(f"weights at most {section.max_weights_age:,} updates old")
        return tuple(lines)

    def _updates(self) -> str:
        parameters, section = self._parameters, self._section
        if not isinstance(parameters, OffPolicyConfig):
            return "updates for each round"
        n = parameters.updates_per_collect
        if section is not None:
            n = section.ratio(parameters) * parameters.n_envs * parameters.n_steps / parameters.batch_size
        return f"{n:g} update{'' if n == 1 else 's'} for each fragment"

    def _fragments_often(self) -> str:
        if self._section is not None and self._section.mode == "free":
            return "each when it is done"
        return "one of each in every round" if self._n_collectors > 1 else "one in every round"

    def _orders_often(self) -> str:
        section = self._section
        if section is not None and section.mode == "free":
            return "as fragments arrive, at most 2 waiting each"
        ahead = section is not None and section.lag > 0
        return "in every round" + (", one ahead of the learner" if ahead else ", after the updates")


def _weight_bytes(policy: nn.Module) -> int:
    return _bytes(policy.parameters()) + _bytes(policy.buffers())


def _bytes(tensors: Iterable[Any]) -> int:
    return sum(one.numel() * one.element_size() for one in tensors)

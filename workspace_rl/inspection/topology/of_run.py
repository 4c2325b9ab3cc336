"""Who takes part in a run, from its configuration."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn

from workspace_rl.config.collectors_config import CollectorsConfig
from workspace_rl.config.training_config import OffPolicyConfig, TrainingConfig
from workspace_rl.inspection.topology.topology import Flow, Party, Topology, written_bytes

_LIVE = {
    "process": "in the learner's process, one by one",
    "local": "each in a process of its own",
    "ray": "each a process on the Ray cluster",
}
LEARNER = "learner"


def topology_of(algorithm: Any, kept_in: str, frame_bytes: int, batch_frames: int) -> Topology | None:
    """Return who sends what to whom while an algorithm trains; None where nobody collects but the learner itself.

    Args:
        algorithm: its configuration, policy and learner say who there is.
        kept_in: what keeps what is collected, in words.
        frame_bytes: bytes of what is stored of one step of one environment.
        batch_frames: frames in a sample of a batch.
    """
    config = getattr(algorithm, "config", None)
    collectors: CollectorsConfig | None = getattr(config, "collectors", None)
    if config is None or collectors is None:
        return None
    parameters: TrainingConfig = algorithm.parameters
    several = f"{collectors.n} collectors" if collectors.n > 1 else "1 collector"
    environments = f"{parameters.n_envs} environment{'s' if parameters.n_envs > 1 else ''} each"
    parties = (
        Party(several, (_LIVE[collectors.where], f"{config.gym_env.env_name}, {environments}"), collectors.n),
        Party(kept_in, _of_experience(collectors, parameters)),
        Party(LEARNER, (f"{type(algorithm).__name__}, on {config.device}", _updates(collectors, parameters))),
    )
    weights = _weight_bytes(algorithm.policy)
    steps = parameters.n_steps * parameters.n_envs
    size = f"{parameters.n_steps} x {parameters.n_envs} steps, {written_bytes(steps * frame_bytes)} each"
    sent = f"{written_bytes(weights)} each"
    flows = [
        Flow(several, kept_in, "fragments", _fragments_often(collectors), size),
        Flow(LEARNER, several, "orders with the policy's weights", _orders_often(collectors), sent),
    ]
    if isinstance(parameters, OffPolicyConfig):
        bytes_of_batch = parameters.batch_size * batch_frames * frame_bytes
        size = f"{parameters.batch_size} x {batch_frames} frames, {written_bytes(bytes_of_batch)}"
        flows.insert(1, Flow(kept_in, LEARNER, "batches", "one for each update", size))
    return Topology(parties, tuple(flows))


def _of_experience(collectors: CollectorsConfig, parameters: TrainingConfig) -> tuple[str, ...]:
    if not isinstance(parameters, OffPolicyConfig):
        return ("in the learner's process",)
    lines = [f"at most {parameters.buffer_size:,} transitions"]
    if collectors.mode == "free":
        ratio = collectors.samples_per_insert or _ratio(parameters)
        lines.append(f"limiter: {ratio:g} samples per insert")
        if collectors.max_weights_age is not None:
            lines.append(f"weights at most {collectors.max_weights_age:,} updates old")
    return tuple(lines)


def _ratio(parameters: OffPolicyConfig) -> float:
    return parameters.updates_per_collect * parameters.batch_size / (parameters.n_envs * parameters.n_steps)


def _updates(collectors: CollectorsConfig, parameters: TrainingConfig) -> str:
    if not isinstance(parameters, OffPolicyConfig):
        return "updates for each round"
    n = parameters.updates_per_collect
    if collectors.mode == "free" and collectors.samples_per_insert is not None:
        n = collectors.samples_per_insert * parameters.n_envs * parameters.n_steps / parameters.batch_size
    return f"{n:g} update{'' if n == 1 else 's'} for each fragment"


def _fragments_often(collectors: CollectorsConfig) -> str:
    if collectors.mode == "free":
        return "each when it is done"
    return "one of each in every round" if collectors.n > 1 else "one in every round"


def _orders_often(collectors: CollectorsConfig) -> str:
    if collectors.mode == "free":
        return "as fragments arrive, at most 2 waiting each"
    return "in every round" + (", one ahead of the learner" if collectors.lag else ", after the updates")


def _weight_bytes(policy: nn.Module) -> int:
    return _bytes(policy.parameters()) + _bytes(policy.buffers())


def _bytes(tensors: Iterable[Any]) -> int:
    return sum(one.numel() * one.element_size() for one in tensors)

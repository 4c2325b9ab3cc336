"""Short runs of every algorithm on a GPU, and of what changes what an update computes there."""

from __future__ import annotations

import copy
from dataclasses import fields
from typing import Any, get_type_hints

from workspace_rl.algos import ALGORITHMS
from workspace_rl.training import Algorithm

_DISCRETE: dict[str, Any] = {"gym_env": {"env_name": "CartPole-v1"}}
_WIDTHS = {"actor_hidden_size": [16], "critic_hidden_size": [16]}
_ROLLOUTS = {"batch_size": 8, "architecture": {"hidden_size": [16]}}

#: What each run has otherwise than `tiny_sac`.
SHAPES: dict[str, dict[str, Any]] = {
    "sac": {},
    "td3": {"algo": "td3"},
    "ddpg": {"algo": "ddpg"},
    "dqn": _DISCRETE | {"algo": "dqn", "algorithm": {"architecture": {"hidden_size": [16]}}},
    "tqc": {"algo": "tqc", "algorithm": {"n_quantiles": 5, "policy_delay": 2}},
    "crossq": {"algo": "crossq", "algorithm": {"policy_delay": 3}},
    "discrete sac": _DISCRETE | {"algo": "sac_discrete"},
    # These draw numbers within an update: dropout, which critics make a target, and noise of layers.
    "droq": {
        "algorithm": {
            "policy_delay": 3, "actor_value": "mean",
            "architecture": _WIDTHS | {"critic_block": "layer_norm", "critic_dropout": 0.1},
        }
    },
    "redq": {"algorithm": {"n_critics": 4, "n_target_critics": 2, "actor_value": "mean"}},
    "rainbow": _DISCRETE | {
        "algo": "dqn",
        "algorithm": {
            "prioritized": {}, "n_step_return": 3, "double": True,
            "architecture": {
                "hidden_size": [16], "head_hidden_size": [16], "dueling": True, "noisy": True,
                "distribution": "categorical", "n_atoms": 11, "v_min": 0, "v_max": 50,
            },
        },
    },
    "quantiles": _DISCRETE | {
        "algo": "dqn",
        "algorithm": {"architecture": {"hidden_size": [16], "distribution": "quantile", "n_quantiles": 7}},
    },
    "hindsight": {
        "gym_env": {"env_name": "PointReach-v0"},
        "algorithm": {"hindsight": {"n_goals": 2}, "prioritized": {"exponent": 0.5}},
    },
    "exploration by functions of the state": {
        "algo": "tqc",
        "algorithm": {"state_dependent_exploration": {"resample_interval": 8}},
    },
    "16 bits, no target critics": {
        "algo": "tqc",
        "precision": "bf16",
        "algorithm": {
            "target_critics": False,
            "architecture": _WIDTHS | {"actor_block": "batch_renorm", "critic_block": "batch_renorm"},
        },
    },
    "ppo": _DISCRETE | {"algo": "ppo", "algorithm": _ROLLOUTS | {"n_steps": 16, "batch_size": 16, "n_epochs": 2}},
    "a2c": _DISCRETE | {"algo": "a2c", "algorithm": _ROLLOUTS},
    "reinforce": _DISCRETE | {"algo": "reinforce", "algorithm": _ROLLOUTS},
}  # fmt: skip


def of_shape(name: str, tiny_sac: dict[str, Any]) -> tuple[type[Algorithm[Any]], dict[str, Any]]:
    """Return the algorithm, and parameters of a run of it of 400 steps on the GPU; `tiny_sac` is the fixture's."""
    config = copy.deepcopy({"algo": "sac", "device": "cuda"} | tiny_sac | SHAPES[name])
    algorithm = ALGORITHMS[config["algo"]]
    known = {one.name for one in fields(get_type_hints(algorithm.config_class)["algorithm"])}
    shared = {key: value for key, value in tiny_sac["algorithm"].items() if key in known}
    changes = SHAPES[name].get("algorithm", {})
    config["algorithm"] = copy.deepcopy(shared | changes) | {"total_steps": 400, "checkpoint_interval": 150}
    return algorithm, config

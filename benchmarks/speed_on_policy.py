"""What speed.py lets compete in PPO: this library, stable-baselines3 and SBX, with the same settings.

Each is a worker, `python speed_on_policy.py KIND JSON` (see speed_contenders.py).
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from speed_contenders import Turns, settle, versions


class Size(NamedTuple):
    """An environment and the rollouts in it."""

    env: str
    n_envs: int
    n_steps: int


SIZES = {"CartPole-v1": Size("CartPole-v1", 8, 128), "HalfCheetah-v5": Size("HalfCheetah-v5", 1, 2048)}
#: What stable-baselines3 takes unless told otherwise.
BATCH, EPOCHS = 64, 10


def updates(env: str) -> int:
    """Return the updates on a rollout."""
    return EPOCHS * SIZES[env].n_envs * SIZES[env].n_steps // BATCH


# ---- this library -------------------------------------------------------------------------------------------------


def configuration(env: str, folder: str, compiled: bool = True) -> dict[str, Any]:
    size = SIZES[env]
    return {
        "gym_env": {"env_name": env},
        "base_dir": f"{folder}/run",
        "compile": compiled,
        "record_best": False,
        "logger": {"log_interval": 10_000},
        "algorithm": {
            "total_steps": 10**8,
            "n_envs": size.n_envs,
            "n_steps": size.n_steps,
            "n_epochs": EPOCHS,
            "batch_size": BATCH,
            "nb_evals": 0,
            "checkpoint_interval": None,
        },
        "optimizer": {"classname": "torch.optim.Adam", "lr": 3e-4, "eps": 1e-5},
    }


def ours_training(turns: Turns, env: str) -> None:
    """A unit is a rollout and what is learned from it."""
    from workspace_rl.algos import PPO

    n_updates = updates(env)

    class Paced(PPO):
        def learn(self, batch):
            if self.n_updates == 0:
                turns.ready(precision=self.config.matmul_precision)
            if self.n_updates % n_updates == 0:
                turns.next()
            return super().learn(batch)

    with tempfile.TemporaryDirectory() as folder:
        Paced(configuration(env, folder)).train(progress=False)


def ours_updates(turns: Turns, env: str) -> None:
    """A unit is all that is learned from one rollout, always the same one, and its log."""
    from workspace_rl.algos import PPO
    from workspace_rl.runs.logger import Logger

    with tempfile.TemporaryDirectory() as folder:
        algorithm = PPO(configuration(env, folder))
        experience, collectors = algorithm.make_parts()
        (fragment,) = collectors.collect(0)
        fragment.number = None  # it may come again
        logger = Logger(f"{folder}/metrics.csv", None)
        turns.ready(precision=algorithm.config.matmul_precision)
        while True:
            turns.next()
            experience.put(fragment)
            for batch in experience.batches():
                logger.average(algorithm.learn(batch))
            logger.flush(0)


# ---- stable-baselines3 and SBX ------------------------------------------------------------------------------------


def peer(package: str, env: str) -> Any:
    from stable_baselines3.common.env_util import make_vec_env

    size = SIZES[env]
    # SBX has other defaults than stable-baselines3.
    options = {"n_steps": size.n_steps, "batch_size": BATCH, "n_epochs": EPOCHS, "learning_rate": 3e-4}
    options |= {"policy_kwargs": {"net_arch": {"pi": [64, 64], "vf": [64, 64]}}}
    return __import__(package).PPO("MlpPolicy", make_vec_env(env, size.n_envs), device="cpu", **options)


def about(package: str) -> dict[str, str]:
    return versions("sbx-rl", "jax", "flax", "stable-baselines3") if package == "sbx" else {}


def peer_training(turns: Turns, package: str, env: str, precision: str = "highest") -> None:
    import torch
    from stable_baselines3.common.callbacks import BaseCallback

    class Paced(BaseCallback):
        def _on_rollout_start(self) -> None:
            if self.num_timesteps == 0:
                turns.ready(**about(package))
            turns.next()

        def _on_step(self) -> bool:
            return True

    torch.set_float32_matmul_precision(precision)
    peer(package, env).learn(10**8, callback=Paced())


def peer_updates(turns: Turns, package: str, env: str) -> None:
    """A unit is all that is learned from one rollout, always the same one."""
    model = peer(package, env)
    model.learn(SIZES[env].n_envs * SIZES[env].n_steps)  # the rollout that stays in its buffer
    turns.ready(**about(package))
    while True:
        turns.next()
        model.train()


WORKERS: dict[str, Callable[..., None]] = {
    "ours-training": ours_training,
    "ours-updates": ours_updates,
    "peer-training": peer_training,
    "peer-updates": peer_updates,
}
SCRIPT = Path(__file__)

if __name__ == "__main__":
    settle()
    WORKERS[sys.argv[1]](Turns(), **json.loads(sys.argv[2]))

"""On-policy algorithms where environments allow some actions and not others; what is not allowed raises in them."""

import pytest

from tests.choices_env import ChoicesEnv
from workspace_rl import check
from workspace_rl.algos import A2C, PPO
from workspace_rl.errors import ConfigError

KINDS = {
    "discrete": ({"choices": 4}, 4),
    "multi-discrete": ({"choices": [2, 3]}, 5),
    "multi-binary": ({"switches": 3}, 3),
}


def config(kind, masked, folder, **algorithm):
    env_args, n = KINDS[kind]
    variable = {"info": "env/info/action_mask", "observation": "env/env_obs/action_mask", None: None}[masked]
    keys = {"info_keys": {"action_mask": {"shape": [n], "dtype": "bool"}}} if masked == "info" else {}
    return {
        "gym_env": {"env_name": "tests.choices_env:Choices-v0", "env_args": env_args | {"masked": masked}, **keys},
        "algorithm": {
            "n_envs": 8, "n_steps": 16, "n_epochs": 4, "batch_size": 32, "total_steps": 2048, "nb_evals": 4,
            "eval_interval": 1024, "final_episodes": 20, "discount_factor": 0.5, "gae_lambda": 0.9,
            "architecture": {"hidden_size": [32]}, "action_mask": variable,
        } | algorithm,
        "optimizer": {"lr": 1e-2},
        "base_dir": str(folder / "run"),
        "compile": False,
        "record_best": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "masked", "normalize"),
    [
        ("discrete", "observation", True),
        ("multi-discrete", "info", False),
        ("multi-binary", "info", False),
        ("multi-binary", None, True),
    ],
)
def test_ppo_learns_choices_of_all_kinds_without_taking_what_is_not_allowed(kind, masked, normalize, tmp_path):
    algorithm = PPO(config(kind, masked, tmp_path, normalize_observations=normalize))
    assert algorithm.train_env.action_kind == kind and not check(algorithm)
    result = algorithm.train(progress=False)
    assert result.final.mean > 2.4


def test_shared_features_leave_the_mask_out(tmp_path):
    shared = {"architecture": {"hidden_size": [16], "shared": True}}
    algorithm = A2C(config("discrete", "observation", tmp_path, total_steps=256, n_epochs=1, batch_size=None, **shared))
    assert "env/env_obs/vector" in algorithm.make_experience().variables and not check(algorithm)
    assert algorithm.train(progress=False).steps >= 256


def test_a_mask_that_nobody_writes_is_refused(tmp_path):
    given = config("multi-discrete", "info", tmp_path)
    given["gym_env"]["info_keys"] = {}
    with pytest.raises(
        ConfigError, match=r"algorithm.action_mask: .*gym_env.info_keys=\{action_mask: \{shape: \[5\], "
    ):
        PPO(given)
    assert ChoicesEnv(choices=[2, 3], masked="info").reset()[1]["action_mask"].shape == (5,)

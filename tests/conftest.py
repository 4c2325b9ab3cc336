"""Shared by all tests."""

import sys
from pathlib import Path

import gymnasium as gym
import pytest
import torch

# Processes that are started anew look for the tests' environments and agents where this one says.
sys.path.append(str(Path(__file__).parents[1]))

gym.register("Target-v0", entry_point="tests.toys:TargetEnv")
gym.register("Matching-v0", entry_point="tests.toys:MatchingEnv")
gym.register("Drawing-v0", entry_point="tests.toys:DrawingEnv")
gym.register("Paying-v0", entry_point="tests.toys:PayingEnv")


@pytest.fixture
def double():
    """Compute in float64."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def tiny_sac(tmp_path):
    """Parameters of a SAC run that ends within a second or two."""
    return {
        "gym_env": {"env_name": "Pendulum-v1"},
        "base_dir": str(tmp_path / "run"),
        "algorithm": {
            "total_steps": 600,
            "n_envs": 2,
            "n_steps": 4,
            "learning_starts": 100,
            "batch_size": 16,
            "nb_evals": 2,
            "eval_interval": 300,
            "final_episodes": 3,
            "architecture": {"actor_hidden_size": [16], "critic_hidden_size": [16]},
        },
        "logger": {"log_interval": 100},
        "compile": False,
        "record_best": False,
    }


@pytest.fixture
def one_step_problem(tmp_path):
    """Parameters of a run on a problem of one step, whose best return is 0; it takes a few seconds."""
    return {
        "gym_env": {"env_name": "Target-v0"},
        "base_dir": str(tmp_path / "run"),
        "algorithm": {
            "total_steps": 3000,
            "n_envs": 4,
            "n_steps": 2,
            "learning_starts": 100,
            "random_steps": 100,
            "batch_size": 64,
            "tau_target": 0.05,
            "nb_evals": 1,
            "eval_interval": 1000,
            "final_episodes": 1,
            "architecture": {"actor_hidden_size": [16], "critic_hidden_size": [32]},
        },
        "actor_optimizer": {"lr": 3e-3},
        "critic_optimizer": {"lr": 3e-3},
        "record_best": False,
    }

"""Whatever a user hands to a public function is answered by the library's own error, which names the argument."""

import math

import gymnasium as gym
import numpy as np
import pytest
import torch

import workspace_rl
from workspace_rl import (
    Agent,
    Collector,
    EpisodesDone,
    GymAgent,
    Logger,
    RandomState,
    ReplayBuffer,
    Run,
    Workspace,
    agents,
    compile_update,
    episode_seeds,
    evaluate,
    gae,
    load_policy,
    make_env,
    minimise,
    n_step_transitions,
    record_video,
    save_policy,
    setup_optimizer,
    soft_update,
)
from workspace_rl.composition import CopyTAgent, StackAgent
from workspace_rl.config.sources import apply_overrides, load_config, read_config
from workspace_rl.errors import WorkspaceRLError

WRONG = [
    None, "x", "", "a\0b", b"a", -1, 0, 1.5, math.nan, math.inf, True, 1j, object(), int, len,
    [], [None], ["x"], [-1], [math.nan], (), {}, {"x": 1}, torch.zeros(2), np.zeros(3), [[]],
]  # fmt: skip


class Idle(Agent):
    def forward(self, t, **kwargs):
        self.set(("action", t), torch.zeros(len(self.get(("env/done", t))), dtype=torch.int64))


def batch():
    workspace = Workspace()
    workspace.set_full("env/reward", torch.zeros(3, 2))
    workspace.set_full("env/terminated", torch.zeros(3, 2, dtype=torch.bool))
    workspace.set_full("env/done", torch.zeros(3, 2, dtype=torch.bool))
    return workspace


def linear():
    return torch.nn.Linear(2, 1)


def step(loss=None, optimizer=None, max_grad_norm=None):
    module = linear()
    loss = module(torch.ones(2)).sum() if loss is None else loss
    return minimise(
        loss, torch.optim.SGD(module.parameters(), lr=0.1) if optimizer is None else optimizer, max_grad_norm
    )


NUMBERS = torch.zeros(3, 2)
TRAINING = GymAgent("CartPole-v1", 1)
SCORING = GymAgent("CartPole-v1", 1, auto_reset=False)
NETWORK = {"observation_size": 2, "hidden_sizes": [3], "action_size": 1, "activation": torch.nn.ReLU, "name": "a"}
LOOKING = {
    "activation": torch.nn.Tanh, "observation_variable": "env/env_obs", "observation_choices": [[0, 2]], "name": "a",
}  # fmt: skip
MASKED = {"observation_size": 2, "hidden_sizes": [3], "mask_variable": "m", **LOOKING}
REMEMBERING = {"input_size": 2, "size": 4, "n_layers": 1, "features_variable": "f", "timestep_variable": "t"}
#: Functions, and arguments that fit them.
CALLS = {
    agents.build_mlp: {"sizes": [2, 3, 1], "activation": torch.nn.ReLU, "output_activation": torch.nn.Tanh},
    agents.BatchRenorm: {"n_features": 2, "momentum": 0.01, "epsilon": 1e-3, "warm_up": 10},
    agents.EnsembleMLP: {"inputs": 2, "hidden_sizes": [3], "n_members": 2, "activation": torch.nn.ReLU},
    agents.Ensemble: {"inputs": 2, "hidden_sizes": [3], "n_members": 2, "activation": torch.nn.ReLU, "dropout": 0.1},
    agents.build_network: {"inputs": 2, "hidden_sizes": [3], "n_outputs": 1, "block": "layer_norm", "dropout": 0.1},
    agents.ContinuousQAgent: NETWORK | {"n_critics": 2},
    agents.SquashedGaussianActor: NETWORK,
    agents.StateDependentExplorationActor: NETWORK | {"resample_interval": 4, "log_std_init": -1.0},
    agents.DeterministicActor: NETWORK,
    agents.DiscreteQAgent: {
        "observation_shape": [2], "hidden_sizes": [3], "n_actions": 2, "network": "mlp", "dueling": True,
        "head_hidden_sizes": [4], "activation": torch.nn.ReLU, "name": "q", "n_atoms": 5, "v_min": -1.0, "v_max": 1.0,
        "noisy": True,
    },
    agents.CategoricalActor: MASKED | {"n_actions": 3},
    agents.MultiCategoricalActor: MASKED | {"counts": [2, 3]},
    agents.BernoulliActor: MASKED | {"n": 3},
    agents.GaussianActor: {
        "observation_size": 2, "hidden_sizes": [3], "action_size": 1, "state_dependent_std": True, "squash": True,
        "log_std_init": 0.0, **LOOKING,
    },
    agents.make_actor: {
        "env_agent": TRAINING, "state_dependent_std": True, "squash": True, "log_std_init": 0.0, **MASKED,
    },
    agents.ValueAgent: {"observation_size": 2, "hidden_sizes": [3], **LOOKING},
    agents.FeaturesAgent: {
        "observation_shape": [2], "hidden_sizes": [3], "network": "mlp", "features_variable": "f", **LOOKING,
    },
    agents.ObservationNormalizer: {
        "shape": [2], "clip": 5.0, "epsilon": 1e-6, "observation_variable": "env/env_obs", "output_variable": "x",
    },
    agents.RewardNormalizer: {
        "discount_factor": 0.9, "clip": 5.0, "epsilon": 1e-6, "reward_variable": "r", "done_variable": "d",
        "output_variable": "r",
    },
    agents.DuelingHead: {
        "features": 4, "hidden_sizes": [3], "n_actions": 2, "activation": torch.nn.ReLU, "n_outputs": 3,
    },
    agents.NoisyLinear: {"in_features": 2, "out_features": 3, "noise_size": 0.1},
    agents.NatureCNN: {"image_shape": [4, 84, 84], "hidden_sizes": [8], "activation": torch.nn.ReLU},
    agents.ImpalaCNN: {"image_shape": [3, 8, 8], "hidden_sizes": [8], "activation": torch.nn.ReLU},
    agents.GRUAgent: REMEMBERING,
    agents.LSTMAgent: REMEMBERING,
    agents.TransformerAgent: REMEMBERING | {"n_heads": 2, "window": 3},
    agents.MemoryAgent: {"input_size": 2, "n_features": 3, "state_shapes": {"a": [3]}},
    agents.EncoderAgent: {
        "parts": [{"variable": "env/env_obs", "kind": "numbers", "shape": [2], "choices": None}],
        "images": "nature_cnn", "image_hidden_sizes": [4], "vector_hidden_sizes": [4], "hidden_sizes": [4],
        "features_variable": "f", "name": "e",
    },
    agents.EpsilonGreedyAgent: {
        "epsilon_start": 1.0, "epsilon_end": 0.1, "epsilon_steps": 9, "q_variable": "q", "action_variable": "action",
        "name": "e",
    },
    agents.GreedyAgent: {"q_variable": "q", "action_variable": "action", "name": "g"},
    agents.LinearSchedule: {"start": 1.0, "end": 0.1, "steps": 9},
    agents.FixedEntropyCoefficient: {"value": 1.0},
    agents.LearnedEntropyCoefficient: {"initial": 1.0, "target_entropy": -1.0},
    agents.GaussianNoiseAgent: {"sigma": 0.1, "noise_clip": 0.5, "name": "n"},
    agents.OrnsteinUhlenbeckNoiseAgent: {"theta": 0.1, "sigma": 0.1, "dt": 1.0, "name": "n"},
    agents.RandomAgent: {"action_space": gym.spaces.Discrete(2), "name": "r"},
    CopyTAgent: {"input_name": "a", "output_name": "b", "detach": True, "name": "c"},
    EpisodesDone: {"in_var": "a", "out_var": "b", "name": "c"},
    StackAgent: {"input_names": ["a"], "output_name": "b", "name": "c"},
    GymAgent: {
        "env": "CartPole-v1", "n_envs": 1, "auto_reset": True, "vectorization": "sync", "wrappers": (), "env_args": {},
        "rescale_actions": True, "clip_actions": False, "timeout": 1.0, "allow_nonfinite_observations": False,
        "seed": 0, "device": "cpu", "input_name": "action", "output_prefix": "env/", "name": "n",
    },
    ReplayBuffer: {"capacity": 9, "variables": ["x"], "done_variable": "env/done", "stacked": {}, "device": "cpu"},
    Collector: {"env_agent": TRAINING, "policy": Idle(), "random_policy": Idle(), "keep_modes": False, "seed": 1},
    Logger: {"csv_path": "metrics.csv", "tensorboard_folder": None, "verbose": False, "resumed_at": 0,
             "flush_seconds": 1.0, "flush_size": 9},
    evaluate: {"env_agent": SCORING, "policy": Idle(), "seeds": [1]},
    record_video: {"env_agent": SCORING, "policy": Idle(), "path": "x.mp4", "seeds": [1]},
    make_env: {"name": "CartPole-v1"},
    episode_seeds: {"seed": 1, "n": 2},
    RandomState: {"seed": 1},
    gae: {
        "reward": NUMBERS, "value": NUMBERS, "next_value": NUMBERS, "bootstrap": NUMBERS.bool(),
        "trace": NUMBERS.bool(), "discount_factor": 0.9, "gae_lambda": 0.9,
    },
    n_step_transitions: {"window": batch(), "discount_factor": 0.9},
    soft_update: {"target": linear(), "source": linear(), "tau": 0.1},
    setup_optimizer: {"config": {"classname": "torch.optim.Adam"}},
    step: {"loss": None, "optimizer": None, "max_grad_norm": 1.0},
    compile_update: {"update": len, "optimizers": []},
    save_policy: {"policy": Idle(), "folder": "policy"},
    load_policy: {"folder": "nowhere"},
    Run: {"path": "nowhere"},
    load_config: {"source": "sac/pendulum"},
    read_config: {"source": "sac/pendulum", "overrides": ["algorithm.seed=1"]},
    apply_overrides: {"config": load_config("sac/pendulum"), "overrides": ["algorithm.seed=1"]},
}  # fmt: skip
CASES = [(function, name) for function, arguments in CALLS.items() for name in arguments]


@pytest.mark.parametrize(("function", "name"), CASES, ids=[f"{one.__name__}-{name}" for one, name in CASES])
def test_a_wrong_argument_is_told_or_taken(function, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused = 0
    for wrong in WRONG:
        if function is step and (wrong is None or isinstance(wrong, np.ndarray)) and name != "max_grad_norm":
            continue
        if name == "trace" and isinstance(wrong, torch.Tensor):
            continue  # its shape is told by torch
        try:
            made = function(**{**CALLS[function], name: wrong})
        except WorkspaceRLError as error:
            refused += 1
            assert len(str(error)) > 20
        else:
            if isinstance(made, GymAgent):
                made.close()
    assert refused > 3 or function in (compile_update,), "nothing was refused"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: agents.build_mlp(256), r"build_mlp: sizes: a list of whole numbers expected, 256 .* Write \[256\]"),
        (lambda: agents.ContinuousQAgent(2, 64, 1), r"ContinuousQAgent: hidden_sizes: a list .* found. Write \[64\]"),
        (lambda: agents.SquashedGaussianActor(2, [64, -1], 1), "hidden_sizes: at least 1 expected"),
        (lambda: agents.DeterministicActor(2, [64.5], 1), "hidden_sizes: a list of whole numbers expected"),
        (lambda: agents.ContinuousQAgent(2, [64], 1, activation="relu"), "a class derived from Module expected"),
        (lambda: agents.GaussianNoiseAgent(math.nan), "GaussianNoiseAgent: sigma: a finite number expected, nan"),
        (lambda: agents.GaussianNoiseAgent(-1), "sigma: at least 0 expected, -1"),
        (lambda: agents.LearnedEntropyCoefficient(0, 1), "initial: a finite number above 0 expected"),
        (lambda: GymAgent("CartPole-v1", seed="one"), "GymAgent: seed: a whole number expected, 'one'"),
        (lambda: GymAgent("CartPole-v1", device="gpu"), "device: 'gpu' is not available"),
        (lambda: ReplayBuffer(-5, ["x"]), "ReplayBuffer: capacity: at least 1 expected, -5"),
        (lambda: ReplayBuffer(5, "x"), "ReplayBuffer: variables: a list of texts expected, 'x'"),
        (lambda: setup_optimizer({"classname": "Adam", "lr": -1}, linear()), "torch.optim.Adam refuses"),
        (lambda: step(torch.zeros(())), "minimise: loss: one number .*without gradients"),
        (lambda: episode_seeds(-1, n=3), "episode_seeds: seed: at least 0 expected, -1"),
        (lambda: Run(None), "Run: path: a text or a path expected, None found"),
    ],
)  # fmt: skip
def test_the_message_names_argument_expected_found_and_the_way_out(call, message):
    with pytest.raises(WorkspaceRLError, match=message):
        call()


def test_numbers_of_others_are_taken():
    sizes = np.array([8, 8])
    actor = agents.SquashedGaussianActor(np.int64(2), sizes, torch.tensor(1))
    critic = agents.ContinuousQAgent(2.0, torch.tensor([8]), np.int32(1), n_critics=np.int64(2))
    for agent in (actor, critic):
        assert sum(parameter.numel() for parameter in agent.parameters())
    assert episode_seeds(np.int64(3), 1, n=np.int32(2)) == episode_seeds(3, 1, n=2)
    assert agents.GaussianNoiseAgent(np.float32(0.5)).sigma == 0.5


def test_every_public_function_and_agent_is_in_the_table():
    known = {one.__name__ for one in CALLS} | {"minimise"}
    # What takes agents, workspaces or configurations alone, or anything.
    others = {
        "Agent", "Agents", "Encoder", "Evaluation", "Front", "Fronts", "KWAgentWrapper", "Normalizers", "PrintAgent",
        "TemporalAgent", "Workspace", "build_actor_critic", "build_front", "check", "describe", "diagram",
        "make_encoder", "make_memory", "policy_function", "squashed_gaussian_log_prob",
    }  # fmt: skip
    assert {name for package in (workspace_rl, agents) for name in package.__all__} <= known | others


def test_the_item_of_a_list_that_does_not_fit_is_named():
    with pytest.raises(WorkspaceRLError, match=r"wrappers\[1\]: a function expected, 'FlattenObservation'"):
        GymAgent("CartPole-v1", wrappers=[gym.wrappers.FlattenObservation, "FlattenObservation"])

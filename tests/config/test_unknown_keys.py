"""Keys that a configuration does not have: the message says where they stand, or what they are called here."""

import inspect
import re

import pytest
import torch

from workspace_rl import setup_optimizer
from workspace_rl.algos import ALGORITHMS
from workspace_rl.algos.dqn import DQNConfig
from workspace_rl.algos.sac import SACConfig
from workspace_rl.basics.classes import find_class
from workspace_rl.config.schema import resolve_config
from workspace_rl.config.unknown_keys import _TARGETS, OPTIMIZER_WORDS, OTHERS_WORDS, all_keys
from workspace_rl.errors import ConfigError

KEYS = {key for algorithm in ALGORITHMS.values() for key in all_keys(algorithm.config_class)}
VALID = {"algorithm": {"total_steps": 20_000}, "gym_env": {"env_name": "Pendulum-v1"}}


def put(path, value=1):
    """Return a valid configuration with `value` at "section.key"."""
    section, _, key = path.rpartition(".")
    return VALID | ({section: VALID.get(section, {}) | {key: value}} if section else {key: value})


def hint(path, schema=SACConfig):
    """Return what the message says besides the unknown key and those that are valid."""
    with pytest.raises(ConfigError) as caught:
        resolve_config(schema, put(path))
    return re.fullmatch(r"unknown key '.+?'\. (.*?) ?Valid here: .*", str(caught.value))[1]


def test_every_target_is_a_key_of_some_algorithm():
    for targets in OTHERS_WORDS:
        for target in targets:
            names = [target] if "*" not in target else [target.replace("*", "actor_"), target.replace("*", "critic_")]
            assert KEYS.issuperset(names), target
    words = [word for words in OTHERS_WORDS.values() for word in words.split()]
    assert len(words) == len(set(words)) == len(_TARGETS)
    arguments = {"classname", *inspect.signature(torch.optim.Adam).parameters}
    assert set(OPTIMIZER_WORDS.values()) <= arguments


@pytest.mark.parametrize("word", _TARGETS)
def test_every_word_of_others_leads_somewhere(word):
    for path in (word, f"algorithm.{word}", f"gym_env.{word}"):
        found = []
        for algorithm in ALGORITHMS.values():
            keys = all_keys(algorithm.config_class)
            if path not in keys:
                found += re.findall(r"[a-z_]+\.?[a-z_.]*", hint(path, algorithm.config_class))
        assert KEYS & {one.strip(".") for one in found}, (path, found)


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("seed", "It belongs into algorithm.seed."),
        ("total_steps", "It belongs into algorithm.total_steps."),
        ("gym_env.seed", "It belongs into algorithm.seed."),
        ("algorithm.env_name", "It belongs into gym_env.env_name."),
        ("algorithm.device", "It belongs into device."),
        ("lr", "It belongs into actor_optimizer.lr or critic_optimizer.lr or entropy_coef_optimizer.lr."),
        ("algorithm.lr", "It belongs into actor_optimizer.lr or critic_optimizer.lr or entropy_coef_optimizer.lr."),
        ("algorithm.actor_hidden_size", "It belongs into algorithm.architecture.actor_hidden_size."),
        (
            "hidden_size",
            "Here it is algorithm.architecture.actor_hidden_size or algorithm.architecture.critic_hidden_size",
        ),
        ("algorithm.gama", "Here it is algorithm.discount_factor (gamma)."),
        ("learning_rte", "Here it is actor_optimizer.lr or"),
        (
            "pi_hidden_sizes",
            "Here it is algorithm.architecture.actor_hidden_size (units of the actor's hidden layers).",
        ),
        ("policy", "Here it is algorithm.architecture."),
        ("algorithm.gamma", "Here it is algorithm.discount_factor (gamma)."),
        ("gamma", "Here it is algorithm.discount_factor (gamma)."),
        ("tau", "Here it is algorithm.tau_target (how far target critics move at each update)."),
        ("algorithm.ent_coef", "Here it is algorithm.init_entropy_coef (the entropy coefficient, at"),
        ("learning_rate", "Here it is actor_optimizer.lr or critic_optimizer.lr or entropy_coef_optimizer.lr."),
        ("train_freq", "Here it is algorithm.n_steps (steps of each environment in one collection)."),
        ("algorithm.gradient_steps", "Here it is algorithm.updates_per_collect (updates after each collection"),
        ("algorithm.n_step", "Here it is algorithm.n_step_return (rewards summed"),
        ("algorithm.num_envs", "Here it is algorithm.n_envs (environments stepped together)."),
        ("env_id", "Here it is gym_env.env_name (gymnasium id"),
        ("policy_kwargs", "Here it is algorithm.architecture.actor_hidden_size or algorithm."),
        ("algorithm.per", "Here it is algorithm.prioritized ("),
        ("batchsize", "Did you mean 'algorithm.batch_size'?"),
        ("algorithm.sed", "Did you mean 'seed'?"),
        ("algorithm.total-steps", "Did you mean 'total_steps'?"),
    ],
)
def test_the_hint(path, told):
    assert hint(path).startswith(told)


def test_the_hint_depends_on_the_algorithm():
    assert hint("lr", DQNConfig) == "It belongs into optimizer.lr."
    assert hint("hidden_size", DQNConfig) == "It belongs into algorithm.architecture.hidden_size."
    assert hint("exploration_fraction", DQNConfig).startswith("Here it is algorithm.epsilon_steps (steps from")
    assert hint("algorithm.target_network_frequency", DQNConfig).startswith(
        "Here it is algorithm.target_update_interval"
    )
    assert hint("algorithm.target_update_interval", SACConfig).startswith("Here it is algorithm.tau_target")
    # What an algorithm has nothing of is no misspelling of something else.
    assert hint("algorithm.double", SACConfig) == hint("algorithm.use_double_q", SACConfig) == ""


def test_the_hint_depends_on_the_section():
    def told(key):
        with pytest.raises(ConfigError) as caught:
            resolve_config(SACConfig, VALID | {"algorithm": {"prioritized": {key: 0.5}}})
        return str(caught.value)

    assert "Here it is algorithm.prioritized.exponent (alpha" in told("alpha")
    assert "Here it is algorithm.prioritized.importance_exponent (beta" in told("beta")
    assert hint("alpha").startswith("Here it is algorithm.init_entropy_coef")


@pytest.mark.parametrize("section", ["prioritized", "hindsight"])
def test_a_section_that_is_no_section_is_told_how_to_be_one(section):
    with pytest.raises(
        ConfigError, match=rf"algorithm.{section}: a dictionary .* True found; \{{\}} takes the defaults"
    ):
        resolve_config(SACConfig, VALID | {"algorithm": {section: True}})


@pytest.mark.parametrize(
    ("optimizer", "told"),
    [
        ({"learning_rate": 1}, "actor_optimizer: Adam has no argument 'learning_rate'. Here it is 'lr'."),
        ({"epsilon": 1}, "Here it is 'eps'"),
        ({"beta1": 1}, "Here it is 'betas'"),
        ({"name": "Adam"}, "Here it is 'classname'"),
        ({"weight_decy": 1}, "Did you mean 'weight_decay'"),
        ({"classname": "adam"}, "Did you mean 'torch.optim.Adam'"),
        ({"classname": "optim.Adam"}, "Did you mean 'torch.optim.Adam'"),
        ({"classname": "tf.keras.optimizers.Adam"}, "Did you mean 'torch.optim.Adam'"),
        ({"classname": "ReLU"}, "torch.nn.ReLU is no optimiser"),
        ({"classname": "Adamm"}, "class 'Adamm' may not be named here"),
        ({"classname": None}, "a dictionary with a classname expected, for instance {classname: torch.optim.Adam"),
    ],
)
def test_an_optimiser_is_told(optimizer, told):
    with pytest.raises(ConfigError) as caught:
        resolve_config(SACConfig, VALID | {"actor_optimizer": optimizer})
    assert told in str(caught.value)


@pytest.mark.parametrize("classname", ["Adam", "torch.optim.Adam", torch.optim.Adam])
def test_the_name_of_a_class_of_torch_is_enough(classname):
    config = resolve_config(SACConfig, VALID | {"actor_optimizer": {"classname": classname, "lr": 0.5}})
    assert config.actor_optimizer == {"classname": "torch.optim.Adam", "lr": 0.5}
    if isinstance(classname, str):
        assert type(setup_optimizer({"classname": classname}, torch.nn.Linear(1, 1))) is torch.optim.Adam
    assert find_class("Tanh") is torch.nn.Tanh

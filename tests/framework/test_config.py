import pytest
from omegaconf import OmegaConf

from workspace_rl.algos import ALGORITHMS, SAC
from workspace_rl.algos.sac import SACConfig
from workspace_rl.config import apply_overrides, load_config, shipped_configs
from workspace_rl.errors import ConfigError, UnknownEnvironmentError
from workspace_rl.schema import describe_schema, resolve_config, to_yaml

#: The dictionary of BBRL's SAC notebook, as it stands.
NOTEBOOK = {
    "save_best": True,
    "base_dir": "${gym_env.env_name}/sac-S${algorithm.seed}_${current_time:}",
    "collect_stats": True,
    "algorithm": {
        "seed": 1,
        "n_envs": 8,
        "n_steps": 32,
        "buffer_size": 1e6,
        "batch_size": 256,
        "max_grad_norm": 0.5,
        "nb_evals": 16,
        "eval_interval": 2_000,
        "learning_starts": 10_000,
        "max_epochs": 2_000,
        "discount_factor": 0.98,
        "entropy_mode": "auto",
        "init_entropy_coef": 2e-7,
        "tau_target": 0.05,
        "architecture": {"actor_hidden_size": [64, 64], "critic_hidden_size": [256, 256]},
    },
    "gym_env": {"env_name": "CartPoleContinuous-v1"},
    "logger": {
        "classname": "bbrl.utils.logger.TFLogger",
        "log_dir": "./tblogs/${gym_env.env_name}/sac-S${algorithm.seed}_${current_time:}",
        "cache_size": 10000,
        "every_n_seconds": 10,
        "verbose": False,
    },
    "actor_optimizer": {"classname": "torch.optim.Adam", "lr": 3e-4},
    "critic_optimizer": {"classname": "torch.optim.Adam", "lr": 3e-4},
    "entropy_coef_optimizer": {"classname": "torch.optim.Adam", "lr": 3e-4},
}


def test_the_dictionary_of_bbrls_notebook_works_as_it_stands():
    sac = SAC(OmegaConf.create(NOTEBOOK))
    assert sac.config.algorithm.buffer_size == 1_000_000 and isinstance(sac.config.algorithm.buffer_size, int)
    assert sac.config.base_dir.startswith("CartPoleContinuous-v1/sac-S1_2")
    assert sac.config.logger.log_dir == f"./tblogs/{sac.config.base_dir}"
    assert sac.total_steps == 2000 * 32 * 8
    assert sac.actor.body[0].out_features == 64 and sac.entropy_coef().item() == pytest.approx(2e-7)


def change(**changes):
    """The notebook's configuration with some keys changed, `algorithm__seed=2`."""
    config = OmegaConf.create(NOTEBOOK)
    for key, value in changes.items():
        OmegaConf.update(config, key.replace("__", "."), value, force_add=True)
    return config


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"algorithm__lerning_starts": 5}, "unknown key 'algorithm.lerning_starts'. Did you mean 'learning_starts'"),
        ({"batch_size": 5}, "unknown key 'batch_size'.*belongs into algorithm.batch_size"),
        ({"algorithm__seed": "one"}, r"algorithm.seed: a whole number expected, 'one' \(str\) found"),
        ({"algorithm__seed": 1.5}, "algorithm.seed: a whole number expected, 1.5"),
        ({"algorithm__n_envs": True}, "algorithm.n_envs: a whole number expected, True"),
        ({"algorithm__n_envs": -3}, "algorithm.n_envs: at least 1 expected, -3 found"),
        ({"algorithm__buffer_size": -1e6}, "algorithm.buffer_size: at least 1 expected"),
        ({"algorithm__discount_factor": 1.5}, "algorithm.discount_factor: at most 1 expected, 1.5"),
        ({"algorithm__discount_factor": float("nan")}, "algorithm.discount_factor: a finite number expected, nan"),
        ({"algorithm__tau_target": 0}, "algorithm.tau_target: more than 0 expected, 0.0 found"),
        ({"algorithm__entropy_mode": "atuo"}, "algorithm.entropy_mode: one of 'auto', 'fixed' expected.*mean 'auto'"),
        ({"algorithm__architecture__actor_hidden_size": [64, "x"]}, r"actor_hidden_size\[1\]: a whole number expected"),
        ({"algorithm__architecture__actor_hidden_size": [0]}, "actor_hidden_size: at least 1 expected, 0"),
        ({"algorithm__architecture": 7}, "algorithm.architecture: a dictionary of parameters expected, 7 found"),
        ({"algorithm__total_steps": 100}, "exactly one of total_steps"),
        ({"algorithm__max_epochs": 3}, "learning_starts: less than the run's 768 steps expected, 10000"),
        ({"save_best": "yes"}, "save_best: true or false expected, 'yes'"),
        ({"actor_optimizer__classname": "torch.optim.Adan"}, "actor_optimizer: .*no class 'Adan'. Did you mean 'Adam'"),
        ({"actor_optimizer__classname": "os.path.join"}, "may not be named here"),
        ({"actor_optimizer__classname": "torch.nn.Linear"}, "actor_optimizer: torch.nn.Linear is no optimiser"),
        ({"actor_optimizer__learning_rate": 1}, "actor_optimizer: Adam has no argument 'learning_rate'"),
        ({"actor_optimizer__lr": -1}, "actor_optimizer.lr: a positive number expected, -1"),
        ({"actor_optimizer__betas": [0.9]}, "actor_optimizer: torch.optim.Adam refuses"),
        ({"actor_optimizer__classname": "torch.optim.LBFGS"}, "several times a step, which is not supported"),
        ({"algorithm__architecture__critic_hidden_size": []}, "critic_hidden_size: a list with at least one entry"),
        ({"algorithm__buffer_size": 8, "algorithm__n_step_return": 5}, "buffer_size: 8 transitions of 8 env.*least 40"),
        ({"gym_env__env_name": ""}, "gym_env.env_name: an environment's id expected"),
        (
            {"logger__classname": "workspace_rl.agent.Agent"},
            "logger.classname: one of 'workspace_rl.logger",
        ),
        ({"device": "cuda:99"}, "device: 'cuda:99' is not available"),
        ({"device": "gpu"}, "device: 'gpu' is not available"),
        ({"base_dir": "${nowhere}"}, "nowhere"),
        ({"gym_env__env_args": {"colour": "red"}}, "gym_env.env_args: .*colour"),
        ({"gym_env__atari": {"frameskip": 4}}, "unknown key 'atari.frameskip'. Did you mean 'frame_skip'"),
    ],
)
def test_mistakes_are_told_before_anything_starts(changes, message):
    with pytest.raises(ConfigError, match=message):
        SAC(change(**changes))


def test_an_unknown_environment_is_told():
    with pytest.raises(UnknownEnvironmentError, match="Did you mean 'CartPoleContinuous-v1'"):
        SAC(change(gym_env__env_name="CartPoleContinous-v1"))
    with pytest.raises(UnknownEnvironmentError, match="module 'my_module'.*cannot be imported.*PYTHONPATH"):
        SAC(change(gym_env__env_name="my_module:Mine-v0"))


def test_defaults_are_filled_in():
    length = {"algorithm": {"total_steps": 20_000}, "gym_env": {"env_name": "Pendulum-v1"}}
    config = resolve_config(SACConfig, {"critic_optimizer": {"lr": 1e-3}} | length)
    assert config.critic_optimizer == {"classname": "torch.optim.Adam", "lr": 1e-3}
    assert config.algorithm.tau_target == 0.005 and config.algo == "sac"
    other = resolve_config(SACConfig, {"critic_optimizer": {"classname": "torch.optim.SGD", "momentum": 0.9}} | length)
    assert other.critic_optimizer == {"classname": "torch.optim.SGD", "lr": 3e-4, "momentum": 0.9}


def test_the_resolved_configuration_resolves_to_itself():
    config = resolve_config(SACConfig, NOTEBOOK)
    assert resolve_config(SACConfig, OmegaConf.create(to_yaml(config))) == config


def test_interpolations_may_name_defaults():
    given = {"base_dir": "x/${algo}-S${algorithm.seed}", "gym_env": {"env_name": "Pendulum-v1"}}
    given["algorithm"] = {"total_steps": 20_000}
    for config in (given, OmegaConf.create(given)):
        assert resolve_config(SACConfig, config).base_dir == "x/sac-S1"


def test_overrides():
    config = apply_overrides(load_config("sac/pendulum"), ["algorithm.seed=5", "actor_optimizer.lr=1e-3"])
    assert (config.algorithm.seed, config.actor_optimizer.lr) == (5, 1e-3)
    with pytest.raises(ConfigError, match="write key=value"):
        apply_overrides(config, ["algorithm.seed"])
    with pytest.raises(ConfigError, match="algorithm.seed="):
        apply_overrides(config, ["algorithm.seed=["])


@pytest.mark.parametrize("name", shipped_configs())
def test_shipped_configurations_are_valid_and_say_what_they_reach(name):
    config = load_config(name)
    resolve_config(ALGORITHMS[config.algo].config_class, config)
    from importlib.resources import files

    text = (files("workspace_rl.configs") / f"{name}.yaml").read_text()
    assert text.startswith("#") and ("commit" in text or "not yet measured" in text)


def test_missing_and_broken_files_are_told(tmp_path):
    with pytest.raises(ConfigError, match="no configuration file 'sac/pendulun'.*Did you mean 'sac/pendulum'"):
        load_config("sac/pendulun")
    (tmp_path / "broken.yaml").write_text("a: [1")
    with pytest.raises(ConfigError, match="cannot be read as YAML"):
        load_config(tmp_path / "broken.yaml")
    (tmp_path / "binary.yaml").write_bytes(bytes(range(256)))
    with pytest.raises(ConfigError, match="cannot be read as YAML"):
        load_config(tmp_path / "binary.yaml")
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(ConfigError, match="must hold a dictionary"):
        load_config(tmp_path / "list.yaml")


def test_the_schema_explains_itself():
    text = describe_schema(SACConfig)
    assert "tau_target: 0.005  # how far target critics move at each update" in text

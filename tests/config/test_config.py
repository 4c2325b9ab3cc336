import dataclasses
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from workspace_rl.algos import ALGORITHMS, SAC
from workspace_rl.algos.sac import SACConfig
from workspace_rl.config.schema import describe_schema, resolve_config, to_yaml
from workspace_rl.config.sources import apply_overrides, load_config, shipped_configs
from workspace_rl.errors import ConfigError, UnknownEnvironmentError

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
    assert sac.config.base_dir.startswith(str(Path("CartPoleContinuous-v1/sac-S1_2").absolute()))
    assert sac.config.logger.log_dir == str(
        Path("tblogs").absolute() / Path(sac.config.base_dir).relative_to(Path.cwd())
    )
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
        ({"algorithm__architecture": 7}, "algorithm.architecture: a dictionary of parameters expected, 7 .int. found"),
        ({"algorithm__total_steps": 100}, "exactly one of total_steps"),
        ({"algorithm__max_epochs": 3}, "learning_starts: less than the run's 768 steps expected, 10000"),
        ({"save_best": "yes"}, "save_best: true or false expected, 'yes'"),
        ({"actor_optimizer__classname": "torch.optim.Adan"}, "actor_optimizer: .*no class 'Adan'. Did you mean 'Adam'"),
        ({"actor_optimizer__classname": "os.path.join"}, "may not be named here"),
        ({"actor_optimizer__classname": "torch.nn.Linear"}, "actor_optimizer: torch.nn.Linear is no optimiser"),
        ({"actor_optimizer__learning_rate": 1}, "Adam has no argument 'learning_rate'. Here it is 'lr'"),
        ({"actor_optimizer__lr": -1}, "actor_optimizer.lr: a positive number expected, -1"),
        ({"actor_optimizer__betas": [0.9]}, "actor_optimizer: torch.optim.Adam refuses"),
        ({"actor_optimizer__classname": "torch.optim.LBFGS"}, "several times a step, which is not supported"),
        ({"algorithm__architecture__critic_hidden_size": []}, "critic_hidden_size: a list with at least one entry"),
        ({"algorithm__buffer_size": 8, "algorithm__n_step_return": 5}, "buffer_size: 8 transitions of 8 env.*least 40"),
        ({"gym_env__env_name": ""}, "gym_env.env_name: an environment's id expected"),
        (
            {"logger__classname": "workspace_rl.agent.Agent"},
            "logger.classname: one of 'workspace_rl.Logger",
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
        assert resolve_config(SACConfig, config).base_dir == str(Path("x/sac-S1").absolute())


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
    assert "entropy_mode: auto  # learn the entropy coefficient, or keep it; one of auto, fixed" in text
    assert "compile: auto  # " in text and "; one of true, false, auto" in text
    assert "save_best: true  #" in text and "max_grad_norm: null  #" in text and "n_step_return: 1  #" in text


def test_an_algorithm_takes_what_the_command_line_takes(tmp_path):
    changes = ["algorithm.seed=2", "actor_optimizer.lr=0.5"]
    by_name = SAC("sac/pendulum", changes)
    assert (by_name.parameters.seed, by_name.config.actor_optimizer["lr"]) == (2, 0.5)
    (tmp_path / "mine.yaml").write_text("gym_env: {env_name: Pendulum-v1}\nalgorithm: {total_steps: 20_000, seed: 010}")
    plain = {"gym_env": {"env_name": "Pendulum-v1"}, "algorithm": {"total_steps": 20_000, "seed": np.int64(10)}}
    for source in (tmp_path / "mine.yaml", str(tmp_path / "mine.yaml"), plain, load_config(tmp_path / "mine.yaml")):
        assert SAC(source).parameters.seed == 10
        assert SAC(source, ["algorithm.seed=3"]).parameters.seed == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sac/pendulun"], "Did you mean 'sac/pendulum'"),
        (["nowhere.yaml"], "no configuration file 'nowhere.yaml'"),
        (["dqn/cartpole"], "algo: 'dqn' found"),
        (["sac/pendulum", "algorithm.seed=2"], "overrides: a list of texts"),
        (["sac/pendulum", [3]], "overrides: a list of texts"),
        (["sac/pendulum", ["seed"]], "write key=value"),
        (["sac/pendulum", ["seed=2"]], "It belongs into algorithm.seed"),
        ([None], "a YAML file or a name such as 'sac/pendulum' expected, None found"),
        ([3], "expected, 3 .int. found"),
        ([["sac/pendulum"]], "expected, .* .list. found"),
        (["a\0b"], "no configuration file"),
        (["x" * 5000], "no configuration file"),
        ([""], "no configuration file"),
        (["."], "no configuration file"),
    ],
)
def test_what_is_no_configuration_is_told(arguments, message):
    with pytest.raises(ConfigError, match=message):
        SAC(*arguments)


def test_two_runs_of_one_second_have_folders_of_their_own(monkeypatch):
    class Noon(datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2026, 1, 1, 12, 0, 0)

    monkeypatch.setattr("workspace_rl.config.schema.datetime", Noon)
    config = OmegaConf.create(NOTEBOOK)
    folders = [resolve_config(SACConfig, config) for _ in range(50)]
    assert len({one.base_dir for one in folders}) == len({one.logger.log_dir for one in folders}) == 50
    assert all("/CartPoleContinuous-v1/sac-S1_20260101-120000-" in one.base_dir for one in folders)
    assert all(one.logger.log_dir.endswith(one.base_dir.removeprefix(str(Path.cwd()))) for one in folders)


def test_two_jobs_that_start_at_once_both_run(tmp_path):
    job = (
        "from workspace_rl.algos import SAC; import sys, time; "
        "sac = SAC({'gym_env': {'env_name': 'Pendulum-v1'}, 'record_best': False, 'compile': False,"
        "'logger': {'save_tensorboard': False}, 'algorithm': {'total_steps': 12, 'learning_starts': 4, 'n_envs': 1,"
        "'n_steps': 4, 'nb_evals': 1, 'batch_size': 4, 'final_episodes': 0}}); print('ready', flush=True); input();"
        "print(sac.train(progress=False).run)"
    )
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": tmp_path, "env": environment}
    jobs = [subprocess.Popen([sys.executable, "-W", "ignore", "-c", job], **pipes) for _ in range(2)]
    assert [one.stdout.readline() for one in jobs] == ["ready\n"] * 2
    for one in jobs:
        one.stdin.write("\n")
        one.stdin.flush()
    runs = {one.communicate(timeout=60)[0] for one in jobs}
    assert [one.returncode for one in jobs] == [0, 0] and len(runs) == 2
    assert len(list(tmp_path.glob("outputs/Pendulum-v1/*/metrics.csv"))) == 2


GIVEN = {"gym_env": {"env_name": "Pendulum-v1"}, "algorithm": {"total_steps": 100, "learning_starts": 10}}


@pytest.mark.parametrize("key", ["algorithm.seed", "actor_optimizer.lr", "base_dir", "gym_env.env_args.mass"])
def test_a_value_that_must_be_given_is_not_a_default(key):
    config = OmegaConf.create(GIVEN)
    OmegaConf.update(config, key, "???", force_add=True)
    with pytest.raises(ConfigError, match=rf"^{key}: a value expected, '\?\?\?' found"):
        SAC(config)
    with pytest.raises(ConfigError, match=rf"^{key}: a value expected"):
        SAC(GIVEN, [f"{key}=???"])


def test_overrides_change_nothing_of_a_configuration_that_is_read_only_or_closed():
    config = OmegaConf.create(GIVEN)
    OmegaConf.set_struct(config, True)  # as hydra gives it to a program
    OmegaConf.set_readonly(config, True)
    assert SAC(config, ["algorithm.seed=3"]).config.algorithm.seed == 3
    assert "seed" not in config.algorithm


def test_a_part_of_a_larger_configuration_means_what_stands_there():
    whole = OmegaConf.create({"number": 7, "rl": {**GIVEN, "base_dir": "/tmp/S${number}"}})
    whole.rl.algorithm = {**GIVEN["algorithm"], "seed": "${number}"}
    sac = SAC(whole.rl)
    assert (sac.config.algorithm.seed, sac.config.base_dir) == (7, "/tmp/S7")
    del whole.number
    with pytest.raises(ConfigError, match="number"):
        SAC(whole.rl)


def test_a_dataclass_of_ones_own_by_way_of_omegaconf():
    @dataclasses.dataclass
    class Mine:
        gym_env: dict[str, str] = dataclasses.field(default_factory=lambda: GIVEN["gym_env"])
        algorithm: dict[str, int] = dataclasses.field(default_factory=lambda: GIVEN["algorithm"])

    assert SAC(OmegaConf.structured(Mine)).total_steps == 100


def test_a_device_without_numbers_is_refused():
    with pytest.raises(ConfigError, match="'meta' has shapes and no numbers"):
        SAC({**GIVEN, "device": "meta"})


def test_a_section_without_a_description_is_described_by_none():
    @dataclasses.dataclass
    class Section:
        bonus: float = 0.5

    @dataclasses.dataclass
    class Whole:
        section: Section = dataclasses.field(default_factory=Section)

    assert describe_schema(Whole).splitlines()[0] == "section:"

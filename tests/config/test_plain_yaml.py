"""YAML by the rules of version 1.2, in files and in overrides."""

import math
import re

import pytest
import yaml
from omegaconf import OmegaConf

from workspace_rl.algos.sac import SACConfig
from workspace_rl.config.plain_yaml import read_yaml, write_yaml
from workspace_rl.config.schema import resolve_config, to_yaml
from workspace_rl.config.sources import apply_overrides, load_config
from workspace_rl.errors import ConfigError

BASE = {"gym_env": {"env_name": "Pendulum-v1"}, "algorithm": {"total_steps": 20_000, "n_envs": 1}}

#: What a plain scalar stands for.
SCALARS = {
    "007": 7, "008": 8, "010": 10, "+1": 1, "-010": -10, "0": 0, "0x10": 16, "0xfF": 255, "0o10": 8,
    "1e6": 1e6, "1E6": 1e6, "1e+6": 1e6, ".5": 0.5, "1.": 1.0, "-.5e-3": -0.0005, ".inf": math.inf, "-.Inf": -math.inf,
    "true": True, "False": False, "~": None, "": None, "null": None, "'010'": "010", "!!int 010": 10, "!!str 1": "1",
    "on": "on", "off": "off", "yes": "yes", "NO": "NO", "y": "y", "tRue": "tRue",
    "1_0": "1_0", "1_000": 1000, "1_00": "1_00",
    "-10_000_000": -10_000_000, "0b11": "0b11", "1:30": "1:30", "190:20:30.15": "190:20:30.15",
    "2024-01-01": "2024-01-01", "2001-12-14t21:59:43.10-05:00": "2001-12-14t21:59:43.10-05:00",
    "=": "=", "<<": "<<", "inf": "inf", "nan": "nan", "+": "+", "1e": "1e", "0x": "0x", "1.2.3": "1.2.3",
}  # fmt: skip


@pytest.mark.parametrize("text", SCALARS)
def test_a_plain_scalar_is_that_of_version_1_2(text, tmp_path):
    expected = SCALARS[text]
    (tmp_path / "file.yaml").write_text(f"gym_env:\n  env_args: {{x: {text}}}\n")
    read = [
        read_yaml(text),
        load_config(tmp_path / "file.yaml").gym_env.env_args.x,
        apply_overrides(OmegaConf.create(BASE), [f"gym_env.env_args.x={text}"]).gym_env.env_args.x,
    ]
    assert [(type(one), one) for one in read] == [(type(expected), expected)] * 3


def test_not_a_number():
    assert math.isnan(read_yaml(".nan")) and math.isnan(read_yaml(write_yaml(math.nan)))


@pytest.mark.parametrize(
    ("override", "found"),
    [
        ("algorithm.seed=010", 10),
        ("algorithm.seed=0x10", 16),
        ("algorithm.seed=1e1", 10),
        ("algorithm.seed=1_000", 1000),
        ("algorithm.seed=1_0", "a whole number expected, '1_0'.*decimal digits"),
        ("algorithm.seed=1:30", "a whole number expected, '1:30'"),
        ("algorithm.seed=2024-01-01", "a whole number expected, '2024-01-01'"),
        ("algorithm.seed=on", "a whole number expected, 'on'"),
        ("save_best=off", "save_best: true or false expected, 'off'.* write false"),
        ("compile=yes", "compile: .*'yes'.* write true"),
        ("algorithm.tau_target=nan", "a number expected, 'nan'"),
        ("algorithm.tau_target=.nan", "a finite number expected"),
        ("actor_optimizer.lr=.inf", "actor_optimizer.lr: a positive number expected, inf"),
        ("actor_optimizer.weight_decay=.inf", "actor_optimizer.weight_decay: finite numbers expected, inf"),
        ("actor_optimizer.betas=[0.9, .nan]", r"actor_optimizer.betas: finite numbers expected, \[0.9, nan\]"),
        ("gym_env.timeout=.inf", "gym_env.timeout: a finite number expected, inf found. null means"),
        ("algorithm.max_grad_norm=.inf", "max_grad_norm: a finite number expected"),
        ("algorithm.target_entropy=-.inf", "target_entropy: a finite number expected"),
        ('base_dir="x\\0y"', "base_dir: a text without NUL"),
        ("base_dir=x\0y", "unacceptable character"),
        ("gym_env.env_name=x\0", "unacceptable character"),
        ('gym_env.env_args={"a\\0": 1}', "a text without NUL"),
        ("algorithm.seed=1\nalgorithm.seed: 2", "algorithm.seed=1"),
    ],
)
def test_an_override_is_what_is_written_or_refused(override, found):
    try:
        config = resolve_config(SACConfig, apply_overrides(OmegaConf.create(BASE), [override]))
    except ConfigError as error:
        assert isinstance(found, str) and re.search(found, str(error)), error
    else:
        assert config.algorithm.seed == found


@pytest.mark.parametrize("text", ["010", "0o10", "1e6", "on", "~", "", "<<", "=", "inf", "1:30", "\x85", "\u2028", "é"])
def test_what_is_written_is_read_as_the_same_by_either_version(text):
    config = resolve_config(SACConfig, BASE | {"gym_env": {"env_name": "Pendulum-v1", "env_args": {"k" + text: text}}})
    written = to_yaml(config)
    assert resolve_config(SACConfig, OmegaConf.create(written)) == config
    assert resolve_config(SACConfig, OmegaConf.create(read_yaml(written))) == config


def test_folders_of_older_runs_are_read_as_they_were_written():
    values = {"a": "1e6", "b": "010", "c": "1_0", "d": "on", "e": "0x1", "f": 1e-5, "g": 1e20, "h": -0.0, "i": "nan"}
    values |= {"j": "2024-01-01", "k": "1:30", "l": "<<", "m": None, "n": True, "o": 10**30, "p": math.inf, "q": "~"}
    assert read_yaml(OmegaConf.to_yaml(OmegaConf.create(values))) == values
    config = resolve_config(SACConfig, BASE)
    assert to_yaml(config) == OmegaConf.to_yaml(OmegaConf.create(to_yaml(config)))


def test_merged_and_repeated_keys():
    assert read_yaml("x: &x {a: 1, b: 1}\ny: {<<: *x, b: 2}") == {"x": {"a": 1, "b": 1}, "y": {"a": 1, "b": 2}}
    with pytest.raises(yaml.YAMLError, match="'a' stands there twice"):
        read_yaml("a: 1\na: 2")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_files_are_unicode(tmp_path, encoding):
    (tmp_path / "file.yaml").write_bytes("base_dir: île\n".encode(encoding))
    assert load_config(tmp_path / "file.yaml").base_dir == "île"


def test_a_file_in_another_encoding_is_refused(tmp_path):
    (tmp_path / "file.yaml").write_bytes("base_dir: île\n".encode("latin-1"))
    with pytest.raises(ConfigError, match="cannot be read as YAML: 'utf-8' codec"):
        load_config(tmp_path / "file.yaml")


def test_a_text_that_would_be_an_interpolation_is_refused():
    with pytest.raises(ConfigError, match="base_dir: .*can only begin an interpolation"):
        resolve_config(SACConfig, BASE | {"base_dir": r"\${x}"})

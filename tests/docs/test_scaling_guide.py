"""The commands of the guide to many collectors do what they say, with fewer collectors and shorter."""

import importlib.util
import json
import re
import shlex
import warnings

import pytest

from tests.guides import ROOT, Page
from workspace_rl.cli import main

#: Of a run that ends within seconds.
SHORT = (
    "algorithm.total_steps=160 algorithm.learning_starts=40 algorithm.random_steps=40 algorithm.batch_size=16 "
    "algorithm.nb_evals=1 algorithm.final_episodes=1 algorithm.eval_interval=160 gym_env.max_episode_steps=20 "
    "algorithm.updates_per_collect=1 logger.log_interval=40 compile=false matmul_precision=highest record_best=false "
    "algorithm.architecture.actor_hidden_size=[16] algorithm.architecture.critic_hidden_size=[16]"
).split()
COMMANDS = [
    shlex.split(re.sub(r"\s#.*", "", line))[1:]
    for block in Page(ROOT / "docs" / "scaling.md").blocks("sh")
    for line in block.lines
    if line.startswith("workspace-rl ")
]
#: Those that want a cluster are run where there is one (tests/collectors/places).
HERE = [one for one in COMMANDS if not any(option.startswith("collectors.address") for option in one)]
TRAININGS = [one for one in HERE if one[0] == "train" and "base_dir=outputs/mine" not in one]


#: Of those that start processes on this machine, the one that does it here: each takes its time to import torch.
IN_PROCESSES = "sac/pendulum"


def shortened(command):
    name, target, *options = command
    fewer = [re.sub(r"^collectors\.n=\d+$", "collectors.n=2", one) for one in options]
    if target != IN_PROCESSES or "base_dir=outputs/mine" in options:
        fewer = [one.replace("where=local", "where=process") for one in fewer]
    return [name, target, *fewer, *SHORT]


def require(command):
    for option, package in (("collectors.where=ray", "ray"), ("sac/minitaur_bullet", "pybullet")):
        if option in command and importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")


@pytest.fixture
def in_a_new_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_all_kinds_of_commands_are_there():
    told = {option for command in HERE for option in command}
    assert {"collectors.where=local", "collectors.where=ray", "collectors.mode=free", "evaluation_worker=true"} <= told
    assert {command[0] for command in COMMANDS} == {"train", "resume", "diagram"} and len(HERE) < len(COMMANDS)


@pytest.mark.parametrize("command", TRAININGS, ids=" ".join)
def test_what_trains_trains(command, in_a_new_folder):
    require(command)
    assert main([*shortened(command), "base_dir=run"]) == 0
    asked = {option.partition("=")[0]: option.partition("=")[2] for option in command[2:]}
    if "collectors.n" in asked:
        (stretch,) = json.loads((in_a_new_folder / "run" / "collectors.json").read_text())["stretches"]
        assert stretch["to_step"] >= 160 and stretch["restarts"] == 0
        assert f"collectors.where={stretch['where']}" in shortened(command)


def test_what_is_drawn_is_written(in_a_new_folder):
    (command,) = [one for one in HERE if one[0] == "diagram"]
    require(command)
    assert main(command) == 0
    assert "8 collectors" in (in_a_new_folder / command[-1]).read_text()


def test_a_run_goes_on_elsewhere_and_with_others(in_a_new_folder):
    first, *others = [one for one in HERE if any("outputs/mine" in option for option in one)]
    assert main(shortened(first)) == 0
    for number, command in enumerate(others, start=2):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert main([*command, f"algorithm.total_steps={number * 160}"]) == 0
        told = any("collectors.n" in str(one.message) for one in caught)
        assert told == any(option.startswith("collectors.n=") for option in command)
    stretches = json.loads((in_a_new_folder / "outputs" / "mine" / "collectors.json").read_text())["stretches"]
    assert [(one["n"], one["where"]) for one in stretches] == [(2, "process")] * 2 + [(4, "process")]

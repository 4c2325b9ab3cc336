"""Names of classes in files: those that earlier versions have written, and those that are written now."""

from pathlib import Path

import pytest
import yaml

import workspace_rl
from workspace_rl import Agents, GymAgent, KWAgentWrapper, load_policy, save_policy
from workspace_rl.agents import DiscreteQAgent, GreedyAgent, SquashedGaussianActor
from workspace_rl.basics.classes import class_path, find_allowed, find_class, import_class, is_called
from workspace_rl.basics.old_names import _RENAMED, former_names, present_name
from workspace_rl.cli import main
from workspace_rl.errors import ConfigError, PolicyFileError

#: Of the first version: agents, environments, wrappers, algorithms, and public classes.
OLD = (Path(__file__).parents[1] / "kept" / "old_names.txt").read_text().split()


@pytest.mark.parametrize("name", OLD)
def test_an_old_name_stands_for_the_class_where_it_is_now(name):
    module, _, own = name.rpartition(".")
    found = find_class(name)
    assert found.__name__ == own and found.__module__.startswith("workspace_rl.")
    assert import_class(f"{module}:{own}") is import_class(name) is found
    assert is_called(found, class_path(found)) and find_allowed(f"{module}:{own}", [name]) is found
    # It is written by a name that is found again, one that the user can import where there is one.
    assert find_class(class_path(found)) is found
    if getattr(workspace_rl, own, None) is found:
        assert class_path(found) == f"workspace_rl.{own}"


@pytest.mark.parametrize("old", _RENAMED)
def test_the_table_leads_from_names_that_are_gone_to_those_that_are_written(old):
    assert old in OLD and former_names(_RENAMED[old]) == [old]
    assert class_path(find_class(old)) == _RENAMED[old] and is_called(find_class(old), old)


@pytest.mark.parametrize(
    "name",
    ["os.system", "gym_agent.GymAgent", "workspace_rl.gym_agent", "workspace_rl.gym_agent.GymAgent.step", "", ".", ":"],
)
def test_other_names_are_left_as_they_are(name):
    assert present_name(name) == name


def test_what_modules_had_imported_is_not_named_by_them_any_more():
    with pytest.raises(ConfigError, match=r"workspace_rl\.gym_agent' cannot be imported"):
        find_class("workspace_rl.gym_agent.Agent")


def test_policies_name_classes_by_their_public_names(tmp_path):
    save_policy(Agents(DiscreteQAgent([3], [4], 2), GreedyAgent()), tmp_path / "choices")
    save_policy(KWAgentWrapper(SquashedGaussianActor(3, [8], 1), stochastic=False), tmp_path / "actor")
    texts = [(tmp_path / name / "policy.yaml").read_text() for name in ("choices", "actor")]
    classes = [line.split()[-1] for text in texts for line in text.splitlines() if "class:" in line]
    assert classes == [
        "workspace_rl.Agents", "workspace_rl.agents.DiscreteQAgent", "workspace_rl.agents.GreedyAgent",
        "workspace_rl.KWAgentWrapper", "workspace_rl.agents.SquashedGaussianActor",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "allowed",
    [
        "workspace_rl.GymAgent", "workspace_rl:GymAgent", "workspace_rl.envs", "workspace_rl.envs.GymAgent",
        "workspace_rl.envs.gym_agent:GymAgent", "workspace_rl.envs.gym_agent.agent:GymAgent",
        "workspace_rl.gym_agent.GymAgent", "workspace_rl.gym_agent:GymAgent", "workspace_rl.gym_agent", GymAgent,
    ],
)  # fmt: skip
def test_environments_are_allowed_by_old_names_and_new_ones(allowed, tmp_path):
    save_policy(GymAgent("CartPole-v1", 1), tmp_path)
    assert yaml.safe_load((tmp_path / "policy.yaml").read_text())["agent"]["class"] == "workspace_rl.GymAgent"
    with pytest.raises(PolicyFileError, match=r"allow=\['workspace_rl\.GymAgent'\]"):
        load_policy(tmp_path, allow=["workspace_rl.agents", "workspace_rl.Agents", "workspace_rl.gym"])
    load_policy(tmp_path, allow=[allowed]).close()


def test_the_command_line_allows_old_names(capsys):
    assert main(["evaluate", "nowhere", "--allow", "workspace_rl.gym_agent:GymAgent"]) != 0
    assert "nowhere is not the folder of a run" in capsys.readouterr().err

"""Pictures of compositions."""

import xml.etree.ElementTree as ElementTree

import pytest
import torch

from tests.inspection.pieces import FAST, overlaps, texts
from workspace_rl import Agent, Agents, TemporalAgent, diagram
from workspace_rl.agents import ContinuousQAgent, SquashedGaussianActor
from workspace_rl.agents.memory import GRUAgent, LSTMAgent
from workspace_rl.algorithm.names import find_algorithm
from workspace_rl.algos import PPO, SAC
from workspace_rl.cli import main
from workspace_rl.errors import CompositionError, RenderingError


def test_the_diagram_of_sac_fits_one_screen_and_says_what_the_critic_reads(tiny_sac, tmp_path):
    algorithm = SAC(tiny_sac)
    picture = diagram(algorithm)
    algorithm.train_env.close()
    root = ElementTree.fromstring(picture._repr_svg_())
    assert float(root.get("width")) <= 1400 and float(root.get("height")) <= 900
    words = texts(picture.svg())
    assert {"critic", "critic_loss", "actor_loss", "replay buffer", "time t", "time t+1"} <= set(words)
    assert "[B, 3] float32" in words and words.count("reads replayed") == 8
    lines = [one.split() for one in str(picture).splitlines()]
    (index, *_) = [index for index, words in enumerate(lines) if words[:3] == ["critic", "at", "t"]]
    assert [" ".join(words) for words in lines[index : index + 3]] == [
        "critic at t reads env/env_obs t [B, 3] float32 replayed",
        "reads action t [B, 1] float32 replayed",
        "writes critic/q_values t [B, 2] float32",
    ]
    assert max(map(len, str(picture).splitlines())) < 110
    assert picture.save(tmp_path / "sac.svg").read_text().startswith("<svg")
    assert picture.save(tmp_path / "sac.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(RenderingError, match=r"\.svg or a \.png"):
        picture.save(tmp_path / "sac.gif")


def test_the_diagram_shows_what_an_agent_reads_of_its_own_step_before(env):
    class Smooth(Agent):
        """Moves slowly from action to action."""

        def forward(self, t, **kwargs):
            last = self.get(("action", t - 1)) if t else torch.zeros(2, 1)
            self.set(("action", t), 0.9 * last)

    critic = ContinuousQAgent(3, [8], 1, name="critic")
    lines = str(diagram(TemporalAgent(Agents(env, Smooth(name="smooth"), critic)))).splitlines()
    (line,) = [one.split() for one in lines if one.strip().startswith("smooth at t+1")]
    assert line[3:] == ["reads", "action", "t", "[B,", "1]", "float32", "fresh"]
    assert any(one.strip().startswith("critic at t+1") for one in lines)  # and all that runs with it


def test_the_diagram_of_a_delayed_update_says_so_and_has_no_rows_for_metrics():
    picture = diagram(
        find_algorithm("td3")({"gym_env": {"env_name": "Pendulum-v1"}, "algorithm": {"total_steps": 100_000}, **FAST})
    )
    assert [phase.title for phase in picture.phases[1:]] == [
        "Update: critic_loss trains critic, on a replayed batch of transitions",
        "Update, delayed: actor_loss trains actor, on a replayed batch of transitions",
    ]
    functions = [step.label for phase in picture.phases for step in phase.steps if step.is_function]
    assert functions == ["replay buffer", "n_step_transitions", "critic_loss", "actor_loss"]


def test_the_diagram_has_the_steps_of_whole_variables_that_a_loss_uses():
    critic = ContinuousQAgent(3, [8], 1, name="critic")

    def loss(batch):
        action, reward = batch["action", "env/reward"]
        return (batch["critic/q_values"][0] - reward[1].unsqueeze(-1)).mean() + action.mean()

    def update(batch):
        critic(batch, t=0)
        batch["critic/q_values"][0].mean()  # for its metrics
        return loss(batch)

    def inline(batch):
        critic(batch, t=0)
        return batch["critic/q_values"][0].mean()

    inputs = {"env/env_obs": torch.zeros(2, 4, 3), "action": torch.zeros(2, 4, 1), "env/reward": torch.zeros(2, 4)}
    marks = {
        function.__name__: {(step.label, *mark.value) for step in phase.steps for mark in step.marks if not mark.writes}
        for function in (update, inline)
        for phase in diagram(function, inputs=inputs).phases
    }
    of_critic = {("critic", "env/env_obs", 0), ("critic", "action", 0)}
    of_loss = {("loss", "critic/q_values", 0), ("loss", "env/reward", 1), ("loss", "action", None)}
    assert marks["update"] == of_critic | of_loss
    assert marks["inline"] == of_critic | {("inline", "critic/q_values", 0)}
    assert "all steps" in texts(diagram(update, inputs=inputs).svg())


def test_texts_of_a_diagram_do_not_overlap(env, policy):
    for target in (TemporalAgent(Agents(env, policy)), ContinuousQAgent(3, [8], 1)):
        inputs = {"env/env_obs": torch.zeros(1, 4, 3), "action": torch.zeros(1, 4, 1)}
        svg = diagram(target, inputs=inputs).svg()
        assert ElementTree.fromstring(svg).get("style") == "max-width: 100%; height: auto"
        assert overlaps(svg) == []


def test_the_command_line_checks_and_draws(tmp_path, capsys):
    options = ["sac/pendulum", "compile=false", "matmul_precision=highest"]
    assert main(["check", *options]) == 0
    assert capsys.readouterr().out == "SAC: no problems found\n"
    assert main(["diagram", *options]) == 0
    assert "critic_loss" in capsys.readouterr().out
    assert main(["diagram", *options, "--output", str(tmp_path / "sac.svg")]) == 0
    assert (tmp_path / "sac.svg").is_file()


def test_a_diagram_of_nothing_is_refused():
    with pytest.raises(CompositionError, match="can be looked at"):
        diagram("sac")


def test_a_diagram_of_ppo_tells_what_is_made_of_a_rollout():
    ppo = {"total_steps": 1000, "n_envs": 2, "n_steps": 8, "batch_size": 8}
    shown = texts(diagram(PPO({"gym_env": {"env_name": "CartPole-v1"}, "algorithm": ppo} | FAST)).svg())
    assert "Once for each rollout: prepare, advantages, minibatches" in shown
    title = next(one for one in shown if one.startswith("Update"))
    assert "clipped_policy_loss" in title and "train actor and value, on minibatches of the rollout" in title
    whole = diagram(PPO({"gym_env": {"env_name": "CartPole-v1"}, "algorithm": ppo | {"batch_size": None}} | FAST)).svg()
    assert "Once for each rollout: prepare, advantages" in texts(whole) and "all steps" in texts(whole)


def test_the_loop_through_time_is_shown(env):
    memory = LSTMAgent(3, 8, name="remembers")
    picture = diagram(
        TemporalAgent(Agents(env, memory, SquashedGaussianActor(8, [8], 1, observation_variable="memory")))
    )
    (phase,) = picture.phases
    labels = [(step.label, step.detail) for step in phase.steps]
    (loop,) = phase.loops
    assert (labels[loop.first], labels[loop.second]) == (("remembers", "at t"), ("remembers", "at t+1"))
    assert loop.variables == ("memory/hidden", "memory/cell")
    words = "remembers remembers memory/hidden and memory/cell from each step to the next"
    assert words in str(picture) and words in texts(picture.svg()) and not overlaps(picture.svg())
    assert {mark.kind for step in phase.steps for mark in step.marks if mark.value == ("memory/cell", 0)} == {"memory"}


def test_a_memory_that_runs_over_all_of_time_goes_back_to_itself():
    shape = (4, 5)
    inputs = {"env/env_obs": torch.zeros(*shape, 3), "env/timestep": torch.zeros(shape, dtype=torch.int64)}
    inputs["memory/hidden/before"] = torch.zeros(1, 5, 8)
    memory = GRUAgent(3, 8, name="remembers")

    def update(batch):
        memory(batch)

    picture = diagram(update, inputs=inputs)
    (phase,) = picture.phases
    assert [(one.first, one.second, one.variables) for one in phase.loops] == [(0, 0, ("memory/hidden",))]
    assert ("memory/hidden/before", -1) in phase.values  # what it was before step 0
    assert not overlaps(picture.svg())

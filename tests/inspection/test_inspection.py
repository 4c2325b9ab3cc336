"""Tables and pictures of compositions, and that no shipped composition has a problem."""

import copy
import xml.etree.ElementTree as ElementTree

import pytest
import torch
from torch import nn

from workspace_rl import Agent, Agents, GymAgent, ReplayBuffer, TemporalAgent, Workspace, check, describe, diagram
from workspace_rl.agents import ContinuousQAgent, RandomAgent, SquashedGaussianActor
from workspace_rl.algorithm.names import find_algorithm
from workspace_rl.algos import SAC
from workspace_rl.cli import main
from workspace_rl.composition import KWAgentWrapper
from workspace_rl.config.sources import load_config, shipped_configs
from workspace_rl.errors import CompositionError, MissingDependencyError, RenderingError
from workspace_rl.inspection.tracing.tracer import trace

FAST = {"compile": False, "matmul_precision": "highest"}


@pytest.fixture(scope="module")
def env():
    agent = GymAgent("Pendulum-v1", 2, name="environment")
    yield agent
    agent.close()


@pytest.fixture
def policy():
    return SquashedGaussianActor(3, [8], 1, name="actor")


def rows(description, agent):
    return {(row.does, row.variable, row.at, row.shape, row.dtype) for row in description.rows if row.agent == agent}


@pytest.mark.parametrize("name", shipped_configs())
def test_no_shipped_composition_has_a_problem(name):
    config = load_config(name)
    config.compile, config.matmul_precision = False, "highest"
    if "freeze_features" in config.algorithm.get("architecture", {}):  # those of a run that the user has
        config.algorithm.architecture.freeze_features = False
    try:
        algorithm = find_algorithm(config.algo)(config)
    except MissingDependencyError as error:
        pytest.skip(str(error))
    problems = check(algorithm)
    algorithm.train_env.close()
    assert not problems and not problems.notes


def test_offsets_are_those_of_the_agents_own_steps(env, policy):
    description = describe(TemporalAgent(Agents(env, KWAgentWrapper(policy, log_prob=True))))
    assert rows(description, "actor") == {
        ("reads", "env/env_obs", "t", "[B, 3]", "float32"),
        ("writes", "action", "t", "[B, 1]", "float32"),
        ("writes", "action_logprobs", "t", "[B]", "float32"),
    }
    assert ("reads", "action", "t-1", "[B, 1]", "float32") in rows(description, "environment")
    assert ("writes", "env/timestep", "t", "[B]", "int64") in rows(description, "environment")
    assert "from environment" in str(description) and "<td" in description._repr_html_()


def test_prefixes_and_equal_names_are_told_apart(env, policy):
    critic = ContinuousQAgent(3, [8], 1)
    target = copy.deepcopy(critic).with_prefix("target/")
    description = describe(TemporalAgent(Agents(env, policy, critic, target)))
    assert ("writes", "critic/q_values", "t", "[B, 2]", "float32") in rows(description, "ContinuousQAgent")
    assert ("writes", "target/q_values", "t", "[B, 2]", "float32") in rows(description, "ContinuousQAgent (2)")


class Foreign(nn.Module):
    """An agent of no class of this library."""

    def __init__(self):
        super().__init__()
        self.workspace, self.model = None, nn.Linear(3, 1)
        self.get_by_name = self.seed = self.set_name = None

    def get(self, index):
        return self.workspace.get(*index)

    def set(self, index, value):
        self.workspace.set(*index, value)

    def __call__(self, workspace, **kwargs):
        self.workspace = workspace
        self.forward(**kwargs)

    def forward(self, t, **kwargs):
        self.set(("action", t), self.model(self.get(("env/env_obs", t))).tanh())


def test_agents_of_other_packages_are_traced(env):
    foreign = Foreign()
    description = describe(TemporalAgent(Agents(env, foreign)))
    assert ("reads", "env/env_obs", "t", "[B, 3]", "float32") in rows(description, "Foreign")
    assert not check(TemporalAgent(Agents(env, foreign))) and foreign.workspace is None


def test_whole_variables_and_a_replay_buffer_as_input(env):
    class Mean(Agent):
        def forward(self, **kwargs):
            self.set("mean", self.get("env/reward").mean(0, keepdim=True))

    workspace = Workspace()
    TemporalAgent(Agents(env, RandomAgent(env.action_space)))(workspace, t=0, n_steps=5)
    buffer = ReplayBuffer(20, ["env/env_obs", "action", "env/reward", "env/terminated"])
    buffer.put(workspace)
    state = torch.get_rng_state()
    description = describe(Mean("mean"), inputs=buffer)
    assert torch.equal(torch.get_rng_state(), state)
    assert rows(description, "mean") == {
        ("reads", "env/reward", "all", "[T, B]", "float32"),
        ("writes", "mean", "all", "[T, B]", "float32"),
    }


def test_what_fails_or_cannot_be_traced_is_said_below_tables_and_pictures(env):
    class Wilful(Agent):
        def forward(self, t, **kwargs):
            if self.get(("env/reward", t)).sum() >= 0:
                self.set(("action", t), torch.zeros(2, 1))

    wilful, alone = TemporalAgent(Agents(env, Wilful("wilful"))), ContinuousQAgent(3, [2], 1)
    for look in (describe, diagram):
        text = str(look(wilful))
        assert "agent 'wilful' (Wilful) was not traced to its end: what it does depends on the values of te" in text
        assert "agent 'ContinuousQAgent' reads variable 'env/env_obs' at step 0, which nobody writes" in str(
            look(alone)
        )
    picture = diagram(wilful)
    assert " ".join(texts(picture.svg())[-2:]).endswith(picture.notes[0])
    assert picture.notes == check(wilful).notes


def test_the_update_tells_replayed_from_fresh(tiny_sac):
    algorithm = SAC(tiny_sac)
    table = [(row.agent, row.variable, row.at, row.source) for row in describe(algorithm).rows if row.does == "reads"]
    assert ("critic", "action", "t", "replayed") in table
    assert ("critic", "action", "t", "from actor") in table  # for the actor's loss
    assert ("target-critic", "action", "t+1", "from actor") in table
    assert ("critic_loss", "env/reward", "t+1", "replayed") in table
    assert ("critic_loss", "action_logprobs", "t+1", "from actor") in table
    algorithm.train_env.close()


def texts(svg):
    return [one.text for one in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text") if one.text]


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
        root = ElementTree.fromstring(diagram(target, inputs=inputs).svg())
        assert root.get("style") == "max-width: 100%; height: auto"
        boxes = []
        for one in root.iter("{http://www.w3.org/2000/svg}text"):
            if not one.text:
                continue
            x, y, size = (float(one.get(key)) for key in ("x", "y", "font-size"))
            width = 0.6 * size * len(one.text)
            x -= {"middle": width / 2, "end": width}.get(one.get("text-anchor"), 0)
            boxes.append((x, y - 0.8 * size, x + width, y, one.text))
        for index, a in enumerate(boxes):
            for b in boxes[:index]:
                assert a[2] <= b[0] + 2 or b[2] <= a[0] + 2 or a[3] <= b[1] + 1 or b[3] <= a[1] + 1, (a, b)


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


@pytest.mark.parametrize(
    ("name", "trained"),
    [
        ("sac", {"critic_loss": ["critic"], "actor_loss": ["actor"], "entropy_coef_loss": ["entropy_coef"]}),
        ("td3", {"critic_loss": ["critic"], "actor_loss": ["actor"]}),
        ("dqn", {"critic_loss": ["q"]}),
    ],
)
def test_a_trace_knows_whom_each_loss_trains(name, trained):
    environment = "CartPole-v1" if name == "dqn" else "Pendulum-v1"
    settings = {"total_steps": 100_000}
    algorithm = find_algorithm(name)({"gym_env": {"env_name": environment}, "algorithm": settings, **FAST})
    traced = trace(algorithm)
    algorithm.train_env.close()
    assert {one.losses[0]: [*one.trains] for one in traced.trainings if one.part == traced.parts[-1]} == trained
    undelayed = [one.losses[0] for one in traced.trainings if one.part == "update, not delayed"]
    assert undelayed == (["critic_loss"] if name == "td3" else [])


@pytest.mark.parametrize("how", ["backward", "grad", "several"])
def test_a_trace_knows_whom_a_loss_trains_however_its_gradient_is_computed(how):
    critic, other = ContinuousQAgent(3, [4], 1, name="critic"), nn.Linear(3, 1)
    optimizer = torch.optim.Adam([*critic.parameters(), *other.parameters()])
    idle = torch.optim.Adam(ContinuousQAgent(3, [4], 1).parameters())

    def update(batch):
        critic(batch, t=0)
        loss = batch.get("critic/q_values", 0).mean()
        optimizer.zero_grad()
        if how == "several":
            torch.autograd.backward([loss])
        elif how == "backward":
            (loss + other(batch.get("env/env_obs", 0)).mean()).backward()
        else:
            parameters = [*critic.parameters()]
            for one, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
                one.grad = gradient
        optimizer.step()
        idle.zero_grad()

    inputs = {"env/env_obs": torch.zeros(2, 4, 3), "action": torch.zeros(2, 4, 1)}
    (training,) = trace(update, inputs).trainings
    assert training.optimizer == "optimizer"
    assert training.trains == (("critic", "other") if how == "backward" else ("critic",))

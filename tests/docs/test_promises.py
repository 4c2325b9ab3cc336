"""Sentences of guides and docstrings that no other test proves."""

import contextlib
import importlib
import math
import os
import re
import subprocess
import sys
import tomllib

import pytest
import torch
from torch import nn

from tests.guides import ROOT, Page
from workspace_rl import (
    Agent,
    Agents,
    GymAgent,
    ReplayBuffer,
    Run,
    Workspace,
    compile_update,
    describe,
    episode_seeds,
    gae,
    load_policy,
    make_env,
    minimise,
    n_step_transitions,
    save_policy,
    soft_update,
)
from workspace_rl.agents import (
    BernoulliActor,
    CategoricalActor,
    ContinuousQAgent,
    DeterministicActor,
    DiscreteQAgent,
    EpsilonGreedyAgent,
    FeaturesAgent,
    GaussianActor,
    GaussianNoiseAgent,
    GreedyAgent,
    MultiCategoricalActor,
    OrnsteinUhlenbeckNoiseAgent,
    RandomAgent,
    SquashedGaussianActor,
    ValueAgent,
)
from workspace_rl.algos import SAC
from workspace_rl.config.environment_config import EnvironmentConfig
from workspace_rl.config.schema import resolve_config
from workspace_rl.config.training_config import OffPolicyConfig
from workspace_rl.envs.long_episodes import LONG_EPISODE, LONGEST_EPISODE
from workspace_rl.errors import (
    CompositionError,
    ConfigError,
    PolicyFileError,
    ReplayBufferError,
    RunFolderError,
    UnknownVariableError,
    UnwrittenStepError,
    VariableMismatchError,
)
from workspace_rl.learning.compiled.update import WORTH_COMPILING
from workspace_rl.runs.metrics_file import read_frame


class Nothing(Agent):
    def forward(self, **kwargs):
        pass


def frames(n_steps, batch_size=4):
    workspace = Workspace()
    for name, dtype in {"env/reward": torch.float32, "env/terminated": torch.bool, "env/done": torch.bool}.items():
        workspace.set_full(name, torch.zeros(n_steps, batch_size, dtype=dtype))
    return workspace


# ---- what is raised -----------------------------------------------------------------------------------------------


def environment_that_was_not_reset():
    GymAgent("CartPole-v1")(Workspace(), t=1)


def environment_without_actions():
    workspace, env_agent = Workspace(), GymAgent("CartPole-v1")
    env_agent(workspace, t=0)
    env_agent(workspace, t=1)


def copy_steps_that_nobody_wrote():
    workspace = Workspace()
    workspace.set("x", 0, torch.zeros(1))
    workspace.set("x", 2, torch.zeros(1))
    workspace.copy_n_last_steps(2)


def gae_over_other_steps():
    value, flags = torch.zeros(3, 2), torch.ones(2, 2, dtype=torch.bool)
    gae(value, value, value, bootstrap=flags, trace=flags, discount_factor=0.9, gae_lambda=0.9)


def step_with_limit(limit):
    layer = nn.Linear(1, 1)
    minimise(layer(torch.ones(1)).sum(), torch.optim.SGD(layer.parameters(), lr=0.1), limit)


RAISED = {
    "Workspace.set before the first step": (UnwrittenStepError, lambda: Workspace().set("x", -1, torch.zeros(1))),
    "Workspace.copy_n_last_steps over a gap": (UnwrittenStepError, copy_steps_that_nobody_wrote),
    "GymAgent at t=1 first": (CompositionError, environment_that_was_not_reset),
    "GymAgent without actions": (UnknownVariableError, environment_without_actions),
    "n_step_transitions of one frame": (VariableMismatchError, lambda: n_step_transitions(frames(1), 0.9)),
    "n_step_transitions without rewards": (UnknownVariableError, lambda: n_step_transitions(Workspace(), 0.9)),
    "minimise to a norm of 0": (ConfigError, lambda: step_with_limit(0)),
    "minimise to a negative norm": (ConfigError, lambda: step_with_limit(-1.0)),
    "minimise to a norm that is NaN": (ConfigError, lambda: step_with_limit(math.nan)),
    "GymAgent.renew with too few seeds": (CompositionError, lambda: GymAgent("CartPole-v1", n_envs=2).renew([1])),
    "make_env with atari for another environment": (CompositionError, lambda: make_env("CartPole-v1", atari={})),
    "gae over other steps": (VariableMismatchError, gae_over_other_steps),
    "ReplayBuffer.put of a list": (ReplayBufferError, lambda: ReplayBuffer(3, ["x"]).put([1])),
    "ReplayBuffer.sample of a text": (ReplayBufferError, lambda: ReplayBuffer(3, ["x"]).sample("2")),
    "ReplayBuffer.sample of half a window": (ReplayBufferError, lambda: ReplayBuffer(3, ["x"]).sample(2, 2.5)),
    "load_policy of no path": (PolicyFileError, lambda: load_policy(5)),
    "read_frame of one folder": (RunFolderError, lambda: read_frame("nowhere")),
}


@pytest.mark.parametrize("kind", RAISED)
def test_what_docstrings_say_is_raised(kind):
    error, call = RAISED[kind]
    with pytest.raises(error) as raised:
        call()
    assert "read_frame" not in kind or "nowhere" in str(raised.value)


# ---- agents -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "within", [nn.ModuleList, lambda one: nn.ModuleDict({"a": one[0]}), lambda one: nn.Sequential(*one)]
)
def test_agents_are_found_and_seeded_wherever_they_stand_in_another_one(within):
    class Holder(Nothing):
        def __init__(self, held):
            super().__init__()
            self.held = within([held])

    inner = GymAgent("CartPole-v1", name="inner")
    before = inner._seeds.seed
    holder = Agents(Holder(inner), Nothing())
    assert holder.get_by_name("inner") == [inner]
    assert holder.seed(7) is holder and inner._seeds.seed != before


# ---- numbers ------------------------------------------------------------------------------------------------------


def test_with_tau_1_the_target_becomes_the_source_whatever_it_was():
    source, target = nn.Linear(2, 2), nn.Linear(2, 2)
    with torch.no_grad():
        target.weight.fill_(math.nan)
        target.bias.fill_(math.inf)
    soft_update(target, source, tau=1)
    assert torch.equal(target.weight, source.weight) and torch.equal(target.bias, source.bias)


def test_the_capacity_of_a_buffer_is_rounded_up_to_the_same_for_each_environment():
    buffer = ReplayBuffer(10, [])
    buffer.put(frames(30, batch_size=4))
    assert len(buffer) == 12


def test_episode_seeds_are_apart_but_for_chance():
    training, scoring = (set(episode_seeds(1, use, n=20_000)) for use in (1, 2))
    assert len(training) == len(scoring) == 20_000
    assert len(training & scoring) <= 3  # 0.19 are expected


def test_an_update_that_calls_backward_itself_stays_eager():
    torch.manual_seed(0)
    layer = nn.Linear(2, 1)
    optimizer = torch.optim.Adam(layer.parameters())

    def update(batch):
        loss = layer(batch.get("x", 0)).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return {"loss": loss.detach()}

    batch = Workspace()
    batch.set_full("x", torch.ones(1, 3, 2))
    compiled = compile_update(update, [optimizer])
    with pytest.warns(UserWarning, match="runs eagerly") as caught:
        losses = [compiled(batch)["loss"] for _ in range(3)]
    assert len(caught) == 1 and losses[2] < losses[1] < losses[0]


# ---- files --------------------------------------------------------------------------------------------------------


def test_equal_runs_share_all_files_but_those_that_hold_times(tiny_sac, tmp_path):
    found = []
    for name in ("first", "second"):
        # What is measured in time may come out otherwise in the other run.
        run = SAC(tiny_sac | {"matmul_precision": "highest"}).train(progress=False).run
        (tmp_path / "run").rename(tmp_path / name)
        files = {str(path.relative_to(tmp_path / name)): path for path in (tmp_path / name).rglob("*")}
        timed = ("tensorboard", "wall_time.json", ".lock")
        found.append(
            {one: path.read_bytes() for one, path in files.items() if path.is_file() and not one.startswith(timed)}
        )
        assert run == tmp_path / "run" and {"metrics.csv", "best/policy.yaml", "provenance.json"} <= found[-1].keys()
    assert found[0] == found[1]


@pytest.mark.parametrize("call", range(4))
def test_a_policy_whose_writing_is_interrupted_is_the_old_one_or_the_new_one(call, tmp_path, monkeypatch):
    old, new = DeterministicActor(3, [4], 1), DeterministicActor(3, [4], 1)
    save_policy(old, tmp_path / "policy")
    replace, calls = os.replace, []

    def interrupted(*paths):
        calls.append(paths)
        if len(calls) > call:
            raise OSError("the power went off")
        replace(*paths)

    monkeypatch.setattr(os, "replace", interrupted)
    with contextlib.suppress(RunFolderError):
        save_policy(new, tmp_path / "policy")
    found, expected = load_policy(tmp_path / "policy").state_dict(), (new if call > 1 else old).state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert len(calls) == min(call + 1, 3)  # YAML for both, weights, YAML for the new ones


def test_where_events_of_a_resumed_run_go_is_not_decided_by_its_configuration(tiny_sac, tmp_path):
    tiny_sac["logger"]["log_dir"] = str(tmp_path / "elsewhere")
    run = Run.create(resolve_config(SAC.config_class, tiny_sac))
    run.unlock()
    opened = Run(run.path)
    assert opened.config.logger.log_dir == str(tmp_path / "elsewhere")
    assert opened.resumed_config().logger.log_dir is None
    assert opened.resumed_config([f"logger.log_dir={tmp_path / 'mine'}"]).logger.log_dir == str(tmp_path / "mine")


def test_commands_import_nothing_from_the_working_directory_for_a_run(tmp_path):
    """Not even those that Python is asked for by `-m`, which looks there first."""
    (tmp_path / "strangers.py").write_text("open('imported', 'w').close()")
    config = resolve_config(
        SAC.config_class,
        {
            "base_dir": str(tmp_path / "run"),
            "gym_env": {"env_name": "strangers:Env-v0"},
            "algorithm": {"total_steps": 100, "learning_starts": 50},
        },
    )
    run = Run.create(config)
    run.unlock()
    save_policy(DeterministicActor(3, [4], 1), run.path / "best")
    done = subprocess.run(
        [sys.executable, "-m", "workspace_rl", "evaluate", "run"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 1 and "No module named 'strangers'" in done.stderr, done.stderr
    assert not (tmp_path / "imported").exists()


# ---- numbers and names in prose -----------------------------------------------------------------------------------

SAID = {
    "README.md": [f"from {WORTH_COMPILING:,} planned updates on"],
    "docs/running.md": [
        f"from {WORTH_COMPILING:,} planned updates on",
        f"after {LONG_EPISODE:,} steps of one episode, and after {LONGEST_EPISODE:,} the episode counts",
        f"a film ends after {LONG_EPISODE:,}",
        f"{EnvironmentConfig().timeout:.0f} unless given",
    ],
    "docs/reliability.md": [
        f"({OffPolicyConfig().checkpoint_interval:,} steps unless given; `null`: never)",
        f"a warning after {LONG_EPISODE:,} steps",
        f"after {LONGEST_EPISODE:,} |",
    ],
    "docs/time.md": [f"{OffPolicyConfig().checkpoint_interval:,} steps unless given"],
}


@pytest.mark.parametrize("page", SAID)
def test_numbers_in_prose_are_those_of_the_code(page):
    text = " ".join((ROOT / page).read_text(encoding="utf-8").split())
    assert [one for one in SAID[page] if one not in text] == []


def test_the_readme_names_every_extra():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    (line,) = re.findall(r"# extras: (.+)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert set(line.split(", ")) == extras.keys() - {"bench", "dev"}


def test_what_agents_read_and_write_is_what_the_guide_says():
    env_agent = GymAgent("Pendulum-v1", n_envs=2)
    size, n_actions = env_agent.observation_size, 2
    agents = [
        SquashedGaussianActor(size, [4], 1),
        CategoricalActor(size, [4], n_actions),
        MultiCategoricalActor(size, [4], [2, 3]),
        BernoulliActor(size, [4], 3),
        GaussianActor(size, [4], 1),
        ValueAgent(size, [4]),
        FeaturesAgent([size], [4]),
        DeterministicActor(size, [4], 1),
        GaussianNoiseAgent(0.1),
        OrnsteinUhlenbeckNoiseAgent(),
        ContinuousQAgent(size, [4], 1),
        DiscreteQAgent([size], [4], n_actions),
        GreedyAgent(),
        EpsilonGreedyAgent(),
        RandomAgent(env_agent.action_space),
    ]
    given = {
        "env/env_obs": torch.zeros(1, 2, size),
        "env/done": torch.zeros(1, 2, dtype=torch.bool),
        "env/timestep": torch.zeros(1, 2, dtype=torch.int64),
        "q/q_values": torch.zeros(1, 2, n_actions),
        "action": torch.zeros(1, 2, 1),
    }
    rows = Page(ROOT / "docs" / "concepts.md").rows("| agent | reads at `t` | writes at `t` |")
    told = {name: cells for names, *cells in rows for name in re.findall(r"`(\w+)`", names)}
    assert told.keys() == {type(one).__name__ for one in agents} | {"GymAgent"}
    for agent in agents:
        inputs = {name: one for name, one in given.items() if name != "action" or "`action`" in told[agent.name][0]}
        found = describe(agent, inputs=inputs).rows
        for does, cell in zip(("reads", "writes"), told[agent.name], strict=True):
            named = {one for one in re.findall(r"`([^`]+)`", cell) if not one.startswith("[")}
            assert named == {row.variable for row in found if row.does == does}, (agent.name, does)


# ---- many collectors ----------------------------------------------------------------------------------------------


@pytest.fixture
def scaling_model(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("scaling_model")


def test_the_paper_model_in_the_guide_is_what_its_function_gives(scaling_model):
    page = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    assert scaling_model.written(page) == page, "run python benchmarks/scaling_model.py"
    rows = Page(ROOT / "docs" / "scaling.md").rows(scaling_model.table().splitlines()[0])
    assert len(rows) == len(scaling_model.WORKLOADS) * (1 + len(scaling_model.COLLECTORS))


def test_the_paper_model_says_what_the_guide_says_of_it(scaling_model):
    _, slow, many, pictures = scaling_model.WORKLOADS
    assert scaling_model.demand(slow, 1000)["thread"] > 1
    text = " ".join((ROOT / "docs" / "scaling.md").read_text(encoding="utf-8").split())
    # The same steps as from a thousand collectors of one environment.
    assert (
        f"32 collectors of 32 environments take {scaling_model.demand(many, 32)['thread']:.0%}".replace("%", " %")
        in text
    )
    assert f"about {1250 / scaling_model.demand(pictures, 1)['MB/s']:.0f} such collectors" in text
    assert f"about {round(scaling_model.UPDATES.value, -2):,} updates of 256 a second" in text
    # What learners are needed for is no more than they can do.
    for workload in scaling_model.WORKLOADS:
        found = scaling_model.demand(workload, 100)
        assert found["thread"] / found["learners"] <= scaling_model.FOR_BLOCKS
        assert found["updates/s"] / found["learners"] <= scaling_model.UPDATES.value

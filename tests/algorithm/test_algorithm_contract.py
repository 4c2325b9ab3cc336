"""What an algorithm of the user's own lacks is told before anything starts."""

from dataclasses import dataclass, field

import pytest
import torch

from tests.algorithm.test_made_by import CONFIG
from workspace_rl import Agents, GymAgent, TemporalAgent
from workspace_rl.agents import DeterministicActor, RandomAgent
from workspace_rl.algos import DQN, SAC
from workspace_rl.config import ActorCriticArchitecture, OnPolicyConfig
from workspace_rl.config.run_config import RunConfig
from workspace_rl.config.training_config import OffPolicyConfig
from workspace_rl.errors import CompositionError, ConfigError, UnsupportedSpaceError
from workspace_rl.inspection import check
from workspace_rl.training import OffPolicyAlgorithm


@dataclass
class PlainConfig(RunConfig):
    algorithm: OffPolicyConfig = field(default_factory=OffPolicyConfig)


class Plain(OffPolicyAlgorithm[PlainConfig]):
    """Learns nothing."""

    config_class = PlainConfig
    action_kind = "continuous"
    metrics = {}

    def build(self):
        self.policy = self.eval_policy = DeterministicActor(3, [4], 1)
        self.random_policy = RandomAgent(self.train_env.action_space)

    def update(self, batch):
        return self.metrics


PLAIN = CONFIG | {"algorithm": {key: value for key, value in CONFIG["algorithm"].items() if key != "architecture"}}


def test_the_least_that_is_needed_trains(tmp_path):
    result = Plain(PLAIN | {"base_dir": str(tmp_path / "run")}).train(progress=False)
    assert result.steps == 60


@pytest.mark.parametrize("name", ["policy", "random_policy", "eval_policy"])
@pytest.mark.parametrize("instead", [None, torch.nn.Linear(3, 1), DeterministicActor])
def test_a_missing_policy_is_told_before_anything_starts(name, instead, tmp_path):
    class Incomplete(Plain):
        def build(self):
            super().build()
            if instead is None:
                delattr(self, name)
            else:
                setattr(self, name, instead)

    with pytest.raises(CompositionError, match=f"Incomplete.build sets no self.{name}, the agent that .* found"):
        Incomplete(PLAIN | {"base_dir": str(tmp_path / "run")})


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        (None, "update returns None; a dictionary of tensors by name is expected"),
        (torch.zeros(()), "update returns Tensor; a dictionary"),
        ([1.0], "update returns list"),
        ({"loss": 1.0}, r"update returns float as 'loss'.*loss.detach\(\), not loss.item\(\)"),
        ({"loss": None}, "update returns NoneType as 'loss'"),
        ({"phase": torch.tensor(1j)}, "update returns complex numbers as 'phase'.*value.abs"),
        ({"eval/return_mean": torch.zeros(())}, "'eval/return_mean', which the loop writes itself"),
        ({"workspace_rl/finite": torch.zeros(())}, "'workspace_rl/finite', which the loop writes itself"),
        ({1: torch.zeros(())}, "a metric called 1; a text is expected"),
    ],
    ids=str,
)
def test_what_update_returns_is_told_before_anything_starts(metrics, message, tmp_path):
    algorithm = type("Returning", (Plain,), {"metrics": metrics})(PLAIN | {"base_dir": str(tmp_path / "run")})
    told = str(check(algorithm))
    assert message.split(";")[0].split(".*")[0].replace("\\", "") in told
    assert "function 'update'" in told
    with pytest.raises(CompositionError, match=message):
        algorithm.train(progress=False)
    assert not (tmp_path / "run").exists()


def test_an_update_without_the_flags_of_its_class_is_told_to_take_them(tmp_path):
    class Mine(DQN):
        def update(self, batch):
            return {}

    config = {"gym_env": {"env_name": "CartPole-v1"}, "algorithm": {"total_steps": 20_000}, "base_dir": str(tmp_path)}
    assert "what update_flags returns: write update(self, batch, **flags)" in str(check(Mine(config)))
    Mine.update = lambda self, batch, **flags: {}
    assert not check(Mine(config))


def test_numbers_of_an_update_that_cannot_be_traced_are_told_at_the_first_one(tmp_path):
    class Reading(SAC):
        def update(self, batch):
            return {name: value.item() for name, value in super().update(batch).items()}

    with pytest.raises(CompositionError, match="Reading.update returns float as 'loss/critic'"):
        Reading(CONFIG | {"base_dir": str(tmp_path / "run")}).train(progress=False)


def test_metrics_may_be_called_anything(tmp_path):
    metrics = {name: torch.tensor(2.0) for name in ("finite", "steps", "step", "value")}
    algorithm = type("Naming", (Plain,), {"metrics": metrics})(PLAIN | {"base_dir": str(tmp_path / "run")})
    algorithm.train(progress=False)
    logged = (tmp_path / "run" / "metrics.csv").read_text()
    assert all(f",{name},2.0" in logged for name in metrics)


@pytest.mark.parametrize(
    ("lacks", "message"),
    [("config_class", "config_class = MyConfig"), ("action_kind", "action_kind must be one of .*'multi-binary'")],
)
def test_what_a_class_does_not_say_is_told(lacks, message):
    said = {name: value for name, value in {"config_class": PlainConfig, "action_kind": "continuous"}.items()}
    del said[lacks]
    incomplete = type("Incomplete", (OffPolicyAlgorithm,), said | {"build": Plain.build, "update": Plain.update})
    with pytest.raises(CompositionError, match=f"Incomplete does not name .*{message}"):
        incomplete(PLAIN)
    misspelt = type("Misspelt", (Plain,), {"action_kind": "continous"})
    with pytest.raises(CompositionError, match="'continous' found. Did you mean 'continuous'"):
        misspelt(PLAIN)
    for given, found in (((), r"\(\) found"), (("discrete", "multi-binry"), "Did you mean 'multi-binary'")):
        with pytest.raises(CompositionError, match=found):
            type("Several", (Plain,), {"action_kind": given})(PLAIN)


@pytest.mark.parametrize(
    ("kinds", "needed"),
    [("multi-binary", "multi-binary"), (("discrete", "multi-discrete"), "discrete or multi-discre")],
)
def test_actions_of_another_kind_are_told_with_what_there_is_for_them(kinds, needed):
    with pytest.raises(UnsupportedSpaceError, match=f"Other needs {needed}.*'Pendulum-v1' has Box.*SAC, TD3 and DDPG"):
        type("Other", (Plain,), {"action_kind": kinds})(PLAIN)


def test_an_algorithm_may_be_for_several_kinds_of_actions():
    several = type("Several", (Plain,), {"action_kind": ("discrete", "continuous")})
    assert several(PLAIN).train_env.action_kind == "continuous"


@pytest.mark.parametrize(
    "name",
    [
        "learner",
        "members",
        "n_updates",
        "parts",
        "progress",
        "random_steps",
        "run",
        "scoring",
        "steps",
        "training_state",
    ],
)
def test_names_that_the_loop_needs_are_told(name):
    class Naming(Plain):
        def build(self):
            super().build()
            setattr(self, name, [1])

    with pytest.raises(CompositionError, match=f"Naming.build sets self.{name}, which the loop uses .* self.my_{name}"):
        Naming(PLAIN)


def test_attributes_of_one_s_own_and_replaced_methods_are_no_names_of_the_loop():
    class Naming(Plain):
        def build(self):
            super().build()
            self.batch_size, self.policies, self.update = 3, [self.policy], lambda batch: {}

    assert Naming(PLAIN).batch_size == 3


@pytest.mark.parametrize("has", [(), ("build",), ("update",)])
def test_what_a_class_does_not_do_is_told(has):
    said = {"config_class": PlainConfig, "action_kind": "continuous", **{name: getattr(Plain, name) for name in has}}
    missing = [name for name in ("build", "update") if name not in has]
    with pytest.raises(CompositionError, match=f"Incomplete does not implement {' and '.join(missing)}: "):
        type("Incomplete", (OffPolicyAlgorithm,), said)(PLAIN)


def test_several_agents_over_time_are_chained_first():
    env_agent, policy = GymAgent("Pendulum-v1"), DeterministicActor(3, [4], 1)
    for agents in ((env_agent, policy), (env_agent, policy, policy)):
        with pytest.raises(CompositionError, match=rf"{len(agents)} were given. Chain them: TemporalAgent\(Agents\("):
            TemporalAgent(*agents)
    with pytest.raises(CompositionError, match="must be an agent"):
        TemporalAgent([env_agent, policy])
    assert TemporalAgent(Agents(env_agent, policy), "name").name == "name"


@dataclass
class WithArchitecture(OffPolicyConfig):
    architecture: ActorCriticArchitecture = field(default_factory=ActorCriticArchitecture)


@dataclass
class WithArchitectureConfig(RunConfig):
    algorithm: WithArchitecture = field(default_factory=WithArchitecture)


class NoFront(Plain):
    config_class = WithArchitectureConfig


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"memory": {"kind": "gru"}}, "memory.kind: 'none' expected, since the policy that NoFront.* 'gru' found"),
        ({"encoder": {"hidden_size": [4]}}, "encoder: null expected, since the policy that NoFront.*no encoder"),
        ({}, None),
    ],
)
def test_an_encoder_or_a_memory_that_an_algorithm_does_not_have_is_refused(asked, told, tmp_path):
    parameters = PLAIN["algorithm"] | {"architecture": asked, "buffer_size": 10_000}
    config = PLAIN | {"base_dir": str(tmp_path / "run"), "algorithm": parameters}
    if told is None:
        assert NoFront(config).parameters.architecture.encoder is None
    else:
        with pytest.raises(ConfigError, match=rf"algorithm.architecture.{told}.* workspace_rl.agents.Fronts"):
            NoFront(config)


@dataclass
class OtherSection:
    memory: int = 5


@dataclass
class OtherOnPolicy(OnPolicyConfig):
    architecture: OtherSection = field(default_factory=OtherSection)


@dataclass
class OtherOffPolicy(OffPolicyConfig):
    architecture: OtherSection = field(default_factory=OtherSection)


def test_a_section_of_ones_own_means_no_memory_of_the_librarys():
    OtherOnPolicy(total_steps=512, batch_size=64).check("algorithm.")
    parameters = OtherOffPolicy(total_steps=50_000)
    parameters.check("algorithm.")
    assert not parameters.remembers and parameters.window == 2

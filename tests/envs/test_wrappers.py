"""`gym_env.wrappers` and `gym_env.max_episode_steps`: environments as configurations wrap and cut them."""

import copy
import re
import sys
from importlib.util import find_spec

import gymnasium as gym
import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from tests.robustness.killed_runs import differences
from tests.runs.test_checkpoint import train_until
from tests.toys import Endless, SpaceEnv
from workspace_rl import GymAgent, Run, Workspace, inspection
from workspace_rl.algos import ALGORITHMS, DQN, SAC
from workspace_rl.cli import main
from workspace_rl.config.environment_config import EnvironmentConfig
from workspace_rl.config.make_env_agent import make_env_agent
from workspace_rl.config.run_config import RunConfig
from workspace_rl.config.schema import resolve_config
from workspace_rl.config.sources import apply_overrides
from workspace_rl.errors import ConfigError, EnvironmentContractError, UnsupportedSpaceError


class Cards(SpaceEnv):
    """Two choices side by side: several parts, which networks do not read unless a wrapper makes one of them."""

    def __init__(self):
        super().__init__(gym.spaces.Tuple([gym.spaces.Discrete(3), gym.spaces.Discrete(2)]), gym.spaces.Discrete(2))


class Doubled(gym.Wrapper):
    """Multiplies the reward."""

    def __init__(self, env, factor=2):
        super().__init__(env)
        self.factor = factor

    def step(self, action):
        observation, reward, *rest = self.env.step(action)
        return observation, reward * self.factor, *rest


class EndlessVector(gym.vector.VectorEnv):
    """A vector class that knows no limit."""

    def __init__(self, num_envs, **refused):
        if refused:
            raise TypeError(f"unexpected keyword argument {next(iter(refused))!r}")
        self.num_envs = num_envs
        self.metadata = {"autoreset_mode": gym.vector.AutoresetMode.NEXT_STEP}
        self.single_observation_space, self.single_action_space = Endless.observation_space, Endless.action_space
        self.observation_space = gym.vector.utils.batch_space(self.single_observation_space, num_envs)
        self.action_space = gym.vector.utils.batch_space(self.single_action_space, num_envs)


gym.register("Cards-v0", Cards, max_episode_steps=5)
gym.register("Endless-v0", Endless)
gym.register("EndlessVector-v0", Endless, vector_entry_point=EndlessVector)

ENDLESS = f"{__name__}:Endless-v0"


def config_of(**gym_env):
    return resolve_config(RunConfig, {"algo": "x", "base_dir": "x", "gym_env": gym_env}).gym_env


def episode_lengths(config, n_envs=2, auto_reset=True):
    env_agent = make_env_agent(config, n_envs, auto_reset=auto_reset)
    try:
        env_agent(Workspace(), t=0)
        for step in range(1, 99):
            actions = np.stack([env_agent.action_space.sample() for _ in range(n_envs)])
            _, _, _, truncated, _ = env_agent.vector_env.step(actions)
            if truncated.any():
                return [step] * int(truncated.sum())
    finally:
        env_agent.close()
    return []


# ---- wrappers -----------------------------------------------------------------------------------------------------


def test_a_run_is_trained_scored_filmed_and_recorded_with_its_wrappers(tiny_sac):
    tiny_sac["gym_env"] = {
        "env_name": ENDLESS,
        "max_episode_steps": 7,
        "wrappers": ["FrameStackObservation", "FlattenObservation", {"classname": f"{__name__}.Doubled", "factor": 3}],
    }
    # The first one lacks an argument, which its class says.
    with pytest.raises(ConfigError, match=r"gym_env.wrappers\[0\]: .*FrameStackObservation.*stack_size"):
        SAC(tiny_sac)
    tiny_sac["gym_env"]["wrappers"][0] = {"classname": "FrameStackObservation", "stack_size": 2}
    sac = SAC(tiny_sac)
    assert sac.train_env.observation_size == 2 and not inspection.check(sac)
    result = sac.train(progress=False)
    assert result.final.returns == [21.0] * 3 and result.final.lengths == [7] * 3
    run = Run(result.run)
    assert run.config.gym_env.wrappers[1] == {"classname": "gymnasium.wrappers.FlattenObservation"}
    assert run.evaluate(2).returns == [21.0] * 2
    assert run.record().is_file()
    longer = SAC.restore(result.run, ["algorithm.total_steps=700"]).train(progress=False)
    assert longer.steps >= 700


@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_wrappers_are_put_around_each_environment_in_order(vectorization):
    config = config_of(
        env_name="Pendulum-v1",
        vectorization=vectorization,
        wrappers=["TimeAwareObservation", {"classname": "RepeatAction", "num_repeats": 2}],
    )
    env_agent = make_env_agent(config, 2, auto_reset=True)
    assert env_agent.observation_size == 4
    env_agent.close()


def test_wrappers_on_the_command_line():
    config = apply_overrides(
        OmegaConf.create({}), ["gym_env.wrappers=[FlattenObservation, {classname: ClipReward, max_reward: 1}]"]
    )
    assert config_of(env_name="x", **OmegaConf.to_container(config)["gym_env"]).wrappers == [
        {"classname": "gymnasium.wrappers.FlattenObservation"},
        {"classname": "gymnasium.wrappers.ClipReward", "max_reward": 1},
    ]


@pytest.mark.parametrize(
    ("wrapper", "message"),
    [
        ("FlatenObservation", "Did you mean 'FlattenObservation'"),
        ("torch.nn.Linear", "no wrapper of an environment"),
        ("subprocess.Popen", "no wrapper of an environment"),
        ("no_such_module.Wrapper", "cannot be imported"),
        ("RecordVideo", "films come from record_best"),
        ("gymnasium.wrappers.rendering.RecordVideo", "films come from record_best"),
        ("TransformObservation", "Write a subclass"),
        ({"classname": "FlattenObservation", "sise": 3}, "no argument 'sise'"),
        ({"classname": "RepeatAction", "num_repeats": 0}, "cannot wrap"),
    ],
)
def test_a_wrapper_that_cannot_be_is_refused_when_environments_are_made(wrapper, message):
    with pytest.raises(ConfigError, match=r"gym_env.wrappers\[0\]") as raised:
        make_env_agent(config_of(env_name="Pendulum-v1", wrappers=[wrapper]), 1, auto_reset=True)
    assert message in str(raised.value)


@pytest.mark.parametrize("wrappers", [[3], [{"stack_size": 2}], [""], [{"classname": "ClipReward", "env": 1}], "Clip"])
def test_entries_of_another_kind_are_refused(wrappers):
    with pytest.raises(ConfigError, match="gym_env.wrappers"):
        config_of(env_name="x", wrappers=wrappers)


def test_names_are_those_of_algorithms_and_near_ones_are_told_once():
    assert config_of(env_name="x", wrappers=["my_module:Mine"]).wrappers == [{"classname": "my_module.Mine"}]
    for name, near in (("Flatten", "FlattenObservation"), ("FramesStackObservation", "FrameStackObservation")):
        with pytest.raises(ConfigError) as raised:
            make_env_agent(config_of(env_name="Pendulum-v1", wrappers=[name]), 1, auto_reset=True)
        assert str(raised.value).count(f"Did you mean '{near}'?") == 1, raised.value


def test_what_is_stepped_all_at_once_cannot_be_wrapped():
    with pytest.raises(ConfigError, match="gym_env.wrappers.*cannot be wrapped"):
        config_of(env_name="CartPole-v1", vectorization="vector_entry_point", wrappers=["ClipReward"])


def test_stacks_that_are_wrapped_are_stored_as_they_are():
    assert config_of(env_name="x", atari={}).stacked
    assert not config_of(env_name="x", atari={}, wrappers=["FlattenObservation"]).stacked


def test_a_run_folder_imports_no_wrapper_that_nobody_allowed(tiny_sac, tmp_path, monkeypatch):
    (tmp_path / "strangers.py").write_text("raise SystemError('imported')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    tiny_sac["algorithm"]["total_steps"] = 300
    run = SAC(tiny_sac).train(progress=False).run
    text = (run / "config.yaml").read_text()
    assert "wrappers: []" in text
    (run / "config.yaml").write_text(text.replace("wrappers: []", "wrappers: [{classname: strangers.Wrapper}]"))
    opened = Run(run)
    for use in (lambda: opened.evaluate(1), opened.record, opened.resumed_config):
        with pytest.raises(ConfigError, match=r"strangers\.Wrapper.*allow"):
            use()
    assert "strangers" not in sys.modules
    # Who allows it gets it.
    with pytest.raises(ConfigError, match="imported"):
        opened.evaluate(1, allow=["strangers.Wrapper"])


# ---- ways out that work -------------------------------------------------------------------------------------------


@pytest.fixture
def tiny_dqn(tiny_sac):
    tiny_sac["algorithm"]["architecture"] = {"hidden_size": [16]}
    return tiny_sac


@pytest.mark.parametrize("wrappers", [[], ["gymnasium.wrappers.FlattenObservation"]])
def test_several_parts_are_learned_from_by_an_encoder_or_as_one_vector(wrappers, tiny_dqn):
    tiny_dqn["gym_env"] = {"env_name": f"{__name__}:Cards-v0", "wrappers": wrappers}
    assert DQN(tiny_dqn).train(progress=False).steps >= 600


@pytest.mark.parametrize(
    ("algorithm", "compile"), [("sac", False), ("td3", False), ("ddpg", False), ("dqn", False), ("dqn", True)]
)
def test_choices_train_and_resume_to_the_same_bits(algorithm, compile, tiny_sac, tmp_path):
    found = ALGORITHMS[algorithm]
    if algorithm == "dqn":
        tiny_sac["algorithm"]["architecture"] = {"hidden_size": [16]}
    name = "Rooms-v0" if algorithm == "dqn" else "Corridor-v0"
    tiny_sac["gym_env"] = {"env_name": f"{__name__}:{name}", "max_episode_steps": 20}
    tiny_sac["algorithm"] |= {"n_step_return": 2, "checkpoint_interval": 120, "total_steps": 300}
    tiny_sac["compile"] = compile
    algorithm = found(copy.deepcopy(tiny_sac))
    assert not inspection.check(algorithm)
    assert "env/env_obs" in str(inspection.describe(algorithm))
    whole = algorithm.train(progress=False)
    if compile:
        return
    assert whole.final.lengths
    stopped = found(tiny_sac | {"base_dir": str(tmp_path / "stopped")})
    train_until(stopped, 20)
    found.restore(tmp_path / "stopped").train(progress=False)
    assert differences(tmp_path / "stopped", whole.run) == []


class Corridor(gym.Env):
    """Places in a row; right is where the reward is."""

    observation_space = gym.spaces.Discrete(6, start=1)
    action_space = gym.spaces.Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = 1 + int(self.np_random.integers(3))
        return self.place, {}

    def step(self, action):
        right = bool(np.asarray(action).reshape(-1)[0] > 0)
        self.place = min(6, max(1, self.place + (1 if right else -1)))
        return self.place, float(self.place == 6), self.place == 6, False, {}


class Rooms(Corridor):
    """The same with two choices of action."""

    action_space = gym.spaces.Discrete(2)


gym.register("Corridor-v0", Corridor)
gym.register("Rooms-v0", Rooms)

# ---- limits -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("auto_reset", [True, False])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        (ENDLESS, {}),
        ("Pendulum-v1", {}),  # has a limit of 200
        ("CartPole-v1", {"vectorization": "vector_entry_point"}),
        (ENDLESS, {"vectorization": "async"}),
    ],
)
def test_the_users_limit_wins(name, options, auto_reset):
    lengths = episode_lengths(config_of(env_name=name, max_episode_steps=6, **options), auto_reset=auto_reset)
    assert set(lengths) == {6}


@pytest.mark.parametrize("vectorization", ["sync", "vector_entry_point"])
def test_the_users_limit_holds_for_atari_games(vectorization):
    pytest.importorskip("ale_py")
    config = config_of(env_name="PongNoFrameskip-v4", atari={}, max_episode_steps=6, vectorization=vectorization)
    assert set(episode_lengths(config)) == {6}


def test_a_longer_limit_than_the_environments_own():
    config = config_of(env_name="MountainCar-v0", max_episode_steps=250)
    assert make_env_agent(config, 1, auto_reset=True).vector_env.envs[0].spec.max_episode_steps == 250


def test_a_limit_that_cannot_be_kept_is_refused():
    vector = config_of(env_name=f"{__name__}:EndlessVector-v0", vectorization="vector_entry_point", max_episode_steps=5)
    with pytest.raises(ConfigError, match="gym_env.max_episode_steps.*Use vectorization sync or async"):
        make_env_agent(vector, 2, auto_reset=True)
    with pytest.raises(ConfigError, match="one limit expected, two found"):
        config_of(env_name="x", max_episode_steps=5, env_args={"max_episode_steps": 6})
    assert EnvironmentConfig().max_episode_steps is None


def test_the_command_line_says_what_is_wrong_with_a_wrapper(capsys, tmp_path):
    arguments = ["check", "sac/pendulum", f"base_dir={tmp_path}", "gym_env.wrappers=[TimeAware]"]
    assert main(arguments) == 1
    assert "gym_env.wrappers[0]" in capsys.readouterr().err


# ---- more ways out ------------------------------------------------------------------------------------------------


class Unbounded(SpaceEnv):
    def __init__(self):
        super().__init__(None, gym.spaces.Box(-np.inf, np.inf, (2,), np.float32))


class Several(SpaceEnv):
    def __init__(self):
        super().__init__(None, gym.spaces.MultiDiscrete([2, 3]))


class Bounded(gym.ActionWrapper):
    """Gives actions bounds."""

    def __init__(self, env):
        super().__init__(env)
        self.action_space = gym.spaces.Box(-1, 1, env.action_space.shape, np.float32)

    def action(self, action):
        return action


class Numbered(gym.ActionWrapper):
    """Numbers combinations of choices."""

    def __init__(self, env):
        super().__init__(env)
        self.counts = env.action_space.nvec
        self.action_space = gym.spaces.Discrete(int(self.counts.prod()))

    def action(self, action):
        return np.array(np.unravel_index(action, self.counts))


class Square(SpaceEnv):
    def __init__(self):
        super().__init__(None, gym.spaces.Box(-1, 1, (2, 2), np.float32))


class Switches(SpaceEnv):
    def __init__(self):
        super().__init__(None, gym.spaces.MultiBinary(2))


class Flat(gym.ActionWrapper):
    """Takes the components of an action in a row."""

    def __init__(self, env):
        super().__init__(env)
        self.action_space = gym.spaces.Box(-1, 1, (4,), np.float32)

    def action(self, action):
        return action.reshape(2, 2)


class Together(gym.ActionWrapper):
    """Turns all switches."""

    def __init__(self, env):
        super().__init__(env)
        self.action_space = gym.spaces.Discrete(2)

    def action(self, action):
        return np.full(2, action, np.int8)


gym.register("Square-v0", Square, max_episode_steps=9)
gym.register("Switches-v0", Switches, max_episode_steps=9)
gym.register("Unbounded-v0", Unbounded, max_episode_steps=9)
gym.register("Several-v0", Several, max_episode_steps=9)


@pytest.mark.parametrize(
    ("algorithm", "name", "advice", "wrapper"),
    [
        ("sac", f"{__name__}:Unbounded-v0", "ActionWrapper in gym_env.wrappers", f"{__name__}.Bounded"),
        ("sac", f"{__name__}:Square-v0", "subclass of gymnasium.ActionWrapper in gym_env.wrappers", f"{__name__}.Flat"),
        ("dqn", f"{__name__}:Switches-v0", "ActionWrapper, and name it in gym_env.wrappers", f"{__name__}.Together"),
        ("dqn", f"{__name__}:Several-v0", "ActionWrapper, and name it in gym_env.wrappers", f"{__name__}.Numbered"),
        ("dqn", "Pendulum-v1", "classname: DiscretizeAction, bins: 5", {"classname": "DiscretizeAction", "bins": 5}),
    ],
)
def test_the_advice_about_actions_leads_to_a_run(algorithm, name, advice, wrapper, tiny_sac):
    tiny_sac["algorithm"] |= {"total_steps": 200}
    if algorithm == "dqn":
        tiny_sac["algorithm"]["architecture"] = {"hidden_size": [16]}
    tiny_sac["gym_env"] = {"env_name": name}
    with pytest.raises(UnsupportedSpaceError, match=advice):
        ALGORITHMS[algorithm](tiny_sac)
    tiny_sac["gym_env"]["wrappers"] = [wrapper]
    assert ALGORITHMS[algorithm](tiny_sac).train(progress=False).steps >= 200


class Camera(SpaceEnv):
    def __init__(self, shape=(40, 44, 3)):
        super().__init__(gym.spaces.Box(0, 255, tuple(shape), np.uint8), gym.spaces.Discrete(2))


gym.register("Camera-v0", Camera, max_episode_steps=9)


@pytest.mark.parametrize("network", ["mlp", "nature_cnn"])
@pytest.mark.parametrize("shape", [(40, 44, 3), (40, 44)], ids=str)
def test_the_advice_about_pictures_leads_to_convolutions(network, shape, tiny_sac):
    tiny_sac["algorithm"] |= {"total_steps": 200, "architecture": {"network": network}}
    tiny_sac["gym_env"] = {"env_name": f"{__name__}:Camera-v0", "env_args": {"shape": list(shape)}}
    with pytest.raises(UnsupportedSpaceError, match="network=nature_cnn, read channels first") as raised:
        DQN(tiny_sac)
    wrappers = re.search(r"gym_env.wrappers=\[.*?\] ", str(raised.value)).group().strip()
    algorithm = DQN(tiny_sac, [wrappers, "algorithm.architecture.network=nature_cnn"])
    assert algorithm.train_env.observation_space.shape == (4, 40, 44)
    assert algorithm.train(progress=False).steps >= 200


def test_sac_is_not_for_choices_and_says_who_is(tiny_sac):
    tiny_sac["gym_env"] = {"env_name": "CartPole-v1"}
    with pytest.raises(UnsupportedSpaceError, match="DQN and SACDiscrete are for discrete ones"):
        SAC(tiny_sac)


@pytest.mark.parametrize("vectorization", ["sync", "async"])
@pytest.mark.parametrize(
    ("space", "wrong"),
    [
        (gym.spaces.Discrete(3), 3),
        (gym.spaces.Discrete(3, start=1), 0),
        (gym.spaces.MultiDiscrete([2, 3]), np.array([0, 3])),
        (gym.spaces.Dict(a=gym.spaces.Box(-1, 1, (2,)), b=gym.spaces.Discrete(3)), {"a": np.zeros(2, "f"), "b": 3}),
    ],
)
def test_a_choice_that_is_none_is_refused(space, wrong, vectorization):
    class Wrong(SpaceEnv):
        def step(self, action):
            return wrong, 0.0, False, False, {}

    env_agent = GymAgent(lambda: Wrong(space), 2, vectorization=vectorization, seed=3)
    workspace = Workspace()
    env_agent(workspace, t=0)
    workspace.set("action", 0, torch.zeros(2, dtype=torch.int64))
    with pytest.raises(EnvironmentContractError, match=r"environment 0 of 2.*at step 1 of.*the choice [03]"):
        env_agent(workspace, t=1)
    env_agent.close()


@pytest.mark.parametrize("shape", [[4, 1], (4, 1)])
def test_a_list_is_a_tuple_where_a_wrapper_wants_one(shape):
    config = EnvironmentConfig("CartPole-v1", wrappers=[{"classname": "ReshapeObservation", "shape": shape}])
    config.check("gym_env.")
    env_agent = make_env_agent(config, 1, auto_reset=True)
    assert env_agent.observation_space.shape == (4, 1)


@pytest.mark.skipif(find_spec("array_api_compat") is not None, reason="the wrapper can be imported")
def test_a_wrapper_that_lacks_a_package_is_told():
    config = EnvironmentConfig("CartPole-v1", wrappers=["NumpyToTorch"])
    config.check("gym_env.")
    with pytest.raises(ConfigError, match=r"gym_env.wrappers\[0\]: .*NumpyToTorch.*array_api_compat"):
        make_env_agent(config, 1, auto_reset=True)

"""Tests of MinitaurBulletEnv-v0 against PyBullet's own class, of its contract, and of the silence around PyBullet."""

import ctypes
import importlib
import importlib.util
import inspect
import math
import os
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from numpy.typing import NDArray

import workspace_rl
from workspace_rl.envs.simulators.minitaur import RANDOMIZATION_RANGES, MinitaurBulletEnv
from workspace_rl.envs.simulators.minitaur import pybullet as pybullet_module
from workspace_rl.envs.simulators.minitaur.options import MinitaurOptions
from workspace_rl.envs.simulators.quiet import quiet_native_output

ID = "MinitaurBulletEnv-v0"


@pytest.fixture
def pybullet() -> Any:
    with quiet_native_output():
        return pytest.importorskip("pybullet")


@pytest.fixture
def env(pybullet: Any) -> Iterator[MinitaurBulletEnv]:
    env = MinitaurBulletEnv()
    yield env
    env.close()


@pytest.fixture
def original(pybullet: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """PyBullet's own module ``minitaur_gym_env``, with gymnasium in the place of gym while it is imported."""
    version = types.ModuleType("pkg_resources")
    version.__dict__["parse_version"] = lambda text: tuple(int(part) for part in text.split(".")[:2])
    root = importlib.util.find_spec("pybullet_envs")
    assert root is not None and root.submodule_search_locations is not None
    package = types.ModuleType("original_bullet")
    package.__path__ = [os.path.join(root.submodule_search_locations[0], "bullet")]
    stand_ins = {
        "gym": gymnasium,
        "gym.spaces": gymnasium.spaces,
        "gym.utils": gymnasium.utils,
        "pkg_resources": version,
        "original_bullet": package,
    }
    # Its import also puts a folder on the path.
    monkeypatch.setattr(sys, "path", list(sys.path))
    with monkeypatch.context() as patch:
        for name, module in stand_ins.items():
            patch.setitem(sys.modules, name, module)
        module = importlib.import_module("original_bullet.minitaur_gym_env")
    for name in [name for name in sys.modules if name.startswith("original_bullet.")]:
        del sys.modules[name]
    return module


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"action_repeat": 2, "drift_weight": 0.5, "shake_weight": 0.25},
        {"accurate_motor_model_enabled": False},
        {"accurate_motor_model_enabled": False, "pd_control_enabled": True, "self_collision_enabled": False},
        {"leg_model_enabled": False, "motor_velocity_limit": 20.0},
    ],
    ids=lambda options: "-".join(options) or "defaults",
)
@pytest.mark.filterwarnings("ignore:.*precision lowered by casting to float32:UserWarning")
def test_matches_the_class_of_pybullet(original: Any, options: dict[str, Any]) -> None:
    steps = 200 if not options else 50
    theirs = original.MinitaurBulletEnv(env_randomizer=None, **options)
    ours = MinitaurBulletEnv(domain_randomization=False, **options)
    assert isinstance(ours.observation_space, gymnasium.spaces.Box)
    np.testing.assert_allclose(ours.observation_space.low, theirs.observation_space.low)
    np.testing.assert_allclose(ours.observation_space.high, theirs.observation_space.high)
    expected = theirs.reset()
    observation, _ = ours.reset(seed=0)
    np.testing.assert_allclose(observation, expected, rtol=0, atol=1e-5)
    rng = np.random.default_rng(0)
    for step in range(steps):
        action = rng.uniform(-1.0, 1.0, 8).astype(np.float32)
        expected, expected_reward, done, _ = theirs.step(action)
        observation, reward, terminated, truncated, _ = ours.step(action)
        np.testing.assert_allclose(observation, expected, rtol=1e-6, atol=1e-5, err_msg=f"step {step}")
        assert reward == pytest.approx(expected_reward, abs=1e-5)
        assert (terminated, truncated) == (done, False)
        if done:
            theirs.reset()
            ours.reset()
    ours.close()


def test_defaults_are_those_of_pybullet(original: Any) -> None:
    theirs = inspect.signature(original.MinitaurBulletEnv).parameters
    ours = inspect.signature(MinitaurOptions).parameters
    shared = set(ours) & set(theirs) - {"urdf_root"}
    assert len(shared) == 18
    assert {name: ours[name].default for name in shared} == {name: theirs[name].default for name in shared}
    # PyBullet's registered environment randomises.
    assert theirs["env_randomizer"].default is not None and ours["domain_randomization"].default is True


def test_randomization_ranges_are_those_of_pybullet(pybullet: Any, original: Any) -> None:
    randomizer = original.minitaur_env_randomizer
    low, high = randomizer.MINITAUR_BASE_MASS_ERROR_RANGE
    assert RANDOMIZATION_RANGES["base_mass_scale"] == (1 + low, 1 + high)
    low, high = randomizer.MINITAUR_LEG_MASS_ERROR_RANGE
    assert RANDOMIZATION_RANGES["leg_mass_scale"] == RANDOMIZATION_RANGES["motor_mass_scale"] == (1 + low, 1 + high)
    assert RANDOMIZATION_RANGES["battery_voltage"] == randomizer.BATTERY_VOLTAGE_RANGE
    assert RANDOMIZATION_RANGES["motor_viscous_damping"] == randomizer.MOTOR_VISCOUS_DAMPING_RANGE
    assert RANDOMIZATION_RANGES["foot_friction"] == randomizer.MINITAUR_LEG_FRICTION


def test_follows_the_gymnasium_interface(pybullet: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    if ID not in gymnasium.registry:
        monkeypatch.setattr(gymnasium.envs.registration, "registry", gymnasium.registry.copy())
        entry_point = f"{MinitaurBulletEnv.__module__}:{MinitaurBulletEnv.__name__}"
        gymnasium.register(ID, entry_point, max_episode_steps=1000, reward_threshold=15.0)
    env = gymnasium.make(ID, render_mode="rgb_array").unwrapped
    # The checker opens every mode, and the window needs a display.
    env.metadata = {**env.metadata, "render_modes": ["rgb_array"]}
    check_env(env)
    env.close()


def rollout(env: MinitaurBulletEnv, seed: int) -> NDArray[np.float32]:
    env.action_space.seed(0)
    observations = [env.reset(seed=seed)[0]]
    observations += [env.step(env.action_space.sample())[0] for _ in range(50)]
    return np.stack(observations)


def test_seed_decides_the_randomised_trajectory(env: MinitaurBulletEnv) -> None:
    first = rollout(env, 1)
    parameters = env.domain_parameters
    other = rollout(env, 2)
    assert first.dtype == np.float32 and first.shape == (51, 28)
    assert not np.array_equal(first, other)
    assert env.domain_parameters != parameters
    np.testing.assert_array_equal(first, rollout(env, 1))
    assert env.domain_parameters == parameters
    another = MinitaurBulletEnv()
    np.testing.assert_array_equal(first, rollout(another, 1))
    another.close()


def test_without_randomisation_the_seed_changes_nothing(pybullet: Any) -> None:
    env = MinitaurBulletEnv(domain_randomization=False)
    np.testing.assert_array_equal(rollout(env, 1), rollout(env, 2))
    assert env.domain_parameters == {}
    env.close()


def test_randomised_parameters_reach_the_simulation(env: MinitaurBulletEnv) -> None:
    env.reset(seed=3)
    drawn, robot, client = env.domain_parameters, env._simulation.robot, env._simulation.client
    assert set(drawn) == set(RANDOMIZATION_RANGES)
    for name, (low, high) in RANDOMIZATION_RANGES.items():
        assert low <= drawn[name] <= high
    base_mass = client.getDynamicsInfo(robot.quadruped, -1)[0]
    assert base_mass == pytest.approx(drawn["base_mass_scale"] * robot.GetBaseMassFromURDF())
    leg_mass, motor_mass = robot.GetLegMassesFromURDF()
    assert client.getDynamicsInfo(robot.quadruped, 3)[0] == pytest.approx(drawn["leg_mass_scale"] * leg_mass)
    assert client.getDynamicsInfo(robot.quadruped, 4)[0] == pytest.approx(drawn["motor_mass_scale"] * motor_mass)
    assert client.getDynamicsInfo(robot.quadruped, 25)[1] == pytest.approx(drawn["foot_friction"])
    assert robot._motor_model.get_voltage() == drawn["battery_voltage"]
    assert robot._motor_model.get_viscous_dampling() == drawn["motor_viscous_damping"]


def test_observation_noise_is_seeded_and_scaled(pybullet: Any) -> None:
    noiseless = MinitaurBulletEnv(domain_randomization=False)
    noisy = MinitaurBulletEnv(domain_randomization=False, observation_noise_stdev=0.01)
    difference = noisy.reset(seed=5)[0] - noiseless.reset(seed=5)[0]
    expected = np.random.default_rng(5).normal(scale=0.01, size=28) * noisy._observation_scale
    np.testing.assert_allclose(difference, expected, atol=1e-5)
    noiseless.close()
    noisy.close()


def test_soft_reset_puts_the_robot_back(pybullet: Any) -> None:
    env = MinitaurBulletEnv(domain_randomization=False, hard_reset=False)
    first, _ = env.reset(seed=0)
    for _ in range(50):
        env.step(env.action_space.sample())
    again, _ = env.reset(seed=0)
    np.testing.assert_allclose(again[:8], first[:8], atol=0.05)
    np.testing.assert_allclose(again[24:], first[24:], atol=0.05)
    env.close()


def test_reward_is_the_weighted_sum_of_its_terms(pybullet: Any) -> None:
    env = MinitaurBulletEnv(distance_weight=2.0, energy_weight=0.5, drift_weight=3.0, shake_weight=4.0, action_repeat=3)
    assert env.metadata["render_fps"] == 33
    env.reset(seed=0)
    x, y, z = env._simulation.robot.GetBasePosition()
    env.step(env.action_space.sample())
    before = env._simulation.robot.GetBasePosition()
    assert (x, y, z) != before
    _, reward, _, _, info = env.step(env.action_space.sample())
    after = env._simulation.robot.GetBasePosition()
    assert info["forward_distance"] == after[0] - before[0]
    assert info["drift_distance"] == abs(after[1] - before[1])
    assert info["shake_distance"] == abs(after[2] - before[2])
    assert info["energy"] >= 0
    expected = 2 * info["forward_distance"] - info["energy"] / 2
    assert reward == pytest.approx(expected - 3 * info["drift_distance"] - 4 * info["shake_distance"])
    env.close()


def put(env: MinitaurBulletEnv, position: list[float], orientation: Any = (0, 0, 0, 1)) -> None:
    simulation = env._simulation
    simulation.client.resetBasePositionAndOrientation(simulation.robot.quadruped, position, orientation)


def test_terminates_when_the_robot_has_fallen_or_is_far_away(env: MinitaurBulletEnv) -> None:
    env.reset(seed=0)
    assert not env.step(np.zeros(8))[2]
    put(env, [0, 0, 0.3], env._simulation.client.getQuaternionFromEuler([math.pi / 2, 0, 0]))
    assert env.step(np.zeros(8))[2] is True

    limited = MinitaurBulletEnv(distance_limit=1.0)
    limited.reset(seed=0)
    limited._simulation.client.resetBasePositionAndOrientation(
        limited._simulation.robot.quadruped, [0.9, 0.9, 0.2], [0, 0, 0, 1]
    )
    assert limited.step(np.zeros(8))[2] is True
    limited.close()


def test_actions_are_clipped(env: MinitaurBulletEnv) -> None:
    env.reset(seed=0)
    beyond = env.step(np.array([3.0, -3.0, 2.0, -2.0, 5.0, -5.0, 1.0, -1.0], np.float32))[0]
    env.reset(seed=0)
    within = env.step(np.array([1.0, -1.0] * 4, np.float32))[0]
    np.testing.assert_array_equal(beyond, within)


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (np.zeros(7), r"must have shape \(8,\), got shape \(7,\)"),
        (np.array([0, 0, math.nan, 0, 0, 0, 0, 0]), "must be finite"),
        (np.array([0, 0, 0, 0, 0, 0, 0, math.inf]), "must be finite"),
    ],
)
def test_bad_action_is_refused(env: MinitaurBulletEnv, action: NDArray[np.float64], message: str) -> None:
    env.reset(seed=0)
    with pytest.raises(ValueError, match=message):
        env.step(action)


def test_bad_arguments_are_refused(pybullet: Any) -> None:
    with pytest.raises(ValueError, match="'ansi'"):
        MinitaurBulletEnv(render_mode="ansi")
    with pytest.raises(ValueError, match="action_repeat"):
        MinitaurBulletEnv(action_repeat=0)


def test_close_disconnects_and_reset_starts_anew(pybullet: Any) -> None:
    env = MinitaurBulletEnv()
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(np.zeros(8))
    first = rollout(env, 4)
    client_id = env._simulation.client._client
    assert pybullet.isConnected(client_id)
    env.close()
    assert not pybullet.isConnected(client_id)
    env.close()
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(np.zeros(8))
    np.testing.assert_array_equal(first, rollout(env, 4))
    env.close()


def test_picture_shows_the_robot(pybullet: Any) -> None:
    env = MinitaurBulletEnv(render_mode="rgb_array", domain_randomization=False)
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.render()
    env.reset(seed=0)
    picture = env.render()
    assert picture is not None and picture.shape == (360, 480, 3) and picture.dtype == np.uint8
    # The body is dark grey; floor and sky are light.
    dark = np.nonzero((picture < 90).all(axis=2))
    assert dark[0].size > 3000
    assert abs(dark[1].mean() - 240) < 40 and abs(dark[0].mean() - 180) < 40

    env._simulation.client.resetBasePositionAndOrientation(
        env._simulation.robot.quadruped, [7.0, 2.0, 0.2], [0, 0, 0, 1]
    )
    followed = env.render()
    assert followed is not None
    assert abs(np.nonzero((followed < 90).all(axis=2))[1].mean() - 240) < 40

    env._simulation.client.removeBody(env._simulation.robot.quadruped)
    env._simulation.robot.GetBasePosition = lambda: (0.0, 0.0, 0.2)
    empty = env.render()
    assert empty is not None and not (empty < 90).all(axis=2).any()
    env.close()


def test_render_without_a_mode_warns(env: MinitaurBulletEnv) -> None:
    with pytest.warns(UserWarning, match="render_mode"):
        assert env.render() is None


def test_window_without_a_display_is_an_error_and_not_the_end(pybullet: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pybullet_module, "_has_display", lambda: False)
    env = MinitaurBulletEnv(render_mode="human")
    with pytest.raises(RuntimeError, match="needs a display"):
        env.reset()
    env.close()


def test_missing_pybullet_is_named_when_the_environment_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pybullet", None)
    importlib.import_module("workspace_rl.envs.simulators.minitaur")
    with pytest.raises(ImportError, match=r'pip install --editable ".*\[pybullet\]"'):
        MinitaurBulletEnv()


def run_script(script: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(Path(workspace_rl.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, env=environment)


def test_import_needs_no_pybullet() -> None:
    script = (
        "import sys; sys.modules['pybullet'] = None; import workspace_rl.envs.simulators.minitaur; print('imported')"
    )
    assert run_script(script).stdout == "imported\n"


@pytest.mark.parametrize("closing", ["env.close()", ""], ids=["closed", "left open"])
def test_process_prints_only_what_the_user_prints(pybullet: Any, closing: str) -> None:
    script = f"""
from workspace_rl.envs.simulators.minitaur import MinitaurBulletEnv
print("before")
env = MinitaurBulletEnv(render_mode="rgb_array")
env.reset(seed=0)
env.step(env.action_space.sample())
env.render()
env.reset()
{closing}
print("after")
"""
    result = run_script(script)
    assert (result.returncode, result.stdout, result.stderr) == (0, "before\nafter\n", "")


def test_nothing_reaches_the_output(pybullet: Any, capfd: pytest.CaptureFixture[str]) -> None:
    env = MinitaurBulletEnv(render_mode="rgb_array")
    env.reset(seed=0)
    env.step(np.zeros(8))
    env.render()
    env.close()
    ctypes.CDLL(None).fflush(None)
    assert capfd.readouterr() == ("", "")

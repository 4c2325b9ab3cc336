"""Tests of CartPoleSwingUp-v1: its dynamics against the Lagrangian, its contract, its pictures."""

import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from numpy.typing import NDArray

from workspace_rl.envs.simulators import cartpole_swingup
from workspace_rl.envs.simulators.cartpole_swingup import CartPoleSwingUpEnv

ID = "CartPoleSwingUp-v1"
HANGING = (0.0, 0.0, math.pi, 0.0)
Draw = Callable[[tuple[float, float, float, float], float], NDArray[np.uint8]]


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> str:
    """The id of the environment, registered for this test if nothing else has registered it."""
    if ID not in gymnasium.registry:
        monkeypatch.setattr(gymnasium.envs.registration, "registry", gymnasium.registry.copy())
        gymnasium.register(ID, f"{CartPoleSwingUpEnv.__module__}:{CartPoleSwingUpEnv.__name__}", max_episode_steps=500)
    return ID


@pytest.fixture
def draw() -> Iterator[Draw]:
    """Draws a state after an action whose step it undoes, so that only the arrow shows the action."""
    env = CartPoleSwingUpEnv(render_mode="rgb_array")

    def draw_state(state: tuple[float, float, float, float], action: float = 0.0) -> NDArray[np.uint8]:
        env.reset(options={"state": state})
        env.step(np.array([action], dtype=np.float32))
        env.state = state
        picture = env.render()
        assert picture is not None
        return picture

    yield draw_state
    env.close()


def lagrangian_step(state: NDArray[np.float64], action: float) -> NDArray[np.float64]:
    """One step of the equations of motion, from the mass matrix of a cart with a uniform rod.

    The rod's centre is at (x - L/2 sin, L/2 cos) and its moment of inertia about the hinge is m L^2 / 3.
    """
    _, velocity, angle, angular_velocity = state
    mass, length, gravity = 0.5, 0.6, 9.82
    push = 10 * min(max(action, -1.0), 1.0)
    coupling = -mass * length / 2 * math.cos(angle)
    mass_matrix = np.array([[0.5 + mass, coupling], [coupling, mass * length**2 / 3]])
    forces = np.array(
        [
            push - 0.1 * velocity - mass * length / 2 * math.sin(angle) * angular_velocity**2,
            mass * gravity * length / 2 * math.sin(angle),
        ]
    )
    acceleration, angular_acceleration = np.linalg.solve(mass_matrix, forces)
    return state + 0.01 * np.array([velocity, acceleration, angular_velocity, angular_acceleration])


@pytest.mark.filterwarnings("ignore:.*A Box observation space (minimum|maximum) value is -?infinity:UserWarning")
def test_follows_the_gymnasium_interface(registered: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    env = gymnasium.make(registered, render_mode="rgb_array")
    check_env(env.unwrapped)
    env.close()


def test_registered_episode_is_truncated_after_500_steps(registered: str) -> None:
    env = gymnasium.make(registered)
    env.reset(seed=0, options={"state": HANGING})
    for _ in range(499):
        assert env.step(np.zeros(1, np.float32))[2:4] == (False, False)
    assert env.step(np.zeros(1, np.float32))[2:4] == (False, True)


def test_trajectory_matches_the_equations_of_motion() -> None:
    env = CartPoleSwingUpEnv()
    start = (0.1, -0.2, 3.0, 0.4)
    env.reset(options={"state": start})
    expected = np.array(start)
    rng = np.random.default_rng(0)
    for _ in range(200):
        action = rng.uniform(-1.5, 1.5)
        observation, reward, terminated, truncated, _ = env.step(np.array([action]))
        expected = lagrangian_step(expected, action)
        x, velocity, angle, angular_velocity = expected
        assert env.state is not None
        np.testing.assert_allclose(env.state, expected, rtol=0, atol=1e-6)
        features = [x, velocity, math.cos(angle), math.sin(angle), angular_velocity]
        np.testing.assert_allclose(observation, features, rtol=1e-6, atol=1e-6)
        assert reward == pytest.approx((1 + math.cos(angle)) / 2, abs=1e-6)
        assert not terminated and not truncated


def test_euler_method_is_explicit() -> None:
    env = CartPoleSwingUpEnv()
    env.reset(options={"state": (1.0, 0.5, 0.3, -2.0)})
    env.step(np.array([1.0]))
    assert env.state is not None
    # From the velocities before the step, whatever the force.
    assert env.state[0] == pytest.approx(1.005, abs=1e-12)
    assert env.state[2] == pytest.approx(0.28, abs=1e-12)


def test_reward_is_that_of_the_next_state() -> None:
    env = CartPoleSwingUpEnv()
    env.reset(options={"state": (0.0, 0.0, math.pi / 2, -10.0)})
    reward = env.step(np.zeros(1))[1]
    assert reward == pytest.approx((1 + math.cos(math.pi / 2 - 0.1)) / 2, abs=1e-12)


@pytest.mark.parametrize(
    ("position", "velocity", "terminated"),
    [(2.39, 0.9, False), (2.39, 1.1, True), (-2.39, -0.9, False), (-2.39, -1.1, True), (2.41, -1.5, False)],
)
def test_terminates_when_the_next_position_is_beyond(position: float, velocity: float, terminated: bool) -> None:
    env = CartPoleSwingUpEnv()
    env.reset(options={"state": (position, velocity, 0.0, 0.0)})
    assert env.step(np.zeros(1))[2] is terminated


def test_start_is_near_the_hanging_pole() -> None:
    env = CartPoleSwingUpEnv()
    env.reset(seed=0)
    starts = np.array([(env.reset(), env.state)[1] for _ in range(4000)])
    np.testing.assert_allclose(starts.mean(axis=0), HANGING, atol=0.015)
    np.testing.assert_allclose(starts.std(axis=0), 0.2, atol=0.01)


def rollout(seed: int) -> NDArray[np.float32]:
    env = CartPoleSwingUpEnv()
    env.action_space.seed(seed)
    observations = [env.reset(seed=seed)[0]]
    observations += [env.step(env.action_space.sample())[0] for _ in range(30)]
    return np.stack(observations)


def test_same_seed_same_trajectory_and_other_seed_another() -> None:
    np.testing.assert_array_equal(rollout(1), rollout(1))
    assert not np.array_equal(rollout(1), rollout(2))


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (np.zeros(2), r"must have shape \(1,\), got shape \(2,\)"),
        (0.5, r"must have shape \(1,\), got shape \(\)"),
        (np.array([math.nan]), "must be a number"),
    ],
)
def test_bad_action_is_refused(action: NDArray[np.float64], message: str) -> None:
    env = CartPoleSwingUpEnv()
    env.reset(seed=0)
    with pytest.raises(ValueError, match=message):
        env.step(action)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="'ansi'"):
        CartPoleSwingUpEnv(render_mode="ansi")
    with pytest.raises(ValueError, match="four finite numbers"):
        CartPoleSwingUpEnv().reset(options={"state": (0.0, 1.0)})
    with pytest.raises(gymnasium.error.ResetNeeded):
        CartPoleSwingUpEnv().step(np.zeros(1, np.float32))
    with pytest.raises(gymnasium.error.ResetNeeded):
        CartPoleSwingUpEnv(render_mode="rgb_array").render()


def test_render_without_a_mode_warns() -> None:
    with pytest.warns(UserWarning, match="render_mode"):
        assert CartPoleSwingUpEnv().render() is None


def test_picture_shows_cart_and_pole(draw: Draw) -> None:
    picture = draw(HANGING, 0.0)
    assert picture.shape == (304, 800, 3)
    assert picture.dtype == np.uint8
    assert picture.flags["C_CONTIGUOUS"]
    np.testing.assert_array_equal(picture, draw(HANGING, 0.0))
    assert not np.array_equal(picture, draw((0.5, 0.0, math.pi, 0.0), 0.0))
    assert not np.array_equal(picture, draw((0.0, 0.0, math.pi - 0.2, 0.0), 0.0))


def wooden_columns(picture: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Columns of the picture with pixels of the pole's colour."""
    return np.unique(np.nonzero((picture == (226, 160, 92)).all(axis=2))[1])


def test_positive_angles_lean_to_the_left(draw: Draw) -> None:
    assert wooden_columns(draw((0.0, 0.0, 1.0, 0.0), 0.0)).mean() < 390
    assert wooden_columns(draw((0.0, 0.0, -1.0, 0.0), 0.0)).mean() > 410


def red_columns(picture: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Columns of the picture, above its text, with reddish pixels."""
    red, green, blue = np.moveaxis(picture[:270].astype(int), 2, 0)
    return np.unique(np.nonzero((red > 180) & (green < 90) & (blue < 90))[1])


def test_arrow_shows_the_force(draw: Draw) -> None:
    assert red_columns(draw(HANGING, 0.0)).size == 0
    right, left = red_columns(draw(HANGING, 1.0)), red_columns(draw(HANGING, -1.0))
    assert right.min() > 400 > left.max()
    assert 65 < right.size < 75
    assert abs(right.size - left.size) <= 1
    assert red_columns(draw(HANGING, 0.5)).size == pytest.approx(right.size / 2, abs=2)


def test_draws_after_another_environment_shut_pygame_down(draw: Draw) -> None:
    import pygame

    picture = draw(HANGING, 0.3)
    pygame.quit()
    np.testing.assert_array_equal(picture, draw(HANGING, 0.3))


def test_window_shows_every_step_and_closes_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    import pygame

    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    env = CartPoleSwingUpEnv(render_mode="human")
    env.reset(seed=0)
    window = pygame.display.get_surface()
    assert window is not None
    before = pygame.surfarray.array3d(window)
    env.step(np.ones(1, np.float32))
    assert not np.array_equal(before, pygame.surfarray.array3d(window))
    assert env.render() is None
    env.close()
    env.close()
    assert not pygame.display.get_init()


def test_needs_no_torch_no_display_and_prints_nothing() -> None:
    script = f"""
import os, sys, types
sys.modules["torch"] = None
for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER", "XDG_RUNTIME_DIR"):
    os.environ.pop(name, None)
folders = {[str(one) for one in Path(cartpole_swingup.__file__).parents][:4]}
# The packages around it, without what they import.
for level, name in enumerate(("workspace_rl.envs.simulators", "workspace_rl.envs", "workspace_rl"), 1):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [folders[level]]
import workspace_rl.envs.simulators.cartpole_swingup as module
env = module.CartPoleSwingUpEnv(render_mode="rgb_array")
env.reset(seed=0)
env.step(env.action_space.sample())
sys.exit(0 if env.render().shape == (304, 800, 3) else 1)
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")

"""The task of the Minitaur: what it observes and does, what it is rewarded for, and when an episode ends."""

import math
import time
from typing import Any, ClassVar

import gymnasium
import numpy as np
from numpy.typing import ArrayLike, NDArray

from workspace_rl.envs.simulators.minitaur import camera
from workspace_rl.envs.simulators.minitaur.options import MinitaurOptions
from workspace_rl.envs.simulators.minitaur.randomization import apply_parameters, draw_parameters
from workspace_rl.envs.simulators.minitaur.simulation import CONTROL_TIME_STEP, MOTORS, Simulation

_OBSERVATION_MARGIN = 0.01


class MinitaurBulletEnv(gymnasium.Env[NDArray[np.float32], NDArray[np.floating[Any]]]):
    """Minitaur, a quadruped robot with eight motors, is to walk forward with little energy.

    Source of the task: Tan et al., Sim-to-Real: Learning Agile Locomotion For Quadruped Robots (2018); the defaults are
    those of PyBullet's registered ``MinitaurBulletEnv-v0`` (episodes of 1000 steps, solved at a return of 15).

    **Observation**, float32 of shape (28,): angles (8, rad), velocities (8, rad/s) and torques (8, N m) of the motors,
    and the orientation of the base as a quaternion (4: x, y, z, w). The bounds of the space are PyBullet's. They do not
    quite hold: extreme actions command motor angles above pi, and angles up to 4.1 were seen.

    **Action**, of shape (8,) in [-1, 1], clipped: swing (4) and extension (4) of the legs front left, back left, front
    right, back right, converted to the desired angles of the motors.

    **Reward**: the way forward in this step (m), minus ``energy_weight`` times the energy spent in the last simulation
    step (J); drift to the side and vertical shaking can be given weights too. The four terms, before weighting, are in
    the info of `step`.

    **Termination**: the robot has fallen (the cosine of its tilt is below 0.85, or its height below 0.13 m), or is
    farther than ``distance_limit`` from the origin.

    A step takes 0.01 s times ``action_repeat``, and ``metadata["render_fps"]`` is set accordingly, so that videos show
    the motion in real time. With ``hard_reset``, the same seed gives the same trajectory.
    """

    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        "render_modes": ["human", "rgb_array"],
        "render_fps": round(1.0 / CONTROL_TIME_STEP),
    }
    render_width, render_height = 480, 360

    def __init__(self, *, render_mode: str | None = None, **options: Any) -> None:
        """Create the environment; the simulation starts at the first `reset`.

        Args:
            render_mode: None; "rgb_array", where `render` returns a picture (drawn in software, without a display); or
                "human", where PyBullet's window shows the simulation in real time.
            **options: the fields of `MinitaurOptions`, such as `energy_weight` or `domain_randomization`.

        Raises:
            ImportError: PyBullet is not installed.
            TypeError: an option is unknown.
            ValueError: `render_mode` is none of the above, or `action_repeat` is not positive.
        """
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ValueError(f"render_mode must be None, 'human' or 'rgb_array', got {render_mode!r}")
        self.options = MinitaurOptions(**options)
        self._simulation = Simulation(self.options)
        self.render_mode = render_mode
        frames_per_second = max(1, round(1.0 / (CONTROL_TIME_STEP * self.options.action_repeat)))
        self.metadata = {**self.metadata, "render_fps": frames_per_second}  # type: ignore[misc]
        self._make_spaces()
        self.domain_parameters: dict[str, float] = {}
        """The values drawn at the last reset, named as in `RANDOMIZATION_RANGES`; empty without randomisation."""
        self._last_position: tuple[float, float, float] = (0.0, 0.0, 0.0)
        self._last_frame_time = 0.0

    def _make_spaces(self) -> None:
        motor = self._simulation.robot_module.motor
        limits = [math.pi, motor.MOTOR_SPEED_LIMIT, motor.OBSERVED_TORQUE_LIMIT]
        self._observation_scale = np.concatenate([np.repeat(limits, MOTORS), np.ones(4)])
        bound = (self._observation_scale + _OBSERVATION_MARGIN).astype(np.float32)
        self.observation_space = gymnasium.spaces.Box(-bound, bound, dtype=np.float32)
        self._action_bound = 1.0 if self.options.leg_model_enabled else math.pi
        self.action_space = gymnasium.spaces.Box(-self._action_bound, self._action_bound, (MOTORS,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start an episode: build the simulation, randomise it, and let the robot settle on its legs.

        Args:
            seed: Seed of the random number generator; None continues with the present one.
            options: Not used.

        Returns:
            The first observation, shape (28,), and an empty dictionary.

        Raises:
            RuntimeError: The window cannot be opened since there is no display.
        """
        super().reset(seed=seed)
        self._simulation.begin(window=self.render_mode == "human")
        if self.options.domain_randomization:
            # From the environment's own generator, so that the seed decides them.
            self.domain_parameters = draw_parameters(self.np_random)
            apply_parameters(self._simulation.robot, self.domain_parameters)
        # The reward of the first step thus contains the way made while settling, as PyBullet's does.
        self._last_position = (0.0, 0.0, 0.0)
        self._simulation.settle()
        return self._observation(), {}

    def step(self, action: NDArray[np.floating[Any]]) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Apply an action for 0.01 s times ``action_repeat``.

        Args:
            action: Shape (8,), clipped to the bounds of the action space.

        Returns:
            Observation of shape (28,), reward, terminated, truncated (always False: the limit of steps belongs to the
            registration), and the terms of the reward: ``forward_distance``, ``drift_distance``, ``shake_distance`` (m)
            and ``energy`` (J).

        Raises:
            ValueError: The action is not of shape (8,), or has a component that is not finite.
            gymnasium.error.ResetNeeded: `reset` has not been called, or not since `close`.
        """
        simulation = self._simulation
        if simulation.robot is None:
            raise gymnasium.error.ResetNeeded("call reset() before step()")
        command = self._motor_command(action)
        if self.render_mode == "human":
            self._follow_in_real_time()
        simulation.step(command)
        position, orientation = simulation.client.getBasePositionAndOrientation(simulation.robot.quadruped)
        reward, terms = self._reward(position)
        too_far = math.hypot(*position[:2]) > self.options.distance_limit
        terminated = self._has_fallen(position, orientation) or too_far
        return self._observation(), reward, terminated, False, terms

    def render(self) -> NDArray[np.uint8] | None:
        """Take a picture of the robot with a camera that follows it.

        Returns:
            In mode "rgb_array" the picture, uint8 of shape (360, 480, 3); in mode "human", where the window shows the
            simulation by itself, None.

        Raises:
            gymnasium.error.ResetNeeded: `reset` has not been called, or not since `close`.
        """
        if self.render_mode is None:
            gymnasium.logger.warn(
                'render() draws nothing: create the environment with render_mode="rgb_array" or "human"'
            )
            return None
        simulation = self._simulation
        if simulation.robot is None:
            raise gymnasium.error.ResetNeeded("call reset() before render()")
        if self.render_mode == "human":
            return None
        target = simulation.robot.GetBasePosition()
        return camera.picture(simulation.client, target, self.render_width, self.render_height)

    def close(self) -> None:
        """Stop the simulation, and close its window. May be called more than once; `reset` starts a new one."""
        self._simulation.close()

    def _motor_command(self, action: ArrayLike) -> NDArray[np.floating[Any]]:
        """The desired angles of the motors, in rad, shape (8,)."""
        command = np.asarray(action)
        if command.shape != (MOTORS,):
            raise ValueError(f"the action must have shape ({MOTORS},), got shape {command.shape}")
        if not np.issubdtype(command.dtype, np.floating):
            # Conversion to angles is done in the action's own type, and would round to integers.
            command = command.astype(np.float64)
        if not np.isfinite(command).all():
            raise ValueError(f"the action must be finite, got {command}")
        command = np.clip(command, -self._action_bound, self._action_bound)
        if not self.options.leg_model_enabled:
            return command
        converted: NDArray[np.floating[Any]] = self._simulation.robot.ConvertFromLegModel(command)
        return converted

    def _reward(self, position: tuple[float, float, float]) -> tuple[float, dict[str, Any]]:
        forward, drift, shake = (now - before for now, before in zip(position, self._last_position, strict=True))
        self._last_position = position
        power = float(np.dot(self._simulation.robot.GetMotorTorques(), self._simulation.robot.GetMotorVelocities()))
        terms = {
            "forward_distance": forward,
            "drift_distance": abs(drift),
            "shake_distance": abs(shake),
            # The energy of the last simulation step alone, as in PyBullet, although a control step has several.
            "energy": abs(power) * self._simulation.time_step,
        }
        weights = self.options
        reward = (
            weights.distance_weight * terms["forward_distance"]
            - weights.energy_weight * terms["energy"]
            - weights.drift_weight * terms["drift_distance"]
            - weights.shake_weight * terms["shake_distance"]
        )
        return reward, terms

    def _has_fallen(self, position: tuple[float, float, float], orientation: tuple[float, float, float, float]) -> bool:
        cosine_of_tilt = self._simulation.client.getMatrixFromQuaternion(orientation)[8]
        return bool(cosine_of_tilt < 0.85 or position[2] < 0.13)

    def _observation(self) -> NDArray[np.float32]:
        observation = np.asarray(self._simulation.robot.GetObservation())
        if self.options.observation_noise_stdev > 0:
            noise = self.np_random.normal(scale=self.options.observation_noise_stdev, size=observation.shape)
            observation = observation + noise * self._observation_scale
        return observation.astype(np.float32)

    def _follow_in_real_time(self) -> None:
        """Wait until the frame is due, and move the window's camera, which the user may turn, after the robot."""
        simulation = self._simulation
        due = self._last_frame_time + simulation.n_steps * simulation.time_step
        time.sleep(max(0.0, due - time.monotonic()))
        self._last_frame_time = time.monotonic()
        camera.follow(simulation.client, simulation.robot.GetBasePosition())

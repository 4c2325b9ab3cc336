"""MinitaurBulletEnv-v0: the quadruped Minitaur of Ghost Robotics learns to walk, simulated by PyBullet.

PyBullet ships this environment for the older package ``gym`` only. Its classes for the robot and the motors do not
depend on ``gym`` and are used here unchanged; the environment around them follows PyBullet's ``minitaur_gym_env.py``.
"""

import ctypes
import importlib
import importlib.util
import math
import os
import sys
import time
import types
from typing import Any, ClassVar

import gymnasium
import numpy as np
from numpy.typing import ArrayLike, NDArray

from workspace_rl.envs.simulators.quiet import quiet_native_output
from workspace_rl.messages.installation import how_to_install

MOTORS = 8
"""Number of motors, two for each leg."""
_CONTROL_TIME_STEP = 0.01
_SOLVER_ITERATIONS = 300
# The motor models are too stiff for one long simulation step per control step.
_SUBSTEPS = 5
_SETTLING_STEPS = 100
_OBSERVATION_MARGIN = 0.01

RANDOMIZATION_RANGES: dict[str, tuple[float, float]] = {
    "base_mass_scale": (0.8, 1.2),
    "leg_mass_scale": (0.8, 1.2),
    "motor_mass_scale": (0.8, 1.2),
    "battery_voltage": (14.8, 16.8),
    "motor_viscous_damping": (0.0, 0.01),
    "foot_friction": (0.8, 1.5),
}
"""Ranges of the domain randomisation, drawn from uniformly and independently at every reset, as in PyBullet's
``MinitaurEnvRandomizer``: masses relative to the robot's description, voltage in V, damping in N m s/rad, friction
coefficient without unit."""


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
        "render_fps": round(1.0 / _CONTROL_TIME_STEP),
    }
    render_width, render_height = 480, 360

    def __init__(
        self,
        *,
        render_mode: str | None = None,
        domain_randomization: bool = True,
        action_repeat: int = 1,
        distance_weight: float = 1.0,
        energy_weight: float = 0.005,
        drift_weight: float = 0.0,
        shake_weight: float = 0.0,
        distance_limit: float = math.inf,
        observation_noise_stdev: float = 0.0,
        leg_model_enabled: bool = True,
        accurate_motor_model_enabled: bool = True,
        motor_kp: float = 1.0,
        motor_kd: float = 0.02,
        motor_overheat_protection: bool = True,
        motor_velocity_limit: float = math.inf,
        pd_control_enabled: bool = False,
        kd_for_pd_controllers: float = 0.3,
        self_collision_enabled: bool = True,
        hard_reset: bool = True,
        on_rack: bool = False,
        urdf_root: str | None = None,
    ) -> None:
        """Create the environment; the simulation starts at the first `reset`.

        Args:
            render_mode: None; "rgb_array", where `render` returns a picture (drawn in software, without a display); or
                "human", where PyBullet's window shows the simulation in real time.
            domain_randomization: Draw masses, battery voltage, motor damping and foot friction anew at every reset,
                within `RANDOMIZATION_RANGES`.
            action_repeat: Number of periods of 0.01 s for which an action is applied.
            distance_weight: Weight of the way forward in the reward.
            energy_weight: Weight of the energy, which is subtracted.
            drift_weight: Weight of the way sideways, which is subtracted.
            shake_weight: Weight of the vertical movement, which is subtracted.
            distance_limit: Distance from the origin at which the episode terminates, in m.
            observation_noise_stdev: Standard deviation of normal noise on the observations, as a fraction of their
                bounds.
            leg_model_enabled: Actions are swing and extension of the legs; otherwise they are the desired angles of the
                motors, in rad, within [-pi, pi].
            accurate_motor_model_enabled: Simulate the direct-current motors.
            motor_kp: Proportional gain of the motor model.
            motor_kd: Derivative gain of the motor model.
            motor_overheat_protection: Switch a motor off, for the rest of the episode, after a second of large torque.
            motor_velocity_limit: Limit to the velocity of the desired angles, in rad/s.
            pd_control_enabled: Use a PD controller where the motor model is off.
            kd_for_pd_controllers: Derivative gain of that controller.
            self_collision_enabled: Let the parts of the robot collide with each other.
            hard_reset: Build the simulation anew at every reset; otherwise put the robot back, which is faster, but
                leaves traces of the previous episode in the simulation.
            on_rack: Hang the robot in the air, to look at its gait.
            urdf_root: Folder of the descriptions of robot and plane; None for the one that comes with PyBullet.

        Raises:
            ImportError: PyBullet is not installed.
            ValueError: `render_mode` is none of the above, or `action_repeat` is not positive.
        """
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ValueError(f"render_mode must be None, 'human' or 'rgb_array', got {render_mode!r}")
        if action_repeat < 1:
            raise ValueError(f"action_repeat must be at least 1, got {action_repeat}")
        self._robot_module = _import_robot_module()
        self.render_mode = render_mode
        frames_per_second = max(1, round(1.0 / (_CONTROL_TIME_STEP * action_repeat)))
        self.metadata = {**self.metadata, "render_fps": frames_per_second}  # type: ignore[misc]
        self._domain_randomization = domain_randomization
        self._distance_weight = distance_weight
        self._energy_weight = energy_weight
        self._drift_weight = drift_weight
        self._shake_weight = shake_weight
        self._distance_limit = distance_limit
        self._observation_noise_stdev = observation_noise_stdev
        self._leg_model_enabled = leg_model_enabled
        self._hard_reset = hard_reset
        self._urdf_root = urdf_root or importlib.import_module("pybullet_data").getDataPath()

        self._controls_torque = accurate_motor_model_enabled or pd_control_enabled
        substeps = _SUBSTEPS if self._controls_torque else 1
        self._time_step = _CONTROL_TIME_STEP / substeps
        self._simulation_steps = action_repeat * substeps
        self._solver_iterations = _SOLVER_ITERATIONS // substeps
        self._robot_options: dict[str, Any] = {
            "urdf_root": self._urdf_root,
            "time_step": self._time_step,
            "self_collision_enabled": self_collision_enabled,
            "motor_velocity_limit": motor_velocity_limit,
            "pd_control_enabled": pd_control_enabled,
            "accurate_motor_model_enabled": accurate_motor_model_enabled,
            "motor_kp": motor_kp,
            "motor_kd": motor_kd,
            "motor_overheat_protection": motor_overheat_protection,
            "on_rack": on_rack,
            "kd_for_pd_controllers": kd_for_pd_controllers,
        }

        motor = self._robot_module.motor
        limits = [math.pi, motor.MOTOR_SPEED_LIMIT, motor.OBSERVED_TORQUE_LIMIT]
        self._observation_scale = np.concatenate([np.repeat(limits, MOTORS), np.ones(4)])
        bound = (self._observation_scale + _OBSERVATION_MARGIN).astype(np.float32)
        self.observation_space = gymnasium.spaces.Box(-bound, bound, dtype=np.float32)
        self._action_bound = 1.0 if leg_model_enabled else math.pi
        self.action_space = gymnasium.spaces.Box(-self._action_bound, self._action_bound, (MOTORS,), np.float32)

        self.domain_parameters: dict[str, float] = {}
        """The values drawn at the last reset, named as in `RANDOMIZATION_RANGES`; empty without randomisation."""
        # PyBullet's modules carry no types.
        self._client: Any = None
        self._robot: Any = None
        self._last_position: tuple[float, float, float] = (0.0, 0.0, 0.0)
        self._last_frame_time = 0.0

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
        if self._robot is None:
            # The window describes its graphics card while the first bodies are loaded.
            with quiet_native_output():
                if self._client is None:
                    self._client = _connect(window=self.render_mode == "human")
                self._build_simulation()
        elif self._hard_reset:
            self._build_simulation()
        else:
            self._robot.Reset(reload_urdf=False)
        if self._domain_randomization:
            self._randomize()
        # The reward of the first step thus contains the way made while settling, as PyBullet's does.
        self._last_position = (0.0, 0.0, 0.0)
        for _ in range(_SETTLING_STEPS):
            if self._controls_torque:
                self._robot.ApplyAction([math.pi / 2] * MOTORS)
            self._client.stepSimulation()
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
        if self._robot is None:
            raise gymnasium.error.ResetNeeded("call reset() before step()")
        command = self._motor_command(action)
        if self.render_mode == "human":
            self._follow_in_real_time()
        for _ in range(self._simulation_steps):
            self._robot.ApplyAction(command)
            self._client.stepSimulation()
        position, orientation = self._client.getBasePositionAndOrientation(self._robot.quadruped)
        reward, terms = self._reward(position)
        terminated = self._has_fallen(position, orientation) or math.hypot(*position[:2]) > self._distance_limit
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
        if self._robot is None:
            raise gymnasium.error.ResetNeeded("call reset() before render()")
        if self.render_mode == "human":
            return None
        client = self._client
        view = client.computeViewMatrixFromYawPitchRoll(
            cameraTargetPosition=self._robot.GetBasePosition(), distance=1.0, yaw=0, pitch=-30, roll=0, upAxisIndex=2
        )
        aspect = self.render_width / self.render_height
        projection = client.computeProjectionMatrixFOV(fov=60, aspect=aspect, nearVal=0.1, farVal=100.0)
        pixels = client.getCameraImage(
            width=self.render_width,
            height=self.render_height,
            viewMatrix=view,
            projectionMatrix=projection,
            renderer=client.ER_TINY_RENDERER,
        )[2]
        # A tuple of numbers where PyBullet was built without NumPy.
        picture = np.asarray(pixels, dtype=np.uint8).reshape(self.render_height, self.render_width, 4)
        return np.ascontiguousarray(picture[:, :, :3])

    def close(self) -> None:
        """Stop the simulation, and close its window. May be called more than once; `reset` starts a new one."""
        if self._client is not None:
            with quiet_native_output():
                self._client.disconnect()
            self._client = None
            self._robot = None

    def _build_simulation(self) -> None:
        client = self._client
        client.resetSimulation()
        client.setPhysicsEngineParameter(numSolverIterations=self._solver_iterations)
        client.setTimeStep(self._time_step)
        plane = client.loadURDF(f"{self._urdf_root}/plane.urdf")
        client.changeVisualShape(plane, -1, rgbaColor=[1, 1, 1, 0.9])
        client.configureDebugVisualizer(client.COV_ENABLE_PLANAR_REFLECTION, 0)
        client.setGravity(0, 0, -10)
        self._robot = self._robot_module.Minitaur(pybullet_client=client, **self._robot_options)
        client.resetDebugVisualizerCamera(1.0, 0, -30, [0, 0, 0])

    def _randomize(self) -> None:
        """Draw the physical parameters from the environment's own generator, so that the seed decides them."""
        drawn = {name: float(self.np_random.uniform(*bounds)) for name, bounds in RANDOMIZATION_RANGES.items()}
        self.domain_parameters = drawn
        robot = self._robot
        leg_mass, motor_mass = robot.GetLegMassesFromURDF()
        robot.SetBaseMass(drawn["base_mass_scale"] * robot.GetBaseMassFromURDF())
        robot.SetLegMasses([drawn["leg_mass_scale"] * leg_mass, drawn["motor_mass_scale"] * motor_mass])
        robot.SetBatteryVoltage(drawn["battery_voltage"])
        robot.SetMotorViscousDamping(drawn["motor_viscous_damping"])
        robot.SetFootFriction(drawn["foot_friction"])

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
        if not self._leg_model_enabled:
            return command
        converted: NDArray[np.floating[Any]] = self._robot.ConvertFromLegModel(command)
        return converted

    def _reward(self, position: tuple[float, float, float]) -> tuple[float, dict[str, Any]]:
        forward, drift, shake = (now - before for now, before in zip(position, self._last_position, strict=True))
        self._last_position = position
        power = float(np.dot(self._robot.GetMotorTorques(), self._robot.GetMotorVelocities()))
        terms = {
            "forward_distance": forward,
            "drift_distance": abs(drift),
            "shake_distance": abs(shake),
            # The energy of the last simulation step alone, as in PyBullet, although a control step has several.
            "energy": abs(power) * self._time_step,
        }
        reward = (
            self._distance_weight * terms["forward_distance"]
            - self._energy_weight * terms["energy"]
            - self._drift_weight * terms["drift_distance"]
            - self._shake_weight * terms["shake_distance"]
        )
        return reward, terms

    def _has_fallen(self, position: tuple[float, float, float], orientation: tuple[float, float, float, float]) -> bool:
        cosine_of_tilt = self._client.getMatrixFromQuaternion(orientation)[8]
        return bool(cosine_of_tilt < 0.85 or position[2] < 0.13)

    def _observation(self) -> NDArray[np.float32]:
        observation = np.asarray(self._robot.GetObservation())
        if self._observation_noise_stdev > 0:
            noise = self.np_random.normal(scale=self._observation_noise_stdev, size=observation.shape)
            observation = observation + noise * self._observation_scale
        return observation.astype(np.float32)

    def _follow_in_real_time(self) -> None:
        """Wait until the frame is due, and move the window's camera, which the user may turn, after the robot."""
        due = self._last_frame_time + self._simulation_steps * self._time_step
        time.sleep(max(0.0, due - time.monotonic()))
        self._last_frame_time = time.monotonic()
        camera = self._client.getDebugVisualizerCamera()
        yaw, pitch, distance = camera[8:11]
        self._client.resetDebugVisualizerCamera(distance, yaw, pitch, self._robot.GetBasePosition())


def _import_robot_module() -> types.ModuleType:
    """Import PyBullet's ``minitaur.py`` without running the packages it lies in, which need ``gym``."""
    try:
        with quiet_native_output():
            importlib.import_module("pybullet")
        package_spec = importlib.util.find_spec("pybullet_envs")
        if package_spec is None or package_spec.submodule_search_locations is None:
            raise ModuleNotFoundError("No module named 'pybullet_envs'", name="pybullet_envs")
    except ImportError as error:
        raise ImportError(
            f"MinitaurBulletEnv needs PyBullet, which is not installed. To install it: {how_to_install('pybullet')}"
        ) from error
    name = f"{__name__}_pybullet"
    if name not in sys.modules:
        package = types.ModuleType(name)
        package.__path__ = [os.path.join(location, "bullet") for location in package_spec.submodule_search_locations]
        sys.modules[name] = package
    return importlib.import_module(f"{name}.minitaur")


def _connect(*, window: bool) -> Any:
    """Start a simulation, with PyBullet's window or without."""
    pybullet = importlib.import_module("pybullet")
    bullet_client = importlib.import_module("pybullet_utils.bullet_client")
    if window and not _has_display():
        raise RuntimeError('render_mode="human" needs a display and there is none: use "rgb_array"')
    return bullet_client.BulletClient(connection_mode=pybullet.GUI if window else pybullet.DIRECT)


def _has_display() -> bool:
    """Whether a window can be opened. PyBullet ends the process, without an exception, where it cannot."""
    if not sys.platform.startswith("linux"):
        return True
    try:
        x11 = ctypes.CDLL("libX11.so.6")
    except OSError:
        return False
    x11.XOpenDisplay.restype = ctypes.c_void_p
    display = x11.XOpenDisplay(None)
    if not display:
        return False
    x11.XCloseDisplay(ctypes.c_void_p(display))
    return True

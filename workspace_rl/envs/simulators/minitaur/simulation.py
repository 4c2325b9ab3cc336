"""The simulation of the robot on a plane: how it is built, how it begins, and its steps."""

import importlib
import math
from typing import Any

from workspace_rl.envs.simulators.minitaur.options import MinitaurOptions
from workspace_rl.envs.simulators.minitaur.pybullet import connect, import_robot_module
from workspace_rl.envs.simulators.quiet import quiet_native_output

MOTORS = 8
"""Number of motors, two for each leg."""
CONTROL_TIME_STEP = 0.01
"""Time between two commands to the motors, in s."""
_SOLVER_ITERATIONS = 300
# The motor models are too stiff for one long simulation step per control step.
_SUBSTEPS = 5
_SETTLING_STEPS = 100


class Simulation:
    """PyBullet and its robot; nothing is started before `begin`."""

    def __init__(self, options: MinitaurOptions) -> None:
        """Find PyBullet.

        Raises:
            ImportError: It is not installed.
        """
        self.robot_module = import_robot_module()
        self._options = options
        self._urdf_root = options.urdf_root or importlib.import_module("pybullet_data").getDataPath()
        substeps = _SUBSTEPS if options.controls_torque else 1
        self.time_step = CONTROL_TIME_STEP / substeps
        """Duration of a step of the simulation, in s."""
        self.n_steps = options.action_repeat * substeps
        """Steps of the simulation in a step of the environment."""
        self._solver_iterations = _SOLVER_ITERATIONS // substeps
        # PyBullet's modules carry no types.
        self.client: Any = None
        self.robot: Any = None

    def begin(self, *, window: bool) -> None:
        """Put the robot at its start, in a simulation that is built anew unless `hard_reset` is off.

        Raises:
            RuntimeError: The window cannot be opened since there is no display.
        """
        if self.robot is None:
            # The window describes its graphics card while the first bodies are loaded.
            with quiet_native_output():
                if self.client is None:
                    self.client = connect(window=window)
                self._build()
        elif self._options.hard_reset:
            self._build()
        else:
            self.robot.Reset(reload_urdf=False)

    def settle(self) -> None:
        """Let the robot come to rest on its legs."""
        for _ in range(_SETTLING_STEPS):
            if self._options.controls_torque:
                self.robot.ApplyAction([math.pi / 2] * MOTORS)
            self.client.stepSimulation()

    def step(self, command: Any) -> None:
        """Apply the desired angles of the motors, in rad, shape (8,), for a step of the environment."""
        for _ in range(self.n_steps):
            self.robot.ApplyAction(command)
            self.client.stepSimulation()

    def close(self) -> None:
        """Stop the simulation, and close its window; `begin` starts a new one."""
        if self.client is not None:
            with quiet_native_output():
                self.client.disconnect()
            self.client = None
            self.robot = None

    def _build(self) -> None:
        client, options = self.client, self._options
        client.resetSimulation()
        client.setPhysicsEngineParameter(numSolverIterations=self._solver_iterations)
        client.setTimeStep(self.time_step)
        plane = client.loadURDF(f"{self._urdf_root}/plane.urdf")
        client.changeVisualShape(plane, -1, rgbaColor=[1, 1, 1, 0.9])
        client.configureDebugVisualizer(client.COV_ENABLE_PLANAR_REFLECTION, 0)
        client.setGravity(0, 0, -10)
        self.robot = self.robot_module.Minitaur(
            pybullet_client=client,
            urdf_root=self._urdf_root,
            time_step=self.time_step,
            self_collision_enabled=options.self_collision_enabled,
            motor_velocity_limit=options.motor_velocity_limit,
            pd_control_enabled=options.pd_control_enabled,
            accurate_motor_model_enabled=options.accurate_motor_model_enabled,
            motor_kp=options.motor_kp,
            motor_kd=options.motor_kd,
            motor_overheat_protection=options.motor_overheat_protection,
            on_rack=options.on_rack,
            kd_for_pd_controllers=options.kd_for_pd_controllers,
        )
        client.resetDebugVisualizerCamera(1.0, 0, -30, [0, 0, 0])

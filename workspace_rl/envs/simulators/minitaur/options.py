"""What the Minitaur can be told: how it is simulated, moved, disturbed and rewarded."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class MinitaurOptions:
    """The arguments of `MinitaurBulletEnv`; defaults are those of PyBullet's registered environment."""

    #: Draw masses, battery voltage, motor damping and foot friction anew at every reset, within `RANDOMIZATION_RANGES`.
    domain_randomization: bool = True
    #: Number of periods of 0.01 s for which an action is applied.
    action_repeat: int = 1
    #: Weight of the way forward in the reward.
    distance_weight: float = 1.0
    #: Weight of the energy, which is subtracted.
    energy_weight: float = 0.005
    #: Weight of the way sideways, which is subtracted.
    drift_weight: float = 0.0
    #: Weight of the vertical movement, which is subtracted.
    shake_weight: float = 0.0
    #: Distance from the origin at which the episode terminates, in m.
    distance_limit: float = math.inf
    #: Standard deviation of normal noise on the observations, as a fraction of their bounds.
    observation_noise_stdev: float = 0.0
    #: Actions are swing and extension of the legs; otherwise they are the desired angles of the motors, in rad, within
    #: [-pi, pi].
    leg_model_enabled: bool = True
    #: Simulate the direct-current motors.
    accurate_motor_model_enabled: bool = True
    #: Proportional gain of the motor model.
    motor_kp: float = 1.0
    #: Derivative gain of the motor model.
    motor_kd: float = 0.02
    #: Switch a motor off, for the rest of the episode, after a second of large torque.
    motor_overheat_protection: bool = True
    #: Limit to the velocity of the desired angles, in rad/s.
    motor_velocity_limit: float = math.inf
    #: Use a PD controller where the motor model is off.
    pd_control_enabled: bool = False
    #: Derivative gain of that controller.
    kd_for_pd_controllers: float = 0.3
    #: Let the parts of the robot collide with each other.
    self_collision_enabled: bool = True
    #: Build the simulation anew at every reset; otherwise put the robot back, which is faster, but leaves traces of the
    #: previous episode in the simulation.
    hard_reset: bool = True
    #: Hang the robot in the air, to look at its gait.
    on_rack: bool = False
    #: Folder of the descriptions of robot and plane; None for the one that comes with PyBullet.
    urdf_root: str | None = None

    def __post_init__(self) -> None:
        if self.action_repeat < 1:
            raise ValueError(f"action_repeat must be at least 1, got {self.action_repeat}")

    @property
    def controls_torque(self) -> bool:
        """Whether motors are given torques, rather than angles that they take at once."""
        return self.accurate_motor_model_enabled or self.pd_control_enabled

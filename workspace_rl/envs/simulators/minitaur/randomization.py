"""Domain randomisation: physical parameters of the robot that are drawn anew at every reset."""

from typing import Any

import numpy as np

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


def draw_parameters(generator: np.random.Generator) -> dict[str, float]:
    """Draw the physical parameters, named as in `RANDOMIZATION_RANGES`."""
    return {name: float(generator.uniform(*bounds)) for name, bounds in RANDOMIZATION_RANGES.items()}


def apply_parameters(robot: Any, drawn: dict[str, float]) -> None:
    """Give PyBullet's robot the parameters that were drawn."""
    leg_mass, motor_mass = robot.GetLegMassesFromURDF()
    robot.SetBaseMass(drawn["base_mass_scale"] * robot.GetBaseMassFromURDF())
    robot.SetLegMasses([drawn["leg_mass_scale"] * leg_mass, drawn["motor_mass_scale"] * motor_mass])
    robot.SetBatteryVoltage(drawn["battery_voltage"])
    robot.SetMotorViscousDamping(drawn["motor_viscous_damping"])
    robot.SetFootFriction(drawn["foot_friction"])

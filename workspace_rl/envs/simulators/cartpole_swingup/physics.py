"""The cart-pole's equations of motion, its masses, lengths and limits."""

import math

GRAVITY = 9.82
"""Gravitational acceleration, in m/s^2."""
CART_MASS = 0.5
"""Mass of the cart, in kg."""
POLE_MASS = 0.5
"""Mass of the pole, a uniform rod, in kg."""
POLE_LENGTH = 0.6
"""Length of the pole from hinge to tip, in m."""
FRICTION = 0.1
"""Friction between cart and track, in N s/m."""
MAXIMUM_FORCE = 10.0
"""Force on the cart at action 1, in N."""
TIME_STEP = 0.01
"""Duration of a step, in s."""
TRACK_LIMIT = 2.4
"""The episode terminates when the cart's position leaves [-TRACK_LIMIT, TRACK_LIMIT], in m."""

_TOTAL_MASS = CART_MASS + POLE_MASS
_POLE_MASS_LENGTH = POLE_MASS * POLE_LENGTH

State = tuple[float, float, float, float]
"""Position (m) and velocity (m/s) of the cart, angle (rad, 0 is up) and angular velocity (rad/s) of the pole."""


def accelerations(velocity: float, angle: float, angular_velocity: float, force: float) -> tuple[float, float]:
    r"""Accelerations of cart and pole, the equations of motion of the cart-pole.

    With total mass M, pole mass m, pole length L, friction b and force u,

    .. math::
        \ddot x = \frac{-2 m L \dot\theta^2 \sin\theta + 3 m g \sin\theta \cos\theta + 4 (u - b \dot x)}
                       {4 M - 3 m \cos^2\theta}, \qquad
        \ddot\theta = \frac{-3 m L \dot\theta^2 \sin\theta \cos\theta + 6 M g \sin\theta + 6 (u - b \dot x) \cos\theta}
                           {4 L M - 3 m L \cos^2\theta}

    as in Deisenroth, Efficient Reinforcement Learning using Gaussian Processes (2010), appendix C, with the angle
    measured from the upright position. The pole's tip is at :math:`(x - L \sin\theta, L \cos\theta)`.

    Args:
        velocity: Velocity of the cart, in m/s.
        angle: Angle of the pole, in rad, 0 is up, positive is counterclockwise.
        angular_velocity: Angular velocity of the pole, in rad/s.
        force: Force on the cart, in N, positive is to the right.

    Returns:
        The acceleration of the cart, in m/s^2, and the angular acceleration of the pole, in rad/s^2.
    """
    sine, cosine = math.sin(angle), math.cos(angle)
    centrifugal = _POLE_MASS_LENGTH * angular_velocity * angular_velocity * sine
    net_force = force - FRICTION * velocity
    denominator = 4.0 * _TOTAL_MASS - 3.0 * POLE_MASS * cosine * cosine
    cart = (-2.0 * centrifugal + 3.0 * POLE_MASS * GRAVITY * sine * cosine + 4.0 * net_force) / denominator
    pole = (-3.0 * centrifugal * cosine + 6.0 * _TOTAL_MASS * GRAVITY * sine + 6.0 * net_force * cosine) / (
        POLE_LENGTH * denominator
    )
    return cart, pole

"""Keeps the pendulum upright: a state feedback in two nodes, with a push now and then."""

import numpy as np

from troupe.loop import From, Node, Out, SimulationTime, To, node

# discrete LQR at 10 ms: state costs 1, 0.5, 20 and 1, force cost 0.05
GAIN = np.array([4.1, 6.9, 50.6, 10.2])

PUSH_RAD_PER_S = 0.8
PUSH_EVERY_S = 4.0


@node
def estimate(
    position: From("cart.position", unit="m"),
    speed: From("cart.speed", unit="m/s"),
    angle: From("cart.angle", unit="rad"),
    angular_speed: From("cart.angular_speed", unit="rad/s"),
) -> Out("state"):
    """Gather the state, (N, 4)."""
    return np.column_stack([position, speed, angle, angular_speed])


@node
def balance(state: Node("state")) -> To("cart.force", unit="N"):
    """Push the cart under the pole."""
    return np.clip(state @ GAIN, -20.0, 20.0)


@node
def disturb(t: SimulationTime, angular_speed: From("cart.angular_speed", unit="rad/s")) -> To(
    "cart.angular_speed", unit="rad/s"
):
    """Knock the pole at the start, and every few seconds."""
    tick_ns = 10_000_000
    period = round(PUSH_EVERY_S * 1e9)
    return angular_speed + PUSH_RAD_PER_S if t % period < tick_ns else None

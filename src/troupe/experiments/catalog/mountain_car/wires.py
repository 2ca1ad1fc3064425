"""What joins the car and its brain: place and speed to spikes, spikes to a push."""

import numpy as np
import numpy.typing as npt

from troupe.loop import From, To, status, transceiver

Array = npt.NDArray[np.float64]

VALLEY = -np.pi / 6
"""Where the road, whose height is 0.45 sin 3x + 0.55, is lowest."""

FULL_SPEED = 0.01
FULL_DISTANCE = 0.6
SPONTANEOUS_HZ = 20.0
MAX_RATE_HZ = 200.0
FULL_PUSH_HZ = 60.0


@transceiver
def sense(
    observation: From("car.observation", shape=(2,)),
) -> tuple[
    To("brain.going_left"), To("brain.going_right"), To("brain.on_left"), To("brain.on_right")
]:
    """Turn place and speed into rates of the spikes that the four senses get."""
    distance, speed = observation[:, :1] - VALLEY, observation[:, 1:]
    return (
        rate_hz(-speed / FULL_SPEED),
        rate_hz(speed / FULL_SPEED),
        rate_hz(-distance / FULL_DISTANCE),
        rate_hz(distance / FULL_DISTANCE),
    )


@transceiver
def push(
    left: From("brain.push_left", unit="Hz"), right: From("brain.push_right", unit="Hz")
) -> To("car.action"):
    """Turn the difference of two populations' mean firing rates into a force, -1 .. 1."""
    difference = right.mean(axis=1) - left.mean(axis=1)
    return np.clip(difference / FULL_PUSH_HZ, -1.0, 1.0)[:, None]


@status
def at_the_flag(terminated: From("car.terminated")) -> npt.NDArray[np.bool_]:
    """End the run when the cars of all instances are at the flag."""
    return terminated


def rate_hz(strength: Array) -> Array:
    """Return how many spikes a sense gets; of what is on the other side only the spontaneous."""
    return SPONTANEOUS_HZ + MAX_RATE_HZ * np.clip(strength, 0.0, 1.0)

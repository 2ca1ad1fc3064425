"""What joins the vehicle and its brain: light to spikes, spikes to wheels."""

import numpy as np
import numpy.typing as npt

from troupe.loop import From, SimulationTime, To, transceiver

Array = npt.NDArray[np.float64]

LAMP_DISTANCE_M = 2.4
MAX_BEARING = 0.9
GOLDEN_RATIO = (np.sqrt(5) - 1) / 2
MAX_RATE_HZ = 300.0
HALF_INTENSITY = 8.0
WHEEL_RAD_PER_SPIKE = 0.35


@transceiver
def place_lamp(t: SimulationTime, lamp: From("vehicle.lamp")) -> To("vehicle.lamp"):
    """Put each instance's lamp ahead, at a bearing of its own, once."""
    if t > 0:
        return None
    spread = (0.75 + GOLDEN_RATIO * np.arange(len(lamp))) % 1.0
    bearing = MAX_BEARING * (2 * spread - 1)
    place = [LAMP_DISTANCE_M * np.cos(bearing), LAMP_DISTANCE_M * np.sin(bearing)]
    return np.column_stack([*place, np.full(len(lamp), 0.1)])


@transceiver
def see(
    position: From("vehicle.eye_position", unit="m"),
    rotation: From("vehicle.eye_rotation"),
    lamp: From("vehicle.lamp_position", unit="m"),
) -> tuple[To("brain.left_light"), To("brain.right_light")]:
    """Turn the light that falls on each eye into the rate of the spikes that it gets."""
    rate = MAX_RATE_HZ * saturate(intensity(position, rotation, lamp))
    return rate[:, :1], rate[:, 1:]


@transceiver
def drive(
    left: From("brain.left_motor", unit="Hz"), right: From("brain.right_motor", unit="Hz")
) -> To("vehicle.wheel_speed", unit="rad/s"):
    """Turn the mean firing rates of the motor neurons into speeds of the wheels."""
    return WHEEL_RAD_PER_SPIKE * np.column_stack([left.mean(axis=1), right.mean(axis=1)])


def intensity(position: Array, rotation: Array, lamp: Array) -> Array:
    """Return the light on eyes, 1 for a lamp 1 m ahead; it falls with cosine and distance squared.

    Args:
        position: of the eyes in the world, (N, 2, 3), m.
        rotation: of the eyes, which look along x, (N, 2, 9), row by row.
        lamp: its position, (N, 3), m.
    """
    ray = lamp[:, None] - position
    distance = np.linalg.norm(ray, axis=-1)
    ahead = rotation[..., [0, 3, 6]]
    cosine = (ray * ahead).sum(axis=-1) / distance
    return np.maximum(cosine, 0.0) / (distance**2 + 0.01)


def saturate(light: Array) -> Array:
    """Return how strongly an eye answers, 0 .. 1; a half at `HALF_INTENSITY`, flat as eyes are."""
    root = np.sqrt(light / HALF_INTENSITY)
    return root / (1.0 + root)

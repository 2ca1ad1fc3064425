"""Laying things into the tray: nothing in anything else, and low over the floor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from troupe.core.arrays import Array
from troupe.core.seeding import Generator
from troupe.robots.solids import BOX, CAPSULE, CYLINDER, MESH, Solid
from troupe.robots.tray import Tray

CLEARANCE_M = 0.001
TRIES = 100
FLAT = 0.7
"""Share of the things that lie on their broad side from the start."""


class Placed(NamedTuple):
    """A thing that lies in the tray: where, how far it reaches around, and its top, m."""

    spot: Array
    radius_m: float
    top_m: float


def place(solids: Sequence[Solid], tray: Tray, rng: Generator) -> Array:
    """Return poses of things in a tray, (K, 7): position, m, and quaternion with w first.

    No two touch, and none touches the tray. Where a thing finds no place beside the others it lies
    over as few of them as can be.
    """
    poses = np.empty((len(solids), 7))
    placed: list[Placed] = []
    for solid, pose in zip(solids, poses, strict=True):
        turn = _turn(rng)
        low_m, high_m = height_range(solid, turn)
        spot, floor_m = _spot(solid.radius_m, tray, placed, rng)
        pose[:2] = spot
        pose[2] = floor_m + CLEARANCE_M - low_m
        pose[3:] = turn.as_quat(scalar_first=True)
        placed.append(Placed(spot, solid.radius_m, float(pose[2]) + high_m))
    return poses


def height_range(solid: Solid, turn: Rotation) -> tuple[float, float]:
    """Return how far a turned solid is below and above its middle, m."""
    up = turn.inv().apply([0.0, 0.0, 1.0])  # in the solid's frame
    middles = solid.positions @ up
    parts = Rotation.from_quat(solid.quaternions, scalar_first=True).inv().apply(up)
    lows, highs = [], []
    for kind, size, direction in zip(solid.types.tolist(), solid.sizes, parts, strict=True):
        low, high = _extent(kind, size, direction, solid.vertices)
        lows.append(low)
        highs.append(high)
    return float((middles + lows).min()), float((middles + highs).max())


def _extent(
    kind: int, size: Array, direction: Array, vertices: Array | None
) -> tuple[float, float]:
    """Return how far a part reaches along a unit vector of its own frame, both ways, m."""
    if kind == MESH:
        assert vertices is not None
        along = vertices @ direction
        return float(along.min()), float(along.max())
    if kind == BOX:
        far = float(np.abs(direction) @ size)
    elif kind == CAPSULE:
        far = float(size[0] + abs(direction[2]) * size[1])
    elif kind == CYLINDER:
        across = np.sqrt(max(0.0, 1.0 - direction[2] ** 2))
        far = float(abs(direction[2]) * size[1] + across * size[0])
    else:
        far = float(size[0])
    return -far, far


def _turn(rng: Generator) -> Rotation:
    """Return how a thing lies: on its broad side, about which it turns least easily, or anyhow."""
    if rng.random() >= FLAT:
        return Rotation.from_quat(rng.standard_normal(4))
    yaw = Rotation.from_rotvec([0.0, 0.0, rng.uniform(-np.pi, np.pi)])
    return yaw * Rotation.from_euler("y", -90, degrees=True)


def _spot(
    radius_m: float, tray: Tray, placed: Sequence[Placed], rng: Generator
) -> tuple[Array, float]:
    """Return where a thing may lie, and the height of what is under it there, m."""
    room = np.maximum(np.array(tray.half_size_m) - radius_m, 0.0)
    spots = tray.centre_m + rng.uniform(-room, room, (TRIES, 2))
    floors_m = np.full(TRIES, tray.floor_m)
    for other in placed:
        apart_m = np.linalg.norm(spots - other.spot, axis=1)
        is_over = apart_m < radius_m + other.radius_m + CLEARANCE_M
        floors_m = np.where(is_over, np.maximum(floors_m, other.top_m), floors_m)
    lowest = floors_m.argmin()
    return spots[lowest], float(floors_m[lowest])

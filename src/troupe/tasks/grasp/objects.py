"""Things to grasp, made by rule from their numbers: the same number is always the same thing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np

from troupe.core import Streams
from troupe.core.arrays import Array
from troupe.core.seeding import Generator
from troupe.robots.solids import (
    BOX,
    CAPSULE,
    CYLINDER,
    MESH,
    NUM_HULLS,
    SPHERE,
    HullPool,
    Solid,
    joined,
    of_hull,
)

NUM_OBJECTS = 1000
NUM_TRAIN = 900
"""Objects 0 .. 899 are for training; the others are only shown to what has learned."""

DENSITY_KG_M3 = (200.0, 700.0)
CATALOG_SEED = 1

Split = Literal["train", "test", "all", "meshes"]
Kind = Literal["box", "cylinder", "capsule", "sphere", "mug", "wrench", "hull"]


@dataclass(frozen=True)
class Thing:
    """Something that can be grasped, in its principal frame.

    Attributes:
        number: in the catalog.
        kind: of shape, or the name of a mesh of the user's.
        solid: shape, and how its mass is spread.
        mass_kg: as drawn; an episode may scale it.
        rgba: colour.
    """

    number: int
    kind: str
    solid: Solid
    mass_kg: float
    rgba: Array


def numbers_of(split: Split) -> range:
    """Return the numbers of the objects of a part of the catalog; meshes follow after it."""
    return {
        "train": range(NUM_TRAIN),
        "test": range(NUM_TRAIN, NUM_OBJECTS),
        "all": range(NUM_OBJECTS),
        "meshes": range(0),
    }[split]


@cache
def thing(number: int) -> Thing:
    """Return an object of the catalog.

    Args:
        number: 0 .. `NUM_OBJECTS` - 1.
    """
    rng = Streams(CATALOG_SEED).generator("object", number)
    kind: Kind = list(MAKERS)[number % len(MAKERS)]
    solid = MAKERS[kind](rng)
    mass_kg = float(rng.uniform(*DENSITY_KG_M3)) * solid.volume_m3
    rgba = np.array([*rng.uniform(0.15, 0.95, 3), 1.0])
    return Thing(number, kind, solid, mass_kg, rgba)


def mesh_thing(index: int, name: str, vertices: Array) -> Thing:
    """Return a mesh of the user's as a thing, whose number follows those of the catalog.

    Args:
        index: of the mesh, from 0.
        name: of the mesh, which is the thing's kind.
        vertices: in its principal frame, (V, 3), m.
    """
    rng = Streams(CATALOG_SEED).generator("mesh", index)
    solid = of_hull(vertices, NUM_HULLS + index)
    mass_kg = float(rng.uniform(*DENSITY_KG_M3)) * solid.volume_m3
    rgba = np.array([*rng.uniform(0.15, 0.95, 3), 1.0])
    return Thing(NUM_OBJECTS + index, name, solid, mass_kg, rgba)


def _box(rng: Generator) -> Solid:
    return joined([(BOX, rng.uniform([0.012, 0.012, 0.015], [0.03, 0.045, 0.03]), None, None)])


def _cylinder(rng: Generator) -> Solid:
    return joined(
        [(CYLINDER, (rng.uniform(0.012, 0.03), rng.uniform(0.015, 0.035), 0), None, None)]
    )


def _capsule(rng: Generator) -> Solid:
    return joined([(CAPSULE, (rng.uniform(0.012, 0.025), rng.uniform(0.015, 0.04), 0), None, None)])


def _sphere(rng: Generator) -> Solid:
    return joined([(SPHERE, (rng.uniform(0.016, 0.033), 0, 0), None, None)])


def _mug(rng: Generator) -> Solid:
    """Return a cylinder with a handle of three capsules."""
    radius, half_height = rng.uniform(0.022, 0.03), rng.uniform(0.025, 0.035)
    bar, reach = 0.004, rng.uniform(0.015, 0.022)
    half_handle = 0.55 * half_height
    across = _turned((1, 0, 0), (0, 0, 1))
    middle = radius + 0.5 * reach
    return joined(
        [
            (CYLINDER, (radius, half_height, 0), None, None),
            (CAPSULE, (bar, 0.5 * reach, 0), (middle, 0, half_handle), across),
            (CAPSULE, (bar, 0.5 * reach, 0), (middle, 0, -half_handle), across),
            (CAPSULE, (bar, half_handle, 0), (radius + reach, 0, 0), None),
        ]
    )


def _wrench(rng: Generator) -> Solid:
    """Return a bar with a jaw of two prongs at one end and a head at the other."""
    half_length, half_width = rng.uniform(0.04, 0.06), rng.uniform(0.006, 0.01)
    half_height = rng.uniform(0.006, 0.01)
    prong = (0.014, 0.005, half_height)
    side = half_width + 0.006
    return joined(
        [
            (BOX, (half_length, half_width, half_height), None, None),
            (BOX, prong, (half_length + 0.008, side, 0), None),
            (BOX, prong, (half_length + 0.008, -side, 0), None),
            (CYLINDER, (side, half_height, 0), (-half_length, 0, 0), None),
        ]
    )


def _hull(rng: Generator) -> Solid:
    """Return one of the convex meshes."""
    pool = HullPool.default()
    hull = int(rng.integers(len(pool.vertices)))
    return joined([(MESH, pool.half_sizes[hull], None, None)], hull=hull)


def _turned(new_z: Sequence[float], old_z: Sequence[float]) -> Array:
    """Return the unit quaternion, w first, that turns one unit vector into another."""
    w = 1.0 + float(np.dot(old_z, new_z))
    quaternion = np.array([w, *np.cross(old_z, new_z)])
    unit: Array = quaternion / np.linalg.norm(quaternion)
    return unit


MAKERS: dict[Kind, Callable[[Generator], Solid]] = {
    "box": _box,
    "cylinder": _cylinder,
    "capsule": _capsule,
    "sphere": _sphere,
    "mug": _mug,
    "wrench": _wrench,
    "hull": _hull,
}

"""Solid shapes made of a few primitives, with their mass properties; simulators draw them alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy.spatial import ConvexHull
from scipy.spatial.transform import Rotation

from troupe.core import Streams
from troupe.core.arrays import Array

# as MuJoCo numbers types of geoms
SPHERE, CAPSULE, CYLINDER, BOX, MESH = 2, 3, 5, 6, 7

NUM_HULLS = 40
HULL_POINTS = 24
HULL_SEED = 1

Part = tuple[int, npt.ArrayLike, Sequence[float] | None, npt.ArrayLike | None]
"""Type, sizes as MuJoCo means them, and if not the origin's: position, quaternion with w first."""


@dataclass(frozen=True)
class Solid:
    """A shape of G parts in its principal frame: at the centre of mass, along the main axes.

    Attributes:
        types: of the parts, (G,).
        sizes: of the parts, (G, 3), m: radius; radius and half length; half lengths.
        positions: of the parts, (G, 3), m.
        quaternions: of the parts, (G, 4), w first.
        volume_m3: of the parts together, overlaps counted twice.
        inertia_m2: about the main axes, of a mass of 1 kg, (3,), the greatest first.
        radius_m: of the sphere about the origin that holds it.
        hull: number of the convex mesh, if a part is one.
        vertices: of that mesh, (V, 3), m.
    """

    types: npt.NDArray[np.int32]
    sizes: Array
    positions: Array
    quaternions: Array
    volume_m3: float
    inertia_m2: Array
    radius_m: float
    hull: int = -1
    vertices: Array | None = None

    @property
    def half_size_m(self) -> Array:
        """Half lengths, (3,), m, of the box along the main axes that is as hard to turn.

        a_i^2 = 3/2 (I_1 + I_2 + I_3 - 2 I_i) (docs/derivations.md, "Lifting").
        """
        half_size: Array = np.sqrt(1.5 * (self.inertia_m2.sum() - 2 * self.inertia_m2))
        return half_size

    @property
    def part_radii_m(self) -> Array:
        """Radii of the spheres about the parts' own origins that hold them, (G,)."""
        return _radii(self.types, self.sizes)


@dataclass(frozen=True)
class HullPool:
    """Convex meshes, each in its principal frame.

    Attributes:
        vertices: of each, (V, 3), m.
        half_sizes: of the boxes that hold them, (H, 3), m.
        volumes_m3: (H,).
        inertias_m2: about the main axes, of a mass of 1 kg, the greatest first, (H, 3).
    """

    vertices: tuple[Array, ...]
    half_sizes: Array
    volumes_m3: Array
    inertias_m2: Array

    @classmethod
    @cache
    def default(cls) -> HullPool:
        """Return the pool from which objects are drawn, the same for ever."""
        made = [_hull(number) for number in range(NUM_HULLS)]
        vertices = tuple(points for points, _, _ in made)
        half_sizes = np.array([np.abs(points).max(axis=0) for points in vertices])
        volumes = np.array([volume for _, volume, _ in made])
        return cls(vertices, half_sizes, volumes, np.array([inertia for *_, inertia in made]))


def joined(parts: Sequence[Part], hull: int = -1) -> Solid:
    """Return the solid that parts of one density make.

    Inertias add up by Huygens-Steiner: I = sum(m_i (R_i I_i R_i^T + |d_i|^2 1 - d_i d_i^T)).

    Args:
        parts: in any frame.
        hull: number of the convex mesh that parts of the type mesh are.
    """
    types = np.array([part[0] for part in parts], np.int32)
    sizes = np.array([part[1] for part in parts], np.float64)
    places = np.array([(0, 0, 0) if part[2] is None else part[2] for part in parts], np.float64)
    turns = Rotation.from_quat(
        [(1, 0, 0, 0) if part[3] is None else part[3] for part in parts], scalar_first=True
    )
    volumes, own = _mass_properties(types, sizes, hull)
    share = volumes / volumes.sum()
    centre = share @ places
    inertia = np.zeros((3, 3))
    for weight, diagonal, place, turn in zip(share, own, places - centre, turns, strict=True):
        matrix = turn.as_matrix()
        spread = place @ place * np.eye(3) - np.outer(place, place)
        inertia += weight * (matrix @ np.diag(diagonal) @ matrix.T + spread)
    moments, axes = _principal(inertia)
    positions = (places - centre) @ axes
    quaternions = (Rotation.from_matrix(axes.T) * turns).as_quat(scalar_first=True)
    radii = np.linalg.norm(positions, axis=1) + _radii(types, sizes)
    vertices = HullPool.default().vertices[hull] if hull >= 0 else None
    volume = float(volumes.sum())
    return Solid(types, sizes, positions, quaternions, volume, moments, radii.max(), hull, vertices)


def of_hull(vertices: Array, hull: int) -> Solid:
    """Return a convex mesh as a solid, whose frame is taken for the principal one.

    Args:
        vertices: (V, 3), m, in its principal frame.
        hull: its number.
    """
    _, volume, _, inertia = convex_body(vertices)
    sizes = np.abs(vertices).max(axis=0)
    return Solid(
        types=np.array([MESH], np.int32),
        sizes=sizes[None],
        positions=np.zeros((1, 3)),
        quaternions=np.array([[1.0, 0.0, 0.0, 0.0]]),
        volume_m3=volume,
        inertia_m2=np.diag(inertia).copy(),
        radius_m=float(np.linalg.norm(sizes)),
        hull=hull,
        vertices=vertices,
    )


def principal_hull(points: Array) -> tuple[Array, float, Array]:
    """Return a convex body's vertices in its principal frame, volume and moments of 1 kg.

    Args:
        points: whose convex hull it is, (P, 3), m, not all in a plane.
    """
    hull, volume, centre, inertia = convex_body(points)
    moments, axes = _principal(inertia)
    return (points[hull.vertices] - centre) @ axes, volume, moments


def convex_body(points: Array) -> tuple[ConvexHull, float, Array, Array]:
    """Return a convex hull, its volume, its centre of mass, and its inertia about that for 1 kg."""
    hull = ConvexHull(points)
    # tetrahedra from a point inside to the faces
    inside = points[hull.vertices].mean(axis=0)
    corners = points[hull.simplices] - inside
    volumes = np.abs(np.linalg.det(corners)) / 6
    volume = float(volumes.sum())
    centre = inside + (volumes / volume) @ corners.sum(axis=1) / 4
    corners = points[hull.simplices] - centre
    apex = np.broadcast_to(inside - centre, (len(corners), 1, 3))
    corners = np.concatenate([corners, apex], axis=1)
    # second moments of a tetrahedron: V/20 (sum of x x^T over corners + (sum x)(sum x)^T)
    sums = corners.sum(axis=1)
    second = np.einsum("f,fij->ij", volumes / 20, np.einsum("fci,fcj->fij", corners, corners))
    second = (second + np.einsum("f,fi,fj->ij", volumes / 20, sums, sums)) / volume
    return hull, volume, centre, np.trace(second) * np.eye(3) - second


def _mass_properties(types: npt.NDArray[np.int32], sizes: Array, hull: int) -> tuple[Array, Array]:
    """Return volumes, (G,), and moments of inertia of 1 kg about the parts' own axes, (G, 3)."""
    volumes, moments = [], []
    for kind, (a, b, c) in zip(types.tolist(), sizes.tolist(), strict=True):
        if kind == BOX:
            volumes.append(8 * a * b * c)
            moments.append([(b * b + c * c) / 3, (a * a + c * c) / 3, (a * a + b * b) / 3])
        elif kind == SPHERE:
            volumes.append(4 / 3 * np.pi * a**3)
            moments.append([0.4 * a * a] * 3)
        elif kind == CYLINDER:
            volumes.append(2 * np.pi * a * a * b)
            across = (3 * a * a + 4 * b * b) / 12
            moments.append([across, across, a * a / 2])
        elif kind == CAPSULE:
            volume, moment = _capsule(a, b)
            volumes.append(volume)
            moments.append(moment)
        else:
            pool = HullPool.default()
            volumes.append(float(pool.volumes_m3[hull]))
            moments.append(pool.inertias_m2[hull].tolist())
    return np.array(volumes), np.array(moments)


def _capsule(radius: float, half_length: float) -> tuple[float, list[float]]:
    """Return volume and moments of 1 kg: a cylinder and two half balls, 3/8 r from their cuts."""
    tube, ball = 2 * np.pi * radius**2 * half_length, 4 / 3 * np.pi * radius**3
    volume = tube + ball
    along = (tube * radius**2 / 2 + ball * 0.4 * radius**2) / volume
    tube_across = (3 * radius**2 + 4 * half_length**2) / 12
    offset = half_length + 3 / 8 * radius
    ball_across = (0.4 - 9 / 64) * radius**2 + offset**2
    across = (tube * tube_across + ball * ball_across) / volume
    return volume, [across, across, along]


def _radii(types: npt.NDArray[np.int32], sizes: Array) -> Array:
    a, b, _ = sizes.T
    return np.select(
        [types == SPHERE, types == CAPSULE, types == CYLINDER],
        [a, a + b, np.hypot(a, b)],
        np.linalg.norm(sizes, axis=1),
    )


def _principal(inertia: Array) -> tuple[Array, Array]:
    """Return the moments about the main axes, the greatest first, and the axes as columns."""
    moments, axes = np.linalg.eigh(inertia)
    moments, axes = moments[::-1], axes[:, ::-1]
    return moments, axes * np.linalg.det(axes)


def _hull(number: int) -> tuple[Array, float, Array]:
    """Return a random convex mesh: vertices in its principal frame, volume, moments of 1 kg."""
    rng = Streams(HULL_SEED).generator("hull", number)
    directions = rng.standard_normal((HULL_POINTS, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    points = directions * rng.uniform(0.015, [0.028, 0.045, 0.028])
    return principal_hull(points)

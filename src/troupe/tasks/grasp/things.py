"""The datapacks of things in a tray: which are there, where, and of what shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from troupe.core import World
from troupe.core.arrays import Array, Ids
from troupe.core.errors import UserError
from troupe.robots.meshes import Mesh
from troupe.robots.solids import MESH, SPHERE
from troupe.robots.tray import parked_pose
from troupe.tasks.grasp.objects import Thing, mesh_thing

ABSENT_M = 1e-4
"""Radius of the sphere that stands for a part which a thing does not have."""

FINGER_ROOM_M = 0.004
"""That an open hand needs beside a thing."""

ROLLING = (0.01, 0.0005)
"""Torsional and rolling friction, m."""


@dataclass(frozen=True)
class Drawn:
    """What an episode puts into a tray.

    Attributes:
        things: of the catalog, at most as many as there is room for.
        poses: positions, m, and quaternions with w first, (K, 7).
        mass_kg: (K,).
        friction: (K,).
    """

    things: Sequence[Thing]
    poses: Array
    mass_kg: Array
    friction: Array


def scene_meshes(engine: str, world: World, opens_m: float) -> tuple[Thing, ...]:
    """Return the meshes of an engine's scene as things.

    Args:
        engine: its name.
        world: with the datapack of the meshes.
        opens_m: how far the gripper opens.

    Raises:
        UserError: if the scene has none, or the gripper cannot take one in.
    """
    where, pack = f"engines.{engine}.scene.meshes", f"{engine}.mesh_vertices"
    if pack not in world.outputs:
        raise UserError(f"task.objects: 'meshes' wants some in the scene; set {where}.")
    names, meshes = world.output(pack).names, np.array(world.read(pack)[0])
    for mesh in (Mesh(*one) for one in zip(names, meshes, strict=True)):
        if mesh.width_m > opens_m - FINGER_ROOM_M:
            raise UserError(
                f"{where}: '{mesh.name}' is {mesh.size_text} large and {mesh.width_m:.3g} m wide "
                f"where it is narrowest; the gripper opens {opens_m:g} m, of which it needs "
                f"{FINGER_ROOM_M:g}. See mesh_scale."
            )
    return tuple(mesh_thing(i, *one) for i, one in enumerate(zip(names, meshes, strict=True)))


class ThingPacks:
    """Writes things into the world, and reads where they are."""

    def __init__(self, engine: str, world: World) -> None:
        """Look the datapacks up.

        Raises:
            UserError: if the engine's scene has no things.
        """
        self._engine = engine
        self.places = world.output(f"{engine}.object_pose").shape[0]
        self.parts = world.input(f"{engine}.object_types").shape[1]

    def poses(self, world: World) -> Array:
        """Return positions, m, and quaternions with w first, of all things, (N, K, 7)."""
        poses: Array = world.read(f"{self._engine}.object_pose")
        return poses

    def write(self, world: World, drawn: Sequence[Drawn], instances: Ids) -> None:
        """Put things into the trays of instances; those left out float beside it."""
        n, k, parts = len(drawn), self.places, self.parts
        poses = np.tile([parked_pose(number) for number in range(k)], (n, 1, 1))
        weightless = np.ones((n, k))
        mass, inertia = np.full((n, k), 0.05), np.full((n, k, 3), 2e-5)
        types = np.full((n, k, parts), SPHERE, np.int32)
        sizes = np.full((n, k, parts, 3), [ABSENT_M, 0.0, 0.0])
        radii = np.full((n, k, parts), ABSENT_M)
        places = np.zeros((n, k, parts, 3))
        quaternions = np.broadcast_to([1.0, 0, 0, 0], (n, k, parts, 4)).copy()
        meshes = np.full((n, k, parts), -1, np.int32)
        friction = np.broadcast_to([0.8, *ROLLING], (n, k, parts, 3)).copy()
        colours = np.zeros((n, k, parts, 4), np.float32)
        for i, episode in enumerate(drawn):
            for j, thing in enumerate(episode.things):
                solid, g = thing.solid, len(thing.solid.types)
                poses[i, j] = episode.poses[j]
                weightless[i, j] = 0.0
                mass[i, j] = episode.mass_kg[j]
                inertia[i, j] = episode.mass_kg[j] * solid.inertia_m2
                types[i, j, :g], sizes[i, j, :g] = solid.types, solid.sizes
                radii[i, j, :g] = solid.part_radii_m
                places[i, j, :g], quaternions[i, j, :g] = solid.positions, solid.quaternions
                meshes[i, j, :g] = np.where(solid.types == MESH, solid.hull, -1)
                friction[i, j, :, 0] = episode.friction[j]
                colours[i, j, :g] = thing.rgba
        values = {
            "pose": poses,
            "mass": mass,
            "weightless": weightless,
            "inertia": inertia,
            "types": types,
            "sizes": sizes,
            "radii": radii,
            "positions": places,
            "quaternions": quaternions,
            "meshes": meshes,
            "frictions": friction,
            "colours": colours,
        }
        for name, value in values.items():
            world.write(f"{self._engine}.object_{name}", value, instances)

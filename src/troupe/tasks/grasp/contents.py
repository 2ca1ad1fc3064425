"""What is in the trays: drawn for each episode, laid out, and kept in the world's arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from troupe.core import World
from troupe.core.arrays import Array, Ids
from troupe.core.seeding import Generator
from troupe.robots.tray import TRAY
from troupe.tasks.grasp.objects import Thing
from troupe.tasks.grasp.placing import place
from troupe.tasks.grasp.things import Drawn, ThingPacks, scene_meshes

if TYPE_CHECKING:
    from troupe.tasks.grasp.settings import TrayTaskSettings


class Contents:
    """The things in the trays of a world's instances.

    The world's arrays say what they are: ``tray_object``, numbers in the catalog, -1 where there is
    none, ``tray_mass``, kg, and ``tray_friction``, each (N, K) for K places.

    Attributes:
        places: how many things there is room for.
        shown: what may be drawn.
    """

    def __init__(
        self, settings: TrayTaskSettings, engine: str, world: World, opens_m: float
    ) -> None:
        """Add the arrays to a world.

        Args:
            settings: what may lie in a tray.
            engine: that simulates it.
            world: of the engine.
            opens_m: how far the gripper opens.

        Raises:
            UserError: if the engine's scene has no things, or the gripper cannot take one in.
        """
        self._settings, self._packs = settings, ThingPacks(engine, world)
        meshes = scene_meshes(engine, world, opens_m) if "meshes" in settings.splits() else ()
        self.shown: tuple[Thing, ...] = settings.things(meshes)
        self._kinds = {thing.number: thing.kind for thing in self.shown}
        self.places = self._packs.places
        shape = (world.num_instances, self.places)
        world.arrays |= {
            "tray_object": np.full(shape, -1),
            "tray_mass": np.zeros(shape),
            "tray_friction": np.zeros(shape),
        }

    def reset(self, world: World, instances: Ids, rng: Sequence[Generator]) -> list[Drawn]:
        """Draw what is in the trays of instances, put it there, and return it."""
        drawn = [self._draw(stream) for stream in rng]
        self._packs.write(world, drawn, instances)
        arrays = world.arrays
        arrays["tray_object"][instances] = -1
        arrays["tray_mass"][instances] = arrays["tray_friction"][instances] = 0
        for i, episode in zip(instances, drawn, strict=True):
            here = slice(len(episode.things))
            arrays["tray_object"][i, here] = [thing.number for thing in episode.things]
            arrays["tray_mass"][i, here] = episode.mass_kg
            arrays["tray_friction"][i, here] = episode.friction
        return drawn

    def poses(self, world: World) -> Array:
        """Return positions, m, and quaternions with w first, of all things, (N, K, 7)."""
        return self._packs.poses(world)

    def heights(self, world: World) -> Array:
        """Return how far things in the tray are above its floor, (N, K), m; absent ones below."""
        heights = self.poses(world)[..., 2] - TRAY.floor_m
        return np.where(world.arrays["tray_object"] >= 0, heights, -1.0)

    def draws(self, world: World, instance: int) -> Mapping[str, Any]:
        """Return what was drawn for the present episode of an instance."""
        arrays = world.arrays
        numbers = arrays["tray_object"][instance]
        here = numbers >= 0
        return {
            "objects": numbers[here].tolist(),
            "kinds": ",".join(self._kinds[int(n)] for n in numbers[here]),
            "mass_kg": arrays["tray_mass"][instance][here].tolist(),
            "friction": arrays["tray_friction"][instance][here].tolist(),
        }

    def _draw(self, rng: Generator) -> Drawn:
        """Draw what is in a tray."""
        settings = self._settings
        number = int(rng.integers(settings.count[0], settings.count[1], endpoint=True))
        chosen = rng.choice(len(self.shown), number)
        things = [self.shown[i] for i in chosen]
        poses = place([thing.solid for thing in things], TRAY, rng)
        least, most = np.log(settings.mass_scale)
        scale = np.exp(rng.uniform(least, most, number))
        mass_kg = scale * [thing.mass_kg for thing in things]
        return Drawn(things, poses, mass_kg, rng.uniform(*settings.friction, number))

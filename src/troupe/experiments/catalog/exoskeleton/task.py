"""To choose how much the exoskeleton helps, from moment to moment."""

from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.core import World
from troupe.tasks.script import ScriptTask

Array = npt.NDArray[np.float64]


class Assist(ScriptTask):
    """Follows the gait with little torque of the person, and no more of the exoskeleton's."""

    observations = (
        "leg.knee_angle",
        "leg.knee_velocity",
        "gait.knee_angle",
        "gait.knee_velocity",
        "gait.hip_angle",
        "person.torque",
    )
    actions = {"exoskeleton.assistance": (0.0, 1.0)}

    def setup(
        self,
        world: World,
        error_deg: float = 5.0,
        person_n_m: float = 5.0,
        exoskeleton_n_m: float = 30.0,
    ) -> None:
        """Take the error and the torques that cost 1 a step."""
        self.error_deg, self.person_n_m = error_deg, person_n_m
        self.exoskeleton_n_m = exoskeleton_n_m

    def reward(self, world: World, action: npt.NDArray[Any]) -> Array:
        """Return what the error and both torques cost, (N,)."""
        cost = (self._error_deg(world) / self.error_deg) ** 2
        cost += (world.read("person.torque") / self.person_n_m) ** 2
        cost += (world.read("exoskeleton.torque") / self.exoskeleton_n_m) ** 2
        return -cost

    def metrics(self, world: World) -> dict[str, Array]:
        """Return the error, and what person and exoskeleton give."""
        return {
            "error_deg": np.abs(self._error_deg(world)),
            "person_n_m": np.abs(world.read("person.torque")),
            "exoskeleton_n_m": np.abs(world.read("exoskeleton.torque")),
        }

    def _error_deg(self, world: World) -> Array:
        return np.degrees(world.read("leg.knee_angle") - world.read("gait.knee_angle"))

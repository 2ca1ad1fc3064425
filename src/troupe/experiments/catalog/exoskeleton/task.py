"""To choose how much the exoskeleton helps, from moment to moment."""

from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.core import World
from troupe.tasks.script import ScriptTask

Array = npt.NDArray[np.float64]


class Assist(ScriptTask):
    """Follows the gait with little torque of the person, and no more help than is needed."""

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
        assistance_cost: float = 2.0,
    ) -> None:
        """Take the error and the person's torque that cost 1 a step, and what full help costs."""
        self.error_deg, self.person_n_m = error_deg, person_n_m
        self.assistance_cost = assistance_cost

    def reward(self, world: World, action: npt.NDArray[Any]) -> Array:
        """Return what the error, the person's torque and the help cost, (N,)."""
        cost = (self._error_deg(world) / self.error_deg) ** 2
        cost += (world.read("person.torque") / self.person_n_m) ** 2
        cost += self.assistance_cost * world.read("exoskeleton.assistance") ** 2
        return -cost

    def metrics(self, world: World) -> dict[str, Array]:
        """Return the error, the person's torque and how much the exoskeleton helps."""
        return {
            "error_deg": np.abs(self._error_deg(world)),
            "person_n_m": np.abs(world.read("person.torque")),
            "assistance": world.read("exoskeleton.assistance").copy(),
        }

    def _error_deg(self, world: World) -> Array:
        return np.degrees(world.read("leg.knee_angle") - world.read("gait.knee_angle"))

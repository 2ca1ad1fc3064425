"""To set the sensitivity of the spindles, so that the arm stays where it is at little effort."""

from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.core import World
from troupe.tasks.script import ScriptTask

Array = npt.NDArray[np.float64]


class Hold(ScriptTask):
    """Holds the forearm at angle 0 against loads that come and go."""

    observations = ("arm.angle", "arm.velocity", "arm.muscle_torque")
    actions = {"fusimotor.stretch_gain": (0.0, 1200.0), "fusimotor.velocity_gain": (0.0, 60.0)}

    def setup(self, world: World, deflection_rad: float = 0.1, effort_n_m: float = 8.0) -> None:
        """Take the deflection and the effort that cost 1 a step."""
        self.deflection_rad, self.effort_n_m = deflection_rad, effort_n_m

    def reward(self, world: World, action: npt.NDArray[Any]) -> Array:
        """Return what deflection and both muscles' torque cost, (N,)."""
        deflection = world.read("arm.angle") / self.deflection_rad
        effort = world.read("arm.muscle_torque") / self.effort_n_m
        return -np.minimum(deflection**2, 10.0) - (effort**2).sum(axis=1)

    def metrics(self, world: World) -> dict[str, Array]:
        """Return the deflection and the sum of both muscles' torque."""
        return {
            "deflection_rad": np.abs(world.read("arm.angle")),
            "effort_n_m": world.read("arm.muscle_torque").sum(axis=1),
        }

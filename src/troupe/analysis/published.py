"""Published results, to set beside one's own.

From robot_gym (Mayoral Vilches et al. 2018): policies trained with PPO in Gazebo on 1 to 8 workers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from troupe.experiments.schema import Experiment

SOURCE = "Mayoral Vilches et al. 2018 (robot_gym)"

COST_EUR = 214.80
INSTANCE_HOURS = 1603
EUR_PER_INSTANCE_HOUR = 0.134


@dataclass(frozen=True)
class Published:
    """What the paper reports of one robot.

    Attributes:
        robot: its name here.
        joints: how many it has.
        attempts: until learned; the paper says "more than".
        time_s: to train, by number of workers.
        accuracy: simulated, by number of workers.
        repeatability: simulated, by number of workers.
        unit: of the two; empty where the paper gives none.
        real_accuracy_mm: on the real robot, before and after.
        real_repeatability_mm: on the real robot, before and after.
    """

    robot: str
    joints: int
    attempts: int
    time_s: Mapping[int, float]
    accuracy: Mapping[int, float]
    repeatability: Mapping[int, float]
    unit: str
    real_accuracy_mm: tuple[float, ...] = field(default=())
    real_repeatability_mm: tuple[float, ...] = field(default=())

    @property
    def best_accuracy_mm(self) -> float | None:
        """The least simulated error; None where the paper gives no unit."""
        return min(self.accuracy.values()) if self.unit == "mm" else None


PUBLISHED = {
    "scara": Published(
        robot="scara",
        joints=3,
        attempts=140,
        time_s={1: 600.0, 2: 400.0, 4: 300.0, 8: 300.0},
        accuracy={1: 2.80, 8: 1.37},
        repeatability={1: 4.52, 8: 3.57},
        unit="mm",
        real_accuracy_mm=(26.14, 12.89),
        real_repeatability_mm=(28.96, 10.83),
    ),
    "mara": Published(
        robot="mara",
        joints=6,
        attempts=900,
        time_s={1: 3000.0, 4: 2000.0, 8: 2000.0},
        accuracy={1: 0.05, 8: 0.075},
        repeatability={1: 0.02, 8: 0.016},
        unit="",
    ),
}


def published_for(experiment: Experiment) -> Published | None:
    """Return the results published for the robot of an experiment, None if there are none."""
    robots = [getattr(settings, "robot", None) for settings in experiment.engines.values()]
    found = [PUBLISHED[robot] for robot in robots if robot in PUBLISHED]
    return found[0] if found else None

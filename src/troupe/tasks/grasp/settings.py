"""What a user writes about things in a tray, and about one attempt to grasp them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from troupe.core import World
from troupe.core.arrays import Array
from troupe.core.errors import UserError
from troupe.core.settings import Duration, nanoseconds
from troupe.robots import Robot
from troupe.tasks.base import TaskSettings
from troupe.tasks.grasp.approach import OneAttempt
from troupe.tasks.grasp.objects import MAKERS, Kind, Split, Thing, numbers_of, thing
from troupe.tasks.grasp.task import GraspTask
from troupe.tasks.robot import robot_of

Range = tuple[float, float]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


class TrayTaskSettings(TaskSettings):
    """What the tasks of a hand over a tray share: what lies in it, and when it counts as lifted.

    Attributes:
        engine: which engine simulates the robot; default: the only one.
        objects: which part of the catalog of 1000 is shown: ``train`` (0 to 899), ``test`` or
            ``all``; ``meshes`` are those of the scene, and a list joins several.
        kinds: of shape, of what is of the catalog; default: all.
        count: least and greatest number of things in the tray.
        mass_scale: range of a factor on each thing's mass, drawn log-uniformly.
        friction: range of the things' coefficient of friction.
        x_m, y_m: where the tool may go, in the base frame.
        yaw_rad: range of the hand's turn about the vertical.
        lifted_m: a thing counts as lifted whose middle is so far above the tray's floor ...
        hold: ... for this long.
    """

    ranges: ClassVar[tuple[str, ...]] = ("count", "mass_scale", "friction", "x_m", "y_m", "yaw_rad")
    """Names of settings whose first value is the least and whose second is the greatest."""

    engine: str | None = None
    objects: Split | Annotated[tuple[Split, ...], Field(min_length=1)] = "train"
    kinds: tuple[Kind, ...] = tuple(MAKERS)
    count: tuple[Count, Count] = (4, 6)
    mass_scale: tuple[Positive, Positive] = (0.7, 1.4)
    friction: tuple[Positive, Positive] = (0.6, 1.0)
    x_m: Range = (0.49, 0.71)
    y_m: Range = (-0.15, 0.15)
    yaw_rad: Range = (-1.5708, 1.5708)
    lifted_m: float = Field(0.1, gt=0)
    hold: Duration = nanoseconds(1_000_000_000)

    @model_validator(mode="after")
    def _check_ranges(self) -> TrayTaskSettings:
        for name in self.ranges:
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}: {low:g} is more than {high:g}; write the lesser first")
        if not self.kinds:
            raise ValueError(f"kinds: name at least one; valid: {', '.join(MAKERS)}")
        return self

    def splits(self) -> tuple[Split, ...]:
        """Return the parts of the catalog that are shown."""
        return (self.objects,) if isinstance(self.objects, str) else self.objects

    def things(self, meshes: Sequence[Thing]) -> tuple[Thing, ...]:
        """Return what is shown.

        Args:
            meshes: those of the scene.
        """
        numbers = [n for split in self.splits() for n in numbers_of(split)]
        catalog = (thing(n) for n in dict.fromkeys(numbers))
        own = meshes if "meshes" in self.splits() else ()
        return (*(t for t in catalog if t.kind in self.kinds), *own)

    def hand_over_tray(self, robots: Mapping[str, Robot], world: World) -> tuple[str, Robot]:
        """Return the engine that simulates a robot with a hand and a tray, and the robot.

        Raises:
            UserError: if there is none, or its tray has not enough room.
        """
        engine, robot = robot_of(robots, self.engine)
        if not robot.has_gripper:
            raise UserError(f"task.engine: robot '{robot.name}' of '{engine}' has no gripper.")
        places = world.output(f"{engine}.object_pose").shape[0]
        if self.count[1] > places:
            raise UserError(
                f"task.count: the scene of '{engine}' has room for {places} things, not "
                f"{self.count[1]}; see engines.{engine}.scene.objects."
            )
        return engine, robot


class AttemptSettings(TrayTaskSettings):
    """What tasks share in which the arm closes, lifts and holds by itself.

    Attributes:
        image: a camera's pack, ``overhead.depth``, that is observed instead of joints and tool;
            it is of the moment in which an action is chosen.
        settle: time for the things to come to rest before the first action.
        close: time for the fingers to close.
        lift_to_m: height of the tool above the tray's floor when it holds.
        ends_early: whether an attempt ends as soon as it cannot succeed any more, the fingers
            having closed on nothing or nothing having come along.
    """

    image: str | None = None
    settle: Duration = nanoseconds(600_000_000)
    close: Duration = nanoseconds(400_000_000)
    lift_to_m: float = Field(0.22, gt=0)
    ends_early: bool = True

    @model_validator(mode="after")
    def _check_heights(self) -> AttemptSettings:
        if self.lift_to_m < self.lifted_m:
            raise ValueError(
                f"lift_to_m: {self.lift_to_m:g} is below lifted_m, {self.lifted_m:g}: no attempt "
                "could succeed"
            )
        return self


class GraspSettings(AttemptSettings):
    """Attempts to lift anything out of a tray, one an episode.

    The action is the attempt: where the tool closes (x, y, height, yaw), each a share -1 .. 1 of
    its range. It is looked at once, when the things have settled; the arm then goes above, down,
    closes, lifts and holds by itself.

    Attributes:
        height_m: of the tool above the tray's floor when it closes.
        start_rad: joint angles at which the arm waits, out of the cameras' sight; default: the
            robot's home.
        above_m: from how high the tool goes straight down.
    """

    ranges: ClassVar[tuple[str, ...]] = (*AttemptSettings.ranges, "height_m")

    type: Literal["grasp"] = "grasp"
    episode: Duration = nanoseconds(10_000_000_000)
    height_m: Range = (0.006, 0.03)
    start_rad: tuple[float, ...] | None = None
    above_m: float = Field(0.12, gt=0)

    def build(self, robots: Mapping[str, Robot], world: World, step_ns: int) -> GraspTask:
        """Return the task on a world with a robot, its gripper and a tray."""
        engine, robot = self.hand_over_tray(robots, world)
        if self.start_rad is not None and len(self.start_rad) != len(robot.joints):
            raise UserError(
                f"task.start_rad: robot '{robot.name}' has {len(robot.joints)} joints, not "
                f"{len(self.start_rad)}."
            )
        return GraspTask(self, OneAttempt(self, robot), engine, robot, world, step_ns)

    def action_range(self) -> tuple[Array, Array]:
        """Return where the hand closes for actions of -1 and of 1: x, y, height, yaw, each (4,)."""
        low, high = np.array([self.x_m, self.y_m, self.height_m, self.yaw_rad]).T
        return low, high

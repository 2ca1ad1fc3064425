"""What a user writes about lifting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from troupe.core import World
from troupe.core.settings import Duration, nanoseconds
from troupe.robots import Robot
from troupe.tasks.grasp.objects import Kind
from troupe.tasks.grasp.settings import Count, Range, TrayTaskSettings
from troupe.tasks.lift.task import LiftTask


class LiftSettings(TrayTaskSettings):
    """Lifting one thing, with a reward at every step for getting nearer to it.

    The action moves the tool, which points down: x, y, z and yaw, each a share -1 .. 1 of its
    greatest speed; above 0 the fifth component closes the hand, else it opens.

    Attributes:
        height_m: range of the tool's height above the tray's floor.
        speed_m_s: greatest speed of the tool along each axis.
        turn_rad_s: greatest speed of its turn.
        start_above_m: range of the height over the thing in which the tool starts.
        start_beside_m: greatest distance from there along x and along y.
        start_yaw_rad: greatest turn with which the hand starts.
    """

    ranges: ClassVar[tuple[str, ...]] = (*TrayTaskSettings.ranges, "height_m", "start_above_m")

    type: Literal["lift"] = "lift"
    episode: Duration = nanoseconds(4_800_000_000)
    kinds: tuple[Kind, ...] = ("box",)
    count: tuple[Count, Count] = (1, 1)
    height_m: Range = (0.006, 0.3)
    speed_m_s: float = Field(0.4, gt=0)
    turn_rad_s: float = Field(2.0, gt=0)
    start_above_m: Range = (0.05, 0.15)
    start_beside_m: float = Field(0.05, ge=0)
    start_yaw_rad: float = Field(0.5, ge=0)

    @model_validator(mode="after")
    def _check_lifted(self) -> LiftSettings:
        if self.lifted_m >= self.height_m[1]:
            raise ValueError(
                f"lifted_m: {self.lifted_m:g} must be below the greatest height_m, "
                f"{self.height_m[1]:g}"
            )
        return self

    def build(self, robots: Mapping[str, Robot], world: World, step_ns: int) -> LiftTask:
        """Return the task on a world with a robot, its gripper and a tray."""
        engine, robot = self.hand_over_tray(robots, world)
        return LiftTask(self, engine, robot, world, step_ns)

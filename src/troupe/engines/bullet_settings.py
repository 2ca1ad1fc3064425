"""What a user writes about a Bullet engine; importable without PyBullet."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Literal

from pydantic import PositiveFloat, field_validator

from troupe.core.errors import UserError
from troupe.core.settings import Timestep, UserFile
from troupe.engines.base import EngineSettings

if TYPE_CHECKING:
    from troupe.engines.bullet import BulletEngine

SUFFIXES = (".urdf", ".sdf", ".xml", ".mjcf")


class BulletSettings(EngineSettings):
    """A model in Bullet: of several bodies in a file, the one with most joints is the robot.

    Attributes:
        model: URDF, SDF or MJCF file, by its suffix.
        fixed_base: whether a URDF's base is fixed to the world.
        plane: whether there is a floor at height 0.
        gravity: in m/s².
        timestep: of the physics.
        control: what the motors follow: ``joint_target``, ``joint_velocity_target`` or
            ``joint_torque``.
        position_gain: of motors that follow positions.
        velocity_gain: of motors that follow positions or velocities.
        effort: greatest force or torque of a motor; default: the model's, 1000 where it has none.
        tool: name of the link whose frame is the tool's.
    """

    type: Literal["bullet"] = "bullet"
    model: UserFile
    fixed_base: bool = True
    plane: bool = False
    gravity: tuple[float, float, float] = (0.0, 0.0, -9.81)
    timestep: Timestep = Fraction(10**9, 240)
    control: Literal["position", "velocity", "torque"] = "position"
    position_gain: PositiveFloat = 0.1
    velocity_gain: PositiveFloat = 1.0
    effort: PositiveFloat | None = None
    tool: str | None = None

    @field_validator("model")
    @classmethod
    def _check_suffix(cls, model: UserFile) -> UserFile:
        if model.suffix.lower() not in SUFFIXES:
            raise ValueError(f"'{model}' is none of {', '.join(SUFFIXES)}")
        return model

    def build(self, name: str, num_instances: int, num_threads: int) -> BulletEngine:
        """Load the model once for each instance and return an engine of them."""
        from troupe.engines.bullet_output import captured

        try:
            with captured():  # it announces itself on standard output
                import pybullet  # noqa: F401
        except ImportError as error:
            message = "PyBullet is not installed; install it with: pip install 'troupe[bullet]'"
            raise UserError(f"engines.{name}: {message}.") from error
        from troupe.engines.bullet import BulletEngine

        return BulletEngine(self, name, num_instances)

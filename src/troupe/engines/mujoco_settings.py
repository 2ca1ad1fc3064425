"""What a user writes about a MuJoCo engine; importable without MuJoCo."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, field_validator, model_validator

from troupe.core import plugins
from troupe.core.errors import unknown
from troupe.core.settings import Settings, Timestep, UserFile
from troupe.engines.base import EngineSettings
from troupe.engines.mujoco_camera_settings import CameraName, CameraSettings
from troupe.engines.mujoco_light_settings import LightSettings
from troupe.engines.scenes import Scene
from troupe.robots import Robot

if TYPE_CHECKING:
    from troupe.engines.mujoco import MujocoEngine

Kind = Literal[
    "joint", "body", "geom", "site", "sensor", "actuator", "camera", "light", "tendon", "material"
]

SERVO_FIELDS = {"servo_stiffness": "N m/rad", "servo_damping": "N m s/rad"}
"""Fields of position actuators beside MuJoCo's own, and their units."""


class PackBinding(Settings):
    """Binds a datapack to a field of named MuJoCo objects.

    Attributes:
        kind: of the objects.
        names: of the objects, in order; one name drops the axis over objects.
        field: as MuJoCo's named access calls it: a state field (``qpos``, ``ctrl``) can be read
            and written, a derived one (``xpos``, ``data``) read, a model field (``mass``,
            ``damping``) read and written for each instance. A body's inertia follows its
            ``mass``. Of position actuators also ``servo_stiffness`` and ``servo_damping``.
        unit: of the values.
    """

    kind: Kind
    names: str | Annotated[tuple[str, ...], Field(min_length=1)]
    field: str
    unit: str = ""


class MujocoSettings(EngineSettings):
    """A MuJoCo model: a robot by name, or any MJCF or URDF file.

    Attributes:
        robot: name of a robot; its model, and packs for its joints and tool.
        model: path of an MJCF or URDF file instead.
        scene: what stands around the robot; default: nothing.
        timestep: of the physics; default: the model's.
        packs: further datapacks by name.
        cameras: by name; each offers packs ``<name>.rgb``, ``.depth``, ``.mask``, ``.normal``,
            ``.pose`` and ``.intrinsics``, and to write ``.position``, ``.rotation`` and ``.fovy``.
        lights: by name; each offers packs ``<name>.position``, ``.direction``, ``.colour`` and
            ``.ambient``.
    """

    type: Literal["mujoco"] = "mujoco"
    robot: str | None = None
    model: UserFile | None = None
    scene: Scene | None = None
    timestep: Timestep | None = None
    packs: dict[str, PackBinding] = {}
    cameras: dict[CameraName, CameraSettings] = {}
    lights: dict[CameraName, LightSettings] = {}

    @field_validator("robot")
    @classmethod
    def _check_robot(cls, robot: str | None) -> str | None:
        valid = plugins.names("troupe.robots")
        if robot is not None and robot not in valid:
            raise ValueError(str(unknown("robot", robot, valid)))
        return robot

    @model_validator(mode="after")
    def _check_source(self) -> MujocoSettings:
        if (self.robot is None) == (self.model is None):
            raise ValueError("give either 'robot' or 'model'")
        if self.scene is not None and self.robot is None:
            raise ValueError("scene: it stands around a robot; give 'robot', not 'model'")
        for name in self.lights:
            if name in self.cameras:
                raise ValueError(f"lights: '{name}' is the name of a camera already")
        return self

    def load_robot(self) -> Robot | None:
        """Return the robot, if one is named."""
        if self.robot is None:
            return None
        robot: Robot = plugins.load("troupe.robots", self.robot)
        return robot

    def build(self, name: str, num_instances: int, num_threads: int) -> MujocoEngine:
        """Compile the model and return an engine of it."""
        from troupe.engines.mujoco import MujocoEngine

        return MujocoEngine(self, name, num_instances, num_threads)

"""A tray on the floor with things in it that may be of another shape in each instance."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Field, model_validator

from troupe.core.arrays import ArraySpec
from troupe.core.settings import UserPath
from troupe.engines.mujoco_camera_settings import CameraSettings
from troupe.engines.scenes.base import SceneSettings
from troupe.robots.meshes import Mesh, load_meshes
from troupe.robots.solids import NUM_HULLS, HullPool
from troupe.robots.tray import TRAY, Tray, parked_pose

if TYPE_CHECKING:
    import mujoco
    from mujoco.batch import Batch

    from troupe.engines.mujoco_pack import Pack

REACH_M = 0.1
"""No part of a thing is farther from its middle: within it MuJoCo looks for contacts."""

CAMERAS = {
    "front": CameraSettings(position=(1.25, 0.0, 0.75), target=(0.6, 0.0, 0.05), fovy=32.0),
    "shoulder": CameraSettings(position=(0.0, 0.45, 0.85), target=(0.6, 0.0, 0.05), fovy=40.0),
    "overhead": CameraSettings(
        position=(0.6, 0.0, 1.3), target=(0.6, 0.0, 0.0), up=(1.0, 0.0, 0.0), fovy=20.0
    ),
}


def _listed(value: Any) -> Any:
    """Return what is one path or several as several."""
    return (value,) if isinstance(value, str | Path) else value


class TraySettings(SceneSettings):
    """A tray with room for some things, and three cameras: front, shoulder and overhead.

    Each thing has up to four parts, spheres, capsules, cylinders, boxes or convex meshes. Their
    shapes and colours are datapacks: ``object_types``, ``object_sizes``, ``object_positions`` and
    ``object_quaternions`` (in the thing's principal frame), ``object_meshes``, ``object_radii``,
    ``object_frictions``, ``object_colours``. A part that a thing does not have is a tiny sphere in
    its middle. Things have ``object_mass``, ``object_inertia``, which follows a mass that is
    written, ``object_weightless`` (1 for what floats), and their state is ``object_pose`` and
    ``object_velocity``.

    Meshes of the user's are convex hulls beside the built-in ones. Their vertices, in their
    principal frames, are the datapack ``mesh_vertices``, the last one repeated where a mesh has
    fewer than others.

    Attributes:
        objects: how many things there is room for; those that an episode leaves out are parked.
        meshes: OBJ and STL files, and folders of such, from which tasks may draw things.
        mesh_scale: metres of what is one in the files.
    """

    type: Literal["tray"] = "tray"
    objects: int = Field(6, ge=1, le=20)
    meshes: Annotated[tuple[UserPath, ...], BeforeValidator(_listed)] = ()
    mesh_scale: float = Field(1.0, gt=0)

    @model_validator(mode="after")
    def _check_meshes(self) -> TraySettings:
        try:
            meshes = self.load_meshes()
        except ValueError as error:
            raise ValueError(f"meshes: {error}") from error
        for mesh in meshes:
            if mesh.radius_m > REACH_M:
                fits = self.mesh_scale * REACH_M / mesh.radius_m
                raise ValueError(
                    f"meshes: '{mesh.name}' is {mesh.size_text} large and reaches "
                    f"{mesh.radius_m:.3g} m from its middle, more than {REACH_M:g} m; with "
                    f"mesh_scale: {fits:.2g} it would fit"
                )
        return self

    def load_meshes(self) -> tuple[Mesh, ...]:
        """Return the user's meshes, in order."""
        return load_meshes(self.meshes, self.mesh_scale)

    def add_to(self, spec: mujoco.MjSpec) -> None:
        """Add the tray, the things' bodies and the cameras to a robot's model."""
        import mujoco

        from troupe.engines.mujoco_camera_model import add_cameras

        for number, points in enumerate(HullPool.default().vertices):
            spec.add_mesh(name=f"hull{number}", uservert=points.ravel())
        for number, mesh in enumerate(self.load_meshes(), NUM_HULLS):
            spec.add_mesh(name=f"hull{number}", uservert=mesh.vertices.ravel())
        world = spec.worldbody
        for name, position, half_size in _walls(TRAY):
            world.add_geom(
                name=name,
                type=mujoco.mjtGeom.mjGEOM_BOX,
                pos=position,
                size=half_size,
                rgba=(0.6, 0.62, 0.65, 1),
            )
        add_cameras(spec, CAMERAS, "scene")
        for number in range(self.objects):
            self._add_thing(spec, number)
        for key in spec.keys:
            parked = [value for n in range(self.objects) for value in parked_pose(n)]
            key.qpos = [*key.qpos, *parked]

    def packs(self, batch: Batch) -> dict[str, Pack]:
        """Return the datapacks of the things."""
        from troupe.engines.mujoco_pack import Pack
        from troupe.engines.mujoco_parameters import inertia_follows

        model, things = batch.model, self.objects
        first_joint, first_geom = model.joint("object0"), model.geom("object0_part0").id
        first_body = model.body("object0").id
        geoms = slice(first_geom, first_geom + things * PARTS)
        bodies = slice(first_body, first_body + things)

        def state(field: str, first: int, width: int, unit: str = "") -> Pack:
            rows = batch.bind(field)[:, first : first + things * width]
            return Pack(ArraySpec((things, width), unit), [_split(rows, things)], writable=True)

        def parameter(
            field: str, rows: slice, unit: str = "", low: float = -np.inf, high: float = np.inf
        ) -> Pack:
            values = batch.expand(field)[:, rows]
            if rows is geoms:
                values = _split(values, things)
            least, greatest = np.asarray(low), np.asarray(high)
            spec = ArraySpec(values.shape[1:], unit, least, greatest, values.dtype)
            return Pack(spec, [values], writable=True, is_parameter=True)

        mass = parameter("body_mass", bodies, "kg", 0.0)
        mass = inertia_follows(mass, batch, range(first_body, first_body + things))

        return {
            **_mesh_packs(batch, [mesh.name for mesh in self.load_meshes()]),
            "object_pose": state("qpos", int(first_joint.qposadr[0]), 7),
            "object_velocity": state("qvel", int(first_joint.dofadr[0]), 6),
            "object_mass": mass,
            "object_inertia": parameter("body_inertia", bodies, "kg m2"),
            "object_weightless": parameter("body_gravcomp", bodies),
            "object_types": parameter("geom_type", geoms),
            "object_sizes": parameter("geom_size", geoms, "m"),
            "object_positions": parameter("geom_pos", geoms, "m"),
            "object_quaternions": parameter("geom_quat", geoms),
            "object_meshes": parameter("geom_dataid", geoms),
            "object_radii": parameter("geom_rbound", geoms, "m"),
            "object_frictions": parameter("geom_friction", geoms, "", 0.0),
            "object_colours": parameter("geom_rgba", geoms, "", 0.0, 1.0),
        }

    def _add_thing(self, spec: mujoco.MjSpec, number: int) -> None:
        """Add a body with parts that fill its reach: as long as they do, no contact is missed."""
        import mujoco

        pose = parked_pose(number)
        body = spec.worldbody.add_body(name=f"object{number}", pos=pose[:3])
        body.add_freejoint(name=f"object{number}")
        # the frame of the body is the principal one of any thing
        body.explicitinertial = True
        body.mass, body.inertia = 0.05, (3e-5, 2e-5, 1e-5)
        body.ipos, body.iquat = (0, 0, 0), (1, 0, 0, 0)
        for part in range(PARTS):
            body.add_geom(
                name=f"object{number}_part{part}",
                type=mujoco.mjtGeom.mjGEOM_BOX,
                size=(REACH_M, REACH_M, REACH_M),
                # off the middle and turned, so that MuJoCo takes no short cut past the datapacks
                pos=(1e-3, 1e-3, 1e-3),
                quat=(0.9, 0.1, 0.2, 0.3),
                condim=6,
                friction=(0.8, 0.01, 0.001),
            )


PARTS = 4


def _mesh_packs(batch: Batch, names: Sequence[str]) -> dict[str, Pack]:
    """Return the pack of the user's meshes, as the model has them; none if there are none."""
    from troupe.engines.mujoco_pack import Pack

    if not names:
        return {}
    model = batch.model
    meshes = [model.mesh(f"hull{NUM_HULLS + number}") for number in range(len(names))]
    vertices = [
        model.mesh_vert[mesh.vertadr[0] : mesh.vertadr[0] + mesh.vertnum[0]] for mesh in meshes
    ]
    most = max(len(points) for points in vertices)
    padded = np.array([np.pad(v, ((0, most - len(v)), (0, 0)), "edge") for v in vertices])
    spec = ArraySpec(padded.shape, "m", names=tuple(names))
    values = np.broadcast_to(padded.astype(np.float64), (batch.nsim, *padded.shape))
    return {"mesh_vertices": Pack(spec, [values], writable=False)}


def _split(values: Any, things: int) -> Any:
    """Return a view with an axis over things: (N, things * k, ...) as (N, things, k, ...)."""
    return values.reshape(len(values), things, -1, *values.shape[2:], copy=False)


def _walls(tray: Tray) -> list[tuple[str, tuple[float, ...], tuple[float, ...]]]:
    """Return names, middles and half sizes of the boxes that make a tray, m."""
    (x, y), (a, b), floor, t = tray.centre_m, tray.half_size_m, tray.floor_m, tray.thickness_m / 2
    high = tray.wall_m / 2
    middle = floor + high
    return [
        ("tray", (x, y, floor - t), (a, b, t)),
        ("tray_near", (x - a - t, y, middle), (t, b + 2 * t, high)),
        ("tray_far", (x + a + t, y, middle), (t, b + 2 * t, high)),
        ("tray_left", (x, y + b + t, middle), (a, t, high)),
        ("tray_right", (x, y - b - t, middle), (a, t, high)),
    ]

"""Cameras in a MuJoCo model: those of the user's own are added to it, all are looked up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import mujoco
import numpy as np

from troupe.core.errors import UserError, unknown
from troupe.engines.mujoco_additions import body_of_new
from troupe.engines.mujoco_camera_settings import DEFAULT_FOVY_DEG, CameraSettings

FLIP_YZ = np.diag([1.0, -1.0, -1.0])
"""From MuJoCo's camera frame (x right, y up, z backward) to ours (x right, y down, z forward)."""


@dataclass(frozen=True)
class Camera:
    """A camera of a compiled model.

    Attributes:
        name: in the settings.
        id: in the model.
        width: of the images, pixels.
        height: of the images, pixels.
    """

    name: str
    id: int
    width: int
    height: int


def add_cameras(spec: mujoco.MjSpec, cameras: Mapping[str, CameraSettings], engine: str) -> None:
    """Add the cameras that the settings place to a model, under their names there.

    Raises:
        UserError: if a camera's body does not exist or its name is taken.
    """
    for name, settings in cameras.items():
        where = f"engines.{engine}.cameras.{name}"
        if settings.position is None:
            continue
        there = [camera.name for camera in spec.cameras]
        body = body_of_new("camera", name, settings.body, there, spec, where)
        quaternion = np.zeros(4)
        mujoco.mju_mat2Quat(quaternion, (settings.rotation() @ FLIP_YZ).ravel())
        body.add_camera(
            name=name,
            pos=settings.position,
            quat=quaternion,
            fovy=settings.fovy or DEFAULT_FOVY_DEG,
        )


def find_camera(model: mujoco.MjModel, name: str, settings: CameraSettings, engine: str) -> Camera:
    """Return a camera of a compiled model.

    Raises:
        UserError: if the model has no such camera, or one without a field of view.
    """
    where = f"engines.{engine}.cameras.{name}.camera"
    wanted = settings.camera or name
    names = [model.camera(i).name for i in range(model.ncam)]
    if wanted not in names:
        raise unknown("camera", wanted, [n for n in names if n], where)
    number = names.index(wanted)
    if model.cam_projection[number] != mujoco.mjtProjection.mjPROJ_PERSPECTIVE:
        raise UserError(f"{where}: '{wanted}' is orthographic; valid: perspective cameras.")
    if model.cam_sensorsize[number].any():
        raise UserError(f"{where}: '{wanted}' has a sensor size; valid: cameras with 'fovy'.")
    return Camera(name, number, settings.width, settings.height)


def body_names(model: mujoco.MjModel) -> dict[int, str]:
    """Return the names of bodies by id; one without a name is called after its number."""
    return {i: model.body(i).name or f"body{i}" for i in range(model.nbody)}

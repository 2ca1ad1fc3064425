"""Where cameras and lights are, and what they look like, in each simulation of a batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt
from mujoco.batch import Batch

from troupe.core.arrays import Array, Ids
from troupe.engines.mujoco_camera_model import FLIP_YZ, Camera

_PLACES = ("cam_xpos", "cam_xmat", "light_xpos", "light_xdir")


@dataclass(frozen=True)
class View:
    """One camera in n instances, with the lights around it.

    Attributes:
        instances: their ids, sorted, (n,).
        position_w: of the camera, m, (n, 3).
        rotation_w: R_world_camera, x right, y down, z forward, (n, 3, 3).
        pixel_size: width of a pixel at a distance of 1 m, m, (n,).
        light_position_w: (n, num_lights, 3).
        light_direction_w: unit vectors, (n, num_lights, 3).
    """

    instances: Ids
    position_w: Array
    rotation_w: Array
    pixel_size: Array
    light_position_w: Array
    light_direction_w: Array

    def part(self, rows: slice) -> View:
        """Return the view of some of the instances."""
        return View(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


class Views:
    """Finds the views of cameras, also between a write and the next advance.

    Attributes:
        stale: instances that were written or reset since they advanced, (num_instances,): what the
            batch derived for them is not of their present state.
    """

    def __init__(self, batch: Batch) -> None:
        """Let the batch derive the places of cameras and lights from now on."""
        self._batch = batch
        self._places = {name: batch.bind(name) for name in _PLACES}
        self._data: mujoco.MjData | None = None
        self.stale = np.ones(batch.nsim, np.bool_)

    def of(self, camera: Camera, instances: Ids) -> View:
        """Return the view of a camera in instances, whose ids are sorted."""
        places = {name: values[instances] for name, values in self._places.items()}
        for row in np.flatnonzero(self.stale[instances]):
            _, data = self.simulation(int(instances[row]))
            for name, values in places.items():
                values[row] = getattr(data, name)
        rotation = places["cam_xmat"][:, camera.id].reshape(-1, 3, 3) @ FLIP_YZ
        fovy = model_field(self._batch, "cam_fovy", instances)[:, camera.id]
        return View(
            instances,
            places["cam_xpos"][:, camera.id],
            rotation,
            2 * np.tan(np.radians(fovy.astype(np.float64)) / 2) / camera.height,
            places["light_xpos"],
            places["light_xdir"],
        )

    def simulation(self, instance: int) -> tuple[mujoco.MjModel, mujoco.MjData]:
        """Return one simulation at its present state; valid until the next call."""
        if self._data is None:
            self._data = mujoco.MjData(self._batch.model)
        # a new model each time: MuJoCo 4.0 refuses some when written over a former one
        model, data = self._batch.get_model(instance), self._data
        self._batch.get_data(instance, data)
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_camlight(model, data)
        mujoco.mj_flex(model, data)
        return model, data


def model_field(batch: Batch, name: str, instances: Ids) -> npt.NDArray[Any]:
    """Return a model field's values in instances, (n, ...), whether they differ or not."""
    expanded = batch.expanded(name)
    if expanded is not None:
        values: npt.NDArray[Any] = expanded[instances]
        return values
    shared = getattr(batch.model, name)
    return np.broadcast_to(shared, (len(instances), *shared.shape))


def intrinsics(camera: Camera, view: View) -> Array:
    """Return the matrices K, (n, 3, 3), that map points in the camera frame to pixel indices.

    ``K @ (x, y, z) / z`` is ``(column, row, 1)``; whole numbers are the centres of pixels.
    """
    K = np.zeros((len(view.instances), 3, 3))
    K[:, 0, 0] = K[:, 1, 1] = 1 / view.pixel_size
    K[:, 0, 2], K[:, 1, 2] = (camera.width - 1) / 2, (camera.height - 1) / 2
    K[:, 2, 2] = 1
    return K


def pixel_grid(camera: Camera) -> Array:
    """Return each pixel's offset from the image's centre, in pixels, and 1: (height * width, 3)."""
    columns = np.arange(camera.width) - (camera.width - 1) / 2
    rows = np.arange(camera.height) - (camera.height - 1) / 2
    x, y = np.meshgrid(columns, rows)
    return np.stack([x.ravel(), y.ravel(), np.ones(x.size)], axis=1)


def clip_range(model: mujoco.MjModel) -> tuple[float, float]:
    """Return the least and the greatest depth that cameras see, m."""
    extent = float(model.stat.extent)
    return float(model.vis.map.znear) * extent, float(model.vis.map.zfar) * extent

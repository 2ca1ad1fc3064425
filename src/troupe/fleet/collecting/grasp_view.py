"""What a camera over the tray sees around the places where the hand may close."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from troupe.core.arrays import Array
from troupe.core.errors import UserError, unknown
from troupe.engines.mujoco_camera_settings import DEFAULT_FOVY_DEG
from troupe.engines.mujoco_settings import MujocoSettings
from troupe.engines.scenes.tray import CAMERAS
from troupe.experiments.schema import Experiment
from troupe.robots.tray import TRAY
from troupe.tasks.grasp import GraspSettings

MIDDLE_M = 0.015
"""About how high over the floor the surfaces are of which a place is looked for in the image."""


@dataclass(frozen=True)
class GraspView:
    """A camera's place, and what the actions of an experiment mean.

    A grasp is x and y in the robot's base frame, the height over the tray's floor, and the hand's
    turn about the vertical: m and rad. Depth images are (N, H, W), m, along the camera's axis.

    Attributes:
        position_w: of the camera, (3,), m.
        rotation_w: R_world_camera, x right, y down, z forward, (3, 3).
        pixel_size: width of a pixel at a distance of 1 m, m.
        shape: of its images, height and width in pixels.
        low: the grasp that an action of -1 means, (4,).
        high: the grasp that an action of 1 means, (4,).
        decides_ns: simulated time of an episode at which its action counts.
    """

    position_w: Array
    rotation_w: Array
    pixel_size: float
    shape: tuple[int, int]
    low: Array
    high: Array
    decides_ns: int

    @classmethod
    def of(cls, experiment: Experiment, camera: str = "overhead") -> Self:
        """Return the view of a camera of an experiment with a task ``grasp``.

        Raises:
            UserError: if the task is another one, or there is no such camera that stands still.
        """
        task = experiment.task
        if not isinstance(task, GraspSettings):
            raise UserError(f"experiment '{experiment.name}' has no task 'grasp'.")
        engines = [e for e in experiment.engines.values() if isinstance(e, MujocoSettings)]
        cameras = {name: about for engine in engines for name, about in engine.cameras.items()}
        if camera not in cameras:
            raise unknown("camera", camera, cameras, f"experiment '{experiment.name}'")
        images = cameras[camera]
        place = images if images.camera is None else CAMERAS.get(images.camera)
        if place is None or place.body is not None:
            raise UserError(
                f"camera '{camera}' has no place that is known: give one with 'position' and "
                f"'target', or name one of the tray's: {', '.join(CAMERAS)}."
            )
        low, high = task.action_range()
        step_ns = experiment.loop.step
        slope = 2 * np.tan(np.radians(place.fovy or DEFAULT_FOVY_DEG) / 2)
        return cls(
            position_w=np.array(place.position),
            rotation_w=place.rotation(),
            pixel_size=slope / images.height,
            shape=(images.height, images.width),
            low=low,
            high=high,
            decides_ns=-(-task.settle // step_ns) * step_ns,
        )

    def grasps(self, action: npt.NDArray[Any]) -> Array:
        """Return the grasps that actions mean, (..., 4)."""
        meant: Array = self.low + 0.5 * (action + 1.0) * (self.high - self.low)
        return meant

    def actions(self, grasp: Array) -> Array:
        """Return the actions for grasps, (..., 4), the nearest ones within the range."""
        return np.clip(2.0 * (grasp - self.low) / (self.high - self.low) - 1.0, -1.0, 1.0)

    def points(self, depth: npt.NDArray[np.float32]) -> Array:
        """Return what pixels show, in the robot's base frame, (N, H, W, 3), m."""
        height, width = self.shape
        row, column = np.mgrid[:height, :width]
        x, y = (column - (width - 1) / 2), (row - (height - 1) / 2)
        rays = np.stack([x * self.pixel_size, y * self.pixel_size, np.ones(self.shape)], axis=-1)
        seen: Array = self.position_w + (rays @ self.rotation_w.T) * depth[..., None]
        return seen

    def heights(self, depth: npt.NDArray[np.float32]) -> Array:
        """Return how high over the tray's floor is what pixels show, (N, H, W), m."""
        heights: Array = self.points(depth)[..., 2] - TRAY.floor_m
        return heights

    def patches(
        self,
        depth: npt.NDArray[np.float32],
        grasp: Array,
        size: int = 20,
        spacing_m: float = 0.006,
    ) -> npt.NDArray[np.float32]:
        """Return what the hand would see: heights around grasps, along its axes.

        They are interpolated in the image, where a place is looked for 15 mm over the floor: right
        for a camera that looks straight down, and less so the lower it looks.

        Args:
            depth: images.
            grasp: G grasps in each image, (N, G, 4).
            size: points along either side.
            spacing_m: from one to the next.

        Returns:
            heights over the tray's floor, (N, G, size, size), m; at a yaw of 0 along x and y.
        """
        axis = (np.arange(size) - (size - 1) / 2) * spacing_m
        along, across = np.meshgrid(axis, axis, indexing="ij")
        x, y, _, yaw = np.moveaxis(grasp[..., None, None], 2, 0)
        dx = x + np.cos(yaw) * along - np.sin(yaw) * across - self.position_w[0]
        dy = y + np.sin(yaw) * along + np.cos(yaw) * across - self.position_w[1]
        dz = TRAY.floor_m + MIDDLE_M - self.position_w[2]
        R = self.rotation_w
        right, down, forward = (R[0, k] * dx + R[1, k] * dy + R[2, k] * dz for k in range(3))
        (rows, columns), scale = self.shape, self.pixel_size * forward
        column = np.clip(right / scale + (columns - 1) / 2, 0, columns - 1.001)
        row = np.clip(down / scale + (rows - 1) / 2, 0, rows - 1.001)
        return _interpolated(self.heights(depth), row, column).astype(np.float32)


def _interpolated(images: Array, row: Array, column: Array) -> Array:
    """Return values between pixels of images (N, H, W), (N, ...), bilinearly."""
    i, j = row.astype(int), column.astype(int)
    down, right = row - i, column - j
    n = np.arange(len(images)).reshape(-1, *[1] * (row.ndim - 1))
    upper = images[n, i, j] * (1 - right) + images[n, i, j + 1] * right
    lower = images[n, i + 1, j] * (1 - right) + images[n, i + 1, j + 1] * right
    between: Array = upper * (1 - down) + lower * down
    return between

"""Images by casting rays in many simulations at once, on the batch's native threads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt
from mujoco.batch import Batch

from troupe.core.arrays import Ids
from troupe.engines.mujoco_camera_model import Camera
from troupe.engines.mujoco_camera_shading import shade
from troupe.engines.mujoco_camera_views import View, Views, clip_range, pixel_grid

RAYS_AT_ONCE = 2**19  # bounds the memory of one call to some tens of MB


class RayRenderer:
    """Casts a ray through the centre of each pixel.

    It sees geoms of the groups that MuJoCo shows by default whose alpha is not 0; it sees no
    textures, shadows, reflections, skins, tendons or sites.
    """

    def __init__(self, batch: Batch, views: Views) -> None:
        """Prepare to render simulations of a batch."""
        self._batch = batch
        self._views = views
        self._geom_groups = mujoco.MjvOption().geomgroup.copy()
        self._grids: dict[str, npt.NDArray[np.float64]] = {}

    def render(
        self, camera: Camera, modalities: Sequence[str], instances: Ids
    ) -> dict[str, npt.NDArray[Any]]:
        """Return images of instances, whose ids are sorted, (n, height, width, ...)."""
        view = self._views.of(camera, instances)
        size = max(1, RAYS_AT_ONCE // (camera.width * camera.height))
        parts = [
            self._cast(camera, modalities, view.part(slice(first, first + size)))
            for first in range(0, len(instances), size)
        ]
        return {
            name: np.concatenate([part[name] for part in parts]).reshape(
                len(instances), camera.height, camera.width, *parts[0][name].shape[2:]
            )
            for name in modalities
        }

    def close(self) -> None:
        """Release nothing."""

    def _cast(
        self, camera: Camera, modalities: Sequence[str], view: View
    ) -> dict[str, npt.NDArray[Any]]:
        """Return flat images, (n, height * width, ...)."""
        model = self._batch.model
        if camera.name not in self._grids:
            self._grids[camera.name] = pixel_grid(camera)
        scale = np.ones((len(view.instances), 1, 3))
        scale[..., :2] = view.pixel_size[:, None, None]
        # of length 1 along the optical axis, so that distances along a ray are depths
        rays = self._grids[camera.name] @ (view.rotation_w * scale).transpose(0, 2, 1)
        near, far = clip_range(model)
        origins = view.position_w[:, None] + near * rays
        with_normals = "normal" in modalities or "rgb" in modalities
        hits = self._batch.ray(
            origins, rays, self._geom_groups, ids=view.instances, normal=with_normals
        )
        distance, geom = hits[0], hits[1]
        depth = near + distance
        seen = (distance >= 0) & (depth <= far)
        images: dict[str, npt.NDArray[Any]] = {}
        if "depth" in modalities:
            images["depth"] = np.where(seen, depth, 0).astype(np.float32)
        if "mask" in modalities:
            # a flex is no geom and belongs to no one body
            is_geom = seen & (geom >= 0)
            images["mask"] = np.where(is_geom, model.geom_bodyid[geom], -1).astype(np.int32)
        if "normal" in modalities:
            normals = (hits[2] @ view.rotation_w).astype(np.float32)
            normals[~seen] = 0
            images["normal"] = normals
        if "rgb" in modalities:
            points = view.position_w[:, None] + depth[..., None] * rays
            images["rgb"] = shade(self._batch, view, points, hits[2], np.where(seen, geom, -1))
        return images

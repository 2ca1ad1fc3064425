"""Images by OpenGL, one simulation after the other, in a thread that owns the context."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt
from mujoco.batch import Batch

from troupe.core.arrays import Array, Ids
from troupe.engines.mujoco_camera_context import new_context
from troupe.engines.mujoco_camera_model import Camera
from troupe.engines.mujoco_camera_views import Views, clip_range, pixel_grid

_HIDDEN = (
    mujoco.mjtVisFlag.mjVIS_ACTUATOR,
    mujoco.mjtVisFlag.mjVIS_RANGEFINDER,
    mujoco.mjtVisFlag.mjVIS_TENDON,
    mujoco.mjtVisFlag.mjVIS_SKIN,
)
_IDS = (mujoco.mjtRndFlag.mjRND_SEGMENT, mujoco.mjtRndFlag.mjRND_IDCOLOR)
_SPARE_GEOMS = 1000  # flexes and decoration beside the model's geoms


class GlRenderer:
    """Draws with OpenGL, with textures, shadows and reflections, the geoms that rays see too."""

    def __init__(self, batch: Batch, views: Views, width: int, height: int) -> None:
        """Make a context for images of up to a width and height.

        Raises:
            EngineError: if this machine has no OpenGL without a display.
        """
        self._views = views
        self._is_closed = False
        # a context belongs to the thread that made it, and an engine may change its thread
        self._thread = ThreadPoolExecutor(1, "troupe-gl")
        try:
            self._screen = self._thread.submit(_Screen, batch.model, width, height).result()
        except BaseException:
            self._thread.shutdown()
            raise

    def render(
        self, camera: Camera, modalities: Sequence[str], instances: Ids
    ) -> dict[str, npt.NDArray[Any]]:
        """Return images of instances, whose ids are sorted, (n, height, width, ...)."""
        pixel_size = self._views.of(camera, instances).pixel_size
        images = [
            self._thread.submit(
                self._screen.draw, camera, modalities, self._views.simulation(int(i)), size
            ).result()
            for i, size in zip(instances, pixel_size, strict=True)
        ]
        return {name: np.stack([image[name] for image in images]) for name in modalities}

    def close(self) -> None:
        """Release the context; may be called again."""
        if not self._is_closed:
            self._is_closed = True
            self._thread.submit(self._screen.close).result()
            self._thread.shutdown()


class _Screen:
    """What lives in the thread of the context."""

    def __init__(self, model: mujoco.MjModel, width: int, height: int) -> None:
        self._gl = new_context(width, height)
        self._gl.make_current()
        sizes = model.vis.global_
        before = sizes.offwidth, sizes.offheight
        sizes.offwidth, sizes.offheight = width, height
        self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
        sizes.offwidth, sizes.offheight = before
        mujoco.mjr_setBuffer(int(mujoco.mjtFramebuffer.mjFB_OFFSCREEN), self._context)
        self._context.readDepthMap = int(mujoco.mjtDepthMap.mjDEPTH_ZEROFAR)
        self._scene = mujoco.MjvScene(model, model.ngeom + _SPARE_GEOMS)
        self._options = mujoco.MjvOption()
        self._options.sitegroup[:] = 0
        self._options.flags[[int(flag) for flag in _HIDDEN]] = 0
        self._clip = clip_range(model)

    def draw(
        self,
        camera: Camera,
        modalities: Sequence[str],
        simulation: tuple[mujoco.MjModel, mujoco.MjData],
        pixel_size: float,
    ) -> dict[str, npt.NDArray[Any]]:
        model, data = simulation
        eye = mujoco.MjvCamera()
        eye.type, eye.fixedcamid = int(mujoco.mjtCamera.mjCAMERA_FIXED), camera.id
        everything = int(mujoco.mjtCatBit.mjCAT_ALL)
        mujoco.mjv_updateScene(model, data, self._options, None, eye, everything, self._scene)
        images: dict[str, npt.NDArray[Any]] = {}
        if "rgb" in modalities:
            images["rgb"], _ = self._pixels(camera)
        if set(modalities) - {"rgb"}:
            images |= self._measure(camera, model, pixel_size)
        return {name: images[name] for name in modalities}

    def close(self) -> None:
        self._context.free()
        self._gl.free()

    def _measure(
        self, camera: Camera, model: mujoco.MjModel, pixel_size: float
    ) -> dict[str, npt.NDArray[Any]]:
        """Return depth, mask and normals, from a picture that shows ids as colours."""
        self._scene.flags[[int(flag) for flag in _IDS]] = 1
        try:
            colours, buffer = self._pixels(camera)
        finally:
            self._scene.flags[[int(flag) for flag in _IDS]] = 0
        ids = colours.astype(np.int32) @ np.array([1, 2**8, 2**16], np.int32)
        is_geom = int(mujoco.mjtObj.mjOBJ_GEOM)
        bodies = np.full(self._scene.ngeom + 1, -1, np.int32)
        for geom in self._scene.geoms[: self._scene.ngeom]:
            if geom.segid >= 0 and geom.objtype == is_geom:
                bodies[geom.segid + 1] = model.geom_bodyid[geom.objid]
        depth = np.where(ids > 0, _metres(buffer, *self._clip), 0)
        return {
            "depth": depth.astype(np.float32),
            "mask": bodies[ids],
            "normal": normals_of(depth, pixel_grid(camera), pixel_size),
        }

    def _pixels(self, camera: Camera) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
        rectangle = mujoco.MjrRect(0, 0, camera.width, camera.height)
        colours = np.empty((camera.height, camera.width, 3), np.uint8)
        depth = np.empty((camera.height, camera.width), np.float32)
        mujoco.mjr_render(rectangle, self._scene, self._context)
        mujoco.mjr_readPixels(colours, depth, rectangle, self._context)
        # OpenGL's first row is the lowest one
        return colours[::-1], depth[::-1]


def _metres(buffer: npt.NDArray[np.float32], near: float, far: float) -> Array:
    """Return depths, m, from OpenGL's: 1 at near, 0 at far, and linear in 1 / depth between."""
    return near * far / (near + buffer.astype(np.float64) * (far - near))


def normals_of(depth: Array, grid: Array, pixel_size: float) -> npt.NDArray[np.float32]:
    """Return normals in the camera frame, (height, width, 3), from the slopes of a depth image.

    Along rows and columns it is the flatter of the slopes to the two neighbours that counts, so
    that edges of objects stay sharp.

    Args:
        depth: m, 0 where nothing is, (height, width).
        grid: see `pixel_grid`.
        pixel_size: width of a pixel at a distance of 1 m, m.
    """
    rays = (grid * [pixel_size, pixel_size, 1]).reshape(*depth.shape, 3)
    points = rays * depth[..., None]
    along_row = _flatter_step(points, 1)
    along_column = _flatter_step(points, 0)
    normals = np.cross(along_column, along_row)
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    seen = (depth[..., None] > 0) & (length > 0)
    return np.where(seen, normals / np.where(length > 0, length, 1), 0).astype(np.float32)


def _flatter_step(points: Array, axis: int) -> Array:
    """Return the step to the next or from the last point, whichever changes the depth less."""
    steps = np.diff(points, axis=axis)
    first, last = np.take(steps, [0], axis), np.take(steps, [-1], axis)
    ahead = np.concatenate([steps, last], axis)
    behind = np.concatenate([first, steps], axis)
    return np.where(np.abs(ahead[..., 2:]) <= np.abs(behind[..., 2:]), ahead, behind)

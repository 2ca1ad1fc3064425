"""The cameras of a MuJoCo engine: packs that are rendered when they are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from mujoco.batch import Batch

from troupe.core.arrays import ArraySpec, Ids, as_indices
from troupe.core.errors import EngineError, UserError, unknown
from troupe.engines.mujoco_camera_gl import GlRenderer
from troupe.engines.mujoco_camera_model import Camera, body_names, find_camera
from troupe.engines.mujoco_camera_rays import RayRenderer
from troupe.engines.mujoco_camera_settings import MODALITIES, CameraSettings, Renderer
from troupe.engines.mujoco_camera_views import Views, intrinsics

FEW_PIXELS = 10_000
"""Up to here rays are the faster ones, on two cores without a GPU; with colours, always."""


class _Renders(Protocol):
    def render(
        self, camera: Camera, modalities: Sequence[str], instances: Ids
    ) -> dict[str, npt.NDArray[Any]]: ...

    def close(self) -> None: ...


class Cameras:
    """Renders the present state of a batch's simulations, and keeps it until that changes.

    Attributes:
        specs: of the packs, ``<camera>.rgb`` and so on.
        renderers: that the cameras use.
        mask_names: of the ids in masks, which are the bodies'; -1 is nothing.
    """

    def __init__(self, batch: Batch, settings: Mapping[str, CameraSettings], engine: str) -> None:
        """Find the cameras in the model of a batch.

        Raises:
            UserError: if the model lacks one, or OpenGL is wanted and does not work here.
        """
        model = batch.model
        self.mask_names = body_names(model)
        self.renderers: dict[str, Renderer] = {n: _preferred(s) for n, s in settings.items()}
        self._cameras = {n: find_camera(model, n, s, engine) for n, s in settings.items()}
        self._modalities = {name: s.modalities for name, s in settings.items()}
        self._batch, self._views = batch, Views(batch)
        self._engine = engine
        self._num_instances = batch.nsim
        self._kept: dict[str, npt.NDArray[Any]] = {}
        self.specs: dict[str, ArraySpec] = {}
        for camera in self._cameras.values():
            specs = _specs(camera, model.nbody)
            shown = (*self._modalities[camera.name], "pose", "intrinsics")
            self.specs |= {f"{camera.name}.{kind}": specs[kind] for kind in shown}
        self._renderers: dict[Renderer, _Renders] = {}
        self._renderers["rays"] = RayRenderer(batch, self._views)
        if "gl" in self.renderers.values():
            self._start_gl(settings)

    def read(self, pack: str) -> npt.NDArray[Any]:
        """Return a pack's values at the present state, (num_instances, ...)."""
        if pack not in self._kept:
            name, _, kind = pack.rpartition(".")
            self._kept |= self._poses(name) if kind in ("pose", "intrinsics") else self._all(name)
        return self._kept[pack]

    def render(
        self, camera: str, modalities: Sequence[str], instances: Ids | None
    ) -> dict[str, npt.NDArray[Any]]:
        """Return images of instances at the present state, (n, height, width, ...).

        Raises:
            UserError: if there is no such camera or modality.
        """
        if camera not in self._cameras:
            raise unknown("camera", camera, self._cameras, self._engine)
        for modality in modalities:
            if modality not in MODALITIES:
                raise unknown("modality", modality, MODALITIES, f"{self._engine}.{camera}")
        packs = [f"{camera}.{modality}" for modality in modalities]
        ids = as_indices(instances, self._num_instances)
        if all(pack in self._kept for pack in packs):
            return {m: self._kept[p][ids] for m, p in zip(modalities, packs, strict=True)}
        # the batch takes sorted ids
        found, rows = np.unique(ids, return_inverse=True)
        images = self._renderer(camera).render(self._cameras[camera], modalities, found)
        return {modality: images[modality][rows] for modality in modalities}

    def changed(self, instances: Ids | None) -> None:
        """Forget images: instances were written or reset and did not advance since."""
        self._kept = {}
        self._views.stale[slice(None) if instances is None else instances] = True

    def advanced(self, instances: Ids | None) -> None:
        """Forget images: instances advanced."""
        self._kept = {}
        self._views.stale[slice(None) if instances is None else instances] = False

    def close(self) -> None:
        """Release the renderers; may be called again."""
        for renderer in self._renderers.values():
            renderer.close()

    def _start_gl(self, settings: Mapping[str, CameraSettings]) -> None:
        drawn = [self._cameras[name] for name, kind in self.renderers.items() if kind == "gl"]
        width, height = max(c.width for c in drawn), max(c.height for c in drawn)
        try:
            self._renderers["gl"] = GlRenderer(self._batch, self._views, width, height)
        except EngineError as error:
            for name in [camera.name for camera in drawn]:
                if settings[name].renderer == "gl":
                    where = f"engines.{self._engine}.cameras.{name}.renderer"
                    raise UserError(f"{where}: {error}. Use 'rays' or 'auto'.") from error
                self.renderers[name] = "rays"

    def _renderer(self, camera: str) -> _Renders:
        return self._renderers[self.renderers[camera]]

    def _all(self, name: str) -> dict[str, npt.NDArray[Any]]:
        """Return all images of a camera: together they cost little more than one of them."""
        modalities = self._modalities[name]
        ids = np.arange(self._num_instances)
        images = self._renderer(name).render(self._cameras[name], modalities, ids)
        return {f"{name}.{modality}": images[modality] for modality in modalities}

    def _poses(self, name: str) -> dict[str, npt.NDArray[Any]]:
        camera = self._cameras[name]
        view = self._views.of(camera, np.arange(self._num_instances))
        T_world_camera = np.zeros((self._num_instances, 4, 4))
        T_world_camera[:, :3, :3], T_world_camera[:, :3, 3] = view.rotation_w, view.position_w
        T_world_camera[:, 3, 3] = 1
        return {f"{name}.pose": T_world_camera, f"{name}.intrinsics": intrinsics(camera, view)}


def _preferred(settings: CameraSettings) -> Renderer:
    """Return the renderer to try first (benchmarks/cameras.py)."""
    if settings.renderer != "auto":
        return settings.renderer
    is_large = settings.width * settings.height > FEW_PIXELS
    return "gl" if is_large and "rgb" not in settings.modalities else "rays"


def _specs(camera: Camera, num_bodies: int) -> dict[str, ArraySpec]:
    size = (camera.height, camera.width)
    zero, one = np.asarray(0.0), np.asarray(1.0)
    byte, full, single = np.dtype(np.uint8), np.asarray(255.0), np.dtype(np.float32)
    whole, last = np.dtype(np.int32), np.asarray(num_bodies - 1.0)
    return {
        "rgb": ArraySpec((*size, 3), low=zero, high=full, dtype=byte),
        "depth": ArraySpec(size, "m", low=zero, dtype=single),
        "mask": ArraySpec(size, low=-one, high=last, dtype=whole),
        "normal": ArraySpec((*size, 3), low=-one, high=one, dtype=single),
        "pose": ArraySpec((4, 4)),
        "intrinsics": ArraySpec((3, 3)),
    }

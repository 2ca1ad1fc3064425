"""What a user writes about a camera, and what an engine with cameras offers.

Importable without MuJoCo.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from troupe.core.arrays import Ids
from troupe.core.settings import Settings

Modality = Literal["rgb", "depth", "mask", "normal"]
MODALITIES: tuple[Modality, ...] = ("rgb", "depth", "mask", "normal")
Renderer = Literal["rays", "gl"]
Vector = tuple[float, float, float]
CameraName = Annotated[str, Field(pattern=r"^[^.\s]+$")]
Pixels = Annotated[int, Field(ge=1, le=4096)]

DEFAULT_FOVY_DEG = 45.0


class CameraSettings(Settings):
    """A camera of the model by its name, or one of the user's own, placed by a position and target.

    Attributes:
        camera: name of a camera in the model.
        position: of a camera of its own instead, m.
        target: point that such a camera looks at, m.
        up: direction that is up in its images; default: z, or y if it looks straight up or down.
        fovy: its vertical field of view, degrees; default: 45.
        body: that it is fixed to, in whose frame position, target and up are; default: the world.
        width: of the images, pixels.
        height: of the images, pixels.
        modalities: which images it offers.
        renderer: ``rays`` casts rays on native threads, ``gl`` draws with OpenGL, ``auto`` takes
            the faster one that works.
    """

    camera: str | None = None
    position: Vector | None = None
    target: Vector | None = None
    up: Vector | None = None
    fovy: Annotated[float, Field(gt=0, lt=180)] | None = None
    body: str | None = None
    width: Pixels = 64
    height: Pixels = 64
    modalities: Annotated[tuple[Modality, ...], Field(min_length=1)] = MODALITIES
    renderer: Literal["auto", "rays", "gl"] = "auto"

    @model_validator(mode="after")
    def _check_source(self) -> CameraSettings:
        own = ("position", "target", "up", "fovy", "body")
        given = [key for key in own if getattr(self, key) is not None]
        if self.camera is not None and given:
            raise ValueError(
                f"'{given[0]}' is of a camera of its own, but 'camera' names one of the model's:"
                " give either 'camera' or 'position' and 'target'"
            )
        if self.camera is None and (self.position is None or self.target is None):
            raise ValueError("give either 'camera' or 'position' and 'target'")
        if self.camera is None:
            self.rotation()
        return self

    def rotation(self) -> npt.NDArray[np.float64]:
        """Return the rotation R_body_camera of a camera of its own: x right, y down, z forward.

        Raises:
            ValueError: if position, target and up do not say where it looks.
        """
        assert self.position is not None
        assert self.target is not None
        forward = np.subtract(self.target, self.position)
        distance = np.linalg.norm(forward)
        if distance == 0:
            raise ValueError(f"'position' and 'target' are the same point, {self.position}")
        forward = forward / distance
        is_vertical = np.hypot(forward[0], forward[1]) < 1e-6
        up = self.up or ((0.0, 1.0, 0.0) if is_vertical else (0.0, 0.0, 1.0))
        right = np.cross(forward, up)
        if np.linalg.norm(right) < 1e-6 * np.linalg.norm(up) or not np.any(up):
            raise ValueError(f"'up' is {up}, along the view from 'position' to 'target'")
        right /= np.linalg.norm(right)
        return np.stack([right, np.cross(forward, right), forward], axis=1)


@runtime_checkable
class CameraEngine(Protocol):
    """An engine with cameras."""

    def render(
        self, camera: str, modalities: Sequence[str], instances: Ids | None = None
    ) -> dict[str, npt.NDArray[Any]]:
        """Return images of instances, None for all, at the present state: (n, height, width, ...).

        Raises:
            UserError: if there is no such camera or modality.
        """

    def renderers(self) -> Mapping[str, Renderer]:
        """Return the renderer that each camera uses."""

    def mask_names(self) -> Mapping[int, str]:
        """Return the names of the ids in masks."""

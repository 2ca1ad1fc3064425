"""Cameras of an engine that runs elsewhere: images are rendered there, when they are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy.typing as npt

from troupe.core.arrays import Ids
from troupe.core.errors import unknown
from troupe.engines.host.engine import HostedEngine, Link
from troupe.engines.host.messages import ids_to_json, split
from troupe.engines.mujoco_camera_settings import MODALITIES, Renderer


def hosted(link: Link) -> HostedEngine:
    """Return the proxy of an engine elsewhere, with `render` if it has cameras."""
    return HostedCameraEngine(link) if link.spec.rendered else HostedEngine(link)


class HostedCameraEngine(HostedEngine):
    """The proxy of an engine with cameras."""

    def __init__(self, link: Link) -> None:
        """Begin to use a link to a new engine."""
        super().__init__(link)
        self._cameras: Mapping[str, Any] | None = None

    def render(
        self, camera: str, modalities: Sequence[str], instances: Ids | None = None
    ) -> dict[str, npt.NDArray[Any]]:
        """Return images of instances, None for all, at the present state: (n, height, width, ...).

        What was written since the last advance is seen, as it is here.

        Raises:
            UserError: if there is no such camera or modality.
        """
        # an error from there would end the engine
        if camera not in self.renderers():
            raise unknown("camera", camera, self.renderers(), self.spec.name)
        for modality in modalities:
            if modality not in MODALITIES:
                raise unknown("modality", modality, MODALITIES, f"{self.spec.name}.{camera}")
        header = {"call": "render", "camera": camera, "modalities": list(modalities)}
        reply = self._call(header | {"instances": ids_to_json(instances)})
        return split("image", reply.arrays)

    def renderers(self) -> Mapping[str, Renderer]:
        """Return the renderer that each camera uses."""
        return cast("Mapping[str, Renderer]", self._described()["renderers"])

    def mask_names(self) -> Mapping[int, str]:
        """Return the names of the ids in masks."""
        return {int(id): name for id, name in self._described()["mask_names"].items()}

    def _described(self) -> Mapping[str, Any]:
        # no cached_property: until Python 3.12 all engines of a process would share its lock
        if self._cameras is None:
            self._cameras = self._call({"call": "cameras"}).header
        return self._cameras
